//! The records that travel: self-contained, versioned, bounded when decoded.

mod blob;
mod codec;
mod id;
mod job;
mod report;
mod runner;

pub use blob::{Blob, BlobError, BlobHash, BlobRef, INLINE_BYTES, MAX_BLOB_BYTES, Payload};
pub use codec::{CodecError, MAX_RECORD_BYTES, Record, decode, encode};
pub use id::{IdError, JobId, PlanHash};
pub use job::{Job, JobTest, LanguageSnapshot, Span};
pub use report::{CacheLayer, CompileOutcome, JobOutcome, JobReport, TestOutcome};
pub use runner::{BrokenLanguage, RunnerStatus};
