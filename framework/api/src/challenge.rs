//! One challenge of one target about one ticket.
//!
//! Owns the [`Challenger`] seam, which the challenge plugin provides and the recheck plugin needs. Which challenges to
//! make, and what to do with their outcome, is the callers' decision.

use crate::chain::StorageProofResult;
use crate::{Account, EpochId, TicketId};
use lampkeeper_api_macros::seam;
use lampkeeper_protocol::words::{ArtifactClass, Bucket};
use serde::{Deserialize, Serialize};

/// The artifact of a row that is to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedArtifact {
    /// The class in the row.
    pub class: ArtifactClass,
    /// The ordinal in the row.
    pub ordinal: u32,
    /// The key in the row, base58.
    pub artifact_key: String,
}

/// What to challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeRequest {
    /// The epoch whose seed is drawn from.
    pub epoch_id: EpochId,
    /// Who is challenged.
    pub target_account: Account,
    /// The ticket.
    pub ticket_id: TicketId,
    /// The bucket that the row is for.
    pub bucket: Bucket,
    /// The artifact of the row that is repeated; without it the epoch's own draw is made (wire 1.10, 1.11).
    pub repeated: Option<RepeatedArtifact>,
}

/// What was observed, before it becomes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Observation {
    /// The target proved that it holds the bytes.
    Pass,
    /// The target's bytes do not belong to the key.
    WrongBytes,
    /// The target says that it does not have the artifact, and said so again.
    Missing,
    /// The target accepted the call and did not answer in time, twice.
    TimedOut,
    /// No connection, twice.
    Unreachable,
    /// The target refused to answer.
    Refused,
    /// The answer was malformed, or not signed by the target.
    Malformed,
}

impl Observation {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pass,
        Self::WrongBytes,
        Self::Missing,
        Self::TimedOut,
        Self::Unreachable,
        Self::Refused,
        Self::Malformed,
    ];

    /// The observation with this [`Self::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|observation| observation.name() == name)
    }

    /// A short name for metrics and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::WrongBytes => "wrong_bytes",
            Self::Missing => "missing",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }
}

/// The outcome of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChallengeOutcome {
    /// A signed row for the chain.
    Row {
        /// What was observed.
        observation: Observation,
        /// The row; its class follows from the observation.
        row: Box<StorageProofResult>,
    },
    /// The ticket or the target no longer qualifies: there is nothing to say.
    NotEligible {
        /// Why, for people.
        reason: String,
    },
}

/// Challenges peers.
///
/// Called by the recheck service, one call at a time for each candidate. An implementer promises: every call ends in
/// bounded time; a fault of this node is an error, never a row about the target.
#[seam("challenger")]
pub trait Challenger: Send + Sync {
    /// Makes one challenge. No row is journalled or reported; the challenge and its evidence are remembered.
    async fn challenge(&self, request: ChallengeRequest) -> Result<ChallengeOutcome, ChallengeError>;
}

/// A challenge that could not be made, or whose outcome could not be established, because of something on our side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// Our disk, key, clock, queue, deadline or network; or the chain could not be read.
    #[error("{stage}: {reason}")]
    Ours {
        /// What was attempted.
        stage: String,
        /// What went wrong.
        reason: String,
        /// Whether trying again later may succeed.
        transient: bool,
    },
    /// The plugin behind the challenger can't be called, or panicked.
    #[error("the challenger is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl ChallengeError {
    /// Whether trying again later may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Ours { transient, .. } => *transient,
            Self::Unavailable { .. } => true,
        }
    }
}
