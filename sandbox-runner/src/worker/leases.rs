//! The leases this runner holds, each with what stops its boxes.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::Phase;
use queue::JobId;
use queue::broker::{Fence, Held};
use sandbox::Cancel;
use tokio::sync::watch;

use super::decide::Standing;
use super::metrics::Metrics;

/// One job in this runner's hands.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: JobId,
    pub(super) fence: Fence,
    pub(super) cancel: Cancel,
    standing: watch::Sender<Standing>,
    running: AtomicBool,
    extended: Mutex<Instant>,
}

impl Lease {
    /// What the next heartbeat says of it.
    pub(super) fn held(&self) -> Held {
        let phase = if self.running.load(Ordering::Relaxed) { Phase::Running } else { Phase::Compiling };
        Held { id: self.id.clone(), fence: self.fence, phase }
    }

    /// Its tests run.
    pub(super) fn set_running(&self) {
        self.running.store(true, Ordering::Relaxed);
    }

    /// It was extended by a request sent at `asked`.
    pub(super) fn extend(&self, asked: Instant) {
        *self.extended.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    /// How long ago it was last known to hold.
    pub(super) fn age(&self) -> Duration {
        self.extended.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Takes news of it in. Anything but that it holds stops its boxes. Says whether that changed anything.
    pub(super) fn set(&self, news: Standing) -> bool {
        let changed = self.standing.send_if_modified(|standing| {
            let after = standing.after(news);
            std::mem::replace(standing, after) != after
        });
        if changed {
            self.cancel.cancel();
        }
        changed
    }

    /// Waits until there is a reason to stop.
    pub(super) async fn stopped(&self) {
        let mut standing = self.standing.subscribe();
        standing.wait_for(|standing| *standing != Standing::Held).await.ok(); // the sender is here
    }

    /// Waits until it is lost.
    pub(super) async fn lost(&self) {
        let mut standing = self.standing.subscribe();
        standing.wait_for(|standing| *standing == Standing::Lost).await.ok(); // the sender is here
    }
}

/// All of them. The same job may be among them twice, if it was lost and came back: each delivery is a lease of its own.
#[derive(Debug)]
pub(super) struct Leases {
    held: Mutex<BTreeMap<Fence, Arc<Lease>>>,
    count: watch::Sender<usize>,
    metrics: Arc<Metrics>,
}

/// A lease that is among the leases until this is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    leases: Arc<Leases>,
    pub(super) lease: Arc<Lease>,
}

impl Leases {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), count: watch::Sender::new(0), metrics })
    }

    /// Adds a lease that was taken by a request sent at `asked`.
    pub(super) fn add(self: &Arc<Self>, id: JobId, fence: Fence, asked: Instant) -> io::Result<Hold> {
        let lease = Arc::new(Lease {
            id,
            fence,
            cancel: Cancel::new()?,
            standing: watch::Sender::new(Standing::Held),
            running: AtomicBool::new(false),
            extended: Mutex::new(asked),
        });
        self.lock().insert(fence, Arc::clone(&lease));
        self.changed();
        Ok(Hold { leases: Arc::clone(self), lease })
    }

    pub(super) fn all(&self) -> Vec<Arc<Lease>> {
        self.lock().values().map(Arc::clone).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits until there are none.
    pub(super) async fn none(&self) {
        self.count.subscribe().wait_for(|count| *count == 0).await.ok(); // the sender is here
    }

    fn changed(&self) {
        self.count.send_modify(|count| *count = self.count());
        self.metrics.held.set(i64::try_from(self.count()).unwrap_or(i64::MAX));
    }

    /// Nothing in here panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Fence, Arc<Lease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.leases.lock().remove(&self.lease.fence);
        self.leases.changed();
    }
}
