//! An [`ArtifactStore`] in memory, with a hand to damage what is in it.

use crate::checked_log::CheckedLog;
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::verified_slice::{self, SliceError};
use async_trait::async_trait;
use lampkeeper_api::store::{
    ARTIFACT_LEN_BYTES_MAX, ArtifactEntry, ArtifactStore, ByteRange, CheckedArtifact, LIST_LIMIT_MAX,
    ProvenRanges, PutOutcome, StoreError, StoreUsage,
};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Blobs in memory. Clones share them.
///
/// ```
/// use lampkeeper_plugin_sdk::api::store::ArtifactStore;
/// use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
/// use lampkeeper_plugin_sdk::testkit::{MemoryStore, VirtualScheduler};
///
/// let store = MemoryStore::new();
/// let key = ArtifactKey::of(b"light");
/// VirtualScheduler::new(0).block_on(async {
///     store.put(&key, b"light".to_vec()).await?;
///     store.damage(&key);
///     assert!(store.get(&key).await.is_err_and(|error| error.is_damage()));
///     Ok::<(), lampkeeper_plugin_sdk::api::store::StoreError>(())
/// })?;
/// # Ok::<(), lampkeeper_plugin_sdk::api::store::StoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStore {
    blobs: Arc<Mutex<BTreeMap<ArtifactKey, Vec<u8>>>>,
    capacity_bytes: u64,
    checked: Arc<CheckedLog>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_capacity_bytes(u64::MAX)
    }
}

impl MemoryStore {
    /// An empty store without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that answers [`StoreError::Full`] beyond this many bytes.
    #[must_use]
    pub fn with_capacity_bytes(capacity_bytes: u64) -> Self {
        Self { blobs: Arc::default(), capacity_bytes, checked: Arc::default() }
    }

    /// Flips a bit in the middle of a stored artifact, or makes an empty one longer; whether it was there.
    pub fn damage(&self, key: &ArtifactKey) -> bool {
        let mut blobs = self.lock();
        let Some(bytes) = blobs.get_mut(key) else { return false };
        let middle = bytes.len() / 2;
        match bytes.get_mut(middle) {
            Some(byte) => *byte ^= 1,
            None => bytes.push(0),
        }
        true
    }

    /// All keys, ascending.
    #[must_use]
    pub fn keys(&self) -> Vec<ArtifactKey> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ArtifactKey, Vec<u8>>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verified(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        let outcome = match self.lock().get(key) {
            Some(bytes) if ArtifactKey::of(bytes) != *key => Err(StoreError::Corrupt { key: *key }),
            bytes => Ok(bytes.cloned()),
        };
        self.checked.note(key, &outcome);
        outcome
    }
}

/// The bytes of a range of `artifact`.
fn slice(key: &ArtifactKey, artifact: &[u8], range: ByteRange) -> Result<Vec<u8>, StoreError> {
    let indices = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let found = indices.and_then(|(start, end)| artifact.get(start..end));
    found.map(<[u8]>::to_vec).ok_or(StoreError::OutOfRange {
        key: *key,
        start: range.start,
        end: range.end,
        len_bytes: artifact.len() as u64,
    })
}

/// Refuses what is no artifact under `key`.
pub(super) fn check_artifact(key: &ArtifactKey, bytes: &[u8]) -> Result<(), StoreError> {
    let len_bytes = bytes.len() as u64;
    if len_bytes > ARTIFACT_LEN_BYTES_MAX {
        return Err(StoreError::TooLarge { len_bytes, max_bytes: ARTIFACT_LEN_BYTES_MAX });
    }
    let actual = ArtifactKey::of(bytes);
    if actual == *key { Ok(()) } else { Err(StoreError::KeyMismatch { expected: *key, actual }) }
}

#[async_trait]
impl ArtifactStore for MemoryStore {
    async fn put(&self, key: &ArtifactKey, bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        check_artifact(key, &bytes)?;
        let mut blobs = self.lock();
        let outcome = match blobs.get(key) {
            Some(present) if *present == bytes => return Ok(PutOutcome::AlreadyPresent),
            Some(_) => PutOutcome::Replaced,
            None => PutOutcome::Stored,
        };
        let others_bytes: u64 =
            blobs.iter().filter(|(other, _)| *other != key).map(|(_, blob)| blob.len() as u64).sum();
        if others_bytes.saturating_add(bytes.len() as u64) > self.capacity_bytes {
            return Err(StoreError::Full { attempted: format!("artifact {key}") });
        }
        blobs.insert(*key, bytes);
        Ok(outcome)
    }

    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.verified(key)
    }

    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().get(key).map(|bytes| bytes.len() as u64))
    }

    async fn read_range(&self, key: &ArtifactKey, range: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        self.verified(key)?.map(|bytes| slice(key, &bytes, range)).transpose()
    }

    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        let Some(bytes) = self.verified(key)? else { return Ok(None) };
        let wanted: Vec<_> = ranges.iter().map(|range| range.start..range.end).collect();
        let slice_of = |range: &ByteRange| slice(key, &bytes, *range);
        let parts = ranges.iter().map(slice_of).collect::<Result<Vec<_>, _>>()?;
        let proof = verified_slice::prove(&bytes, &wanted)
            .map_err(|error: SliceError| StoreError::Unprovable { key: *key, reason: error.to_string() })?;
        Ok(Some(ProvenRanges { len_bytes: bytes.len() as u64, ranges: parts, slice: proof }))
    }

    async fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError> {
        Ok(self.lock().remove(key).is_some())
    }

    async fn list(&self, after: Option<ArtifactKey>, limit: usize) -> Result<Vec<ArtifactEntry>, StoreError> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.lock();
        let entries = blobs.range((first, Bound::Unbounded)).take(limit.min(LIST_LIMIT_MAX));
        Ok(entries.map(|(key, bytes)| ArtifactEntry { key: *key, len_bytes: bytes.len() as u64 }).collect())
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        let blobs = self.lock();
        let artifact_bytes = blobs.values().map(|bytes| bytes.len() as u64).sum();
        let limited = self.capacity_bytes != u64::MAX;
        Ok(StoreUsage {
            artifact_count: blobs.len() as u64,
            artifact_bytes,
            volume_total_bytes: if limited { self.capacity_bytes } else { 0 },
            volume_free_bytes: if limited { self.capacity_bytes.saturating_sub(artifact_bytes) } else { 0 },
        })
    }

    async fn take_checked(&self) -> Result<Vec<CheckedArtifact>, StoreError> {
        Ok(self.checked.take())
    }
}
