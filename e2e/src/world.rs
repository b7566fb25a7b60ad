//! Everything at once: control plane, Redis, operators and runners, with a proxy on every link between them.
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use crds::{Submission, Verdict};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    ControlPlane, History, Mode, Program, Proxy, RedisServer, RedisSettings, User, fixtures, process::POLL,
    program,
};

/// How long what must happen may take, on a machine that does other things too.
pub const WITHIN: Duration = Duration::from_mins(2);
/// The namespace that Submissions are created in unless they name one.
pub const NAMESPACE: &str = "default";

/// What there is to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many operators.
    pub operators: usize,
    /// How many runners.
    pub runners: usize,
    /// Flags of every operator without their dashes, and their values; over [`operator_flags`].
    pub operator_flags: BTreeMap<String, String>,
    /// Flags of every runner without their dashes, and their values; over [`runner_flags`].
    pub runner_flags: BTreeMap<String, String>,
    /// The filter of both programs' logs, as in `RUST_LOG`.
    pub log: String,
    /// The Redis server.
    pub redis: RedisSettings,
    /// Whether deleted namespaces are emptied, which needs kube-controller-manager.
    pub controllers: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            operators: 1,
            runners: 1,
            operator_flags: BTreeMap::new(),
            runner_flags: BTreeMap::new(),
            log: "info".to_owned(),
            redis: RedisSettings::default(),
            controllers: false,
        }
    }
}

impl Setup {
    /// With an operator's flag.
    #[must_use]
    pub fn operator_flag(mut self, name: &str, value: &str) -> Self {
        self.operator_flags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a runner's flag.
    #[must_use]
    pub fn runner_flag(mut self, name: &str, value: &str) -> Self {
        self.runner_flags.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// Flags that let an operator notice and mend sooner than in production.
fn operator_flags() -> BTreeMap<String, String> {
    let flags = [
        ("audit-seconds", "1"),
        ("redelivery-first-delay-milliseconds", "100"),
        ("redelivery-longest-delay-milliseconds", "1000"),
        ("waiting-retry-seconds", "1"),
    ];
    owned(&flags)
}

/// The same for a runner, of which many share a machine.
fn runner_flags() -> BTreeMap<String, String> {
    owned(&[("lease-seconds", "5"), ("grace-seconds", "5"), ("slots", "2"), ("memory-bytes", "1073741824")])
}

fn owned(flags: &[(&str, &str)]) -> BTreeMap<String, String> {
    flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An operator with its links.
#[derive(Debug)]
pub struct Operator {
    /// The process.
    pub program: Program,
    /// Its way to the API server.
    pub api: Proxy,
    /// Its way to Redis.
    pub redis: Proxy,
}

/// A runner with its link.
#[derive(Debug)]
pub struct Runner {
    /// The process.
    pub program: Program,
    /// Its way to Redis.
    pub redis: Proxy,
}

/// All that runs. Dropping it kills everything and removes all that was written.
#[derive(Debug)]
pub struct World {
    /// The operators, in the order they were started.
    pub operators: Vec<Operator>,
    /// The runners, in the order they were started.
    pub runners: Vec<Runner>,
    /// Redis.
    pub redis: RedisServer,
    /// The API server and its parts.
    pub control_plane: ControlPlane,
    setup: Setup,
    dir: TempDir,
}

impl World {
    /// Starts everything, applies the Language [`fixtures::shell`] and waits until all are ready.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        program::check_built(&["operator", "sandbox-runner"])?;
        let mut control_plane = ControlPlane::start().await?;
        if setup.controllers {
            control_plane.start_controllers()?;
        }
        let redis = RedisServer::start(setup.redis.clone()).await?;
        let dir = tempfile::Builder::new().prefix("kubejudge-world-").tempdir()?;
        let (operators, runners) = (Vec::new(), Vec::new());
        let mut world = Self { operators, runners, redis, control_plane, setup, dir };
        world.create(&serde_json::to_value(fixtures::shell()?)?).await?;
        for _ in 0..world.setup.operators {
            world.add_operator().await?;
        }
        for _ in 0..world.setup.runners {
            world.add_runner().await?;
        }
        world.until_ready().await?;
        Ok(world)
    }

    /// Starts one more operator and does not wait for it.
    pub async fn add_operator(&mut self) -> anyhow::Result<&mut Operator> {
        let api = Proxy::start(self.control_plane.port()).await?;
        let redis = Proxy::start(self.redis.port()).await?;
        let kubeconfig = self.control_plane.kubeconfig(User::Operator, api.port())?;
        let flags = merged(operator_flags(), &self.setup.operator_flags);
        let arguments = self.arguments(&redis, &flags)?;
        let environment =
            [("KUBECONFIG", kubeconfig.display().to_string()), ("RUST_LOG", self.setup.log.clone())];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let name = format!("operator-{}", self.operators.len());
        let program = Program::start(self.dir.path(), &name, "operator", &arguments, &environment)?;
        self.operators.push(Operator { program, api, redis });
        self.operators.last_mut().context("no operator")
    }

    /// Starts one more runner and does not wait for it.
    pub async fn add_runner(&mut self) -> anyhow::Result<&mut Runner> {
        let redis = Proxy::start(self.redis.port()).await?;
        let name = format!("runner-{}", self.runners.len());
        let mut flags = merged(runner_flags(), &self.setup.runner_flags);
        flags.insert("name".to_owned(), name.clone());
        let cache = self.dir.path().join(format!("{name}-cache")).display().to_string();
        flags.entry("cache-dir".to_owned()).or_insert(cache);
        let mut arguments = vec!["worker".to_owned()];
        arguments.extend(self.arguments(&redis, &flags)?);
        let environment = [("RUST_LOG".to_owned(), self.setup.log.clone())];
        let program = Program::start(self.dir.path(), &name, "sandbox-runner", &arguments, &environment)?;
        self.runners.push(Runner { program, redis });
        self.runners.last_mut().context("no runner")
    }

    /// Sets a flag of the runners that are added from now on.
    pub fn set_runner_flag(&mut self, name: &str, value: &str) {
        self.setup.runner_flags.insert(name.to_owned(), value.to_owned());
    }

    /// Waits until every operator and every runner is ready.
    pub async fn until_ready(&mut self) -> anyhow::Result<()> {
        for operator in &mut self.operators {
            operator.program.until_ready().await?;
        }
        for runner in &mut self.runners {
            runner.program.until_ready().await?;
        }
        Ok(())
    }

    /// What both programs are told: where Redis is, and `flags`.
    fn arguments(&self, redis: &Proxy, flags: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
        let mut arguments = vec![format!("--redis-url=redis://127.0.0.1:{}", redis.port())];
        if let Some(password) = &self.setup.redis.password {
            let file = self.dir.path().join("redis-password");
            std::fs::write(&file, password)?;
            arguments.push(format!("--redis-password-file={}", file.display()));
        }
        arguments.extend(flags.iter().map(|(name, value)| format!("--{name}={value}")));
        Ok(arguments)
    }

    /// Sets every link between programs and servers to `mode`.
    pub fn set_all(&self, mode: Mode) {
        self.set_api(mode);
        self.set_redis(mode);
    }

    /// Sets every operator's link to the API server to `mode`.
    pub fn set_api(&self, mode: Mode) {
        self.operators.iter().for_each(|operator| operator.api.set(mode));
    }

    /// Sets every link to Redis to `mode`.
    pub fn set_redis(&self, mode: Mode) {
        self.operators.iter().for_each(|operator| operator.redis.set(mode));
        self.runners.iter().for_each(|runner| runner.redis.set(mode));
    }

    /// Kills every operator and every runner.
    pub fn kill_programs(&mut self) -> anyhow::Result<()> {
        self.programs().try_for_each(Program::kill)
    }

    /// Starts every operator and runner again after they ended, and waits until they are ready.
    pub async fn start_programs_again(&mut self) -> anyhow::Result<()> {
        for program in self.programs() {
            program.process().start_again()?;
        }
        self.until_ready().await
    }

    fn programs(&mut self) -> impl Iterator<Item = &mut Program> {
        let operators = self.operators.iter_mut().map(|operator| &mut operator.program);
        operators.chain(self.runners.iter_mut().map(|runner| &mut runner.program))
    }

    /// A folder for the test's own files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client with all rights, straight to the API server.
    pub fn client(&self) -> Client {
        self.control_plane.client()
    }

    /// The Submissions of [`NAMESPACE`].
    pub fn submissions(&self) -> Api<Submission> {
        self.submissions_in(NAMESPACE)
    }

    /// The Submissions of a namespace.
    pub fn submissions_in(&self, namespace: &str) -> Api<Submission> {
        Api::namespaced(self.client(), namespace)
    }

    /// Creates a namespace.
    pub async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        Api::all(self.client()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    /// Creates a Language, a Submission or a ConfigMap as it is written, also a malformed one.
    pub async fn create(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        create(&self.client(), object).await
    }

    /// Creates a Submission in its namespace, or in [`NAMESPACE`].
    pub async fn submit(&self, submission: &Submission) -> anyhow::Result<Submission> {
        let namespace = submission.namespace().unwrap_or_else(|| NAMESPACE.to_owned());
        let submissions = self.submissions_in(&namespace);
        Ok(submissions.create(&PostParams::default(), submission).await?)
    }

    /// Creates every object of a folder of manifests/.
    pub async fn apply_folder(&self, folder: &str) -> anyhow::Result<()> {
        for object in fixtures::manifest_folder(folder)? {
            self.create(&object).await?;
        }
        Ok(())
    }

    /// Waits until `holds` of a Submission, and gives it. `what` says so to people.
    pub async fn until(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        holds: impl Fn(&Submission) -> bool,
    ) -> anyhow::Result<Submission> {
        let submissions = self.submissions_in(namespace);
        let deadline = Instant::now() + WITHIN;
        loop {
            let answer = submissions.get(name).await;
            match answer {
                Ok(submission) if holds(&submission) => return Ok(submission),
                // The API server may be away: that passes, or the deadline comes.
                answer if Instant::now() > deadline => {
                    bail!("{namespace}/{name} is not {what} within {WITHIN:?}: {answer:#?}")
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Waits until a Submission of [`NAMESPACE`] is finished, and gives it.
    pub async fn finished(&self, name: &str) -> anyhow::Result<Submission> {
        self.until(NAMESPACE, name, "finished", is_finished).await
    }

    /// Waits until a Submission of [`NAMESPACE`] is finished, and gives its verdict: None for an invalid one.
    pub async fn verdict_of(&self, name: &str) -> anyhow::Result<Option<Verdict>> {
        let status = self.finished(name).await?.status.unwrap_or_default();
        Ok(status.verdict)
    }

    /// Begins to collect every version of every Submission.
    pub fn history(&self) -> History {
        History::watch(self.client())
    }
}

/// Whether a Submission is finished, whatever the verdict.
pub fn is_finished(submission: &Submission) -> bool {
    condition(submission, "Finished").is_some_and(|(status, _)| status == "True")
}

/// The status and the reason of a Submission's condition.
pub fn condition<'a>(submission: &'a Submission, name: &str) -> Option<(&'a str, &'a str)> {
    let conditions = &submission.status.as_ref()?.conditions;
    let condition = conditions.iter().find(|condition| condition.type_ == name)?;
    Some((condition.status.as_str(), condition.reason.as_str()))
}

fn merged(mut flags: BTreeMap<String, String>, over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    flags.extend(over.iter().map(|(name, value)| (name.clone(), value.clone())));
    flags
}

/// Creates an object of one of the kinds that tests need.
pub async fn create(client: &Client, object: &Value) -> anyhow::Result<DynamicObject> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let resource = match kind {
        "Submission" => ApiResource::erase::<Submission>(&()),
        "Language" => ApiResource::erase::<crds::Language>(&()),
        "ConfigMap" => ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
        other => bail!("tests create no {other:?}"),
    };
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(NAMESPACE);
    let api = match kind {
        "Language" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    Ok(api.create(&PostParams::default(), &object).await?)
}
