//! The staging area of a disk. What is written before the seal is durable by chance only, see [`NodeDisk::crash`].

use super::NodeDisk;
use super::store::store_error;
use lampkeeper_api::BoxFuture;
use lampkeeper_api::staging::{Staging, StagingManifest, StagingState};
use lampkeeper_api::store::StoreError;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_protocol::artifact_key::ArtifactKey;

/// The staging area of a disk.
pub struct DiskStaging(pub NodeDisk);

impl DiskStaging {
    async fn read<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.0.read(work).await.map_err(|trouble| store_error(trouble, "reading the staging area"))?
    }

    async fn write<T: Send>(
        &self,
        adds: bool,
        work: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let written = self.0.write(adds, work, None).await;
        written.map_err(|trouble| store_error(trouble, "writing the staging area"))?
    }
}

#[async_trait]
impl Staging for DiskStaging {
    async fn begin(&self, heal_op_id: u64) -> Result<(), StoreError> {
        self.write(true, self.0.staging.begin(heal_op_id)).await
    }

    async fn write_file_at(&self, heal_op_id: u64, offset: u64, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.write(true, self.0.staging.write_file_at(heal_op_id, offset, bytes)).await
    }

    async fn put_artifact(
        &self,
        heal_op_id: u64,
        key: &ArtifactKey,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.write(true, self.0.staging.put_artifact(heal_op_id, key, bytes)).await
    }

    async fn seal(&self, manifest: &StagingManifest) -> Result<(), StoreError> {
        self.write(true, self.0.staging.seal(manifest)).await
    }

    async fn state(&self, heal_op_id: u64) -> Result<StagingState, StoreError> {
        self.read(self.0.staging.state(heal_op_id)).await
    }

    async fn read_file_at(
        &self,
        heal_op_id: u64,
        offset: u64,
        len_bytes: usize,
    ) -> Result<Vec<u8>, StoreError> {
        self.read(self.0.staging.read_file_at(heal_op_id, offset, len_bytes)).await
    }

    async fn get_artifact(&self, heal_op_id: u64, key: &ArtifactKey) -> Result<Vec<u8>, StoreError> {
        self.read(self.0.staging.get_artifact(heal_op_id, key)).await
    }

    async fn remove(&self, heal_op_id: u64) -> Result<(), StoreError> {
        self.write(false, self.0.staging.remove(heal_op_id)).await
    }

    async fn list(&self) -> Result<Vec<u64>, StoreError> {
        self.read(self.0.staging.list()).await
    }

    async fn usage_bytes(&self) -> Result<u64, StoreError> {
        self.read(self.0.staging.usage_bytes()).await
    }
}
