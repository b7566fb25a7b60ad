//! What the operator itself knows of each unfinished Submission: what it put on the queue, and what it wrote. Lost with the
//! process and found again through Redis; it saves work and guards against views of the store that are behind our own writes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crds::Priority;
use queue::PlanHash;
use queue::broker::Pool;

/// What is known of one Submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether Redis can't know it yet: it was created while we watched, and we enqueued nothing.
    pub new: bool,
    /// What is on a queue for it.
    pub enqueued: Option<OnQueue>,
    /// Whether all that it waits for is a pool that may judge it.
    pub unscheduled: bool,
    /// The last judging whose final status was written, by us.
    pub finished: u32,
    /// Whether what it asks for must be read from the API server before it is enqueued again.
    pub reread: bool,
    /// Failed reconciles in a row.
    pub attempts: u32,
    /// Jobs or reports of the present judging that could not be read.
    pub burials: u32,
    /// The judging for which progress was written.
    pub progress: u32,
    /// When a status that is not final was written last.
    pub written: Option<Instant>,
    /// The resourceVersion that our last write replaced: a view that still shows it is behind.
    pub replaced: Option<String>,
    /// The resourceVersion whose status the API server refuses.
    pub refused: Option<String>,
    round: u64,
}

/// A judging on the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnQueue {
    /// Whose queue.
    pub pool: Pool,
    /// Its number.
    pub judging: u32,
    /// What it rests on.
    pub plan: PlanHash,
    /// Where it waits.
    pub priority: Priority,
    /// When we put it there, or found it.
    pub at: Instant,
}

/// All unfinished Submissions by UID.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tracked: HashMap<String, Tracked>,
    round: u64,
}

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Its UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Tracked {
    /// On which queue it is.
    pub fn pool(&self) -> Option<Pool> {
        self.enqueued.as_ref().map(|enqueued| enqueued.pool.clone())
    }

    fn place(&self, uid: &str) -> Place {
        Place { uid: uid.to_owned(), namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list of `namespace` (all, if none) begins: what it does not show until [`Registry::listed`] is gone.
    pub fn listing(&self) -> u64 {
        let mut inner = self.lock();
        inner.round += 1;
        inner.round
    }

    /// The list of that round is complete. What was not seen since is forgotten and returned.
    pub fn listed(&self, round: u64, namespace: Option<&str>) -> Vec<(String, Option<Pool>)> {
        let mut inner = self.lock();
        let ours = |tracked: &Tracked| namespace.is_none_or(|namespace| namespace == tracked.namespace);
        let gone = inner.tracked.extract_if(|_, tracked| tracked.round < round && ours(tracked));
        gone.map(|(uid, tracked)| (uid, tracked.pool())).collect()
    }

    /// An unfinished Submission was seen; `created` if that was no list but news of it. Says whether it is the first sight.
    pub fn seen(&self, place: &Place, created: bool) -> bool {
        let Place { uid, namespace, name } = place;
        let mut inner = self.lock();
        let round = inner.round;
        if let Some(tracked) = inner.tracked.get_mut(uid) {
            tracked.round = round;
            return false;
        }
        let tracked = Tracked {
            namespace: namespace.clone(),
            name: name.clone(),
            new: created,
            enqueued: None,
            unscheduled: false,
            finished: 0,
            reread: false,
            attempts: 0,
            burials: 0,
            progress: 0,
            written: None,
            replaced: None,
            refused: None,
            round,
        };
        inner.tracked.insert(uid.clone(), tracked);
        true
    }

    /// It is gone, or finished. Gives what was known of it.
    pub fn drop(&self, uid: &str) -> Option<Tracked> {
        self.lock().tracked.remove(uid)
    }

    /// What is known of it.
    pub fn get(&self, uid: &str) -> Option<Tracked> {
        self.lock().tracked.get(uid).cloned()
    }

    /// Notes something about it, if it is still there.
    pub fn note<R>(&self, uid: &str, note: impl FnOnce(&mut Tracked) -> R) -> Option<R> {
        self.lock().tracked.get_mut(uid).map(note)
    }

    /// Those that are on the queue since `before` or longer.
    pub fn on_queue(&self, before: Instant) -> Vec<(Place, OnQueue)> {
        let inner = self.lock();
        let found = inner.tracked.iter().filter_map(|(uid, tracked)| {
            let enqueued = tracked.enqueued.as_ref()?;
            let due = enqueued.at <= before && tracked.finished < enqueued.judging;
            due.then(|| (tracked.place(uid), enqueued.clone()))
        });
        found.collect()
    }

    /// Those that are on a queue with its pool, and those that wait for a pool.
    pub fn placed(&self) -> Vec<(Place, Option<Pool>)> {
        let inner = self.lock();
        let found = inner.tracked.iter().filter_map(|(uid, tracked)| {
            let pool = tracked.pool();
            (pool.is_some() || tracked.unscheduled).then(|| (tracked.place(uid), pool))
        });
        found.collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().tracked.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uid: &str, namespace: &str) -> Place {
        Place { uid: uid.into(), namespace: namespace.into(), name: "s".into() }
    }

    #[test]
    fn what_a_list_does_not_show_is_gone() {
        let registry = Registry::default();
        for (uid, namespace) in [("a", "x"), ("b", "x"), ("c", "y")] {
            assert!(registry.seen(&place(uid, namespace), true));
        }
        let round = registry.listing();
        assert!(!registry.seen(&place("a", "x"), false));
        assert_eq!(
            registry.listed(round, Some("x")),
            [("b".into(), None)],
            "another namespace is another list's matter"
        );
        let round = registry.listing();
        assert!(!registry.seen(&place("a", "x"), false));
        assert_eq!(registry.listed(round, None), [("c".into(), None)]);
        assert!(registry.get("a").unwrap().new, "still what it was at first sight");
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn only_those_on_the_queue_long_enough_are_audited() {
        let registry = Registry::default();
        let (uid, start) = ("a", Instant::now());
        registry.seen(&place(uid, "x"), false);
        assert_eq!(registry.on_queue(start), []);
        let plan = "0".repeat(32).parse().unwrap();
        let pool: Pool = "judges.a".parse().unwrap();
        let enqueued =
            OnQueue { pool: pool.clone(), judging: 1, plan, priority: Priority::Normal, at: start };
        registry.note(uid, |tracked| tracked.enqueued = Some(enqueued.clone()));
        assert_eq!(registry.on_queue(start), [(place(uid, "x"), enqueued)]);
        assert_eq!(registry.on_queue(start.checked_sub(std::time::Duration::from_nanos(1)).unwrap()), []);
        registry.note(uid, |tracked| tracked.finished = 1);
        assert_eq!(registry.on_queue(start), [], "what is finished needs no job");
        assert_eq!(registry.placed(), [(place(uid, "x"), Some(pool.clone()))]);
        registry.note(uid, |tracked| tracked.enqueued = None);
        assert_eq!(registry.placed(), []);
        registry.note(uid, |tracked| tracked.unscheduled = true);
        assert_eq!(registry.placed(), [(place(uid, "x"), None)]);
        assert!(registry.drop(uid).is_some() && registry.drop(uid).is_none());
        assert_eq!(registry.note(uid, |_| ()), None);
    }
}
