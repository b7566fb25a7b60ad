//! The custom resource is the truth, the queue is a hint: what Redis lost is enqueued again, what nobody owns is removed.

mod pulse;

use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::BrokerError;
use queue::broker::{JobRecord, Subject};
use tokio::time::MissedTickBehavior;

use crate::api::CallError;
use crate::context::{Operator, Stop};
use crate::intake::assess::{Presence, presence};
use crate::object::Head;
use crate::registry::{OnQueue, Place};

pub use pulse::pulse;

/// Submissions that are looked up at one time.
const CHUNK: usize = 500;
/// Who was enqueued less than this ago is not missed yet.
const GRACE: Duration = Duration::from_secs(2);
/// Submissions that Redis knows and that are looked at in one round.
const SWEEP: usize = 500;
/// Reads from the API server in one round, for those that the store does not show.
const MAX_READS: usize = 100;

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
        let mut cursor = 0;
        loop {
            ticks.tick().await;
            if let Err(error) = round(&operator).await {
                tracing::warn!(%error, "The audit broke off; trying again.");
                continue;
            }
            match sweep(&operator, cursor).await {
                Ok(next) => cursor = next,
                Err(error) => tracing::warn!(%error, "The search for orphans broke off; trying again."),
            }
        }
    };
    tokio::select! {
        () = stop.requested() => {}
        () = auditing => {}
    }
}

/// Looks for judgings that ought to be on the queue and are not, or that are done and were not taken in.
async fn round(operator: &Operator) -> Result<(), AuditError> {
    let Some(before) = Instant::now().checked_sub(GRACE) else { return Ok(()) };
    for chunk in operator.registry.on_queue(before).chunks(CHUNK) {
        let uids: Vec<String> = chunk.iter().map(|(place, _)| place.uid.clone()).collect();
        let found = operator.redis(operator.broker.lookup(&uids).await)?;
        for ((place, enqueued), records) in chunk.iter().zip(found) {
            check(operator, place, enqueued, &records);
        }
    }
    Ok(())
}

fn check(operator: &Operator, place: &Place, enqueued: &OnQueue, records: &[JobRecord]) {
    match presence(records, enqueued.judging, Some(enqueued.plan)) {
        Presence::All { news: true, .. } => operator.look(&place.uid),
        Presence::All { news: false, .. } | Presence::Leaving => {}
        Presence::Missing => {
            // Redis forgets what is finished after that was noted here: what is not noted is lost.
            let lost = operator.registry.note(&place.uid, |tracked| {
                let lost = tracked.enqueued == Some(*enqueued) && tracked.finished < enqueued.judging;
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

/// Looks at some of the Submissions that Redis knows, and removes those that nobody owns. Says where to go on.
async fn sweep(operator: &Operator, cursor: u64) -> Result<u64, AuditError> {
    let (subjects, next) = operator.redis(operator.broker.subjects(cursor, SWEEP).await)?;
    let mut reads = 0;
    for subject in subjects {
        if !operator.serves(&subject.namespace) || operator.registry.get(&subject.uid).is_some() {
            continue;
        }
        if reads >= MAX_READS {
            // The rest has its turn in the next round.
            return Ok(cursor);
        }
        reads += 1;
        disown(operator, subject).await?;
    }
    Ok(next)
}

/// Removes the Submission's jobs if it is gone or finished. One that is there and not ours is left alone.
async fn disown(operator: &Operator, subject: Subject) -> Result<(), AuditError> {
    let Subject { uid, namespace, name } = subject;
    let raw = operator.api(operator.calls.submission(&namespace, &name).await)?;
    let head = raw.map(|raw| Head::of(&raw)).filter(|head| head.uid() == uid);
    match head {
        None => {
            let jobs = operator.redis(operator.broker.cancel(&uid).await)?;
            tracing::info!(uid, jobs, "Jobs of a Submission that is gone were removed.");
        }
        Some(head) if head.done() => {
            operator.redis(operator.broker.forget(&uid, head.standing.judging).await)?;
        }
        Some(_) => return Ok(()),
    }
    operator.metrics.orphan();
    Ok(())
}
