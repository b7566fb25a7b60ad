//! The operator: arguments, telemetry, runtime, exit status.

use std::process::ExitCode;

use clap::Parser as _;
use operator::cli::Cli;

fn main() -> ExitCode {
    // Before anything opens a connection: rustls takes no guess which provider is meant. It fails only if there is one.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let cli = Cli::parse();
    cli.log.init("info");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result =
        runtime.map_err(anyhow::Error::new).and_then(|runtime| runtime.block_on(operator::run::run(cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("The operator ends: {error:#}.");
            ExitCode::FAILURE
        }
    }
}
