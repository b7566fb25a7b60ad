//! Runs Helm on the chart and reads what it renders.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// The namespace that releases are rendered for.
pub(crate) const NAMESPACE: &str = "judging";
/// The release's name.
pub(crate) const RELEASE: &str = "kubejudge";
/// What today's clusters know: our kinds among them, so that no object of them is made by a hook.
const KNOWN: [&str; 8] = [
    "kubejudge.dev/v1alpha1/WorkerPool",
    "kubejudge.dev/v1alpha1/Language",
    "policy/v1",
    "autoscaling/v2",
    "node.k8s.io/v1",
    "monitoring.coreos.com/v1",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PodMonitor",
];
/// Values of the matrix: charts/kubejudge/ci/NAME.yaml.
pub(crate) const MATRIX: [&str; 6] =
    ["default", "external-redis-tls", "namespaced", "ha", "minimal", "everything"];
/// Both Helms.
pub(crate) const HELMS: [&str; 2] = ["helm3", "helm4"];

pub(crate) fn folder() -> PathBuf {
    repository().join("charts/kubejudge")
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The file of the matrix.
pub(crate) fn values(name: &str) -> PathBuf {
    folder().join("ci").join(format!("{name}.yaml"))
}

/// A Helm that knows no cluster and no home of anybody.
pub(crate) fn helm(helm: &str) -> Command {
    let mut command = Command::new(e2e::files::tool(helm, "helm").unwrap());
    command.env("KUBECONFIG", "/nonexistent").env_remove("HELM_DRIVER").current_dir(repository());
    command
}

/// `helm template` as for a cluster that knows `kinds`.
pub(crate) fn template(helm: &str, kinds: &[&str], arguments: &[&str]) -> Output {
    let mut command = self::helm(helm);
    command.args(["template", RELEASE]).arg(folder()).args(["--namespace", NAMESPACE]);
    command.args(kinds.iter().map(|kind| format!("--api-versions={kind}")));
    command.args(arguments).output().unwrap()
}

/// The text for values of the matrix, as for today's clusters.
pub(crate) fn text(helm: &str, name: &str, arguments: &[&str]) -> String {
    let file = format!("--values={}", values(name).display());
    let output = template(helm, &KNOWN, &[&[file.as_str()], arguments].concat());
    assert!(output.status.success(), "{helm} {name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The objects for values of the matrix, hooks included.
pub(crate) fn objects(name: &str) -> Vec<Value> {
    parse(&text("helm3", name, &[]))
}

/// The objects of a text.
pub(crate) fn parse(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|document| read(document.trim_start_matches("---\n")));
    documents.filter(|object| !object.is_null()).collect()
}

pub(crate) fn read(text: &str) -> Value {
    serde_saphyr::from_str::<Option<Value>>(text)
        .unwrap_or_else(|error| panic!("{error} in:\n{text}"))
        .unwrap_or_default()
}

/// The YAML file of this repository.
pub(crate) fn file(path: &str) -> Value {
    read(&fs::read_to_string(repository().join(path)).unwrap())
}

pub(crate) fn kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// Kind, namespace and name.
pub(crate) fn identity(object: &Value) -> String {
    let metadata = &object["metadata"];
    let [namespace, name] = ["namespace", "name"].map(|field| metadata[field].as_str().unwrap_or("-"));
    format!("{} {namespace}/{name}", object["kind"].as_str().unwrap_or("-"))
}

/// The pods of an object, or None.
pub(crate) fn pod(object: &Value) -> Option<&Value> {
    match object["kind"].as_str()? {
        "Pod" => Some(object),
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicaSet" => {
            Some(&object["spec"]["template"])
        }
        "CronJob" => Some(&object["spec"]["jobTemplate"]["spec"]["template"]),
        _ => None,
    }
}

/// The strings of a list.
pub(crate) fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
