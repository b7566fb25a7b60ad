//! Artifacts kept on disk under their key: bounded in bytes, least recently used go first, a damaged one is a miss.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sandbox::{Artifact, ArtifactFile};
use serde::{Deserialize, Serialize};

use crate::plan::Program;

/// Changes whenever an entry's form or the meaning of its key does.
const FORMAT: &str = "kubejudge artifact 1";
/// Length of the hash that stands before an entry's content.
const HASH: usize = 32;
/// Once over its bound, the cache is emptied to this part of it, so that not every insertion has to clear.
const KEEP_PERCENT: u64 = 80;

/// The address of an artifact: the hash of all that went into making it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(blake3::Hash);

impl Key {
    /// The key of what compiling `program` with a toolchain of this identity makes. Each part is preceded by its length,
    /// so that no two different sets of parts read the same.
    pub fn of(program: &Program, toolchain: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        add(FORMAT.as_bytes());
        add(toolchain.as_bytes());
        add(program.language.source_file.as_bytes());
        add(&program.source);
        // The compile phase as a whole: command, environment, artifacts and limits.
        add(&serde_json::to_vec(&program.language.compile).unwrap_or_default());
        Self(hasher.finalize())
    }

    /// Its name on disk and elsewhere: 64 hexadecimal digits.
    pub fn name(&self) -> String {
        self.0.to_hex().to_string()
    }
}

/// Artifacts by key in one folder, which several processes may share.
#[derive(Debug)]
pub struct DiskCache {
    folder: PathBuf,
    bound: u64,
    /// What the folder is believed to hold; counted anew whenever that exceeds the bound.
    held: Mutex<u64>,
    damaged: AtomicU64,
    next: AtomicU64,
}

impl DiskCache {
    /// Opens or makes the folder, for `bound` bytes of artifacts.
    pub fn open(folder: &Path, bound: u64) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        // Whoever may write here decides what runs as a submission's program.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let cache = Self {
            folder: folder.to_owned(),
            bound,
            held: Mutex::new(0),
            damaged: AtomicU64::new(0),
            next: AtomicU64::new(0),
        };
        let held = cache.entries()?.iter().map(|e| e.size).sum();
        *cache.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(cache)
    }

    /// The artifact of `key`, now the most recently used. One that can't be read is gone afterwards.
    pub fn get(&self, key: &Key) -> Option<Artifact> {
        let path = self.folder.join(key.name());
        let bytes = self.read(&path)?;
        let Some(artifact) = unpack(&bytes) else {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(path = %path.display(), "A cached artifact is damaged; it is made again.");
            fs::remove_file(&path).ok();
            return None;
        };
        // The order of eviction is advice: failing to note a use costs at most a compilation later.
        fs::File::open(&path).and_then(|f| f.set_modified(now())).ok();
        Some(artifact)
    }

    /// An entry's bytes. None is larger than the whole cache; what is, is cut here and damaged by that.
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path).ok()?.take(self.bound).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Keeps a packed artifact under `key`. One larger than the whole bound is not kept.
    pub fn put(&self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.bound {
            return Ok(());
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(format!("partial-{}-{number}", std::process::id()));
        fs::write(&partial, bytes)?;
        fs::rename(&partial, self.folder.join(key.name()))?;
        self.make_room(bytes.len() as u64)
    }

    /// How many entries were found damaged.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    fn make_room(&self, added: u64) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held += added;
        if *held <= self.bound {
            return Ok(());
        }
        let mut entries = self.entries()?;
        entries.sort_by_key(|e| e.used);
        *held = entries.iter().map(|e| e.size).sum();
        for entry in entries {
            if *held <= self.bound / 100 * KEEP_PERCENT {
                break;
            }
            fs::remove_file(&entry.path).ok(); // another process may have been faster
            *held = held.saturating_sub(entry.size);
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            entries.push(Entry { path: entry.path(), size: metadata.len(), used: metadata.modified()? });
        }
        Ok(entries)
    }
}

struct Entry {
    path: PathBuf,
    size: u64,
    used: std::time::SystemTime,
}

#[expect(clippy::disallowed_methods, reason = "a file's time of use is wall-clock time by nature")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// An artifact as it is kept.
#[derive(Serialize, Deserialize)]
struct Stored {
    files: Vec<StoredFile>,
}

#[derive(Serialize, Deserialize)]
struct StoredFile {
    path: String,
    executable: bool,
    data: Vec<u8>,
}

/// The artifact in one piece, behind the hash of what follows.
pub fn pack(artifact: &Artifact) -> io::Result<Vec<u8>> {
    let file = |f: &ArtifactFile| StoredFile {
        path: f.path.clone(),
        executable: f.executable,
        data: f.data.to_vec(),
    };
    let stored = Stored { files: artifact.files.iter().map(file).collect() };
    let content = postcard::to_stdvec(&stored).map_err(io::Error::other)?;
    Ok([blake3::hash(&content).as_bytes().as_slice(), &content].concat())
}

/// What [`pack`] was given, unless something happened to it since.
pub fn unpack(bytes: &[u8]) -> Option<Artifact> {
    let (hash, content) = bytes.split_at_checked(HASH)?;
    if blake3::hash(content).as_bytes().as_slice() != hash {
        return None;
    }
    let stored: Stored = postcard::from_bytes(content).ok()?;
    let file = |f: StoredFile| ArtifactFile { path: f.path, executable: f.executable, data: f.data.into() };
    Some(Artifact { files: stored.files.into_iter().map(file).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::{Compile, LanguageSpec, ResolvedLimits};
    use serde_json::json;
    use std::sync::Arc;

    fn program() -> Program {
        let spec = json!({
            "displayName": "C", "sourceFile": "main.c", "run": {"command": ["./main"]},
            "compile": {"command": ["/usr/bin/gcc"], "env": [{"name": "A", "value": "1"}], "artifacts": ["main"], "limits": {
                "timeMilliseconds": 3000, "memoryBytes": 1 << 28, "outputBytes": 4096, "processes": 9, "diskBytes": 1 << 20}},
            "limits": {"default": {"timeMilliseconds": 1000, "memoryBytes": 1 << 26, "outputBytes": 2048, "processes": 4}},
        });
        let language: LanguageSpec = serde_json::from_value(spec).unwrap();
        let limits = ResolvedLimits::of(None, &language);
        Program { language_name: "c".into(), language, source: Arc::from(*b"int main;"), limits }
    }

    fn key(n: u8) -> Key {
        Key(blake3::hash(&[n]))
    }

    fn artifact(n: u8, size: usize) -> Artifact {
        Artifact {
            files: vec![ArtifactFile { path: "main".into(), executable: true, data: vec![n; size].into() }],
        }
    }

    fn packed(n: u8, size: usize) -> Vec<u8> {
        pack(&artifact(n, size)).unwrap()
    }

    #[test]
    fn everything_that_goes_into_an_artifact_is_in_its_key() {
        let base = Key::of(&program(), "gcc 12");
        assert_eq!(base, Key::of(&program(), "gcc 12"));
        let with = |change: fn(&mut Program)| {
            let mut changed = program();
            change(&mut changed);
            Key::of(&changed, "gcc 12")
        };
        let compile = |change: fn(&mut Compile)| {
            let mut changed = program();
            change(changed.language.compile.as_mut().unwrap());
            Key::of(&changed, "gcc 12")
        };
        assert_ne!(base, Key::of(&program(), "gcc 13"), "toolchain");
        assert_ne!(base, with(|p| p.source = Arc::from(*b"int mein;")), "source");
        assert_ne!(base, with(|p| p.language.source_file = "a.c".into()), "source file");
        assert_ne!(base, compile(|c| c.command.push("-O2".into())), "command");
        assert_ne!(base, compile(|c| c.env[0].value = "2".into()), "environment");
        assert_ne!(base, compile(|c| c.artifacts.push("b".into())), "artifacts");
        assert_ne!(base, compile(|c| c.limits.memory_bytes += 1), "limits");
        assert_eq!(
            base,
            with(|p| p.limits.time_milliseconds += 1),
            "a test's limits don't change the program"
        );
    }

    #[test]
    fn what_was_put_is_got_and_a_damaged_entry_is_a_miss() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(cache.get(&key(1)), None);
        cache.put(&key(1), &packed(1, 100)).unwrap();
        assert_eq!(cache.get(&key(1)), Some(artifact(1, 100)));
        let path = dir.path().join(key(1).name());
        for damage in [&b"short"[..], &[0; 200]] {
            fs::write(&path, damage).unwrap();
            assert_eq!(cache.get(&key(1)), None);
            assert!(!path.exists());
        }
        assert_eq!(cache.damaged(), 2);
        cache.put(&key(1), &packed(1, 100)).unwrap();
        let smaller = DiskCache::open(dir.path(), 90).unwrap();
        assert_eq!(smaller.get(&key(1)), None, "larger than the whole cache");
    }

    #[test]
    fn the_bound_holds_and_the_least_recently_used_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 10_000).unwrap();
        for n in 0..9 {
            cache.put(&key(n), &packed(n, 1000)).unwrap();
            let back = std::time::Duration::from_secs(100 - u64::from(n));
            let file = fs::File::open(dir.path().join(key(n).name())).unwrap();
            file.set_modified(now() - back).unwrap();
        }
        assert!(cache.get(&key(0)).is_some(), "and is the most recent now");
        cache.put(&key(9), &packed(9, 1000)).unwrap();
        let size: u64 = cache.entries().unwrap().iter().map(|e| e.size).sum();
        assert!(size <= 8000, "{size}");
        assert!(cache.get(&key(0)).is_some() && cache.get(&key(9)).is_some());
        assert!(cache.get(&key(1)).is_none() && cache.get(&key(2)).is_none());
    }

    #[test]
    fn a_cache_reopened_knows_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        DiskCache::open(dir.path(), 10_000).unwrap().put(&key(1), &packed(1, 5000)).unwrap();
        let cache = DiskCache::open(dir.path(), 10_000).unwrap();
        cache.put(&key(2), &packed(2, 6000)).unwrap();
        assert!(cache.get(&key(1)).is_none() && cache.get(&key(2)).is_some());
    }
}
