//! One status write, from the last look at the object to what follows from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use queue::verdict::{Judged, Judging};
use tracing::Instrument;

use super::{Change, Ending, Permit, Request, What, body, permit};
use crate::api::{CallError, Failure};
use crate::context::Operator;
use crate::object::Head;
use crate::pools::place_of;
use crate::registry::Place;

/// Tries of one write after the first; what then is not written, the audit brings again.
const RETRIES: usize = 5;
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Written,
    Unchanged,
    Settled,
    Obsolete,
    Gone,
    Rejected,
    Failed,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Settled => "settled",
            Self::Obsolete => "obsolete",
            Self::Gone => "gone",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

const fn kind(what: &What) -> &'static str {
    match what {
        What::Final { .. } => "final",
        What::Rejudge => "rejudge",
        What::Wait(_) => "waiting",
        What::Progress(_) => "progress",
    }
}

/// Makes the change, if it may still be made, and does what follows from it.
pub(super) async fn perform(operator: &Operator, request: Request) {
    let span = tracing::info_span!("status", uid = request.place.uid, judging = request.change.judging);
    let begin = Instant::now();
    async {
        let mut write =
            Write { operator, place: &request.place, change: request.change.clone(), plain: false };
        let (outcome, head) = write.run().await;
        operator.metrics.wrote(kind(&request.change.what), outcome.name(), begin.elapsed());
        follow_up(operator, &request, &write.change, outcome, head.as_deref()).await;
    }
    .instrument(span)
    .await;
}

struct Write<'a> {
    operator: &'a Operator,
    place: &'a Place,
    change: Change,
    /// Whether the change was replaced by one that says nothing that could be refused.
    plain: bool,
}

impl Write<'_> {
    async fn run(&mut self) -> (Outcome, Option<Arc<Head>>) {
        let delays = ExponentialBuilder::default()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LONGEST_DELAY)
            .with_max_times(RETRIES)
            .with_jitter();
        let mut delays = delays.build();
        // What a finished Submission says is not kept in the store.
        let stored = (self.change.what != What::Rejudge).then(|| self.operator.head(self.place)).flatten();
        // Nor does it show our own last write at once, and a write on what that replaced would be refused.
        let replaced = self.operator.registry.get(&self.place.uid).and_then(|tracked| tracked.replaced);
        let stored = stored.filter(|head| replaced.as_deref() != Some(head.resource_version()));
        let mut head = stored;
        loop {
            let failure = match self.attempt(head.take()).await {
                Ok((outcome, head)) => return (outcome, head),
                Err(failure) => failure,
            };
            // A conflict is news of the object, and no reason to wait.
            match (failure, delays.next()) {
                (_, None) => return (Outcome::Failed, None),
                (Failure::Conflict, Some(_)) => {}
                (_, Some(delay)) => tokio::time::sleep(delay).await,
            }
        }
    }

    /// One try, on what the store shows or else on what is stored in the API server.
    async fn attempt(&mut self, stored: Option<Arc<Head>>) -> Result<(Outcome, Option<Arc<Head>>), Failure> {
        let head = match stored {
            Some(head) => head,
            None => match self.operator.api(self.read().await).map_err(|error| self.failed(&error))? {
                Some(head) => Arc::new(head),
                None => return Ok((Outcome::Gone, None)),
            },
        };
        let outcome = match permit(&head, &self.change) {
            Permit::Unchanged => Outcome::Unchanged,
            Permit::Settled => Outcome::Settled,
            Permit::Obsolete => Outcome::Obsolete,
            Permit::Write => return self.send(head).await,
        };
        Ok((outcome, Some(head)))
    }

    async fn read(&self) -> Result<Option<Head>, CallError> {
        let raw = self.operator.calls.submission(&self.place.namespace, &self.place.name).await?;
        let head = raw.map(|raw| Head::whole(&raw));
        Ok(head.filter(|head| head.uid() == self.place.uid))
    }

    async fn send(&mut self, head: Arc<Head>) -> Result<(Outcome, Option<Arc<Head>>), Failure> {
        let Place { namespace, name, .. } = self.place;
        let body = body(&head, &self.change, Timestamp::now());
        let answer = self.operator.calls.write_status(namespace, name, &body).await;
        let Err(error) = self.operator.api(answer) else { return Ok((Outcome::Written, Some(head))) };
        match error.failure() {
            Failure::Gone => Ok((Outcome::Gone, None)),
            Failure::Rejected if self.plain || !self.simplify() => {
                tracing::error!(%error, "The API server refuses this status; the Submission stays as it is.");
                Ok((Outcome::Rejected, Some(head)))
            }
            Failure::Rejected => {
                tracing::error!(%error, "The API server refused a status; writing InternalError in its place.");
                Err(Failure::Conflict)
            }
            _ => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &CallError) -> Failure {
        let failure = error.failure();
        if failure != Failure::Conflict {
            tracing::warn!(%error, kind = kind(&self.change.what), "A status was not written; trying again.");
        }
        failure
    }

    /// Puts the smallest final status in the place of the one that was refused. Only for what is final.
    fn simplify(&mut self) -> bool {
        let What::Final { ending: Ending::Judged, status } = &mut self.change.what else { return false };
        self.plain = true;
        let total = status.tests_total.and_then(|total| u32::try_from(total).ok()).unwrap_or(1);
        let mut plain = Judged::fold(total, Vec::new());
        "the API server refused the full status".clone_into(&mut plain.message);
        let judging =
            Judging { number: self.change.judging, generation: None, deliveries: None, queued: None };
        **status = plain.status(judging, Timestamp::now());
        true
    }
}

async fn follow_up(
    operator: &Operator,
    request: &Request,
    change: &Change,
    outcome: Outcome,
    head: Option<&Head>,
) {
    let place = &request.place;
    let (uid, judging) = (place.uid.as_str(), change.judging);
    match (outcome, &change.what) {
        (Outcome::Written, What::Final { status, .. }) => {
            // First noted, then forgotten: whoever finds nothing in Redis after this knows why.
            operator.registry.note(uid, |tracked| tracked.finished = tracked.finished.max(judging));
            let verdict = status.verdict.map_or("Invalid".to_owned(), |verdict| format!("{verdict:?}"));
            tracing::info!(%verdict, name = place.name, namespace = place.namespace, "Finished.");
            let language = head.map(|head| head.asked.language.as_str());
            let language = language.filter(|language| operator.catalog.knows(language));
            operator.metrics.finished(&verdict, language, head.and_then(|head| took(head, judging)));
            forget(operator, request, judging).await;
        }
        (Outcome::Settled, What::Final { .. }) => {
            operator.registry.note(uid, |tracked| tracked.finished = tracked.finished.max(judging));
            forget(operator, request, judging).await;
        }
        (Outcome::Gone, _) => {
            let pool = operator.registry.drop(uid).and_then(|tracked| tracked.pool());
            operator.forsake(uid, pool.or_else(|| request.pool.clone()));
        }
        (Outcome::Rejected, What::Final { .. }) => {
            let version = head.map(|head| head.resource_version().to_owned());
            let pool = place_of(operator, uid).or_else(|| request.pool.clone());
            operator.registry.note(uid, |tracked| (tracked.refused, tracked.enqueued) = (version, None));
            operator.forsake(uid, pool);
        }
        (Outcome::Obsolete, _) => operator.trigger(place),
        (Outcome::Written, what) => {
            operator.registry.note(uid, |tracked| {
                tracked.written = Some(Instant::now());
                tracked.replaced = head.map(|head| head.resource_version().to_owned());
                // After a wait, progress is news again.
                if matches!(what, What::Wait(_)) {
                    tracked.progress = 0;
                }
            });
        }
        (Outcome::Unchanged | Outcome::Settled | Outcome::Rejected, _) => {}
        (Outcome::Failed, what) => {
            tracing::warn!(kind = kind(what), "A status was not written; the audit will bring it again.");
        }
    }
}

/// What is not forgotten now is found by the audit.
async fn forget(operator: &Operator, request: &Request, judging: u32) {
    let uid = &request.place.uid;
    let pool = request.pool.as_ref();
    let mut result = operator.forget(uid, judging, pool).await;
    // It may have been moved while this was being written.
    if let Some(now) = place_of(operator, uid).filter(|now| pool.is_some_and(|pool| pool != now)) {
        result = result.and(operator.forget(uid, judging, Some(&now)).await);
    }
    if let Err(error) = result {
        tracing::warn!(%error, "Reports that are written are still in Redis; the audit will remove them.");
    }
}

fn took(head: &Head, judging: u32) -> Option<Duration> {
    let created = head.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let begin = if judging == 1 { created } else { head.standing.queued }?;
    Some(crate::decide::until(Timestamp::now(), begin))
}
