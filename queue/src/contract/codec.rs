//! From record to bytes and back: JSON, zstd-compressed where that pays, with a version and a bound.

use std::io::Read;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Most bytes of one record, compressed or not. The largest Submission that etcd takes is 1.5 MiB.
pub const MAX_RECORD_BYTES: usize = 4 << 20;
/// Shorter ones are not worth compressing.
pub(super) const COMPRESS_FROM: usize = 1024;
/// The first bytes of every zstd frame (RFC 8878, section 3.1.1); no JSON text begins so.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Fast, and within a few percent of the levels above (RFC 8878 data of this kind; zstd's own default).
const LEVEL: i32 = 3;

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned {
    /// Changes with every change that a reader of the old form would misread.
    const VERSION: u32;
    /// What it is, for messages.
    const KIND: &'static str;
}

/// Why bytes are no record.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Larger than [`MAX_RECORD_BYTES`], before or after decompression.
    #[error("a {kind} of more than {MAX_RECORD_BYTES} bytes")]
    TooLarge {
        /// The kind of record.
        kind: &'static str,
    },
    /// Written by another release.
    #[error("a {kind} of version {found}; this release reads version {expected}")]
    Version {
        /// The kind of record.
        kind: &'static str,
        /// What was found.
        found: u32,
        /// What is understood.
        expected: u32,
    },
    /// Garbage.
    #[error("an unreadable {kind}: {reason}")]
    Unreadable {
        /// The kind of record.
        kind: &'static str,
        /// What the parser says.
        reason: String,
    },
}

#[derive(Serialize)]
struct Written<'a, R> {
    version: u32,
    #[serde(flatten)]
    record: &'a R,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The record's bytes.
pub fn encode<R: Record>(record: &R) -> Result<Vec<u8>, CodecError> {
    let unreadable = |reason: String| CodecError::Unreadable { kind: R::KIND, reason };
    let json = serde_json::to_vec(&Written { version: R::VERSION, record })
        .map_err(|error| unreadable(error.to_string()))?;
    if json.len() > MAX_RECORD_BYTES {
        return Err(CodecError::TooLarge { kind: R::KIND });
    }
    Ok(compress(json))
}

/// The record in `bytes`, whoever wrote them.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, CodecError> {
    let kind = R::KIND;
    let json = decompress(bytes, MAX_RECORD_BYTES).map_err(|error| match error {
        Expansion::TooLarge => CodecError::TooLarge { kind },
        Expansion::Damaged(reason) => CodecError::Unreadable { kind, reason },
    })?;
    let unreadable = |error: serde_json::Error| CodecError::Unreadable { kind, reason: error.to_string() };
    let Versioned { version } = serde_json::from_slice(&json).map_err(unreadable)?;
    if version != R::VERSION {
        return Err(CodecError::Version { kind, found: version, expected: R::VERSION });
    }
    serde_json::from_slice(&json).map_err(unreadable)
}

/// Compressed, if it is long enough for that to pay and does get shorter. Never begins like a frame if it is none,
/// provided `plain` doesn't.
pub(super) fn compress(plain: Vec<u8>) -> Vec<u8> {
    if plain.len() < COMPRESS_FROM {
        return plain;
    }
    match zstd::bulk::compress(&plain, LEVEL) {
        Ok(packed) if packed.len() < plain.len() => packed,
        _ => plain,
    }
}

pub(super) enum Expansion {
    TooLarge,
    Damaged(String),
}

/// What [`compress`] was given, at most `most` bytes of it.
pub(super) fn decompress(bytes: &[u8], most: usize) -> Result<Vec<u8>, Expansion> {
    if !is_compressed(bytes) {
        return if bytes.len() > most { Err(Expansion::TooLarge) } else { Ok(bytes.to_vec()) };
    }
    let damaged = |error: std::io::Error| Expansion::Damaged(error.to_string());
    let frames = zstd::stream::read::Decoder::new(bytes).map_err(damaged)?;
    let mut plain = Vec::new();
    frames.take(most as u64 + 1).read_to_end(&mut plain).map_err(damaged)?;
    if plain.len() > most { Err(Expansion::TooLarge) } else { Ok(plain) }
}

pub(super) fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(&ZSTD_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
    }

    impl Record for Note {
        const VERSION: u32 = 3;
        const KIND: &'static str = "note";
    }

    fn error(bytes: &[u8]) -> String {
        decode::<Note>(bytes).unwrap_err().to_string()
    }

    #[test]
    fn short_ones_stay_readable_and_long_ones_shrink() {
        let short = Note { text: "x".into() };
        assert_eq!(encode(&short).unwrap(), br#"{"version":3,"text":"x"}"#);
        let long = Note { text: "x".repeat(100_000) };
        let bytes = encode(&long).unwrap();
        assert!(bytes.len() < 200);
        assert_eq!(decode::<Note>(&bytes).unwrap(), long);
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(error(br#"{"version":4,"other":1}"#), "a note of version 4; this release reads version 3");
    }

    #[test]
    fn nothing_expands_beyond_the_bound() {
        let bomb = zstd::bulk::compress(&vec![b' '; MAX_RECORD_BYTES + 1], 3).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(error(&bomb), "a note of more than 4194304 bytes");
        assert_eq!(error(&vec![b' '; MAX_RECORD_BYTES + 1]), "a note of more than 4194304 bytes");
        let large = Note { text: "x".repeat(MAX_RECORD_BYTES) };
        assert!(matches!(encode(&large), Err(CodecError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(mut bytes: Vec<u8>, framed: bool) {
            if framed {
                bytes.splice(0..0, ZSTD_MAGIC);
            }
            prop_assert!(decode::<Note>(&bytes).is_err());
        }
    }
}
