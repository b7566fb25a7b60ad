//! A real Redis in a folder of its own, gone with the test; and small jobs.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use queue::broker::{Allowance, Delivery, Options};
use queue::contract::{JobOutcome, Span, encode};
use queue::{Broker, Job, JobId, JobReport, JobTest, LanguageSnapshot, Payload, PlanHash};
use tempfile::TempDir;

/// How long a condition may take to come true on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A Redis server; without persistence unless asked.
pub(crate) struct Server {
    folder: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// A server with further arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut server = Self { folder: tempfile::tempdir().unwrap(), arguments, process: None };
        server.up();
        server
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Starts it, if it does not run, and waits until it answers.
    pub(crate) fn up(&mut self) {
        let folder = self.folder.path().to_str().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--dir", folder, "--unixsocket"]).arg(self.socket());
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        self.process = Some(command.spawn().expect("redis-server is installed"));
        let start = Instant::now();
        while self.try_command(&["PING"]).is_err_and(|error| error.is_io_error() || is_loading(&error)) {
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

    /// Its URL, for the default user unless `user` says otherwise.
    pub(crate) fn url(&self, user: Option<&str>) -> String {
        let login = user.map(|user| format!("?user={user}")).unwrap_or_default();
        format!("redis+unix://{}{login}", self.socket().display())
    }

    pub(crate) fn options(&self, pool: &str) -> Options {
        Options {
            url: self.url(None),
            password: None,
            authorities: None,
            pool: pool.parse().unwrap(),
            connect_timeout: Duration::from_secs(20),
            response_timeout: Duration::from_secs(20),
            cache_bytes: 64 << 20,
        }
    }

    pub(crate) async fn broker(&self) -> Broker {
        Broker::connect(self.options("default")).await.unwrap()
    }

    fn try_command(&self, words: &[&str]) -> Result<redis::Value, redis::RedisError> {
        let client = redis::Client::open(self.url(None))?;
        let mut connection = client.get_connection()?;
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
    }

    /// A command as the administrator gives it.
    pub(crate) fn command(&self, words: &[&str]) -> redis::Value {
        self.try_command(words).unwrap()
    }

    /// The same with a password.
    pub(crate) fn command_as(&self, password: &str, words: &[&str]) {
        let client = redis::Client::open(format!("{}?pass={password}", self.url(None))).unwrap();
        let mut connection = client.get_connection().unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query::<()>(&mut connection).unwrap();
    }

    /// Its answer as a number.
    pub(crate) fn number(&self, words: &[&str]) -> i64 {
        redis::from_redis_value(self.command(words)).unwrap()
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

fn is_loading(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::BusyLoading)
}

/// The whole name of a key of the pool `default`.
pub(crate) fn key(name: &str) -> String {
    format!("kubejudge:{{default}}:{name}")
}

pub(crate) const ALLOWANCE: Allowance = Allowance {
    pool: 10_000,
    namespace: 10_000,
    deliveries: 3,
    first_delay: Duration::from_secs(1),
    longest_delay: Duration::from_mins(1),
};

pub(crate) const LEASE: Duration = Duration::from_mins(10);

pub(crate) fn language() -> LanguageSnapshot {
    let limits = serde_json::json!({ "default":
        { "timeMilliseconds": 1000, "memoryBytes": 1 << 24, "outputBytes": 1000, "processes": 1 } });
    let spec = serde_json::json!({ "displayName": "Cat", "sourceFile": "a.txt", "run": { "command": ["/bin/cat"] },
        "limits": limits });
    LanguageSnapshot { name: "cat".into(), spec: serde_json::from_value(spec).unwrap() }
}

/// A job with one test.
pub(crate) fn job(namespace: &str, uid: &str) -> Job {
    let language = language();
    let id = JobId { uid: uid.into(), judging: 1, plan: PlanHash::of(blake3::hash(b"plan")), batch: 0 };
    Job {
        id,
        namespace: namespace.into(),
        name: format!("name-of-{uid}"),
        priority: crds::Priority::Normal,
        limits: crds::ResolvedLimits::of(None, &language.spec),
        language,
        source: Payload::Text("text".into()),
        comparison: crds::Comparison::Lines,
        span: Span { first: 0, count: 1, total: 1, batches: 1 },
        tests: vec![test(0)],
    }
}

pub(crate) fn test(index: u32) -> JobTest {
    let text = || Payload::Text("1".into());
    JobTest { index, name: format!("t{index}"), input: text(), answer: text() }
}

/// A report that names its runner.
pub(crate) fn report(runner: &str) -> JobReport {
    JobReport {
        runner: runner.into(),
        started: jiff::Timestamp::UNIX_EPOCH,
        compile: None,
        outcome: JobOutcome::InternalError("a test".into()),
        measurement: None,
    }
}

/// The bytes of a job's body.
pub(crate) fn body(job: &Job) -> Vec<u8> {
    encode(job).unwrap()
}

pub(crate) async fn enqueue(broker: &Broker, job: &Job) {
    let enqueued = broker.enqueue(job, &[], &ALLOWANCE).await.unwrap();
    assert_eq!(enqueued, queue::broker::Enqueued::Queued);
}

pub(crate) async fn take(broker: &Broker) -> Option<Delivery> {
    broker.take("runner", LEASE).await.unwrap()
}
