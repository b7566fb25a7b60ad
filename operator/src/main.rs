//! The operator: arguments, telemetry, runtime, exit status.

use std::env;
use std::process::ExitCode;

use clap::Parser as _;
use operator::cli::Cli;
use operator::hello::{self, HelloCli};

fn main() -> ExitCode {
    // Before anything opens a connection: rustls takes no guess which provider is meant. It fails only if there is one.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    // No subcommand of `Cli`: that would take its required options away with it.
    if env::args_os().nth(1).is_some_and(|word| word == "hello") {
        let cli = HelloCli::parse_from(env::args_os().skip(1));
        cli.log.init("info");
        return end("No hello", block_on(hello::run(cli)));
    }
    let cli = Cli::parse();
    cli.log.init("info");
    end("The operator ends", block_on(operator::run::run(cli)))
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn end(what: &str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{what}: {error:#}.");
            ExitCode::FAILURE
        }
    }
}
