//! kubejudge as `make e2e` installed it, with pods that fail, change and scale while there is work: every verdict arrives, once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![cfg(test)]

mod changes;
mod faults;
mod figures;
mod inside;
mod pools;
