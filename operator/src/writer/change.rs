//! What may be written into a status, and how: pure. A final status never changes but by a rejudge.

use crds::{Phase, Submission, SubmissionStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource as _;
use queue::verdict::{ConditionType, MAX_MESSAGE, condition, set, shortened};
use serde_json::{Value, json};

use crate::decide::Lack;
use crate::object::Head;

/// A change of one Submission's status that was decided on.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The UID of the Submission that it was decided for.
    pub uid: String,
    /// The judging that it speaks of.
    pub judging: u32,
    /// What it says.
    pub what: What,
}

/// What a change says.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The judging is over.
    Final {
        /// How it came to its end.
        ending: Ending,
        /// The whole status.
        status: Box<SubmissionStatus>,
    },
    /// It is judged again.
    Rejudge,
    /// It waits for something that is not there.
    Wait(Lack),
    /// It is on the queue or runs.
    Progress(Progress),
}

/// How a judging came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By the runners' reports.
    Judged,
    /// It was refused.
    Invalid,
    /// It took longer than it may.
    Overdue,
}

/// How far a judging is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Queued, Compiling or Running.
    pub phase: Phase,
    /// When it was put on the queue.
    pub queued: Timestamp,
    /// When a runner began with it.
    pub started: Option<Timestamp>,
    /// How many tests there are.
    pub total: u32,
}

/// Whether a change may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Write,
    /// The status says so already.
    Unchanged,
    /// The judging is over.
    Settled,
    /// The decision does not hold any more: another object, another judging, suspended, being deleted.
    Obsolete,
}

/// Whether `change` may be made to the Submission as it is stored now.
pub fn permit(head: &Head, change: &Change) -> Permit {
    let Change { uid, judging, what } = change;
    let standing = &head.standing;
    if head.uid() != uid || head.metadata.deletion_timestamp.is_some() {
        return Permit::Obsolete;
    }
    if standing.finished && standing.judging >= *judging {
        return Permit::Settled;
    }
    if head.wanted() != *judging {
        return Permit::Obsolete;
    }
    // A finished status gives way to a rejudge alone, and what is suspended gets no verdict.
    let holds = match what {
        What::Rejudge => !head.asked.suspend,
        What::Final { ending: Ending::Overdue | Ending::Invalid, .. } => !standing.finished,
        What::Wait(lack) if *lack == Lack::suspended() => head.asked.suspend && !standing.finished,
        What::Final { ending: Ending::Judged, .. } | What::Wait(_) | What::Progress(_) => {
            !head.asked.suspend && !standing.finished
        }
    };
    match (holds, said(head, change)) {
        (false, _) => Permit::Obsolete,
        (true, true) => Permit::Unchanged,
        (true, false) => Permit::Write,
    }
}

/// Whether the status says so already, times aside.
fn said(head: &Head, change: &Change) -> bool {
    let standing = &head.standing;
    let same_judging = standing.judging == change.judging;
    match &change.what {
        What::Final { .. } => false,
        What::Rejudge => same_judging && !standing.finished,
        What::Wait(lack) => same_judging && standing.conditions.iter().any(|c| waits_for(c, lack)),
        // Once per judging.
        What::Progress(_) => same_judging && standing.phase.is_some_and(|phase| phase != Phase::Pending),
    }
}

fn waits_for(condition: &Condition, lack: &Lack) -> bool {
    condition.type_ == ConditionType::Admitted.name()
        && condition.status == "False"
        && condition.reason == lack.reason
        && condition.message == shortened(&lack.message, MAX_MESSAGE)
}

/// How a change is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A whole object for the status subresource, which takes the status of it.
    Replace(Value),
    /// A JSON merge patch: what it does not name stays.
    Merge(Value),
}

/// The request for a change of the Submission as it was when `permit` allowed it, and as it still must be.
pub fn body(head: &Head, change: &Change, now: Timestamp) -> Body {
    let status = match &change.what {
        What::Final { status, .. } => return replacement(head, change, (**status).clone()),
        What::Rejudge => rejudging(head, now),
        What::Wait(lack) => waiting(head, lack, now),
        What::Progress(progress) => progressing(head, *progress, now),
    };
    let mut patch = json!({
        "metadata": { "uid": head.uid(), "resourceVersion": head.resource_version() },
        "status": { "observedGeneration": head.metadata.generation, "judging": change.judging },
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut patch["status"], status) {
        all.extend(more);
    }
    if change.judging > 1 && head.standing.judging != change.judging {
        // The later judging's time counts from here.
        patch["status"]["queuedTime"] = json!(Time(now));
    }
    Body::Merge(patch)
}

fn replacement(head: &Head, change: &Change, mut status: SubmissionStatus) -> Body {
    let fresh = std::mem::take(&mut status.conditions);
    for new in fresh {
        let old = head.standing.conditions.iter().find(|old| old.type_ == new.type_);
        status.conditions.extend(old.cloned());
        set(&mut status.conditions, new);
    }
    if head.standing.judging == change.judging {
        status.queued_time = head.standing.queued.map(Time).or(status.queued_time);
    }
    status.observed_generation = head.metadata.generation;
    Body::Replace(json!({
        "apiVersion": Submission::api_version(&()),
        "kind": Submission::kind(&()),
        "metadata": {
            "name": head.name(),
            "namespace": head.namespace(),
            "uid": head.uid(),
            "resourceVersion": head.resource_version(),
        },
        "status": status,
    }))
}

fn with(head: &Head, now: Timestamp, news: &[(ConditionType, bool, &str, &str)]) -> Vec<Condition> {
    let mut conditions = head.standing.conditions.clone();
    for (kind, holds, reason, message) in news {
        set(&mut conditions, condition(kind.name(), *holds, reason, message, head.metadata.generation, now));
    }
    conditions
}

fn waiting(head: &Head, Lack { reason, message }: &Lack, now: Timestamp) -> Value {
    let news = [
        (ConditionType::Admitted, false, *reason, message.as_str()),
        (ConditionType::Finished, false, *reason, message.as_str()),
    ];
    json!({
        "conditions": with(head, now, &news),
        "phase": Phase::Pending,
        "message": shortened(message, MAX_MESSAGE),
        "startTime": null,
    })
}

fn progressing(head: &Head, progress: Progress, now: Timestamp) -> Value {
    let Progress { phase, queued, started, total } = progress;
    let news = [
        (ConditionType::Admitted, true, "Valid", "can be judged"),
        (ConditionType::Finished, false, "InProgress", "is being judged"),
    ];
    // A rejudge was queued when it began; its deadline counts from there.
    let queued = head.standing.queued.filter(|_| head.standing.judging == head.wanted()).unwrap_or(queued);
    json!({
        "conditions": with(head, now, &news),
        "phase": phase,
        "message": null,
        "testsTotal": total,
        "queuedTime": Time(queued),
        "startTime": started.map(Time),
    })
}

/// Verdict and figures of the last judging stay until the new ones are there.
fn rejudging(head: &Head, now: Timestamp) -> Value {
    let mut conditions = with(head, now, &[(ConditionType::Finished, false, "Rejudging", "is judged again")]);
    let succeeded =
        condition(ConditionType::Succeeded.name(), false, "Rejudging", "", head.metadata.generation, now);
    set(&mut conditions, Condition { status: "Unknown".to_owned(), ..succeeded });
    json!({
        "conditions": conditions,
        "phase": Phase::Queued,
        "startTime": null,
        "completionTime": null,
    })
}

#[cfg(test)]
mod tests;
