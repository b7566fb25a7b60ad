//! System calls that no safe wrapper offers, each with its reason to be sound. The parent's side; the child's is
//! `child`.
#![allow(unsafe_code, reason = "the crate's only door to raw system calls, beside `child`")]

use std::io;
use std::time::Duration;

/// What `wait4` told of a process and all it had reaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaped {
    pub(super) cpu: Duration,
    /// Largest resident size of any one of them, in bytes.
    pub(super) max_resident: u64,
}

/// Reaps the child `pid` if it is dead.
pub(super) fn try_reap(pid: i32) -> io::Result<Option<Reaped>> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value of that plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals of the types wait4(2) writes.
    match unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG | libc::__WALL, &raw mut usage) } {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some(Reaped {
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            max_resident: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        })),
    }
}

pub(super) fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// Kills a child that has not been reaped yet, so the pid can't be another's.
pub(super) fn kill(pid: i32) {
    // SAFETY: kill(2) touches no memory of ours.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Blocks every signal in this thread until dropped, so that no handler of the parent runs in a forked child.
pub(super) struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    pub(super) fn new() -> Self {
        // SAFETY: both sets are plain C structs written by the calls that get them.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut old: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut old);
            Self(old)
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled by pthread_sigmask above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

/// The signals that this process ignores, as a Rust program does SIGPIPE: the only dispositions that outlive `execve`.
pub(super) fn ignored_signals() -> Vec<i32> {
    let ignored = |signal: &i32| {
        // SAFETY: an all-zero sigaction is a valid value of that plain C struct, and sigaction(2) fills it.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, std::ptr::null(), &raw mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
        }
    };
    (1..=64).filter(ignored).collect()
}

/// Clock ticks a second, the unit of CPU times in procfs.
pub(super) fn clock_ticks() -> u64 {
    // SAFETY: sysconf(3) takes and returns plain numbers.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}
