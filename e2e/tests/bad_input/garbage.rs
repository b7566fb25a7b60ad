//! Garbage in Redis, under programs that run: a miss or a dead letter, and the right verdict in the end.
use std::time::Duration;

use anyhow::ensure;
use e2e::{
    Setup, World,
    backlog::{key, until},
};
use serde_json::{Value, json};

use crate::{LONG, RIGHT, accepted, ids, language, object};

async fn job_keys(world: &World) -> Vec<String> {
    world.redis.command::<Vec<String>>(&["KEYS", &key("job:*")]).await.unwrap()
}

async fn set(world: &World, key: &str, field: &str, value: &str) {
    let new: u64 = world.redis.command(&["HSET", key, field, value]).await.unwrap();
    assert_eq!(new, 0, "{field} is no field of {key}");
}

async fn dead(world: &World) -> u64 {
    world.broker().await.unwrap().gauges().await.unwrap().dead
}

#[tokio::test]
async fn a_job_that_turned_to_garbage_is_buried_and_planned_anew() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let before = ids(&mut world);
    let fields =
        [("body", "garbage"), ("body", "{\"version\":99}"), ("body", ""), ("span", "x"), ("deliveries", "x")];
    for (number, (field, value)) in fields.into_iter().enumerate() {
        world.runners[0].program.pause().unwrap();
        let name = format!("a{number}");
        world.create(&object(&name, |_| {})).await.unwrap();
        let jobs = until("there: the job", async || {
            let jobs = job_keys(&world).await;
            ensure!(jobs.len() == 1, "{jobs:?}");
            Ok(jobs)
        });
        let jobs = jobs.await.unwrap();
        set(&world, &jobs[0], field, value).await;
        world.runners[0].program.resume().unwrap();
        accepted(&world, &name).await;
    }
    world.until_queue_is_empty().await.unwrap();
    assert!(dead(&world).await >= 3, "what could not be read is kept for people");
    assert_eq!(ids(&mut world), before);
}

#[tokio::test]
async fn a_report_that_turned_to_garbage_is_buried_and_the_job_judged_again() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let before = ids(&mut world);
    for (number, value) in ["garbage", "{\"version\":99}", ""].into_iter().enumerate() {
        let name = format!("a{number}");
        let slow = |spec: &mut Value| spec["source"]["inline"] = json!(format!("sleep 1; {RIGHT}"));
        world.create(&object(&name, slow)).await.unwrap();
        let broker = world.broker().await.unwrap();
        let in_flight = async |what: &str, holds: fn(&queue::broker::Gauges) -> bool| {
            until(what, async || {
                let gauges = broker.gauges().await?;
                ensure!(holds(&gauges), "{gauges:?}");
                Ok(())
            })
            .await
            .unwrap();
        };
        in_flight("leased", |gauges| gauges.leased == 1).await;
        world.operators[0].program.pause().unwrap();
        in_flight("reported", |gauges| gauges.reported == 1).await;
        let jobs = job_keys(&world).await;
        set(&world, &jobs[0], "report", value).await;
        world.operators[0].program.resume().unwrap();
        accepted(&world, &name).await;
    }
    world.until_queue_is_empty().await.unwrap();
    assert_eq!(dead(&world).await, 3);
    assert_eq!(ids(&mut world), before);
}

#[tokio::test]
async fn a_blob_that_turned_to_garbage_is_uploaded_again() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let before = ids(&mut world);
    for (number, value) in [Some("garbage"), Some(""), None].into_iter().enumerate() {
        world.runners[0].program.pause().unwrap();
        let name = format!("a{number}");
        let long = |spec: &mut Value| {
            spec["source"]["inline"] = json!(format!("# {name}{}\n{RIGHT}", "x".repeat(LONG)));
        };
        world.create(&object(&name, long)).await.unwrap();
        until("there: the job", async || {
            ensure!(job_keys(&world).await.len() == 1, "no job");
            Ok(())
        })
        .await
        .unwrap();
        let blobs: Vec<String> = world.redis.command(&["KEYS", &key("blob:*")]).await.unwrap();
        assert!(!blobs.is_empty());
        for blob in &blobs {
            match value {
                Some(value) => world.redis.command::<()>(&["SET", blob, value]).await.unwrap(),
                None => world.redis.command::<()>(&["DEL", blob]).await.unwrap(),
            }
        }
        world.runners[0].program.resume().unwrap();
        accepted(&world, &name).await;
        let status = world.finished(&name).await.unwrap().status.unwrap();
        assert_eq!(status.deliveries, Some(1), "a missing blob costs no delivery");
    }
    world.until_queue_is_empty().await.unwrap();
    let metrics = world.runners[0].program.metrics().await.unwrap();
    let missing = metrics.sum("kubejudge_runner_jobs_total", &[("outcome", "missing_blobs")]);
    assert_eq!(missing, Some(3.0));
    assert_eq!((dead(&world).await, ids(&mut world)), (0, before));
}

#[tokio::test]
async fn an_artifact_that_turned_to_garbage_is_compiled_again() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let copied = language("copied", |spec| {
        spec["compile"] = json!({
            "command": ["/bin/cp", "main.sh", "copy.sh"], "artifacts": ["copy.sh"],
            "limits": { "timeMilliseconds": 5000, "memoryBytes": 64 << 20, "outputBytes": 4096, "processes": 8, "diskBytes": 1 << 20 },
        });
        spec["run"]["command"] = json!(["/bin/sh", "copy.sh"]);
    });
    world.create(&copied).await.unwrap();
    let with = |name: &str| object(name, |spec| spec["language"] = json!("copied"));
    world.create(&with("first")).await.unwrap();
    accepted(&world, "first").await;
    let artifacts = until("shared: the artifact", async || {
        let keys: Vec<String> = world.redis.command(&["KEYS", &key("artifact:*")]).await?;
        ensure!(!keys.is_empty(), "no artifact");
        Ok(keys)
    });
    for artifact in artifacts.await.unwrap() {
        world.redis.command::<()>(&["SET", &artifact, "garbage"]).await.unwrap();
    }
    // Another runner, whose disk has no copy.
    world.runners[0].program.stop().await.unwrap();
    world.add_runner().await.unwrap();
    world.runners[1].program.until_ready().await.unwrap();
    world.create(&with("second")).await.unwrap();
    accepted(&world, "second").await;
    let metrics = world.runners[1].program.metrics().await.unwrap();
    assert_eq!(metrics.sum("kubejudge_runner_artifacts_total", &[("layer", "compiled")]), Some(1.0));
}

#[tokio::test]
async fn garbage_between_the_keys_hurts_nobody() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let before = ids(&mut world);
    let commands = [
        ["HSET", "job:garbage", "body", "garbage"],
        ["HSET", "subjects", "nobody", "no-slash"],
        ["HSET", "subjects", "somebody", "default/nothing"],
        ["SADD", "jobs:somebody", "no-such-job", "somebody/1/x/0"],
        ["ZADD", "leases", "1", "no-such-lease"],
        ["ZADD", "delayed", "1", "no-such-delay"],
        ["ZADD", "ready:normal:default", "0", "no-such-job"],
        ["ZADD", "turn:normal", "0", "no-such-namespace"],
        ["RPUSH", "news", "nobody", "\u{1}\u{2}"],
        ["RPUSH", "wake", "x", "y"],
        ["HSET", "languages", "garbage", "garbage"],
        ["HSET", "runners", "garbage", "garbage"],
        ["ZADD", "alive", "99999999999999999", "garbage"],
    ];
    for [command, name, rest @ ..] in commands {
        let key = key(name);
        let words = [&[command, &key][..], &rest[..]].concat();
        world.redis.command::<::redis::Value>(&words).await.unwrap();
    }
    for number in 0..5 {
        world.create(&object(&format!("a{number}"), |_| {})).await.unwrap();
    }
    for number in 0..5 {
        accepted(&world, &format!("a{number}")).await;
    }
    // Several audits later all stand, are ready and still judge.
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.until_ready().await.unwrap();
    world.create(&object("late", |_| {})).await.unwrap();
    accepted(&world, "late").await;
    assert_eq!(ids(&mut world), before);
}
