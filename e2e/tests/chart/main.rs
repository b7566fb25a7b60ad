//! The Helm chart: rendered by genuine Helm 3 and 4 over a matrix of values, checked, and installed on a real API server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod chart;
mod golden;
mod hello;
mod install;
mod network;
mod pods;
mod redis;
mod rights;
mod schemas;
mod values;
