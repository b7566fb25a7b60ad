//! Whether some runner can judge a Language, by what runners say. Pure.

use jiff::Timestamp;
use queue::RunnerStatus;
use queue::verdict::{MAX_MESSAGE, condition, set, shortened};
use serde_json::{Value, json};

use super::Listed;

/// The condition of a Language.
const READY: &str = "Ready";

/// The state of a Language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// "True", "False" or "Unknown".
    pub status: &'static str,
    /// Why, one word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// What the runners make of a Language.
pub fn readiness(listed: &Listed, runners: &[RunnerStatus]) -> Readiness {
    if let Err(message) = &listed.spec {
        return Readiness { status: "False", reason: "Invalid", message: message.clone() };
    }
    let ready =
        runners.iter().filter(|runner| !runner.draining && runner.languages.contains(&listed.name)).count();
    if ready > 0 {
        let message = format!("{ready} {} can judge it", if ready == 1 { "runner" } else { "runners" });
        return Readiness { status: "True", reason: "RunnersReady", message };
    }
    let broken = runners.iter().flat_map(|runner| &runner.broken).find(|broken| broken.name == listed.name);
    match broken {
        Some(broken) => Readiness { status: "False", reason: "Broken", message: broken.reason.clone() },
        None => Readiness {
            status: "Unknown",
            reason: "NoRunner",
            message: "no runner reports it yet".to_owned(),
        },
    }
}

impl Readiness {
    /// The merge patch that says so; nothing if the status says so already.
    pub fn patch(&self, listed: &Listed, now: Timestamp) -> Option<Value> {
        let Self { status, reason, message } = self;
        let message = shortened(message, MAX_MESSAGE);
        let said = listed
            .conditions
            .iter()
            .any(|c| c.type_ == READY && c.status == *status && c.reason == *reason && c.message == message);
        if said && listed.observed == listed.generation {
            return None;
        }
        let mut conditions = listed.conditions.clone();
        let mut new = condition(READY, false, reason, &message, listed.generation, now);
        (*status).clone_into(&mut new.status);
        set(&mut conditions, new);
        Some(json!({
            "metadata": { "resourceVersion": listed.resource_version },
            "status": { "observedGeneration": listed.generation, "conditions": conditions },
        }))
    }
}

#[cfg(test)]
mod tests {
    use queue::contract::BrokenLanguage;

    use super::*;
    use crate::languages::Catalog;
    use crate::languages::catalog::tests::raw;

    fn listed(display: &Value) -> Listed {
        let catalog = Catalog::default();
        catalog.apply(raw("c", display));
        catalog.all().remove(0)
    }

    fn runner(languages: &[&str], broken: &[&str]) -> RunnerStatus {
        let reason =
            |name: &&str| BrokenLanguage { name: (*name).to_owned(), reason: "no compiler".to_owned() };
        RunnerStatus {
            name: "r".into(),
            release: "1".into(),
            slots: 1,
            jobs: 0,
            draining: false,
            languages: languages.iter().map(|name| (*name).to_owned()).collect(),
            broken: broken.iter().map(reason).collect(),
            surroundings: String::new(),
        }
    }

    #[test]
    fn it_is_ready_when_a_runner_can_judge_it() {
        let listed = listed(&json!("C"));
        let state = |runners: &[RunnerStatus]| {
            let Readiness { status, reason, message } = readiness(&listed, runners);
            (status, reason, message)
        };
        assert_eq!(state(&[]), ("Unknown", "NoRunner", "no runner reports it yet".into()));
        assert_eq!(state(&[runner(&["d"], &["c"])]), ("False", "Broken", "no compiler".into()));
        let one = runner(&["c"], &[]);
        assert_eq!(
            state(&[one.clone(), runner(&[], &["c"])]),
            ("True", "RunnersReady", "1 runner can judge it".into())
        );
        assert_eq!(
            state(&[one.clone(), one.clone()]),
            ("True", "RunnersReady", "2 runners can judge it".into())
        );
        assert_eq!(state(&[RunnerStatus { draining: true, ..one }]).1, "NoRunner");
    }

    #[test]
    fn it_is_written_once() {
        let mut listed = listed(&json!(3));
        let state = readiness(&listed, &[]);
        assert_eq!((state.status, state.reason), ("False", "Invalid"));
        let patch = state.patch(&listed, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "9");
        listed.conditions = serde_json::from_value(patch["status"]["conditions"].clone()).unwrap();
        listed.observed = listed.generation;
        assert_eq!(state.patch(&listed, Timestamp::UNIX_EPOCH), None);
        listed.generation = Some(3);
        assert!(state.patch(&listed, Timestamp::UNIX_EPOCH).is_some(), "it speaks of an older generation");
    }
}
