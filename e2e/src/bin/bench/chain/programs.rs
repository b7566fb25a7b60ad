//! The processes of the chain, wired to each other directly, and what is asked of them.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use crds::{Language, Submission};
use e2e::{ControlPlane, Program, RedisServer, RedisSettings, User, fixtures};
use kube::api::{Api, PostParams};
use serde_json::json;
use tempfile::TempDir;

use super::JUDGED;

/// A Language whose program does nothing.
const NO_OP: &str = "no-op";
/// A namespace that the operator does not watch.
pub(super) const IGNORED: &str = "ignored";

/// Everything that runs.
pub(super) struct Chain {
    operator: Program,
    _runners: Vec<Program>,
    _redis: RedisServer,
    control_plane: ControlPlane,
    _dir: TempDir,
}

impl Chain {
    /// Starts one operator and `runners` runners with `slots` slots each.
    pub(super) async fn start(slots: usize, runners: usize) -> anyhow::Result<Self> {
        let control_plane = ControlPlane::start().await?;
        let client = control_plane.client();
        let redis = RedisServer::start(RedisSettings::default()).await?;
        let languages: Api<Language> = Api::all(client.clone());
        for language in [no_op_language()?, fixtures::language("cpp17")?] {
            languages.create(&PostParams::default(), &language).await?;
        }
        let namespace = serde_json::from_value(json!({"metadata": {"name": IGNORED}}))?;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client);
        namespaces.create(&PostParams::default(), &namespace).await?;
        let dir = tempfile::Builder::new().prefix("kubejudge-bench-").tempdir()?;
        let queue = format!("--redis-url={}", redis.url());
        let kubeconfig = control_plane.kubeconfig(User::Operator, control_plane.port())?;
        let environment = [("KUBECONFIG", kubeconfig.display().to_string()), ("RUST_LOG", "warn".to_owned())];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let flags = [queue.clone(), format!("--namespaces={JUDGED}")];
        let mut operator = Program::start(dir.path(), "operator", "operator", &flags, &environment)?;
        let mut programs = Vec::new();
        for number in 0..runners {
            let cache = dir.path().join(format!("cache-{number}"));
            let flags = [
                "worker".to_owned(),
                queue.clone(),
                format!("--slots={slots}"),
                format!("--cache-dir={}", cache.display()),
            ];
            let name = format!("runner-{number}");
            programs.push(Program::start(dir.path(), &name, "sandbox-runner", &flags, &environment)?);
        }
        operator.until_ready().await?;
        for runner in &mut programs {
            runner.until_ready().await?;
        }
        Ok(Self { operator, _runners: programs, _redis: redis, control_plane, _dir: dir })
    }

    pub(super) fn submissions(&self, namespace: &str) -> Api<Submission> {
        Api::namespaced(self.control_plane.client(), namespace)
    }

    /// Waits until the operator has seen `count` jobs on the queue, and has been at rest for some looks.
    pub(super) async fn until_queued(&self, count: u32, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let metrics = self.operator.metrics().await?;
            let waiting = metrics.sum("kubejudge_operator_queue_jobs", &[]).unwrap_or_default();
            let known = metrics.sum("kubejudge_operator_submissions_unfinished", &[]).unwrap_or_default();
            let all = f64::from(count);
            if waiting >= all && known >= all {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{waiting} jobs queued, {known} Submissions known, of {count}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(super) async fn restart_operator(&mut self) -> anyhow::Result<()> {
        self.operator.stop().await?;
        self.operator.start_again().await
    }

    /// Resident memory of the operator in bytes (`VmRSS` of `proc_pid_status(5)`).
    pub(super) fn operator_rss(&mut self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.operator.process().id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024)
    }
}

fn no_op_language() -> anyhow::Result<Language> {
    let limits =
        json!({ "timeMilliseconds": 5000, "memoryBytes": 64 << 20, "outputBytes": 1 << 20, "processes": 16 });
    let spec = json!({
        "displayName": "Nothing", "sourceFile": "main.txt", "run": { "command": ["/bin/true"] },
        "limits": { "default": limits },
    });
    Ok(Language::new(NO_OP, serde_json::from_value(spec)?))
}

/// A Submission in the language whose program does nothing.
pub(super) fn no_op(name: &str, source: &str) -> anyhow::Result<Submission> {
    let tests = json!([{ "name": "one", "answer": "" }]);
    let spec = json!({ "language": NO_OP, "source": { "inline": source }, "tests": tests });
    Ok(Submission::new(name, serde_json::from_value(spec)?))
}
