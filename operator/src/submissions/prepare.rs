//! From a stored Submission to its plan: reads what it refers to, and checks it once more, for servers that drop rules.

use crds::{FieldError, Submission, check_limits, check_source_size};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use super::ReconcileError;
use crate::context::Operator;
use crate::decide::Lack;
use crate::languages::Entry;
use crate::object::{Head, Raw};
use crate::plan::{Plan, PlanError, Subject, plan};

/// What preparing came to.
#[derive(Debug)]
pub enum Prepared {
    /// What to enqueue.
    Plan(Plan),
    /// Something it refers to is not there.
    Lack(Lack),
    /// It can never be judged; why not.
    Invalid(String),
}

/// The Submission's spec, from the cache or from the API server (always from there, if `reread`). Nothing, if the Submission
/// is gone or not to be judged any more in the way that `head` says.
pub async fn specification(
    operator: &Operator,
    head: &Head,
    reread: bool,
) -> Result<Option<Value>, ReconcileError> {
    let cached = operator.fresh.take(head.uid()).filter(|_| !reread);
    if cached.is_some() {
        return Ok(cached);
    }
    let raw = operator.api(operator.calls.submission(head.namespace(), head.name()).await)?;
    let Some(raw) = raw else { return Ok(None) };
    let now = Head::of(&raw);
    let same = now.uid() == head.uid()
        && now.wanted() == head.wanted()
        && !now.standing.finished
        && !now.asked.suspend
        && now.metadata.deletion_timestamp.is_none();
    Ok(same.then_some(raw.spec))
}

/// Checks, resolves and plans.
pub async fn prepare(
    operator: &Operator,
    head: &Head,
    spec: Value,
    judging: u32,
) -> Result<Prepared, ReconcileError> {
    let document = Raw::<Submission>::document(&head.metadata, spec);
    let mut submission: Submission = match crds::validate(&document) {
        Ok(submission) => submission,
        Err(errors) => return Ok(Prepared::Invalid(joined(&errors))),
    };
    // The cached spec may be older than the priority.
    submission.spec.priority = head.asked.priority;
    let most = operator.settings.max_source_bytes;
    if let Err(error) = check_source_size(&submission.spec, most) {
        return Ok(Prepared::Invalid(error.to_string()));
    }
    if let Some(problem) = &submission.spec.problem_ref {
        let message = format!("Problem {} not found", problem.name);
        return Ok(Prepared::Lack(Lack::new("ProblemNotFound", message)));
    }
    let language = match operator.catalog.entry(&submission.spec.language) {
        Entry::Known(language) => language,
        Entry::Unknown => {
            let message = format!("Language {} not found", submission.spec.language);
            return Ok(Prepared::Lack(Lack::new("LanguageNotFound", message)));
        }
        Entry::Invalid(reason) => {
            let message = format!("Language {} is invalid: {reason}", submission.spec.language);
            return Ok(Prepared::Lack(Lack::new("LanguageInvalid", message)));
        }
    };
    let errors = check_limits(&submission.spec, &language.spec);
    if !errors.is_empty() {
        return Ok(Prepared::Invalid(joined(&errors)));
    }
    let source = match source(operator, head, &mut submission).await? {
        Found::Text(text) => text,
        Found::Lack(lack) => return Ok(Prepared::Lack(lack)),
        Found::Unfit(reason) => return Ok(Prepared::Invalid(reason)),
    };
    let subject = Subject { uid: head.uid(), namespace: head.namespace(), name: head.name(), judging };
    match plan(subject, &submission.spec, &language, &source, operator.settings.batch) {
        Ok(plan) => Ok(Prepared::Plan(plan)),
        Err(PlanError::NoTests) => Ok(Prepared::Invalid(PlanError::NoTests.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn joined(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Text(String),
    Lack(Lack),
    Unfit(String),
}

async fn source(
    operator: &Operator,
    head: &Head,
    submission: &mut Submission,
) -> Result<Found, ReconcileError> {
    let source = std::mem::take(&mut submission.spec.source);
    let reference = match (source.inline, source.config_map_ref) {
        (Some(text), _) => return Ok(Found::Text(text)),
        (None, Some(reference)) => reference,
        (None, None) => return Ok(Found::Unfit("spec.source: is empty".to_owned())),
    };
    let map = operator.api(operator.calls.config_map(head.namespace(), &reference.name).await)?;
    Ok(text_of(map, &reference, operator.settings.max_source_bytes))
}

/// The text under a key of a `ConfigMap`, if it can be a source.
fn text_of(map: Option<ConfigMap>, reference: &crds::ConfigMapKeyRef, most: usize) -> Found {
    let crds::ConfigMapKeyRef { name, key } = reference;
    let Some(map) = map else {
        return Found::Lack(Lack::new("ConfigMapNotFound", format!("ConfigMap {name} not found")));
    };
    let path = "spec.source.configMapRef.key";
    match map.data.and_then(|mut data| data.remove(key)) {
        Some(text) if text.len() > most => {
            Found::Unfit(format!("{path}: {key} of ConfigMap {name} is {} bytes, at most {most}", text.len()))
        }
        Some(text) if text.is_empty() => Found::Unfit(format!("{path}: {key} of ConfigMap {name} is empty")),
        Some(text) => Found::Text(text),
        None if map.binary_data.is_some_and(|data| data.contains_key(key)) => {
            Found::Unfit(format!("{path}: {key} of ConfigMap {name} is not UTF-8 text"))
        }
        None => Found::Lack(Lack::new("KeyNotFound", format!("ConfigMap {name} has no key {key}"))),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn found(data: &[(&str, &str)]) -> Found {
        let data = data.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        let binary_data = Some([("b".to_owned(), ByteString(vec![0xff]))].into());
        let map = ConfigMap { data: Some(data), binary_data, ..ConfigMap::default() };
        let key = if data_has(&map, "k") { "k" } else { "b" };
        text_of(Some(map), &crds::ConfigMapKeyRef { name: "m".into(), key: key.into() }, 4)
    }

    fn data_has(map: &ConfigMap, key: &str) -> bool {
        map.data.as_ref().is_some_and(|data| data.contains_key(key))
    }

    #[test]
    fn a_source_is_text_of_bounded_length() {
        let unfit = |words: &str| Found::Unfit(format!("spec.source.configMapRef.key: {words}"));
        assert_eq!(found(&[("k", "äö")]), Found::Text("äö".into()));
        assert_eq!(found(&[("k", "äö1")]), unfit("k of ConfigMap m is 5 bytes, at most 4"));
        assert_eq!(found(&[("k", "")]), unfit("k of ConfigMap m is empty"));
        assert_eq!(found(&[]), unfit("b of ConfigMap m is not UTF-8 text"));
    }

    #[test]
    fn what_is_missing_is_waited_for_by_name() {
        let reference = crds::ConfigMapKeyRef { name: "m".into(), key: "k".into() };
        let lack = |reason, message: &str| Found::Lack(Lack::new(reason, message));
        assert_eq!(text_of(None, &reference, 4), lack("ConfigMapNotFound", "ConfigMap m not found"));
        let empty = Some(ConfigMap::default());
        assert_eq!(text_of(empty, &reference, 4), lack("KeyNotFound", "ConfigMap m has no key k"));
    }
}
