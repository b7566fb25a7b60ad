//! What the schemas of several fields share.
use kube::core::{Reason, Rule};

/// A field that keeps its first value. Stands on scalars, where its cost is bounded by the field's own size.
pub(crate) fn immutable() -> Rule {
    Rule::new("self == oldSelf").message("is immutable").reason(Reason::FieldValueForbidden)
}

/// An optional field that can neither appear nor vanish: [`immutable`] sees only fields that are there before and after.
pub(crate) fn fixed_presence(field: &str) -> Rule {
    Rule::new(format!("has(self.{field}) == has(oldSelf.{field})"))
        .message(format!("{field} can be neither added nor removed").as_str())
        .reason(Reason::FieldValueForbidden)
}

/// An enum's own description would displace the one of the optional field that holds it.
pub(crate) fn without_description(schema: &mut schemars::Schema) {
    schema.remove("description");
}
