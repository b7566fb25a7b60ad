//! What is to be done for a Submission, worked out without I/O from what is stored, what we know and what time it is.

use std::time::Duration;

use jiff::Timestamp;

use crate::object::Head;
use crate::registry::Tracked;

/// The next thing to be done for a Submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing until it changes.
    Rest,
    /// It is being deleted: take its jobs off the queue.
    Drop,
    /// It is finished: delete it after this time.
    Expire(Duration),
    /// It took longer than it may: end it.
    Overdue,
    /// It is not to be judged now: take its jobs off the queue.
    Suspend,
    /// It is to be judged again: say that this judging begins.
    Rejudge(u32),
    /// It belongs on the queue.
    Enqueue(u32),
    /// It is on the queue.
    Follow(u32),
}

/// What a Submission waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The reason of its condition, one word.
    pub reason: &'static str,
    /// What is missing, for people.
    pub message: String,
}

impl Lack {
    /// Something that is missing.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// The state of a Submission that is suspended.
    pub fn suspended() -> Self {
        Self::new("Suspended", "spec.suspend is true")
    }
}

/// Decides. `ttl` is for those that set none, in seconds.
pub fn decide(head: &Head, tracked: Option<&Tracked>, ttl: Option<u32>, now: Timestamp) -> Step {
    let wanted = head.wanted();
    if head.metadata.deletion_timestamp.is_some() {
        return Step::Drop;
    }
    if head.done() {
        return expiry(head, ttl, now).map_or(Step::Rest, Step::Expire);
    }
    // We finished it, or the API server takes nothing more for it, and this view of it is older.
    let finished = tracked.is_some_and(|tracked| tracked.finished >= wanted);
    let refused = tracked.is_some_and(|t| t.refused.as_deref() == Some(head.resource_version()));
    if finished || refused {
        return Step::Rest;
    }
    // A later judging begins with a write of its own, also in the midst of the one before: its time counts from there.
    match (head.standing.judging < wanted && wanted > 1, head.asked.suspend, head.standing.finished) {
        (true, false, _) => return Step::Rejudge(wanted),
        (true, true, true) => return Step::Rest,
        _ => {}
    }
    if overdue(head, now) {
        return Step::Overdue;
    }
    if head.asked.suspend {
        return Step::Suspend;
    }
    match tracked.and_then(|tracked| tracked.enqueued.as_ref()) {
        Some(enqueued) if enqueued.judging == wanted => Step::Follow(wanted),
        _ => Step::Enqueue(wanted),
    }
}

/// When the judging has to be over. The first one's time counts from its creation, a later one's from its beginning.
pub fn deadline(head: &Head) -> Option<Timestamp> {
    let seconds = head.asked.deadline?;
    let created = head.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let begin = if head.wanted() == 1 { created } else { head.standing.queued }?;
    begin.checked_add(jiff::SignedDuration::from_secs(i64::from(seconds))).ok()
}

/// Whether that time has passed at `now`.
pub fn overdue(head: &Head, now: Timestamp) -> bool {
    deadline(head).is_some_and(|deadline| deadline <= now)
}

/// From `now` to `then`; nothing if that has passed.
pub fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

fn expiry(head: &Head, ttl: Option<u32>, now: Timestamp) -> Option<Duration> {
    let seconds = head.asked.ttl.or(ttl)?;
    let end =
        head.standing.completed?.checked_add(jiff::SignedDuration::from_secs(i64::from(seconds))).ok()?;
    Some(until(end, now))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use crds::Priority;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use proptest::prelude::*;

    use super::*;
    use crate::object::{Asked, Standing};
    use crate::registry::{OnQueue, Place, Registry};

    const NOW: i64 = 1_800_000_000;

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    prop_compose! {
        /// Any Submission at any point of its life.
        pub(crate) fn heads()(
            (suspend, deleted) in (any::<bool>(), prop::bool::weighted(0.1)),
            (rejudge, judging, finished) in (0..3_u32, 0..4_u32, any::<bool>()),
            (ttl, deadline) in (prop::option::of(0..9_u32), prop::option::of(1..9_u32)),
            (created, queued, completed) in (NOW - 9..=NOW, prop::option::of(NOW - 9..=NOW), NOW - 9..=NOW),
        ) -> Head {
            let mut head = Head::default();
            head.metadata.uid = Some("u".into());
            head.metadata.resource_version = Some("5".into());
            head.metadata.creation_timestamp = Some(Time(at(created)));
            head.metadata.deletion_timestamp = deleted.then(|| Time(at(NOW)));
            head.asked = Asked { suspend, rejudge, ttl, deadline, ..Asked::default() };
            let (queued, completed) = (queued.map(at), finished.then(|| at(completed)));
            // What is over is some judging's end.
            let judging = judging.max(u32::from(finished));
            head.standing = Standing { judging, finished, queued, completed, ..Standing::default() };
            head
        }
    }

    prop_compose! {
        fn knowledge()(
            judging in prop::option::of(1..4_u32), finished in 0..4_u32, refused in prop::option::of("[5-6]"),
        ) -> Option<Tracked> {
            let registry = Registry::default();
            registry.seen(&Place { uid: "u".into(), namespace: "n".into(), name: "s".into() }, true);
            let plan = "0".repeat(32).parse().unwrap();
            let on_queue = |judging| OnQueue {
                pool: "default".parse().unwrap(), judging, plan, priority: Priority::Normal, at: Instant::now(),
            };
            registry.note("u", |tracked| {
                tracked.enqueued = judging.map(on_queue);
                tracked.finished = finished;
                tracked.refused = refused;
                tracked.clone()
            })
        }
    }

    proptest! {
        #[test]
        fn what_is_finished_is_never_enqueued_again(head in heads(), tracked in knowledge()) {
            let step = decide(&head, tracked.as_ref(), None, at(NOW));
            let finished = tracked.as_ref().is_some_and(|t| t.finished >= head.wanted()) || head.done();
            if finished {
                prop_assert!(matches!(step, Step::Rest | Step::Drop | Step::Expire(_)), "{:?}", step);
            }
        }

        #[test]
        fn only_what_is_wanted_now_is_on_the_queue(head in heads(), tracked in knowledge()) {
            let step = decide(&head, tracked.as_ref(), None, at(NOW));
            if let Step::Enqueue(judging) | Step::Follow(judging) = step {
                prop_assert_eq!(judging, head.wanted());
                prop_assert!(!head.asked.suspend && !head.standing.finished && !overdue(&head, at(NOW)));
                prop_assert!(head.metadata.deletion_timestamp.is_none());
            }
        }

        #[test]
        fn what_was_enqueued_is_followed(head in heads(), tracked in knowledge()) {
            if let Step::Enqueue(judging) = decide(&head, tracked.as_ref(), None, at(NOW)) {
                let plan = "1".repeat(32).parse().unwrap();
                let pool = "default".parse().unwrap();
                let enqueued = OnQueue { pool, judging, plan, priority: Priority::Normal, at: Instant::now() };
                let registry = Registry::default();
                registry.seen(&Place { uid: "u".into(), namespace: "n".into(), name: "s".into() }, true);
                registry.note("u", |tracked| tracked.enqueued = Some(enqueued));
                let tracked = registry.get("u");
                prop_assert_eq!(decide(&head, tracked.as_ref(), None, at(NOW)), Step::Follow(judging));
            }
        }

        #[test]
        fn a_finished_one_lives_as_long_as_it_says(head in heads(), ttl in prop::option::of(0..9_u32)) {
            if !head.done() || head.metadata.deletion_timestamp.is_some() {
                return Ok(());
            }
            let left = |seconds: u32| {
                let end = head.standing.completed.unwrap().as_second() + i64::from(seconds);
                Step::Expire(Duration::from_secs(u64::try_from(end - NOW).unwrap_or(0)))
            };
            let expected = head.asked.ttl.or(ttl).map_or(Step::Rest, left);
            prop_assert_eq!(decide(&head, None, ttl, at(NOW)), expected);
        }
    }

    fn head(change: impl FnOnce(&mut Head)) -> Head {
        let mut head = Head::default();
        head.metadata.creation_timestamp = Some(Time(at(NOW)));
        change(&mut head);
        head
    }

    #[test]
    fn a_first_judging_counts_from_its_creation_and_a_later_one_from_its_beginning() {
        let mut head = head(|head| head.asked.deadline = Some(10));
        assert_eq!(deadline(&head), Some(at(NOW + 10)));
        assert_eq!(decide(&head, None, None, at(NOW + 9)), Step::Enqueue(1));
        assert_eq!(decide(&head, None, None, at(NOW + 10)), Step::Overdue);
        head.asked.rejudge = 1;
        head.standing = Standing { judging: 2, queued: Some(at(NOW + 100)), ..Standing::default() };
        assert_eq!(decide(&head, None, None, at(NOW + 109)), Step::Enqueue(2));
        assert_eq!(decide(&head, None, None, at(NOW + 110)), Step::Overdue);
    }

    #[test]
    fn a_rejudge_begins_with_its_own_write() {
        let finished = Standing { judging: 1, finished: true, ..Standing::default() };
        let mut head = head(|head| (head.asked.rejudge, head.standing) = (2, finished));
        assert_eq!(decide(&head, None, Some(5), at(NOW)), Step::Rejudge(3));
        head.asked.suspend = true;
        assert_eq!(decide(&head, None, Some(5), at(NOW)), Step::Rest);
        head.standing = Standing { judging: 3, ..Standing::default() };
        assert_eq!(decide(&head, None, None, at(NOW)), Step::Suspend);
        head.asked.suspend = false;
        assert_eq!(decide(&head, None, None, at(NOW)), Step::Enqueue(3));
        head.standing.judging = 2;
        assert_eq!(decide(&head, None, None, at(NOW)), Step::Rejudge(3), "in the midst of the second");
    }
}
