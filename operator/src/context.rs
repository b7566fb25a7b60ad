//! What all parts of the operator share, and how they tell each other that there is work. Every queue between them is
//! bounded; what does not fit is dropped and counted, and the audit finds it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::Stream;
use kube::runtime::reflector::{ObjectRef, Store};
use queue::BrokerError;
use queue::broker::{Allowance, Pool};
use tokio::sync::mpsc;

use crate::api::{CallError, Calls};
use crate::fresh::Fresh;
use crate::languages::Catalog;
use crate::metrics::Metrics;
use crate::object::Head;
use crate::pace::Pace;
use crate::pools::{Namespaces, Pools};
use crate::registry::{Place, Registry};
use crate::writer::Request;

/// Longest queue between two parts.
pub const QUEUE: usize = 4096;

/// What does not change while the operator runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bounds of the queue.
    pub allowance: Allowance,
    /// Tests of one job.
    pub batch: usize,
    /// Bytes of a source.
    pub max_source_bytes: usize,
    /// Seconds that finished Submissions are kept unless they say so themselves.
    pub ttl: Option<u32>,
    /// Time between two looks for what a Submission waits for.
    pub waiting_retry: Duration,
    /// Time between two audits.
    pub audit: Duration,
    /// Status writes at one time.
    pub writers: usize,
    /// Longest time for writes under way at the end.
    pub drain: Duration,
}

/// One watch: of one namespace, or of all.
#[derive(Debug)]
pub struct Shard {
    /// The namespace; all, if none.
    pub namespace: Option<String>,
    /// What the watch shows.
    pub store: Store<Head>,
    /// Submissions to be reconciled now.
    pub triggers: mpsc::Sender<ObjectRef<Head>>,
}

/// What all parts share.
pub struct Operator {
    /// What does not change.
    pub settings: Settings,
    /// The API server.
    pub calls: Calls,
    /// The queues in Redis.
    pub pools: Pools,
    /// The labels of namespaces; none, unless Submissions are routed by them.
    pub namespaces: Namespaces,
    /// What is known of each unfinished Submission.
    pub registry: Registry,
    /// Specs that are about to be planned.
    pub fresh: Fresh,
    /// The Languages.
    pub catalog: Catalog,
    /// What is counted.
    pub metrics: Metrics,
    /// The watches.
    pub shards: Vec<Shard>,
    /// The pace of progress writes.
    pub pace: Mutex<Pace>,
    /// To the status writer.
    pub writes: mpsc::Sender<Request>,
    /// To the intake: UIDs of which a job was reported.
    pub news: mpsc::Sender<String>,
    /// To the canceller: UIDs of Submissions that are gone, and where their jobs are, if that is known.
    pub gone: mpsc::Sender<(String, Option<Pool>)>,
}

impl Operator {
    fn shard(&self, namespace: &str) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.namespace.as_deref().is_none_or(|ours| ours == namespace))
    }

    /// Whether this operator serves that namespace.
    pub fn serves(&self, namespace: &str) -> bool {
        self.shard(namespace).is_some()
    }

    /// The Submission as the watch shows it, if it is still the same.
    pub fn head(&self, place: &Place) -> Option<Arc<Head>> {
        let shard = self.shard(&place.namespace)?;
        let head = shard.store.get(&ObjectRef::new(&place.name).within(&place.namespace))?;
        (head.uid() == place.uid).then_some(head)
    }

    /// Has it reconciled soon.
    pub fn trigger(&self, place: &Place) {
        let object = ObjectRef::new(&place.name).within(&place.namespace);
        let sent = self.shard(&place.namespace).map(|shard| shard.triggers.try_send(object));
        if matches!(sent, Some(Err(_))) {
            self.metrics.overflowed("triggers");
        }
    }

    /// The same when there is room: for those who bring many.
    pub async fn trigger_surely(&self, place: &Place) {
        let object = ObjectRef::new(&place.name).within(&place.namespace);
        if let Some(shard) = self.shard(&place.namespace) {
            // It is closed only when the operator stops.
            shard.triggers.send(object).await.unwrap_or_default();
        }
    }

    /// Has its reports looked at soon.
    pub fn look(&self, uid: &str) {
        if self.news.try_send(uid.to_owned()).is_err() {
            self.metrics.overflowed("news");
        }
    }

    /// Has its jobs taken off the pool's queue soon; off all, if it is not known where they are.
    pub fn forsake(&self, uid: &str, pool: Option<Pool>) {
        if self.gone.try_send((uid.to_owned(), pool)).is_err() {
            self.metrics.overflowed("gone");
        }
    }

    /// Has its status written soon. Says whether there was room.
    pub fn propose(&self, request: Request) -> bool {
        let sent = self.writes.try_send(request).is_ok();
        if !sent {
            self.metrics.overflowed("writes");
        }
        sent
    }

    /// Whether progress may be written now.
    pub fn may_show_progress(&self) -> bool {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).step(Instant::now())
    }

    /// Counts an error of Redis on its way up.
    pub fn redis<T>(&self, result: Result<T, BrokerError>) -> Result<T, BrokerError> {
        result.inspect_err(|error| self.metrics.redis_error(error))
    }

    /// Counts an error of the API server on its way up.
    pub fn api<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        result.inspect_err(|error| self.metrics.api_error(error))
    }

    /// Submissions in all stores.
    pub fn stored(&self) -> usize {
        self.shards.iter().map(|shard| shard.store.len()).sum()
    }
}

/// A channel's content as a stream.
pub fn stream<T: Send + 'static>(mut channel: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send + 'static {
    futures::stream::poll_fn(move |context| channel.poll_recv(context))
}

/// When the operator is to stop. Clones see the same.
#[derive(Debug, Clone)]
pub struct Stop(tokio::sync::watch::Receiver<bool>);

impl Stop {
    /// The switch, and those that see it.
    pub fn switch() -> (tokio::sync::watch::Sender<bool>, Self) {
        let (sender, receiver) = tokio::sync::watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits until the operator is to stop. Without anybody left who could say so, it is to stop too.
    pub async fn requested(mut self) {
        drop(self.0.wait_for(|stop| *stop).await);
    }
}
