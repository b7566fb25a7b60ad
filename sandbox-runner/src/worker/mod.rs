//! `worker`: takes jobs from the queue, judges them and reports; hands back what it can't finish in time.
//!
//! ```text
//!  intake ── Delivery ──> job: blobs ──> plan ──> judge (a blocking thread) ──> decide ──> deliver
//!                          │                        │                                        │
//!                        leases <── heartbeat     remote: artifacts shared over Redis     report, retry,
//!                          │                                                              hand back, missing
//!  ready, announce        drain: at the end, all leases go back
//! ```
//!
//! Threads: two for the runtime, one for each job that is held, and one more for each slot.

mod announce;
mod backoff;
mod config;
mod decide;
mod deliver;
mod drain;
mod heartbeat;
mod intake;
mod job;
mod leases;
mod metrics;
mod ready;
mod remote;
mod selftest;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use queue::{Broker, BrokerError};
use sandbox::Engine;
use telemetry::{Health, ServeError};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use config::{Config, Machine, Stop};

use crate::compile::Compiler;
use crate::judge::Judge;
use crate::store::Layers;
use leases::Leases;
use metrics::Metrics;
use ready::Ready;
use remote::RedisStore;

/// Why the worker could not start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The queue can't be used as it was described.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Health and metrics can't be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// What all tasks share.
struct Worker {
    name: String,
    broker: Broker,
    judge: Judge,
    engine: Arc<dyn Engine>,
    toolchain: std::path::PathBuf,
    slots: usize,
    jobs: usize,
    lease: Duration,
    grace: Duration,
    leases: Arc<Leases>,
    ready: Ready,
    metrics: Arc<Metrics>,
}

/// Works until told to stop, then hands back or finishes what it holds. Health and metrics are served on `listener`.
pub async fn run(
    config: Config,
    machine: Machine,
    listener: TcpListener,
    stop: watch::Receiver<Stop>,
) -> Result<(), WorkerError> {
    let health = Health::default();
    let mut registry = Registry::with_prefix("kubejudge_runner");
    let worker = Arc::new(Worker::new(config, machine, &health, &mut registry).await?);
    let mut background = JoinSet::new();
    background.spawn(ready::watch_redis(Arc::clone(&worker)));
    background.spawn(ready::watch_box(Arc::clone(&worker)));
    background.spawn(heartbeat::run(Arc::clone(&worker)));
    let announcing = tokio::spawn(announce::run(Arc::clone(&worker), stop.clone()));
    tokio::select! {
        served = telemetry::serve(listener, health.clone(), registry) => served?,
        () = async {
            let mut jobs = intake::run(&worker, stop.clone()).await;
            health.stop();
            tracing::info!(jobs = worker.leases.count(), "Told to stop; taking no more jobs.");
            drain::run(&worker, stop, &mut jobs).await;
        } => {}
    }
    announcing.abort();
    announcing.await.ok(); // it was aborted
    if let Err(error) = worker.broker.retire(&worker.name).await {
        worker.metrics.redis_error(&error);
        tracing::warn!(%error, "Redis was not told that this runner is gone.");
    }
    tracing::info!("Stopped.");
    Ok(())
}

impl Worker {
    async fn new(
        config: Config,
        machine: Machine,
        health: &Health,
        registry: &mut Registry,
    ) -> Result<Self, WorkerError> {
        let Config { broker, name, jobs, lease, grace } = config;
        let Machine { engine, toolchain, folder, slots, disk } = machine;
        let slots = Arc::new(slots);
        let metrics = Arc::new(Metrics::register(registry, &slots));
        let broker = Broker::connect(broker).await?;
        let store = RedisStore::new(broker.clone(), Handle::current(), &name, lease, Arc::clone(&metrics));
        let layers = Layers::new(disk, Some(Arc::new(store)));
        let compiler = Compiler::new(Arc::clone(&engine), toolchain, layers);
        Ok(Self {
            name,
            broker,
            slots: slots.count(),
            judge: Judge::new(Arc::clone(&engine), compiler, slots),
            engine,
            toolchain: folder,
            jobs,
            lease,
            grace,
            leases: Leases::new(Arc::clone(&metrics)),
            ready: Ready::new(health),
            metrics,
        })
    }
}
