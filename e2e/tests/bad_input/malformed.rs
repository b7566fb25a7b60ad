//! Stored objects that our types do not take.
use std::time::Duration;

use anyhow::ensure;
use e2e::{Setup, User, World, backlog::until, fixtures::SHELL, world::NAMESPACE};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{RIGHT, accepted, invalid, object};

const CRD: &str = "submissions.kubejudge.dev";

/// Has the server take any Submission.
async fn set_schema(world: &World, schema: Value) {
    let crds: Api<CustomResourceDefinition> = Api::all(world.client());
    let patch =
        json!([{ "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema }]);
    let patch = Patch::<()>::Json(serde_json::from_value(patch).unwrap());
    crds.patch(CRD, &PatchParams::default(), &patch).await.unwrap();
}

fn garbage(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "kubejudge.dev/v1alpha1", "kind": "Submission", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn a_stored_object_that_does_not_parse_stops_no_other() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(world.client());
    let crd = serde_json::to_value(crds.get(CRD).await.unwrap()).unwrap();
    let strict = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    world.create(&object("before", |_| {})).await.unwrap();
    accepted(&world, "before").await;
    set_schema(&world, json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })).await;
    let specs = [
        json!({ "language": 5, "rejudge": "x", "source": [], "tests": {} }),
        json!("text"),
        json!({}),
        json!({ "language": SHELL, "source": { "inline": RIGHT }, "tests": [{ "name": "a" }] }),
        json!({ "language": SHELL, "source": { "inline": RIGHT }, "tests": [{ "name": "a", "answer": "2\n" }], "priority": "Highest" }),
        json!({ "language": SHELL, "source": { "inline": RIGHT }, "tests": [{ "name": "a", "answer": "2\n" }], "rejudge": -1 }),
    ];
    for (number, spec) in specs.iter().enumerate() {
        // The server takes its new schema up a moment after it was told.
        let bad = garbage(&format!("told-{number}"), spec);
        until("taken: garbage", async || world.create(&bad).await).await.unwrap();
    }
    for number in 0..specs.len() {
        invalid(&world, &format!("told-{number}"), &[]).await;
    }
    // The same, when the server won't take a verdict for such an object either.
    world.operators[0].program.kill().unwrap();
    for (number, spec) in specs.iter().enumerate() {
        world.create(&garbage(&format!("untold-{number}"), spec)).await.unwrap();
    }
    set_schema(&world, strict).await;
    until("refused: garbage", async || {
        let refused = world.create(&garbage("refused", &specs[0])).await;
        ensure!(refused.is_err(), "it was taken");
        Ok(())
    })
    .await
    .unwrap();
    world.operators[0].program.start_again().await.unwrap();
    world.create(&object("after", |_| {})).await.unwrap();
    accepted(&world, "after").await;
    // A refused write is not tried for ever.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let writes = world.control_plane.audit().await.unwrap().by(User::Operator).writes();
    for number in 0..specs.len() {
        let name = format!("untold-{number}");
        let tries = writes.clone().about(NAMESPACE, &name);
        assert!((1..=3).contains(&tries.len()), "{name}: {} writes", tries.len());
    }
    world.until_queue_is_empty().await.unwrap();
    assert!(world.operators[0].program.process().exited().unwrap().is_none());
}
