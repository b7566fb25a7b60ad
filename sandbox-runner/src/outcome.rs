//! A report in the words of the contract: what the operator folds into a status, and `judge` into what it prints.

use std::time::Duration;

use crds::{CompileStatus, Measurement, TestStatus};
use jiff::Timestamp;
use judging::Verdict;
use queue::contract::{CompileOutcome, JobOutcome, JobReport, TestOutcome};
use queue::verdict::{MAX_MESSAGE, to_api};
use sandbox::Exit;

use crate::excerpt::{COMPILER_OUTPUT, EXCERPT, printable, within};
use crate::plan::{Plan, Test};
use crate::report::{CompileReport, Report, TestReport, Usage};

/// Failures that travel with excerpts, the first ones: as many as a status shows.
const MAX_EXCERPTS: usize = 8;

/// What `runner` found, having begun at `started`.
pub fn job_report(plan: &Plan, report: &Report, runner: &str, started: Timestamp) -> JobReport {
    let measurement = report.tests.iter().find_map(|test| test.usage.as_ref()).map(measurement);
    JobReport {
        runner: runner.to_owned(),
        started,
        compile: report.compile.as_ref().map(compile),
        outcome: outcome(plan, report),
        measurement,
    }
}

/// A report that a job can't be judged by anyone.
pub fn hopeless(reason: &str, runner: &str, started: Timestamp) -> JobReport {
    let outcome = JobOutcome::InternalError(bounded(reason));
    JobReport { runner: runner.to_owned(), started, compile: None, outcome, measurement: None }
}

fn outcome(plan: &Plan, report: &Report) -> JobOutcome {
    match report.verdict {
        Verdict::CompilationError => JobOutcome::CompilationError(bounded(&report.message)),
        Verdict::InternalError if report.tests.is_empty() => {
            JobOutcome::InternalError(bounded(&report.message))
        }
        _ => JobOutcome::Judged(tests(plan, report)),
    }
}

fn tests(plan: &Plan, report: &Report) -> Vec<TestOutcome> {
    let mut excerpts_left = MAX_EXCERPTS;
    let row = |(test, report): (&Test, &TestReport)| {
        let shows = report.excerpts.is_some() && excerpts_left > 0;
        excerpts_left -= usize::from(shows);
        TestOutcome { index: test.index, status: status(test, report, shows) }
    };
    plan.tests.iter().zip(&report.tests).map(row).collect()
}

fn status(test: &Test, report: &TestReport, shows: bool) -> TestStatus {
    let TestReport { verdict, message, usage, exit, excerpts } = report;
    let excerpts = excerpts.as_ref().filter(|_| shows);
    TestStatus {
        name: test.name.clone(),
        verdict: to_api(*verdict),
        time_milliseconds: usage.map(|u| milliseconds(u.cpu.value)),
        wall_time_milliseconds: usage.map(|u| milliseconds(u.wall)),
        memory_bytes: usage.map(|u| signed(u.memory.value)),
        exit_code: exit.and_then(|e| if let Exit::Code(code) = e { Some(code) } else { None }),
        signal: exit.and_then(|e| if let Exit::Signal(signal) = e { Some(signal) } else { None }),
        message: (!message.is_empty()).then(|| bounded(message)),
        actual: excerpts.map(|e| within(e.actual.clone(), EXCERPT)),
        expected: excerpts.map(|e| within(e.expected.clone(), EXCERPT)),
    }
}

fn compile(report: &CompileReport) -> CompileOutcome {
    let status = CompileStatus {
        exit_code: report.exit_code,
        time_milliseconds: report.usage.map(|u| milliseconds(u.cpu.value)),
        memory_bytes: report.usage.map(|u| signed(u.memory.value)),
        output: (!report.output.is_empty()).then(|| within(report.output.clone(), COMPILER_OUTPUT)),
        cached: Some(report.cached()),
    };
    CompileOutcome { status, layer: report.layer }
}

fn measurement(usage: &Usage) -> Measurement {
    Measurement { time: Some(usage.cpu.method.to_string()), memory: Some(usage.memory.method.to_string()) }
}

/// A message may repeat what a program chose: the name of a file it made, say.
fn bounded(message: &str) -> String {
    within(printable(message.as_bytes(), MAX_MESSAGE), MAX_MESSAGE)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
