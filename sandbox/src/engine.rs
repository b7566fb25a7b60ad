//! The seam: anything that can carry out a [`Request`] in isolation, what stops it, and what can go wrong.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::outcome::Outcome;
use crate::request::Request;

/// Something that runs untrusted programs. One engine serves many threads; one call holds one box.
pub trait Engine: Send + Sync {
    /// Runs `request` to its end in a fresh box and blocks meanwhile, for as long as its wall limit and a bounded time
    /// for making and clearing the box. Whatever the program does comes back as an [`Outcome`]; an [`Error`] is never
    /// the program's fault.
    fn run(&self, request: &Request, cancel: &Cancel) -> Result<Outcome, Error>;

    /// What this engine enforces here and by which means, for logs and results.
    fn describe(&self) -> String;
}

/// Stops a running box from another thread. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<OwnedFd>);

impl Cancel {
    /// A cancel that has not been asked for.
    pub fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Asks for the end of every box that was given this cancel, running now or started later.
    pub fn cancel(&self) {
        // A counter that is already full wakes its readers as well.
        rustix::io::write(&*self.0, &1u64.to_ne_bytes()).ok();
    }

    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until the end is asked for, at most `most`, and says whether it was.
    pub fn wait(&self, most: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::from_borrowed_fd(self.fd(), PollFlags::IN)];
        let timeout = Timespec::try_from(most).ok();
        // A signal cuts the wait short, which a bounded wait may be.
        poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Why a box could not do its work. The platform's fault, or that of whoever wrote the request: never the program's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step of making the box failed.
    #[error("making the box: {step}: {source}")]
    Setup {
        /// What was tried, with its path.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel gives an unprivileged process no user namespace.
    #[error(
        "making the box: no user namespace: {0}. Allow them (sysctl user.max_user_namespaces, \
         kernel.apparmor_restrict_unprivileged_userns, kernel.unprivileged_userns_clone), or run where they are \
         allowed: under gVisor, or with a seccomp profile that permits clone(CLONE_NEWUSER)"
    )]
    NoUserNamespace(#[source] io::Error),
    /// The program could not be started at all.
    #[error("starting {program:?} in the box: {source}")]
    Exec {
        /// The path that was to be executed.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The supervisor itself met an error.
    #[error("supervising the box: {doing}: {source}")]
    Supervise {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The box did not get ready, or did not die, within its bound.
    #[error("the box {0} within {1:?}")]
    Stuck(&'static str, Duration),
    /// Somebody asked for the end through [`Cancel`].
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// For `map_err`: an I/O error met while `doing` something.
    pub(crate) fn supervise<E: Into<io::Error>>(doing: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Supervise { doing, source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_stays_asked_for_and_is_shared_by_its_clones() {
        let cancel = Cancel::new().unwrap();
        let clone = cancel.clone();
        assert!(!cancel.is_cancelled() && !cancel.wait(Duration::from_millis(1)));
        clone.cancel();
        clone.cancel();
        assert!(cancel.is_cancelled() && clone.wait(Duration::MAX));
    }
}
