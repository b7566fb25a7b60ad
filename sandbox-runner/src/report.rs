//! What came of a program, as facts: how compiling went, what each test found. No presentation, no Kubernetes.

use std::time::Duration;

use judging::Verdict;
use queue::contract::CacheLayer;
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
    /// Where the artifact came from; a compiler that failed was run here.
    pub layer: CacheLayer,
    /// The compiler's exit code, unless it was killed or did not run.
    pub exit_code: Option<i32>,
    /// What the compiler used; nothing from the cache.
    pub usage: Option<Usage>,
    /// What it printed, made printable and bounded.
    pub output: String,
}

impl CompileReport {
    /// Whether an earlier compilation served.
    pub fn cached(&self) -> bool {
        self.layer != CacheLayer::Compiled
    }
}

/// Whom a fault of the platform concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// This machine, at this time: another attempt may do better.
    Here,
    /// The job itself: no runner can do it.
    Everywhere,
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
    /// Whether the platform failed, in any part.
    pub fault: Option<Fault>,
}

impl Report {
    /// A program that did not compile.
    pub fn refused(message: impl Into<String>, compile: CompileReport) -> Self {
        Self::early(Verdict::CompilationError, message.into(), Some(compile), None)
    }

    /// A judging that the platform could not do.
    pub fn fault(fault: Fault, message: impl Into<String>, compile: Option<CompileReport>) -> Self {
        Self::early(Verdict::InternalError, message.into(), compile, Some(fault))
    }

    fn early(
        verdict: Verdict,
        message: String,
        compile: Option<CompileReport>,
        fault: Option<Fault>,
    ) -> Self {
        Self { verdict, message, score_milli: 0, compile, tests: Vec::new(), fault }
    }
}
