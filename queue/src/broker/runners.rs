//! What runners ask of the queue.

use std::time::Duration;

use super::function::{self, Call};
use super::operators::{cut, readable};
use super::words::{self, Taken};
use super::{Broker, BrokerError, Delivery, Fence, Held, Holding, Outcome};
use crate::contract::{BlobHash, JobId, JobReport, LanguageSnapshot, RunnerStatus, encode};

/// Leases and delays that a take looks at first.
const MOST_REAPED: usize = 100;
/// Unreadable jobs that one take buries.
const MOST_BURIED: usize = 16;
/// Leases that one call extends.
const MOST_EXTENDED: usize = 1000;

impl Broker {
    /// Leases the job whose turn it is, for `lease`. A job that can't be read is buried, and the next one taken.
    pub async fn take(&self, runner: &str, lease: Duration) -> Result<Option<Delivery>, BrokerError> {
        for _ in 0..MOST_BURIED {
            let call = format!("{runner}/{}", self.token());
            let Some(taken) = self.take_once(&call, lease).await? else { return Ok(None) };
            match words::delivery(taken) {
                Ok(delivery) => return Ok(Some(delivery)),
                Err((id, reason)) => {
                    tracing::warn!(job = %id, %reason, "A job can't be read and is buried.");
                    self.bury_named(&id, &reason).await?;
                }
            }
        }
        Ok(None)
    }

    /// A call that is repeated because its answer was lost has the same token, and gets the same delivery again.
    pub(super) async fn take_once(&self, token: &str, lease: Duration) -> Result<Option<Taken>, BrokerError> {
        let call = Call::new(&function::TAKE).bytes(token.as_bytes());
        self.call(call.text(words::micros(lease)).text(MOST_REAPED)).await
    }

    /// Extends all these leases to `lease` from now, notes how far each job is, and says which of them still hold. A lease that
    /// ran out and that nobody has taken back yet holds again.
    pub async fn extend(&self, held: &[Held], lease: Duration) -> Result<Vec<Holding>, BrokerError> {
        let mut holdings = Vec::with_capacity(held.len());
        for batch in held.chunks(MOST_EXTENDED) {
            let call = Call::new(&function::EXTEND).text(words::micros(lease));
            let call = batch.iter().fold(call, |call, Held { id, fence, phase }| {
                call.text(id).text(fence.0).text(words::phase(*phase))
            });
            let answers: Vec<String> = self.call(call).await?;
            if answers.len() != batch.len() {
                return Err(BrokerError::Answer { function: "extend", answer: answers.join(" ") });
            }
            holdings.extend(answers.iter().map(|answer| match answer.as_str() {
                "held" => Holding::Held,
                "cancelled" => Holding::Cancelled,
                _ => Holding::Lost,
            }));
        }
        Ok(holdings)
    }

    /// Hands in the result. The first one per job wins. A report that was cancelled meanwhile is not wanted: the job is gone,
    /// and the answer [`Outcome::Stale`].
    pub async fn report(&self, id: &JobId, fence: Fence, report: &JobReport) -> Result<Outcome, BrokerError> {
        let report = encode(report)?;
        self.settle(Call::new(&function::REPORT).text(id).text(fence.0).bytes(&report)).await
    }

    /// Gives a job up because the platform failed: it is delivered again after a growing delay, or lost for good, with this
    /// reason (its first 1024 bytes), if this was the last allowed delivery.
    pub async fn retry(&self, id: &JobId, fence: Fence, reason: &str) -> Result<Outcome, BrokerError> {
        let reason = cut(reason);
        self.settle(Call::new(&function::RETRY).text(id).text(fence.0).bytes(reason.as_bytes())).await
    }

    /// Hands a job back in good order: it waits again at its old place, and the delivery is not counted. A job that was
    /// cancelled meanwhile is gone.
    pub async fn hand_back(&self, id: &JobId, fence: Fence) -> Result<Outcome, BrokerError> {
        self.settle(Call::new(&function::HAND_BACK).text(id).text(fence.0)).await
    }

    /// Hands a job back because these blobs are gone: it waits until they are supplied, and the delivery is not counted.
    pub async fn missing(
        &self,
        id: &JobId,
        fence: Fence,
        blobs: &[BlobHash],
    ) -> Result<Outcome, BrokerError> {
        let names: Vec<_> = blobs.iter().map(BlobHash::to_string).collect();
        self.settle(Call::new(&function::MISSING).text(id).text(fence.0).text(names.join(","))).await
    }

    async fn settle(&self, call: Call<'_>) -> Result<Outcome, BrokerError> {
        let done: bool = self.call(call).await?;
        Ok(if done { Outcome::Done } else { Outcome::Stale })
    }

    /// Says that a runner is alive; believed for `ttl`.
    pub async fn announce(&self, status: &RunnerStatus, ttl: Duration) -> Result<(), BrokerError> {
        let record = encode(status)?;
        let call = Call::new(&function::ANNOUNCE).text(words::micros(ttl));
        self.call(call.bytes(status.name.as_bytes()).bytes(&record)).await
    }

    /// Says that a runner is gone.
    pub async fn retire(&self, runner: &str) -> Result<(), BrokerError> {
        self.call(Call::new(&function::RETIRE).bytes(runner.as_bytes())).await
    }

    /// The Languages that were published, and how many could not be read.
    pub async fn languages(&self) -> Result<(Vec<LanguageSnapshot>, usize), BrokerError> {
        let records: Vec<Vec<u8>> =
            self.ask("languages", redis::cmd("HVALS").arg(self.key("languages"))).await?;
        Ok(readable(&records))
    }
}
