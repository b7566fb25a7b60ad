//! Judges programs on one machine: compiles each once, runs its tests in boxes side by side, says what came of them.
//!
//! ```text
//!  documents ──┐
//!   YAML files ├──> plan ──> toolchain + store + compile ──> execute ──> report ──> outcome
//!  worker ─────┘    what is to be done                       boxes       facts      the contract's words
//!   the queue                        └──── slots: how many boxes, how much memory ────┘
//! ```
//!
//! `judge` drives it from files, `worker` from the queue.

pub mod cache;
pub mod cli;
pub mod compile;
pub mod documents;
pub mod excerpt;
pub mod execute;
pub mod judge;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod slots;
pub mod store;
pub mod toolchain;
pub mod worker;
