//! Judges programs on one machine: compiles each once, runs its tests in boxes side by side, says what came of them.
//!
//! ```text
//!  documents ──> plan ──> toolchain + cache + compile ──> execute ──> report ──> status
//!   YAML files    what is to be done                      boxes       facts      what users read
//!                                 └──── slots: how many boxes, how much memory ────┘
//! ```
//!
//! `judge` drives it from files today; the worker will drive the same parts from the queue.

pub mod cache;
pub mod cli;
pub mod compile;
pub mod documents;
pub mod excerpt;
pub mod execute;
pub mod judge;
pub mod plan;
pub mod report;
pub mod slots;
pub mod status;
pub mod toolchain;
