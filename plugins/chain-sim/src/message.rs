//! The messages that the simulated chain executes.
//!
//! Owns their shapes. The creator is passed beside the message ([`State::deliver`](crate::State::deliver)); for
//! `UpdateParams` it is the authority. Optional entries stand for what the chain's rules call nil.

use crate::api::chain::{
    EpochReportMessage, HealClaimMessage, HealVerificationMessage, HostReport, Params,
    RecheckEvidenceMessage, StorageChallengeObservation, StorageProofResult,
};
use crate::state::evidence::EvidenceType;
use crate::state::supernodes::SupernodeMetrics;
use serde::{Deserialize, Serialize};

/// A message of one of the three modules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Message {
    /// A message of the audit module without content (chain: "nil message").
    Nil,
    /// `MsgSubmitEpochReport` (chain 4).
    EpochReport(EpochReport),
    /// `MsgSubmitEvidence` (chain A.1).
    Evidence(Evidence),
    /// `MsgSubmitStorageRecheckEvidence` (chain 8).
    RecheckEvidence(RecheckEvidenceMessage),
    /// `MsgClaimHealComplete` (chain 7.4).
    HealClaim(HealClaimMessage),
    /// `MsgSubmitHealVerification` (chain 7.5).
    HealVerification(HealVerificationMessage),
    /// `MsgUpdateParams` of the audit module (chain 2).
    UpdateParams {
        /// The new parameters; zeros take their defaults.
        params: Params,
        /// Whether the enforcement mode is a number that the protocol does not name; that of `params` is then not read.
        #[serde(default)]
        has_unnamed_mode: bool,
    },
    /// `MsgRegisterSupernode` (chain Appendix B).
    RegisterSupernode(RegisterSupernode),
    /// `MsgDeregisterSupernode`.
    DeregisterSupernode {
        /// The operator.
        validator_address: String,
    },
    /// `MsgStartSupernode`.
    StartSupernode {
        /// The operator.
        validator_address: String,
    },
    /// `MsgStopSupernode`.
    StopSupernode {
        /// The operator.
        validator_address: String,
        /// For people; told in the event.
        #[serde(default)]
        reason: String,
    },
    /// `MsgUpdateSupernode`.
    UpdateSupernode(UpdateSupernode),
    /// `MsgReportSupernodeMetrics`; the creator is the supernode's account.
    ReportMetrics {
        /// The operator.
        validator_address: String,
        /// What is stored.
        metrics: SupernodeMetrics,
    },
    /// `MsgRequestAction` (chain Appendix C).
    RequestAction(RequestAction),
    /// `MsgFinalizeAction`.
    FinalizeAction(FinalizeAction),
    /// `MsgApproveAction`.
    ApproveAction {
        /// The action.
        action_id: String,
    },
    /// A transfer of the chain's coin.
    BankSend {
        /// Who receives.
        to: String,
        /// How much, in ulume.
        amount_ulume: u64,
    },
}

impl Message {
    /// A short name, used in injections and receipts.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::EpochReport(_) => "epoch_report",
            Self::Evidence(_) => "evidence",
            Self::RecheckEvidence(_) => "recheck_evidence",
            Self::HealClaim(_) => "heal_claim",
            Self::HealVerification(_) => "heal_verification",
            Self::UpdateParams { .. } => "update_params",
            Self::RegisterSupernode(_) => "register_supernode",
            Self::DeregisterSupernode { .. } => "deregister_supernode",
            Self::StartSupernode { .. } => "start_supernode",
            Self::StopSupernode { .. } => "stop_supernode",
            Self::UpdateSupernode(_) => "update_supernode",
            Self::ReportMetrics { .. } => "report_metrics",
            Self::RequestAction(_) => "request_action",
            Self::FinalizeAction(_) => "finalize_action",
            Self::ApproveAction { .. } => "approve_action",
            Self::BankSend { .. } => "bank_send",
        }
    }
}

/// `MsgSubmitEpochReport` with room for nil entries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpochReport {
    /// The epoch of the block that will execute it.
    pub epoch_id: u64,
    /// The reporter about itself.
    pub host_report: HostReport,
    /// What it saw of its targets' ports.
    pub storage_challenge_observations: Vec<Option<StorageChallengeObservation>>,
    /// Rows of proof.
    pub storage_proof_results: Vec<Option<StorageProofResult>>,
    /// Where a row has a number that the protocol does not name; the row's own value is then not read.
    pub unnamed_enums: Vec<UnnamedEnum>,
}

/// An enumeration of a row of proof whose number the protocol does not name. The wire can carry any number; the typed row
/// can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnnamedEnum {
    /// The row; counts from 0.
    pub row: usize,
    /// The enumeration.
    pub field: ProofEnum,
}

/// An enumeration of a row of proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the field of that name")]
pub enum ProofEnum {
    BucketType,
    ArtifactClass,
    ResultClass,
}

impl From<EpochReportMessage> for EpochReport {
    fn from(message: EpochReportMessage) -> Self {
        Self {
            epoch_id: message.epoch_id,
            host_report: message.host_report,
            storage_challenge_observations: message
                .storage_challenge_observations
                .into_iter()
                .map(Some)
                .collect(),
            storage_proof_results: message.storage_proof_results.into_iter().map(Some).collect(),
            unnamed_enums: Vec::new(),
        }
    }
}

/// `MsgSubmitEvidence`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// Whom it is about.
    pub subject_address: String,
    /// Its type.
    pub evidence_type: EvidenceType,
    /// The action it is about; required for the action module's own types.
    pub action_id: String,
    /// JSON of the type's metadata message.
    pub metadata: String,
}

/// `MsgRegisterSupernode`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegisterSupernode {
    /// The operator; its bytes are those of the creator.
    pub validator_address: String,
    /// Where the node listens, `host` or `host:port`.
    pub ip_address: String,
    /// The account that signs for the node.
    pub supernode_account: String,
    /// Port of the peer-to-peer store; empty means 4445.
    pub p2p_port: String,
}

/// `MsgUpdateSupernode`; empty fields are left as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpdateSupernode {
    /// The operator.
    pub validator_address: String,
    /// The new address.
    pub ip_address: String,
    /// The new note.
    pub note: String,
    /// The new account.
    pub supernode_account: String,
    /// The new port.
    pub p2p_port: String,
}

/// `MsgRequestAction`; numbers are text, as on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestAction {
    /// Only `CASCADE` is simulated.
    pub action_type: String,
    /// JSON of the cascade metadata.
    pub metadata: String,
    /// Coins offered, such as `10240ulume`.
    pub price: String,
    /// When the request lapses, in seconds since 1970.
    pub expiration_time: String,
    /// Size of the file in KiB.
    pub file_size_kbs: String,
    /// Key of the application that speaks for an interchain creator.
    pub app_pubkey: Vec<u8>,
}

/// `MsgFinalizeAction`; the creator is a supernode account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinalizeAction {
    /// The action.
    pub action_id: String,
    /// Only `CASCADE` is simulated.
    pub action_type: String,
    /// JSON of the cascade metadata that finalising adds.
    pub metadata: String,
}

/// What an executed message answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Response {
    /// Nothing.
    #[default]
    Empty,
    /// `MsgSubmitEvidenceResponse`.
    Evidence {
        /// The new evidence.
        evidence_id: u64,
    },
    /// `MsgRequestActionResponse`, `MsgApproveActionResponse`.
    Action {
        /// The action.
        action_id: String,
        /// Its state.
        status: String,
    },
    /// `MsgReportSupernodeMetricsResponse`.
    Metrics {
        /// Whether nothing was found wrong.
        compliant: bool,
        /// What was found.
        issues: Vec<String>,
    },
}
