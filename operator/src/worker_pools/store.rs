//! The valid `WorkerPool`s that there are now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use queue::broker::Pool;
use tokio::sync::watch;

use super::Served;

/// All valid `WorkerPool`s of the namespaces that are watched.
#[derive(Debug)]
pub struct WorkerPools {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    served: BTreeMap<Pool, Arc<Served>>,
    /// Namespaces whose list is not complete yet.
    awaited: BTreeSet<String>,
}

impl WorkerPools {
    /// None yet, of these namespaces.
    pub fn new(namespaces: &[String]) -> Self {
        let inner = Inner { served: BTreeMap::new(), awaited: namespaces.iter().cloned().collect() };
        Self { inner: Mutex::new(inner), changed: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Served>> {
        self.lock().served.values().cloned().collect()
    }

    /// One of them.
    pub fn get(&self, pool: &Pool) -> Option<Arc<Served>> {
        self.lock().served.get(pool).cloned()
    }

    /// A counter of changes: 0 until all that there were at the start are known, then it grows with every change of what a
    /// `WorkerPool` says, and with every one that comes or goes. Statuses are no changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits until all that there were at the start are known.
    pub async fn listed(&self) {
        // The sender is this struct's own and cannot be gone.
        self.subscribe().wait_for(|changes| *changes > 0).await.map_or_else(drop, drop);
    }

    /// These are all of a namespace: its list is complete.
    pub(super) fn replace(&self, namespace: &str, served: Vec<Served>) {
        let mut inner = self.lock();
        let old: BTreeMap<_, _> = inner.served.extract_if(.., |_, one| one.namespace == namespace).collect();
        let new: BTreeMap<_, _> =
            served.into_iter().map(|served| (served.pool.clone(), Arc::new(served))).collect();
        let first = inner.awaited.remove(namespace);
        let news = old != new || (first && inner.awaited.is_empty());
        inner.served.extend(new);
        self.tell(&inner, news);
    }

    /// It is so now.
    pub(super) fn put(&self, served: Served) {
        let mut inner = self.lock();
        let news = inner.served.get(&served.pool).is_none_or(|old| **old != served);
        inner.served.insert(served.pool.clone(), Arc::new(served));
        self.tell(&inner, news);
    }

    /// It is gone or cannot be used.
    pub(super) fn remove(&self, namespace: &str, name: &str) {
        let Ok(pool) = Pool::of_worker_pool(namespace, name) else { return };
        let mut inner = self.lock();
        let news = inner.served.remove(&pool).is_some();
        self.tell(&inner, news);
    }

    fn tell(&self, inner: &Inner, news: bool) {
        if news && inner.awaited.is_empty() {
            self.changed.send_modify(|changes| *changes += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::worker_pools::served::tests::raw;

    fn served(namespace: &str, name: &str, replicas: i32) -> Served {
        let mut raw = raw(name, &json!({"replicas": replicas}));
        raw.metadata.namespace = Some(namespace.to_owned());
        Served::read(&raw).unwrap()
    }

    fn names(pools: &WorkerPools) -> Vec<String> {
        pools.all().iter().map(|served| served.pool.to_string()).collect()
    }

    #[tokio::test]
    async fn changes_are_told_once_all_are_known() {
        let pools = WorkerPools::new(&["a".into(), "b".into()]);
        let mut changes = pools.subscribe();
        pools.replace("a", vec![served("a", "x", 1)]);
        pools.put(served("a", "y", 1));
        assert!(!changes.has_changed().unwrap());
        pools.replace("b", Vec::new());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        pools.listed().await;
        assert_eq!(names(&pools), ["a.x", "a.y"]);
        pools.put(served("a", "y", 1));
        pools.replace("a", vec![served("a", "x", 1), served("a", "y", 1)]);
        pools.remove("a", "z");
        assert!(!changes.has_changed().unwrap(), "nothing is new");
        pools.put(served("a", "y", 2));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        pools.replace("a", vec![served("a", "x", 1)]);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        pools.remove("a", "x");
        assert!(changes.has_changed().unwrap());
        assert_eq!(names(&pools), [""; 0]);
    }
}
