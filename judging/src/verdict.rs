//! The verdicts: what can be said about a Submission or one of its tests, and by what name.

use std::fmt;
use std::str::FromStr;

/// What a Submission, or one test of it, was judged to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Right, within all limits.
    Accepted,
    /// It ended well, but its output is not the answer.
    WrongAnswer,
    /// It used more CPU time than allowed, or ran into the wall clock while computing.
    TimeLimitExceeded,
    /// It ran into the wall clock while mostly waiting.
    IdlenessLimitExceeded,
    /// It used more memory than allowed.
    MemoryLimitExceeded,
    /// It wrote more than allowed.
    OutputLimitExceeded,
    /// It was killed by a signal or ended with a non-zero exit code.
    RuntimeError,
    /// The source did not compile. Of a whole Submission only.
    CompilationError,
    /// Some groups of tests passed and brought points. Of a whole Submission only.
    PartiallyAccepted,
    /// A fault of the problem: its checker, interactor or data.
    JudgeError,
    /// A fault of the platform.
    InternalError,
    /// The judging was called off before it had a verdict.
    Cancelled,
    /// The test was not run, because an earlier one had failed. Of a single test only.
    Skipped,
}

impl Verdict {
    /// Every verdict, in the order of declaration.
    pub const ALL: [Self; 13] = [
        Self::Accepted,
        Self::WrongAnswer,
        Self::TimeLimitExceeded,
        Self::IdlenessLimitExceeded,
        Self::MemoryLimitExceeded,
        Self::OutputLimitExceeded,
        Self::RuntimeError,
        Self::CompilationError,
        Self::PartiallyAccepted,
        Self::JudgeError,
        Self::InternalError,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// The name by which status, reports and metrics know the verdict; [`FromStr`] reads it back.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::WrongAnswer => "WrongAnswer",
            Self::TimeLimitExceeded => "TimeLimitExceeded",
            Self::IdlenessLimitExceeded => "IdlenessLimitExceeded",
            Self::MemoryLimitExceeded => "MemoryLimitExceeded",
            Self::OutputLimitExceeded => "OutputLimitExceeded",
            Self::RuntimeError => "RuntimeError",
            Self::CompilationError => "CompilationError",
            Self::PartiallyAccepted => "PartiallyAccepted",
            Self::JudgeError => "JudgeError",
            Self::InternalError => "InternalError",
            Self::Cancelled => "Cancelled",
            Self::Skipped => "Skipped",
        }
    }

    /// Whether the platform is at fault, so that judging again may well give another verdict.
    pub const fn is_platform_fault(self) -> bool {
        matches!(self, Self::InternalError)
    }

    /// Whether the problem or the platform is at fault, and so never the submitter.
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::JudgeError | Self::InternalError)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that is no verdict's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a verdict")]
pub struct UnknownVerdict(String);

/// How much of an unknown name the error repeats: the text may come from anywhere, and be of any length.
const REPEATED_CHARS: usize = 64;

impl FromStr for Verdict {
    type Err = UnknownVerdict;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.name() == text)
            .ok_or_else(|| UnknownVerdict(text.chars().take(REPEATED_CHARS).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_holds_every_verdict_once_and_in_order() {
        assert_eq!(HashSet::from(Verdict::ALL).len(), Verdict::ALL.len());
        assert_eq!(Verdict::ALL.map(|verdict| verdict as usize), std::array::from_fn(|place| place));
        assert_eq!(Verdict::ALL.last(), Some(&Verdict::Skipped));
    }

    #[test]
    fn names_are_those_of_the_variants_and_read_back() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.name(), format!("{verdict:?}"));
            assert_eq!(verdict.to_string(), verdict.name());
            assert_eq!(verdict.name().parse(), Ok(verdict));
        }
    }

    #[test]
    fn display_honours_width() {
        assert_eq!(format!("[{:<10}]", Verdict::Accepted), "[Accepted  ]");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "accepted", "Accepted ", "AC", "Wrong Answer"] {
            let error = text.parse::<Verdict>().unwrap_err();
            assert_eq!(error.to_string(), format!("{text:?} is not a verdict"));
        }
    }

    #[test]
    fn the_error_repeats_only_the_start_of_a_long_text() {
        let error = "é".repeat(100_000).parse::<Verdict>().unwrap_err();
        assert_eq!(error, UnknownVerdict("é".repeat(64)));
    }

    #[test]
    fn faults_are_the_problems_or_the_platforms() {
        let faults: Vec<_> = Verdict::ALL.into_iter().filter(|v| v.is_fault()).collect();
        assert_eq!(faults, [Verdict::JudgeError, Verdict::InternalError]);
        let platform: Vec<_> = Verdict::ALL.into_iter().filter(|v| v.is_platform_fault()).collect();
        assert_eq!(platform, [Verdict::InternalError]);
    }
}
