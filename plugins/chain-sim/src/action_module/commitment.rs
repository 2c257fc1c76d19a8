//! Availability commitments (chain Appendix C, "Commitment") and the proofs that finalising owes.

use super::merkle;
use crate::refusal::{Refusal, action};
use crate::state::actions::{AvailabilityCommitment, ChunkProof};
use std::collections::BTreeSet;

/// The only type of commitment.
pub const COMMITMENT_TYPE: &str = "lep5/chunk-merkle/v1";
/// The wire number of BLAKE3.
pub const HASH_ALGO_BLAKE3: i32 = 1;
/// The smallest committed file, in bytes.
pub const TOTAL_SIZE_BYTES_MIN: u64 = 4;
/// The largest chunk, in bytes.
pub const CHUNK_SIZE_BYTES_MAX: u32 = 262_144;

/// Validates a commitment.
///
/// # Errors
/// The chain's words for the first check that fails.
pub fn validate(
    commitment: &AvailabilityCommitment,
    challenges_max: u32,
    chunks_min: u32,
) -> Result<(), String> {
    let name = "availability_commitment";
    let AvailabilityCommitment { chunk_size, total_size, num_chunks, .. } = *commitment;
    if commitment.commitment_type != COMMITMENT_TYPE {
        return Err(format!("{name}.commitment_type must be {COMMITMENT_TYPE:?}"));
    }
    if commitment.hash_algo != HASH_ALGO_BLAKE3 {
        return Err(format!("{name}.hash_algo must be \"HASH_ALGO_BLAKE3\""));
    }
    if total_size < TOTAL_SIZE_BYTES_MIN {
        return Err(format!("{name}.total_size must be >= {TOTAL_SIZE_BYTES_MIN} bytes, got {total_size}"));
    }
    if !chunk_size.is_power_of_two() {
        return Err(format!("{name}.chunk_size must be a power of 2, got {chunk_size}"));
    }
    if chunk_size > CHUNK_SIZE_BYTES_MAX {
        return Err(format!("{name}.chunk_size must be in [1, {CHUNK_SIZE_BYTES_MAX}], got {chunk_size}"));
    }
    let expected = total_size.div_ceil(u64::from(chunk_size));
    if u64::from(num_chunks) != expected {
        return Err(format!(
            "{name}.num_chunks must be {expected} for total_size {total_size} and chunk_size {chunk_size}"
        ));
    }
    if num_chunks < chunks_min {
        return Err(format!(
            "{name}.num_chunks {num_chunks} is below minimum {chunks_min}: file of {total_size} bytes must produce \
             at least {chunks_min} chunks (reduce chunk_size)"
        ));
    }
    if commitment.root.len() != 32 {
        return Err(format!("{name}.root must be 32 bytes"));
    }
    challenge_indices(commitment, challenges_max.min(num_chunks))
}

fn challenge_indices(commitment: &AvailabilityCommitment, expected: u32) -> Result<(), String> {
    let name = "availability_commitment.challenge_indices";
    let indices = &commitment.challenge_indices;
    if indices.len() != expected as usize {
        return Err(format!("{name} must have {expected} entries, got {}", indices.len()));
    }
    let mut seen = BTreeSet::new();
    for (position, index) in indices.iter().enumerate() {
        if *index >= commitment.num_chunks {
            let bound = commitment.num_chunks;
            return Err(format!("{name}[{position}] = {index} is out of range [0, {bound})"));
        }
        if !seen.insert(*index) {
            return Err(format!("{name}[{position}] = {index} is a duplicate"));
        }
    }
    Ok(())
}

/// Checks the proofs of a finalisation. A commitment without challenges asks for none.
pub(super) fn check_proofs(
    commitment: &AvailabilityCommitment,
    proofs: &[ChunkProof],
) -> Result<(), Refusal> {
    let expected = &commitment.challenge_indices;
    if expected.is_empty() {
        return Ok(());
    }
    if proofs.len() != expected.len() {
        let words = format!("expected {} proofs, got {}", expected.len(), proofs.len());
        return Err(action::WRONG_PROOF_COUNT.because(words));
    }
    for (position, (proof, index)) in proofs.iter().zip(expected).enumerate() {
        if proof.chunk_index != *index {
            let words = format!("proof {position}: expected index {index}, got {}", proof.chunk_index);
            return Err(action::WRONG_CHALLENGE_INDEX.because(words));
        }
        merkle::verify(proof, &commitment.root)
            .map_err(|words| action::INVALID_MERKLE_PROOF.because(words))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commitment(total_size: u64, chunk_size: u32, indices: u32) -> AvailabilityCommitment {
        AvailabilityCommitment {
            commitment_type: COMMITMENT_TYPE.to_owned(),
            hash_algo: HASH_ALGO_BLAKE3,
            chunk_size,
            total_size,
            num_chunks: total_size.div_ceil(u64::from(chunk_size.max(1))) as u32,
            root: vec![0; 32],
            challenge_indices: (0..indices).collect(),
        }
    }

    #[test]
    fn small_files_can_be_committed_to() {
        for (total, chunk, indices) in [(512_000, 131_072, 4), (4, 1, 4), (5, 1, 5), (8, 1, 8), (10, 1, 8)] {
            assert_eq!(validate(&commitment(total, chunk, indices), 8, 4), Ok(()), "{total} by {chunk}");
        }
    }

    #[test]
    fn bad_commitments_are_refused_with_the_chains_words() {
        type Change = fn(&mut AvailabilityCommitment);
        let table: &[(Change, &str)] = &[
            (|c| c.commitment_type.clear(), "availability_commitment.commitment_type"),
            (|c| c.hash_algo = 2, "hash_algo must be"),
            (|c| c.total_size = 3, "total_size must be >= 4"),
            (|c| c.chunk_size = 3, "power of 2"),
            (|c| c.chunk_size = 0, "power of 2"),
            (|c| c.chunk_size = 524_288, "must be in"),
            (|c| c.num_chunks = 9, "num_chunks must be"),
            (|c| (c.total_size, c.chunk_size, c.num_chunks) = (6, 2, 3), "below minimum"),
            (|c| c.root.clear(), "root must be 32 bytes"),
            (|c| c.challenge_indices.clear(), "challenge_indices must have"),
            (|c| c.challenge_indices[7] = 8, "out of range"),
            (|c| c.challenge_indices[7] = 0, "duplicate"),
        ];
        for (change, phrase) in table {
            let mut commitment = commitment(8, 1, 8);
            change(&mut commitment);
            let words = validate(&commitment, 8, 4).expect_err(phrase);
            assert!(words.contains(phrase), "{words:?} does not contain {phrase:?}");
        }
    }
}
