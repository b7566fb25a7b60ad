//! A real apiextensions-apiserver of Kubernetes 1.36 with an etcd of its own: it knows CRDs, CEL rules and nothing else.
//!
//! It has no /api, so there are no namespaces to create and kubectl is of no use; reach it by the kube client.
use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams, Request},
    config::{KubeConfigOptions, Kubeconfig},
};
use tempfile::TempDir;

/// How long etcd, the API server and a new CRD may take until they can be used.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The time between two looks at whether something is ready.
const POLL: Duration = Duration::from_millis(30);
/// How often another port is tried: between choosing a free one and using it, another process may take it.
const PORT_ATTEMPTS: usize = 3;
/// How much of each log a failing test shows, in bytes.
const LOG_TAIL: usize = 4096;

/// The running servers. Dropping it kills them and removes all they wrote.
#[derive(Debug)]
pub struct CrdServer {
    /// A client with all rights.
    pub client: CrdClient,
    processes: Vec<Process>,
    dir: TempDir,
}

/// The kube client, which cannot be printed.
#[derive(Clone)]
pub struct CrdClient(pub Client);

impl std::fmt::Debug for CrdClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CrdClient")
    }
}

#[derive(Debug)]
struct Process {
    name: &'static str,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either it is gone already, or there is nobody left to tell.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Drop for CrdServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.processes.iter().map(|process| log_tail(self.dir.path(), process.name));
            eprintln!("{}", logs.collect::<Vec<_>>().join("\n"));
        }
    }
}

impl CrdServer {
    /// Starts etcd and the API server, and waits until they answer.
    pub async fn start() -> anyhow::Result<Self> {
        let server = server_binary()?;
        let etcd = in_path("etcd").context(
            "etcd is missing: install the package etcd-server, or run `e2e/cluster/build crd-server`",
        )?;
        let mut attempt = 1;
        loop {
            match Self::start_on(free_port()?, &etcd, &server).await {
                Err(error) if error.is::<Exited>() && attempt < PORT_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn start_on(port: u16, etcd: &Path, server: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("kubejudge-crd-server-").tempdir()?;
        let at = dir.path();
        make_certificates(at)?;
        fs::write(at.join("kubeconfig"), kubeconfig(port))?;
        let mut processes = vec![spawn(at, "etcd", etcd, &etcd_arguments())?];
        until_ready(at, &mut processes, async || Ok(_ = fs::metadata(at.join("localhost:1"))?)).await?;
        processes.push(spawn(at, "apiextensions-apiserver", server, &server_arguments(port))?);
        let config = Kubeconfig::read_from(at.join("kubeconfig"))?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        until_ready(at, &mut processes, async || is_ready(&client).await).await?;
        Ok(Self { client: CrdClient(client), processes, dir })
    }

    /// Creates `crd` and waits until its objects can be listed.
    pub async fn install(&self, crd: &CustomResourceDefinition) -> anyhow::Result<()> {
        let client = &self.client.0;
        Api::all(client.clone()).create(&PostParams::default(), crd).await?;
        let list =
            format!("/apis/{}/{}/{}", crd.spec.group, crd.spec.versions[0].name, crd.spec.names.plural);
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match client.request_text(Request::new(&list).list(&ListParams::default())?).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("the CRD is not served");
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }
}

/// A server ended before it was ready, as it does when its port is taken.
#[derive(Debug)]
struct Exited {
    name: &'static str,
    status: ExitStatus,
    log: String,
}

impl std::fmt::Display for Exited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ended with {} before it was ready\n{}", self.name, self.status, self.log)
    }
}

impl std::error::Error for Exited {}

async fn until_ready(
    dir: &Path,
    processes: &mut [Process],
    ready: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    while let Err(error) = ready().await {
        for process in &mut *processes {
            if let Some(status) = process.child.try_wait()? {
                bail!(Exited { name: process.name, status, log: log_tail(dir, process.name) });
            }
        }
        if Instant::now() > deadline {
            let logs = processes.iter().map(|process| log_tail(dir, process.name)).collect::<Vec<_>>();
            return Err(error.context(format!("not ready within {READY_WITHIN:?}\n{}", logs.join("\n"))));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Whether the server answers. Its informers wait for a core server's Services for ever, and nothing here needs those.
async fn is_ready(client: &Client) -> anyhow::Result<()> {
    let mut request = Request::new("/readyz").list(&ListParams::default())?;
    *request.uri_mut() = "/readyz?exclude=informer-sync".parse()?;
    client.request_text(request).await?;
    Ok(())
}

fn server_binary() -> anyhow::Result<PathBuf> {
    let cache = || {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        cache
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
            .map(|cache| cache.join("kubejudge/cluster"))
    };
    let home = env::var_os("CLUSTER_HOME")
        .map(PathBuf::from)
        .or_else(cache)
        .context("neither CLUSTER_HOME nor HOME is set")?;
    let binary = home.join("bin/apiextensions-apiserver");
    ensure!(binary.is_file(), "{} is missing: run `e2e/cluster/build crd-server`", binary.display());
    Ok(binary)
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn spawn(dir: &Path, name: &'static str, binary: &Path, arguments: &[String]) -> anyhow::Result<Process> {
    let log = File::create(dir.join(name).with_extension("log"))?;
    let mut command = Command::new(binary);
    command.args(arguments).current_dir(dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(Process { name, child })
}

/// etcd listens on Unix sockets in its working folder, whose names must look like ports: no port to run out of or to share.
fn etcd_arguments() -> Vec<String> {
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

fn kubeconfig(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: ca.crt}}}}]\n\
         users: [{{name: admin, user: {{client-certificate: admin.crt, client-key: admin.key}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\n"
    )
}

fn make_certificates(dir: &Path) -> anyhow::Result<()> {
    fs::write(dir.join("extensions"), "subjectAltName=IP:127.0.0.1")?;
    openssl(dir, &format!("req -x509 {NEW_KEY} -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca"))?;
    for (name, subject) in [("server", "/CN=server"), ("admin", "/O=system:masters/CN=admin")] {
        openssl(dir, &format!("req {NEW_KEY} -keyout {name}.key -out {name}.csr -subj {subject}"))?;
        let signed_by = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions";
        openssl(dir, &format!("x509 -req -in {name}.csr -out {name}.crt {signed_by}"))?;
    }
    Ok(())
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

fn openssl(dir: &Path, arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
    let output = output.context("openssl is missing: install the package openssl")?;
    ensure!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn log_tail(dir: &Path, name: &str) -> String {
    let log = fs::read(dir.join(name).with_extension("log")).unwrap_or_default();
    let tail = &log[log.len().saturating_sub(LOG_TAIL)..];
    format!("--- the end of {name}'s log ---\n{}", String::from_utf8_lossy(tail))
}
