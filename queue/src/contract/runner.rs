//! A runner's status: what a runner says of itself every few seconds.

use serde::{Deserialize, Serialize};

use super::codec::Record;

/// A runner that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerStatus {
    /// The pod's name, unique in its pool.
    pub name: String,
    /// The release it runs.
    pub release: String,
    /// Boxes that run at one time.
    pub slots: u32,
    /// Jobs it holds.
    pub jobs: u32,
    /// Whether it takes no more jobs because it was told to stop.
    pub draining: bool,
    /// Languages it can compile and run, by name.
    pub languages: Vec<String>,
    /// Languages it can't, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenLanguage>,
    /// What boxes enforce here and by which means.
    pub surroundings: String,
}

/// A language that this runner's toolchain lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenLanguage {
    /// The Language's name.
    pub name: String,
    /// What is missing.
    pub reason: String,
}

impl Record for RunnerStatus {
    const VERSION: u32 = 1;
    const KIND: &'static str = "runner status";
}
