//! The one place where a Submission's status is written: bounded, one write per Submission at a time, each on the
//! resourceVersion that it was decided on.

pub mod change;
mod perform;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use queue::broker::Pool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use change::{Body, Change, Ending, Permit, Progress, What, body, permit};

use crate::context::{Operator, Stop};
use crate::registry::Place;

/// A change to be written.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where.
    pub place: Place,
    /// On which queue its jobs are, if that is known.
    pub pool: Option<Pool>,
    /// What.
    pub change: Change,
}

/// The requests that wait, at most one per Submission, and those under way.
#[derive(Debug, Default)]
struct Line {
    waiting: HashMap<String, Request>,
    order: VecDeque<String>,
    busy: HashSet<String>,
}

impl Line {
    /// Takes a request in. Of two for one Submission the later one counts, but a final one never gives way to one that is not.
    fn push(&mut self, request: Request) {
        let uid = &request.place.uid;
        match self.waiting.get_mut(uid) {
            Some(old)
                if is_final(old) && !is_final(&request) && old.change.judging >= request.change.judging => {}
            Some(old) => *old = request,
            None => {
                self.order.push_back(uid.clone());
                self.waiting.insert(uid.clone(), request);
            }
        }
    }

    /// The next request whose Submission is not being written.
    fn next(&mut self) -> Option<Request> {
        let place = self.order.iter().position(|uid| !self.busy.contains(uid))?;
        let uid = self.order.remove(place)?;
        let request = self.waiting.remove(&uid)?;
        self.busy.insert(uid);
        Some(request)
    }

    fn done(&mut self, uid: &str) {
        self.busy.remove(uid);
    }
}

fn is_final(request: &Request) -> bool {
    matches!(request.change.what, What::Final { .. })
}

/// Writes until told to stop, and then what is left, within the time for that.
pub async fn run(operator: Arc<Operator>, requests: mpsc::Receiver<Request>, stop: Stop) {
    let mut writer = Writer { line: Line::default(), requests, writes: JoinSet::new(), operator };
    tokio::select! {
        () = stop.requested() => {}
        () = writer.work() => {}
    }
    writer.requests.close();
    let drain = writer.operator.settings.drain;
    if tokio::time::timeout(drain, writer.work()).await.is_err() {
        let left = writer.line.waiting.len() + writer.writes.len();
        tracing::warn!(left, "Status writes were left undone; their reports stay in Redis.");
    }
}

struct Writer {
    operator: Arc<Operator>,
    requests: mpsc::Receiver<Request>,
    line: Line,
    writes: JoinSet<String>,
}

impl Writer {
    /// Returns when there are no requests any more, and never will be. Can be dropped and called again.
    async fn work(&mut self) {
        let settings = &self.operator.settings;
        loop {
            while self.writes.len() < settings.writers {
                let Some(request) = self.line.next() else { break };
                let operator = Arc::clone(&self.operator);
                self.writes.spawn(async move {
                    let uid = request.place.uid.clone();
                    perform::perform(&operator, request).await;
                    uid
                });
            }
            self.operator.metrics.writes_waiting(self.line.waiting.len());
            let room = self.line.waiting.len() < crate::context::QUEUE;
            tokio::select! {
                biased;
                Some(done) = self.writes.join_next() => match done {
                    Ok(uid) => self.line.done(&uid),
                    Err(error) => tracing::error!(%error, "A status write broke off."),
                },
                request = self.requests.recv(), if room => match request {
                    Some(request) => self.line.push(request),
                    None if self.writes.is_empty() && self.line.waiting.is_empty() => return,
                    None => {
                        // Nothing new comes: finish what is there.
                        if let Some(Ok(uid)) = self.writes.join_next().await {
                            self.line.done(&uid);
                        }
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Lack;
    use queue::verdict::invalid;

    fn request(uid: &str, judging: u32, what: What) -> Request {
        let place = Place { uid: uid.into(), namespace: "n".into(), name: uid.into() };
        Request { change: Change { uid: uid.into(), judging, what }, place, pool: None }
    }

    fn end() -> What {
        let status = Box::new(invalid("", None, jiff::Timestamp::UNIX_EPOCH));
        What::Final { ending: Ending::Judged, status }
    }

    #[test]
    fn one_submission_is_written_once_at_a_time() {
        let mut line = Line::default();
        line.push(request("a", 1, What::Rejudge));
        line.push(request("b", 1, What::Rejudge));
        assert_eq!(line.next().unwrap().place.uid, "a");
        line.push(request("a", 1, end()));
        assert_eq!(line.next().unwrap().place.uid, "b");
        assert!(line.next().is_none(), "a is being written");
        line.done("a");
        assert!(is_final(&line.next().unwrap()));
    }

    #[test]
    fn a_final_one_gives_way_only_to_a_final_one_or_a_later_judging() {
        let mut line = Line::default();
        line.push(request("a", 1, What::Wait(Lack::suspended())));
        line.push(request("a", 1, end()));
        line.push(request("a", 1, What::Wait(Lack::suspended())));
        assert!(is_final(&line.waiting["a"]));
        line.push(request("a", 2, What::Rejudge));
        assert_eq!(line.next().unwrap().change.judging, 2);
        assert!(line.next().is_none() && line.waiting.is_empty() && line.order.is_empty());
    }
}
