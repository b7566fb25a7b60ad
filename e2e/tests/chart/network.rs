//! `NetworkPolicies`: every pod is selected by one that denies, and each opening leads to a pod that is there.
use std::fs;

use serde_json::{Map, Value, json};

use crate::chart::{self, MATRIX};

/// What the operator makes of a pool, as its own tests have it.
const RUNNERS: &str =
    "operator/src/worker_pools/deployment/snapshots/operator__worker_pools__deployment__tests__least.snap";

/// The labels that the operator gives to the runners of a pool.
fn runner(pool: &str) -> Value {
    let snapshot = fs::read_to_string(chart::repository().join(RUNNERS)).unwrap();
    let (_, deployment) = snapshot.trim_start_matches("---").split_once("\n---\n").unwrap();
    let deployment: Value = serde_json::from_str(deployment).unwrap();
    let mut labels = deployment["spec"]["template"]["metadata"]["labels"].clone();
    assert!(labels["kubejudge.dev/worker-pool"].is_string(), "{labels}");
    labels["kubejudge.dev/worker-pool"] = pool.into();
    labels
}

fn matches(selector: &Value, labels: &Value) -> bool {
    let selector = selector["matchLabels"].as_object().cloned().unwrap_or_else(Map::new);
    selector.iter().all(|(label, value)| labels[label] == *value)
}

/// Labels and namespace of every pod of a render, those of its pools included.
fn pods(objects: &[Value]) -> Vec<(Value, String)> {
    let own = objects.iter().filter_map(chart::pod).map(|pod| pod["metadata"]["labels"].clone());
    let pools = chart::kind(objects, "WorkerPool").into_iter();
    let pools = pools.map(|pool| runner(pool["metadata"]["name"].as_str().unwrap()));
    own.chain(pools).map(|labels| (labels, chart::NAMESPACE.to_owned())).collect()
}

#[test]
fn every_pod_is_denied_what_is_not_named() {
    for name in MATRIX.into_iter().filter(|name| *name != "minimal") {
        let objects = chart::objects(name);
        let policies = chart::kind(&objects, "NetworkPolicy");
        for policy in &policies {
            assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        }
        for (labels, namespace) in pods(&objects) {
            let selecting = policies.iter().filter(|policy| {
                policy["metadata"]["namespace"] == namespace.as_str()
                    && matches(&policy["spec"]["podSelector"], &labels)
            });
            assert_eq!(selecting.count(), 1, "{name}: {labels}");
        }
    }
}

/// Components whose pods a policy of `component` lets in or out, and ports.
fn openings(objects: &[Value], component: &str, direction: &str) -> Vec<String> {
    let policies = chart::kind(objects, "NetworkPolicy");
    let policy = policies.iter().find(|policy| {
        policy["metadata"]["namespace"] == chart::NAMESPACE
            && policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == component
    });
    let peers = if direction == "egress" { "to" } else { "from" };
    let rules = policy.unwrap()["spec"][direction].as_array().unwrap().iter();
    rules.map(|rule| opening(objects, rule, peers)).collect()
}

fn opening(objects: &[Value], rule: &Value, peers: &str) -> String {
    let ports: Vec<_> =
        rule["ports"].as_array().unwrap().iter().map(|port| port["port"].to_string()).collect();
    let who = rule[peers].as_array().map(|peers| {
        let peers = peers.iter().map(|peer| {
            if peer["podSelector"]["matchLabels"]["k8s-app"].is_string() {
                return "dns".to_owned();
            }
            if peer["podSelector"].is_null() {
                return peer.to_string();
            }
            let pods = pods(objects).into_iter().filter(|(labels, _)| matches(&peer["podSelector"], labels));
            let mut found: Vec<_> =
                pods.map(|(labels, _)| labels["app.kubernetes.io/component"].clone()).collect();
            found.dedup();
            let namespace = &peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
            let found: Vec<_> = found.iter().filter_map(Value::as_str).collect();
            match namespace.as_str() {
                Some(namespace) if namespace != chart::NAMESPACE => {
                    format!("{} in {namespace}", found.join("+"))
                }
                _ => found.join("+"),
            }
        });
        peers.collect::<Vec<_>>().join(",")
    });
    format!("{}:{}", who.unwrap_or_else(|| "any".to_owned()), ports.join(","))
}

#[test]
fn each_opening_is_one_that_is_needed() {
    let objects = chart::objects("default");
    assert_eq!(openings(&objects, "runner", "egress"), ["redis:6379", "dns:53,53"]);
    assert_eq!(openings(&objects, "runner", "ingress"), [""; 0]);
    assert_eq!(openings(&objects, "operator", "egress"), ["any:443,6443", "redis:6379", "dns:53,53"]);
    assert_eq!(openings(&objects, "operator", "ingress"), [""; 0]);
    assert_eq!(openings(&objects, "redis", "ingress"), ["operator,runner:6379"]);
    assert_eq!(openings(&objects, "redis", "egress"), [""; 0]);
    assert_eq!(openings(&objects, "test", "egress"), ["any:443,6443", "dns:53,53"]);
    assert_eq!(openings(&objects, "test", "ingress"), [""; 0]);
}

#[test]
fn values_open_what_they_name() {
    let objects = chart::objects("everything");
    let monitoring =
        r#"{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}:8080"#;
    assert_eq!(openings(&objects, "runner", "ingress"), [monitoring]);
    assert_eq!(openings(&objects, "operator", "ingress"), [monitoring]);
    assert_eq!(openings(&objects, "redis", "ingress"), ["operator,runner,runner in pools:6379"]);
    let api = r#"{"ipBlock":{"cidr":"10.0.0.1/32"}}:443,6443"#;
    assert_eq!(openings(&objects, "operator", "egress")[0], api);
    let runners = chart::kind(&objects, "NetworkPolicy");
    let elsewhere = runners.iter().filter(|policy| policy["metadata"]["namespace"] == "pools");
    assert_eq!(elsewhere.count(), 1);
    let objects = chart::objects("external-redis-tls");
    assert_eq!(openings(&objects, "runner", "egress")[0], r#"{"ipBlock":{"cidr":"10.1.2.0/24"}}:6380"#);
}

/// Services, budgets and monitors find pods as well.
#[test]
fn selectors_of_services_and_budgets_find_pods() {
    for name in MATRIX {
        let objects = chart::objects(name);
        let pods = pods(&objects);
        for object in &objects {
            let selector = match object["kind"].as_str().unwrap() {
                "Service" => json!({ "matchLabels": object["spec"]["selector"] }),
                "PodDisruptionBudget" | "PodMonitor" => object["spec"]["selector"].clone(),
                _ => continue,
            };
            assert!(
                pods.iter().any(|(labels, _)| matches(&selector, labels)),
                "{name}: {}",
                chart::identity(object)
            );
        }
    }
}

/// Every object is told by the labels that Kubernetes recommends, and that of monitors by their Service.
#[test]
fn objects_have_the_recommended_labels() {
    for name in MATRIX {
        for object in chart::objects(name) {
            let labels = &object["metadata"]["labels"];
            if object["metadata"]["name"].as_str().unwrap().starts_with("kubejudge-extra")
                || object["metadata"]["name"] == "kubejudge-text"
            {
                continue;
            }
            for label in ["name", "instance", "component", "version", "part-of", "managed-by"] {
                assert!(
                    labels[format!("app.kubernetes.io/{label}")].is_string(),
                    "{}",
                    chart::identity(&object)
                );
            }
            let team = if name == "everything" { json!("platform") } else { Value::Null };
            assert_eq!(labels["team"], team, "{}", chart::identity(&object));
        }
    }
}
