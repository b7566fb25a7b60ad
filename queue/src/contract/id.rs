//! The name of a job: enough to tell whose it is, of which judging and plan, and to enqueue it twice without harm.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest UID that is believed; Kubernetes' own are 36 characters.
const MAX_UID: usize = 64;

/// The hash of all that a judging rests on: program, language, limits, comparison, tests and how they are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanHash([u8; 16]);

impl PlanHash {
    /// The first 128 bits of a hash.
    pub fn of(hash: blake3::Hash) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        Self(bytes)
    }
}

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PlanHash {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let digit = |d: &u8| matches!(d, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.as_bytes().iter().all(digit) {
            return Err(IdError);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| IdError)
    }
}

/// `{uid}/{judging}/{hash of the plan}/{batch}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    /// The Submission's `metadata.uid`.
    pub uid: String,
    /// The number of the judging, from 1.
    pub judging: u32,
    /// What it rests on.
    pub plan: PlanHash,
    /// Which part of the tests, from 0.
    pub batch: u32,
}

/// A text that names no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not of the form uid/judging/plan/batch")]
pub struct IdError;

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, judging, plan, batch } = self;
        write!(f, "{uid}/{judging}/{plan}/{batch}")
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut parts = text.split('/');
        let mut next = || parts.next().ok_or(IdError);
        let (uid, judging, plan, batch) = (next()?, next()?, next()?, next()?);
        let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        if parts.next().is_some() || uid.is_empty() || uid.len() > MAX_UID || !uid.bytes().all(legal) {
            return Err(IdError);
        }
        Ok(Self {
            uid: uid.to_owned(),
            judging: number(judging)?,
            plan: plan.parse()?,
            batch: number(batch)?,
        })
    }
}

/// A number in the one way that [`fmt::Display`] writes it, so that no two texts name the same job.
fn number(text: &str) -> Result<u32, IdError> {
    text.parse().ok().filter(|n: &u32| n.to_string() == text).ok_or(IdError)
}

macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(PlanHash, JobId, super::blob::BlobHash);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_reads_back(uid in "[a-f0-9-]{1,64}", judging: u32, plan: [u8; 16], batch: u32) {
            let id = JobId { uid, judging, plan: PlanHash(plan), batch };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn whatever_reads_as_an_id_is_written_the_same(text in "[a-f0-9/+-]{0,90}") {
            if let Ok(id) = text.parse::<JobId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let hash = "0".repeat(32);
        let uid = "u".repeat(MAX_UID + 1);
        let texts = [
            String::new(),
            format!("u/1/{hash}"),
            format!("u/1/{hash}/0/"),
            format!("/1/{hash}/0"),
            format!("{uid}/1/{hash}/0"),
            format!("u*/1/{hash}/0"),
            format!("u/01/{hash}/0"),
            format!("u/+1/{hash}/0"),
            format!("u/1/{}/0", "é".repeat(16)),
            format!("u/1/{}F/0", "0".repeat(31)),
        ];
        for text in texts {
            assert_eq!(text.parse::<JobId>(), Err(IdError), "{text}");
        }
    }
}
