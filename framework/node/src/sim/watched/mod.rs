//! The chain client and the transport that simulated nodes are given: they record what passes, and lie for liars.
//!
//! Owns the lies. What the record means is the ledger's and the invariants' business.

mod chain;
mod transport;

pub use chain::WatchedChain;
pub use transport::WatchedTransport;

use super::ledger::Ledger;

/// How a node deceives the others. Everything else it does honestly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Not at all.
    Honest,
    /// As a healer it claims another hash than that of its reconstruction.
    ClaimsWrongHash,
    /// As a healer it serves other bytes than it claimed.
    ServesWrongBytes,
    /// As a healer it ends the file early.
    Truncates,
    /// As a verifier it never votes.
    NeverVotes,
    /// As a verifier it always votes no.
    VotesNo,
}

impl Role {
    /// Whether verifiers of its heals are told or served something wrong.
    pub const fn deceives_verifiers(self) -> bool {
        match self {
            Self::ClaimsWrongHash | Self::ServesWrongBytes | Self::Truncates => true,
            Self::Honest | Self::NeverVotes | Self::VotesNo => false,
        }
    }

    /// Every way to lie.
    pub const LIES: [Self; 5] =
        [Self::ClaimsWrongHash, Self::ServesWrongBytes, Self::Truncates, Self::NeverVotes, Self::VotesNo];
}

/// Whose calls are watched, and by whom.
#[derive(Clone)]
pub struct Watched {
    /// The node.
    pub name: String,
    /// Its account.
    pub account: String,
    /// What it makes of the truth.
    pub role: Role,
    /// Where everything is recorded.
    pub ledger: Ledger,
}
