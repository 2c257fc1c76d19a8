//! Rows for the chain: what they hold and how they are signed (wire 3.6, 3.7, 3.9).
//!
//! Owns their shape. A row that can't be signed is not made: no row rather than a lie.

use crate::draw::Draw;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::StorageProofResult;
use lampkeeper_plugin_sdk::api::challenge::{ChallengeError, Observation};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::protocol::transcript::Transcript;
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

/// The longest reason that goes into a row.
const DETAILS_LEN_CHARS_MAX: usize = 200;

/// The class that the chain is told for an observation.
///
/// A target that says it lacks an artifact which it should hold has failed the challenge as surely as one that sends
/// other bytes. A target that could not be reached gave no response, whatever the error looked like (closes wire 3.7,
/// "unreachable peers").
pub(crate) const fn result_class(observation: Observation) -> ResultClass {
    match observation {
        Observation::Pass => ResultClass::Pass,
        Observation::WrongBytes | Observation::Missing => ResultClass::HashMismatch,
        Observation::TimedOut | Observation::Unreachable => ResultClass::TimeoutOrNoResponse,
        _ => ResultClass::InvalidTranscript,
    }
}

/// What a row is about.
pub(crate) struct Subject<'a> {
    pub(crate) epoch_id: EpochId,
    pub(crate) target: &'a str,
    pub(crate) ticket_id: &'a str,
    pub(crate) bucket: Bucket,
    pub(crate) draw: Draw,
    pub(crate) derivation_input_hash: &'a str,
}

/// The row of a challenge. `proof_hash` is empty unless it passed.
pub(crate) fn challenge_row(
    signer: &dyn Signer,
    subject: &Subject<'_>,
    observation: Observation,
    proof_hash: &str,
    details: &str,
) -> Result<StorageProofResult, ChallengeError> {
    let Draw { artifact, ordinal, count } = subject.draw;
    let artifact_key = artifact.key.to_string();
    let transcript = Transcript {
        epoch_id: subject.epoch_id,
        challenger: signer.account(),
        target: subject.target,
        ticket_id: subject.ticket_id,
        bucket: subject.bucket,
        class: artifact.class,
        ordinal,
        artifact_key: &artifact_key,
        derivation_input_hash: subject.derivation_input_hash,
        compound_proof_hash: proof_hash,
        observers: &[],
    };
    let (transcript_hash, challenger_signature) = sign(signer, &transcript)?;
    Ok(StorageProofResult {
        target_supernode_account: subject.target.to_owned(),
        challenger_supernode_account: signer.account().to_owned(),
        ticket_id: subject.ticket_id.to_owned(),
        bucket_type: subject.bucket,
        artifact_class: artifact.class,
        artifact_ordinal: ordinal,
        artifact_key,
        result_class: result_class(observation),
        transcript_hash,
        details: details.chars().take(DETAILS_LEN_CHARS_MAX).collect(),
        artifact_count: count,
        derivation_input_hash: subject.derivation_input_hash.to_owned(),
        challenger_signature,
        observer_attestation_signatures: Vec::new(),
    })
}

/// The row that says that a target has no ticket in a bucket.
pub(crate) fn no_eligible_row(
    signer: &dyn Signer,
    epoch_id: EpochId,
    target: &str,
    bucket: Bucket,
) -> Result<StorageProofResult, ChallengeError> {
    let transcript =
        Transcript { epoch_id, challenger: signer.account(), target, bucket, ..Transcript::default() };
    let (transcript_hash, challenger_signature) = sign(signer, &transcript)?;
    Ok(StorageProofResult {
        target_supernode_account: target.to_owned(),
        challenger_supernode_account: signer.account().to_owned(),
        bucket_type: bucket,
        artifact_class: ArtifactClass::Unspecified,
        result_class: ResultClass::NoEligibleTicket,
        transcript_hash,
        details: "no eligible ticket for bucket".to_owned(),
        challenger_signature,
        ..StorageProofResult::default()
    })
}

fn sign(signer: &dyn Signer, transcript: &Transcript<'_>) -> Result<(String, String), ChallengeError> {
    let ours =
        |reason: String| ChallengeError::Ours { stage: "signing a row".to_owned(), reason, transient: true };
    let hash = transcript.hash().map_err(|error| ours(error.to_string()))?;
    let signature = signer.sign(hash.as_bytes()).map_err(|error| ours(error.to_string()))?;
    Ok((hash, hex::encode(signature)))
}
