//! Checks a status by the schema of the CRD as it is checked in: types, bounds, known fields.

use std::fs;
use std::sync::OnceLock;

use serde_json::Value;

/// Largest status in bytes.
const MAX_STATUS: usize = 256 << 10;

/// Fails if `status` is none that an API server would take, or is too large.
pub(crate) fn check_status(status: &Value) {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let mut faults = Vec::new();
    check("status", SCHEMA.get_or_init(schema), status, &mut faults);
    assert!(faults.is_empty(), "{faults:#?} in {status:#}");
    assert!(status.to_string().len() <= MAX_STATUS);
}

fn schema() -> Value {
    let text = fs::read_to_string(super::project("crds/submissions.yaml")).unwrap();
    let crd: Value = serde_saphyr::from_str(&text).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    assert!(schema.is_object(), "the CRD has no schema of the status");
    schema.clone()
}

fn check(path: &str, schema: &Value, value: &Value, faults: &mut Vec<String>) {
    let known = match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(_)) => return check_object(path, schema, value, faults),
        (Some("array"), Value::Array(items)) => return check_list(path, schema, items, faults),
        (Some("string"), Value::String(text)) => text_fits(schema, text),
        (Some("integer"), Value::Number(number)) => number.as_i64().is_some_and(|n| number_fits(schema, n)),
        (Some("boolean"), Value::Bool(_)) => true,
        _ => false,
    };
    if !known {
        faults.push(format!("{path} breaks {schema}"));
    }
}

fn text_fits(schema: &Value, text: &str) -> bool {
    let length = text.chars().count() as u64;
    let listed = schema["enum"].as_array().is_none_or(|all| all.iter().any(|one| one == text));
    listed && schema["maxLength"].as_u64().is_none_or(|most| length <= most)
}

fn number_fits(schema: &Value, number: i64) -> bool {
    let bound = |name: &str| schema[name].as_f64();
    #[expect(clippy::cast_precision_loss, reason = "a schema's bounds are below 2^53")]
    let number = number as f64;
    bound("minimum").is_none_or(|least| number >= least) && bound("maximum").is_none_or(|most| number <= most)
}

fn check_list(path: &str, schema: &Value, items: &[Value], faults: &mut Vec<String>) {
    if schema["maxItems"].as_u64().is_some_and(|most| items.len() as u64 > most) {
        faults.push(format!("{path} has {} items", items.len()));
    }
    for (at, item) in items.iter().enumerate() {
        check(&format!("{path}[{at}]"), &schema["items"], item, faults);
    }
}

fn check_object(path: &str, schema: &Value, value: &Value, faults: &mut Vec<String>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            faults.push(format!("{path}.{name} is missing"));
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => check(&format!("{path}.{name}"), schema, field, faults),
            None => faults.push(format!("{path}.{name} is unknown")),
        }
    }
}
