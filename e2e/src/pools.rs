//! Several pools: `WorkerPool`s without pods, and runners started by hand for them.
use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use crds::WorkerPool;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use queue::{Broker, broker::Pool};
use serde_json::{Value, json};

use crate::{
    Setup, World,
    backlog::{jobs, until},
    world::Runner,
};

/// The namespace of all `WorkerPool`s.
pub const POOLS: &str = "judges";

impl Setup {
    /// Operators that use `WorkerPool`s; none is there yet, and no runner.
    #[must_use]
    pub fn with_worker_pools() -> Self {
        let mut setup = Self { runners: 0, ..Self::default() }.operator_flag("worker-pool-namespaces", POOLS);
        "info,sandbox_runner::worker=debug".clone_into(&mut setup.log);
        setup
    }
}

/// The queue of a `WorkerPool`.
fn pool(name: &str) -> anyhow::Result<Pool> {
    Ok(Pool::of_worker_pool(POOLS, name)?)
}

impl World {
    /// The `WorkerPool`s.
    pub fn worker_pools(&self) -> Api<WorkerPool> {
        Api::namespaced(self.client(), POOLS)
    }

    /// Creates a `WorkerPool` for `languages` whose spec says `more`.
    pub async fn add_pool(&self, name: &str, languages: &[&str], more: &Value) -> anyhow::Result<()> {
        let mut spec = json!({
            "languages": languages, "image": "none", "replicas": 0, "resources": { "limits": { "memory": "2Gi" } },
        });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        let pool = WorkerPool::new(name, serde_json::from_value(spec)?);
        self.worker_pools().create(&PostParams::default(), &pool).await?;
        Ok(())
    }

    /// Changes a `WorkerPool`'s spec by a merge patch.
    pub async fn change_pool(&self, name: &str, spec: &Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.worker_pools().patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Deletes a `WorkerPool`.
    pub async fn delete_pool(&self, name: &str) -> anyhow::Result<()> {
        self.worker_pools().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Labels a namespace.
    pub async fn label_namespace(&self, name: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { key: value } } }));
        Api::<Namespace>::all(self.client()).patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Starts a runner of a `WorkerPool` and waits until it is ready.
    pub async fn add_runner_in(&mut self, name: &str) -> anyhow::Result<&mut Runner> {
        self.set_runner_flag("pool", pool(name)?.as_str());
        self.add_runner().await?.program.until_ready().await?;
        self.runners.last_mut().context("no runner")
    }

    /// The queue of a `WorkerPool`, straight in Redis.
    pub async fn queue_of(&self, name: &str) -> anyhow::Result<Broker> {
        Ok(self.broker().await?.for_pool(&pool(name)?))
    }

    /// Waits until so many jobs or more are in any state on the queue of a `WorkerPool`.
    pub async fn until_jobs(&self, name: &str, count: u64) -> anyhow::Result<()> {
        let queue = self.queue_of(name).await?;
        until("there: jobs", async || {
            let gauges = queue.gauges().await?;
            if jobs(&gauges) >= count { Ok(()) } else { bail!("{name}: {gauges:?}") }
        })
        .await
    }

    /// Waits until there is no job on any of these queues.
    pub async fn until_queues_are_empty(&self, names: &[&str]) -> anyhow::Result<()> {
        for name in names {
            let queue = self.queue_of(name).await?;
            until("empty: the queues", async || {
                let (gauges, (subjects, _)) = (queue.gauges().await?, queue.subjects(0, 1000).await?);
                if jobs(&gauges) == 0 && subjects.is_empty() {
                    Ok(())
                } else {
                    bail!("{name}: {gauges:?}, {subjects:?}")
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until Redis has no key of the pool any more, short-lived ones aside.
    pub async fn until_dissolved(&self, name: &str) -> anyhow::Result<()> {
        let pattern = format!("kubejudge:{{{}}}:*", pool(name)?);
        until("gone: the pool's keys", async || {
            let keys: Vec<String> = self.redis.command(&["KEYS", &pattern]).await?;
            let left: Vec<_> = keys.iter().filter(|key| !key.contains(":take:")).collect();
            let noted: Vec<String> = self.redis.command(&["SMEMBERS", "kubejudge:pools"]).await?;
            if left.is_empty() && !noted.contains(&pool(name)?.to_string()) {
                Ok(())
            } else {
                bail!("{left:?}, {noted:?}")
            }
        })
        .await
    }

    /// Of which Submissions, as `namespace/name`, the runner reported jobs, and how many of each.
    pub fn judged_by(&mut self, runner: usize) -> BTreeMap<String, usize> {
        let mut judged = BTreeMap::new();
        for line in self.runners[runner].program.process().log().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            if let Some(submission) = line["span"]["submission"].as_str()
                && line["message"] == "The job is done with."
                && line["fate"] == "reported"
            {
                *judged.entry(submission.to_owned()).or_insert(0) += 1;
            }
        }
        judged
    }
}
