//! Artifacts shared over Redis, for threads that know nothing of the runtime.

use std::sync::Arc;
use std::time::Duration;

use queue::broker::ArtifactLock;
use queue::{Broker, BrokerError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::metrics::Metrics;
use crate::store::{Away, Right, Store};

/// Redis as a store. Each call blocks its thread for as long as the broker may take.
#[derive(Clone)]
pub(super) struct RedisStore {
    broker: Broker,
    handle: Handle,
    /// Who compiles, unique among the processes of the pool.
    holder: Arc<str>,
    /// How long a holder that says nothing is believed to live.
    ttl: Duration,
    metrics: Arc<Metrics>,
}

/// The right to compile one artifact, extended by a task while it lasts.
struct RedisRight {
    store: RedisStore,
    key: String,
    extending: Option<JoinHandle<()>>,
}

impl RedisStore {
    pub(super) fn new(
        broker: Broker,
        handle: Handle,
        name: &str,
        ttl: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let holder = format!("{name}/{}", std::process::id()).into();
        Self { broker, handle, holder, ttl, metrics }
    }

    fn noted<T>(&self, result: Result<T, BrokerError>) -> Result<T, Away> {
        result.map_err(|error| {
            self.metrics.redis_error(&error);
            tracing::warn!(%error, "The shared cache can't be used now.");
            Away
        })
    }

    async fn extend(self, key: String) {
        loop {
            tokio::time::sleep(self.ttl / 3).await;
            let extended = self.broker.lock_artifact(&key, &self.holder, self.ttl).await;
            match self.noted(extended) {
                Ok(ArtifactLock::Ours) | Err(Away) => {}
                // Two now compile the same, which costs time and nothing else.
                Ok(ArtifactLock::Theirs) => return,
            }
        }
    }
}

impl Store for RedisStore {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Away> {
        self.noted(self.handle.block_on(self.broker.artifact(key)))
    }

    fn keep(&self, key: &str, packed: &[u8], cost: Duration) {
        self.noted(self.handle.block_on(self.broker.keep_artifact(key, packed, cost))).ok(); // noted
    }

    fn lock(&self, key: &str) -> Result<Option<Right>, Away> {
        let asked = self.handle.block_on(self.broker.lock_artifact(key, &self.holder, self.ttl));
        Ok(match self.noted(asked)? {
            ArtifactLock::Theirs => None,
            ArtifactLock::Ours => {
                let extending = self.handle.spawn(self.clone().extend(key.to_owned()));
                Some(Box::new(RedisRight {
                    store: self.clone(),
                    key: key.to_owned(),
                    extending: Some(extending),
                }))
            }
        })
    }
}

impl Drop for RedisRight {
    /// Runs on the thread that compiled, never within the runtime.
    fn drop(&mut self) {
        let RedisRight { store, key, extending } = self;
        let unlocked = store.handle.block_on(async {
            // An extension that came after would lock for nobody.
            if let Some(extending) = extending.take() {
                extending.abort();
                extending.await.ok(); // it was aborted
            }
            store.broker.unlock_artifact(key, &store.holder).await
        });
        store.noted(unlocked).ok(); // noted, and the lock runs out by itself
    }
}
