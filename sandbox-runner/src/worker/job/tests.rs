//! How data are fetched in parts, and what a finished judging is to the queue.

use super::*;
use crate::report::TestReport;
use proptest::prelude::*;
use queue::contract::Blob;

fn name(n: u64, bytes: u64) -> BlobRef {
    BlobRef { bytes, ..Blob::pack(&n.to_le_bytes()).name }
}

proptest! {
    #[test]
    fn parts_are_small_and_together_the_whole(sizes in prop::collection::vec(0..20_u64 << 20, 0..30)) {
        let names: Vec<_> = (0..).zip(sizes).map(|(n, bytes)| name(n, bytes)).collect();
        let parts = parts(&names);
        prop_assert_eq!(&parts.concat(), &names);
        for part in parts {
            let bytes: u64 = part.iter().map(|name| name.bytes).sum();
            prop_assert!(part.len() == 1 || (bytes <= BYTES_AT_ONCE && !part.is_empty()));
        }
    }
}

#[test]
fn sizes_that_overflow_are_asked_for_alone() {
    assert_eq!(parts(&[name(1, u64::MAX), name(2, u64::MAX)]).len(), 2);
}

fn plan() -> Plan {
    let limits = serde_json::json!({"timeMilliseconds": 1000, "memoryBytes": 1 << 26, "outputBytes": 2048, "processes": 4});
    let spec = serde_json::json!({
        "displayName": "L", "sourceFile": "main.l", "run": {"command": ["/bin/sh", "main.l"]}, "limits": {"default": limits}});
    let language: crds::LanguageSpec = serde_json::from_value(spec).unwrap();
    let test = |index: u32| crate::plan::Test {
        index,
        name: format!("t{index}"),
        input: Arc::from([]),
        answer: Arc::from([]),
    };
    let program = crate::plan::Program {
        language_name: "l".into(),
        limits: crds::ResolvedLimits::of(None, &language),
        language,
        source: Arc::from([]),
    };
    Plan {
        name: "s".into(),
        program: Arc::new(program),
        tests: [3, 4].map(test).into(),
        comparison: judging::Comparison::Exact,
    }
}

fn found(verdict: Verdict) -> TestReport {
    TestReport { verdict, ..TestReport::platform_fault("words") }
}

fn ended(verdicts: [Verdict; 2], fault: Option<Fault>) -> Ending {
    let mut report = Report::fault(Fault::Here, "whole", None);
    report.verdict = verdicts[0];
    report.tests = verdicts.map(found).into();
    report.fault = fault;
    ending(&plan(), &report, "r", Timestamp::UNIX_EPOCH)
}

#[test]
fn one_test_that_this_machine_failed_at_is_reason_for_another_attempt() {
    let ending = ended([Verdict::WrongAnswer, Verdict::InternalError], Some(Fault::Here));
    assert_eq!(ending, Ending::Failed("test t4: words".into()));
    let early = Report::fault(Fault::Here, "no compiler", None);
    let ending = super::ending(&plan(), &early, "r", Timestamp::UNIX_EPOCH);
    assert_eq!(ending, Ending::Failed("no compiler".into()));
}

#[test]
fn what_nobody_can_do_and_what_was_found_are_reported() {
    let early = Report::fault(Fault::Everywhere, "no command", None);
    let Ending::Done(report) = ending(&plan(), &early, "r", Timestamp::UNIX_EPOCH) else { panic!() };
    assert_eq!(report.outcome, queue::contract::JobOutcome::InternalError("no command".into()));
    let Ending::Done(report) = ended([Verdict::Accepted, Verdict::WrongAnswer], None) else { panic!() };
    let queue::contract::JobOutcome::Judged(tests) = report.outcome else { panic!() };
    let rows: Vec<_> = tests.iter().map(|t| (t.index, t.status.verdict)).collect();
    assert_eq!(rows, [(3, crds::Verdict::Accepted), (4, crds::Verdict::WrongAnswer)]);
}
