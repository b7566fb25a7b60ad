//! Blobs and artifacts: one bounded cache, checked on the way in and out, and the right to compile.

use std::time::Duration;

use redis::Value;

use super::function::{self, Call, read};
use super::link::failure;
use super::words;
use super::{ArtifactLock, Broker, BrokerError};
use crate::contract::{Blob, BlobRef};

/// Most bytes that one call sends or asks for, unless a single value is longer.
const BATCH_BYTES: u64 = 16 << 20;
/// Most values in one call.
const BATCH_VALUES: usize = 256;
/// What a missing blob costs in microseconds, whatever its size: a job's way back through the operator.
const BLOB_COST: u64 = 200_000;
/// An artifact begins with the hash (64 characters) and length (16) of its content.
const HEAD: usize = 80;

impl Broker {
    /// The blobs' contents, in the order asked; nothing for one that is gone. A damaged one is removed and gone.
    pub async fn blobs(&self, names: &[BlobRef]) -> Result<Vec<Option<Vec<u8>>>, BrokerError> {
        let mut contents = Vec::with_capacity(names.len());
        for batch in batches(names, |name| name.bytes) {
            let entries: Vec<_> = batch.iter().map(blob_entry).collect();
            let stored = self.stored(&entries).await?;
            let read = batch.iter().zip(stored).map(|(name, stored)| {
                let stored = stored?;
                Some(
                    name.unpack(&stored).map_err(|error| tracing::warn!(%error, "A stored blob is removed.")),
                )
            });
            let read: Vec<_> = read.collect();
            self.note(&entries, &read).await?;
            contents.extend(read.into_iter().map(|found| found.and_then(Result::ok)));
        }
        Ok(contents)
    }

    /// A cached artifact by the key of what made it. A damaged one is removed and gone.
    pub async fn artifact(&self, key: &str) -> Result<Option<Vec<u8>>, BrokerError> {
        let entries = [artifact_entry(key)];
        let Some(stored) = self.stored(&entries).await?.pop().flatten() else { return Ok(None) };
        let content =
            unpack_artifact(&stored).ok_or_else(|| tracing::warn!("A damaged artifact is removed."));
        self.note(&entries, &[Some(content.as_deref().map_err(|error| *error))]).await?;
        Ok(content.ok())
    }

    /// Keeps an artifact that took `cost` to make. When the cache is full, the least valuable entries go first. One that is
    /// larger than the whole cache is not kept.
    pub async fn keep_artifact(&self, key: &str, content: &[u8], cost: Duration) -> Result<(), BrokerError> {
        let blob = Blob::pack(content);
        let mut value = format!("{}{:016x}", blob.name.hash, blob.name.bytes).into_bytes();
        value.extend_from_slice(&blob.stored);
        if value.len() as u64 > self.cache_bytes {
            tracing::debug!(bytes = value.len(), "An artifact is larger than the cache and is not kept.");
            return Ok(());
        }
        let call = Call::new(&function::KEEP).text(self.cache_bytes).text(artifact_entry(key));
        self.call_over(&self.bulk, call.text(words::micros(cost)).bytes(&value)).await
    }

    /// Takes or extends the right to compile the artifact `key`, for `ttl`.
    pub async fn lock_artifact(
        &self,
        key: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<ArtifactLock, BrokerError> {
        let call = Call::new(&function::LOCK).text(key).text(holder).text(words::micros(ttl).div_ceil(1000));
        let ours: bool = self.call(call).await?;
        Ok(if ours { ArtifactLock::Ours } else { ArtifactLock::Theirs })
    }

    /// Gives that right up.
    pub async fn unlock_artifact(&self, key: &str, holder: &str) -> Result<(), BrokerError> {
        self.call(Call::new(&function::UNLOCK).text(key).text(holder)).await
    }

    /// Stores those of `blobs` that are not there.
    pub(super) async fn store(&self, blobs: &[Blob]) -> Result<(), BrokerError> {
        if let Some(blob) = blobs.iter().find(|blob| blob.stored.len() as u64 > self.cache_bytes) {
            return Err(BrokerError::Cache { bytes: blob.stored.len() as u64, bound: self.cache_bytes });
        }
        for asked in blobs.chunks(BATCH_VALUES) {
            let entries: Vec<_> = asked.iter().map(|blob| blob_entry(&blob.name)).collect();
            let there = self.touch(&entries).await?;
            let absent: Vec<_> =
                asked.iter().zip(there).filter(|(_, there)| !there).map(|(blob, _)| blob).collect();
            for batch in batches(&absent, |blob| blob.stored.len() as u64) {
                let call = Call::new(&function::KEEP).text(self.cache_bytes);
                let call = batch.iter().fold(call, |call, blob| {
                    call.text(blob_entry(&blob.name)).text(blob_cost(blob)).bytes(&blob.stored)
                });
                self.call_over::<()>(&self.bulk, call).await?;
            }
        }
        Ok(())
    }

    /// The values under these entries, as they are.
    async fn stored(&self, entries: &[String]) -> Result<Vec<Option<Vec<u8>>>, BrokerError> {
        let mut pipeline = redis::pipe();
        for entry in entries {
            pipeline.get(self.key(entry));
        }
        let answers: Vec<Value> = self.bulk.send_all(&pipeline).await.map_err(failure)?;
        answers.into_iter().map(|answer| read("get", answer)).collect()
    }

    /// Lets what could be read stay longer, and removes what could not.
    async fn note<T>(&self, entries: &[String], read: &[Option<Result<T, ()>>]) -> Result<(), BrokerError> {
        let those = |ok: bool| {
            let found = entries.iter().zip(read);
            let found = found.filter(move |(_, read)| read.as_ref().is_some_and(|read| read.is_ok() == ok));
            found.map(|(entry, _)| entry.clone()).collect::<Vec<_>>()
        };
        self.touch(&those(true)).await?;
        let damaged = those(false);
        if damaged.is_empty() {
            return Ok(());
        }
        let call = Call::new(&function::UNCACHE);
        self.call(damaged.iter().fold(call, |call, entry| call.bytes(entry.as_bytes()))).await
    }

    /// Which of these entries are there; those stay longer.
    async fn touch(&self, entries: &[String]) -> Result<Vec<bool>, BrokerError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call::new(&function::TOUCH);
        self.call(entries.iter().fold(call, |call, entry| call.bytes(entry.as_bytes()))).await
    }
}

fn blob_entry(name: &BlobRef) -> String {
    format!("blob:{}", name.hash)
}

fn artifact_entry(key: &str) -> String {
    format!("artifact:{key}")
}

/// Microseconds: the way back, and sending it at 100 MB/s.
fn blob_cost(blob: &Blob) -> u64 {
    BLOB_COST + blob.stored.len() as u64 / 100
}

fn unpack_artifact(stored: &[u8]) -> Option<Vec<u8>> {
    let (head, packed) = stored.split_at_checked(HEAD)?;
    let (hash, bytes) = std::str::from_utf8(head).ok()?.split_at_checked(64)?;
    let name = BlobRef { hash: hash.parse().ok()?, bytes: u64::from_str_radix(bytes, 16).ok()? };
    name.unpack(packed).ok()
}

/// `items` in runs of bounded size and number, at least one in each.
fn batches<T>(items: &[T], bytes: impl Fn(&T) -> u64) -> Vec<&[T]> {
    let mut runs = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut total = 0_u64;
        let fits = |item: &&T| {
            total = total.saturating_add(bytes(item));
            total <= BATCH_BYTES
        };
        let most = rest.iter().take(BATCH_VALUES).take_while(fits).count().max(1);
        let (run, others) = rest.split_at(most);
        runs.push(run);
        rest = others;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_bounded_and_complete(sizes in prop::collection::vec(0..(40_u64 << 20), 0..600)) {
            let runs = batches(&sizes, |size| *size);
            prop_assert_eq!(&runs.concat(), &sizes);
            for run in runs {
                let total: u64 = run.iter().sum();
                prop_assert!(run.len() == 1 || run.len() <= BATCH_VALUES && total <= BATCH_BYTES);
            }
        }
    }
}
