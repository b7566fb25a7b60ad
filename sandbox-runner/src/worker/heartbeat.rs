//! Extends all leases in one call, again and again, and hears which of them are cancelled or gone.

use std::sync::Arc;
use std::time::Instant;

use queue::broker::Holding;
use tokio::time::{MissedTickBehavior, interval};

use super::Worker;
use super::decide::{Standing, ran_out};
use super::leases::Lease;

/// Beats three times per lease, so that two beats may fail.
pub(super) async fn run(worker: Arc<Worker>) {
    let mut ticks = interval(worker.lease / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        beat(&worker).await;
    }
}

async fn beat(worker: &Worker) {
    let leases = worker.leases.all();
    if leases.is_empty() {
        return;
    }
    let held: Vec<_> = leases.iter().map(|lease| lease.held()).collect();
    let asked = Instant::now();
    match worker.broker.extend(&held, worker.lease).await {
        Ok(holdings) => {
            leases.iter().zip(holdings).for_each(|(lease, holding)| apply(worker, lease, holding, asked));
        }
        Err(error) => {
            worker.metrics.redis_error(&error);
            tracing::warn!(%error, leases = leases.len(), "The leases could not be extended.");
            leases
                .iter()
                .filter(|lease| ran_out(lease.age(), worker.lease))
                .for_each(|lease| lose(worker, lease));
        }
    }
}

fn apply(worker: &Worker, lease: &Lease, holding: Holding, asked: Instant) {
    match holding {
        Holding::Held => lease.extend(asked),
        Holding::Cancelled => {
            lease.extend(asked);
            if lease.set(Standing::Cancelled) {
                tracing::info!(
                    uid = lease.id.uid,
                    judging = lease.id.judging,
                    batch = lease.id.batch,
                    "The job was cancelled."
                );
            }
        }
        Holding::Lost => lose(worker, lease),
    }
}

/// Its result would be refused, so its boxes end: whoever has the job now needs the machine as much.
pub(super) fn lose(worker: &Worker, lease: &Lease) {
    if lease.set(Standing::Lost) {
        worker.metrics.leases_lost.inc();
        tracing::warn!(
            uid = lease.id.uid,
            judging = lease.id.judging,
            batch = lease.id.batch,
            "The lease is lost."
        );
    }
}
