//! Which toolchain this is: part of every artifact's key, so that a new compiler never meets an old artifact.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Largest compiler that is hashed, in bytes.
const MAX_PROGRAM: u64 = 1 << 30;
/// Debian's list of installed packages and their versions: one file that changes whenever a compiler, its parts or its
/// libraries do.
const PACKAGES: &str = "var/lib/dpkg/status";

/// Names the toolchain: by what it was told (an image digest, say), or by looking at its files.
#[derive(Debug)]
pub struct Toolchain {
    root: PathBuf,
    given: Option<String>,
    packages: blake3::Hash,
    programs: Mutex<HashMap<String, blake3::Hash>>,
}

impl Toolchain {
    /// The toolchain whose files are below `root`, known by `given` where somebody knows better.
    pub fn new(root: &Path, given: Option<String>) -> Self {
        let packages = hash_file(&root.join(PACKAGES)).unwrap_or_else(|_| blake3::hash(b"no package list"));
        Self { root: root.to_owned(), given, packages, programs: Mutex::default() }
    }

    /// A text that differs between toolchains whose `program`, an absolute path in it, may make different artifacts.
    pub fn identity(&self, program: &str) -> io::Result<String> {
        if let Some(given) = &self.given {
            return Ok(given.clone());
        }
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = if let Some(hash) = programs.get(program) {
            *hash
        } else {
            let path = fs::canonicalize(self.root.join(program.trim_start_matches('/')))?;
            *programs.entry(program.to_owned()).or_insert(hash_file(&path)?)
        };
        Ok(format!("{}-{}", self.packages.to_hex(), hash.to_hex()))
    }
}

/// A Language may name any path as its compiler: neither a FIFO nor an endless device may hold us up.
fn hash_file(path: &Path) -> io::Result<blake3::Hash> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_PROGRAM {
        return Err(io::Error::other(format!("is no regular file of at most {MAX_PROGRAM} bytes")));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path)?.take(MAX_PROGRAM))?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(dir: &Path, given: Option<&str>) -> String {
        Toolchain::new(dir, given.map(str::to_owned)).identity("/bin/cc").unwrap()
    }

    #[test]
    fn another_compiler_or_package_list_is_another_toolchain() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("bin")).unwrap();
        fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        fs::write(dir.path().join("bin/cc"), "one").unwrap();
        let first = identity(dir.path(), None);
        assert_eq!(first, identity(dir.path(), None));
        fs::write(dir.path().join("var/lib/dpkg/status"), "Package: cc").unwrap();
        let second = identity(dir.path(), None);
        fs::write(dir.path().join("bin/cc"), "two").unwrap();
        let third = identity(dir.path(), None);
        assert!(first != second && second != third);
        assert_eq!(identity(dir.path(), Some("sha256:1")), "sha256:1");
    }

    #[test]
    fn a_compiler_that_is_no_file_has_no_identity() {
        let dir = tempfile::tempdir().unwrap();
        let toolchain = Toolchain::new(Path::new("/"), None);
        assert!(toolchain.identity("/dev/zero").is_err());
        assert!(toolchain.identity("/usr").is_err());
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(toolchain.identity(fifo.to_str().unwrap()).is_err());
        assert!(Toolchain::new(dir.path(), None).identity("/bin/cc").is_err());
    }
}
