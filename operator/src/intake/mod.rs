//! Takes in what runners reported: collects a Submission's jobs, folds them, and has the verdict written.

pub mod assess;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use queue::verdict::{Judged, Judging};
use queue::{Broker, BrokerError, JobId};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::context::{Operator, Stop, stream};
use crate::decide::{Step, decide};
use crate::object::Head;
use crate::registry::{OnQueue, Place};
use crate::submissions::{Prepared, ReconcileError, prepare, specification};
use crate::writer::{Change, Ending, Request, What};
use assess::{Assessment, Complete, assess};

/// Submissions that are collected at one time.
const PARALLEL: usize = 32;
/// UIDs taken from Redis at one time.
const AT_ONCE: usize = 256;
/// Longest wait for news; none is needed but to see that the connection lives.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Jobs or reports of one judging that may be unreadable before it is given up.
const MAX_BURIALS: u32 = 3;

/// Why news led to nothing; the audit brings it again.
#[derive(Debug, thiserror::Error)]
enum IntakeError {
    #[error(transparent)]
    Redis(#[from] BrokerError),
    #[error(transparent)]
    Plan(#[from] ReconcileError),
}

/// Hands news of a pool from Redis to the intake, as long as there is one.
pub async fn listen(operator: &Operator, broker: &Broker) {
    let mut waiter = broker.waiter();
    loop {
        match operator.redis(waiter.news(LONGEST_WAIT, AT_ONCE).await) {
            Ok(uids) => {
                for uid in uids {
                    if operator.news.send(uid).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "No news from Redis; trying again.");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Looks at each Submission of which there is news until told to stop.
pub async fn run(operator: Arc<Operator>, news: mpsc::Receiver<String>, stop: Stop) {
    let news = stream(news).take_until(stop.requested());
    news.for_each_concurrent(PARALLEL, |uid| take_in(&operator, uid)).await;
}

async fn take_in(operator: &Operator, uid: String) {
    // Who is not tracked is finished, gone, or not ours.
    let Some(tracked) = operator.registry.get(&uid) else { return };
    let place = Place { uid, namespace: tracked.namespace.clone(), name: tracked.name.clone() };
    let Some(head) = operator.head(&place) else { return };
    let enqueued = match decide(&head, Some(&tracked), operator.settings.ttl, Timestamp::now()) {
        Step::Follow(judging) => tracked.enqueued.filter(|enqueued| enqueued.judging == judging),
        _ => None,
    };
    // Suspended, overdue, or found before we knew it: the reconcile knows what to do.
    let Some(enqueued) = enqueued else { return operator.trigger(&place) };
    let span = tracing::info_span!("intake", uid = place.uid, judging = enqueued.judging);
    let broker = operator.pools.broker(&enqueued.pool);
    let intake = Intake { operator, place: &place, head: &head, enqueued, broker };
    let result = async { intake.run().await }.instrument(span);
    if let Err(error) = result.await {
        tracing::warn!(%error, uid = place.uid, judging = intake.enqueued.judging, "Reports were not taken in; the audit will bring them again.");
    }
}

struct Intake<'a> {
    operator: &'a Operator,
    place: &'a Place,
    head: &'a Head,
    enqueued: OnQueue,
    /// The queue that it is on.
    broker: Broker,
}

impl Intake<'_> {
    async fn run(&self) -> Result<(), IntakeError> {
        let uid = &self.place.uid;
        let collected = self.operator.redis(self.broker.collect(uid).await)?;
        match assess(collected, self.enqueued.judging, self.enqueued.plan) {
            // What is missing, the audit enqueues again when it is sure.
            Assessment::Incomplete | Assessment::Underway => Ok(()),
            Assessment::Complete(complete) => {
                self.finish(complete);
                Ok(())
            }
            Assessment::Garbled { id, reason, total } => self.bury(&id, &reason, total).await,
            Assessment::Blocked(blocked) => self.supply(&blocked).await,
        }
    }

    fn finish(&self, complete: Complete) {
        let Complete { total, batches, deliveries, queued } = complete;
        let judged = Judged::fold(total, batches);
        let judging = Judging {
            number: self.enqueued.judging,
            generation: self.head.metadata.generation,
            deliveries: Some(deliveries),
            queued,
        };
        self.propose(judged, judging);
    }

    fn propose(&self, judged: Judged, judging: Judging) {
        let status = Box::new(judged.status(judging, Timestamp::now()));
        let what = What::Final { ending: Ending::Judged, status };
        let change = Change { uid: self.place.uid.clone(), judging: judging.number, what };
        let pool = Some(self.enqueued.pool.clone());
        self.operator.propose(Request { place: self.place.clone(), pool, change });
    }

    /// Puts an unreadable job or report aside and has the judging planned anew, unless that came to nothing too often.
    async fn bury(&self, id: &JobId, reason: &str, total: u32) -> Result<(), IntakeError> {
        let uid = &self.place.uid;
        let again = |tracked: &mut crate::registry::Tracked| {
            tracked.burials += 1;
            tracked.burials
        };
        let burials = self.operator.registry.note(uid, again).unwrap_or_default();
        tracing::warn!(job = %id, reason, burials, "A job or its report can't be read.");
        if burials > MAX_BURIALS {
            let mut judged = Judged::fold(total, Vec::new());
            reason.clone_into(&mut judged.message);
            let (number, generation) = (self.enqueued.judging, self.head.metadata.generation);
            self.propose(judged, Judging { number, generation, deliveries: None, queued: None });
            return Ok(());
        }
        self.operator.redis(self.broker.bury(id, reason).await)?;
        self.operator.metrics.buried();
        self.anew();
        Ok(())
    }

    /// Uploads the missing blobs again; if the plan is another by now, the judging starts over.
    async fn supply(&self, blocked: &[JobId]) -> Result<(), IntakeError> {
        let (operator, uid) = (self.operator, &self.place.uid);
        let Some(spec) = specification(operator, self.head, true).await? else { return Ok(()) };
        let plan = match prepare(operator, self.head, spec, self.enqueued.judging).await? {
            Prepared::Plan(plan) if plan.hash == self.enqueued.plan => plan,
            Prepared::Plan(_) | Prepared::Lack(_) | Prepared::Invalid(_) => {
                tracing::info!("What the judging rests on has changed; starting it over.");
                operator.redis(self.broker.cancel(uid).await)?;
                self.anew();
                return Ok(());
            }
        };
        for (job, blobs) in plan.jobs.iter().filter(|(job, _)| blocked.contains(&job.id)) {
            operator.redis(self.broker.supply(&job.id, blobs).await)?;
            tracing::info!(batch = job.id.batch, "Missing blobs were uploaded again.");
        }
        Ok(())
    }

    fn anew(&self) {
        self.operator.registry.note(&self.place.uid, |tracked| {
            tracked.enqueued = None;
            tracked.reread = true;
        });
        self.operator.trigger(self.place);
    }
}
