//! What a failed call means.
//!
//! Owns the translation of gRPC status codes, and nothing of their texts (wire 10.2, chain 9).

use lampkeeper_plugin_sdk::api::chain::ChainError;
use std::error::Error as _;
use tonic::{Code, Status};

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Ask another endpoint, or the same one later.
    Transient,
    /// There is no such record.
    NotFound,
    /// The request is wrong.
    Invalid,
    /// The chain's node does not do that.
    Unavailable,
}

/// The meaning of a status.
///
/// A status that was made on this side (it has a source) is about the connection. `Internal` and `DataLoss` are the
/// trouble of that one node's store (wire 2.6), so that another may be asked, where the reference gives up.
pub(crate) fn fault_of(status: &Status) -> Fault {
    if status.source().is_some() {
        return Fault::Transient;
    }
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::ResourceExhausted
        | Code::Cancelled
        | Code::Internal
        | Code::DataLoss => Fault::Transient,
        Code::NotFound => Fault::NotFound,
        Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => Fault::Unavailable,
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange => Fault::Invalid,
    }
}

/// A failed query as the seam tells it.
pub(crate) fn query_error(path: &str, status: &Status) -> ChainError {
    let words = || format!("{path} answered {:?}: {}", status.code(), status.message());
    match fault_of(status) {
        Fault::Transient => transient(format!("asking the chain for {path}"), describe(status), false),
        Fault::NotFound => ChainError::NotFound { what: words() },
        Fault::Invalid => ChainError::InvalidRequest { reason: words() },
        Fault::Unavailable => ChainError::Unavailable { reason: words() },
    }
}

/// A failure that may pass.
pub(crate) fn transient(attempted: String, source: String, outcome_unknown: bool) -> ChainError {
    ChainError::Transient { attempted, source, outcome_unknown }
}

/// A status and what caused it, for people.
pub(crate) fn describe(status: &Status) -> String {
    let mut words = format!("{:?}: {}", status.code(), status.message());
    let mut cause = status.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_and_words_do_not() {
        let table = [
            (Code::Unavailable, Fault::Transient),
            (Code::DeadlineExceeded, Fault::Transient),
            (Code::Aborted, Fault::Transient),
            (Code::ResourceExhausted, Fault::Transient),
            (Code::Cancelled, Fault::Transient),
            (Code::Internal, Fault::Transient),
            (Code::NotFound, Fault::NotFound),
            (Code::InvalidArgument, Fault::Invalid),
            (Code::Unknown, Fault::Invalid),
            (Code::OutOfRange, Fault::Invalid),
            (Code::Unimplemented, Fault::Unavailable),
            (Code::PermissionDenied, Fault::Unavailable),
        ];
        for (code, fault) in table {
            assert_eq!(fault_of(&Status::new(code, "heal op not found: unavailable")), fault, "{code:?}");
        }
    }

    #[test]
    fn what_this_side_noticed_is_about_the_connection() {
        let status = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert_eq!(fault_of(&status), Fault::Transient);
        assert!(describe(&status).contains("reset"));
    }
}
