//! A [`Staging`] area in memory.

use super::store::check_artifact;
use crate::protocol::artifact_key::ArtifactKey;
use async_trait::async_trait;
use lampkeeper_api::staging::{
    STAGED_ARTIFACTS_MAX, STAGED_IO_LEN_BYTES_MAX, Staging, StagingManifest, StagingState,
};
use lampkeeper_api::store::StoreError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The largest file that it takes, so that an offset can't ask for all memory.
const FILE_LEN_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Reconstructions in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStaging {
    directories: Arc<Mutex<BTreeMap<u64, Directory>>>,
}

#[derive(Debug, Default)]
struct Directory {
    file: Vec<u8>,
    artifacts: BTreeMap<ArtifactKey, Vec<u8>>,
    manifest: Option<StagingManifest>,
    is_manifest_damaged: bool,
}

impl MemoryStaging {
    /// An empty staging area.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Flips a bit in a staged artifact; whether it was there.
    pub fn damage_artifact(&self, heal_op_id: u64, key: &ArtifactKey) -> bool {
        let mut directories = self.lock();
        let artifact =
            directories.get_mut(&heal_op_id).and_then(|directory| directory.artifacts.get_mut(key));
        artifact.and_then(|bytes| bytes.first_mut()).map(|byte| *byte ^= 1).is_some()
    }

    /// Makes a directory's manifest unreadable; whether there was one.
    pub fn damage_manifest(&self, heal_op_id: u64) -> bool {
        let mut directories = self.lock();
        let directory = directories.get_mut(&heal_op_id).filter(|directory| directory.manifest.is_some());
        directory.map(|directory| directory.is_manifest_damaged = true).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Directory>> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wrong_state(attempted: String, reason: &str) -> StoreError {
    StoreError::WrongState { attempted, reason: reason.to_owned() }
}

/// The directory of an operation, if it may still be written.
fn unsealed<'a>(
    directories: &'a mut BTreeMap<u64, Directory>,
    heal_op_id: u64,
    attempted: &str,
) -> Result<&'a mut Directory, StoreError> {
    let attempted = || format!("{attempted} of heal operation {heal_op_id}");
    match directories.get_mut(&heal_op_id) {
        None => Err(wrong_state(attempted(), "it was not begun")),
        Some(directory) if directory.manifest.is_some() => Err(wrong_state(attempted(), "it is sealed")),
        Some(directory) => Ok(directory),
    }
}

fn check_len(len_bytes: usize) -> Result<(), StoreError> {
    if len_bytes <= STAGED_IO_LEN_BYTES_MAX {
        return Ok(());
    }
    Err(StoreError::TooLarge { len_bytes: len_bytes as u64, max_bytes: STAGED_IO_LEN_BYTES_MAX as u64 })
}

impl Directory {
    /// Why the manifest does not fit what was staged.
    fn misfit(&self, manifest: &StagingManifest) -> Option<String> {
        if manifest.artifacts.len() > STAGED_ARTIFACTS_MAX {
            return Some(format!("it names more than {STAGED_ARTIFACTS_MAX} artifacts"));
        }
        let len_bytes = self.file.len() as u64;
        if len_bytes != manifest.file_len_bytes {
            return Some(format!("the file has {len_bytes} bytes, not {}", manifest.file_len_bytes));
        }
        let is_staged = |key, len_bytes: u64| {
            self.artifacts.get(key).is_some_and(|bytes| bytes.len() as u64 == len_bytes)
        };
        let missing = manifest.artifacts.iter().find(|entry| !is_staged(&entry.key, entry.len_bytes))?;
        Some(format!("artifact {} of {} bytes was not staged", missing.key, missing.len_bytes))
    }
}

#[async_trait]
impl Staging for MemoryStaging {
    async fn begin(&self, heal_op_id: u64) -> Result<(), StoreError> {
        self.lock().insert(heal_op_id, Directory::default());
        Ok(())
    }

    async fn write_file_at(&self, heal_op_id: u64, offset: u64, bytes: Vec<u8>) -> Result<(), StoreError> {
        check_len(bytes.len())?;
        let mut directories = self.lock();
        let directory = unsealed(&mut directories, heal_op_id, "writing the file")?;
        let end = offset.saturating_add(bytes.len() as u64);
        if end > FILE_LEN_BYTES_MAX {
            return Err(StoreError::TooLarge { len_bytes: end, max_bytes: FILE_LEN_BYTES_MAX });
        }
        let (start, end) = (offset as usize, end as usize);
        if directory.file.len() < end {
            directory.file.resize(end, 0);
        }
        directory.file[start..end].copy_from_slice(&bytes);
        Ok(())
    }

    async fn put_artifact(
        &self,
        heal_op_id: u64,
        key: &ArtifactKey,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        check_artifact(key, &bytes)?;
        let mut directories = self.lock();
        let directory = unsealed(&mut directories, heal_op_id, "adding an artifact")?;
        if directory.artifacts.len() >= STAGED_ARTIFACTS_MAX && !directory.artifacts.contains_key(key) {
            return Err(StoreError::Full {
                attempted: format!("one more artifact of heal operation {heal_op_id}"),
            });
        }
        directory.artifacts.insert(*key, bytes);
        Ok(())
    }

    async fn seal(&self, manifest: &StagingManifest) -> Result<(), StoreError> {
        let heal_op_id = manifest.heal_op_id;
        let mut directories = self.lock();
        let directory = unsealed(&mut directories, heal_op_id, "sealing the directory")?;
        if let Some(misfit) = directory.misfit(manifest) {
            return Err(wrong_state(
                format!("sealing the directory of heal operation {heal_op_id}"),
                &misfit,
            ));
        }
        directory.manifest = Some(manifest.clone());
        Ok(())
    }

    async fn state(&self, heal_op_id: u64) -> Result<StagingState, StoreError> {
        Ok(match self.lock().get(&heal_op_id) {
            None => StagingState::Absent,
            Some(Directory { is_manifest_damaged: true, .. }) => {
                StagingState::Damaged { reason: "the manifest can't be read".to_owned() }
            }
            Some(Directory { manifest: None, .. }) => StagingState::Unsealed,
            Some(Directory { manifest: Some(manifest), .. }) => {
                StagingState::Sealed(Box::new(manifest.clone()))
            }
        })
    }

    async fn read_file_at(
        &self,
        heal_op_id: u64,
        offset: u64,
        len_bytes: usize,
    ) -> Result<Vec<u8>, StoreError> {
        check_len(len_bytes)?;
        let directories = self.lock();
        let directory = directories.get(&heal_op_id).ok_or_else(|| {
            wrong_state(format!("reading the file of heal operation {heal_op_id}"), "it was not begun")
        })?;
        let file = &directory.file;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let end = start.saturating_add(len_bytes).min(file.len());
        Ok(file[start..end].to_vec())
    }

    async fn get_artifact(&self, heal_op_id: u64, key: &ArtifactKey) -> Result<Vec<u8>, StoreError> {
        let directories = self.lock();
        let bytes = directories.get(&heal_op_id).and_then(|directory| directory.artifacts.get(key));
        match bytes {
            None => {
                let attempted = format!("reading artifact {key} of heal operation {heal_op_id}");
                Err(wrong_state(attempted, "it was not staged"))
            }
            Some(bytes) if ArtifactKey::of(bytes) != *key => Err(StoreError::Corrupt { key: *key }),
            Some(bytes) => Ok(bytes.clone()),
        }
    }

    async fn remove(&self, heal_op_id: u64) -> Result<(), StoreError> {
        self.lock().remove(&heal_op_id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<u64>, StoreError> {
        Ok(self.lock().keys().copied().collect())
    }

    async fn usage_bytes(&self) -> Result<u64, StoreError> {
        let directories = self.lock();
        let artifact_bytes =
            directories.values().flat_map(|directory| directory.artifacts.values()).map(Vec::len);
        let file_bytes = directories.values().map(|directory| directory.file.len());
        Ok(artifact_bytes.chain(file_bytes).map(|len| len as u64).sum())
    }
}
