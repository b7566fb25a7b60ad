//! Tests of the fold: examples, and properties over all orders of arrival.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use Verdict::{Accepted, InternalError, JudgeError, RuntimeError, Skipped, TimeLimitExceeded, WrongAnswer};

fn result(verdict: Verdict) -> TestResult {
    TestResult { verdict, time: Duration::from_millis(10), memory_bytes: 1024 }
}

fn fold_of(verdicts: &[Verdict]) -> Fold {
    let mut fold = Fold::new(verdicts.len()).unwrap();
    for (index, verdict) in verdicts.iter().enumerate() {
        assert_eq!(fold.insert(index, result(*verdict)), Ok(Inserted::New));
    }
    fold
}

/// All results at once and in order, the plain way.
fn reference(results: &[TestResult]) -> Summary {
    let mut verdict = Accepted;
    for result in results.iter().rev() {
        verdict = match result.verdict {
            Accepted => verdict,
            Skipped => InternalError,
            failed => failed,
        };
    }
    let passed = results.iter().filter(|result| result.verdict == Accepted).count();
    let percent = i64::try_from(passed * 100_000 / results.len()).unwrap();
    Summary {
        verdict: Some(verdict),
        passed,
        total: results.len(),
        time: results.iter().fold(Duration::ZERO, |most, result| most.max(result.time)),
        memory_bytes: results.iter().fold(0, |most, result| most.max(result.memory_bytes)),
        score_milli: percent,
    }
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    let others = [
        WrongAnswer,
        TimeLimitExceeded,
        Verdict::IdlenessLimitExceeded,
        Verdict::MemoryLimitExceeded,
        Verdict::OutputLimitExceeded,
        RuntimeError,
        JudgeError,
        InternalError,
        Verdict::Cancelled,
        Skipped,
    ];
    prop_oneof![3 => Just(Accepted), 1 => select(others.to_vec())]
}

fn results() -> impl Strategy<Value = TestResult> {
    (verdicts(), 0..5000_u64, 0..1_u64 << 40).prop_map(|(verdict, millis, memory_bytes)| TestResult {
        verdict,
        time: Duration::from_millis(millis),
        memory_bytes,
    })
}

/// Results with their indices, in some order of arrival.
fn arrivals() -> impl Strategy<Value = Vec<(usize, TestResult)>> {
    vec(results(), 1..12)
        .prop_flat_map(|all| Just(all.into_iter().enumerate().collect::<Vec<_>>()).prop_shuffle())
}

fn in_order(arrivals: &[(usize, TestResult)]) -> Vec<TestResult> {
    let mut sorted = arrivals.to_vec();
    sorted.sort_by_key(|(index, _)| *index);
    sorted.into_iter().map(|(_, result)| result).collect()
}

fn insert_all(fold: &mut Fold, arrivals: &[(usize, TestResult)]) {
    for (index, result) in arrivals {
        assert_eq!(fold.insert(*index, *result), Ok(Inserted::New));
    }
}

/// The fold as it will be if every test still missing ends with `verdict`.
fn completed(fold: &Fold, verdict: Verdict) -> Option<Verdict> {
    let mut fold = fold.clone();
    for index in 0..fold.summary().total {
        fold.insert(index, result(verdict)).unwrap();
    }
    assert!(fold.is_complete());
    fold.decided()
}

#[test]
fn no_tests_are_no_fold() {
    assert_eq!(Fold::new(0), Err(FoldError::NoTests));
}

#[test]
fn nothing_is_decided_at_first() {
    let summary = Fold::new(3).unwrap().summary();
    let time = Duration::ZERO;
    assert_eq!(
        summary,
        Summary { verdict: None, passed: 0, total: 3, time, memory_bytes: 0, score_milli: 0 }
    );
    assert!(!Fold::new(3).unwrap().is_complete());
}

#[test]
fn a_huge_total_costs_nothing() {
    let mut fold = Fold::new(usize::MAX).unwrap();
    assert_eq!(fold.insert(usize::MAX - 1, result(Accepted)), Ok(Inserted::New));
    assert_eq!(fold.summary().score_milli, 0);
    assert_eq!(score_milli(usize::MAX, usize::MAX), 100_000);
    assert_eq!(score_milli(usize::MAX - 1, usize::MAX), 99_999);
}

#[test]
fn a_later_failure_waits_for_the_earlier_tests() {
    let mut fold = Fold::new(3).unwrap();
    fold.insert(2, result(RuntimeError)).unwrap();
    assert_eq!(fold.decided(), None);
    fold.insert(1, result(WrongAnswer)).unwrap();
    assert_eq!(fold.decided(), None);
    fold.insert(0, result(Accepted)).unwrap();
    assert_eq!(fold.decided(), Some(WrongAnswer));
}

#[test]
fn the_first_failure_decides_before_the_rest_is_in() {
    let mut fold = Fold::new(3).unwrap();
    fold.insert(0, result(TimeLimitExceeded)).unwrap();
    assert_eq!(fold.decided(), Some(TimeLimitExceeded));
    assert!(!fold.is_complete());
}

#[test]
fn faults_decide_in_order_like_failures() {
    assert_eq!(fold_of(&[Accepted, JudgeError, WrongAnswer]).decided(), Some(JudgeError));
    assert_eq!(fold_of(&[WrongAnswer, InternalError]).decided(), Some(WrongAnswer));
}

#[test]
fn skipped_tests_follow_a_failure_or_are_a_fault_of_the_platform() {
    assert_eq!(fold_of(&[Accepted, WrongAnswer, Skipped, Skipped]).decided(), Some(WrongAnswer));
    assert_eq!(fold_of(&[Accepted, Skipped, WrongAnswer]).decided(), Some(InternalError));
    assert_eq!(fold_of(&[Accepted, Skipped]).decided(), Some(InternalError));
    assert_eq!(fold_of(&[Skipped]).decided(), Some(InternalError));
    assert_eq!(fold_of(&[Accepted, Skipped]).summary().passed, 1);
}

#[test]
fn the_score_is_rounded_down() {
    assert_eq!(fold_of(&[Accepted, WrongAnswer, Skipped]).summary().score_milli, 33_333);
    assert_eq!(fold_of(&[Accepted, Accepted, WrongAnswer]).summary().score_milli, 66_666);
    assert_eq!(fold_of(&[Accepted; 3]).summary().score_milli, 100_000);
}

#[test]
fn what_is_no_result_of_a_test_is_refused_and_changes_nothing() {
    let mut fold = fold_of(&[Accepted, Accepted]);
    let before = fold.clone();
    for index in [2, usize::MAX] {
        let error = fold.insert(index, result(Accepted)).unwrap_err();
        assert_eq!(error, FoldError::OutOfRange { index, total: 2 });
    }
    for verdict in [Verdict::CompilationError, Verdict::PartiallyAccepted] {
        let error = fold.insert(1, result(verdict)).unwrap_err();
        assert_eq!(error, FoldError::NotOfATest { index: 1, verdict });
        let error = Fold::new(1).unwrap().insert(0, result(verdict)).unwrap_err();
        assert_eq!(error, FoldError::NotOfATest { index: 0, verdict });
    }
    assert_eq!(fold, before);
}

#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(FoldError::OutOfRange { index: 7, total: 2 }.to_string(), "no test has index 7: there are 2");
    let error = FoldError::NotOfATest { index: 1, verdict: Verdict::CompilationError };
    assert_eq!(error.to_string(), "test 1 cannot have verdict CompilationError");
}

proptest! {
    #[test]
    fn any_order_gives_the_sequential_reference(arrivals in arrivals()) {
        let mut fold = Fold::new(arrivals.len()).unwrap();
        insert_all(&mut fold, &arrivals);
        prop_assert!(fold.is_complete());
        prop_assert_eq!(fold.summary(), reference(&in_order(&arrivals)));
    }

    #[test]
    fn a_part_in_any_order_gives_the_same_fold(
        arrivals in arrivals(),
        cut in any::<Index>(),
        missing in 0..3_usize,
    ) {
        let part = &arrivals[..cut.index(arrivals.len())];
        let mut sorted = part.to_vec();
        sorted.sort_by_key(|(index, _)| *index);
        let mut left = Fold::new(arrivals.len() + missing).unwrap();
        let mut right = left.clone();
        insert_all(&mut left, part);
        insert_all(&mut right, &sorted);
        prop_assert_eq!(left.decided(), right.decided());
        prop_assert_eq!(left.summary(), right.summary());
        prop_assert_eq!(left, right);
    }

    #[test]
    fn a_duplicate_changes_nothing(
        arrivals in arrivals(),
        cut in any::<Index>(),
        which in any::<Index>(),
        other in results(),
    ) {
        let cut = cut.index(arrivals.len()) + 1;
        let mut fold = Fold::new(arrivals.len()).unwrap();
        insert_all(&mut fold, &arrivals[..cut]);
        let before = fold.clone();
        let (index, same) = arrivals[which.index(cut)];
        for again in [same, other] {
            prop_assert_eq!(fold.insert(index, again), Ok(Inserted::Duplicate));
            prop_assert_eq!(fold.summary(), before.summary());
            prop_assert_eq!(&fold, &before);
        }
        insert_all(&mut fold, &arrivals[cut..]);
        prop_assert_eq!(fold.summary(), reference(&in_order(&arrivals)));
    }

    #[test]
    fn nothing_goes_back(arrivals in arrivals()) {
        let mut fold = Fold::new(arrivals.len()).unwrap();
        let mut before = fold.summary();
        for arrival in arrivals {
            insert_all(&mut fold, &[arrival]);
            let now = fold.summary();
            if before.verdict.is_some() {
                prop_assert_eq!(now.verdict, before.verdict);
            }
            prop_assert!(now.passed >= before.passed && now.score_milli >= before.score_milli);
            prop_assert!(now.time >= before.time && now.memory_bytes >= before.memory_bytes);
            before = now;
        }
    }

    /// Neither too early nor too late.
    #[test]
    fn decided_means_that_nothing_can_change_it(arrivals in arrivals(), cut in any::<Index>()) {
        let mut fold = Fold::new(arrivals.len()).unwrap();
        insert_all(&mut fold, &arrivals[..cut.index(arrivals.len())]);
        let ends = [Accepted, WrongAnswer, RuntimeError, Skipped].map(|verdict| completed(&fold, verdict));
        let one_end = ends.iter().all(|end| *end == ends[0]);
        prop_assert_eq!(fold.decided(), if one_end { ends[0] } else { None });
    }

    #[test]
    fn one_more_pass_never_lowers_the_score(arrivals in arrivals(), which in any::<Index>()) {
        let mut better = in_order(&arrivals);
        let mut fold = Fold::new(better.len()).unwrap();
        let mut better_fold = fold.clone();
        let which = which.index(better.len());
        better[which].verdict = Accepted;
        insert_all(&mut fold, &arrivals);
        insert_all(&mut better_fold, &better.into_iter().enumerate().collect::<Vec<_>>());
        prop_assert!(better_fold.summary().score_milli >= fold.summary().score_milli);
    }

    #[test]
    fn accepted_full_score_and_all_passed_are_one(arrivals in arrivals()) {
        let mut fold = Fold::new(arrivals.len()).unwrap();
        insert_all(&mut fold, &arrivals);
        let summary = fold.summary();
        let all_passed = summary.passed == summary.total;
        prop_assert_eq!(summary.verdict == Some(Accepted), all_passed);
        prop_assert_eq!(summary.score_milli == 100_000, all_passed);
        prop_assert!((0..=100_000).contains(&summary.score_milli));
    }
}
