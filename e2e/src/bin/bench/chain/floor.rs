//! The least that the chain's work could cost: the bare requests and the bare run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use crds::{Submission, SubmissionStatus};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Api, Patch, PatchParams, PostParams};
use queue::verdict::{Batch, Judged, Judging};
use sandbox::{Cancel, NativeEngine};
use sandbox_runner::compile::{Compiled, Compiler};
use sandbox_runner::execute::Runnable;
use sandbox_runner::plan::Plan;
use sandbox_runner::slots::Slots;
use sandbox_runner::store::Layers;
use sandbox_runner::toolchain::Toolchain;
use serde_json::json;

use super::delete_all;
use super::programs::{Chain, IGNORED, no_op};
use crate::{program, queue_ops};

/// One create and one status write each, `at_once` at one time, where no operator looks.
pub(super) async fn creates_and_status_writes(
    chain: &Chain,
    count: u32,
    at_once: usize,
) -> anyhow::Result<Duration> {
    let submissions = chain.submissions(IGNORED);
    let both = async |number: u32| {
        let submission = no_op(&format!("floor-{number}"), ":\n")?;
        create_and_write(&submissions, &submission).await
    };
    let start = Instant::now();
    stream::iter(0..count).map(Ok).try_for_each_concurrent(at_once, both).await?;
    let time = start.elapsed();
    delete_all(&submissions).await?;
    Ok(time)
}

async fn create_and_write(submissions: &Api<Submission>, submission: &Submission) -> anyhow::Result<()> {
    let created = submissions.create(&PostParams::default(), submission).await?;
    let name = created.metadata.name.context("no name")?;
    let patch = Patch::Merge(json!({ "status": status()? }));
    submissions.patch_status(&name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// What the operator would write: a shorter one would be another write.
fn status() -> anyhow::Result<SubmissionStatus> {
    let job = queue_ops::job(0)?;
    let batch = Batch { span: job.span, result: Ok(queue_ops::report(&job)) };
    let now = jiff::Timestamp::now();
    let judging = Judging { number: 1, generation: Some(1), deliveries: Some(1), queued: Some(now) };
    Ok(Judged::fold(job.span.total, vec![batch]).status(judging, now))
}

/// One Submission at a time: its run in a box, and two bare requests.
pub(super) struct Single<'a> {
    engine: &'a Arc<NativeEngine>,
    plan: Plan,
    artifact: sandbox::Artifact,
    submissions: Api<Submission>,
    template: Submission,
}

impl<'a> Single<'a> {
    pub(super) fn new(engine: &'a Arc<NativeEngine>, chain: &Chain) -> anyhow::Result<Self> {
        let mut plan = program::example("cpp17-gcd-chatty")?;
        plan.tests = plan.tests.iter().take(1).cloned().collect();
        let compiler = {
            let engine = Arc::<NativeEngine>::clone(engine);
            Compiler::new(engine, Toolchain::new("/".as_ref(), None), Layers::default())
        };
        let result = compiler.compile(&plan.program, &Slots::new(1, u64::MAX), &Cancel::new()?)?;
        let Compiled::Ready(artifact, _) = result else { anyhow::bail!("the program does not compile") };
        let manifest = e2e::fixtures::manifest("examples/cpp17-gcd-chatty.yaml")?;
        let mut template: Submission = serde_json::from_value(manifest)?;
        template.spec.tests.truncate(1);
        let artifact = artifact.as_ref().clone();
        Ok(Self { engine, plan, artifact, submissions: chain.submissions(IGNORED), template })
    }

    /// What is judged, under a name of its own.
    pub(super) fn submission(&self, name: &str) -> Submission {
        Submission::new(name, self.template.spec.clone())
    }

    /// The bare requests and the bare run.
    pub(super) async fn measure(&self, name: &str) -> anyhow::Result<Duration> {
        let start = Instant::now();
        create_and_write(&self.submissions, &self.submission(name)).await?;
        tokio::task::block_in_place(|| self.run())?;
        Ok(start.elapsed())
    }

    fn run(&self) -> anyhow::Result<()> {
        let runnable = Runnable::new(&self.plan.program, &self.artifact, self.plan.comparison)?;
        let test = self.plan.tests.first().context("no test")?;
        let report = runnable.run(self.engine.as_ref(), test, &Cancel::new()?).context("cancelled")?;
        ensure!(report.verdict.name() == "Accepted", "{}", report.message);
        Ok(())
    }
}
