//! Authenticated message RPC between nodes.
//!
//! Owns the [`Transport`] seam, the routes that a service offers and the identity of a caller. Message bytes are
//! protobuf and belong to the wire crate; paths are the gRPC method paths of wire 2.

use crate::Account;
use lampkeeper_api_macros::seam;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The largest message that a transport passes on, in bytes.
pub const MESSAGE_LEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The account that the handshake must prove.
    pub account: Account,
    /// Where the chain says it is: `host` or `host:port`.
    pub address: String,
}

/// Who called, as the transport's handshake proved it.
///
/// Only a [`CallerMint`] makes one, and only a plugin that provides the transport seam is given a mint. So a handler
/// that takes a `Caller` can't be handed an account that merely stood in a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    account: Account,
}

impl Caller {
    /// The proven account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }
}

/// The right to say who called. Held by transports.
#[derive(Debug, Clone)]
pub struct CallerMint {
    _private: (),
}

impl CallerMint {
    /// For the host, which hands it to plugins that provide a transport, and for test kits.
    #[doc(hidden)]
    #[must_use]
    pub const fn for_host() -> Self {
        Self { _private: () }
    }

    /// A caller whose account the handshake has proved.
    #[must_use]
    pub fn proved(&self, account: impl Into<Account>) -> Caller {
        Caller { account: account.into() }
    }
}

/// The gRPC status codes that the protocol uses (wire 5.9, 10.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StatusCode {
    /// The caller gave up.
    Cancelled,
    /// Something without a better name.
    Unknown,
    /// The request is wrong.
    InvalidArgument,
    /// Out of time.
    DeadlineExceeded,
    /// No such thing.
    NotFound,
    /// The caller may not.
    PermissionDenied,
    /// Too much was asked.
    ResourceExhausted,
    /// Not in this state.
    FailedPrecondition,
    /// A conflict; try again.
    Aborted,
    /// No such method.
    Unimplemented,
    /// The handler failed.
    Internal,
    /// Nobody there at present.
    Unavailable,
    /// The caller could not be identified.
    Unauthenticated,
}

impl StatusCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Cancelled => 1,
            Self::Unknown => 2,
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Aborted => 10,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }
}

/// What a handler answers instead of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct Status {
    /// What to branch on.
    pub code: StatusCode,
    /// For people.
    pub message: String,
}

impl Status {
    /// A status with a message.
    pub fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection: refused, no route, the name does not resolve.
    #[error("{peer} can't be reached: {reason}")]
    Unreachable {
        /// The account.
        peer: Account,
        /// What went wrong.
        reason: String,
    },
    /// The time ran out before an answer was complete.
    #[error("{peer} did not answer within {timeout_ms} ms")]
    TimedOut {
        /// The account.
        peer: Account,
        /// The time it had.
        timeout_ms: u64,
    },
    /// The handshake proved another account, or none.
    #[error("{peer} did not prove its identity: {reason}")]
    WrongIdentity {
        /// The account that was expected.
        peer: Account,
        /// What was proved instead.
        reason: String,
    },
    /// The peer answered with a status.
    #[error("{peer} answered {status}")]
    Refused {
        /// The account.
        peer: Account,
        /// Its status.
        status: Status,
    },
    /// The connection broke, or the peer's bytes are no message.
    #[error("the answer of {peer} broke off or is malformed: {reason}")]
    Broken {
        /// The account.
        peer: Account,
        /// What went wrong.
        reason: String,
    },
    /// The plugin behind the transport can't be called, or panicked.
    #[error("the transport is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// This node could not make the call: shutting down, out of sockets, a message too large.
    #[error("the call was not made: {reason}")]
    Local {
        /// Why not.
        reason: String,
    },
}

impl CallError {
    /// Whether the fault is, or may be, our own, so that nothing may be said about the peer.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        match self {
            Self::Local { .. } | Self::Unavailable { .. } => true,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::WrongIdentity { .. }
            | Self::Refused { .. }
            | Self::Broken { .. } => false,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Unavailable { .. }
            | Self::Local { .. } => true,
            Self::WrongIdentity { .. } => false,
            Self::Refused { status, .. } => matches!(
                status.code,
                StatusCode::Unavailable
                    | StatusCode::DeadlineExceeded
                    | StatusCode::Aborted
                    | StatusCode::ResourceExhausted
                    | StatusCode::Cancelled
            ),
        }
    }

    /// Whether the peer gave no answer at all in time (wire 3.7, TIMEOUT_OR_NO_RESPONSE).
    #[must_use]
    pub const fn is_no_response(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => {
                matches!(
                    status.code,
                    StatusCode::Unavailable | StatusCode::DeadlineExceeded | StatusCode::Cancelled
                )
            }
            Self::WrongIdentity { .. } | Self::Unavailable { .. } | Self::Local { .. } => false,
        }
    }
}

/// A sequence of messages that arrive one by one. Dropping it ends the call.
#[seam("message-stream", boxed)]
pub trait MessageStream: Send {
    /// The next message; `None` at a proper end.
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>>;
}

/// Answers one request.
///
/// Called on a task of the transport, many at once; must not block. A panic is contained and answered as `Internal`.
#[seam("unary-handler")]
pub trait UnaryHandler: Send + Sync {
    /// The answer to `request` from `caller`.
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status>;
}

/// Answers one request with a stream. Messages are asked for one at a time, so a slow reader holds the source back.
#[seam("stream-handler")]
pub trait StreamHandler: Send + Sync {
    /// The stream that answers `request` from `caller`.
    #[seam(live)]
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status>;
}

/// What stands behind a path.
#[derive(Clone)]
pub enum Handler {
    /// One request, one answer.
    Unary(Arc<dyn UnaryHandler>),
    /// One request, many answers.
    ServerStream(Arc<dyn StreamHandler>),
}

/// A path and its handler.
#[derive(Clone)]
pub struct Route {
    /// The gRPC method path, such as `/supernode.StorageChallengeService/GetCompoundProof`.
    pub path: String,
    /// What answers it.
    pub handler: Handler,
}

impl Route {
    /// A route that answers with one message.
    pub fn unary(path: impl Into<String>, handler: Arc<dyn UnaryHandler>) -> Self {
        Self { path: path.into(), handler: Handler::Unary(handler) }
    }

    /// A route that answers with a stream.
    pub fn server_stream(path: impl Into<String>, handler: Arc<dyn StreamHandler>) -> Self {
        Self { path: path.into(), handler: Handler::ServerStream(handler) }
    }
}

/// All routes of a node.
#[derive(Clone, Default)]
pub struct Router {
    routes: BTreeMap<String, Handler>,
}

impl Router {
    /// Adds a route.
    ///
    /// # Errors
    /// The path, if it is taken: two services may not answer the same call.
    pub fn add(&mut self, route: Route) -> Result<(), String> {
        if self.routes.contains_key(&route.path) {
            return Err(route.path);
        }
        self.routes.insert(route.path, route.handler);
        Ok(())
    }

    /// The handler of a path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Handler> {
        self.routes.get(path)
    }

    /// The same paths with other handlers, each made from the one before.
    #[must_use]
    pub fn map_handlers(self, mut change: impl FnMut(Handler) -> Handler) -> Self {
        Self { routes: self.routes.into_iter().map(|(path, handler)| (path, change(handler))).collect() }
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.routes.keys().map(String::as_str)
    }
}

/// Ends serving when it is dropped or drained.
#[seam("server-handle", boxed)]
pub trait ServerHandle: Send + Sync {
    /// The address that peers reach, with the port that was really bound.
    fn local_address(&self) -> String;
    /// Takes no new calls, lets running ones finish for at most `grace`, then ends.
    async fn drain(&self, grace: Duration);
}

/// Calls peers and answers them.
///
/// An implementer promises: the account in a [`Caller`], and that of the peer whose answer is returned, was proved by
/// the handshake; no message above [`MESSAGE_LEN_BYTES_MAX`] is passed on; `timeout` covers connecting, sending and
/// receiving; a dropped future ends the call.
#[seam("transport")]
pub trait Transport: Send + Sync {
    /// One request, one answer.
    async fn call(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError>;
    /// One request, many answers; `timeout` is for the first answer and then for each further one.
    #[seam(live)]
    async fn call_stream(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError>;
    /// Starts to answer peers.
    #[seam(live)]
    async fn serve(&self, #[seam(cross)] router: Router) -> Result<Box<dyn ServerHandle>, CallError>;
    /// Whether a TCP connection to `address` can be made, within `timeout` (wire 7.5).
    async fn probe_port(&self, address: &str, port: u16, timeout: Duration) -> crate::chain::PortState;
}
