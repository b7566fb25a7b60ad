//! The box: one isolated execution of an untrusted program, with its limits, its measurements and what it left behind.
//!
//! ```text
//!  Request ──> Engine::run ──> Outcome { exit, exceeded, cpu, wall, memory, stdout, stderr, leftovers }
//!                  │
//!                  ├── view      what of the machine's file system the program sees, worked out once
//!                  ├── script    the steps that make the box, prepared before the fork, performed after it
//!                  ├── child     the box's init: performs the steps, starts the program, reaps
//!                  └── supervise clocks, memory, output; kills the box as a whole
//! ```
//!
//! The crate knows processes, limits and file systems. It knows nothing of verdicts, Redis or Kubernetes, starts no
//! runtime and reads no environment variable. A box is used once: what it leaves goes with its mounts.

mod artifact;
mod engine;
mod native;
mod outcome;
mod request;

pub use artifact::{Artifact, ArtifactFile, CollectBounds, CollectError, Leftovers};
pub use engine::{Cancel, Engine, Error};
pub use native::{NativeEngine, Options, Surroundings};
pub use outcome::{Capture, Exit, Limit, Measured, Method, Outcome};
pub use request::{BoxFile, Command, Limits, Request, RequestError};
