//! Policies on every pod that the chart makes, hooks and tests included; those of runners are the operator's.
use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};

use crate::chart::{self, MATRIX};

/// Calls `check` with every pod of the matrix, its object's identity, and the values' name.
fn each_pod(mut check: impl FnMut(&str, &Value)) {
    let mut count = 0;
    for name in MATRIX {
        for object in chart::objects(name) {
            if let Some(pod) = chart::pod(&object) {
                check(&format!("{name}: {}", chart::identity(&object)), pod);
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count}");
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| pod["spec"][list].as_array());
    lists.flatten()
}

/// Pod Security Standards, "restricted", and a root that is not written to.
#[test]
fn pods_are_restricted() {
    each_pod(|who, pod| {
        let spec = &pod["spec"];
        for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
            assert!(spec[field].is_null(), "{who} has {field}");
        }
        let security = &spec["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{who}");
        assert!(security["runAsUser"].as_u64().unwrap() > 0, "{who}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{who}");
        for container in containers(pod) {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{who}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{who}");
            assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }), "{who}");
            assert!(security["privileged"].is_null(), "{who}");
            assert!(strings_of_ports(container).is_empty(), "{who} has host ports");
        }
        let allowed =
            ["configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim", "downwardAPI"];
        for volume in spec["volumes"].as_array().into_iter().flatten() {
            let kinds: Vec<_> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
            assert!(kinds.iter().all(|kind| allowed.contains(&kind.as_str())), "{who}: {volume}");
            if let Some(directory) = volume.get("emptyDir") {
                assert!(directory["sizeLimit"].is_string(), "{who}: {volume} has no bound");
            }
        }
    });
}

fn strings_of_ports(container: &Value) -> Vec<&Value> {
    let ports = container["ports"].as_array().into_iter().flatten();
    ports.filter(|port| !port["hostPort"].is_null()).collect()
}

#[test]
fn containers_have_bounded_resources_and_named_versions() {
    each_pod(|who, pod| {
        for container in containers(pod) {
            for kind in ["requests", "limits"] {
                for amount in ["cpu", "memory"] {
                    assert!(!container["resources"][kind][amount].is_null(), "{who}: no {kind}.{amount}");
                }
            }
            let image = container["image"].as_str().unwrap();
            let tag = image.rsplit('/').next().unwrap().split_once([':', '@']);
            assert!(tag.is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest"), "{who}: {image}");
        }
    });
}

#[test]
fn only_those_who_talk_to_the_api_server_have_a_token() {
    let mut with_token = BTreeSet::new();
    each_pod(|who, pod| {
        let token = pod["spec"]["automountServiceAccountToken"].as_bool().unwrap();
        assert_eq!(pod["spec"]["enableServiceLinks"], false, "{who}");
        let component = pod["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap().to_owned();
        assert_eq!(token, pod["spec"]["serviceAccountName"].is_string(), "{who}");
        if token {
            with_token.insert(component);
        }
    });
    assert_eq!(with_token, BTreeSet::from(["operator".to_owned(), "test".to_owned()]));
    for name in MATRIX {
        for account in chart::kind(&chart::objects(name), "ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false);
        }
    }
}

/// No password stands where everyone sees it.
#[test]
fn passwords_are_in_secrets_alone() {
    for name in MATRIX {
        let objects = chart::objects(name);
        let secrets = chart::kind(&objects, "Secret");
        let passwords: Vec<_> =
            secrets.iter().map(|secret| secret["data"]["password"].as_str().unwrap()).collect();
        let distinct: BTreeSet<_> = passwords.iter().collect();
        assert_eq!(distinct.len(), passwords.len(), "{name}");
        for object in objects.iter().filter(|object| object["kind"] != "Secret") {
            let text = object.to_string();
            assert!(passwords.iter().all(|password| !text.contains(password)), "{}", chart::identity(object));
        }
    }
}

/// Every flag that the chart gives is one that the operator has.
#[test]
fn flags_are_the_operators() {
    let operator = e2e::files::workspace_binary("operator").unwrap();
    let help = |arguments: &[&str]| {
        let output = Command::new(&operator).args(arguments).arg("--help").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (operator, hello) = (help(&[]), help(&["hello"]));
    each_pod(|who, pod| {
        for container in containers(pod).filter(|container| container["args"].is_array()) {
            let arguments = chart::strings(&container["args"]);
            let help = if arguments[0] == "hello" { &hello } else { &operator };
            for flag in arguments.iter().filter_map(|argument| argument.strip_prefix("--")) {
                let name = flag.split('=').next().unwrap();
                assert!(help.contains(&format!(" --{name}")), "{who}: the operator has no --{name}");
            }
        }
    });
}

/// Objects that belong together are told by labels that an upgrade may not change.
#[test]
fn selectors_match_pods_and_hold_no_version() {
    for name in MATRIX {
        for object in chart::objects(name) {
            let Some(selector) = object["spec"]["selector"]["matchLabels"].as_object() else { continue };
            assert!(
                !selector.contains_key("app.kubernetes.io/version")
                    && !selector.contains_key("helm.sh/chart")
            );
            if let Some(pod) = chart::pod(&object) {
                for (label, value) in selector {
                    assert_eq!(
                        pod["metadata"]["labels"][label],
                        *value,
                        "{name}: {}",
                        chart::identity(&object)
                    );
                }
            }
        }
    }
}
