//! The queue pools that there are now: one per `WorkerPool`, coming and going while the operator runs, all in one Redis; or,
//! without `WorkerPool`s, the one that the flag names.

mod namespaces;
mod queues;
pub mod route;
mod router;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use queue::broker::Pool;
use queue::{Broker, RunnerStatus};
use tokio::sync::watch;

pub use namespaces::{Labels, Namespaces, watch as watch_namespaces};
pub use queues::{Found, Sought, agreed, place_of};
pub use router::run as route_anew;
pub use run::{declared, run};

use route::{Facts, Serves};

/// One pool's queue.
#[derive(Debug)]
pub struct QueuePool {
    /// Its name.
    pub name: Pool,
    /// Its queue.
    pub broker: Broker,
}

/// All queue pools.
#[derive(Debug)]
pub struct Pools {
    connection: Broker,
    /// Namespaces whose `WorkerPool`s are used; none: there is one pool, without a `WorkerPool`.
    namespaces: Option<Vec<String>>,
    most: usize,
    inner: RwLock<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    open: BTreeMap<Pool, Arc<QueuePool>>,
    /// Those without a `WorkerPool` that may have keys in Redis yet.
    leaving: BTreeMap<Pool, Arc<QueuePool>>,
    /// Those above the bound.
    refused: BTreeSet<Pool>,
    runners: BTreeMap<Pool, Arc<[RunnerStatus]>>,
    facts: Arc<Vec<Facts>>,
}

/// Whether a pool's queue is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Open,
    /// It waits: there are as many pools as the operator may use.
    TooMany,
    /// It is not known (yet).
    Unknown,
}

impl Pools {
    /// The one pool `pool`, which serves everything.
    pub fn single(connection: Broker, pool: &Pool) -> Self {
        let pools = Self::new(connection, None, 1);
        pools.set(vec![(pool.clone(), Serves::Everything)]);
        pools
    }

    /// At most `most` pools of the `WorkerPool`s of `namespaces`; none until [`Pools::set`] says which.
    pub fn of_worker_pools(connection: Broker, namespaces: Vec<String>, most: usize) -> Self {
        Self::new(connection, Some(namespaces), most)
    }

    fn new(connection: Broker, namespaces: Option<Vec<String>>, most: usize) -> Self {
        let (inner, changed) = (RwLock::default(), watch::Sender::new(0));
        Self { connection, namespaces, most, inner, changed }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether Submissions are routed to the pools of `WorkerPool`s.
    pub const fn are_routed(&self) -> bool {
        self.namespaces.is_some()
    }

    /// Whether the pool would be one of ours if it had a `WorkerPool`.
    pub fn is_ours(&self, pool: &Pool) -> bool {
        let ours = |namespace: &str| self.namespaces.iter().flatten().any(|ours| ours == namespace);
        pool.namespace().is_some_and(ours)
    }

    /// Redis, whatever the pool.
    pub const fn connection(&self) -> &Broker {
        &self.connection
    }

    /// These are all pools now. Those that were there stay before others come, so that a bound throws nobody out; else names
    /// decide. Says which have come and which have gone.
    pub fn set(&self, mut wanted: Vec<(Pool, Serves)>) -> Change {
        let mut inner = self.write();
        wanted.sort_by(|(a, _), (b, _)| {
            (!inner.open.contains_key(a), a).cmp(&(!inner.open.contains_key(b), b))
        });
        wanted.dedup_by(|(a, _), (b, _)| a == b);
        let above = wanted.split_off(wanted.len().min(self.most));
        inner.refused = above.into_iter().map(|(pool, _)| pool).collect();
        let gone: Vec<Pool> = inner
            .open
            .keys()
            .filter(|pool| !wanted.iter().any(|(wanted, _)| wanted == *pool))
            .cloned()
            .collect();
        for pool in &gone {
            if let Some(pool) = inner.open.remove(pool) {
                inner.leaving.insert(pool.name.clone(), pool);
            }
            inner.runners.remove(pool);
        }
        let mut come = Vec::new();
        for (pool, _) in &wanted {
            inner.leaving.remove(pool);
            if !inner.open.contains_key(pool) {
                let opened =
                    Arc::new(QueuePool { broker: self.connection.for_pool(pool), name: pool.clone() });
                come.push(Arc::clone(&opened));
                inner.open.insert(pool.clone(), opened);
            }
        }
        let Inner { runners, .. } = &*inner;
        let facts = wanted.into_iter().map(|(pool, serves)| {
            let mut facts = Facts::new(pool, serves);
            facts.hear(runners.get(&facts.pool).map_or(&[], |runners| runners));
            facts
        });
        let facts: Vec<Facts> = facts.collect();
        self.renew(&mut inner, facts);
        Change { come, gone, refused: inner.refused.iter().cloned().collect() }
    }

    /// What the pool's runners say now.
    pub fn hear(&self, pool: &Pool, runners: Vec<RunnerStatus>) {
        let mut inner = self.write();
        if !inner.open.contains_key(pool) {
            return;
        }
        let mut facts = inner.facts.to_vec();
        if let Some(facts) = facts.iter_mut().find(|facts| facts.pool == *pool) {
            facts.hear(&runners);
        }
        inner.runners.insert(pool.clone(), runners.into());
        self.renew(&mut inner, facts);
    }

    fn renew(&self, inner: &mut Inner, mut facts: Vec<Facts>) {
        facts.sort_by(|a, b| a.pool.cmp(&b.pool));
        if *inner.facts != facts {
            inner.facts = Arc::new(facts);
            self.changed.send_modify(|revision| *revision += 1);
        }
    }

    /// Told whenever pools have come, gone or changed, or their runners' Languages did; also by [`Pools::touch`].
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Something else changed that routes depend on.
    pub fn touch(&self) {
        self.changed.send_modify(|revision| *revision += 1);
    }

    /// What is known of all open pools, by name.
    pub fn facts(&self) -> Arc<Vec<Facts>> {
        Arc::clone(&self.read().facts)
    }

    /// All open pools.
    pub fn open(&self) -> Vec<Arc<QueuePool>> {
        self.read().open.values().cloned().collect()
    }

    /// Pools that have no `WorkerPool` and may have keys in Redis yet.
    pub fn leaving(&self) -> Vec<Arc<QueuePool>> {
        self.read().leaving.values().cloned().collect()
    }

    /// All that may have jobs.
    pub fn all(&self) -> Vec<Arc<QueuePool>> {
        let inner = self.read();
        inner.open.values().chain(inner.leaving.values()).cloned().collect()
    }

    /// Whether the pool is open.
    pub fn is_open(&self, pool: &Pool) -> bool {
        self.read().open.contains_key(pool)
    }

    /// How it stands with the pool.
    pub fn standing(&self, pool: &Pool) -> Standing {
        let inner = self.read();
        match (inner.open.contains_key(pool), inner.refused.contains(pool)) {
            (true, _) => Standing::Open,
            (false, true) => Standing::TooMany,
            (false, false) => Standing::Unknown,
        }
    }

    /// The queue of any pool, also of one that is gone.
    pub fn broker(&self, pool: &Pool) -> Broker {
        let known = self.read().open.get(pool).map(|pool| pool.broker.clone());
        known.unwrap_or_else(|| self.connection.for_pool(pool))
    }

    /// What the pool's runners said last, at most some seconds old; nothing, if they were not asked yet.
    pub fn runners(&self, pool: &Pool) -> Option<Arc<[RunnerStatus]>> {
        self.read().runners.get(pool).cloned()
    }

    /// What all runners said last.
    pub fn all_runners(&self) -> Vec<RunnerStatus> {
        self.read().runners.values().flat_map(|runners| runners.iter().cloned()).collect()
    }

    /// A pool that has keys in Redis and no `WorkerPool`: what is left of it is to be removed.
    pub fn found(&self, pool: &Pool) -> bool {
        let mut inner = self.write();
        if inner.open.contains_key(pool) || inner.refused.contains(pool) || inner.leaving.contains_key(pool) {
            return false;
        }
        let left = QueuePool { broker: self.connection.for_pool(pool), name: pool.clone() };
        inner.leaving.insert(pool.clone(), Arc::new(left));
        true
    }

    /// Nothing is left of it.
    pub fn dissolved(&self, pool: &Pool) {
        self.write().leaving.remove(pool);
    }
}

/// What [`Pools::set`] changed.
#[derive(Debug)]
pub struct Change {
    /// Pools that have come.
    pub come: Vec<Arc<QueuePool>>,
    /// Pools that have gone.
    pub gone: Vec<Pool>,
    /// Pools above the bound.
    pub refused: Vec<Pool>,
}

#[cfg(test)]
mod tests;
