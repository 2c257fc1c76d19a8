//! The availability commitment of a ticket: a Merkle tree over the file's chunks (wire 4.12, chain appendix C).
//!
//! Owns the tree, the draw of its challenged chunks and the checks that the chain makes. Leaves reading the file to the
//! caller, who may hash chunk by chunk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::hash::{Digest, first_eight_bytes};

/// The only commitment type.
pub const COMMITMENT_TYPE: &str = "lep5/chunk-merkle/v1";
/// The number of BLAKE3 among the chain's hash algorithms (wire 2.7).
pub const HASH_ALGO_BLAKE3: u32 = 1;
/// The longest chunk in bytes.
pub const CHUNK_LEN_BYTES_MAX: u32 = 262_144;
/// The shortest file that may have a commitment.
pub const COMMITTED_FILE_LEN_BYTES_MIN: u64 = 4;
/// The fewest chunks, where the chain parameter is 0.
pub const DEFAULT_CHUNK_COUNT_MIN: u32 = 4;
/// The number of challenged chunks, where the chain parameter is 0.
pub const DEFAULT_CHALLENGE_COUNT: u32 = 8;
/// The most levels of a tree: its leaves are numbered with 32 bits.
const TREE_LEVEL_COUNT_MAX: usize = 32;
/// Draws of challenged chunks for each chunk, before the rest is filled in.
const DRAWS_PER_CHUNK: u64 = 32;

/// The commitment as it stands in a ticket's metadata. The order of the fields is that of the document's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvailabilityCommitment {
    /// [`COMMITMENT_TYPE`].
    pub commitment_type: String,
    /// [`HASH_ALGO_BLAKE3`].
    pub hash_algo: u32,
    /// Length of every chunk but the last, in bytes.
    pub chunk_size: u32,
    /// Length of the file in bytes.
    pub total_size: u64,
    /// Number of chunks.
    pub num_chunks: u32,
    /// The tree's root.
    #[serde(with = "base64_digest")]
    pub root: Digest,
    /// The chunks that the finalizer proves.
    pub challenge_indices: Vec<u32>,
}

/// The proof that a chunk belongs to a tree. The order of the fields is that of the document's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkProof {
    /// The chunk's index.
    pub chunk_index: u32,
    /// The chunk's leaf.
    #[serde(with = "base64_digest")]
    pub leaf_hash: Digest,
    /// The siblings on the way to the root, from the bottom.
    #[serde(with = "base64_digests")]
    pub path_hashes: Vec<Digest>,
    /// For each sibling, whether it is on the right.
    pub path_directions: Vec<bool>,
}

/// Why a commitment can't be made or is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitmentError {
    /// The type is another one.
    #[error("availability_commitment.commitment_type is not `{COMMITMENT_TYPE}`")]
    UnknownType,
    /// The hash algorithm is another one.
    #[error("availability_commitment.hash_algo {0} is not BLAKE3")]
    UnknownHashAlgorithm(u32),
    /// The file is too short.
    #[error(
        "can't commit to a file of {total_size} bytes: total_size must be >= {COMMITTED_FILE_LEN_BYTES_MIN}"
    )]
    FileTooShort {
        /// Length of the file in bytes.
        total_size: u64,
    },
    /// The chunk length is no power of two, or out of range.
    #[error("chunk_size {0} must be in 1..={CHUNK_LEN_BYTES_MAX} and a power of 2")]
    InvalidChunkSize(u32),
    /// The number of chunks does not fit the lengths.
    #[error("num_chunks must be {expected}, not {actual}")]
    WrongChunkCount {
        /// Number of chunks that the lengths give.
        expected: u64,
        /// Number of chunks that is told.
        actual: u32,
    },
    /// There are too few chunks.
    #[error("num_chunks {actual} is below minimum {min}")]
    TooFewChunks {
        /// Number of chunks.
        actual: u32,
        /// The fewest that the chain accepts.
        min: u32,
    },
    /// The number of challenged chunks is another one.
    #[error("challenge_indices must have {expected} entries, not {actual}")]
    WrongChallengeCount {
        /// Number of entries that the chain expects.
        expected: usize,
        /// Number of entries.
        actual: usize,
    },
    /// A challenged chunk does not exist.
    #[error("challenge index {0} is out of range")]
    ChallengeOutOfRange(u32),
    /// A chunk is challenged twice.
    #[error("duplicate challenge index {0}")]
    DuplicateChallenge(u32),
}

/// What the chain's parameters ask of a commitment; 0 stands for the defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitmentRules {
    /// The fewest chunks (`svc_min_chunks_for_challenge`).
    pub chunk_count_min: u32,
    /// The number of challenged chunks (`svc_challenge_count`).
    pub challenge_count: u32,
}

impl CommitmentRules {
    fn chunk_count_min(self) -> u32 {
        if self.chunk_count_min == 0 { DEFAULT_CHUNK_COUNT_MIN } else { self.chunk_count_min }
    }

    fn challenge_count(self, chunk_count: u32) -> u32 {
        let wanted = if self.challenge_count == 0 { DEFAULT_CHALLENGE_COUNT } else { self.challenge_count };
        wanted.min(chunk_count)
    }

    /// The chunk length for a file: the longest that gives enough chunks, and never below 1 byte.
    #[must_use]
    pub fn chunk_size(self, total_size: u64) -> u32 {
        let chunk_count_min = u64::from(self.chunk_count_min());
        let mut chunk_size = CHUNK_LEN_BYTES_MAX;
        while chunk_size > 1 && total_size.div_ceil(u64::from(chunk_size)) < chunk_count_min {
            chunk_size /= 2;
        }
        chunk_size
    }

    /// Commits to a file.
    ///
    /// ```
    /// use lampkeeper_protocol::cascade::commitment::CommitmentRules;
    /// let (commitment, tree) = CommitmentRules::default().commit(b"ABCDE")?;
    /// assert_eq!((commitment.chunk_size, commitment.num_chunks), (1, 5));
    /// assert!(tree.prove(2).unwrap().leads_to(&commitment.root));
    /// # Ok::<(), lampkeeper_protocol::cascade::commitment::CommitmentError>(())
    /// ```
    ///
    /// # Errors
    /// The file is too short, or has more chunks than can be numbered.
    pub fn commit(self, file: &[u8]) -> Result<(AvailabilityCommitment, MerkleTree), CommitmentError> {
        let total_size = file.len() as u64;
        if total_size < COMMITTED_FILE_LEN_BYTES_MIN {
            return Err(CommitmentError::FileTooShort { total_size });
        }
        let chunk_size = self.chunk_size(total_size);
        let leaves =
            (0..).zip(file.chunks(chunk_size as usize)).map(|(index, chunk)| leaf_hash(index, chunk));
        let tree = MerkleTree::from_leaves(leaves.collect());
        let num_chunks = tree.chunk_count();
        let commitment = AvailabilityCommitment {
            commitment_type: COMMITMENT_TYPE.to_owned(),
            hash_algo: HASH_ALGO_BLAKE3,
            chunk_size,
            total_size,
            num_chunks,
            root: tree.root(),
            challenge_indices: challenge_indices(&tree.root(), num_chunks, self.challenge_count(num_chunks)),
        };
        self.check(&commitment)?;
        Ok((commitment, tree))
    }

    /// Checks a commitment as the chain does when a ticket is requested (chain appendix C).
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(self, commitment: &AvailabilityCommitment) -> Result<(), CommitmentError> {
        let &AvailabilityCommitment { hash_algo, chunk_size, total_size, num_chunks, .. } = commitment;
        if commitment.commitment_type != COMMITMENT_TYPE {
            return Err(CommitmentError::UnknownType);
        }
        if hash_algo != HASH_ALGO_BLAKE3 {
            return Err(CommitmentError::UnknownHashAlgorithm(hash_algo));
        }
        if total_size < COMMITTED_FILE_LEN_BYTES_MIN {
            return Err(CommitmentError::FileTooShort { total_size });
        }
        if !chunk_size.is_power_of_two() || chunk_size > CHUNK_LEN_BYTES_MAX {
            return Err(CommitmentError::InvalidChunkSize(chunk_size));
        }
        let expected = total_size.div_ceil(u64::from(chunk_size));
        if u64::from(num_chunks) != expected {
            return Err(CommitmentError::WrongChunkCount { expected, actual: num_chunks });
        }
        let min = self.chunk_count_min();
        if num_chunks < min {
            return Err(CommitmentError::TooFewChunks { actual: num_chunks, min });
        }
        self.check_challenges(num_chunks, &commitment.challenge_indices)
    }

    fn check_challenges(self, chunk_count: u32, indices: &[u32]) -> Result<(), CommitmentError> {
        let (expected, actual) = (self.challenge_count(chunk_count) as usize, indices.len());
        if actual != expected {
            return Err(CommitmentError::WrongChallengeCount { expected, actual });
        }
        let mut seen = std::collections::BTreeSet::new();
        for &index in indices {
            if index >= chunk_count {
                return Err(CommitmentError::ChallengeOutOfRange(index));
            }
            if !seen.insert(index) {
                return Err(CommitmentError::DuplicateChallenge(index));
            }
        }
        Ok(())
    }
}

/// The leaf of a chunk: its bytes behind a zero byte and its index.
#[must_use]
pub fn leaf_hash(index: u32, chunk: &[u8]) -> Digest {
    blake3::Hasher::new().update(&[0]).update(&index.to_be_bytes()).update(chunk).finalize().into()
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    blake3::Hasher::new().update(&[1]).update(left).update(right).finalize().into()
}

/// The chunks that are challenged under a root: drawn without repetition, then the smallest that are left.
#[must_use]
pub fn challenge_indices(root: &Digest, chunk_count: u32, challenge_count: u32) -> Vec<u32> {
    let wanted = challenge_count.min(chunk_count);
    let draws = (DRAWS_PER_CHUNK * u64::from(chunk_count)).max(u64::from(wanted));
    let mut indices: Vec<u32> = Vec::new();
    for counter in 0..u32::try_from(draws).unwrap_or(u32::MAX) {
        if indices.len() == wanted as usize {
            break;
        }
        let digest = blake3::Hasher::new().update(root).update(&counter.to_be_bytes()).finalize();
        // The remainder is below the number of chunks, so it fits.
        let index = (first_eight_bytes(digest.as_bytes()) % u64::from(chunk_count)) as u32;
        if !indices.contains(&index) {
            indices.push(index);
        }
    }
    let missing = wanted as usize - indices.len();
    let unused: Vec<u32> = (0..chunk_count).filter(|index| !indices.contains(index)).take(missing).collect();
    indices.extend(unused);
    indices
}

/// A Merkle tree over chunks, with all its levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleTree {
    /// The levels from the leaves to the root; only the root's has one node. Each other has its last node doubled
    /// where it would be odd.
    levels: Vec<Vec<Digest>>,
    chunk_count: u32,
}

impl MerkleTree {
    /// The tree over leaves, which are in the order of their chunks. A tree of no leaves has the root of no bytes.
    #[must_use]
    pub fn from_leaves(leaves: Vec<Digest>) -> Self {
        // Leaves are numbered with 32 bits, so there are no more.
        let chunk_count = leaves.len() as u32;
        let mut levels = vec![leaves];
        while let Some(level) = levels.last_mut().filter(|level| level.len() > 1) {
            if level.len() % 2 == 1 {
                level.extend(level.last().copied());
            }
            let above = level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            levels.push(above);
        }
        Self { levels, chunk_count }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Digest {
        let root = self.levels.last().and_then(|level| level.first());
        root.copied().unwrap_or_else(|| *blake3::hash(&[]).as_bytes())
    }

    /// Number of chunks.
    #[must_use]
    pub const fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// The proof of a chunk; `None` if there is no such chunk.
    #[must_use]
    pub fn prove(&self, chunk_index: u32) -> Option<ChunkProof> {
        if chunk_index >= self.chunk_count() {
            return None;
        }
        let leaf_hash = *self.levels.first()?.get(chunk_index as usize)?;
        let mut proof =
            ChunkProof { chunk_index, leaf_hash, path_hashes: Vec::new(), path_directions: Vec::new() };
        let mut position = chunk_index as usize;
        for level in self.levels.iter().take(self.levels.len() - 1) {
            proof.path_hashes.push(*level.get(position ^ 1)?);
            proof.path_directions.push(position.is_multiple_of(2));
            position /= 2;
        }
        Some(proof)
    }
}

impl ChunkProof {
    /// Whether the path leads from the leaf to a root, by the directions that the index gives.
    #[must_use]
    pub fn leads_to(&self, root: &Digest) -> bool {
        let levels = self.path_hashes.len();
        if levels != self.path_directions.len() || levels > TREE_LEVEL_COUNT_MAX {
            return false;
        }
        let mut hash = self.leaf_hash;
        for (level, (sibling, &is_right)) in self.path_hashes.iter().zip(&self.path_directions).enumerate() {
            // Without this a proof of one chunk would pass for another.
            if is_right != ((u64::from(self.chunk_index) >> level) % 2 == 0) {
                return false;
            }
            hash = if is_right { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) };
        }
        hash == *root
    }

    /// Whether this proves that a chunk of these bytes is part of the tree with a root.
    #[must_use]
    pub fn proves(&self, chunk: &[u8], root: &Digest) -> bool {
        self.leaf_hash == leaf_hash(self.chunk_index, chunk) && self.leads_to(root)
    }
}

/// A digest in base64.
mod base64_digest {
    use super::*;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        parse(&String::deserialize(deserializer)?)
    }

    pub(super) fn parse<E: de::Error>(text: &str) -> Result<Digest, E> {
        let bytes = STANDARD.decode(text).map_err(E::custom)?;
        let len = bytes.len();
        bytes.try_into().map_err(|_| E::invalid_length(len, &"a digest of 32 bytes"))
    }
}

/// Digests in base64.
mod base64_digests {
    use super::*;

    pub(super) fn serialize<S: Serializer>(digests: &[Digest], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(digests.iter().map(|digest| STANDARD.encode(digest)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Digest>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| base64_digest::parse(text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(chunks: &[&[u8]]) -> MerkleTree {
        MerkleTree::from_leaves((0..).zip(chunks).map(|(index, chunk)| leaf_hash(index, chunk)).collect())
    }

    #[test]
    fn roots_agree_with_the_published_values() {
        let leaf = "61fc687f706598a45b7d144a0364bc0575002a9fc6e3eee98b6e44a578b21c86";
        assert_eq!(hex::encode(leaf_hash(0, b"A")), leaf);
        // Wire 4.12, then chain appendix C.
        let table: [(&[&[u8]], &str); 3] = [
            (
                &[&[0; 4], &[1; 4], &[2; 2]],
                "787ed43840446d2adf96c9f41923114f147e01591a61982fecdb59a3c28a1afa",
            ),
            (&[b"A", b"B", b"C", b"D"], "3f7929c46869e30cdceb151eaa7a01b1862962a0a5c464e341f2703bf377e33b"),
            (
                &[b"A", b"B", b"C", b"D", b"E"],
                "f408c608d856ca7c1c6f90a0aab1bd0f8f963a790564da59a268f10c8145c457",
            ),
        ];
        for (chunks, root) in table {
            let tree = tree(chunks);
            assert_eq!(hex::encode(tree.root()), root);
            assert_eq!(tree.chunk_count() as usize, chunks.len());
        }
    }

    #[test]
    fn chunk_sizes_follow_the_published_scenarios() {
        // File length, chunk length, chunks, challenges (chain S75 and the bounds of wire 4.12).
        let table = [
            (4, 1, 4, 4),
            (512_000, 131_072, 4, 4),
            (7, 2, 4, 4),
            (8, 2, 4, 4),
            (262_144 * 3, 131_072, 6, 6),
            (262_144 * 4, 262_144, 4, 4),
            (262_144 * 5, 262_144, 5, 5),
            (262_144 * 10, 262_144, 10, 8),
        ];
        for (len, chunk_size, chunks, challenges) in table {
            let (commitment, _) = CommitmentRules::default().commit(&vec![7; len]).unwrap();
            let actual = (commitment.chunk_size, commitment.num_chunks, commitment.challenge_indices.len());
            assert_eq!(actual, (chunk_size, chunks, challenges), "{len}");
        }
        let verdict = CommitmentRules::default().commit(b"abc");
        assert_eq!(verdict, Err(CommitmentError::FileTooShort { total_size: 3 }));
    }

    #[test]
    fn each_rule_of_the_chain_is_checked() {
        let (good, _) = CommitmentRules::default().commit(&[7; 100]).unwrap();
        let check = |change: fn(&mut AvailabilityCommitment)| {
            let mut changed = good.clone();
            change(&mut changed);
            CommitmentRules::default().check(&changed).unwrap_err()
        };
        assert_eq!(check(|c| c.commitment_type.clear()), CommitmentError::UnknownType);
        assert_eq!(check(|c| c.hash_algo = 2), CommitmentError::UnknownHashAlgorithm(2));
        assert_eq!(check(|c| c.total_size = 3), CommitmentError::FileTooShort { total_size: 3 });
        assert_eq!(check(|c| c.chunk_size = 0), CommitmentError::InvalidChunkSize(0));
        assert_eq!(check(|c| c.chunk_size = 3), CommitmentError::InvalidChunkSize(3));
        assert_eq!(check(|c| c.chunk_size = 1 << 19), CommitmentError::InvalidChunkSize(1 << 19));
        assert_eq!(check(|c| c.num_chunks = 9), CommitmentError::WrongChunkCount { expected: 4, actual: 9 });
        let too_few = |c: &mut AvailabilityCommitment| (c.chunk_size, c.num_chunks) = (64, 2);
        assert_eq!(check(too_few), CommitmentError::TooFewChunks { actual: 2, min: 4 });
        let expected = CommitmentError::WrongChallengeCount { expected: 4, actual: 0 };
        assert_eq!(check(|c| c.challenge_indices.clear()), expected);
        assert_eq!(check(|c| c.challenge_indices[0] = 4), CommitmentError::ChallengeOutOfRange(4));
        let twice = |c: &mut AvailabilityCommitment| c.challenge_indices[1] = c.challenge_indices[0];
        assert_eq!(check(twice), CommitmentError::DuplicateChallenge(good.challenge_indices[0]));
    }

    #[test]
    fn the_json_form_reads_back() {
        let (commitment, tree) = CommitmentRules::default().commit(&[7; 100]).unwrap();
        let json = serde_json::to_string(&commitment).unwrap();
        assert!(
            json.starts_with(r#"{"commitment_type":"lep5/chunk-merkle/v1","hash_algo":1,"chunk_size":32,"#)
        );
        assert_eq!(serde_json::from_str::<AvailabilityCommitment>(&json).unwrap(), commitment);
        let proof = tree.prove(3).unwrap();
        let json = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<ChunkProof>(&json).unwrap(), proof);
    }

    #[test]
    fn proofs_fit_one_chunk_only() {
        let tree = tree(&[b"A", b"B", b"C", b"D", b"E"]);
        let proof = tree.prove(4).unwrap();
        assert!(proof.proves(b"E", &tree.root()) && !proof.proves(b"F", &tree.root()));
        assert!(!proof.proves(b"E", &leaf_hash(0, b"")));
        // The doubled leaf must not prove a chunk that does not exist.
        assert_eq!(tree.prove(5), None);
        let renamed = ChunkProof { chunk_index: 5, ..proof.clone() };
        assert!(!renamed.leads_to(&tree.root()));
        let mut uneven = proof;
        uneven.path_directions.pop();
        assert!(!uneven.leads_to(&tree.root()));
    }

    proptest! {
        #[test]
        fn every_chunk_of_a_tree_is_proven(file in proptest::collection::vec(any::<u8>(), 4..300)) {
            let (commitment, tree) = CommitmentRules::default().commit(&file).unwrap();
            for (index, chunk) in (0..).zip(file.chunks(commitment.chunk_size as usize)) {
                prop_assert!(tree.prove(index).unwrap().proves(chunk, &commitment.root));
            }
            prop_assert_eq!(tree.prove(commitment.num_chunks), None);
        }
    }
}
