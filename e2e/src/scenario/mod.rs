//! Work with known ends, and the proof that every piece of it came to its end once, whatever failed on the way.
//!
//! A scenario fails something while its work is under way; [`Scenario::settle`] then demands that nothing was lost.
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use crds::{Submission, SubmissionStatus, Verdict};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use queue::{
    Broker,
    broker::{Gauges, JobRecord},
};
use serde_json::Value;

use crate::{
    History, Setup, User, World,
    backlog::{key, until},
    history::is_finished,
    world,
};

pub use work::{Mark, Work};

/// How long is waited for what must not happen: two audits of the operator, whose period is a second.
const AFTERMATH: Duration = Duration::from_secs(3);

/// What happens to the programs that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They go on.
    LeftRunning,
    /// After the fault, every operator and runner is killed and started again.
    Restarted,
}

/// Makes of each function of [`Others`] two tests.
#[macro_export]
macro_rules! twice {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            #[tokio::test]
            async fn others_left_running() {
                super::$scenario($crate::scenario::Others::LeftRunning).await;
            }

            #[tokio::test]
            async fn all_restarted() {
                super::$scenario($crate::scenario::Others::Restarted).await;
            }
        }
    )*};
}

#[derive(Clone, Debug)]
struct Expected {
    uid: String,
    judging: i32,
    verdict: Verdict,
    passed: i32,
}

/// A [`World`] with work in it.
#[derive(Debug)]
pub struct Scenario {
    /// Everything that runs.
    pub world: World,
    /// What a watch sees of the Submissions, from the start on.
    pub history: History,
    /// The queue, seen past all proxies.
    pub broker: Broker,
    expected: BTreeMap<(String, String), Expected>,
}

impl Scenario {
    /// Starts a world. Submissions have two jobs each unless `setup` says otherwise.
    pub async fn start(mut setup: Setup) -> anyhow::Result<Self> {
        setup.operator_flags.entry("batch-tests".to_owned()).or_insert_with(|| "2".to_owned());
        let world = World::start(setup).await?;
        let (history, broker) = (world.history(), world.broker().await?);
        Ok(Self { world, history, broker, expected: BTreeMap::new() })
    }

    /// Creates the Submission of `work`, gives its uid, and expects it to end.
    pub async fn submit(&mut self, work: &Work) -> anyhow::Result<String> {
        let uid = self.world.submit(&work.submission()?).await?.uid().context("no uid")?;
        let Work { name, namespace, verdict, passed, .. } = work.clone();
        let expected = Expected { uid: uid.clone(), judging: 1, verdict, passed };
        self.expected.insert((namespace, name), expected);
        Ok(uid)
    }

    /// The same for all of `pieces`.
    pub async fn submit_all(&mut self, pieces: &[Work]) -> anyhow::Result<()> {
        for work in pieces {
            self.submit(work).await?;
        }
        Ok(())
    }

    /// Expects nothing any more of what is in `namespace`.
    pub fn forget_namespace(&mut self, namespace: &str) {
        self.expected.retain(|(place, _), _| place != namespace);
    }

    /// Deletes a Submission, and expects nothing of it.
    pub async fn delete(&mut self, work: &Work) -> anyhow::Result<()> {
        self.expected.remove(&(work.namespace.clone(), work.name.clone()));
        let submissions = self.world.submissions_in(&work.namespace);
        submissions.delete(&work.name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Changes a Submission's spec.
    pub async fn change(&self, work: &Work, spec: &Value) -> anyhow::Result<()> {
        let submissions = self.world.submissions_in(&work.namespace);
        let patch = Patch::Merge(serde_json::json!({ "spec": spec }));
        submissions.patch(&work.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Asks for a rejudge, and expects its verdict.
    pub async fn rejudge(&mut self, work: &Work, times: i32) -> anyhow::Result<()> {
        self.change(work, &serde_json::json!({ "rejudge": times })).await?;
        let place = (work.namespace.clone(), work.name.clone());
        self.expected.get_mut(&place).context("nothing is expected of it")?.judging = times + 1;
        Ok(())
    }

    /// Waits until the queue's numbers are as `holds` says, and gives them. `what` says so to people.
    pub async fn until_queue(&self, what: &str, holds: impl Fn(&Gauges) -> bool) -> anyhow::Result<Gauges> {
        until(&format!("{what}: the queue"), async || {
            let gauges = self.broker.gauges().await?;
            ensure!(holds(&gauges), "{gauges:?}");
            Ok(gauges)
        })
        .await
    }

    /// Waits until Redis knows jobs of `count` Submissions or more.
    pub async fn until_enqueued(&self, count: usize) -> anyhow::Result<()> {
        until(&format!("enqueued: {count} Submissions"), async || {
            let (subjects, _) = self.broker.subjects(0, 1000).await?;
            ensure!(subjects.len() >= count, "{} are", subjects.len());
            Ok(())
        })
        .await
    }

    /// Waits until Redis' jobs of a Submission are as `holds` says. `what` says so to people.
    pub async fn until_jobs(
        &self,
        uid: &str,
        what: &str,
        holds: impl Fn(&[JobRecord]) -> bool,
    ) -> anyhow::Result<()> {
        until(&format!("{what}: the jobs"), async || {
            let jobs = self.broker.lookup(&[uid.to_owned()]).await?.concat();
            ensure!(holds(&jobs), "{jobs:?}");
            Ok(())
        })
        .await
    }

    /// Which runner's descendant a process is.
    pub fn runner_of(&mut self, mut process: u32) -> anyhow::Result<usize> {
        loop {
            let mut runners = self.world.runners.iter_mut();
            if let Some(runner) = runners.position(|runner| runner.program.process().id() == process) {
                return Ok(runner);
            }
            ensure!(process > 1, "no runner started the process");
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
            process = parent.context("no parent")?.trim().parse()?;
        }
    }

    /// The sum of a runner's metric of this name and labels; 0 if there is none.
    pub async fn runner_metric(
        &self,
        runner: usize,
        name: &str,
        labels: &[(&str, &str)],
    ) -> anyhow::Result<f64> {
        let metrics = self.world.runners[runner].program.metrics().await?;
        Ok(metrics.sum(&format!("kubejudge_runner_{name}"), labels).unwrap_or_default())
    }

    /// Waits until a runner's deliveries that came to one of `outcomes` are `count`.
    pub async fn until_outcomes(&self, runner: usize, outcomes: &[&str], count: f64) -> anyhow::Result<()> {
        until(&format!("{outcomes:?}: runner {runner}'s jobs"), async || {
            let mut sum = 0.0;
            for outcome in outcomes {
                sum += self.runner_metric(runner, "jobs_total", &[("outcome", outcome)]).await?;
            }
            ensure!(sum >= count, "{sum} are");
            Ok(())
        })
        .await
    }

    /// Kills and starts all programs, if that is what is to happen.
    pub async fn then(&mut self, others: Others) -> anyhow::Result<()> {
        if others == Others::Restarted {
            self.world.kill_programs()?;
            self.world.start_programs_again().await?;
        }
        Ok(())
    }

    /// Waits for the final status of `work`, and gives it.
    pub async fn end_of(&self, work: &Work) -> anyhow::Result<SubmissionStatus> {
        let place = (work.namespace.clone(), work.name.clone());
        let expected = self.expected.get(&place).context("nothing is expected of it")?;
        self.end(&place, expected).await
    }

    async fn end(&self, place: &(String, String), expected: &Expected) -> anyhow::Result<SubmissionStatus> {
        let Expected { uid, judging, verdict, passed } = expected;
        let judged = |submission: &Submission| {
            let number = submission.status.as_ref().and_then(|status| status.judging);
            world::is_finished(submission) && number >= Some(*judging)
        };
        let found = self.world.until(&place.0, &place.1, &format!("judged {judging} times"), judged).await?;
        let right = found.uid().as_ref() == Some(uid);
        let status = found.status.unwrap_or_default();
        let says = (status.judging, status.verdict, status.tests_passed);
        let right = right && says == (Some(*judging), Some(*verdict), Some(*passed));
        ensure!(right, "{place:?} with {expected:?} ended as {status:#?}");
        Ok(status)
    }

    /// Demands that nothing was lost and nothing came twice: every Submission has its verdict, once per judging; Redis keeps
    /// nothing of it, runners hold nothing; and all that stays so.
    pub async fn settle(&mut self) -> anyhow::Result<()> {
        for (place, expected) in &self.expected {
            self.end(place, expected).await?;
        }
        self.until_nothing_is_left().await?;
        tokio::time::sleep(AFTERMATH).await;
        for (place, expected) in &self.expected {
            self.end(place, expected).await?;
        }
        self.until_nothing_is_left().await?;
        let all: Api<Submission> = Api::all(self.world.client());
        for submission in all.list(&ListParams::default()).await? {
            ensure!(world::is_finished(&submission), "unfinished: {submission:#?}");
        }
        let changes = self.history.changes_after_the_end();
        ensure!(changes.is_empty(), "{changes:#?}");
        self.each_end_is_written_once().await
    }

    async fn until_nothing_is_left(&mut self) -> anyhow::Result<()> {
        self.world.until_queue_is_empty().await?;
        let dead = self.broker.gauges().await?.dead;
        ensure!(dead == 0, "{dead} dead letters");
        let left = until("gone: what Redis keeps of jobs", async || {
            let mut left = BTreeSet::new();
            for name in
                ["job:*", "jobs:*", "ready:*", "waiting:*", "turn:*", "leases", "delayed", "blocked", "done"]
            {
                left.extend(self.world.redis.command::<Vec<String>>(&["KEYS", &key(name)]).await?);
            }
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        });
        left.await?;
        for runner in &mut self.world.runners {
            let program = &mut runner.program;
            if program.process().exited()?.is_some() {
                continue;
            }
            until("idle: a runner", async || {
                let held = program.metrics().await?.sum("kubejudge_runner_held_jobs", &[]);
                ensure!(held == Some(0.0), "{held:?} jobs are held");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// By the API server's own log, which misses nothing but what an API server wrote that was killed.
    async fn each_end_is_written_once(&self) -> anyhow::Result<()> {
        let requests = self.world.control_plane.audit().await?;
        let writes = requests.by(User::Operator).writes().of("submissions/status").succeeded();
        let mut ends = BTreeSet::new();
        for write in &writes {
            let body = write.body.as_ref().context("a write without a body")?;
            let (uid, judging) = (body["metadata"]["uid"].as_str(), body["status"]["judging"].as_i64());
            let (uid, judging) = (uid.context("no uid")?.to_owned(), judging.context("no judging")?);
            let name = &write.name;
            if ends.contains(&(uid.clone(), judging)) {
                bail!("{name}, judging {judging}, was written after its end: {body}");
            }
            if is_finished(&body["status"]) {
                ends.insert((uid, judging));
            }
        }
        Ok(())
    }
}
