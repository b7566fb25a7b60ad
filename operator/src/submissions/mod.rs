//! Submissions: what the watch shows of them, and what is done about it.

mod prepare;
mod queueing;
mod reconcile;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher;
use queue::BrokerError;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use crate::api::{CallError, Failure};
use crate::context::{Operator, Stop, stream};
use crate::object::{Head, Raw};
use crate::plan::PlanError;

pub use prepare::{Prepared, prepare, specification};
pub(crate) use watch::Pauses;

/// First and longest pause after failed reconciles of one object.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Longest pause if Redis or the API server could not be reached: that is no fault of the object.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(5);

/// Why a reconcile came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Redis.
    #[error(transparent)]
    Redis(#[from] BrokerError),
    /// The API server.
    #[error(transparent)]
    Api(#[from] CallError),
    /// No plan could be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There are more status writes than can be made.
    #[error("too many status writes are waiting")]
    Busy,
}

impl ReconcileError {
    /// Its kind, for metrics.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Redis(_) => "redis",
            Self::Api(_) => "api",
            Self::Plan(_) => "plan",
            Self::Busy => "busy",
        }
    }

    /// Whether it is no fault of the object, and the same for all of them.
    fn is_outage(&self) -> bool {
        match self {
            // A wrong password or a Redis that loads its data refuses everybody.
            Self::Redis(error) => matches!(error, BrokerError::Unreachable(_) | BrokerError::Refused(_)),
            Self::Api(error) => matches!(error.failure(), Failure::Timeout | Failure::Unavailable),
            Self::Busy => true,
            Self::Plan(_) => false,
        }
    }

    fn longest_pause(&self) -> Duration {
        if self.is_outage() { LONGEST_OUTAGE_PAUSE } else { LONGEST_PAUSE }
    }
}

/// What a controller of one watch needs.
pub struct Watched {
    /// The objects.
    pub api: Api<Raw<crds::Submission>>,
    /// How they are watched.
    pub config: watcher::Config,
    /// The namespace; all, if none.
    pub namespace: Option<String>,
    /// Where they are kept.
    pub writer: Writer<Head>,
    /// Those to be reconciled now.
    pub triggers: mpsc::Receiver<ObjectRef<Head>>,
    /// Told when all that there were at the start are known. (The store's own signal wakes one waiter only, and the controller
    /// is one.)
    pub listed: oneshot::Sender<()>,
    /// Reconciles at one time.
    pub concurrency: u16,
}

/// Reconciles the Submissions of one watch until told to stop.
pub async fn run(operator: Arc<Operator>, watched: Watched, stop: Stop) {
    let Watched { api, config, namespace, writer, triggers, listed, concurrency } = watched;
    let reader = writer.as_reader();
    let heads = watch::heads(Arc::clone(&operator), api, config, namespace, listed, writer);
    Controller::for_stream(heads, reader)
        .with_config(controller::Config::default().concurrency(concurrency))
        .reconcile_on(stream(triggers))
        .graceful_shutdown_on(stop.requested())
        .run(reconciled, pause, operator)
        .for_each(|result| {
            if let Err(error) = result {
                note(&error);
            }
            std::future::ready(())
        })
        .await;
}

fn note<E: std::error::Error + 'static>(error: &controller::Error<ReconcileError, E>) {
    match error {
        // It was deleted meanwhile; or it was said where it failed, with the Submission's UID.
        controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..) => {}
        other => tracing::warn!(error = %other, "The controller met an error."),
    }
}

async fn reconciled(head: Arc<Head>, operator: Arc<Operator>) -> Result<Action, ReconcileError> {
    let begin = Instant::now();
    let span = tracing::info_span!("reconcile", uid = head.uid(), judging = head.wanted());
    async {
        let result = reconcile::reconcile(&operator, &head).await;
        match &result {
            Ok(_) => {
                operator.registry.note(head.uid(), |tracked| tracked.attempts = 0);
                operator.metrics.reconciled("ok", begin);
            }
            Err(error) => {
                // An outage is told once, by readiness, and not by each of ten thousand objects.
                if error.is_outage() {
                    tracing::debug!(%error, "The Submission was not reconciled; trying again.");
                } else {
                    tracing::warn!(%error, "The Submission was not reconciled; trying again.");
                }
                operator.metrics.reconciled(error.category(), begin);
            }
        }
        result
    }
    .instrument(span)
    .await
}

#[expect(clippy::needless_pass_by_value, reason = "the controller hands both over")]
fn pause(head: Arc<Head>, error: &ReconcileError, operator: Arc<Operator>) -> Action {
    let attempts = operator.registry.note(head.uid(), |tracked| {
        tracked.attempts = tracked.attempts.saturating_add(1);
        tracked.attempts
    });
    Action::requeue(backoff(attempts.unwrap_or(1), error.longest_pause()))
}

/// The pause after so many failed attempts in a row.
fn backoff(attempts: u32, longest: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        let pauses: Vec<_> = (0..9).map(|n| backoff(n, LONGEST_PAUSE).as_secs()).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(u32::MAX, LONGEST_OUTAGE_PAUSE), LONGEST_OUTAGE_PAUSE);
    }
}
