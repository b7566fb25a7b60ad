//! One job: what it needs is fetched, it is judged on a thread of its own, and the queue is told.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use judging::Verdict;
use queue::Job;
use queue::broker::Delivery;
use queue::contract::{BlobHash, BlobRef};
use tracing::Instrument;

use super::backoff::Backoff;
use super::decide::Ending;
use super::leases::{Hold, Lease};
use super::{Worker, deliver};
use crate::judge::{Cancelled, Progress};
use crate::outcome::{hopeless, job_report};
use crate::plan::Plan;
use crate::report::{Fault, Report};

/// Bytes of blobs that one job may need.
const MOST_BYTES: u64 = 512 << 20;
/// Bytes of blobs that are asked for at one time, so that Redis can answer in time; a larger blob is asked for alone.
const BYTES_AT_ONCE: u64 = 8 << 20;

type Blobs = HashMap<BlobHash, Arc<[u8]>>;

/// Sees a delivery to its end.
pub(super) async fn run(worker: &Arc<Worker>, delivery: Delivery, hold: Hold) {
    let Delivery { job, fence: _, deliveries, waited } = delivery;
    let span = tracing::info_span!(
        "job",
        uid = job.id.uid,
        judging = job.id.judging,
        batch = job.id.batch,
        submission = format!("{}/{}", job.namespace, job.name),
        language = job.language.name,
    );
    let work = async {
        tracing::debug!(deliveries, ?waited, "Taken.");
        worker.metrics.queue_wait.observe(waited.as_secs_f64());
        let ending = judge(worker, job, &hold.lease).await;
        let fate = deliver::run(worker, &hold.lease, ending).await;
        worker.metrics.job(fate);
        tracing::info!(fate = fate.name(), deliveries, "The job is done with.");
    };
    work.instrument(span).await;
}

async fn judge(worker: &Arc<Worker>, job: Job, lease: &Arc<Lease>) -> Ending {
    let started = Timestamp::now();
    let give_up = |reason: &str| {
        tracing::error!(reason, "No runner can judge this job.");
        Ending::Done(Box::new(hopeless(reason, &worker.name, started)))
    };
    let blobs = match fetch(worker, &job, lease).await {
        Ok(blobs) => blobs,
        Err(Unfetched::Ending(ending)) => return ending,
        Err(Unfetched::TooMuch(bytes)) => {
            return give_up(&format!("its data come to {bytes} bytes; a job may have {MOST_BYTES}"));
        }
    };
    let plan = match Plan::of_job(job, &blobs) {
        Ok(plan) => plan,
        Err(error) => return give_up(&error.to_string()),
    };
    drop(blobs);
    let (worker, lease, span) = (Arc::clone(worker), Arc::clone(lease), tracing::Span::current());
    let thread = move || span.in_scope(|| judge_here(&worker, &plan, &lease, started));
    match tokio::task::spawn_blocking(thread).await {
        Ok(ending) => ending,
        Err(error) => Ending::Failed(format!("the judging broke off: {error}")),
    }
}

/// Compiles and runs, on the thread of whoever calls.
fn judge_here(worker: &Worker, plan: &Plan, lease: &Lease, started: Timestamp) -> Ending {
    let progress = |progress| {
        if progress == Progress::Tested(0) {
            lease.set_running();
        }
    };
    let report = match worker.judge.judge(plan, &lease.cancel, &progress) {
        Ok(report) => report,
        Err(Cancelled) => return Ending::Stopped,
    };
    worker.metrics.judged(&plan.program.language_name, &report);
    ending(plan, &report, &worker.name, started)
}

/// A fault of this machine goes back for another attempt; everything else is a result.
fn ending(plan: &Plan, report: &Report, runner: &str, started: Timestamp) -> Ending {
    match report.fault {
        Some(Fault::Here) => Ending::Failed(reason(plan, report)),
        Some(Fault::Everywhere) | None => Ending::Done(Box::new(job_report(plan, report, runner, started))),
    }
}

/// The words of the first test that the platform failed at, or of the whole.
fn reason(plan: &Plan, report: &Report) -> String {
    let mut tests = plan.tests.iter().zip(&report.tests);
    let failed = tests.find(|(_, found)| found.verdict == Verdict::InternalError);
    let words = failed.map(|(test, found)| format!("test {}: {}", test.name, found.message));
    words.unwrap_or_else(|| report.message.clone())
}

/// Why there are no blobs.
enum Unfetched {
    Ending(Ending),
    TooMuch(u64),
}

/// The contents of all blobs that the job needs.
async fn fetch(worker: &Worker, job: &Job, lease: &Lease) -> Result<Blobs, Unfetched> {
    let names = job.blobs();
    let bytes = names.iter().fold(0, |sum: u64, name| sum.saturating_add(name.bytes));
    if bytes > MOST_BYTES {
        return Err(Unfetched::TooMuch(bytes));
    }
    let (mut blobs, mut missing) = (Blobs::new(), Vec::new());
    for part in parts(&names) {
        let contents = persist(worker, lease, part).await.map_err(Unfetched::Ending)?;
        for (name, content) in part.iter().zip(contents) {
            match content {
                Some(content) => drop(blobs.insert(name.hash, content.into())),
                None => missing.push(name.hash),
            }
        }
    }
    if missing.is_empty() { Ok(blobs) } else { Err(Unfetched::Ending(Ending::Missing(missing))) }
}

/// Asks until Redis answers, or there is a reason to stop.
async fn persist(worker: &Worker, lease: &Lease, part: &[BlobRef]) -> Result<Vec<Option<Vec<u8>>>, Ending> {
    let mut backoff = Backoff::default();
    loop {
        let error = match worker.broker.blobs(part).await {
            Ok(contents) => return Ok(contents),
            Err(error) => error,
        };
        worker.metrics.redis_error(&error);
        tracing::warn!(%error, "The job's data could not be fetched.");
        if !backoff.hopeful(&error) {
            return Err(Ending::Failed(format!("its data could not be fetched: {error}")));
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = lease.stopped() => return Err(Ending::Stopped),
        }
    }
}

/// The names in parts of at most [`BYTES_AT_ONCE`], or of one.
fn parts(names: &[BlobRef]) -> Vec<&[BlobRef]> {
    let (mut parts, mut rest) = (Vec::new(), names);
    while !rest.is_empty() {
        let mut sum: u64 = 0;
        let fits = |name: &&BlobRef| {
            sum = sum.saturating_add(name.bytes);
            sum <= BYTES_AT_ONCE
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (part, after) = rest.split_at(count);
        parts.push(part);
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests;
