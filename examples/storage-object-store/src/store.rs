//! The store seam over an object store.
//!
//! An artifact's path is the hex of its key, two letters of it as a folder, so that paths sort as keys do. Whatever is
//! read is hashed before it is passed on. Objects appear whole or not at all: every backend of `object_store` promises
//! that of `put`.

use futures::{StreamExt as _, TryStreamExt as _};
use lampkeeper_plugin_sdk::api::store::{
    ARTIFACT_LEN_BYTES_MAX, ArtifactEntry, ArtifactStore, ByteRange, LIST_LIMIT_MAX, ProvenRanges,
    PutOutcome, StoreError, StoreUsage,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::verified_slice;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Artifacts in an object store.
pub struct ObjectArtifacts {
    backend: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ObjectArtifacts {
    /// Artifacts under a prefix of a backend.
    pub fn new(backend: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { backend, prefix }
    }

    /// Asks for something, to see whether the backend answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut objects = self.backend.list(Some(&self.prefix));
        let first = objects.next().await.transpose();
        first.map(drop).map_err(|error| failed("asking the object store", &error))
    }

    fn path(&self, key: &ArtifactKey) -> Path {
        let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.prefix.clone().join(&hex[..2]).join(hex.as_str())
    }

    /// The bytes under a key, whatever they are; at most a little more than an artifact may have.
    async fn raw(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        let attempted = "reading an artifact";
        let object = match self.backend.get(&self.path(key)).await {
            Ok(object) => object,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(attempted, &error)),
        };
        if object.meta.size > ARTIFACT_LEN_BYTES_MAX {
            return Err(StoreError::Corrupt { key: *key });
        }
        let bytes = object.bytes().await.map_err(|error| failed(attempted, &error))?;
        Ok(Some(bytes.into()))
    }

    async fn verified(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        match self.raw(key).await? {
            Some(bytes) if ArtifactKey::of(&bytes) != *key => Err(StoreError::Corrupt { key: *key }),
            bytes => Ok(bytes),
        }
    }

    /// The artifact that an object is; `None` for what others have put there.
    fn entry(&self, object: &ObjectMeta) -> Option<ArtifactEntry> {
        let hex = object.location.filename()?;
        let bytes: Option<Vec<u8>> =
            (0..32).map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()).collect();
        let key = ArtifactKey::from_bytes(bytes?.try_into().ok()?);
        (self.path(&key) == object.location).then_some(ArtifactEntry { key, len_bytes: object.size })
    }
}

fn failed(attempted: &str, error: &Error) -> StoreError {
    StoreError::Io { attempted: attempted.to_owned(), reason: error.to_string() }
}

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

#[async_trait]
impl ArtifactStore for ObjectArtifacts {
    async fn put(&self, key: &ArtifactKey, bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        let len_bytes = bytes.len() as u64;
        if len_bytes > ARTIFACT_LEN_BYTES_MAX {
            return Err(StoreError::TooLarge { len_bytes, max_bytes: ARTIFACT_LEN_BYTES_MAX });
        }
        let actual = ArtifactKey::of(&bytes);
        if actual != *key {
            return Err(StoreError::KeyMismatch { expected: *key, actual });
        }
        let outcome = match self.verified(key).await {
            Ok(Some(_)) => return Ok(PutOutcome::AlreadyPresent),
            Ok(None) => PutOutcome::Stored,
            Err(error) if error.is_damage() => PutOutcome::Replaced,
            Err(error) => return Err(error),
        };
        let put = self.backend.put(&self.path(key), bytes.into()).await;
        put.map(|_| outcome).map_err(|error| failed("storing an artifact", &error))
    }

    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.verified(key).await
    }

    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        match self.backend.head(&self.path(key)).await {
            Ok(object) => Ok(Some(object.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("asking for the size of an artifact", &error)),
        }
    }

    async fn read_range(&self, key: &ArtifactKey, range: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        self.verified(key).await?.map(|bytes| slice(key, &bytes, range)).transpose()
    }

    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        let Some(bytes) = self.verified(key).await? else { return Ok(None) };
        let wanted: Vec<_> = ranges.iter().map(|range| range.start..range.end).collect();
        let slice_of = |range: &ByteRange| slice(key, &bytes, *range);
        let parts = ranges.iter().map(slice_of).collect::<Result<Vec<_>, _>>()?;
        let proof = verified_slice::prove(&bytes, &wanted)
            .map_err(|error| StoreError::Unprovable { key: *key, reason: error.to_string() })?;
        Ok(Some(ProvenRanges { len_bytes: bytes.len() as u64, ranges: parts, slice: proof }))
    }

    async fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError> {
        // Some backends say nothing of objects that were not there.
        let was_here = self.size(key).await?.is_some();
        match self.backend.delete(&self.path(key)).await {
            Ok(()) => Ok(was_here),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed("deleting an artifact", &error)),
        }
    }

    async fn list(&self, after: Option<ArtifactKey>, limit: usize) -> Result<Vec<ArtifactEntry>, StoreError> {
        let limit = limit.min(LIST_LIMIT_MAX);
        let mut objects = match &after {
            Some(key) => self.backend.list_with_offset(Some(&self.prefix), &self.path(key)),
            None => self.backend.list(Some(&self.prefix)),
        };
        // Not every backend lists in order: the smallest keys so far are kept.
        let mut entries: BTreeMap<ArtifactKey, ArtifactEntry> = BTreeMap::new();
        while let Some(object) =
            objects.try_next().await.map_err(|error| failed("listing artifacts", &error))?
        {
            let entry = self.entry(&object).filter(|entry| after.is_none_or(|after| entry.key > after));
            entries.extend(entry.map(|entry| (entry.key, entry)));
            if entries.len() > limit {
                entries.pop_last();
            }
        }
        Ok(entries.into_values().collect())
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        let mut objects = self.backend.list(Some(&self.prefix));
        let mut usage = StoreUsage::default();
        while let Some(object) =
            objects.try_next().await.map_err(|error| failed("counting artifacts", &error))?
        {
            if let Some(entry) = self.entry(&object) {
                usage.artifact_count += 1;
                usage.artifact_bytes += entry.len_bytes;
            }
        }
        Ok(usage)
    }
}
