//! What happens when Redis, its data, the connection or what is stored goes bad under a live broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::{Duration, Instant};

use common::{ALLOWANCE, LEASE, PATIENCE, Server, body, enqueue, job, key, report, take};
use queue::broker::{Enqueued, JobState, Outcome, Unfit};
use queue::{Broker, BrokerError};

/// Until Redis can be reached again, at most [`PATIENCE`].
async fn back(broker: &Broker) {
    let start = Instant::now();
    while let Err(error) = broker.gauges().await {
        assert!(start.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn redis_restarts_without_its_data() {
    let mut server = Server::start(&[]);
    let broker = server.broker().await;
    let mut waiter = broker.waiter();
    let job = job("n", "u");
    enqueue(&broker, &job).await;
    let before = take(&broker).await.unwrap();
    assert!(waiter.work(Duration::from_secs(20)).await.unwrap());
    server.down();
    let start = Instant::now();
    let error = broker.gauges().await.unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
    assert!(start.elapsed() < PATIENCE);
    assert!(waiter.work(Duration::from_secs(1)).await.is_err());
    server.up();
    back(&broker).await;
    assert!(broker.collect("u").await.unwrap().is_empty());
    assert_eq!(broker.report(&job.id, before.fence, &report("r")).await.unwrap(), Outcome::Stale);
    enqueue(&broker, &job).await;
    let after = take(&broker).await.unwrap();
    assert!(after.fence > before.fence, "an old fence came back");
    assert_eq!(broker.report(&job.id, before.fence, &report("old")).await.unwrap(), Outcome::Stale);
    assert_eq!(broker.report(&job.id, after.fence, &report("new")).await.unwrap(), Outcome::Done);
    assert_eq!(waiter.news(Duration::from_secs(20), 5).await.unwrap(), ["u"]);
}

#[tokio::test]
async fn redis_restarts_with_its_data() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let broker = server.broker().await;
    let job = job("n", "u");
    enqueue(&broker, &job).await;
    let delivery = take(&broker).await.unwrap();
    server.down();
    server.up();
    // The first call after the loss goes through by itself.
    assert_eq!(broker.report(&job.id, delivery.fence, &report("r")).await.unwrap(), Outcome::Done);
    assert_eq!(broker.collect("u").await.unwrap()[0].record.state, JobState::Reported);
}

#[tokio::test]
async fn a_lost_connection_and_forgotten_functions_go_unnoticed() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    for n in 0..5 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        server.command(&["SCRIPT", "FLUSH"]);
        let job = job("n", &n.to_string());
        enqueue(&broker, &job).await;
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        let delivery = take(&broker).await.unwrap();
        server.command(&["SCRIPT", "FLUSH"]);
        assert_eq!(broker.report(&job.id, delivery.fence, &report("r")).await.unwrap(), Outcome::Done);
    }
    server.command(&["FLUSHALL"]);
    assert_eq!(take(&broker).await, None);
}

#[tokio::test]
async fn a_silent_redis_is_an_error_in_time_and_heals() {
    let server = Server::start(&[]);
    let mut options = server.options("default");
    options.response_timeout = Duration::from_millis(300);
    let broker = Broker::connect(options).await.unwrap();
    back(&broker).await;
    server.command(&["CLIENT", "PAUSE", "3000", "WRITE"]);
    let error = broker.enqueue(&job("n", "u"), &[], &ALLOWANCE).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
    server.command(&["CLIENT", "UNPAUSE"]);
    back(&broker).await;
    // It may have been done though nobody heard of it.
    let again = broker.enqueue(&job("n", "u"), &[], &ALLOWANCE).await.unwrap();
    assert!(matches!(again, Enqueued::Known | Enqueued::Queued));
    assert_eq!(take(&broker).await.unwrap().deliveries, 1);
    assert_eq!(take(&broker).await, None);
}

#[tokio::test]
async fn a_waiter_waits_longer_than_a_command_may_take() {
    let server = Server::start(&[]);
    let mut options = server.options("default");
    options.response_timeout = Duration::from_millis(500);
    let broker = Broker::connect(options).await.unwrap();
    let mut waiter = broker.waiter();
    let start = Instant::now();
    assert!(!waiter.work(Duration::from_millis(1500)).await.unwrap());
    assert!(start.elapsed() >= Duration::from_millis(1400));
    assert!(waiter.news(Duration::ZERO, 10).await.unwrap().is_empty());
    let waiting = tokio::spawn(async move { waiter.work(PATIENCE).await });
    enqueue(&broker, &job("n", "u")).await;
    assert!(waiting.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_waiter_that_was_dropped_takes_nothing_with_it() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let mut waiter = broker.waiter();
    assert!(tokio::time::timeout(Duration::from_millis(100), waiter.work(PATIENCE)).await.is_err());
    let start = Instant::now();
    let blocked = || {
        let info: String = redis::from_redis_value(server.command(&["INFO", "clients"])).unwrap();
        !info.contains("blocked_clients:0")
    };
    while blocked() {
        assert!(start.elapsed() < PATIENCE, "the wait goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    enqueue(&broker, &job("n", "u")).await;
    assert!(waiter.work(PATIENCE).await.unwrap());
}

#[tokio::test]
async fn redis_comes_after_us() {
    let mut server = Server::start(&[]);
    server.down();
    let broker = server.broker().await;
    let error = broker.check().await.unwrap_err();
    assert!(matches!(error, Unfit::Broker(BrokerError::Unreachable(_))), "{error:?}");
    server.up();
    broker.check().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_throws_jobs_away_is_refused() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"]);
    let error = server.broker().await.check().await.unwrap_err();
    assert!(matches!(&error, Unfit::Policy(policy) if policy == "allkeys-lru"), "{error:?}");
}

#[tokio::test]
async fn a_full_redis_refuses_and_loses_nothing() {
    let server = Server::start(&["--maxmemory", "100mb"]);
    let broker = server.broker().await;
    enqueue(&broker, &job("n", "a")).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let error = broker.enqueue(&job("n", "b"), &[], &ALLOWANCE).await.unwrap_err();
    assert!(matches!(&error, BrokerError::Refused(_)) && error.to_string().contains("OOM"), "{error}");
    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    assert_eq!(take(&broker).await.unwrap().job.id.uid, "a");
    assert_eq!(take(&broker).await, None);
    assert_eq!(broker.gauges().await.unwrap().waiting.iter().map(|(_, n)| n).sum::<u64>(), 0);
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_buried_and_the_next_one_taken() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let jobs = ["a", "b", "c", "d"].map(|uid| job("n", uid));
    for job in &jobs {
        enqueue(&broker, job).await;
    }
    let name = |n: usize| key(&format!("job:{}", jobs[n].id));
    server.command(&["HSET", &name(0), "body", "garbage"]);
    server.command(&["HSET", &name(1), "body", std::str::from_utf8(&body(&jobs[3])).unwrap()]);
    server.command(&["DEL", &name(2)]);
    assert_eq!(take(&broker).await.unwrap().job, jobs[3]);
    assert_eq!(take(&broker).await, None);
    assert_eq!(broker.waiter().news(PATIENCE, 10).await.unwrap(), ["a", "b"]);
    assert_eq!(broker.gauges().await.unwrap().dead, 2);
    for uid in ["a", "b", "c"] {
        assert!(broker.collect(uid).await.unwrap().is_empty());
    }
    let (subjects, _) = broker.subjects(0, 100).await.unwrap();
    assert_eq!(subjects.len(), 1, "{subjects:?}");
}

#[tokio::test]
async fn a_report_that_cannot_be_read_is_said_and_can_be_buried() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let job = job("n", "u");
    enqueue(&broker, &job).await;
    let delivery = take(&broker).await.unwrap();
    broker.report(&job.id, delivery.fence, &report("r")).await.unwrap();
    let name = key(&format!("job:{}", job.id));
    server.command(&["HSET", &name, "report", "garbage"]);
    let collected = broker.collect("u").await.unwrap().remove(0);
    let error = collected.report.unwrap().unwrap_err();
    broker.bury(&job.id, &error.to_string()).await.unwrap();
    assert!(broker.collect("u").await.unwrap().is_empty());
    let letters: Vec<String> =
        redis::from_redis_value(server.command(&["LRANGE", &key("dead"), "0", "-1"])).unwrap();
    let (head, copy) = letters[0].split_once('\n').unwrap();
    assert!(head.contains(&format!(" report {} an unreadable job report", job.id)), "{head}");
    assert_eq!(copy, "garbage");
    enqueue(&broker, &job).await;
}

#[tokio::test]
async fn garbage_in_a_jobs_fields_breaks_nothing_else() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let (good, bad) = (job("n", "good"), job("n", "bad"));
    for field in
        ["state", "span", "deliveries", "fence", "priority", "cost", "allowed", "queued", "first_delay"]
    {
        server.command(&["FLUSHALL"]);
        enqueue(&broker, &bad).await;
        enqueue(&broker, &good).await;
        server.command(&["HSET", &key(&format!("job:{}", bad.id)), field, "nonsense"]);
        let found = broker.lookup(&["bad".into(), "good".into()]).await.unwrap();
        assert_eq!(found[1].len(), 1, "{field}");
        let mut uids = Vec::new();
        while let Some(delivery) = take(&broker).await {
            uids.push(delivery.job.id.uid);
        }
        assert!(uids.contains(&"good".to_owned()), "{field}: {uids:?}");
        broker.reap(100).await.unwrap();
        // It runs all the same, or it is forgotten and can be enqueued anew.
        let again = broker.enqueue(&bad, &[], &ALLOWANCE).await.unwrap();
        let ran = uids.contains(&"bad".to_owned());
        assert_eq!(again, if ran { Enqueued::Known } else { Enqueued::Queued }, "{field}");
        assert_eq!(broker.lookup(&["bad".into()]).await.unwrap()[0].len(), 1, "{field}");
        broker.cancel("bad").await.unwrap();
        broker.cancel("good").await.unwrap();
        let depth = broker.gauges().await.unwrap().waiting.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!((depth, server.number(&["HLEN", &key("depth")])), (0, 0), "{field}");
    }
}

/// Takes and reports until `count` jobs are reported, whatever happens to the connection.
async fn work(broker: Broker, name: String, count: u64) -> Vec<String> {
    let mut done = Vec::new();
    let start = Instant::now();
    while broker.gauges().await.map_or(0, |gauges| gauges.reported) < count {
        assert!(start.elapsed() < PATIENCE, "{name} waits for ever");
        let Ok(Some(delivery)) = broker.take(&name, Duration::from_secs(5)).await else { continue };
        let (id, fence) = (delivery.job.id, delivery.fence);
        let outcome = loop {
            if let Ok(outcome) = broker.report(&id, fence, &report(&name)).await {
                break outcome;
            }
        };
        done.extend((outcome == Outcome::Done).then_some(id.uid));
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runners_on_a_bad_line_do_each_job_once() {
    let server = Server::start(&[]);
    let operator = server.broker().await;
    let mut runners = Vec::new();
    for n in 0..4 {
        runners.push(tokio::spawn(work(server.broker().await, format!("r{n}"), 400)));
    }
    for n in 0..400_u32 {
        if n.is_multiple_of(20) {
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        let job = job(["a", "b", "c"][n as usize % 3], &format!("u{n}"));
        while operator.enqueue(&job, &[], &ALLOWANCE).await.is_err() {}
    }
    let mut done = Vec::new();
    for runner in runners {
        done.extend(runner.await.unwrap());
    }
    done.sort();
    assert_eq!(done.len(), 400);
    done.dedup();
    assert_eq!(done.len(), 400, "reported twice");
}

#[tokio::test]
async fn lists_are_bounded() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let mut large = job("n", "u");
    large.tests[0].name = "x".repeat(1 << 20);
    enqueue(&broker, &large).await;
    let name = key(&format!("job:{}", large.id));
    server.command(&["HSET", &name, "report", &"x".repeat(1 << 20)]);
    broker.bury(&large.id, &"y".repeat(5000)).await.unwrap();
    assert!(server.number(&["EVAL", "return #redis.call('LINDEX', KEYS[1], 0)", "1", &key("dead")]) < 70_000);
    let fill = "for n = 1, 100000 do redis.call('RPUSH', KEYS[1], 'x') end return 1";
    for list in ["dead", "news", "wake"] {
        server.command(&["EVAL", fill, "1", &key(list)]);
    }
    enqueue(&broker, &large).await;
    broker.bury(&large.id, "again").await.unwrap();
    assert_eq!(server.number(&["LLEN", &key("dead")]), 1000);
    assert!(server.number(&["LLEN", &key("news")]) <= 100_001);
    let lengths = server.number(&["LLEN", &key("wake")]);
    enqueue(&broker, &large).await;
    assert_eq!(server.number(&["LLEN", &key("wake")]), lengths);
    assert_eq!(broker.take("r", LEASE).await.unwrap().unwrap().job, large);
}
