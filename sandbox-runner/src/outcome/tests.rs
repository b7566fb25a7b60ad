//! Every fact lands in the contract where the operator looks for it, within its bounds.

use std::sync::Arc;

use queue::contract::{CacheLayer, MAX_RECORD_BYTES, encode};
use sandbox::{Measured, Method};

use super::*;
use crate::plan::Program;
use crate::report::{Excerpts, Fault};

fn plan(tests: u32) -> Plan {
    let spec = serde_json::json!({
        "displayName": "L", "sourceFile": "main.l", "run": {"command": ["/bin/sh"]},
        "limits": {"default": {"timeMilliseconds": 1000, "memoryBytes": 1 << 26, "outputBytes": 2048, "processes": 4}}});
    let language: crds::LanguageSpec = serde_json::from_value(spec).unwrap();
    let limits = crds::ResolvedLimits::of(None, &language);
    let program = Program { language_name: "l".into(), language, source: Arc::from([]), limits };
    let test = |index| Test { index, name: format!("t{index}"), input: Arc::from([]), answer: Arc::from([]) };
    Plan {
        name: "s".into(),
        program: Arc::new(program),
        tests: (10..10 + tests).map(test).collect(),
        comparison: judging::Comparison::Exact,
    }
}

fn wrong() -> TestReport {
    let usage = Usage {
        cpu: Measured { value: Duration::from_millis(12), method: Method::CgroupV1 },
        wall: Duration::from_millis(34),
        memory: Measured { value: 56, method: Method::Supervised },
    };
    TestReport {
        verdict: Verdict::WrongAnswer,
        message: "é".repeat(2000),
        usage: Some(usage),
        exit: Some(Exit::Code(0)),
        excerpts: Some(Excerpts { actual: "é".repeat(1024), expected: "b".into() }),
    }
}

fn judged(tests: Vec<TestReport>) -> Report {
    let mut report = Report::fault(Fault::Here, "", None);
    (report.verdict, report.tests, report.fault) = (Verdict::WrongAnswer, tests, None);
    report
}

fn rows(report: JobReport) -> Vec<TestOutcome> {
    match report.outcome {
        JobOutcome::Judged(rows) => rows,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_test_keeps_its_place_and_its_figures() {
    let report = job_report(&plan(1), &judged(vec![wrong()]), "r", Timestamp::UNIX_EPOCH);
    assert_eq!(report.measurement.as_ref().unwrap().time.as_deref(), Some("cgroup v1"));
    let row = rows(report).remove(0);
    assert_eq!((row.index, row.status.name.as_str()), (10, "t10"));
    let status = row.status;
    assert_eq!((status.time_milliseconds, status.wall_time_milliseconds), (Some(12), Some(34)));
    assert_eq!((status.memory_bytes, status.exit_code, status.signal), (Some(56), Some(0), None));
    for text in [status.message.unwrap(), status.actual.unwrap()] {
        assert!(text.len() <= 1024 && text.ends_with('…'), "{}", text.len());
    }
    assert_eq!(status.expected.as_deref(), Some("b"));
}

#[test]
fn the_largest_report_of_a_status_can_be_sent() {
    let report = job_report(&plan(512), &judged(vec![wrong(); 512]), "r", Timestamp::UNIX_EPOCH);
    assert!(encode(&report).unwrap().len() < MAX_RECORD_BYTES);
    let shown = rows(report).iter().filter(|row| row.status.actual.is_some()).count();
    assert_eq!(shown, MAX_EXCERPTS);
}

#[test]
fn what_ended_before_the_tests_says_so() {
    let compile =
        CompileReport { layer: CacheLayer::Compiled, exit_code: Some(1), usage: None, output: "no".into() };
    let report = Report::refused("exited\u{1b}", compile);
    let report = job_report(&plan(1), &report, "r", Timestamp::UNIX_EPOCH);
    assert_eq!(report.outcome, JobOutcome::CompilationError("exited\u{fffd}".into()));
    let compile = report.compile.unwrap();
    assert_eq!((compile.status.exit_code, compile.status.cached), (Some(1), Some(false)));
    assert_eq!(compile.status.output.as_deref(), Some("no"));
    let fault = Report::fault(Fault::Here, "no box", None);
    let report = job_report(&plan(1), &fault, "r", Timestamp::UNIX_EPOCH);
    assert_eq!(report.outcome, JobOutcome::InternalError("no box".into()));
}
