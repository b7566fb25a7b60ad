//! Which parts of the machine's file system a box sees: worked out once from the mount table, used for every box.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Never part of a toolchain: kernel interfaces, run-time state, scratch space people's homes, boot files and other disks.
pub(super) const DEFAULT_HIDDEN: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/run",
    "/tmp",
    "/var/tmp",
    "/home",
    "/root",
    "/boot",
    "/media",
    "/mnt",
    "/srv",
    "/lost+found",
];

/// Most entries of a view; a machine with more mounts than this should name a toolchain folder.
const MAX_ENTRIES: usize = 512;

/// One step towards the view, with paths as inside the box; in order, parents first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// The same symbolic link.
    Symlink { path: PathBuf, target: PathBuf },
    /// A file or folder shown read-only; `recursive` where mounts below it keep the kernel from showing it alone.
    Bind { path: PathBuf, folder: bool, recursive: bool },
    /// Something below a recursive bind that must not show: covered by an empty file or folder.
    Mask { path: PathBuf, folder: bool },
}

/// What is directly inside a folder.
pub(super) struct Listed {
    pub(super) name: PathBuf,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Folder,
    File,
    Symlink(PathBuf),
    Other,
}

/// The view of a toolchain whose root holds `listing`. `mounts` and `hidden` are paths inside that root; `is_folder`
/// tells what a path to be masked is.
pub(super) fn plan(
    listing: &[Listed],
    mounts: &[PathBuf],
    hidden: &[PathBuf],
    is_folder: impl Fn(&Path) -> bool,
) -> io::Result<Vec<Entry>> {
    let covered: Vec<&PathBuf> = topmost(mounts.iter().chain(hidden).collect());
    let mut entries = Vec::new();
    for Listed { name, kind } in listing {
        let path = Path::new("/").join(name);
        if covered.iter().any(|c| **c == path) {
            continue;
        }
        match kind {
            Kind::Symlink(target) => entries.push(Entry::Symlink { path, target: target.clone() }),
            Kind::File => entries.push(Entry::Bind { path, folder: false, recursive: false }),
            Kind::Folder => {
                let below: Vec<_> = covered.iter().filter(|c| c.starts_with(&path)).collect();
                let recursive = mounts.iter().any(|m| m.starts_with(&path));
                entries.push(Entry::Bind { path, folder: true, recursive });
                entries
                    .extend(below.iter().map(|c| Entry::Mask { path: (**c).clone(), folder: is_folder(c) }));
            }
            Kind::Other => {}
        }
    }
    if entries.len() > MAX_ENTRIES {
        let message = format!("{} mounts below the toolchain root; name a folder of its own", entries.len());
        return Err(io::Error::other(message));
    }
    Ok(entries)
}

/// Those paths that have none of the others above them.
fn topmost(mut paths: Vec<&PathBuf>) -> Vec<&PathBuf> {
    paths.sort();
    paths.dedup();
    let mut kept: Vec<&PathBuf> = Vec::new();
    for path in paths {
        if !kept.iter().any(|k| path.starts_with(k)) {
            kept.push(path);
        }
    }
    kept
}

/// Reads the machine and plans the view of the toolchain at `root`.
pub(super) fn read(root: &Path, hidden: &[PathBuf]) -> io::Result<Vec<Entry>> {
    let root = &fs::canonicalize(root)?;
    let mut listing = fs::read_dir(root)?.map(|e| list(&e?)).collect::<io::Result<Vec<_>>>()?;
    listing.sort_by(|a, b| a.name.cmp(&b.name));
    let mounts = mount_points(&fs::read_to_string("/proc/self/mountinfo")?, root);
    let at = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let hidden: Vec<PathBuf> = hidden.iter().filter(|h| is_real(h, root)).cloned().collect();
    plan(&listing, &mounts, &hidden, |path| at(path).is_dir())
}

/// Whether a hidden path exists under its own name; `/var/run` is mostly a link to `/run`, which is hidden already.
fn is_real(path: &Path, root: &Path) -> bool {
    let inside = |canonical: PathBuf| canonical.strip_prefix(root).map(|p| Path::new("/").join(p)).ok();
    fs::canonicalize(root.join(path.strip_prefix("/").unwrap_or(path))).ok().and_then(inside).as_deref()
        == Some(path)
}

fn list(entry: &fs::DirEntry) -> io::Result<Listed> {
    let kind = entry.file_type()?;
    let kind = if kind.is_dir() {
        Kind::Folder
    } else if kind.is_file() {
        Kind::File
    } else if kind.is_symlink() {
        Kind::Symlink(fs::read_link(entry.path())?)
    } else {
        Kind::Other
    };
    Ok(Listed { name: entry.file_name().into(), kind })
}

/// Mount points strictly below `root`, relative to it, from the text of /proc/self/mountinfo (`proc_pid_mountinfo(5)`).
fn mount_points(mountinfo: &str, root: &Path) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter_map(|path| path.strip_prefix(root).map(|p| Path::new("/").join(p)).ok())
        .filter(|path| path != Path::new("/"))
        .collect()
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(part.get(3..).unwrap_or_default());
            }
            None => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> Listed {
        Listed { name: name.into(), kind: Kind::Folder }
    }

    fn paths(list: &[&str]) -> Vec<PathBuf> {
        list.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn shows_folders_and_links_but_neither_mounts_nor_hidden_ones() {
        let listing = [
            Listed { name: "bin".into(), kind: Kind::Symlink("usr/bin".into()) },
            folder("data"),
            folder("proc"),
            folder("usr"),
            Listed { name: "socket".into(), kind: Kind::Other },
        ];
        let entries =
            plan(&listing, &paths(&["/proc", "/data"]), &paths(&["/proc", "/tmp"]), |_| true).unwrap();
        let expected = [
            Entry::Symlink { path: "/bin".into(), target: "usr/bin".into() },
            Entry::Bind { path: "/usr".into(), folder: true, recursive: false },
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn masks_what_is_mounted_or_hidden_inside_a_shown_folder() {
        let mounts = paths(&["/etc/hosts", "/var/lib/secret", "/var/lib/secret/inner"]);
        let entries =
            plan(&[folder("etc"), folder("var")], &mounts, &paths(&["/var/run"]), |p| !p.ends_with("hosts"))
                .unwrap();
        let expected = [
            Entry::Bind { path: "/etc".into(), folder: true, recursive: true },
            Entry::Mask { path: "/etc/hosts".into(), folder: false },
            Entry::Bind { path: "/var".into(), folder: true, recursive: true },
            Entry::Mask { path: "/var/lib/secret".into(), folder: true },
            Entry::Mask { path: "/var/run".into(), folder: true },
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_folder_that_only_hides_is_bound_alone() {
        let entries = plan(&[folder("var")], &[], &paths(&["/var/tmp"]), |_| true).unwrap();
        assert_eq!(entries[0], Entry::Bind { path: "/var".into(), folder: true, recursive: false });
        assert_eq!(entries[1], Entry::Mask { path: "/var/tmp".into(), folder: true });
    }

    #[test]
    fn mount_points_are_unescaped_and_relative_to_the_root() {
        let mountinfo = "22 1 8:1 / / rw - ext4 /dev/sda rw\n\
                         23 22 0:5 / /img/a\\040b rw - tmpfs tmpfs rw\n\
                         24 22 0:6 / /proc rw - proc proc rw\n";
        assert_eq!(mount_points(mountinfo, Path::new("/img")), paths(&["/a b"]));
        assert_eq!(mount_points(mountinfo, Path::new("/")), paths(&["/img/a b", "/proc"]));
    }
}
