//! The box's init, pid 1 of its namespace: performs the script, starts the program, reaps, reports, and by its own end
//! ends every process of the box.
//!
//! It is a fork of a process with many threads, so nothing here may allocate, lock or unwind: every string, array and
//! stack was made ready by the parent, and only system calls are made.
#![allow(unsafe_code, reason = "between fork and exec there are only raw system calls")]

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::RawFd;

use super::perform::{errno, perform, retry};
use super::script::Planned;

/// What init tells the supervisor; a record of the control socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Message {
    pub(super) kind: u32,
    /// Index of the failed step.
    pub(super) index: u32,
    /// `errno`, or the program's wait status.
    pub(super) value: i32,
    /// Largest resident size of init until then, in KiB.
    pub(super) resident_kib: u32,
    /// With READY: CPU time init used until then, in microseconds. With ENDED: how long the program ran by the
    /// monotonic clock, in nanoseconds.
    pub(super) time: u64,
}

impl Message {
    pub(super) const FAILED: u32 = 1;
    pub(super) const READY: u32 = 2;
    pub(super) const EXEC_FAILED: u32 = 3;
    pub(super) const ENDED: u32 = 4;
    /// [`Message::index`] if entering the cgroups failed, which is no step of the script.
    pub(super) const GROUPS: u32 = u32::MAX;
    pub(super) const SIZE: usize = size_of::<Self>();

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let time = u64::from_ne_bytes(bytes.get(16..24)?.try_into().ok()?);
        Some(Self {
            kind: word(0)?,
            index: word(4)?,
            value: word(8)?.cast_signed(),
            resident_kib: word(12)?,
            time,
        })
    }
}

/// Everything init needs, made ready before the fork.
pub(super) struct Launch<'a> {
    pub(super) steps: &'a [Planned],
    pub(super) stdin: RawFd,
    pub(super) stdout: RawFd,
    pub(super) stderr: RawFd,
    pub(super) control: RawFd,
    /// Files of cgroups to write "0" to, which moves the writer in.
    pub(super) doors: Vec<RawFd>,
    /// Signals that the program shall not ignore, though its ancestors do.
    pub(super) ignored_signals: &'a [i32],
    /// Null-terminated, as execve(2) wants them; the first is the program.
    pub(super) argv: Vec<*const c_char>,
    pub(super) envp: Vec<*const c_char>,
    pub(super) rlimits: Vec<(libc::__rlimit_resource_t, u64)>,
    /// Stack of the process between its start and `execve`.
    pub(super) stack: Vec<u8>,
}

/// Size of [`Launch::stack`]; a few frames of system calls use a small part of it.
pub(super) const STACK: usize = 64 * 1024;
/// Where the control socket lies in init.
const CONTROL: RawFd = 3;
/// Highest descriptor closed one by one where `close_range(2)` is missing.
const MAX_FD: RawFd = 4096;

/// Makes a child in a user and a pid namespace of its own that runs [`init`] and never returns here. Gives its pid.
pub(super) fn spawn(launch: &mut Launch<'_>) -> std::io::Result<i32> {
    let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::SIGCHLD;
    // SAFETY: clone(2) without CLONE_VM and with a null stack acts as fork(2). The child runs init, which makes system
    // calls only and never returns, so no lock or destructor of this process is touched in it.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(std::io::Error::last_os_error()),
        // SAFETY: we are the forked child, and alone in it.
        0 => unsafe { init(launch) },
        pid => i32::try_from(pid).map_err(|_| std::io::Error::from_raw_os_error(libc::EOVERFLOW)),
    }
}

/// SAFETY: only to be called in a forked child.
unsafe fn init(launch: &mut Launch<'_>) -> ! {
    // SAFETY: we are alone in a forked child (this function's contract), which is what every callee asks for.
    unsafe {
        let grouped = enter_groups(&launch.doors);
        place_descriptors(launch);
        for signal in launch.ignored_signals {
            libc::signal(*signal, libc::SIG_DFL);
        }
        if !wait_for_go() {
            libc::_exit(1);
        }
        if let Err(value) = grouped {
            send(Message { kind: Message::FAILED, index: Message::GROUPS, value, ..Message::default() });
            libc::_exit(1);
        }
        forget_environment();
        for (index, planned) in launch.steps.iter().enumerate() {
            if perform(&planned.step) != 0 && !planned.optional {
                send(Message {
                    kind: Message::FAILED,
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    value: errno(),
                    ..Message::default()
                });
                libc::_exit(1);
            }
        }
        send_ready();
        let start = nanoseconds();
        let program = start_program(launch);
        let status = reap(program);
        let time = nanoseconds().saturating_sub(start);
        send(Message { kind: Message::ENDED, value: status, time, ..Message::default() });
        libc::_exit(0);
    }
}

/// gVisor lets a program of the same user read /proc/1/environ whatever init's dumpable flag says, and the runner's may
/// hold a password. This is init's own copy of those pages.
unsafe fn forget_environment() {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    // SAFETY: glibc's `environ` ends with a null pointer and points to writable strings; no other thread of
    // this copy exists.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            libc::memset((*next).cast(), 0, libc::strlen(*next));
            next = next.add(1);
        }
    }
}

/// Before anything else, so that all memory of the box is charged to it. Gives `errno` of a failure.
unsafe fn enter_groups(doors: &[RawFd]) -> Result<(), i32> {
    for door in doors {
        // SAFETY: one byte of a static string is read.
        if unsafe { libc::write(*door, c"0".as_ptr().cast(), 1) } != 1 {
            return Err(errno());
        }
    }
    Ok(())
}

/// Puts the four descriptors at 0 to 3 and closes all others. They are moved up first, out of each other's way.
unsafe fn place_descriptors(launch: &Launch<'_>) {
    // SAFETY: only descriptors of this forked child are moved and closed, and `init` uses them by their new
    // numbers.
    unsafe {
        let sources = [launch.stdin, launch.stdout, launch.stderr, launch.control];
        let mut raised = [0; 4];
        for (to, from) in raised.iter_mut().zip(sources) {
            *to = libc::fcntl(from, libc::F_DUPFD, 64);
        }
        for (place, from) in (0..).zip(raised) {
            libc::dup2(from, place);
        }
        close_from(CONTROL + 1);
    }
}

/// gVisor takes the last descriptor for a signed number and refuses `u32::MAX`.
unsafe fn close_from(first: RawFd) {
    // SAFETY: the caller gives up every descriptor from `first` on.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, i32::MAX, 0) != 0 {
            for fd in first..MAX_FD {
                libc::close(fd);
            }
        }
    }
}

/// The supervisor writes the id maps and the cgroups first. Its end without a word means that it died.
unsafe fn wait_for_go() -> bool {
    let mut byte = 0u8;
    // SAFETY: the byte is a live local.
    unsafe { retry(|| libc::read(CONTROL, (&raw mut byte).cast(), 1)) == 1 }
}

/// The monotonic clock.
fn nanoseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the timespec is a live local.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Tells that the box stands and hands out its working folder and its /proc.
unsafe fn send_ready() {
    // SAFETY: rusage is plain data that getrusage fills; the descriptors are this function's own.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        let micros = |t: libc::timeval| t.tv_sec.cast_unsigned() * 1_000_000 + t.tv_usec.cast_unsigned();
        let cpu = micros(usage.ru_utime) + micros(usage.ru_stime);
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let fds = [libc::open(c".".as_ptr(), flags), libc::open(c"/proc".as_ptr(), flags)];
        let resident_kib = u32::try_from(usage.ru_maxrss).unwrap_or(0);
        send_with(&Message { kind: Message::READY, time: cpu, resident_kib, ..Message::default() }, &fds);
        for fd in fds {
            libc::close(fd);
        }
    }
}

unsafe fn send(message: Message) {
    // SAFETY: no descriptors are passed.
    unsafe { send_with(&message, &[]) };
}

unsafe fn send_with(message: &Message, fds: &[RawFd]) {
    // SAFETY: header, part and space are live locals, and two descriptors fit into the space (`CMSG_SPACE` of
    // 8 bytes is 24).
    unsafe {
        let mut part =
            libc::iovec { iov_base: std::ptr::from_ref(message).cast_mut().cast(), iov_len: Message::SIZE };
        let mut space = [0u64; 8];
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        if !fds.is_empty() {
            let bytes = u32::try_from(size_of_val(fds)).unwrap_or(0);
            header.msg_control = space.as_mut_ptr().cast();
            header.msg_controllen = libc::CMSG_SPACE(bytes) as usize;
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(bytes) as usize;
            std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(first), bytes as usize);
        }
        retry(|| libc::sendmsg(CONTROL, &raw const header, libc::MSG_NOSIGNAL));
    }
}

/// What the program's process shares with init until `execve`.
struct Start<'a> {
    launch: &'a Launch<'a>,
    errno: i32,
}

/// Starts the program on a stack of its own, as vfork does: no page table is copied, and init goes on once `execve`
/// has worked or failed.
unsafe fn start_program(launch: &mut Launch<'_>) -> i32 {
    // SAFETY: the stack is as long as it says and belongs to the child alone; `start` outlives it, since
    // CLONE_VFORK lets us go on only when the child has executed or ended.
    unsafe {
        let top = launch.stack.as_mut_ptr().add(launch.stack.len()).cast::<c_void>();
        let top = top.sub(top as usize % 16);
        let mut start = Start { launch, errno: 0 };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let pid = libc::clone(program, top, flags, (&raw mut start).cast());
        let failure = if pid < 0 { errno() } else { std::ptr::read_volatile(&raw const start.errno) };
        if failure != 0 {
            send(Message { kind: Message::EXEC_FAILED, value: failure, ..Message::default() });
            libc::_exit(1);
        }
        pid
    }
}

extern "C" fn program(argument: *mut c_void) -> c_int {
    // SAFETY: init passes its own Start, which lives until this process has executed or ended.
    unsafe {
        let start = argument.cast::<Start<'_>>();
        let launch = (*start).launch;
        drop_privileges();
        for (resource, value) in &launch.rlimits {
            let limit = libc::rlimit { rlim_cur: *value, rlim_max: *value };
            libc::setrlimit(*resource, &raw const limit);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        close_from(CONTROL);
        if let (Some(path), argv, envp) = (launch.argv.first(), launch.argv.as_ptr(), launch.envp.as_ptr()) {
            libc::execve(*path, argv, envp);
        }
        std::ptr::write_volatile(&raw mut (*start).errno, errno());
        libc::_exit(127)
    }
}

/// No capability now, none to be had by any later `execve` (capabilities(7)). Init keeps its own, so that the program,
/// which has the same user, may not trace it.
unsafe fn drop_privileges() {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    // SAFETY: prctl takes numbers, capset a header and two data records of version 3, both live locals.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                break;
            }
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        let header = Header { version: VERSION_3, pid: 0 };
        let none = [0u32; 6];
        libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr());
    }
}

/// Reaps whatever dies until the program has; gives its wait status.
unsafe fn reap(program: i32) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: the status is a live local.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        if pid == program || (pid < 0 && errno() != libc::EINTR) {
            return status;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_socket() {
        let message = Message { kind: 2, index: 7, value: -1, resident_kib: 9, time: u64::MAX };
        // SAFETY: Message is repr(C) without padding, so all its bytes are initialised.
        let bytes: [u8; Message::SIZE] = unsafe { std::mem::transmute(message) };
        assert_eq!(Message::from_bytes(&bytes), Some(message));
        assert_eq!(Message::from_bytes(&bytes[..8]), None);
    }
}
