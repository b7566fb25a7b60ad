//! `operator hello` with the rights that the chart gives to its test, and with no more.
use std::process::Output;

use e2e::{Setup, User, World, fixtures};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use tokio::process::Command;

use crate::chart::{self, NAMESPACE};

/// Gives the chart's test account its rights, and a kubeconfig by which one is that account.
async fn account(world: &World) -> std::path::PathBuf {
    let objects = chart::objects("default");
    let named = |kind: &str| {
        let found = chart::kind(&objects, kind)
            .into_iter()
            .find(|object| object["metadata"]["name"] == "kubejudge-test");
        found.unwrap().clone()
    };
    world.create_namespace(NAMESPACE).await.unwrap();
    let role: Role = serde_json::from_value(named("Role")).unwrap();
    let binding: RoleBinding = serde_json::from_value(named("RoleBinding")).unwrap();
    let how = PostParams::default();
    Api::namespaced(world.client(), NAMESPACE).create(&how, &role).await.unwrap();
    Api::namespaced(world.client(), NAMESPACE).create(&how, &binding).await.unwrap();
    let path = world.control_plane.kubeconfig(User::Admin, world.control_plane.port()).unwrap();
    let account = format!("user: {{as: 'system:serviceaccount:{NAMESPACE}:kubejudge-test', ");
    let text = std::fs::read_to_string(&path).unwrap().replace("user: {client", &format!("{account}client"));
    let path = world.dir().join("kubeconfig-account");
    std::fs::write(&path, text).unwrap();
    path
}

async fn hello(kubeconfig: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(e2e::files::workspace_binary("operator").unwrap());
    command.arg("hello").args(arguments).env("KUBECONFIG", kubeconfig).env("NO_COLOR", "1");
    command.output().await.unwrap()
}

#[tokio::test]
async fn hello_is_judged_told_and_deleted() {
    let world = World::start(Setup::default()).await.unwrap();
    let kubeconfig = account(&world).await;
    let namespace = format!("--namespace={NAMESPACE}");
    let shell = format!("--language={}", fixtures::SHELL);
    let right = hello(&kubeconfig, &[&namespace, &shell, "--source=echo 'Hello, world!'"]).await;
    assert!(right.status.success(), "{right:?}");
    assert!(String::from_utf8_lossy(&right.stdout).starts_with("Accepted in shell: "), "{right:?}");

    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong = hello(&kubeconfig, &[&namespace, &shell, "--source=echo Bye"]).await;
    assert!(!wrong.status.success() && said(&wrong).contains("WrongAnswer in shell"), "{wrong:?}");
    let late = hello(&kubeconfig, &[&namespace, "--language=c17", "--timeout-seconds=3"]).await;
    assert!(!late.status.success() && said(&late).contains("LanguageNotFound"), "{late:?}");
    let elsewhere = hello(&kubeconfig, &["--namespace=default", &shell, "--source=true"]).await;
    assert!(!elsewhere.status.success() && said(&elsewhere).contains("forbidden"), "{elsewhere:?}");

    let left = world.submissions_in(NAMESPACE).list(&ListParams::default()).await.unwrap();
    assert!(left.items.is_empty(), "{left:?}");
}
