//! Whether a program can do its work, part by part, and why not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The health of a program. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    parts: BTreeMap<&'static str, Result<(), String>>,
    stopping: bool,
}

/// One part of a program that has to work before the program is ready.
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: &'static str,
}

impl Health {
    /// Adds a part, which is not ready until it says so.
    pub fn part(&self, name: &'static str) -> Part {
        self.lock().parts.insert(name, Err("is starting".to_owned()));
        Part { health: self.clone(), name }
    }

    /// The program was told to stop: from now on it is not ready.
    pub fn stop(&self) {
        self.lock().stopping = true;
    }

    /// Nothing if the program is ready, else each reason on a line of its own.
    pub fn check(&self) -> Result<(), String> {
        let state = self.lock();
        let stopping = state.stopping.then(|| "is stopping".to_owned());
        let failing = state.parts.iter().filter_map(|(name, part)| {
            let reason = part.as_ref().err()?;
            Some(format!("{name}: {reason}"))
        });
        let reasons: Vec<String> = stopping.into_iter().chain(failing).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }

    /// Nothing in here panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// Says how the part is. A change is logged, once.
    pub fn set<E: fmt::Display>(&self, state: Result<(), E>) {
        let state = state.map_err(|reason| reason.to_string());
        let mut all = self.health.lock();
        let Some(known) = all.parts.get_mut(self.name).filter(|known| **known != state) else {
            return;
        };
        match &state {
            Ok(()) => tracing::info!(part = self.name, "Ready."),
            Err(reason) => tracing::warn!(part = self.name, %reason, "Not ready."),
        }
        *known = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_every_part_and_not_stopping() {
        let health = Health::default();
        assert_eq!(health.check(), Ok(()));
        let (redis, api) = (health.part("redis"), health.part("api"));
        assert_eq!(health.check(), Err("api: is starting\nredis: is starting".into()));
        api.set(Ok::<(), String>(()));
        redis.set(Err("refused"));
        assert_eq!(health.check(), Err("redis: refused".into()));
        redis.set(Ok::<(), String>(()));
        assert_eq!(health.check(), Ok(()));
        health.stop();
        assert_eq!(health.check(), Err("is stopping".into()));
    }
}
