//! All that a watch sees of Submissions, to prove what never happened.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures::StreamExt as _;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;
use tokio::task::JoinHandle;

/// One version of a Submission.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When the watch brought it.
    pub at: Instant,
    /// The object's uid: a name may come again.
    pub uid: String,
    /// namespace/name.
    pub name: String,
    /// metadata.resourceVersion.
    pub version: String,
    /// Whether this is the last one, as it was deleted.
    pub deleted: bool,
    /// Its status as stored, null if there is none.
    pub status: Value,
}

/// A watch of all Submissions of all namespaces. It comes back by itself when the API server was away; what changed twice
/// meanwhile is seen once. Dropping it ends it.
#[derive(Debug)]
pub struct History {
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl History {
    /// Begins to watch. Objects are not parsed, so one that is malformed does no harm.
    pub fn watch(client: Client) -> Self {
        let kind = ApiResource::erase::<crds::Submission>(&());
        let submissions: Api<DynamicObject> = Api::all_with(client, &kind);
        let seen = Arc::default();
        let task = tokio::spawn(collect(submissions, Arc::clone(&seen)));
        Self { seen, task }
    }

    /// All that was seen, in this order.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// What was seen of one Submission, by `namespace/name`.
    pub fn of(&self, name: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.name == name).collect()
    }

    /// When each finished Submission was first seen to be, by uid.
    pub fn finished(&self) -> BTreeMap<String, Instant> {
        let mut finished = BTreeMap::new();
        for seen in lock(&self.seen).iter().filter(|seen| is_finished(&seen.status)) {
            finished.entry(seen.uid.clone()).or_insert(seen.at);
        }
        finished
    }

    /// Every change of a final status but by a rejudge. There must be none.
    pub fn changes_after_the_end(&self) -> Vec<String> {
        changes_after_the_end(&lock(&self.seen))
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn collect(submissions: Api<DynamicObject>, all: Arc<Mutex<Vec<Seen>>>) {
    let mut events = watcher(submissions, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        // Errors pass: the watcher begins again.
        let (object, deleted) = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => (object, false),
            Ok(watcher::Event::Delete(object)) => (object, true),
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
        };
        let seen = seen(&object, deleted);
        let mut all = lock(&all);
        // A list brings again what is known.
        if !all.iter().rev().any(|known| known.uid == seen.uid && known.version == seen.version) {
            all.push(seen);
        }
    }
}

fn seen(object: &DynamicObject, deleted: bool) -> Seen {
    Seen {
        at: Instant::now(),
        uid: object.uid().unwrap_or_default(),
        name: format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()),
        version: object.resource_version().unwrap_or_default(),
        deleted,
        status: object.data["status"].clone(),
    }
}

fn changes_after_the_end(all: &[Seen]) -> Vec<String> {
    let mut last: BTreeMap<&str, &Seen> = BTreeMap::new();
    let mut changes = Vec::new();
    for seen in all {
        if let Some(before) = last.insert(&seen.uid, seen)
            && is_finished(&before.status)
            && before.status != seen.status
            && judging(&seen.status) <= judging(&before.status)
        {
            let Seen { name, version, status, .. } = seen;
            let (was, since) = (&before.status, &before.version);
            changes.push(format!("{name}: final {was} at {since} became {status} at {version}"));
        }
    }
    changes
}

/// Whether a status says that the Submission is finished.
pub fn is_finished(status: &Value) -> bool {
    let conditions = status["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Finished" && c["status"] == "True"))
}

fn judging(status: &Value) -> Option<i64> {
    status["judging"].as_i64()
}

/// Nothing in here panics while it holds the lock, so a poisoned one is as good as any.
fn lock(seen: &Mutex<Vec<Seen>>) -> MutexGuard<'_, Vec<Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(uid: &str, version: &str, finished: &str, judging: i64, verdict: &str) -> Seen {
        let conditions = json!([{ "type": "Finished", "status": finished }]);
        let status = json!({ "conditions": conditions, "judging": judging, "verdict": verdict });
        let (uid, name, version) = (uid.into(), format!("n/{uid}"), version.into());
        Seen { at: Instant::now(), uid, name, version, deleted: false, status }
    }

    #[test]
    fn a_final_status_may_only_change_by_a_rejudge() {
        let fine = [
            version("a", "1", "False", 1, "Accepted"),
            version("a", "2", "True", 1, "Accepted"),
            version("b", "3", "True", 1, "WrongAnswer"),
            version("a", "4", "True", 1, "Accepted"),
            version("a", "5", "False", 2, "Accepted"),
            version("a", "6", "True", 2, "WrongAnswer"),
        ];
        assert_eq!(changes_after_the_end(&fine), Vec::<String>::new());
        for late in [version("a", "7", "False", 2, "WrongAnswer"), version("a", "7", "True", 1, "Accepted")] {
            let all = [fine.as_slice(), &[late]].concat();
            let changes = changes_after_the_end(&all);
            assert_eq!(changes.len(), 1, "{changes:?}");
            assert!(changes[0].starts_with("n/a: final") && changes[0].ends_with("at 7"), "{changes:?}");
        }
    }
}
