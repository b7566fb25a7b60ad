//! The rules of judging as pure functions: verdicts, clocks, comparing output, one test, all tests together.
//!
//! Nothing here reads a file, a clock or the environment: every rule is tested without a box or a cluster.

pub mod clock;
pub mod compare;
pub mod fold;
pub mod test;
pub mod verdict;

pub use clock::{Clocks, wall_verdict};
pub use compare::{Comparison, Difference, DifferenceKind, compare};
pub use fold::{Fold, FoldError, Inserted, Summary, TestResult};
pub use test::{Evidence, Exit, Judgement, Limit, judge};
pub use verdict::{UnknownVerdict, Verdict};
