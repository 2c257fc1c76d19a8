//! What a caller is answered when the plugin that it called can't answer.
//!
//! Where a method has an error, its error says so. Where it has none, the answer is the one that does the least harm; it
//! stands here, in one place.

use super::{Unavailable, UnavailableReason};
use crate::BoxFuture;
use crate::chain::{ChainError, PortState};
use crate::challenge::ChallengeError;
use crate::heal::HealError;
use crate::journal::JournalError;
use crate::network::NetworkError;
use crate::plugin::PluginError;
use crate::scheduler::{Moment, Permit, Permits, TaskFailure, TaskHandle};
use crate::service::{Health, ServiceError};
use crate::signer::SignError;
use crate::store::StoreError;
use crate::transport::{CallError, Route, Status, StatusCode};
use std::sync::Arc;

/// The error of a seam: it can say that the plugin behind the seam is not available.
pub trait SeamError {
    /// The error for a caller.
    fn unavailable(why: &Unavailable) -> Self;
}

/// Something that a seam's method answers.
pub trait Answer: Sized {
    /// What to answer when the plugin can't.
    fn unavailable(why: &Unavailable) -> Self;

    /// Whether the answer is an error, for accounts.
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E: SeamError> Answer for Result<T, E> {
    fn unavailable(why: &Unavailable) -> Self {
        Err(E::unavailable(why))
    }

    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

impl SeamError for ChainError {
    /// A message that was being submitted when the plugin panicked may have got through: then it has to be looked for.
    fn unavailable(why: &Unavailable) -> Self {
        if why.was_entered() {
            let attempted = "calling the chain client".to_owned();
            Self::Transient { attempted, source: why.to_string(), outcome_unknown: true }
        } else {
            Self::Unavailable { reason: why.to_string() }
        }
    }
}

impl SeamError for StoreError {
    fn unavailable(why: &Unavailable) -> Self {
        Self::Unavailable { reason: why.to_string() }
    }
}

impl SeamError for JournalError {
    fn unavailable(why: &Unavailable) -> Self {
        Self::Unavailable { reason: why.to_string() }
    }
}

impl SeamError for HealError {
    fn unavailable(why: &Unavailable) -> Self {
        Self::Unavailable { reason: why.to_string() }
    }
}

impl SeamError for ChallengeError {
    fn unavailable(why: &Unavailable) -> Self {
        Self::Unavailable { reason: why.to_string() }
    }
}

impl SeamError for NetworkError {
    fn unavailable(why: &Unavailable) -> Self {
        Self::Unavailable { reason: why.to_string() }
    }
}

impl SeamError for CallError {
    /// The fault is ours, whatever the peer does: nothing may be said about it.
    fn unavailable(why: &Unavailable) -> Self {
        Self::Unavailable { reason: why.to_string() }
    }
}

impl SeamError for Status {
    fn unavailable(why: &Unavailable) -> Self {
        // What a plugin of ours said in its panic is not a peer's business; the log has it.
        Self::new(StatusCode::Unavailable, format!("plugin {} is not available", why.plugin_id))
    }
}

impl SeamError for ServiceError {
    /// A quarantine ends with the node: starting the service again does not help.
    fn unavailable(why: &Unavailable) -> Self {
        match why.reason {
            UnavailableReason::Quarantined(_) => Self::Fatal(why.to_string()),
            UnavailableReason::Panicked(_) | UnavailableReason::Refused(_) => Self::Retry(why.to_string()),
        }
    }
}

impl SeamError for SignError {
    fn unavailable(why: &Unavailable) -> Self {
        Self { account: String::new(), reason: why.to_string() }
    }
}

impl SeamError for TaskFailure {
    fn unavailable(why: &Unavailable) -> Self {
        Self::Panicked(why.to_string())
    }
}

impl SeamError for PluginError {
    fn unavailable(why: &Unavailable) -> Self {
        match &why.reason {
            UnavailableReason::Panicked(message) => {
                Self::Panicked { plugin_id: why.plugin_id.clone(), message: message.clone() }
            }
            reason => Self::CannotStart { plugin_id: why.plugin_id.clone(), reason: reason.to_string() },
        }
    }
}

/// For [`crate::plugin::Close`].
impl SeamError for String {
    fn unavailable(why: &Unavailable) -> Self {
        why.to_string()
    }
}

/// The answers of methods without an error.
macro_rules! answers {
    ($($(#[$why:meta])* $type:ty => $value:expr;)+) => {
        $($(#[$why])*
        impl Answer for $type {
            fn unavailable(_: &Unavailable) -> Self {
                $value
            }
        })+
    };
}

answers! {
    /// Telemetry, draining and aborting have nobody to complain to.
    () => ();
    /// A probe that was not made saw nothing (wire 7.5).
    PortState => PortState::Unknown;
    /// No calls are answered.
    Vec<Route> => Vec::new();
    /// A key of no length fits no signature.
    Vec<u8> => Vec::new();
    /// An address that nobody reaches.
    String => String::new();
    /// A name, for logs.
    &str => "unavailable";
    /// Time stands still.
    Moment => Moment::default();
    /// The beginning of the epoch: a clock that is obviously wrong.
    i64 => 0;
    /// Work is not split.
    usize => 1;
    /// No permit is free.
    Option<Permit> => None;
    /// Permits that nobody ever gets.
    Arc<dyn Permits> => Arc::new(NoPermits);
}

impl Answer for Health {
    fn unavailable(why: &Unavailable) -> Self {
        Self::Failed { reason: why.to_string() }
    }
}

/// A stream's messages: the failure is a message, after which its reader stops.
impl Answer for Option<Result<Vec<u8>, Status>> {
    fn unavailable(why: &Unavailable) -> Self {
        Some(Err(Status::unavailable(why)))
    }

    fn is_failure(&self) -> bool {
        matches!(self, Some(Err(_)))
    }
}

/// A task that was never started.
impl Answer for Arc<dyn TaskHandle> {
    fn unavailable(why: &Unavailable) -> Self {
        Arc::new(NeverStarted(TaskFailure::unavailable(why)))
    }
}

struct NoPermits;

impl Permits for NoPermits {
    fn acquire(&self) -> BoxFuture<'static, Permit> {
        Box::pin(std::future::pending())
    }

    fn try_acquire(&self) -> Option<Permit> {
        None
    }
}

struct NeverStarted(TaskFailure);

impl TaskHandle for NeverStarted {
    fn abort(&self) {}

    fn join(&self) -> BoxFuture<'static, Result<(), TaskFailure>> {
        let failure = self.0.clone();
        Box::pin(async move { Err(failure) })
    }
}
