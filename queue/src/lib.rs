//! What operator and runners owe each other: jobs, reports, runners' and languages' records, and the Redis broker in between.
//!
//! ```text
//!  operator ── Job ──────────> Redis ── Delivery ──> runner
//!           <── Report, News ──       <── Report ───
//! ```
//!
//! [`contract`] is pure: versioned, self-contained records with a bound on everything that is decoded. [`broker`] carries them:
//! each step one atomic Lua function, each delivery with a fence token. [`verdict`] folds reports into a Submission's status.

pub mod broker;
pub mod contract;
pub mod verdict;

#[cfg(test)]
extern crate self as queue;

pub use broker::{Broker, BrokerError};
pub use contract::{
    Blob, BlobRef, Job, JobId, JobReport, JobTest, LanguageSnapshot, Payload, PlanHash, RunnerStatus,
};
