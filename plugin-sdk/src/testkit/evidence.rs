//! An exchange between a challenger and a target, and the evidence that is made of it.
//!
//! The parties are `challenger` and `target`; the artifact, the request and all signatures are the same in every run.
#![expect(clippy::unwrap_used, reason = "every part is a constant: a mistake in one fails every test")]

use crate::api::challenge::Observation;
use crate::api::signer::Signer;
use crate::evidence::{Base64, Basis, EVIDENCE_FORMAT, EvidenceRecord, Party, transcript_hash};
use crate::protocol::account::{KeyType, PublicKey};
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::transcript::{ChallengedArtifact, hash_ranges};
use crate::protocol::verified_slice;
use crate::protocol::words::{ArtifactClass, Bucket};
use crate::testkit::TestSigner;
use lampkeeper_proto::supernode::{
    ByteRange, CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse,
};
use prost::Message;

/// Length of the artifact.
pub const ARTIFACT_LEN_BYTES: usize = 5000;
/// What is asked for.
pub const RANGES: [std::ops::Range<u64>; 2] = [100..356, 4000..4256];

/// The artifact.
#[must_use]
pub fn artifact() -> Vec<u8> {
    (0..ARTIFACT_LEN_BYTES).map(|place| (place * 7 + place / 256) as u8).collect()
}

/// The artifact as a node has it that lost its second half.
#[must_use]
pub fn half_lost() -> Vec<u8> {
    let mut bytes = artifact();
    bytes[ARTIFACT_LEN_BYTES / 2..].fill(0);
    bytes
}

/// A node by its name.
#[must_use]
pub fn party(name: &str) -> Party {
    let key = PublicKey::from_bytes(KeyType::Secp256k1, &TestSigner::new(name).public_key()).unwrap();
    Party::of(&key)
}

/// What the challenger asks for.
#[must_use]
pub fn request() -> GetCompoundProofRequest {
    let mut request = GetCompoundProofRequest {
        epoch_id: 9,
        seed: vec![3; 32],
        ticket_id: "41".to_owned(),
        target_supernode_account: party("target").account,
        challenger_account: party("challenger").account,
        artifact_class: ArtifactClass::Symbol.number() as u32,
        artifact_ordinal: 4,
        artifact_count: 20,
        bucket_type: Bucket::Old.number() as u32,
        artifact_key: ArtifactKey::of(&artifact()).to_string(),
        artifact_size: ARTIFACT_LEN_BYTES as u64,
        ranges: RANGES.iter().map(|range| ByteRange { start: range.start, end: range.end }).collect(),
        want_verified_slices: true,
        ..GetCompoundProofRequest::default()
    };
    request.challenge_id = ChallengedArtifact {
        target: &request.target_supernode_account,
        ticket_id: &request.ticket_id,
        class: ArtifactClass::Symbol,
        ordinal: request.artifact_ordinal,
    }
    .challenge_id(&request.seed, request.epoch_id);
    request
}

/// A node's signature over the transcript of a request, hex.
#[must_use]
pub fn sign(request: &GetCompoundProofRequest, proof_hash: &str, signer: &str) -> String {
    hex::encode(
        TestSigner::new(signer).sign(transcript_hash(request, proof_hash).unwrap().as_bytes()).unwrap(),
    )
}

/// The answer of a target that has these bytes and signs them.
#[must_use]
pub fn answer(bytes: &[u8]) -> GetCompoundProofResponse {
    let request = request();
    let range_bytes: Vec<_> =
        RANGES.iter().map(|range| bytes[range.start as usize..range.end as usize].to_vec()).collect();
    let proof_hash_hex = hash_ranges(range_bytes.iter().map(Vec::as_slice));
    GetCompoundProofResponse {
        challenge_id: request.challenge_id.clone(),
        epoch_id: request.epoch_id,
        ticket_id: request.ticket_id.clone(),
        artifact_key: request.artifact_key.clone(),
        recipient_signature: sign(&request, &proof_hash_hex, "target"),
        range_bytes,
        proof_hash_hex,
        ok: true,
        verified_slices: verified_slice::prove(bytes, &RANGES).unwrap(),
        ..GetCompoundProofResponse::default()
    }
}

/// The answer of a target that says that it can't.
#[must_use]
pub fn failure(failure: CompoundProofFailure, error: &str) -> GetCompoundProofResponse {
    let request = request();
    GetCompoundProofResponse {
        challenge_id: request.challenge_id,
        epoch_id: request.epoch_id,
        error: error.to_owned(),
        failure: failure.into(),
        ..GetCompoundProofResponse::default()
    }
}

/// A verified slice of the artifact for the request.
#[must_use]
pub fn true_slice() -> Vec<u8> {
    verified_slice::prove(&artifact(), &RANGES).unwrap()
}

/// What the challenger makes of an answer and, where it has one, of a copy from elsewhere.
#[must_use]
pub fn record(
    observation: Observation,
    response: Option<Vec<u8>>,
    authentic_slice: Option<Vec<u8>>,
) -> EvidenceRecord {
    let request = request();
    EvidenceRecord {
        format: EVIDENCE_FORMAT.to_owned(),
        chain_id: "lumera-test".to_owned(),
        epoch_id: request.epoch_id,
        recorded_at_ms: 1_750_000_000_000,
        challenger: party("challenger"),
        target: party("target"),
        ticket_id: request.ticket_id.clone(),
        ticket_data_hash: "aGFzaA==".to_owned(),
        bucket: Bucket::Old,
        artifact_class: ArtifactClass::Symbol,
        artifact_ordinal: request.artifact_ordinal,
        artifact_key: request.artifact_key.clone(),
        artifact_len_bytes: request.artifact_size,
        observation: observation.name().to_owned(),
        details: "as seen".to_owned(),
        attempts: 2,
        basis: Basis::ChallengerWord,
        row_transcript_hash: "aa".repeat(32),
        request: Base64(request.encode_to_vec()),
        response: response.map(Base64),
        authentic_slice: authentic_slice.map(Base64),
        challenger_signature: String::new(),
    }
    .with_basis()
    .signed(&TestSigner::new("challenger"))
    .unwrap()
}

/// Evidence against a target that signed other bytes than the artifact's: proven by its signature.
#[must_use]
pub fn wrong_bytes() -> EvidenceRecord {
    record(Observation::WrongBytes, Some(answer(&half_lost()).encode_to_vec()), Some(true_slice()))
}
