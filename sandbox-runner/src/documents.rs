//! The border of `judge`: YAML files in, checked objects out; whatever is wrong with one leaves the others alone.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crds::{FieldError, Language, Submission};
use serde_json::Value;
use serde_saphyr::budget::BudgetBreach;

use crate::excerpt::printable;
use crate::plan::{Plan, plan};

/// Largest file that is read, in bytes. The largest valid Submission is a quarter of it.
const MAX_FILE: u64 = 8 << 20;
/// Most files of one folder.
const MAX_FILES: usize = 10_000;
/// Longest name that is repeated, that of a valid object.
const MAX_NAME: usize = 253;
/// Most characters of anything else that a message repeats.
const MAX_REPEATED: usize = 40;

/// Something in the input that can't be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The file it is in.
    pub file: PathBuf,
    /// The Submission's name, if it is one and has one.
    pub name: Option<String>,
    /// What is wrong.
    pub errors: Vec<FieldError>,
}

/// A Submission as read, with what is to be done for it.
#[derive(Debug)]
pub struct Readable {
    /// The object.
    pub submission: Submission,
    /// What it asks for.
    pub plan: Plan,
}

/// All that was read: what can be judged and what can't, each in order.
#[derive(Debug, Default)]
pub struct Input {
    /// Submissions to judge.
    pub readable: Vec<Readable>,
    /// Objects and files that were refused.
    pub refused: Vec<Refused>,
}

/// Reads files, and folders of `*.yaml`, `*.yml` and `*.json` files.
pub fn read(paths: &[PathBuf], max_source: usize) -> Input {
    let mut objects = Objects::default();
    for path in paths {
        match files(path) {
            Ok(files) => files.iter().for_each(|file| objects.read(file)),
            Err(error) => objects.refuse(path, None, vec![unreadable(&error)]),
        }
    }
    objects.resolve(max_source)
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let named = file.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known));
        if named && !file.is_dir() {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(io::Error::other(format!("more than {MAX_FILES} files in one folder")));
        }
    }
    if files.is_empty() {
        return Err(io::Error::other("holds no file named *.yaml, *.yml or *.json"));
    }
    files.sort();
    Ok(files)
}

#[derive(Default)]
struct Objects {
    languages: BTreeMap<String, Language>,
    /// Data of `ConfigMap`s by namespace and name.
    config_maps: BTreeMap<(String, String), Value>,
    submissions: Vec<(PathBuf, Submission)>,
    refused: Vec<Refused>,
}

impl Objects {
    fn refuse(&mut self, file: &Path, name: Option<String>, errors: Vec<FieldError>) {
        self.refused.push(Refused { file: file.to_owned(), name, errors });
    }

    fn read(&mut self, file: &Path) {
        let value = match document(file) {
            Ok(value) => value,
            Err(error) => return self.refuse(file, None, vec![error]),
        };
        let kind = value.get("kind").and_then(Value::as_str);
        let name = value.pointer("/metadata/name").and_then(Value::as_str);
        let name =
            name.filter(|name| kind == Some("Submission") && name.len() <= MAX_NAME).map(str::to_owned);
        let result = match kind {
            Some("Submission") => crds::validate(&value).and_then(|s| self.add_submission(file, s)),
            Some("Language") => crds::validate(&value).and_then(|l| self.add_language(l)),
            Some("ConfigMap") => self.add_config_map(&value),
            Some(kind) => {
                let kind = printable(kind.as_bytes(), MAX_REPEATED);
                Err(vec![at("kind", format!("is {kind:?}; judge reads Submission, Language and ConfigMap"))])
            }
            None => {
                Err(vec![at("kind", "is no text or missing; judge reads Submission, Language and ConfigMap")])
            }
        };
        if let Err(errors) = result {
            self.refuse(file, name, errors);
        }
    }

    fn add_submission(&mut self, file: &Path, submission: Submission) -> Result<(), Vec<FieldError>> {
        let same = |other: &Submission| key(&other.metadata) == key(&submission.metadata);
        if let Some((first, _)) = self.submissions.iter().find(|(_, other)| same(other)) {
            return Err(vec![at("metadata.name", format!("is used by {} already", first.display()))]);
        }
        self.submissions.push((file.to_owned(), submission));
        Ok(())
    }

    fn add_language(&mut self, language: Language) -> Result<(), Vec<FieldError>> {
        match self.languages.entry(language.metadata.name.clone().unwrap_or_default()) {
            Entry::Occupied(_) => Err(vec![at("metadata.name", "is used by another Language already")]),
            Entry::Vacant(place) => {
                place.insert(language);
                Ok(())
            }
        }
    }

    fn add_config_map(&mut self, value: &Value) -> Result<(), Vec<FieldError>> {
        let text = |pointer| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let name = text("/metadata/name").ok_or_else(|| vec![at("metadata.name", "is missing")])?;
        let namespace = text("/metadata/namespace").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        match self.config_maps.entry((namespace, name)) {
            Entry::Occupied(_) => Err(vec![at("metadata.name", "is used by another ConfigMap already")]),
            Entry::Vacant(place) => {
                place.insert(value.get("data").cloned().unwrap_or_default());
                Ok(())
            }
        }
    }

    fn resolve(self, max_source: usize) -> Input {
        let Self { languages, config_maps, submissions, refused } = self;
        let mut input = Input { readable: Vec::new(), refused };
        for (file, submission) in submissions {
            match resolve(&submission, &languages, &config_maps, max_source) {
                Ok(plan) => input.readable.push(Readable { submission, plan }),
                Err(errors) => {
                    let name = submission.metadata.name.clone();
                    input.refused.push(Refused { file, name, errors });
                }
            }
        }
        input
    }
}

const DEFAULT_NAMESPACE: &str = "default";

fn key(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> (&str, Option<&str>) {
    (metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE), metadata.name.as_deref())
}

fn resolve(
    submission: &Submission,
    languages: &BTreeMap<String, Language>,
    config_maps: &BTreeMap<(String, String), Value>,
    max_source: usize,
) -> Result<Plan, Vec<FieldError>> {
    let source = source(submission, config_maps, max_source).map_err(|e| vec![e])?;
    let wanted = &submission.spec.language;
    let language = languages.get(wanted).ok_or_else(|| {
        let known: Vec<&str> = languages.keys().map(String::as_str).collect();
        vec![at(
            "spec.language",
            format!("no Language {wanted:?} was given; known are: {}", known.join(", ")),
        )]
    })?;
    plan(submission, language, &source)
}

fn source(
    submission: &Submission,
    config_maps: &BTreeMap<(String, String), Value>,
    max: usize,
) -> Result<String, FieldError> {
    crds::check_source_size(&submission.spec, max)?;
    let Some(reference) = &submission.spec.source.config_map_ref else {
        return Ok(submission.spec.source.inline.clone().unwrap_or_default());
    };
    let path = "spec.source.configMapRef";
    let namespace = key(&submission.metadata).0.to_owned();
    let data = config_maps
        .get(&(namespace, reference.name.clone()))
        .ok_or_else(|| at(&format!("{path}.name"), format!("no ConfigMap {:?} was given", reference.name)))?;
    let text = data.get(&reference.key).and_then(Value::as_str).ok_or_else(|| {
        at(&format!("{path}.key"), format!("ConfigMap {:?} has no text {:?}", reference.name, reference.key))
    })?;
    match text.len() {
        0 => Err(at(&format!("{path}.key"), "the text is empty")),
        length if length > max => {
            Err(at(&format!("{path}.key"), format!("the text is {length} bytes, at most {max}")))
        }
        _ => Ok(text.to_owned()),
    }
}

fn at(path: &str, message: impl Into<String>) -> FieldError {
    FieldError { path: path.to_owned(), message: message.into() }
}

/// The one document of a file.
fn document(file: &Path) -> Result<Value, FieldError> {
    let bytes = read_bounded(file).map_err(|error| unreadable(&error))?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(&bytes, error.valid_up_to())),
    };
    let mut documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| no_yaml(&error))?;
    match (documents.len(), documents.pop()) {
        (1, Some(value)) => Ok(value),
        (0, _) => Err(at("", "the file is empty: it holds no document")),
        (count, _) => Err(at("", several(count, text))),
    }
}

/// A `---` in the first column parts documents wherever it stands, inside texts too.
fn several(count: usize, text: &str) -> String {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_start_matches('\u{feff}')));
    let begun = |line: &str| !line.is_empty() && !line.starts_with(['#', '%']) && !line.starts_with("---");
    let first = lines.find(|(_, line)| begun(line)).map_or(0, |(at, _)| at);
    let second = lines.find(|(_, line)| line.starts_with("---")).map_or(first, |(at, _)| at);
    format!(
        "the file holds {count} documents, the second from line {second} on (---); give each a file of its own"
    )
}

fn unreadable(error: &io::Error) -> FieldError {
    at("", format!("the file can't be read: {error}"))
}

fn no_yaml(error: &serde_saphyr::Error) -> FieldError {
    if let Some(breach) = breach(error) {
        let place = error.location().map(|l| format!(" (line {}, column {})", l.line(), l.column()));
        let excess = excess(breach);
        return at("", format!("the file is too much to read: {excess}{}", place.unwrap_or_default()));
    }
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    at("", format!("the file is no YAML that can be read: {}", text.lines().next().unwrap_or_default()))
}

/// The limit that was broken, inside an alias perhaps.
fn breach(error: &serde_saphyr::Error) -> Option<&BudgetBreach> {
    match error {
        serde_saphyr::Error::Budget { breach, .. } => Some(breach),
        serde_saphyr::Error::AliasError { error, .. } => breach(error),
        _ => None,
    }
}

/// What of a document is more than [`options`] allow.
fn excess(breach: &BudgetBreach) -> &'static str {
    match breach {
        BudgetBreach::Depth { .. } => "lists or objects inside each other too deep",
        BudgetBreach::RecordedAnchorEvents { .. }
        | BudgetBreach::RecordedAnchorBytes { .. }
        | BudgetBreach::Aliases { .. }
        | BudgetBreach::Anchors { .. }
        | BudgetBreach::AliasAnchorRatio { .. } => "too many aliases (*), or aliases of aliases",
        BudgetBreach::Documents { .. } => "too many documents (---)",
        BudgetBreach::ScalarBytes { .. } => "texts too long, with what aliases (*) repeat",
        _ => "too many values, with what aliases (*) repeat",
    }
}

fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its writer, and a device may have no end.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("larger than {MAX_FILE} bytes")));
    }
    Ok(bytes)
}

/// What a document may cost. Objects of ours need no aliases; a few are let through for people's conveniences.
fn options() -> serde_saphyr::Options {
    let budget = serde_saphyr::budget! {
        max_aliases: 64,
        max_anchors: 64,
        max_depth: 64,
        max_nodes: 100_000,
        max_recorded_anchor_events: 10_000,
    };
    // `answer: y` is a text, as every Kubernetes tool of the last years reads it.
    serde_saphyr::options! { budget: budget, strict_booleans: true, with_snippet: false }
}

/// Names the field that holds the bytes: they are replaced, and whatever text has the replacement is it.
fn not_utf8(bytes: &[u8], offset: usize) -> FieldError {
    let line = bytes.iter().take(offset).filter(|b| **b == b'\n').count() + 1;
    let text = String::from_utf8_lossy(bytes);
    let value: Option<Value> = serde_saphyr::from_str_with_options(&text, options()).ok();
    match value.and_then(|v| damaged(&v, String::new())) {
        Some(path) => at(&path, format!("is not UTF-8 in line {line} of the file")),
        None => at("", format!("the file is not UTF-8 in line {line}")),
    }
}

fn damaged(value: &Value, path: String) -> Option<String> {
    match value {
        Value::String(text) => text.contains(char::REPLACEMENT_CHARACTER).then_some(path),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| damaged(item, format!("{path}[{n}]")))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            damaged(field, if path.is_empty() { name.clone() } else { format!("{path}.{name}") })
        }),
        _ => None,
    }
}
