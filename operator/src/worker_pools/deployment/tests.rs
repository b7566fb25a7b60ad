//! The Deployment: as a whole, against Kubernetes' types, and against the policies that it must pass.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::*;
use crate::worker_pools::served::tests::served;

fn defaults() -> Defaults {
    Defaults {
        runner_image: "ghcr.io/kubejudge/sandbox-runner:1.2.3".to_owned(),
        redis_secret: "kubejudge-runner-redis".to_owned(),
        redis_ca: false,
    }
}

fn everything() -> Value {
    json!({
        "languages": ["c17"], "replicas": 7, "slots": 3,
        "image": "reg.example/toolchains:1@sha256:00ff", "runnerImage": "reg.example/runner:2", "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "pull"}],
        "resources": {
            "limits": {"cpu": 2, "memory": "4Gi", "ephemeral-storage": "8Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"},
        },
        "runtimeClassName": "", "seccompProfile": {"type": "Localhost", "localhostProfile": "judge.json"},
        "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "judge", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "high", "podLabels": {"team": "red"}, "podAnnotations": {"why": "because"},
        "terminationGracePeriodSeconds": 5, "cacheSizeLimit": 536_870_912, "redisSecretName": "other",
    })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn the_least_and_the_most() {
    insta::assert_snapshot!("least", pretty(&deployment(&served(&json!({})), &defaults())));
    let with_ca = Defaults { redis_ca: true, ..defaults() };
    insta::assert_snapshot!("most", pretty(&deployment(&served(&everything()), &with_ca)));
}

/// A misspelt field would be lost on the way through Kubernetes' types.
#[test]
fn every_field_is_one_of_kubernetes() {
    for change in [json!({}), everything()] {
        let value = deployment(&served(&change), &defaults());
        let typed: Deployment = serde_json::from_value(value.clone()).unwrap();
        let back = serde_json::to_value(&typed).unwrap();
        assert_eq!(pretty(&back), pretty(&value));
    }
}

fn pod_of(change: &Value) -> PodSpec {
    let typed: Deployment = serde_json::from_value(deployment(&served(change), &defaults())).unwrap();
    typed.spec.unwrap().template.spec.unwrap()
}

fn containers(pod: &PodSpec) -> impl Iterator<Item = &Container> {
    pod.init_containers.iter().flatten().chain(&pod.containers)
}

/// Whether a container passes what Pod Security's level "restricted" demands of it.
fn is_restricted(container: &Container) -> bool {
    let Some(context) = &container.security_context else { return false };
    let dropped = context.capabilities.as_ref().and_then(|c| c.drop.clone()).unwrap_or_default();
    let added = context.capabilities.as_ref().is_some_and(|c| c.add.is_some());
    dropped == ["ALL"]
        && !added
        && context.allow_privilege_escalation == Some(false)
        && context.privileged.is_none()
        && context.proc_mount.is_none()
        && container.ports.iter().flatten().all(|port| port.host_port.is_none())
}

#[test]
fn the_defaults_pass_pod_security_restricted() {
    let pod = pod_of(&json!({}));
    let context = pod.security_context.clone().unwrap();
    assert_eq!((context.run_as_non_root, context.run_as_user), (Some(true), Some(65_532)));
    assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
    assert!(containers(&pod).all(is_restricted));
    assert!(pod.host_network.is_none() && pod.host_pid.is_none() && pod.host_ipc.is_none());
    let volumes = pod.volumes.unwrap();
    assert!(volumes.iter().all(|volume| volume.empty_dir.is_some() != volume.secret.is_some()));
    assert!(volumes.iter().filter_map(|v| v.empty_dir.as_ref()).all(|dir| dir.size_limit.is_some()));
}

#[test]
fn every_pod_is_bounded_and_knows_no_api_server() {
    for change in [json!({}), everything()] {
        let pod = pod_of(&change);
        assert_eq!(
            (pod.automount_service_account_token, pod.enable_service_links),
            (Some(false), Some(false))
        );
        assert_eq!(containers(&pod).count(), 2);
        for container in containers(&pod) {
            let context = container.security_context.as_ref().unwrap();
            assert_eq!(context.read_only_root_filesystem, Some(true), "{}", container.name);
            let limits = container.resources.as_ref().unwrap().limits.as_ref().unwrap();
            assert!(limits.contains_key("memory"), "{}", container.name);
        }
    }
}

fn variables(change: &Value, defaults: &Defaults) -> BTreeMap<String, String> {
    let typed: Deployment = serde_json::from_value(deployment(&served(change), defaults)).unwrap();
    let runner = typed.spec.unwrap().template.spec.unwrap().containers.remove(0);
    let env = runner.env.unwrap().into_iter();
    env.filter_map(|variable| Some((variable.name, variable.value?))).collect()
}

#[test]
fn runners_are_told_what_follows_from_the_spec() {
    let told = variables(&json!({}), &defaults());
    assert_eq!(told["KUBEJUDGE_POOL"], "judges.main");
    assert_eq!(told["KUBEJUDGE_MEMORY_BYTES"], (768_u64 << 20).to_string());
    assert_eq!(told["KUBEJUDGE_CACHE_BYTES"], (768_u64 << 20).to_string());
    assert_eq!((told["KUBEJUDGE_SLOTS"].as_str(), told["KUBEJUDGE_GRACE_SECONDS"].as_str()), ("2", "55"));
    assert!(!told.contains_key("KUBEJUDGE_TOOLCHAIN_ID") && !told.contains_key("KUBEJUDGE_REDIS_CA_FILE"));
    let told = variables(&everything(), &Defaults { redis_ca: true, ..defaults() });
    assert_eq!((told["KUBEJUDGE_SLOTS"].as_str(), told["KUBEJUDGE_GRACE_SECONDS"].as_str()), ("3", "1"));
    assert_eq!(told["KUBEJUDGE_TOOLCHAIN_ID"], "sha256:00ff");
    assert_eq!(told["KUBEJUDGE_REDIS_CA_FILE"], "/etc/kubejudge/redis/ca.crt");
}

#[test]
fn the_selector_finds_the_pods_and_the_operator_its_deployments() {
    let labels = labels("main");
    assert_eq!(selector("main"), format!("{POOL_LABEL}={}", labels[POOL_LABEL]));
    for term in DEPLOYMENTS.split(',') {
        let (key, value) = term.split_once('=').unwrap();
        assert_eq!(labels[key], value);
    }
}

#[test]
fn an_empty_spread_is_none_and_the_default_is_over_nodes() {
    let spread = |change: &Value| pod_of(change).topology_spread_constraints.unwrap();
    assert_eq!(spread(&json!({})).len(), 1);
    assert_eq!(spread(&json!({"topologySpreadConstraints": []})), []);
}
