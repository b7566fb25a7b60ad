//! The worker as a process: started, asked over HTTP, sent signals, killed with the test.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Server, until};

/// A running worker.
pub(crate) struct Runner {
    process: Child,
    log: PathBuf,
    address: String,
}

impl Runner {
    /// Starts a worker named `name` with a cache of its own, and waits until it serves.
    pub(crate) async fn start(server: &Server, name: &str, options: &[&str]) -> Self {
        let (log, cache) = (server.folder().join(format!("{name}.log")), server.folder().join(name));
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox-runner"));
        command.env_clear().env("RUST_LOG", "debug").args(["worker", "--redis-url", &server.url()]);
        command
            .args(["--name", name, "--listen", "127.0.0.1:0", "--log-format", "json", "--cache-dir"])
            .arg(cache);
        command.args(["--memory-bytes", "4000000000", "--toolchain-id", "test"]).args(options);
        command.stdin(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut runner = Self { process: command.spawn().unwrap(), log, address: String::new() };
        runner.address = until("the worker serves", async || runner.served()).await;
        runner
    }

    /// The same, and ready.
    pub(crate) async fn ready(server: &Server, name: &str, options: &[&str]) -> Self {
        let runner = Self::start(server, name, options).await;
        until("the worker is ready", async || {
            runner.get("/readyz").starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        runner
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn served(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("Serving health and metrics."))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line["address"].as_str()?.to_owned())
    }

    /// The answer to a GET.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The value of a metric, named with its labels and without `kubejudge_runner_`; 0 if there is none.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let name = format!("kubejudge_runner_{name} ");
        let answer = self.get("/metrics");
        answer.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |value| value.parse().unwrap())
    }

    /// Deliveries that ended so.
    pub(crate) fn jobs(&self, outcome: &str) -> u64 {
        self.metric(&format!("jobs_total{{outcome=\"{outcome}\"}}"))
    }

    /// Programs that came from there.
    pub(crate) fn artifacts(&self, layer: &str) -> u64 {
        self.metric(&format!("artifacts_total{{layer=\"{layer}\"}}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the worker ends", async || self.process.try_wait().unwrap()).await
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}
