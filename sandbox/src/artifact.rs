//! What a box leaves behind, taken out by descriptor: no name that the program could have made is ever followed.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags};

use crate::request::is_plain_path;

/// How much may be taken out of a box.
#[derive(Debug, Clone, Copy)]
pub struct CollectBounds {
    /// Most files.
    pub files: usize,
    /// Most bytes of all files together.
    pub bytes: u64,
    /// Deepest folder below a collected path.
    pub depth: usize,
}

impl Default for CollectBounds {
    fn default() -> Self {
        Self { files: 2048, bytes: 64 << 20, depth: 16 }
    }
}

/// Why leftovers were not taken. All of these are the doing of the program that ran in the box.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Nothing is there by this name.
    #[error("{0}: was not made")]
    Missing(String),
    /// A symbolic link, FIFO, socket or device, or an unreadable file.
    #[error("{0}: is not a readable regular file or folder")]
    NotRegular(String),
    /// More than [`CollectBounds`] allows.
    #[error("{path}: over the bound of {bound}")]
    TooLarge {
        /// Where it was noticed.
        path: String,
        /// The bound, in words.
        bound: String,
    },
    /// A name that isn't UTF-8 or not plainly below the working folder.
    #[error("{0}: is no usable name")]
    BadName(String),
    /// Reading failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A regular file taken out of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFile {
    /// Path relative to the working folder.
    pub path: String,
    /// Whether its owner could execute it.
    pub executable: bool,
    /// Its content.
    pub data: Arc<[u8]>,
}

/// Files taken out of a box, in order of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifact {
    /// The files.
    pub files: Vec<ArtifactFile>,
}

impl Artifact {
    /// Bytes of all files together.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|f| f.data.len() as u64).sum()
    }
}

/// The working folder of a box whose processes are all dead, held by a descriptor. Dropping it frees the memory.
pub struct Leftovers(Option<OwnedFd>);

impl fmt::Debug for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leftovers")
    }
}

impl Leftovers {
    pub(crate) fn new(work: Option<OwnedFd>) -> Self {
        Self(work)
    }

    /// Takes the named files, and folders with all that is in them.
    pub fn collect(&self, paths: &[String], bounds: CollectBounds) -> Result<Artifact, CollectError> {
        let mut collector = Collector { files: Vec::new(), bytes: 0, bounds };
        for path in paths {
            let work = self.0.as_ref().ok_or_else(|| CollectError::Missing(path.clone()))?;
            if !is_plain_path(path) {
                return Err(CollectError::BadName(path.clone()));
            }
            collector.descend(work, path)?;
        }
        collector.files.sort_by(|a, b| a.path.cmp(&b.path));
        collector.files.dedup_by(|a, b| a.path == b.path);
        Ok(Artifact { files: collector.files })
    }
}

struct Collector {
    files: Vec<ArtifactFile>,
    bytes: u64,
    bounds: CollectBounds,
}

impl Collector {
    /// Walks to `path` part by part, so that no folder on the way is a link either.
    fn descend(&mut self, work: &OwnedFd, path: &str) -> Result<(), CollectError> {
        let mut parent: Option<OwnedFd> = None;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let fd = open(parent.as_ref().unwrap_or(work), part, path)?;
            if parts.peek().is_none() {
                return self.take(fd, path, self.bounds.depth);
            }
            parent = Some(fd);
        }
        Ok(())
    }

    fn take(&mut self, fd: OwnedFd, path: &str, depth: usize) -> Result<(), CollectError> {
        let stat = rustix::fs::fstat(&fd).map_err(io_error(path))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.read(fd, path, stat.st_mode & 0o100 != 0),
            FileType::Directory => self.list(&fd, path, depth),
            _ => Err(CollectError::NotRegular(path.to_owned())),
        }
    }

    fn list(&mut self, fd: &OwnedFd, path: &str, depth: usize) -> Result<(), CollectError> {
        let deeper =
            depth.checked_sub(1).ok_or_else(|| too_large(path, format!("{} folders", self.bounds.depth)))?;
        for entry in Dir::read_from(fd).map_err(io_error(path))? {
            let entry = entry.map_err(io_error(path))?;
            let name = entry.file_name().to_str().map_err(|_| CollectError::BadName(format!("{path}/?")))?;
            if matches!(name, "." | "..") {
                continue;
            }
            let path = format!("{path}/{name}");
            if !is_plain_path(&path) {
                return Err(CollectError::BadName(path));
            }
            let child = open(fd, name, &path)?;
            self.take(child, &path, deeper)?;
        }
        Ok(())
    }

    fn read(&mut self, fd: OwnedFd, path: &str, executable: bool) -> Result<(), CollectError> {
        use std::io::Read;
        if self.files.len() >= self.bounds.files {
            return Err(too_large(path, format!("{} files", self.bounds.files)));
        }
        let left = self.bounds.bytes - self.bytes;
        let mut data = Vec::new();
        // One byte beyond the bound tells a file that fits from one that doesn't, whatever its size says.
        std::fs::File::from(fd)
            .take(left + 1)
            .read_to_end(&mut data)
            .map_err(|source| CollectError::Io { path: path.to_owned(), source })?;
        if data.len() as u64 > left {
            return Err(too_large(path, format!("{} bytes", self.bounds.bytes)));
        }
        self.bytes += data.len() as u64;
        self.files.push(ArtifactFile { path: path.to_owned(), executable, data: data.into() });
        Ok(())
    }
}

/// Opens without following a link, waiting for a FIFO's writer or taking a terminal.
fn open(parent: &OwnedFd, name: &str, path: &str) -> Result<OwnedFd, CollectError> {
    use rustix::io::Errno;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => CollectError::Missing(path.to_owned()),
        Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::ACCESS | Errno::NOTDIR => {
            CollectError::NotRegular(path.to_owned())
        }
        other => io_error(path)(other),
    })
}

fn io_error(path: &str) -> impl Fn(rustix::io::Errno) -> CollectError {
    move |errno| CollectError::Io { path: path.to_owned(), source: errno.into() }
}

fn too_large(path: &str, bound: String) -> CollectError {
    CollectError::TooLarge { path: path.to_owned(), bound }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn leftovers(dir: &tempfile::TempDir) -> Leftovers {
        let fd = rustix::fs::open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        Leftovers::new(Some(fd))
    }

    fn collect(dir: &tempfile::TempDir, path: &str) -> Result<Artifact, CollectError> {
        leftovers(dir).collect(&[path.to_owned()], CollectBounds { files: 3, bytes: 10, depth: 2 })
    }

    #[test]
    fn takes_files_and_folders_in_order_of_their_paths() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("classes/p")).unwrap();
        std::fs::write(dir.path().join("classes/p/B.class"), "b").unwrap();
        std::fs::write(dir.path().join("classes/A.class"), "a").unwrap();
        let artifact = collect(&dir, "classes").unwrap();
        let paths: Vec<_> = artifact.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["classes/A.class", "classes/p/B.class"]);
        assert_eq!(artifact.size(), 2);
    }

    #[test]
    fn refuses_whatever_is_no_file_without_blocking() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", dir.path().join("link")).unwrap();
        symlink("/etc", dir.path().join("folder")).unwrap();
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(fifo).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        for name in ["link", "folder/passwd", "folder", "fifo", "socket"] {
            let error = collect(&dir, name).unwrap_err();
            assert!(matches!(error, CollectError::NotRegular(_)), "{name}: {error}");
        }
        assert!(matches!(collect(&dir, "nothing"), Err(CollectError::Missing(_))));
        assert!(matches!(collect(&dir, "../etc"), Err(CollectError::BadName(_))));
    }

    #[test]
    fn a_link_inside_a_collected_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("classes")).unwrap();
        symlink("/etc/passwd", dir.path().join("classes/A.class")).unwrap();
        assert!(matches!(collect(&dir, "classes"), Err(CollectError::NotRegular(_))));
    }

    #[test]
    fn every_bound_bites_at_its_edge() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ten"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("eleven"), [0; 11]).unwrap();
        std::fs::create_dir_all(dir.path().join("deep/1/2")).unwrap();
        std::fs::create_dir(dir.path().join("many")).unwrap();
        for n in 0..4 {
            std::fs::write(dir.path().join(format!("many/{n}")), "").unwrap();
        }
        assert_eq!(collect(&dir, "ten").unwrap().size(), 10);
        for name in ["eleven", "deep", "many"] {
            assert!(matches!(collect(&dir, name), Err(CollectError::TooLarge { .. })), "{name}");
        }
    }
}
