//! Publishing to, and fetching from, the replica set of a key.
//!
//! Owns the [`ArtifactNetwork`] seam. Which nodes hold what is the implementer's rule (six closest by XOR distance in
//! the reference network, wire 12.5); what to publish or fetch is the caller's decision.

use crate::Account;
use crate::chain::ChainError;
use crate::transport::CallError;
use lampkeeper_api_macros::seam;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use serde::{Deserialize, Serialize};

/// The most keys that one call may name.
pub const KEYS_PER_CALL_MAX: usize = 4096;

/// What a holder says about an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Possession {
    /// It has intact bytes: it has just hashed them.
    Intact,
    /// It has something under this key, which it did not check.
    Present,
    /// It has nothing.
    Absent,
    /// It has bytes that no longer hash to the key.
    Corrupt,
    /// It could not be asked.
    Unknown,
}

/// Where copies of an artifact are, and are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The artifact.
    pub key: ArtifactKey,
    /// Each member of its replica set, nearest first, and what it says.
    pub holders: Vec<(Account, Possession)>,
}

impl Survey {
    /// Members that certainly lack intact bytes.
    pub fn lacking(&self) -> impl Iterator<Item = &Account> {
        self.holders
            .iter()
            .filter(|(_, possession)| matches!(possession, Possession::Absent | Possession::Corrupt))
            .map(|(account, _)| account)
    }

    /// Members that have the artifact, as far as they say.
    pub fn holding(&self) -> impl Iterator<Item = &Account> {
        self.holders
            .iter()
            .filter(|(_, possession)| matches!(possession, Possession::Intact | Possession::Present))
            .map(|(account, _)| account)
    }
}

/// An artifact and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// `BLAKE3(bytes)`.
    pub key: ArtifactKey,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What became of one published artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The artifact.
    pub key: ArtifactKey,
    /// Members that have it durably now.
    pub stored_on: Vec<Account>,
    /// Members that don't, and why.
    pub failed_on: Vec<(Account, String)>,
}

/// The network's replicas.
///
/// Called by the healing service, heal strategies, scrub and whoever stores a file. An implementer promises: every
/// artifact returned hashes to its key, whatever a peer sent; every list is in the caller's order of keys; at most
/// [`KEYS_PER_CALL_MAX`] keys a call; work goes on in parallel with a limit, and ends when the future is dropped.
#[seam("network")]
pub trait ArtifactNetwork: Send + Sync {
    /// The accounts that should hold a key, nearest first.
    async fn replica_set(&self, key: &ArtifactKey) -> Result<Vec<Account>, NetworkError>;
    /// Stores artifacts on their replica sets, this node included where it is a member.
    async fn publish(&self, artifacts: Vec<Artifact>) -> Result<Vec<Published>, NetworkError>;
    /// Stores artifacts on the given nodes only.
    async fn publish_to(
        &self,
        artifacts: Vec<Artifact>,
        accounts: &[Account],
    ) -> Result<Vec<Published>, NetworkError>;
    /// Fetches artifacts from wherever they are, this node first; `None` where no holder had intact bytes.
    async fn fetch(&self, keys: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError>;
    /// Asks every member of each key's replica set what it has. With `verify` the holders hash their bytes first.
    async fn survey(&self, keys: &[ArtifactKey], verify: bool) -> Result<Vec<Survey>, NetworkError>;
}

/// Why the network could not be used. A single holder's failure is not an error: the answer says what is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Membership could not be read.
    #[error("the membership of the network could not be read: {0}")]
    Chain(ChainError),
    /// Nobody takes artifacts at present.
    #[error("no supernode takes artifacts at present; register or recover some, then try again")]
    NoMembers,
    /// More keys than one call may name.
    #[error("{count} keys in one call; at most {max} are allowed")]
    TooManyKeys {
        /// Given.
        count: usize,
        /// Allowed.
        max: usize,
    },
    /// This node's own store failed.
    #[error("this node's store: {0}")]
    Store(crate::store::StoreError),
    /// This node could not make calls at all.
    #[error("{0}")]
    Call(CallError),
    /// The plugin behind the network can't be called, or panicked.
    #[error("the replica network is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl NetworkError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Chain(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Call(error) => error.is_transient(),
            Self::NoMembers | Self::Unavailable { .. } => true,
            Self::TooManyKeys { .. } => false,
        }
    }
}
