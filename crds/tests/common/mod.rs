//! Reads the tables of valid and invalid objects in tests/cases. The end-to-end tests read them too, for the real API server.
#![allow(dead_code, reason = "each test that includes this file uses a part of it")]

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One object, or one change of one, and what is to be said of it.
#[derive(Debug)]
pub(crate) struct Case {
    /// What the case is about.
    pub(crate) name: String,
    /// The object, or the old one.
    pub(crate) object: Value,
    /// What it is changed to.
    pub(crate) update: Option<Value>,
    /// All that the border says; empty for a valid case.
    pub(crate) errors: Vec<Expected>,
    /// Parts of what the server says.
    pub(crate) server: Vec<String>,
}

/// An error by its path and a part of its message.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) path: String,
    pub(crate) message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    base: Value,
    cases: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    patch: Value,
    update: Option<Value>,
    #[serde(default)]
    errors: Vec<Expected>,
    #[serde(default)]
    server: Vec<String>,
}

/// The tables, each with the kind of its objects.
const TABLES: [(&str, &str); 4] = [
    ("Submission", include_str!("../cases/submission.yaml")),
    ("Submission", include_str!("../cases/submission-update.yaml")),
    ("Language", include_str!("../cases/language.yaml")),
    ("WorkerPool", include_str!("../cases/worker-pool.yaml")),
];

/// All cases of objects of `kind`.
pub(crate) fn cases(kind: &str) -> Vec<Case> {
    // By default a bare `y` or `n` in a JSON value is a boolean.
    let options = serde_saphyr::options! { strict_booleans: true };
    let table = |text| serde_saphyr::from_str_with_options(text, options.clone()).unwrap();
    let tables = TABLES.iter().filter(|(of, _)| *of == kind);
    tables.flat_map(|(_, text)| parsed(table(text))).collect()
}

fn parsed(table: Table) -> Vec<Case> {
    let base = table.base;
    table.cases.into_iter().map(|row| case(&base, row)).collect()
}

fn case(base: &Value, row: Row) -> Case {
    let mut object = base.clone();
    if row.patch.is_object() {
        merge(&mut object, &expanded(&row.patch, 0));
    }
    let update = row.update.map(|patch| {
        let mut new = object.clone();
        merge(&mut new, &expanded(&patch, 0));
        new
    });
    let server = if row.server.is_empty() {
        row.errors.iter().map(|error| error.message.clone()).collect()
    } else {
        row.server
    };
    Case { name: row.name, object, update, errors: row.errors, server }
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
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    for (name, value) in patch {
        match value {
            Value::Null => _ = fields.remove(name),
            value => merge(fields.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
}

/// `value` with the long texts and lists spelled out.
fn expanded(value: &Value, i: usize) -> Value {
    match value {
        Value::Object(fields) => match long(fields) {
            Some(value) => value,
            None => fields.iter().map(|(name, value)| (name.clone(), expanded(value, i))).collect(),
        },
        Value::Array(items) => items.iter().map(|item| expanded(item, i)).collect(),
        Value::String(text) => text.replace("$i", &i.to_string()).into(),
        other => other.clone(),
    }
}

fn long(fields: &Map<String, Value>) -> Option<Value> {
    let times = usize::try_from(fields.get("$times")?.as_u64()?).ok()?;
    match (fields.get("$repeat"), fields.get("$each")) {
        (Some(text), _) => Some(text.as_str()?.repeat(times).into()),
        (None, Some(item)) => Some((0..times).map(|i| expanded(item, i)).collect()),
        (None, None) => None,
    }
}
