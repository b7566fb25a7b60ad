//! The operator: reconciles Submissions and Languages, plans jobs, takes in reports, writes verdicts.
//!
//! ```text
//!  watch ──> submissions: decide ──> plan ──> Redis ──> runners
//!                            │                  │
//!                            v                  v
//!            API server <── writer <── intake: assess, fold
//!                                       ^
//!                     audit: what Redis lost is enqueued again, what nobody owns is removed
//!                     pools: which queues there are, and whose jobs go where
//! ```
//!
//! The custom resource is the truth, the queue is a hint. [`plan`], [`decide`], [`pools::route`], [`intake::assess`] and
//! [`writer::change`] are pure; the rest is a thin shell, and everything in it has a bound.

pub mod api;
pub mod audit;
pub mod cli;
pub mod context;
pub mod decide;
pub mod fresh;
pub mod hello;
pub mod intake;
pub mod languages;
pub mod metrics;
pub mod object;
pub mod pace;
pub mod plan;
pub mod pools;
pub mod registry;
pub mod run;
pub mod submissions;
pub mod worker_pools;
pub mod writer;
