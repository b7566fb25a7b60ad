//! What can go wrong between us and Redis.

use crate::contract::CodecError;

/// Why a step was not done, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL, or what goes with it, can't be used.
    #[error("Redis at {url}: {reason}")]
    Options {
        /// The URL without its password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Redis can't be reached, or did not answer in time.
    #[error("Redis does not answer: {0}")]
    Unreachable(#[source] redis::RedisError),
    /// Redis answered with an error.
    #[error("Redis refused: {0}")]
    Refused(#[source] redis::RedisError),
    /// A blob that can't be kept.
    #[error("a blob of {bytes} bytes does not fit into a cache of {bound} bytes: raise the cache's bound")]
    Cache {
        /// The blob's size as stored.
        bytes: u64,
        /// The cache's.
        bound: u64,
    },
    /// Our own record is larger than readers take.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// An answer that our own functions don't give: another release, or someone else's key.
    #[error("Redis answered what {function} never says: {answer}")]
    Answer {
        /// The function that was called.
        function: &'static str,
        /// The start of the answer.
        answer: String,
    },
}

impl BrokerError {
    /// The kind of error, for metrics.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Options { .. } => "options",
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Cache { .. } => "cache",
            Self::Codec(_) => "codec",
            Self::Answer { .. } => "answer",
        }
    }
}
