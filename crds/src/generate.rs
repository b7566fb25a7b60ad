//! The CRDs, generated from the types.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;

use crate::{Language, Submission, WorkerPool};

/// All CRDs of this API. Apply these rather than `T::crd()`: kube's own marks every optional field as nullable and keeps the
/// line breaks of the source code in descriptions.
pub fn all() -> Vec<CustomResourceDefinition> {
    [Submission::crd(), Language::crd(), WorkerPool::crd()].into_iter().map(tidied).collect()
}

/// `crd` with every schema in it tidied.
pub(crate) fn tidied(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()).for_each(tidy);
    crd
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        *description = description.replace('\n', " ");
    }
    schema.properties.iter_mut().flatten().for_each(|(_, child)| tidy(child));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = schema.items.as_mut() {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        tidy(values);
    }
}
