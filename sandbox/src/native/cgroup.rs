//! One cgroup v1 per box and controller, where this process may make them: exact memory and CPU, processes bounded.
//!
//! Kernel documentation: admin-guide/cgroup-v1/{memory,cpuacct,pids}.rst.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often the removal of a group is tried; its last process may still be on its way out.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// The folders below which this process makes its groups, one for each controller.
#[derive(Debug)]
pub(super) struct Controllers {
    memory: PathBuf,
    cpuacct: PathBuf,
    pids: PathBuf,
    next: AtomicU64,
}

impl Controllers {
    /// Finds the controllers and makes a folder for this process in each; none where any of them can't be had.
    pub(super) fn probe() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let folder = |controller| {
            let parent = own_group(&mounts, &own, controller)?;
            sweep(&parent);
            let folder = parent.join(format!("{PREFIX}{}", std::process::id()));
            fs::create_dir(&folder).or_else(|e| if folder.is_dir() { Ok(()) } else { Err(e) }).ok()?;
            Some(folder)
        };
        let (memory, cpuacct, pids) = (folder("memory")?, folder("cpuacct")?, folder("pids")?);
        Some(Self { memory, cpuacct, pids, next: AtomicU64::new(0) })
    }

    /// A fresh group with its limits set. `processes` includes the box's init.
    pub(super) fn create(&self, memory: u64, processes: u32) -> io::Result<Group> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let group = Group {
            memory: self.memory.join(&name),
            cpuacct: self.cpuacct.join(&name),
            pids: self.pids.join(&name),
        };
        for folder in group.folders() {
            fs::create_dir(folder)?;
        }
        fs::write(group.memory.join("memory.limit_in_bytes"), memory.to_string())?;
        let with_swap = group.memory.join("memory.memsw.limit_in_bytes");
        if with_swap.exists() {
            fs::write(with_swap, memory.to_string())?;
        }
        fs::write(group.pids.join("pids.max"), processes.to_string())?;
        Ok(group)
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        for folder in [&self.memory, &self.cpuacct, &self.pids] {
            fs::remove_dir(folder).ok(); // a group still in use keeps it; the next process sweeps
        }
    }
}

const PREFIX: &str = "kubejudge-";

/// Removes what killed processes of ours left behind.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.strip_prefix(PREFIX)) else {
            continue;
        };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            for group in
                fs::read_dir(entry.path()).into_iter().flatten().flatten().filter(|g| g.path().is_dir())
            {
                fs::remove_dir(group.path()).ok();
            }
            fs::remove_dir(entry.path()).ok();
        }
    }
}

/// The folder of this process' own group in `controller`, if that is a mounted v1 hierarchy.
fn own_group(mountinfo: &str, own: &str, controller: &str) -> Option<PathBuf> {
    let has = |list: &str| list.split(',').any(|c| c == controller);
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        has(controllers).then(|| fields.next()).flatten()
    })?;
    let (root, mount) = mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let is_v1 = right.next()? == "cgroup" && has(right.nth(1)?);
        let mut left = left.split(' ').skip(3);
        is_v1.then(|| Some((left.next()?, left.next()?))).flatten()
    })?;
    let below = Path::new(path).strip_prefix(root).ok()?;
    Some(Path::new(mount).join(below))
}

/// The groups of one box. Dropping removes them, once all their processes are dead.
#[derive(Debug)]
pub(super) struct Group {
    memory: PathBuf,
    cpuacct: PathBuf,
    pids: PathBuf,
}

impl Group {
    fn folders(&self) -> [&PathBuf; 3] {
        [&self.memory, &self.cpuacct, &self.pids]
    }

    /// The doors through which the box's init walks in by itself, writing "0". Moving another process instead takes a
    /// lock over all processes of the machine, whose first taker after a pause waits for 10 ms (measured).
    pub(super) fn doors(&self) -> io::Result<[fs::File; 3]> {
        let open = |folder: &PathBuf| fs::OpenOptions::new().write(true).open(folder.join("tasks"));
        let [memory, cpuacct, pids] = self.folders();
        Ok([open(memory)?, open(cpuacct)?, open(pids)?])
    }

    /// CPU time of all that ever ran in the group.
    pub(super) fn cpu(&self) -> io::Result<Duration> {
        Ok(Duration::from_nanos(number(&self.cpuacct.join("cpuacct.usage"))?))
    }

    /// Whether the kernel killed for memory here.
    pub(super) fn out_of_memory(&self) -> io::Result<bool> {
        let text = fs::read_to_string(self.memory.join("memory.oom_control"))?;
        Ok(field(&text, "oom_kill").is_some_and(|kills| kills > 0))
    }

    /// The highest charge, less the page cache of files the program happened to read first. Tmpfs pages count.
    pub(super) fn peak(&self) -> io::Result<Peak> {
        let most = number(&self.memory.join("memory.max_usage_in_bytes"))?;
        let stat = fs::read_to_string(self.memory.join("memory.stat"))?;
        let cache = field(&stat, "cache").unwrap_or(0).saturating_sub(field(&stat, "shmem").unwrap_or(0));
        Ok(Peak { charged: most, without_cache: most.saturating_sub(cache) })
    }
}

/// Two bounds of what the box needed at its highest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak {
    /// Upper bound: all that was charged, page cache included.
    pub(super) charged: u64,
    /// Lower bound: the same less all page cache charged at the end.
    pub(super) without_cache: u64,
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in self.folders() {
            for _ in 0..REMOVE_TRIES {
                match fs::remove_dir(folder) {
                    Err(e) if e.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(REMOVE_PAUSE),
                    _ => break,
                }
            }
        }
    }
}

fn number(path: &Path) -> io::Result<u64> {
    fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}

/// The value of `name` in lines of "name value".
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
        31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 30 0:29 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn finds_our_own_group_in_each_hierarchy() {
        let own = "5:memory:/docker/1/inner\n4:cpu,cpuacct:/a\n0::/\n";
        let at = |controller| own_group(MOUNTS, own, controller);
        assert_eq!(at("memory"), Some(PathBuf::from("/sys/fs/cgroup/memory/inner")));
        assert_eq!(at("cpuacct"), Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/a")));
        assert_eq!(at("pids"), None);
        assert_eq!(own_group(MOUNTS, "0::/user.slice\n", "memory"), None);
    }

    #[test]
    fn reads_fields_by_their_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(text, "oom_kill"), Some(3));
        assert_eq!(field(text, "oom"), None);
    }
}
