//! Where programs are found.
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, ensure};

/// Set, the tests take the programs as they are, also if their sources have changed since.
const ANY_BUILD: &str = "KUBEJUDGE_E2E_ANY_BUILD";

/// A program of `e2e/cluster/build`, whose `part` makes it.
pub fn cluster_binary(name: &str, part: &str) -> anyhow::Result<PathBuf> {
    let binary = cluster_home()?.join("bin").join(name);
    ensure!(binary.is_file(), "{} is missing: run `e2e/cluster/build {part}`", binary.display());
    Ok(binary)
}

fn cluster_home() -> anyhow::Result<PathBuf> {
    env::var_os("CLUSTER_HOME").map_or_else(|| cache("cluster"), |home| Ok(home.into()))
}

fn cache(folder: &str) -> anyhow::Result<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("kubejudge").join(folder))
}

/// A program that `e2e/setup STAGE` brings.
pub fn tool(name: &str, stage: &str) -> anyhow::Result<PathBuf> {
    let binary = cache("tools")?.join("bin").join(name);
    ensure!(binary.exists(), "{} is missing: run `e2e/setup {stage}`", binary.display());
    Ok(binary)
}

/// A program of the system, which `package` brings.
pub fn in_path(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut files = env::split_paths(&folders).map(|folder| folder.join(name));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is missing: install the package {package}"))
}

/// A program of this workspace, built beside the running one. Cargo builds only what is tested: an older program would be
/// tested in place of the sources.
pub fn workspace_binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    let folder = own.parent().context("this program is in no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let binary = folder.join(name);
    let build = "run `cargo build --workspace --all-targets`";
    ensure!(binary.is_file(), "{} is missing: {build}", binary.display());
    if env::var_os(ANY_BUILD).is_none()
        && let Some(newer) = newer_source(&binary)?
    {
        anyhow::bail!("{} is newer than {}: {build}, or set {ANY_BUILD}", newer.display(), binary.display());
    }
    Ok(binary)
}

/// A source of `binary` that changed after it was built. Cargo lists them beside it.
fn newer_source(binary: &Path) -> anyhow::Result<Option<PathBuf>> {
    let built = fs::metadata(binary)?.modified()?;
    let list = binary.with_extension("d");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(sources(&text).into_iter().find(|source| changed(source).is_none_or(|time| time > built)))
}

/// None if it is gone.
fn changed(source: &Path) -> Option<SystemTime> {
    fs::metadata(source).and_then(|metadata| metadata.modified()).ok()
}

/// The sources that a dependency file names, which has the form of a Makefile's rule.
fn sources(text: &str) -> Vec<PathBuf> {
    let (_, sources) = text.split_once(": ").unwrap_or_default();
    let hidden_spaces = sources.replace("\\ ", "\0");
    hidden_spaces.split_whitespace().map(|source| source.replace('\0', " ").into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_file_names_sources() {
        let expected = ["/a/src/main.rs", "/a b/lib.rs"].map(PathBuf::from);
        assert_eq!(sources("/t/debug/a: /a/src/main.rs /a\\ b/lib.rs\n"), expected);
    }

    #[test]
    fn a_source_that_changed_later_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let [source, binary] = ["main.rs", "program"].map(|name| dir.path().join(name));
        fs::write(&source, "").unwrap();
        fs::write(&binary, "").unwrap();
        fs::write(dir.path().join("program.d"), format!("program: {}\n", source.display())).unwrap();
        let at = |file: &Path, seconds| {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::open(file).unwrap().set_modified(time).unwrap();
        };
        at(&source, 1);
        at(&binary, 1);
        assert_eq!(newer_source(&binary).unwrap(), None);
        at(&source, 2);
        assert_eq!(newer_source(&binary).unwrap(), Some(source.clone()));
        fs::remove_file(&source).unwrap();
        assert_eq!(newer_source(&binary).unwrap(), Some(source));
    }
}
