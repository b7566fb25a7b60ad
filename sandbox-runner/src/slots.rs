//! Admission: how many boxes run at one time, and how much memory their limits come to, first come first served.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandbox::{Cancel, Limits};

/// How soon a waiter notices that it was cancelled.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Why a box was not let in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAdmitted {
    /// It asks for more memory than all boxes together may have.
    #[error(
        "limits of {asked} bytes of memory and output do not fit into the {total} bytes that boxes may use here"
    )]
    TooLarge {
        /// What it asks for.
        asked: u64,
        /// What there is.
        total: u64,
    },
    /// Somebody asked for the end through [`Cancel`] while it waited.
    #[error("cancelled")]
    Cancelled,
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
    /// The next number to hand out to whoever comes, and those that wait: nobody overtakes.
    next: u64,
    waiting: VecDeque<u64>,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub struct Slot<'a> {
    slots: &'a Slots,
    memory: u64,
}

/// Bytes that a box within `limits` may cost: its memory, and what is kept of its two outputs.
pub fn footprint(limits: &Limits) -> u64 {
    limits.memory.saturating_add(limits.output.saturating_mul(2))
}

impl Slots {
    /// `count` boxes at one time, at least one, with `memory` bytes among them.
    pub fn new(count: usize, memory: u64) -> Self {
        let count = count.max(1);
        let state = State { free: count, free_memory: memory, next: 0, waiting: VecDeque::new() };
        Self { count, memory, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// How many boxes run at one time at the most.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many more could start now, and the bytes left for them.
    pub fn free(&self) -> (usize, u64) {
        let state = self.lock();
        (state.free, state.free_memory)
    }

    /// Waits for a place with `memory` bytes. Every box ends at its wall limit, so the wait is bounded by those before;
    /// `cancel` ends it at once, and whoever is behind moves up.
    pub fn take(&self, memory: u64, cancel: &Cancel) -> Result<Slot<'_>, NotAdmitted> {
        if memory > self.memory {
            return Err(NotAdmitted::TooLarge { asked: memory, total: self.memory });
        }
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.waiting.push_back(number);
        while !state.admits(number, memory) {
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            if cancel.is_cancelled() {
                state.waiting.retain(|waiting| *waiting != number);
                drop(state);
                self.changed.notify_all();
                return Err(NotAdmitted::Cancelled);
            }
        }
        state.waiting.pop_front();
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

impl State {
    fn admits(&self, number: u64, memory: u64) -> bool {
        self.waiting.front() == Some(&number) && self.free > 0 && self.free_memory >= memory
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
        let (slots, cancel) = (Slots::new(3, 100), Cancel::new().unwrap());
        let (inside, memory, most) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for n in 0..40u64 {
                let (slots, cancel, inside, memory, most) = (&slots, &cancel, &inside, &memory, &most);
                scope.spawn(move || {
                    let need = 1 + n * 7 % 60;
                    let _slot = slots.take(need, cancel).unwrap();
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= 3 && memory.fetch_add(need, Ordering::SeqCst) + need <= 100);
                    most.fetch_max(now, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2));
                    memory.fetch_sub(need, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() > 1, "nothing ran side by side");
    }

    #[test]
    fn what_can_never_fit_is_refused_at_once() {
        let refused = Slots::new(1, 10).take(11, &Cancel::new().unwrap()).unwrap_err();
        assert_eq!(refused, NotAdmitted::TooLarge { asked: 11, total: 10 });
    }

    #[test]
    fn a_large_one_is_not_starved_by_small_ones() {
        let (slots, cancel) = (Slots::new(2, 10), Cancel::new().unwrap());
        let held = slots.take(1, &cancel).unwrap();
        std::thread::scope(|scope| {
            let large = scope.spawn(|| drop(slots.take(10, &cancel).unwrap()));
            while slots.lock().next < 2 {
                std::thread::yield_now();
            }
            let small = scope.spawn(|| drop(slots.take(1, &cancel).unwrap()));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!small.is_finished(), "the small one overtook");
            drop(held);
            large.join().unwrap();
            small.join().unwrap();
        });
        assert_eq!(slots.free(), (2, 10));
    }

    #[test]
    fn a_cancelled_waiter_leaves_and_the_next_moves_up() {
        let (slots, cancel, other) = (Slots::new(2, 10), Cancel::new().unwrap(), Cancel::new().unwrap());
        let held = slots.take(5, &other).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| slots.take(10, &cancel).map(drop));
            while slots.lock().waiting.is_empty() {
                std::thread::yield_now();
            }
            let second = scope.spawn(|| slots.take(5, &other).map(drop));
            while slots.lock().waiting.len() < 2 {
                std::thread::yield_now();
            }
            cancel.cancel();
            assert_eq!(first.join().unwrap(), Err(NotAdmitted::Cancelled));
            assert_eq!(second.join().unwrap(), Ok(()), "while the first place is still taken");
        });
        drop(held);
        assert_eq!(slots.free(), (2, 10));
    }
}
