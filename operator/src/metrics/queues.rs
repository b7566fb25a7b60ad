//! The queues in numbers, with the pool as a label: at most 64 of them, and none of a pool that is gone.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use crds::Priority;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use queue::broker::{Gauges, Pool};

use super::{Level, OTHER, level};

/// Most values of the label `pool`.
const MAX_POOLS: usize = 64;

/// A queue of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PriorityLabel {
    pool: String,
    priority: &'static str,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
}

type Levels = Family<PoolLabel, Level>;

/// All gauges of queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// The pools that are shown.
    pools: Mutex<BTreeSet<String>>,
    jobs: Family<PriorityLabel, Level>,
    in_flight: Levels,
    delayed: Levels,
    blocked: Levels,
    reported: Levels,
    dead: Levels,
    oldest: Family<PoolLabel, Gauge<f64, AtomicU64>>,
    bytes: Levels,
    evicted: Levels,
}

impl Queues {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("queue_jobs", "Jobs ready for a runner", self.jobs.clone());
        registry.register("queue_in_flight", "Jobs that runners have", self.in_flight.clone());
        registry.register("queue_delayed", "Jobs ready later", self.delayed.clone());
        registry.register("queue_blocked", "Jobs that miss blobs", self.blocked.clone());
        registry.register(
            "queue_reported",
            "Jobs whose report is not yet in a status",
            self.reported.clone(),
        );
        registry.register("queue_dead_letters", "Dead letters that are kept", self.dead.clone());
        registry.register("queue_oldest_seconds", "Age of the oldest job that is ready", self.oldest.clone());
        registry.register("queue_cached_bytes", "Bytes of cached artifacts and blobs", self.bytes.clone());
        registry.register("queue_evicted", "Entries evicted from the cache so far", self.evicted.clone());
    }

    /// These are all pools, in the order of their names. Those past the bound are counted together.
    pub(super) fn show(&self, all: &[(Pool, Gauges)]) {
        let (first, others) = all.split_at(all.len().min(MAX_POOLS));
        let mut shown: Vec<(String, Gauges)> =
            first.iter().map(|(pool, gauges)| (pool.to_string(), gauges.clone())).collect();
        if let Some(sum) = others.iter().map(|(_, gauges)| gauges.clone()).reduce(sum) {
            shown.push((OTHER.to_owned(), sum));
        }
        let names = shown.iter().map(|(name, _)| name.clone()).collect();
        let old = std::mem::replace(&mut *self.pools.lock().unwrap_or_else(PoisonError::into_inner), names);
        for gone in old.iter().filter(|old| !shown.iter().any(|(name, _)| name == *old)) {
            self.forget(gone);
        }
        for (name, gauges) in &shown {
            self.set(name, gauges);
        }
    }

    fn set(&self, pool: &str, gauges: &Gauges) {
        let Gauges { waiting, delayed, leased, blocked, reported, dead, oldest, cached_bytes, evicted } =
            gauges;
        for (priority, count) in waiting {
            let label = PriorityLabel { pool: pool.to_owned(), priority: name(*priority) };
            self.jobs.get_or_create(&label).set(level(*count));
        }
        let label = PoolLabel { pool: pool.to_owned() };
        let counts = [delayed, leased, blocked, reported, dead, cached_bytes, evicted];
        for (family, count) in self.levels().into_iter().zip(counts) {
            family.get_or_create(&label).set(level(*count));
        }
        self.oldest.get_or_create(&label).set(oldest.as_secs_f64());
    }

    /// In the order of [`Gauges`].
    fn levels(&self) -> [&Levels; 7] {
        let Self { delayed, in_flight, blocked, reported, dead, bytes, evicted, .. } = self;
        [delayed, in_flight, blocked, reported, dead, bytes, evicted]
    }

    fn forget(&self, pool: &str) {
        for priority in [Priority::Contest, Priority::Normal, Priority::Rejudge] {
            self.jobs.remove(&PriorityLabel { pool: pool.to_owned(), priority: name(priority) });
        }
        let label = PoolLabel { pool: pool.to_owned() };
        for family in self.levels() {
            family.remove(&label);
        }
        self.oldest.remove(&label);
    }
}

const fn name(priority: Priority) -> &'static str {
    match priority {
        Priority::Contest => "Contest",
        Priority::Normal => "Normal",
        Priority::Rejudge => "Rejudge",
    }
}

/// Two pools as one.
fn sum(mut one: Gauges, other: Gauges) -> Gauges {
    for (priority, count) in other.waiting {
        match one.waiting.iter_mut().find(|(known, _)| *known == priority) {
            Some((_, sum)) => *sum += count,
            None => one.waiting.push((priority, count)),
        }
    }
    Gauges {
        waiting: one.waiting,
        delayed: one.delayed + other.delayed,
        leased: one.leased + other.leased,
        blocked: one.blocked + other.blocked,
        reported: one.reported + other.reported,
        dead: one.dead + other.dead,
        oldest: one.oldest.max(other.oldest),
        cached_bytes: one.cached_bytes + other.cached_bytes,
        evicted: one.evicted + other.evicted,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn shown(queues: &Queues) -> String {
        let mut registry = Registry::default();
        queues.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    pub(in super::super) fn gauges() -> Gauges {
        Gauges { waiting: vec![(Priority::Contest, 2)], leased: 3, ..Gauges::default() }
    }

    #[test]
    fn pools_have_gauges_while_they_are_there_and_labels_are_bounded() {
        let queues = Queues::default();
        let pools = |count: usize| -> Vec<_> {
            (0..count).map(|n| (format!("judges.p{n:03}").parse().unwrap(), gauges())).collect()
        };
        queues.show(&pools(MAX_POOLS + 3));
        let text = shown(&queues);
        assert_eq!(text.matches("queue_in_flight{").count(), MAX_POOLS + 1);
        assert!(text.contains("queue_in_flight{pool=\"other\"} 9"), "{text}");
        assert!(text.contains("queue_jobs{pool=\"other\",priority=\"Contest\"} 6"), "{text}");
        queues.show(&pools(1));
        let text = shown(&queues);
        let left = text
            .lines()
            .filter(|line| line.contains("pool="))
            .all(|line| line.contains("pool=\"judges.p000\""));
        assert!(left && text.contains("queue_jobs{pool=\"judges.p000\",priority=\"Contest\"} 2"), "{text}");
    }
}
