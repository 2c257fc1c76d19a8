//! Proofs that some ranges belong to an artifact, checked against nothing but its content key.
//!
//! A proof is the artifact's length (8 bytes, little-endian) and then, in the pre-order of BLAKE3's tree, the hash
//! pairs and chunks that lead from the key to every asked chunk *and to the last one*. The last chunk is what
//! authenticates the length: its hash covers its position and size, and the way to it fixes the shape of the tree. A
//! proof that leaves it out verifies under lengths that the artifact does not have.
//!
//! Chunks are not grouped (1 KiB blocks). Challenges ask for ranges of 256 bytes out of artifacts of at most a few
//! megabytes, so groups would save little hashing and multiply what is sent: four ranges of a symbol cost some 7 KiB
//! this way, and 64 KiB, the whole symbol, with groups of 16 chunks. For a single range this is also the common
//! encoding of the `bao` format.
//!
//! Owns the encoding and its bounds. Leaves reading the artifact to the store, and the verdict to the challenger.

use std::collections::BTreeMap;
use std::ops::Range;

use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync::{DecodeResponseIter, encode_ranges_validated};
use bao_tree::io::{BaoContentItem, round_up_to_chunks};
use bao_tree::iter::{BaoChunk, ResponseIterRef};
use bao_tree::{BaoTree, BlockSize, ByteRanges, ChunkNum, ChunkRanges};

use crate::artifact_key::ArtifactKey;
use crate::transcript::CHALLENGE_LEN_BYTES_MAX;

/// Chunks are not grouped; see the head of the file.
const BLOCK_SIZE: BlockSize = BlockSize::ZERO;
const CHUNK_LEN_BYTES: u64 = 1024;
const HASH_PAIR_LEN_BYTES: u64 = 64;
const LENGTH_LEN_BYTES: usize = 8;

/// The most ranges of one proof.
pub const SLICE_RANGE_COUNT_MAX: usize = 64;
/// The most bytes that the ranges of one proof may have together.
pub const SLICE_LEN_BYTES_MAX: u64 = CHALLENGE_LEN_BYTES_MAX;
/// The longest artifact of which slices are proven; id files of the largest tickets are shorter.
pub const SLICE_ARTIFACT_LEN_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// No valid proof is longer. A receiver refuses more before it reserves memory for it.
///
/// Each range touches at most two chunks more than its length fills, and the last chunk comes on top; each chunk has
/// at most one hash pair for each level of the largest tree above it.
pub const PROOF_LEN_BYTES_MAX: usize = {
    let chunks = SLICE_LEN_BYTES_MAX / CHUNK_LEN_BYTES + 2 * SLICE_RANGE_COUNT_MAX as u64 + 1;
    let levels = (SLICE_ARTIFACT_LEN_BYTES_MAX / CHUNK_LEN_BYTES).ilog2() as u64;
    LENGTH_LEN_BYTES + (chunks * (CHUNK_LEN_BYTES + levels * HASH_PAIR_LEN_BYTES)) as usize
};

/// Ranges that belong to the artifact with the key against which they were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRanges {
    /// The artifact's length, authenticated like the ranges.
    pub len_bytes: u64,
    /// The bytes of each range, in the order in which they were asked.
    pub ranges: Vec<Vec<u8>>,
}

/// Why a slice can't be made, or is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SliceError {
    /// A range has no byte.
    #[error("can't prove a range without a byte, at {start}")]
    EmptyRange {
        /// Where the range starts.
        start: u64,
    },
    /// There are too many ranges, or they ask for too much together.
    #[error(
        "can't prove {count} ranges of {len_bytes} bytes: at most {SLICE_RANGE_COUNT_MAX} of {SLICE_LEN_BYTES_MAX} bytes together"
    )]
    TooMuch {
        /// Number of ranges.
        count: usize,
        /// Bytes of all ranges.
        len_bytes: u64,
    },
    /// The artifact is longer than any of which slices are proven.
    #[error(
        "can't prove ranges of an artifact of {len_bytes} bytes: at most {SLICE_ARTIFACT_LEN_BYTES_MAX} are supported"
    )]
    ArtifactTooLong {
        /// Length of the artifact, in a proof as claimed.
        len_bytes: u64,
    },
    /// A range ends beyond the artifact.
    #[error("the range up to {end} is outside the artifact of {len_bytes} bytes")]
    RangeOutsideArtifact {
        /// Where the range ends.
        end: u64,
        /// Length of the artifact, in a proof as claimed.
        len_bytes: u64,
    },
    /// The proof does not have the one length that fits its claim and the ranges.
    #[error("the proof has {actual} bytes where the ranges need {expected}")]
    WrongProofLength {
        /// Length of the proof.
        actual: u64,
        /// Length that it would need.
        expected: u64,
    },
    /// The proof does not lead to the key: other bytes, or another length.
    #[error("the proof does not lead to the artifact key")]
    Mismatch,
}

impl SliceError {
    /// Whether a proof with this error speaks against the peer that sent it.
    ///
    /// A range outside the artifact does not: the asker may have assumed a wrong length. Asking for no range proves
    /// the true one.
    #[must_use]
    pub const fn blames_peer(&self) -> bool {
        match self {
            Self::EmptyRange { .. } | Self::TooMuch { .. } | Self::RangeOutsideArtifact { .. } => false,
            Self::ArtifactTooLong { .. } | Self::WrongProofLength { .. } | Self::Mismatch => true,
        }
    }
}

/// Proves the ranges of an artifact, and its length.
///
/// Ranges may overlap and come in any order. Without any, the length alone is proven.
///
/// ```
/// use lampkeeper_protocol::{artifact_key::ArtifactKey, verified_slice};
/// let artifact = vec![7; 5000];
/// let proof = verified_slice::prove(&artifact, &[10..20])?;
/// let slice = verified_slice::verify(&ArtifactKey::of(&artifact), &proof, &[10..20])?;
/// assert_eq!((slice.len_bytes, slice.ranges), (5000, vec![vec![7; 10]]));
/// # Ok::<(), verified_slice::SliceError>(())
/// ```
///
/// # Errors
/// The ranges or the artifact are beyond the bounds of this module.
pub fn prove(artifact: &[u8], ranges: &[Range<u64>]) -> Result<Vec<u8>, SliceError> {
    let len_bytes = artifact.len() as u64;
    check_bounds(len_bytes, ranges)?;
    let mut proof = len_bytes.to_le_bytes().to_vec();
    if artifact.is_empty() {
        return Ok(proof); // the key of no bytes is known to everyone
    }
    let chunks = proven_chunks(len_bytes, ranges);
    let outboard = PreOrderMemOutboard::create(artifact, BLOCK_SIZE);
    // Both sides are memory and the outboard was just made, so this reports nothing that could happen here.
    encode_ranges_validated(artifact, &outboard, &chunks, &mut proof).map_err(|_| SliceError::Mismatch)?;
    Ok(proof)
}

/// Verifies a proof against a content key, and returns the proven length and ranges.
///
/// `ranges` are those that were asked for; the proof fits no others. Nothing is reserved for more than they need.
///
/// # Errors
/// The ranges are beyond the bounds of this module, or the proof is not one for this key and these ranges.
pub fn verify(key: &ArtifactKey, proof: &[u8], ranges: &[Range<u64>]) -> Result<VerifiedRanges, SliceError> {
    let Some((length, encoded)) = proof.split_first_chunk::<LENGTH_LEN_BYTES>() else {
        let (actual, expected) = (proof.len() as u64, LENGTH_LEN_BYTES as u64);
        return Err(SliceError::WrongProofLength { actual, expected });
    };
    let len_bytes = u64::from_le_bytes(*length);
    check_bounds(len_bytes, ranges)?;
    let chunks = proven_chunks(len_bytes, ranges);
    let expected = encoded_len(len_bytes, &chunks);
    if encoded.len() as u64 != expected {
        return Err(SliceError::WrongProofLength { actual: encoded.len() as u64, expected });
    }
    if len_bytes == 0 {
        return match *key == ArtifactKey::of(&[]) {
            true => Ok(VerifiedRanges { len_bytes, ranges: Vec::new() }),
            false => Err(SliceError::Mismatch),
        };
    }
    let verified = decode(key, encoded, len_bytes, &chunks)?;
    let ranges = ranges.iter().map(|range| cut(&verified, range)).collect::<Option<_>>();
    // Every chunk of every range was asked of the decoder, so a gap is as good as a wrong proof.
    Ok(VerifiedRanges { len_bytes, ranges: ranges.ok_or(SliceError::Mismatch)? })
}

/// The chunks that the proof holds, by offset.
fn decode(
    key: &ArtifactKey,
    encoded: &[u8],
    len_bytes: u64,
    chunks: &ChunkRanges,
) -> Result<BTreeMap<u64, Vec<u8>>, SliceError> {
    let tree = BaoTree::new(len_bytes, BLOCK_SIZE);
    let root = (*key.as_bytes()).into();
    let mut verified = BTreeMap::new();
    for item in DecodeResponseIter::new(root, tree, encoded, chunks) {
        match item {
            Ok(BaoContentItem::Leaf(leaf)) => verified.insert(leaf.offset, leaf.data.to_vec()),
            Ok(BaoContentItem::Parent(_)) => None,
            Err(_) => return Err(SliceError::Mismatch),
        };
    }
    Ok(verified)
}

/// The bytes of one range out of the verified chunks.
fn cut(chunks: &BTreeMap<u64, Vec<u8>>, range: &Range<u64>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
    let mut position = range.start;
    while position < range.end {
        let (offset, chunk) = chunks.range(..=position).next_back()?;
        let end = (range.end - offset).min(chunk.len() as u64);
        let piece =
            chunk.get((position - offset) as usize..end as usize).filter(|piece| !piece.is_empty())?;
        bytes.extend_from_slice(piece);
        position += piece.len() as u64;
    }
    Some(bytes)
}

fn check_bounds(len_bytes: u64, ranges: &[Range<u64>]) -> Result<(), SliceError> {
    let mut asked_len_bytes = 0_u64;
    for range in ranges {
        let range_len_bytes = range.end.saturating_sub(range.start);
        if range_len_bytes == 0 {
            return Err(SliceError::EmptyRange { start: range.start });
        }
        asked_len_bytes = asked_len_bytes.saturating_add(range_len_bytes);
    }
    if ranges.len() > SLICE_RANGE_COUNT_MAX || asked_len_bytes > SLICE_LEN_BYTES_MAX {
        return Err(SliceError::TooMuch { count: ranges.len(), len_bytes: asked_len_bytes });
    }
    if len_bytes > SLICE_ARTIFACT_LEN_BYTES_MAX {
        return Err(SliceError::ArtifactTooLong { len_bytes });
    }
    match ranges.iter().find(|range| range.end > len_bytes) {
        Some(range) => Err(SliceError::RangeOutsideArtifact { end: range.end, len_bytes }),
        None => Ok(()),
    }
}

/// The chunks of all ranges, and always the last one.
fn proven_chunks(len_bytes: u64, ranges: &[Range<u64>]) -> ChunkRanges {
    let last = ChunkNum::chunks(len_bytes).0.saturating_sub(1);
    let mut chunks = ChunkRanges::from(ChunkNum(last)..ChunkNum(last + 1));
    for range in ranges {
        chunks |= round_up_to_chunks(&ByteRanges::from(range.clone()));
    }
    chunks
}

/// The exact length of the encoding of these chunks.
fn encoded_len(len_bytes: u64, chunks: &ChunkRanges) -> u64 {
    if len_bytes == 0 {
        return 0;
    }
    ResponseIterRef::new(BaoTree::new(len_bytes, BLOCK_SIZE), chunks)
        .map(|item| match item {
            BaoChunk::Parent { .. } => HASH_PAIR_LEN_BYTES,
            BaoChunk::Leaf { size, .. } => size as u64,
        })
        .sum()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is asked for as a list of one")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lengths at the edges of chunks and of the tree's shape.
    const INTERESTING_LENS: [usize; 16] =
        [1, 2, 63, 64, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 4096, 4097, 5000, 65_532, 65_536];

    fn artifact(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
    }

    fn with_len(proof: &[u8], len_bytes: u64) -> Vec<u8> {
        [&len_bytes.to_le_bytes(), &proof[LENGTH_LEN_BYTES..]].concat()
    }

    #[test]
    fn slices_of_interesting_lengths_verify() {
        for len in INTERESTING_LENS {
            let (bytes, end) = (artifact(len), len as u64);
            let key = ArtifactKey::of(&bytes);
            for range in [0..1, end - 1..end, end / 2..end / 2 + 1, 0..end.min(SLICE_LEN_BYTES_MAX)] {
                let proof = prove(&bytes, std::slice::from_ref(&range)).unwrap();
                let slice = verify(&key, &proof, std::slice::from_ref(&range)).unwrap();
                assert_eq!(slice.len_bytes, end);
                assert_eq!(
                    slice.ranges,
                    [&bytes[range.start as usize..range.end as usize]],
                    "{len}: {range:?}"
                );
            }
        }
    }

    #[test]
    fn the_length_alone_can_be_proven() {
        for len in INTERESTING_LENS.into_iter().chain([0]) {
            let bytes = artifact(len);
            let slice = verify(&ArtifactKey::of(&bytes), &prove(&bytes, &[]).unwrap(), &[]).unwrap();
            assert_eq!(slice, VerifiedRanges { len_bytes: len as u64, ranges: Vec::new() });
        }
    }

    #[test]
    fn a_valid_slice_with_a_false_length_is_refused() {
        let others = INTERESTING_LENS.into_iter().chain([3, 5001, 5119, 5120, 65_531, 1 << 24]);
        for len in INTERESTING_LENS {
            let bytes = artifact(len);
            let key = ArtifactKey::of(&bytes);
            let proof = prove(&bytes, &[0..1]).unwrap();
            for other in others.clone().filter(|other| *other != len) {
                let mut forged = with_len(&proof, other as u64);
                let mut verdict = verify(&key, &forged, &[0..1]);
                // A forger would make the length of the proof fit the claim.
                if let Err(SliceError::WrongProofLength { expected, .. }) = verdict {
                    forged.resize(LENGTH_LEN_BYTES + expected as usize, 0);
                    verdict = verify(&key, &forged, &[0..1]);
                }
                assert_eq!(verdict, Err(SliceError::Mismatch), "{len} told as {other}");
            }
        }
    }

    /// Why the last chunk is always proven: without it, a true first chunk decodes under false lengths.
    #[test]
    fn a_proof_without_the_last_chunk_is_refused() {
        let bytes = artifact(5000);
        let key = ArtifactKey::of(&bytes);
        let first_chunk = ChunkRanges::from(ChunkNum(0)..ChunkNum(1));
        let outboard = PreOrderMemOutboard::create(&bytes, BLOCK_SIZE);
        let mut encoded = Vec::new();
        encode_ranges_validated(bytes.as_slice(), &outboard, &first_chunk, &mut encoded).unwrap();
        for told in [5000_u64, 5001, 6024] {
            assert!(decode(&key, &encoded, told, &first_chunk).is_ok(), "told {told}");
            let proof = [told.to_le_bytes().as_slice(), &encoded].concat();
            let verdict = verify(&key, &proof, &[0..1]);
            assert!(matches!(verdict, Err(SliceError::WrongProofLength { .. })), "told {told}: {verdict:?}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = artifact(3000);
        let key = ArtifactKey::of(&bytes);
        let proof = prove(&bytes, &[1500..1600]).unwrap();
        for position in 0..proof.len() {
            let mut forged = proof.clone();
            forged[position] ^= 1;
            assert!(verify(&key, &forged, &[1500..1600]).is_err(), "byte {position}");
        }
        for len in (0..proof.len()).chain([proof.len() + 1]) {
            let mut forged = proof.clone();
            forged.resize(len, 0);
            assert!(verify(&key, &forged, &[1500..1600]).is_err(), "cut to {len}");
        }
        assert_eq!(verify(&ArtifactKey::of(b"other"), &proof, &[1500..1600]), Err(SliceError::Mismatch));
    }

    #[test]
    fn bounds_are_checked_before_anything_else() {
        let bytes = artifact(20_000);
        let too_many = vec![0..1; SLICE_RANGE_COUNT_MAX + 1];
        // Ranges, and the error that both sides give.
        let table: [(&[Range<u64>], SliceError); 6] = [
            (&[5..5], SliceError::EmptyRange { start: 5 }),
            (std::slice::from_ref(&Range { start: 6, end: 5 }), SliceError::EmptyRange { start: 6 }),
            (&[0..20_001], SliceError::TooMuch { count: 1, len_bytes: 20_001 }),
            (&too_many, SliceError::TooMuch { count: SLICE_RANGE_COUNT_MAX + 1, len_bytes: 65 }),
            (&[0..u64::MAX, 0..2], SliceError::TooMuch { count: 2, len_bytes: u64::MAX }),
            (&[19_999..20_001], SliceError::RangeOutsideArtifact { end: 20_001, len_bytes: 20_000 }),
        ];
        let proof = prove(&bytes, &[]).unwrap();
        for (ranges, error) in table {
            assert_eq!(prove(&bytes, ranges), Err(error.clone()));
            assert_eq!(verify(&ArtifactKey::of(&bytes), &proof, ranges), Err(error));
        }
        let huge = with_len(&proof, u64::MAX);
        let verdict = verify(&ArtifactKey::of(&bytes), &huge, &[0..1]);
        assert_eq!(verdict, Err(SliceError::ArtifactTooLong { len_bytes: u64::MAX }));
    }

    #[test]
    fn a_proof_costs_what_the_head_of_the_file_says() {
        let ranges = [100..356, 20_000..20_256, 40_000..40_256, 60_000..60_256];
        let proof = prove(&artifact(65_532), &ranges).unwrap();
        assert!((5_000..8_000).contains(&proof.len()), "{} bytes", proof.len());
        let widest = vec![0..SLICE_LEN_BYTES_MAX / SLICE_RANGE_COUNT_MAX as u64; SLICE_RANGE_COUNT_MAX];
        let spread: Vec<_> =
            (0..).zip(widest).map(|(i, range)| i * 262_000..i * 262_000 + range.end).collect();
        let proof = prove(&artifact(SLICE_ARTIFACT_LEN_BYTES_MAX as usize), &spread).unwrap();
        assert!(proof.len() <= PROOF_LEN_BYTES_MAX, "{} bytes", proof.len());
    }

    proptest! {
        #[test]
        fn slices_round_trip(
            bytes in proptest::collection::vec(any::<u8>(), 1..20_000),
            places in proptest::collection::vec((any::<u64>(), 1_u64..2_000), 0..8),
        ) {
            let len_bytes = bytes.len() as u64;
            let ranges: Vec<_> = places
                .into_iter()
                .map(|(place, len)| place % len_bytes..(place % len_bytes + len).min(len_bytes))
                .collect();
            let proof = prove(&bytes, &ranges).unwrap();
            let slice = verify(&ArtifactKey::of(&bytes), &proof, &ranges).unwrap();
            prop_assert_eq!(slice.len_bytes, len_bytes);
            for (range, proven) in ranges.iter().zip(&slice.ranges) {
                prop_assert_eq!(proven, &bytes[range.start as usize..range.end as usize]);
            }
        }

        #[test]
        fn arbitrary_proofs_never_verify(
            proof in proptest::collection::vec(any::<u8>(), 0..3_000),
            len_bytes in 0_u64..10_000,
        ) {
            let key = ArtifactKey::of(b"artifact");
            prop_assert!(verify(&key, &proof, &[0..1]).is_err());
            if proof.len() >= LENGTH_LEN_BYTES {
                prop_assert!(verify(&key, &with_len(&proof, len_bytes), &[0..1]).is_err());
            }
        }
    }
}
