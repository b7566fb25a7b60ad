//! The steps that make a box, as data: prepared before the fork, when memory may be had, and performed after it, when
//! it may not. The index of a step that failed tells the supervisor what to say.

use std::ffi::{CString, c_ulong};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libc::{
    MS_BIND, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_RELATIME,
    MS_REMOUNT,
};

use super::view::Entry;
use crate::request::{Request, WORK_DIR};

/// The user and group a program finds itself to be: nobody in particular, and not root, so that `execve` gives nothing.
pub(super) const BOX_ID: u32 = 1000;
/// Devices a program gets, each bound from the machine's own.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// The name a program finds the machine to have.
const HOST_NAME: &str = "box";
/// Room for folders, links and rounding in the box's own file system, in bytes.
const ROOT_SLACK: u64 = 1 << 20;

/// One system call or a few that belong together.
#[derive(Debug)]
pub(super) enum Step {
    /// Map this process' own user and group to the box's. A process that isn't root may map those alone, and under
    /// gVisor none but the process itself may.
    MapIds {
        uid: CString,
        gid: CString,
    },
    /// Become the box's user, which root has mapped from outside.
    TakeIds,
    /// New namespaces for this process.
    Unshare(i32),
    /// Die with the supervisor's thread, and leave its terminal.
    Detach,
    HostName(CString),
    Folder(CString),
    File {
        path: CString,
        data: Arc<[u8]>,
        mode: u32,
    },
    Symlink {
        path: CString,
        target: CString,
    },
    Mount {
        source: CString,
        target: CString,
        kind: CString,
        flags: c_ulong,
        data: CString,
        or_data: Option<CString>,
    },
    /// Makes the folder the root and drops the old one.
    Pivot(CString),
    Enter(CString),
}

/// A step, and whether the box goes without it where the kernel refuses.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) optional: bool,
}

/// What the script needs to know beside the request.
#[derive(Debug)]
pub(super) struct Site<'a> {
    /// The toolchain's root folder.
    pub(super) toolchain: &'a Path,
    pub(super) view: &'a [BoundEntry],
    /// An existing folder to mount the new root on; nobody else sees that.
    pub(super) staging: &'a Path,
    /// The user and group that an ordinary process maps by itself; root maps others from outside.
    pub(super) ids: Option<(u32, u32)>,
}

/// A view entry with the mount flags its source has, which a remount must keep (`mount_namespaces(7)`, "locked").
#[derive(Debug, Clone)]
pub(super) struct BoundEntry {
    pub(super) entry: Entry,
    pub(super) kept_flags: c_ulong,
}

impl BoundEntry {
    /// Looks up the flags of the mount that `entry` comes from.
    pub(super) fn look_up(entry: Entry, toolchain: &Path) -> std::io::Result<Self> {
        let Entry::Bind { path, .. } = &entry else {
            return Ok(Self { entry, kept_flags: 0 });
        };
        let flags = rustix::fs::statvfs(inside(toolchain, path))?.f_flag;
        let pairs = [
            (rustix::fs::StatVfsMountFlags::NOSUID, MS_NOSUID),
            (rustix::fs::StatVfsMountFlags::NODEV, MS_NODEV),
            (rustix::fs::StatVfsMountFlags::NOEXEC, MS_NOEXEC),
            (rustix::fs::StatVfsMountFlags::NOATIME, MS_NOATIME),
            (rustix::fs::StatVfsMountFlags::NODIRATIME, MS_NODIRATIME),
            (rustix::fs::StatVfsMountFlags::RELATIME, MS_RELATIME),
        ];
        let kept_flags =
            pairs.iter().filter(|(vfs, _)| flags.contains(*vfs)).fold(0, |all, (_, ms)| all | ms);
        Ok(Self { entry, kept_flags })
    }
}

/// The whole script for one request.
pub(super) fn write(site: &Site<'_>, request: &Request) -> Vec<Planned> {
    let mut script = Script { site, steps: Vec::with_capacity(64) };
    script.separate();
    script.root(request);
    for bound in site.view {
        script.show(bound);
    }
    script.system_folders(request.limits.disk > 0);
    script.work(request);
    script.close_root();
    script.steps
}

struct Script<'a> {
    site: &'a Site<'a>,
    steps: Vec<Planned>,
}

impl Script<'_> {
    fn push(&mut self, step: Step) {
        self.steps.push(Planned { step, optional: false });
    }

    /// A path of the box while its root is still mounted at the staging folder.
    fn at(&self, path: &str) -> CString {
        c_path(&inside(self.site.staging, Path::new(path)))
    }

    /// The user namespace is there already: gVisor wants it made before the others (`clone` with both leaves the mount
    /// namespace to the parent's owner).
    fn separate(&mut self) {
        self.push(match self.site.ids {
            None => Step::TakeIds,
            Some((uid, gid)) => Step::MapIds { uid: id_map(uid), gid: id_map(gid) },
        });
        self.push(Step::Detach);
        self.push(Step::Unshare(
            libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNET,
        ));
        self.steps.push(Planned { step: Step::Unshare(libc::CLONE_NEWCGROUP), optional: true });
        self.push(Step::HostName(c_string(HOST_NAME)));
    }

    fn root(&mut self, request: &Request) {
        let given: u64 = request.files.iter().map(|f| f.data.len().next_multiple_of(4096) as u64).sum();
        let size = ROOT_SLACK + if request.limits.disk > 0 { 0 } else { given };
        self.tmpfs("/", size, 4096 + request.files.len(), MS_NODEV);
    }

    fn tmpfs(&mut self, path: &str, size: u64, inodes: usize, flags: c_ulong) {
        self.push(Step::Mount {
            source: c_string("box"),
            target: self.at(path),
            kind: c_string("tmpfs"),
            flags: flags | MS_NOSUID,
            data: c_string(&format!("size={size},nr_inodes={inodes},mode=755")),
            // gVisor's tmpfs of 2024 does not know nr_inodes.
            or_data: Some(c_string(&format!("size={size},mode=755"))),
        });
    }

    fn show(&mut self, bound: &BoundEntry) {
        match &bound.entry {
            Entry::Symlink { path, target } => {
                self.push(Step::Symlink { path: self.at(&text(path)), target: c_path(target) });
            }
            Entry::Bind { path, folder, recursive } => {
                let target = self.at(&text(path));
                if *folder {
                    self.push(Step::Folder(target.clone()));
                } else {
                    self.push(Step::File { path: target.clone(), data: Arc::from([]), mode: 0o444 });
                }
                let flags = MS_BIND | if *recursive { MS_REC } else { 0 };
                self.mount(&c_path(&inside(self.site.toolchain, path)), &target, flags);
                let locked = MS_RDONLY | MS_NOSUID | MS_NODEV | bound.kept_flags;
                self.mount(&target, &target, MS_BIND | MS_REMOUNT | locked);
            }
            Entry::Mask { path, folder: true } => self.tmpfs(&text(path), 4096, 1, MS_RDONLY | MS_NODEV),
            Entry::Mask { path, folder: false } => {
                let target = self.at(&text(path));
                self.mount(&c_string("/dev/null"), &target, MS_BIND);
            }
        }
    }

    fn mount(&mut self, source: &CString, target: &CString, flags: c_ulong) {
        let (kind, data) = (c_string(""), c_string(""));
        let step =
            Step::Mount { source: source.clone(), target: target.clone(), kind, flags, data, or_data: None };
        self.push(step);
    }

    fn system_folders(&mut self, writable: bool) {
        self.push(Step::Folder(self.at("/dev")));
        for device in DEVICES {
            let path = format!("/dev/{device}");
            let target = self.at(&path);
            self.push(Step::File { path: target.clone(), data: Arc::from([]), mode: 0o444 });
            self.mount(&c_string(&path), &target, MS_BIND);
        }
        for (name, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
            let path = self.at(&format!("/dev/{name}"));
            self.push(Step::Symlink { path, target: c_string(&format!("/proc/self/fd{target}")) });
        }
        self.push(Step::Folder(self.at("/proc")));
        // A container whose own /proc is masked may not mount another: its boxes go without.
        let flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
        let (source, kind, target) = (c_string("proc"), c_string("proc"), self.at("/proc"));
        let step = Step::Mount { source, target, kind, flags, data: c_string(""), or_data: None };
        self.steps.push(Planned { step, optional: true });
        let tmp = self.at("/tmp");
        self.push(if writable {
            Step::Symlink { path: tmp, target: c_string(WORK_DIR) }
        } else {
            Step::Folder(tmp)
        });
    }

    fn work(&mut self, request: &Request) {
        self.push(Step::Folder(self.at(WORK_DIR)));
        if request.limits.disk > 0 {
            self.tmpfs(
                WORK_DIR,
                request.limits.disk,
                (request.limits.disk >> 12).clamp(64, 65_536) as usize,
                MS_NODEV,
            );
        }
        let mut folders: Vec<&Path> =
            request.files.iter().flat_map(|f| Path::new(&f.path).ancestors().skip(1)).collect();
        folders.sort_unstable();
        folders.dedup();
        for folder in folders.into_iter().filter(|f| !f.as_os_str().is_empty()) {
            self.push(Step::Folder(self.at(&format!("{WORK_DIR}/{}", text(folder)))));
        }
        for file in &request.files {
            let path = self.at(&format!("{WORK_DIR}/{}", file.path));
            let mode = if file.executable { 0o555 } else { 0o444 };
            self.push(Step::File { path, data: Arc::clone(&file.data), mode });
        }
    }

    fn close_root(&mut self) {
        self.push(Step::Pivot(c_path(self.site.staging)));
        let root = c_string("/");
        self.mount(&root, &root, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV);
        self.push(Step::Enter(c_string(WORK_DIR)));
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MapIds { uid, .. } if *uid == id_map(0) => {
                write!(
                    f,
                    "mapping the box's user: root may map itself with CAP_SETFCAP alone, run as another user"
                )
            }
            Self::MapIds { .. } => write!(f, "mapping the box's user"),
            Self::TakeIds => write!(f, "taking the box's user id"),
            Self::Unshare(flags) => write!(f, "making namespaces ({flags:#x})"),
            Self::Detach => write!(f, "leaving the supervisor's session"),
            Self::HostName(_) => write!(f, "setting the host name"),
            Self::Folder(path) => write!(f, "making folder {}", path.to_string_lossy()),
            Self::File { path, .. } => write!(f, "writing {}", path.to_string_lossy()),
            Self::Symlink { path, .. } => write!(f, "linking {}", path.to_string_lossy()),
            Self::Mount { source, target, flags, .. } => {
                write!(
                    f,
                    "mounting {} on {} ({flags:#x})",
                    source.to_string_lossy(),
                    target.to_string_lossy()
                )
            }
            Self::Pivot(path) => write!(f, "making {} the root", path.to_string_lossy()),
            Self::Enter(path) => write!(f, "entering {}", path.to_string_lossy()),
        }
    }
}

/// A map of a user namespace that knows one id (`user_namespaces(7)`).
pub(super) fn id_map(outside: u32) -> CString {
    c_string(&format!("{BOX_ID} {outside} 1"))
}

/// An absolute path below another root.
fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn c_path(path: &Path) -> CString {
    c_bytes(path.as_os_str().as_bytes())
}

fn c_string(text: &str) -> CString {
    c_bytes(text.as_bytes())
}

/// Paths come from the kernel or from checked requests and hold no NUL; one that did would name nothing.
fn c_bytes(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{BoxFile, Command, Limits};
    use std::time::Duration;

    fn request(disk: u64) -> Request {
        let limits = Limits {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(1),
            memory: 1 << 20,
            output: 1,
            processes: 1,
            open_files: 1,
            stack: 1,
            disk,
            reserves_address_space: false,
        };
        let file = BoxFile::new("classes/p/Main.class", Arc::from(*b"x"), false).unwrap();
        Request::new(Command::new(&["/bin/true"], &[]).unwrap(), vec![file], limits).unwrap()
    }

    fn script(disk: u64, ids: Option<(u32, u32)>) -> Vec<Planned> {
        let bind = |path: &str, recursive| Entry::Bind { path: PathBuf::from(path), folder: true, recursive };
        let entries =
            [bind("/usr", false), bind("/etc", true), Entry::Mask { path: "/etc/k".into(), folder: false }];
        let view = entries.map(|entry| BoundEntry { entry, kept_flags: MS_NOEXEC });
        let site = Site { toolchain: Path::new("/image"), view: &view, staging: Path::new("/tmp"), ids };
        write(&site, &request(disk))
    }

    fn words(script: &[Planned]) -> Vec<String> {
        script.iter().map(|planned| planned.step.to_string()).collect()
    }

    #[test]
    fn whatever_is_shown_is_made_read_only_next_and_keeps_its_flags() {
        let script = script(0, None);
        let from_image = |p: &Planned| matches!(&p.step, Step::Mount { source, .. } if source.as_bytes().starts_with(b"/image/"));
        let shown: Vec<usize> = (0..script.len()).filter(|n| from_image(&script[*n])).collect();
        assert_eq!(shown.len(), 2);
        for at in shown {
            let Step::Mount { target, .. } = &script[at].step else { unreachable!() };
            let Step::Mount { target: locked, flags, .. } = &script[at + 1].step else {
                panic!("no remount")
            };
            let wanted = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
            assert_eq!((target, *flags), (locked, wanted));
        }
    }

    #[test]
    fn the_root_is_closed_after_everything_is_in_place() {
        let words = words(&script(0, None));
        let end = &words[words.len() - 3..];
        assert_eq!(end[0], "making /tmp the root");
        assert!(end[1].starts_with("mounting / on /"), "{end:?}");
        assert_eq!(end[2], "entering /box");
        assert!(words.contains(&"writing /tmp/box/classes/p/Main.class".to_owned()));
        assert!(words.contains(&"making folder /tmp/box/classes/p".to_owned()));
    }

    #[test]
    fn only_a_box_with_a_disk_has_a_place_to_write() {
        let tmpfs = |disk| words(&script(disk, None)).iter().filter(|w| w.contains("on /tmp/box ")).count();
        assert_eq!((tmpfs(0), tmpfs(1 << 20)), (0, 1));
        assert!(words(&script(1 << 20, None)).contains(&"linking /tmp/tmp".to_owned()));
    }

    #[test]
    fn root_takes_an_id_and_others_map_their_own() {
        assert!(matches!(script(0, None)[0].step, Step::TakeIds));
        let Step::MapIds { uid, gid } = &script(0, Some((5, 6)))[0].step else { panic!("no map") };
        assert_eq!((uid.to_bytes(), gid.to_bytes()), (&b"1000 5 1"[..], &b"1000 6 1"[..]));
        assert!(words(&script(0, Some((0, 0))))[0].contains("run as another user"));
    }

    #[test]
    fn a_box_goes_without_proc_and_cgroup_namespace_alone() {
        let script = script(0, None);
        let optional: Vec<String> =
            script.iter().filter(|p| p.optional).map(|p| p.step.to_string()).collect();
        assert_eq!(optional.len(), 2, "{optional:?}");
        assert!(optional[0].starts_with("making namespaces") && optional[1].starts_with("mounting proc"));
    }
}
