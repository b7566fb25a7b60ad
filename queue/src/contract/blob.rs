//! Large values under their content hash: a job names them, and whoever reads one checks that it is what was named.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::codec::{Expansion, compress, decompress, is_compressed};
use super::id::IdError;

/// Longest value that travels in the record itself, in bytes.
pub const INLINE_BYTES: usize = 4096;
/// Largest blob, uncompressed: an artifact at its own bound, and its paths.
pub const MAX_BLOB_BYTES: usize = 72 << 20;

/// Whether a stored blob is as it was, or compressed.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// The hash of a blob's content (BLAKE3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHash([u8; 32]);

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for BlobHash {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let hash = blake3::Hash::from_hex(text).ok().filter(|_| lower);
        hash.map(|hash| Self(*hash.as_bytes())).ok_or(IdError)
    }
}

/// A blob's name and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// The hash of its content.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A blob ready for storage: named, and compressed if that pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub name: BlobRef,
    /// What is stored.
    pub stored: Vec<u8>,
}

/// Why a stored blob is as good as gone.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BlobError {
    /// It, or what it decompresses to, is longer than it was named.
    #[error("is longer than the {0} bytes it should have")]
    TooLong(u64),
    /// It is not what was stored.
    #[error("is damaged")]
    Damaged,
}

impl Blob {
    /// Names and packs `content`.
    pub fn pack(content: &[u8]) -> Self {
        let name = BlobRef { hash: BlobHash(*blake3::hash(content).as_bytes()), bytes: content.len() as u64 };
        let packed = compress(content.to_vec());
        // Content may itself begin like a compressed frame, so a byte in front says which it is.
        let form = if is_compressed(&packed) && packed.len() < content.len() { ZSTD } else { PLAIN };
        let mut stored = vec![form];
        stored.extend_from_slice(&packed);
        Self { name, stored }
    }
}

impl BlobRef {
    /// The content in `stored`, if it is what this name stands for.
    pub fn unpack(&self, stored: &[u8]) -> Result<Vec<u8>, BlobError> {
        let most = usize::try_from(self.bytes).ok().filter(|most| *most <= MAX_BLOB_BYTES);
        let most = most.ok_or(BlobError::TooLong(MAX_BLOB_BYTES as u64))?;
        let content = match stored.split_first() {
            Some((&PLAIN, content)) if content.len() <= most => content.to_vec(),
            Some((&PLAIN, _)) => return Err(BlobError::TooLong(self.bytes)),
            Some((&ZSTD, packed)) if is_compressed(packed) => {
                decompress(packed, most).map_err(|error| match error {
                    Expansion::TooLarge => BlobError::TooLong(self.bytes),
                    Expansion::Damaged(_) => BlobError::Damaged,
                })?
            }
            _ => return Err(BlobError::Damaged),
        };
        if blake3::hash(&content).as_bytes() == &self.hash.0 { Ok(content) } else { Err(BlobError::Damaged) }
    }
}

/// A value in a record: itself if it is short text, else the name of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Payload {
    /// The value itself.
    Text(String),
    /// Its name.
    Blob(BlobRef),
}

impl Payload {
    /// The payload for `content`, and the blob that has to be stored for it, if any.
    pub fn of(content: &str) -> (Self, Option<Blob>) {
        if content.len() <= INLINE_BYTES {
            return (Self::Text(content.to_owned()), None);
        }
        let blob = Blob::pack(content.as_bytes());
        (Self::Blob(blob.name), Some(blob))
    }

    /// The blob that has to be fetched, if any.
    pub fn blob(&self) -> Option<BlobRef> {
        match self {
            Self::Text(_) => None,
            Self::Blob(name) => Some(*name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_unpacks(mut content: Vec<u8>, times in 1..100_usize, framed: bool) {
            if framed {
                content.splice(0..0, [0x28, 0xb5, 0x2f, 0xfd]);
            }
            let content = content.repeat(times);
            let blob = Blob::pack(&content);
            prop_assert_eq!(blob.name.unpack(&blob.stored), Ok(content));
        }

        #[test]
        fn any_change_is_noticed(content in prop::collection::vec(any::<u8>(), 1..3000), place: prop::sample::Index) {
            let Blob { name, mut stored } = Blob::pack(&content);
            let place = place.index(stored.len());
            stored[place] ^= 0x40;
            prop_assert!(name.unpack(&stored).is_err());
        }
    }

    #[test]
    fn a_bomb_stops_at_the_named_length() {
        let mut blob = Blob::pack(&vec![0; 1 << 20]);
        assert!(blob.stored.len() < 1000);
        blob.name.bytes = 100;
        assert_eq!(blob.name.unpack(&blob.stored), Err(BlobError::TooLong(100)));
        blob.name.bytes = u64::MAX;
        assert_eq!(blob.name.unpack(&blob.stored), Err(BlobError::TooLong(MAX_BLOB_BYTES as u64)));
        assert_eq!(blob.name.unpack(&[]), Err(BlobError::TooLong(MAX_BLOB_BYTES as u64)));
    }

    #[test]
    fn short_text_travels_in_the_record() {
        assert_eq!(Payload::of("x"), (Payload::Text("x".into()), None));
        let long = "x".repeat(INLINE_BYTES + 1);
        let (payload, blob) = Payload::of(&long);
        let blob = blob.unwrap();
        assert_eq!(payload.blob(), Some(blob.name));
        assert_eq!(blob.name.unpack(&blob.stored).unwrap(), long.as_bytes());
        assert_eq!(blob.name.hash.to_string().parse(), Ok(blob.name.hash));
        assert!(blob.name.hash.to_string().to_uppercase().parse::<BlobHash>().is_err());
    }
}
