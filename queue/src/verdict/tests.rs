//! Any order, duplicate-free or lossy: the same verdict as judging the tests one after another.

use super::*;
use crate::contract::TestOutcome;
use proptest::prelude::*;

const VERDICTS: [crds::Verdict; 5] = [
    crds::Verdict::Accepted,
    crds::Verdict::WrongAnswer,
    crds::Verdict::TimeLimitExceeded,
    crds::Verdict::RuntimeError,
    crds::Verdict::InternalError,
];

fn row(index: u32, verdict: crds::Verdict) -> TestOutcome {
    let status = TestStatus {
        name: format!("t{index}"),
        verdict,
        time_milliseconds: Some(i64::from(index) + 1),
        wall_time_milliseconds: None,
        memory_bytes: Some(1 << 20),
        exit_code: Some(0),
        signal: None,
        message: Some("why".into()),
        actual: Some("a".into()),
        expected: None,
    };
    TestOutcome { index, status }
}

fn report(outcome: JobOutcome) -> JobReport {
    JobReport {
        runner: "r".into(),
        started: Timestamp::UNIX_EPOCH,
        compile: None,
        outcome,
        measurement: None,
    }
}

/// One batch of `verdicts` from `first` on.
fn batch(first: u32, total: u32, verdicts: &[crds::Verdict]) -> Batch {
    let count = u32::try_from(verdicts.len()).unwrap();
    let rows = (first..).zip(verdicts).map(|(index, verdict)| row(index, *verdict)).collect();
    Batch { span: Span { first, count, total, batches: 0 }, result: Ok(report(JobOutcome::Judged(rows))) }
}

fn split(verdicts: &[crds::Verdict], size: usize) -> Vec<Batch> {
    let total = u32::try_from(verdicts.len()).unwrap();
    let first = |n: usize| u32::try_from(n * size).unwrap();
    verdicts.chunks(size).enumerate().map(|(n, part)| batch(first(n), total, part)).collect()
}

proptest! {
    #[test]
    fn the_split_and_the_order_never_matter(
        picks in prop::collection::vec(0..VERDICTS.len(), 1..40),
        size in 1..40_usize,
        seed: prop::sample::Index,
    ) {
        let verdicts: Vec<_> = picks.into_iter().map(|n| VERDICTS[n]).collect();
        let total = u32::try_from(verdicts.len()).unwrap();
        let mut batches = split(&verdicts, size);
        let places = batches.len();
        batches.rotate_left(seed.index(places));
        let judged = Judged::fold(total, batches);
        let first = verdicts.iter().find(|v| **v != crds::Verdict::Accepted);
        prop_assert_eq!(to_api(judged.verdict), first.copied().unwrap_or(crds::Verdict::Accepted));
        prop_assert_eq!(judged.tests.len(), verdicts.len());
        prop_assert!(judged.tests.iter().zip(&verdicts).all(|(row, verdict)| row.verdict == *verdict));
        prop_assert_eq!(judged, Judged::fold(total, split(&verdicts, verdicts.len())));
    }

    #[test]
    fn a_lost_batch_is_the_platforms_fault_unless_an_earlier_test_failed(
        picks in prop::collection::vec(0..4_usize, 2..30),
        size in 1..10_usize,
        lost: prop::sample::Index,
        forgotten: bool,
    ) {
        let verdicts: Vec<_> = picks.into_iter().map(|n| VERDICTS[n]).collect();
        let total = u32::try_from(verdicts.len()).unwrap();
        let mut batches = split(&verdicts, size);
        let lost = lost.index(batches.len());
        if forgotten { batches.remove(lost); } else { batches[lost].result = Err("gone".into()); }
        let before = &verdicts[..lost * size];
        let failed = before.iter().find(|v| **v != crds::Verdict::Accepted);
        let judged = Judged::fold(total, batches);
        prop_assert_eq!(to_api(judged.verdict), failed.copied().unwrap_or(crds::Verdict::InternalError));
    }
}

#[test]
fn the_first_failing_test_speaks() {
    let judged = Judged::fold(3, split(&[VERDICTS[0], VERDICTS[2], VERDICTS[1]], 2));
    assert_eq!((judged.message.as_str(), judged.passed, judged.score_milli), ("test t1: why", 1, 33_333));
    assert_eq!((judged.time_milliseconds, judged.memory_bytes), (Some(3), Some(1 << 20)));
}

#[test]
fn a_program_that_does_not_compile_has_no_rows() {
    let mut batches = split(&[VERDICTS[0]; 4], 2);
    batches[1].result = Ok(report(JobOutcome::CompilationError("the compiler exited with code 1".into())));
    let judged = Judged::fold(4, batches);
    assert_eq!(judged.verdict, Verdict::CompilationError);
    assert!(judged.tests.is_empty());
    assert_eq!(judged.message, "the compiler exited with code 1");
}

#[test]
fn a_report_about_other_tests_is_no_verdict() {
    for rows in [vec![], vec![row(1, VERDICTS[0])], vec![row(0, VERDICTS[0]), row(0, VERDICTS[0])]] {
        let mut one = batch(0, 1, &[VERDICTS[0]]);
        one.result = Ok(report(JobOutcome::Judged(rows)));
        assert_eq!(Judged::fold(1, vec![one]).verdict, Verdict::InternalError);
    }
    for verdict in [crds::Verdict::CompilationError, crds::Verdict::PartiallyAccepted] {
        assert_eq!(Judged::fold(1, vec![batch(0, 1, &[verdict])]).verdict, Verdict::InternalError);
    }
    assert_eq!(Judged::fold(0, vec![]).verdict, Verdict::InternalError);
}

#[test]
fn whatever_a_runner_says_stays_within_the_schema() {
    let wild = |n: u32| {
        let mut row = row(n, crds::Verdict::WrongAnswer);
        row.status = TestStatus {
            name: "ü".repeat(99),
            verdict: row.status.verdict,
            time_milliseconds: Some(-1),
            wall_time_milliseconds: Some(i64::MAX),
            memory_bytes: Some(i64::MIN),
            exit_code: Some(999),
            signal: Some(0),
            message: Some("é".repeat(9999)),
            actual: Some("é".repeat(9999)),
            expected: Some("é".repeat(9999)),
        };
        row
    };
    let total = 600;
    let span = Span { first: 0, count: total, total, batches: 1 };
    let result = Ok(report(JobOutcome::Judged((0..total).map(wild).collect())));
    let judging = Judging { number: 1, generation: Some(1), deliveries: Some(1), queued: None };
    let status = Judged::fold(total, vec![Batch { span, result }]).status(judging, Timestamp::UNIX_EPOCH);
    assert_eq!(status.tests.len(), MAX_TESTS);
    assert_eq!(status.tests.iter().filter(|t| t.actual.is_some()).count(), 8);
    let message = status.message.as_deref().unwrap();
    assert!(message.len() <= MAX_MESSAGE && message.len() > MAX_MESSAGE - 4);
    let row = &status.tests[0];
    assert_eq!(
        (row.time_milliseconds, row.memory_bytes, row.exit_code, row.signal),
        (Some(0), Some(0), None, None)
    );
    assert_eq!(row.name.len(), 62, "whole characters");
    assert!(serde_json::to_string(&status).unwrap().len() < 256 << 10);
}
