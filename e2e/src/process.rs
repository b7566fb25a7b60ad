//! A child process with its log: started, stopped, continued, killed and started again.
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take until it can be used, on a machine that does other things too.
pub const READY_WITHIN: Duration = Duration::from_mins(2);
/// How long one question whether it is ready may stay without an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The time between two looks at whether something has happened.
pub const POLL: Duration = Duration::from_millis(30);
/// How long a signal may take to stop a process.
const SIGNALLED_WITHIN: Duration = Duration::from_secs(10);
/// How much of a server's log a failing test shows, in bytes.
const LOG_TAIL: usize = 2048;

/// How a program is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What its log is called.
    pub name: String,
    /// The program.
    pub binary: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is added to the environment.
    pub environment: Vec<(String, String)>,
    /// Its working folder, where its log is kept too.
    pub dir: PathBuf,
    /// How much of its log a failing test shows, in bytes.
    pub log_tail: usize,
}

/// A child process. Dropping it kills it and, if the test fails, shows the end of its log.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
}

impl Launch {
    /// `binary` in `dir`, with no more environment.
    pub fn new(dir: &Path, name: &str, binary: PathBuf, arguments: Vec<String>) -> Self {
        let (name, dir) = (name.to_owned(), dir.to_owned());
        Self { name, binary, arguments, environment: Vec::new(), dir, log_tail: LOG_TAIL }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).envs(self.environment.iter().cloned()).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))
    }

    fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }
}

impl Process {
    /// Starts a program.
    pub fn start(launch: Launch) -> anyhow::Result<Self> {
        let child = launch.spawn()?;
        Ok(Self { launch, child })
    }

    /// Starts the program again in the same way, after it ended. Its log goes on.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        if self.exited()?.is_none() {
            bail!("{} still runs", self.launch.name);
        }
        self.child = self.launch.spawn()?;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it at once, by SIGKILL. Does nothing if it has ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, by SIGTERM, and waits until it has.
    pub async fn stop(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} did not end within {within:?} after SIGTERM", self.launch.name);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops it where it is, by SIGSTOP, and returns when it stands still.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let deadline = Instant::now() + SIGNALLED_WITHIN;
        while !self.stands_still()? {
            if Instant::now() > deadline {
                bail!("{} does not stop", self.launch.name);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets it go on after [`Process::pause`].
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// What it has logged, from its first start on.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.launch.log()).unwrap_or_default()).into_owned()
    }

    /// The end of its log under a heading.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.launch.log()).unwrap_or_default();
        let tail = &log[log.len().saturating_sub(self.launch.log_tail)..];
        format!("--- the end of {}'s log ---\n{}", self.launch.name, String::from_utf8_lossy(tail))
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.launch.name))
    }

    /// Whether every thread is stopped: the state is the first field after the name, which stands in brackets.
    fn stands_still(&self) -> anyhow::Result<bool> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id()))?;
        for thread in threads {
            let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").map(|(_, fields)| fields.starts_with('T'));
            if state == Some(false) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either it is gone already, or there is nobody left to tell.
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}

/// Waits until `ready` succeeds, while `processes` run.
pub async fn until_ready(
    processes: &mut [&mut Process],
    ready: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let answer = tokio::time::timeout(ANSWER_WITHIN, ready()).await;
        let Err(error) = answer.unwrap_or_else(|late| Err(late.into())) else {
            return Ok(());
        };
        for process in &mut *processes {
            if let Some(status) = process.exited()? {
                bail!("{} ended with {status} before it was ready\n{}", process.name(), process.log_tail());
            }
        }
        if Instant::now() > deadline {
            let logs: Vec<_> = processes.iter().map(|process| process.log_tail()).collect();
            return Err(error.context(format!("not ready within {READY_WITHIN:?}\n{}", logs.join("\n"))));
        }
        tokio::time::sleep(POLL).await;
    }
}
