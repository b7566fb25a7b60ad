//! Keeps a `WorkerPool`'s Deployment as it is to be, and its status true.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::{WorkerPool, WorkerPoolStatus};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use queue::broker::Pool;

use super::deployment::{self, Defaults};
use super::ledger::{BETWEEN, Ledger, Step};
use super::metrics::{Metrics, State};
use super::status::{self, Seen, Trouble};
use super::{Invalid, Served};
use crate::api::Failure;
use crate::context::Operator;
use crate::object::{Live, Raw};
use crate::pools::Standing;
use crate::writer::Body;

/// Pause until all Deployments are known.
const UNTIL_LISTED: Duration = Duration::from_millis(100);
/// Pause after a status that was not written.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Pause after one that the API server refuses.
const AFTER_REFUSAL: Duration = Duration::from_mins(1);

/// What the reconciles of one namespace share.
pub(super) struct Keeper {
    pub(super) operator: Arc<Operator>,
    pub(super) defaults: Defaults,
    pub(super) metrics: Metrics,
    /// The Deployments of this namespace, and whether all are there that there were at the start.
    pub(super) deployments: Store<Live>,
    pub(super) listed: AtomicBool,
    ledgers: Mutex<HashMap<String, Ledger>>,
}

impl Keeper {
    pub(super) fn new(
        operator: Arc<Operator>,
        defaults: Defaults,
        metrics: Metrics,
        deployments: Store<Live>,
    ) -> Self {
        let (listed, ledgers) = (AtomicBool::new(false), Mutex::default());
        Self { operator, defaults, metrics, deployments, listed, ledgers }
    }

    fn ledgers(&self) -> MutexGuard<'_, HashMap<String, Ledger>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, name: &str, change: impl FnOnce(&mut Ledger) -> T) -> T {
        change(self.ledgers().entry(name.to_owned()).or_default())
    }

    /// The `WorkerPool` is gone.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        self.ledgers().remove(name);
        self.metrics.is(&format!("{namespace}.{name}"), None);
    }

    /// Those that `stay` says are left; the others are gone.
    pub(super) fn retain(&self, namespace: &str, stay: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.ledgers().keys().filter(|name| !stay(name)).cloned().collect();
        for name in gone {
            self.forget(namespace, &name);
        }
    }

    /// Reconciles one. What fails is tried again by the pauses in its ledger, and never sooner, whatever happens meanwhile.
    pub(super) async fn reconcile(
        raw: Arc<Raw<WorkerPool>>,
        keeper: Arc<Self>,
    ) -> Result<Action, Infallible> {
        if raw.metadata.deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        if !keeper.listed.load(Ordering::Acquire) {
            return Ok(Action::requeue(UNTIL_LISTED));
        }
        let read = Served::read(&raw);
        let apply = match &read {
            Ok(served) => keeper.keep(served).await,
            // Runners that work go on with what they were told before.
            Err(_) => None,
        };
        let write = keeper.report(&raw, &read).await;
        let next = apply.into_iter().chain(write).min();
        Ok(next.map_or_else(Action::await_change, |next| {
            Action::requeue(next.saturating_duration_since(Instant::now()))
        }))
    }

    fn live(&self, namespace: &str, name: &str) -> Option<Arc<Live>> {
        self.deployments.get(&ObjectRef::new(&deployment::name(name)).within(namespace))
    }

    /// Applies the Deployment if need be. Says when to look again, if that is known.
    async fn keep(&self, served: &Served) -> Option<Instant> {
        let Served { namespace, name, .. } = served;
        let wanted = deployment::deployment(served, &self.defaults);
        let plan = blake3::hash(wanted.to_string().as_bytes());
        let live = self.live(namespace, name);
        let marked = live.as_ref().is_none_or(|live| is_marked(live, served));
        let now = Instant::now();
        match self.note(name, |ledger| ledger.step(plan, live.as_deref(), marked, now)) {
            Step::Leave => return None,
            Step::Wait(next) => return Some(next),
            Step::Apply => {}
        }
        let calls = &self.operator.calls;
        let answer = calls.apply_deployment(namespace, &deployment::name(name), &wanted).await;
        let now = Instant::now();
        match self.operator.api(answer) {
            Ok(new) => {
                let version = |live: &Live| live.metadata.resource_version.clone();
                let changed = live.as_deref().and_then(version) != version(&new);
                self.metrics.applied(if changed { "changed" } else { "unchanged" });
                if changed {
                    tracing::info!(pool = %served.pool, "The Deployment of a WorkerPool was applied.");
                }
                self.note(name, |ledger| ledger.applied(plan, &new, now));
                None
            }
            Err(error) => {
                self.metrics.applied(error.failure().name());
                tracing::warn!(pool = %served.pool, %error, "The Deployment of a WorkerPool was not applied; trying again.");
                self.note(name, |ledger| {
                    ledger.failed(plan, &error, now);
                    ledger.tried.map(|(_, next)| next)
                })
            }
        }
    }

    /// Writes the status if it says something else. Says when to look again, if that is known.
    async fn report(&self, raw: &Raw<WorkerPool>, read: &Result<Served, Invalid>) -> Option<Instant> {
        let namespace = raw.metadata.namespace.as_deref().unwrap_or_default();
        let name = raw.metadata.name.as_deref().unwrap_or_default();
        let new = self.told(raw, read, namespace, name);
        let ready = new.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        let state = match (read, ready) {
            (Err(_), _) => State::Invalid,
            (Ok(_), true) => State::Ready,
            (Ok(_), false) => State::NotReady,
        };
        self.metrics.is(&format!("{namespace}.{name}"), Some((state, i64::from(new.ready_replicas))));
        let patch = status::patch(raw.metadata.resource_version.as_deref(), &raw.status, &new)?;
        let now = Instant::now();
        if let Some(next) = self.note(name, |ledger| ledger.next_write).filter(|next| *next > now) {
            return Some(next);
        }
        let body = Body::Merge(patch);
        let answer = self.operator.calls.write_worker_pool_status(namespace, name, &body).await;
        let pause = match self.operator.api(answer) {
            Ok(()) => {
                self.metrics.wrote("written");
                BETWEEN
            }
            Err(error) => {
                let failure = error.failure();
                self.metrics.wrote(failure.name());
                match failure {
                    // Another look follows: it was changed or deleted.
                    Failure::Conflict | Failure::Gone => BETWEEN,
                    _ => {
                        tracing::warn!(namespace, name, %error, "A WorkerPool's status was not written; trying again.");
                        if failure == Failure::Rejected { AFTER_REFUSAL } else { AFTER_FAILURE }
                    }
                }
            }
        };
        let next = Instant::now() + pause;
        self.note(name, |ledger| ledger.next_write = Some(next));
        // Once more: the view that this rests on may have been behind.
        Some(next)
    }

    fn told(
        &self,
        raw: &Raw<WorkerPool>,
        read: &Result<Served, Invalid>,
        namespace: &str,
        name: &str,
    ) -> WorkerPoolStatus {
        let pools = &self.operator.pools;
        let pool = Pool::of_worker_pool(namespace, name).ok();
        let runners = pool.as_ref().and_then(|pool| pools.runners(pool));
        let above = pool.is_some_and(|pool| pools.standing(&pool) == Standing::TooMany);
        let live = self.live(namespace, name);
        let seen = Seen {
            served: read.as_ref(),
            generation: raw.metadata.generation,
            deployment: live.as_ref().map(|live| &live.status),
            trouble: self.note(name, |ledger| ledger.trouble.clone()).or_else(|| above.then(too_many)),
            runners: runners.as_deref(),
            known: &|language| self.operator.catalog.knows(language),
        };
        let old: WorkerPoolStatus = serde_json::from_value(raw.status.clone()).unwrap_or_default();
        status::status(name, &old, &seen, Timestamp::now())
    }
}

fn too_many() -> Trouble {
    let message =
        "there are more WorkerPools than the operator's --max-worker-pools; nothing is routed to this one";
    Trouble { reason: "TooManyPools", message: message.to_owned() }
}

/// Whether the labels are ours, and the owner is this `WorkerPool`.
fn is_marked(live: &Live, served: &Served) -> bool {
    let metadata = &live.metadata;
    let found = metadata.labels.as_ref();
    let has = |(key, value): (&String, &String)| found.is_some_and(|labels| labels.get(key) == Some(value));
    let owned = metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.uid == served.uid && owner.controller == Some(true));
    owned && deployment::labels(&served.name).iter().all(has)
}
