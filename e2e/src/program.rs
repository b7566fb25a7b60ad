//! The operator and the workers as processes.
use std::{path::Path, time::Duration};

use anyhow::ensure;

use crate::{
    files, http,
    metrics::Metrics,
    port::Port,
    process::{Launch, Process, until_ready},
};

/// How long a program may take to end in good order, beyond what it may take for the work it holds.
const STOPPED_WITHIN: Duration = Duration::from_mins(1);
/// How much of a program's log a failing test shows, in bytes.
const LOG_TAIL: usize = 16 << 10;

/// A running program. Dropping it kills it and, if the test fails, shows the end of its log.
#[derive(Debug)]
pub struct Program {
    process: Process,
    port: Port,
}

/// Whether `binaries` of this workspace are there and as new as their sources. Said before servers are started for them.
pub fn check_built(binaries: &[&str]) -> anyhow::Result<()> {
    binaries.iter().try_for_each(|binary| files::workspace_binary(binary).map(drop))
}

impl Program {
    /// Starts `binary` of this workspace as `name` with its log in `dir`.
    pub fn start(
        dir: &Path,
        name: &str,
        binary: &str,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let port = Port::reserve()?;
        let own = [format!("--listen=127.0.0.1:{}", port.number()), "--log-format=json".to_owned()];
        let arguments = arguments.iter().cloned().chain(own).collect();
        let launch = Launch::new(dir, name, files::workspace_binary(binary)?, arguments);
        let launch = Launch { environment: environment.to_vec(), log_tail: LOG_TAIL, ..launch };
        Ok(Self { process: Process::start(launch)?, port })
    }

    /// Waits until it says that it is ready.
    pub async fn until_ready(&mut self) -> anyhow::Result<()> {
        let port = self.port.number();
        until_ready(&mut [&mut self.process], async || {
            let (status, reasons) = http::get(port, "/readyz").await?;
            ensure!(status == 200, "not ready: {}", reasons.trim_end());
            Ok(())
        })
        .await
    }

    /// Whether it is ready, else its reasons, a line each. An error if it does not answer.
    pub async fn ready(&self) -> anyhow::Result<Result<(), String>> {
        let (status, reasons) = http::get(self.port.number(), "/readyz").await?;
        Ok(if status == 200 { Ok(()) } else { Err(reasons) })
    }

    /// Its metrics of this moment.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        let (status, text) = http::get(self.port.number(), "/metrics").await?;
        ensure!(status == 200, "/metrics answers {status}: {text}");
        Metrics::parse(&text)
    }

    /// Kills it at once.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Asks it to end in good order, and demands that it does.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.process.stop(STOPPED_WITHIN).await?;
        ensure!(status.success(), "{} ended with {status} after SIGTERM", self.process.name());
        Ok(())
    }

    /// Starts it again after it ended, and waits until it is ready.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.process.start_again()?;
        self.until_ready().await
    }

    /// Stops it where it is.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.pause()
    }

    /// Lets it go on after [`Program::pause`].
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.resume()
    }

    /// Its process, for its log and its id.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
