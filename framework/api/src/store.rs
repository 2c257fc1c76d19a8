//! This node's content-addressed blobs.
//!
//! Owns the [`ArtifactStore`] seam. What belongs on this node is decided elsewhere (`ArtifactNetwork`); files that
//! are not yet published belong to the staging seam.

use lampkeeper_api_macros::seam;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use serde::{Deserialize, Serialize};

/// The largest artifact a store has to take. Packets are 65,532 bytes; id files of a 1 GiB file are about 4 MiB
/// before compression.
pub const ARTIFACT_LEN_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The most entries that one call of [`ArtifactStore::list`] returns.
pub const LIST_LIMIT_MAX: usize = 10_000;

/// A half-open range of an artifact's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Number of bytes; 0 if the range is backwards.
    #[must_use]
    pub const fn len_bytes(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// What a `put` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutOutcome {
    /// The artifact is durable now and was not there before.
    Stored,
    /// The same artifact was there, intact.
    AlreadyPresent,
    /// The artifact was there with damaged bytes, and is replaced.
    Replaced,
}

/// Ranges of an artifact together with a BLAKE3 verified slice that proves them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenRanges {
    /// Length of the whole artifact.
    pub len_bytes: u64,
    /// The bytes of each range, in the order asked.
    pub ranges: Vec<Vec<u8>>,
    /// The slice (protocol, `verified_slice`); it covers the last chunk too, so it authenticates the length.
    pub slice: Vec<u8>,
}

/// One artifact of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactEntry {
    /// Its key.
    pub key: ArtifactKey,
    /// Its length.
    pub len_bytes: u64,
}

/// What a read of a whole artifact found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedArtifact {
    /// Its key.
    pub key: ArtifactKey,
    /// Whether its bytes hash to the key.
    pub is_intact: bool,
}

/// How full the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreUsage {
    /// Number of artifacts.
    pub artifact_count: u64,
    /// Bytes in artifacts.
    pub artifact_bytes: u64,
    /// Bytes of the volume that are used or free for this user; 0 if unknown.
    pub volume_total_bytes: u64,
    /// Free bytes of the volume for this user; 0 if unknown.
    pub volume_free_bytes: u64,
}

/// Content-addressed blobs under `base58(BLAKE3(bytes))`.
///
/// Called by every service from many tasks at once. An implementer promises: a partial or damaged blob is never
/// returned, after a crash either; `put` returns when the bytes are durable; nothing blocks the caller's thread. When
/// a damaged blob is met it is reported as [`StoreError::Corrupt`] and stays until it is replaced or deleted.
#[seam("store")]
pub trait ArtifactStore: Send + Sync {
    /// Stores `bytes` after checking that they hash to `key`.
    async fn put(&self, key: &ArtifactKey, bytes: Vec<u8>) -> Result<PutOutcome, StoreError>;
    /// The whole artifact, verified; `None` if it is not here.
    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError>;
    /// The length of an artifact that is here; `None` if it is not. The bytes are not read.
    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError>;
    /// One range, verified against the key; `None` if the artifact is not here.
    async fn read_range(&self, key: &ArtifactKey, range: ByteRange) -> Result<Option<Vec<u8>>, StoreError>;
    /// Several ranges with their proof, reading the artifact once; `None` if it is not here.
    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError>;
    /// Removes an artifact; whether it was here.
    async fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError>;
    /// Up to `limit` artifacts with keys greater than `after`, in ascending order of the key's bytes.
    async fn list(&self, after: Option<ArtifactKey>, limit: usize) -> Result<Vec<ArtifactEntry>, StoreError>;
    /// How full the store is.
    async fn usage(&self) -> Result<StoreUsage, StoreError>;
    /// What reads that hashed a whole artifact (`get`, `read_range` and `prove_ranges`, if they do) have found since the
    /// last call, oldest first. The scrub is the one caller: what was read and proven for others needs no second read,
    /// and damage that others met is repaired at once. Kept in memory, with a bound; a store that keeps no count returns
    /// nothing, and its artifacts are then all read by the scrub.
    async fn take_checked(&self) -> Result<Vec<CheckedArtifact>, StoreError> {
        Ok(Vec::new())
    }
}

/// Why a store refused. None of these is ever a verdict about a peer, except the bytes in `KeyMismatch`, whose sender
/// is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The bytes offered hash to another key.
    #[error("the bytes offered as {expected} hash to {actual}; nothing was stored")]
    KeyMismatch {
        /// The key that was given.
        expected: ArtifactKey,
        /// The key of the bytes.
        actual: ArtifactKey,
    },
    /// The bytes on disk no longer hash to their key.
    #[error("artifact {key} is damaged on this node's disk; it has to be fetched again")]
    Corrupt {
        /// The damaged artifact.
        key: ArtifactKey,
    },
    /// A range reaches past the end.
    #[error("range {start}..{end} of artifact {key} reaches past its {len_bytes} bytes")]
    OutOfRange {
        /// The artifact.
        key: ArtifactKey,
        /// First byte asked.
        start: u64,
        /// One past the last byte asked.
        end: u64,
        /// Length of the artifact.
        len_bytes: u64,
    },
    /// The ranges can't be proven in one slice: too many, too long together, or one without a byte (protocol,
    /// `verified_slice`).
    #[error("the ranges of artifact {key} can't be proven: {reason}")]
    Unprovable {
        /// The artifact.
        key: ArtifactKey,
        /// What is wrong with them.
        reason: String,
    },
    /// More than an artifact may have.
    #[error("an artifact of {len_bytes} bytes is larger than the {max_bytes} that a store takes")]
    TooLarge {
        /// Offered.
        len_bytes: u64,
        /// Allowed.
        max_bytes: u64,
    },
    /// No room.
    #[error("no room for {attempted}: free some space on the artifact volume, then try again")]
    Full {
        /// What was attempted.
        attempted: String,
    },
    /// The disk, the permissions or the backend failed.
    #[error("{attempted}: {reason}")]
    Io {
        /// What was attempted.
        attempted: String,
        /// What went wrong.
        reason: String,
    },
    /// The caller may not do this now: write into what is sealed, or use what was never begun or staged.
    #[error("{attempted}: {reason}")]
    WrongState {
        /// What was attempted.
        attempted: String,
        /// What is in the way.
        reason: String,
    },
    /// The plugin behind the store is not running.
    #[error("the artifact store is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anything having changed here.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Unavailable { .. } | Self::Full { .. } => true,
            Self::KeyMismatch { .. }
            | Self::Corrupt { .. }
            | Self::OutOfRange { .. }
            | Self::Unprovable { .. }
            | Self::WrongState { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// Whether fetching the artifact from another holder would mend it.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::KeyMismatch { .. }
            | Self::OutOfRange { .. }
            | Self::Unprovable { .. }
            | Self::WrongState { .. }
            | Self::TooLarge { .. }
            | Self::Full { .. }
            | Self::Io { .. }
            | Self::Unavailable { .. } => false,
        }
    }
}
