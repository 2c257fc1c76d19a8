//! The hash that names a file on the chain, computed piece by piece.

use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::cascade::metadata::data_hash;

/// Hashes a file that never has to be in memory as a whole.
///
/// ```
/// use lampkeeper_plugin_sdk::cascade::DataHasher;
/// let mut hasher = DataHasher::new();
/// hasher.update(b"hel");
/// hasher.update(b"lo");
/// assert_eq!(hasher.len_bytes(), 5);
/// assert_eq!(hasher.data_hash(), "6o8WPbOGgpJeRJHF5Y1Ls1Bu+MFOt4qG6QjFYkpnIA8=");
/// ```
#[derive(Debug, Clone, Default)]
pub struct DataHasher {
    hasher: blake3::Hasher,
}

impl DataHasher {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Bytes hashed so far.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.hasher.count()
    }

    /// The content key of what was hashed so far.
    #[must_use]
    pub fn key(&self) -> ArtifactKey {
        ArtifactKey::from_bytes(*self.hasher.finalize().as_bytes())
    }

    /// The same hash as a ticket's `data_hash` and a heal claim spell it (wire 4.6, 5.5).
    #[must_use]
    pub fn data_hash(&self) -> String {
        data_hash(self.key().as_bytes())
    }
}
