//! Logs: for people on a terminal, JSON for collectors.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Options of the log.
#[derive(Debug, Clone, Copy, Args)]
pub struct LogArgs {
    /// Form of the log on standard error. What is logged is set by `RUST_LOG`, `info` unless set.
    #[arg(long, env = "KUBEJUDGE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogArgs {
    /// Starts logging, of `default` and above unless the environment says otherwise. To be called once.
    pub fn init(self, default: &str) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
    }
}
