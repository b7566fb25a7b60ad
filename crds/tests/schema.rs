//! The generated CRDs: checked in, described, bounded.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;
#[allow(dead_code, reason = "main is the example's own")]
#[path = "../examples/crdgen.rs"]
mod crdgen;

use serde_json::Value;

#[test]
fn the_checked_in_yaml_is_what_the_types_say() {
    for (path, text) in crdgen::rendered().unwrap() {
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(found == text, "{} is stale: run `cargo run -p crds --example crdgen`", path.display());
    }
}

/// Calls `visit` with the path and schema of every value in the CRDs.
fn walk(visit: &mut dyn FnMut(&str, &Value)) {
    for crd in crds::all() {
        let crd = serde_json::to_value(&crd).unwrap();
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        let versions = crd["spec"]["versions"].as_array().unwrap();
        assert_eq!(versions.len(), 1);
        walk_schema(kind, &versions[0]["schema"]["openAPIV3Schema"], visit);
    }
}

fn walk_schema(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk_schema(&format!("{path}.{name}"), child, visit);
    }
    if schema.get("items").is_some() {
        walk_schema(&format!("{path}[]"), &schema["items"], visit);
    }
    if schema.get("additionalProperties").is_some() {
        walk_schema(&format!("{path}[]"), &schema["additionalProperties"], visit);
    }
}

#[test]
fn every_field_is_described() {
    let mut bad = Vec::new();
    walk(&mut |path, schema| {
        // A list's scalar entries are described with the list.
        let described =
            schema["description"].as_str().is_some_and(|text| text.len() > 10 && text.ends_with('.'));
        let own_words = schema["description"].as_str().is_some_and(|text| !text.contains('\n'));
        let scalar_entry = path.ends_with("[]") && schema["type"] == "string";
        let fine = scalar_entry || (described && own_words);
        if !fine {
            bad.push(path.to_owned());
        }
    });
    assert_eq!(bad, [""; 0]);
}

#[test]
fn every_field_is_bounded() {
    let mut bad = Vec::new();
    walk(&mut |path, schema| {
        let has = |key: &str| schema.get(key).is_some();
        let bounded = match schema["type"].as_str() {
            Some("string") => has("maxLength") || has("enum") || schema["format"] == "date-time",
            Some("integer") => has("minimum") && has("maximum"),
            Some("array") => has("maxItems") && has("x-kubernetes-list-type"),
            Some("object") => has("properties") != (has("additionalProperties") && has("maxProperties")),
            Some("boolean") => true,
            None if schema["x-kubernetes-int-or-string"] == true => {
                has("maxLength") && has("minimum") && has("maximum")
            }
            _ => false,
        };
        if !bounded {
            bad.push(format!("{path}: {}", schema["type"]));
        }
    });
    assert_eq!(bad, [""; 0]);
}

#[test]
fn formats_are_those_that_servers_know() {
    walk(&mut |path, schema| {
        let format = schema.get("format").and_then(Value::as_str);
        let known = match schema["type"].as_str() {
            Some("integer") => matches!(format, Some("int32" | "int64")),
            Some("string") => matches!(format, None | Some("date-time")),
            _ => format.is_none(),
        };
        assert!(known, "{path} has format {format:?}");
        assert!(schema.get("nullable").is_none(), "{path} is nullable");
    });
}

#[test]
fn columns_and_selectable_fields_are_those_agreed() {
    let [submission, language, pool] = crds::all().try_into().unwrap();
    let names = |crd: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
        let columns = crd.spec.versions[0].additional_printer_columns.clone().unwrap_or_default();
        columns.iter().map(|column| format!("{}{}", column.name, column.priority.unwrap_or(0))).collect::<Vec<_>>()
    };
    let expected = [
        "Language0",
        "Phase0",
        "Verdict0",
        "Tests0",
        "Time0",
        "Memory0",
        "Score1",
        "Judging1",
        "Message1",
        "Age0",
    ];
    assert_eq!(names(&submission), expected);
    assert_eq!(names(&language), ["Display0", "Ready0", "Source1", "Age0"]);
    let expected = ["Ready0", "Languages0", "Runtime0", "Reason0", "Image1", "Message1", "Age0"];
    assert_eq!(names(&pool), expected);
    let fields = submission.spec.versions[0].selectable_fields.clone().unwrap_or_default();
    let paths: Vec<_> = fields.iter().map(|field| field.json_path.as_str()).collect();
    assert_eq!(paths, [".spec.language", ".spec.problemRef.name", ".status.phase", ".status.verdict"]);
}
