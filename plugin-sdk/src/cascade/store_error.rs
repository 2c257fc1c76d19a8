//! Why a file could not be stored.

use super::DocumentsError;
use crate::api::TicketId;
use crate::api::chain::ChainError;
use crate::api::network::NetworkError;
use crate::api::scheduler::TaskFailure;
use crate::api::signer::SignError;
use crate::protocol::artifact_key::ArtifactKey;

/// A file could not be stored. Unless the text names a ticket, the chain knows nothing of the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFileError {
    /// There is nothing to store.
    #[error("an empty file can't be stored: it needs at least one byte")]
    EmptyFile,
    /// More than one ticket holds.
    #[error("a file of {len_bytes} bytes can't be stored: at most {max_bytes} are possible")]
    TooLong {
        /// Length of the file.
        len_bytes: u64,
        /// Allowed.
        max_bytes: u64,
    },
    /// The file could not be read to its end.
    #[error("reading the file: {reason}")]
    Read {
        /// What went wrong.
        reason: String,
    },
    /// The file was changed while it was being stored.
    #[error("the file changed while ticket {ticket_id} was being stored: store it again once it is at rest")]
    Changed {
        /// The ticket, which will lapse.
        ticket_id: TicketId,
    },
    /// This account may not finalise a ticket at present.
    #[error(
        "{account} is not among the {limit} supernodes that may finalise a ticket at present: store the file through one of them"
    )]
    NotAmongTop {
        /// This node's account.
        account: String,
        /// How many there are.
        limit: u32,
    },
    /// The key could not be used.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The erasure code refused, or did not end by itself.
    #[error("encoding the file: {reason}")]
    Encode {
        /// What went wrong.
        reason: String,
    },
    /// The chain failed or refused.
    #[error("{attempted}: {error}")]
    Chain {
        /// What was attempted.
        attempted: String,
        /// Why it failed.
        #[source]
        error: ChainError,
    },
    /// The network could not be used.
    #[error("publishing ticket {ticket_id}, which will lapse: {error}")]
    Network {
        /// The ticket.
        ticket_id: TicketId,
        /// Why it failed.
        #[source]
        error: NetworkError,
    },
    /// An artifact did not reach most of the nodes that should hold it.
    #[error(
        "artifact {key} of ticket {ticket_id} reached only {stored} of {members} holders; the ticket was not \
         finalised and will lapse ({reason})"
    )]
    NotDurable {
        /// The ticket.
        ticket_id: TicketId,
        /// The artifact.
        key: ArtifactKey,
        /// Holders that have it.
        stored: usize,
        /// Holders that should.
        members: usize,
        /// What one of the others said.
        reason: String,
    },
    /// The chain executed the message and did not accept the ticket (wire 4.12).
    #[error(
        "the chain took the message but left ticket {ticket_id} in state {state}: this node was not entitled"
    )]
    NotFinalised {
        /// The ticket.
        ticket_id: TicketId,
        /// Its state.
        state: String,
    },
    /// The id files could not be made.
    #[error("making the id files: {0}")]
    Documents(#[from] DocumentsError),
}

impl From<TaskFailure> for StoreFileError {
    fn from(failure: TaskFailure) -> Self {
        Self::Encode { reason: failure.to_string() }
    }
}

impl StoreFileError {
    /// Whether storing the same file again may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Chain { error, .. } => error.is_transient(),
            Self::Network { error, .. } => error.is_transient(),
            Self::Documents(error) => error.is_transient(),
            Self::NotDurable { .. } | Self::Changed { .. } | Self::NotAmongTop { .. } => true,
            Self::EmptyFile
            | Self::TooLong { .. }
            | Self::Read { .. }
            | Self::Sign(_)
            | Self::Encode { .. }
            | Self::NotFinalised { .. } => false,
        }
    }
}
