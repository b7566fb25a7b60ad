//! The CRDs on a real API server of Kubernetes 1.36: accepted, and enforced as the border (`crds::validate`) has it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "../../crds/tests/common/mod.rs"]
mod cases;

use std::{path::Path, time::Duration};

use cases::{Case, merge};
use e2e::crd_server::CrdServer;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{ListParams, PostParams, Request},
};
use serde_json::{Value, json};

const SUBMISSIONS: &str = "/apis/kubejudge.dev/v1alpha1/namespaces/default/submissions";
const LANGUAGES: &str = "/apis/kubejudge.dev/v1alpha1/languages";
const WORKER_POOLS: &str = "/apis/kubejudge.dev/v1alpha1/namespaces/default/workerpools";
const PLURALS: [&str; 3] = ["submissions", "languages", "workerpools"];

/// The CRD as it is checked in.
fn crd(plural: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../crds/{plural}.yaml"));
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

async fn server() -> CrdServer {
    let server = CrdServer::start().await.unwrap();
    for plural in PLURALS {
        server.install(&serde_json::from_value(crd(plural)).unwrap()).await.unwrap();
    }
    server
}

/// Sends `object` as kubectl does: unknown fields are errors. Answers with the object, or with what the server says.
async fn write(client: &Client, method: &str, path: &str, object: &Value) -> Result<Value, String> {
    let body = serde_json::to_vec(object).unwrap();
    let mut request = Request::new(path).create(&PostParams::default(), body).unwrap();
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = format!("{path}?fieldValidation=Strict").parse().unwrap();
    client.request::<Value>(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message,
        other => panic!("{other}"),
    })
}

async fn create(client: &Client, path: &str, object: &Value) -> Value {
    write(client, "POST", path, object).await.unwrap()
}

/// What is wrong with the server's answer to `case`, if anything.
async fn disagreement(client: &Client, path: &str, case: &Case, name: &str) -> Option<String> {
    let mut object = case.object.clone();
    let generic = object["metadata"]["name"] == "base";
    if generic {
        object["metadata"]["name"] = json!(name);
    }
    let mut answer = write(client, "POST", path, &object).await;
    if let Some(new) = &case.update {
        let old = match answer {
            Ok(old) => old,
            Err(message) => return Some(format!("the old object is refused: {message}")),
        };
        let mut new = new.clone();
        new["metadata"]["name"] = json!(name);
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        answer = write(client, "PUT", &format!("{path}/{name}"), &new).await;
    }
    match answer {
        Ok(object) if case.errors.is_empty() => differing_spec(case, &object),
        Ok(_) => Some("is accepted".into()),
        Err(message) if case.errors.is_empty() => Some(format!("is refused: {message}")),
        Err(message) => {
            let missing: Vec<_> = case.server.iter().filter(|part| !message.contains(*part)).collect();
            (!missing.is_empty()).then(|| format!("no {missing:?} in: {message}"))
        }
    }
}

/// The server and the border must understand a valid object in the same way.
fn differing_spec(case: &Case, stored: &Value) -> Option<String> {
    let object = case.update.as_ref().unwrap_or(&case.object);
    let understood = match object["kind"].as_str() {
        Some("Submission") => json!(crds::validate::<crds::Submission>(object).unwrap().spec),
        Some("WorkerPool") => json!(crds::validate::<crds::WorkerPool>(object).unwrap().spec),
        _ => json!(crds::validate::<crds::Language>(object).unwrap().spec),
    };
    (understood != stored["spec"])
        .then(|| format!("is stored as {} but understood as {understood}", stored["spec"]))
}

async fn check_table(kind: &str, path: &str) {
    let server = server().await;
    let mut bad = Vec::new();
    for (i, case) in cases::cases(kind).iter().enumerate() {
        if let Some(why) = disagreement(&server.client.0, path, case, &format!("case-{i}")).await {
            bad.push(format!("{}: {why}", case.name));
        }
    }
    assert!(bad.is_empty(), "{kind}:\n{}", bad.join("\n"));
}

#[tokio::test]
async fn submissions_are_judged_as_the_border_judges_them() {
    check_table("Submission", SUBMISSIONS).await;
}

#[tokio::test]
async fn languages_are_judged_as_the_border_judges_them() {
    check_table("Language", LANGUAGES).await;
}

#[tokio::test]
async fn worker_pools_are_judged_as_the_border_judges_them() {
    check_table("WorkerPool", WORKER_POOLS).await;
}

#[tokio::test]
async fn the_crds_are_accepted_without_a_warning() {
    let server = CrdServer::start().await.unwrap();
    let client = &server.client.0;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for plural in PLURALS {
        let body = serde_json::to_vec(&crd(plural)).unwrap();
        let mut request = Request::new(path).create(&PostParams::default(), body).unwrap();
        *request.uri_mut() = format!("{path}?fieldValidation=Strict").parse().unwrap();
        let response = client.send(request.map(Into::into)).await.unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers().get("warning"), None);
        let conditions = settled_conditions(client, &format!("{plural}.kubejudge.dev")).await;
        assert_eq!(conditions, ["Established=True", "NamesAccepted=True"]);
    }
}

async fn settled_conditions(client: &Client, name: &str) -> Vec<String> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for _ in 0..200 {
        let status = crds.get(name).await.unwrap().status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        if conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
            let mut conditions: Vec<_> =
                conditions.iter().map(|c| format!("{}={}", c.type_, c.status)).collect();
            conditions.sort();
            return conditions;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} is not established");
}

/// A status with every field set.
fn full_status() -> Value {
    let now = "2026-11-20T12:00:00Z";
    let condition = |name: &str| json!({ "type": name, "status": "True", "reason": "Judged", "message": "", "lastTransitionTime": now, "observedGeneration": 1 });
    json!({
        "observedGeneration": 1,
        "conditions": [condition("Admitted"), condition("Finished"), condition("Succeeded")],
        "phase": "Finished", "verdict": "WrongAnswer", "scoreMilli": 85000,
        "timeMilliseconds": 35, "memoryBytes": 12_582_912, "testsPassed": 17, "testsTotal": 20,
        "testsSummary": "17/20", "timeSummary": "35 ms", "memorySummary": "12 MiB",
        "compile": { "exitCode": 0, "timeMilliseconds": 800, "memoryBytes": 1, "output": "w".repeat(8192), "cached": true },
        "message": "m".repeat(1024),
        "tests": [
            { "name": "1", "verdict": "WrongAnswer", "timeMilliseconds": 35, "wallTimeMilliseconds": 40, "memoryBytes": 1,
              "exitCode": 0, "message": "differs", "actual": "4", "expected": "5" },
            { "name": "2", "verdict": "RuntimeError", "signal": 11 },
            { "name": "3", "verdict": "Skipped" },
        ],
        "measurement": { "time": "cgroup v2 cpu.stat", "memory": "cgroup v2 memory.peak" },
        "judging": 1, "deliveries": 1, "queuedTime": now, "startTime": now, "completionTime": now,
    })
}

#[tokio::test]
async fn a_status_is_accepted_whole_selected_by_and_printed() {
    let server = server().await;
    let client = &server.client.0;
    let mut judged = cases::cases("Submission").remove(0).object;
    judged["metadata"]["name"] = json!("judged");
    let mut waiting = judged.clone();
    merge(&mut waiting, &json!({ "metadata": { "name": "waiting" }, "spec": { "language": "python3" } }));
    create(client, SUBMISSIONS, &waiting).await;
    judged = create(client, SUBMISSIONS, &judged).await;

    judged["status"] = full_status();
    let path = format!("{SUBMISSIONS}/judged/status");
    let stored = write(client, "PUT", &path, &judged).await.unwrap();
    assert_eq!(stored["status"], full_status());
    serde_json::from_value::<crds::Submission>(stored.clone()).unwrap();

    let mut skipped = stored;
    skipped["status"]["verdict"] = json!("Skipped");
    let message = write(client, "PUT", &path, &skipped).await.unwrap_err();
    assert!(message.contains("Skipped is a verdict of single tests only"), "{message}");

    let submissions: Api<crds::Submission> = Api::namespaced(client.clone(), "default");
    for (selector, expected) in [
        ("spec.language=python3", ["waiting"].as_slice()),
        ("spec.language=cpp17", &["judged"]),
        ("status.verdict=WrongAnswer", &["judged"]),
        ("status.phase=Finished,spec.language=cpp17", &["judged"]),
        ("status.verdict=Accepted", &[]),
        ("spec.problemRef.name=p", &[]),
    ] {
        let found = submissions.list(&ListParams::default().fields(selector)).await.unwrap();
        let names: Vec<_> = found.items.iter().filter_map(|item| item.metadata.name.as_deref()).collect();
        assert_eq!(names, expected, "{selector}");
    }
    check_table_printing(client).await;
}

#[tokio::test]
async fn a_pools_status_is_accepted_whole_and_autoscalers_find_it() {
    let server = server().await;
    let client = &server.client.0;
    let mut pool = cases::cases("WorkerPool").remove(0).object;
    pool["metadata"]["name"] = json!("main");
    pool = create(client, WORKER_POOLS, &pool).await;
    let condition = json!({ "type": "Ready", "status": "True", "reason": "RunnersReady", "message": "m".repeat(1024),
        "lastTransitionTime": "2026-11-20T12:00:00Z", "observedGeneration": 1 });
    let status = json!({
        "observedGeneration": 1, "replicas": 3, "readyReplicas": 2, "selector": "kubejudge.dev/worker-pool=main",
        "languages": [
            { "name": "c17", "state": "Ready", "runners": 2 },
            { "name": "python3", "state": "Broken", "runners": 0, "message": "no python3" },
        ],
        "surroundings": "s".repeat(1024), "readySummary": "2/3", "languagesSummary": "1/2", "conditions": [condition],
    });
    pool["status"] = status.clone();
    let stored = write(client, "PUT", &format!("{WORKER_POOLS}/main/status"), &pool).await.unwrap();
    assert_eq!(stored["status"], status);
    serde_json::from_value::<crds::WorkerPool>(stored).unwrap();
    let pools: Api<crds::WorkerPool> = Api::namespaced(client.clone(), "default");
    let scale = pools.get_scale("main").await.unwrap();
    let (wanted, found) = (scale.spec.unwrap().replicas, scale.status.unwrap());
    assert_eq!((wanted, found.replicas), (Some(1), 3));
    assert_eq!(found.selector.as_deref(), Some("kubejudge.dev/worker-pool=main"));
}

async fn check_table_printing(client: &Client) {
    let mut request = Request::new(SUBMISSIONS).list(&ListParams::default()).unwrap();
    request.headers_mut().insert("accept", "application/json;as=Table;v=v1;g=meta.k8s.io".parse().unwrap());
    let table: Value = client.request(request).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let shown: Vec<usize> = (0..columns.len()).filter(|&i| columns[i]["priority"] == 0).collect();
    let names: Vec<_> = shown.iter().map(|&i| columns[i]["name"].as_str().unwrap().to_uppercase()).collect();
    assert_eq!(names, ["NAME", "LANGUAGE", "PHASE", "VERDICT", "TESTS", "TIME", "MEMORY", "AGE"]);
    let cells: Vec<_> = shown[..7].iter().map(|&i| table["rows"][0]["cells"][i].as_str().unwrap()).collect();
    assert_eq!(cells, ["judged", "cpp17", "Finished", "WrongAnswer", "17/20", "35 ms", "12 MiB"]);
}
