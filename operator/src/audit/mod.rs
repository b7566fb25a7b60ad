//! The custom resource is the truth, the queue is a hint: what Redis lost is enqueued again, what nobody owns is removed.

mod orphans;
mod pulse;
mod remains;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::BrokerError;
use queue::broker::{JobRecord, Pool};
use tokio::time::MissedTickBehavior;

use crate::api::CallError;
use crate::context::{Operator, Stop};
use crate::intake::assess::{Presence, presence};
use crate::registry::{OnQueue, Place};

pub use pulse::pulse;

use orphans::Sweeper;

/// Submissions that are looked up at one time.
const CHUNK: usize = 500;
/// Pools that are asked at one time.
const POOLS_AT_ONCE: usize = 8;
/// Who was enqueued less than this ago is not missed yet.
const GRACE: Duration = Duration::from_secs(2);

/// Why a round broke off; the next one begins again.
#[derive(Debug, thiserror::Error)]
enum AuditError {
    #[error(transparent)]
    Redis(#[from] BrokerError),
    #[error(transparent)]
    Api(#[from] CallError),
}

/// Audits until told to stop, for the first time at once.
pub async fn run(operator: Arc<Operator>, stop: Stop) {
    let auditing = async {
        let mut ticks = tokio::time::interval(operator.settings.audit);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweeper = Sweeper::default();
        loop {
            ticks.tick().await;
            if let Err(error) = round(&operator).await {
                tracing::warn!(%error, "The audit broke off; trying again.");
                continue;
            }
            if let Err(error) = sweeper.sweep(&operator).await {
                tracing::warn!(%error, "The search for orphans broke off; trying again.");
            }
            if let Err(error) = remains::remove(&operator).await {
                tracing::warn!(%error, "What is left of pools that are gone was not removed; trying again.");
            }
        }
    };
    tokio::select! {
        () = stop.requested() => {}
        () = auditing => {}
    }
}

/// Looks for judgings that ought to be on a queue and are not, that are done and were not taken in, or that may not stay where
/// they are.
async fn round(operator: &Operator) -> Result<(), AuditError> {
    let Some(before) = Instant::now().checked_sub(GRACE) else { return Ok(()) };
    let mut pools: BTreeMap<Pool, Vec<(Place, OnQueue)>> = BTreeMap::new();
    for (place, enqueued) in operator.registry.on_queue(before) {
        pools.entry(enqueued.pool.clone()).or_default().push((place, enqueued));
    }
    stream::iter(pools)
        .map(Ok)
        .try_for_each_concurrent(POOLS_AT_ONCE, async |(pool, judgings)| {
            compare(operator, &pool, &judgings).await
        })
        .await
}

async fn compare(operator: &Operator, pool: &Pool, all: &[(Place, OnQueue)]) -> Result<(), AuditError> {
    let broker = operator.pools.broker(pool);
    for chunk in all.chunks(CHUNK) {
        let uids: Vec<String> = chunk.iter().map(|(place, _)| place.uid.clone()).collect();
        let found = operator.redis(broker.lookup(&uids).await)?;
        for ((place, enqueued), records) in chunk.iter().zip(found) {
            check(operator, place, enqueued, &records);
        }
    }
    Ok(())
}

fn check(operator: &Operator, place: &Place, enqueued: &OnQueue, records: &[JobRecord]) {
    if operator.head(place).is_some_and(|head| !operator.stays(&head, &enqueued.pool)) {
        return operator.trigger(place);
    }
    match presence(records, enqueued.judging, Some(enqueued.plan)) {
        Presence::All { news: true, .. } => operator.look(&place.uid),
        Presence::All { news: false, .. } | Presence::Leaving => {}
        Presence::Missing => {
            // Redis forgets what is finished after that was noted here: what is not noted is lost.
            let lost = operator.registry.note(&place.uid, |tracked| {
                let lost = tracked.enqueued.as_ref() == Some(enqueued) && tracked.finished < enqueued.judging;
                if lost {
                    (tracked.enqueued, tracked.reread) = (None, true);
                }
                lost
            });
            if lost == Some(true) {
                operator.metrics.requeued();
                tracing::warn!(
                    uid = place.uid,
                    judging = enqueued.judging,
                    "Redis has lost jobs of this Submission; enqueueing it again."
                );
                operator.trigger(place);
            }
        }
    }
}
