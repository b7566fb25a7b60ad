//! A runner that can't work says why, and takes nothing.

use std::fs;

use queue::broker::JobState;

use crate::jobs::{c, compiled, script};
use crate::runner::Runner;
use crate::server::{Server, enqueue, reported, the_job, until};

async fn not_ready(runner: &Runner, words: &str) {
    until(words, async || {
        let answer = runner.get("/readyz");
        (answer.starts_with("HTTP/1.1 503") && answer.contains(words)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_may_throw_jobs_away_is_not_used() {
    let server = Server::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let broker = server.broker().await;
    enqueue(&broker, &script("u1", "echo y", "y"), &[]).await;
    let runner = Runner::start(&server, "r1", &[]).await;
    not_ready(&runner, "redis: Redis has maxmemory-policy allkeys-lru; set it to noeviction").await;
    assert_eq!(the_job(&broker, "u1").await.unwrap().record.state, JobState::Waiting);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    reported(&broker, "u1").await;
    until("it is ready", async || runner.get("/readyz").starts_with("HTTP/1.1 200").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_read_from_a_file_and_a_wrong_one_is_named() {
    let server = Server::with_password("right");
    let broker = server.broker().await;
    enqueue(&broker, &script("u1", "echo y", "y"), &[]).await;
    let file = |content: &str| {
        let path = server.folder().join(content.trim());
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let without = Runner::start(&server, "without", &[]).await;
    not_ready(&without, "redis: Redis refused: ").await;
    let wrong = Runner::start(&server, "wrong", &["--redis-password-file", &file("wrong")]).await;
    not_ready(&wrong, "redis: Redis refused: ").await;
    assert!(!wrong.get("/readyz").contains("wrong"), "{}", wrong.get("/readyz"));
    assert_eq!(the_job(&broker, "u1").await.unwrap().record.state, JobState::Waiting);
    let _right = Runner::start(&server, "right-one", &["--redis-password-file", &file("right\n")]).await;
    reported(&broker, "u1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_waited_for() {
    let mut server = Server::start(&[]);
    server.down();
    let runner = Runner::start(&server, "r1", &[]).await;
    not_ready(&runner, "redis: Redis does not answer: ").await;
    server.up();
    let broker = server.broker().await;
    enqueue(&broker, &script("u1", "echo y", "y"), &[]).await;
    reported(&broker, "u1").await;
    assert!(runner.metric("redis_errors_total{category=\"unreachable\"}") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_says_which_languages_it_has() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    for language in [c(), compiled("gone", &["/nonexistent/cc"], &["./main"])] {
        broker.publish_language(&language).await.unwrap();
    }
    let _runner = Runner::start(&server, "r1", &["--slots", "3"]).await;
    let status = until("it is announced", async || broker.runners().await.unwrap().pop()).await;
    assert_eq!((status.name.as_str(), status.slots, status.draining), ("r1", 3, false));
    assert_eq!(status.languages, ["c"]);
    assert_eq!(status.broken[0].name, "gone");
    assert!(status.broken[0].reason.contains("/nonexistent/cc"), "{status:?}");
    assert!(status.surroundings.contains("memory"), "{status:?}");
}
