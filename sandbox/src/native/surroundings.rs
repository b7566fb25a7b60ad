//! What kind of place this is: found out once, named in logs and results.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that may serve as the place to mount a box's root on, in the box's own mount namespace.
const STAGING: [&str; 4] = ["/tmp", "/run", "/mnt", "/srv"];

/// As root, boxes belong to ids of this range, so that no two at one time share a user. Debian keeps it free
/// (policy 9.2.2), and it lies below 65536, which a container's own id range often ends at.
pub(super) const FIRST_ID: u32 = 65_100;
pub(super) const IDS: u32 = 400;

/// Where the engine runs and by which means it enforces limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts found by looking, each on its own")]
pub struct Surroundings {
    /// Inside gVisor, whose kernel counts some things otherwise.
    pub gvisor: bool,
    /// As root of this user namespace.
    pub root: bool,
    /// With other users' ids to give away, so that every box has a user of its own. Root in a container may lack them,
    /// or the capability.
    pub own_users: bool,
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
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        // Under gVisor none but a process itself may map its ids.
        let own_users =
            root && !gvisor && may_give_ids(&read("/proc/self/status"), &read("/proc/self/uid_map"));
        Self { gvisor, root, own_users, cgroup_v1, counts_per_namespace: !gvisor }
    }
}

/// Whether a process with this `status` and in a user namespace with this map may map the ids that boxes are given
/// (`user_namespaces(7)`): it takes `CAP_SETGID` and `CAP_SETUID`, 6 and 7, and ids that exist here.
fn may_give_ids(status: &str, uid_map: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let covers = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().filter_map(|n| n.parse::<u64>().ok());
        let (Some(first), Some(_), Some(count)) = (numbers.next(), numbers.next(), numbers.next()) else {
            return false;
        };
        first <= u64::from(FIRST_ID) && u64::from(FIRST_ID + IDS) <= first + count
    };
    capabilities & 0xc0 == 0xc0 && uid_map.lines().any(covers)
}

fn is_gvisor() -> bool {
    Path::new("/proc/sentry-meminfo").exists()
        || fs::read_to_string("/proc/version")
            .is_ok_and(|v| v.starts_with("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54"))
}

impl fmt::Display for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = if self.gvisor { "gVisor" } else { "Linux" };
        let user = match (self.root, self.own_users) {
            (true, true) => "root",
            (true, false) => "root with no other user's ids to give",
            (false, _) => "an ordinary user",
        };
        let means = if self.cgroup_v1 { "cgroup v1" } else { "supervision by procfs and rusage" };
        write!(f, "{kernel}, as {user}; memory, CPU and processes by {means}")
    }
}

/// The first usable folder that does not lie above the toolchain.
pub(super) fn staging(toolchain: &Path) -> Option<PathBuf> {
    STAGING.iter().map(PathBuf::from).find(|path| path.is_dir() && !toolchain.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_can_be_given_with_the_capabilities_and_a_map_that_has_them() {
        let (full, none) = ("Name: a\nCapEff:\t000001ffffffffff\n", "CapEff:\t0000000000000000\n");
        assert!(may_give_ids(full, "         0          0 4294967295\n"));
        assert!(may_give_ids(full, "0 100000 65536\n"));
        assert!(!may_give_ids(full, "0 1000 1\n"), "rootless");
        assert!(!may_give_ids(full, ""));
        assert!(!may_give_ids(none, "0 0 4294967295\n"));
        assert!(!may_give_ids("CapEff:\t0000000000000080\n", "0 0 4294967295\n"), "no CAP_SETGID");
    }
}
