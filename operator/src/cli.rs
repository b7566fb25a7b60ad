//! The operator's options.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use queue::broker::{Allowance, Authorities, DEFAULT_CACHE_BYTES, Options, Pool, password};
use telemetry::LogArgs;

/// Reconciles Submissions and Languages: plans jobs, takes in reports, writes verdicts.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "operator",
    version,
    after_help = "operator hello: judges a hello-world; see operator hello --help"
)]
pub struct Cli {
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
    /// The queue.
    #[command(flatten)]
    pub queue: QueueArgs,
    /// The API server.
    #[command(flatten)]
    pub api: ApiArgs,
    /// How Submissions are judged.
    #[command(flatten)]
    pub judging: JudgingArgs,
    /// Pools of runners.
    #[command(flatten)]
    pub worker_pools: WorkerPoolArgs,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "KUBEJUDGE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Longest wait, in seconds, for status writes under way when told to stop.
    #[arg(long, env = "KUBEJUDGE_DRAIN_SECONDS", default_value_t = 10)]
    pub drain_seconds: u64,
}

/// Options of the queue.
#[derive(Debug, Clone, clap::Args)]
pub struct QueueArgs {
    /// Redis, as redis:// or rediss:// (TLS).
    #[arg(long, env = "KUBEJUDGE_REDIS_URL")]
    pub redis_url: String,
    /// A file with Redis' password.
    #[arg(long, env = "KUBEJUDGE_REDIS_PASSWORD_FILE")]
    pub redis_password_file: Option<PathBuf>,
    /// A file with the certificate authorities, in PEM, that Redis' certificate is checked against. Read once, at start.
    /// Those that the image trusts unless set; kubejudge's own image trusts none.
    #[arg(long, env = "KUBEJUDGE_REDIS_CA_FILE")]
    pub redis_ca_file: Option<PathBuf>,
    /// Longest wait, in seconds, for an answer of Redis.
    #[arg(long, env = "KUBEJUDGE_REDIS_TIMEOUT_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub redis_timeout_seconds: u64,
    /// Bytes of artifacts and blobs that are kept in Redis.
    #[arg(long, env = "KUBEJUDGE_REDIS_CACHE_BYTES", default_value_t = DEFAULT_CACHE_BYTES)]
    pub redis_cache_bytes: u64,
    /// The one pool whose queue to use, with runners started by hand; not used with --worker-pool-namespaces.
    #[arg(long, env = "KUBEJUDGE_POOL", default_value = "default")]
    pub pool: Pool,
    /// Deliveries of one job before it is given up.
    #[arg(long, env = "KUBEJUDGE_MAX_DELIVERIES", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_deliveries: u32,
    /// Milliseconds before a job's second delivery; twice as long before each one after.
    #[arg(long, env = "KUBEJUDGE_REDELIVERY_FIRST_DELAY_MILLISECONDS", default_value_t = 1000)]
    pub redelivery_first_delay_milliseconds: u64,
    /// Most milliseconds between two deliveries.
    #[arg(long, env = "KUBEJUDGE_REDELIVERY_LONGEST_DELAY_MILLISECONDS", default_value_t = 60_000)]
    pub redelivery_longest_delay_milliseconds: u64,
    /// Most waiting jobs of the pool.
    #[arg(long, env = "KUBEJUDGE_QUEUE_DEPTH", default_value_t = 100_000)]
    pub queue_depth: u64,
    /// Most waiting jobs of one namespace.
    #[arg(long, env = "KUBEJUDGE_NAMESPACE_DEPTH", default_value_t = 20_000)]
    pub namespace_depth: u64,
}

/// Options of the connection to the API server. Where that is, KUBECONFIG or the pod's service account says.
#[derive(Debug, Clone, clap::Args)]
pub struct ApiArgs {
    /// Namespaces to serve, separated by commas; all, unless set.
    #[arg(long, env = "KUBEJUDGE_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// Label selector of the Submissions to serve; all, unless set.
    #[arg(long, env = "KUBEJUDGE_SELECTOR")]
    pub selector: Option<String>,
    /// Submissions that are reconciled at one time, each with at most one call under way.
    #[arg(long, env = "KUBEJUDGE_CONCURRENCY", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// Status writes at one time.
    #[arg(long, env = "KUBEJUDGE_WRITERS", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub writers: u16,
    /// Status writes of progress in one second; final ones don't count.
    #[arg(long, env = "KUBEJUDGE_PROGRESS_PER_SECOND", default_value_t = 20)]
    pub progress_per_second: u32,
    /// Longest wait, in seconds, for an answer of the API server.
    #[arg(long, env = "KUBEJUDGE_CALL_TIMEOUT_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub call_timeout_seconds: u64,
    /// Objects per page of a list.
    #[arg(long, env = "KUBEJUDGE_PAGE_SIZE", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub page_size: u32,
    /// Longest wait, in seconds, for the custom resource definitions at start.
    #[arg(long, env = "KUBEJUDGE_CRD_WAIT_SECONDS", default_value_t = 60)]
    pub crd_wait_seconds: u64,
}

/// Options of judging.
#[derive(Debug, Clone, clap::Args)]
pub struct JudgingArgs {
    /// Tests of one job.
    #[arg(long, env = "KUBEJUDGE_BATCH_TESTS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub batch_tests: u32,
    /// Bytes of a program's source.
    #[arg(long, env = "KUBEJUDGE_MAX_SOURCE_BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=262_144))]
    pub max_source_bytes: u32,
    /// Seconds between two audits.
    #[arg(long, env = "KUBEJUDGE_AUDIT_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub audit_seconds: u64,
    /// Seconds that a finished Submission is kept if it does not say so itself; for ever, unless set.
    #[arg(long, env = "KUBEJUDGE_DEFAULT_TTL_SECONDS")]
    pub default_ttl_seconds: Option<u32>,
    /// Seconds between two looks for what a Submission waits for.
    #[arg(long, env = "KUBEJUDGE_WAITING_RETRY_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub waiting_retry_seconds: u64,
}

/// Options of `WorkerPool`s.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerPoolArgs {
    /// Namespaces whose WorkerPools are used, separated by commas. When set, Submissions are routed to the pools that may judge
    /// them; unless set, all go to the one pool that --pool names.
    #[arg(long, env = "KUBEJUDGE_WORKER_POOL_NAMESPACES", value_delimiter = ',')]
    pub worker_pool_namespaces: Vec<String>,
    /// Most WorkerPools that are used; each has a connection to Redis. Those above wait.
    #[arg(long, env = "KUBEJUDGE_MAX_WORKER_POOLS", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_worker_pools: u16,
    /// The image whose sandbox-runner is installed in runners' pods, unless their WorkerPool names one.
    #[arg(long, env = "KUBEJUDGE_RUNNER_IMAGE", default_value = concat!("ghcr.io/kubejudge/sandbox-runner:", env!("CARGO_PKG_VERSION")))]
    pub runner_image: String,
    /// The Secret in a WorkerPool's namespace that says how runners reach Redis (url, password), unless the WorkerPool names one.
    #[arg(long, env = "KUBEJUDGE_RUNNER_REDIS_SECRET", default_value = "kubejudge-runner-redis")]
    pub runner_redis_secret: String,
    /// Whether runners check Redis' certificate against that Secret's ca.crt.
    #[arg(long, env = "KUBEJUDGE_RUNNER_REDIS_CA")]
    pub runner_redis_ca: bool,
}

impl WorkerPoolArgs {
    /// The namespaces, each once; nothing, if `WorkerPool`s are not used.
    pub fn namespaces(&self) -> Option<Vec<String>> {
        let mut named: Vec<_> =
            self.worker_pool_namespaces.iter().filter(|name| !name.is_empty()).cloned().collect();
        named.sort();
        named.dedup();
        (!named.is_empty()).then_some(named)
    }
}

impl QueueArgs {
    /// The bounds of the queue.
    pub fn allowance(&self) -> Allowance {
        Allowance {
            pool: self.queue_depth,
            namespace: self.namespace_depth,
            deliveries: self.max_deliveries,
            first_delay: Duration::from_millis(self.redelivery_first_delay_milliseconds),
            longest_delay: Duration::from_millis(self.redelivery_longest_delay_milliseconds),
        }
    }

    /// How to reach it; reads the files that are named.
    pub fn options(&self) -> anyhow::Result<Options> {
        let timeout = Duration::from_secs(self.redis_timeout_seconds);
        Ok(Options {
            url: self.redis_url.clone(),
            password: self.redis_password_file.as_deref().map(password).transpose()?,
            authorities: self.redis_ca_file.as_deref().map(Authorities::read).transpose()?,
            pool: self.pool.clone(),
            connect_timeout: timeout,
            response_timeout: timeout,
            cache_bytes: self.redis_cache_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn options_are_consistent_and_have_defaults() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["operator", "--redis-url", "redis://r", "--namespaces", "a,b"]);
        assert_eq!(cli.api.namespaces, ["a", "b"]);
        assert_eq!(cli.queue.allowance().deliveries, 5);
        assert!(Cli::try_parse_from(["operator", "--redis-url", "redis://r", "--concurrency", "0"]).is_err());
    }

    #[test]
    fn worker_pools_are_used_where_they_are_asked_for() {
        let namespaces = |list: &str| {
            let flags = ["operator", "--redis-url", "redis://r", "--worker-pool-namespaces", list];
            Cli::parse_from(flags).worker_pools.namespaces()
        };
        assert_eq!(namespaces("b,a,b"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(namespaces(""), None);
    }

    #[test]
    fn every_option_can_be_set_by_the_environment() {
        let command = Cli::command();
        let unset: Vec<_> = command.get_arguments().filter(|arg| arg.get_env().is_none()).collect();
        assert!(unset.iter().all(|arg| ["help", "version"].contains(&arg.get_id().as_str())), "{unset:?}");
    }
}
