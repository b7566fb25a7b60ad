//! What judging pods are, seen from inside and from the API.
use e2e::node::{Node, RUNNERS, run};

async fn inside(pod: &str, script: &str) -> String {
    let words =
        ["exec", "--namespace", "kubejudge", pod, "--container", "runner", "--", "/bin/sh", "-c", script];
    run("kubectl", &words).await.unwrap()
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn judging_pods_run_in_gvisor_without_privileges() {
    let node = Node::enter("inside", None).await.unwrap();
    let pod = node.until_ready(RUNNERS, 1).await.unwrap().remove(0);
    assert!(inside(&pod, "dmesg").await.contains("Starting gVisor"), "the kernel is not gVisor's");
    let here = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_ne!(inside(&pod, "uname -r").await.trim(), here.trim(), "the node's own kernel");
    let status = inside(&pod, "cat /proc/1/status").await;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(field("Uid:"), "65532 65532 65532 65532");
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(capabilities), "0000000000000000", "{capabilities}");
    }
    let token = "ls /var/run/secrets/kubernetes.io 2>&1 || true";
    assert!(inside(&pod, token).await.contains("No such file"), "a service account's token");
    let write = inside(&pod, "touch /root-file /opt/kubejudge/file 2>&1 || true").await;
    assert_eq!(
        write.matches("Read-only file system").count() + write.matches("Permission denied").count(),
        2,
        "{write}"
    );
    let environment = inside(&pod, "tr '\\0' '\\n' </proc/1/environ").await;
    assert!(!environment.contains("PASSWORD="), "a password in the environment");
    node.leave().await.unwrap();
}

/// A program sees neither kubejudge's files nor its pod's.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn a_program_sees_nothing_of_its_pod() {
    let mut node = Node::enter("sees-nothing", None).await.unwrap();
    let source = "
import os, socket
seen = [path for path in ('/opt/kubejudge', '/etc/kubejudge', '/var/cache/kubejudge', '/var/run/secrets') if os.path.exists(path) and os.listdir(path)]
seen += [name for name in os.environ if 'KUBE' in name]
for address in [('kubejudge-redis.kubejudge.svc.cluster.local', 6379), ('10.96.0.1', 443)]:
    try:
        socket.create_connection(address, 2)
        seen.append(address)
    except OSError:
        pass
print(seen, os.getuid() != 0 or 'root')
";
    let look = e2e::fixtures::submission("look", "python3", source, &[("", "[] True\n")]).unwrap();
    node.submit(&look, crds::Verdict::Accepted).await.unwrap();
    node.settle().await.unwrap();
    node.leave().await.unwrap();
}
