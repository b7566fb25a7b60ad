//! Checks a value against a compiled schema, and completes it by the schema's defaults.
use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::{
    error::{Errors, excerpt},
    schema::{Node, Shape, Unique},
};

/// Reports all that is wrong with `value`, which stands at `path`, and returns what the server would store: without unknown
/// fields and nulls, with defaults. How deep it goes is bounded by the schema, not by the value.
pub(super) fn check(node: &Node, value: &Value, path: &str, errors: &mut Errors) -> Value {
    match (&node.shape, value) {
        (Shape::Object { properties, required }, Value::Object(fields)) => {
            return object(properties, required, fields, path, errors);
        }
        (Shape::Map { values, max }, Value::Object(fields)) => {
            return map(values, *max, fields, path, errors);
        }
        (Shape::List { items, min, max, unique }, Value::Array(entries)) => {
            size("entries", entries.len(), *min, *max, path, errors);
            duplicates(unique, entries, path, errors);
            let kept = entries.iter().take(*max).enumerate();
            return kept.map(|(i, entry)| check(items, entry, &format!("{path}[{i}]"), errors)).collect();
        }
        (Shape::Text { min, max, pattern, options }, Value::String(text)) => {
            size("characters", text.chars().count(), *min, *max, path, errors);
            wording(text, *max, pattern.as_ref(), options, path, errors);
        }
        (Shape::Integer { min, max } | Shape::IntegerOrText { min, max, .. }, Value::Number(number)) => {
            integer(number, *min, *max, path, errors);
        }
        (Shape::IntegerOrText { longest, pattern, .. }, Value::String(text)) => {
            size("characters", text.chars().count(), 1, *longest, path, errors);
            wording(text, *longest, pattern.as_ref(), &[], path, errors);
        }
        (Shape::Boolean, Value::Bool(_)) => {}
        (shape, found) => errors.add_mistyped(path, found, wanted(shape)),
    }
    value.clone()
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::Object { .. } | Shape::Map { .. } => "an object",
        Shape::List { .. } => "a list",
        Shape::Text { .. } => "a string",
        Shape::Integer { .. } => "an integer",
        Shape::IntegerOrText { .. } => "a whole number or a string",
        Shape::Boolean => "a boolean",
    }
}

fn object(
    properties: &BTreeMap<String, Node>,
    required: &[String],
    fields: &Map<String, Value>,
    path: &str,
    errors: &mut Errors,
) -> Value {
    for name in fields.keys().filter(|name| !properties.contains_key(*name)) {
        let known = properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        errors.add(&format!("{path}.{}", excerpt(name)), format!("is unknown; known are {known}"));
    }
    let mut kept = Map::new();
    for (name, node) in properties {
        let here = format!("{path}.{name}");
        match (fields.get(name), &node.default) {
            // As the server has it: a null is an absent field.
            (None | Some(Value::Null), Some(default)) => _ = kept.insert(name.clone(), default.clone()),
            (None | Some(Value::Null), None) if required.contains(name) => errors.add(&here, "is required"),
            (None | Some(Value::Null), None) => {}
            (Some(value), _) => _ = kept.insert(name.clone(), check(node, value, &here, errors)),
        }
    }
    Value::Object(kept)
}

fn map(values: &Node, max: usize, fields: &Map<String, Value>, path: &str, errors: &mut Errors) -> Value {
    size("entries", fields.len(), 0, max, path, errors);
    let kept = fields.iter().take(max);
    kept.map(|(key, value)| (key.clone(), check(values, value, &format!("{path}.{}", excerpt(key)), errors)))
        .collect()
}

fn size(unit: &str, found: usize, min: usize, max: usize, path: &str, errors: &mut Errors) {
    let verb = if unit == "entries" { "has" } else { "is" };
    if found == 0 && min > 0 {
        errors.add(path, "must not be empty");
    } else if found < min {
        errors.add(path, format!("{verb} {found} {unit}, at least {min}"));
    } else if found > max {
        errors.add(path, format!("{verb} {found} {unit}, at most {max}"));
    }
}

fn wording(
    text: &str,
    max: usize,
    pattern: Option<&Regex>,
    options: &[String],
    path: &str,
    errors: &mut Errors,
) {
    if !options.is_empty() && !options.iter().any(|option| option == text) {
        errors.add(path, format!("is {:?}, must be one of {}", excerpt(text), options.join(", ")));
    }
    // Neither an empty nor an overlong text needs a second complaint, and a pattern's work is bounded with its text.
    let worth_matching = !text.is_empty() && text.len() <= max.saturating_mul(4);
    if let Some(pattern) = pattern.filter(|pattern| worth_matching && !pattern.is_match(text)) {
        errors.add(path, format!("is {:?}, must match {pattern}", excerpt(text)));
    }
}

fn integer(number: &serde_json::Number, min: i64, max: i64, path: &str, errors: &mut Errors) {
    match number.as_i64() {
        Some(value) if value < min => errors.add(path, format!("is {value}, at least {min}")),
        Some(value) if value > max => errors.add(path, format!("is {value}, at most {max}")),
        Some(_) => {}
        None if number.is_u64() => errors.add(path, format!("is {number}, at most {max}")),
        None => errors.add_mistyped_as(path, "a fraction", "an integer"),
    }
}

fn duplicates(unique: &Unique, entries: &[Value], path: &str, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, entry) in entries.iter().enumerate() {
        let Some(identity) = identity(unique, entry) else {
            continue;
        };
        let shown = identity.join(", ");
        if !seen.insert(identity) {
            errors.add(
                &format!("{path}[{i}]"),
                format!("is a duplicate: {:?} was there before", excerpt(&shown)),
            );
        }
    }
}

/// What tells `entry` from its neighbors; nothing if it is malformed, which is reported where it is.
fn identity<'a>(unique: &Unique, entry: &'a Value) -> Option<Vec<&'a str>> {
    match unique {
        Unique::No => None,
        Unique::Whole => entry.as_str().map(|text| vec![text]),
        Unique::Keys(keys) => keys.iter().map(|key| entry.get(key).and_then(Value::as_str)).collect(),
    }
}
