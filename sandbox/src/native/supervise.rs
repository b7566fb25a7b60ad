//! Watches one box from outside: its clocks, memory and output; kills it as a whole; tells what it used.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cgroup::Group;
use super::child::Message;
use super::procfs::{Table, Units};
use super::sys::{self, Reaped};
use crate::engine::{Cancel, Error};
use crate::outcome::{Capture, Exit, Limit, Measured, Method};
use crate::request::Limits;

/// Longest pause between two looks where memory is supervised: what a program can take between two of them is how far
/// it can overshoot.
const PROCFS_TICK: Duration = Duration::from_millis(3);
/// The same where the kernel holds the memory limit and only the CPU clock is watched.
const CGROUP_TICK: Duration = Duration::from_millis(10);
const SHORTEST_TICK: Duration = Duration::from_millis(1);
/// How long a killed box may take to be gone.
const DEATH: Duration = Duration::from_secs(30);
/// Output read at one time.
const CHUNK: usize = 64 * 1024;

/// How the box's use is known.
#[derive(Debug)]
pub(super) enum Meter {
    Cgroup(Group),
    /// `counts_tasks` where no kernel limit bounds the processes of this box alone.
    Procfs {
        table: Table,
        units: Units,
        counts_tasks: bool,
    },
}

/// A box that stands and whose program is about to run.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) init: Init,
    pub(super) control: OwnedFd,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    pub(super) meter: Meter,
    pub(super) limits: &'a Limits,
    /// CPU time init used to make the box; no part of the program's.
    pub(super) setup_cpu: Duration,
    /// Resident size of init: a process starts with its parent's, so smaller peaks can't be seen in rusage.
    pub(super) floor: u64,
}

/// What was seen of a box that is gone.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) exit: Exit,
    pub(super) exceeded: Option<Limit>,
    pub(super) cpu: Measured<Duration>,
    pub(super) wall: Duration,
    pub(super) memory: Measured<u64>,
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
}

impl Running<'_> {
    /// Watches until the program has ended or broken a limit, kills what is left and measures.
    pub(super) fn watch(mut self, program: &str, cancel: &Cancel) -> Result<Seen, Error> {
        let start = Instant::now();
        let mut most = Most::default();
        let mut chunk = vec![0; CHUNK];
        let end = self.until_end(program, cancel, start, &mut most, &mut chunk);
        let watched = start.elapsed();
        let reaped = self.clear_away()?;
        let end = end?;
        let wall = if let End::Program(_, wall) = end { wall } else { watched };
        for stream in [&mut self.stdout, &mut self.stderr] {
            stream.drain(self.limits.output, &mut chunk)?;
        }
        self.report(end, wall, most, reaped)
    }

    fn until_end(
        &mut self,
        program: &str,
        cancel: &Cancel,
        start: Instant,
        most: &mut Most,
        chunk: &mut [u8],
    ) -> Result<End, Error> {
        let mut next_look = start + self.tick();
        loop {
            match self.wait_for_news(start, cancel, chunk)? {
                News::Ended(status, wall) => return Ok(End::Program(status, wall)),
                News::InitDied => return Ok(End::Init),
                News::ExecFailed(source) => {
                    return Err(Error::Exec { program: program.to_owned(), source });
                }
                News::Cancelled => return Err(Error::Cancelled),
                News::Nothing => {}
            }
            if self.over_output() {
                return Ok(End::Limit(Limit::Output));
            }
            // Much output wakes us often; a look costs more than a read.
            let now = Instant::now();
            if now < next_look && start.elapsed() < self.limits.wall {
                continue;
            }
            next_look = now + self.tick();
            if let Some(limit) = self.broken_limit(start, most)? {
                return Ok(End::Limit(limit));
            }
        }
    }

    /// Kills the box. Linux lets init go only after every process of its namespace; gVisor lets it go first.
    fn clear_away(&mut self) -> Result<Reaped, Error> {
        let reaped = self.init.finish()?;
        let start = Instant::now();
        while let Meter::Procfs { table, .. } = &self.meter
            && !table.is_empty()
        {
            if start.elapsed() > DEATH {
                return Err(Error::Stuck("did not die", DEATH));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(reaped)
    }

    fn wait_for_news(&mut self, start: Instant, cancel: &Cancel, chunk: &mut [u8]) -> Result<News, Error> {
        let timeout =
            self.tick().min(self.limits.wall.saturating_sub(start.elapsed())).max(SHORTEST_TICK / 4);
        let ready = {
            let mut fds = vec![
                PollFd::new(&self.control, PollFlags::IN),
                PollFd::from_borrowed_fd(cancel.fd(), PollFlags::IN),
            ];
            let streams = [&self.stdout, &self.stderr];
            fds.extend(streams.iter().filter_map(|s| s.fd.as_ref()).map(|fd| PollFd::new(fd, PollFlags::IN)));
            wait(&mut fds, timeout)?;
            [!fds[0].revents().is_empty(), !fds[1].revents().is_empty()]
        };
        self.stdout.read(self.limits.output, chunk)?;
        self.stderr.read(self.limits.output, chunk)?;
        match ready {
            [_, true] => Ok(News::Cancelled),
            [true, _] => self.read_message(),
            _ => Ok(News::Nothing),
        }
    }

    fn read_message(&self) -> Result<News, Error> {
        let mut bytes = [0; Message::SIZE];
        let (read, _) = rustix::net::recv(&self.control, &mut bytes, rustix::net::RecvFlags::empty())
            .map_err(Error::supervise("reading from init"))?;
        Ok(match Message::from_bytes(&bytes[..read]) {
            Some(Message { kind: Message::ENDED, value, time, .. }) => {
                News::Ended(value, Duration::from_nanos(time))
            }
            Some(Message { kind: Message::EXEC_FAILED, value, .. }) => {
                News::ExecFailed(io::Error::from_raw_os_error(value))
            }
            _ => News::InitDied,
        })
    }

    fn tick(&self) -> Duration {
        match self.meter {
            Meter::Cgroup(_) => CGROUP_TICK,
            Meter::Procfs { .. } => PROCFS_TICK,
        }
        .min(self.limits.cpu.max(SHORTEST_TICK))
    }

    fn broken_limit(&self, start: Instant, most: &mut Most) -> Result<Option<Limit>, Error> {
        let used = self.look(most).map_err(Error::supervise("measuring"))?;
        Ok(if used.out_of_memory {
            Some(Limit::Memory)
        } else if used.cpu.saturating_sub(self.setup_cpu) > self.limits.cpu {
            Some(Limit::Cpu)
        } else if used.too_many {
            Some(Limit::Processes)
        } else {
            (start.elapsed() >= self.limits.wall).then_some(Limit::Wall)
        })
    }

    fn over_output(&self) -> bool {
        self.stdout.total > self.limits.output || self.stderr.total > self.limits.output
    }

    fn look(&self, most: &mut Most) -> io::Result<Look> {
        match &self.meter {
            Meter::Cgroup(group) => {
                Ok(Look { cpu: group.cpu()?, out_of_memory: group.out_of_memory()?, too_many: false })
            }
            Meter::Procfs { table, units, counts_tasks } => {
                // Init, and one more than allowed.
                let sample = table.sample(*units, self.limits.processes as usize + 2)?;
                // Pages shared after a fork count once for each process: ask again before anyone is blamed for them.
                let suspect = sample.processes > 1 && sample.resident > self.limits.memory;
                let resident = suspect.then(|| table.proportional()).flatten();
                most.resident = most.resident.max(resident.unwrap_or(sample.resident));
                most.cpu = most.cpu.max(sample.cpu);
                Ok(Look {
                    cpu: sample.cpu,
                    out_of_memory: most.resident > self.limits.memory,
                    too_many: *counts_tasks && sample.tasks > u64::from(self.limits.processes),
                })
            }
        }
    }

    fn report(self, end: End, wall: Duration, most: Most, reaped: Reaped) -> Result<Seen, Error> {
        let (cpu, memory, out_of_memory) =
            self.totals(most, reaped).map_err(Error::supervise("measuring the end"))?;
        let late = [
            (out_of_memory, Limit::Memory),
            (cpu.value > self.limits.cpu, Limit::Cpu),
            (self.over_output(), Limit::Output),
            (wall > self.limits.wall, Limit::Wall),
        ];
        let exceeded = match end {
            // An out-of-memory kill that the wall clock or a counter overtook is still what ended it.
            End::Limit(limit) if limit != Limit::Wall => Some(limit),
            End::Limit(limit) => Some(if out_of_memory { Limit::Memory } else { limit }),
            End::Program(..) | End::Init => late.iter().find(|(broken, _)| *broken).map(|(_, limit)| *limit),
        };
        let exit = match end {
            End::Program(status, _) => exit_of(status),
            End::Init | End::Limit(_) => Exit::Signal(libc::SIGKILL),
        };
        let (stdout, stderr) = (self.stdout.into_capture(), self.stderr.into_capture());
        Ok(Seen { exit, exceeded, cpu, wall, memory, stdout, stderr })
    }

    /// CPU, memory, and whether memory was exceeded, over the whole life of the box.
    fn totals(&self, most: Most, reaped: Reaped) -> io::Result<(Measured<Duration>, Measured<u64>, bool)> {
        match &self.meter {
            Meter::Cgroup(group) => {
                let bounds = group.peak()?;
                let method = Method::CgroupV1;
                // Page cache may stand in the way of a figure; the largest process and the bounds pin it down.
                let memory =
                    reaped.max_resident.clamp(bounds.without_cache.min(bounds.charged), bounds.charged);
                let cpu = group.cpu()?.saturating_sub(self.setup_cpu);
                Ok((
                    Measured { value: cpu, method },
                    Measured { value: memory, method },
                    group.out_of_memory()?,
                ))
            }
            Meter::Procfs { .. } => {
                let method = Method::Supervised;
                // rusage knows nothing of processes that died together with init, the looks before do.
                let cpu = reaped.cpu.max(most.cpu).saturating_sub(self.setup_cpu);
                let value = most.resident.max(reaped.max_resident);
                let known = if reaped.max_resident > self.floor { value } else { most.resident };
                Ok((Measured { value: cpu, method }, Measured { value, method }, known > self.limits.memory))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    /// Its wait status, and how long it ran by init's account, which no late wake-up of ours adds to.
    Program(i32, Duration),
    /// Init died without a word: killed for memory, or by the program where it may.
    Init,
    Limit(Limit),
}

enum News {
    Ended(i32, Duration),
    ExecFailed(io::Error),
    InitDied,
    Cancelled,
    Nothing,
}

/// The highest of all looks, where the kernel keeps no account.
#[derive(Debug, Clone, Copy, Default)]
struct Most {
    cpu: Duration,
    resident: u64,
}

struct Look {
    cpu: Duration,
    out_of_memory: bool,
    too_many: bool,
}

fn exit_of(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}

/// Waits for news on any of `fds`, or for `timeout`.
pub(super) fn wait(fds: &mut [PollFd<'_>], timeout: Duration) -> Result<(), Error> {
    let timeout =
        Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::supervise("waiting for the box")(errno)),
    }
}

/// The box's first process. Whatever happens to its owner, it is killed and reaped, and all of the box with it.
#[derive(Debug)]
pub(super) struct Init {
    pid: i32,
    /// Tells of its death; gVisor has none.
    pidfd: Option<OwnedFd>,
    reaped: bool,
}

impl Init {
    pub(super) fn new(pid: i32) -> Self {
        let pidfd = rustix::process::Pid::from_raw(pid)
            .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
        Self { pid, pidfd, reaped: false }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Kills and reaps.
    fn finish(&mut self) -> Result<Reaped, Error> {
        sys::kill(self.pid);
        let start = Instant::now();
        let mut pause = Duration::from_micros(50);
        while start.elapsed() < DEATH {
            if let Some(reaped) = sys::try_reap(self.pid).map_err(Error::supervise("reaping init"))? {
                self.reaped = true;
                return Ok(reaped);
            }
            match &self.pidfd {
                Some(pidfd) => wait(&mut [PollFd::new(pidfd, PollFlags::IN)], DEATH)?,
                None => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(2));
        }
        Err(Error::Stuck("did not die", DEATH))
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if !self.reaped
            && let Err(error) = self.finish()
        {
            tracing::warn!(pid = self.pid, %error, "A box could not be cleared away.");
        }
    }
}

/// The reading end of one of the program's output streams.
#[derive(Debug)]
pub(super) struct Stream {
    fd: Option<OwnedFd>,
    keep: usize,
    bytes: Vec<u8>,
    total: u64,
}

impl Stream {
    /// `fd` must not block. The first `keep` bytes are kept.
    pub(super) fn new(fd: OwnedFd, keep: usize) -> Self {
        Self { fd: Some(fd), keep, bytes: Vec::new(), total: 0 }
    }

    /// Reads a chunk if there is one.
    fn read(&mut self, limit: u64, chunk: &mut [u8]) -> Result<bool, Error> {
        let Some(fd) = &self.fd else { return Ok(false) };
        match rustix::io::read(fd.as_fd(), &mut *chunk) {
            Ok(0) => {
                self.fd = None;
                Ok(false)
            }
            Ok(read) => {
                self.total += read as u64;
                let room = self.keep.min(usize::try_from(limit).unwrap_or(usize::MAX)) - self.bytes.len();
                self.bytes.extend_from_slice(&chunk[..read.min(room)]);
                Ok(true)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(Error::supervise("reading output")(errno)),
        }
    }

    /// Reads what a dead box left in the pipe, which is bounded by the pipe's size, and by the limit.
    fn drain(&mut self, limit: u64, chunk: &mut [u8]) -> Result<(), Error> {
        while self.total <= limit && self.read(limit, chunk)? {}
        Ok(())
    }

    fn into_capture(self) -> Capture {
        Capture { bytes: self.bytes, total: self.total }
    }
}
