//! What came of a program, as facts: how compiling went, what each test found. No presentation, no Kubernetes.

use std::time::Duration;

use judging::Verdict;
use sandbox::{Exit, Measured};

/// What an execution used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all processes together.
    pub cpu: Measured<Duration>,
    /// Time on the wall clock.
    pub wall: Duration,
    /// Highest resident memory in bytes.
    pub memory: Measured<u64>,
}

/// How the program came to be runnable, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileReport {
    /// Whether an earlier compilation served.
    pub cached: bool,
    /// The compiler's exit code, unless it was killed or did not run.
    pub exit_code: Option<i32>,
    /// What the compiler used; nothing from the cache.
    pub usage: Option<Usage>,
    /// What it printed, made printable and bounded.
    pub output: String,
}

/// What one test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, for people; empty if accepted.
    pub message: String,
    /// What the program used; nothing if it was not run.
    pub usage: Option<Usage>,
    /// How the program ended.
    pub exit: Option<Exit>,
    /// The program's output and the answer around the first difference, of a wrong answer alone.
    pub excerpts: Option<Excerpts>,
}

/// The two sides of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpts {
    /// What the program printed.
    pub actual: String,
    /// What it should have printed.
    pub expected: String,
}

impl TestReport {
    /// A test that the platform failed at.
    pub fn platform_fault(message: impl Into<String>) -> Self {
        Self::without_run(Verdict::InternalError, message.into())
    }

    /// A program that the kernel refuses to execute.
    pub fn not_started(message: impl Into<String>) -> Self {
        Self::without_run(Verdict::RuntimeError, message.into())
    }

    fn without_run(verdict: Verdict, message: String) -> Self {
        Self { verdict, message, usage: None, exit: None, excerpts: None }
    }
}

/// What came of a Submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The verdict on the whole.
    pub verdict: Verdict,
    /// Why, for people; empty if accepted.
    pub message: String,
    /// The score in thousandths of a point, 100 points in all.
    pub score_milli: i64,
    /// How compiling went; nothing for a language that is not compiled, or if it never came to it.
    pub compile: Option<CompileReport>,
    /// The tests' results in order; empty if the program did not compile.
    pub tests: Vec<TestReport>,
}

impl Report {
    /// A judging that ended before any test.
    pub fn early(verdict: Verdict, message: impl Into<String>, compile: Option<CompileReport>) -> Self {
        Self { verdict, message: message.into(), score_milli: 0, compile, tests: Vec::new() }
    }
}
