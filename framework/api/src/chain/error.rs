//! Why the chain did not answer, or refused.
//!
//! Owns the kinds that callers branch on. Only a chain plugin translates codes, or as a last resort texts, into them;
//! everybody else asks the methods.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A failed query or submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChainError {
    /// The chain could not be asked, or did not answer in time (wire 10.2). Nothing may be destroyed because of it.
    Transient {
        /// What was attempted.
        attempted: String,
        /// What went wrong, for people.
        source: String,
        /// Whether a submission may have been accepted all the same: look before sending it again.
        outcome_unknown: bool,
    },
    /// The record that was asked for does not exist.
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The chain executed or checked the message and refused it.
    Rejected(Rejection),
    /// The request itself was wrong: an empty argument, a page key together with an offset.
    InvalidRequest {
        /// What was wrong with it.
        reason: String,
    },
    /// This client can't do that: no key, no such method, a plugin that is quarantined.
    Unavailable {
        /// Why not.
        reason: String,
    },
}

/// A refusal with its code (wire 10.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// What to branch on.
    pub reason: RejectionReason,
    /// The module that refused, such as `audit`.
    pub codespace: String,
    /// Its code.
    pub code: u32,
    /// The chain's words, for people.
    pub message: String,
}

macro_rules! rejection_reasons {
    ($($(#[$doc:meta])* $variant:ident = $codespace:literal / $code:literal;)+) => {
        /// Why a message was refused (wire 10.1, chain 0.2, chain Appendix C).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum RejectionReason {
            $($(#[$doc])* $variant,)+
            /// The evidence for this epoch and ticket was already submitted by us (audit/10, discriminated by the
            /// chain plugin; wire 10.3).
            RecheckAlreadySubmitted,
            /// The heal operation's deadline has passed (audit/13, discriminated by the chain plugin; wire 10.3).
            HealOpPastDeadline,
            /// A code that has no name here.
            Other,
        }

        impl RejectionReason {
            /// The reason for a registered code; `Other` for one that has no name.
            ///
            /// `RecheckAlreadySubmitted` and `HealOpPastDeadline` share their codes with other reasons, so a chain
            /// plugin has to tell them apart itself.
            #[must_use]
            pub fn from_code(codespace: &str, code: u32) -> Self {
                match (codespace, code) {
                    $(($codespace, $code) => Self::$variant,)+
                    _ => Self::Other,
                }
            }
        }
    };
}

rejection_reasons! {
    /// No creator, or not the one who may.
    InvalidSigner = "audit" / 1;
    /// Not the epoch of the executing block, or no anchor for it.
    InvalidEpochId = "audit" / 2;
    /// This reporter has reported for this epoch.
    DuplicateReport = "audit" / 4;
    /// An observation is wrong.
    InvalidPeerObservations = "audit" / 5;
    /// Not one state for each port.
    InvalidPortStatesLength = "audit" / 6;
    /// The creator is not a registered supernode.
    ReporterNotFound = "audit" / 7;
    /// The creator may not challenge in this epoch.
    InvalidReporterState = "audit" / 8;
    /// A row of proof is wrong or missing.
    InvalidStorageProofs = "audit" / 9;
    /// Evidence that the chain can't accept.
    InvalidRecheckEvidence = "audit" / 10;
    /// No such heal operation.
    HealOpNotFound = "audit" / 11;
    /// Not the healer, or not a verifier, of this operation.
    HealOpUnauthorized = "audit" / 12;
    /// The operation is in another state.
    HealOpInvalidState = "audit" / 13;
    /// The operation is for another ticket.
    HealOpTicketMismatch = "audit" / 14;
    /// This verifier has voted.
    VerificationAlreadySubmitted = "audit" / 15;
    /// The reported count differs from the anchored one.
    ArtifactCountMismatch = "audit" / 16;
    /// A positive vote for other bytes than the healer claimed.
    InvalidHealVerification = "audit" / 17;
    /// A host metric is out of range.
    InvalidHostMetric = "audit" / 18;
    /// The action's request lapsed, or lapses too soon.
    TicketExpired = "action" / 1;
    /// The action's metadata is wrong.
    InvalidTicketMetadata = "action" / 4;
    /// The action is missing, or in another state.
    InvalidTicketState = "action" / 5;
    /// The creator may not finalise this action.
    UnauthorizedSupernode = "action" / 10;
    /// The price is not a coin.
    InvalidPrice = "action" / 12;
    /// The sender can't pay.
    InsufficientFunds = "sdk" / 5;
    /// Refused by the transaction pipeline.
    Unauthorized = "sdk" / 4;
    /// Malformed for another module.
    InvalidSdkRequest = "sdk" / 18;
}

impl ChainError {
    /// Whether the same call may succeed later without anything having changed here.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Transient { .. } => true,
            Self::NotFound { .. }
            | Self::Rejected(_)
            | Self::InvalidRequest { .. }
            | Self::Unavailable { .. } => false,
        }
    }

    /// Whether it is certain that a submission had no effect.
    #[must_use]
    pub const fn is_certainly_not_applied(&self) -> bool {
        match self {
            Self::Transient { outcome_unknown, .. } => !*outcome_unknown,
            Self::NotFound { .. }
            | Self::Rejected(_)
            | Self::InvalidRequest { .. }
            | Self::Unavailable { .. } => true,
        }
    }

    /// Whether the record does not exist, as far as the chain knows.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Rejected(rejection) => matches!(rejection.reason, RejectionReason::HealOpNotFound),
            Self::Transient { .. } | Self::InvalidRequest { .. } | Self::Unavailable { .. } => false,
        }
    }

    /// The reason of a refusal.
    #[must_use]
    pub const fn rejection(&self) -> Option<RejectionReason> {
        match self {
            Self::Rejected(rejection) => Some(rejection.reason),
            Self::Transient { .. }
            | Self::NotFound { .. }
            | Self::InvalidRequest { .. }
            | Self::Unavailable { .. } => None,
        }
    }

    /// A short name for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Transient { .. } => "transient",
            Self::NotFound { .. } => "not_found",
            Self::Rejected(_) => "rejected",
            Self::InvalidRequest { .. } => "invalid_request",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient { attempted, source, outcome_unknown: false } => {
                write!(formatter, "{attempted}: {source}; it can be tried again")
            }
            Self::Transient { attempted, source, outcome_unknown: true } => {
                write!(formatter, "{attempted}: {source}; whether it took effect is not known")
            }
            Self::NotFound { what } => write!(formatter, "{what} does not exist on the chain"),
            Self::Rejected(rejection) => write!(
                formatter,
                "the chain refused with {}/{}: {}",
                rejection.codespace, rejection.code, rejection.message
            ),
            Self::InvalidRequest { reason } => {
                write!(formatter, "the request to the chain is not valid: {reason}")
            }
            Self::Unavailable { reason } => write!(formatter, "the chain client is not available: {reason}"),
        }
    }
}

impl std::error::Error for ChainError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transient_error_never_claims_that_nothing_happened_unless_it_is_sure() {
        let unsure = ChainError::Transient {
            attempted: "submit".into(),
            source: "reset".into(),
            outcome_unknown: true,
        };
        assert!(unsure.is_transient() && !unsure.is_certainly_not_applied() && !unsure.is_not_found());
    }

    #[test]
    fn codes_become_reasons() {
        for (codespace, code, reason) in [
            ("audit", 4, RejectionReason::DuplicateReport),
            ("audit", 15, RejectionReason::VerificationAlreadySubmitted),
            ("audit", 3, RejectionReason::Other),
            ("action", 4, RejectionReason::InvalidTicketMetadata),
            ("elsewhere", 4, RejectionReason::Other),
        ] {
            assert_eq!(RejectionReason::from_code(codespace, code), reason, "{codespace}/{code}");
        }
    }
}
