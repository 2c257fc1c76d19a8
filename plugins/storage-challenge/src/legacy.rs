//! The older single-range calls, which older peers still make (wire 3.8).
//!
//! Owns `GetSliceProof` and `VerifySliceProof`, within the same caps and for the same callers as compound challenges.

use crate::caps::AGGREGATE_LEN_BYTES_MAX;
use crate::registered::RegisteredCallers;
use lampkeeper_plugin_sdk::api::scheduler::Permits;
use lampkeeper_plugin_sdk::api::store::{ArtifactStore, ByteRange};
use lampkeeper_plugin_sdk::api::transport::{Caller, Status, StatusCode, UnaryHandler};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::hash_ranges;
use lampkeeper_proto::supernode::{
    GetSliceProofRequest, GetSliceProofResponse, VerifySliceProofRequest, VerifySliceProofResponse,
};
use prost::Message;
use std::sync::Arc;

/// The longest slice that the legacy call ever returned (wire 3.8); ours stays within the compound cap.
const SLICE_LEN_BYTES_MAX: u64 =
    if AGGREGATE_LEN_BYTES_MAX < 65_536 { AGGREGATE_LEN_BYTES_MAX } else { 65_536 };
/// The longest slice that is checked for an older observer.
const VERIFIED_SLICE_LEN_BYTES_MAX: usize = 65_536;

/// Answers `GetSliceProof`.
pub(crate) struct SliceProofHandler {
    pub(crate) account: String,
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) callers: Arc<RegisteredCallers>,
    /// Shared with the compound challenges.
    pub(crate) reads: Arc<dyn Permits>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
}

#[async_trait]
impl UnaryHandler for SliceProofHandler {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let request = decode::<GetSliceProofRequest>(&request)?;
        self.callers.check(&caller).await?;
        check_role("challenger_id", &request.challenger_id, caller.account())?;
        check_role("recipient_id", &request.recipient_id, &self.account)?;
        let mut response = GetSliceProofResponse {
            challenge_id: request.challenge_id.clone(),
            epoch_id: request.epoch_id,
            file_key: request.file_key.clone(),
            recipient_id: self.account.clone(),
            ..GetSliceProofResponse::default()
        };
        match self.slice(&request).await {
            Ok((range, slice)) => {
                (response.start, response.end) = (range.start, range.end);
                response.proof_hash_hex = hash_ranges([slice.as_slice()]);
                response.slice = slice;
                response.ok = true;
            }
            Err(message) => response.error = message,
        }
        let result = if response.ok { "ok" } else { "refused" };
        self.telemetry.count("slices_served_total", &[("result", result)], 1);
        Ok(response.encode_to_vec())
    }
}

impl SliceProofHandler {
    async fn slice(&self, request: &GetSliceProofRequest) -> Result<(ByteRange, Vec<u8>), String> {
        if request.file_key.is_empty() {
            return Err("file_key is required".to_owned());
        }
        let key: ArtifactKey = request.file_key.parse().map_err(|error| format!("file_key: {error}"))?;
        let size = self.store.size(&key).await.map_err(|error| error.to_string())?;
        let size = size.filter(|size| *size > 0).ok_or_else(|| format!("artifact {key} is not here"))?;
        if request.requested_end <= request.requested_start || request.requested_start >= size {
            return Err("the requested range is empty or lies outside the artifact".to_owned());
        }
        let end =
            request.requested_end.min(size).min(request.requested_start.saturating_add(SLICE_LEN_BYTES_MAX));
        let range = ByteRange { start: request.requested_start, end };
        let _reading = self.reads.acquire().await;
        let slice = self.store.read_range(&key, range).await.map_err(|error| error.to_string())?;
        slice.map(|slice| (range, slice)).ok_or_else(|| format!("artifact {key} is not here"))
    }
}

/// Answers `VerifySliceProof`.
pub(crate) struct VerifySliceHandler {
    pub(crate) account: String,
    pub(crate) callers: Arc<RegisteredCallers>,
}

#[async_trait]
impl UnaryHandler for VerifySliceHandler {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let request = decode::<VerifySliceProofRequest>(&request)?;
        self.callers.check(&caller).await?;
        check_role("challenger_id", &request.challenger_id, caller.account())?;
        let mut response = VerifySliceProofResponse {
            challenge_id: request.challenge_id,
            epoch_id: request.epoch_id,
            observer_id: self.account.clone(),
            ..VerifySliceProofResponse::default()
        };
        if request.proof_hash_hex.is_empty() {
            response.error = "proof_hash_hex is required".to_owned();
        } else if request.slice.len() > VERIFIED_SLICE_LEN_BYTES_MAX {
            response.error = format!("slices of at most {VERIFIED_SLICE_LEN_BYTES_MAX} bytes are checked");
        } else if hash_ranges([request.slice.as_slice()]).eq_ignore_ascii_case(&request.proof_hash_hex) {
            response.ok = true;
        } else {
            response.error = "the slice does not hash to proof_hash_hex".to_owned();
        }
        Ok(response.encode_to_vec())
    }
}

/// A role that the request names must be that of the account; one that it leaves out is not looked at (wire 3.8).
fn check_role(field: &str, named: &str, account: &str) -> Result<(), Status> {
    if named.is_empty() || named == account {
        return Ok(());
    }
    let message = format!("{field} is another account than {account}");
    Err(Status::new(StatusCode::PermissionDenied, message))
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| Status::new(StatusCode::InvalidArgument, error.to_string()))
}
