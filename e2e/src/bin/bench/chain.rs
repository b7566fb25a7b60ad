//! The chain from create to verdict: real API server, Redis, operator and runner, each a process of its own.

mod floor;
mod programs;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use crds::Submission;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::runtime::watcher::{self, Event};
use sandbox::NativeEngine;
use serde_json::json;

use crate::Repetitions;
use crate::figure::Figure;
use crate::screen::Screen;
use crate::statistics::{median, percentile};
use programs::Chain;

/// Requests of one client at one time.
const AT_ONCE: usize = 32;
/// Where Submissions are judged, and where nobody looks at them.
pub(crate) const JUDGED: &str = "default";
/// A burst is measured so often; the floor before and after each.
const BURSTS: usize = 3;
const WITHIN: Duration = Duration::from_mins(10);
/// Bytes of each source that the operator must not keep.
const SOURCE_BYTES: usize = 8 << 10;

/// All figures of the chain.
pub(crate) async fn measure(
    engine: &Arc<NativeEngine>,
    repetitions: Repetitions,
    slots: usize,
    screen: &Screen,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let chain = Chain::start(slots, 1).await?;
    figures.push(throughput(&chain, repetitions.burst, screen).await?);
    figures.extend(latency(&chain, engine, repetitions.single, screen).await?);
    drop(chain);
    let mut chain = Chain::start(slots, 0).await?;
    figures.push(memory(&mut chain, repetitions.unfinished, screen).await?);
    Ok(figures)
}

/// Finished Submissions in a second, of a burst of `count` whose program does nothing.
async fn throughput(chain: &Chain, count: u32, screen: &Screen) -> anyhow::Result<Figure> {
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for round in 0..BURSTS {
        screen.progress("burst", round, BURSTS);
        floors.push(floor::creates_and_status_writes(chain, count, AT_ONCE).await?);
        times.push(burst(chain, count).await?);
        delete_all(&chain.submissions(JUDGED)).await?;
    }
    let per_second = |times: &[Duration]| f64::from(count) / median(times).as_secs_f64();
    let what = format!(
        "Submissions judged, {count} in one burst; floor: as many bare creates and writes of such a status"
    );
    Ok(Figure::rate("throughput", what, per_second(&times), per_second(&floors)))
}

/// From the first create to the last verdict seen.
async fn burst(chain: &Chain, count: u32) -> anyhow::Result<Duration> {
    let submissions = chain.submissions(JUDGED);
    let mut events = watcher::watcher(submissions.clone(), watcher::Config::default()).boxed();
    while !matches!(events.try_next().await?, Some(Event::InitDone)) {}
    let start = Instant::now();
    let create = create_all(&submissions, count, ":\n");
    let watch = async {
        let mut finished = BTreeSet::new();
        while finished.len() < count as usize {
            let event = events.try_next().await?.context("the watch ended")?;
            if let Event::Apply(submission) = event
                && e2e::world::is_finished(&submission)
            {
                accepted(&submission)?;
                finished.insert(submission.metadata.name);
            }
        }
        Ok(start.elapsed())
    };
    let both = async { tokio::try_join!(create, watch) };
    let ((), time) = tokio::time::timeout(WITHIN, both).await.context("the burst does not end")??;
    Ok(time)
}

/// Milliseconds from create to the verdict, one Submission at a time, its program compiled before.
async fn latency(
    chain: &Chain,
    engine: &Arc<NativeEngine>,
    count: u32,
    screen: &Screen,
) -> anyhow::Result<Vec<Figure>> {
    let submissions = chain.submissions(JUDGED);
    let bare = floor::Single::new(engine, chain)?;
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    let mut events = watcher::watcher(submissions.clone(), watcher::Config::default()).boxed();
    while !matches!(events.try_next().await?, Some(Event::InitDone)) {}
    for number in 0..=count {
        screen.progress("one after another", number as usize, count as usize);
        let submission = bare.submission(&format!("single-{number}"));
        let start = Instant::now();
        submissions.create(&PostParams::default(), &submission).await?;
        let seen = async {
            loop {
                let event = events.try_next().await?.context("the watch ended")?;
                if let Event::Apply(seen) = event
                    && seen.metadata.name == submission.metadata.name
                    && e2e::world::is_finished(&seen)
                {
                    return accepted(&seen);
                }
            }
        };
        tokio::time::timeout(WITHIN, seen).await.context("no verdict")??;
        let time = start.elapsed();
        let floor = bare.measure(&format!("floor-{number}")).await?;
        // The first one compiles.
        if number > 0 {
            times.push(time);
            floors.push(floor);
        }
    }
    let what = "from create to verdict, idle, C++ from the cache; floor: its run, a create and a write of such a status";
    let at = |percent| (percentile(&times, percent), percentile(&floors, percent));
    let figure = |name, (time, floor)| Figure::time(name, what, time, floor);
    Ok(vec![figure("e2e_latency_p50", at(50)), figure("e2e_latency_p99", at(99))])
}

/// Memory of an operator with `count` unfinished Submissions: the larger of one that saw them come and one that was
/// started anew.
async fn memory(chain: &mut Chain, count: u32, screen: &Screen) -> anyhow::Result<Figure> {
    screen.progress("memory", 0, 2);
    let submissions = chain.submissions(JUDGED);
    create_all(&submissions, count, &"# one line of many\n".repeat(SOURCE_BYTES / 19)).await?;
    chain.until_queued(count, WITHIN).await?;
    let grown = chain.operator_rss()?;
    screen.progress("memory", 1, 2);
    chain.restart_operator().await?;
    chain.until_queued(count, WITHIN).await?;
    // What listing needed is given back, or not.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let restarted = chain.operator_rss()?;
    let what = format!(
        "operator with {count} unfinished Submissions of 8 KiB: {} MB grown, {} MB started anew",
        grown / 1_000_000,
        restarted / 1_000_000
    );
    Ok(Figure::megabytes("operator_rss", what, grown.max(restarted)))
}

/// Creates `count` Submissions in the language that does nothing.
async fn create_all(submissions: &Api<Submission>, count: u32, source: &str) -> anyhow::Result<()> {
    let create = async |number: u32| {
        let submission = programs::no_op(&format!("burst-{number}"), source)?;
        submissions.create(&PostParams::default(), &submission).await?;
        anyhow::Ok(())
    };
    stream::iter(0..count).map(Ok).try_for_each_concurrent(AT_ONCE, create).await
}

async fn delete_all(submissions: &Api<Submission>) -> anyhow::Result<()> {
    submissions.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    while !submissions.list_metadata(&ListParams::default().limit(1)).await?.items.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn accepted(submission: &Submission) -> anyhow::Result<()> {
    let status = submission.status.as_ref().context("no status")?;
    ensure!(status.verdict == Some(crds::Verdict::Accepted), "{}", json!(status));
    Ok(())
}
