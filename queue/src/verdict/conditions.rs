//! Conditions as `metav1.Condition` wants them.

use crds::SubmissionStatus;
use jiff::Timestamp;
use judging::Verdict;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::bounds::{MAX_MESSAGE, shortened};

/// The conditions of a Submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// Valid, and all references resolved.
    Admitted,
    /// Over, whatever the verdict.
    Finished,
    /// A verdict was reached.
    Succeeded,
}

impl ConditionType {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admitted => "Admitted",
            Self::Finished => "Finished",
            Self::Succeeded => "Succeeded",
        }
    }
}

/// One condition.
pub fn condition(
    type_: &str,
    holds: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: shortened(message, MAX_MESSAGE),
        last_transition_time: Time(now),
        observed_generation: generation,
    }
}

/// Puts `new` into `conditions`. The time of transition moves only if the status changed.
pub fn set(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|old| old.type_ == new.type_) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time.clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

/// Whether `status` says that the judging it speaks of is over.
pub fn finished(status: &SubmissionStatus) -> bool {
    let finished = ConditionType::Finished.name();
    status.conditions.iter().any(|condition| condition.type_ == finished && condition.status == "True")
}

/// The conditions of a Submission that was judged.
pub(super) fn judged(
    verdict: Verdict,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let fault = verdict.is_platform_fault();
    let reason = if fault { "InternalError" } else { "Judged" };
    let about = |kind: ConditionType, holds, reason, message| {
        condition(kind.name(), holds, reason, message, generation, now)
    };
    vec![
        about(ConditionType::Admitted, true, "Valid", ""),
        about(ConditionType::Finished, true, reason, message),
        about(ConditionType::Succeeded, !fault, reason, message),
    ]
}

/// The conditions of a Submission that was refused.
pub(super) fn invalid(message: &str, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let about =
        |kind: ConditionType, holds| condition(kind.name(), holds, "Invalid", message, generation, now);
    vec![
        about(ConditionType::Admitted, false),
        about(ConditionType::Finished, true),
        about(ConditionType::Succeeded, false),
    ]
}
