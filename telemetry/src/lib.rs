//! What both programs show of themselves: logs, health and metrics, the last two over HTTP.

mod health;
mod logs;
mod server;

pub use health::{Health, Part};
pub use logs::{LogArgs, LogFormat};
pub use server::{ServeError, listen, serve};
