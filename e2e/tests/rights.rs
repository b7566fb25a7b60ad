//! The operator's rights, which the chart grants, are those that it was seen to use: not one more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;

use crds::Submission;
use e2e::{
    Setup, User, World,
    backlog::until,
    fixtures::{self, SHELL},
    pools::POOLS,
    rbac,
    world::NAMESPACE,
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// What the audit log shows under another verb, or only when one part is late.
const UNSEEN: [&str; 2] = [
    // An apply is a patch, and needs this right too if it makes the object.
    "deployments create",
    // Of a namespace that is younger than what the watch shows.
    "namespaces get",
];

fn granted() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for rule in rbac::rules() {
        for resource in rule.resources.unwrap_or_default() {
            all.extend(rule.verbs.iter().map(|verb| format!("{resource} {verb}")));
        }
    }
    all
}

async fn used(world: &World) -> BTreeSet<String> {
    let requests = world.control_plane.audit().await.unwrap().by(User::Operator);
    assert!(requests.clone().code(403).is_empty(), "forbidden: {requests:#?}");
    let objects = requests.iter().filter(|request| !request.resource.is_empty());
    let right = |resource: &str, subresource: &str, verb: &str| match subresource {
        "" => format!("{resource} {verb}"),
        subresource => format!("{resource}/{subresource} {verb}"),
    };
    objects.map(|request| right(&request.resource, &request.subresource, &request.verb)).collect()
}

async fn until_used(world: &World, rights: &BTreeSet<String>) {
    until("used: every right", async || {
        let used = used(world).await;
        let idle: Vec<_> = rights.difference(&used).collect();
        anyhow::ensure!(idle.is_empty(), "granted and not used: {idle:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn submit(world: &World, name: &str, more: &Value) {
    let mut object = serde_json::to_value(fixtures::no_op(name).unwrap()).unwrap();
    object["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.submit(&serde_json::from_value::<Submission>(object).unwrap()).await.unwrap();
}

/// Everything that the operator does, once.
#[tokio::test]
async fn each_right_of_the_operator_is_used() {
    let mut world = World::start(Setup::with_worker_pools()).await.unwrap();
    world.create_namespace(POOLS).await.unwrap();
    world.add_pool("main", &[SHELL], &json!({})).await.unwrap();
    world.add_runner_in("main").await.unwrap();
    let map = json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "sources" }, "data": { "a.sh": "true" } });
    world.create(&map).await.unwrap();
    let source = json!({ "configMapRef": { "name": "sources", "key": "a.sh" } });
    submit(&world, "a", &json!({ "source": source })).await;
    submit(&world, "short-lived", &json!({ "ttlSecondsAfterFinished": 0 })).await;
    world.finished("a").await.unwrap();
    let again = Patch::Merge(json!({ "spec": { "rejudge": 1 } }));
    world.submissions().patch("a", &PatchParams::default(), &again).await.unwrap();
    let rejudged = |submission: &Submission| {
        e2e::world::is_finished(submission)
            && submission.status.as_ref().is_some_and(|s| s.judging == Some(2))
    };
    world.until(NAMESPACE, "a", "rejudged", rejudged).await.unwrap();

    let unseen = |right: &String| UNSEEN.contains(&right.as_str());
    let expected = granted().into_iter().filter(|right| !unseen(right));
    // The log shows a watch when it ends.
    let (watches, calls) = expected.partition(|right: &String| right.ends_with(" watch"));
    until_used(&world, &calls).await;
    world.kill_programs().unwrap();
    until_used(&world, &watches).await;
    let used = used(&world).await;
    let more: Vec<_> = used.difference(&granted()).cloned().collect();
    assert_eq!(more, Vec::<String>::new(), "used and not granted");
}
