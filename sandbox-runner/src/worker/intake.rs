//! Takes jobs while there is room for them, each into a task of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::broker::{Delivery, Waiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::backoff::Backoff;
use super::{Stop, Worker, job};

/// How long a wake-up is waited for: what a lost one costs.
const IDLE: Duration = Duration::from_secs(5);

/// Takes jobs until told to stop. What is still held then is in the tasks.
pub(super) async fn run(worker: &Arc<Worker>, mut stop: watch::Receiver<Stop>) -> JoinSet<()> {
    let room = Arc::new(Semaphore::new(worker.jobs));
    let mut jobs = JoinSet::new();
    let mut waiter = worker.broker.waiter();
    let mut backoff = Backoff::default();
    while let Some(place) = place(worker, &room, &mut stop).await {
        while let Some(ended) = jobs.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "A job's task failed; its lease will run out.");
            }
        }
        // Never dropped half-way: a job that was taken is in somebody's hands.
        let asked = Instant::now();
        let pause = match worker.broker.take(&worker.name, worker.lease).await {
            Ok(Some(delivery)) => {
                start(worker, &mut jobs, delivery, asked, place);
                backoff = Backoff::default();
                continue;
            }
            Ok(None) => wait(&mut waiter, &mut stop).await.err(),
            Err(error) => Some(error),
        };
        let Some(error) = pause else {
            backoff = Backoff::default();
            continue;
        };
        worker.metrics.redis_error(&error);
        tracing::warn!(%error, "No job could be taken.");
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            _ = stop.changed() => {}
        }
    }
    jobs
}

/// Waits until there is room for a job and everything is ready; nothing when it is time to stop.
async fn place(
    worker: &Worker,
    room: &Arc<Semaphore>,
    stop: &mut watch::Receiver<Stop>,
) -> Option<OwnedSemaphorePermit> {
    let ready = async {
        let place = Arc::clone(room).acquire_owned().await.ok();
        worker.ready.all().await;
        place
    };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop != Stop::No) => None,
        place = ready => place,
    }
}

async fn wait(waiter: &mut Waiter, stop: &mut watch::Receiver<Stop>) -> Result<(), queue::BrokerError> {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop != Stop::No) => Ok(()),
        woken = waiter.work(IDLE) => woken.map(drop),
    }
}

/// The lease is among the leases before anybody is told to stop, so that none is overlooked then.
fn start(
    worker: &Arc<Worker>,
    jobs: &mut JoinSet<()>,
    delivery: Delivery,
    asked: Instant,
    place: OwnedSemaphorePermit,
) {
    let hold = match worker.leases.add(delivery.job.id.clone(), delivery.fence, asked) {
        Ok(hold) => hold,
        Err(error) => {
            // Without descriptors nothing works here; the lease runs out, and another runner gets the job.
            let (uid, judging) = (&delivery.job.id.uid, delivery.job.id.judging);
            return tracing::error!(uid, judging, %error, "No eventfd for a job; it is left to its lease.");
        }
    };
    let worker = Arc::clone(worker);
    jobs.spawn(async move {
        job::run(&worker, delivery, hold).await;
        drop(place);
    });
}
