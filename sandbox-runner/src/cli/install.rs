//! `install`: puts this program where another image's container finds it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Ending;

/// The running program, whatever became of the name it was started by.
const SELF: &str = "/proc/self/exe";
/// Read and run by all, written by its owner alone.
const MODE: u32 = 0o755;

/// Options of `install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The file to write, in a folder that is there. What is in its place is replaced at one stroke.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

/// Why the program was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The path ends in no name.
    #[error("installing to {0}: give the path of a file, such as /opt/kubejudge/sandbox-runner")]
    NoName(PathBuf),
    /// A folder has the name.
    #[error("installing to {0}: a folder is there; give the path of a file in it")]
    Folder(PathBuf),
    /// The program itself can't be read.
    #[error("reading {SELF}: {0}")]
    Source(#[source] io::Error),
    /// The copy can't be written.
    #[error("installing to {path}: {source}")]
    Write {
        /// Where to.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Copies the running program to the path.
pub fn install(args: &InstallArgs) -> anyhow::Result<Ending> {
    copy_to(&args.path)?;
    tracing::info!(path = %args.path.display(), "Installed.");
    Ok(Ending::Judged)
}

/// The copy is made under a name beside `path` and renamed, so that nobody ever runs half of it.
fn copy_to(path: &Path) -> Result<(), InstallError> {
    let beside = name_beside(path)?;
    let refuse = |source| InstallError::Write { path: path.to_owned(), source };
    let mut program = File::open(SELF).map_err(InstallError::Source)?;
    let written = write(&mut program, &beside).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        remove(&beside).map_err(refuse)?;
    }
    written.map_err(refuse)
}

/// The same for each try in a container, whose processes have the same numbers: what a killed one left is replaced.
fn name_beside(path: &Path) -> Result<PathBuf, InstallError> {
    if path.is_dir() {
        return Err(InstallError::Folder(path.to_owned()));
    }
    let name = path.file_name().ok_or_else(|| InstallError::NoName(path.to_owned()))?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(beside))
}

fn write(program: &mut File, path: &Path) -> io::Result<()> {
    remove(path)?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    io::copy(program, &mut copy)?;
    // Whatever the umask took away.
    copy.set_permissions(Permissions::from_mode(MODE))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn the_copy_is_whole_runs_and_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sandbox-runner");
        fs::write(&path, "of an earlier release").unwrap();
        fs::write(name_beside(&path).unwrap(), "left by one that was killed").unwrap();
        copy_to(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(SELF).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
        assert_eq!(names(folder.path()), ["sandbox-runner"]);
    }

    #[test]
    fn a_program_that_runs_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sleep");
        fs::copy("/bin/sleep", &path).unwrap();
        let mut running = std::process::Command::new(&path).arg("60").spawn().unwrap();
        copy_to(&path).unwrap();
        assert_eq!(running.try_wait().unwrap(), None);
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(SELF).unwrap());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: &Path| copy_to(path).unwrap_err().to_string();
        assert!(said(folder.path()).contains("a folder is there"));
        assert!(said(Path::new("/nowhere/at/all")).contains("installing to /nowhere/at/all: No such file"));
        assert!(said(Path::new("..")).contains("a folder is there"));
        assert!(said(Path::new("nowhere/..")).contains("give the path of a file"));
        assert!(names(folder.path()).is_empty());
    }
}
