//! The view that boxes get now: read once, and anew whenever the machine's mounts have changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::script::BoundEntry;
use super::view;

/// The toolchain as boxes see it. A folder that is mounted later, a secret's perhaps, would show in a box otherwise, or
/// keep the kernel from binding the folder above it.
#[derive(Debug)]
pub(super) struct Shown {
    toolchain: PathBuf,
    hidden: Vec<PathBuf>,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    /// The kernel marks this file with an error and a priority event once the mounts have changed (`proc(5)`).
    mounts: fs::File,
    view: Arc<[BoundEntry]>,
}

impl Shown {
    /// Reads the machine; `toolchain` is a canonical path.
    pub(super) fn new(toolchain: &Path, hidden: &[PathBuf]) -> io::Result<Self> {
        // Opened first: a change while the view is read shows at the next look.
        let mounts = fs::File::open("/proc/self/mountinfo")?;
        let now = Mutex::new(Now { mounts, view: read(toolchain, hidden)? });
        Ok(Self { toolchain: toolchain.to_owned(), hidden: hidden.to_vec(), now })
    }

    /// The toolchain's root folder.
    pub(super) fn toolchain(&self) -> &Path {
        &self.toolchain
    }

    /// The view as of now.
    pub(super) fn view(&self) -> io::Result<Arc<[BoundEntry]>> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if changed(&now.mounts) {
            now.view = read(&self.toolchain, &self.hidden)?;
            tracing::info!("The machine's mounts have changed; boxes see the toolchain anew.");
        }
        Ok(Arc::clone(&now.view))
    }
}

fn read(toolchain: &Path, hidden: &[PathBuf]) -> io::Result<Arc<[BoundEntry]>> {
    let entries = view::read(toolchain, hidden)?;
    entries.into_iter().map(|entry| BoundEntry::look_up(entry, toolchain)).collect()
}

fn changed(mounts: &fs::File) -> bool {
    let mut fds = [PollFd::new(mounts, PollFlags::PRI)];
    if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Err(rustix::io::Errno::INTR) {
        return true; // reading once more does no harm
    }
    fds[0].revents().intersects(PollFlags::PRI | PollFlags::ERR)
}
