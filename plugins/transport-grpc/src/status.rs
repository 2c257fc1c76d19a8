//! Statuses between the seam and tonic.

use lampkeeper_plugin_sdk::api::transport::{Status, StatusCode};
use tonic::Code;

/// Longest message of a peer's status that is kept; the rest is of no use to anybody.
const MESSAGE_LEN_MAX: usize = 1024;

/// The status as tonic sends it.
pub(crate) fn to_wire(status: Status) -> tonic::Status {
    tonic::Status::new(Code::from_i32(status.code.number()), status.message)
}

/// A status that came from a peer. Codes that the protocol does not use become `Unknown`.
pub(crate) fn from_wire(status: &tonic::Status) -> Status {
    let code = match status.code() {
        Code::Cancelled => StatusCode::Cancelled,
        Code::InvalidArgument => StatusCode::InvalidArgument,
        Code::DeadlineExceeded => StatusCode::DeadlineExceeded,
        Code::NotFound => StatusCode::NotFound,
        Code::PermissionDenied => StatusCode::PermissionDenied,
        Code::ResourceExhausted => StatusCode::ResourceExhausted,
        Code::FailedPrecondition => StatusCode::FailedPrecondition,
        Code::Aborted => StatusCode::Aborted,
        Code::Unimplemented => StatusCode::Unimplemented,
        Code::Internal => StatusCode::Internal,
        Code::Unavailable => StatusCode::Unavailable,
        Code::Unauthenticated => StatusCode::Unauthenticated,
        Code::Ok | Code::Unknown | Code::AlreadyExists | Code::OutOfRange | Code::DataLoss => {
            StatusCode::Unknown
        }
    };
    Status::new(code, status.message().chars().take(MESSAGE_LEN_MAX).collect::<String>())
}
