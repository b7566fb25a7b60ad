//! The Redis broker: every step one atomic Lua function, every delivery with a fence token, every time Redis' own.
//!
//! # Keys
//!
//! Every key begins with `kubejudge:{POOL}:`. The braces are a hash tag: a pool lies in one Cluster slot. Times are microseconds
//! since 1970 by Redis' clock. A priority is `contest`, `normal` or `rejudge`.
//!
//! | key | type | what |
//! |---|---|---|
//! | `job:ID` | hash | a job: body, whose it is, state, fence, deliveries, report |
//! | `jobs:UID` | set | the ids of a Submission's jobs |
//! | `subjects` | hash | UID to `namespace/name` of the Submissions with jobs |
//! | `ready:PRIORITY:NAMESPACE` | sorted set | ready jobs by place in the queue |
//! | `waiting:PRIORITY` | sorted set | the same jobs, of all namespaces, by since when they are ready |
//! | `turn:PRIORITY` | sorted set | namespaces with ready jobs by virtual time |
//! | `tags:PRIORITY` | sorted set | virtual time of namespaces without, while it is ahead of the floor |
//! | `fair` | hash | virtual time and floors of the priorities; the last fence token |
//! | `leases` | sorted set | leased jobs by deadline |
//! | `delayed` | sorted set | jobs that wait for another delivery, by when they are due |
//! | `blocked`, `done` | sets | jobs that miss blobs; jobs that are reported or lost |
//! | `depth` | hash | jobs that wait, by namespace |
//! | `take:TOKEN` | string | what a call of take answered, for 30 seconds |
//! | `wake`, `news` | lists | wake-ups for idle runners, at most 1024; UIDs for operators, at most 100 000 |
//! | `dead` | list | dead letters: time, kind, id and reason in the first line; at most 1000 of 64 KiB |
//! | `blob:HASH`, `artifact:KEY` | strings | cached values |
//! | `cache`, `cache:entries`, `cache:value` | hash, hash, sorted set | the cache's size and clock; its entries' sizes, costs and values |
//! | `lock:KEY` | string | who compiles an artifact |
//! | `runners`, `alive` | hash, sorted set | runners' statuses; until when they are believed |
//! | `languages` | hash | Languages by name |
//!
//! Beside the pools' own keys there is the set `kubejudge:pools`: the pools of `WorkerPool`s that operators have opened.
//!
//! # Whose turn it is
//!
//! Start-time fair queueing on two levels. The priority whose virtual time is least goes first; a delivery moves it on by the
//! job's cost, its number of tests, over its weight: 64 for contest, 8 for normal, 1 for rejudge. Within it the namespace whose
//! virtual time is least goes first, all with the same weight. Whoever has had nothing ready joins at the virtual time of the
//! last delivery, or where it left if that is later: idling saves up nothing. Within a namespace jobs go in the order they
//! were queued in. A delivery is charged when it is made and keeps its charge, also if the job is handed back.
//!
//! # Rights
//!
//! What a pool's user needs, and all of it within its own keys:
//!
//! ```text
//! ACL SETUSER POOL on >PASSWORD resetkeys ~kubejudge:{POOL}:* resetchannels -@all +info +select +eval +evalsha +time +get +set
//!   +del +unlink +exists +hget +hset +hsetnx +hdel +hmget +hincrby +hvals +hscan +sadd +srem +scard +smembers +zadd +zrem
//!   +zrange +zscore +zcard +zremrangebyscore +llen +rpush +ltrim +blpop +blmpop
//! ```
//!
//! An operator that serves `WorkerPool`s needs the same commands with `~kubejudge:*`.

mod authorities;
mod cache;
mod error;
mod function;
mod link;
mod operators;
mod password;
mod pools;
mod runners;
#[cfg(test)]
mod tests;
mod types;
mod waiter;
mod words;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use authorities::{Authorities, AuthoritiesError};
pub use error::BrokerError;
pub use password::{PasswordError, password};
pub use types::{
    Allowance, ArtifactLock, Collected, DEFAULT_CACHE_BYTES, Delivery, Dissolved, Enqueued, Fence, Gauges,
    Held, Holding, JobRecord, JobState, Options, Outcome, Pool, PoolError, Reaped, Scope, Subject, Unfit,
};
pub use waiter::Waiter;

use link::Link;

/// The oldest Redis whose commands we know to be there.
const OLDEST: u32 = 7;

/// A pool's queue. Clones share its connections, which come back by themselves when they are lost.
#[derive(Clone)]
pub struct Broker {
    link: Link,
    /// For large values: a heartbeat must not wait behind an artifact.
    bulk: Link,
    /// What all of the pool's keys begin with.
    prefix: Arc<str>,
    cache_bytes: u64,
    response_timeout: Duration,
    /// Tells this broker's calls from any other's.
    nonce: u64,
    calls: Arc<AtomicU64>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker for `options`. Does not wait for Redis: commands fail until it can be reached, and [`Broker::check`]
    /// says why. Fails for a URL that can't be one.
    #[expect(
        clippy::unused_async,
        reason = "a broker is made where a runtime runs, and may have to wait one day"
    )]
    pub async fn connect(options: Options) -> Result<Self, BrokerError> {
        let client = link::client(&options)?;
        Ok(Self {
            link: Link::new(client.clone(), &options),
            bulk: Link::new(client, &options),
            prefix: prefix(&options.pool),
            cache_bytes: options.cache_bytes,
            response_timeout: options.response_timeout,
            nonce: RandomState::new().hash_one(std::process::id()),
            calls: Arc::default(),
        })
    }

    /// Whether this Redis can be used: reachable, 7.0 or later, `maxmemory-policy noeviction`, password right, our functions
    /// allowed.
    pub async fn check(&self) -> Result<(), Unfit> {
        // Two calls: only 7.0 and later take more than one section.
        let server = self.info("server").await?;
        let version = field(&server, "redis_version");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            return Err(Unfit::Version(version.to_owned()));
        }
        let memory = self.info("memory").await?;
        let policy = field(&memory, "maxmemory_policy");
        if policy != "noeviction" {
            return Err(Unfit::Policy(policy.to_owned()));
        }
        self.gauges().await?;
        Ok(())
    }

    async fn info(&self, section: &str) -> Result<String, BrokerError> {
        self.ask("info", redis::cmd("INFO").arg(section)).await
    }

    /// The whole name of a key.
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A text that no other call has.
    fn token(&self) -> String {
        format!("{:x}-{}", self.nonce, self.calls.fetch_add(1, Ordering::Relaxed))
    }
}

/// What all keys of a pool begin with.
fn prefix(pool: &Pool) -> Arc<str> {
    format!("kubejudge:{{{pool}}}:").into()
}

/// A field of INFO's answer.
fn field<'a>(info: &'a str, name: &str) -> &'a str {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or("unknown").trim()
}
