//! The content key of an artifact: the BLAKE3 hash of its bytes, written in base58 (wire 3.4, wire 12.5).
//!
//! Owns the key's two forms and the distance that decides which nodes hold an artifact. Leaves the storing to the
//! `ArtifactStore` seam.

use std::fmt;
use std::str::FromStr;

/// Length of a content key in bytes.
pub const ARTIFACT_KEY_LEN_BYTES: usize = 32;
/// The longest base58 text that can stand for a key: 32 bytes of `ff` need 44 characters.
pub const ARTIFACT_KEY_TEXT_LEN_MAX: usize = 44;

/// The BLAKE3 hash of an artifact's bytes.
///
/// ```
/// use lampkeeper_protocol::artifact_key::ArtifactKey;
/// let key = ArtifactKey::of(b"hello");
/// assert_eq!(key.to_string().parse::<ArtifactKey>()?, key);
/// # Ok::<(), lampkeeper_protocol::artifact_key::InvalidArtifactKey>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactKey([u8; ARTIFACT_KEY_LEN_BYTES]);

/// A text that is not a content key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an artifact key: expected base58 of 32 bytes")]
pub struct InvalidArtifactKey {
    /// The text, shortened if it was longer than any key.
    pub text: String,
}

impl ArtifactKey {
    /// The key of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The key with this hash.
    #[must_use]
    pub const fn from_bytes(hash: [u8; ARTIFACT_KEY_LEN_BYTES]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ARTIFACT_KEY_LEN_BYTES] {
        &self.0
    }

    /// XOR of this key with the BLAKE3 hash of an account; compared as a big-endian number, smaller is closer (wire 12.5).
    #[must_use]
    pub fn distance_to_account(&self, account: &str) -> [u8; ARTIFACT_KEY_LEN_BYTES] {
        let node = blake3::hash(account.as_bytes());
        std::array::from_fn(|i| self.0[i] ^ node.as_bytes()[i])
    }
}

impl fmt::Display for ArtifactKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&bs58::encode(&self.0).into_string())
    }
}

impl fmt::Debug for ArtifactKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ArtifactKey({self})")
    }
}

impl FromStr for ArtifactKey {
    type Err = InvalidArtifactKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidArtifactKey { text: text.chars().take(ARTIFACT_KEY_TEXT_LEN_MAX).collect() };
        if text.len() > ARTIFACT_KEY_TEXT_LEN_MAX {
            return Err(invalid());
        }
        let mut hash = [0; ARTIFACT_KEY_LEN_BYTES];
        match bs58::decode(text).onto(&mut hash) {
            Ok(ARTIFACT_KEY_LEN_BYTES) => Ok(Self(hash)),
            _ => Err(invalid()),
        }
    }
}

impl serde::Serialize for ArtifactKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ArtifactKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
