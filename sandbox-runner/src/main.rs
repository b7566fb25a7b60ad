//! The sandbox-runner: arguments, telemetry, wiring, exit status.

use std::process::ExitCode;

use clap::Parser;
use sandbox_runner::cli::{Cli, CliCommand, Ending, judge_files};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let ending = match &cli.command {
        CliCommand::Judge(args) => judge_files(args),
    };
    ending
        .unwrap_or_else(|error| {
            tracing::error!("{error:#}");
            Ending::Fault
        })
        .into()
}
