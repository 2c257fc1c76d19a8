//! Where a heal operation's reconstruction waits for its verdict.
//!
//! Owns the [`Staging`] seam: one directory an operation, with the reconstructed file, the artifacts to publish and a
//! manifest that is written last. When to publish or drop a directory is the healing service's decision.

use crate::store::StoreError;
use crate::{Account, TicketId};
use lampkeeper_api_macros::seam;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use serde::{Deserialize, Serialize};

/// The most bytes that one call reads from or appends to a staged file.
pub const STAGED_IO_LEN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most artifacts that a manifest may name: the symbols of a 1280 MiB file and its id files.
pub const STAGED_ARTIFACTS_MAX: usize = 200_000;

/// An artifact to publish once the operation is VERIFIED.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedArtifact {
    /// Its key; the bytes in the staging directory hash to it.
    pub key: ArtifactKey,
    /// Its length.
    pub len_bytes: u64,
    /// The nodes that lacked it; empty means its whole replica set.
    pub missing_on: Vec<Account>,
}

/// What a sealed staging directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagingManifest {
    /// The operation.
    pub heal_op_id: u64,
    /// Its ticket.
    pub ticket_id: TicketId,
    /// Base64 of the reconstructed file's BLAKE3; what the claim says (wire 5.5).
    pub manifest_hash: String,
    /// Length of the reconstructed file.
    pub file_len_bytes: u64,
    /// What to publish.
    pub artifacts: Vec<StagedArtifact>,
    /// The strategy that made it.
    pub strategy: String,
}

/// What is found in a staging directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StagingState {
    /// There is none.
    Absent,
    /// It was begun and never sealed; nothing in it may be used.
    Unsealed,
    /// Complete.
    Sealed(Box<StagingManifest>),
    /// It is there and can't be read: a person should look.
    Damaged {
        /// What was wrong.
        reason: String,
    },
}

/// Durable space for reconstructions.
///
/// Called by the healing service and its strategies. An implementer promises: nothing is visible as sealed unless all
/// of it is durable (files first, manifest last, then the directory); reads of artifacts are checked against their
/// keys; removing a directory that is not there succeeds.
#[seam("staging")]
pub trait Staging: Send + Sync {
    /// Starts over: removes what is there for this operation and makes room for a new reconstruction.
    async fn begin(&self, heal_op_id: u64) -> Result<(), StoreError>;
    /// Writes a part of the reconstructed file, at most [`STAGED_IO_LEN_BYTES_MAX`] bytes; parts may come in any order.
    async fn write_file_at(&self, heal_op_id: u64, offset: u64, bytes: Vec<u8>) -> Result<(), StoreError>;
    /// Adds an artifact, checked against its key.
    async fn put_artifact(
        &self,
        heal_op_id: u64,
        key: &ArtifactKey,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError>;
    /// Makes everything durable and the directory complete. Afterwards only reads, `begin` and `remove` are allowed.
    /// Refuses a manifest that does not fit what was staged: another length, or an artifact that is not there.
    async fn seal(&self, manifest: &StagingManifest) -> Result<(), StoreError>;
    /// What is there.
    async fn state(&self, heal_op_id: u64) -> Result<StagingState, StoreError>;
    /// A part of a reconstructed file; shorter than asked at its end.
    async fn read_file_at(
        &self,
        heal_op_id: u64,
        offset: u64,
        len_bytes: usize,
    ) -> Result<Vec<u8>, StoreError>;
    /// One staged artifact, checked against its key.
    async fn get_artifact(&self, heal_op_id: u64, key: &ArtifactKey) -> Result<Vec<u8>, StoreError>;
    /// Removes a directory and everything in it.
    async fn remove(&self, heal_op_id: u64) -> Result<(), StoreError>;
    /// The operations that have a directory, ascending.
    async fn list(&self) -> Result<Vec<u64>, StoreError>;
    /// Bytes in all directories.
    async fn usage_bytes(&self) -> Result<u64, StoreError>;
}
