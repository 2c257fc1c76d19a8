//! From a heal operation to a staged reconstruction: the seam that third parties are expected to replace.
//!
//! Owns [`HealStrategy`] and its contract. Claiming, serving, voting and publishing are the healing service's.

use crate::cancel::Cancel;
use crate::chain::{HealOp, Ticket};
use lampkeeper_api_macros::seam;
use serde::{Deserialize, Serialize};

/// Calls of the artifact network that one job may have under way at once.
pub const HEAL_NETWORK_CALLS_MAX: usize = 8;
/// Artifacts that one job may be fetching at once: 32 MiB of symbols.
pub const HEAL_FETCHES_IN_FLIGHT_MAX: usize = 512;
/// Calls of the staging area that one job may have under way at once.
pub const HEAL_STAGING_CALLS_MAX: usize = 16;
/// How long a strategy may go on after it was cancelled, not counting blocking work that has begun, in milliseconds.
pub const HEAL_CANCEL_GRACE_MS: u64 = 5_000;

/// Set in the number of an operation whose reconstruction is only compared with another one's.
const SHADOW_BIT: u64 = 1 << 62;

/// The number under which a second strategy stages what it makes of an operation. Chains count operations from 1, so
/// such a number never is one: it can't be claimed, asked for or published.
#[must_use]
pub const fn shadow_of(heal_op_id: u64) -> u64 {
    heal_op_id | SHADOW_BIT
}

/// Whether a staging directory of this number was only for comparison.
#[must_use]
pub const fn is_shadow(heal_op_id: u64) -> bool {
    heal_op_id & SHADOW_BIT != 0
}

/// What a strategy is asked to do.
#[derive(Debug, Clone)]
pub struct HealJob {
    /// The operation. Its number is the one to stage under; it need not be one that the chain knows ([`shadow_of`]).
    pub heal_op: HealOp,
    /// Its ticket, as the chain has it.
    pub ticket: Ticket,
    /// Given when the result is no longer wanted.
    pub cancel: Cancel,
}

/// What a reconstruction cost and made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconstruction {
    /// Base64 of the file's BLAKE3; equal to the ticket's data hash.
    pub manifest_hash: String,
    /// What it cost.
    pub cost: HealCost,
}

/// Reconstructs what a ticket has lost.
///
/// Called by the healing service, one job a permit, on a task of its own; jobs of several operations run at once. The SDK's
/// conformance suite checks what follows against any implementation.
///
/// **Inputs.** The job's ticket is what the chain says; its documents are fetched, and count only if its creator signed
/// them. What holders say of themselves is a hint, and the network's bytes are checked against the ticket.
///
/// **Result.** On `Ok` the staging directory of the operation is sealed, as the last thing that is done to it. Its file
/// has the ticket's data hash. Every staged artifact hashes to its key, which stands in the ticket's signed layout or is one of
/// its id files; none is named twice. Every artifact that a reachable member of its replica set lacks is among
/// them, and names that member or nobody in particular.
///
/// **Failure.** On `Err` other than [`HealError::Cancelled`] nothing is sealed. What was begun may stay; `begin` starts over.
/// Too few symbols are [`HealError::Lost`]. What a seam failed at is [`HealError::Retry`] and can be tried again.
///
/// **Cancellation.** When `cancel` is given it ends within [`HEAL_CANCEL_GRACE_MS`] with [`HealError::Cancelled`], or with
/// `Ok` if it was done. Then, and when the future is dropped at any await point, the directory is either not sealed or
/// complete and right.
///
/// **Idempotence.** It may be called again for the same operation, whatever an earlier call left behind, and gives an
/// equivalent result: the same hash, the same artifacts if nothing has changed.
///
/// **Limits.** At most [`HEAL_NETWORK_CALLS_MAX`] calls of the network with [`HEAL_FETCHES_IN_FLIGHT_MAX`] artifacts being
/// fetched, and [`HEAL_STAGING_CALLS_MAX`] calls of the staging area, are under way at once. Memory is that and at most
/// the file once and the symbols needed to decode it; what holds a thread goes through the scheduler's `run_blocking`.
///
/// **Restraint.** It submits nothing, publishes nothing, and touches no other operation's directory.
#[seam("heal-strategy")]
pub trait HealStrategy: Send + Sync {
    /// The strategy's name, as in the staging manifest and in metrics.
    #[seam(live)]
    fn name(&self) -> &str;
    /// Reconstructs and stages.
    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError>;
}

/// Why a reconstruction failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
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
    /// The plugin behind the strategy can't be called, or panicked.
    #[error("the heal strategy is not available: {reason}")]
    Unavailable {
        /// Why.
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
            Self::Lost { .. } | Self::Retry { .. } | Self::Unavailable { .. } | Self::Cancelled => true,
            Self::InvalidTicket { .. } | Self::WrongFile { .. } => false,
        }
    }
}
