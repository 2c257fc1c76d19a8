//! The staging area as a seam.
//!
//! Owns the way from async callers to the blocking files. The files are `staging_area`'s business.

use crate::guard::{DataDirError, DataDirOwner};
use crate::staging_area::StagingArea;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, blocking};
use lampkeeper_plugin_sdk::api::staging::{Staging, StagingManifest, StagingState};
use lampkeeper_plugin_sdk::api::store::StoreError;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::path::Path;
use std::sync::Arc;

/// Reconstructions as directories of one directory, which it has for itself.
pub struct FsStaging {
    scheduler: Arc<dyn Scheduler>,
    area: Arc<StagingArea>,
}

impl FsStaging {
    /// Opens the staging area in `dir`, creating it if it is not there.
    ///
    /// # Errors
    /// If the directory belongs to another node, is in use, or can't be written.
    pub async fn open(
        scheduler: Arc<dyn Scheduler>,
        dir: &Path,
        owner: &DataDirOwner,
    ) -> Result<Self, DataDirError> {
        let (root, owner) = (dir.to_owned(), owner.clone());
        let outcome = blocking(&*scheduler, "staging-open", move || StagingArea::open(&root, &owner)).await;
        let area = outcome.unwrap_or_else(|failure| {
            Err(DataDirError::Io {
                dir: dir.to_owned(),
                attempted: "opening the staging area".to_owned(),
                reason: failure.to_string(),
            })
        })?;
        Ok(Self { scheduler, area: Arc::new(area) })
    }

    /// Gives the directory back; calls fail from now on.
    pub fn close(&self) {
        self.area.close();
    }

    async fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&StagingArea) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let area = Arc::clone(&self.area);
        blocking(&*self.scheduler, name, move || {
            area.check_open()?;
            work(&area)
        })
        .await
        .unwrap_or_else(|failure| Err(StoreError::Unavailable { reason: failure.to_string() }))
    }
}

#[async_trait]
impl Staging for FsStaging {
    async fn begin(&self, heal_op_id: u64) -> Result<(), StoreError> {
        self.run("staging-begin", move |area| area.begin(heal_op_id)).await
    }

    async fn write_file_at(&self, heal_op_id: u64, offset: u64, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.run("staging-write", move |area| area.write_file_at(heal_op_id, offset, &bytes)).await
    }

    async fn put_artifact(
        &self,
        heal_op_id: u64,
        key: &ArtifactKey,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        let key = *key;
        self.run("staging-put", move |area| area.put_artifact(heal_op_id, &key, &bytes)).await
    }

    async fn seal(&self, manifest: &StagingManifest) -> Result<(), StoreError> {
        let manifest = manifest.clone();
        self.run("staging-seal", move |area| area.seal(&manifest)).await
    }

    async fn state(&self, heal_op_id: u64) -> Result<StagingState, StoreError> {
        self.run("staging-state", move |area| area.state(heal_op_id)).await
    }

    async fn read_file_at(
        &self,
        heal_op_id: u64,
        offset: u64,
        len_bytes: usize,
    ) -> Result<Vec<u8>, StoreError> {
        self.run("staging-read", move |area| area.read_file_at(heal_op_id, offset, len_bytes)).await
    }

    async fn get_artifact(&self, heal_op_id: u64, key: &ArtifactKey) -> Result<Vec<u8>, StoreError> {
        let key = *key;
        self.run("staging-get", move |area| area.get_artifact(heal_op_id, &key)).await
    }

    async fn remove(&self, heal_op_id: u64) -> Result<(), StoreError> {
        self.run("staging-remove", move |area| area.remove(heal_op_id)).await
    }

    async fn list(&self) -> Result<Vec<u64>, StoreError> {
        self.run("staging-list", StagingArea::list).await
    }

    async fn usage_bytes(&self) -> Result<u64, StoreError> {
        self.run("staging-usage", StagingArea::usage_bytes).await
    }
}
