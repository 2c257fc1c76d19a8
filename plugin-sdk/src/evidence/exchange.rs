//! Checks on a request and its answer that need nothing else.

use crate::protocol::account::PublicKey;
use crate::protocol::transcript::{ChallengedArtifact, Transcript};
use crate::protocol::words::{ArtifactClass, Bucket};
use lampkeeper_proto::supernode::{ByteRange, GetCompoundProofRequest, GetCompoundProofResponse};

/// What is wrong with the shape of an answer, if anything: it is to another challenge, or has other ranges than were asked.
#[must_use]
pub fn shape_problem(
    request: &GetCompoundProofRequest,
    response: &GetCompoundProofResponse,
) -> Option<String> {
    let echoed = response.challenge_id == request.challenge_id
        && response.epoch_id == request.epoch_id
        && response.ticket_id == request.ticket_id
        && response.artifact_key == request.artifact_key;
    if !echoed {
        return Some("the answer is to another challenge".to_owned());
    }
    if response.range_bytes.len() != request.ranges.len() {
        return Some(format!("{} ranges for {} asked", response.range_bytes.len(), request.ranges.len()));
    }
    let wrong_len = |(range, bytes): (&ByteRange, &Vec<u8>)| bytes.len() as u64 != len_of(range);
    request
        .ranges
        .iter()
        .zip(&response.range_bytes)
        .any(wrong_len)
        .then(|| "a range has another length".to_owned())
}

/// Checks the target's signature over the transcript with this proof hash (wire 1.15, 3.6).
///
/// # Errors
/// What is wrong with it, for people.
pub fn check_signature(
    request: &GetCompoundProofRequest,
    response: &GetCompoundProofResponse,
    proof_hash: &str,
    target_key: &PublicKey,
) -> Result<(), String> {
    let hash = transcript_hash(request, proof_hash)?;
    let signature =
        hex::decode(&response.recipient_signature).map_err(|_| "the signature is not hex".to_owned())?;
    target_key
        .verify(hash.as_bytes(), &signature)
        .map_err(|error| format!("the answer is not signed by the target: {error}"))
}

/// The hash that a target signs for a request and the hash of the ranges that it returns, 64 hex digits (wire 1.15, 3.6).
///
/// # Errors
/// The request has no class or bucket that may be hashed; for people.
pub fn transcript_hash(request: &GetCompoundProofRequest, proof_hash: &str) -> Result<String, String> {
    let observers: Vec<_> = request.observer_accounts.iter().map(String::as_str).collect();
    let class = class_of(request).unwrap_or_default();
    let bucket = i32::try_from(request.bucket_type).ok().and_then(Bucket::from_number).unwrap_or_default();
    let offsets: Vec<u64> = request.ranges.iter().map(|range| range.start).collect();
    let derivation_input_hash = challenged(request, class)
        .derivation_input_hash(&request.seed, &offsets, request.ranges.first().map_or(0, len_of))
        .map_err(|error| error.to_string())?;
    let transcript = Transcript {
        epoch_id: request.epoch_id,
        challenger: &request.challenger_account,
        target: &request.target_supernode_account,
        ticket_id: &request.ticket_id,
        bucket,
        class,
        ordinal: request.artifact_ordinal,
        artifact_key: &request.artifact_key,
        derivation_input_hash: &derivation_input_hash,
        compound_proof_hash: proof_hash,
        observers: &observers,
    };
    transcript.hash().map_err(|error| error.to_string())
}

pub(super) fn class_of(request: &GetCompoundProofRequest) -> Option<ArtifactClass> {
    i32::try_from(request.artifact_class).ok().and_then(ArtifactClass::from_number)
}

pub(super) fn challenged(request: &GetCompoundProofRequest, class: ArtifactClass) -> ChallengedArtifact<'_> {
    ChallengedArtifact {
        target: &request.target_supernode_account,
        ticket_id: &request.ticket_id,
        class,
        ordinal: request.artifact_ordinal,
    }
}

pub(super) fn len_of(range: &ByteRange) -> u64 {
    range.end.saturating_sub(range.start)
}
