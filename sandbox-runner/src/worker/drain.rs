//! The end of a worker: what is held is finished while there is time, and handed back after.

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::decide::{Standing, split_grace};
use super::{Stop, Worker};

/// Waits for the jobs, then hands back what is left. Whatever can't even be handed back is left to its lease.
pub(super) async fn run(worker: &Worker, mut stop: watch::Receiver<Stop>, jobs: &mut JoinSet<()>) {
    let (work, margin) = split_grace(worker.grace);
    tokio::select! {
        () = worker.leases.none() => {}
        () = sleep(work) => {}
        _ = stop.wait_for(|stop| *stop == Stop::Now) => {}
    }
    let left = worker.leases.all();
    if !left.is_empty() {
        tracing::warn!(jobs = left.len(), "Handing back what is not finished.");
    }
    for lease in left {
        lease.set(Standing::Drained);
    }
    let all = async { while jobs.join_next().await.is_some() {} };
    if tokio::time::timeout(margin, all).await.is_err() {
        tracing::error!(
            jobs = worker.leases.count(),
            "Some jobs could not be handed back; their leases will run out."
        );
        jobs.abort_all();
    }
}
