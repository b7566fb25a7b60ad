//! Labels of namespaces, as a watch of their metadata shows them: what the selectors of `WorkerPool`s are about.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::utils::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::oneshot;

use crate::context::{Operator, Stop};

/// The label that every namespace has since Kubernetes 1.21, and here before.
const NAME: &str = "kubernetes.io/metadata.name";

/// A namespace's labels.
pub type Labels = Arc<BTreeMap<String, String>>;

/// All namespaces with their labels.
#[derive(Debug, Default)]
pub struct Namespaces(RwLock<BTreeMap<String, Labels>>);

impl Namespaces {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Labels>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Labels>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespace's labels, if it is known.
    pub fn labels(&self, namespace: &str) -> Option<Labels> {
        self.read().get(namespace).cloned()
    }

    /// Notes a namespace that the watch has not shown yet; what the watch has shown stays. Gives its labels.
    pub fn learn(&self, namespace: &str, metadata: Option<ObjectMeta>) -> Labels {
        let labels = labels(namespace, metadata.and_then(|metadata| metadata.labels));
        Arc::clone(self.write().entry(namespace.to_owned()).or_insert(labels))
    }

    /// Says whether that is news.
    fn put(&self, metadata: ObjectMeta) -> bool {
        let Some(name) = metadata.name else { return false };
        let labels = labels(&name, metadata.labels);
        let mut all = self.write();
        let same = all.get(&name).is_some_and(|old| *old == labels);
        all.insert(name, labels);
        !same
    }

    fn replace(&self, new: BTreeMap<String, Labels>) -> bool {
        let mut all = self.write();
        let same = *all == new;
        *all = new;
        !same
    }
}

fn labels(name: &str, labels: Option<BTreeMap<String, String>>) -> Labels {
    let mut labels = labels.unwrap_or_default();
    labels.insert(NAME.to_owned(), name.to_owned());
    Arc::new(labels)
}

/// Follows the namespaces until told to stop. `ready` is told when all are known.
pub async fn watch(
    operator: Arc<Operator>,
    api: Api<PartialObjectMeta<Namespace>>,
    config: watcher::Config,
    ready: oneshot::Sender<()>,
    stop: Stop,
) {
    let following = follow(&operator, api, config, ready);
    tokio::select! {
        () = stop.requested() => {}
        () = following => {}
    }
}

async fn follow(
    operator: &Operator,
    api: Api<PartialObjectMeta<Namespace>>,
    config: watcher::Config,
    ready: oneshot::Sender<()>,
) {
    let events = watcher(api, config).backoff(crate::submissions::Pauses::default());
    let mut events = std::pin::pin!(events);
    let (mut list, mut ready) = (BTreeMap::new(), Some(ready));
    while let Some(event) = events.next().await {
        let news = match event {
            Ok(event) => take(&operator.namespaces, &mut list, event, &mut ready),
            Err(error) => {
                operator.metrics.watch_restarted("namespaces");
                tracing::warn!(%error, "The watch of namespaces broke off; watching again.");
                false
            }
        };
        if news {
            operator.pools.touch();
        }
    }
}

/// Notes a change; says whether routes may depend on it.
fn take(
    namespaces: &Namespaces,
    list: &mut BTreeMap<String, Labels>,
    event: Event<PartialObjectMeta<Namespace>>,
    ready: &mut Option<oneshot::Sender<()>>,
) -> bool {
    match event {
        Event::Init => {
            list.clear();
            false
        }
        Event::InitApply(namespace) => {
            let metadata = namespace.metadata;
            if let Some(name) = metadata.name {
                let labels = labels(&name, metadata.labels);
                list.insert(name, labels);
            }
            false
        }
        Event::InitDone => {
            let news = namespaces.replace(std::mem::take(list));
            if let Some(ready) = ready.take() {
                // The one who waits may have been told to stop.
                ready.send(()).unwrap_or_default();
            }
            news
        }
        Event::Apply(namespace) => namespaces.put(namespace.metadata),
        // Its Submissions go with it.
        Event::Delete(namespace) => {
            namespaces.write().remove(namespace.metadata.name.as_deref().unwrap_or_default());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str, team: &str) -> PartialObjectMeta<Namespace> {
        let labels = Some([("team".to_owned(), team.to_owned())].into());
        let metadata = ObjectMeta { name: Some(name.to_owned()), labels, ..ObjectMeta::default() };
        PartialObjectMeta { metadata, ..PartialObjectMeta::default() }
    }

    fn told(namespaces: &Namespaces, name: &str) -> Option<(String, String)> {
        let labels = namespaces.labels(name)?;
        Some((labels.get("team").cloned().unwrap_or_default(), labels[NAME].clone()))
    }

    #[test]
    fn the_watch_shows_labels_and_says_what_is_news() {
        let (namespaces, mut list) = (Namespaces::default(), BTreeMap::new());
        let (sender, mut receiver) = oneshot::channel();
        let mut ready = Some(sender);
        let mut take = |event| take(&namespaces, &mut list, event, &mut ready);
        assert!(!take(Event::Init) && !take(Event::InitApply(namespace("a", "1"))));
        assert_eq!(told(&namespaces, "a"), None, "not before the list is complete");
        assert!(take(Event::InitDone) && receiver.try_recv().is_ok());
        assert_eq!(told(&namespaces, "a"), Some(("1".into(), "a".into())));
        assert!(!take(Event::Apply(namespace("a", "1"))), "nothing new");
        assert!(take(Event::Apply(namespace("a", "2"))));
        assert_eq!(told(&namespaces, "a"), Some(("2".into(), "a".into())));
        take(Event::Init);
        take(Event::InitApply(namespace("b", "1")));
        assert!(take(Event::InitDone));
        assert_eq!(told(&namespaces, "a"), None, "it went while nobody watched");
        take(Event::Delete(namespace("b", "1")));
        assert_eq!(told(&namespaces, "b"), None);
    }

    #[test]
    fn what_was_read_does_not_replace_what_the_watch_has_shown() {
        let namespaces = Namespaces::default();
        assert_eq!(*namespaces.learn("a", None), [(NAME.to_owned(), "a".to_owned())].into());
        namespaces.put(namespace("b", "2").metadata);
        namespaces.learn("b", Some(namespace("b", "1").metadata));
        assert_eq!(told(&namespaces, "b"), Some(("2".into(), "b".into())));
    }
}
