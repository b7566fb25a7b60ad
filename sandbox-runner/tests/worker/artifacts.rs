//! Artifacts that runners share: compiled once, waited for while the compiler lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::Verdict;
use queue::Job;
use queue::broker::{ArtifactLock, JobState};
use queue::contract::{CacheLayer, Payload};
use sandbox::{Artifact, ArtifactFile};
use sandbox_runner::cache::{Key, pack};
use sandbox_runner::plan::Program;

use crate::jobs::{copied, job};
use crate::runner::Runner;
use crate::server::{Server, enqueue, in_state, reported, until, verdicts};

/// The name of what compiling a job's program makes, for the toolchain that the tests' runners say they have.
fn artifact(job: &Job) -> String {
    let Payload::Text(source) = &job.source else { panic!("{:?}", job.source) };
    let program = Program {
        language_name: job.language.name.clone(),
        language: job.language.spec.clone(),
        source: Arc::from(source.as_bytes()),
        limits: job.limits,
    };
    Key::of(&program, "test").name()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runners_compile_once() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let options = ["--slots", "1", "--jobs", "1"];
    let runners =
        [Runner::ready(&server, "r1", &options).await, Runner::ready(&server, "r2", &options).await];
    // Long enough that both take some.
    let mut slow = copied();
    slow.spec.compile.as_mut().unwrap().command =
        ["/bin/sh", "-c", "sleep 1; cp main.sh main"].map(str::to_owned).into();
    let uids: Vec<String> = (0..8).map(|n| format!("u{n}")).collect();
    for uid in &uids {
        enqueue(&broker, &job(uid, slow.clone(), "sleep 0.2; echo y", &[("", "y")]), &[]).await;
    }
    for uid in &uids {
        assert_eq!(verdicts(&reported(&broker, uid).await.1), [Verdict::Accepted]);
    }
    let sum = |layer: &str| runners.iter().map(|runner| runner.artifacts(layer)).sum::<u64>();
    until("all are counted", async || (sum("compiled") + sum("redis") + sum("disk") == 8).then_some(()))
        .await;
    assert_eq!((sum("compiled"), sum("redis"), sum("disk")), (1, 1, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_runner_compiles_is_waited_for() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let _runner = Runner::start(&server, "r1", &["--slots", "1", "--jobs", "2"]).await;
    let wanted = job("u1", copied(), "echo compiled here", &[("", "compiled elsewhere")]);
    let (name, long) = (artifact(&wanted), Duration::from_mins(10));
    assert_eq!(broker.lock_artifact(&name, "other", long).await.unwrap(), ArtifactLock::Ours);
    enqueue(&broker, &wanted, &[]).await;
    in_state(&broker, "u1", |state| *state == JobState::Leased).await;
    // The one slot is free meanwhile.
    enqueue(&broker, &crate::jobs::script("u2", "echo y", "y"), &[]).await;
    reported(&broker, "u2").await;
    let data = Arc::from(*b"echo compiled elsewhere");
    let made = Artifact { files: vec![ArtifactFile { path: "main".into(), executable: true, data }] };
    broker.keep_artifact(&name, &pack(&made).unwrap(), Duration::from_secs(1)).await.unwrap();
    let (_, report) = reported(&broker, "u1").await;
    assert_eq!(verdicts(&report), [Verdict::Accepted]);
    assert_eq!(report.compile.unwrap().layer, CacheLayer::Redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_that_died_is_not_waited_for_longer_than_its_lock_lasts() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let wanted = job("u1", copied(), "echo y", &[("", "y")]);
    let (name, ttl) = (artifact(&wanted), Duration::from_secs(3));
    enqueue(&broker, &wanted, &[]).await;
    let locked = Instant::now();
    assert_eq!(broker.lock_artifact(&name, "dead", ttl).await.unwrap(), ArtifactLock::Ours);
    let _runner = Runner::start(&server, "r1", &[]).await;
    let (_, report) = reported(&broker, "u1").await;
    assert!(locked.elapsed() >= ttl, "the lock was respected");
    assert_eq!(verdicts(&report), [Verdict::Accepted]);
    assert_eq!(report.compile.unwrap().layer, CacheLayer::Compiled);
    // The right was given up, and what was made is there for others.
    assert_eq!(broker.lock_artifact(&name, "next", ttl).await.unwrap(), ArtifactLock::Ours);
    assert!(broker.artifact(&name).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_artifact_is_made_again() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let _runner = Runner::start(&server, "r1", &[]).await;
    let wanted = job("u1", copied(), "echo y", &[("", "y")]);
    broker.keep_artifact(&artifact(&wanted), b"no artifact", Duration::from_secs(1)).await.unwrap();
    enqueue(&broker, &wanted, &[]).await;
    let (_, report) = reported(&broker, "u1").await;
    assert_eq!(report.compile.unwrap().layer, CacheLayer::Compiled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_cache_that_refuses_costs_no_verdict() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let runner = Runner::start(&server, "r1", &[]).await;
    let wanted = job("u1", copied(), "echo y", &[("", "y")]);
    // Someone else's value under the artifact's name: whoever reads it is refused.
    server.command(&["SADD", &format!("kubejudge:{{default}}:artifact:{}", artifact(&wanted)), "x"]);
    enqueue(&broker, &wanted, &[]).await;
    let (_, report) = reported(&broker, "u1").await;
    assert_eq!(verdicts(&report), [Verdict::Accepted]);
    assert_eq!(report.compile.unwrap().layer, CacheLayer::Compiled);
    assert!(runner.metric("redis_errors_total{category=\"refused\"}") > 0);
    let log = runner.log();
    let line = log.lines().find(|line| line.contains("The shared cache can't be used now.")).unwrap();
    assert!(line.contains("\"uid\":\"u1\"") && line.contains("\"judging\":1"), "also from threads: {line}");
}
