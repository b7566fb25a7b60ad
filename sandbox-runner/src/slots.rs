//! Admission: how many boxes run at one time, and how much memory their limits come to, first come first served.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A box asks for more memory than all boxes together may have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a memory limit of {asked} bytes does not fit into the {total} bytes that boxes may use here")]
pub struct TooLarge {
    /// The limit asked for.
    pub asked: u64,
    /// What there is.
    pub total: u64,
}

/// Places for boxes. The sum of the memory limits of those inside never exceeds the total.
#[derive(Debug)]
pub struct Slots {
    count: usize,
    memory: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    free_memory: u64,
    /// The next number to hand out to whoever comes, and the one that is served: nobody overtakes.
    next: u64,
    served: u64,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub struct Slot<'a> {
    slots: &'a Slots,
    memory: u64,
}

impl Slots {
    /// `count` boxes at one time, at least one, with `memory` bytes among them.
    pub fn new(count: usize, memory: u64) -> Self {
        let count = count.max(1);
        let state = State { free: count, free_memory: memory, next: 0, served: 0 };
        Self { count, memory, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// How many boxes run at one time at the most.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Waits for a place with `memory` bytes. Every box ends at its wall limit, so the wait is bounded by those before.
    pub fn take(&self, memory: u64) -> Result<Slot<'_>, TooLarge> {
        if memory > self.memory {
            return Err(TooLarge { asked: memory, total: self.memory });
        }
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        while state.served != number || state.free == 0 || state.free_memory < memory {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.served += 1;
        state.free -= 1;
        state.free_memory -= memory;
        drop(state);
        self.changed.notify_all();
        Ok(Slot { slots: self, memory })
    }

    /// Nothing in here panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.free += 1;
        state.free_memory += self.memory;
        drop(state);
        self.slots.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    #[test]
    fn neither_places_nor_memory_are_ever_exceeded() {
        let slots = Slots::new(3, 100);
        let (inside, memory, most) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for n in 0..40u64 {
                let (slots, inside, memory, most) = (&slots, &inside, &memory, &most);
                scope.spawn(move || {
                    let need = 1 + n * 7 % 60;
                    let _slot = slots.take(need).unwrap();
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= 3 && memory.fetch_add(need, Ordering::SeqCst) + need <= 100);
                    most.fetch_max(now, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    memory.fetch_sub(need, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() > 1, "nothing ran side by side");
    }

    #[test]
    fn what_can_never_fit_is_refused_at_once() {
        assert_eq!(Slots::new(1, 10).take(11).unwrap_err(), TooLarge { asked: 11, total: 10 });
    }

    #[test]
    fn a_large_one_is_not_starved_by_small_ones() {
        let slots = Slots::new(2, 10);
        let held = slots.take(1).unwrap();
        std::thread::scope(|scope| {
            let large = scope.spawn(|| drop(slots.take(10).unwrap()));
            while slots.lock().next < 2 {
                std::thread::yield_now();
            }
            let small = scope.spawn(|| drop(slots.take(1).unwrap()));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!small.is_finished(), "the small one overtook");
            drop(held);
            large.join().unwrap();
            small.join().unwrap();
        });
    }
}
