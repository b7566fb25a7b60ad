//! Who may do what: the operator exactly what the tests run it with, people no more than their role says.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::chart::{self, MATRIX};

/// `group/resource verb` of each right.
fn rights(rules: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        assert!(rule["nonResourceURLs"].is_null(), "{rule}");
        for group in chart::strings(&rule["apiGroups"]) {
            for resource in chart::strings(&rule["resources"]) {
                for verb in chart::strings(&rule["verbs"]) {
                    all.insert(format!("{group}/{resource} {verb}"));
                }
            }
        }
    }
    all
}

fn of_component<'a>(objects: &'a [Value], kind: &str, component: &str) -> Vec<&'a Value> {
    let label = |object: &&Value| object["metadata"]["labels"]["app.kubernetes.io/component"] == component;
    chart::kind(objects, kind).into_iter().filter(label).collect()
}

/// In whatever way they are split over roles.
#[test]
fn the_operator_has_the_rights_that_the_tests_run_it_with() {
    let expected = rights(&json!(e2e::rbac::rules()));
    for name in MATRIX.into_iter().filter(|name| *name != "minimal") {
        let objects = chart::objects(name);
        let roles = ["ClusterRole", "Role"].map(|kind| of_component(&objects, kind, "operator")).concat();
        let granted: BTreeSet<_> = roles.iter().flat_map(|role| rights(&role["rules"])).collect();
        assert_eq!(granted, expected, "{name}");
    }
}

#[test]
fn deployments_are_written_in_namespaces_of_pools_alone() {
    let objects = chart::objects("namespaced");
    let writes = |role: &&Value| rights(&role["rules"]).contains("apps/deployments create");
    let namespaces = |holds: &dyn Fn(&&Value) -> bool| -> Vec<_> {
        let roles = of_component(&objects, "Role", "operator");
        let mut found: Vec<_> = roles
            .into_iter()
            .filter(holds)
            .filter_map(|role| role["metadata"]["namespace"].as_str())
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    };
    assert_eq!(namespaces(&writes), [chart::NAMESPACE, "pools"]);
    let serves = |role: &&Value| rights(&role["rules"]).contains("kubejudge.dev/submissions delete");
    assert_eq!(namespaces(&serves), ["course-a", "course-b"]);
    for role in of_component(&objects, "ClusterRole", "operator") {
        let cluster = rights(&role["rules"]);
        assert!(
            !cluster.iter().any(|right| right.contains("submissions") || right.contains("apps/")),
            "{cluster:?}"
        );
    }
}

/// Each binding is of a role that is there, to the account whose pods run.
#[test]
fn bindings_lead_from_accounts_to_roles() {
    for name in MATRIX {
        let objects = chart::objects(name);
        let there: BTreeSet<_> = objects.iter().map(chart::identity).collect();
        for binding in ["ClusterRoleBinding", "RoleBinding"].map(|kind| chart::kind(&objects, kind)).concat()
        {
            let namespace = binding["metadata"]["namespace"].as_str().unwrap_or("-");
            let (kind, role) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
            let role = format!("{} {namespace}/{}", kind.as_str().unwrap(), role.as_str().unwrap());
            assert!(there.contains(&role), "{name}: {role}");
            let subject = &binding["subjects"][0];
            assert_eq!(subject["namespace"], chart::NAMESPACE);
            let component = &binding["metadata"]["labels"]["app.kubernetes.io/component"];
            let pods: Vec<_> = objects.iter().filter_map(chart::pod).collect();
            let pod = pods
                .iter()
                .find(|pod| pod["metadata"]["labels"]["app.kubernetes.io/component"] == *component);
            assert_eq!(pod.unwrap()["spec"]["serviceAccountName"], subject["name"], "{name}");
        }
    }
}

#[test]
fn people_have_no_rights_on_what_runs_in_pods() {
    let objects = chart::objects("default");
    let roles = of_component(&objects, "ClusterRole", "users");
    assert_eq!(roles.len(), 3);
    let read =
        |right: &String| ["get", "list", "watch"].iter().any(|verb| right.ends_with(&format!(" {verb}")));
    let writes = |role: &str| -> Vec<String> {
        let named =
            roles.iter().find(|object| object["metadata"]["name"] == format!("kubejudge-{role}").as_str());
        let rights = rights(&named.unwrap()["rules"]);
        rights
            .into_iter()
            .filter(|right| !read(right))
            .map(|right| right.replace("kubejudge.dev/", ""))
            .collect()
    };
    assert_eq!(writes("viewer"), [""; 0]);
    assert_eq!(writes("setter"), ["submissions patch", "submissions update"]);
    let submitter =
        ["create", "delete", "deletecollection", "patch", "update"].map(|verb| format!("submissions {verb}"));
    assert_eq!(writes("submitter"), submitter);
}

#[test]
fn roles_of_people_are_aggregated_by_toggle() {
    let labels = |name: &str| -> BTreeSet<String> {
        let objects = chart::objects(name);
        let roles = of_component(&objects, "ClusterRole", "users");
        let labels = roles.iter().flat_map(|role| role["metadata"]["labels"].as_object().unwrap().keys());
        labels.filter(|label| label.contains("aggregate")).cloned().collect()
    };
    let prefix = "rbac.authorization.k8s.io/aggregate-to-";
    assert_eq!(labels("default"), ["edit", "view"].map(|role| format!("{prefix}{role}")).into());
    assert_eq!(labels("namespaced"), BTreeSet::new());
}

/// `helm test` may make, look at and delete Submissions in its namespace.
#[test]
fn the_test_has_the_least_that_it_needs() {
    let objects = chart::objects("namespaced");
    let [role] = of_component(&objects, "Role", "test").try_into().unwrap();
    assert_eq!(role["metadata"]["namespace"], "course-a");
    let expected = ["create", "delete", "get"].map(|verb| format!("kubejudge.dev/submissions {verb}"));
    assert_eq!(rights(&role["rules"]), expected.into());
}
