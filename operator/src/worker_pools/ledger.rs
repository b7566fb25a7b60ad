//! What was done about a `WorkerPool`'s Deployment, and when the next thing may be done. Pure.

use std::time::{Duration, Instant};

use super::status::Trouble;
use crate::api::{CallError, Failure};
use crate::object::Live;

/// Least time between two applies of one plan, and between two status writes of one pool.
pub(super) const BETWEEN: Duration = Duration::from_secs(1);
/// Longest pause after failed applies of one plan.
const LONGEST: Duration = Duration::from_mins(1);
/// Longest pause if the API server could not be reached: that is no fault of the plan.
const LONGEST_OUTAGE: Duration = Duration::from_secs(5);

/// Failed applies in a row after which also an API server that cannot is a reason to be told.
const LASTING: u32 = 3;

/// The state after an apply that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Applied {
    plan: blake3::Hash,
    uid: Option<String>,
    generation: i64,
}

/// What is known of one pool.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    applied: Option<Applied>,
    /// The plan that was tried last, and when it may be tried again.
    pub(super) tried: Option<(blake3::Hash, Instant)>,
    failures: u32,
    /// Why the last apply failed, unless that was a short outage.
    pub(super) trouble: Option<Trouble>,
    /// When the status may be written again.
    pub(super) next_write: Option<Instant>,
}

/// What is to be done about a Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is as it was applied, or on its way out.
    Leave,
    /// Apply.
    Apply,
    /// Apply, but not before then.
    Wait(Instant),
}

impl Ledger {
    /// Looks at the Deployment as the watch shows it; `marked` if its labels and owner are ours.
    pub(super) fn step(&self, plan: blake3::Hash, live: Option<&Live>, marked: bool, now: Instant) -> Step {
        if live.is_some_and(|live| self.holds(plan, live, marked)) {
            return Step::Leave;
        }
        match self.tried {
            Some((tried, next)) if tried == plan && next > now => Step::Wait(next),
            _ => Step::Apply,
        }
    }

    /// A generation before that of the last apply is a view that is behind.
    fn holds(&self, plan: blake3::Hash, live: &Live, marked: bool) -> bool {
        let generation = live.metadata.generation.unwrap_or(0);
        let same = |applied: &Applied| {
            applied.plan == plan && applied.uid == live.metadata.uid && generation <= applied.generation
        };
        live.metadata.deletion_timestamp.is_some() || (marked && self.applied.as_ref().is_some_and(same))
    }

    /// It was applied.
    pub(super) fn applied(&mut self, plan: blake3::Hash, live: &Live, now: Instant) {
        let generation = live.metadata.generation.unwrap_or(0);
        self.applied = Some(Applied { plan, uid: live.metadata.uid.clone(), generation });
        self.tried = Some((plan, now + BETWEEN));
        (self.failures, self.trouble) = (0, None);
    }

    /// It was not.
    pub(super) fn failed(&mut self, plan: blake3::Hash, error: &CallError, now: Instant) {
        let failure = error.failure();
        let outage = matches!(failure, Failure::Timeout | Failure::Unavailable);
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = if outage { LONGEST_OUTAGE } else { LONGEST };
        self.tried = Some((plan, now + BETWEEN.saturating_mul(1 << doublings).min(longest)));
        let told = match failure {
            Failure::Timeout => None,
            // One that lasts is more than a hiccup.
            Failure::Unavailable => (self.failures >= LASTING).then_some("DeploymentFailed"),
            Failure::Forbidden => Some("DeploymentForbidden"),
            Failure::Gone | Failure::Conflict | Failure::Rejected => Some("DeploymentRejected"),
        };
        if let Some(reason) = told {
            self.trouble = Some(Trouble { reason, message: error.to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(uid: &str, generation: i64) -> Live {
        let mut live = Live::default();
        live.metadata.uid = Some(uid.to_owned());
        live.metadata.generation = Some(generation);
        live
    }

    fn rejected(code: u16) -> CallError {
        let status = kube::core::Status { code, message: "no".to_owned(), ..kube::core::Status::default() };
        CallError::Api(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn what_was_changed_deleted_or_replaced_is_applied_again() {
        let (plan, other) = (blake3::hash(b"a"), blake3::hash(b"b"));
        let now = Instant::now();
        let later = now + BETWEEN;
        let mut ledger = Ledger::default();
        assert_eq!(ledger.step(plan, None, true, now), Step::Apply);
        assert_eq!(
            ledger.step(plan, Some(&live("u", 1)), true, now),
            Step::Apply,
            "nothing is known after a start"
        );
        ledger.applied(plan, &live("u", 2), now);
        for generation in [1, 2] {
            assert_eq!(ledger.step(plan, Some(&live("u", generation)), true, later), Step::Leave);
        }
        assert_eq!(ledger.step(plan, Some(&live("u", 3)), true, later), Step::Apply);
        assert_eq!(ledger.step(plan, Some(&live("v", 1)), true, later), Step::Apply);
        assert_eq!(ledger.step(plan, Some(&live("u", 2)), false, later), Step::Apply);
        assert_eq!(ledger.step(plan, None, true, later), Step::Apply);
        assert_eq!(ledger.step(plan, None, true, now), Step::Wait(later), "not as fast as others undo it");
        assert_eq!(
            ledger.step(other, Some(&live("u", 2)), true, now),
            Step::Apply,
            "a new plan need not wait"
        );
        let mut leaving = live("u", 3);
        leaving.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(ledger.step(plan, Some(&leaving), true, later), Step::Leave);
    }

    #[test]
    fn pauses_grow_to_their_bound_and_end_with_success() {
        let plan = blake3::hash(b"a");
        let now = Instant::now();
        let mut ledger = Ledger::default();
        let mut pause = |error: &CallError| {
            ledger.failed(plan, error, now);
            let Step::Wait(next) = ledger.step(plan, None, true, now) else { panic!("it waits") };
            ((next - now).as_secs(), ledger.trouble.as_ref().map(|trouble| trouble.reason))
        };
        assert_eq!(pause(&rejected(503)), (1, None), "an outage is told by readiness");
        let pauses: Vec<_> = (0..7).map(|_| pause(&rejected(422))).collect();
        assert_eq!(pauses.iter().map(|(seconds, _)| *seconds).collect::<Vec<_>>(), [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses[0].1, Some("DeploymentRejected"));
        assert_eq!(pause(&rejected(403)), (60, Some("DeploymentForbidden")));
        assert_eq!(pause(&CallError::Timeout(Duration::ZERO)).0, 5);
        assert_eq!(pause(&rejected(500)), (5, Some("DeploymentFailed")));
        ledger.applied(plan, &live("u", 1), now);
        assert_eq!(ledger.trouble, None);
        ledger.failed(plan, &rejected(422), now);
        assert_eq!(ledger.step(plan, None, true, now), Step::Wait(now + BETWEEN));
    }
}
