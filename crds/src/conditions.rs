//! The bounded schema of `status.conditions`: the one of k8s-openapi has neither bounds nor keys.
use schemars::{Schema, SchemaGenerator, json_schema};

/// The schema of a list of `metav1.Condition`, with the bounds of the Go type's own validation markers.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "What is known of the object's state. At most 8 entries, one per type.",
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "description": "One aspect of the object's state.",
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": properties(),
        },
    })
}

fn properties() -> serde_json::Value {
    serde_json::json!({
        "lastTransitionTime": {
            "description": "When the condition last changed its status.",
            "type": "string",
            "format": "date-time",
        },
        "message": {
            "description": "What happened, for people. At most 1024 characters.",
            "type": "string",
            "maxLength": 1024,
        },
        "observedGeneration": {
            "description": "The metadata.generation that the condition speaks of.",
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "maximum": 9_007_199_254_740_991_i64,
        },
        "reason": {
            "description": "Why the condition has its status, in one CamelCase word for programs.",
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "status": {
            "description": "Whether the condition holds.",
            "type": "string",
            "enum": ["True", "False", "Unknown"],
        },
        "type": {
            "description": "The condition's name in CamelCase.",
            "type": "string",
            "minLength": 1,
            "maxLength": 63,
            "pattern": "^[A-Za-z]([A-Za-z0-9]*[A-Za-z0-9])?$",
        },
    })
}
