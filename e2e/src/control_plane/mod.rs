//! A real Kubernetes control plane of a test's own: etcd and kube-apiserver 1.20, our CRDs, the operator's user with its
//! rights and nothing more, and an audit log of every request.

mod arguments;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use kube::{
    Client, Config,
    api::{ListParams, Request},
    config::{KubeConfigOptions, Kubeconfig},
};
use tempfile::TempDir;

use crate::{
    audit::{self, Requests},
    crd, files, pki,
    port::Port,
    process::{Launch, POLL, Process, READY_WITHIN, until_ready},
    rbac,
};

/// Who asks the API server for something. The audit log knows them by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The test itself: may do everything.
    Admin,
    /// The operator: may do what [`rbac`] says.
    Operator,
    /// kube-controller-manager: may do everything.
    Controllers,
}

impl User {
    /// The user's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => rbac::OPERATOR,
            Self::Controllers => "controllers",
        }
    }
}

/// The running servers. Dropping it kills them and removes all they wrote.
pub struct ControlPlane {
    client: Client,
    controllers: Option<(Process, Port)>,
    api_server: Process,
    etcd: Process,
    port: Port,
    dir: TempDir,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").field("port", &self.port).finish_non_exhaustive()
    }
}

impl ControlPlane {
    /// Starts etcd and the API server, installs the CRDs and the operator's rights, and waits until all is served.
    pub async fn start() -> anyhow::Result<Self> {
        let plane = Self::start_bare().await?;
        rbac::grant(&plane.client).await?;
        for crd in crds::all() {
            crd::install(&plane.client, &crd).await?;
        }
        Ok(plane)
    }

    /// The same with nothing of ours in it.
    pub async fn start_bare() -> anyhow::Result<Self> {
        let binary = files::cluster_binary("kube-apiserver", "kubernetes")?;
        let dir = tempfile::Builder::new().prefix("kubejudge-control-plane-").tempdir()?;
        let (at, port) = (dir.path(), Port::reserve()?);
        let masters = |user: User| (user.name(), format!("/O=system:masters/CN={}", user.name()));
        let users = [
            masters(User::Admin),
            masters(User::Controllers),
            (rbac::OPERATOR, format!("/CN={}", rbac::OPERATOR)),
        ];
        pki::make_certificates(at, &users.each_ref().map(|(name, subject)| (*name, subject.as_str())))?;
        fs::write(at.join("audit-policy.yaml"), arguments::AUDIT_POLICY)?;
        let etcd = start_etcd(at).await?;
        let arguments = arguments::api_server(port.number());
        let api_server = Process::start(Launch::new(at, "kube-apiserver", binary, arguments))?;
        let client = client(&pki::kubeconfig(at, port.number(), User::Admin.name())).await?;
        let mut plane = Self { client, controllers: None, api_server, etcd, port, dir };
        plane.until_ready().await?;
        Ok(plane)
    }

    /// Starts kube-controller-manager with the controllers that tests need: they empty namespaces that are deleted, make pods
    /// of Deployments and delete what has lost its owner. The pods go nowhere: there is neither scheduler nor node.
    pub fn start_controllers(&mut self) -> anyhow::Result<()> {
        let binary = files::cluster_binary("kube-controller-manager", "kubernetes")?;
        let kubeconfig = self.kubeconfig(User::Controllers, self.port.number())?;
        let port = Port::reserve()?;
        let arguments = arguments::controllers(&kubeconfig, port.number());
        let launch = Launch::new(self.dir.path(), "kube-controller-manager", binary, arguments);
        self.controllers = Some((Process::start(launch)?, port));
        Ok(())
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client with `user`'s rights.
    pub async fn client_of(&self, user: User) -> anyhow::Result<Client> {
        client(&pki::kubeconfig(self.dir.path(), self.port.number(), user.name())).await
    }

    /// Writes a kubeconfig for `user` that goes by `port` of 127.0.0.1: the server's own, or one that leads to it.
    pub fn kubeconfig(&self, user: User, port: u16) -> anyhow::Result<PathBuf> {
        let path = self.dir.path().join(format!("kubeconfig-{}-{port}", user.name()));
        fs::write(&path, pki::kubeconfig(self.dir.path(), port, user.name()))?;
        Ok(path)
    }

    /// The API server's port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The API server's process.
    pub fn api_server(&self) -> &Process {
        &self.api_server
    }

    /// Kills the API server. etcd goes on with the data.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.api_server.kill()
    }

    /// Starts the API server again after [`ControlPlane::kill`] and waits until it answers.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.api_server.start_again()?;
        self.until_ready().await
    }

    /// Stops the API server where it is: connections stay, nothing is answered.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.api_server.pause()
    }

    /// Lets it go on after [`ControlPlane::pause`].
    pub fn resume(&self) -> anyhow::Result<()> {
        self.api_server.resume()
    }

    /// Every request that was answered by now.
    pub async fn audit(&self) -> anyhow::Result<Requests> {
        let log = self.audit_log();
        // A request is logged as its answer is sent, so what was answered before this one is in the log before it.
        let marker = format!("/version?marker={}", audit::marker());
        ask(&self.client, &marker).await?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let text = fs::read_to_string(&log)?;
            if text.contains(&marker) && text.ends_with('\n') {
                return Requests::parse(&text);
            }
            anyhow::ensure!(Instant::now() < deadline, "the audit log does not show {marker}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where every request is logged.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.path().join("audit.log")
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let client = self.client.clone();
        let servers = &mut [&mut self.etcd, &mut self.api_server];
        until_ready(servers, async || ask(&client, "/readyz").await).await
    }
}

async fn ask(client: &Client, uri: &str) -> anyhow::Result<()> {
    let mut request = Request::new("/").list(&ListParams::default())?;
    *request.uri_mut() = uri.parse()?;
    client.request_text(request).await?;
    Ok(())
}

/// A client that neither tries again by itself nor waits for ever.
async fn client(kubeconfig: &str) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(Client::try_from(config)?)
}

/// Starts etcd in `dir`, on Unix sockets whose names must look like ports: no port to run out of or to share.
pub(crate) async fn start_etcd(dir: &Path) -> anyhow::Result<Process> {
    let binary = files::in_path("etcd", "etcd-server")?;
    let mut etcd = Process::start(Launch::new(dir, "etcd", binary, arguments::etcd()))?;
    let socket = dir.join("localhost:1");
    until_ready(&mut [&mut etcd], async || {
        let found: io::Result<_> = fs::metadata(&socket);
        found.map(drop).context("etcd does not listen")
    })
    .await?;
    Ok(etcd)
}
