//! Languages: known to the planner, published to the runners, and told whether some runner can judge them.

mod catalog;
mod readiness;

use std::sync::Arc;
use std::time::Duration;

use crds::Language;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use kube::Api;
use kube::runtime::utils::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use queue::BrokerError;
use queue::broker::Pool;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::api::Failure;
use crate::context::{Operator, Stop};
use crate::object::Raw;
use crate::pools::QueuePool;
use crate::registry::Place;
use crate::writer::Body;

pub use catalog::{Catalog, Entry, Listed};
pub use readiness::{Readiness, readiness};

/// Time between two looks at the runners.
const LOOK: Duration = Duration::from_secs(5);
/// Pools that are asked at one time.
const POOLS_AT_ONCE: usize = 8;

/// Follows the Languages until told to stop. `ready` is told when all are known.
pub async fn run(
    operator: Arc<Operator>,
    api: Api<Raw<Language>>,
    config: watcher::Config,
    ready: oneshot::Sender<()>,
    stop: Stop,
) {
    let following = follow(&operator, api, config, ready);
    tokio::select! {
        () = stop.requested() => {}
        () = following => {}
    }
}

async fn follow(
    operator: &Operator,
    api: Api<Raw<Language>>,
    config: watcher::Config,
    ready: oneshot::Sender<()>,
) {
    let events = watcher(api, config).backoff(crate::submissions::Pauses::default());
    let mut events = std::pin::pin!(events);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ready = Some(ready);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    if take(operator, event).await
                        && let Some(ready) = ready.take()
                    {
                        // The one who waits may have been told to stop.
                        ready.send(()).unwrap_or_default();
                        look.reset_immediately();
                    }
                }
                Some(Err(error)) => {
                    operator.metrics.watch_restarted("languages");
                    tracing::warn!(%error, "The watch of Languages broke off; watching again.");
                }
                None => return,
            },
            _ = look.tick(), if ready.is_none() => inspect(operator).await,
        }
    }
}

/// Notes a change; says whether the list is complete.
async fn take(operator: &Operator, event: Event<Raw<Language>>) -> bool {
    match event {
        Event::Init => operator.catalog.listing(),
        Event::InitApply(raw) => {
            operator.catalog.apply(raw);
        }
        Event::InitDone => {
            operator.catalog.listed();
            return true;
        }
        Event::Apply(raw) => {
            if let Some(name) = operator.catalog.apply(raw) {
                changed(operator, &name).await;
            }
        }
        Event::Delete(raw) => {
            if let Some(name) = raw.metadata.name {
                operator.catalog.remove(&name);
                changed(operator, &name).await;
            }
        }
    }
    false
}

/// A Language is another than before: runners are told, and Submissions that wait for it go on.
async fn changed(operator: &Operator, name: &str) {
    let facts = operator.pools.facts();
    let declares = facts.iter().filter(|facts| facts.declares(name));
    let declares: Vec<Pool> = declares.map(|facts| facts.pool.clone()).collect();
    stream::iter(declares).for_each_concurrent(POOLS_AT_ONCE, async |pool| {
        let broker = operator.pools.broker(&pool);
        let published = match operator.catalog.entry(name) {
            Entry::Known(snapshot) => broker.publish_language(&snapshot).await,
            Entry::Unknown | Entry::Invalid(_) => broker.withdraw_language(name).await,
        };
        if let Err(error) = operator.redis(published) {
            tracing::warn!(%error, language = name, %pool, "Runners were not told of a Language; telling them at the next look.");
        }
    })
    .await;
    for shard in &operator.shards {
        for head in shard.store.state_filter(|head| !head.done() && head.asked.language == name) {
            let (uid, namespace, name) = (head.uid(), head.namespace(), head.name());
            if operator.registry.get(uid).is_some_and(|tracked| tracked.enqueued.is_none()) {
                operator.trigger(&Place { uid: uid.into(), namespace: namespace.into(), name: name.into() });
            }
        }
    }
}

/// Compares what runners know and say with what is so.
async fn inspect(operator: &Operator) {
    let looks = stream::iter(operator.pools.open()).map(async |pool| {
        operator.redis(publish(operator, &pool).await)?;
        let runners = operator.redis(pool.broker.runners().await)?;
        operator.pools.hear(&pool.name, runners);
        Ok::<_, BrokerError>(())
    });
    let looked: Result<(), _> = looks.buffer_unordered(POOLS_AT_ONCE).try_collect().await;
    if let Err(error) = looked {
        tracing::warn!(%error, "The runners could not be asked; trying again.");
        return;
    }
    let runners = operator.pools.all_runners();
    for listed in operator.catalog.all() {
        let readiness = readiness(&listed, &runners);
        let Some(patch) = readiness.patch(&listed, Timestamp::now()) else { continue };
        let written = operator.calls.write_language_status(&listed.name, &Body::Merge(patch)).await;
        match operator.api(written) {
            Ok(()) => {
                tracing::info!(
                    language = listed.name,
                    reason = readiness.reason,
                    "The Language's state changed."
                );
            }
            Err(error) if matches!(error.failure(), Failure::Conflict | Failure::Gone) => {}
            Err(error) => {
                tracing::warn!(%error, language = listed.name, "A Language's status was not written; trying again.");
            }
        }
    }
}

/// Publishes what Redis lacks of what the pool is for, after it was emptied for example, and withdraws the rest.
pub async fn publish(operator: &Operator, pool: &QueuePool) -> Result<(), BrokerError> {
    let QueuePool { name, broker } = pool;
    if operator.pools.are_routed() {
        broker.note_pool(name).await?;
    }
    let facts = operator.pools.facts();
    let declares = |language: &str| facts.iter().any(|facts| facts.pool == *name && facts.declares(language));
    let (known, _) = broker.languages().await?;
    for listed in operator.catalog.all() {
        if let Ok(snapshot) = &listed.spec
            && declares(&listed.name)
            && !known.contains(snapshot)
        {
            broker.publish_language(snapshot).await?;
        }
    }
    for snapshot in known {
        if !declares(&snapshot.name) || !operator.catalog.knows(&snapshot.name) {
            broker.withdraw_language(&snapshot.name).await?;
        }
    }
    Ok(())
}
