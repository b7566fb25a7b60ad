//! Tests and benchmarks of the whole: the servers they start, and what they share.
pub mod crd_server;
