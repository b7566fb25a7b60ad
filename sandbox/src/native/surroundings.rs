//! What kind of place this is: found out once, named in logs and results.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that may serve as the place to mount a box's root on, in the box's own mount namespace.
const STAGING: [&str; 4] = ["/tmp", "/run", "/mnt", "/srv"];

/// Where the engine runs and by which means it enforces limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts found by looking, each on its own")]
pub struct Surroundings {
    /// Inside gVisor, whose kernel counts some things otherwise.
    pub gvisor: bool,
    /// As root, which gives every box a user of its own.
    pub root: bool,
    /// Memory, CPU and processes of a box are held by cgroup v1 controllers.
    pub cgroup_v1: bool,
    /// `RLIMIT_NPROC` counts within a user namespace (Linux 5.14); elsewhere one user over the whole container.
    pub counts_per_namespace: bool,
}

impl Surroundings {
    pub(super) fn look(cgroup_v1: bool) -> Self {
        // gVisor's sentry lists its own memory file; Linux has no file of that name.
        let gvisor = is_gvisor();
        let root = rustix::process::geteuid().is_root();
        Self { gvisor, root, cgroup_v1, counts_per_namespace: !gvisor }
    }
}

fn is_gvisor() -> bool {
    Path::new("/proc/sentry-meminfo").exists()
        || fs::read_to_string("/proc/version")
            .is_ok_and(|v| v.starts_with("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54"))
}

impl fmt::Display for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = if self.gvisor { "gVisor" } else { "Linux" };
        let user = if self.root { "root" } else { "an ordinary user" };
        let means = if self.cgroup_v1 { "cgroup v1" } else { "supervision by procfs and rusage" };
        write!(f, "{kernel}, as {user}; memory, CPU and processes by {means}")
    }
}

/// The first usable folder that does not lie above the toolchain.
pub(super) fn staging(toolchain: &Path) -> Option<PathBuf> {
    STAGING.iter().map(PathBuf::from).find(|path| path.is_dir() && !toolchain.starts_with(path))
}
