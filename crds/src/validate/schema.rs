//! A CRD's structural schema, compiled into what checking needs.
use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex_lite::Regex;
use serde_json::Value;

/// A schema that uses what the border does not understand. Never seen outside of tests: the schemas are our own.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// A type, or a use of one, that none of our schemas has.
    #[error("the schema of {0:?} is not supported")]
    Unsupported(String),
    /// A pattern that does not compile.
    #[error("the schema has a bad pattern: {0}")]
    Pattern(#[from] regex_lite::Error),
    /// A schema that JSON cannot express.
    #[error("the schema is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// One value's schema.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) default: Option<Value>,
    pub(super) shape: Shape,
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Shape {
    Object { properties: BTreeMap<String, Node>, required: Vec<String> },
    Map { values: Box<Node>, max: usize },
    List { items: Box<Node>, min: usize, max: usize, unique: Unique },
    Text { min: usize, max: usize, pattern: Option<Regex>, options: Vec<String> },
    Integer { min: i64, max: i64 },
    IntegerOrText { min: i64, max: i64, longest: usize, pattern: Option<Regex> },
    Boolean,
}

/// What tells a list's entries from each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unique {
    No,
    Whole,
    Keys(Vec<String>),
}

impl Node {
    /// Compiles `schema`, which stands at `path`.
    pub(super) fn compile(schema: &JSONSchemaProps, path: &str) -> Result<Self, SchemaError> {
        let shape = match schema.type_.as_deref() {
            Some("object") => object(schema, path)?,
            Some("array") => list(schema, path)?,
            Some("string") => text(schema, path)?,
            Some("integer") => {
                Shape::Integer { min: bound(schema.minimum, i64::MIN), max: bound(schema.maximum, i64::MAX) }
            }
            Some("boolean") => Shape::Boolean,
            None if schema.x_kubernetes_int_or_string == Some(true) => Shape::IntegerOrText {
                min: bound(schema.minimum, i64::MIN),
                max: bound(schema.maximum, i64::MAX),
                longest: size(schema.max_length, usize::MAX),
                pattern: schema.pattern.as_deref().map(Regex::new).transpose()?,
            },
            _ => return Err(SchemaError::Unsupported(path.to_owned())),
        };
        Ok(Self { default: schema.default.as_ref().map(|default| default.0.clone()), shape })
    }
}

fn object(schema: &JSONSchemaProps, path: &str) -> Result<Shape, SchemaError> {
    let unsupported = || SchemaError::Unsupported(path.to_owned());
    if schema.x_kubernetes_preserve_unknown_fields.is_some() {
        return Err(unsupported());
    }
    if let Some(values) = &schema.additional_properties {
        let JSONSchemaPropsOrBool::Schema(values) = values else { return Err(unsupported()) };
        let values = Box::new(Node::compile(values, &format!("{path}[]"))?);
        return Ok(Shape::Map { values, max: size(schema.max_properties, usize::MAX) });
    }
    let properties = schema.properties.iter().flatten();
    let compiled =
        properties.map(|(name, child)| Ok((name.clone(), Node::compile(child, &format!("{path}.{name}"))?)));
    Ok(Shape::Object {
        properties: compiled.collect::<Result<_, SchemaError>>()?,
        required: schema.required.clone().unwrap_or_default(),
    })
}

fn list(schema: &JSONSchemaProps, path: &str) -> Result<Shape, SchemaError> {
    let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else {
        return Err(SchemaError::Unsupported(path.to_owned()));
    };
    let unique = match schema.x_kubernetes_list_type.as_deref() {
        Some("map") => Unique::Keys(schema.x_kubernetes_list_map_keys.clone().unwrap_or_default()),
        Some("set") => Unique::Whole,
        _ => Unique::No,
    };
    Ok(Shape::List {
        items: Box::new(Node::compile(items, &format!("{path}[]"))?),
        min: size(schema.min_items, 0),
        max: size(schema.max_items, usize::MAX),
        unique,
    })
}

fn text(schema: &JSONSchemaProps, path: &str) -> Result<Shape, SchemaError> {
    if schema.format.is_some() {
        return Err(SchemaError::Unsupported(path.to_owned()));
    }
    let options = schema.enum_.iter().flatten().filter_map(|option| option.0.as_str().map(str::to_owned));
    Ok(Shape::Text {
        min: size(schema.min_length, 0),
        max: size(schema.max_length, usize::MAX),
        pattern: schema.pattern.as_deref().map(Regex::new).transpose()?,
        options: options.collect(),
    })
}

fn size(bound: Option<i64>, otherwise: usize) -> usize {
    bound.and_then(|bound| usize::try_from(bound).ok()).unwrap_or(otherwise)
}

/// JSON schemas hold bounds as floating-point numbers; ours are below 2^53, where those are exact.
#[expect(clippy::cast_possible_truncation, reason = "a bound beyond i64 saturates, which is what it means")]
fn bound(bound: Option<f64>, otherwise: i64) -> i64 {
    bound.map_or(otherwise, |bound| bound as i64)
}
