//! Whose turn it is, from the API server to the runner: a flood holds nobody up for long, and starves nobody.
//!
//! Waiting is counted in work done meanwhile, so that a slow machine changes nothing: the programs' own logs say in which order
//! jobs were put on the queue, taken and done.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use crds::Submission;
use e2e::{
    Setup, World,
    backlog::until,
    fixtures::{self, SHELL},
    world::is_finished,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

const SLOTS: usize = 2;
/// Jobs in a runner's hands: one more than slots, so that no slot waits for the queue.
const HELD: usize = SLOTS + 1;
/// Two job times, in jobs.
const TWO_JOB_TIMES: usize = 2 * SLOTS;
/// What a Contest job is worth beside a rejudge's: the ratio of their weights.
const CONTEST_PER_REJUDGE: usize = 64;

/// Long enough that the flood stands until the others are done.
const PROGRAM: &str = "sleep 0.03";

async fn world() -> World {
    let mut setup = Setup::default().runner_flag("slots", &SLOTS.to_string());
    "info,sandbox_runner::worker=debug".clone_into(&mut setup.log);
    let world = World::start(setup).await.unwrap();
    for namespace in ["flood", "calm"] {
        world.create_namespace(namespace).await.unwrap();
    }
    world
}

fn submission(namespace: &str, name: &str, priority: &str) -> Submission {
    let mut submission = fixtures::submission(name, SHELL, PROGRAM, &[("", "")]).unwrap();
    submission.metadata.namespace = Some(namespace.to_owned());
    submission.spec.priority = serde_json::from_value(json!(priority)).unwrap();
    submission
}

async fn flood(world: &World, count: usize, priority: &str) {
    let create = async |number: usize| {
        world.submit(&submission("flood", &format!("f{number}"), priority)).await.map(drop)
    };
    stream::iter(0..count).map(Ok).try_for_each_concurrent(32, create).await.unwrap();
}

/// Waits until `count` jobs or more are ready.
async fn until_ready(world: &World, count: u64) {
    let broker = world.broker().await.unwrap();
    until("there: the flood", async || {
        let waiting: u64 = broker.gauges().await?.waiting.iter().map(|(_, jobs)| jobs).sum();
        ensure!(waiting >= count, "{waiting} jobs wait");
        Ok(())
    })
    .await
    .unwrap();
}

async fn is_flooded(world: &World) -> bool {
    let gauges = world.broker().await.unwrap().gauges().await.unwrap();
    gauges.waiting.iter().map(|(_, jobs)| *jobs).sum::<u64>() > 0
}

/// What happened to jobs, in this order: `Enqueued.`, `Taken.` or `The job is done with.`, and whose it was.
struct Events(Vec<(String, String, String)>);

impl Events {
    fn of(world: &mut World) -> Self {
        let operator = world.operators[0].program.process().log();
        let runner = world.runners[0].program.process().log();
        let mut events: Vec<_> = operator.lines().chain(runner.lines()).filter_map(event).collect();
        // Both programs run on this machine, by one clock.
        events.sort();
        Self(events)
    }

    fn position(&self, what: &str, whose: &str) -> usize {
        let found = self.0.iter().position(|(_, event, who)| event == what && who == whose);
        found.unwrap_or_else(|| panic!("{whose} was not {what}"))
    }

    /// How many jobs of the flood were put on the queue after `time` and before `whose`.
    fn enqueued_since(&self, time: &str, whose: &str) -> usize {
        let before = self.0[..self.position("Enqueued.", whose)].iter();
        let flood = before.filter(|(at, event, who)| {
            at.as_str() >= time && event == "Enqueued." && who.starts_with("flood/")
        });
        flood.count()
    }

    /// How many jobs of the flood were `what` after `whose` was put on the queue and before it was `what` itself.
    fn ahead(&self, what: &str, whose: &str) -> usize {
        // It may be taken before the operator has heard that it is on the queue.
        let between = self.0.get(self.position("Enqueued.", whose)..self.position(what, whose));
        between
            .unwrap_or_default()
            .iter()
            .filter(|(_, event, who)| event == what && who.starts_with("flood/"))
            .count()
    }
}

const TAKEN: &str = "Taken.";
const DONE: &str = "The job is done with.";

fn event(line: &str) -> Option<(String, String, String)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (time, what) = (text(&line["timestamp"])?, text(&line["message"])?);
    let whose = match what.as_str() {
        "Enqueued." => format!("{}/{}", line["namespace"].as_str()?, line["name"].as_str()?),
        TAKEN | DONE => text(&line["span"]["submission"])?,
        _ => return None,
    };
    Some((time, what, whose))
}

#[tokio::test]
async fn a_flood_in_one_namespace_holds_up_no_other() {
    let mut world = world().await;
    let calm = async {
        until_ready(&world, 50).await;
        let mut created = Vec::new();
        for number in 0..8 {
            created.push(jiff::Timestamp::now().to_string());
            world.submit(&submission("calm", &format!("c{number}"), "Normal")).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for number in 0..8 {
            world.until("calm", &format!("c{number}"), "finished", is_finished).await.unwrap();
        }
        (created, is_flooded(&world).await)
    };
    let ((), (created, flooded)) = tokio::join!(flood(&world, 2000, "Normal"), calm);
    assert!(flooded, "the flood was over too soon to prove anything");
    let events = Events::of(&mut world);
    let ahead: BTreeMap<_, _> = (0..8)
        .map(|number| format!("calm/c{number}"))
        .map(|whose| (whose.clone(), (events.ahead(TAKEN, &whose), events.ahead(DONE, &whose))))
        .collect();
    let late: Vec<_> =
        (0..8).map(|number| events.enqueued_since(&created[number], &format!("calm/c{number}"))).collect();
    eprintln!("of the flood, put on the queue before each of the calm: {late:?}; taken and done: {ahead:?}");
    for (taken, done) in ahead.values() {
        assert!(*taken <= TWO_JOB_TIMES, "{ahead:?}");
        // Those that the runner held already count too.
        assert!(*done <= TWO_JOB_TIMES + HELD, "{ahead:?}");
    }
}

#[tokio::test]
async fn a_flood_of_contests_does_not_starve_a_rejudge() {
    let mut world = world().await;
    flood(&world, 600, "Contest").await;
    until_ready(&world, 300).await;
    world.submit(&submission("calm", "rejudge", "Rejudge")).await.unwrap();
    world.until("calm", "rejudge", "finished", is_finished).await.unwrap();
    assert!(is_flooded(&world).await, "the flood was over too soon to prove anything");
    let ahead = Events::of(&mut world).ahead(TAKEN, "calm/rejudge");
    assert!(ahead <= CONTEST_PER_REJUDGE + HELD, "{ahead} contests went first");
}

#[tokio::test]
async fn a_second_rejudge_lets_as_many_contests_go_first_as_its_weight_says() {
    let mut world = world().await;
    flood(&world, 600, "Contest").await;
    until_ready(&world, 300).await;
    for name in ["first", "second"] {
        world.submit(&submission("calm", name, "Rejudge")).await.unwrap();
    }
    world.until("calm", "second", "finished", is_finished).await.unwrap();
    assert!(is_flooded(&world).await, "the flood was over too soon to prove anything");
    let events = Events::of(&mut world);
    let (first, second) = (events.position(TAKEN, "calm/first"), events.position(TAKEN, "calm/second"));
    let contests = events.0[first.min(second)..first.max(second)].iter();
    let between = contests.filter(|(_, event, who)| event == TAKEN && who.starts_with("flood/")).count();
    let expected = CONTEST_PER_REJUDGE - HELD..=CONTEST_PER_REJUDGE + HELD;
    assert!(expected.contains(&between), "{between} contests between two rejudges");
}

#[tokio::test]
async fn a_contest_goes_before_a_flood_of_normal_ones() {
    let mut world = world().await;
    flood(&world, 600, "Normal").await;
    until_ready(&world, 300).await;
    for number in 0..3 {
        let name = format!("contest-{number}");
        world.submit(&submission("calm", &name, "Contest")).await.unwrap();
        world.until("calm", &name, "finished", is_finished).await.unwrap();
    }
    assert!(is_flooded(&world).await, "the flood was over too soon to prove anything");
    let events = Events::of(&mut world);
    for number in 0..3 {
        let ahead = events.ahead(TAKEN, &format!("calm/contest-{number}"));
        assert!(ahead <= SLOTS, "{ahead} normal ones went before contest {number}");
    }
}
