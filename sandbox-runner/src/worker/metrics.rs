//! The runner's metrics. Labels come from closed sets: languages that are published, verdicts, kinds of things.
//!
//! | name, after `kubejudge_runner_` | type | labels | what |
//! |---|---|---|---|
//! | `jobs_total` | counter | `outcome`: reported, stale, retried, handed_back, missing_blobs, cancelled, lost | deliveries that ended, by what became of them |
//! | `held_jobs` | gauge | | jobs in this runner's hands |
//! | `executions_total` | counter | `language`, `verdict` | tests run, by what they found |
//! | `compile_seconds` | histogram | `language` | elapsed time of compilers that ran |
//! | `run_seconds` | histogram | `language` | elapsed time of tests |
//! | `artifacts_total` | counter | `layer`: disk, redis, compiled | where programs came from |
//! | `queue_wait_seconds` | histogram | | how long jobs were ready before this runner took them |
//! | `leases_lost_total` | counter | | leases that ran out, or that Redis no longer knew |
//! | `redis_errors_total` | counter | `category`: options, unreachable, refused, cache, codec, answer | calls of Redis that failed |
//! | `slots`, `free_slots` | gauges | | boxes that may run at one time; how many more could start now |
//! | `free_memory_bytes` | gauge | | memory that is not promised to any box |
//! | `build_info` | info | `version` | this release |

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use judging::Verdict;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use queue::BrokerError;
use queue::contract::CacheLayer;

use crate::report::Report;
use crate::slots::Slots;

/// Languages that get a label of their own; more share one.
const MOST_LANGUAGES: usize = 256;
/// The label of a language that is not published.
const OTHER: &str = "other";

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Reported,
    Stale,
    Retried,
    HandedBack,
    MissingBlobs,
    Cancelled,
    Lost,
}

impl Fate {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Stale => "stale",
            Self::Retried => "retried",
            Self::HandedBack => "handed_back",
            Self::MissingBlobs => "missing_blobs",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Execution {
    language: String,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Language {
    language: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Layer {
    layer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Category {
    category: &'static str,
}

type Histograms = Family<Language, Histogram, fn() -> Histogram>;

/// All of them.
#[derive(Debug)]
pub(super) struct Metrics {
    jobs: Family<Outcome, Counter>,
    pub(super) held: Gauge,
    executions: Family<Execution, Counter>,
    compile: Histograms,
    run: Histograms,
    artifacts: Family<Layer, Counter>,
    pub(super) queue_wait: Histogram,
    pub(super) leases_lost: Counter,
    redis_errors: Family<Category, Counter>,
    languages: RwLock<HashSet<String>>,
}

/// From a millisecond to more than four minutes.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 19))
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Metrics that `registry` shows, together with how full `slots` are.
    pub(super) fn register(registry: &mut Registry, slots: &Arc<Slots>) -> Self {
        let r = registry;
        r.register("build", "This release", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register_collector(Box::new(Load(Arc::clone(slots))));
        let histograms = || Histograms::new_with_constructor(seconds);
        Self {
            jobs: add(r, "jobs", "Deliveries that ended, by what became of them", Family::default()),
            held: add(r, "held_jobs", "Jobs in this runner's hands", Gauge::default()),
            executions: add(r, "executions", "Tests run, by what they found", Family::default()),
            compile: add(r, "compile_seconds", "Elapsed time of compilers that ran", histograms()),
            run: add(r, "run_seconds", "Elapsed time of tests", histograms()),
            artifacts: add(r, "artifacts", "Where programs came from", Family::default()),
            queue_wait: add(
                r,
                "queue_wait_seconds",
                "How long jobs were ready before they were taken",
                seconds(),
            ),
            leases_lost: add(
                r,
                "leases_lost",
                "Leases that ran out, or that Redis no longer knew",
                Counter::default(),
            ),
            redis_errors: add(r, "redis_errors", "Calls of Redis that failed", Family::default()),
            languages: RwLock::default(),
        }
    }

    /// Takes in which languages are published.
    pub(super) fn know(&self, languages: impl Iterator<Item = String>) {
        let known = languages.take(MOST_LANGUAGES).collect();
        *self.languages.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn language(&self, name: &str) -> String {
        let known = self.languages.read().unwrap_or_else(PoisonError::into_inner).contains(name);
        if known { name } else { OTHER }.to_owned()
    }

    /// Counts a delivery that ended.
    pub(super) fn job(&self, fate: Fate) {
        self.jobs.get_or_create(&Outcome { outcome: fate.name() }).inc();
    }

    /// Counts a failed call.
    pub(super) fn redis_error(&self, error: &BrokerError) {
        self.redis_errors.get_or_create(&Category { category: error.category() }).inc();
    }

    /// Counts what a judging did.
    pub(super) fn judged(&self, language: &str, report: &Report) {
        let language = Language { language: self.language(language) };
        if let Some(compile) = &report.compile {
            self.artifacts.get_or_create(&Layer { layer: layer(compile.layer) }).inc();
            if let Some(usage) = compile.usage {
                self.compile.get_or_create(&language).observe(usage.wall.as_secs_f64());
            }
        }
        let run = self.run.get_or_create(&language);
        report
            .tests
            .iter()
            .filter_map(|test| test.usage)
            .for_each(|usage| run.observe(usage.wall.as_secs_f64()));
        drop(run);
        for verdict in Verdict::ALL {
            let count = report.tests.iter().filter(|test| test.verdict == verdict).count() as u64;
            if count > 0 {
                let labels = Execution { language: language.language.clone(), verdict: verdict.name() };
                self.executions.get_or_create(&labels).inc_by(count);
            }
        }
    }
}

const fn layer(layer: CacheLayer) -> &'static str {
    match layer {
        CacheLayer::Disk => "disk",
        CacheLayer::Redis => "redis",
        CacheLayer::Compiled => "compiled",
    }
}

/// How full the slots are at the moment somebody asks.
#[derive(Debug)]
struct Load(Arc<Slots>);

impl Collector for Load {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (free, memory) = self.0.free();
        let mut gauge = |name, help, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("slots", "Boxes that may run at one time", self.0.count() as u64)?;
        gauge("free_slots", "Boxes that could start now", free as u64)?;
        gauge("free_memory_bytes", "Memory that is not promised to any box", memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn labels_are_of_published_languages_alone() {
        let mut registry = Registry::with_prefix("kubejudge_runner");
        let metrics = Metrics::register(&mut registry, &Arc::new(Slots::new(3, 100)));
        metrics.know(["c17".to_owned()].into_iter());
        let mut report = Report::fault(crate::report::Fault::Here, "", None);
        report.tests = vec![crate::report::TestReport::platform_fault("x"); 2];
        metrics.judged("c17", &report);
        metrics.judged("secret", &report);
        metrics.job(Fate::HandedBack);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let lines = [
            r#"kubejudge_runner_executions_total{language="c17",verdict="InternalError"} 2"#,
            r#"kubejudge_runner_executions_total{language="other",verdict="InternalError"} 2"#,
            r#"kubejudge_runner_jobs_total{outcome="handed_back"} 1"#,
            "kubejudge_runner_slots 3",
            "kubejudge_runner_free_memory_bytes 100",
            r#"kubejudge_runner_build_info{version=""#,
        ];
        assert!(lines.iter().all(|line| text.contains(line)) && !text.contains("secret"), "{text}");
    }
}
