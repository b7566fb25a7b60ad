//! What this machine offers: cores, memory, a place for the cache.

use std::fs;
use std::path::PathBuf;

/// Memory assumed where the kernel doesn't tell.
const FALLBACK_MEMORY: u64 = 1 << 30;

/// One box for each core.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Three quarters of the memory available, within the container's bound if there is one: the rest is for this process,
/// the tmpfs of boxes and surprises.
pub(super) fn memory() -> u64 {
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let bounds =
        CONTAINER_BOUNDS.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    bounds.fold(available.unwrap_or(FALLBACK_MEMORY), u64::min) / 4 * 3
}

/// A container sees its own cgroup as the root, of version 2 or 1; no number is no bound.
const CONTAINER_BOUNDS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Bytes of `MemAvailable`, or of `MemFree` where that is missing (`proc_meminfo(5)`).
fn available(meminfo: &str) -> Option<u64> {
    let field = |name| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kibibytes * 1024)
    };
    field("MemAvailable:").or_else(|| field("MemFree:"))
}

/// This machine's name: in a pod, the pod's.
pub(super) fn name() -> Option<String> {
    let read = |file| Some(fs::read_to_string(file).ok()?.trim().to_owned());
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"))?;
    (!name.is_empty()).then_some(name)
}

/// The user's cache folder (XDG Base Directory Specification); none without a home.
pub(super) fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("kubejudge/artifacts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_where_there_is_any() {
        assert_eq!(available("MemTotal: 9 kB\nMemFree:   2 kB\nMemAvailable:   3 kB\n"), Some(3072));
        assert_eq!(available("MemFree:   2 kB\n"), Some(2048));
        assert_eq!(available("nothing"), None);
    }
}
