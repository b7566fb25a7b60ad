//! What the border says of an object that it refuses.
use std::fmt;

/// The most errors that are reported of one object.
pub const MAX_ERRORS: usize = 32;
/// The most characters of foreign data that a message or a path repeats.
const MAX_EXCERPT: usize = 40;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FieldError {
    /// Where, such as `spec.tests[3].input`; empty for the object as a whole.
    pub path: String,
    /// What is wrong, for people: the bound, and what was found.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the object {}", self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Collects errors, the first [`MAX_ERRORS`] of them.
#[derive(Debug, Default)]
pub(super) struct Errors {
    list: Vec<FieldError>,
    /// Whether a value has another type than its schema says, so that CEL rules have nothing to go by.
    pub(super) mistyped: bool,
}

impl Errors {
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        if self.list.len() < MAX_ERRORS {
            self.list.push(FieldError { path: path.to_owned(), message: message.into() });
        }
    }

    pub(super) fn add_mistyped(&mut self, path: &str, found: &serde_json::Value, wanted: &str) {
        self.add_mistyped_as(path, described(found), wanted);
    }

    pub(super) fn add_mistyped_as(&mut self, path: &str, found: &str, wanted: &str) {
        self.mistyped = true;
        self.add(path, format!("is {found}, must be {wanted}"));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<FieldError> {
        self.list
    }
}

/// The start of `text`, without control characters and short enough for a message.
pub(super) fn excerpt(text: &str) -> String {
    let mut kept: String = text.chars().take(MAX_EXCERPT).filter(|c| !c.is_control()).collect();
    if text.chars().nth(MAX_EXCERPT).is_some() {
        kept.push('…');
    }
    kept
}

fn described(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}
