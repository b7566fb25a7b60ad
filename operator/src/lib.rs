//! The operator: reconciles Submissions and Languages, plans jobs, takes in reports, writes verdicts.
//!
//! ```text
//!  watch ──> submissions: decide ──> plan ──> Redis ──> runners
//!                            │                  │
//!                            v                  v
//!            API server <── writer <── intake: assess, fold
//!                                       ^
//!                     audit: what Redis lost is enqueued again, what nobody owns is removed
//! ```
//!
//! The custom resource is the truth, the queue is a hint. [`plan`], [`decide`], [`intake::assess`] and [`writer::change`] are
//! pure; the rest is a thin shell, and everything in it has a bound.

pub mod api;
pub mod audit;
pub mod cli;
pub mod context;
pub mod decide;
pub mod fresh;
pub mod intake;
pub mod languages;
pub mod metrics;
pub mod object;
pub mod pace;
pub mod plan;
pub mod registry;
pub mod run;
pub mod submissions;
pub mod writer;
