//! Checks what stands around an object's spec: apiVersion, kind and metadata.
use serde_json::{Map, Value};

use super::error::{Errors, excerpt};

/// The fields that an object may have beside those that its kind brings.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// The longest DNS subdomain, in characters.
const MAX_NAME: usize = 253;

/// Checks all of `object` but its spec and status, which belong to the schema and to the operator.
pub(super) fn check(object: &Map<String, Value>, api_version: &str, kind: &str, errors: &mut Errors) {
    constant(object, "apiVersion", api_version, errors);
    constant(object, "kind", kind, errors);
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    for field in object.keys().filter(|field| !known.contains(&field.as_str())) {
        errors.add(&excerpt(field), format!("is unknown; known are {}", known.join(", ")));
    }
    match object.get("metadata") {
        Some(Value::Object(metadata)) => check_metadata(metadata, errors),
        None | Some(Value::Null) => errors.add("metadata.name", "is required"),
        Some(other) => errors.add_mistyped("metadata", other, "an object"),
    }
}

fn constant(object: &Map<String, Value>, field: &str, wanted: &str, errors: &mut Errors) {
    match object.get(field) {
        Some(Value::String(found)) if found == wanted => {}
        Some(Value::String(found)) => {
            errors.add(field, format!("is {:?}, must be {wanted:?}", excerpt(found)));
        }
        None | Some(Value::Null) => errors.add(field, format!("is required: {wanted:?}")),
        Some(other) => errors.add_mistyped(field, other, "a string"),
    }
}

fn check_metadata(metadata: &Map<String, Value>, errors: &mut Errors) {
    for field in metadata.keys().filter(|field| !METADATA.contains(&field.as_str())) {
        errors.add(&format!("metadata.{}", excerpt(field)), "is unknown");
    }
    match metadata.get("name") {
        Some(Value::String(name)) if name.len() > MAX_NAME => {
            errors
                .add("metadata.name", format!("is {} characters, at most {MAX_NAME}", name.chars().count()));
        }
        Some(Value::String(name)) if is_subdomain(name) => {}
        Some(Value::String(name)) => errors.add(
            "metadata.name",
            format!(
                "is {:?}, must be lower-case letters, digits, '-' and '.', a letter or digit first and last",
                excerpt(name)
            ),
        ),
        None | Some(Value::Null) => errors.add("metadata.name", "is required"),
        Some(other) => errors.add_mistyped("metadata.name", other, "a string"),
    }
}

/// Whether `name` is a DNS subdomain by RFC 1123, as Kubernetes wants names.
fn is_subdomain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.split('.').all(|label| {
        label.starts_with(plain) && label.ends_with(plain) && label.chars().all(|c| plain(c) || c == '-')
    })
}
