//! Which pool judges what: `WorkerPool`s come, change and go in a real API server, and runners of each are processes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::{collections::BTreeSet, time::Duration};

use crds::{Submission, Verdict};
use e2e::{
    Setup, User, World,
    audit::Requests,
    backlog::until,
    fixtures::{self, SHELL},
    history::is_finished,
    pools::POOLS,
    world::{NAMESPACE, condition},
};
use serde_json::{Value, json};

/// Another Language, of the same programs.
const OTHER: &str = "other";
/// Time for what must not happen: some looks at what Submissions wait for, and an audit or two.
const AFTERMATH: Duration = Duration::from_secs(4);

async fn world() -> World {
    world_of(Setup::with_worker_pools()).await
}

async fn world_of(setup: Setup) -> World {
    let world = World::start(setup).await.unwrap();
    world.create_namespace(POOLS).await.unwrap();
    let mut other = serde_json::to_value(fixtures::shell().unwrap()).unwrap();
    other["metadata"]["name"] = json!(OTHER);
    world.create(&other).await.unwrap();
    world
}

fn submission(namespace: &str, name: &str, language: &str, program: &str) -> Submission {
    let mut submission = fixtures::submission(name, language, program, &[("", "")]).unwrap();
    submission.metadata.namespace = Some(namespace.to_owned());
    submission
}

async fn submit(world: &World, name: &str, language: &str) {
    world.submit(&submission(NAMESPACE, name, language, "true")).await.unwrap();
}

/// Submits `count` Submissions that take a moment, and gives their names.
async fn submit_many(world: &World, count: usize, program: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for number in 0..count {
        let name = format!("s{number}");
        world.submit(&submission(NAMESPACE, &name, SHELL, program)).await.unwrap();
        names.insert(name);
    }
    names
}

async fn all_accepted(world: &World, names: &BTreeSet<String>) {
    for name in names {
        assert_eq!(world.verdict_of(name).await.unwrap(), Some(Verdict::Accepted), "{name}");
    }
}

/// Waits until it waits for a pool, and gives the message.
async fn unschedulable(world: &World, namespace: &str, name: &str, words: &str) -> String {
    let says = |submission: &Submission| {
        condition(submission, "Admitted") == Some(("False", "Unschedulable"))
            && message(submission).contains(words)
    };
    message(&world.until(namespace, name, "unschedulable", says).await.unwrap())
}

fn message(submission: &Submission) -> String {
    submission.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default()
}

async fn status_writes(world: &World, namespace: &str, name: &str) -> Requests {
    world.control_plane.audit().await.unwrap().by(User::Operator).writes().about(namespace, name)
}

fn names(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.trim_start_matches("default/").to_owned()).collect()
}

#[tokio::test]
async fn each_pool_judges_what_it_is_for() {
    let mut world = world().await;
    for namespace in ["team", "stranger"] {
        world.create_namespace(namespace).await.unwrap();
    }
    world.label_namespace("team", "team", "x").await.unwrap();
    let team = json!({ "namespaceSelector": { "matchLabels": { "team": "x" } } });
    world.add_pool("shells", &[SHELL], &Value::Null).await.unwrap();
    world.add_pool("others", &[OTHER], &team).await.unwrap();
    world.add_runner_in("shells").await.unwrap();
    world.add_runner_in("others").await.unwrap();
    submit(&world, "a", SHELL).await;
    world.submit(&submission("team", "a", OTHER, "true")).await.unwrap();
    world.submit(&submission("stranger", "a", OTHER, "true")).await.unwrap();
    all_accepted(&world, &["a".to_owned()].into()).await;
    world.until("team", "a", "finished", e2e::world::is_finished).await.unwrap();
    let said = unschedulable(&world, "stranger", "a", "").await;
    let shells = "judges/shells: it is not for language other";
    let others = "judges/others: its namespaceSelector does not match namespace stranger";
    assert_eq!(said, format!("no WorkerPool can judge it: {others}; {shells}"));
    assert_eq!(names(world.judged_by(0).into_keys()), names(["a".to_owned()]));
    assert_eq!(names(world.judged_by(1).into_keys()), names(["team/a".to_owned()]));
    // Only what a pool is for is told to its runners.
    for (pool, language) in [("shells", SHELL), ("others", OTHER)] {
        let queue = world.queue_of(pool).await.unwrap();
        let published: Vec<_> = queue.languages().await.unwrap().0.into_iter().map(|l| l.name).collect();
        assert_eq!(published, [language]);
    }
    world.label_namespace("stranger", "team", "x").await.unwrap();
    world.until("stranger", "a", "finished", e2e::world::is_finished).await.unwrap();
    assert_eq!(names(world.judged_by(1).into_keys()), names(["team/a".to_owned(), "stranger/a".to_owned()]));
    world.until_queues_are_empty(&["shells", "others"]).await.unwrap();
}

#[tokio::test]
async fn what_no_pool_may_judge_waits_with_one_write_until_one_may() {
    let mut world = world().await;
    submit(&world, "a", SHELL).await;
    assert_eq!(unschedulable(&world, NAMESPACE, "a", "").await, "there is no WorkerPool");
    world.add_pool("main", &[OTHER], &Value::Null).await.unwrap();
    unschedulable(&world, NAMESPACE, "a", "judges/main: it is not for language shell").await;
    let small = json!({ "languages": [OTHER, SHELL], "resources": { "limits": { "memory": "64Mi" } } });
    world.change_pool("main", &small).await.unwrap();
    unschedulable(&world, NAMESPACE, "a", "judges/main: its runners have 50331648 bytes for boxes").await;
    tokio::time::sleep(AFTERMATH).await;
    let writes = status_writes(&world, NAMESPACE, "a").await;
    assert_eq!(writes.len(), 3, "one for each thing that was missing: {writes:#?}");
    world.add_runner_in("main").await.unwrap();
    world.change_pool("main", &json!({ "resources": { "limits": { "memory": "1Gi" } } })).await.unwrap();
    assert_eq!(world.verdict_of("a").await.unwrap(), Some(Verdict::Accepted));
    let submission = world.finished("a").await.unwrap();
    assert_eq!(condition(&submission, "Admitted"), Some(("True", "Valid")));
}

#[tokio::test]
async fn what_is_on_the_queue_of_a_pool_that_goes_is_judged_in_another_once() {
    let mut world = world().await;
    let history = world.history();
    world.add_pool("a", &[SHELL], &Value::Null).await.unwrap();
    world.add_runner_in("a").await.unwrap();
    // Two that run, and the rest waits.
    let all = submit_many(&world, 12, "sleep 1").await;
    world.until_jobs("a", 10).await.unwrap();
    world.add_pool("b", &[SHELL], &Value::Null).await.unwrap();
    world.add_runner_in("b").await.unwrap();
    world.delete_pool("a").await.unwrap();
    all_accepted(&world, &all).await;
    let (a, b) = (world.judged_by(0), world.judged_by(1));
    assert!(b.len() >= 8, "{a:?} {b:?}");
    assert!(b.values().all(|jobs| *jobs == 1), "{b:?}");
    assert_eq!(names(a.into_keys().chain(b.into_keys())), all, "each was judged");
    world.until_queues_are_empty(&["a", "b"]).await.unwrap();
    assert_eq!(history.changes_after_the_end(), Vec::<String>::new());
    world.runners[0].program.stop().await.unwrap();
    world.until_dissolved("a").await.unwrap();
}

#[tokio::test]
async fn a_pool_that_goes_while_nobody_looks_is_noticed_at_the_next_start() {
    let mut world = world().await;
    let history = world.history();
    for pool in ["a", "b"] {
        world.add_pool(pool, &[SHELL], &Value::Null).await.unwrap();
    }
    world.add_runner_in("a").await.unwrap();
    world.runners[0].program.pause().unwrap();
    let all = submit_many(&world, 12, "true").await;
    until("queued: all", async || {
        let (mut jobs, queues) = (0, [world.queue_of("a").await?, world.queue_of("b").await?]);
        for queue in &queues {
            jobs += e2e::backlog::jobs(&queue.gauges().await?);
        }
        anyhow::ensure!(jobs == 12, "{jobs} jobs");
        Ok(())
    })
    .await
    .unwrap();
    world.operators[0].program.kill().unwrap();
    world.delete_pool("a").await.unwrap();
    world.runners[0].program.kill().unwrap();
    world.operators[0].program.start_again().await.unwrap();
    world.add_runner_in("b").await.unwrap();
    all_accepted(&world, &all).await;
    assert_eq!(names(world.judged_by(1).into_keys()), all);
    world.until_dissolved("a").await.unwrap();
    // The same with all of Redis gone.
    world.operators[0].program.kill().unwrap();
    world.runners[1].program.pause().unwrap();
    for name in ["late-1", "late-2"] {
        submit(&world, name, SHELL).await;
    }
    world.operators[0].program.start_again().await.unwrap();
    world.until_jobs("b", 2).await.unwrap();
    world.redis.flush().await.unwrap();
    world.add_pool("c", &[SHELL], &Value::Null).await.unwrap();
    world.delete_pool("b").await.unwrap();
    world.runners[1].program.kill().unwrap();
    world.add_runner_in("c").await.unwrap();
    all_accepted(&world, &["late-1".to_owned(), "late-2".to_owned()].into()).await;
    assert_eq!(history.changes_after_the_end(), Vec::<String>::new());
    world.until_queues_are_empty(&["a", "b", "c"]).await.unwrap();
}

#[tokio::test]
async fn a_language_that_is_taken_from_a_pool_takes_its_submissions_along() {
    let mut world = world().await;
    world.add_pool("a", &[SHELL, OTHER], &Value::Null).await.unwrap();
    let all = submit_many(&world, 5, "true").await;
    submit(&world, "stays", OTHER).await;
    world.until_jobs("a", 6).await.unwrap();
    world.change_pool("a", &json!({ "languages": [OTHER] })).await.unwrap();
    unschedulable(&world, NAMESPACE, "s0", "judges/a: it is not for language shell").await;
    world.until_jobs("a", 1).await.unwrap();
    world.add_pool("b", &[SHELL], &Value::Null).await.unwrap();
    world.until_jobs("b", 5).await.unwrap();
    world.add_runner_in("b").await.unwrap();
    world.add_runner_in("a").await.unwrap();
    all_accepted(&world, &all).await;
    all_accepted(&world, &["stays".to_owned()].into()).await;
    assert_eq!(names(world.judged_by(0).into_keys()), all);
    assert_eq!(names(world.judged_by(1).into_keys()), names(["stays".to_owned()]));
}

#[tokio::test]
async fn what_a_broken_toolchain_cannot_judge_goes_where_it_can_be() {
    // As in production: the operator hears of it before the last delivery.
    let delays =
        [("redelivery-first-delay-milliseconds", "1000"), ("redelivery-longest-delay-milliseconds", "60000")];
    let setup = delays
        .iter()
        .fold(Setup::with_worker_pools(), |setup, (name, value)| setup.operator_flag(name, value));
    let mut world = world_of(setup).await;
    world.add_pool("broken", &[SHELL], &Value::Null).await.unwrap();
    let all = submit_many(&world, 4, "true").await;
    world.until_jobs("broken", 4).await.unwrap();
    let empty = world.dir().join("no-toolchain");
    std::fs::create_dir(&empty).unwrap();
    world.set_runner_flag("toolchain", &empty.display().to_string());
    world.add_runner_in("broken").await.unwrap();
    world.add_pool("healthy", &[SHELL], &Value::Null).await.unwrap();
    world.set_runner_flag("toolchain", "/");
    world.add_runner_in("healthy").await.unwrap();
    all_accepted(&world, &all).await;
    submit(&world, "late", SHELL).await;
    all_accepted(&world, &["late".to_owned()].into()).await;
    assert!(world.judged_by(0).is_empty(), "nothing is judged by a toolchain that is not there");
}

#[tokio::test]
async fn two_operators_agree_while_pools_come_and_go() {
    let mut world = world_of(Setup { operators: 2, ..Setup::with_worker_pools() }).await;
    let history = world.history();
    for pool in ["a", "b"] {
        world.add_pool(pool, &[SHELL], &Value::Null).await.unwrap();
        world.add_runner_in(pool).await.unwrap();
    }
    let all = submit_many(&world, 30, "sleep 0.2").await;
    world.delete_pool("a").await.unwrap();
    world.add_pool("c", &[SHELL], &Value::Null).await.unwrap();
    world.add_runner_in("c").await.unwrap();
    world.add_pool("a", &[SHELL], &Value::Null).await.unwrap();
    all_accepted(&world, &all).await;
    world.until_queues_are_empty(&["a", "b", "c"]).await.unwrap();
    assert_eq!(history.changes_after_the_end(), Vec::<String>::new());
    let ended = history.seen().iter().filter(|seen| is_finished(&seen.status)).count();
    assert_eq!(ended, 30, "each ended once");
}
