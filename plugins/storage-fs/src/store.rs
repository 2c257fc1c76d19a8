//! The artifact store as a seam.
//!
//! Owns the way from async callers to the blocking files, and the word about damage. The files are `blobs`' business.

use crate::blobs::{Blobs, OpenedStore};
use crate::guard::{DataDirError, DataDirOwner};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, blocking};
use lampkeeper_plugin_sdk::api::store::{
    ArtifactEntry, ArtifactStore, ByteRange, CheckedArtifact, ProvenRanges, PutOutcome, StoreError,
    StoreUsage,
};
use lampkeeper_plugin_sdk::api::telemetry::{Level, Telemetry, Value};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::checked_log::CheckedLog;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::path::Path;
use std::sync::Arc;

/// Artifacts as files of one directory, which it has for itself.
pub struct FsStore {
    scheduler: Arc<dyn Scheduler>,
    blobs: Arc<Blobs>,
    telemetry: Arc<dyn Telemetry>,
    checked: CheckedLog,
}

impl FsStore {
    /// Opens the store in `dir`, creating it if it is not there.
    ///
    /// # Errors
    /// If the directory belongs to another node, is in use, or can't be written.
    pub async fn open(
        scheduler: Arc<dyn Scheduler>,
        dir: &Path,
        owner: &DataDirOwner,
        telemetry: Arc<dyn Telemetry>,
    ) -> Result<(Self, OpenedStore), DataDirError> {
        let (root, owner) = (dir.to_owned(), owner.clone());
        let outcome = blocking(&*scheduler, "store-open", move || Blobs::open(&root, &owner)).await;
        let (blobs, opened) = outcome.unwrap_or_else(|failure| {
            Err(DataDirError::Io {
                dir: dir.to_owned(),
                attempted: "opening the store".to_owned(),
                reason: failure.to_string(),
            })
        })?;
        let checked = CheckedLog::default();
        Ok((Self { scheduler, blobs: Arc::new(blobs), telemetry, checked }, opened))
    }

    /// Gives the directory back; calls fail from now on.
    pub fn close(&self) {
        self.blobs.close();
    }

    async fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Blobs) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let blobs = Arc::clone(&self.blobs);
        let outcome = blocking(&*self.scheduler, name, move || {
            blobs.check_open()?;
            work(&blobs)
        })
        .await
        .unwrap_or_else(|failure| Err(StoreError::Unavailable { reason: failure.to_string() }));
        if let Err(error) = &outcome
            && error.is_damage()
        {
            self.telemetry.count("store_damaged_reads_total", &[], 1);
            self.telemetry.log(
                Level::Warn,
                "a stored artifact is damaged",
                &[("error", Value::from(error.to_string()))],
            );
        }
        outcome
    }
}

#[async_trait]
impl ArtifactStore for FsStore {
    async fn put(&self, key: &ArtifactKey, bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        let key = *key;
        self.run("store-put", move |blobs| blobs.put(&key, &bytes)).await
    }

    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        let key = *key;
        let outcome = self.run("store-get", move |blobs| blobs.get(&key)).await;
        self.checked.note(&key, &outcome);
        outcome
    }

    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        let key = *key;
        self.run("store-size", move |blobs| blobs.size(&key)).await
    }

    async fn read_range(&self, key: &ArtifactKey, range: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        let key = *key;
        let outcome = self.run("store-read-range", move |blobs| blobs.read_range(&key, range)).await;
        self.checked.note(&key, &outcome);
        outcome
    }

    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        let (key, ranges) = (*key, ranges.to_vec());
        let outcome = self.run("store-prove-ranges", move |blobs| blobs.prove_ranges(&key, &ranges)).await;
        self.checked.note(&key, &outcome);
        outcome
    }

    async fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError> {
        let key = *key;
        self.run("store-delete", move |blobs| blobs.delete(&key)).await
    }

    async fn list(&self, after: Option<ArtifactKey>, limit: usize) -> Result<Vec<ArtifactEntry>, StoreError> {
        self.run("store-list", move |blobs| blobs.list(after, limit)).await
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.run("store-usage", Blobs::usage).await
    }

    async fn take_checked(&self) -> Result<Vec<CheckedArtifact>, StoreError> {
        Ok(self.checked.take())
    }
}
