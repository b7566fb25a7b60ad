//! The end of a job before its time, and the end of a runner.

use queue::broker::JobState;
use rustix::process::Signal;

use crate::jobs::{copied, job, script};
use crate::runner::Runner;
use crate::server::{Server, enqueue, in_state, reported, the_job, until};

/// Longer than any test waits.
const LONG: &str = "sleep 500";

fn leased(state: &JobState) -> bool {
    *state == JobState::Leased
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_at_the_next_heartbeat_and_is_gone() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let runner = Runner::start(&server, "r1", &["--slots", "1", "--jobs", "2", "--lease-seconds", "3"]).await;
    enqueue(&broker, &script("u1", LONG, ""), &[]).await;
    in_state(&broker, "u1", leased).await;
    // It waits for the one slot, and has to leave it.
    enqueue(&broker, &script("u2", "echo y", "y"), &[]).await;
    in_state(&broker, "u2", leased).await;
    broker.cancel("u2").await.unwrap();
    until("the waiting job is gone", async || the_job(&broker, "u2").await.is_none().then_some(())).await;
    assert!(leased(&the_job(&broker, "u1").await.unwrap().record.state));
    broker.cancel("u1").await.unwrap();
    until("the running job is gone", async || the_job(&broker, "u1").await.is_none().then_some(())).await;
    until("both are counted", async || (runner.jobs("cancelled") == 2).then_some(())).await;
    assert_eq!(runner.metric("free_slots"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_compiler_can_be_cancelled() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let options = ["--slots", "1", "--jobs", "2", "--lease-seconds", "3"];
    let runners =
        [Runner::ready(&server, "r1", &options).await, Runner::ready(&server, "r2", &options).await];
    let mut slow = copied();
    slow.spec.compile.as_mut().unwrap().command = ["/bin/sh", "-c", LONG].map(str::to_owned).into();
    // One compiles; others wait for it in the same process, and in the other.
    let uids = ["u1", "u2", "u3", "u4"];
    for uid in uids {
        enqueue(&broker, &job(uid, slow.clone(), "x", &[("", "")]), &[]).await;
        in_state(&broker, uid, leased).await;
    }
    for uid in uids {
        broker.cancel(uid).await.unwrap();
    }
    for uid in uids {
        until("the job is gone", async || the_job(&broker, uid).await.is_none().then_some(())).await;
    }
    let cancelled = || runners.iter().map(|runner| runner.jobs("cancelled")).sum::<u64>();
    until("all are counted", async || (cancelled() == 4).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_told_to_stop_hands_back_at_no_cost() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let mut runner = Runner::start(&server, "r1", &["--slots", "1", "--grace-seconds", "2"]).await;
    for uid in ["u1", "u2"] {
        enqueue(&broker, &script(uid, LONG, ""), &[]).await;
        in_state(&broker, uid, leased).await;
    }
    until("it is announced", async || broker.runners().await.unwrap().pop()).await;
    runner.signal(Signal::TERM);
    until("it is not ready", async || runner.get("/readyz").contains("is stopping").then_some(())).await;
    assert!(runner.ended().await.success());
    for uid in ["u1", "u2"] {
        let job = the_job(&broker, uid).await.unwrap();
        assert_eq!((job.record.state, job.record.deliveries), (JobState::Waiting, 0));
    }
    assert!(broker.runners().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_told_to_stop_finishes_what_it_can_and_takes_no_more() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let mut runner = Runner::start(&server, "r1", &["--grace-seconds", "600"]).await;
    enqueue(&broker, &script("u1", "sleep 2; echo y", "y"), &[]).await;
    in_state(&broker, "u1", leased).await;
    runner.signal(Signal::TERM);
    until("it is draining", async || broker.runners().await.unwrap().pop().filter(|status| status.draining))
        .await;
    enqueue(&broker, &script("u2", "echo y", "y"), &[]).await;
    assert!(runner.ended().await.success());
    reported(&broker, "u1").await;
    assert_eq!(the_job(&broker, "u2").await.unwrap().record.state, JobState::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_is_not_asked_to_wait() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let mut runner = Runner::start(&server, "r1", &["--grace-seconds", "3600"]).await;
    enqueue(&broker, &script("u1", LONG, ""), &[]).await;
    in_state(&broker, "u1", leased).await;
    runner.signal(Signal::INT);
    until("it is draining", async || runner.get("/readyz").contains("is stopping").then_some(())).await;
    runner.signal(Signal::TERM);
    assert!(runner.ended().await.success());
    assert_eq!(the_job(&broker, "u1").await.unwrap().record.state, JobState::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_without_redis_can_be_stopped() {
    let mut server = Server::start(&[]);
    let broker = server.broker().await;
    let mut runner =
        Runner::start(&server, "r1", &["--grace-seconds", "2", "--redis-timeout-seconds", "1"]).await;
    enqueue(&broker, &script("u1", LONG, ""), &[]).await;
    in_state(&broker, "u1", leased).await;
    server.down();
    runner.signal(Signal::TERM);
    assert!(runner.ended().await.success());
}
