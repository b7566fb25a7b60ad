//! What a test sees of the queue, and how it waits for something that it can ask for.
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use queue::{
    Broker,
    broker::{Gauges, Options},
};

use crate::{RedisServer, World, process::POLL, world::WITHIN};

/// The pool that programs use unless told otherwise.
pub const POOL: &str = "default";
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

impl World {
    /// A broker of the test's own, straight to Redis.
    pub async fn broker(&self) -> anyhow::Result<Broker> {
        broker(&self.redis).await
    }

    /// Waits until Redis knows of no job, no report and no Submission.
    pub async fn until_queue_is_empty(&self) -> anyhow::Result<()> {
        let broker = self.broker().await?;
        until("empty: the queue", async || {
            let (gauges, (subjects, _)) = (broker.gauges().await?, broker.subjects(0, 1000).await?);
            if jobs(&gauges) == 0 && subjects.is_empty() {
                return Ok(());
            }
            bail!("{gauges:?}, {subjects:?}")
        })
        .await
    }
}

/// A broker for the pool [`POOL`] of `redis`.
pub async fn broker(redis: &RedisServer) -> anyhow::Result<Broker> {
    let options = Options {
        url: redis.url(),
        password: redis.password().map(str::to_owned),
        authorities: None,
        pool: POOL.parse()?,
        connect_timeout: ANSWER_WITHIN,
        response_timeout: ANSWER_WITHIN,
        cache_bytes: 1 << 30,
    };
    Ok(Broker::connect(options).await?)
}

/// A key of the pool [`POOL`].
pub fn key(name: &str) -> String {
    format!("kubejudge:{{{POOL}}}:{name}")
}

/// Jobs in any state.
pub fn jobs(gauges: &Gauges) -> u64 {
    let waiting: u64 = gauges.waiting.iter().map(|(_, jobs)| jobs).sum();
    waiting + gauges.delayed + gauges.leased + gauges.blocked + gauges.reported
}

/// Waits until `holds` gives something but an error, and gives that. `what` says to people what is waited for.
pub async fn until<T>(what: &str, holds: impl AsyncFn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    until_within(WITHIN, what, holds).await
}

/// The same with a time of its own.
pub async fn until_within<T>(
    within: Duration,
    what: &str,
    holds: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match holds().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("not {what} within {within:?}"));
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}
