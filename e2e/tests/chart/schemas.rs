//! Every rendered object is one by Kubernetes' own schemas of two releases; those of our kinds by our own border.
use std::{fs, process::Command};

use e2e::crd_server::CrdServer;
use kube::api::{PostParams, Request};
use serde_json::Value;

use crate::chart::{self, MATRIX};

/// The oldest and the newest that kubernetes-validate 1.37 has, and the oldest that knows all that our CRDs say.
const RELEASES: [&str; 3] = ["1.25.0", "1.30.0", "1.37.0"];

fn is_kubernetes_own(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().unwrap();
    // The schemas of custom resource definitions stop at what is in them.
    !group.starts_with("kubejudge.dev/") && !group.starts_with("monitoring.coreos.com/")
}

#[test]
fn objects_are_valid_by_the_schemas_of_two_releases() {
    let validate = e2e::files::tool("kubernetes-validate", "helm").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for name in MATRIX {
        for (i, object) in chart::objects(name).into_iter().filter(is_kubernetes_own).enumerate() {
            let file = folder.path().join(format!("{name}-{i}-{}.json", object["kind"].as_str().unwrap()));
            fs::write(&file, object.to_string()).unwrap();
            files.push(file.display().to_string());
        }
    }
    assert!(files.len() > 80, "{}", files.len());
    for release in RELEASES {
        let known = files
            .iter()
            .filter(|file| release != "1.25.0" || !file.ends_with("CustomResourceDefinition.json"));
        let mut command = Command::new(&validate);
        let output = command.args(["--strict", "--quiet", "-k", release]).args(known).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{release}: {text}");
    }
}

#[test]
fn the_schemas_do_refuse() {
    let validate = e2e::files::tool("kubernetes-validate", "helm").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.json");
    let mut object = chart::kind(&chart::objects("default"), "Deployment")[0].clone();
    object["spec"]["replica"] = 1.into();
    fs::write(&file, object.to_string()).unwrap();
    for release in RELEASES {
        let output = Command::new(&validate).args(["--strict", "-k", release]).arg(&file).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
    }
}

#[test]
fn objects_of_our_kinds_pass_our_border() {
    let mut count = 0;
    for name in MATRIX {
        for object in chart::objects(name) {
            let errors = match object["kind"].as_str().unwrap() {
                "Language" => crds::validate::<crds::Language>(&object).err(),
                "WorkerPool" => crds::validate::<crds::WorkerPool>(&object).err(),
                _ => continue,
            };
            assert!(errors.is_none(), "{name} {}: {errors:?}", chart::identity(&object));
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn names_are_unique_and_no_longer_than_allowed() {
    let long = format!("--set=fullnameOverride={}", "a".repeat(40));
    let renders = MATRIX.map(|name| (name, "--include-crds")).into_iter().chain([("default", long.as_str())]);
    for (name, argument) in renders {
        let objects = chart::parse(&chart::text("helm3", name, &[argument]));
        let mut names: Vec<_> = objects.iter().map(chart::identity).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{name}");
        for object in &objects {
            let length = object["metadata"]["name"].as_str().unwrap().len();
            assert!(length <= 63, "{}", chart::identity(object));
        }
    }
}

/// On a real API server of Kubernetes 1.36, with the CRDs as the chart has them.
#[tokio::test]
async fn objects_of_our_kinds_are_taken_by_a_server_of_today() {
    let server = CrdServer::start().await.unwrap();
    for crd in chart::kind(&chart::objects("default"), "CustomResourceDefinition") {
        server.install(&serde_json::from_value(crd.clone()).unwrap()).await.unwrap();
    }
    for name in MATRIX {
        for object in chart::objects(name) {
            let path = match object["kind"].as_str().unwrap() {
                "Language" => "languages".to_owned(),
                "WorkerPool" => format!("namespaces/{}/workerpools", chart::NAMESPACE),
                _ => continue,
            };
            let path = format!("/apis/kubejudge.dev/v1alpha1/{path}");
            let mut request =
                Request::new(&path).create(&PostParams::default(), object.to_string().into()).unwrap();
            *request.uri_mut() = format!("{path}?dryRun=All&fieldValidation=Strict").parse().unwrap();
            let answer = server.client.0.request::<Value>(request).await;
            assert!(answer.is_ok(), "{name} {}: {answer:?}", chart::identity(&object));
        }
    }
}
