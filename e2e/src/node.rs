//! A running node with kubejudge installed by Helm, as `make e2e` has it, and work whose every verdict must arrive once.
use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, bail, ensure};
use crds::{Submission, SubmissionStatus, Verdict};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{History, backlog::until_within, fixtures, world::is_finished};

/// The namespace that the chart is installed in.
pub const SYSTEM: &str = "kubejudge";
/// Labels of the default pool's pods.
pub const RUNNERS: &str = "kubejudge.dev/worker-pool=default";
/// The label by which a namespace chooses another pool.
pub const POOL_LABEL: &str = "kubejudge.dev/pool";
/// How long pods may take for what they do, on two cores that everything shares.
pub const WITHIN: Duration = Duration::from_mins(4);
/// The language that work is written in unless it says otherwise.
pub const PYTHON: &str = "python3";

/// The node, and a namespace of the test's own on it.
pub struct Node {
    /// A client with all rights.
    pub client: Client,
    /// The test's namespace.
    pub namespace: String,
    /// What a watch sees of all Submissions.
    pub history: History,
    expected: BTreeMap<String, Verdict>,
}

impl Node {
    /// The node that KUBECONFIG names, with a new namespace whose Submissions go to `pool`, or to the default one.
    pub async fn enter(namespace: &str, pool: Option<&str>) -> anyhow::Result<Self> {
        let client = Client::try_default().await.context("no node: this test is one of `make e2e`")?;
        let labels: Value = pool.map(|pool| json!({ POOL_LABEL: pool })).into();
        let object: Namespace =
            serde_json::from_value(json!({ "metadata": { "name": namespace, "labels": labels } }))?;
        Api::all(client.clone()).create(&PostParams::default(), &object).await?;
        let history = History::watch(client.clone());
        Ok(Self { client, namespace: namespace.to_owned(), history, expected: BTreeMap::new() })
    }

    /// The test's Submissions.
    pub fn submissions(&self) -> Api<Submission> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates `count` programs that sleep `seconds` in each of three tests, with verdicts in turn.
    pub async fn flood(&mut self, count: usize, seconds: f32) -> anyhow::Result<()> {
        let endings = [
            (Verdict::Accepted, "pass"),
            (Verdict::WrongAnswer, "line = 'wrong'"),
            (Verdict::RuntimeError, "exit(3)"),
        ];
        for (number, (verdict, ending)) in endings.into_iter().cycle().take(count).enumerate() {
            let source = format!(
                "import time\nline = input()\ntime.sleep({seconds})\nif line == 'c': {ending}\nprint(line) # {number}\n"
            );
            let tests = ["a\n", "b\n", "c\n"].map(|line| (line, line));
            let name = format!("work-{number}");
            self.submit(&fixtures::submission(&name, PYTHON, &source, &tests)?, verdict).await?;
        }
        Ok(())
    }

    /// Creates a Submission that must come to `verdict`.
    pub async fn submit(&mut self, submission: &Submission, verdict: Verdict) -> anyhow::Result<()> {
        self.submissions().create(&PostParams::default(), submission).await?;
        self.expected.insert(submission.name_any(), verdict);
        Ok(())
    }

    /// How many of the test's Submissions are finished.
    pub async fn finished(&self) -> anyhow::Result<usize> {
        let all = self.submissions().list(&ListParams::default()).await?;
        Ok(all.iter().filter(|submission| is_finished(submission)).count())
    }

    /// Waits until `count` of the test's Submissions are finished. Fails if that leaves no work under way.
    pub async fn until_under_way(&self, count: usize) -> anyhow::Result<()> {
        until_within(WITHIN, "under way: the work", async || {
            let finished = self.finished().await?;
            ensure!(finished >= count, "{finished} of {count} finished");
            Ok(())
        })
        .await?;
        ensure!(self.finished().await? < self.expected.len(), "nothing is left to fail under");
        Ok(())
    }

    /// Waits until all is finished, and demands each expected verdict, once. Gives the statuses by name.
    pub async fn settle(&self) -> anyhow::Result<BTreeMap<String, SubmissionStatus>> {
        let total = self.expected.len();
        until_within(WITHIN, "finished: all work", async || {
            let finished = self.finished().await?;
            ensure!(finished == total, "{finished} of {total} are finished");
            Ok(())
        })
        .await?;
        let all = self.submissions().list(&ListParams::default()).await?.items;
        let status = |submission: Submission| (submission.name_any(), submission.status.unwrap_or_default());
        let statuses: BTreeMap<_, _> = all.into_iter().map(status).collect();
        for (name, verdict) in &self.expected {
            let status = statuses.get(name).with_context(|| format!("{name} is gone"))?;
            ensure!(status.verdict == Some(*verdict), "{name}: not {verdict:?} but {status:#?}");
        }
        let changes = self.history.changes_after_the_end();
        ensure!(changes.is_empty(), "final statuses changed: {changes:#?}");
        Ok(statuses)
    }

    /// The same, and that no delivery was counted twice: nobody died, and handing back in good order costs nothing.
    pub async fn settle_in_one_delivery(&self) -> anyhow::Result<()> {
        let statuses = self.settle().await?;
        let again: Vec<_> = statuses.iter().filter(|(_, status)| status.deliveries != Some(1)).collect();
        ensure!(again.is_empty(), "delivered more than once: {again:#?}");
        Ok(())
    }

    /// The pods with these labels in the chart's namespace, those that are being deleted left out.
    pub async fn pods(&self, labels: &str) -> anyhow::Result<Vec<Pod>> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), SYSTEM);
        let all = pods.list(&ListParams::default().labels(labels)).await?;
        Ok(all.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// Waits until exactly `count` pods with these labels are there, all ready; gives their names.
    pub async fn until_ready(&self, labels: &str, count: usize) -> anyhow::Result<Vec<String>> {
        until_within(WITHIN, &format!("ready: {count} pods of {labels}"), async || {
            let pods = self.pods(labels).await?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            ensure!((ready, pods.len()) == (count, count), "{ready} of {} are", pods.len());
            Ok(pods.iter().map(Pod::name_any).collect())
        })
        .await
    }

    /// Waits until no pod with these labels is left, one that is being deleted included.
    pub async fn until_gone(&self, labels: &str) -> anyhow::Result<()> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), SYSTEM);
        until_within(WITHIN, &format!("gone: the pods of {labels}"), async || {
            let left = pods.list_metadata(&ListParams::default().labels(labels)).await?.items;
            ensure!(left.is_empty(), "{} are left", left.len());
            Ok(())
        })
        .await
    }

    /// Removes the test's namespace and what is in it.
    pub async fn leave(self) -> anyhow::Result<()> {
        let namespaces = Api::<Namespace>::all(self.client);
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// What kubectl prints for these words; fails as it does.
pub async fn kubectl(words: &str) -> anyhow::Result<String> {
    run("kubectl", &words.split_whitespace().collect::<Vec<_>>()).await
}

/// What a step of `make e2e` prints; fails as it does.
pub async fn step(arguments: &[&str]) -> anyhow::Result<String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/step");
    run(&program.display().to_string(), arguments).await
}

/// What a program prints; fails as it does.
pub async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = output.await.with_context(|| format!("cannot run {program}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {arguments:?}: {}\n{printed}{said}", output.status);
    }
    Ok(printed)
}
