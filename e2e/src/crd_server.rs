//! A real apiextensions-apiserver of Kubernetes 1.36 with an etcd of its own: it knows CRDs, CEL rules and nothing else.
//!
//! It has no /api, so there are no namespaces to create and kubectl is of no use; reach it by the kube client.
use std::fs;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Client, Config,
    api::{ListParams, Request},
    config::{KubeConfigOptions, Kubeconfig},
};
use tempfile::TempDir;

use crate::{
    control_plane::start_etcd,
    crd, files, pki,
    port::Port,
    process::{Launch, Process, until_ready},
};

/// The running servers. Dropping it kills them and removes all they wrote.
#[derive(Debug)]
pub struct CrdServer {
    /// A client with all rights.
    pub client: CrdClient,
    _processes: [Process; 2],
    _port: Port,
    _dir: TempDir,
}

/// The kube client, which cannot be printed.
#[derive(Clone)]
pub struct CrdClient(pub Client);

impl std::fmt::Debug for CrdClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CrdClient")
    }
}

impl CrdServer {
    /// Starts etcd and the API server, and waits until they answer.
    pub async fn start() -> anyhow::Result<Self> {
        let server = files::cluster_binary("apiextensions-apiserver", "crd-server")?;
        let dir = tempfile::Builder::new().prefix("kubejudge-crd-server-").tempdir()?;
        let (at, port) = (dir.path(), Port::reserve()?);
        pki::make_certificates(at, &[("admin", "/O=system:masters/CN=admin")])?;
        fs::write(at.join("kubeconfig"), pki::kubeconfig(at, port.number(), "admin"))?;
        let mut etcd = start_etcd(at).await?;
        let arguments = server_arguments(port.number());
        let mut server = Process::start(Launch::new(at, "apiextensions-apiserver", server, arguments))?;
        let config = Kubeconfig::read_from(at.join("kubeconfig"))?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        until_ready(&mut [&mut etcd, &mut server], async || is_ready(&client).await).await?;
        Ok(Self { client: CrdClient(client), _processes: [server, etcd], _port: port, _dir: dir })
    }

    /// Creates `crd` and waits until its objects can be listed.
    pub async fn install(&self, crd: &CustomResourceDefinition) -> anyhow::Result<()> {
        crd::install(&self.client.0, crd).await
    }
}

/// Whether the server answers. Its informers wait for a core server's Services for ever, and nothing here needs those.
async fn is_ready(client: &Client) -> anyhow::Result<()> {
    let mut request = Request::new("/readyz").list(&ListParams::default())?;
    *request.uri_mut() = "/readyz?exclude=informer-sync".parse()?;
    client.request_text(request).await?;
    Ok(())
}

/// The server is its own core server: it never finds there what it asks for, and nothing here needs that.
fn server_arguments(port: u16) -> Vec<String> {
    let flags = [
        "--etcd-servers=unix://localhost:1",
        "--bind-address=127.0.0.1",
        "--tls-cert-file=server.crt",
        "--tls-private-key-file=server.key",
        "--client-ca-file=ca.crt",
        "--kubeconfig=kubeconfig",
        "--authentication-kubeconfig=kubeconfig",
        "--authorization-kubeconfig=kubeconfig",
        "--authentication-skip-lookup",
        "--enable-priority-and-fairness=false",
        "--disable-admission-plugins=NamespaceLifecycle,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,\
         MutatingAdmissionPolicy,ValidatingAdmissionPolicy",
    ];
    flags.into_iter().map(str::to_owned).chain([format!("--secure-port={port}")]).collect()
}
