//! What the chart renders is what is checked in, for both Helms; and what it has from elsewhere is up to date.
use std::{env, fs, path::Path, process::Command};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::chart::{self, HELMS, MATRIX};

/// Set, the golden files are written instead of compared.
const BLESS: &str = "KUBEJUDGE_BLESS";

/// Without the CRDs, whose text is elsewhere, and with every password replaced.
fn normalised(helm: &str, name: &str) -> String {
    let text = chart::text(helm, name, &["--set=crds.install=false"]);
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let (indent, value) = line.split_once("password: ").unwrap_or((line, ""));
        if indent.trim().is_empty() && !value.is_empty() && !value.starts_with('{') {
            let length = value.len();
            assert_eq!(length, 56, "40 random characters in base64: {line}");
            lines.push(format!("{indent}password: RANDOM"));
        } else {
            lines.push(line.trim_end().to_owned());
        }
    }
    // Neither the order of hooks nor empty lines are the chart's.
    let text = lines.join("\n");
    let mut documents: Vec<_> = text.split("\n---\n").map(str::trim).collect();
    documents[0] = documents[0].trim_start_matches("---\n");
    documents.sort_unstable();
    documents.join("\n---\n") + "\n"
}

#[test]
fn renders_are_those_checked_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/golden");
    let mut stale = Vec::new();
    for name in MATRIX {
        let [three, four] = HELMS.map(|helm| normalised(helm, name));
        assert!(three == four, "{name} differs between Helm 3 and 4:\n{}", first_difference(&three, &four));
        let file = folder.join(format!("{name}.yaml"));
        if env::var_os(BLESS).is_some() {
            fs::write(&file, &three).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        if golden != three {
            stale.push(format!("{name}:\n{}", first_difference(&golden, &three)));
        }
    }
    assert!(stale.is_empty(), "not as checked in; if meant, run `make chart-files`:\n{}", stale.join("\n"));
}

fn first_difference(old: &str, new: &str) -> String {
    let differs = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    differs.map_or_else(|| "one is longer".to_owned(), |(old, new)| format!("- {old}\n+ {new}"))
}

#[test]
fn every_values_file_is_in_the_matrix() {
    let mut files: Vec<_> =
        fs::read_dir(chart::folder().join("ci")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut matrix = MATRIX.map(chart::values);
    matrix.sort();
    assert_eq!(files, matrix);
}

#[test]
fn lint_finds_nothing() {
    for helm in HELMS {
        let mut command = chart::helm(helm);
        command.args(["lint", "--strict"]).arg(chart::folder());
        for name in MATRIX {
            let mut command = chart::helm(helm);
            command.args(["lint", "--strict", "--values"]).arg(chart::values(name)).arg(chart::folder());
            succeeds(&mut command);
        }
        succeeds(&mut command);
    }
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text.into_owned()
}

#[test]
fn a_package_holds_what_it_needs_and_no_test_values() {
    let to = tempfile::tempdir().unwrap();
    for helm in HELMS {
        succeeds(chart::helm(helm).arg("package").arg(chart::folder()).arg("-d").arg(to.path()));
        let archive = to.path().join(format!("kubejudge-{}.tgz", env!("CARGO_PKG_VERSION")));
        let list = succeeds(Command::new("tar").arg("-tzf").arg(&archive));
        assert!(list.contains("files/crds/workerpools.yaml") && !list.contains("/ci/"), "{list}");
        // A package renders what the folder does.
        let mut command = chart::helm(helm);
        succeeds(command.args(["template", "x"]).arg(&archive));
    }
}

#[test]
fn what_the_chart_has_from_elsewhere_is_up_to_date() {
    succeeds(Command::new("e2e/chart/generate").arg("--check").current_dir(chart::repository()));
}

#[test]
fn versions_are_the_workspaces() {
    let chart = chart::file("charts/kubejudge/Chart.yaml");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn crds_are_those_of_the_crate_and_are_kept() {
    let objects = chart::objects("default");
    let crds = chart::kind(&objects, "CustomResourceDefinition");
    assert_eq!(crds.len(), crds::all().len());
    for known in crds::all() {
        let name = known.metadata.name.clone().unwrap();
        let crd = crds.iter().find(|crd| crd["metadata"]["name"] == name.as_str()).unwrap();
        let rendered: CustomResourceDefinition = serde_json::from_value((*crd).clone()).unwrap();
        assert!(rendered.spec == known.spec, "{name} differs");
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    assert!(chart::kind(&chart::objects("minimal"), "CustomResourceDefinition").is_empty());
}

#[test]
fn languages_are_those_of_manifests() {
    let objects = chart::objects("default");
    let languages = chart::kind(&objects, "Language");
    assert_eq!(languages.len(), 4);
    for language in languages {
        let name = language["metadata"]["name"].as_str().unwrap();
        assert_eq!(language["spec"], chart::file(&format!("manifests/languages/{name}.yaml"))["spec"]);
    }
}

/// Where the server does not know the kinds yet, objects of them are made by hooks, and are the release's own all the same.
#[test]
fn objects_of_new_kinds_are_made_by_hooks() {
    let output = chart::template("helm3", &[], &[]);
    let objects = chart::parse(&String::from_utf8(output.stdout).unwrap());
    let ours: Vec<_> =
        objects.iter().filter(|object| object["apiVersion"] == "kubejudge.dev/v1alpha1").collect();
    assert_eq!(ours.len(), 2 * 5);
    for object in ours {
        let annotations = &object["metadata"]["annotations"];
        match annotations["helm.sh/hook"].as_str().unwrap() {
            "post-install,post-upgrade,post-rollback" => {
                assert_eq!(annotations["meta.helm.sh/release-name"], chart::RELEASE);
                assert_eq!(annotations["meta.helm.sh/release-namespace"], chart::NAMESPACE);
                assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
                assert_eq!(annotations["helm.sh/hook-delete-policy"], "hook-failed");
            }
            "pre-delete" => {
                assert_eq!(annotations["helm.sh/hook-delete-policy"], "before-hook-creation,hook-succeeded");
            }
            other => panic!("{other}"),
        }
    }
    let known = chart::objects("default");
    let hooks = known.iter().filter(|object| object["metadata"]["annotations"]["helm.sh/hook"].is_string());
    assert!(hooks.map(|hook| &hook["metadata"]["annotations"]["helm.sh/hook"]).all(|hook| hook == "test"));
}

/// Every value of values.yaml is described, so that it is in README's table.
#[test]
fn every_value_is_described() {
    let text = fs::read_to_string(chart::folder().join("README.md")).unwrap();
    let values = chart::file("charts/kubejudge/values.yaml");
    let mut missing = Vec::new();
    walk("", &values, &mut |path| text.contains(&format!("| `{path}` |")), &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

/// Names the leaves below which nothing is described.
fn walk(path: &str, value: &Value, described: &mut dyn FnMut(&str) -> bool, missing: &mut Vec<String>) {
    if !path.is_empty() && described(path) {
        return;
    }
    match value.as_object().filter(|object| !object.is_empty()) {
        Some(object) => {
            for (name, child) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, child, described, missing);
            }
        }
        None => missing.push(path.to_owned()),
    }
}
