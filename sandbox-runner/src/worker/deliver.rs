//! Tells the queue what came of a job: until it heard, or the lease is gone.

use queue::broker::Outcome;
use queue::{BrokerError, JobReport};

use super::backoff::Backoff;
use super::decide::{Action, Ending, Standing, action, ran_out};
use super::leases::Lease;
use super::metrics::Fate;
use super::{Worker, heartbeat};
use crate::outcome::hopeless;

/// Says what `ending` calls for, and what became of it.
pub(super) async fn run(worker: &Worker, lease: &Lease, ending: Ending) -> Fate {
    let mut action = action(lease.standing(), ending);
    let mut backoff = Backoff::default();
    loop {
        let error = match say(worker, lease, &action).await {
            Ok(outcome) => return fate(&action, lease.standing(), outcome),
            Err(error) => error,
        };
        worker.metrics.redis_error(&error);
        if let (BrokerError::Codec(error), Action::Report(report)) = (&error, &mut action) {
            tracing::error!(%error, "The report can't be sent.");
            **report = unreadable(report, error);
            continue;
        }
        tracing::warn!(%error, "The queue was not told what came of the job.");
        if ran_out(lease.age(), worker.lease) || !backoff.hopeful(&error) {
            heartbeat::lose(worker, lease);
            return Fate::Lost;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = lease.lost() => return Fate::Lost,
        }
    }
}

async fn say(worker: &Worker, lease: &Lease, action: &Action) -> Result<Outcome, BrokerError> {
    let (broker, id, fence) = (&worker.broker, &lease.id, lease.fence);
    match action {
        Action::Report(report) => broker.report(id, fence, report).await,
        Action::Retry(reason) => {
            tracing::warn!(reason, "The platform failed; the job goes back for another attempt.");
            broker.retry(id, fence, reason).await
        }
        Action::Missing(blobs) => {
            tracing::warn!(blobs = blobs.len(), "Data of the job are gone from the cache; waiting for them.");
            broker.missing(id, fence, blobs).await
        }
        Action::HandBack => broker.hand_back(id, fence).await,
        Action::Nothing => Ok(Outcome::Stale),
    }
}

fn unreadable(report: &JobReport, error: &queue::contract::CodecError) -> JobReport {
    hopeless(&format!("the report can't be sent: {error}"), &report.runner, report.started)
}

fn fate(action: &Action, standing: Standing, outcome: Outcome) -> Fate {
    match (action, outcome) {
        (Action::Nothing, _) => Fate::Lost,
        (Action::HandBack, _) if standing == Standing::Cancelled => Fate::Cancelled,
        (_, Outcome::Stale) => Fate::Stale,
        (Action::Report(_), Outcome::Done) => Fate::Reported,
        (Action::Retry(_), Outcome::Done) => Fate::Retried,
        (Action::Missing(_), Outcome::Done) => Fate::MissingBlobs,
        (Action::HandBack, Outcome::Done) => Fate::HandedBack,
    }
}
