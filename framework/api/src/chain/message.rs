//! What a node submits to the chain, and the receipt for it.
//!
//! Owns the plain form of the messages. The creator is not a field: it is the account that the client signs for, so
//! that no caller can submit in another's name.

use super::records::{HostReport, StorageChallengeObservation, StorageProofResult};
use crate::{Account, EpochId, TicketId};
use lampkeeper_protocol::words::ResultClass;
use serde::{Deserialize, Serialize};

/// A message to the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChainMessage {
    /// One report an epoch (chain 4).
    EpochReport(EpochReportMessage),
    /// The outcome of a repeated challenge (chain 8).
    RecheckEvidence(RecheckEvidenceMessage),
    /// The healer says that it is done (chain 7.4).
    HealClaim(HealClaimMessage),
    /// A verifier's vote (chain 7.5).
    HealVerification(HealVerificationMessage),
    /// Asks for a ticket (chain Appendix C, RequestAction).
    RequestTicket(RequestTicketMessage),
    /// Says that a ticket's artifacts are stored (chain Appendix C, FinalizeAction).
    FinalizeTicket(FinalizeTicketMessage),
}

impl ChainMessage {
    /// A short name for logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::EpochReport(_) => "epoch_report",
            Self::RecheckEvidence(_) => "recheck_evidence",
            Self::HealClaim(_) => "heal_claim",
            Self::HealVerification(_) => "heal_verification",
            Self::RequestTicket(_) => "request_ticket",
            Self::FinalizeTicket(_) => "finalize_ticket",
        }
    }
}

/// `MsgSubmitEpochReport` (chain 4.1).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EpochReportMessage {
    /// The epoch of the block that will execute it.
    pub epoch_id: EpochId,
    /// The reporter about itself.
    pub host_report: HostReport,
    /// What it saw of its targets' ports.
    pub storage_challenge_observations: Vec<StorageChallengeObservation>,
    /// At most 16 rows of proof.
    pub storage_proof_results: Vec<StorageProofResult>,
}

/// `MsgSubmitStorageRecheckEvidence` (chain 8).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecheckEvidenceMessage {
    /// The epoch of the challenged result.
    pub epoch_id: EpochId,
    /// The target of the challenged result.
    pub challenged_supernode_account: Account,
    /// Its ticket.
    pub ticket_id: TicketId,
    /// Its transcript hash.
    pub challenged_result_transcript_hash: String,
    /// The transcript hash of the repetition.
    pub recheck_transcript_hash: String,
    /// What the repetition found.
    pub recheck_result_class: ResultClass,
    /// For people.
    pub details: String,
}

/// `MsgClaimHealComplete` (chain 7.4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealClaimMessage {
    /// The operation.
    pub heal_op_id: u64,
    /// Its ticket.
    pub ticket_id: TicketId,
    /// Base64 of the reconstructed file's BLAKE3 (wire 5.5).
    pub heal_manifest_hash: String,
    /// For people.
    pub details: String,
}

/// `MsgSubmitHealVerification` (chain 7.5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealVerificationMessage {
    /// The operation.
    pub heal_op_id: u64,
    /// The vote.
    pub verified: bool,
    /// What the verifier computed, or the placeholder of its reason (wire 5.8); never empty.
    pub verification_hash: String,
    /// For people.
    pub details: String,
}

/// `MsgRequestAction` for a cascade file (wire 4.12).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestTicketMessage {
    /// Base64 of the file's BLAKE3.
    pub data_hash: String,
    /// The file's name.
    pub file_name: String,
    /// First counter of the index id files.
    pub rq_ids_ic: u64,
    /// Index document and signature (wire 4.5).
    pub signatures: String,
    /// Whether anyone may download it.
    pub public: bool,
    /// Size of the file in KiB, rounded up.
    pub file_size_kbs: i64,
    /// Coins offered, such as `10240ulume`.
    pub price: String,
    /// When the request lapses, in seconds since 1970.
    pub expiration_time_s: i64,
}

/// `MsgFinalizeAction` for a cascade file (wire 4.12).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FinalizeTicketMessage {
    /// The action.
    pub ticket_id: TicketId,
    /// Keys of the index id files.
    pub rq_ids_ids: Vec<String>,
}

/// Proof that the chain executed a message with code 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TxReceipt {
    /// Uppercase hex of the transaction's hash.
    pub tx_hash: String,
    /// The block that executed it.
    pub height: i64,
    /// What the message answered: the new ticket's id for `RequestTicket`, otherwise empty.
    pub response_id: String,
}
