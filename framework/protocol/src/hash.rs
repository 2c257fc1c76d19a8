//! The keyed hash `H`, on which every deterministic choice of the protocol rests (wire 1.1).
//!
//! Owns the framing of its parts and the labels. What is hashed for which purpose belongs to the modules that choose.

use sha2::{Digest as _, Sha256};

/// A 32-byte digest. Digests are compared as byte strings, which is how the protocol ranks.
pub type Digest = [u8; 32];

/// The labels that close the parts of each purpose (wire 1.1).
pub(crate) mod label {
    pub(crate) const CHALLENGE_TARGET: &[u8] = b"challenge_target";
    pub(crate) const PAIR: &[u8] = b"pair";
    pub(crate) const TICKET_RANK: &[u8] = b"ticket_rank";
    pub(crate) const ARTIFACT_CLASS: &[u8] = b"artifact_class";
    pub(crate) const ARTIFACT_ORDINAL: &[u8] = b"artifact_ordinal";
    pub(crate) const RANGE_OFFSET: &[u8] = b"range_offset";
    pub(crate) const DERIVATION_INPUT: &[u8] = b"derivation_input";
    pub(crate) const TRANSCRIPT: &[u8] = b"transcript";
}

/// `H` under construction: the seed and the parts so far.
///
/// A clone continues from the same prefix, so a ranking hashes what its members share only once.
///
/// ```
/// use lampkeeper_protocol::hash::{KeyedHash, keyed_hash};
/// let shared = KeyedHash::new(b"seed").part(b"challenger");
/// let digest = shared.clone().part(b"target").part(b"pair").finish();
/// assert_eq!(digest, keyed_hash(b"seed", &[b"challenger", b"target", b"pair"]));
/// ```
#[derive(Clone)]
pub struct KeyedHash(Sha256);

impl KeyedHash {
    /// Starts with a seed of any length.
    #[must_use]
    pub fn new(seed: &[u8]) -> Self {
        Self(Sha256::new_with_prefix(seed))
    }

    /// Appends one part. Neither seed nor parts carry a length, so parts that hold zero bytes can collide.
    #[must_use]
    pub fn part(mut self, part: &[u8]) -> Self {
        self.0.update([0]);
        self.0.update(part);
        self
    }

    /// The digest over the seed and all parts.
    #[must_use]
    pub fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

impl std::fmt::Debug for KeyedHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyedHash").finish_non_exhaustive()
    }
}

/// `H(seed, parts…)`: SHA-256 over the seed and, for each part, one zero byte and the part (wire 1.1).
#[must_use]
pub fn keyed_hash(seed: &[u8], parts: &[&[u8]]) -> Digest {
    parts.iter().fold(KeyedHash::new(seed), |hash, part| hash.part(part)).finish()
}

/// The first eight bytes of a digest as an unsigned big-endian number: `be64` of wire 1.1.
#[must_use]
pub fn first_eight_bytes(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The member with the smallest digest, ties by name: how the protocol picks one of many (wire 1.4, wire 1.9).
pub(crate) fn lowest_ranked<'a>(
    members: impl Iterator<Item = &'a str>,
    rank: impl Fn(&str) -> Digest,
) -> Option<&'a str> {
    members.map(|member| (rank(member), member)).min().map(|(_, member)| member)
}
