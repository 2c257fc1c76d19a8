//! The side that answers compound challenges (wire 3.2 to 3.4).
//!
//! Owns the order of the checks. The whole request is validated before a byte is read; the artifact is read and hashed
//! once, whatever the number of ranges; the caller is who the handshake proved, and must be the challenger that the
//! request names and a registered supernode. Weighing an answer is the challenger's part (`answer`).

use crate::caps::{CapsCache, CapsInForce};
use crate::registered::RegisteredCallers;
use lampkeeper_plugin_sdk::api::scheduler::Permits;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::store::{ArtifactStore, ByteRange, ProvenRanges, StoreError};
use lampkeeper_plugin_sdk::api::transport::{Caller, Status, StatusCode, UnaryHandler};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::{ChallengedArtifact, Transcript, hash_ranges};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket};
use lampkeeper_proto::supernode::{CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse};
use prost::Message;
use std::sync::Arc;

/// The longest text field of a request.
const TEXT_LEN_BYTES_MAX: usize = 256;
/// The most observers in a request; ours never names any.
const OBSERVERS_MAX: usize = 16;
/// The longest seed of a request.
const SEED_LEN_BYTES_MAX: usize = 64;

/// Artifacts that are read and hashed at once; further challenges wait their turn.
pub(crate) const READS_AT_ONCE: usize = 8;

/// Answers `GetCompoundProof`.
pub(crate) struct CompoundProofHandler {
    pub(crate) account: String,
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) caps: Arc<CapsCache>,
    pub(crate) callers: Arc<RegisteredCallers>,
    pub(crate) reads: Arc<dyn Permits>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
}

/// A refusal inside a successful call (wire 0, "in-band error").
struct InBand {
    failure: CompoundProofFailure,
    message: String,
}

impl InBand {
    fn invalid(message: impl Into<String>) -> Self {
        Self { failure: CompoundProofFailure::InvalidRequest, message: message.into() }
    }
}

enum Refusal {
    InBand(InBand),
    Status(Status),
}

impl From<InBand> for Refusal {
    fn from(refusal: InBand) -> Self {
        Self::InBand(refusal)
    }
}

#[async_trait]
impl UnaryHandler for CompoundProofHandler {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let request = GetCompoundProofRequest::decode(request.as_slice())
            .map_err(|error| Status::new(StatusCode::InvalidArgument, error.to_string()))?;
        self.callers.check(&caller).await?;
        let outcome = self.answer(&caller, &request).await;
        let result = match &outcome {
            Ok(_) => "ok",
            Err(Refusal::InBand(refusal)) => refusal.failure.as_str_name(),
            Err(Refusal::Status(_)) => "status",
        };
        self.telemetry.count("challenges_served_total", &[("result", result)], 1);
        match outcome {
            Ok(response) => Ok(response.encode_to_vec()),
            Err(Refusal::InBand(refusal)) => {
                let mut response = echo(&request);
                response.error = refusal.message;
                if request.want_verified_slices {
                    response.failure = refusal.failure.into();
                }
                Ok(response.encode_to_vec())
            }
            Err(Refusal::Status(status)) => Err(status),
        }
    }
}

impl CompoundProofHandler {
    async fn answer(
        &self,
        caller: &Caller,
        request: &GetCompoundProofRequest,
    ) -> Result<GetCompoundProofResponse, Refusal> {
        check_texts(request)?;
        let count = request.ranges.len() as u64;
        let caps = self.caps.for_request(count, common_len_bytes(request)).await;
        let range_len_bytes = check_ranges(request, caps)?;
        self.check_parties(caller, request)?;
        let (class, bucket, key) = check_artifact(request)?;
        let reading = self.reads.acquire().await;
        let proven = self.read(&key, request).await?;
        drop(reading);
        let proof_hash = hash_ranges(proven.ranges.iter().map(Vec::as_slice));
        let signature = self.sign(request, class, bucket, range_len_bytes, &proof_hash)?;
        let mut response = echo(request);
        response.proof_hash_hex = proof_hash;
        response.recipient_signature = signature;
        response.ok = true;
        response.range_bytes = proven.ranges;
        // Whoever does not ask for our extensions gets none of them.
        if request.want_verified_slices {
            response.artifact_size = proven.len_bytes;
            response.verified_slices = proven.slice;
        }
        Ok(response)
    }

    /// Neither check is in wire 3.2; without them anyone could read any artifact, and have any transcript signed.
    fn check_parties(&self, caller: &Caller, request: &GetCompoundProofRequest) -> Result<(), Refusal> {
        let denied = |message: String| Refusal::Status(Status::new(StatusCode::PermissionDenied, message));
        if request.challenger_account != caller.account() {
            return Err(denied(format!("{} asked in the name of another challenger", caller.account())));
        }
        if request.target_supernode_account != self.account {
            return Err(denied(format!("this is not {}", request.target_supernode_account)));
        }
        Ok(())
    }

    async fn read(
        &self,
        key: &ArtifactKey,
        request: &GetCompoundProofRequest,
    ) -> Result<ProvenRanges, InBand> {
        let ranges: Vec<_> =
            request.ranges.iter().map(|range| ByteRange { start: range.start, end: range.end }).collect();
        let (failure, message) = match self.store.prove_ranges(key, &ranges).await {
            Ok(Some(proven)) => return Ok(proven),
            Ok(None) => (CompoundProofFailure::Missing, format!("artifact {key} is not here")),
            Err(error @ StoreError::Corrupt { .. }) => (CompoundProofFailure::Damaged, error.to_string()),
            Err(error @ StoreError::OutOfRange { .. }) => {
                (CompoundProofFailure::InvalidRequest, error.to_string())
            }
            Err(error) => {
                self.telemetry.log(
                    Level::Error,
                    "an artifact could not be read for a challenge",
                    &[("artifact_key", key.to_string().into()), ("reason", error.to_string().into())],
                );
                (CompoundProofFailure::Unavailable, "the artifact can't be read at present".to_owned())
            }
        };
        Err(InBand { failure, message })
    }

    fn sign(
        &self,
        request: &GetCompoundProofRequest,
        class: ArtifactClass,
        bucket: Bucket,
        range_len_bytes: u64,
        proof_hash: &str,
    ) -> Result<String, InBand> {
        let unavailable = |message: String| InBand { failure: CompoundProofFailure::Unavailable, message };
        let artifact = challenged(request, class);
        let offsets: Vec<_> = request.ranges.iter().map(|range| range.start).collect();
        let derivation = artifact
            .derivation_input_hash(&request.seed, &offsets, range_len_bytes)
            .map_err(|error| InBand::invalid(error.to_string()))?;
        let observers: Vec<_> = request.observer_accounts.iter().map(String::as_str).collect();
        let transcript = Transcript {
            epoch_id: request.epoch_id,
            challenger: &request.challenger_account,
            target: &request.target_supernode_account,
            ticket_id: &request.ticket_id,
            bucket,
            class,
            ordinal: request.artifact_ordinal,
            artifact_key: &request.artifact_key,
            derivation_input_hash: &derivation,
            compound_proof_hash: proof_hash,
            observers: &observers,
        };
        let hash = transcript.hash().map_err(|error| InBand::invalid(error.to_string()))?;
        let signature = self.signer.sign(hash.as_bytes()).map_err(|error| unavailable(error.to_string()))?;
        Ok(hex::encode(signature))
    }
}

fn challenged(request: &GetCompoundProofRequest, class: ArtifactClass) -> ChallengedArtifact<'_> {
    ChallengedArtifact {
        target: &request.target_supernode_account,
        ticket_id: &request.ticket_id,
        class,
        ordinal: request.artifact_ordinal,
    }
}

fn echo(request: &GetCompoundProofRequest) -> GetCompoundProofResponse {
    GetCompoundProofResponse {
        challenge_id: request.challenge_id.clone(),
        epoch_id: request.epoch_id,
        ticket_id: request.ticket_id.clone(),
        artifact_class: request.artifact_class,
        artifact_ordinal: request.artifact_ordinal,
        bucket_type: request.bucket_type,
        artifact_key: request.artifact_key.clone(),
        ..GetCompoundProofResponse::default()
    }
}

/// Steps 1 to 4 of wire 3.2, with a bound on every text. Epoch 0 is an epoch like any other: refusing it, as the page
/// describes, costs an honest target a row.
fn check_texts(request: &GetCompoundProofRequest) -> Result<(), InBand> {
    let texts = [
        ("challenge_id", &request.challenge_id),
        ("ticket_id", &request.ticket_id),
        ("target_supernode_account", &request.target_supernode_account),
        ("challenger_account", &request.challenger_account),
        ("artifact_key", &request.artifact_key),
    ];
    for (name, text) in texts {
        if text.is_empty() {
            return Err(InBand::invalid(format!("{name} is required")));
        }
        if text.len() > TEXT_LEN_BYTES_MAX {
            return Err(InBand::invalid(format!("{name} is longer than {TEXT_LEN_BYTES_MAX} bytes")));
        }
    }
    if request.seed.len() > SEED_LEN_BYTES_MAX || request.observer_accounts.len() > OBSERVERS_MAX {
        return Err(InBand::invalid("the seed or the list of observers is too long"));
    }
    if request.observer_accounts.iter().any(|observer| observer.len() > TEXT_LEN_BYTES_MAX) {
        return Err(InBand::invalid("an observer's account is too long"));
    }
    if request.ranges.is_empty() {
        return Err(InBand::invalid("no ranges"));
    }
    Ok(())
}

/// The length of the first range, which all others must have.
fn common_len_bytes(request: &GetCompoundProofRequest) -> u64 {
    request.ranges.first().map_or(0, |range| range.end.saturating_sub(range.start))
}

/// Steps 5 to 8 of wire 3.2; the common length of the ranges.
fn check_ranges(request: &GetCompoundProofRequest, in_force: CapsInForce) -> Result<u64, Refusal> {
    let CapsInForce { caps, is_certain } = in_force;
    // While the chain can't be asked, we don't know that it is too much: the caller may try again.
    let code = if is_certain { StatusCode::InvalidArgument } else { StatusCode::Unavailable };
    let too_much = |message: String| Refusal::Status(Status::new(code, message));
    let count = request.ranges.len() as u64;
    if count > caps.ranges {
        return Err(too_much(format!("{count} ranges; at most {} are answered", caps.ranges)));
    }
    let common_len = common_len_bytes(request);
    for (index, range) in request.ranges.iter().enumerate() {
        let problem = if range.end <= range.start {
            "is empty or backwards"
        } else if range.end - range.start != common_len {
            "has another length than the first"
        } else if range.end > request.artifact_size {
            "reaches past artifact_size"
        } else {
            continue;
        };
        return Err(
            InBand::invalid(format!("range {index} ({}..{}) {problem}", range.start, range.end)).into()
        );
    }
    if common_len > caps.range_len_bytes {
        let message = format!("ranges of {common_len} bytes; at most {} are answered", caps.range_len_bytes);
        return Err(too_much(message));
    }
    if count.saturating_mul(common_len) > caps.aggregate_len_bytes {
        let message =
            format!("{count} ranges of {common_len} bytes; at most {} in all", caps.aggregate_len_bytes);
        return Err(too_much(message));
    }
    Ok(common_len)
}

/// What the page leaves to step 11, before anything is read: class, bucket and key must be ones that can be signed.
fn check_artifact(request: &GetCompoundProofRequest) -> Result<(ArtifactClass, Bucket, ArtifactKey), InBand> {
    let class = i32::try_from(request.artifact_class).ok().and_then(ArtifactClass::from_number);
    let class = class.filter(|class| class.domain_word().is_some());
    let class = class.ok_or_else(|| InBand::invalid("artifact_class is neither INDEX nor SYMBOL"))?;
    let bucket = i32::try_from(request.bucket_type).ok().and_then(Bucket::from_number);
    let bucket = bucket.filter(|bucket| bucket.domain_word().is_some());
    let bucket = bucket.ok_or_else(|| InBand::invalid("bucket_type is not a bucket"))?;
    let key =
        request.artifact_key.parse().map_err(|error| InBand::invalid(format!("artifact_key: {error}")))?;
    Ok((class, bucket, key))
}
