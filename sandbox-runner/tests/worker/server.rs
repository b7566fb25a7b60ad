//! A real Redis in a folder of its own, gone with the test, and what an operator would ask it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use queue::broker::{Allowance, Collected, Enqueued, JobState, Options};
use queue::contract::{JobOutcome, TestOutcome};
use queue::{Blob, Broker, Job, JobReport};
use tempfile::TempDir;

/// How long a condition may take to come true on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `condition` gives something.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A Redis server; without persistence unless asked.
pub(crate) struct Server {
    folder: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
    password: Option<String>,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut server =
            Self { folder: tempfile::tempdir().unwrap(), arguments, process: None, password: None };
        server.up();
        server
    }

    /// A server that wants a password.
    pub(crate) fn with_password(password: &str) -> Self {
        let mut server = Self::start(&["--requirepass", password]);
        server.password = Some(password.to_owned());
        server
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// A folder for whatever belongs to the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Starts it and waits until it answers, if only to say that it wants a password.
    pub(crate) fn up(&mut self) {
        let folder = self.folder.path().to_str().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--dir", folder, "--unixsocket"]).arg(self.socket());
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        let start = Instant::now();
        while self.ping().is_err_and(|error| error.is_io_error() || error.code() == Some("LOADING")) {
            assert!(start.elapsed() < PATIENCE, "Redis does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it.
    pub(crate) fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        std::fs::remove_file(self.socket()).ok();
    }

    fn ping(&self) -> Result<redis::Value, redis::RedisError> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        redis::cmd("PING").query(&mut connection)
    }

    /// A command as the administrator gives it.
    pub(crate) fn command(&self, words: &[&str]) -> redis::Value {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap()
    }

    pub(crate) async fn broker(&self) -> Broker {
        let options = Options {
            url: self.url(),
            password: self.password.clone(),
            authorities: None,
            pool: "default".parse().unwrap(),
            connect_timeout: Duration::from_secs(20),
            response_timeout: Duration::from_secs(20),
            cache_bytes: 64 << 20,
        };
        Broker::connect(options).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// Bounds that no test meets unless it means to.
pub(crate) fn allowance(deliveries: u32) -> Allowance {
    Allowance {
        pool: 1000,
        namespace: 1000,
        deliveries,
        first_delay: Duration::from_millis(100),
        longest_delay: Duration::from_secs(1),
    }
}

pub(crate) async fn enqueue(broker: &Broker, job: &Job, blobs: &[Blob]) {
    assert_eq!(broker.enqueue(job, blobs, &allowance(3)).await.unwrap(), Enqueued::Queued);
}

/// The one job of a Submission.
pub(crate) async fn the_job(broker: &Broker, uid: &str) -> Option<Collected> {
    let mut jobs = broker.collect(uid).await.ok()?;
    assert!(jobs.len() < 2, "{jobs:?}");
    jobs.pop()
}

/// Waits until the job of a Submission is in a state.
pub(crate) async fn in_state(broker: &Broker, uid: &str, wanted: impl Fn(&JobState) -> bool) -> Collected {
    until("the job's state", async || the_job(broker, uid).await.filter(|job| wanted(&job.record.state)))
        .await
}

/// Waits for the job's report.
pub(crate) async fn reported(broker: &Broker, uid: &str) -> (Collected, JobReport) {
    let mut job = in_state(broker, uid, |state| *state == JobState::Reported).await;
    let report = job.report.take().unwrap().unwrap();
    (job, report)
}

/// The rows of a report.
pub(crate) fn rows(report: &JobReport) -> &[TestOutcome] {
    match &report.outcome {
        JobOutcome::Judged(rows) => rows,
        other => panic!("{other:?}"),
    }
}

/// The verdicts of a report's rows.
pub(crate) fn verdicts(report: &JobReport) -> Vec<crds::Verdict> {
    rows(report).iter().map(|row| row.status.verdict).collect()
}
