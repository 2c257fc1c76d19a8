//! The chain client and the transport that simulated nodes are given: they record what passes, and lie for liars.
//!
//! Owns the lies. What the record means is the ledger's and the invariants' business.

mod chain;
mod transport;

pub use chain::WatchedChain;
pub use transport::WatchedTransport;

use super::defect::Defect;
use super::ledger::Ledger;

/// How a node deceives the others. Everything else it does honestly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Role {
    /// As a healer.
    pub healing: Option<HealingLie>,
    /// As a verifier.
    pub voting: Option<VotingLie>,
}

/// How a healer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealingLie {
    /// It claims another hash than that of its reconstruction.
    ClaimsWrongHash,
    /// It serves other bytes than it claimed.
    ServesWrongBytes,
    /// It ends the file early.
    Truncates,
}

/// How a verifier lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VotingLie {
    /// It never votes.
    NeverVotes,
    /// It always votes no.
    VotesNo,
}

impl HealingLie {
    /// Every way to lie.
    pub const ALL: [Self; 3] = [Self::ClaimsWrongHash, Self::ServesWrongBytes, Self::Truncates];
}

impl VotingLie {
    /// Every way to lie.
    pub const ALL: [Self; 2] = [Self::NeverVotes, Self::VotesNo];
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
    /// What is wrong with the node on purpose.
    pub defect: Option<Defect>,
    /// Whether the chain always tells the truth, so that whoever asks it first submits nothing twice.
    pub chain_is_reliable: bool,
}

impl Watched {
    /// Whether the node has this defect by now.
    fn suffers(&self, defect: Defect) -> bool {
        self.defect == Some(defect) && self.ledger.is_stormy()
    }
}
