//! A report in the words of the API: the status that `kubectl get` prints and programs read, within its bounds.

use std::time::Duration;

use crds::{CompileStatus, Measurement, Phase, SubmissionStatus, TestStatus, Verdict};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sandbox::Exit;

use crate::excerpt::printable;
use crate::plan::Plan;
use crate::report::{CompileReport, Report, TestReport, Usage};

/// Rows of single tests, as the schema bounds them.
const MAX_TESTS: usize = 512;
/// Failures that are shown with excerpts, the first ones.
const MAX_EXCERPTS: usize = 8;
/// Characters of a message.
const MAX_MESSAGE: usize = 1024;

/// The status of a Submission that was judged at `now`.
pub fn finished(plan: &Plan, report: &Report, generation: Option<i64>, now: Timestamp) -> SubmissionStatus {
    let usages: Vec<Usage> = report.tests.iter().filter_map(|t| t.usage).collect();
    let time = usages.iter().map(|u| milliseconds(u.cpu.value)).max();
    let memory = usages.iter().map(|u| signed(u.memory.value)).max();
    let passed = report.tests.iter().filter(|t| t.verdict == judging::Verdict::Accepted).count();
    let (passed, total) = (count(passed), count(plan.tests.len()));
    SubmissionStatus {
        observed_generation: generation,
        conditions: conditions(report, generation, now),
        phase: Some(Phase::Finished),
        verdict: Some(verdict(report.verdict)),
        score_milli: Some(report.score_milli),
        time_milliseconds: time,
        memory_bytes: memory,
        tests_passed: Some(passed),
        tests_total: Some(total),
        tests_summary: Some(format!("{passed}/{total}")),
        time_summary: time.map(|t| format!("{t} ms")),
        memory_summary: memory.map(mebibytes),
        compile: report.compile.as_ref().map(compile),
        message: text(&report.message),
        tests: tests(plan, report),
        measurement: usages.first().map(measurement),
        judging: Some(1),
        deliveries: None,
        queued_time: None,
        start_time: None,
        completion_time: Some(Time(now)),
    }
}

/// The status of a Submission that was refused at `now`.
pub fn invalid(message: &str, now: Timestamp) -> SubmissionStatus {
    SubmissionStatus {
        conditions: vec![
            condition("Admitted", false, "Invalid", message, None, now),
            condition("Finished", true, "Invalid", message, None, now),
            condition("Succeeded", false, "Invalid", message, None, now),
        ],
        phase: Some(Phase::Finished),
        message: text(message),
        completion_time: Some(Time(now)),
        ..SubmissionStatus::default()
    }
}

fn tests(plan: &Plan, report: &Report) -> Vec<TestStatus> {
    let mut excerpts_left = MAX_EXCERPTS;
    let row = |(test, report): (&crate::plan::Test, &TestReport)| {
        let excerpts = report.excerpts.as_ref().filter(|_| excerpts_left > 0);
        excerpts_left -= usize::from(excerpts.is_some());
        TestStatus {
            name: test.name.clone(),
            verdict: verdict(report.verdict),
            time_milliseconds: report.usage.map(|u| milliseconds(u.cpu.value)),
            wall_time_milliseconds: report.usage.map(|u| milliseconds(u.wall)),
            memory_bytes: report.usage.map(|u| signed(u.memory.value)),
            exit_code: report.exit.and_then(|e| if let Exit::Code(code) = e { Some(code) } else { None }),
            signal: report.exit.and_then(|e| if let Exit::Signal(signal) = e { Some(signal) } else { None }),
            message: text(&report.message),
            actual: excerpts.map(|e| e.actual.clone()),
            expected: excerpts.map(|e| e.expected.clone()),
        }
    };
    plan.tests.iter().zip(&report.tests).take(MAX_TESTS).map(row).collect()
}

fn compile(report: &CompileReport) -> CompileStatus {
    CompileStatus {
        exit_code: report.exit_code,
        time_milliseconds: report.usage.map(|u| milliseconds(u.cpu.value)),
        memory_bytes: report.usage.map(|u| signed(u.memory.value)),
        output: (!report.output.is_empty()).then(|| report.output.clone()),
        cached: Some(report.cached),
    }
}

fn measurement(usage: &Usage) -> Measurement {
    Measurement { time: Some(usage.cpu.method.to_string()), memory: Some(usage.memory.method.to_string()) }
}

fn conditions(report: &Report, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let fault = report.verdict.is_platform_fault();
    let reason = if fault { "InternalError" } else { "Judged" };
    let about = |type_, holds, reason, message| condition(type_, holds, reason, message, generation, now);
    vec![
        about("Admitted", true, "Valid", ""),
        about("Finished", true, reason, &report.message),
        about("Succeeded", !fault, reason, &report.message),
    ]
}

fn condition(
    type_: &str,
    holds: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: printable(message.as_bytes(), MAX_MESSAGE),
        last_transition_time: Time(now),
        observed_generation: generation,
    }
}

fn text(message: &str) -> Option<String> {
    (!message.is_empty()).then(|| printable(message.as_bytes(), MAX_MESSAGE))
}

/// For columns: "12 MiB", or "0.4 MiB" where a whole number would say nothing.
pub fn mebibytes(bytes: i64) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    if tenths < 100 { format!("{}.{} MiB", tenths / 10, tenths % 10) } else { format!("{} MiB", tenths / 10) }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The API's name of a verdict; the two enums may not know each other.
pub fn verdict(verdict: judging::Verdict) -> Verdict {
    match verdict {
        judging::Verdict::Accepted => Verdict::Accepted,
        judging::Verdict::WrongAnswer => Verdict::WrongAnswer,
        judging::Verdict::TimeLimitExceeded => Verdict::TimeLimitExceeded,
        judging::Verdict::IdlenessLimitExceeded => Verdict::IdlenessLimitExceeded,
        judging::Verdict::MemoryLimitExceeded => Verdict::MemoryLimitExceeded,
        judging::Verdict::OutputLimitExceeded => Verdict::OutputLimitExceeded,
        judging::Verdict::RuntimeError => Verdict::RuntimeError,
        judging::Verdict::CompilationError => Verdict::CompilationError,
        judging::Verdict::PartiallyAccepted => Verdict::PartiallyAccepted,
        judging::Verdict::JudgeError => Verdict::JudgeError,
        judging::Verdict::InternalError => Verdict::InternalError,
        judging::Verdict::Cancelled => Verdict::Cancelled,
        judging::Verdict::Skipped => Verdict::Skipped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_verdict_enums_have_the_same_names() {
        for one in judging::Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict(one)).unwrap(), one.name());
        }
    }

    #[test]
    fn memory_reads_well_at_every_size() {
        assert_eq!(mebibytes(0), "0.0 MiB");
        assert_eq!(mebibytes(1 << 19), "0.5 MiB");
        assert_eq!(mebibytes(12_900_000), "12 MiB");
        assert_eq!(mebibytes(i64::MAX), "879609302220 MiB");
    }
}
