//! The files of the artifact store: `<root>/<first byte of the key in hex>/<key in base58>`.
//!
//! Owns their layout, their durability and the count of them. Everything here blocks; `store` moves it off the caller's
//! thread.
//!
//! An artifact is written to `<root>/tmp`, synced, renamed into its place, and the directory is synced. A crash leaves it
//! whole or not there. Reading never trusts the disk: every byte that is returned was hashed against the key in the same
//! call, which costs one read and one hash however many ranges are asked (wire 3.4 pays that for each).

use crate::files::{self, Contents, TemporaryFile, store_error};
use crate::guard::{DataDirError, DataDirGuard, DataDirOwner};
use lampkeeper_plugin_sdk::api::store::{
    ARTIFACT_LEN_BYTES_MAX, ArtifactEntry, ByteRange, LIST_LIMIT_MAX, ProvenRanges, PutOutcome, StoreError,
    StoreUsage,
};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::verified_slice;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One for each value of a key's first byte. With a million artifacts a directory has some 4,000 entries.
const SHARD_COUNT: usize = 256;
const TEMPORARY_DIR: &str = "tmp";

/// What was found when the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenedStore {
    /// Number of artifacts.
    pub artifact_count: u64,
    /// Bytes in artifacts.
    pub artifact_bytes: u64,
    /// Unfinished files of an earlier run, which were removed.
    pub leftovers_removed: u64,
}

/// The directory of the keys that begin with one byte.
#[derive(Debug)]
struct Shard {
    /// Held by whoever changes the directory's entries. `true` while entries may be visible that a power loss would
    /// undo; so it is after a start, which may follow a crash.
    unsynced: Mutex<bool>,
    artifact_count: AtomicU64,
    artifact_bytes: AtomicU64,
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands where an artifact belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Damaged,
    Intact,
}

/// The store's files.
#[derive(Debug)]
pub(crate) struct Blobs {
    root: PathBuf,
    shards: Vec<Shard>,
    /// `None` once the store is closed.
    guard: Mutex<Option<DataDirGuard>>,
}

impl Blobs {
    /// Locks the directory, removes what a crash left unfinished, and counts what is there.
    pub(crate) fn open(root: &Path, owner: &DataDirOwner) -> Result<(Self, OpenedStore), DataDirError> {
        let guard = DataDirGuard::acquire(root, owner)?;
        let io = |attempted: &str, error: &io::Error| DataDirError::Io {
            dir: root.to_owned(),
            attempted: attempted.to_owned(),
            reason: files::explain(error),
        };
        let temporary_dir = root.join(TEMPORARY_DIR);
        files::create_dir(&temporary_dir).map_err(|error| io("creating its temporary directory", &error))?;
        let leftovers_removed = files::remove_leftovers(&temporary_dir)
            .map_err(|error| io("removing unfinished files of an earlier run", &error))?;
        let new_shard = |_| Shard {
            unsynced: Mutex::new(true),
            artifact_count: AtomicU64::new(0),
            artifact_bytes: AtomicU64::new(0),
        };
        let blobs = Self {
            root: root.to_owned(),
            shards: (0..SHARD_COUNT).map(new_shard).collect(),
            guard: Mutex::new(Some(guard)),
        };
        for shard in 0..=u8::MAX {
            blobs.count(shard).map_err(|error| io("counting its artifacts", &error))?;
        }
        let (artifact_count, artifact_bytes) = blobs.totals();
        let opened = OpenedStore { artifact_count, artifact_bytes, leftovers_removed };
        Ok((blobs, opened))
    }

    /// Gives the directory back. Calls fail from now on.
    pub(crate) fn close(&self) {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Refuses when the directory is no longer this store's.
    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        match *self.guard.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(_) => Ok(()),
            None => Err(StoreError::Unavailable { reason: "it was closed".to_owned() }),
        }
    }

    pub(crate) fn put(&self, key: &ArtifactKey, bytes: &[u8]) -> Result<PutOutcome, StoreError> {
        check_artifact(key, bytes)?;
        let failed = |error: io::Error| store_error(format!("storing artifact {key}"), &error);
        let found = self.inspect(key)?;
        let shard = self.shard(key);
        if found == Found::Intact {
            self.sync(key, &mut shard.lock()).map_err(failed)?;
            return Ok(PutOutcome::AlreadyPresent);
        }
        // Only the renaming of one shard's artifacts is one after another. A put waits for two syncs, but a file system
        // writes those of many callers in one go: 64 puts at once take hardly longer than one (benches/store.rs).
        let temporary = TemporaryFile::write(&self.root.join(TEMPORARY_DIR), bytes).map_err(failed)?;
        let mut unsynced = shard.lock();
        let was_there = self.put_in_place(key, temporary, &mut unsynced).map_err(failed)?;
        let outcome = match (found, was_there) {
            (_, false) => PutOutcome::Stored,
            (Found::Damaged, true) => PutOutcome::Replaced,
            // Somebody stored the same artifact in the meantime.
            (Found::Nothing | Found::Intact, true) => PutOutcome::AlreadyPresent,
        };
        match outcome {
            PutOutcome::Stored => {
                shard.artifact_count.fetch_add(1, Ordering::Relaxed);
                shard.artifact_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            // The damaged file may have had another length now than when it was counted.
            PutOutcome::Replaced => self.count(key.as_bytes()[0]).map_err(failed)?,
            PutOutcome::AlreadyPresent => {}
        }
        self.sync(key, &mut unsynced).map_err(failed)?;
        Ok(outcome)
    }

    pub(crate) fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        let failed = |error: io::Error| store_error(format!("reading artifact {key}"), &error);
        match files::read(&self.path(key), ARTIFACT_LEN_BYTES_MAX).map_err(failed)? {
            Contents::Absent => Ok(None),
            Contents::Bytes(bytes) if ArtifactKey::of(&bytes) == *key => Ok(Some(bytes)),
            Contents::Bytes(_) | Contents::TooLong { .. } => Err(StoreError::Corrupt { key: *key }),
        }
    }

    pub(crate) fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        files::len_of(&self.path(key))
            .map_err(|error| store_error(format!("looking for artifact {key}"), &error))
    }

    pub(crate) fn read_range(
        &self,
        key: &ArtifactKey,
        range: ByteRange,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(key)?.map(|bytes| cut(key, &bytes, range)).transpose()
    }

    pub(crate) fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        let Some(bytes) = self.get(key)? else { return Ok(None) };
        let cuts = ranges.iter().map(|range| cut(key, &bytes, *range)).collect::<Result<_, _>>()?;
        let asked: Vec<_> = ranges.iter().map(|range| range.start..range.end).collect();
        let slice = verified_slice::prove(&bytes, &asked)
            .map_err(|error| StoreError::Unprovable { key: *key, reason: error.to_string() })?;
        Ok(Some(ProvenRanges { len_bytes: bytes.len() as u64, ranges: cuts, slice }))
    }

    pub(crate) fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError> {
        let failed = |error: io::Error| store_error(format!("deleting artifact {key}"), &error);
        let shard = self.shard(key);
        let mut unsynced = shard.lock();
        let path = self.path(key);
        let Some(len_bytes) = files::len_of(&path).map_err(failed)? else { return Ok(false) };
        std::fs::remove_file(&path).map_err(failed)?;
        *unsynced = true;
        shard.artifact_count.fetch_sub(1, Ordering::Relaxed);
        // Under the lock nobody else changes it. A file that was made longer behind the store's back is not allowed to
        // take more away than there is; the next start counts again.
        let artifact_bytes = shard.artifact_bytes.load(Ordering::Relaxed).saturating_sub(len_bytes);
        shard.artifact_bytes.store(artifact_bytes, Ordering::Relaxed);
        self.sync(key, &mut unsynced).map_err(failed)?;
        Ok(true)
    }

    pub(crate) fn list(
        &self,
        after: Option<ArtifactKey>,
        limit: usize,
    ) -> Result<Vec<ArtifactEntry>, StoreError> {
        let limit = limit.min(LIST_LIMIT_MAX);
        let first_shard = after.map_or(0, |key| key.as_bytes()[0]);
        let mut listed = Vec::new();
        for shard in first_shard..=u8::MAX {
            if listed.len() >= limit {
                break;
            }
            let mut entries =
                self.entries(shard).map_err(|error| store_error("listing artifacts", &error))?;
            entries.retain(|entry| after.is_none_or(|after| entry.key > after));
            entries.sort_unstable_by_key(|entry| entry.key);
            listed.append(&mut entries);
        }
        listed.truncate(limit);
        Ok(listed)
    }

    pub(crate) fn usage(&self) -> Result<StoreUsage, StoreError> {
        let volume = rustix::fs::statvfs(&self.root)
            .map_err(|errno| store_error("asking how full the artifact volume is", &errno.into()))?;
        let (artifact_count, artifact_bytes) = self.totals();
        Ok(StoreUsage {
            artifact_count,
            artifact_bytes,
            volume_total_bytes: usable_blocks(&volume).saturating_mul(volume.f_frsize),
            volume_free_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
        })
    }

    fn inspect(&self, key: &ArtifactKey) -> Result<Found, StoreError> {
        match self.get(key) {
            Ok(None) => Ok(Found::Nothing),
            Ok(Some(_)) => Ok(Found::Intact),
            Err(error) if error.is_damage() => Ok(Found::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Number and bytes of all artifacts.
    fn totals(&self) -> (u64, u64) {
        let sum = |of: fn(&Shard) -> &AtomicU64| {
            self.shards.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum()
        };
        (sum(|shard| &shard.artifact_count), sum(|shard| &shard.artifact_bytes))
    }

    /// Counts the artifacts of a shard anew; its entries may not change meanwhile.
    fn count(&self, shard: u8) -> io::Result<()> {
        let entries = self.entries(shard)?;
        let artifact_bytes = entries.iter().map(|entry| entry.len_bytes).sum();
        let shard = &self.shards[usize::from(shard)];
        shard.artifact_count.store(entries.len() as u64, Ordering::Relaxed);
        shard.artifact_bytes.store(artifact_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Renames a file over what is there; whether something was.
    fn put_in_place(
        &self,
        key: &ArtifactKey,
        temporary: TemporaryFile,
        unsynced: &mut bool,
    ) -> io::Result<bool> {
        let path = self.path(key);
        let was_there = files::len_of(&path)?.is_some();
        let dir = self.shard_dir(key.as_bytes()[0]);
        if !was_there && !dir.is_dir() {
            files::create_dir(&dir)?;
            files::sync_dir(&self.root)?;
        }
        *unsynced = true;
        temporary.rename_to(&path)?;
        Ok(was_there)
    }

    /// Makes the entries of a key's shard durable, if they are not yet.
    fn sync(&self, key: &ArtifactKey, unsynced: &mut bool) -> io::Result<()> {
        if *unsynced {
            files::sync_dir(&self.shard_dir(key.as_bytes()[0]))?;
            *unsynced = false;
        }
        Ok(())
    }

    /// The artifacts of one shard, in no order. Files that are not named like one are left alone.
    fn entries(&self, shard: u8) -> io::Result<Vec<ArtifactEntry>> {
        let dir = match std::fs::read_dir(self.shard_dir(shard)) {
            Ok(dir) => dir,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for entry in dir {
            let entry = entry?;
            let Some(key) = entry.file_name().to_str().and_then(|name| name.parse::<ArtifactKey>().ok())
            else {
                continue;
            };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Deleted since the directory was read.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if metadata.is_file() && key.as_bytes()[0] == shard {
                entries.push(ArtifactEntry { key, len_bytes: metadata.len() });
            }
        }
        Ok(entries)
    }

    fn shard(&self, key: &ArtifactKey) -> &Shard {
        &self.shards[usize::from(key.as_bytes()[0])]
    }

    fn shard_dir(&self, shard: u8) -> PathBuf {
        self.root.join(format!("{shard:02x}"))
    }

    fn path(&self, key: &ArtifactKey) -> PathBuf {
        self.shard_dir(key.as_bytes()[0]).join(key.to_string())
    }
}

/// Refuses bytes that are too many or not the key's.
pub(crate) fn check_artifact(key: &ArtifactKey, bytes: &[u8]) -> Result<(), StoreError> {
    let len_bytes = bytes.len() as u64;
    if len_bytes > ARTIFACT_LEN_BYTES_MAX {
        return Err(StoreError::TooLarge { len_bytes, max_bytes: ARTIFACT_LEN_BYTES_MAX });
    }
    let actual = ArtifactKey::of(bytes);
    if actual == *key { Ok(()) } else { Err(StoreError::KeyMismatch { expected: *key, actual }) }
}

fn cut(key: &ArtifactKey, bytes: &[u8], range: ByteRange) -> Result<Vec<u8>, StoreError> {
    let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    bounds.and_then(|(start, end)| bytes.get(start..end)).map(<[u8]>::to_vec).ok_or(StoreError::OutOfRange {
        key: *key,
        start: range.start,
        end: range.end,
        len_bytes: bytes.len() as u64,
    })
}

/// What is used and what this user may still use, as `df` counts it. Blocks reserved for root are neither: counted as
/// used, they would report a volume with room as full.
fn usable_blocks(volume: &rustix::fs::StatVfs) -> u64 {
    volume.f_blocks.saturating_sub(volume.f_bfree).saturating_add(volume.f_bavail)
}
