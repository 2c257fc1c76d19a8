//! Serving a reconstructed file to the verifiers of its operation (wire 5.9).

use crate::node::{Node, is_verifier};
use lampkeeper_plugin_sdk::api::chain::HealOpStatus;
use lampkeeper_plugin_sdk::api::scheduler::Permit;
use lampkeeper_plugin_sdk::api::staging::{Staging, StagingState};
use lampkeeper_plugin_sdk::api::transport::{Caller, MessageStream, Status, StatusCode, StreamHandler};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_proto::supernode::{ServeReconstructedArtefactsRequest, ServeReconstructedArtefactsResponse};
use prost::Message as _;
use std::sync::Arc;

/// Bytes of the file in one message (wire 5.1).
pub(crate) const CHUNK_LEN_BYTES: usize = 1024 * 1024;
/// The longest request that is read: a number and an account.
const REQUEST_LEN_BYTES_MAX: usize = 1024;

/// Answers `ServeReconstructedArtefacts`.
pub(crate) struct ServeFile {
    pub(crate) node: Arc<Node>,
}

#[async_trait]
impl StreamHandler for ServeFile {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
        let outcome = self.open(&caller, &request).await;
        let result = match &outcome {
            Ok(_) => "ok",
            Err(status) => code_name(status.code),
        };
        self.node.count("self_healing_serves_total", "result", result);
        outcome.map(|file| Box::new(file) as Box<dyn MessageStream>)
    }
}

impl ServeFile {
    /// The checks of wire 5.9, in their order. The account in the request is ignored: the handshake's counts.
    async fn open(&self, caller: &Caller, request: &[u8]) -> Result<FileStream, Status> {
        let node = &self.node;
        let heal_op_id = decode_request(request)?;
        if caller.account().is_empty() {
            return Err(Status::new(StatusCode::Unauthenticated, "the caller's account is not known"));
        }
        let heal_op = node.chain.heal_op(heal_op_id).await.map_err(|error| {
            Status::new(StatusCode::NotFound, format!("heal operation {heal_op_id}: {error}"))
        })?;
        if heal_op.healer_supernode_account != node.account {
            return Err(Status::new(
                StatusCode::FailedPrecondition,
                "this node is not the operation's healer",
            ));
        }
        if heal_op.status != HealOpStatus::HealerReported {
            let message = format!("the operation is {}, not HEALER_REPORTED", heal_op.status.name());
            return Err(Status::new(StatusCode::FailedPrecondition, message));
        }
        if !is_verifier(&heal_op, caller.account()) {
            return Err(Status::new(StatusCode::PermissionDenied, "the caller is not one of the verifiers"));
        }
        let len_bytes = match node.staging.state(heal_op_id).await {
            Ok(StagingState::Sealed(manifest)) => manifest.file_len_bytes,
            Ok(StagingState::Absent | StagingState::Unsealed) => {
                return Err(Status::new(StatusCode::NotFound, "there is no reconstruction of the operation"));
            }
            Ok(StagingState::Damaged { reason }) => return Err(Status::new(StatusCode::Internal, reason)),
            Err(error) => return Err(Status::new(StatusCode::Internal, error.to_string())),
        };
        let Some(permit) = node.serve_permits.try_acquire() else {
            return Err(Status::new(
                StatusCode::ResourceExhausted,
                "too many files are being served; try again",
            ));
        };
        let staging = Arc::clone(&node.staging);
        Ok(FileStream { staging, heal_op_id, len_bytes, offset: 0, ended: false, _permit: permit })
    }
}

fn decode_request(request: &[u8]) -> Result<u64, Status> {
    let invalid = |message: &str| Status::new(StatusCode::InvalidArgument, message);
    if request.len() > REQUEST_LEN_BYTES_MAX {
        return Err(invalid("the request is too long"));
    }
    let request = ServeReconstructedArtefactsRequest::decode(request).map_err(|_| invalid("no request"))?;
    match request.heal_op_id {
        0 => Err(invalid("heal_op_id is required")),
        heal_op_id => Ok(heal_op_id),
    }
}

/// The file, one chunk a message; the reader's pace holds it back. An empty file gives no message at all.
struct FileStream {
    staging: Arc<dyn Staging>,
    heal_op_id: u64,
    len_bytes: u64,
    offset: u64,
    ended: bool,
    _permit: Permit,
}

#[async_trait]
impl MessageStream for FileStream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        if self.ended || self.offset >= self.len_bytes {
            return None;
        }
        let left = usize::try_from(self.len_bytes - self.offset).unwrap_or(usize::MAX);
        let chunk = self.staging.read_file_at(self.heal_op_id, self.offset, left.min(CHUNK_LEN_BYTES)).await;
        let chunk = match chunk {
            Ok(chunk) if !chunk.is_empty() => chunk,
            Ok(_) => return self.fail("the file is shorter than its manifest says".to_owned()),
            Err(error) => return self.fail(error.to_string()),
        };
        let total_size = if self.offset == 0 { self.len_bytes } else { 0 };
        self.offset += chunk.len() as u64;
        let is_last = self.offset >= self.len_bytes;
        Some(Ok(ServeReconstructedArtefactsResponse { chunk, total_size, is_last }.encode_to_vec()))
    }
}

impl FileStream {
    fn fail(&mut self, reason: String) -> Option<Result<Vec<u8>, Status>> {
        self.ended = true;
        Some(Err(Status::new(StatusCode::Internal, reason)))
    }
}

const fn code_name(code: StatusCode) -> &'static str {
    match code {
        StatusCode::InvalidArgument => "invalid_argument",
        StatusCode::Unauthenticated => "unauthenticated",
        StatusCode::NotFound => "not_found",
        StatusCode::FailedPrecondition => "failed_precondition",
        StatusCode::PermissionDenied => "permission_denied",
        StatusCode::ResourceExhausted => "resource_exhausted",
        _ => "internal",
    }
}
