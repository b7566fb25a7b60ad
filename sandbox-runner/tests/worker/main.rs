//! `worker` as a process, with a real Redis and real boxes: what it takes, says, waits for and hands back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod artifacts;
mod faults;
mod jobs;
mod judging;
mod readiness;
mod runner;
mod server;
mod stopping;
