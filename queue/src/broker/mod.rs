//! The Redis broker: every step one atomic Lua function, every delivery with a fence token, every time Redis' own.

mod error;
mod types;

use std::time::Duration;

use crds::Phase;

pub use error::BrokerError;
pub use types::{
    Allowance, ArtifactLock, Collected, Delivery, Enqueued, Fence, Gauges, Held, Holding, JobRecord, JobState,
    Options, Outcome, Pool, PoolError, Reaped, Scope, Subject, Unfit,
};

use crate::contract::{
    Blob, BlobHash, BlobRef, Job, JobId, JobReport, LanguageSnapshot, RunnerStatus,
};

/// A pool's queue. Clones share one connection, which comes back by itself when it is lost.
#[derive(Clone, Debug)]
pub struct Broker {}

/// A connection of its own for blocking reads: it waits longer than any command may take.
#[derive(Debug)]
pub struct Waiter {}

impl Broker {
    /// A broker for `options`. Does not wait for Redis: commands fail until it can be reached, and [`Broker::check`]
    /// says why. Fails for a URL that can't be one.
    pub async fn connect(options: Options) -> Result<Self, BrokerError> { todo!() }

    /// Whether this Redis can be used: reachable, 7.0 or later, `maxmemory-policy noeviction`, password right.
    pub async fn check(&self) -> Result<(), Unfit> { todo!() }

    // ---- the operator's side ----

    /// Puts `job` on the queue with the blobs it needs (those that are there already are not sent again; blobs go first).
    /// Enqueueing the same id twice is one job, in whatever state that is. Jobs of the same Submission with another
    /// judging or plan are cancelled first.
    pub async fn enqueue(&self, job: &Job, blobs: &[Blob], allowance: &Allowance) -> Result<Enqueued, BrokerError> { todo!() }

    /// What Redis knows of each of these Submissions, by UID, in the order asked; empty for nothing. In bounded batches.
    pub async fn lookup(&self, uids: &[String]) -> Result<Vec<Vec<JobRecord>>, BrokerError> { todo!() }

    /// All jobs of one Submission with their reports.
    pub async fn collect(&self, uid: &str) -> Result<Vec<Collected>, BrokerError> { todo!() }

    /// Forgets the jobs and reports of this and earlier judgings, after the status was written. Jobs that are still
    /// leased are cancelled.
    pub async fn forget(&self, uid: &str, judging: u32) -> Result<(), BrokerError> { todo!() }

    /// Takes all of a Submission's jobs off the queue, whatever their judging; those leased are told at the next
    /// heartbeat, and gone when their runner or lease lets go. Says how many were found.
    pub async fn cancel(&self, uid: &str) -> Result<u64, BrokerError> { todo!() }

    /// Stores the blobs that a blocked job misses and lets it wait again, at its old place and at no cost in deliveries.
    pub async fn supply(&self, id: &JobId, blobs: &[Blob]) -> Result<(), BrokerError> { todo!() }

    /// Lowers the priority of a Submission's waiting jobs.
    pub async fn reprioritize(&self, uid: &str, priority: crds::Priority) -> Result<(), BrokerError> { todo!() }

    /// Takes back leases that ran out, at most `most`, and wakes what was delayed until now. Runners do the same when they
    /// take, so a queue without operator goes on.
    pub async fn reap(&self, most: usize) -> Result<Reaped, BrokerError> { todo!() }

    /// Removes a job whose content or report can't be read; a copy of it goes to the dead letters, which are bounded.
    /// The Submission is news then, and its owner plans it anew.
    pub async fn bury(&self, id: &JobId, reason: &str) -> Result<(), BrokerError> { todo!() }

    /// The queue in numbers.
    pub async fn gauges(&self) -> Result<Gauges, BrokerError> { todo!() }

    /// Some of the Submissions that Redis knows jobs of, and where to go on; 0 begins and ends the round.
    pub async fn subjects(&self, cursor: u64, about: usize) -> Result<(Vec<Subject>, u64), BrokerError> { todo!() }

    /// Makes a Language known to the runners.
    pub async fn publish_language(&self, language: &LanguageSnapshot) -> Result<(), BrokerError> { todo!() }

    /// Takes it back.
    pub async fn withdraw_language(&self, name: &str) -> Result<(), BrokerError> { todo!() }

    /// Runners that said something within the time they promised to. Unreadable statuses are passed over.
    pub async fn runners(&self) -> Result<Vec<RunnerStatus>, BrokerError> { todo!() }

    // ---- the runners' side ----

    /// Leases the job whose turn it is, for `lease`. A job that can't be read is buried, and the next one taken.
    pub async fn take(&self, runner: &str, lease: Duration) -> Result<Option<Delivery>, BrokerError> { todo!() }

    /// Extends all these leases to `lease` from now, notes how far each job is, and says which of them still hold.
    pub async fn extend(&self, held: &[Held], lease: Duration) -> Result<Vec<Holding>, BrokerError> { todo!() }

    /// Hands in the result. The first one per job wins.
    pub async fn report(&self, id: &JobId, fence: Fence, report: &JobReport) -> Result<Outcome, BrokerError> { todo!() }

    /// Gives a job up because the platform failed: it is delivered again after a growing delay, or lost for good, with this
    /// reason, if this was the last allowed delivery.
    pub async fn retry(&self, id: &JobId, fence: Fence, reason: &str) -> Result<Outcome, BrokerError> { todo!() }

    /// Hands a job back in good order: it waits again at its old place, and the delivery is not counted. A job that was
    /// cancelled meanwhile is gone.
    pub async fn hand_back(&self, id: &JobId, fence: Fence) -> Result<Outcome, BrokerError> { todo!() }

    /// Hands a job back because these blobs are gone: it waits until they are supplied, and the delivery is not counted.
    pub async fn missing(&self, id: &JobId, fence: Fence, blobs: &[BlobHash]) -> Result<Outcome, BrokerError> { todo!() }

    /// The blobs' contents, in the order asked; nothing for one that is gone. A damaged one is removed and gone.
    pub async fn blobs(&self, names: &[BlobRef]) -> Result<Vec<Option<Vec<u8>>>, BrokerError> { todo!() }

    /// A cached artifact by the key of what made it. A damaged one is removed and gone.
    pub async fn artifact(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> { todo!() }

    /// Keeps an artifact that took `cost` to make. When the cache is full, the least valuable entries go first.
    pub async fn keep_artifact(&self, key: &str, content: &[u8], cost: Duration) -> Result<(), BrokerError> { todo!() }

    /// Takes or extends the right to compile the artifact `key`, for `ttl`.
    pub async fn lock_artifact(&self, key: &str, holder: &str, ttl: Duration) -> Result<ArtifactLock, BrokerError> { todo!() }

    /// Gives that right up.
    pub async fn unlock_artifact(&self, key: &str, holder: &str) -> Result<(), BrokerError> { todo!() }

    /// Says that a runner is alive; believed for `ttl`.
    pub async fn announce(&self, status: &RunnerStatus, ttl: Duration) -> Result<(), BrokerError> { todo!() }

    /// Says that a runner is gone.
    pub async fn retire(&self, runner: &str) -> Result<(), BrokerError> { todo!() }

    /// The Languages that were published, and how many could not be read.
    pub async fn languages(&self) -> Result<(Vec<LanguageSnapshot>, usize), BrokerError> { todo!() }

    /// A waiter with a connection of its own, opened at its first use and again after a failure.
    pub fn waiter(&self) -> Waiter { todo!() }
}

impl Waiter {
    /// Waits until there may be work, at most `most`. A wake-up is a hint: it may come for nothing, or be missed.
    pub async fn work(&mut self, most: Duration) -> Result<bool, BrokerError> { todo!() }

    /// Waits until there is news, at most `most`, and takes up to `count` of it: the UIDs of Submissions of which a job was
    /// reported, lost, blocked or buried, each once. What is taken and not acted on is found by the audit.
    pub async fn news(&mut self, most: Duration, count: usize) -> Result<Vec<String>, BrokerError> { todo!() }
}
