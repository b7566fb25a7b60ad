//! One Submission's next step, carried out.

use std::time::{Duration, Instant};

use crds::{Phase, SubmissionStatus, Verdict};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use queue::broker::{Enqueued, JobRecord, JobState, Scope};
use queue::verdict::{ConditionType, Judging, condition, invalid, set};

use super::ReconcileError;
use super::prepare::{Prepared, prepare, specification};
use crate::api::Failure;
use crate::context::Operator;
use crate::decide::{Lack, Step, deadline, decide, until};
use crate::intake::assess::{Presence, presence};
use crate::object::Head;
use crate::plan::Plan;
use crate::registry::{OnQueue, Place, Tracked};
use crate::writer::{Change, Ending, Permit, Progress, Request, What, permit};

/// Pause before a look at whether what was decided has come to pass.
const CHECK: Duration = Duration::from_secs(5);
/// How long a judging stands before its progress is worth a write.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// Longest time between two looks at whether there is room for that write.
const PROGRESS_AT_LEAST: Duration = Duration::from_mins(1);
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
            operator.redis(operator.broker.cancel(head.uid()).await)?;
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
            Some((enqueued, shown)) => reconcile.follow(enqueued, shown).await,
            None => Ok(Action::requeue(CHECK)),
        },
    }
}

struct Reconcile<'a> {
    operator: &'a Operator,
    head: &'a Head,
    now: Timestamp,
}

impl Reconcile<'_> {
    fn place(&self) -> Place {
        let head = self.head;
        Place { uid: head.uid().into(), namespace: head.namespace().into(), name: head.name().into() }
    }

    fn judging(&self, number: u32) -> Judging {
        let queued = self.head.standing.queued;
        Judging { number, generation: self.head.metadata.generation, deliveries: None, queued }
    }

    fn propose(&self, judging: u32, what: What) -> Result<(), ReconcileError> {
        let change = Change { uid: self.head.uid().into(), judging, what };
        let request = Request { place: self.place(), change };
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
            let found = self.operator.redis(self.operator.broker.cancel(self.head.uid()).await)?;
            self.operator.registry.note(self.head.uid(), |tracked| {
                (tracked.enqueued, tracked.new) = (None, false);
            });
            tracing::info!(jobs = found, "Suspended.");
        }
        let action = self.wait(wanted, Lack::suspended())?;
        let deadline = deadline(self.head).map(|deadline| until(deadline, self.now));
        Ok(if said { deadline.map_or(Action::await_change(), Action::requeue) } else { action })
    }

    fn wait(&self, judging: u32, lack: Lack) -> Result<Action, ReconcileError> {
        self.operator.fresh.take(self.head.uid());
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

    async fn enqueue(&self, judging: u32, tracked: &Tracked) -> Result<Action, ReconcileError> {
        let (operator, uid) = (self.operator, self.head.uid());
        if !tracked.new {
            match self.known(judging).await? {
                Presence::All { plan, news } => {
                    self.on_queue(OnQueue {
                        judging,
                        plan,
                        priority: self.head.asked.priority,
                        at: Instant::now(),
                    });
                    if news {
                        operator.look(uid);
                    }
                    return Ok(Action::requeue(PROGRESS_AFTER));
                }
                Presence::Leaving => return Ok(Action::requeue(PROGRESS_AFTER)),
                Presence::Missing => {}
            }
            // What was finished since is forgotten by Redis, and only then: it must not begin again.
            if operator.registry.get(uid).is_none_or(|tracked| tracked.finished >= judging) {
                return Ok(Action::await_change());
            }
        }
        operator.registry.note(uid, |tracked| tracked.new = false);
        let Some(spec) = specification(operator, self.head, tracked.reread).await? else {
            return Ok(Action::requeue(CHECK));
        };
        match prepare(operator, self.head, spec, judging).await? {
            Prepared::Plan(plan) => self.put(judging, plan).await,
            Prepared::Lack(lack) => self.wait(judging, lack),
            Prepared::Invalid(message) => {
                operator.metrics.malformed();
                tracing::info!(reason = message, "The Submission is invalid.");
                let status = Box::new(invalid(&message, Some(self.judging(judging)), self.now));
                self.propose(judging, What::Final { ending: Ending::Invalid, status })?;
                Ok(Action::requeue(CHECK))
            }
        }
    }

    async fn known(&self, judging: u32) -> Result<Presence, ReconcileError> {
        Ok(presence(&self.records().await?, judging, None))
    }

    async fn records(&self) -> Result<Vec<JobRecord>, ReconcileError> {
        let uids = [self.head.uid().to_owned()];
        let mut records = self.operator.redis(self.operator.broker.lookup(&uids).await)?;
        Ok(records.pop().unwrap_or_default())
    }

    fn on_queue(&self, enqueued: OnQueue) {
        self.operator.registry.note(self.head.uid(), |tracked| {
            tracked.enqueued = Some(enqueued);
            (tracked.new, tracked.reread) = (false, false);
        });
    }

    async fn put(&self, judging: u32, plan: Plan) -> Result<Action, ReconcileError> {
        let operator = self.operator;
        let mut known = false;
        for (job, blobs) in &plan.jobs {
            match operator.redis(operator.broker.enqueue(job, blobs, &operator.settings.allowance).await)? {
                Enqueued::Queued => {}
                Enqueued::Known => known = true,
                Enqueued::Full(scope) => {
                    let whose = match scope {
                        Scope::Pool => "the pool",
                        Scope::Namespace => "this namespace",
                    };
                    let message = format!("the queue of {whose} is full");
                    return self.wait(judging, Lack::new("QueueFull", message));
                }
            }
        }
        let priority = self.head.asked.priority;
        self.on_queue(OnQueue { judging, plan: plan.hash, priority, at: Instant::now() });
        tracing::info!(
            name = self.head.name(),
            namespace = self.head.namespace(),
            jobs = plan.jobs.len(),
            "Enqueued."
        );
        if known {
            // News of it may have come before we knew what to do with it.
            operator.look(self.head.uid());
        }
        Ok(Action::requeue(PROGRESS_AFTER))
    }

    async fn follow(&self, enqueued: OnQueue, shown: u32) -> Result<Action, ReconcileError> {
        let (operator, head) = (self.operator, self.head);
        if enqueued.priority != head.asked.priority {
            operator.redis(operator.broker.reprioritize(head.uid(), head.asked.priority).await)?;
            self.on_queue(OnQueue { priority: head.asked.priority, ..enqueued });
        }
        let standing = &head.standing;
        let said =
            standing.judging == enqueued.judging && standing.phase.is_some_and(|p| p != Phase::Pending);
        let mut next = deadline(head).map(|deadline| until(deadline, self.now));
        if !said && shown != enqueued.judging {
            let left = PROGRESS_AFTER.saturating_sub(enqueued.at.elapsed());
            let left = if left.is_zero() { self.show(enqueued).await? } else { Some(left) };
            next = [next, left].into_iter().flatten().min();
        }
        Ok(next.map_or(Action::await_change(), Action::requeue))
    }

    /// Has the progress written, if there is any and the pace allows it; says when to try again.
    async fn show(&self, enqueued: OnQueue) -> Result<Option<Duration>, ReconcileError> {
        if !self.operator.may_show_progress() {
            // Each look twice as late as the one before, so that a long queue costs little.
            return Ok(Some(enqueued.at.elapsed().clamp(PROGRESS_AFTER, PROGRESS_AT_LEAST)));
        }
        let Some(progress) = progress(&self.records().await?, enqueued) else { return Ok(None) };
        self.propose(enqueued.judging, What::Progress(progress))?;
        self.operator.registry.note(self.head.uid(), |tracked| tracked.progress = enqueued.judging);
        Ok(None)
    }
}

/// How far the judging is; nothing if there is nothing to tell, or the verdict is about to be told.
fn progress(records: &[JobRecord], enqueued: OnQueue) -> Option<Progress> {
    let ours = |r: &&JobRecord| r.id.judging == enqueued.judging && r.id.plan == enqueued.plan;
    let records: Vec<&JobRecord> = records.iter().filter(ours).collect();
    let done = |r: &&JobRecord| matches!(r.state, JobState::Reported | JobState::Lost(_));
    if records.iter().all(done) {
        return None;
    }
    let runs = |r: &&JobRecord| done(r) || r.phase == Some(Phase::Running);
    let taken = |r: &&JobRecord| r.state == JobState::Leased;
    let phase = if records.iter().any(runs) {
        Phase::Running
    } else if records.iter().any(taken) {
        Phase::Compiling
    } else {
        Phase::Queued
    };
    Some(Progress {
        phase,
        queued: records.iter().map(|r| r.queued).min()?,
        started: records.iter().filter_map(|r| r.first_taken).min(),
        total: records.first()?.span.total,
    })
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
    use queue::JobId;
    use queue::contract::Span;

    use super::*;

    fn enqueued() -> OnQueue {
        let plan = "0".repeat(32).parse().unwrap();
        OnQueue { judging: 1, plan, priority: crds::Priority::Normal, at: Instant::now() }
    }

    fn record(batch: u32, state: JobState, phase: Option<Phase>) -> JobRecord {
        let id = JobId { uid: "u".into(), judging: 1, plan: enqueued().plan, batch };
        let span = Span { first: 0, count: 1, total: 2, batches: 2 };
        let queued = Timestamp::from_second(i64::from(10 - batch)).unwrap();
        JobRecord { id, span, state, phase, deliveries: 1, queued, first_taken: None }
    }

    #[test]
    fn progress_is_that_of_the_furthest_job() {
        let phase = |jobs: &[JobRecord]| progress(jobs, enqueued()).map(|progress| progress.phase);
        let waiting = || record(0, JobState::Waiting, None);
        assert_eq!(phase(&[waiting(), record(1, JobState::Delayed, None)]), Some(Phase::Queued));
        assert_eq!(phase(&[waiting(), record(1, JobState::Leased, None)]), Some(Phase::Compiling));
        let running = record(1, JobState::Leased, Some(Phase::Running));
        assert_eq!(phase(&[waiting(), running]), Some(Phase::Running));
        assert_eq!(phase(&[waiting(), record(1, JobState::Reported, None)]), Some(Phase::Running));
        assert_eq!(
            phase(&[record(0, JobState::Reported, None), record(1, JobState::Lost("x".into()), None)]),
            None
        );
        assert_eq!(phase(&[]), None);
        let other = OnQueue { judging: 2, ..enqueued() };
        assert_eq!(progress(&[waiting()], other), None);
    }

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
