//! What happens to Redis and to the runner in the middle of a job.

use crds::Verdict;
use queue::broker::JobState;
use rustix::process::Signal;

use crate::jobs::script;
use crate::runner::Runner;
use crate::server::{Server, enqueue, in_state, reported, until, verdicts};

fn leased(state: &JobState) -> bool {
    *state == JobState::Leased
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_slept_through_its_lease_changes_nothing() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let options = ["--lease-seconds", "2"];
    let sleeper = Runner::start(&server, "sleeper", &options).await;
    enqueue(&broker, &script("u1", "sleep 1; echo y", "y"), &[]).await;
    in_state(&broker, "u1", leased).await;
    sleeper.signal(Signal::STOP);
    let _other = Runner::start(&server, "other", &options).await;
    let (job, report) = reported(&broker, "u1").await;
    assert_eq!((report.runner.as_str(), job.record.deliveries), ("other", 2));
    sleeper.signal(Signal::CONT);
    until("the sleeper lets go", async || (sleeper.jobs("stale") + sleeper.jobs("lost") == 1).then_some(()))
        .await;
    assert_eq!(sleeper.metric("held_jobs"), 0);
    let (again, same) = reported(&broker, "u1").await;
    assert_eq!((again.record, same), (job.record, report));
    // And it is of use again.
    enqueue(&broker, &script("u2", "echo y", "y"), &[]).await;
    reported(&broker, "u2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runners_job_is_judged_by_another() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let first = Runner::start(&server, "first", &["--lease-seconds", "2"]).await;
    enqueue(&broker, &script("u1", "sleep 3; echo y", "y"), &[]).await;
    in_state(&broker, "u1", leased).await;
    drop(first);
    let _second = Runner::start(&server, "second", &[]).await;
    let (job, report) = reported(&broker, "u1").await;
    assert_eq!((report.runner.as_str(), job.record.deliveries), ("second", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_redis_costs_no_result() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let broker = server.broker().await;
    let runner = Runner::ready(&server, "r1", &[]).await;
    enqueue(&broker, &script("u1", "sleep 2; echo y", "y"), &[]).await;
    in_state(&broker, "u1", leased).await;
    server.down();
    until("the runner notices", async || runner.get("/readyz").starts_with("HTTP/1.1 503").then_some(()))
        .await;
    // The job ends meanwhile.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    server.up();
    let (job, report) = reported(&broker, "u1").await;
    assert_eq!((verdicts(&report), job.record.deliveries), (vec![Verdict::Accepted], 1));
    enqueue(&broker, &script("u2", "echo y", "y"), &[]).await;
    reported(&broker, "u2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_lost_its_data_is_worked_with_again() {
    let mut server = Server::start(&[]);
    let broker = server.broker().await;
    let runner = Runner::ready(&server, "r1", &["--lease-seconds", "3"]).await;
    enqueue(&broker, &script("u1", "sleep 500", ""), &[]).await;
    in_state(&broker, "u1", leased).await;
    server.down();
    server.up();
    until("the lease is lost", async || (runner.jobs("lost") == 1).then_some(())).await;
    assert_eq!(runner.metric("leases_lost_total"), 1);
    enqueue(&broker, &script("u1", "echo y", "y"), &[]).await;
    reported(&broker, "u1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_buried_and_the_next_job_taken() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let bad = script("bad", "echo y", "y");
    enqueue(&broker, &bad, &[]).await;
    server.command(&["HSET", &format!("kubejudge:{{default}}:job:{}", bad.id), "body", "garbage"]);
    enqueue(&broker, &script("good", "echo y", "y"), &[]).await;
    server.command(&["HSET", "kubejudge:{default}:languages", "bad", "garbage"]);
    let runner = Runner::start(&server, "r1", &[]).await;
    reported(&broker, "good").await;
    until("it is buried", async || (broker.gauges().await.unwrap().dead == 1).then_some(())).await;
    until("it is announced all the same", async || broker.runners().await.unwrap().pop()).await;
    assert!(runner.log().contains("Some published Languages can't be read"));
}
