//! `worker`: arguments, the runtime, signals.

use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use queue::broker::{Authorities, DEFAULT_CACHE_BYTES, Options, Pool, password};
use telemetry::LogArgs;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{BoxArgs, CacheArgs, Ending, machine};
use crate::worker::{self, Config, Machine, Stop};

/// Threads of the runtime: it waits more than it works.
const RUNTIME_THREADS: usize = 2;
/// Blocking threads beside those of jobs: looking up Redis' address, trying a box.
const OTHER_THREADS: usize = 4;

/// Options of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Where Redis is: redis://HOST:PORT, or rediss:// for TLS, with user and database as needed.
    #[arg(long, env = "KUBEJUDGE_REDIS_URL", value_name = "URL")]
    pub redis_url: String,
    /// File that holds Redis' password.
    #[arg(long, env = "KUBEJUDGE_REDIS_PASSWORD_FILE", value_name = "FILE")]
    pub redis_password_file: Option<PathBuf>,
    /// File with the certificate authorities, in PEM, that Redis' certificate is checked against. Read once, at start. Those
    /// that the image trusts unless set; a minimal image trusts none.
    #[arg(long, env = "KUBEJUDGE_REDIS_CA_FILE", value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,
    /// Seconds that making a connection to Redis may take.
    #[arg(long, env = "KUBEJUDGE_REDIS_CONNECT_TIMEOUT_SECONDS", default_value_t = 2, value_parser = seconds(60))]
    pub redis_connect_timeout_seconds: u64,
    /// Seconds that Redis may take to answer.
    #[arg(long, env = "KUBEJUDGE_REDIS_TIMEOUT_SECONDS", default_value_t = 5, value_parser = seconds(60))]
    pub redis_timeout_seconds: u64,
    /// Bytes of compiled programs and test data that are kept in Redis.
    #[arg(long, env = "KUBEJUDGE_REDIS_CACHE_BYTES", default_value_t = DEFAULT_CACHE_BYTES)]
    pub redis_cache_bytes: u64,
    /// The pool whose jobs are taken.
    #[arg(long, env = "KUBEJUDGE_POOL", default_value = "default")]
    pub pool: Pool,
    /// This runner's name, unique in its pool. The host's name unless set.
    #[arg(long, env = "KUBEJUDGE_NAME")]
    pub name: Option<String>,
    /// Address of health and metrics.
    #[arg(long, env = "KUBEJUDGE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Jobs held at one time. One more than slots unless set, so that no slot waits for the queue.
    #[arg(long, env = "KUBEJUDGE_JOBS", value_parser = clap::value_parser!(u16).range(1..=2048))]
    pub jobs: Option<u16>,
    /// Seconds after which the jobs of a runner that says nothing go to another.
    #[arg(long, env = "KUBEJUDGE_LEASE_SECONDS", default_value_t = 30, value_parser = seconds(3600))]
    pub lease_seconds: u64,
    /// Seconds that a runner told to stop has for the jobs it holds; what is left then is handed back. Shorter than the
    /// pod's terminationGracePeriodSeconds.
    #[arg(long, env = "KUBEJUDGE_GRACE_SECONDS", default_value_t = 30, value_parser = seconds(3600))]
    pub grace_seconds: u64,
    /// Boxes.
    #[command(flatten)]
    pub boxes: BoxArgs,
    /// The disk cache.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

fn seconds(most: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=most)
}

/// Works until a signal says stop.
pub fn work(args: &WorkerArgs) -> anyhow::Result<Ending> {
    let machine = machine(args)?;
    let config = config(args, machine.slots.count())?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .max_blocking_threads(config.jobs + OTHER_THREADS)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let ended = runtime.block_on(serve(args.listen, config, machine));
    leave(runtime);
    ended?;
    Ok(Ending::Judged)
}

/// The process ends now, and the kernel ends its boxes with it. A thread that still waits for Redis would find a runtime
/// that shuts down to be an error.
fn leave(runtime: Runtime) {
    mem::forget(runtime);
}

async fn serve(listen: SocketAddr, config: Config, machine: Machine) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let listener = telemetry::listen(listen).await?;
    worker::run(config, machine, listener, stop).await?;
    Ok(())
}

/// The first signal lets jobs finish, the second does not.
fn stop_on_signals() -> anyhow::Result<watch::Receiver<Stop>> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let (sender, receiver) = watch::channel(Stop::No);
    tokio::spawn(async move {
        for stop in [Stop::Drain, Stop::Now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sender.send_replace(stop);
        }
    });
    Ok(receiver)
}

fn machine(args: &WorkerArgs) -> anyhow::Result<Machine> {
    Ok(Machine {
        engine: args.boxes.engine()?,
        toolchain: args.boxes.toolchain(),
        folder: args.boxes.toolchain.clone(),
        slots: args.boxes.slots(),
        disk: args.cache.open(),
    })
}

fn config(args: &WorkerArgs, slots: usize) -> anyhow::Result<Config> {
    let broker = Options {
        url: args.redis_url.clone(),
        password: args.redis_password_file.as_deref().map(password).transpose()?,
        authorities: args.redis_ca_file.as_deref().map(Authorities::read).transpose()?,
        pool: args.pool.clone(),
        connect_timeout: Duration::from_secs(args.redis_connect_timeout_seconds),
        response_timeout: Duration::from_secs(args.redis_timeout_seconds),
        cache_bytes: args.redis_cache_bytes,
    };
    let name = args.name.clone().or_else(machine::name);
    Ok(Config {
        broker,
        name: name.context("this machine has no name; give one with --name")?,
        jobs: args.jobs.map_or(slots + 1, usize::from),
        lease: Duration::from_secs(args.lease_seconds),
        grace: Duration::from_secs(args.grace_seconds),
    })
}
