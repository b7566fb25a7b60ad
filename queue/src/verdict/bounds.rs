//! The schema's bounds on what came from a runner: a status that the API server refuses would be no verdict at all.

use crds::{CompileStatus, Measurement, TestStatus};

use super::Row;

/// Rows of single tests.
pub const MAX_TESTS: usize = 512;
/// Bytes of a message or an excerpt.
pub const MAX_MESSAGE: usize = 1024;
/// Bytes of the message of a test after the first failures: 512 long ones would not fit into a status of 256 KiB.
const MAX_LATER_MESSAGE: usize = 48;
/// Failures that are shown with excerpts and at length, the first ones.
const MAX_FAILURES: usize = 8;
const MAX_NAME: usize = 63;
const MAX_COMPILER_OUTPUT: usize = 8192;
const MAX_METHOD: usize = 64;
/// The largest integer that a JSON number holds in every client (RFC 8259, section 6).
const MAX_INTEGER: i64 = 9_007_199_254_740_991;

/// At most `most` bytes of `text`, in whole characters.
pub fn shortened(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

fn short(text: Option<String>, most: usize) -> Option<String> {
    text.map(|text| shortened(&text, most))
}

fn integer(value: Option<i64>) -> Option<i64> {
    value.map(|value| value.clamp(0, MAX_INTEGER))
}

pub(super) fn test(status: TestStatus) -> TestStatus {
    let TestStatus {
        name,
        verdict,
        time_milliseconds,
        wall_time_milliseconds,
        memory_bytes,
        exit_code,
        signal,
        message,
        actual,
        expected,
    } = status;
    TestStatus {
        name: shortened(&name, MAX_NAME),
        verdict,
        time_milliseconds: integer(time_milliseconds),
        wall_time_milliseconds: integer(wall_time_milliseconds),
        memory_bytes: integer(memory_bytes),
        exit_code: exit_code.filter(|code| (0..=255).contains(code)),
        signal: signal.filter(|signal| (1..=64).contains(signal)),
        message: short(message, MAX_MESSAGE),
        actual: short(actual, MAX_MESSAGE),
        expected: short(expected, MAX_MESSAGE),
    }
}

pub(super) fn compile(status: CompileStatus) -> CompileStatus {
    let CompileStatus { exit_code, time_milliseconds, memory_bytes, output, cached } = status;
    CompileStatus {
        exit_code: exit_code.filter(|code| (0..=255).contains(code)),
        time_milliseconds: integer(time_milliseconds),
        memory_bytes: integer(memory_bytes),
        output: short(output, MAX_COMPILER_OUTPUT),
        cached,
    }
}

pub(super) fn measurement(measurement: Measurement) -> Measurement {
    let Measurement { time, memory } = measurement;
    Measurement { time: short(time, MAX_METHOD), memory: short(memory, MAX_METHOD) }
}

/// The rows that are shown; the first failures at length.
pub(super) fn tests(rows: Vec<Row>) -> Vec<TestStatus> {
    let mut failures_left = MAX_FAILURES;
    let mut row = |mut test: TestStatus| {
        if test.verdict == crds::Verdict::Accepted {
            return test;
        }
        if failures_left == 0 {
            (test.actual, test.expected) = (None, None);
            test.message = short(test.message, MAX_LATER_MESSAGE);
        }
        failures_left = failures_left.saturating_sub(1);
        test
    };
    rows.into_iter().filter_map(|row| row.result.ok()).take(MAX_TESTS).map(&mut row).collect()
}
