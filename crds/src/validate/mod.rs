//! The border: checks an object by the very schema and CEL rules of its CRD, and makes the typed object of it.
mod error;
mod metadata;
mod schema;
mod structure;

use std::sync::OnceLock;

use kube::{
    CustomResourceExt, Resource,
    core::cel::{self, CompiledSchema, ErrorKind},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use error::{Errors, excerpt};
pub use error::{FieldError, MAX_ERRORS};
use schema::{Node, SchemaError};

use crate::{Language, Submission, WorkerPool, generate::tidied};

/// A kind of ours that can be checked.
pub trait Checked: Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned {
    /// The kind's compiled schema; made at its first use.
    #[doc(hidden)]
    fn border() -> &'static Border;
}

macro_rules! checked {
    ($($kind:ty),*) => {$(
        impl Checked for $kind {
            fn border() -> &'static Border {
                static BORDER: OnceLock<Border> = OnceLock::new();
                BORDER.get_or_init(|| Border(Compiled::of::<Self>()))
            }
        }
    )*};
}
checked!(Submission, Language, WorkerPool);

/// A kind's compiled schema, or why there is none.
#[derive(Debug)]
pub struct Border(Result<Compiled, SchemaError>);

#[derive(Debug)]
struct Compiled {
    spec: Node,
    rules: CompiledSchema,
}

impl Compiled {
    /// Compiles the schema without the status: that is the operator's, and no user's object is refused for it.
    fn of<K: CustomResourceExt>() -> Result<Self, SchemaError> {
        let version = tidied(K::crd()).spec.versions.into_iter().next();
        let schema = version.and_then(|version| version.schema).and_then(|schema| schema.open_api_v3_schema);
        let unsupported = || SchemaError::Unsupported(String::new());
        let mut schema = schema.ok_or_else(unsupported)?;
        let properties = schema.properties.as_mut().ok_or_else(unsupported)?;
        properties.remove("status");
        let spec = Node::compile(properties.get("spec").ok_or_else(unsupported)?, "spec")?;
        Ok(Self { spec, rules: cel::compile_schema(&serde_json::to_value(&schema)?) })
    }
}

/// Checks `value` as a server would that is asked to create it, with unknown fields as errors, and returns the object with the
/// schema's defaults. Its status is ignored and left out.
///
/// # Errors
///
/// All that is wrong, the first [`MAX_ERRORS`] of it.
pub fn validate<K: Checked>(value: &Value) -> Result<K, Vec<FieldError>> {
    run::<K>(None, value)
}

/// Checks `new` as a server would that is asked to replace `old` by it: all of [`validate()`], and what must not change.
///
/// # Errors
///
/// All that is wrong, the first [`MAX_ERRORS`] of it.
pub fn validate_update<K: Checked>(old: &Value, new: &Value) -> Result<K, Vec<FieldError>> {
    run::<K>(Some(old), new)
}

fn run<K: Checked>(old: Option<&Value>, new: &Value) -> Result<K, Vec<FieldError>> {
    let compiled = K::border().0.as_ref().map_err(|error| {
        vec![FieldError { path: String::new(), message: format!("cannot be checked: {error}") }]
    })?;
    let mut errors = Errors::default();
    let bare = bare::<K>(compiled, new, &mut errors);
    let old = old.map(|old| bare_old::<K>(compiled, old, &bare, &mut errors));
    if !errors.mistyped {
        check_rules(compiled, &bare, old.as_ref(), &mut errors);
    }
    if errors.is_empty() { typed(new, bare) } else { Err(errors.into_vec()) }
}

/// The object with nothing in it but what the schema knows, completed by defaults.
fn bare<K: Checked>(compiled: &Compiled, value: &Value, errors: &mut Errors) -> Value {
    let Value::Object(object) = value else {
        errors.add_mistyped("", value, "an object");
        return Value::Null;
    };
    metadata::check(object, &K::api_version(&()), &K::kind(&()), errors);
    let spec = match object.get("spec") {
        None | Some(Value::Null) => {
            // Without a spec no rule has anything to look at, and one complaint is enough.
            errors.mistyped = true;
            errors.add("spec", "is required");
            Value::Null
        }
        Some(spec) => structure::check(&compiled.spec, spec, "spec", errors),
    };
    let name = value.pointer("/metadata/name").cloned().unwrap_or_default();
    json!({ "metadata": { "name": name }, "spec": spec })
}

/// The old object likewise. A fault of its own is no news, but then it is nothing to compare with.
fn bare_old<K: Checked>(compiled: &Compiled, old: &Value, new: &Value, errors: &mut Errors) -> Value {
    let mut faults = Errors::default();
    let old = bare::<K>(compiled, old, &mut faults);
    if let Some(fault) = faults.into_vec().first() {
        errors.mistyped = true;
        errors.add("", format!("cannot replace an invalid one ({fault})"));
    } else if old["metadata"] != new["metadata"] {
        errors.add("metadata.name", "is immutable");
    }
    old
}

fn check_rules(compiled: &Compiled, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    let Err(failures) = cel::validate_compiled(&compiled.rules, new, old) else {
        return;
    };
    // Where the structure is wrong, a rule that cannot be evaluated says nothing more.
    let structural = !errors.is_empty();
    let failures =
        failures.into_iter().filter(|failure| !structural || failure.kind == ErrorKind::ValidationFailure);
    let mut failures: Vec<_> = failures.collect();
    // Rules see a list's entries by their place: in a list of other entries than before, theirs compare what does not belong
    // together.
    let changed: Vec<_> = failures.iter().map(|failure| format!("{}[", failure.field_path)).collect();
    failures.retain(|failure| !changed.iter().any(|list| failure.field_path.starts_with(list)));
    for failure in failures {
        errors.add(&failure.field_path, failure.message);
    }
}

fn typed<K: Checked>(value: &Value, mut bare: Value) -> Result<K, Vec<FieldError>> {
    bare["metadata"] = value["metadata"].clone();
    serde_json::from_value(bare).map_err(|error| {
        vec![FieldError {
            path: "metadata".into(),
            message: format!("cannot be read: {}", excerpt(&error.to_string())),
        }]
    })
}
