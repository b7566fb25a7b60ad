//! Job: one Submission's program with a batch of its tests, in one judging. A runner needs nothing else.

use crds::{Comparison, LanguageSpec, Priority, ResolvedLimits};
use serde::{Deserialize, Serialize};

use super::blob::{BlobRef, Payload};
use super::codec::Record;
use super::id::JobId;

/// The unit on the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The Submission's namespace: whose turn a delivery is.
    pub namespace: String,
    /// The Submission's name, for logs.
    pub name: String,
    /// The queue it waits in.
    pub priority: Priority,
    /// The Language as it was when the judging was planned.
    pub language: LanguageSnapshot,
    /// The program's text.
    pub source: Payload,
    /// The limits of each test.
    pub limits: ResolvedLimits,
    /// How outputs are compared to answers.
    pub comparison: Comparison,
    /// Where this batch stands in the whole.
    pub span: Span,
    /// The tests of this batch, in order; as many as the span says.
    pub tests: Vec<JobTest>,
}

/// Where a batch stands among all the Submission's tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// The place of its first test, from 0.
    pub first: u32,
    /// How many tests it has.
    pub count: u32,
    /// How many tests all batches have together.
    pub total: u32,
    /// How many batches there are.
    pub batches: u32,
}

/// One test of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTest {
    /// Its place among all the Submission's tests, from 0.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What the program reads.
    pub input: Payload,
    /// What it must print.
    pub answer: Payload,
}

/// A Language at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LanguageSnapshot {
    /// The Language's name.
    pub name: String,
    /// What it said.
    pub spec: LanguageSpec,
}

impl Job {
    /// The blobs it needs, each once.
    pub fn blobs(&self) -> Vec<BlobRef> {
        let tests = self.tests.iter().flat_map(|test| [&test.input, &test.answer]);
        let mut blobs: Vec<_> =
            std::iter::once(&self.source).chain(tests).filter_map(Payload::blob).collect();
        blobs.sort_unstable_by_key(|blob| blob.hash);
        blobs.dedup();
        blobs
    }
}

impl Record for Job {
    const VERSION: u32 = 1;
    const KIND: &'static str = "job";
}

impl Record for LanguageSnapshot {
    const VERSION: u32 = 1;
    const KIND: &'static str = "language snapshot";
}
