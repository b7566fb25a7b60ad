//! Logs: for people on a terminal, JSON for collectors.

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

/// Options of the log.
#[derive(Debug, Clone, Copy, Args)]
pub struct LogArgs {
    /// Form of the log on standard error. What is logged is set by `RUST_LOG`, such as `warn,queue=debug`; `info` unless
    /// set.
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
        let set = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
        let wanted = set.and_then(|text| text.parse::<Targets>().ok());
        let filter = wanted.unwrap_or_else(|| default.parse().unwrap_or_default());
        let lines = fmt::layer().with_writer(std::io::stderr);
        let log = match self.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        registry().with(filter).with(log).init();
    }
}
