//! Where a reconstructed file is written, and read back to be checked.

use super::hasher::DataHasher;
use crate::api::staging::{STAGED_IO_LEN_BYTES_MAX, Staging};
use crate::api::store::StoreError;
use async_trait::async_trait;
use std::ops::Range;
use std::sync::Arc;

/// The most bytes that one call reads or writes.
pub const TARGET_IO_LEN_BYTES_MAX: usize = STAGED_IO_LEN_BYTES_MAX;

/// The place of a file that is being reconstructed: a staging directory, or a file of whoever downloads.
///
/// Called by one task at a time. At most [`TARGET_IO_LEN_BYTES_MAX`] bytes a call; parts are written in any order, and
/// each may be read back once it was written.
#[async_trait]
pub trait FileTarget: Send + Sync {
    /// Writes a part of the file.
    async fn write_at(&self, offset: u64, bytes: Vec<u8>) -> Result<(), TargetError>;
    /// Reads a part of the file; shorter than asked only at its end.
    async fn read_at(&self, offset: u64, len_bytes: usize) -> Result<Vec<u8>, TargetError>;
}

/// The place of the file failed. Never a verdict about a peer or a ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The staging area failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another place failed.
    #[error("{attempted}: {reason}")]
    Io {
        /// What was attempted.
        attempted: String,
        /// What went wrong.
        reason: String,
    },
}

impl TargetError {
    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Io { .. } => true,
        }
    }
}

/// The reconstructed file of a heal operation, in the staging area.
pub struct StagedFile {
    staging: Arc<dyn Staging>,
    heal_op_id: u64,
}

impl StagedFile {
    /// The file of this operation, whose directory was begun.
    #[must_use]
    pub fn new(staging: Arc<dyn Staging>, heal_op_id: u64) -> Self {
        Self { staging, heal_op_id }
    }
}

#[async_trait]
impl FileTarget for StagedFile {
    async fn write_at(&self, offset: u64, bytes: Vec<u8>) -> Result<(), TargetError> {
        Ok(self.staging.write_file_at(self.heal_op_id, offset, bytes).await?)
    }

    async fn read_at(&self, offset: u64, len_bytes: usize) -> Result<Vec<u8>, TargetError> {
        Ok(self.staging.read_file_at(self.heal_op_id, offset, len_bytes).await?)
    }
}

/// Hands every part of a range of the file, in order, to `take`.
async fn for_each_part(
    target: &dyn FileTarget,
    range: Range<u64>,
    mut take: impl FnMut(Vec<u8>) + Send,
) -> Result<(), TargetError> {
    let mut offset = range.start;
    while offset < range.end {
        let wanted = usize::try_from(range.end - offset).unwrap_or(usize::MAX).min(TARGET_IO_LEN_BYTES_MAX);
        let part = target.read_at(offset, wanted).await?;
        if part.is_empty() {
            return Err(TargetError::Io {
                attempted: format!("reading a file back up to byte {}", range.end),
                reason: format!("it ends after {offset} bytes"),
            });
        }
        offset += part.len() as u64;
        take(part);
    }
    Ok(())
}

/// Hashes the file, holding one part at a time.
pub(super) async fn hash_file(target: &dyn FileTarget, len_bytes: u64) -> Result<DataHasher, TargetError> {
    let mut hasher = DataHasher::new();
    for_each_part(target, 0..len_bytes, |part| hasher.update(&part)).await?;
    Ok(hasher)
}

/// The whole file in memory, for computing symbols from it.
///
/// # Errors
/// The place failed, or the file is shorter.
pub async fn read_whole_file(target: &dyn FileTarget, len_bytes: u64) -> Result<Vec<u8>, TargetError> {
    read_range(target, 0..len_bytes).await
}

/// A range of the file in memory.
pub(super) async fn read_range(target: &dyn FileTarget, range: Range<u64>) -> Result<Vec<u8>, TargetError> {
    let mut bytes = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or(0));
    for_each_part(target, range, |part| bytes.extend_from_slice(&part)).await?;
    Ok(bytes)
}
