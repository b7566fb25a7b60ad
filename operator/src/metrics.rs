//! What the operator counts. Labels come from closed sets; no name of an object is ever one, but for Languages and pools,
//! which administrators make, at most 64 of each.
//!
//! | name (`kubejudge_operator_` in front) | type | labels | meaning |
//! |---|---|---|---|
//! | `build_info` | info | `version` | the release |
//! | `submissions_finished_total` | counter | `verdict`, `language` | judgings whose final status was written |
//! | `judging_seconds` | histogram | | from creation, or from the rejudge, to the final status |
//! | `status_writes_total` | counter | `kind`, `outcome` | status writes by what they said and what became of them |
//! | `status_write_seconds` | histogram | | time of one write, retries included |
//! | `status_writes_waiting` | gauge | | writes decided on and not yet begun |
//! | `reconciles_total` | counter | `result` | reconciles: `ok`, or the kind of error |
//! | `reconcile_seconds` | histogram | | time of one reconcile |
//! | `redis_errors_total` | counter | `category` | calls to Redis that failed |
//! | `api_errors_total` | counter | `category` | calls to the API server that failed, conflicts aside |
//! | `watch_restarts_total` | counter | `kind` | watches that ended with an error |
//! | `malformed_objects_total` | counter | | Submissions refused because of their content |
//! | `submissions_unfinished` | gauge | | Submissions that are not finished |
//! | `submissions_stored` | gauge | | Submissions that are watched |
//! | `specs_cached`, `specs_cached_bytes` | gauge | | specs that are about to be planned |
//! | `overflows_total` | counter | `queue` | hints dropped because a queue was full; the audit repairs |
//! | `audit_requeued_total` | counter | | judgings that Redis had lost, enqueued again |
//! | `audit_orphans_total` | counter | | Submissions removed from a queue: nobody owns them, or another pool judges them |
//! | `leases_expired_total` | counter | | leases that ran out, as this operator found |
//! | `jobs_lost_total` | counter | | jobs among them that had their last delivery |
//! | `jobs_buried_total` | counter | | jobs and reports that could not be read |
//! | `queue_jobs` | gauge | `pool`, `priority` | jobs ready for a runner |
//! | `queue_in_flight`, `queue_delayed`, `queue_blocked`, `queue_reported`, `queue_dead_letters` | gauge | `pool` | jobs by state |
//! | `queue_oldest_seconds` | gauge | `pool` | age of the oldest job that is ready |
//! | `queue_cached_bytes`, `queue_evicted` | gauge | `pool` | cached artifacts and blobs; entries evicted so far |

mod queues;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use queue::BrokerError;
use queue::broker::{Gauges, Pool, Reaped};

use crate::api::{CallError, Failure};
use queues::Queues;

/// One label from a closed set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Category {
    category: &'static str,
}

/// Whose queue it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Queue {
    queue: &'static str,
}

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    kind: &'static str,
}

/// What became of a reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    result: &'static str,
}

/// A status write.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Write {
    kind: &'static str,
    outcome: &'static str,
}

/// A finished judging.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Finish {
    verdict: String,
    language: String,
}

type Counters<L> = Family<L, Counter>;
type Level = Gauge<i64, AtomicI64>;

/// Most values of the label `language`.
const MAX_LANGUAGES: usize = 64;
/// Label of a language that is not known, or of a language or a pool too many.
const OTHER: &str = "other";

/// All metrics. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    finished: Counters<Finish>,
    languages: Mutex<Vec<String>>,
    judging: Histogram,
    writes: Counters<Write>,
    write_time: Histogram,
    writes_waiting: Level,
    reconciles: Counters<ResultLabel>,
    reconcile_time: Histogram,
    redis_errors: Counters<Category>,
    api_errors: Counters<Category>,
    watch_restarts: Counters<Kind>,
    malformed: Counter,
    unfinished: Level,
    stored: Level,
    cached: Level,
    cached_bytes: Level,
    overflows: Counters<Queue>,
    requeued: Counter,
    orphans: Counter,
    expired: Counter,
    lost: Counter,
    buried: Counter,
    queues: Queues,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        // 1 ms to 9 minutes.
        let short = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let long = || Histogram::new(exponential_buckets(0.01, 2.0, 18));
        Self(Arc::new(Inner {
            finished: Family::default(),
            languages: Mutex::default(),
            judging: long(),
            writes: Family::default(),
            write_time: short(),
            writes_waiting: Gauge::default(),
            reconciles: Family::default(),
            reconcile_time: short(),
            redis_errors: Family::default(),
            api_errors: Family::default(),
            watch_restarts: Family::default(),
            malformed: Counter::default(),
            unfinished: Gauge::default(),
            stored: Gauge::default(),
            cached: Gauge::default(),
            cached_bytes: Gauge::default(),
            overflows: Family::default(),
            requeued: Counter::default(),
            orphans: Counter::default(),
            expired: Counter::default(),
            lost: Counter::default(),
            buried: Counter::default(),
            queues: Queues::default(),
        }))
    }

    /// Shows them in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("kubejudge_operator");
        registry.register("build", "The release", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        self.register_work(registry);
        self.register_repairs(registry);
        self.0.queues.register(registry);
    }

    fn register_work(&self, registry: &mut Registry) {
        let m = &*self.0;
        registry.register(
            "submissions_finished",
            "Judgings whose final status was written",
            m.finished.clone(),
        );
        registry.register(
            "judging_seconds",
            "From creation or rejudge to the final status",
            m.judging.clone(),
        );
        registry.register("status_writes", "Status writes by kind and outcome", m.writes.clone());
        registry.register("status_write_seconds", "Time of one status write", m.write_time.clone());
        registry.register("status_writes_waiting", "Status writes not yet begun", m.writes_waiting.clone());
        registry.register("reconciles", "Reconciles by result", m.reconciles.clone());
        registry.register("reconcile_seconds", "Time of one reconcile", m.reconcile_time.clone());
        registry.register(
            "submissions_unfinished",
            "Submissions that are not finished",
            m.unfinished.clone(),
        );
        registry.register("submissions_stored", "Submissions that are watched", m.stored.clone());
        registry.register("specs_cached", "Specs that are about to be planned", m.cached.clone());
        registry.register("specs_cached_bytes", "Bytes of these specs", m.cached_bytes.clone());
        registry.register("malformed_objects", "Submissions refused for their content", m.malformed.clone());
    }

    fn register_repairs(&self, registry: &mut Registry) {
        let m = &*self.0;
        registry.register("redis_errors", "Failed calls to Redis", m.redis_errors.clone());
        registry.register("api_errors", "Failed calls to the API server", m.api_errors.clone());
        registry.register("watch_restarts", "Watches that ended with an error", m.watch_restarts.clone());
        registry.register("overflows", "Hints dropped because a queue was full", m.overflows.clone());
        registry.register("audit_requeued", "Lost judgings enqueued again", m.requeued.clone());
        registry.register("audit_orphans", "Submissions of nobody, removed from Redis", m.orphans.clone());
        registry.register("leases_expired", "Leases that ran out", m.expired.clone());
        registry.register("jobs_lost", "Jobs that had their last delivery", m.lost.clone());
        registry.register("jobs_buried", "Jobs and reports that could not be read", m.buried.clone());
    }

    /// A judging is over. `language` is a known Language's name, or nothing.
    pub fn finished(&self, verdict: &str, language: Option<&str>, took: Option<Duration>) {
        let language = language.map_or(OTHER, |language| self.known(language)).to_owned();
        self.0.finished.get_or_create(&Finish { verdict: verdict.to_owned(), language }).inc();
        if let Some(took) = took {
            self.0.judging.observe(took.as_secs_f64());
        }
    }

    fn known<'a>(&self, language: &'a str) -> &'a str {
        let mut known = self.0.languages.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|one| one == language) {
            return language;
        }
        if known.len() >= MAX_LANGUAGES {
            return OTHER;
        }
        known.push(language.to_owned());
        language
    }

    /// A status write came to its end.
    pub fn wrote(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.0.writes.get_or_create(&Write { kind, outcome }).inc();
        self.0.write_time.observe(took.as_secs_f64());
    }

    /// So many status writes wait.
    pub fn writes_waiting(&self, count: usize) {
        self.0.writes_waiting.set(level(count));
    }

    /// A reconcile that began at `begin` came to its end.
    pub fn reconciled(&self, result: &'static str, begin: Instant) {
        self.0.reconciles.get_or_create(&ResultLabel { result }).inc();
        self.0.reconcile_time.observe(begin.elapsed().as_secs_f64());
    }

    /// A call to Redis failed.
    pub fn redis_error(&self, error: &BrokerError) {
        self.0.redis_errors.get_or_create(&Category { category: error.category() }).inc();
    }

    /// A call to the API server failed. A conflict is no failure: it is answered by another look.
    pub fn api_error(&self, error: &CallError) {
        let failure = error.failure();
        if failure != Failure::Conflict {
            self.0.api_errors.get_or_create(&Category { category: failure.name() }).inc();
        }
    }

    /// The watch of this kind ended with an error.
    pub fn watch_restarted(&self, kind: &'static str) {
        self.0.watch_restarts.get_or_create(&Kind { kind }).inc();
    }

    /// A Submission was refused.
    pub fn malformed(&self) {
        self.0.malformed.inc();
    }

    /// A hint was dropped.
    pub fn overflowed(&self, queue: &'static str) {
        self.0.overflows.get_or_create(&Queue { queue }).inc();
    }

    /// What Redis had lost goes there again.
    pub fn requeued(&self) {
        self.0.requeued.inc();
    }

    /// What nobody owns was removed.
    pub fn orphan(&self) {
        self.0.orphans.inc();
    }

    /// A job or report was buried.
    pub fn buried(&self) {
        self.0.buried.inc();
    }

    /// A round of reaping.
    pub fn reaped(&self, reaped: Reaped) {
        let Reaped { expired, lost, woken: _ } = reaped;
        self.0.expired.inc_by(expired);
        self.0.lost.inc_by(lost);
    }

    /// What is in memory.
    pub fn memory(&self, unfinished: usize, stored: usize, (specs, bytes): (usize, usize)) {
        self.0.unfinished.set(level(unfinished));
        self.0.stored.set(level(stored));
        self.0.cached.set(level(specs));
        self.0.cached_bytes.set(level(bytes));
    }

    /// What is in Redis: all pools, in the order of their names. Those past the bound are counted together.
    pub fn queues(&self, all: &[(Pool, Gauges)]) {
        self.0.queues.show(all);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn level(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
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
    fn labels_of_languages_are_bounded() {
        let metrics = Metrics::new();
        for language in 0..2 * MAX_LANGUAGES {
            metrics.finished("Accepted", Some(&language.to_string()), Some(Duration::from_secs(1)));
        }
        metrics.finished("Accepted", None, None);
        let text = shown(&metrics);
        assert_eq!(text.matches("submissions_finished_total{").count(), MAX_LANGUAGES + 1);
        let other = format!("{{verdict=\"Accepted\",language=\"other\"}} {}", MAX_LANGUAGES + 1);
        assert!(text.contains(&other), "{text}");
        assert!(text.contains("kubejudge_operator_judging_seconds_count 128"), "{text}");
    }

    #[test]
    fn every_documented_metric_is_there() {
        let metrics = Metrics::new();
        metrics.finished("Accepted", None, None);
        metrics.wrote("final", "written", Duration::ZERO);
        metrics.reconciled("ok", Instant::now());
        metrics.redis_error(&BrokerError::Options { url: String::new(), reason: String::new() });
        metrics.api_error(&CallError::Timeout(Duration::ZERO));
        metrics.watch_restarted("languages");
        metrics.overflowed("news");
        metrics.queues(&[("default".parse().unwrap(), queues::tests::gauges())]);
        let text = shown(&metrics);
        let documented = include_str!("metrics.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        for name in documented.flat_map(|line| line.split('|').next().unwrap_or("").split(", ")) {
            let name = name.trim().trim_matches('`').trim_end_matches("_total").trim_end_matches("_info");
            assert!(text.contains(&format!("# TYPE kubejudge_operator_{name} ")), "{name} is not in\n{text}");
        }
    }
}
