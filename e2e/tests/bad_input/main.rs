//! What is missing, wrong or garbage: it is said, others go on, and all goes on when it is mended.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod garbage;
mod malformed;
mod missing;
mod redis;

use anyhow::ensure;
use crds::{Submission, SubmissionStatus, Verdict};
use e2e::{
    Program, World,
    backlog::until,
    fixtures::{self, SHELL},
    history,
    world::{NAMESPACE, condition},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

const RIGHT: &str = "read n; echo $((n * 2))";
/// More than travels in a job, so that it travels as a blob.
const LONG: usize = 6000;

fn object(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let submission = fixtures::submission(name, SHELL, RIGHT, &[("1\n", "2\n"), ("2\n", "4\n")]).unwrap();
    let mut object = serde_json::to_value(submission).unwrap();
    change(&mut object["spec"]);
    object
}

fn from_map(name: &str, map: &str) -> Value {
    object(name, |spec| spec["source"] = json!({ "configMapRef": { "name": map, "key": "main.sh" } }))
}

fn config_map(name: &str, key: &str, text: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { key: text } })
}

fn language(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut language = serde_json::to_value(fixtures::shell().unwrap()).unwrap();
    language["metadata"]["name"] = json!(name);
    change(&mut language["spec"]);
    language
}

async fn waits(world: &World, name: &str, reason: &str, words: &str) {
    let lacking = |s: &Submission| condition(s, "Admitted") == Some(("False", reason));
    let submission = world.until(NAMESPACE, name, reason, lacking).await.unwrap();
    let status = submission.status.unwrap();
    assert!(status.message.as_ref().is_some_and(|message| message.contains(words)), "{name}: {status:#?}");
    assert!(status.conditions.iter().any(|c| c.type_ == "Finished" && c.status == "False"), "{name}");
}

async fn accepted(world: &World, name: &str) {
    let submission = world.finished(name).await.unwrap();
    let status = submission.status.clone().unwrap();
    assert_eq!(status.verdict, Some(Verdict::Accepted), "{name}: {status:#?}");
    assert_eq!(condition(&submission, "Admitted"), Some(("True", "Valid")), "{name}");
}

/// The object may be one that our types do not take.
async fn invalid(world: &World, name: &str, words: &[&str]) {
    let kind = ApiResource::erase::<Submission>(&());
    let all: Api<DynamicObject> = Api::namespaced_with(world.client(), NAMESPACE, &kind);
    let what = format!("finished: {name}");
    let status = until(&what, async || {
        let status = all.get(name).await?.data["status"].clone();
        ensure!(history::is_finished(&status), "{status:#}");
        Ok(status)
    });
    let status: SubmissionStatus = serde_json::from_value(status.await.unwrap()).unwrap();
    for (kind, value) in [("Finished", "True"), ("Succeeded", "False"), ("Admitted", "False")] {
        let says = |c: &Condition| c.type_ == kind && c.status == value && c.reason == "Invalid";
        assert!(status.conditions.iter().any(says), "{name}: {kind} in {status:#?}");
    }
    assert_eq!(status.verdict, None, "{name}");
    let message = status.message.unwrap();
    assert!(words.iter().all(|word| message.contains(word)), "{name}: {message}");
}

/// Says no program ended or was replaced since.
fn ids(world: &mut World) -> Vec<u32> {
    let operators = world.operators.iter_mut().map(|operator| &mut operator.program);
    let programs = operators.chain(world.runners.iter_mut().map(|runner| &mut runner.program));
    let process = |program: &mut Program| {
        assert!(program.process().exited().unwrap().is_none(), "{} ended", program.process().name());
        program.process().id()
    };
    programs.map(process).collect()
}
