//! From the reports of all batches to a Submission's status, whatever order they came in.

mod bounds;
mod conditions;
mod words;

use crds::{CompileStatus, Measurement, Phase, SubmissionStatus, TestStatus};
use jiff::Timestamp;
use judging::{Fold, FoldError, TestResult, Verdict};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use bounds::{MAX_MESSAGE, MAX_TESTS, shortened};
pub use conditions::{ConditionType, condition, finished, set};
pub use words::{from_api, mebibytes, to_api};

use crate::contract::{JobOutcome, JobReport, Span};

/// One batch of a judging and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Where it stands in the whole.
    pub span: Span,
    /// What came of it.
    pub result: Result<JobReport, String>,
}

/// What all batches come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The verdict on the whole.
    pub verdict: Verdict,
    /// Why, for people; empty if Accepted.
    pub message: String,
    /// The score in thousandths of a point, 100 points in all.
    pub score_milli: i64,
    /// Tests that passed.
    pub passed: u32,
    /// All tests.
    pub total: u32,
    /// The largest CPU time of a test, in milliseconds.
    pub time_milliseconds: Option<i64>,
    /// The largest memory use of a test, in bytes.
    pub memory_bytes: Option<i64>,
    /// The results that are shown, in test order.
    pub tests: Vec<TestStatus>,
    /// How compiling went.
    pub compile: Option<CompileStatus>,
    /// How time and memory were measured.
    pub measurement: Option<Measurement>,
    /// When the first runner began.
    pub started: Option<Timestamp>,
}

/// Which judging of which generation a status speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judging {
    /// Its number, from 1.
    pub number: u32,
    /// The `metadata.generation` that was judged.
    pub generation: Option<i64>,
    /// Deliveries of all its jobs.
    pub deliveries: Option<u32>,
    /// When it was put on the queue.
    pub queued: Option<Timestamp>,
}

impl Judged {
    /// Folds all batches of one judging of `total` tests. A batch that is missing, or that says other things than it
    /// was asked, counts as the platform's fault in its tests.
    pub fn fold(total: u32, mut batches: Vec<Batch>) -> Self {
        batches.sort_by_key(|batch| batch.span.first);
        let reports: Vec<&JobReport> =
            batches.iter().filter_map(|batch| batch.result.as_ref().ok()).collect();
        let compile = reports.iter().find_map(|report| report.compile.as_ref());
        let compile = compile.map(|compile| bounds::compile(compile.status.clone()));
        let measurement =
            reports.iter().find_map(|report| report.measurement.clone()).map(bounds::measurement);
        let started = reports.iter().map(|report| report.started).min();
        let about = |verdict, message, score_milli, passed, rows: Vec<Row>| Self {
            verdict,
            message,
            score_milli,
            passed,
            total,
            time_milliseconds: known(&rows).filter_map(|test| test.time_milliseconds).max(),
            memory_bytes: known(&rows).filter_map(|test| test.memory_bytes).max(),
            tests: bounds::tests(rows),
            compile: compile.clone(),
            measurement: measurement.clone(),
            started,
        };
        if let Some(message) = compilation_error(&reports) {
            return about(Verdict::CompilationError, shortened(message, MAX_MESSAGE), 0, 0, Vec::new());
        }
        let rows: Vec<Row> = batches.iter().flat_map(rows).filter(|row| row.index < total).collect();
        match fold(total, &rows) {
            Ok(fold) => {
                let (verdict, message) = decision(&fold, &rows);
                let summary = fold.summary();
                let passed = u32::try_from(summary.passed).unwrap_or(total);
                about(verdict, message, summary.score_milli, passed, rows)
            }
            Err(error) => about(Verdict::InternalError, error.to_string(), 0, 0, Vec::new()),
        }
    }

    /// The final status of the judging that came to this at `now`.
    pub fn status(self, judging: Judging, now: Timestamp) -> SubmissionStatus {
        let Self {
            verdict, message, score_milli, passed, total, tests, compile, measurement, started, ..
        } = self;
        let (time, memory) = (self.time_milliseconds, self.memory_bytes);
        let Judging { number, generation, deliveries, queued } = judging;
        SubmissionStatus {
            observed_generation: generation,
            conditions: conditions::judged(verdict, &message, generation, now),
            phase: Some(Phase::Finished),
            verdict: Some(to_api(verdict)),
            score_milli: Some(score_milli),
            time_milliseconds: time,
            memory_bytes: memory,
            tests_passed: i32::try_from(passed).ok(),
            tests_total: i32::try_from(total).ok(),
            tests_summary: Some(format!("{passed}/{total}")),
            time_summary: time.map(|t| format!("{t} ms")),
            memory_summary: memory.map(mebibytes),
            compile,
            message: (!message.is_empty()).then_some(message),
            tests,
            measurement,
            judging: i32::try_from(number).ok(),
            deliveries: deliveries.and_then(|d| i32::try_from(d).ok()),
            queued_time: queued.map(Time),
            start_time: started.map(Time),
            completion_time: Some(Time(now)),
        }
    }
}

/// The final status of a Submission that was refused at `now`.
pub fn invalid(message: &str, judging: Option<Judging>, now: Timestamp) -> SubmissionStatus {
    let generation = judging.and_then(|judging| judging.generation);
    SubmissionStatus {
        observed_generation: generation,
        conditions: conditions::invalid(message, generation, now),
        phase: Some(Phase::Finished),
        message: (!message.is_empty()).then(|| shortened(message, MAX_MESSAGE)),
        judging: judging.and_then(|judging| i32::try_from(judging.number).ok()),
        completion_time: Some(Time(now)),
        ..SubmissionStatus::default()
    }
}

/// A test with a result, or with the reason that there is none.
struct Row {
    index: u32,
    result: Result<TestStatus, String>,
}

fn known(rows: &[Row]) -> impl Iterator<Item = &TestStatus> {
    rows.iter().filter_map(|row| row.result.as_ref().ok())
}

fn compilation_error<'r>(reports: &[&'r JobReport]) -> Option<&'r str> {
    reports.iter().find_map(|report| match &report.outcome {
        JobOutcome::CompilationError(message) => Some(message.as_str()),
        JobOutcome::Judged(_) | JobOutcome::InternalError(_) => None,
    })
}

fn rows(batch: &Batch) -> Vec<Row> {
    let Span { first, count, .. } = batch.span;
    let all = |reason: &str| {
        (first..first.saturating_add(count))
            .map(|index| Row { index, result: Err(reason.to_owned()) })
            .collect()
    };
    let report = match &batch.result {
        Ok(report) => report,
        Err(reason) => return all(reason),
    };
    match &report.outcome {
        JobOutcome::InternalError(reason) => all(reason),
        JobOutcome::CompilationError(_) => Vec::new(),
        JobOutcome::Judged(tests) => {
            let asked = (first..first.saturating_add(count)).eq(tests.iter().map(|test| test.index));
            if !asked {
                return all("the runner reported other tests than it was given");
            }
            tests.iter().map(|t| Row { index: t.index, result: Ok(bounds::test(t.status.clone())) }).collect()
        }
    }
}

fn fold(total: u32, rows: &[Row]) -> Result<Fold, FoldError> {
    let mut fold = Fold::new(total as usize)?;
    for Row { index, result } in rows {
        let verdict = result.as_ref().map_or(Verdict::InternalError, |status| from_api(status.verdict));
        // Times and sizes are the rows' own matter; here only verdicts count.
        let result = TestResult { verdict, time: std::time::Duration::ZERO, memory_bytes: 0 };
        fold.insert(*index as usize, result)?;
    }
    Ok(fold)
}

/// The verdict, and the words of the test that decided it.
fn decision(fold: &Fold, rows: &[Row]) -> (Verdict, String) {
    let Some(verdict) = fold.decided() else {
        return (Verdict::InternalError, "not every test has a result".to_owned());
    };
    let failed =
        |row: &&Row| row.result.as_ref().map_or(true, |test| from_api(test.verdict) != Verdict::Accepted);
    let message = match rows.iter().find(failed).map(|row| &row.result) {
        None => String::new(),
        Some(Err(reason)) => reason.clone(),
        Some(Ok(test)) => {
            let words = test.message.as_deref().unwrap_or_default();
            if words.is_empty() {
                format!("test {}", test.name)
            } else {
                format!("test {}: {words}", test.name)
            }
        }
    };
    (verdict, shortened(&message, MAX_MESSAGE))
}

#[cfg(test)]
mod tests;
