//! Tests of what jobs come to.

use crds::{TestStatus, Verdict};
use proptest::prelude::*;
use queue::JobReport;
use queue::contract::{CodecError, Span, TestOutcome};

use super::*;

const TOTAL: u32 = 6;
const BATCHES: u32 = 3;

fn hash(digit: char) -> PlanHash {
    digit.to_string().repeat(32).parse().unwrap()
}

fn job(batch: u32, state: JobState) -> Collected {
    let id = JobId { uid: "u".into(), judging: 1, plan: hash('1'), batch };
    let span = Span { first: batch * 2, count: 2, total: TOTAL, batches: BATCHES };
    let queued = Timestamp::from_second(i64::from(100 - batch)).unwrap();
    let record = JobRecord { id, span, state, phase: None, deliveries: 2, queued, first_taken: None };
    Collected { record, report: None }
}

fn reported(batch: u32, outcome: JobOutcome) -> Collected {
    let report = JobReport {
        runner: "r".into(),
        started: Timestamp::UNIX_EPOCH,
        compile: None,
        outcome,
        measurement: None,
    };
    Collected { report: Some(Ok(report)), ..job(batch, JobState::Reported) }
}

fn accepted(batch: u32) -> Collected {
    let status = |index: u32| TestStatus {
        name: index.to_string(),
        verdict: Verdict::Accepted,
        ..serde_json::from_str(r#"{"name":"x","verdict":"Accepted"}"#).unwrap()
    };
    let tests =
        (batch * 2..batch * 2 + 2).map(|index| TestOutcome { index, status: status(index) }).collect();
    reported(batch, JobOutcome::Judged(tests))
}

fn records(jobs: &[Collected]) -> Vec<JobRecord> {
    jobs.iter().map(|job| job.record.clone()).collect()
}

#[test]
fn a_verdict_takes_all_batches_in_whatever_order() {
    let lost = job(1, JobState::Lost("five times".into()));
    let Assessment::Complete(complete) = assess(vec![accepted(2), lost, accepted(0)], 1, hash('1')) else {
        panic!("all batches are there");
    };
    assert_eq!((complete.total, complete.deliveries), (TOTAL, 6));
    assert_eq!(complete.queued.unwrap().as_second(), 98);
    assert_eq!(complete.batches.iter().map(|batch| batch.span.first).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(complete.batches[1].result, Err("five times".into()));
    for waiting in [JobState::Waiting, JobState::Delayed, JobState::Leased] {
        let jobs = vec![accepted(0), accepted(1), job(2, waiting)];
        assert!(matches!(assess(jobs, 1, hash('1')), Assessment::Underway));
    }
    let jobs = vec![accepted(0), accepted(2)];
    assert!(matches!(assess(jobs, 1, hash('1')), Assessment::Incomplete));
}

#[test]
fn one_batch_that_does_not_compile_decides() {
    let error = reported(2, JobOutcome::CompilationError("no".into()));
    let jobs = vec![job(0, JobState::Waiting), error, job(1, JobState::Blocked(Vec::new()))];
    let Assessment::Complete(complete) = assess(jobs, 1, hash('1')) else { panic!("that decides") };
    assert_eq!(complete.batches.len(), 1);
}

#[test]
fn other_judgings_and_plans_count_for_nothing() {
    let jobs = || vec![accepted(0), accepted(1), accepted(2)];
    assert!(matches!(assess(jobs(), 2, hash('1')), Assessment::Incomplete));
    assert!(matches!(assess(jobs(), 1, hash('2')), Assessment::Incomplete));
    assert_eq!(presence(&records(&jobs()), 2, None), Presence::Missing);
    assert_eq!(presence(&records(&jobs()), 1, Some(hash('2'))), Presence::Missing);
    assert_eq!(presence(&[], 1, None), Presence::Missing);
}

#[test]
fn what_cannot_be_read_is_named() {
    let unreadable = CodecError::Unreadable { kind: "job report", reason: "is none".into() };
    let garbled = Collected { report: Some(Err(unreadable)), ..job(1, JobState::Reported) };
    let Assessment::Garbled { id, reason, total: TOTAL } = assess(vec![accepted(0), garbled], 1, hash('1'))
    else {
        panic!("it can't be read");
    };
    assert_eq!((id.batch, reason.as_str()), (1, "an unreadable job report: is none"));
    let jobs = vec![job(0, JobState::Reported)];
    assert!(matches!(assess(jobs, 1, hash('1')), Assessment::Garbled { .. }));
}

#[test]
fn blobs_are_supplied_while_others_run() {
    let jobs = vec![job(0, JobState::Blocked(Vec::new())), job(1, JobState::Leased), accepted(2)];
    assert!(matches!(presence(&records(&jobs), 1, None), Presence::All { news: true, .. }));
    let Assessment::Blocked(blocked) = assess(jobs, 1, hash('1')) else { panic!("one is blocked") };
    assert_eq!(blocked.iter().map(|id| id.batch).collect::<Vec<_>>(), [0]);
}

#[test]
fn what_is_leaving_is_waited_for() {
    let jobs = records(&[job(0, JobState::Cancelling), job(1, JobState::Leased), job(2, JobState::Leased)]);
    assert_eq!(presence(&jobs, 1, None), Presence::Leaving);
    assert_eq!(presence(&jobs, 2, None), Presence::Missing);
}

proptest! {
    #[test]
    fn a_judging_is_there_only_with_all_its_batches(batches in prop::collection::btree_set(0..BATCHES, 0..=3)) {
        let jobs: Vec<_> = batches.iter().map(|batch| job(*batch, JobState::Waiting).record).collect();
        let expected = if batches.len() == BATCHES as usize {
            Presence::All { plan: hash('1'), news: false }
        } else {
            Presence::Missing
        };
        prop_assert_eq!(presence(&jobs, 1, None), expected);
    }
}
