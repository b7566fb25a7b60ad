//! Helm and kubectl against a real API server of Kubernetes 1.20: install, upgrade, roll back, uninstall, dry runs.
use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use e2e::{ControlPlane, User};
use serde_json::Value;

use crate::chart::{self, MATRIX, NAMESPACE, RELEASE};

/// Such a server does not know all that a CRD of today says: neither client nor server-side apply must refuse it for that.
const OLD_SERVER: [&[&str]; 2] =
    [&["--disable-openapi-validation"], &["--disable-openapi-validation", "--server-side=false"]];

/// A server, and a Helm for it.
struct Cluster {
    plane: ControlPlane,
    helm: &'static str,
    flags: &'static [&'static str],
}

impl Cluster {
    async fn start(helm: usize) -> Self {
        let plane = ControlPlane::start_bare().await.unwrap();
        Self { plane, helm: chart::HELMS[helm], flags: OLD_SERVER[helm] }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig(User::Admin, self.plane.port()).unwrap()
    }

    fn run(&self, command: &mut Command) -> String {
        let output = command.env("KUBECONFIG", self.kubeconfig()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn helm(&self, arguments: &[&str]) -> String {
        self.run(chart::helm(self.helm).args(["--namespace", NAMESPACE]).args(arguments))
    }

    /// Installs or upgrades.
    fn release(&self, verb: &str, arguments: &[&str]) -> String {
        let folder = chart::folder().display().to_string();
        self.helm(&[&[verb, RELEASE, folder.as_str()], self.flags, arguments].concat())
    }

    /// Why an upgrade with these values is refused.
    fn refused(&self, arguments: &[&str]) -> String {
        let folder = chart::folder().display().to_string();
        let mut command = chart::helm(self.helm);
        command
            .args(["--namespace", NAMESPACE, "upgrade", RELEASE, &folder])
            .args(self.flags)
            .args(arguments);
        let output = command.env("KUBECONFIG", self.kubeconfig()).output().unwrap();
        assert!(!output.status.success(), "{command:?} was not refused");
        String::from_utf8(output.stderr).unwrap()
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(e2e::files::cluster_binary("kubectl", "kubectl").unwrap());
        self.run(command.current_dir(chart::repository()).args(arguments))
    }

    /// Installs crds/ as kubectl does.
    fn kinds(&self) {
        self.kubectl(&["apply", "--validate=false", "-f", "crds/"]);
        let crds = CRDS.map(|plural| format!("crd/{plural}.kubejudge.dev"));
        let crds: Vec<_> = crds.iter().map(String::as_str).collect();
        self.kubectl(&[&["wait", "--for=condition=Established"], &*crds].concat());
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// The passwords in the release's Secrets, by name.
    fn passwords(&self) -> BTreeMap<String, String> {
        let secrets = self.json(&["get", "secrets", "-n", NAMESPACE]);
        let items = secrets["items"].as_array().unwrap().iter();
        let with = items.filter_map(|secret| Some((secret, secret["data"]["password"].as_str()?)));
        with.map(|(secret, password)| (text(&secret["metadata"]["name"]), password.to_owned())).collect()
    }

    /// UIDs of Languages and `WorkerPools`, by name.
    fn custom_resources(&self) -> BTreeMap<String, String> {
        let list = self.json(&["get", "languages,workerpools", "-n", NAMESPACE]);
        let items = list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]);
        items.map(|metadata| (text(&metadata["name"]), text(&metadata["uid"]))).collect()
    }

    /// What there is of the release's objects.
    fn left(&self, manifest: &str) -> Vec<String> {
        let file = self.kubeconfig().with_file_name("manifest.yaml");
        fs::write(&file, manifest).unwrap();
        let file = file.display().to_string();
        let names = self.kubectl(&["get", "-f", &file, "-n", NAMESPACE, "--ignore-not-found", "-o", "name"]);
        let mut names: Vec<_> = names.lines().map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }

    /// All that the release made, as Helm knows it.
    fn manifest(&self) -> String {
        self.helm(&["get", "manifest", RELEASE]) + "\n---\n" + &self.helm(&["get", "hooks", RELEASE])
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn names(all: &BTreeMap<String, String>) -> Vec<&str> {
    all.keys().map(String::as_str).collect()
}

const CRDS: [&str; 3] = ["languages", "submissions", "workerpools"];

fn crds() -> Vec<String> {
    CRDS.map(|plural| format!("customresourcedefinition.apiextensions.k8s.io/{plural}.kubejudge.dev"))
        .to_vec()
}

async fn life(helm: usize) {
    let cluster = Cluster::start(helm).await;
    let notes = cluster.release("install", &["--create-namespace"]);
    assert!(notes.contains("RuntimeClass gvisor is not there"), "{notes}");
    let (passwords, made) = (cluster.passwords(), cluster.custom_resources());
    assert_eq!(names(&made), ["c17", "cpp17", "default", "java17", "python3"]);
    assert_eq!(names(&passwords), ["kubejudge-redis", "kubejudge-redis-default"]);

    // Helm would leave out without a word what a first upgrade changes of what hooks made.
    let change = "--set=workerPools.default.spec.replicas=3";
    let refused = cluster.refused(&[change]);
    assert!(refused.contains("WorkerPool default would change, but the first upgrade"), "{refused}");

    // What hooks made is taken over as it is; old passwords stay, a new pool gets one.
    let pool = "--set=workerPools.more.spec.languages={c17},runtimeClass.create=true";
    let notes = cluster.release("upgrade", &[pool, "--set=redis.enabled=true"]);
    assert!(!notes.contains("What is missing"), "{notes}");
    let (mut later, mut now) = (cluster.passwords(), cluster.custom_resources());
    later.remove("kubejudge-redis-more").unwrap();
    now.remove("more").unwrap();
    assert_eq!((&later, &now), (&passwords, &made));
    assert!(
        chart::parse(&cluster.helm(&["get", "manifest", RELEASE]))
            .iter()
            .any(|object| object["kind"] == "Language")
    );

    // A pool that is taken away goes.
    cluster.release("upgrade", &["--set=languages.names={python3}", change]);
    let pool = cluster.json(&["get", "workerpool", "default", "-n", NAMESPACE]);
    assert_eq!(pool["spec"]["replicas"], 3, "a later upgrade changes what it is told to");
    assert_eq!(names(&cluster.custom_resources()), ["default", "python3"]);
    assert_eq!(cluster.passwords(), passwords);

    // The first revision's objects come again.
    cluster.helm(&["rollback", RELEASE, "1"]);
    assert_eq!(names(&cluster.custom_resources()), names(&made));
    cluster.release("upgrade", &[]);

    cluster.kubectl(&["apply", "--validate=false", "-n", NAMESPACE, "-f", "manifests/examples/c17-sum.yaml"]);
    let manifest = cluster.manifest();
    assert!(cluster.left(&manifest).len() > 20);
    cluster.helm(&["uninstall", RELEASE]);
    assert_eq!(cluster.left(&manifest), crds());
    let submissions = cluster.json(&["get", "submissions", "-n", NAMESPACE]);
    assert_eq!(submissions["items"].as_array().unwrap().len(), 1);
    assert_eq!(cluster.passwords(), BTreeMap::new());
}

#[tokio::test]
async fn helm_3_installs_upgrades_and_leaves_no_more_than_the_kinds() {
    life(0).await;
}

#[tokio::test]
async fn helm_4_installs_upgrades_and_leaves_no_more_than_the_kinds() {
    life(1).await;
}

/// Hooks made the Languages and the pool, and no upgrade took them over.
#[tokio::test]
async fn an_uninstall_right_after_the_first_install_leaves_no_more_either() {
    for helm in [0, 1] {
        let cluster = Cluster::start(helm).await;
        cluster.release("install", &["--create-namespace"]);
        assert_eq!(cluster.custom_resources().len(), 5);
        let manifest = cluster.manifest();
        cluster.helm(&["uninstall", RELEASE]);
        assert_eq!(cluster.left(&manifest), crds());
        assert!(cluster.custom_resources().is_empty());
        // The kinds are there by now: no hooks.
        cluster.release("install", &[]);
        assert!(!cluster.helm(&["get", "hooks", RELEASE]).contains("kind: WorkerPool"));
        assert_eq!(cluster.custom_resources().len(), 5);
    }
}

/// By server-side apply, as Helm 4 does unless told otherwise. The kinds are made before: such a server refuses ours by it.
#[tokio::test]
async fn helm_4_applies_on_the_servers_side() {
    let cluster = Cluster::start(1).await;
    cluster.kinds();
    let flags = ["--set=crds.install=false", "--server-side=true"];
    cluster.release("install", &[&flags[..], &["--create-namespace"]].concat());
    let (passwords, made) = (cluster.passwords(), cluster.custom_resources());
    assert_eq!((passwords.len(), made.len()), (2, 5));
    cluster.release("upgrade", &[&flags[..], &["--set=operator.replicas=2"]].concat());
    assert_eq!((cluster.passwords(), cluster.custom_resources()), (passwords, made));
    let operator = cluster.json(&["get", "deployment", "kubejudge-operator", "-n", NAMESPACE]);
    assert_eq!(operator["spec"]["replicas"], 2);
    let manifest = cluster.manifest();
    cluster.helm(&["uninstall", RELEASE]);
    assert_eq!(cluster.left(&manifest), [""; 0]);
}

#[tokio::test]
async fn kubectl_applies_every_render_in_a_dry_run() {
    let cluster = Cluster::start(0).await;
    cluster.kinds();
    for namespace in [NAMESPACE, "kubejudge", "pools", "course-a", "course-b"] {
        cluster.kubectl(&["create", "namespace", namespace]);
    }
    let dry = |file: &str| {
        let flags = ["apply", "--dry-run=server", "--validate=false", "-f", file];
        cluster.kubectl(&flags).lines().count()
    };
    let file = cluster.kubeconfig().with_file_name("render.yaml").display().to_string();
    for name in MATRIX {
        // As that server is: some of the API versions are older. The kinds are installed, and not Helm's.
        let values = format!("--values={}", chart::values(name).display());
        let text = cluster.release("template", &["--validate", "--set=crds.install=false", &values]);
        let objects = chart::parse(&text);
        fs::write(&file, text).unwrap();
        assert_eq!(dry(&file), objects.len(), "{name}");
    }
    let install = fs::read_to_string(chart::repository().join("manifests/install.yaml")).unwrap();
    assert!(!install.contains("kind: Secret") && !install.contains("password: "));
    // It names its own namespace, and the API versions of today.
    let old = install.replace("policy/v1\n", "policy/v1beta1\n");
    fs::write(&file, old).unwrap();
    let flags = ["apply", "--dry-run=server", "--validate=false", "-f", &file];
    assert_eq!(cluster.kubectl(&flags).lines().count(), chart::parse(&install).len());
}
