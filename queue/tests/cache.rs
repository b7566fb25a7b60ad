//! The cache of blobs and artifacts: bounded, checked, and the least valuable goes first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::{Duration, Instant};

use common::{ALLOWANCE, PATIENCE, Server, enqueue, job, key};
use queue::broker::{ArtifactLock, Options};
use queue::contract::Blob;
use queue::{Broker, BrokerError};

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

async fn small(server: &Server, cache_bytes: u64) -> Broker {
    Broker::connect(Options { cache_bytes, ..server.options("default") }).await.unwrap()
}

/// What the values take in truth.
fn stored(server: &Server) -> i64 {
    let sum = "local sum = 0 for _, key in ipairs(redis.call('KEYS', '*')) do if key:find('blob:') or key:find('artifact:') \
        then sum = sum + redis.call('STRLEN', key) end end return sum";
    server.number(&["EVAL", sum, "0"])
}

#[tokio::test]
async fn the_cache_keeps_its_bound_and_what_is_used_or_costly() {
    let server = Server::start(&[]);
    let broker = small(&server, 100_000).await;
    broker.keep_artifact("costly", &noise(0, 5000), Duration::from_secs(100)).await.unwrap();
    broker.keep_artifact("used", &noise(1, 5000), Duration::from_secs(1)).await.unwrap();
    for n in 2..200 {
        broker.keep_artifact(&n.to_string(), &noise(n, 5000), Duration::from_secs(1)).await.unwrap();
        assert_eq!(broker.artifact("used").await.unwrap().unwrap(), noise(1, 5000), "{n}");
        assert!(stored(&server) <= 100_000);
    }
    assert!(broker.artifact("costly").await.unwrap().is_some());
    assert!(broker.artifact("199").await.unwrap().is_some());
    assert_eq!(broker.artifact("2").await.unwrap(), None);
    let gauges = broker.gauges().await.unwrap();
    assert_eq!(i64::try_from(gauges.cached_bytes).unwrap(), stored(&server));
    assert_eq!(gauges.evicted, 200 - 19);
    // A costly entry that nobody asks for goes in the end.
    for n in 1000..4000 {
        broker.keep_artifact(&n.to_string(), &noise(n, 5000), Duration::from_secs(1)).await.unwrap();
    }
    assert_eq!(broker.artifact("costly").await.unwrap(), None);
}

#[tokio::test]
async fn what_does_not_fit_at_all_is_said() {
    let server = Server::start(&[]);
    let broker = small(&server, 10_000).await;
    broker.keep_artifact("a", &noise(1, 5000), Duration::from_secs(1)).await.unwrap();
    broker.keep_artifact("large", &noise(0, 20_000), Duration::from_secs(1)).await.unwrap();
    assert_eq!(broker.artifact("large").await.unwrap(), None);
    assert!(broker.artifact("a").await.unwrap().is_some());
    let blob = Blob::pack(&noise(2, 20_000));
    let error = broker.enqueue(&job("n", "u"), &[blob], &ALLOWANCE).await.unwrap_err();
    assert!(matches!(error, BrokerError::Cache { bytes: 20_001, bound: 10_000 }), "{error}");
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_sent_again_and_kept_by_use() {
    let server = Server::start(&[]);
    let broker = small(&server, 64 << 20).await;
    let blobs: Vec<_> = (0..300).map(|n| Blob::pack(&noise(n, 100_000))).collect();
    broker.enqueue(&job("n", "u"), &blobs, &ALLOWANCE).await.unwrap();
    let names: Vec<_> = blobs.iter().map(|blob| blob.name).collect();
    let contents = broker.blobs(&names).await.unwrap();
    assert!(
        contents
            .iter()
            .enumerate()
            .all(|(n, content)| content.as_ref().unwrap() == &noise(n as u64, 100_000))
    );
    let received = || {
        let info: String = redis::from_redis_value(server.command(&["INFO", "stats"])).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:")).unwrap();
        line.parse::<u64>().unwrap()
    };
    let before = received();
    let mut second = job("n", "u");
    second.id.judging = 2;
    broker.enqueue(&second, &blobs, &ALLOWANCE).await.unwrap();
    assert!(received() - before < 1_000_000);
}

#[tokio::test]
async fn a_damaged_artifact_is_gone_and_can_be_kept_anew() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    for garbage in ["", "garbage", &"é".repeat(100), &"0".repeat(200)] {
        broker.keep_artifact("k", b"artifact", Duration::from_secs(1)).await.unwrap();
        assert_eq!(broker.artifact("k").await.unwrap().unwrap(), b"artifact");
        server.command(&["SET", &key("artifact:k"), garbage]);
        assert_eq!(broker.artifact("k").await.unwrap(), None);
        assert_eq!(broker.gauges().await.unwrap().cached_bytes, 0);
    }
    let content = noise(7, 3 << 20);
    broker.keep_artifact("k", &content, Duration::from_secs(1)).await.unwrap();
    assert_eq!(broker.artifact("k").await.unwrap().unwrap(), content);
}

#[tokio::test]
async fn one_holder_compiles_until_it_lets_go_or_time_is_up() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let long = Duration::from_mins(10);
    let lock = async |holder: &str, ttl| broker.lock_artifact("k", holder, ttl).await.unwrap();
    assert_eq!(lock("a", long).await, ArtifactLock::Ours);
    assert_eq!(lock("b", long).await, ArtifactLock::Theirs);
    assert_eq!(lock("a", long).await, ArtifactLock::Ours);
    broker.unlock_artifact("k", "b").await.unwrap();
    assert_eq!(lock("b", long).await, ArtifactLock::Theirs);
    assert_eq!(lock("a", Duration::from_millis(1)).await, ArtifactLock::Ours);
    let start = Instant::now();
    while lock("b", long).await == ArtifactLock::Theirs {
        assert!(start.elapsed() < PATIENCE);
    }
    broker.unlock_artifact("k", "b").await.unwrap();
    assert_eq!(lock("c", long).await, ArtifactLock::Ours);
    enqueue(&broker, &job("n", "u")).await;
}
