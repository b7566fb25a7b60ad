//! What came of an execution: how it ended, what it used, how that was measured, what it printed and left behind.

use std::fmt;
use std::time::Duration;

use crate::artifact::Leftovers;

/// How the program itself ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it: its own, or the SIGKILL of a limit.
    Signal(i32),
}

/// A limit that ended the program, or that it was seen to have broken when it ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// CPU time.
    Cpu,
    /// Wall-clock time.
    Wall,
    /// Resident memory.
    Memory,
    /// Output on stdout or stderr.
    Output,
    /// Processes and threads. Only where they are counted from outside: elsewhere `fork` fails in the program.
    Processes,
}

/// How a figure came about, for whoever has to judge how exact it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The kernel's account of the whole box in a cgroup v1 controller.
    CgroupV1,
    /// `rusage` of all reaped processes, and procfs looked at every few milliseconds.
    Supervised,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CgroupV1 => "cgroup v1",
            Self::Supervised => "rusage and procfs",
        })
    }
}

/// A figure and how it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured<T> {
    /// The figure.
    pub value: T,
    /// Where it comes from.
    pub method: Method,
}

/// What was read of one output stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capture {
    /// The first bytes, as many as were to be kept.
    pub bytes: Vec<u8>,
    /// How many bytes were read in all; never more than one read beyond the limit.
    pub total: u64,
}

impl Capture {
    /// Whether [`Capture::bytes`] is less than what the program wrote.
    pub fn is_truncated(&self) -> bool {
        self.total > self.bytes.len() as u64
    }
}

/// One finished execution. The box is gone by now: every process is dead, every mount dropped but what
/// [`Outcome::leftovers`] still holds by a descriptor.
#[derive(Debug)]
pub struct Outcome {
    /// How the program ended.
    pub exit: Exit,
    /// The limit that decided, if any. It outranks [`Outcome::exit`].
    pub exceeded: Option<Limit>,
    /// CPU time of all processes together.
    pub cpu: Measured<Duration>,
    /// Time from the program's start to its end on the monotonic clock.
    pub wall: Duration,
    /// Highest resident memory seen, in bytes.
    pub memory: Measured<u64>,
    /// Standard output.
    pub stdout: Capture,
    /// Standard error.
    pub stderr: Capture,
    /// The working folder as the program left it.
    pub leftovers: Leftovers,
}

impl Outcome {
    /// Whether the program ended by itself, within its limits, with code 0.
    pub fn is_success(&self) -> bool {
        self.exceeded.is_none() && self.exit == Exit::Code(0)
    }
}
