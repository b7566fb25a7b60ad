//! How one test is judged: from the evidence a box left, and the answer.

use std::time::Duration;

use crate::clock::{Clocks, wall_verdict};
use crate::compare::{Comparison, compare};
use crate::verdict::Verdict;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
}

/// A limit that ended the program, or that it went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// CPU time of all its processes.
    Cpu,
    /// Time by the wall clock.
    Wall,
    /// Memory.
    Memory,
    /// Bytes written.
    Output,
    /// Processes and threads, where they are counted from outside. Elsewhere starting one more fails in the program.
    Processes,
}

/// What is known of one run.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The first limit that was exceeded, if any.
    pub exceeded: Option<Limit>,
    /// How the program ended, by itself or killed for the limit.
    pub exit: Exit,
    /// CPU time of all its processes.
    pub cpu: Duration,
    /// The clocks it ran against.
    pub clocks: Clocks,
    /// What it wrote, or the start of it.
    pub output: &'a [u8],
    /// Whether `output` is only the start.
    pub output_truncated: bool,
}

/// The verdict on one test, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason in a few words for people, without a byte of output or answer. Empty if Accepted.
    pub message: String,
}

impl Judgement {
    fn new(verdict: Verdict, message: impl Into<String>) -> Self {
        Self { verdict, message: message.into() }
    }
}

/// Judges one test. The first of these that applies decides:
///
/// 1. the limit that was exceeded; also a CPU time over its limit that no one noticed while the program ran;
/// 2. a signal or a non-zero exit code, however right the output;
/// 3. truncated output, which is never compared;
/// 4. the comparison of output and answer.
pub fn judge(evidence: &Evidence<'_>, comparison: Comparison, answer: &[u8]) -> Judgement {
    exceeded_limit(evidence)
        .or_else(|| crash(evidence.exit))
        .or_else(|| evidence.output_truncated.then(too_much_output))
        .unwrap_or_else(|| compared(evidence.output, comparison, answer))
}

fn exceeded_limit(evidence: &Evidence<'_>) -> Option<Judgement> {
    let overlooked = (evidence.cpu > evidence.clocks.cpu).then_some(Limit::Cpu);
    let judgement = match evidence.exceeded.or(overlooked)? {
        Limit::Cpu => too_much_cpu(evidence.cpu, evidence.clocks.cpu),
        Limit::Wall => wall_ran_out(evidence.cpu, evidence.clocks.wall),
        Limit::Memory => Judgement::new(Verdict::MemoryLimitExceeded, "used more memory than allowed"),
        Limit::Output => too_much_output(),
        Limit::Processes => {
            Judgement::new(Verdict::RuntimeError, "started more processes or threads than allowed")
        }
    };
    Some(judgement)
}

fn too_much_cpu(used: Duration, limit: Duration) -> Judgement {
    let (used, limit) = distinct_seconds(used, limit);
    Judgement::new(Verdict::TimeLimitExceeded, format!("used {used} s of CPU, limit {limit} s"))
}

fn wall_ran_out(cpu_used: Duration, wall_limit: Duration) -> Judgement {
    let (used, limit) = (seconds(cpu_used, 2), seconds(wall_limit, 2));
    Judgement::new(
        wall_verdict(cpu_used, wall_limit),
        format!("not finished after {limit} s by the wall clock, used {used} s of CPU"),
    )
}

fn too_much_output() -> Judgement {
    Judgement::new(Verdict::OutputLimitExceeded, "wrote more than allowed")
}

fn crash(exit: Exit) -> Option<Judgement> {
    let message = match exit {
        Exit::Code(0) => return None,
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => match signal_name(signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        },
    };
    Some(Judgement::new(Verdict::RuntimeError, message))
}

fn compared(output: &[u8], comparison: Comparison, answer: &[u8]) -> Judgement {
    match compare(comparison, output, answer) {
        Ok(()) => Judgement::new(Verdict::Accepted, ""),
        Err(difference) => Judgement::new(Verdict::WrongAnswer, difference.to_string()),
    }
}

fn seconds(time: Duration, digits: usize) -> String {
    format!("{:.digits$}", time.as_secs_f64())
}

/// Two times with two digits after the point, or as many more as it takes to tell one from the other: nobody
/// should read that 1.00 s is over a limit of 1.00 s.
fn distinct_seconds(left: Duration, right: Duration) -> (String, String) {
    (2..9)
        .map(|digits| (seconds(left, digits), seconds(right, digits)))
        .find(|(left, right)| left != right)
        .unwrap_or_else(|| (seconds(left, 2), seconds(right, 2)))
}

/// The name of a signal on Linux, the same on x86-64, arm64 and riscv64.
fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    let index = usize::try_from(signal).ok()?.checked_sub(1)?;
    NAMES.get(index).copied()
}

#[cfg(test)]
mod tests;
