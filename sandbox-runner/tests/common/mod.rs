//! What the tests of the program share: a folder of their own, objects to write into it, calls of the program.
#![allow(dead_code, reason = "each test that includes this file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

pub(crate) mod schema;
pub(crate) mod table;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sandbox-runner");

/// A path of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A test's own folder, gone afterwards, with the cache in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.path().join(name.as_ref())
    }

    pub(crate) fn write(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes `object` into a file of its kind and name.
    pub(crate) fn object(&self, object: &Value) -> PathBuf {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or("none");
        self.write(format!("{}-{}.json", text("/kind"), text("/metadata/name")), object.to_string())
    }

    /// A call of `judge` with this folder's cache, the project's Languages, and nothing of the environment.
    pub(crate) fn command<P: AsRef<Path>>(&self, options: &[&str], files: &[P]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().stdin(Stdio::null()).arg("judge").arg("--cache-dir").arg(self.path("cache"));
        command.args(options).arg(project("manifests/languages")).args(files.iter().map(AsRef::as_ref));
        command
    }

    pub(crate) fn judge<P: AsRef<Path>>(&self, options: &[&str], files: &[P]) -> Outcome {
        Outcome::of(&self.command(options, files).output().unwrap())
    }

    /// The same with `-o json`, and of it the results.
    pub(crate) fn json<P: AsRef<Path>>(&self, options: &[&str], files: &[P]) -> Outcome {
        self.judge(&[&["-o", "json"], options].concat(), files)
    }
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The printed objects, each with a status within the bounds of the CRD.
    pub(crate) fn items(&self) -> Vec<Value> {
        let list: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        items_of(&list)
    }

    pub(crate) fn item(&self, name: &str) -> Value {
        let named = |item: &Value| item["metadata"]["name"] == name;
        self.items().into_iter().find(named).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        self.item(name)["status"].clone()
    }

    pub(crate) fn verdict(&self, name: &str) -> String {
        self.status(name)["verdict"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether the program came from the cache.
    pub(crate) fn cached(&self, name: &str) -> bool {
        self.status(name)["compile"]["cached"].as_bool().unwrap()
    }

    /// Fails unless the call ended with `code`.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// The items of a List, checked.
pub(crate) fn items_of(list: &Value) -> Vec<Value> {
    assert_eq!(list["kind"], "List");
    let items = list["items"].as_array().unwrap().clone();
    for item in &items {
        assert_eq!(item["kind"], "Submission");
        schema::check_status(&item["status"]);
    }
    items
}

/// A Submission with one test of no input.
pub(crate) fn submission(name: &str, language: &str, source: &str, answer: &str) -> Value {
    let tests = json!([{"name": "1", "answer": answer}]);
    json!({"apiVersion": "kubejudge.dev/v1alpha1", "kind": "Submission", "metadata": {"name": name},
        "spec": {"language": language, "source": {"inline": source}, "tests": tests}})
}

/// One in C that is right.
pub(crate) fn good(name: &str) -> Value {
    submission(name, "c17", "int main(void) { return 0; }", "")
}

/// One that must come out as `verdict`.
pub(crate) fn expecting(verdict: &str, mut submission: Value) -> Value {
    submission["metadata"]["annotations"] = json!({ "kubejudge.dev/expected-verdict": verdict });
    submission
}

/// One of the project's Languages under another name, changed by a JSON merge patch.
pub(crate) fn language(of: &str, name: &str, patch: &Value) -> Value {
    let text = fs::read_to_string(project(&format!("manifests/languages/{of}.yaml"))).unwrap();
    let mut language: Value = serde_saphyr::from_str(&text).unwrap();
    language["metadata"]["name"] = name.into();
    merge(&mut language["spec"], patch);
    language
}

/// Whether `text` can be shown on a terminal and says what it seems to say.
pub(crate) fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| (!c.is_control() || matches!(c, '\n' | '\t')) && c != '\u{202e}')
}

/// A JSON merge patch, RFC 7396.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        match (value, &mut *target) {
            (Value::Null, Value::Object(fields)) => _ = fields.remove(name),
            (_, target) => merge(&mut target[name.as_str()], value),
        }
    }
}
