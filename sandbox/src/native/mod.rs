//! The engine that needs no privilege: namespaces, a prepared script, and supervision from outside.

mod cgroup;
mod child;
mod perform;
mod procfs;
mod script;
mod shown;
mod supervise;
mod surroundings;
mod sys;
mod view;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::artifact::Leftovers;
use crate::engine::{Cancel, Engine, Error};
use crate::outcome::Outcome;
use crate::request::{Limits, Request};
use cgroup::{Controllers, Group};
use child::{Launch, Message};
use procfs::{Table, Units};
use script::{Planned, Site};
use shown::Shown;
use supervise::{Init, Meter, Running, Stream};
pub use surroundings::Surroundings;
use surroundings::{FIRST_ID, IDS};

/// How long a box may take to be made, on a machine under full load.
const SETUP: Duration = Duration::from_mins(1);

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that is the box's root, seen read-only. The whole machine's by default.
    pub toolchain: PathBuf,
    /// Paths inside the toolchain that no box sees; mounts below it are never seen.
    pub hidden: Vec<PathBuf>,
    /// Whether to use cgroups where they can be had.
    pub cgroups: bool,
    /// Processes and threads that may run beside a box under the same user. Matters where the kernel counts a user over
    /// the whole container (gVisor): there a fork bomb is stopped at its limit and this many more, at the latest.
    pub neighbour_tasks: u32,
}

impl Default for Options {
    fn default() -> Self {
        let hidden = view::DEFAULT_HIDDEN.iter().map(PathBuf::from).collect();
        Self { toolchain: "/".into(), hidden, cgroups: true, neighbour_tasks: 256 }
    }
}

/// Makes boxes with what an ordinary process may ask of the kernel; uses more where there is more.
#[derive(Debug)]
pub struct NativeEngine {
    shown: Shown,
    staging: PathBuf,
    controllers: Option<Controllers>,
    surroundings: Surroundings,
    units: Units,
    neighbour_tasks: u32,
    ignored_signals: Vec<i32>,
    next_id: AtomicU32,
}

impl NativeEngine {
    /// Looks at the machine once. Whether boxes can be made at all shows with the first.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let reading = Error::supervise("reading the toolchain's file system");
        let toolchain = std::fs::canonicalize(&options.toolchain).map_err(&reading)?;
        let shown = Shown::new(&toolchain, &options.hidden).map_err(&reading)?;
        let staging = surroundings::staging(&toolchain).ok_or_else(|| {
            reading(io::Error::new(io::ErrorKind::NotFound, "none of /tmp, /run, /mnt and /srv is a folder"))
        })?;
        let controllers = if options.cgroups { Controllers::probe() } else { None };
        let surroundings = Surroundings::look(controllers.is_some());
        let units = Units { ticks_per_second: sys::clock_ticks(), page: rustix::param::page_size() as u64 };
        Ok(Self {
            shown,
            staging,
            controllers,
            surroundings,
            units,
            neighbour_tasks: options.neighbour_tasks,
            ignored_signals: sys::ignored_signals(),
            next_id: AtomicU32::new(0),
        })
    }

    /// What kind of place this is.
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    fn script(&self, request: &Request) -> Result<Vec<Planned>, Error> {
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let ids = (!self.surroundings.own_users).then_some(own);
        let view = self.shown.view().map_err(Error::supervise("reading the toolchain's file system"))?;
        let site = Site { toolchain: self.shown.toolchain(), view: &view, staging: &self.staging, ids };
        Ok(script::write(&site, request))
    }

    fn group(&self, limits: &Limits) -> Result<Option<Group>, Error> {
        let create = |c: &Controllers| c.create(limits.memory, limits.processes.saturating_add(1));
        self.controllers.as_ref().map(create).transpose().map_err(Error::supervise("making the box's cgroup"))
    }

    /// Gives the box a user that no other box has now.
    fn map_ids(&self, pid: i32) -> io::Result<()> {
        let id = FIRST_ID + self.next_id.fetch_add(1, Ordering::Relaxed) % IDS;
        let map = script::id_map(id);
        std::fs::write(format!("/proc/{pid}/uid_map"), map.as_bytes())?;
        std::fs::write(format!("/proc/{pid}/gid_map"), map.as_bytes())
    }

    fn meter(&self, group: Option<Group>, proc: Option<OwnedFd>, init: i32) -> Result<Meter, Error> {
        Ok(match group {
            Some(group) => Meter::Cgroup(group),
            None => Meter::Procfs {
                table: Table::new(proc, init).map_err(Error::supervise("opening /proc"))?,
                units: self.units,
                counts_tasks: !self.surroundings.counts_per_namespace,
            },
        })
    }

    /// Limits of single processes, behind those of the box as a whole.
    fn rlimits(&self, limits: &Limits) -> Vec<(libc::__rlimit_resource_t, u64)> {
        // Where tasks of all boxes count together, a tight bound would let one box starve another.
        let margin = if self.surroundings.counts_per_namespace { 1 } else { self.neighbour_tasks };
        let mut list = vec![
            (libc::RLIMIT_CORE, 0),
            (libc::RLIMIT_CPU, limits.cpu.as_secs() + 2),
            // Without a disk this denies memfds too, whose pages nobody but a cgroup counts.
            (libc::RLIMIT_FSIZE, limits.disk),
            (libc::RLIMIT_NOFILE, limits.open_files.into()),
            (libc::RLIMIT_NPROC, (limits.processes.saturating_add(margin)).into()),
            (libc::RLIMIT_STACK, limits.stack),
            (libc::RLIMIT_MEMLOCK, 0),
            (libc::RLIMIT_MSGQUEUE, 0),
        ];
        if self.controllers.is_none() && !limits.reserves_address_space {
            list.push((libc::RLIMIT_AS, limits.memory.saturating_mul(2).saturating_add(ADDRESS_SLACK)));
        }
        list
    }
}

/// Address space beyond the memory limit: thread stacks, mapped files, what a program reserves and never touches.
const ADDRESS_SLACK: u64 = 1 << 30;

impl Engine for NativeEngine {
    fn run(&self, request: &Request, cancel: &Cancel) -> Result<Outcome, Error> {
        let script = self.script(request)?;
        let group = self.group(&request.limits)?;
        let (started, parent_ends) = self.start(request, &script, group.as_ref())?;
        let ready = await_ready(&parent_ends.control, &script, cancel)?;
        let running = Running {
            meter: self.meter(group, ready.proc, started.pid())?,
            init: started,
            control: parent_ends.control,
            stdout: parent_ends.stdout,
            stderr: parent_ends.stderr,
            limits: &request.limits,
            setup_cpu: ready.cpu,
            floor: ready.floor,
        };
        let seen = running.watch(&request.command.program(), cancel)?;
        let supervise::Seen { exit, exceeded, cpu, wall, memory, stdout, stderr } = seen;
        Ok(Outcome {
            exit,
            exceeded,
            cpu,
            wall,
            memory,
            stdout,
            stderr,
            leftovers: Leftovers::new(ready.work),
        })
    }

    fn describe(&self) -> String {
        self.surroundings.to_string()
    }
}

struct ParentEnds {
    control: OwnedFd,
    stdout: Stream,
    stderr: Stream,
}

impl NativeEngine {
    /// Forks init and lets it go once it is mapped and grouped.
    fn start(
        &self,
        request: &Request,
        script: &[Planned],
        group: Option<&Group>,
    ) -> Result<(Init, ParentEnds), Error> {
        let plumbing = Error::supervise("making pipes");
        let stdin = input(&request.stdin).map_err(&plumbing)?;
        let (stdout, program_stdout) = output_pipe().map_err(&plumbing)?;
        let (stderr, program_stderr) = output_pipe().map_err(&plumbing)?;
        let (control, init_control) = control_pair().map_err(&plumbing)?;
        let doors =
            group.map(Group::doors).transpose().map_err(Error::supervise("opening the box's cgroup"))?;
        let pointers = |list: &[CString]| list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        let mut launch = Launch {
            steps: script,
            stdin: stdin.as_raw_fd(),
            stdout: program_stdout.as_raw_fd(),
            stderr: program_stderr.as_raw_fd(),
            control: init_control.as_raw_fd(),
            doors: doors.iter().flatten().map(AsRawFd::as_raw_fd).collect(),
            ignored_signals: &self.ignored_signals,
            argv: pointers(&request.command.argv),
            envp: pointers(&request.command.env),
            rlimits: self.rlimits(&request.limits),
            stack: vec![0; child::STACK],
        };
        let init = {
            let _blocked = sys::SignalsBlocked::new();
            Init::new(child::spawn(&mut launch).map_err(fork_error)?)
        };
        if self.surroundings.own_users {
            self.map_ids(init.pid()).map_err(Error::supervise("mapping the box's user"))?;
        }
        rustix::io::write(&control, &[1]).map_err(Error::supervise("starting init"))?;
        let keep = usize::try_from(request.limits.output).unwrap_or(usize::MAX);
        let ends = ParentEnds {
            control,
            stdout: Stream::new(stdout, keep),
            stderr: Stream::new(stderr, request.keep_stderr),
        };
        Ok((init, ends))
    }
}

/// `clone(2)`: EPERM where a policy forbids user namespaces, ENOSPC where their number is used up, which may be zero,
/// EINVAL and ENOSYS where the kernel has none.
fn fork_error(error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::ENOSPC | libc::EINVAL | libc::ENOSYS) => Error::NoUserNamespace(error),
        _ => Error::supervise("forking init")(error),
    }
}

struct Ready {
    cpu: Duration,
    floor: u64,
    work: Option<OwnedFd>,
    proc: Option<OwnedFd>,
}

/// Waits for init's word that the box stands.
fn await_ready(control: &OwnedFd, script: &[Planned], cancel: &Cancel) -> Result<Ready, Error> {
    let start = Instant::now();
    while start.elapsed() < SETUP {
        let mut fds =
            [PollFd::new(control, PollFlags::IN), PollFd::from_borrowed_fd(cancel.fd(), PollFlags::IN)];
        supervise::wait(&mut fds, SETUP)?;
        if !fds[1].revents().is_empty() {
            return Err(Error::Cancelled);
        }
        if !fds[0].revents().is_empty() {
            return read_ready(control, script);
        }
    }
    Err(Error::Stuck("was not made", SETUP))
}

fn read_ready(control: &OwnedFd, script: &[Planned]) -> Result<Ready, Error> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut bytes = [0; Message::SIZE];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(&mut bytes)];
    recvmsg(control, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(Error::supervise("reading from init"))?;
    let mut fds = ancillary.drain().filter_map(|m| match m {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let mut fds = fds.next().into_iter().flatten();
    match Message::from_bytes(&bytes) {
        Some(Message { kind: Message::READY, time: cpu, resident_kib, .. }) => {
            let floor = u64::from(resident_kib) * 1024;
            Ok(Ready { cpu: Duration::from_micros(cpu), floor, work: fds.next(), proc: fds.next() })
        }
        Some(Message { kind: Message::FAILED, index, value, .. }) => Err(Error::Setup {
            step: script
                .get(index as usize)
                .map_or_else(|| "entering its cgroups".to_owned(), |p| p.step.to_string()),
            source: io::Error::from_raw_os_error(value),
        }),
        _ => Err(Error::Supervise {
            doing: "waiting for init",
            source: io::Error::other("it died without a word"),
        }),
    }
}

/// A file that holds the program's input and can't be changed through any descriptor.
fn input(data: &[u8]) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    use std::io::{Seek, Write};
    let mut file =
        std::fs::File::from(memfd_create("stdin", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(data)?;
    file.rewind()?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

/// A pipe whose reading end, the first, does not block.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)?;
    Ok((read, write))
}

fn control_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}
