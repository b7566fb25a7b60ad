//! kubejudge's API types: what a Submission, a Language and a WorkerPool may say, the CRDs made from them, and the border that
//! checks objects.
//!
//! Everything derives from the types: [`all`] generates the CRDs (checked in beside this crate as `submissions.yaml`,
//! `languages.yaml` and `workerpools.yaml`), and [`validate()`] checks objects against those very schemas, CEL rules included, so that a file given to
//! `judge` and an object given to an API server are refused for the same reasons.

mod conditions;
mod generate;
mod rules;

pub mod labels;
pub mod language;
pub mod limits;
pub mod quantity;
pub mod status;
pub mod submission;
pub mod validate;
pub mod worker_pool;

pub use generate::all;
pub use labels::{LabelOperator, LabelRequirement, LabelSelector};
pub use language::{
    Compile, CompileLimits, DefaultLimits, EnvVar, Language, LanguageLimits, LanguageSpec, LanguageStatus,
    MaximumLimits, Run,
};
pub use limits::{ResolvedLimits, check_limits, check_source_size};
pub use quantity::{Quantity, QuantityError};
pub use status::{CompileStatus, Measurement, Phase, SubmissionStatus, TestStatus, Verdict};
pub use submission::{
    Comparison, ConfigMapKeyRef, InlineTest, Limits, Priority, ProblemRef, Source, Submission, SubmissionSpec,
};
pub use validate::{Checked, FieldError, validate, validate_update};
pub use worker_pool::{PoolLanguage, PoolLanguageState, WorkerPool, WorkerPoolSpec, WorkerPoolStatus};

/// The API group of all of kubejudge's resources.
pub const GROUP: &str = "kubejudge.dev";
/// The version of the API that these types describe.
pub const VERSION: &str = "v1alpha1";
/// The default bound on a source's size in bytes; the schema's outer bound is 262144 characters.
pub const DEFAULT_MAX_SOURCE_BYTES: usize = 65_536;
