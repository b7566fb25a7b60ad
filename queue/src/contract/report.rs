//! A job's report: what a runner found, in the API's words and within the status' bounds.

use crds::{CompileStatus, Measurement, TestStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::codec::Record;

/// What came of one delivery of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobReport {
    /// Who ran it: the pod's name.
    pub runner: String,
    /// When the runner began with it, by the runner's clock.
    pub started: Timestamp,
    /// How compiling went; nothing for a language that is not compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile: Option<CompileOutcome>,
    /// What was found.
    pub outcome: JobOutcome,
    /// How time and memory were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<Measurement>,
}

/// How the program came to be runnable, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompileOutcome {
    /// The API's words for it.
    pub status: CompileStatus,
    /// Where the artifact came from.
    pub layer: CacheLayer,
}

/// Where an artifact came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CacheLayer {
    /// The runner's own disk.
    Disk,
    /// Redis.
    Redis,
    /// Nowhere: it was compiled.
    Compiled,
}

/// What a job came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobOutcome {
    /// Every test of the batch has a result.
    Judged(Vec<TestOutcome>),
    /// The program does not compile; the words are for the submitter.
    CompilationError(String),
    /// The job can't be judged, here or elsewhere, and it is not the submitter's fault.
    InternalError(String),
}

/// One test's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestOutcome {
    /// Its place among all the Submission's tests, from 0.
    pub index: u32,
    /// The API's words for it.
    pub status: TestStatus,
}

impl Record for JobReport {
    const VERSION: u32 = 1;
    const KIND: &'static str = "job report";
}
