//! WorkerPools on a real API server with kube-controller-manager's own controllers: the Deployment that the operator makes of
//! each, and what it says of it. There is no node: the test itself says of pods what a kubelet would.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::{PoolLanguageState, WorkerPool};
use e2e::{Setup, User, World, backlog::until, fixtures::SHELL};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Request},
};
use serde_json::{Value, json};

const JUDGES: &str = "judges";
/// Longer than the operator's own ticks, so that it would be seen to write at rest.
const REST: Duration = Duration::from_secs(12);

/// A world whose operator uses the WorkerPools of [`JUDGES`], with the RuntimeClass that pods ask for.
async fn start() -> World {
    let setup = Setup { controllers: true, runners: 0, ..Setup::default() };
    let setup = setup.operator_flag("worker-pool-namespaces", JUDGES).runner_flag("pool", "judges.main");
    let world = World::start(setup).await.unwrap();
    world.create_namespace(JUDGES).await.unwrap();
    let class: RuntimeClass =
        serde_json::from_value(json!({ "metadata": { "name": "gvisor" }, "handler": "runsc" })).unwrap();
    Api::all(world.client()).create(&PostParams::default(), &class).await.unwrap();
    world
}

fn pools(world: &World) -> Api<WorkerPool> {
    Api::namespaced(world.client(), JUDGES)
}

fn deployments(world: &World) -> Api<Deployment> {
    Api::namespaced(world.client(), JUDGES)
}

fn pods(world: &World) -> Api<Pod> {
    Api::namespaced(world.client(), JUDGES)
}

/// Creates a WorkerPool for the shell, changed by `change`, as it is written.
async fn create(world: &World, name: &str, change: &Value) {
    let mut spec = json!({
        "languages": [SHELL], "image": "toolchains:1", "replicas": 2, "resources": { "limits": { "cpu": 1, "memory": "1Gi" } },
    });
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "kubejudge.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": name }, "spec": spec,
    });
    let path = format!("/apis/kubejudge.dev/v1alpha1/namespaces/{JUDGES}/workerpools");
    let request = Request::new(path).create(&PostParams::default(), serde_json::to_vec(&object).unwrap());
    world.client().request::<Value>(request.unwrap()).await.unwrap();
}

async fn change(world: &World, name: &str, spec: Value) {
    let change = Patch::Merge(json!({ "spec": spec }));
    pools(world).patch(name, &PatchParams::default(), &change).await.unwrap();
}

/// The Deployment of the pool once `holds` of it.
async fn deployment(
    world: &World,
    pool: &str,
    what: &str,
    holds: impl Fn(&Deployment) -> bool,
) -> Deployment {
    until(what, async || {
        let found = deployments(world).get(&format!("{pool}-runner")).await?;
        ensure!(holds(&found), "{found:#?}");
        Ok(found)
    })
    .await
    .unwrap()
}

fn image(deployment: &Deployment) -> &str {
    let template = &deployment.spec.as_ref().unwrap().template;
    template.spec.as_ref().unwrap().containers[0].image.as_deref().unwrap_or_default()
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref().unwrap().replicas
}

/// The status and reason of the pool's condition Ready.
fn ready(pool: &WorkerPool) -> Option<(&str, &str)> {
    let conditions = &pool.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    Some((ready.status.as_str(), ready.reason.as_str()))
}

fn message(pool: &WorkerPool) -> &str {
    let conditions = &pool.status.as_ref().unwrap().conditions;
    &conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().message
}

/// The pool once its condition Ready has this reason, for what it says now.
async fn reasoned(world: &World, name: &str, reason: &str) -> WorkerPool {
    until(reason, async || {
        let pool = pools(world).get(name).await?;
        let observed = pool.status.as_ref().and_then(|status| status.observed_generation);
        ensure!(observed == pool.metadata.generation, "{pool:#?}");
        ensure!(ready(&pool).is_some_and(|(_, found)| found == reason), "{pool:#?}");
        Ok(pool)
    })
    .await
    .unwrap()
}

/// Says of all pods of the pool what a kubelet says of pods that run, and waits until the Deployment shows it.
async fn run_pods(world: &World, name: &str, count: i32) {
    until("the pods", async || {
        let labels = ListParams::default().labels(&format!("kubejudge.dev/worker-pool={name}"));
        let all = pods(world).list(&labels).await?.items;
        let now = "2026-01-01T00:00:00Z";
        let status = json!({ "phase": "Running", "conditions": [
            { "type": "Ready", "status": "True", "lastTransitionTime": now },
        ]});
        for pod in &all {
            let patch = Patch::Merge(json!({ "status": status }));
            pods(world).patch_status(&pod.name_any(), &PatchParams::default(), &patch).await?;
        }
        let deployment = deployments(world).get(&format!("{name}-runner")).await?;
        let ready = deployment.status.and_then(|status| status.ready_replicas);
        ensure!(ready == Some(count), "{ready:?} of {} pods are ready", all.len());
        Ok(())
    })
    .await
    .unwrap();
}

/// The operator's writes so far, status writes of the world's Language aside.
async fn writes(world: &World) -> usize {
    let audit = world.control_plane.audit().await.unwrap();
    audit.by(User::Operator).writes().filter(|request| request.resource != "languages").len()
}

/// The operator never asked for what it may not.
async fn asked_for_nothing_forbidden(world: &World) {
    let refused = world.control_plane.audit().await.unwrap().by(User::Operator).code(403);
    assert!(refused.is_empty(), "{refused:#?}");
}

#[tokio::test]
async fn a_deployment_follows_its_worker_pool_and_goes_with_it() {
    let world = start().await;
    create(&world, "main", &json!({})).await;
    let made = deployment(&world, "main", "made", |_| true).await;
    let pool = pools(&world).get("main").await.unwrap();
    let owner = &made.owner_references()[0];
    assert_eq!((&owner.uid, owner.kind.as_str()), (pool.metadata.uid.as_ref().unwrap(), "WorkerPool"));
    assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(false)));
    assert_eq!((replicas(&made), image(&made)), (Some(2), "toolchains:1"));

    let status = reasoned(&world, "main", "NoRunnerReady").await.status.unwrap();
    assert_eq!(status.selector, "kubejudge.dev/worker-pool=main");
    let scale = pools(&world).get_scale("main").await.unwrap();
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("kubejudge.dev/worker-pool=main"));
    let three = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
    pools(&world).patch_scale("main", &PatchParams::default(), &three).await.unwrap();
    deployment(&world, "main", "scaled", |deployment| replicas(deployment) == Some(3)).await;
    run_pods(&world, "main", 3).await;
    until("told of all pods", async || {
        let status = pools(&world).get_scale("main").await?.status.context("no status")?;
        ensure!(status.replicas == 3, "{status:?}");
        Ok(())
    })
    .await
    .unwrap();

    change(&world, "main", json!({ "image": "toolchains:2" })).await;
    deployment(&world, "main", "changed", |deployment| image(deployment) == "toolchains:2").await;
    pools(&world).delete("main", &DeleteParams::background()).await.unwrap();
    until("collected", async || {
        let left = deployments(&world).list(&ListParams::default()).await?.items.len();
        let pods = pods(&world).list(&ListParams::default()).await?.items;
        // Without a kubelet a pod that ran stays until somebody says that it ended.
        let alive = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count();
        ensure!((left, alive) == (0, 0), "{left} Deployments and {alive} pods are left");
        Ok(())
    })
    .await
    .unwrap();
    asked_for_nothing_forbidden(&world).await;
}

#[tokio::test]
async fn drift_is_healed_and_nothing_is_written_at_rest() {
    let mut world = start().await;
    create(&world, "main", &json!({})).await;
    let made = deployment(&world, "main", "made", |_| true).await;
    reasoned(&world, "main", "NoRunnerReady").await;
    let name = made.name_any();
    let patch = async |change: Value| {
        deployments(&world).patch(&name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    };
    let other = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "runner", "image": "other" }] } } } });
    let strategic = Patch::Strategic(other);
    deployments(&world).patch(&name, &PatchParams::default(), &strategic).await.unwrap();
    deployment(&world, "main", "its image again", |found| image(found) == "toolchains:1").await;
    patch(json!({ "spec": { "replicas": 9 } })).await;
    deployment(&world, "main", "its replicas again", |found| replicas(found) == Some(2)).await;
    patch(json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": null }, "ownerReferences": null } })).await;
    deployment(&world, "main", "its owner and label again", |found| {
        found.owner_references().len() == 1 && found.labels().contains_key("app.kubernetes.io/managed-by")
    })
    .await;
    // What is not ours stays.
    patch(json!({ "metadata": { "labels": { "team": "red" } } })).await;
    let kept = deployment(&world, "main", "kept", |found| found.labels().contains_key("team")).await;
    deployments(&world).delete(&name, &DeleteParams::background()).await.unwrap();
    deployment(&world, "main", "made again", |found| found.metadata.uid != kept.metadata.uid).await;

    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = writes(&world).await;
    tokio::time::sleep(REST).await;
    assert_eq!(writes(&world).await, before, "nothing changed, and yet something was written");
    world.operators[0].program.stop().await.unwrap();
    let all = deployments(&world);
    // All but the times of its managed fields: this old server notes those of an apply that changes nothing.
    let version = async || {
        let found = all.get(&name).await.unwrap();
        let fields =
            found.managed_fields().iter().map(|entry| (entry.manager.clone(), entry.fields_v1.clone()));
        (found.metadata.generation, found.spec.clone(), fields.collect::<Vec<_>>())
    };
    let (pool, deployed) = (pools(&world).get("main").await.unwrap(), version().await);
    let before = writes(&world).await;
    world.operators[0].program.start_again().await.unwrap();
    tokio::time::sleep(REST).await;
    assert_eq!(writes(&world).await - before, 1, "one apply after a start");
    assert_eq!(version().await, deployed, "which changes nothing");
    assert_eq!(pools(&world).get("main").await.unwrap().resource_version(), pool.resource_version());
    asked_for_nothing_forbidden(&world).await;
}

#[tokio::test]
async fn an_invalid_one_says_so_and_its_pods_go_on() {
    let world = start().await;
    create(&world, "main", &json!({})).await;
    let made = deployment(&world, "main", "made", |_| true).await;
    // This server drops CEL rules; the operator does not.
    change(&world, "main", json!({ "resources": { "limits": { "memory": null } }, "image": "other" })).await;
    let pool = reasoned(&world, "main", "Invalid").await;
    assert_eq!(ready(&pool).unwrap().0, "False");
    assert!(message(&pool).contains("spec.resources: limits.memory is required"), "{}", message(&pool));
    let left = deployments(&world).get("main-runner").await.unwrap();
    assert_eq!((image(&left), left.metadata.generation), ("toolchains:1", made.metadata.generation));
    change(&world, "main", json!({ "resources": { "limits": { "memory": "512m" } } })).await;
    let pool = reasoned(&world, "main", "Invalid").await;
    assert!(message(&pool).contains("spec.resources.limits.memory: is 1 bytes"), "{}", message(&pool));
    change(&world, "main", json!({ "resources": { "limits": { "memory": "1Gi" } } })).await;
    deployment(&world, "main", "valid again", |found| image(found) == "other").await;
    reasoned(&world, "main", "NoRunnerReady").await;
    create(&world, "with.dot", &json!({})).await;
    let pool = reasoned(&world, "with.dot", "Invalid").await;
    assert!(message(&pool).contains("metadata.name must be at most 52 characters"), "{}", message(&pool));
    let metrics = world.operators[0].program.metrics().await.unwrap();
    let pools = |state: &str| metrics.sum("kubejudge_operator_worker_pools", &[("state", state)]);
    assert_eq!((pools("invalid"), pools("not_ready")), (Some(1.0), Some(1.0)));
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_and_tried_again_with_pauses() {
    let world = start().await;
    // Somebody else's Deployment of that name, whose selector cannot be changed.
    let labels = json!({ "app": "foreign" });
    let foreign: Deployment = serde_json::from_value(json!({
        "metadata": { "name": "main-runner" },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "a", "image": "a" }] } },
        },
    }))
    .unwrap();
    deployments(&world).create(&PostParams::default(), &foreign).await.unwrap();
    create(&world, "main", &json!({})).await;
    let pool = reasoned(&world, "main", "DeploymentRejected").await;
    assert!(message(&pool).contains("field is immutable"), "{}", message(&pool));
    let before = writes(&world).await;
    tokio::time::sleep(REST).await;
    let tries = writes(&world).await - before;
    assert!((1..=4).contains(&tries), "{tries} tries within {REST:?}");
    deployments(&world).delete("main-runner", &DeleteParams::background()).await.unwrap();
    deployment(&world, "main", "made at last", |found| image(found) == "toolchains:1").await;
    reasoned(&world, "main", "NoRunnerReady").await;
    asked_for_nothing_forbidden(&world).await;
}

#[tokio::test]
async fn pods_that_cannot_be_made_are_explained() {
    let world = start().await;
    create(&world, "main", &json!({ "runtimeClassName": "missing" })).await;
    until("explained", async || {
        let pool = reasoned(&world, "main", "NoRunnerReady").await;
        ensure!(message(&pool).contains("missing"), "{}", message(&pool));
        Ok(())
    })
    .await
    .unwrap();
    change(&world, "main", json!({ "replicas": 0 })).await;
    reasoned(&world, "main", "ScaledToZero").await;
}

#[tokio::test]
async fn it_is_ready_when_a_pod_is_and_runners_proved_its_languages() {
    let mut world = start().await;
    create(&world, "main", &json!({ "languages": [SHELL, "nosuch"], "replicas": 1 })).await;
    run_pods(&world, "main", 1).await;
    let pool = reasoned(&world, "main", "LanguagesUnknown").await;
    assert!(message(&pool).starts_with("nosuch: there is no valid Language"), "{}", message(&pool));
    change(&world, "main", json!({ "languages": [SHELL] })).await;
    reasoned(&world, "main", "LanguagesPending").await;
    world.add_runner().await.unwrap();
    world.until_ready().await.unwrap();
    let pool = reasoned(&world, "main", "RunnersReady").await;
    assert_eq!(ready(&pool).unwrap().0, "True");
    let status = pool.status.unwrap();
    let languages: Vec<_> = status.languages.iter().map(|l| (l.name.as_str(), l.state, l.runners)).collect();
    assert_eq!(languages, [(SHELL, PoolLanguageState::Ready, 1)]);
    assert!(status.surroundings.is_some_and(|words| !words.is_empty()));
    let summaries = (status.ready_summary.as_deref(), status.languages_summary.as_deref());
    assert_eq!(summaries, (Some("1/1"), Some("1/1")));
    printed(&world).await;

    // A restart of the operator is not seen.
    let version = pools(&world).get("main").await.unwrap().resource_version();
    world.operators[0].program.stop().await.unwrap();
    world.operators[0].program.start_again().await.unwrap();
    tokio::time::sleep(REST).await;
    assert_eq!(pools(&world).get("main").await.unwrap().resource_version(), version);
    world.runners[0].program.stop().await.unwrap();
    reasoned(&world, "main", "LanguagesPending").await;
    asked_for_nothing_forbidden(&world).await;
}

/// As `kubectl get workerpools` shows them.
async fn printed(world: &World) {
    let path = format!("/apis/kubejudge.dev/v1alpha1/namespaces/{JUDGES}/workerpools");
    let mut request = Request::new(path).list(&ListParams::default()).unwrap();
    request.headers_mut().insert("accept", "application/json;as=Table;v=v1;g=meta.k8s.io".parse().unwrap());
    let table: Value = world.client().request(request).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let shown: Vec<usize> = (0..columns.len()).filter(|&i| columns[i]["priority"] == 0).collect();
    let names: Vec<_> = shown.iter().map(|&i| columns[i]["name"].as_str().unwrap().to_uppercase()).collect();
    assert_eq!(names, ["NAME", "READY", "LANGUAGES", "RUNTIME", "REASON", "AGE"]);
    let cells: Vec<_> = shown[..5].iter().map(|&i| table["rows"][0]["cells"][i].as_str().unwrap()).collect();
    assert_eq!(cells, ["main", "1/1", "1/1", "gvisor", "RunnersReady"]);
}
