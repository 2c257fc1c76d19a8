//! The artifact store of a disk.

use super::futures_now::now;
use super::{NodeDisk, Tear, Trouble};
use crate::sim::defect::Defect;
use lampkeeper_api::store::{
    ArtifactEntry, ArtifactStore, ByteRange, CheckedArtifact, ProvenRanges, PutOutcome, StoreError,
    StoreUsage,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_protocol::artifact_key::ArtifactKey;

/// The store of a disk.
pub struct DiskStore(pub NodeDisk);

pub(super) fn store_error(trouble: Trouble, attempted: &str) -> StoreError {
    let attempted = attempted.to_owned();
    match trouble {
        Trouble::Io => StoreError::Io { attempted, reason: "injected disk fault".to_owned() },
        Trouble::Full => StoreError::Full { attempted },
    }
}

impl DiskStore {
    async fn read<T>(
        &self,
        attempted: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.0.read(work).await.map_err(|trouble| store_error(trouble, attempted))?
    }
}

#[async_trait]
impl ArtifactStore for DiskStore {
    async fn put(&self, key: &ArtifactKey, bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        let store = &self.0.store;
        if self.0.owner().suffers(Defect::KeepsNothing) {
            return Ok(PutOutcome::Stored);
        }
        let is_new = matches!(now(store.size(key)), Ok(None));
        let tear: Tear<'_> = Box::new(|| self.0.tear(key));
        let written = self.0.write(true, store.put(key, bytes), is_new.then_some(tear)).await;
        written.map_err(|trouble| store_error(trouble, "writing an artifact"))?
    }

    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("reading an artifact", self.0.store.get(key)).await
    }

    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        self.read("looking for an artifact", self.0.store.size(key)).await
    }

    async fn read_range(&self, key: &ArtifactKey, range: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("reading a range", self.0.store.read_range(key, range)).await
    }

    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        self.read("proving ranges", self.0.store.prove_ranges(key, ranges)).await
    }

    async fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError> {
        let deleted = self.0.write(false, self.0.store.delete(key), None).await;
        deleted.map_err(|trouble| store_error(trouble, "deleting an artifact"))?
    }

    async fn list(&self, after: Option<ArtifactKey>, limit: usize) -> Result<Vec<ArtifactEntry>, StoreError> {
        self.read("listing artifacts", self.0.store.list(after, limit)).await
    }

    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.read("measuring the store", self.0.store.usage()).await
    }

    async fn take_checked(&self) -> Result<Vec<CheckedArtifact>, StoreError> {
        self.0.store.take_checked().await
    }
}
