//! Where artifacts are looked for before anything is compiled: this machine's disk, then a store that many runners share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::contract::CacheLayer;
use sandbox::{Artifact, Cancel};

use crate::cache::{DiskCache, Key, pack, unpack};

/// The first and the longest pause between two looks for what another runner compiles.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// A store shared by runners. Its calls block, for a bounded time.
pub trait Store: Send + Sync {
    /// The packed artifact of `key`.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Away>;

    /// Keeps a packed artifact that took `cost` to make. Failing to costs a compilation elsewhere.
    fn keep(&self, key: &str, packed: &[u8], cost: Duration);

    /// Asks for the right to compile `key`; nothing if another runner has it.
    fn lock(&self, key: &str) -> Result<Option<Right>, Away>;
}

/// The right to compile an artifact, over all runners. It lasts while its holder lives, and ends when dropped.
pub type Right = Box<dyn Send>;

/// The store can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away;

/// All layers.
#[derive(Default)]
pub struct Layers {
    disk: Option<DiskCache>,
    shared: Option<Arc<dyn Store>>,
}

/// What came of looking.
pub enum Found {
    /// The artifact, and where it was.
    Artifact(Artifact, CacheLayer),
    /// Nothing: compile it. The right to do so alone, unless the store is away or its holder takes too long.
    Nothing(Option<Right>),
    /// Somebody asked for the end meanwhile.
    Cancelled,
}

impl Layers {
    /// Layers of whatever there is.
    pub fn new(disk: Option<DiskCache>, shared: Option<Arc<dyn Store>>) -> Self {
        Self { disk, shared }
    }

    /// Looks for the artifact of `key`. Waits for another runner that compiles it, at most `patience`.
    pub fn find(&self, key: &Key, patience: Duration, cancel: &Cancel) -> Found {
        if let Some(artifact) = self.disk.as_ref().and_then(|disk| disk.get(key)) {
            return Found::Artifact(artifact, CacheLayer::Disk);
        }
        let Some(store) = &self.shared else { return Found::Nothing(None) };
        let (start, name) = (Instant::now(), key.name());
        let (mut pause, longest) = PAUSES;
        loop {
            if let Some(found) = self.ask(&**store, key, &name) {
                return found;
            }
            if start.elapsed() >= patience {
                tracing::warn!(
                    artifact = name,
                    "Another runner takes too long to compile a program; compiling it here."
                );
                return Found::Nothing(None);
            }
            if cancel.wait(pause) {
                return Found::Cancelled;
            }
            pause = (pause * 3 / 2).min(longest);
        }
    }

    /// Nothing while another runner compiles.
    fn ask(&self, store: &dyn Store, key: &Key, name: &str) -> Option<Found> {
        let fetch = || store.get(name).map(|packed| packed.and_then(|packed| self.receive(key, &packed)));
        let found = |artifact| Some(Found::Artifact(artifact, CacheLayer::Redis));
        match fetch() {
            Err(Away) => return Some(Found::Nothing(None)),
            Ok(Some(artifact)) => return found(artifact),
            Ok(None) => {}
        }
        match store.lock(name) {
            Err(Away) => Some(Found::Nothing(None)),
            Ok(None) => None,
            // Whoever had the right may have finished between the two questions.
            Ok(Some(right)) => match fetch() {
                Ok(Some(artifact)) => found(artifact),
                Ok(None) | Err(Away) => Some(Found::Nothing(Some(right))),
            },
        }
    }

    /// Takes what the store had to this machine.
    fn receive(&self, key: &Key, packed: &[u8]) -> Option<Artifact> {
        let artifact = unpack(packed)?;
        self.keep_on_disk(key, packed);
        Some(artifact)
    }

    /// Keeps what took `cost` to make, in all layers. What can't be kept costs time later, not verdicts.
    pub fn keep(&self, key: &Key, artifact: &Artifact, cost: Duration) {
        if self.disk.is_none() && self.shared.is_none() {
            return;
        }
        match pack(artifact) {
            Ok(packed) => {
                if let Some(store) = &self.shared {
                    store.keep(&key.name(), &packed, cost);
                }
                self.keep_on_disk(key, &packed);
            }
            Err(error) => tracing::warn!(%error, "An artifact could not be packed."),
        }
    }

    fn keep_on_disk(&self, key: &Key, packed: &[u8]) {
        if let Some(Err(error)) = self.disk.as_ref().map(|disk| disk.put(key, packed)) {
            tracing::warn!(%error, "An artifact could not be cached.");
        }
    }
}
