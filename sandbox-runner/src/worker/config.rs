//! What a worker is told at its start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sandbox::Engine;

use crate::cache::DiskCache;
use crate::slots::Slots;
use crate::toolchain::Toolchain;

/// The queue, and how to deal with it.
#[derive(Debug, Clone)]
pub struct Config {
    /// How to reach the pool's queue.
    pub broker: queue::broker::Options,
    /// This runner's name, unique in its pool.
    pub name: String,
    /// Jobs held at one time, at least 1.
    pub jobs: usize,
    /// How long a job, or the right to compile a program, stays with a runner that says nothing.
    pub lease: Duration,
    /// How long it may take to stop.
    pub grace: Duration,
}

/// What judging needs of this machine.
pub struct Machine {
    /// Makes the boxes.
    pub engine: Arc<dyn Engine>,
    /// Names the toolchain.
    pub toolchain: Toolchain,
    /// The folder whose content is the box's root.
    pub folder: PathBuf,
    /// Admits boxes.
    pub slots: Slots,
    /// Artifacts on this machine.
    pub disk: Option<DiskCache>,
}

/// Whether to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    No,
    /// Take no more jobs; finish what is held within the grace period, hand back the rest.
    Drain,
    /// Hand everything back at once.
    Now,
}
