//! Pods that are killed without a word, and a node that is drained.
use std::time::Duration;

use e2e::node::{Node, RUNNERS, kubectl};

const OPERATOR: &str = "app.kubernetes.io/component=operator";
const REDIS: &str = "app.kubernetes.io/component=redis";
/// So long that runners have jobs in hand whenever they are killed.
const WORK: usize = 60;
const SECONDS: f32 = 0.3;

async fn kill(labels: &str) {
    kubectl(&format!("delete pods --namespace kubejudge --selector {labels} --force --grace-period=0"))
        .await
        .unwrap();
}

/// Kills the pods `times` times while there is work.
async fn killed_under_load(namespace: &str, labels: &str, times: usize) {
    let mut node = Node::enter(namespace, None).await.unwrap();
    node.flood(WORK, SECONDS).await.unwrap();
    for time in 1..=times {
        node.until_under_way(time * WORK / (times + 4)).await.unwrap();
        kill(labels).await;
        node.until_ready(labels, 1).await.unwrap();
    }
    node.settle().await.unwrap();
    node.leave().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn runners_are_killed_under_load() {
    killed_under_load("runners-killed", RUNNERS, 3).await;
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn the_operator_is_killed_under_load() {
    killed_under_load("operator-killed", OPERATOR, 3).await;
}

/// Its volume goes with the pod, and all that was queued.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn redis_is_killed_with_its_data_under_load() {
    killed_under_load("redis-killed", REDIS, 2).await;
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn all_are_killed_at_once_under_load() {
    let mut node = Node::enter("all-killed", None).await.unwrap();
    node.flood(WORK, SECONDS).await.unwrap();
    node.until_under_way(5).await.unwrap();
    kubectl("delete pods --namespace kubejudge --all --force --grace-period=0").await.unwrap();
    node.settle().await.unwrap();
    node.leave().await.unwrap();
}

/// The runners leave in good order, and find no other node; the operator stays and waits with the work.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn the_runners_node_is_drained_under_load() {
    let mut node = Node::enter("drained", None).await.unwrap();
    node.flood(WORK, SECONDS).await.unwrap();
    node.until_under_way(5).await.unwrap();
    let drain = format!("drain node1 --pod-selector {RUNNERS} --delete-emptydir-data --timeout=200s");
    kubectl(&drain).await.unwrap();
    let finished = node.finished().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (still, waiting) = (node.finished().await.unwrap(), node.pods(RUNNERS).await.unwrap());
    kubectl("uncordon node1").await.unwrap();
    assert!(finished < WORK && finished == still, "judged without runners: {finished}, then {still}");
    assert_eq!(waiting.len(), 1, "the Deployment's new pod waits for a node");
    node.settle_in_one_delivery().await.unwrap();
    node.leave().await.unwrap();
}
