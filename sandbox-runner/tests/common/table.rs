//! Spells out what tables of cases write short: {$repeat: text, $times: n} and {$each: value, $times: n}.

use serde_json::{Map, Value};

/// `value` with the long texts and lists spelled out.
pub(crate) fn expanded(value: &Value, i: usize) -> Value {
    match value {
        Value::Object(fields) => long(fields)
            .unwrap_or_else(|| fields.iter().map(|(name, v)| (name.clone(), expanded(v, i))).collect()),
        Value::Array(items) => items.iter().map(|item| expanded(item, i)).collect(),
        Value::String(text) => text.replace("$i", &i.to_string()).into(),
        other => other.clone(),
    }
}

fn long(fields: &Map<String, Value>) -> Option<Value> {
    let times = usize::try_from(fields.get("$times")?.as_u64()?).ok()?;
    match (fields.get("$repeat"), fields.get("$each")) {
        (Some(text), _) => Some(text.as_str()?.repeat(times).into()),
        (None, each) => Some((0..times).filter_map(|i| Some(expanded(each?, i))).collect()),
    }
}
