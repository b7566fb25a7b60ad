//! Tests of the judgement on one test: each rule, and that each comes before the next.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const ANSWER: &[u8] = b"42\n";

/// A run that did all right.
fn good() -> Evidence<'static> {
    Evidence {
        exceeded: None,
        exit: Exit::Code(0),
        cpu: Duration::from_millis(35),
        clocks: Clocks::new(Duration::from_secs(1), None),
        output: b"42\n",
        output_truncated: false,
    }
}

fn judged(evidence: &Evidence<'_>) -> (Verdict, String) {
    let judgement = judge(evidence, Comparison::Lines, ANSWER);
    (judgement.verdict, judgement.message)
}

fn assert_judged(evidence: &Evidence<'_>, verdict: Verdict, message: &str) {
    assert_eq!(judged(evidence), (verdict, message.to_owned()), "{evidence:?}");
}

#[test]
fn a_right_answer_is_accepted_without_words() {
    assert_judged(&good(), Verdict::Accepted, "");
}

#[test]
fn a_wrong_answer_says_where() {
    let evidence = Evidence { output: b"43\n", ..good() };
    assert_judged(&evidence, Verdict::WrongAnswer, "line 1, byte 2 differs");
    let evidence = Evidence { output: b"", ..good() };
    assert_judged(&evidence, Verdict::WrongAnswer, "line 1 is missing");
}

#[test]
fn the_asked_comparison_decides() {
    let evidence = Evidence { output: b"42  \n", ..good() };
    assert_eq!(judge(&evidence, Comparison::Lines, ANSWER).verdict, Verdict::Accepted);
    assert_eq!(judge(&evidence, Comparison::Exact, ANSWER).verdict, Verdict::WrongAnswer);
}

#[test]
fn cpu_over_its_limit_is_a_matter_of_time() {
    let cpu = Duration::from_millis(1020);
    let evidence = Evidence { exceeded: Some(Limit::Cpu), cpu, exit: Exit::Signal(9), ..good() };
    assert_judged(&evidence, Verdict::TimeLimitExceeded, "used 1.02 s of CPU, limit 1.00 s");
}

#[test]
fn cpu_over_its_limit_counts_though_no_one_noticed() {
    let limit = good().clocks.cpu;
    assert_judged(&Evidence { cpu: limit, ..good() }, Verdict::Accepted, "");
    let evidence = Evidence { cpu: limit + Duration::from_millis(1), ..good() };
    assert_judged(&evidence, Verdict::TimeLimitExceeded, "used 1.001 s of CPU, limit 1.000 s");
    let evidence = Evidence { exit: Exit::Signal(11), ..evidence };
    assert_eq!(judged(&evidence).0, Verdict::TimeLimitExceeded);
    let evidence = Evidence { exceeded: Some(Limit::Memory), ..evidence };
    assert_eq!(judged(&evidence).0, Verdict::MemoryLimitExceeded);
}

#[test]
fn equal_times_are_told_apart_as_far_as_they_can() {
    let evidence = Evidence { exceeded: Some(Limit::Cpu), cpu: good().clocks.cpu, ..good() };
    assert_judged(&evidence, Verdict::TimeLimitExceeded, "used 1.00 s of CPU, limit 1.00 s");
}

#[test]
fn the_wall_clock_asks_what_the_program_did() {
    let waited = Evidence { exceeded: Some(Limit::Wall), exit: Exit::Signal(9), ..good() };
    assert_judged(
        &waited,
        Verdict::IdlenessLimitExceeded,
        "not finished after 3.00 s by the wall clock, used 0.04 s of CPU",
    );
    let clocks = Clocks::new(Duration::from_secs(10), Some(Duration::from_secs(3)));
    let busy = Evidence { cpu: Duration::from_millis(1500), clocks, ..waited };
    assert_judged(
        &busy,
        Verdict::TimeLimitExceeded,
        "not finished after 3.00 s by the wall clock, used 1.50 s of CPU",
    );
}

#[test]
fn memory_and_output_have_their_own_verdicts() {
    let evidence = Evidence { exceeded: Some(Limit::Memory), exit: Exit::Signal(9), ..good() };
    assert_judged(&evidence, Verdict::MemoryLimitExceeded, "used more memory than allowed");
    let evidence = Evidence { exceeded: Some(Limit::Output), exit: Exit::Signal(25), ..good() };
    assert_judged(&evidence, Verdict::OutputLimitExceeded, "wrote more than allowed");
}

#[test]
fn a_crash_after_the_right_output_is_a_crash() {
    let ends = [
        (Exit::Code(3), "exit code 3"),
        (Exit::Code(-1), "exit code -1"),
        (Exit::Signal(1), "killed by signal 1 (SIGHUP)"),
        (Exit::Signal(6), "killed by signal 6 (SIGABRT)"),
        (Exit::Signal(8), "killed by signal 8 (SIGFPE)"),
        (Exit::Signal(9), "killed by signal 9 (SIGKILL)"),
        (Exit::Signal(11), "killed by signal 11 (SIGSEGV)"),
        (Exit::Signal(13), "killed by signal 13 (SIGPIPE)"),
        (Exit::Signal(24), "killed by signal 24 (SIGXCPU)"),
        (Exit::Signal(31), "killed by signal 31 (SIGSYS)"),
        (Exit::Signal(32), "killed by signal 32"),
        (Exit::Signal(0), "killed by signal 0"),
        (Exit::Signal(i32::MIN), "killed by signal -2147483648"),
    ];
    for (exit, message) in ends {
        assert_judged(&Evidence { exit, ..good() }, Verdict::RuntimeError, message);
    }
}

#[test]
fn a_crash_comes_before_truncated_output() {
    let evidence = Evidence { exit: Exit::Code(1), output_truncated: true, ..good() };
    assert_judged(&evidence, Verdict::RuntimeError, "exit code 1");
}

#[test]
fn truncated_output_is_never_compared() {
    for output in [ANSWER, b"", b"wrong"] {
        let evidence = Evidence { output, output_truncated: true, ..good() };
        assert_judged(&evidence, Verdict::OutputLimitExceeded, "wrote more than allowed");
    }
}

fn exits() -> impl Strategy<Value = Exit> {
    prop_oneof![Just(Exit::Code(0)), any::<i32>().prop_map(Exit::Code), any::<i32>().prop_map(Exit::Signal)]
}

fn limits() -> impl Strategy<Value = Option<Limit>> {
    select(vec![None, Some(Limit::Cpu), Some(Limit::Wall), Some(Limit::Memory), Some(Limit::Output)])
}

proptest! {
    #[test]
    fn accepted_means_nothing_at_all_went_wrong(
        exceeded in limits(),
        exit in exits(),
        cpu in 0..2000_u64,
        output in select(vec![b"42\n", b"42 ", b"43\n"]),
        output_truncated in any::<bool>(),
    ) {
        let in_time = cpu <= 1000;
        let cpu = Duration::from_millis(cpu);
        let evidence = Evidence { exceeded, exit, cpu, output, output_truncated, ..good() };
        let ended_well = exceeded.is_none() && exit == Exit::Code(0) && in_time;
        let fine = ended_well && output != b"43\n" && !output_truncated;
        let (verdict, message) = judged(&evidence);
        prop_assert_eq!(verdict == Verdict::Accepted, fine);
        prop_assert_eq!(message.is_empty(), fine);
        prop_assert!(!verdict.is_fault());
    }

    #[test]
    fn an_exceeded_limit_decides_whatever_else_is_known(
        exit in exits(),
        cpu in 0..5000_u64,
        output_truncated in any::<bool>(),
    ) {
        let cpu = Duration::from_millis(cpu);
        let wall = good().clocks.wall;
        for (limit, verdict) in [
            (Limit::Cpu, Verdict::TimeLimitExceeded),
            (Limit::Wall, wall_verdict(cpu, wall)),
            (Limit::Memory, Verdict::MemoryLimitExceeded),
            (Limit::Output, Verdict::OutputLimitExceeded),
        ] {
            let evidence = Evidence { exceeded: Some(limit), exit, cpu, output_truncated, ..good() };
            prop_assert_eq!(judged(&evidence).0, verdict);
        }
    }

    #[test]
    fn times_over_the_limit_never_read_like_the_limit(limit in 1..10_000_u64, over in 1..100_u64) {
        let [used, limit] = [limit + over, limit].map(Duration::from_millis);
        let (used, limit) = distinct_seconds(used, limit);
        prop_assert!(used.parse::<f64>().unwrap() > limit.parse::<f64>().unwrap());
    }
}
