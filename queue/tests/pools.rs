//! Many pools in one Redis: apart from each other, over the same connections, and gone without a trace.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Server, enqueue, job, take};
use queue::broker::{Dissolved, Pool};
use queue::contract::{Blob, RunnerStatus};

fn pool(name: &str) -> Pool {
    name.parse().unwrap()
}

#[tokio::test]
async fn pools_share_connections_and_nothing_else() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    broker.check().await.unwrap();
    let connections = || {
        let list: String = redis::from_redis_value(server.command(&["CLIENT", "LIST"])).unwrap();
        list.lines().count()
    };
    let before = connections();
    let brokers: Vec<_> = (0..64).map(|n| broker.for_pool(&pool(&format!("judges.p{n}")))).collect();
    for broker in &brokers {
        enqueue(broker, &job("n", "u")).await;
    }
    for broker in &brokers {
        assert!(take(broker).await.is_some() && take(broker).await.is_none(), "one job each");
    }
    assert!(take(&broker).await.is_none());
    assert_eq!(connections(), before);
}

#[tokio::test]
async fn a_pool_is_dissolved_when_nobody_uses_it_and_leaves_nothing() {
    let server = Server::start(&[]);
    let (all, name) = (server.broker().await, pool("judges.gone"));
    let broker = all.for_pool(&name);
    broker.note_pool(&name).await.unwrap();
    let blobs: Vec<Blob> = (0..5_u8).map(|n| Blob::pack(&[n; 3])).collect();
    broker.enqueue(&job("n", "u"), &blobs, &common::ALLOWANCE).await.unwrap();
    broker.publish_language(&common::language()).await.unwrap();
    let status = RunnerStatus {
        name: "r".into(),
        release: "1".into(),
        slots: 1,
        jobs: 0,
        draining: false,
        languages: vec![],
        broken: vec![],
        surroundings: String::new(),
    };
    broker.announce(&status, Duration::from_mins(10)).await.unwrap();
    assert_eq!(broker.dissolve(3).await.unwrap(), Dissolved::Used, "it has a job");
    let delivery = take(&broker).await.unwrap();
    assert_eq!(broker.cancel("u").await.unwrap(), 1);
    assert_eq!(broker.dissolve(3).await.unwrap(), Dissolved::Used, "a runner holds the job yet");
    broker.hand_back(&delivery.job.id, delivery.fence).await.unwrap();
    assert_eq!(broker.dissolve(3).await.unwrap(), Dissolved::Used, "a runner is alive");
    broker.retire("r").await.unwrap();
    for expected in [Dissolved::More, Dissolved::More, Dissolved::Empty] {
        assert_eq!(broker.dissolve(3).await.unwrap(), expected);
    }
    assert_eq!(all.noted_pools().await.unwrap(), std::slice::from_ref(&name));
    all.forget_pool(&name).await.unwrap();
    // The answer of the last take is kept for half a minute.
    let left =
        server.number(&["EVAL", "return #redis.call('KEYS', '*') - #redis.call('KEYS', '*:take:*')", "0"]);
    assert_eq!(left, 0);
}
