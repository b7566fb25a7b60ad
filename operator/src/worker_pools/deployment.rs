//! The Deployment of a `WorkerPool`, as it is applied. Pure.

use std::collections::BTreeMap;

use crds::worker_pool::{ResourceAmounts, Resources, TopologySpread};
use serde_json::{Map, Value, json};

use super::Served;
use super::served::BINARY_BYTES;

/// The label, of the Deployment and its pods, that names the `WorkerPool`.
pub const POOL_LABEL: &str = "kubejudge.dev/worker-pool";
/// Selects the Deployments that are the operator's.
pub const DEPLOYMENTS: &str =
    "app.kubernetes.io/managed-by=kubejudge-operator,app.kubernetes.io/component=runner";

/// The user and group that runners are.
const USER: u32 = 65_532;
const PROGRAM: &str = "/opt/kubejudge/sandbox-runner";
const PROGRAM_DIR: &str = "/opt/kubejudge";
const CACHE_DIR: &str = "/var/cache/kubejudge";
const REDIS_DIR: &str = "/etc/kubejudge/redis";
/// What no box may see of the pod: the runner, its cache, its secrets.
const HIDDEN: &str = "/opt/kubejudge:/etc/kubejudge:/var/cache/kubejudge";
/// Seconds between the moment when a runner hands its jobs back and the moment when it is killed.
const LAST_SECONDS: i32 = 5;

/// What the operator's flags say for all `WorkerPool`s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// The image of sandbox-runner.
    pub runner_image: String,
    /// The Secret that says how runners reach Redis.
    pub redis_secret: String,
    /// Whether that Secret has the CA of Redis' certificate.
    pub redis_ca: bool,
}

/// The Deployment's name.
pub fn name(pool: &str) -> String {
    format!("{pool}-runner")
}

/// Selects the pool's Deployment and pods, for `status.selector`.
pub fn selector(pool: &str) -> String {
    format!("{POOL_LABEL}={pool}")
}

/// The labels of the Deployment and its pods.
pub fn labels(pool: &str) -> BTreeMap<String, String> {
    let labels = [
        ("app.kubernetes.io/name", "kubejudge"),
        ("app.kubernetes.io/component", "runner"),
        ("app.kubernetes.io/managed-by", "kubejudge-operator"),
        (POOL_LABEL, pool),
    ];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// What is applied: every field that is ours, and no other.
pub fn deployment(served: &Served, defaults: &Defaults) -> Value {
    let Served { namespace, name: pool, uid, spec, .. } = served;
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name(pool),
            "namespace": namespace,
            "labels": labels(pool),
            // Deletes the Deployment with its WorkerPool. Without blockOwnerDeletion, which would need the right to finalizers.
            "ownerReferences": [{
                "apiVersion": format!("{}/{}", crds::GROUP, crds::VERSION), "kind": "WorkerPool", "name": pool, "uid": uid,
                "controller": true, "blockOwnerDeletion": false,
            }],
        },
        "spec": {
            "replicas": spec.replicas,
            "selector": { "matchLabels": { POOL_LABEL: pool } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
            "minReadySeconds": 0,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 600,
            "template": { "metadata": pod_metadata(served), "spec": pod(served, defaults) },
        },
    })
}

/// The operator's labels win, should a server that drops CEL rules let others pass.
fn pod_metadata(served: &Served) -> Value {
    let mut all = served.spec.pod_labels.clone();
    all.extend(labels(&served.name));
    let mut metadata = json!({ "labels": all });
    if !served.spec.pod_annotations.is_empty() {
        metadata["annotations"] = json!(served.spec.pod_annotations);
    }
    metadata
}

fn pod(served: &Served, defaults: &Defaults) -> Value {
    let spec = &served.spec;
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "seccompProfile": spec.seccomp_profile,
        },
        "topologySpreadConstraints": spread(served),
        "initContainers": [install(served, defaults)],
        "containers": [runner(served, defaults)],
        "volumes": volumes(served, defaults),
    });
    let mut set = |field: &str, value: Option<Value>| {
        if let (Some(pod), Some(value)) = (pod.as_object_mut(), value) {
            pod.insert(field.to_owned(), value);
        }
    };
    let runtime = &spec.runtime_class_name;
    set("runtimeClassName", (!runtime.is_empty()).then(|| json!(runtime)));
    set("priorityClassName", spec.priority_class_name.as_ref().map(|name| json!(name)));
    set("nodeSelector", (!spec.node_selector.is_empty()).then(|| json!(spec.node_selector)));
    set("tolerations", (!spec.tolerations.is_empty()).then(|| json!(spec.tolerations)));
    let secrets = &spec.image_pull_secrets;
    set("imagePullSecrets", (!secrets.is_empty()).then(|| json!(secrets)));
    pod
}

/// Evenly over nodes, as far as possible, unless the `WorkerPool` says otherwise.
fn spread(served: &Served) -> Vec<Value> {
    let selector = json!({ "matchLabels": { POOL_LABEL: served.name } });
    let one = |skew: &Value, key: &Value, otherwise: &Value| json!({ "maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": otherwise, "labelSelector": selector });
    match &served.spec.topology_spread_constraints {
        None => vec![one(&json!(1), &json!("kubernetes.io/hostname"), &json!("ScheduleAnyway"))],
        Some(constraints) => constraints
            .iter()
            .map(|TopologySpread { max_skew, topology_key, when_unsatisfiable }| {
                one(&json!(max_skew), &json!(topology_key), &json!(when_unsatisfiable))
            })
            .collect(),
    }
}

/// What both containers have.
fn container(served: &Served, name: &str, image: &str, more: Value) -> Value {
    let mut container = json!({
        "name": name,
        "image": image,
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        },
    });
    if let Value::Object(container) = &mut container {
        let policy = served.spec.image_pull_policy.map(|policy| json!(policy));
        container.extend(policy.map(|policy| ("imagePullPolicy".to_owned(), policy)));
        container.extend(if let Value::Object(more) = more { more } else { Map::new() });
    }
    container
}

/// Copies the static binary to where the toolchain image, which knows nothing of us, can run it.
fn install(served: &Served, defaults: &Defaults) -> Value {
    let image = served.spec.runner_image.as_deref().unwrap_or(&defaults.runner_image);
    container(
        served,
        "install",
        image,
        json!({
            "command": ["/sandbox-runner", "install", PROGRAM],
            "resources": { "limits": { "cpu": "500m", "memory": "64Mi" }, "requests": { "cpu": "10m", "memory": "16Mi" } },
            "volumeMounts": [{ "name": "kubejudge", "mountPath": PROGRAM_DIR }],
        }),
    )
}

fn runner(served: &Served, defaults: &Defaults) -> Value {
    let check = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "http" },
            "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures,
        })
    };
    container(
        served,
        "runner",
        &served.spec.image,
        json!({
            "command": [PROGRAM, "worker"],
            "env": environment(served, defaults),
            "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
            // Five minutes: a sandboxed runtime is slow to start on a node that is busy.
            "startupProbe": check("/healthz", 2, 150),
            "livenessProbe": check("/healthz", 10, 6),
            "readinessProbe": check("/readyz", 5, 3),
            "resources": resources(&served.spec.resources),
            "volumeMounts": [
                { "name": "kubejudge", "mountPath": PROGRAM_DIR, "readOnly": true },
                { "name": "cache", "mountPath": CACHE_DIR },
                { "name": "redis", "mountPath": REDIS_DIR, "readOnly": true },
            ],
        }),
    )
}

/// All quantities as text: server-side apply takes no numbers for them.
fn resources(all: &Resources) -> Value {
    let amounts = |amounts: &ResourceAmounts| {
        let named = [
            ("cpu", &amounts.cpu),
            ("memory", &amounts.memory),
            ("ephemeral-storage", &amounts.ephemeral_storage),
        ];
        let named = named.into_iter().filter_map(|(name, amount)| Some((name, amount.as_ref()?.as_str())));
        json!(named.collect::<BTreeMap<_, _>>())
    };
    let mut resources = json!({ "limits": amounts(&all.limits) });
    if let Some(requests) = &all.requests {
        resources["requests"] = amounts(requests);
    }
    resources
}

fn environment(served: &Served, defaults: &Defaults) -> Vec<Value> {
    let spec = &served.spec;
    let grace = (spec.termination_grace_period_seconds - LAST_SECONDS).max(1);
    // The kubelet evicts a pod whose cache outgrows its volume; the runner must be full before that.
    let cache = spec.cache_size_limit.units() / 4 * 3;
    let ours = [
        ("KUBEJUDGE_REDIS_PASSWORD_FILE", format!("{REDIS_DIR}/password")),
        ("KUBEJUDGE_POOL", served.pool.to_string()),
        ("KUBEJUDGE_SLOTS", served.slots.to_string()),
        ("KUBEJUDGE_MEMORY_BYTES", served.memory_bytes.to_string()),
        ("KUBEJUDGE_CACHE_DIR", CACHE_DIR.to_owned()),
        ("KUBEJUDGE_CACHE_BYTES", cache.to_string()),
        ("KUBEJUDGE_GRACE_SECONDS", grace.to_string()),
        ("KUBEJUDGE_HIDE", HIDDEN.to_owned()),
    ];
    let ca = defaults.redis_ca.then(|| ("KUBEJUDGE_REDIS_CA_FILE", format!("{REDIS_DIR}/ca.crt")));
    // Only a digest says for certain what is in the image; else the runner looks at its compilers.
    let digest = spec.image.split_once('@').map(|(_, digest)| ("KUBEJUDGE_TOOLCHAIN_ID", digest.to_owned()));
    let url = json!({ "secretKeyRef": { "name": redis_secret(served, defaults), "key": "url" } });
    let pod = json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } });
    let elsewhere = [("KUBEJUDGE_REDIS_URL", url), ("KUBEJUDGE_NAME", pod)];
    let elsewhere = elsewhere.into_iter().map(|(name, from)| json!({ "name": name, "valueFrom": from }));
    let fixed = ours.into_iter().chain(ca).chain(digest);
    elsewhere.chain(fixed.map(|(name, value)| json!({ "name": name, "value": value }))).collect()
}

fn redis_secret<'a>(served: &'a Served, defaults: &'a Defaults) -> &'a str {
    served.spec.redis_secret_name.as_deref().unwrap_or(&defaults.redis_secret)
}

fn volumes(served: &Served, defaults: &Defaults) -> Value {
    let keys = ["password"].into_iter().chain(defaults.redis_ca.then_some("ca.crt"));
    let items: Vec<_> = keys.map(|key| json!({ "key": key, "path": key })).collect();
    let cache = served.spec.cache_size_limit.as_str();
    json!([
        { "name": "kubejudge", "emptyDir": { "sizeLimit": format!("{}Mi", BINARY_BYTES >> 20) } },
        { "name": "cache", "emptyDir": { "sizeLimit": cache } },
        { "name": "redis", "secret": { "secretName": redis_secret(served, defaults), "items": items, "defaultMode": 0o440 } },
    ])
}

#[cfg(test)]
mod tests;
