//! What a box is asked to do: command, files, input and limits, parsed so that a built request can be carried out.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

/// The box's working folder, where files are put and the program starts.
pub(crate) const WORK_DIR: &str = "/box";
/// Most files one box may be given.
pub(crate) const MAX_FILES: usize = 4096;
/// Longest relative path of a file in the box, in bytes.
pub(crate) const MAX_PATH: usize = 512;

/// Why a request can't be carried out. Each message names the part at fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// There is nothing to run.
    #[error("command: is empty")]
    NoCommand,
    /// A C string can't hold a NUL byte.
    #[error("{0}: contains a NUL byte")]
    Nul(&'static str),
    /// The program is looked up by path alone: `PATH` belongs to the box.
    #[error("command: {0:?} must be an absolute path or start with ./")]
    BareName(String),
    /// A file path that isn't plainly below the working folder.
    #[error(
        "file {0:?}: must be a relative path without empty, `.` or `..` parts, of at most {MAX_PATH} bytes"
    )]
    BadPath(String),
    /// More files than [`MAX_FILES`].
    #[error("files: {0} given, at most {MAX_FILES}")]
    TooManyFiles(usize),
    /// A limit of zero would kill every program.
    #[error("limits.{0}: must be greater than zero")]
    ZeroLimit(&'static str),
}

/// A program and its arguments and environment, ready for `execve`.
#[derive(Debug, Clone)]
pub struct Command {
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
}

impl Command {
    /// A command from its argument vector and its whole environment: nothing is inherited, no shell is involved.
    pub fn new<A: AsRef<str>>(argv: &[A], env: &[(A, A)]) -> Result<Self, RequestError> {
        let program = argv.first().ok_or(RequestError::NoCommand)?.as_ref();
        if !program.starts_with('/') && !program.starts_with("./") {
            return Err(RequestError::BareName(program.to_owned()));
        }
        let c_string = |text: String, what| CString::new(text).map_err(|_| RequestError::Nul(what));
        Ok(Self {
            argv: argv
                .iter()
                .map(|a| c_string(a.as_ref().to_owned(), "command"))
                .collect::<Result<_, _>>()?,
            env: env
                .iter()
                .map(|(name, value)| c_string(format!("{}={}", name.as_ref(), value.as_ref()), "env"))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The program's path as given.
    pub fn program(&self) -> String {
        self.argv.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// A file put into the box's working folder before the program starts.
#[derive(Debug, Clone)]
pub struct BoxFile {
    pub(crate) path: String,
    pub(crate) data: Arc<[u8]>,
    pub(crate) executable: bool,
}

impl BoxFile {
    /// A file at `path`, relative to the working folder.
    pub fn new(path: &str, data: Arc<[u8]>, executable: bool) -> Result<Self, RequestError> {
        if !is_plain_path(path) {
            return Err(RequestError::BadPath(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), data, executable })
    }
}

/// Whether `path` is relative, short and made of ordinary names alone.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.len() <= MAX_PATH
        && !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// What a box may use. Every limit covers the box as a whole, all its processes together, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// CPU time.
    pub cpu: Duration,
    /// Wall-clock time from the program's start.
    pub wall: Duration,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Bytes written to stdout, and as many again to stderr.
    pub output: u64,
    /// Processes and threads at one time.
    pub processes: u32,
    /// Open files per process.
    pub open_files: u32,
    /// Stack of the main thread in bytes.
    pub stack: u64,
    /// Bytes the working folder may grow to; 0 leaves the whole box read-only.
    pub disk: u64,
    /// Whether the runtime reserves far more address space than it touches (JVM, Go, Node). Address space then has no
    /// limit, resident memory alone has.
    pub reserves_address_space: bool,
}

impl Limits {
    fn check(&self) -> Result<(), RequestError> {
        let positive = [
            ("cpu", !self.cpu.is_zero()),
            ("wall", !self.wall.is_zero()),
            ("memory", self.memory > 0),
            ("output", self.output > 0),
            ("processes", self.processes > 0),
            ("open_files", self.open_files > 0),
            ("stack", self.stack > 0),
        ];
        positive.iter().find(|(_, ok)| !ok).map_or(Ok(()), |(name, _)| Err(RequestError::ZeroLimit(name)))
    }
}

/// One execution: built once, checked at building, carried out by an [`crate::Engine`].
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) command: Command,
    pub(crate) files: Vec<BoxFile>,
    pub(crate) stdin: Arc<[u8]>,
    pub(crate) limits: Limits,
    pub(crate) keep_stderr: usize,
}

impl Request {
    /// How much of stderr is kept unless [`Request::keep_stderr`] says otherwise, in bytes.
    pub const DEFAULT_KEEP_STDERR: usize = 8192;

    /// A request without input whose stderr is kept up to [`Request::DEFAULT_KEEP_STDERR`].
    pub fn new(command: Command, files: Vec<BoxFile>, limits: Limits) -> Result<Self, RequestError> {
        limits.check()?;
        if files.len() > MAX_FILES {
            return Err(RequestError::TooManyFiles(files.len()));
        }
        Ok(Self { command, files, stdin: Arc::from([]), limits, keep_stderr: Self::DEFAULT_KEEP_STDERR })
    }

    /// What the program reads from stdin.
    #[must_use]
    pub fn stdin(mut self, input: Arc<[u8]>) -> Self {
        self.stdin = input;
        self
    }

    /// How many bytes of stderr are kept; what comes after is counted and dropped.
    #[must_use]
    pub fn keep_stderr(mut self, bytes: usize) -> Self {
        self.keep_stderr = bytes;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_by_path_alone() {
        let bare = Command::new(&["gcc"], &[]);
        assert_eq!(bare.unwrap_err(), RequestError::BareName("gcc".into()));
        assert_eq!(Command::new::<&str>(&[], &[]).unwrap_err(), RequestError::NoCommand);
        assert_eq!(Command::new(&["/bin/a\0b"], &[]).unwrap_err(), RequestError::Nul("command"));
        assert_eq!(Command::new(&["./main"], &[("A", "b")]).unwrap().program(), "./main");
    }

    #[test]
    fn files_stay_below_the_working_folder() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\0b"] {
            assert!(BoxFile::new(bad, Arc::from([]), false).is_err(), "{bad:?} was taken");
        }
        assert!(BoxFile::new("classes/a/B.class", Arc::from([]), false).is_ok());
    }

    #[test]
    fn a_zero_limit_is_named() {
        let limits = Limits {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(1),
            memory: 0,
            output: 1,
            processes: 1,
            open_files: 1,
            stack: 1,
            disk: 0,
            reserves_address_space: false,
        };
        let command = Command::new(&["/bin/true"], &[]).unwrap();
        assert_eq!(Request::new(command, vec![], limits).unwrap_err(), RequestError::ZeroLimit("memory"));
    }
}
