//! A job's way through the queue, step by step, with everything that can be said twice said twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{ALLOWANCE, LEASE, Server, enqueue, job, key, report, take, test};
use queue::broker::{Enqueued, Held, Holding, JobState, Outcome, Reaped, Scope};
use queue::contract::{Blob, BlobRef};
use queue::{Broker, JobId, Payload};

async fn state(broker: &Broker, id: &JobId) -> Option<JobState> {
    let found = broker.lookup(std::slice::from_ref(&id.uid)).await.unwrap();
    found[0].iter().find(|record| record.id == *id).map(|record| record.state.clone())
}

#[tokio::test]
async fn a_job_is_queued_taken_and_reported_once() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let mut waiter = broker.waiter();
    broker.check().await.unwrap();
    let mut job = job("n", "u");
    job.tests = vec![test(0), test(1)];
    job.span.count = 2;
    assert_eq!(broker.enqueue(&job, &[], &ALLOWANCE).await.unwrap(), Enqueued::Queued);
    assert_eq!(broker.enqueue(&job, &[], &ALLOWANCE).await.unwrap(), Enqueued::Known);
    assert!(waiter.work(Duration::from_secs(20)).await.unwrap());
    let delivery = take(&broker).await.unwrap();
    assert_eq!((&delivery.job, delivery.deliveries), (&job, 1));
    assert!(delivery.fence.0 > 1_600_000_000_000_000, "{:?}", delivery.fence);
    assert_eq!(take(&broker).await, None);
    let held = Held { id: job.id.clone(), fence: delivery.fence, phase: crds::Phase::Compiling };
    assert_eq!(broker.extend(&[held], LEASE).await.unwrap(), [Holding::Held]);
    let record = broker.lookup(&["x".into(), "u".into()]).await.unwrap().remove(1).remove(0);
    assert_eq!(
        (record.state, record.phase, record.span),
        (JobState::Leased, Some(crds::Phase::Compiling), job.span)
    );
    assert!(record.first_taken.unwrap() >= record.queued);
    assert_eq!(broker.report(&job.id, delivery.fence, &report("a")).await.unwrap(), Outcome::Done);
    assert_eq!(broker.report(&job.id, delivery.fence, &report("b")).await.unwrap(), Outcome::Done);
    assert_eq!(waiter.news(Duration::from_secs(20), 10).await.unwrap(), ["u"]);
    let collected = broker.collect("u").await.unwrap().remove(0);
    assert_eq!(collected.record.state, JobState::Reported);
    assert_eq!(collected.report.unwrap().unwrap(), report("a"));
    assert_eq!(broker.enqueue(&job, &[], &ALLOWANCE).await.unwrap(), Enqueued::Known);
    let (subjects, cursor) = broker.subjects(0, 10).await.unwrap();
    assert_eq!((subjects[0].name.as_str(), subjects[0].namespace.as_str(), cursor), ("name-of-u", "n", 0));
    broker.forget("u", 0).await.unwrap();
    assert_eq!(broker.gauges().await.unwrap().reported, 1);
    broker.forget("u", 1).await.unwrap();
    assert!(broker.collect("u").await.unwrap().is_empty());
    assert!(broker.subjects(0, 10).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_job_handed_back_keeps_its_place_and_counts_nothing() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let (first, second) = (job("n", "a"), job("n", "b"));
    enqueue(&broker, &first).await;
    enqueue(&broker, &second).await;
    let delivery = take(&broker).await.unwrap();
    assert_eq!(delivery.job.id, first.id);
    for _ in 0..2 {
        assert_eq!(broker.hand_back(&first.id, delivery.fence).await.unwrap(), Outcome::Done);
    }
    let again = take(&broker).await.unwrap();
    assert_eq!((&again.job.id, again.deliveries), (&first.id, 1));
    assert!(again.fence > delivery.fence);
    assert_eq!(broker.report(&first.id, delivery.fence, &report("late")).await.unwrap(), Outcome::Stale);
    assert_eq!(broker.report(&first.id, again.fence, &report("r")).await.unwrap(), Outcome::Done);
}

#[tokio::test]
async fn a_job_whose_blobs_are_gone_waits_for_them() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let (payload, blob) = Payload::of(&"text".repeat(5000));
    let blob = blob.unwrap();
    let mut job = job("n", "u");
    job.source = payload;
    let blobs = [blob.clone()];
    assert_eq!(broker.enqueue(&job, &blobs, &ALLOWANCE).await.unwrap(), Enqueued::Queued);
    let text = "text".repeat(5000).into_bytes();
    assert_eq!(broker.blobs(&[blob.name]).await.unwrap(), [Some(text.clone())]);
    server.command(&["SET", &key(&format!("blob:{}", blob.name.hash)), "garbage"]);
    let other = Blob::pack(b"other").name;
    assert_eq!(broker.blobs(&[other, blob.name]).await.unwrap(), [None, None]);
    assert_eq!(server.number(&["EXISTS", &key(&format!("blob:{}", blob.name.hash))]), 0);
    assert_eq!(broker.gauges().await.unwrap().cached_bytes, 0);
    let delivery = take(&broker).await.unwrap();
    let missing = [blob.name.hash, other.hash];
    for _ in 0..2 {
        assert_eq!(broker.missing(&job.id, delivery.fence, &missing).await.unwrap(), Outcome::Done);
    }
    assert_eq!(state(&broker, &job.id).await, Some(JobState::Blocked(missing.to_vec())));
    assert_eq!(take(&broker).await, None);
    assert_eq!(broker.waiter().news(Duration::from_secs(20), 10).await.unwrap(), ["u"]);
    for _ in 0..2 {
        broker.supply(&job.id, &blobs).await.unwrap();
    }
    assert_eq!(broker.blobs(&[blob.name]).await.unwrap(), [Some(text)]);
    assert_eq!(take(&broker).await.unwrap().deliveries, 1);
}

#[tokio::test]
async fn deliveries_that_come_to_nothing_are_counted_and_end() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let job = job("n", "u");
    let allowance = queue::broker::Allowance {
        deliveries: 2,
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(1),
        ..ALLOWANCE
    };
    broker.enqueue(&job, &[], &allowance).await.unwrap();
    let first = take(&broker).await.unwrap();
    for _ in 0..2 {
        assert_eq!(broker.retry(&job.id, first.fence, "no disk").await.unwrap(), Outcome::Done);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = broker.take("r", Duration::from_millis(1)).await.unwrap().unwrap();
    assert_eq!(second.deliveries, 2);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(broker.reap(10).await.unwrap(), Reaped { expired: 1, lost: 1, woken: 0 });
    let Some(JobState::Lost(reason)) = state(&broker, &job.id).await else { panic!() };
    assert_eq!(reason, "the runner did not extend its lease in time");
    assert_eq!(broker.waiter().news(Duration::from_secs(20), 10).await.unwrap(), ["u"]);
    assert_eq!(broker.report(&job.id, second.fence, &report("late")).await.unwrap(), Outcome::Stale);
}

#[tokio::test]
async fn what_is_cancelled_goes_or_is_told() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let (mut a, mut b) = (job("n", "u"), job("n", "u"));
    b.id.batch = 1;
    enqueue(&broker, &a).await;
    enqueue(&broker, &b).await;
    let delivery = take(&broker).await.unwrap();
    assert_eq!(broker.cancel("u").await.unwrap(), 2);
    assert_eq!(state(&broker, &a.id).await, Some(JobState::Cancelling));
    assert_eq!(state(&broker, &b.id).await, None);
    let held = Held { id: a.id.clone(), fence: delivery.fence, phase: crds::Phase::Running };
    assert_eq!(broker.extend(&[held], LEASE).await.unwrap(), [Holding::Cancelled]);
    assert_eq!(broker.report(&a.id, delivery.fence, &report("r")).await.unwrap(), Outcome::Stale);
    assert_eq!(state(&broker, &a.id).await, None);
    // Another judging cancels the one before, and forgetting that one leaves the new one.
    enqueue(&broker, &a).await;
    let old = take(&broker).await.unwrap();
    a.id.judging = 2;
    enqueue(&broker, &a).await;
    assert_eq!(broker.hand_back(&old.job.id, old.fence).await.unwrap(), Outcome::Done);
    broker.forget("u", 1).await.unwrap();
    assert_eq!(take(&broker).await.unwrap().job.id, a.id);
}

#[tokio::test]
async fn depth_is_bounded_by_pool_and_namespace() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let allowance = queue::broker::Allowance { pool: 3, namespace: 2, ..ALLOWANCE };
    for (namespace, uid, expected) in [
        ("a", "1", Enqueued::Queued),
        ("a", "2", Enqueued::Queued),
        ("a", "3", Enqueued::Full(Scope::Namespace)),
        ("b", "4", Enqueued::Queued),
        ("c", "5", Enqueued::Full(Scope::Pool)),
    ] {
        assert_eq!(broker.enqueue(&job(namespace, uid), &[], &allowance).await.unwrap(), expected, "{uid}");
    }
    take(&broker).await.unwrap();
    assert_eq!(broker.enqueue(&job("a", "3"), &[], &allowance).await.unwrap(), Enqueued::Queued);
    let gauges = broker.gauges().await.unwrap();
    assert_eq!(gauges.waiting.iter().map(|(_, n)| n).sum::<u64>(), 3);
    assert_eq!((gauges.leased, gauges.reported), (1, 0));
}

#[tokio::test]
async fn runners_and_languages_come_and_go() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let status = |name: &str| queue::RunnerStatus {
        name: name.into(),
        release: "1".into(),
        slots: 1,
        jobs: 0,
        draining: false,
        languages: vec![],
        broken: vec![],
        surroundings: String::new(),
    };
    for (name, ttl) in [("a", 60_000), ("b", 60_000), ("c", 1)] {
        broker.announce(&status(name), Duration::from_millis(ttl)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    broker.retire("b").await.unwrap();
    server.command(&["HSET", &key("runners"), "d", "garbage"]);
    server.command(&["ZADD", &key("alive"), "9e15", "d"]);
    server.command(&["ZADD", &key("alive"), "9e15", "e"]);
    assert_eq!(broker.runners().await.unwrap(), [status("a")]);
    assert_eq!(server.number(&["HLEN", &key("runners")]), 2);
    broker.publish_language(&common::language()).await.unwrap();
    server.command(&["HSET", &key("languages"), "bad", "garbage"]);
    assert_eq!(broker.languages().await.unwrap(), (vec![common::language()], 1));
    broker.withdraw_language("cat").await.unwrap();
    broker.withdraw_language("bad").await.unwrap();
    assert_eq!(broker.languages().await.unwrap(), (vec![], 0));
    let unnamed: [BlobRef; 0] = [];
    assert!(broker.blobs(&unnamed).await.unwrap().is_empty());
}
