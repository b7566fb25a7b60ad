//! A real redis-server of a test's own.
use std::{fs, time::Duration};

use anyhow::Context as _;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, aio::MultiplexedConnection};
use tempfile::TempDir;

use crate::{
    files,
    port::Port,
    process::{Launch, Process, until_ready},
};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What the server keeps and whom it lets in.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Whether it writes what it holds to a file, and so still has it when it starts again.
    pub append_only: bool,
    /// What it does when memory runs out.
    pub maxmemory_policy: String,
    /// What clients must know. None lets everybody in.
    pub password: Option<String>,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self { append_only: false, maxmemory_policy: "noeviction".to_owned(), password: None }
    }
}

/// The running server. Dropping it kills it and removes all it wrote.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: Port,
    settings: RedisSettings,
    dir: TempDir,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub async fn start(settings: RedisSettings) -> anyhow::Result<Self> {
        let binary = files::in_path("redis-server", "redis-server")?;
        let dir = tempfile::Builder::new().prefix("kubejudge-redis-").tempdir()?;
        let port = Port::reserve()?;
        let launch = Launch::new(dir.path(), "redis-server", binary, arguments(&settings, port.number()));
        let mut server = Self { process: Process::start(launch)?, port, settings, dir };
        server.until_ready().await?;
        Ok(server)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its address without a password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// What clients must know.
    pub fn password(&self) -> Option<&str> {
        self.settings.password.as_deref()
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A new connection with all rights.
    pub async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        connect(self.port(), self.settings.password.as_deref()).await
    }

    /// What the server answers to one command.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        let (name, arguments) = words.split_first().context("an empty command")?;
        let mut connection = self.connect().await?;
        Ok(redis::cmd(name).arg(arguments).query_async(&mut connection).await?)
    }

    /// Deletes all it holds, while it serves.
    pub async fn flush(&self) -> anyhow::Result<()> {
        self.command(&["FLUSHALL", "SYNC"]).await
    }

    /// Changes a setting while it serves, such as `maxmemory-policy`.
    pub async fn configure(&self, setting: &str, value: &str) -> anyhow::Result<()> {
        self.command(&["CONFIG", "SET", setting, value]).await
    }

    /// Kills it at once.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Starts it again after [`RedisServer::kill`], on the same port: with what it held if it is append-only, else empty.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.process.start_again()?;
        self.until_ready().await
    }

    /// The same with nothing, as after the loss of its disk.
    pub async fn start_again_empty(&mut self) -> anyhow::Result<()> {
        let data = self.dir.path().join("appendonlydir");
        if data.exists() {
            fs::remove_dir_all(data)?;
        }
        self.start_again().await
    }

    /// Stops it where it is: connections stay, nothing is answered.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.pause()
    }

    /// Lets it go on after [`RedisServer::pause`].
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.resume()
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let (port, password) = (self.port(), self.settings.password.clone());
        until_ready(&mut [&mut self.process], async || {
            let mut connection = connect(port, password.as_deref()).await?;
            Ok(redis::cmd("PING").query_async(&mut connection).await?)
        })
        .await
    }
}

/// Files are never synced: they survive the process, and the machine need not die.
fn arguments(settings: &RedisSettings, port: u16) -> Vec<String> {
    let append_only = if settings.append_only { "yes" } else { "no" };
    let (port, policy) = (port.to_string(), settings.maxmemory_policy.as_str());
    let mut words = vec!["--port", &port, "--bind", "127.0.0.1", "--save", ""];
    words.extend(["--appendonly", append_only, "--appendfsync", "no", "--maxmemory-policy", policy]);
    if let Some(password) = &settings.password {
        words.extend(["--requirepass", password]);
    }
    words.into_iter().map(str::to_owned).collect()
}

async fn connect(port: u16, password: Option<&str>) -> anyhow::Result<MultiplexedConnection> {
    let login = password.map(|password| format!(":{password}@")).unwrap_or_default();
    let client = Client::open(format!("redis://{login}127.0.0.1:{port}"))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}
