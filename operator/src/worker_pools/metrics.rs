//! What is counted of `WorkerPool`s. Pools are administrators' and few: past 64 of them they share the label `other`.
//!
//! | name (`kubejudge_operator_` in front) | type | labels | meaning |
//! |---|---|---|---|
//! | `worker_pools` | gauge | `state` | `WorkerPool`s by state: ready, not_ready, invalid |
//! | `worker_pool_ready_replicas` | gauge | `pool` | runner pods that are ready |
//! | `worker_pool_applies_total` | counter | `outcome` | applies of Deployments by what became of them |
//! | `worker_pool_status_writes_total` | counter | `outcome` | status writes of `WorkerPool`s |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Most values of the label `pool`.
const MAX_POOLS: usize = 64;
/// Label of one pool too many.
const OTHER: &str = "other";

/// What became of something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// How pools are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Which pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
}

/// How a `WorkerPool` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It can judge all its languages.
    Ready,
    /// It cannot yet, or not any more.
    NotReady,
    /// What it says is wrong.
    Invalid,
}

impl State {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Ready, "ready"), (Self::NotReady, "not_ready"), (Self::Invalid, "invalid")];
}

/// The metrics of all `WorkerPool`s. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pools: Mutex<BTreeMap<String, (State, i64)>>,
    states: Family<StateLabel, Gauge>,
    ready: Family<PoolLabel, Gauge>,
    applies: Family<Outcome, Counter>,
    writes: Family<Outcome, Counter>,
}

impl Metrics {
    /// Shows them in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("kubejudge_operator");
        let m = &*self.0;
        registry.register("worker_pools", "WorkerPools by state", m.states.clone());
        registry.register("worker_pool_ready_replicas", "Runner pods that are ready", m.ready.clone());
        registry.register("worker_pool_applies", "Applies of Deployments by outcome", m.applies.clone());
        registry.register("worker_pool_status_writes", "Status writes of WorkerPools", m.writes.clone());
    }

    /// A Deployment was applied, or not.
    pub(super) fn applied(&self, outcome: &'static str) {
        self.0.applies.get_or_create(&Outcome { outcome }).inc();
    }

    /// A status was written, or not.
    pub(super) fn wrote(&self, outcome: &'static str) {
        self.0.writes.get_or_create(&Outcome { outcome }).inc();
    }

    /// So the pool is now; gone, if nothing is said.
    pub(super) fn is(&self, pool: &str, now: Option<(State, i64)>) {
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        match now {
            Some(now) => _ = pools.insert(pool.to_owned(), now),
            None => _ = pools.remove(pool),
        }
        for (state, name) in State::ALL {
            let count = pools.values().filter(|(one, _)| *one == state).count();
            self.0
                .states
                .get_or_create(&StateLabel { state: name })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.0.ready.clear();
        for (i, (pool, (_, ready))) in pools.iter().enumerate() {
            let pool = if i < MAX_POOLS { pool } else { OTHER };
            self.0.ready.get_or_create(&PoolLabel { pool: pool.to_owned() }).inc_by(*ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn pools_come_and_go_and_their_labels_are_bounded() {
        let metrics = Metrics::default();
        for i in 0..MAX_POOLS + 2 {
            metrics.is(&format!("n.p{i:03}"), Some((State::Ready, 2)));
        }
        metrics.is("n.p000", Some((State::Invalid, 0)));
        let text = shown(&metrics);
        assert!(text.contains("worker_pools{state=\"ready\"} 65"), "{text}");
        assert!(text.contains("worker_pools{state=\"invalid\"} 1"), "{text}");
        assert!(text.contains("worker_pool_ready_replicas{pool=\"n.p001\"} 2"), "{text}");
        assert!(text.contains("worker_pool_ready_replicas{pool=\"other\"} 4"), "{text}");
        metrics.is("n.p001", None);
        assert!(!shown(&metrics).contains("n.p001"));
    }

    #[test]
    fn every_documented_metric_is_there() {
        let metrics = Metrics::default();
        metrics.applied("changed");
        metrics.wrote("written");
        metrics.is("n.p", Some((State::NotReady, 0)));
        let text = shown(&metrics);
        let documented = include_str!("metrics.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        for name in documented.filter_map(|line| line.split('`').next()) {
            let name = name.trim_end_matches("_total");
            assert!(text.contains(&format!("# TYPE kubejudge_operator_{name} ")), "{name} is not in\n{text}");
        }
    }
}
