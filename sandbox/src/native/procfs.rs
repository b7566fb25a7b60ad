//! What procfs tells of a box's processes, where no cgroup keeps the account: CPU, resident memory, how many.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

/// Most processes of a shared /proc that are looked at in one go.
const MAX_PROCESSES: usize = 8192;

/// The box at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sample {
    /// CPU time of all processes, dead and reaped ones included, init among them.
    pub(super) cpu: Duration,
    /// Sum of resident sizes without init's, in bytes. Pages that processes share count once for each.
    pub(super) resident: u64,
    /// Processes and threads without init.
    pub(super) tasks: u64,
    /// Processes without init.
    pub(super) processes: u64,
}

/// One line of /proc/PID/stat (`proc_pid_stat(5)`), as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    /// Own and reaped children's user and system time, in ticks.
    ticks: u64,
    threads: u64,
    pages: u64,
}

impl Stat {
    /// The second field is a name in parentheses that may itself hold spaces and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = (text.split_once(' ')?.0, text.rsplit_once(") ")?.1);
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            pid: before.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)? + number(13)? + number(14)?,
            threads: number(17)?,
            pages: number(21)?,
        })
    }
}

/// Where a box's processes are listed.
#[derive(Debug)]
pub(super) struct Table {
    proc: OwnedFd,
    /// Init's pid in there.
    init: i32,
    /// Whether others than the box's processes are listed too.
    shared: bool,
}

impl Table {
    /// The box's own /proc, `own`, if the folder that init handed out is one; else this process' /proc, in which `init`
    /// and its descendants are the box.
    pub(super) fn new(own: Option<OwnedFd>, init: i32) -> io::Result<Self> {
        match own {
            Some(proc) if rustix::fs::openat(&proc, "1/stat", FILE, Mode::empty()).is_ok() => {
                Ok(Self { proc, init: 1, shared: false })
            }
            _ => {
                let proc = rustix::fs::open("/proc", FILE | OFlags::DIRECTORY, Mode::empty())?;
                Ok(Self { proc, init, shared: true })
            }
        }
    }

    /// Looks at the box's processes, at `most` of them: with more the box is over its limit anyway, and a look must stay
    /// short. Those that vanish meanwhile are passed over.
    pub(super) fn sample(&self, units: Units, most: usize) -> io::Result<Sample> {
        Ok(sum(&self.stats(most)?, self.init, units))
    }

    fn stats(&self, most: usize) -> io::Result<Vec<Stat>> {
        let most = if self.shared { MAX_PROCESSES } else { most };
        let stat = |pid: i32| Stat::parse(&self.read(pid, "stat").ok()?);
        let stats = self.pids(most)?.into_iter().filter_map(stat).collect();
        Ok(if self.shared { descendants(stats, self.init) } else { stats })
    }

    /// Whether no process of a dead box is left. A shared /proc can't tell, since init is gone from it.
    pub(super) fn is_empty(&self) -> bool {
        self.shared || self.pids(1).map_or(true, |pids| pids.is_empty())
    }

    /// Resident memory with shared pages counted in parts (`Pss`), where the kernel tells; exact, and too slow for
    /// every look. Processes that end meanwhile hold nothing any more.
    pub(super) fn proportional(&self) -> Option<u64> {
        let mut sum = 0;
        for stat in self.stats(MAX_PROCESSES).ok()?.iter().filter(|stat| stat.pid != self.init) {
            sum += match self.read(stat.pid, "smaps_rollup") {
                Ok(text) => proportional_size(&text)?,
                Err(Errno::SRCH) => 0,
                Err(Errno::NOENT) if self.read(stat.pid, "stat").is_err() => 0,
                Err(_) => return None,
            };
        }
        Some(sum)
    }

    fn pids(&self, most: usize) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        for entry in Dir::read_from(&self.proc)? {
            if let Some(pid) = entry?.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                pids.push(pid);
            }
            if pids.len() >= most {
                break;
            }
        }
        Ok(pids)
    }

    fn read(&self, pid: i32, file: &str) -> Result<String, Errno> {
        let fd = rustix::fs::openat(&self.proc, format!("{pid}/{file}"), FILE, Mode::empty())?;
        let mut text = String::new();
        let read = fs::File::from(fd).take(16 * 1024).read_to_string(&mut text);
        read.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        Ok(text)
    }
}

/// The `Pss` line of a `smaps_rollup` (`proc_pid_smaps(5)`), in bytes.
fn proportional_size(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// How a file of procfs is opened.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

/// The machine's units of procfs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Units {
    pub(super) ticks_per_second: u64,
    pub(super) page: u64,
}

fn sum(stats: &[Stat], init: i32, units: Units) -> Sample {
    let mut sample = Sample::default();
    for stat in stats {
        sample.cpu += Duration::from_micros(stat.ticks * 1_000_000 / units.ticks_per_second);
        if stat.pid != init {
            sample.resident += stat.pages * units.page;
            sample.tasks += stat.threads;
            sample.processes += 1;
        }
    }
    sample
}

/// `init` and all below it.
fn descendants(stats: Vec<Stat>, init: i32) -> Vec<Stat> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for stat in &stats {
        children.entry(stat.parent).or_default().push(stat.pid);
    }
    let mut found = HashSet::from([init]);
    let mut open = vec![init];
    while let Some(pid) = open.pop() {
        open.extend(children.get(&pid).into_iter().flatten().filter(|child| found.insert(**child)));
    }
    stats.into_iter().filter(|stat| found.contains(&stat.pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: Units = Units { ticks_per_second: 100, page: 4096 };

    #[test]
    fn a_name_full_of_traps_does_not_shift_the_fields() {
        let line = "17 (a) b) 4 (c) S 1 17 17 0 -1 0 0 0 0 0 10 20 30 40 20 0 5 0 99 1000 250 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(stat, Stat { pid: 17, parent: 1, ticks: 100, threads: 5, pages: 250 });
        assert_eq!(Stat::parse("17 (cut"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn our_own_process_is_read_as_the_kernel_writes_it() {
        let text = fs::read_to_string("/proc/self/stat").unwrap();
        let stat = Stat::parse(&text).unwrap();
        assert_eq!(stat.pid, std::process::id().cast_signed());
        assert!(stat.pages > 0 && stat.threads > 0);
    }

    #[test]
    fn the_proportional_size_is_read_from_its_own_line() {
        let rollup = "5-7 ---p 0 00:00 0 [rollup]\nRss:  9 kB\nPss:   3 kB\nPss_Dirty: 2 kB\n";
        assert_eq!(proportional_size(rollup), Some(3072));
        assert_eq!(proportional_size("Rss: 9 kB\n"), None);
    }

    #[test]
    fn processes_that_are_gone_hold_no_memory() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let proc = || rustix::fs::open("/proc", FILE | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let table = Table { proc: proc(), init: std::process::id().cast_signed(), shared: true };
        let pid = child.id().cast_signed();
        while !table.read(pid, "stat").unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        assert_eq!(table.read(pid, "smaps_rollup"), Err(Errno::SRCH), "a zombie");
        child.wait().unwrap();
        assert_eq!(table.read(pid, "smaps_rollup"), Err(Errno::NOENT), "reaped");
    }

    #[test]
    fn init_counts_for_cpu_alone() {
        let stat = |pid, parent| Stat { pid, parent, ticks: 50, threads: 2, pages: 10 };
        let sample = sum(&[stat(1, 0), stat(2, 1)], 1, UNITS);
        let expected = Sample { cpu: Duration::from_secs(1), resident: 40_960, tasks: 2, processes: 1 };
        assert_eq!(sample, expected);
    }

    #[test]
    fn only_descendants_belong_to_the_box() {
        let stat = |pid, parent| Stat { pid, parent, ticks: 0, threads: 1, pages: 1 };
        let all = vec![stat(10, 5), stat(11, 10), stat(12, 11), stat(20, 5), stat(21, 20)];
        let mut pids: Vec<i32> = descendants(all, 10).iter().map(|s| s.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [10, 11, 12]);
    }
}
