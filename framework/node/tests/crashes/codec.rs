//! Errors and pages of the seams as JSON.

use lampkeeper_api::chain::{
    ChainError, ChainStatus, EpochInfo, HealOpStatus, Page, PageRequest, Rejection, RejectionReason,
};
use lampkeeper_api::transport::{CallError, Status, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn text(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or_default().to_owned()
}

/// A page request.
pub(crate) fn request(page: &PageRequest) -> Value {
    json!({ "key": page.key, "limit": page.limit })
}

/// A page request, read.
pub(crate) fn read_request(value: &Value) -> PageRequest {
    let key = serde_json::from_value(value["key"].clone()).unwrap();
    PageRequest { key, limit: u32::try_from(value["limit"].as_u64().unwrap()).unwrap() }
}

/// A page.
pub(crate) fn page<T: Serialize>(page: Page<T>) -> Value {
    json!({ "items": page.items, "next_key": page.next_key })
}

/// A page, read.
pub(crate) fn read_page<T: DeserializeOwned>(value: &Value) -> Page<T> {
    let part = |name: &str| value[name].clone();
    Page {
        items: serde_json::from_value(part("items")).unwrap(),
        next_key: serde_json::from_value(part("next_key")).unwrap(),
    }
}

/// The chain's word about itself.
pub(crate) fn status(status: &ChainStatus) -> Value {
    json!({
        "chain_id": status.chain_id,
        "height": status.latest_height,
        "time_ms": status.latest_block_time_ms,
    })
}

/// The chain's word about itself, read.
pub(crate) fn read_status(value: &Value) -> ChainStatus {
    ChainStatus {
        chain_id: text(value, "chain_id"),
        latest_height: value["height"].as_i64().unwrap(),
        latest_block_time_ms: value["time_ms"].as_i64().unwrap(),
    }
}

/// The present epoch.
pub(crate) fn epoch(epoch: &EpochInfo) -> Value {
    json!([epoch.epoch_id, epoch.epoch_start_height, epoch.epoch_end_height])
}

/// The present epoch, read.
pub(crate) fn read_epoch(value: &Value) -> EpochInfo {
    EpochInfo {
        epoch_id: value[0].as_u64().unwrap(),
        epoch_start_height: value[1].as_i64().unwrap(),
        epoch_end_height: value[2].as_i64().unwrap(),
    }
}

/// A heal operation's status by its name.
pub(crate) fn read_heal_status(value: &Value) -> HealOpStatus {
    serde_json::from_value(value.clone()).unwrap()
}

/// Reasons that a healer or verifier tells apart.
const REASONS: [RejectionReason; 4] = [
    RejectionReason::HealOpPastDeadline,
    RejectionReason::HealOpInvalidState,
    RejectionReason::HealOpNotFound,
    RejectionReason::VerificationAlreadySubmitted,
];

/// A chain error.
pub(crate) fn chain_error(error: &ChainError) -> Value {
    match error {
        ChainError::Transient { attempted, source, outcome_unknown } => {
            json!({ "kind": "transient", "a": attempted, "b": source, "unknown": outcome_unknown })
        }
        ChainError::NotFound { what } => json!({ "kind": "not_found", "a": what }),
        ChainError::Rejected(Rejection { reason, codespace, code, message }) => json!({
            "kind": "rejected",
            "a": codespace,
            "b": message,
            "code": code,
            "reason": REASONS.iter().position(|known| known == reason),
        }),
        other => json!({ "kind": other.kind(), "a": other.to_string() }),
    }
}

/// A chain error, read.
pub(crate) fn read_chain_error(value: &Value) -> ChainError {
    let (a, b) = (text(value, "a"), text(value, "b"));
    match value["kind"].as_str().unwrap() {
        "transient" => ChainError::Transient {
            attempted: a,
            source: b,
            outcome_unknown: value["unknown"].as_bool().unwrap(),
        },
        "not_found" => ChainError::NotFound { what: a },
        "rejected" => {
            let code = u32::try_from(value["code"].as_u64().unwrap()).unwrap();
            let known = value["reason"].as_u64().map(|index| REASONS[index as usize]);
            let reason = known.unwrap_or_else(|| RejectionReason::from_code(&a, code));
            ChainError::Rejected(Rejection { reason, codespace: a, code, message: b })
        }
        _ => ChainError::Unavailable { reason: a },
    }
}

/// Status codes that services answer with.
const CODES: [StatusCode; 7] = [
    StatusCode::NotFound,
    StatusCode::FailedPrecondition,
    StatusCode::PermissionDenied,
    StatusCode::ResourceExhausted,
    StatusCode::Unavailable,
    StatusCode::Unauthenticated,
    StatusCode::Internal,
];

/// A status.
pub(crate) fn answer_status(status: &Status) -> Value {
    let code = CODES.iter().position(|known| *known == status.code).unwrap_or(CODES.len() - 1);
    json!({ "code": code, "message": status.message })
}

/// A status, read.
pub(crate) fn read_answer_status(value: &Value) -> Status {
    Status::new(CODES[value["code"].as_u64().unwrap() as usize], text(value, "message"))
}

/// A call that failed.
pub(crate) fn call_error(error: &CallError) -> Value {
    match error {
        CallError::Unreachable { reason, .. } => json!({ "kind": "unreachable", "reason": reason }),
        CallError::TimedOut { timeout_ms, .. } => json!({ "kind": "timed_out", "ms": timeout_ms }),
        CallError::Refused { status, .. } => json!({ "kind": "refused", "status": answer_status(status) }),
        other => json!({ "kind": "broken", "reason": other.to_string() }),
    }
}

/// A call that failed, read.
pub(crate) fn read_call_error(peer: &str, value: &Value) -> CallError {
    let (peer, reason) = (peer.to_owned(), text(value, "reason"));
    match value["kind"].as_str().unwrap() {
        "unreachable" => CallError::Unreachable { peer, reason },
        "timed_out" => CallError::TimedOut { peer, timeout_ms: value["ms"].as_u64().unwrap() },
        "refused" => CallError::Refused { peer, status: read_answer_status(&value["status"]) },
        _ => CallError::Broken { peer, reason },
    }
}
