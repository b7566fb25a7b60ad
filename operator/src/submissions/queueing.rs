//! A judging's way onto a queue and along it: found or planned, put on the queue of the pool that may judge it, moved when that
//! may not any more, shown when it takes long.

use std::time::{Duration, Instant};

use crds::Phase;
use kube::runtime::controller::Action;
use queue::broker::{Enqueued, JobRecord, JobState, Pool, Scope};
use queue::verdict::invalid;

use super::ReconcileError;
use super::prepare::{Prepared, prepare, specification};
use super::reconcile::{CHECK, Reconcile};
use crate::decide::{Lack, deadline, until};
use crate::plan::Plan;
use crate::pools::Found;
use crate::registry::{OnQueue, Tracked};
use crate::writer::{Ending, Progress, What};

/// How long a judging stands before its progress is worth a write.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// Longest time between two looks at whether there is room for that write.
const PROGRESS_AT_LEAST: Duration = Duration::from_mins(1);

impl Reconcile<'_> {
    pub(super) async fn enqueue(&self, judging: u32, tracked: &Tracked) -> Result<Action, ReconcileError> {
        let (operator, uid) = (self.operator, self.head.uid());
        let sought = operator.sought_surely(self.head).await?;
        let (mut leaving, mut parts) = (Vec::new(), Vec::new());
        if !tracked.new {
            match operator.find(&sought, judging).await? {
                Found::Whole { pool, plan, news } => {
                    let priority = self.head.asked.priority;
                    self.on_queue(OnQueue { pool, judging, plan, priority, at: Instant::now() });
                    if news {
                        operator.look(uid);
                    }
                    return Ok(Action::requeue(PROGRESS_AFTER));
                }
                Found::Nowhere { leaving: gone, parts: left } => (leaving, parts) = (gone, left),
            }
            // What was finished since is forgotten by Redis, and only then: it must not begin again.
            if operator.registry.get(uid).is_none_or(|tracked| tracked.finished >= judging) {
                return Ok(Action::await_change());
            }
        }
        operator.registry.note(uid, |tracked| tracked.new = false);
        let route = operator.route(&sought);
        // Its spec was looked at before.
        if let Err(lack) = &route
            && tracked.unscheduled
            && operator.catalog.knows(&self.head.asked.language)
        {
            return self.wait(judging, lack.clone());
        }
        if route.as_ref().is_ok_and(|pool| leaving.contains(pool)) {
            return Ok(Action::requeue(PROGRESS_AFTER));
        }
        let Some(spec) = specification(operator, self.head, tracked.reread).await? else {
            return Ok(Action::requeue(CHECK));
        };
        match (prepare(operator, self.head, spec, judging).await?, route) {
            (Prepared::Plan(plan), Ok(pool)) => {
                // The queue itself lets go of another plan or judging; other queues know nothing of it.
                for part in parts.iter().filter(|part| **part != pool) {
                    operator.cancel(uid, Some(part)).await?;
                }
                self.put(judging, plan, pool).await
            }
            (Prepared::Plan(_), Err(lack)) | (Prepared::Lack(lack), _) => self.wait(judging, lack),
            (Prepared::Invalid(message), _) => self.refuse(judging, &message),
        }
    }

    fn refuse(&self, judging: u32, message: &str) -> Result<Action, ReconcileError> {
        self.operator.metrics.malformed();
        tracing::info!(reason = message, "The Submission is invalid.");
        let status = Box::new(invalid(message, Some(self.judging(judging)), self.now));
        self.propose(judging, What::Final { ending: Ending::Invalid, status })?;
        Ok(Action::requeue(CHECK))
    }

    fn on_queue(&self, enqueued: OnQueue) {
        self.operator.registry.note(self.head.uid(), |tracked| {
            tracked.enqueued = Some(enqueued);
            (tracked.new, tracked.reread, tracked.unscheduled) = (false, false, false);
        });
    }

    async fn put(&self, judging: u32, plan: Plan, pool: Pool) -> Result<Action, ReconcileError> {
        let (operator, broker) = (self.operator, self.operator.pools.broker(&pool));
        let mut known = false;
        for (job, blobs) in &plan.jobs {
            match operator.redis(broker.enqueue(job, blobs, &operator.settings.allowance).await)? {
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
        let (name, namespace, jobs) = (self.head.name(), self.head.namespace(), plan.jobs.len());
        tracing::info!(name, namespace, %pool, jobs, "Enqueued.");
        let priority = self.head.asked.priority;
        self.on_queue(OnQueue { pool, judging, plan: plan.hash, priority, at: Instant::now() });
        if known {
            // News of it may have come before we knew what to do with it.
            operator.look(self.head.uid());
        }
        // That look finds, too, if the pool has gone meanwhile.
        Ok(Action::requeue(PROGRESS_AFTER))
    }

    pub(super) async fn follow(&self, enqueued: &OnQueue, shown: u32) -> Result<Action, ReconcileError> {
        let (operator, head) = (self.operator, self.head);
        if !operator.stays(head, &enqueued.pool) {
            return self.leave(enqueued).await;
        }
        if enqueued.priority != head.asked.priority {
            let broker = operator.pools.broker(&enqueued.pool);
            operator.redis(broker.reprioritize(head.uid(), head.asked.priority).await)?;
            self.on_queue(OnQueue { priority: head.asked.priority, ..enqueued.clone() });
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

    /// Takes it off the queue of a pool that may not judge it any more, and routes it anew.
    async fn leave(&self, enqueued: &OnQueue) -> Result<Action, ReconcileError> {
        let (operator, uid) = (self.operator, self.head.uid());
        let OnQueue { pool, judging, .. } = enqueued;
        // What a runner holds of it is refused from now on when it is reported.
        let jobs = operator.cancel(uid, Some(pool)).await?;
        let (name, namespace) = (self.head.name(), self.head.namespace());
        tracing::info!(name, namespace, %pool, jobs, "Left a pool that may not judge it any more.");
        let tracked = operator.registry.note(uid, |tracked| {
            if tracked.enqueued.as_ref() == Some(enqueued) {
                (tracked.enqueued, tracked.reread) = (None, true);
            }
            tracked.clone()
        });
        match tracked {
            Some(tracked) if tracked.enqueued.is_none() => self.enqueue(*judging, &tracked).await,
            _ => Ok(Action::requeue(CHECK)),
        }
    }

    /// Has the progress written, if there is any and the pace allows it; says when to try again.
    async fn show(&self, enqueued: &OnQueue) -> Result<Option<Duration>, ReconcileError> {
        let operator = self.operator;
        if !operator.may_show_progress() {
            // Each look twice as late as the one before, so that a long queue costs little.
            return Ok(Some(enqueued.at.elapsed().clamp(PROGRESS_AFTER, PROGRESS_AT_LEAST)));
        }
        let records = operator.records(&enqueued.pool, self.head.uid()).await?;
        let Some(progress) = progress(&records, enqueued) else { return Ok(None) };
        self.propose(enqueued.judging, What::Progress(progress))?;
        operator.registry.note(self.head.uid(), |tracked| tracked.progress = enqueued.judging);
        Ok(None)
    }
}

/// How far the judging is; nothing if there is nothing to tell, or the verdict is about to be told.
fn progress(records: &[JobRecord], enqueued: &OnQueue) -> Option<Progress> {
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use queue::JobId;
    use queue::contract::Span;

    use super::*;

    fn enqueued() -> OnQueue {
        let plan = "0".repeat(32).parse().unwrap();
        OnQueue {
            pool: "default".parse().unwrap(),
            judging: 1,
            plan,
            priority: crds::Priority::Normal,
            at: Instant::now(),
        }
    }

    fn record(batch: u32, state: JobState, phase: Option<Phase>) -> JobRecord {
        let id = JobId { uid: "u".into(), judging: 1, plan: enqueued().plan, batch };
        let span = Span { first: 0, count: 1, total: 2, batches: 2 };
        let queued = Timestamp::from_second(i64::from(10 - batch)).unwrap();
        JobRecord { id, span, state, phase, deliveries: 1, queued, first_taken: None }
    }

    #[test]
    fn progress_is_that_of_the_furthest_job() {
        let phase = |jobs: &[JobRecord]| progress(jobs, &enqueued()).map(|progress| progress.phase);
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
        assert_eq!(progress(&[waiting()], &other), None);
    }
}
