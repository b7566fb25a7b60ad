//! Whole objects that came by on the watch and are about to be planned, so that planning needs no read. Bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Specs by UID. When it is full, newcomers are left out and read again later: what is in is about to be used, and in a burst
/// that is longer than the cache, throwing out the oldest would throw out each one just before its turn.
#[derive(Debug)]
pub struct Fresh {
    inner: Mutex<Inner>,
    most_entries: usize,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    specs: HashMap<String, (Value, usize)>,
    bytes: usize,
}

impl Fresh {
    /// Holds at most so many entries, of so many bytes of text together.
    pub fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self { inner: Mutex::default(), most_entries, most_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `spec` if there is room.
    pub fn keep(&self, uid: &str, spec: Value) {
        let bytes = weight(&spec);
        let mut inner = self.lock();
        inner.take(uid);
        if inner.specs.len() < self.most_entries && inner.bytes.saturating_add(bytes) <= self.most_bytes {
            inner.bytes += bytes;
            inner.specs.insert(uid.to_owned(), (spec, bytes));
        }
    }

    /// Takes it out.
    pub fn take(&self, uid: &str) -> Option<Value> {
        self.lock().take(uid)
    }

    /// Entries and bytes that are held.
    pub fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.specs.len(), inner.bytes)
    }
}

impl Inner {
    fn take(&mut self, uid: &str) -> Option<Value> {
        let (spec, bytes) = self.specs.remove(uid)?;
        self.bytes -= bytes;
        Some(spec)
    }
}

/// About as many bytes as it takes in memory.
fn weight(value: &Value) -> usize {
    const NODE: usize = 32;
    NODE + match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + NODE + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn neither_bound_is_ever_passed(steps in prop::collection::vec((0..40_u8, 0..300_usize, any::<bool>()), 0..200)) {
            let fresh = Fresh::new(10, 1000);
            for (uid, length, take) in steps {
                let uid = uid.to_string();
                if take {
                    fresh.take(&uid);
                    prop_assert!(fresh.take(&uid).is_none());
                } else {
                    fresh.keep(&uid, Value::String("x".repeat(length)));
                }
                let (entries, bytes) = fresh.size();
                prop_assert!(entries <= 10 && bytes <= 1000);
                let inner = fresh.lock();
                prop_assert_eq!(inner.specs.values().map(|(value, _)| weight(value)).sum::<usize>(), bytes);
            }
        }
    }

    #[test]
    fn what_is_in_stays_and_the_newest_of_one_object_wins() {
        let fresh = Fresh::new(1, 1000);
        fresh.keep("a", Value::from("old"));
        fresh.keep("a", Value::from("new"));
        fresh.keep("b", Value::from("late"));
        assert_eq!((fresh.take("a"), fresh.take("b")), (Some(Value::from("new")), None));
        assert_eq!(fresh.size(), (0, 0));
    }
}
