//! Labels, annotations and selectors, with bounds.
#![expect(unreachable_pub, reason = "KubeSchema repeats a public struct inside a function")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A label's key: an optional domain and a name.
pub(crate) const KEY: &str = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// A label's value.
pub(crate) const VALUE: &str = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// The schema of labels: at most 32, values as Kubernetes wants them.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": VALUE },
        "x-kubernetes-map-type": "granular",
    })
}

/// The schema of annotations: at most 32 of at most 4096 characters each.
pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-map-type": "granular",
    })
}

/// Which objects are meant, by their labels: those that match all of it. An empty one matches everything.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// matchLabels are labels that the object has with these very values. At most 32 values of at most 63 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub match_labels: BTreeMap<String, String>,

    /// matchExpressions are requirements on the object's labels. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub match_expressions: Vec<LabelRequirement>,
}

/// A requirement on one label.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0"
).message("values must be given for In and NotIn, and for nothing else"))]
pub struct LabelRequirement {
    /// key is the label's key. 1 to 317 characters.
    #[schemars(length(min = 1, max = 317), regex(pattern = KEY))]
    pub key: String,

    /// operator is how the label is compared with values: In, NotIn, Exists or DoesNotExist.
    pub operator: LabelOperator,

    /// values are what In and NotIn compare with. At most 32 of at most 63 characters; none for Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63), regex(pattern = VALUE)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum LabelOperator {
    /// The label is there with one of the values.
    In,
    /// The label is missing or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether an object with `labels` is meant.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let same = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().all(same) && self.match_expressions.iter().all(|one| one.holds(labels))
    }
}

impl LabelRequirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        match self.operator {
            LabelOperator::In => found.is_some_and(|value| self.values.contains(value)),
            LabelOperator::NotIn => found.is_none_or(|value| !self.values.contains(value)),
            LabelOperator::Exists => found.is_some(),
            LabelOperator::DoesNotExist => found.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_meant_as_kubernetes_has_it() {
        let matches = |selector: serde_json::Value, labels: &[(&str, &str)]| {
            let selector: LabelSelector = serde_json::from_value(selector).unwrap();
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            selector.matches(&labels)
        };
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
        let (none, one, two) = ([].as_slice(), [("a", "1")].as_slice(), [("a", "2"), ("b", "1")].as_slice());
        let all =
            |selector: serde_json::Value| [none, one, two].map(|labels| matches(selector.clone(), labels));
        assert_eq!(all(json!({})), [true, true, true]);
        assert_eq!(all(json!({"matchLabels": {"a": "1"}})), [false, true, false]);
        assert_eq!(all(json!({"matchLabels": {"a": "2", "b": "1"}})), [false, false, true]);
        assert_eq!(all(expression("In", &["1", "3"])), [false, true, false]);
        assert_eq!(all(expression("NotIn", &["1", "3"])), [true, false, true]);
        assert_eq!(all(expression("Exists", &[])), [false, true, true]);
        assert_eq!(all(expression("DoesNotExist", &[])), [true, false, false]);
        let mut both = expression("Exists", &[]);
        both["matchLabels"] = json!({"b": "1"});
        assert_eq!(all(both), [false, false, true]);
    }
}
