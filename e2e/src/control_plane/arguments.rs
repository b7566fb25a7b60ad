//! How the servers of a control plane are started.
use std::path::Path;

/// Every request once, when it is answered: what it was about and who sent it; of the operator's writes also what they said.
/// The API server's own requests to itself are left out.
pub(super) const AUDIT_POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: None
    users: ['system:apiserver', 'system:anonymous']
  - level: Request
    verbs: [update, patch]
    resources: [{group: kubejudge.dev, resources: ['submissions/status', 'languages/status', 'workerpools/status']}]
  - level: Metadata
";

pub(super) fn etcd() -> Vec<String> {
    let flags = [
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        "--listen-client-urls=unix://localhost:1",
        "--advertise-client-urls=unix://localhost:1",
        "--listen-peer-urls=unix://localhost:2",
        "--initial-advertise-peer-urls=unix://localhost:2",
        "--initial-cluster=default=unix://localhost:2",
    ];
    flags.map(str::to_owned).to_vec()
}

/// No pods run here, so no service accounts are needed. Blocking, so that no line of the audit log is lost; one file, never
/// rotated, in MiB.
pub(super) fn api_server(port: u16) -> Vec<String> {
    let flags = [
        "--etcd-servers=unix://localhost:1",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--tls-cert-file=server.crt",
        "--tls-private-key-file=server.key",
        "--client-ca-file=ca.crt",
        "--service-account-key-file=server.crt",
        "--service-account-signing-key-file=server.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--audit-policy-file=audit-policy.yaml",
        "--audit-log-path=audit.log",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=16384",
    ];
    flags.into_iter().map(str::to_owned).chain([format!("--secure-port={port}")]).collect()
}

pub(super) fn controllers(kubeconfig: &Path, port: u16) -> Vec<String> {
    let flags = [
        "--controllers=namespace,deployment,replicaset,garbagecollector",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--port=0",
        "--namespace-sync-period=5s",
        "--cert-dir=controllers",
    ];
    let own = [format!("--kubeconfig={}", kubeconfig.display()), format!("--secure-port={port}")];
    flags.into_iter().map(str::to_owned).chain(own).collect()
}
