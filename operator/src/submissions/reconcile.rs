//! One Submission's next step, carried out.

use std::time::Duration;

use crds::{SubmissionStatus, Verdict};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use queue::verdict::{ConditionType, Judging, condition, invalid, set};

use super::ReconcileError;
use crate::api::Failure;
use crate::context::Operator;
use crate::decide::{Lack, Step, deadline, decide, until};
use crate::object::Head;
use crate::pools::place_of;
use crate::pools::route::UNSCHEDULABLE;
use crate::registry::{Place, Tracked};
use crate::writer::{Change, Ending, Permit, Request, What, permit};

/// Pause before a look at whether what was decided has come to pass.
pub(super) const CHECK: Duration = Duration::from_secs(5);
/// Shortest time between two writes that are not final.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);

/// Carries out the next step.
pub(super) async fn reconcile(operator: &Operator, head: &Head) -> Result<Action, ReconcileError> {
    let tracked = operator.registry.get(head.uid());
    let now = Timestamp::now();
    let step = decide(head, tracked.as_ref(), operator.settings.ttl, now);
    tracing::debug!(?step, "Reconciling.");
    let reconcile = Reconcile { operator, head, now };
    match step {
        Step::Rest => Ok(Action::await_change()),
        Step::Drop => {
            operator.cancel(head.uid(), place_of(operator, head.uid()).as_ref()).await?;
            Ok(Action::await_change())
        }
        Step::Expire(Duration::ZERO) => reconcile.expire().await,
        Step::Expire(left) => Ok(Action::requeue(left)),
        Step::Overdue => reconcile.end_overdue(),
        Step::Suspend => reconcile.suspend(tracked.as_ref()).await,
        Step::Rejudge(judging) => {
            operator.registry.note(head.uid(), |tracked| tracked.burials = 0);
            reconcile.propose(judging, What::Rejudge)?;
            Ok(Action::requeue(CHECK))
        }
        Step::Enqueue(judging) => match tracked {
            Some(tracked) => reconcile.enqueue(judging, &tracked).await,
            // The watch says that it is gone or finished; this view of it is older.
            None => Ok(Action::await_change()),
        },
        Step::Follow(_) => match tracked.and_then(|tracked| Some((tracked.enqueued?, tracked.progress))) {
            Some((enqueued, shown)) => reconcile.follow(&enqueued, shown).await,
            None => Ok(Action::requeue(CHECK)),
        },
    }
}

pub(super) struct Reconcile<'a> {
    pub(super) operator: &'a Operator,
    pub(super) head: &'a Head,
    pub(super) now: Timestamp,
}

impl Reconcile<'_> {
    fn place(&self) -> Place {
        let head = self.head;
        Place { uid: head.uid().into(), namespace: head.namespace().into(), name: head.name().into() }
    }

    pub(super) fn judging(&self, number: u32) -> Judging {
        let queued = self.head.standing.queued;
        Judging { number, generation: self.head.metadata.generation, deliveries: None, queued }
    }

    pub(super) fn propose(&self, judging: u32, what: What) -> Result<(), ReconcileError> {
        let change = Change { uid: self.head.uid().into(), judging, what };
        let pool = place_of(self.operator, self.head.uid());
        let request = Request { place: self.place(), pool, change };
        if self.operator.propose(request) { Ok(()) } else { Err(ReconcileError::Busy) }
    }

    async fn expire(&self) -> Result<Action, ReconcileError> {
        let head = self.head;
        let calls = &self.operator.calls;
        let deleted =
            calls.delete_submission(head.namespace(), head.name(), head.uid(), head.resource_version()).await;
        match self.operator.api(deleted) {
            Ok(()) => {
                tracing::info!(name = head.name(), namespace = head.namespace(), "Deleted after its time.");
                Ok(Action::await_change())
            }
            // Gone already; or changed, and then the watch brings what it is now.
            Err(error) if matches!(error.failure(), Failure::Gone | Failure::Conflict) => {
                Ok(Action::requeue(CHECK))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The writer has its jobs forgotten once the end is written.
    fn end_overdue(&self) -> Result<Action, ReconcileError> {
        let wanted = self.head.wanted();
        let status = Box::new(overdue_status(self.head, self.judging(wanted), self.now));
        self.propose(wanted, What::Final { ending: Ending::Overdue, status })?;
        Ok(Action::requeue(CHECK))
    }

    async fn suspend(&self, tracked: Option<&Tracked>) -> Result<Action, ReconcileError> {
        let what = What::Wait(Lack::suspended());
        let wanted = self.head.wanted();
        let change = Change { uid: self.head.uid().into(), judging: wanted, what };
        let said = permit(self.head, &change) == Permit::Unchanged;
        if !said || tracked.is_some_and(|tracked| tracked.enqueued.is_some()) {
            // Jobs first: once the status says that it is suspended, nothing runs.
            let pool = tracked.and_then(Tracked::pool);
            let found = self.operator.cancel(self.head.uid(), pool.as_ref()).await?;
            self.operator.registry.note(self.head.uid(), |tracked| {
                (tracked.enqueued, tracked.new) = (None, false);
            });
            tracing::info!(jobs = found, "Suspended.");
        }
        let action = self.wait(wanted, Lack::suspended())?;
        let deadline = deadline(self.head).map(|deadline| until(deadline, self.now));
        Ok(if said { deadline.map_or(Action::await_change(), Action::requeue) } else { action })
    }

    pub(super) fn wait(&self, judging: u32, lack: Lack) -> Result<Action, ReconcileError> {
        self.operator.fresh.take(self.head.uid());
        let unscheduled = lack.reason == UNSCHEDULABLE;
        self.operator.registry.note(self.head.uid(), |tracked| tracked.unscheduled = unscheduled);
        let reason = lack.reason;
        let change = Change { uid: self.head.uid().into(), judging, what: What::Wait(lack) };
        if permit(self.head, &change) == Permit::Write {
            let written = self.operator.registry.get(self.head.uid()).and_then(|tracked| tracked.written);
            let since = written.map_or(BETWEEN_WRITES, |written| written.elapsed());
            if since < BETWEEN_WRITES {
                return Ok(Action::requeue(BETWEEN_WRITES.saturating_sub(since)));
            }
            tracing::info!(reason, name = self.head.name(), namespace = self.head.namespace(), "Waits.");
            self.propose(judging, change.what)?;
        }
        let left = deadline(self.head).map_or(Duration::MAX, |deadline| until(deadline, self.now));
        Ok(Action::requeue(self.operator.settings.waiting_retry.min(left)))
    }
}

/// The final status of a judging that took longer than it may.
fn overdue_status(head: &Head, judging: Judging, now: Timestamp) -> SubmissionStatus {
    let seconds = head.asked.deadline.unwrap_or_default();
    let message = format!("not finished within spec.activeDeadlineSeconds, {seconds} s");
    let mut status = invalid(&message, Some(judging), now);
    let admitted = head.standing.conditions.iter().find(|c| c.type_ == ConditionType::Admitted.name());
    status.conditions = admitted.cloned().into_iter().collect();
    for (kind, holds) in [(ConditionType::Finished, true), (ConditionType::Succeeded, false)] {
        let generation = head.metadata.generation;
        set(
            &mut status.conditions,
            condition(kind.name(), holds, "DeadlineExceeded", &message, generation, now),
        );
    }
    status.verdict = Some(Verdict::Cancelled);
    status
}

#[cfg(test)]
mod tests {
    use crds::Phase;

    use super::*;

    #[test]
    fn an_overdue_judging_is_cancelled_and_over() {
        let mut head = Head::default();
        head.asked.deadline = Some(7);
        let judging = Judging { number: 3, generation: None, deliveries: None, queued: None };
        let status = overdue_status(&head, judging, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (status.verdict, status.phase, status.judging),
            (Some(Verdict::Cancelled), Some(Phase::Finished), Some(3))
        );
        let said: Vec<_> = status
            .conditions
            .iter()
            .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
            .collect();
        let reason = "DeadlineExceeded";
        assert_eq!(said, [("Finished", "True", reason), ("Succeeded", "False", reason)]);
        assert_eq!(status.message.unwrap(), "not finished within spec.activeDeadlineSeconds, 7 s");
    }
}
