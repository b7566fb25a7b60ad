//! Folding the results of single tests, in whatever order they come, into the verdict on a Submission.
//!
//! The first test in order that did not pass decides. A Skipped test has neither passed nor failed: tests are
//! skipped because an earlier one failed, so none is ever the first. Where one is, a test that should
//! have run did not, and the verdict is `InternalError`: not the submitter's fault, and not Accepted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use crate::verdict::Verdict;

/// The score, in thousandths of a point, of a Submission that passes every test.
const FULL_SCORE_MILLI: u128 = 100_000;

/// The result of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestResult {
    /// The verdict on this test.
    pub verdict: Verdict,
    /// The CPU time it took.
    pub time: Duration,
    /// The most memory it held.
    pub memory_bytes: u64,
}

/// The results so far of a known number of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    total: usize,
    results: BTreeMap<usize, TestResult>,
    /// The index of the first test that is not known to have passed.
    frontier: usize,
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Inserted {
    /// It is the first for its test and counts.
    New,
    /// Its test has a result already, and keeps it.
    Duplicate,
}

/// Why something is not a fold or not a result in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Nothing follows from no tests: not even Accepted.
    #[error("there are no tests to judge by")]
    NoTests,
    /// There is no such test.
    #[error("no test has index {index}: there are {total}")]
    OutOfRange {
        /// The index, from 0.
        index: usize,
        /// How many tests there are.
        total: usize,
    },
    /// The verdict is one of whole Submissions only.
    #[error("test {index} cannot have verdict {verdict}")]
    NotOfATest {
        /// The index, from 0.
        index: usize,
        /// The verdict.
        verdict: Verdict,
    },
}

/// What can be said of all the results together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The Submission's verdict, if it is decided.
    pub verdict: Option<Verdict>,
    /// How many tests are Accepted so far.
    pub passed: usize,
    /// How many tests there are, with a result or without.
    pub total: usize,
    /// The longest time any test took.
    pub time: Duration,
    /// The most memory any test held.
    pub memory_bytes: u64,
    /// The share of tests passed, in thousandths of a point out of 100 points, rounded down: it is full
    /// only if every test passed.
    pub score_milli: i64,
}

impl Fold {
    /// A fold of `total` tests, none of which has a result.
    pub fn new(total: usize) -> Result<Self, FoldError> {
        if total == 0 {
            return Err(FoldError::NoTests);
        }
        Ok(Self { total, results: BTreeMap::new(), frontier: 0 })
    }

    /// Adds the result of the test with this index, from 0. The first result of a test stays.
    pub fn insert(&mut self, index: usize, result: TestResult) -> Result<Inserted, FoldError> {
        self.check(index, result.verdict)?;
        match self.results.entry(index) {
            Entry::Occupied(_) => return Ok(Inserted::Duplicate),
            Entry::Vacant(place) => place.insert(result),
        };
        while self.at_frontier() == Some(Verdict::Accepted) {
            self.frontier += 1;
        }
        Ok(Inserted::New)
    }

    fn check(&self, index: usize, verdict: Verdict) -> Result<(), FoldError> {
        if index >= self.total {
            return Err(FoldError::OutOfRange { index, total: self.total });
        }
        if matches!(verdict, Verdict::CompilationError | Verdict::PartiallyAccepted) {
            return Err(FoldError::NotOfATest { index, verdict });
        }
        Ok(())
    }

    fn at_frontier(&self) -> Option<Verdict> {
        self.results.get(&self.frontier).map(|result| result.verdict)
    }

    /// Whether every test has a result.
    pub fn is_complete(&self) -> bool {
        self.results.len() == self.total
    }

    /// The Submission's verdict, as soon as no further result can change it: when the first test that did not
    /// pass is known to be the first, or all have passed.
    pub fn decided(&self) -> Option<Verdict> {
        if self.frontier == self.total {
            return Some(Verdict::Accepted);
        }
        match self.at_frontier()? {
            Verdict::Skipped => Some(Verdict::InternalError),
            verdict => Some(verdict),
        }
    }

    /// The verdict, counts, maxima and score by the results so far.
    pub fn summary(&self) -> Summary {
        let results = || self.results.values();
        let passed = results().filter(|result| result.verdict == Verdict::Accepted).count();
        Summary {
            verdict: self.decided(),
            passed,
            total: self.total,
            time: results().map(|result| result.time).max().unwrap_or_default(),
            memory_bytes: results().map(|result| result.memory_bytes).max().unwrap_or_default(),
            score_milli: score_milli(passed, self.total),
        }
    }
}

fn score_milli(passed: usize, total: usize) -> i64 {
    let score = FULL_SCORE_MILLI * passed as u128 / total as u128;
    // It is at most the full score, so the fallback is never taken.
    i64::try_from(score).unwrap_or_default()
}

#[cfg(test)]
mod tests;
