//! From a heal operation to a staged reconstruction: the seam that third parties are expected to replace.
//!
//! Owns [`HealStrategy`] and its contract. Claiming, serving, voting and publishing are the healing service's.

use crate::cancel::Cancel;
use crate::chain::{HealOp, Ticket};
use async_trait::async_trait;

/// What a strategy is asked to do.
#[derive(Debug, Clone)]
pub struct HealJob {
    /// The operation.
    pub heal_op: HealOp,
    /// Its ticket, as the chain has it.
    pub ticket: Ticket,
    /// Given when the result is no longer wanted.
    pub cancel: Cancel,
}

/// What a reconstruction cost and made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealCost {
    /// Artifacts that the ticket has.
    pub artifact_count: u64,
    /// Artifacts that some member of their replica set lacks.
    pub missing_artifact_count: u64,
    /// Artifacts fetched.
    pub fetched_count: u64,
    /// Bytes fetched.
    pub fetched_bytes: u64,
    /// Symbols made anew.
    pub regenerated_count: u64,
    /// Bytes of artifacts staged for publishing, the reconstructed file not counted.
    pub staged_bytes: u64,
    /// Whether source symbols had to be solved for.
    pub decoded: bool,
    /// Distinct live symbols beyond those needed; negative if too few are left.
    pub margin_symbols: i64,
    /// Time spent decoding and regenerating.
    pub compute_ms: u64,
}

/// A reconstruction that is sealed in the staging area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconstruction {
    /// Base64 of the file's BLAKE3; equal to the ticket's data hash.
    pub manifest_hash: String,
    /// What it cost.
    pub cost: HealCost,
}

/// Reconstructs what a ticket has lost.
///
/// Called by the healing service, one job a permit, on a task of its own. What must hold:
///
/// - On `Ok` the staging directory of the operation is sealed; its file hashes to the ticket's data hash; every staged
///   artifact hashes to its key, and that key stands in the ticket's signed layout or is one of its id files.
/// - On `Err`, and when the future is dropped, nothing is sealed. What was begun may stay; `begin` starts over.
/// - It may be called again for the same operation after a crash, and gives an equivalent result.
/// - It submits nothing and publishes nothing. It stops soon after `cancel` is given.
#[async_trait]
pub trait HealStrategy: Send + Sync {
    /// The strategy's name, as in the staging manifest and in metrics.
    fn name(&self) -> &str;
    /// Reconstructs and stages.
    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError>;
}

/// Why a reconstruction failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HealError {
    /// Too few symbols are left in the network: the file is lost unless holders come back.
    #[error("only {have} of the {need} symbols that ticket {ticket_id} needs are left in the network")]
    Lost {
        /// The ticket.
        ticket_id: String,
        /// Distinct intact symbols found.
        have: u64,
        /// Symbols needed.
        need: u64,
    },
    /// The ticket's documents are missing, malformed or not signed by its creator.
    #[error("ticket {ticket_id} can't be healed: {reason}")]
    InvalidTicket {
        /// The ticket.
        ticket_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What came out is not the file that the chain knows.
    #[error("the reconstruction of ticket {ticket_id} does not have the ticket's data hash")]
    WrongFile {
        /// The ticket.
        ticket_id: String,
    },
    /// A seam failed; another attempt may succeed.
    #[error("{attempted}: {reason}")]
    Retry {
        /// What was attempted.
        attempted: String,
        /// What went wrong.
        reason: String,
    },
    /// The result was no longer wanted.
    #[error("cancelled")]
    Cancelled,
}

impl HealError {
    /// Whether another attempt at the same operation may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Retry { .. } | Self::Cancelled => true,
            Self::InvalidTicket { .. } | Self::WrongFile { .. } => false,
        }
    }
}
