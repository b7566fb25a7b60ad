//! Scaling, rolling changes and upgrades while there is work.
use e2e::node::{Node, RUNNERS, kubectl, step};

const WORK: usize = 60;
const SECONDS: f32 = 0.3;

async fn pool(path: &str) -> String {
    kubectl(&format!("get workerpool/default --namespace kubejudge --output jsonpath={{{path}}}"))
        .await
        .unwrap()
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn kubectl_scales_a_pool_up_to_zero_and_back() {
    let mut node = Node::enter("scaled", None).await.unwrap();
    let scale = async |replicas: usize| {
        kubectl(&format!("scale workerpool/default --namespace kubejudge --replicas={replicas}"))
            .await
            .unwrap();
        node.until_ready(RUNNERS, replicas).await.unwrap();
    };
    scale(2).await;
    e2e::backlog::until("told: both are ready", async || {
        let said = pool(".status.replicas},{.status.readyReplicas},{.status.selector").await;
        anyhow::ensure!(said == format!("2,2,{RUNNERS}"), "{said}");
        Ok(())
    })
    .await
    .unwrap();
    scale(1).await;
    node.flood(WORK, SECONDS).await.unwrap();
    node.until_under_way(5).await.unwrap();
    kubectl("scale workerpool/default --namespace kubejudge --replicas=0").await.unwrap();
    node.until_ready(RUNNERS, 0).await.unwrap();
    kubectl("scale workerpool/default --namespace kubejudge --replicas=1").await.unwrap();
    node.settle_in_one_delivery().await.unwrap();
    node.until_ready(RUNNERS, 1).await.unwrap();
    node.leave().await.unwrap();
}

/// A new generation of pods takes the place of the old one.
async fn replaced(node: &Node, before: &[String]) {
    e2e::backlog::until_within(e2e::node::WITHIN, "replaced: the pods", async || {
        let now = node.until_ready(RUNNERS, before.len()).await?;
        anyhow::ensure!(now.iter().all(|pod| !before.contains(pod)), "{now:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn a_pool_changes_under_load() {
    let mut node = Node::enter("changed", None).await.unwrap();
    let before = node.until_ready(RUNNERS, 1).await.unwrap();
    node.flood(WORK, SECONDS).await.unwrap();
    node.until_under_way(5).await.unwrap();
    kubectl(r#"patch workerpool/default --namespace kubejudge --type=merge --patch={"spec":{"podAnnotations":{"example.com/change":"1"}}}"#)
        .await
        .unwrap();
    replaced(&node, &before).await;
    node.settle_in_one_delivery().await.unwrap();
    node.leave().await.unwrap();
}

/// Operator and runners are replaced; Redis and its passwords stay.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn helm_upgrades_under_load() {
    let mut node = Node::enter("upgraded", None).await.unwrap();
    let before = node.until_ready(RUNNERS, 1).await.unwrap();
    node.flood(WORK, SECONDS).await.unwrap();
    node.until_under_way(5).await.unwrap();
    let redis = node.until_ready("app.kubernetes.io/component=redis", 1).await.unwrap();
    let operator = node.until_ready("app.kubernetes.io/component=operator", 1).await.unwrap();
    let values = ["operator.log=debug", "workerPools.default.spec.podAnnotations.change=two"];
    let set: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
    step(&[&["install_chart"], set.as_slice()].concat()).await.unwrap();
    replaced(&node, &before).await;
    assert_ne!(node.until_ready("app.kubernetes.io/component=operator", 1).await.unwrap(), operator);
    assert_eq!(node.until_ready("app.kubernetes.io/component=redis", 1).await.unwrap(), redis);
    node.settle().await.unwrap();
    node.leave().await.unwrap();
}
