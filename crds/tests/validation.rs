//! The border: the tables of cases, the rules they must hit, and what no table thinks of.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::collections::BTreeSet;

use common::{Case, cases};
use crds::{
    Checked, FieldError, Language, Submission, WorkerPool, validate, validate::MAX_ERRORS, validate_update,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn outcome<K: Checked>(case: &Case) -> Vec<FieldError> {
    let result = match &case.update {
        None => validate::<K>(&case.object),
        Some(new) => {
            let old = validate::<K>(&case.object);
            assert!(old.is_ok(), "{}: the old object is invalid: {:?}", case.name, old.err());
            validate_update::<K>(&case.object, new)
        }
    };
    result.err().unwrap_or_default()
}

fn check_table<K: Checked>(kind: &str) {
    for case in cases(kind) {
        let found = outcome::<K>(&case);
        let expected = |error: &FieldError| {
            case.errors
                .iter()
                .any(|wanted| wanted.path == error.path && error.message.contains(&wanted.message))
        };
        let surprises: Vec<_> = found.iter().filter(|error| !expected(error)).collect();
        assert!(surprises.is_empty(), "{kind}, {}: unexpected {surprises:#?}", case.name);
        for wanted in &case.errors {
            let hit =
                |error: &FieldError| error.path == wanted.path && error.message.contains(&wanted.message);
            assert!(found.iter().any(hit), "{kind}, {}: no {wanted:?} in {found:#?}", case.name);
        }
    }
}

#[test]
fn submissions_are_judged_as_the_table_says() {
    check_table::<Submission>("Submission");
}

#[test]
fn languages_are_judged_as_the_table_says() {
    check_table::<Language>("Language");
}

#[test]
fn worker_pools_are_judged_as_the_table_says() {
    check_table::<WorkerPool>("WorkerPool");
}

/// Where each rule stands, `[]` for any index, and its message.
fn rules(path: &str, schema: &Value, found: &mut BTreeSet<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        assert!(
            found.insert((path.to_owned(), rule["message"].as_str().unwrap().to_owned())),
            "{path}: two rules, one message"
        );
    }
    for (name, child) in
        schema["properties"].as_object().into_iter().flatten().filter(|(name, _)| *name != "status")
    {
        rules(format!("{path}.{name}").trim_start_matches('.'), child, found);
    }
    if schema.get("items").is_some() {
        rules(&format!("{path}[]"), &schema["items"], found);
    }
}

fn without_indices(path: &str) -> String {
    path.split('[')
        .map(|part| part.split_once(']').map_or(part, |(_, rest)| rest))
        .collect::<Vec<_>>()
        .join("[]")
}

#[test]
fn every_rule_is_broken_by_some_case() {
    for (kind, crd) in ["Submission", "Language", "WorkerPool"].into_iter().zip(crds::all()) {
        let crd = serde_json::to_value(&crd).unwrap();
        let mut unbroken = BTreeSet::new();
        rules("", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut unbroken);
        assert!(!unbroken.is_empty());
        for case in cases(kind) {
            let errors = match kind {
                "Submission" => outcome::<Submission>(&case),
                "Language" => outcome::<Language>(&case),
                _ => outcome::<WorkerPool>(&case),
            };
            for error in errors {
                unbroken.remove(&(without_indices(&error.path), error.message));
            }
        }
        assert!(unbroken.is_empty(), "no case of {kind} breaks {unbroken:#?}");
    }
}

fn base(kind: &str) -> Value {
    cases(kind).remove(0).object
}

#[test]
fn defaults_are_applied_and_nulls_are_absent_fields() {
    let mut object = base("Submission");
    object["spec"]["priority"] = Value::Null;
    object["spec"]["limits"] = Value::Null;
    object["spec"]["tests"][0].as_object_mut().unwrap().remove("input");
    let submission: Submission = validate(&object).unwrap();
    assert_eq!(submission.spec.priority, crds::Priority::Normal);
    assert_eq!(submission.spec.tests[0].input, "");
    assert_eq!(submission.spec.limits, None);
    object["spec"]["language"] = Value::Null;
    let errors = validate::<Submission>(&object).unwrap_err();
    assert_eq!(errors[0].to_string(), "spec.language: is required");
}

#[test]
fn a_status_is_ignored() {
    let mut object = base("Submission");
    object["status"] = json!({ "verdict": "Perfect", "extra": [] });
    assert_eq!(validate::<Submission>(&object).unwrap().status, None);
}

#[test]
fn metadata_is_kept_and_must_be_readable() {
    let mut object = base("Submission");
    object["metadata"]["labels"] = json!({ "team": "red" });
    let submission: Submission = validate(&object).unwrap();
    assert_eq!(submission.metadata.labels.unwrap()["team"], "red");
    object["metadata"]["labels"] = json!({ "team": 5 });
    let errors = validate::<Submission>(&object).unwrap_err();
    assert_eq!(errors[0].path, "metadata");
}

#[test]
fn errors_are_bounded_and_repeat_no_long_data() {
    let mut object = base("Submission");
    for i in 0..100 {
        object["spec"][format!("{i}{}", "x".repeat(10_000))] = json!("y".repeat(10_000));
    }
    object["spec"]["language"] = json!("Z".repeat(1_000_000));
    let errors = validate::<Submission>(&object).unwrap_err();
    assert_eq!(errors.len(), MAX_ERRORS);
    assert!(errors.iter().all(|error| error.to_string().len() < 500));
}

#[test]
fn an_update_keeps_the_name_and_needs_a_valid_old_object() {
    let old = base("Submission");
    let mut new = old.clone();
    new["metadata"]["name"] = json!("other");
    let errors = validate_update::<Submission>(&old, &new).unwrap_err();
    assert_eq!(errors[0].to_string(), "metadata.name: is immutable");
    let errors = validate_update::<Submission>(&json!(5), &old).unwrap_err();
    assert!(errors[0].message.starts_with("cannot replace an invalid one"), "{errors:?}");
}

#[test]
fn numbers_beyond_all_bounds_are_refused() {
    for number in [json!(u64::MAX), json!(i64::MIN), json!(1e300), json!(1.0)] {
        let mut object = base("Submission");
        object["spec"]["limits"] = json!({ "processes": number });
        let errors = validate::<Submission>(&object).unwrap_err();
        assert_eq!((errors.len(), errors[0].path.as_str()), (1, "spec.limits.processes"), "{errors:?}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let key = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "spec", "metadata", "name", "source", "inline", "tests", "limits", "default", "maximum", "env"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..8).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// JSON pointers to every value inside `value`.
fn pointers(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    let mut descend = |name: &str, child| {
        pointers(child, &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), found);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, child)| descend(name, child)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, child)| descend(&i.to_string(), child)),
        _ => {}
    }
}

/// One of the cases' objects with one or two of its values replaced by anything.
fn mutant(kind: &'static str) -> impl Strategy<Value = Value> {
    let objects: Vec<_> = cases(kind).into_iter().map(|case| case.update.unwrap_or(case.object)).collect();
    let change = (any::<prop::sample::Index>(), any_json());
    (prop::sample::select(objects), prop::collection::vec(change, 1..3)).prop_map(|(mut object, changes)| {
        for (place, value) in changes {
            let mut places = Vec::new();
            pointers(&object, "", &mut places);
            let place: &String = place.get(&places);
            *object.pointer_mut(place).unwrap() = value;
        }
        object
    })
}

/// What is accepted is still accepted as it was understood.
fn is_stable<K: Checked + serde::Serialize>(value: &Value) {
    if let Ok(object) = validate::<K>(value) {
        let again = validate_update::<K>(value, &serde_json::to_value(&object).unwrap());
        assert!(again.is_ok(), "{:?}", again.err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn anything_is_answered(value in any_json()) {
        prop_assert!(validate::<Submission>(&value).is_err());
        prop_assert!(validate_update::<Language>(&value, &value).is_err());
        prop_assert!(validate::<WorkerPool>(&value).is_err());
    }

    #[test]
    fn any_change_of_a_submission_is_answered(old in mutant("Submission"), new in mutant("Submission")) {
        is_stable::<Submission>(&new);
        _ = validate_update::<Submission>(&old, &new);
    }

    #[test]
    fn any_change_of_a_language_is_answered(old in mutant("Language"), new in mutant("Language")) {
        is_stable::<Language>(&new);
        _ = validate_update::<Language>(&old, &new);
    }

    #[test]
    fn any_change_of_a_worker_pool_is_answered(old in mutant("WorkerPool"), new in mutant("WorkerPool")) {
        is_stable::<WorkerPool>(&new);
        _ = validate_update::<WorkerPool>(&old, &new);
    }
}
