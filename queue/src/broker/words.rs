//! Our types in Redis' words, and back.

use std::time::Duration;

use crds::{Phase, Priority};
use jiff::Timestamp;

use super::{Collected, Delivery, Fence, JobRecord, JobState};
use crate::contract::{JobId, Span, decode};

/// The priorities, most urgent first, as the functions know them.
pub(super) const PRIORITIES: [(Priority, &str); 3] =
    [(Priority::Contest, "contest"), (Priority::Normal, "normal"), (Priority::Rejudge, "rejudge")];

const PHASES: [(Phase, &str); 5] = [
    (Phase::Pending, "pending"),
    (Phase::Queued, "queued"),
    (Phase::Compiling, "compiling"),
    (Phase::Running, "running"),
    (Phase::Finished, "finished"),
];

pub(super) const fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Contest => PRIORITIES[0].1,
        Priority::Normal => PRIORITIES[1].1,
        Priority::Rejudge => PRIORITIES[2].1,
    }
}

pub(super) fn phase(phase: Phase) -> &'static str {
    PHASES.iter().find(|(known, _)| *known == phase).map_or("running", |(_, word)| word)
}

/// Where a batch stands, as four numbers.
pub(super) fn span(span: Span) -> String {
    let Span { first, count, total, batches } = span;
    format!("{first} {count} {total} {batches}")
}

fn read_span(text: &str) -> Option<Span> {
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(Span { first: next()?, count: next()?, total: next()?, batches: next()? })
}

/// Microseconds, as the functions count them; at least 1 and no more than a double holds exactly.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1, 1 << 50)
}

/// What `lookup` says of one job.
pub(super) type Fields = Vec<Option<Vec<u8>>>;

/// A job in the fields that `lookup` gives: id, state, span, phase, deliveries, queued, first taken, missing, reason, report.
/// Nothing for what another hand has written.
pub(super) fn collected(mut fields: Fields) -> Option<Collected> {
    let report = fields.get_mut(9).and_then(Option::take);
    let text = |n: usize| std::str::from_utf8(fields.get(n)?.as_deref()?).ok();
    let time = |n: usize| Timestamp::from_microsecond(text(n)?.parse().ok()?).ok();
    let state = match text(1)? {
        "waiting" => JobState::Waiting,
        "delayed" => JobState::Delayed,
        "leased" => JobState::Leased,
        "cancelling" => JobState::Cancelling,
        "blocked" => JobState::Blocked(text(7)?.split(',').filter_map(|hash| hash.parse().ok()).collect()),
        "reported" => JobState::Reported,
        "lost" => {
            JobState::Lost(String::from_utf8_lossy(fields.get(8)?.as_deref().unwrap_or_default()).into())
        }
        _ => return None,
    };
    let record = JobRecord {
        id: text(0)?.parse::<JobId>().ok()?,
        span: read_span(text(2)?)?,
        state,
        phase: text(3)
            .and_then(|word| PHASES.iter().find(|(_, known)| *known == word))
            .map(|(phase, _)| *phase),
        deliveries: text(4)?.parse().ok()?,
        queued: time(5)?,
        first_taken: time(6),
    };
    Some(Collected { record, report: report.map(|bytes| decode(&bytes)) })
}

/// What `take` says: body, fence, deliveries, time waited, id.
pub(super) type Taken = (Vec<u8>, u64, u32, u64, String);

/// The delivery; if the body can't be read, the job's id and why.
pub(super) fn delivery(taken: Taken) -> Result<Delivery, (String, String)> {
    let (body, fence, deliveries, waited, id) = taken;
    match decode::<crate::Job>(&body) {
        Ok(job) if job.id.to_string() == id => {
            Ok(Delivery { job, fence: Fence(fence), deliveries, waited: Duration::from_micros(waited) })
        }
        Ok(job) => Err((id, format!("its content is that of job {}", job.id))),
        Err(error) => Err((id, error.to_string())),
    }
}
