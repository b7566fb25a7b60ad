//! Says every few seconds that this runner is alive, and what it can do.

use std::sync::Arc;
use std::time::Duration;

use queue::{BrokerError, RunnerStatus};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Stop, Worker, selftest};

/// The pause between two announcements, and how long one is believed.
const EVERY: Duration = Duration::from_secs(5);
const BELIEVED: Duration = Duration::from_secs(20);

/// Announces until aborted; at once when told to stop.
pub(super) async fn run(worker: Arc<Worker>, mut stop: watch::Receiver<Stop>) {
    let mut known = true;
    loop {
        let draining = *stop.borrow_and_update() != Stop::No;
        if let Err(error) = announce(&worker, draining).await {
            worker.metrics.redis_error(&error);
            tracing::debug!(%error, "This runner was not announced.");
        }
        tokio::select! {
            () = sleep(EVERY) => {}
            // Once nobody is left to say stop, there is nothing more to hear.
            changed = stop.changed(), if known => known = changed.is_ok(),
        }
    }
}

async fn announce(worker: &Worker, draining: bool) -> Result<(), BrokerError> {
    let (languages, unreadable) = worker.broker.languages().await?;
    if unreadable > 0 {
        tracing::warn!(
            unreadable,
            "Some published Languages can't be read; their runners are of another release."
        );
    }
    worker.metrics.know(languages.iter().map(|language| language.name.clone()));
    let (languages, broken) = selftest::examine(&worker.toolchain, &languages);
    let status = RunnerStatus {
        name: worker.name.clone(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        slots: u32::try_from(worker.slots).unwrap_or(u32::MAX),
        jobs: u32::try_from(worker.leases.count()).unwrap_or(u32::MAX),
        draining,
        languages,
        broken,
        surroundings: worker.engine.describe(),
    };
    worker.broker.announce(&status, BELIEVED).await
}
