//! Languages and Submissions for tests.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use crds::{Language, Submission};
use serde_json::{Value, json};

/// The name of [`shell`].
pub const SHELL: &str = "shell";

/// A Language that is there on any machine and needs no compiler.
pub fn shell() -> anyhow::Result<Language> {
    let limits =
        json!({ "timeMilliseconds": 5000, "memoryBytes": 64 << 20, "outputBytes": 1 << 20, "processes": 16 });
    let spec = json!({
        "displayName": "POSIX shell", "sourceFile": "main.sh",
        "run": { "command": ["/bin/sh", "main.sh"], "env": [{ "name": "PATH", "value": "/usr/bin:/bin" }] },
        "limits": { "default": limits },
    });
    Ok(Language::new(SHELL, serde_json::from_value(spec)?))
}

/// A Language of manifests/languages.
pub fn language(name: &str) -> anyhow::Result<Language> {
    Ok(serde_json::from_value(manifest(&format!("languages/{name}.yaml"))?)?)
}

/// A Submission with `tests`: inputs and answers. They are named test-1, test-2 ...
pub fn submission(
    name: &str,
    language: &str,
    source: &str,
    tests: &[(&str, &str)],
) -> anyhow::Result<Submission> {
    let tests = tests.iter().enumerate().map(|(i, (input, answer))| {
        let name = format!("test-{}", i + 1);
        json!({ "name": name, "input": input, "answer": answer })
    });
    let spec = json!({
        "language": language,
        "source": { "inline": source },
        "tests": tests.collect::<Vec<_>>(),
    });
    Ok(Submission::new(name, serde_json::from_value(spec)?))
}

/// The least that can be Accepted: a shell program without input or output.
pub fn no_op(name: &str) -> anyhow::Result<Submission> {
    submission(name, SHELL, "true", &[("", "")])
}

/// A file of manifests/.
pub fn manifest(path: &str) -> anyhow::Result<Value> {
    read(&manifests().join(path))
}

/// All files of a folder of manifests/, in the order of their names.
pub fn manifest_folder(folder: &str) -> anyhow::Result<Vec<Value>> {
    let folder = manifests().join(folder);
    let mut files = fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    // By default a bare `y` or `n` in a JSON value is a boolean.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(&text, options).with_context(|| format!("{}", file.display()))
}
