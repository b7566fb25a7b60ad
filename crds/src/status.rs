//! A Submission's status: the verdict, what it rests on, and how far the judging is.
#![expect(unreachable_pub, reason = "KubeSchema repeats a public struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the judging found, and how far it is. Written by the operator alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmissionStatus {
    /// observedGeneration is the metadata.generation that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub observed_generation: Option<i64>,

    /// conditions are Admitted (valid, and all references resolved), Finished (True whatever the verdict) and Succeeded (a
    /// verdict was reached). At most 8, one per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::conditions")]
    pub conditions: Vec<Condition>,

    /// phase is how far the judging is, for printing. Programs should read conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// verdict is what the judging found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self != 'Skipped'").message("Skipped is a verdict of single tests only"))]
    pub verdict: Option<Verdict>,

    /// scoreMilli is the score in thousandths of a point. 0 to 1000000000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000i64))]
    pub score_milli: Option<i64>,

    /// timeMilliseconds is the largest CPU time of a test, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub time_milliseconds: Option<i64>,

    /// memoryBytes is the largest memory use of a test, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub memory_bytes: Option<i64>,

    /// testsPassed is how many tests were accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub tests_passed: Option<i32>,

    /// testsTotal is how many tests there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub tests_total: Option<i32>,

    /// testsSummary is testsPassed of testsTotal for printing, such as "17/20". At most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub tests_summary: Option<String>,

    /// timeSummary is timeMilliseconds for printing, such as "35 ms". At most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub time_summary: Option<String>,

    /// memorySummary is memoryBytes for printing, such as "12 MiB". At most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub memory_summary: Option<String>,

    /// compile is what compiling the program came to. Unset for a language that is not compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile: Option<CompileStatus>,

    /// message says, for people, why the verdict is what it is or what the Submission waits for. At most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,

    /// tests are the single tests' results, in test order. At most the first 512.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tests: Vec<TestStatus>,

    /// measurement says how time and memory were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<Measurement>,

    /// judging is the number of the judging that the status speaks of; each rejudge adds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_000_000))]
    pub judging: Option<i32>,

    /// deliveries is how often work of this judging was handed to a runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub deliveries: Option<i32>,

    /// queuedTime is when the judging was put on the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_time: Option<Time>,

    /// startTime is when a runner began with the judging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// completionTime is when the judging finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

/// What compiling the program came to.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompileStatus {
    /// exitCode is the compiler's exit code, 0 to 255. Unset if it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub exit_code: Option<i32>,

    /// timeMilliseconds is the compiler's CPU time in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub time_milliseconds: Option<i64>,

    /// memoryBytes is the compiler's largest memory use, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub memory_bytes: Option<i64>,

    /// output is what the compiler printed, shortened to at most 8192 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub output: Option<String>,

    /// cached is true if an earlier compilation of the same source was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<bool>,
}

/// The result of one test.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestStatus {
    /// name is the test's name. At most 63 characters.
    #[schemars(length(max = 63))]
    pub name: String,

    /// verdict is what the test found.
    pub verdict: Verdict,

    /// timeMilliseconds is the CPU time of all the program's processes together, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub time_milliseconds: Option<i64>,

    /// wallTimeMilliseconds is the elapsed time in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub wall_time_milliseconds: Option<i64>,

    /// memoryBytes is the largest memory use, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub memory_bytes: Option<i64>,

    /// exitCode is the program's exit code, 0 to 255. Unset if it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub exit_code: Option<i32>,

    /// signal is the number of the signal that killed the program, 1 to 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub signal: Option<i32>,

    /// message says why the test failed. At most 1024 characters; never set for a hidden test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,

    /// actual is an excerpt of what the program printed, around the first difference. At most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub actual: Option<String>,

    /// expected is an excerpt of the test's answer, around the first difference. At most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub expected: Option<String>,
}

/// How time and memory were measured.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// time names the source of the CPU times, such as "cgroup v2 cpu.stat". At most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub time: Option<String>,

    /// memory names the source of the memory figures, such as "cgroup v2 memory.peak". At most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub memory: Option<String>,
}

/// How far a judging is, for printing.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum Phase {
    /// Not yet on the queue.
    Pending,
    /// Waits for a runner.
    Queued,
    /// Is being compiled.
    Compiling,
    /// Its tests are being run.
    Running,
    /// Over, whatever the verdict.
    Finished,
}

/// What judging a program, or one test, found.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum Verdict {
    /// Right.
    Accepted,
    /// The output is wrong.
    WrongAnswer,
    /// The program used up its CPU time, or its elapsed time while computing.
    TimeLimitExceeded,
    /// The program used up its elapsed time while mostly idle.
    IdlenessLimitExceeded,
    /// The program used more memory than allowed.
    MemoryLimitExceeded,
    /// The program printed more than allowed.
    OutputLimitExceeded,
    /// The program was killed by a signal or exited with another code than zero.
    RuntimeError,
    /// The program does not compile.
    CompilationError,
    /// Some tests passed, and the problem gives points for that.
    PartiallyAccepted,
    /// The problem's checker, interactor or data failed; not the submitter's fault.
    JudgeError,
    /// The platform failed; not the submitter's fault.
    InternalError,
    /// The judging was called off.
    Cancelled,
    /// The test was not run. A verdict of single tests only.
    Skipped,
}
