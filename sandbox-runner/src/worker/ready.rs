//! Whether jobs can be judged here at all: Redis is fit, and a box can be made.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sandbox::{Cancel, Command, Engine, Limits, Request};
use telemetry::{Health, Part};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Worker;
use super::selftest;

/// The pause between two looks at a Redis that is fit, and at one that isn't.
const FIT: Duration = Duration::from_secs(5);
const UNFIT: Duration = Duration::from_secs(1);
/// The pause before the next box is tried.
const NO_BOX: Duration = Duration::from_secs(5);
/// Programs that do nothing, one of which nearly every toolchain has.
const PROGRAMS: [&str; 2] = ["/bin/true", "/usr/bin/true"];
const MEMORY: u64 = 64 << 20;

/// The parts that have to be ready.
#[derive(Debug)]
pub(super) struct Ready {
    redis: Gate,
    boxes: Gate,
}

/// A part that others can wait for.
#[derive(Debug)]
struct Gate {
    part: Part,
    open: watch::Sender<bool>,
}

impl Gate {
    fn new(health: &Health, name: &'static str) -> Self {
        Self { part: health.part(name), open: watch::Sender::new(false) }
    }

    fn set<E: fmt::Display>(&self, state: Result<(), E>) {
        self.open.send_replace(state.is_ok());
        self.part.set(state);
    }

    async fn opened(&self) {
        self.open.subscribe().wait_for(|open| *open).await.ok(); // the sender is here
    }
}

impl Ready {
    pub(super) fn new(health: &Health) -> Self {
        Self { redis: Gate::new(health, "redis"), boxes: Gate::new(health, "box") }
    }

    /// Waits until all parts are ready.
    pub(super) async fn all(&self) {
        self.boxes.opened().await;
        self.redis.opened().await;
    }
}

/// Looks at Redis again and again.
pub(super) async fn watch_redis(worker: Arc<Worker>) {
    loop {
        let fit = worker.broker.check().await;
        let pause = if fit.is_ok() { FIT } else { UNFIT };
        if let Err(queue::broker::Unfit::Broker(error)) = &fit {
            worker.metrics.redis_error(error);
        }
        worker.ready.redis.set(fit);
        sleep(pause).await;
    }
}

/// Makes a box, once it works.
pub(super) async fn watch_box(worker: Arc<Worker>) {
    loop {
        let (engine, toolchain) = (Arc::clone(&worker.engine), worker.toolchain.clone());
        let tried = tokio::task::spawn_blocking(move || try_box(&*engine, &toolchain)).await;
        let tried = tried.unwrap_or_else(|error| Err(error.to_string()));
        let works = tried.is_ok();
        worker.ready.boxes.set(tried);
        if works {
            return;
        }
        sleep(NO_BOX).await;
    }
}

/// Runs a program that does nothing, if the toolchain has one.
fn try_box(engine: &dyn Engine, toolchain: &Path) -> Result<(), String> {
    let Some(program) = PROGRAMS.iter().find(|program| selftest::program(toolchain, program).is_ok()) else {
        tracing::info!("The toolchain has no program to try a box with; the first job will show.");
        return Ok(());
    };
    let request = request(program).map_err(|error| error.to_string())?;
    let cancel = Cancel::new().map_err(|error| format!("making an eventfd: {error}"))?;
    let outcome = engine.run(&request, &cancel).map_err(|error| error.to_string())?;
    if outcome.is_success() { Ok(()) } else { Err(format!("{program} in a box: {:?}", outcome.exit)) }
}

fn request(program: &str) -> Result<Request, sandbox::RequestError> {
    let limits = Limits {
        cpu: Duration::from_secs(10),
        wall: Duration::from_mins(1),
        memory: MEMORY,
        output: 1 << 12,
        processes: 1,
        open_files: 64,
        stack: 1 << 20,
        disk: 0,
        reserves_address_space: false,
    };
    Request::new(Command::new(&[program], &[])?, Vec::new(), limits)
}
