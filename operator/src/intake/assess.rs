//! What the jobs of a Submission, as Redis has them, come to. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use queue::broker::{Collected, JobRecord, JobState};
use queue::contract::JobOutcome;
use queue::verdict::Batch;
use queue::{JobId, PlanHash};

/// What is to be done with what was collected.
#[derive(Debug)]
pub enum Assessment {
    /// Redis lacks jobs of this judging.
    Incomplete,
    /// All are there, and not all are done.
    Underway,
    /// A job or report can't be read.
    Garbled {
        /// Which one.
        id: JobId,
        /// Why not.
        reason: String,
        /// Tests of the whole.
        total: u32,
    },
    /// These jobs miss blobs.
    Blocked(Vec<JobId>),
    /// The verdict can be told.
    Complete(Complete),
}

/// All that the verdict needs.
#[derive(Debug, PartialEq)]
pub struct Complete {
    /// Tests of the whole.
    pub total: u32,
    /// What came of each batch; of those that decide alone, if such there are.
    pub batches: Vec<Batch>,
    /// Deliveries of all jobs.
    pub deliveries: u32,
    /// When the first of them was put on the queue, by Redis' clock.
    pub queued: Option<Timestamp>,
}

/// How far a judging is, by its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Redis knows none of its jobs, or not all.
    Missing,
    /// Some are being cancelled: what comes next has to wait.
    Leaving,
    /// All are there.
    All {
        /// What they rest on.
        plan: PlanHash,
        /// Whether one of them needs a look: it is reported, lost or blocked.
        news: bool,
    },
}

fn of_judging(record: &JobRecord, judging: u32, plan: Option<PlanHash>) -> bool {
    record.id.judging == judging && plan.is_none_or(|plan| plan == record.id.plan)
}

fn is_news(record: &JobRecord) -> bool {
    matches!(record.state, JobState::Reported | JobState::Lost(_) | JobState::Blocked(_))
}

/// Whether Redis has all jobs of this judging; of this plan, if one is given.
pub fn presence(records: &[JobRecord], judging: u32, plan: Option<PlanHash>) -> Presence {
    let ours = || records.iter().filter(|record| of_judging(record, judging, plan));
    if ours().any(|record| record.state == JobState::Cancelling) {
        return Presence::Leaving;
    }
    let mut plans: BTreeMap<PlanHash, Vec<&JobRecord>> = BTreeMap::new();
    ours().for_each(|record| plans.entry(record.id.plan).or_default().push(record));
    let whole = plans.into_iter().find(|(_, records)| is_whole(records));
    whole.map_or(Presence::Missing, |(plan, records)| Presence::All {
        plan,
        news: records.into_iter().any(is_news),
    })
}

/// Whether all batches of one plan are among `records`.
fn is_whole(records: &[&JobRecord]) -> bool {
    let mut batches: Vec<u32> = records.iter().map(|record| record.id.batch).collect();
    batches.sort_unstable();
    let said = records.first().map_or(0, |record| record.span.batches);
    said > 0 && batches.into_iter().eq(0..said)
}

/// What the jobs of this judging and plan come to.
pub fn assess(collected: Vec<Collected>, judging: u32, plan: PlanHash) -> Assessment {
    let mut jobs: Vec<Collected> =
        collected.into_iter().filter(|job| of_judging(&job.record, judging, Some(plan))).collect();
    jobs.sort_by_key(|job| job.record.id.batch);
    if let Some(garbled) = jobs.iter().find_map(garbled) {
        return garbled;
    }
    let blocked = jobs.iter().filter(|job| matches!(job.record.state, JobState::Blocked(_)));
    let blocked: Vec<JobId> = blocked.map(|job| job.record.id.clone()).collect();
    let records: Vec<&JobRecord> = jobs.iter().map(|job| &job.record).collect();
    let whole = is_whole(&records);
    let all = jobs.iter().all(|job| matches!(job.record.state, JobState::Reported | JobState::Lost(_)));
    // A program that does not compile does not compile for any of its tests.
    if (whole && all) || jobs.iter().any(uncompilable) {
        return Assessment::Complete(complete(jobs));
    }
    match (blocked.is_empty(), whole) {
        (false, _) => Assessment::Blocked(blocked),
        (true, true) => Assessment::Underway,
        (true, false) => Assessment::Incomplete,
    }
}

fn garbled(job: &Collected) -> Option<Assessment> {
    let reason = match (&job.record.state, &job.report) {
        (_, Some(Err(error))) => error.to_string(),
        (JobState::Reported, None) => "a job that is reported has no report".to_owned(),
        _ => return None,
    };
    Some(Assessment::Garbled { id: job.record.id.clone(), reason, total: job.record.span.total })
}

fn uncompilable(job: &Collected) -> bool {
    let report = job.report.as_ref().and_then(|report| report.as_ref().ok());
    report.is_some_and(|report| matches!(report.outcome, JobOutcome::CompilationError(_)))
}

fn complete(jobs: Vec<Collected>) -> Complete {
    let total = jobs.first().map_or(0, |job| job.record.span.total);
    let deliveries = jobs.iter().map(|job| job.record.deliveries).fold(0, u32::saturating_add);
    let queued = jobs.iter().map(|job| job.record.queued).min();
    let batch = |job: Collected| {
        let Collected { record: JobRecord { span, state, .. }, report } = job;
        let result = match (state, report) {
            (JobState::Lost(reason), _) => Err(reason),
            (_, Some(Ok(report))) => Ok(report),
            (_, Some(Err(error))) => Err(error.to_string()),
            (_, None) => return None,
        };
        Some(Batch { span, result })
    };
    let batches = jobs.into_iter().filter_map(batch).collect();
    Complete { total, batches, deliveries, queued }
}

#[cfg(test)]
mod tests;
