//! The operator's user and its rights: the least that it needs, so that a test fails when it needs more.
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kube::{Api, Client, api::PostParams};
use serde_json::json;

/// The operator's user.
pub const OPERATOR: &str = "kubejudge-operator";

/// The operator's rights. The chart grants the same: `tests/chart` compares, and `tests/rights.rs` sees each used.
pub fn rules() -> Vec<PolicyRule> {
    let may = |group: &str, resource: &str, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    vec![
        may(crds::GROUP, "submissions", &["get", "list", "watch", "delete"]),
        may(crds::GROUP, "submissions/status", &["update", "patch"]),
        may(crds::GROUP, "languages", &["list", "watch"]),
        may(crds::GROUP, "languages/status", &["patch"]),
        may(crds::GROUP, "workerpools", &["list", "watch"]),
        may(crds::GROUP, "workerpools/status", &["patch"]),
        may("", "configmaps", &["get"]),
        may("", "namespaces", &["get", "list", "watch"]),
        may("apps", "deployments", &["list", "watch", "create", "patch"]),
    ]
}

/// Grants the operator its rights.
pub(crate) async fn grant(client: &Client) -> anyhow::Result<()> {
    let role: ClusterRole =
        serde_json::from_value(json!({ "metadata": { "name": OPERATOR }, "rules": rules() }))?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": OPERATOR },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": OPERATOR },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR }],
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &role).await?;
    Api::all(client.clone()).create(&PostParams::default(), &binding).await?;
    Ok(())
}
