//! Start, wiring, and the way to stop.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crds::{Language, Submission, WorkerPool};
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::{reflector, watcher};
use kube::{Api, Client, Config, Resource};
use prometheus_client::registry::Registry as MetricsRegistry;
use queue::Broker;
use queue::broker::Pool;
use telemetry::Health;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::api::{CallError, Calls, Failure};
use crate::cli::{ApiArgs, Cli};
use crate::context::{Operator, QUEUE, Settings, Shard, Stop, stream};
use crate::fresh::Fresh;
use crate::languages::Catalog;
use crate::metrics::Metrics;
use crate::object::Raw;
use crate::pace::Pace;
use crate::pools::{Namespaces, Pools};
use crate::registry::Registry;
use crate::submissions::Watched;
use crate::worker_pools::WorkerPools;
use crate::worker_pools::deployment::Defaults;
use crate::writer::Request;
use crate::{audit, intake, languages, pools, submissions, worker_pools, writer};

/// Specs that are kept for planning, and their bytes.
const FRESH_ENTRIES: usize = 4096;
const FRESH_BYTES: usize = 16 << 20;
/// Pause between two looks for what is needed at start.
const RETRY: Duration = Duration::from_secs(1);
/// Submissions that are cancelled in Redis at one time.
const CANCELS: usize = 16;
/// Seconds after which a watch is begun anew: a connection that died silently is noticed then.
const WATCH_SECONDS: u32 = 60;
const CONNECT: Duration = Duration::from_secs(5);
/// Time for all parts to end beside the time for status writes.
const LAST_STEPS: Duration = Duration::from_secs(2);

/// The parts that run until told to stop. None may end before.
type Tasks = JoinSet<&'static str>;

fn spawn(tasks: &mut Tasks, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        part.await;
        name
    });
}

/// The part that ended first.
async fn ended(tasks: &mut Tasks) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Ok(name)) => anyhow::anyhow!("{name} ended unexpectedly"),
        Some(Err(error)) => anyhow::Error::new(error).context("a part of the operator broke off"),
        None => anyhow::anyhow!("nothing runs"),
    }
}

/// Runs the operator until it is told to stop by SIGTERM or SIGINT, or until a part of it ends that must not.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, api = ?cli.api, judging = ?cli.judging, pool = %cli.queue.pool, worker_pools = ?cli.worker_pools, "Starting.");
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let (health, metrics) = (Health::default(), Metrics::new());
    let mut registry = MetricsRegistry::default();
    metrics.register(&mut registry);
    let pool_metrics = worker_pools::Metrics::default();
    pool_metrics.register(&mut registry);
    let server = telemetry::serve(telemetry::listen(cli.listen).await?, health.clone(), registry);
    let (switch, stop) = Stop::switch();
    let mut tasks = Tasks::new();
    let work = async {
        start(&cli, &health, (metrics, pool_metrics), &mut tasks, &stop).await?;
        Err(ended(&mut tasks).await)
    };
    tokio::select! {
        result = work => return result,
        result = server => return result.context("health and metrics"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("Stopping.");
    health.stop();
    switch.send_replace(true);
    drain(tasks, Duration::from_secs(cli.drain_seconds)).await;
    tracing::info!("Stopped.");
    Ok(())
}

/// Waits for all parts to end.
async fn drain(mut tasks: Tasks, most: Duration) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(most + LAST_STEPS, all).await.is_err() {
        tracing::warn!("Not all parts ended in time.");
    }
}

/// The ends of the queues between the parts.
struct Ends {
    watches: Vec<Watched>,
    listed: Vec<oneshot::Receiver<()>>,
    writes: mpsc::Receiver<Request>,
    news: mpsc::Receiver<String>,
    gone: mpsc::Receiver<(String, Option<Pool>)>,
}

async fn start(
    cli: &Cli,
    health: &Health,
    (metrics, pool_metrics): (Metrics, worker_pools::Metrics),
    tasks: &mut Tasks,
    stop: &Stop,
) -> anyhow::Result<()> {
    let (redis, server) = (health.part("redis"), health.part("api-server"));
    let watch = health.part("watch");
    let (watching, calling) = clients(&cli.api).await?;
    let calls = Calls::new(calling, Duration::from_secs(cli.api.call_timeout_seconds));
    let broker = Broker::connect(cli.queue.options()?).await?;
    let (operator, ends) = assemble(cli, &watching, calls, broker, metrics);
    spawn(tasks, "pulse", audit::pulse(Arc::clone(&operator), redis, server, stop.clone()));
    wait_for_kinds(&operator, cli, &watching).await?;

    let (told, languages) = oneshot::channel();
    let config = watch_config(&cli.api, None);
    let api = Api::all(watching.clone());
    spawn(tasks, "languages", languages::run(Arc::clone(&operator), api, config, told, stop.clone()));
    spawn(tasks, "writer", writer::run(Arc::clone(&operator), ends.writes, stop.clone()));
    spawn(tasks, "canceller", cancel(Arc::clone(&operator), ends.gone, stop.clone()));
    spawn(tasks, "intake", intake::run(Arc::clone(&operator), ends.news, stop.clone()));
    // Languages first: no Submission is to wait for one that is there, and no WorkerPool is to miss it.
    languages.await.context("the watch of Languages ended")?;
    let worker_pools = start_worker_pools(cli, &operator, &watching, pool_metrics, tasks, stop).await?;
    for watched in ends.watches {
        spawn(tasks, "submissions", submissions::run(Arc::clone(&operator), watched, stop.clone()));
    }
    for listed in ends.listed {
        listed.await.context("the watch of Submissions ended")?;
    }
    watch.set(Ok::<(), String>(()));
    spawn(tasks, "pools", pools::run(Arc::clone(&operator), worker_pools, stop.clone()));
    spawn(tasks, "router", pools::route_anew(Arc::clone(&operator), stop.clone()));
    spawn(tasks, "audit", audit::run(operator, stop.clone()));
    Ok(())
}

/// Follows `WorkerPool`s and namespaces if there are to be any, and returns when all are known: no Submission is to wait for a
/// pool that is there.
async fn start_worker_pools(
    cli: &Cli,
    operator: &Arc<Operator>,
    client: &Client,
    metrics: worker_pools::Metrics,
    tasks: &mut Tasks,
    stop: &Stop,
) -> anyhow::Result<Option<Arc<WorkerPools>>> {
    let Some(namespaces) = cli.worker_pools.namespaces() else { return Ok(None) };
    let (told, known) = oneshot::channel();
    let (api, config) = (Api::all(client.clone()), watch_config(&cli.api, None));
    let watch = pools::watch_namespaces(Arc::clone(operator), api, config, told, stop.clone());
    spawn(tasks, "namespaces", watch);
    let worker_pools = Arc::new(WorkerPools::new(&namespaces));
    let setup = worker_pools::Setup {
        client: client.clone(),
        namespaces,
        config: watch_config(&cli.api, None),
        defaults: Defaults {
            runner_image: cli.worker_pools.runner_image.clone(),
            redis_secret: cli.worker_pools.runner_redis_secret.clone(),
            redis_ca: cli.worker_pools.runner_redis_ca,
        },
        pools: Arc::clone(&worker_pools),
        metrics,
    };
    spawn(tasks, "worker pools", worker_pools::run(Arc::clone(operator), setup, stop.clone()));
    worker_pools.listed().await;
    known.await.context("the watch of namespaces ended")?;
    operator.pools.set(pools::declared(&worker_pools));
    Ok(Some(worker_pools))
}

/// One client for watches, which last, and one for calls, which must not.
async fn clients(args: &ApiArgs) -> anyhow::Result<(Client, Client)> {
    let mut config = Config::infer().await.context("finding the API server")?;
    // We retry by ourselves, with bounds.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    let watching = Client::try_from(config.clone()).context("preparing the watch client")?;
    config.read_timeout = Some(Duration::from_secs(args.call_timeout_seconds));
    let calling = Client::try_from(config).context("preparing the client for calls")?;
    Ok((watching, calling))
}

fn settings(cli: &Cli) -> Settings {
    let judging = &cli.judging;
    Settings {
        allowance: cli.queue.allowance(),
        batch: judging.batch_tests as usize,
        max_source_bytes: judging.max_source_bytes as usize,
        ttl: judging.default_ttl_seconds,
        waiting_retry: Duration::from_secs(judging.waiting_retry_seconds),
        audit: Duration::from_secs(judging.audit_seconds),
        writers: usize::from(cli.api.writers),
        drain: Duration::from_secs(cli.drain_seconds),
    }
}

fn watch_config(args: &ApiArgs, selector: Option<&str>) -> watcher::Config {
    let mut config = watcher::Config::default().page_size(args.page_size).timeout(WATCH_SECONDS);
    config.label_selector = selector.map(str::to_owned);
    config
}

/// The namespaces to watch, each once; none stands for all.
fn namespaces(args: &ApiArgs) -> Vec<Option<String>> {
    let mut named: Vec<_> =
        args.namespaces.iter().filter(|name| !name.is_empty()).cloned().map(Some).collect();
    named.sort();
    named.dedup();
    if named.is_empty() { vec![None] } else { named }
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn assemble(
    cli: &Cli,
    client: &Client,
    calls: Calls,
    broker: Broker,
    metrics: Metrics,
) -> (Arc<Operator>, Ends) {
    let namespaces = namespaces(&cli.api);
    let share = cli.api.concurrency / u16::try_from(namespaces.len()).unwrap_or(u16::MAX);
    let mut shards = Vec::new();
    let (mut watches, mut all_listed) = (Vec::new(), Vec::new());
    for namespace in namespaces {
        let (store, writer) = reflector::store();
        let (sender, triggers) = mpsc::channel(QUEUE);
        let api = scoped(client, namespace.as_deref());
        shards.push(Shard { namespace: namespace.clone(), store, triggers: sender });
        let config = watch_config(&cli.api, cli.api.selector.as_deref());
        let (told, listed) = oneshot::channel();
        all_listed.push(listed);
        let concurrency = share.max(1);
        watches.push(Watched { api, config, namespace, writer, triggers, listed: told, concurrency });
    }
    let (writes_to, writes) = mpsc::channel(QUEUE);
    let (news_to, news) = mpsc::channel(QUEUE);
    let (gone_to, gone) = mpsc::channel(QUEUE);
    let most = usize::from(cli.worker_pools.max_worker_pools);
    let pools = match cli.worker_pools.namespaces() {
        Some(namespaces) => Pools::of_worker_pools(broker, namespaces, most),
        None => Pools::single(broker, &cli.queue.pool),
    };
    let operator = Operator {
        settings: settings(cli),
        calls,
        pools,
        namespaces: Namespaces::default(),
        registry: Registry::default(),
        fresh: Fresh::new(FRESH_ENTRIES, FRESH_BYTES),
        catalog: Catalog::default(),
        metrics,
        shards,
        pace: Mutex::new(Pace::new(cli.api.progress_per_second, Instant::now())),
        writes: writes_to,
        news: news_to,
        gone: gone_to,
    };
    (Arc::new(operator), Ends { watches, listed: all_listed, writes, news, gone })
}

/// Whether all that is to be watched can be listed.
async fn can_list(operator: &Operator, cli: &Cli, client: &Client) -> Result<(), CallError> {
    let calls = &operator.calls;
    calls.can_list(&Api::<Raw<Language>>::all(client.clone())).await?;
    for namespace in namespaces(&cli.api) {
        calls.can_list(&scoped::<Raw<Submission>>(client, namespace.as_deref())).await?;
    }
    for namespace in cli.worker_pools.namespaces().into_iter().flatten() {
        calls.can_list(&scoped::<Raw<WorkerPool>>(client, Some(&namespace))).await?;
    }
    Ok(())
}

/// Waits until all that is to be watched can be listed: for the API server for ever, for a kind that it does not know a
/// bounded time.
async fn wait_for_kinds(operator: &Operator, cli: &Cli, client: &Client) -> anyhow::Result<()> {
    let mut absent: Option<Instant> = None;
    let mut told = String::new();
    loop {
        let answer = can_list(operator, cli, client).await;
        let Err(error) = operator.api(answer) else { return Ok(()) };
        absent = (error.failure() == Failure::Gone).then(|| absent.unwrap_or_else(Instant::now));
        if absent.is_some_and(|since| since.elapsed().as_secs() >= cli.api.crd_wait_seconds) {
            bail!("the custom resource definitions of kubejudge are not installed ({error})");
        }
        if told != error.to_string() {
            told = error.to_string();
            tracing::warn!(%error, "Submissions, Languages or WorkerPools can't be listed yet; trying every second.");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Takes the jobs of Submissions that are gone off the queue, until told to stop.
async fn cancel(operator: Arc<Operator>, gone: mpsc::Receiver<(String, Option<Pool>)>, stop: Stop) {
    let gone = stream(gone).take_until(stop.requested());
    gone.for_each_concurrent(CANCELS, async |(uid, pool)| match operator.cancel(&uid, pool.as_ref()).await {
        Ok(0) => {}
        Ok(jobs) => tracing::info!(uid, jobs, "Cancelled: the Submission is gone."),
        Err(error) => {
            tracing::warn!(%error, uid, "A Submission that is gone was not cancelled; the audit will do it.");
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn namespaces_are_watched_once_each() {
        let args = |namespaces: &str| {
            let cli = Cli::parse_from(["operator", "--redis-url", "redis://r", "--namespaces", namespaces]);
            super::namespaces(&cli.api)
        };
        assert_eq!(args("b,a,b"), [Some("a".into()), Some("b".into())]);
        assert_eq!(args(""), [None]);
    }

    #[tokio::test]
    async fn the_end_of_any_part_is_noticed() {
        let mut tasks = Tasks::new();
        spawn(&mut tasks, "forever", std::future::pending());
        spawn(&mut tasks, "short", async {});
        assert_eq!(ended(&mut tasks).await.to_string(), "short ended unexpectedly");
    }
}
