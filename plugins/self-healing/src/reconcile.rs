//! What becomes of a claim or a vote after an error or a restart: the tables of wire 5.4, 5.6, 5.8 and 5.11.
//!
//! Everything here is a pure function from what the chain and the disk say to a decision. The rule behind all tables: an
//! unknown outcome destroys nothing; only a final word of the chain does.
//!
//! Where the reference is known to be weak these tables differ from its own: a claim that the chain does not show yet
//! is submitted again instead of destroying its reconstruction, and nothing is published that the chain did not verify.

use lampkeeper_plugin_sdk::api::chain::{ChainError, HealOp, HealOpStatus, RejectionReason};
use lampkeeper_plugin_sdk::api::staging::StagingState;

/// What the chain answered when it was asked for an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainSays<'a> {
    /// The operation.
    Op(&'a HealOp),
    /// There is no such operation (wire 10.3).
    NotFound,
    /// It could not be asked, or answered with another error.
    Nothing,
}

impl<'a> ChainSays<'a> {
    /// Sorts an answer.
    #[must_use]
    pub fn of(answer: &'a Result<HealOp, ChainError>) -> Self {
        match answer {
            Ok(heal_op) => Self::Op(heal_op),
            Err(error) if error.is_not_found() => Self::NotFound,
            Err(_) => Self::Nothing,
        }
    }
}

/// What to do with a claim whose submission was decided and not confirmed (wire 5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingClaim {
    /// Leave everything as it is and look again later.
    Keep,
    /// The chain has it: mark it submitted.
    Promote,
    /// The chain still waits for it and the reconstruction is there: submit it again.
    Resubmit,
    /// The chain still waits for it and the reconstruction is gone: forget the claim and reconstruct again.
    Restart,
    /// The operation ended without this claim: forget claim and reconstruction.
    Drop,
}

/// The table of wire 5.6.
#[must_use]
pub fn pending_claim(says: &ChainSays<'_>, manifest_hash: &str, staging: &StagingState) -> PendingClaim {
    let ChainSays::Op(heal_op) = says else { return PendingClaim::Keep };
    match heal_op.status {
        HealOpStatus::Scheduled | HealOpStatus::InProgress if holds(staging, manifest_hash) => {
            PendingClaim::Resubmit
        }
        HealOpStatus::Scheduled | HealOpStatus::InProgress => PendingClaim::Restart,
        HealOpStatus::HealerReported | HealOpStatus::Verified => {
            if heal_op.result_hash.trim() == manifest_hash {
                PendingClaim::Promote
            } else {
                PendingClaim::Drop
            }
        }
        HealOpStatus::Failed | HealOpStatus::Expired => PendingClaim::Drop,
        // A status that this version does not know says nothing about the claim.
        HealOpStatus::Unspecified => PendingClaim::Keep,
    }
}

/// Whether the staging directory is complete and holds what was claimed.
#[must_use]
pub fn holds(staging: &StagingState, manifest_hash: &str) -> bool {
    match staging {
        StagingState::Sealed(manifest) => manifest.manifest_hash == manifest_hash,
        StagingState::Absent | StagingState::Unsealed | StagingState::Damaged { .. } => false,
    }
}

/// What to do after a claim was refused or its outcome is unknown (wire 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimError {
    /// Keep claim and reconstruction; the next look at the chain decides.
    Keep,
    /// Too late: forget both.
    Drop,
    /// The chain refused for another reason: look at the operation now, and wait before submitting again.
    Reconcile,
}

/// The table of wire 5.4.
#[must_use]
pub const fn claim_error(error: &ChainError) -> ClaimError {
    match error {
        ChainError::Rejected(rejection) => match rejection.reason {
            RejectionReason::HealOpPastDeadline => ClaimError::Drop,
            _ => ClaimError::Reconcile,
        },
        // Neither a missing key nor a malformed call says anything about the operation.
        _ => ClaimError::Keep,
    }
}

/// What to do with a vote whose submission was decided and not confirmed (wire 5.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingVote {
    /// The vote was yes for the very bytes that the chain asks about: submit it again.
    Resubmit,
    /// Forget it and verify again.
    Repeat,
}

/// A vote from before a restart. A yes stays true; a no may have become untrue, so it is looked into again. If the
/// chain has the old vote, it says so, and nothing is counted twice.
#[must_use]
pub fn pending_vote(verified: bool, verification_hash: &str, result_hash: &str) -> PendingVote {
    if verified && verification_hash == result_hash { PendingVote::Resubmit } else { PendingVote::Repeat }
}

/// What to do after a vote was refused or its outcome is unknown (wire 5.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoteError {
    /// Keep it pending.
    Keep,
    /// The chain has this node's vote already: mark it submitted.
    Promote,
    /// The chain refused it: forget it.
    Forget,
}

/// The table of wire 5.8.
#[must_use]
pub const fn vote_error(error: &ChainError) -> VoteError {
    match error {
        ChainError::Rejected(rejection) => match rejection.reason {
            RejectionReason::VerificationAlreadySubmitted => VoteError::Promote,
            _ => VoteError::Forget,
        },
        ChainError::NotFound { .. } => VoteError::Forget,
        _ => VoteError::Keep,
    }
}

/// What the finalizer does with a claim (wire 5.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalizing {
    /// Nothing yet.
    Keep,
    /// Publish, then forget claim and reconstruction.
    Publish,
    /// Forget claim and reconstruction.
    Drop {
        /// Why, as told and counted.
        status: &'static str,
    },
}

/// The table of wire 5.11; a VERIFIED operation is published only if what it verified is what was claimed here.
#[must_use]
pub fn finalizing(says: &ChainSays<'_>, manifest_hash: &str) -> Finalizing {
    let heal_op = match says {
        ChainSays::Op(heal_op) => heal_op,
        ChainSays::NotFound => return Finalizing::Drop { status: HealOpStatus::Expired.name() },
        ChainSays::Nothing => return Finalizing::Keep,
    };
    match heal_op.status {
        HealOpStatus::Verified if heal_op.result_hash.trim() == manifest_hash => Finalizing::Publish,
        HealOpStatus::Verified => Finalizing::Drop { status: "VERIFIED_OTHER" },
        HealOpStatus::Failed | HealOpStatus::Expired => Finalizing::Drop { status: heal_op.status.name() },
        HealOpStatus::Unspecified
        | HealOpStatus::Scheduled
        | HealOpStatus::InProgress
        | HealOpStatus::HealerReported => Finalizing::Keep,
    }
}

/// Whether a staging directory without a claim can go when the service starts (wire 5.2).
///
/// The reference removes every one. Ours keeps a complete one while the chain may still want it from this node, so
/// that a crash between sealing and claiming costs nothing.
#[must_use]
pub fn is_orphan(says: &ChainSays<'_>, account: &str, staging: &StagingState) -> bool {
    match (staging, says) {
        (StagingState::Sealed(_), ChainSays::Op(heal_op)) => {
            heal_op.status.is_final() || heal_op.healer_supernode_account != account
        }
        (StagingState::Sealed(_), ChainSays::Nothing) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
