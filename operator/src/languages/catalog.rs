//! The Languages that there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::{Language, LanguageStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use queue::LanguageSnapshot;
use serde::Deserialize as _;

use crate::object::Raw;

/// All Languages by name.
#[derive(Debug, Default)]
pub struct Catalog(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    languages: BTreeMap<String, Listed>,
    round: u64,
}

/// What is known of a Language.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Its generation.
    pub generation: Option<i64>,
    /// What it says, or what is wrong with it.
    pub spec: Result<Arc<LanguageSnapshot>, String>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// The generation that its status speaks of.
    pub observed: Option<i64>,
    round: u64,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A Language.
    Known(Arc<LanguageSnapshot>),
    /// One that can't be used, and why.
    Invalid(String),
    /// Nothing.
    Unknown,
}

impl Listed {
    fn of(raw: Raw<Language>, round: u64) -> Self {
        let Raw { metadata, spec, status, .. } = raw;
        let name = metadata.name.clone().unwrap_or_default();
        let checked: Result<Language, _> = crds::validate(&Raw::<Language>::document(&metadata, spec));
        let spec = match checked {
            Ok(language) => Ok(Arc::new(LanguageSnapshot { name: name.clone(), spec: language.spec })),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        };
        let status = LanguageStatus::deserialize(status).unwrap_or_default();
        Self {
            name,
            resource_version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation,
            spec,
            conditions: status.conditions,
            observed: status.observed_generation,
            round,
        }
    }
}

impl Catalog {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list begins: what it does not show is gone when it ends.
    pub fn listing(&self) {
        self.lock().round += 1;
    }

    /// The list is complete.
    pub fn listed(&self) {
        let mut inner = self.lock();
        let round = inner.round;
        inner.languages.retain(|_, listed| listed.round == round);
    }

    /// Takes in a Language as it is now. Says its name if what it says is new.
    pub fn apply(&self, raw: Raw<Language>) -> Option<String> {
        let mut inner = self.lock();
        let listed = Listed::of(raw, inner.round);
        let name = listed.name.clone();
        let old = inner.languages.insert(name.clone(), listed);
        let same = old.is_some_and(|old| inner.languages.get(&name).is_some_and(|new| old.spec == new.spec));
        (!same).then_some(name)
    }

    /// It is gone.
    pub fn remove(&self, name: &str) {
        self.lock().languages.remove(name);
    }

    /// What the name stands for.
    pub fn entry(&self, name: &str) -> Entry {
        match self.lock().languages.get(name).map(|listed| &listed.spec) {
            None => Entry::Unknown,
            Some(Ok(snapshot)) => Entry::Known(Arc::clone(snapshot)),
            Some(Err(reason)) => Entry::Invalid(reason.clone()),
        }
    }

    /// Whether it is a Language's name.
    pub fn knows(&self, name: &str) -> bool {
        matches!(self.entry(name), Entry::Known(_))
    }

    /// All of them.
    pub fn all(&self) -> Vec<Listed> {
        self.lock().languages.values().cloned().collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in super::super) fn raw(name: &str, display: &Value) -> Raw<Language> {
        serde_json::from_value(json!({
            "metadata": {"name": name, "resourceVersion": "9", "generation": 2},
            "spec": {"displayName": display, "sourceFile": "a.c", "run": {"command": ["./a"]}, "limits": {"default":
                {"timeMilliseconds": 1, "memoryBytes": 1_048_576, "outputBytes": 1, "processes": 1}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_change_of_what_it_says_is_news_and_a_change_of_its_status_is_not() {
        let catalog = Catalog::default();
        assert_eq!(catalog.entry("c"), Entry::Unknown);
        assert_eq!(catalog.apply(raw("c", &json!("C"))), Some("c".into()));
        let mut status = raw("c", &json!("C"));
        status.status = json!({"observedGeneration": 2, "conditions": []});
        assert_eq!(catalog.apply(status), None);
        assert_eq!(catalog.all()[0].observed, Some(2));
        assert_eq!(catalog.apply(raw("c", &json!("D"))), Some("c".into()));
        assert!(catalog.knows("c"));
        catalog.remove("c");
        assert!(!catalog.knows("c"));
    }

    #[test]
    fn an_invalid_one_is_known_by_its_fault() {
        let catalog = Catalog::default();
        catalog.apply(raw("c", &json!(3)));
        let Entry::Invalid(reason) = catalog.entry("c") else { panic!("it is invalid") };
        assert!(reason.contains("spec.displayName"), "{reason}");
        assert!(!catalog.knows("c"));
    }

    #[test]
    fn what_a_list_does_not_show_is_gone() {
        let catalog = Catalog::default();
        catalog.apply(raw("a", &json!("A")));
        catalog.apply(raw("b", &json!("B")));
        catalog.listing();
        catalog.apply(raw("b", &json!("B")));
        catalog.listed();
        assert!(!catalog.knows("a") && catalog.knows("b"));
    }
}
