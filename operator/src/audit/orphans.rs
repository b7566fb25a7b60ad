//! Submissions that Redis knows and that have no business there: gone or finished ones, and those that are on another pool's
//! queue by now.
//!
//! Two operators may see the pools, or what their runners say, otherwise for a moment, and put one Submission on two queues. Both
//! leave that alone for a while, then both let go of the same one of the two.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use queue::broker::{JobState, Pool, Subject};

use super::AuditError;
use crate::context::Operator;
use crate::decide::{Step, decide};
use crate::intake::assess::Presence;
use crate::object::Head;
use crate::pools::{QueuePool, agreed};
use crate::registry::{OnQueue, Place, Tracked};

/// Submissions that Redis knows and that are looked at in one round and pool.
const SWEEP: usize = 500;
/// Reads from the API server in one round, for those that the store does not show.
const MAX_READS: usize = 100;
/// How long a Submission may be on a queue where it is not expected: another operator may know better.
const STRAY_GRACE: Duration = Duration::from_secs(10);
/// After this an old sight of a stray is of no use.
const STRAY_AGE: Duration = Duration::from_mins(10);
/// Strays that are remembered.
const MAX_STRAYS: usize = 10_000;

/// Sweeps all pools bit by bit.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    cursors: HashMap<Pool, u64>,
    strays: Strays,
}

/// When a Submission was first seen on a queue where it was not expected.
#[derive(Debug, Default)]
struct Strays(HashMap<(String, Pool), Instant>);

impl Strays {
    /// Whether it has been there for so long that something is to be done.
    fn is_due(&mut self, uid: &str, pool: &Pool, now: Instant) -> bool {
        let key = (uid.to_owned(), pool.clone());
        match self.0.get(&key) {
            Some(since) if now.duration_since(*since) >= STRAY_GRACE => {
                self.0.remove(&key);
                true
            }
            Some(_) => false,
            None => {
                if self.0.len() < MAX_STRAYS {
                    self.0.insert(key, now);
                }
                false
            }
        }
    }

    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|_, since| now.duration_since(*since) < STRAY_AGE);
    }
}

impl Sweeper {
    /// Looks at some of the Submissions that Redis knows in each pool.
    pub(super) async fn sweep(&mut self, operator: &Operator) -> Result<(), AuditError> {
        let pools = operator.pools.all();
        self.cursors.retain(|name, _| pools.iter().any(|pool| pool.name == *name));
        self.strays.forget_old(Instant::now());
        let mut reads = 0;
        for pool in pools {
            let cursor = self.cursors.get(&pool.name).copied().unwrap_or_default();
            let next = self.sweep_pool(operator, &pool, cursor, &mut reads).await?;
            self.cursors.insert(pool.name.clone(), next);
        }
        Ok(())
    }

    /// Says where to go on.
    async fn sweep_pool(
        &mut self,
        operator: &Operator,
        pool: &QueuePool,
        cursor: u64,
        reads: &mut usize,
    ) -> Result<u64, AuditError> {
        let (subjects, next) = operator.redis(pool.broker.subjects(cursor, SWEEP).await)?;
        for subject in subjects {
            if !operator.serves(&subject.namespace) {
                continue;
            }
            let Some(tracked) = operator.registry.get(&subject.uid) else {
                if *reads >= MAX_READS {
                    // The rest has its turn in the next round.
                    return Ok(cursor);
                }
                *reads += 1;
                disown(operator, pool, subject).await?;
                continue;
            };
            let expected = tracked.enqueued.as_ref().is_some_and(|enqueued| enqueued.pool == pool.name);
            if !expected && self.strays.is_due(&subject.uid, &pool.name, Instant::now()) {
                settle(operator, pool, subject, &tracked).await?;
            }
        }
        Ok(next)
    }
}

/// Removes the Submission's jobs if it is gone or finished. One that is there and not ours is left alone.
async fn disown(operator: &Operator, pool: &QueuePool, subject: Subject) -> Result<(), AuditError> {
    let Subject { uid, namespace, name } = subject;
    let raw = operator.api(operator.calls.submission(&namespace, &name).await)?;
    let head = raw.map(|raw| Head::of(&raw)).filter(|head| head.uid() == uid);
    match head {
        None => {
            let jobs = operator.redis(pool.broker.cancel(&uid).await)?;
            tracing::info!(uid, jobs, "Jobs of a Submission that is gone were removed.");
        }
        Some(head) if head.done() => {
            operator.redis(pool.broker.forget(&uid, head.standing.judging).await)?;
        }
        Some(_) => return Ok(()),
    }
    operator.metrics.orphan();
    Ok(())
}

/// Settles where a Submission belongs that is unfinished and on a queue where it was not expected.
async fn settle(
    operator: &Operator,
    pool: &QueuePool,
    subject: Subject,
    tracked: &Tracked,
) -> Result<(), AuditError> {
    let Subject { uid, namespace, name } = subject;
    let place = Place { uid, namespace, name };
    let Some(head) = operator.head(&place) else { return Ok(()) };
    let step = decide(&head, Some(tracked), operator.settings.ttl, Timestamp::now());
    // Else it is suspended or finished: not a matter of pools.
    let (Step::Follow(judging) | Step::Enqueue(judging)) = step else { return Ok(()) };
    let may_stay = operator.pools.is_open(&pool.name) && operator.stays(&head, &pool.name);
    let uid = &place.uid;
    match &tracked.enqueued {
        // It waits for something; the reconcile finds that it is on this queue.
        None if may_stay => operator.trigger(&place),
        Some(ours) if may_stay && *agreed(uid, &pool.name, &ours.pool) == pool.name => {
            adopt(operator, pool, uid, judging, ours).await?;
        }
        None | Some(_) => cancel(operator, pool, uid).await?,
    }
    Ok(())
}

/// Follows the jobs that are on this queue, if they are all there, and lets those go that we followed.
async fn adopt(
    operator: &Operator,
    pool: &QueuePool,
    uid: &str,
    judging: u32,
    ours: &OnQueue,
) -> Result<(), AuditError> {
    let Presence::All { plan, news } = operator.present(&pool.name, uid, judging).await? else {
        return Ok(());
    };
    let adopted = OnQueue { pool: pool.name.clone(), plan, at: Instant::now(), ..ours.clone() };
    let done = operator.registry.note(uid, |tracked| {
        let same = tracked.enqueued.as_ref() == Some(ours);
        if same {
            tracked.enqueued = Some(adopted);
        }
        same
    });
    if done == Some(true) {
        tracing::info!(uid, from = %ours.pool, to = %pool.name, "Another operator's jobs of this Submission are followed.");
        operator.cancel(uid, Some(&ours.pool)).await?;
        if news {
            operator.look(uid);
        }
    }
    Ok(())
}

/// What is being cancelled already is only waited for.
async fn cancel(operator: &Operator, pool: &QueuePool, uid: &str) -> Result<(), AuditError> {
    let records = operator.records(&pool.name, uid).await?;
    if records.iter().all(|record| record.state == JobState::Cancelling) {
        return Ok(());
    }
    let jobs = operator.redis(pool.broker.cancel(uid).await)?;
    tracing::info!(uid, pool = %pool.name, jobs, "Jobs of a Submission that is judged in another pool were removed.");
    operator.metrics.orphan();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_is_due_when_it_was_there_for_a_while() {
        let (mut strays, start) = (Strays::default(), Instant::now());
        let (a, b): (Pool, Pool) = ("j.a".parse().unwrap(), "j.b".parse().unwrap());
        assert!(!strays.is_due("u", &a, start));
        let later = start + STRAY_GRACE;
        assert!(!strays.is_due("u", &b, later), "each queue has its own time");
        assert!(strays.is_due("u", &a, later));
        assert!(!strays.is_due("u", &a, later), "if it comes again, its time begins again");
        strays.forget_old(later + STRAY_AGE);
        assert!(strays.0.is_empty());
        for n in 0..2 * MAX_STRAYS {
            strays.is_due(&n.to_string(), &a, start);
        }
        assert_eq!(strays.0.len(), MAX_STRAYS);
    }
}
