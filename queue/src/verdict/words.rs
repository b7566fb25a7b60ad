//! Names and figures in the API's words.

use judging::Verdict;

/// The API's name of a verdict; the two enums may not know each other.
pub const fn to_api(verdict: Verdict) -> crds::Verdict {
    match verdict {
        Verdict::Accepted => crds::Verdict::Accepted,
        Verdict::WrongAnswer => crds::Verdict::WrongAnswer,
        Verdict::TimeLimitExceeded => crds::Verdict::TimeLimitExceeded,
        Verdict::IdlenessLimitExceeded => crds::Verdict::IdlenessLimitExceeded,
        Verdict::MemoryLimitExceeded => crds::Verdict::MemoryLimitExceeded,
        Verdict::OutputLimitExceeded => crds::Verdict::OutputLimitExceeded,
        Verdict::RuntimeError => crds::Verdict::RuntimeError,
        Verdict::CompilationError => crds::Verdict::CompilationError,
        Verdict::PartiallyAccepted => crds::Verdict::PartiallyAccepted,
        Verdict::JudgeError => crds::Verdict::JudgeError,
        Verdict::InternalError => crds::Verdict::InternalError,
        Verdict::Cancelled => crds::Verdict::Cancelled,
        Verdict::Skipped => crds::Verdict::Skipped,
    }
}

/// The other way round.
pub const fn from_api(verdict: crds::Verdict) -> Verdict {
    match verdict {
        crds::Verdict::Accepted => Verdict::Accepted,
        crds::Verdict::WrongAnswer => Verdict::WrongAnswer,
        crds::Verdict::TimeLimitExceeded => Verdict::TimeLimitExceeded,
        crds::Verdict::IdlenessLimitExceeded => Verdict::IdlenessLimitExceeded,
        crds::Verdict::MemoryLimitExceeded => Verdict::MemoryLimitExceeded,
        crds::Verdict::OutputLimitExceeded => Verdict::OutputLimitExceeded,
        crds::Verdict::RuntimeError => Verdict::RuntimeError,
        crds::Verdict::CompilationError => Verdict::CompilationError,
        crds::Verdict::PartiallyAccepted => Verdict::PartiallyAccepted,
        crds::Verdict::JudgeError => Verdict::JudgeError,
        crds::Verdict::InternalError => Verdict::InternalError,
        crds::Verdict::Cancelled => Verdict::Cancelled,
        crds::Verdict::Skipped => Verdict::Skipped,
    }
}

/// For columns: "12 MiB", or "0.4 MiB" where a whole number would say nothing.
pub fn mebibytes(bytes: i64) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    if tenths < 100 { format!("{}.{} MiB", tenths / 10, tenths % 10) } else { format!("{} MiB", tenths / 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_verdict_enums_have_the_same_names() {
        for one in Verdict::ALL {
            assert_eq!(serde_json::to_value(to_api(one)).unwrap(), one.name());
            assert_eq!(from_api(to_api(one)), one);
        }
    }

    #[test]
    fn memory_reads_well_at_every_size() {
        assert_eq!(mebibytes(0), "0.0 MiB");
        assert_eq!(mebibytes(1 << 19), "0.5 MiB");
        assert_eq!(mebibytes(12_900_000), "12 MiB");
        assert_eq!(mebibytes(i64::MAX), "879609302220 MiB");
    }
}
