//! Pools beside the default one: another image, another runtime; and Submissions that no pool can run.
use crds::Verdict;
use e2e::{
    backlog::until,
    fixtures,
    node::{Node, PYTHON, kubectl},
};

/// An image that has Python and nothing of ours judges Python.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn any_image_serves_as_toolchain() {
    let mut node = Node::enter("python-only", Some("python-only")).await.unwrap();
    node.until_ready("kubejudge.dev/worker-pool=python-only", 1).await.unwrap();
    let source = "import sys\nprint(sum(map(int, sys.stdin)))";
    let sum = fixtures::submission("sum", PYTHON, source, &[("1\n2\n", "3\n")]).unwrap();
    node.submit(&sum, Verdict::Accepted).await.unwrap();
    node.settle().await.unwrap();
    node.leave().await.unwrap();
}

/// What its image lacks is not judged there: it waits, and says for what.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn what_no_pool_can_run_waits_until_one_can() {
    let mut node = Node::enter("unschedulable", Some("python-only")).await.unwrap();
    let source = "#include <stdio.h>\nint main(void) { puts(\"c\"); }";
    let program = fixtures::submission("c", "c17", source, &[("", "c\n")]).unwrap();
    node.submit(&program, Verdict::Accepted).await.unwrap();
    until("unschedulable: the Submission", async || {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Admitted")].reason}:{.status.conditions[?(@.type=="Admitted")].message}"#;
        let said = kubectl(&format!("get submission/c --namespace unschedulable --output {path}")).await?;
        anyhow::ensure!(said.starts_with("Unschedulable:") && said.contains("c17"), "{said}");
        Ok(())
    })
    .await
    .unwrap();
    kubectl("label namespace unschedulable kubejudge.dev/pool-").await.unwrap();
    node.settle().await.unwrap();
    node.leave().await.unwrap();
}

/// The node's own kernel judges too, behind the seccomp profile of manifests/seccomp.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn a_pool_without_gvisor_judges_every_language() {
    let mut node = Node::enter("runc", Some("runc")).await.unwrap();
    for file in ["c17-sum", "cpp17-brackets", "java17-factorial", "python3-median"] {
        let example = fixtures::manifest(&format!("examples/{file}.yaml")).unwrap();
        let verdict = &example["metadata"]["annotations"]["kubejudge.dev/expected-verdict"];
        let verdict: Verdict = serde_json::from_value(verdict.clone()).unwrap();
        node.submit(&serde_json::from_value(example).unwrap(), verdict).await.unwrap();
    }
    node.settle().await.unwrap();
    node.leave().await.unwrap();
}
