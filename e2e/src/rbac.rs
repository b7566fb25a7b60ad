//! The operator's user and its rights: the least that it needs, so that a test fails when it needs more.
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::{Api, Client, api::PostParams};
use serde_json::json;

/// The operator's user.
pub const OPERATOR: &str = "kubejudge-operator";

/// Grants the operator its rights.
pub(crate) async fn grant(client: &Client) -> anyhow::Result<()> {
    let may = |group: &str, resource: &str, verbs: &[&str]| json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    let rules = json!([
        may(crds::GROUP, "submissions", &["get", "list", "watch", "delete"]),
        may(crds::GROUP, "submissions/status", &["update", "patch"]),
        may(crds::GROUP, "languages", &["get", "list", "watch"]),
        may(crds::GROUP, "languages/status", &["update", "patch"]),
        may("", "configmaps", &["get"]),
    ]);
    let role: ClusterRole =
        serde_json::from_value(json!({ "metadata": { "name": OPERATOR }, "rules": rules }))?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": OPERATOR },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": OPERATOR },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR }],
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &role).await?;
    Api::all(client.clone()).create(&PostParams::default(), &binding).await?;
    Ok(())
}
