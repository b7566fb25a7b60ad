//! Opens the queue of each pool that comes and closes that of each that goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use queue::broker::Pool;
use tokio::task::{AbortHandle, JoinSet};

use super::route::Serves;
use super::{Change, QueuePool};
use crate::context::{Operator, Stop};
use crate::worker_pools::WorkerPools;
use crate::{intake, languages};

/// All pools there are to be, as the `WorkerPool`s say.
pub fn declared(all: &WorkerPools) -> Vec<(Pool, Serves)> {
    all.all().iter().map(|served| (served.pool.clone(), Serves::from(&**served))).collect()
}

/// Serves the open pools' queues until told to stop, and those that come. Without `WorkerPool`s none come or go.
pub async fn run(operator: Arc<Operator>, worker_pools: Option<Arc<WorkerPools>>, stop: Stop) {
    let mut queues = Queues { operator, listeners: JoinSet::new(), handles: BTreeMap::new() };
    for pool in queues.operator.pools.open() {
        queues.open(&pool);
    }
    tokio::select! {
        () = stop.requested() => {}
        () = queues.serve(worker_pools) => {}
    }
}

struct Queues {
    operator: Arc<Operator>,
    listeners: JoinSet<()>,
    handles: BTreeMap<Pool, AbortHandle>,
}

impl Queues {
    /// Returns only if a listener broke off, or the changes did.
    async fn serve(&mut self, worker_pools: Option<Arc<WorkerPools>>) {
        let mut changes = worker_pools.as_ref().map(|worker_pools| worker_pools.subscribe());
        // What changed since the pools were set for the first time is told too.
        if let Some(changes) = &mut changes {
            changes.mark_changed();
        }
        loop {
            let news = async {
                match (&mut changes, &worker_pools) {
                    (Some(changes), Some(all)) => changes.changed().await.is_ok().then(|| declared(all)),
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                list = news => match list {
                    Some(list) => self.change(&self.operator.pools.set(list)),
                    None => return,
                },
                Some(ended) = self.listeners.join_next() => match ended {
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => return tracing::error!(%error, "A pool's queue is not listened to any more."),
                    Ok(()) => return,
                },
            }
        }
    }

    fn change(&mut self, change: &Change) {
        note(change);
        for pool in &change.gone {
            if let Some(handle) = self.handles.remove(pool) {
                handle.abort();
            }
        }
        for pool in &change.come {
            self.open(pool);
        }
    }

    fn open(&mut self, pool: &Arc<QueuePool>) {
        let (operator, ours) = (Arc::clone(&self.operator), Arc::clone(pool));
        let handle = self.listeners.spawn(async move {
            // What fails here the next look at the runners makes up for.
            if let Err(error) = operator.redis(languages::publish(&operator, &ours).await) {
                tracing::warn!(%error, pool = %ours.name, "A pool's runners were not told of their Languages; telling them at the next look.");
            }
            intake::listen(&operator, &ours.broker).await;
        });
        self.handles.insert(pool.name.clone(), handle);
    }
}

fn note(Change { come, gone, refused }: &Change) {
    for pool in come {
        tracing::info!(pool = %pool.name, "The pool's queue is open.");
    }
    for pool in gone {
        tracing::info!(%pool, "The pool is gone; what is on its queue is routed anew.");
    }
    if !refused.is_empty() {
        let pools = refused.iter().map(Pool::as_str).collect::<Vec<_>>().join(" ");
        tracing::warn!(pools, "There are more WorkerPools than --max-worker-pools; these wait.");
    }
}
