//! The sandbox-runner: arguments, telemetry, wiring, exit status.

use std::process::ExitCode;

use clap::Parser;
use sandbox_runner::cli::{Cli, CliCommand, Ending, install, judge_files, work};
use telemetry::{LogArgs, LogFormat};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ending = match &cli.command {
        CliCommand::Judge(args) => {
            LogArgs { log_format: LogFormat::Text }.init("warn");
            judge_files(args)
        }
        CliCommand::Worker(args) => {
            args.log.init("info");
            work(args)
        }
        CliCommand::Install(args) => {
            LogArgs { log_format: LogFormat::Text }.init("info");
            install(args)
        }
    };
    ending
        .unwrap_or_else(|error| {
            tracing::error!("{error:#}");
            Ending::Fault
        })
        .into()
}
