//! What goes into the broker's steps and what comes out.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crds::{Phase, Priority};
use jiff::Timestamp;

use super::Authorities;
use crate::contract::{BlobHash, CodecError, Job, JobId, JobReport, Span};

/// Bytes of artifacts and blobs that a pool keeps in Redis unless told otherwise. Each writer evicts down to its own bound, so
/// operator and runners should have the same.
pub const DEFAULT_CACHE_BYTES: u64 = 256 << 20;

/// How to reach a pool's queue.
#[derive(Clone)]
pub struct Options {
    /// `redis://` or `rediss://` (TLS), with host, port, user and database as in
    /// <https://github.com/redis/redis-specifications>; better without the password.
    pub url: String,
    /// The password, kept out of the URL so that it stays out of process lists.
    pub password: Option<String>,
    /// Authorities, one of which must have signed Redis' certificate. Those that the system trusts unless set.
    pub authorities: Option<Authorities>,
    /// The pool.
    pub pool: Pool,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long Redis may take to answer.
    pub response_timeout: Duration,
    /// Bytes of artifacts and blobs that are kept in Redis. Whoever stores one evicts down to its own bound, so all should have
    /// the same.
    pub cache_bytes: u64,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, password: _, authorities, pool, connect_timeout, response_timeout, cache_bytes } =
            self;
        f.debug_struct("Options")
            .field("authorities", authorities)
            .field("pool", pool)
            .field("connect_timeout", connect_timeout)
            .field("response_timeout", response_timeout)
            .field("cache_bytes", cache_bytes)
            .finish_non_exhaustive()
    }
}

/// The name of a pool: an RFC 1123 label (1 to 63 lower-case letters, digits and inner hyphens), or two of them with a dot
/// between: a `WorkerPool`'s namespace and name. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pool(Arc<str>);

/// A text that names no pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pool's name has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with no hyphen; or it is \
     NAMESPACE.NAME, two such names"
)]
pub struct PoolError;

impl Pool {
    /// The pool of a `WorkerPool`.
    pub fn of_worker_pool(namespace: &str, name: &str) -> Result<Self, PoolError> {
        if is_label(namespace) && is_label(name) {
            Ok(Self(format!("{namespace}.{name}").into()))
        } else {
            Err(PoolError)
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `WorkerPool`'s namespace, if it is one's.
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once('.').map(|(namespace, _)| namespace)
    }
}

/// Whether `text` is an RFC 1123 label.
fn is_label(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edges = !text.starts_with('-') && !text.ends_with('-');
    (1..=63).contains(&text.len()) && text.bytes().all(known) && edges
}

impl FromStr for Pool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        match text.split_once('.') {
            Some((namespace, name)) => Self::of_worker_pool(namespace, name),
            None if is_label(text) => Ok(Self(text.into())),
            None => Err(PoolError),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a Redis can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It does not answer, or refuses us.
    #[error(transparent)]
    Broker(#[from] super::BrokerError),
    /// It is too old.
    #[error("Redis is version {0}; 7.0 or later is needed")]
    Version(String),
    /// It would throw jobs away when memory runs out.
    #[error(
        "Redis has maxmemory-policy {0}; set it to noeviction, or jobs are thrown away when memory runs out"
    )]
    Policy(String),
}

/// Bounds for what is put on the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Waiting jobs of the whole pool.
    pub pool: u64,
    /// Waiting jobs of one namespace.
    pub namespace: u64,
    /// Deliveries of one job, at least 1.
    pub deliveries: u32,
    /// The delay before the second delivery; it doubles with each one after.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
}

/// What became of a job that was put on the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits for a runner now.
    Queued,
    /// It was known already.
    Known,
    /// There is no room; try again later.
    Full(Scope),
}

/// Where a bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In the pool.
    Pool,
    /// In the namespace.
    Namespace,
}

/// A token that grows with every delivery: whoever holds an older one has lost the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// A job as it stands in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Its name.
    pub id: JobId,
    /// Where it stands in the whole.
    pub span: Span,
    /// How far it is.
    pub state: JobState,
    /// What the runner said last of how far it is; nothing unless leased.
    pub phase: Option<Phase>,
    /// Counted deliveries so far.
    pub deliveries: u32,
    /// When it was put on the queue, by Redis' clock.
    pub queued: Timestamp,
    /// When it was first handed to a runner, by Redis' clock.
    pub first_taken: Option<Timestamp>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Ready for a runner.
    Waiting,
    /// Ready later, after a delivery that came to nothing.
    Delayed,
    /// A runner has it.
    Leased,
    /// A runner has it, and will be told to stop.
    Cancelling,
    /// Waits for blobs that are gone.
    Blocked(Vec<BlobHash>),
    /// Its report is there.
    Reported,
    /// All its deliveries came to nothing; the reason of the last.
    Lost(String),
}

/// A job with its report.
#[derive(Debug)]
pub struct Collected {
    /// The job.
    pub record: JobRecord,
    /// Its report, if it is there and can be read.
    pub report: Option<Result<JobReport, CodecError>>,
}

/// What a round of reaping found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// Leases that ran out.
    pub expired: u64,
    /// Jobs among them that had their last delivery.
    pub lost: u64,
    /// Delayed jobs that wait again.
    pub woken: u64,
}

/// How far the removal of a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dissolved {
    /// A Submission has jobs in it, or a runner is alive: nothing was removed.
    Used,
    /// There is more to remove.
    More,
    /// Nothing is left.
    Empty,
}

/// The queue in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Jobs ready for a runner, by priority.
    pub waiting: Vec<(Priority, u64)>,
    /// Jobs ready later.
    pub delayed: u64,
    /// Jobs that runners have.
    pub leased: u64,
    /// Jobs that miss blobs.
    pub blocked: u64,
    /// Jobs whose report, or final loss, is not yet in a status.
    pub reported: u64,
    /// Dead letters that are kept.
    pub dead: u64,
    /// How long the oldest job that is ready has waited.
    pub oldest: Duration,
    /// Bytes of cached artifacts and blobs.
    pub cached_bytes: u64,
    /// Entries evicted from the cache since Redis knows of it.
    pub evicted: u64,
}

/// A Submission that Redis knows jobs of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Its UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One handing of a job to a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The job.
    pub job: Job,
    /// The token of this delivery.
    pub fence: Fence,
    /// Which counted delivery it is, from 1.
    pub deliveries: u32,
    /// How long the job waited since it was ready.
    pub waited: Duration,
}

/// A lease as its holder sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The job.
    pub id: JobId,
    /// The token of the delivery.
    pub fence: Fence,
    /// How far it is.
    pub phase: Phase,
}

/// What is left of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holding {
    /// It holds.
    Held,
    /// It holds, but the result is not wanted any more: stop, and hand the job back.
    Cancelled,
    /// It is gone: stop, and say nothing.
    Lost,
}

/// Whether what a runner said changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did.
    Done,
    /// The delivery is not the job's last, or the job is gone: it did not.
    Stale,
}

/// Who may compile an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactLock {
    /// The asker.
    Ours,
    /// Someone else.
    Theirs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_a_label_or_two_with_a_dot_between() {
        let long = "x".repeat(63);
        for name in ["default", "a", "judges.c17", "0-a.b-1", &format!("{long}.{long}")] {
            let pool: Pool = name.parse().unwrap();
            assert_eq!(pool.to_string(), name);
        }
        let longer = "x".repeat(64);
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "a..b",
            "-a",
            "a-",
            "a.-b",
            "A",
            "a_b",
            "a:b",
            "a}",
            &longer,
            &format!("a.{longer}"),
        ] {
            assert_eq!(name.parse::<Pool>(), Err(PoolError), "{name}");
        }
        assert_eq!("a.b".parse::<Pool>().unwrap().namespace(), Some("a"));
        assert_eq!(Pool::of_worker_pool("a", "b").unwrap().as_str(), "a.b");
        assert_eq!(Pool::of_worker_pool("a.b", "c"), Err(PoolError), "it would read as another");
        assert_eq!("default".parse::<Pool>().unwrap().namespace(), None);
    }
}
