//! Which nodes are near a key (wire 12.5).
//!
//! Owns the order of nodes by distance, with positions that are worked out once for many keys. Who counts as a node, and
//! how many of the nearest hold an artifact, is the caller's.

use crate::artifact_key::{ARTIFACT_KEY_LEN_BYTES, ArtifactKey};

/// Where an account stands among the keys: the BLAKE3 hash of its text.
///
/// ```
/// use lampkeeper_protocol::artifact_key::ArtifactKey;
/// use lampkeeper_protocol::placement::Position;
/// let key = ArtifactKey::of(b"artifact");
/// assert_eq!(Position::of("lumera1abc").distance(&key).0, key.distance_to_account("lumera1abc"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position([u8; ARTIFACT_KEY_LEN_BYTES]);

/// How far a node is from a key: XOR of both, compared as a big-endian number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance(pub [u8; ARTIFACT_KEY_LEN_BYTES]);

impl Position {
    /// The position of an account.
    #[must_use]
    pub fn of(account: &str) -> Self {
        // The distance of the all-zero key is the account's own hash.
        Self(ArtifactKey::from_bytes([0; ARTIFACT_KEY_LEN_BYTES]).distance_to_account(account))
    }

    /// The distance to a key.
    #[must_use]
    pub fn distance(&self, key: &ArtifactKey) -> Distance {
        Distance(std::array::from_fn(|byte| self.0[byte] ^ key.as_bytes()[byte]))
    }
}

/// How many of `others` are nearer to `key` than `node`; of two at one distance the smaller account is nearer. Counting
/// ends at `max`.
///
/// ```
/// use lampkeeper_protocol::artifact_key::ArtifactKey;
/// use lampkeeper_protocol::placement::{Position, rank};
/// let key = ArtifactKey::of(b"artifact");
/// let nodes = ["a", "b", "c"].map(|account| (Position::of(account), account));
/// let mut ranks = nodes.map(|node| rank(&key, node, nodes.into_iter(), usize::MAX));
/// ranks.sort();
/// assert_eq!(ranks, [0, 1, 2]);
/// ```
pub fn rank<'a>(
    key: &ArtifactKey,
    node: (Position, &str),
    others: impl Iterator<Item = (Position, &'a str)>,
    max: usize,
) -> usize {
    let own = (node.0.distance(key), node.1);
    others.filter(|(position, account)| (position.distance(key), *account) < own).take(max).count()
}
