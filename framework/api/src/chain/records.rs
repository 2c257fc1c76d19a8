//! The chain's records that a node reads: anchors, reports, heal operations, tickets, supernodes, accounts.
//!
//! Field names are those of the protobuf messages (wire 2.6 to 2.8), with the action module's camel case undone.
//! The scores that the chain keeps are in the `state` module beside this one.

use crate::{Account, EpochId, TicketId};
use lampkeeper_protocol::words::{ArtifactClass, Bucket, ResultClass};
use serde::{Deserialize, Serialize};

/// The frozen view of an epoch (chain 1.2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EpochAnchor {
    /// The epoch.
    pub epoch_id: EpochId,
    /// Its first block.
    pub epoch_start_height: i64,
    /// Its last block.
    pub epoch_end_height: i64,
    /// Its number of blocks.
    pub epoch_length_blocks: u64,
    /// The seed that all draws of the epoch start from.
    pub seed: [u8; 32],
    /// Accounts that were ACTIVE or STORAGE_FULL; sorted.
    pub active_supernode_accounts: Vec<Account>,
    /// The same and POSTPONED; sorted.
    pub target_supernode_accounts: Vec<Account>,
    /// BLAKE3 of the encoded parameters.
    pub params_commitment: [u8; 32],
    /// BLAKE3 of the active accounts, each followed by a NUL.
    pub active_set_commitment: [u8; 32],
    /// BLAKE3 of the target accounts, each followed by a NUL.
    pub targets_set_commitment: [u8; 32],
}

/// What a TCP probe of a port saw (wire 7.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PortState {
    /// Nothing that could be told apart from a fault of our own.
    #[default]
    Unknown,
    /// A connection was accepted.
    Open,
    /// A connection was refused.
    Closed,
}

/// What a node reports of itself (wire 7.3).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostReport {
    /// Share of CPU in use, 0 to 100; 0 means unknown.
    pub cpu_usage_percent: f64,
    /// Share of memory in use, 0 to 100; 0 means unknown.
    pub mem_usage_percent: f64,
    /// Share of the artifact volume in use, 0 to 100; 0 means unknown.
    pub disk_usage_percent: f64,
    /// Empty, or one state for each required port.
    pub inbound_port_states: Vec<PortState>,
    /// Always 0 from a node.
    pub failed_actions_count: u32,
    /// Bytes of cascade artifacts held.
    pub cascade_kademlia_db_bytes: f64,
}

/// What a prober saw of one target's ports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageChallengeObservation {
    /// The target.
    pub target_supernode_account: Account,
    /// One state for each required port, in their order.
    pub port_states: Vec<PortState>,
}

/// One row of proof in an epoch report (wire 3.7, chain 4.3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageProofResult {
    /// Who was challenged.
    pub target_supernode_account: Account,
    /// Who challenged; the creator of the report.
    pub challenger_supernode_account: Account,
    /// The ticket; empty if none was eligible.
    pub ticket_id: TicketId,
    /// RECENT, OLD or PROBATION in a report.
    pub bucket_type: Bucket,
    /// The class that was rolled.
    pub artifact_class: ArtifactClass,
    /// The ordinal that was drawn, below `artifact_count`.
    pub artifact_ordinal: u32,
    /// The key that was challenged, base58.
    pub artifact_key: String,
    /// What came out.
    pub result_class: ResultClass,
    /// Hex of the transcript hash (wire 1.15).
    pub transcript_hash: String,
    /// For people.
    pub details: String,
    /// Artifacts of the class that the ticket has, as the chain anchored it.
    pub artifact_count: u32,
    /// Hex of the derivation input hash (wire 1.14).
    pub derivation_input_hash: String,
    /// Hex of the challenger's signature over the transcript hash's hex text (wire 3.6).
    pub challenger_signature: String,
    /// Never filled by today's challengers.
    pub observer_attestation_signatures: Vec<String>,
}

/// A report as the chain keeps it (chain 4.1).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochReport {
    /// The reporter.
    pub supernode_account: Account,
    /// The epoch it is about.
    pub epoch_id: EpochId,
    /// The height at which the chain executed it.
    pub report_height: i64,
    /// The reporter about itself.
    pub host_report: HostReport,
    /// What it saw of its targets' ports.
    pub storage_challenge_observations: Vec<StorageChallengeObservation>,
    /// What it proved of its targets' storage.
    pub storage_proof_results: Vec<StorageProofResult>,
}

/// Where a heal operation stands (chain 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HealOpStatus {
    /// Not a status.
    #[default]
    Unspecified,
    /// Waiting for the healer's claim.
    Scheduled,
    /// Accepted like `Scheduled`, never set by the chain.
    InProgress,
    /// Claimed; waiting for votes.
    HealerReported,
    /// Confirmed by a majority.
    Verified,
    /// Refuted by a majority.
    Failed,
    /// The deadline passed.
    Expired,
}

impl HealOpStatus {
    /// Every status, in wire order.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::Scheduled,
        Self::InProgress,
        Self::HealerReported,
        Self::Verified,
        Self::Failed,
        Self::Expired,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The status with this wire number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == number)
    }

    /// The name without its protobuf prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN_PROGRESS",
            Self::HealerReported => "HEALER_REPORTED",
            Self::Verified => "VERIFIED",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
        }
    }

    /// Whether nothing can change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Verified | Self::Failed | Self::Expired => true,
            Self::Unspecified | Self::Scheduled | Self::InProgress | Self::HealerReported => false,
        }
    }
}

/// A heal operation (chain 7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealOp {
    /// Counts from 1.
    pub heal_op_id: u64,
    /// The ticket to heal.
    pub ticket_id: TicketId,
    /// The epoch at whose close it was scheduled.
    pub scheduled_epoch_id: EpochId,
    /// Who reconstructs.
    pub healer_supernode_account: Account,
    /// Who checks.
    pub verifier_supernode_accounts: Vec<Account>,
    /// Where it stands.
    pub status: HealOpStatus,
    /// Height at which it was scheduled.
    pub created_height: u64,
    /// Height of its last change.
    pub updated_height: u64,
    /// The epoch at whose close it expires; 0 means never.
    pub deadline_epoch_id: EpochId,
    /// What the healer claimed, then what the deciding vote said.
    pub result_hash: String,
    /// For people.
    pub notes: String,
}

/// Where an action stands (wire 2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TicketState {
    /// Not a state.
    #[default]
    Unspecified,
    /// Requested.
    Pending,
    /// Being worked on.
    Processing,
    /// Finalised.
    Done,
    /// Finalised and approved by its creator.
    Approved,
    /// Refused.
    Rejected,
    /// Gave up.
    Failed,
    /// Nobody finalised it in time.
    Expired,
}

impl TicketState {
    /// Whether the ticket's artifacts are in the network (wire 4.1).
    #[must_use]
    pub const fn is_stored(self) -> bool {
        match self {
            Self::Done | Self::Approved => true,
            Self::Unspecified
            | Self::Pending
            | Self::Processing
            | Self::Rejected
            | Self::Failed
            | Self::Expired => false,
        }
    }
}

/// A cascade action and its metadata (wire 2.7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ticket {
    /// The action id.
    pub ticket_id: TicketId,
    /// Who stored the file.
    pub creator: Account,
    /// Where it stands.
    pub state: TicketState,
    /// Height at registration, which anchors its age.
    pub block_height: i64,
    /// Accounts of the supernodes that finalised it.
    pub supernode_accounts: Vec<Account>,
    /// Size of the file in KiB, rounded up.
    pub file_size_kbs: i64,
    /// Coins paid, such as `10240ulume`.
    pub price: String,
    /// When the request lapses, in seconds since 1970; 0 means never.
    pub expiration_time_s: i64,
    /// Base64 of the file's BLAKE3.
    pub data_hash: String,
    /// The file's name.
    pub file_name: String,
    /// First counter of the index id files.
    pub rq_ids_ic: u64,
    /// Number of index id files.
    pub rq_ids_max: u64,
    /// Keys of the index id files.
    pub rq_ids_ids: Vec<String>,
    /// Index document and the creator's signature over it (wire 4.5).
    pub signatures: String,
    /// Whether anyone may download it.
    pub public: bool,
    /// Canonical number of index artifacts; 0 means the number of ids.
    pub index_artifact_count: u32,
    /// Canonical number of symbol artifacts; 0 means the number of ids.
    pub symbol_artifact_count: u32,
    /// A key of the application that speaks for an interchain creator, or nothing.
    pub app_pubkey: Vec<u8>,
}

/// What a supernode is allowed to do at present (wire 2.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SupernodeState {
    /// Unknown.
    #[default]
    Unspecified,
    /// Works.
    Active,
    /// Deregistered.
    Disabled,
    /// Stopped by its operator.
    Stopped,
    /// Punished.
    Penalized,
    /// Set aside by the audit module.
    Postponed,
    /// Works, but takes no more artifacts.
    StorageFull,
}

impl SupernodeState {
    /// The name without its protobuf prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Active => "ACTIVE",
            Self::Disabled => "DISABLED",
            Self::Stopped => "STOPPED",
            Self::Penalized => "PENALIZED",
            Self::Postponed => "POSTPONED",
            Self::StorageFull => "STORAGE_FULL",
        }
    }

    /// Whether a node in this state is in the routing table (wire 12.9).
    #[must_use]
    pub const fn is_routed(self) -> bool {
        match self {
            Self::Active | Self::Postponed | Self::StorageFull => true,
            Self::Unspecified | Self::Disabled | Self::Stopped | Self::Penalized => false,
        }
    }

    /// Whether new artifacts are placed on a node in this state (wire 12.9).
    #[must_use]
    pub const fn takes_artifacts(self) -> bool {
        match self {
            Self::Active => true,
            Self::Unspecified
            | Self::Disabled
            | Self::Stopped
            | Self::Penalized
            | Self::Postponed
            | Self::StorageFull => false,
        }
    }
}

/// A registered supernode, reduced to what a node uses of it (wire 2.8, "Derived facts").
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Supernode {
    /// The account that signs.
    pub supernode_account: Account,
    /// The validator operator it belongs to.
    pub validator_address: String,
    /// The latest registered address, `host` or `host:port`; empty if there is none.
    pub latest_address: String,
    /// The port of the peer-to-peer store, as registered.
    pub p2p_port: String,
    /// The latest state.
    pub state: SupernodeState,
    /// Why it is in that state; often empty.
    pub state_reason: String,
    /// The height since which it is in that state.
    pub state_height: i64,
    /// All its states, oldest first, the latest included; empty if the client does not tell.
    pub states: Vec<SupernodeStateSince>,
}

/// A state of a supernode and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SupernodeStateSince {
    /// The state.
    pub state: SupernodeState,
    /// The height at which it began.
    pub height: i64,
}

impl Supernode {
    /// The state at a height; `None` before the first, or if the history is not known.
    #[must_use]
    pub fn state_at(&self, height: i64) -> Option<SupernodeState> {
        // Of two that began at once the first counts, as for the latest state (wire 2.8).
        let began = self.states.iter().rev().filter(|since| since.height <= height);
        began.max_by_key(|since| since.height).map(|since| since.state)
    }
}

/// What the auth module knows of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountInfo {
    /// The account.
    pub address: Account,
    /// Compressed public key; empty until the account's first transaction.
    pub public_key: Vec<u8>,
    /// The key's type URL, such as `/cosmos.crypto.secp256k1.PubKey`.
    pub public_key_type_url: String,
    /// Number of the account.
    pub account_number: u64,
    /// Its next transaction's sequence.
    pub sequence: u64,
}
