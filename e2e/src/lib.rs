//! Tests and benchmarks of the whole: the servers they start, and what they share.
//!
//! Each test is a process with servers of its own, so it may kill, stop and restart them. [`World`] has all of them, wired
//! through proxies; the parts serve on their own too. Whoever drops a part ends its process and removes its files; if a test
//! fails, the end of every process' log is shown.

mod crd;
mod http;
mod pki;

pub mod audit;
pub mod backlog;
pub mod control_plane;
pub mod crd_server;
pub mod files;
pub mod fixtures;
pub mod history;
pub mod metrics;
pub mod node;
pub mod pools;
pub mod port;
pub mod process;
pub mod program;
pub mod proxy;
pub mod rbac;
pub mod redis_server;
pub mod scenario;
pub mod world;

pub use control_plane::{ControlPlane, User};
pub use history::History;
pub use program::Program;
pub use proxy::{Mode, Proxy};
pub use redis_server::{RedisServer, RedisSettings};
pub use world::{Setup, World};
