//! The status of a `WorkerPool`, from its Deployment and what its runners say. Pure.

use std::collections::BTreeSet;

use crds::{PoolLanguage, PoolLanguageState, WorkerPoolStatus};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use queue::RunnerStatus;
use queue::verdict::{MAX_MESSAGE, condition, set, shortened};
use serde_json::{Value, json};

use super::{Invalid, Served};

const READY: &str = "Ready";
const PROGRESSING: &str = "Progressing";
/// Longest reason of one language in the message of all, in bytes.
const MOST_REASON: usize = 160;

/// Why a pool cannot work, whatever its runners say: one word, and a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One CamelCase word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// All that a status rests on.
pub struct Seen<'a> {
    /// The `WorkerPool`, if it is valid.
    pub served: Result<&'a Served, &'a Invalid>,
    /// Its generation.
    pub generation: Option<i64>,
    /// How its Deployment fares; nothing if there is none.
    pub deployment: Option<&'a DeploymentStatus>,
    /// What keeps it from working.
    pub trouble: Option<Trouble>,
    /// What its runners say; nothing, if they were not asked yet. Then what was said before stays.
    pub runners: Option<&'a [RunnerStatus]>,
    /// Whether a Language of that name is there.
    pub known: &'a dyn Fn(&str) -> bool,
}

/// What is to be said of the pool `name`, of which `old` was said before.
pub fn status(name: &str, old: &WorkerPoolStatus, seen: &Seen<'_>, now: Timestamp) -> WorkerPoolStatus {
    let count = |of: fn(&DeploymentStatus) -> Option<i32>| seen.deployment.and_then(of).unwrap_or(0);
    let mut new = WorkerPoolStatus {
        observed_generation: seen.generation,
        replicas: count(|deployment| deployment.replicas),
        ready_replicas: count(|deployment| deployment.ready_replicas),
        selector: super::deployment::selector(name),
        surroundings: seen.runners.map_or_else(|| old.surroundings.clone(), surroundings),
        ..old.clone()
    };
    if let Ok(served) = seen.served {
        new.languages = languages(served, seen, &old.languages);
        new.ready_summary = Some(format!("{}/{}", new.ready_replicas, served.spec.replicas));
        new.languages_summary = Some(format!("{}/{}", ready(&new.languages), new.languages.len()));
    }
    let (holds, reason, message) = readiness(seen, &new);
    set(&mut new.conditions, condition(READY, holds, reason, &message, seen.generation, now));
    progress(&mut new.conditions, seen, now);
    new
}

/// The merge patch that makes `old`, as it is stored, `new`; nothing if it says so already.
pub fn patch(resource_version: Option<&str>, old: &Value, new: &WorkerPoolStatus) -> Option<Value> {
    let known: Option<WorkerPoolStatus> = serde_json::from_value(old.clone()).ok();
    if known.as_ref() == Some(new) {
        return None;
    }
    let mut status = json!(new);
    for gone in old.as_object().into_iter().flat_map(|old| old.keys()) {
        if status.get(gone).is_none() {
            status[gone] = Value::Null;
        }
    }
    Some(json!({ "metadata": { "resourceVersion": resource_version }, "status": status }))
}

fn ready(languages: &[PoolLanguage]) -> usize {
    languages.iter().filter(|language| language.state == PoolLanguageState::Ready).count()
}

/// The distinct words of the runners, in an order that does not change.
fn surroundings(runners: &[RunnerStatus]) -> Option<String> {
    let all: BTreeSet<&str> = runners.iter().map(|runner| runner.surroundings.as_str()).collect();
    let all: Vec<&str> = all.into_iter().filter(|words| !words.is_empty()).collect();
    (!all.is_empty()).then(|| shortened(&all.join("; "), MAX_MESSAGE))
}

fn languages(served: &Served, seen: &Seen<'_>, old: &[PoolLanguage]) -> Vec<PoolLanguage> {
    let names = served.spec.languages.iter();
    let language = |name: &String| {
        let before = old.iter().find(|language| language.name == *name);
        match (seen.runners, before) {
            (None, Some(before)) => before.clone(),
            (heard, _) => language(name, heard.unwrap_or_default(), seen.known),
        }
    };
    names.map(language).collect()
}

fn language(name: &str, all: &[RunnerStatus], known: &dyn Fn(&str) -> bool) -> PoolLanguage {
    let proven = all.iter().filter(|runner| !runner.draining);
    let proven = proven.filter(|runner| runner.languages.iter().any(|one| one == name)).count();
    let broken = all.iter().flat_map(|runner| &runner.broken).filter(|broken| broken.name == name);
    let broken: Vec<&str> = broken.map(|broken| broken.reason.as_str()).collect();
    // Of several reasons the least one, so that they don't take turns.
    let reason = broken.iter().min().copied();
    let (state, message) = match reason {
        _ if !known(name) => {
            (PoolLanguageState::Unknown, Some("there is no valid Language of this name".to_owned()))
        }
        None if proven > 0 => (PoolLanguageState::Ready, None),
        Some(reason) if proven > 0 => {
            (PoolLanguageState::Ready, Some(format!("fails in {}: {reason}", runners(broken.len()))))
        }
        Some(reason) => (PoolLanguageState::Broken, Some(reason.to_owned())),
        None => (PoolLanguageState::Pending, Some("no runner reports it yet".to_owned())),
    };
    let message = message.map(|message| shortened(&message, MAX_MESSAGE));
    PoolLanguage { name: name.to_owned(), state, runners: i32::try_from(proven).unwrap_or(i32::MAX), message }
}

fn runners(count: usize) -> String {
    format!("{count} {}", if count == 1 { "runner" } else { "runners" })
}

/// Whether the pool is ready, why, and for people.
fn readiness(seen: &Seen<'_>, new: &WorkerPoolStatus) -> (bool, &'static str, String) {
    let served = match (seen.served, &seen.trouble) {
        (Err(invalid), _) => return (false, "Invalid", invalid.to_string()),
        (Ok(_), Some(trouble)) => return (false, trouble.reason, trouble.message.clone()),
        (Ok(served), None) => served,
    };
    if served.spec.replicas == 0 {
        return (false, "ScaledToZero", "spec.replicas is 0".to_owned());
    }
    if new.ready_replicas == 0 {
        return (false, "NoRunnerReady", why_no_runner(seen.deployment));
    }
    for (state, reason) in [
        (PoolLanguageState::Unknown, "LanguagesUnknown"),
        (PoolLanguageState::Broken, "LanguagesBroken"),
        (PoolLanguageState::Pending, "LanguagesPending"),
    ] {
        if let Some(message) = listed(&new.languages, state) {
            return (false, reason, message);
        }
    }
    let (ready, wanted) = (new.ready_replicas, served.spec.replicas);
    let message =
        format!("{ready} of {wanted} runners are ready, and all {} languages proven", new.languages.len());
    (true, "RunnersReady", message)
}

/// The languages in this state with their messages.
fn listed(languages: &[PoolLanguage], state: PoolLanguageState) -> Option<String> {
    let such = languages.iter().filter(|language| language.state == state);
    let told: Vec<_> = such
        .map(|language| {
            let message = language.message.as_deref().unwrap_or_default();
            format!("{}: {}", language.name, shortened(message, MOST_REASON))
        })
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn deployment_condition<'a>(
    deployment: Option<&'a DeploymentStatus>,
    kind: &str,
) -> Option<&'a DeploymentCondition> {
    deployment?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// What the Deployment's controller says, where it says anything: a quota, a policy, a RuntimeClass that is not there.
fn why_no_runner(deployment: Option<&DeploymentStatus>) -> String {
    let failed = deployment_condition(deployment, "ReplicaFailure").filter(|c| c.status == "True");
    let stuck = deployment_condition(deployment, PROGRESSING).filter(|c| c.status == "False");
    match failed.or(stuck).and_then(|condition| condition.message.as_deref()) {
        Some(message) => format!("no runner is ready: {message}"),
        None => "no runner is ready yet".to_owned(),
    }
}

/// As the Deployment has it.
fn progress(conditions: &mut Vec<Condition>, seen: &Seen<'_>, now: Timestamp) {
    let Some(theirs) = deployment_condition(seen.deployment, PROGRESSING) else {
        conditions.retain(|condition| condition.type_ != PROGRESSING);
        return;
    };
    let reason = theirs.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("Unknown");
    let message = theirs.message.as_deref().unwrap_or_default();
    let mut new = condition(PROGRESSING, false, reason, message, seen.generation, now);
    new.status.clone_from(&theirs.status);
    set(conditions, new);
}

#[cfg(test)]
mod tests;
