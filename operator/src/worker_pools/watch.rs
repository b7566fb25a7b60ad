//! The watches of `WorkerPool`s and their Deployments, a controller for each namespace.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crds::WorkerPool;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::utils::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::deployment::{DEPLOYMENTS, Defaults, POOL_LABEL};
use super::keeper::Keeper;
use super::{Metrics, Served, WorkerPools};
use crate::context::{Operator, Stop};
use crate::object::{Live, Raw};
use crate::submissions::Pauses;

/// Reconciles at one time in one namespace, each with at most one call under way.
const CONCURRENCY: u16 = 4;
/// Changes this close together are looked at once.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Time between two looks at what no watch tells: what the runners say.
const LOOK: Duration = Duration::from_secs(5);

/// What the controllers need.
pub struct Setup {
    /// The client for watches.
    pub client: Client,
    /// The namespaces, each once.
    pub namespaces: Vec<String>,
    /// How watches are made.
    pub config: watcher::Config,
    /// What flags say of all pools.
    pub defaults: Defaults,
    /// Where the valid ones are kept.
    pub pools: Arc<WorkerPools>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Keeps the `WorkerPool`s of all namespaces until told to stop.
pub async fn run(operator: Arc<Operator>, setup: Setup, stop: Stop) {
    let all = setup.namespaces.iter().map(|namespace| keep(&operator, &setup, namespace, stop.clone()));
    futures::future::join_all(all).await;
}

async fn keep(operator: &Arc<Operator>, setup: &Setup, namespace: &str, stop: Stop) {
    let (deployments, deployments_writer) = reflector::store();
    let (store, writer) = reflector::store();
    let keeper =
        Keeper::new(Arc::clone(operator), setup.defaults.clone(), setup.metrics.clone(), deployments);
    let keeper = Arc::new(keeper);
    let nudge = Arc::new(Notify::new());
    let observer = Observer {
        keeper: Arc::clone(&keeper),
        pools: Arc::clone(&setup.pools),
        namespace: namespace.to_owned(),
        list: Vec::new(),
    };
    let api = Api::namespaced(setup.client.clone(), namespace);
    let pools = observed(api, setup.config.clone(), observer).map(Ok).reflect(writer);
    let pools = nudging(pools, Arc::clone(&nudge)).applied_objects();

    let config = setup.config.clone().labels(DEPLOYMENTS);
    let api: Api<Live> = Api::namespaced(setup.client.clone(), namespace);
    let metrics = operator.metrics.clone();
    let seen = watcher(api, config).backoff(Pauses::default()).filter_map(move |event| {
        let event = event.inspect_err(|error| {
            metrics.watch_restarted("deployments");
            tracing::warn!(%error, "The watch of Deployments broke off; watching again.");
        });
        std::future::ready(event.ok().map(Ok))
    });
    let seen = complete(seen.reflect(deployments_writer), Arc::clone(&keeper));
    let seen = nudging(seen, Arc::clone(&nudge)).touched_objects();

    let config = controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
    Controller::for_stream(pools, store)
        .with_config(config)
        .watches_stream(seen, pool_of)
        .reconcile_all_on(looks(operator, nudge))
        .graceful_shutdown_on(stop.requested())
        .run(Keeper::reconcile, |_, never, _| -> Action { match *never {} }, keeper)
        .for_each(|result| {
            match result {
                // It was deleted meanwhile.
                Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
                Err(error) => tracing::warn!(%error, "The controller of WorkerPools met an error."),
            }
            std::future::ready(())
        })
        .await;
}

/// The `WorkerPool` that a Deployment belongs to.
fn pool_of(live: Live) -> Option<ObjectRef<Raw<WorkerPool>>> {
    let name = live.metadata.labels?.remove(POOL_LABEL)?;
    Some(ObjectRef::new(&name).within(&live.metadata.namespace?))
}

/// Notes when all Deployments are known, once the store shows them.
fn complete<E>(
    events: impl Stream<Item = Result<Event<Live>, E>>,
    keeper: Arc<Keeper>,
) -> impl Stream<Item = Result<Event<Live>, E>> {
    events.inspect_ok(move |event| {
        if matches!(event, Event::InitDone) {
            keeper.listed.store(true, Ordering::Release);
        }
    })
}

/// Has all looked at when a list is complete: the controller lets go what comes while the store does not show it.
fn nudging<K, E>(
    events: impl Stream<Item = Result<Event<K>, E>>,
    nudge: Arc<Notify>,
) -> impl Stream<Item = Result<Event<K>, E>> {
    events.inspect_ok(move |event| {
        if matches!(event, Event::InitDone) {
            nudge.notify_one();
        }
    })
}

/// When all are to be looked at: every few seconds, when a list is complete, and when runners' Languages change.
fn looks(operator: &Arc<Operator>, nudge: Arc<Notify>) -> impl Stream<Item = ()> + Send + 'static {
    let mut ticks = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let changes = operator.pools.subscribe();
    stream::unfold((ticks, changes, nudge), |(mut ticks, mut changes, nudge)| async move {
        tokio::select! {
            _ = ticks.tick() => {}
            // Its sender lives as long as the operator.
            _ = changes.changed() => {}
            () = nudge.notified() => {}
        }
        Some(((), (ticks, changes, nudge)))
    })
}

/// What comes by, noted for those who route by it. Errors are told here: the watch goes on by itself.
fn observed(
    api: Api<Raw<WorkerPool>>,
    config: watcher::Config,
    mut observer: Observer,
) -> impl Stream<Item = Event<Raw<WorkerPool>>> {
    watcher(api, config).backoff(Pauses::default()).filter_map(move |event| {
        let event = event.inspect_err(|error| observer.broke_off(error)).ok();
        if let Some(event) = &event {
            observer.see(event);
        }
        std::future::ready(event)
    })
}

struct Observer {
    keeper: Arc<Keeper>,
    pools: Arc<WorkerPools>,
    namespace: String,
    /// Names and contents of the list that is coming in.
    list: Vec<(String, Option<Served>)>,
}

impl Observer {
    fn broke_off(&self, error: &watcher::Error) {
        self.keeper.operator.metrics.watch_restarted("workerpools");
        tracing::warn!(namespace = self.namespace, %error, "The watch of WorkerPools broke off; watching again.");
    }

    fn see(&mut self, event: &Event<Raw<WorkerPool>>) {
        match event {
            Event::Init => self.list.clear(),
            Event::InitApply(raw) => self.list.push((name(raw), usable(raw))),
            Event::InitDone => {
                let list = std::mem::take(&mut self.list);
                self.keeper.retain(&self.namespace, |name| list.iter().any(|(listed, _)| listed == name));
                self.pools
                    .replace(&self.namespace, list.into_iter().filter_map(|(_, served)| served).collect());
            }
            Event::Apply(raw) => match usable(raw) {
                Some(served) => self.pools.put(served),
                None => self.pools.remove(&self.namespace, &name(raw)),
            },
            Event::Delete(raw) => {
                self.pools.remove(&self.namespace, &name(raw));
                self.keeper.forget(&self.namespace, &name(raw));
            }
        }
    }
}

fn name(raw: &Raw<WorkerPool>) -> String {
    raw.metadata.name.clone().unwrap_or_default()
}

/// What is to be routed to: not what is invalid, and not what is being deleted.
fn usable(raw: &Raw<WorkerPool>) -> Option<Served> {
    let served = Served::read(raw);
    served.ok().filter(|_| raw.metadata.deletion_timestamp.is_none())
}
