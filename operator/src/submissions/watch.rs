//! The watch: whole objects come in, heads go into the store; on the way specs of new ones are kept for planning, and those
//! that are gone are noticed.

use std::sync::Arc;
use std::time::Duration;

use crds::Submission;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use kube::Api;
use kube::runtime::reflector::{Store, store::Writer};
use kube::runtime::utils::{Backoff, WatchStreamExt as _};
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::oneshot;

use crate::context::Operator;
use crate::object::{Head, Raw};
use crate::registry::Place;

/// Pauses between tries to watch: short ones, for a verdict may wait behind them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pauses(u32);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        const FIRST: Duration = Duration::from_millis(250);
        const MAX_DOUBLINGS: u32 = 4;
        let pause = FIRST * (1 << self.0);
        self.0 = (self.0 + 1).min(MAX_DOUBLINGS);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// All heads of a watch, as they change. Errors are told here and go no further: the watch goes on by itself.
pub(super) fn heads(
    operator: Arc<Operator>,
    api: Api<Raw<Submission>>,
    config: watcher::Config,
    namespace: Option<String>,
    listed: oneshot::Sender<()>,
    writer: Writer<Head>,
) -> impl Stream<Item = Result<Head, watcher::Error>> + Send + 'static {
    let mut observer = Observer { operator, namespace, round: 0, listed: Some(listed) };
    let store = writer.as_reader();
    let events = watcher(api, config)
        .backoff(Pauses::default())
        .filter_map(move |event| std::future::ready(observer.observe(event)))
        .map(Ok)
        .reflect(writer);
    shown(events, store)
}

/// Each head once `store` shows it. A list changes the store when it is complete, so what it brings is passed on then: the
/// controller takes objects from the store, and lets go for good what is not there.
fn shown<E>(
    events: impl Stream<Item = Result<Event<Head>, E>>,
    store: Store<Head>,
) -> impl Stream<Item = Result<Head, E>> {
    let heads = move |event| {
        let heads = match event {
            Event::Apply(head) => vec![Arc::new(head)],
            Event::InitDone => store.state(),
            Event::Init | Event::InitApply(_) | Event::Delete(_) => Vec::new(),
        };
        stream::iter(heads).map(|head| Ok(Arc::unwrap_or_clone(head)))
    };
    events.map_ok(heads).try_flatten()
}

struct Observer {
    operator: Arc<Operator>,
    namespace: Option<String>,
    round: u64,
    listed: Option<oneshot::Sender<()>>,
}

impl Observer {
    fn observe(&mut self, event: watcher::Result<Event<Raw<Submission>>>) -> Option<Event<Head>> {
        match event {
            Ok(event) => Some(self.pass(event)),
            Err(error) => {
                self.operator.metrics.watch_restarted("submissions");
                tracing::warn!(%error, "The watch of Submissions broke off; watching again.");
                None
            }
        }
    }

    fn pass(&mut self, event: Event<Raw<Submission>>) -> Event<Head> {
        let operator = &self.operator;
        match event {
            Event::Init => {
                self.round = operator.registry.listing();
                Event::Init
            }
            Event::InitApply(raw) => Event::InitApply(see(operator, raw, false)),
            Event::InitDone => {
                for (uid, pool) in operator.registry.listed(self.round, self.namespace.as_deref()) {
                    operator.fresh.take(&uid);
                    operator.forsake(&uid, pool);
                }
                if let Some(listed) = self.listed.take() {
                    // The one who waits may have been told to stop.
                    listed.send(()).unwrap_or_default();
                }
                Event::InitDone
            }
            Event::Apply(raw) => Event::Apply(see(operator, raw, true)),
            Event::Delete(raw) => {
                let head = Head::of(&raw);
                operator.fresh.take(head.uid());
                if let Some(tracked) = operator.registry.drop(head.uid()) {
                    operator.forsake(head.uid(), tracked.pool());
                }
                Event::Delete(head)
            }
        }
    }
}

/// Notes what came by. `change` if it was no list.
fn see(operator: &Operator, raw: Raw<Submission>, change: bool) -> Head {
    let head = Head::of(&raw);
    if head.done() {
        operator.registry.drop(head.uid());
        operator.fresh.take(head.uid());
        return head;
    }
    let (uid, namespace, name) = (head.uid().to_owned(), head.namespace().to_owned(), head.name().to_owned());
    let place = Place { uid, namespace, name };
    let created = change && raw.status.is_null();
    if operator.registry.seen(&place, created) && created {
        operator.fresh.keep(head.uid(), raw.spec);
    }
    head
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;

    use super::*;

    #[test]
    fn pauses_are_short_and_begin_again_after_success() {
        let mut pauses = Pauses::default();
        let some: Vec<_> = pauses.by_ref().take(6).map(|pause| pause.as_millis()).collect();
        assert_eq!(some, [250, 500, 1000, 2000, 4000, 4000]);
        pauses.reset();
        assert_eq!(pauses.next(), Some(Duration::from_millis(250)));
    }

    #[tokio::test]
    async fn what_a_list_brings_is_passed_on_when_the_store_shows_it() {
        let head = |name: &str| {
            let mut head = Head::default();
            head.metadata.name = Some(name.to_owned());
            head
        };
        let (store, writer) = kube::runtime::reflector::store();
        let list = [Event::Init, Event::InitApply(head("a")), Event::InitApply(head("b")), Event::InitDone];
        let changes =
            [Event::Apply(head("c")), Event::Delete(head("a")), Event::Init, Event::InitApply(head("d"))];
        let events = list.into_iter().chain(changes).map(Ok::<_, watcher::Error>);
        let passed = shown(stream::iter(events).reflect(writer), store.clone());
        let passed = passed.map(|head| {
            let head = head.unwrap();
            assert!(store.get(&ObjectRef::from_obj(&head)).is_some(), "{} is not in the store", head.name());
            head.name().to_owned()
        });
        let mut passed: Vec<String> = passed.collect().await;
        passed.sort();
        assert_eq!(passed, ["a", "b", "c"]);
    }
}
