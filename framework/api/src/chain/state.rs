//! The scores that the chain keeps of nodes, reporters and tickets (chain 5.1).
//!
//! Owns their shapes. The stored values are raw: whoever needs a current score decays it (chain 5.2).

use crate::{Account, EpochId, TicketId};
use lampkeeper_protocol::words::ResultClass;
use serde::{Deserialize, Serialize};

/// How suspicious a node is (chain 5.1, `NodeSuspicionState`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the protobuf message's; chain 5.5 says when each changes")]
pub struct NodeSuspicion {
    pub supernode_account: Account,
    pub suspicion_score: i64,
    pub last_updated_epoch: EpochId,
    pub last_recent_fail_epoch: EpochId,
    pub last_old_fail_epoch: EpochId,
    pub distinct_ticket_fail_window: u32,
    pub window_start_epoch: EpochId,
    pub class_a_count_window: u32,
    pub last_class_a_epoch: EpochId,
    pub class_b_count_window: u32,
    pub last_class_b_epoch: EpochId,
    pub clean_pass_count: u32,
    pub last_clean_pass_epoch: EpochId,
    pub last_index_fail_epoch: EpochId,
    pub clean_pass_count_at_postpone: u32,
}

/// How far a reporter is trusted (chain 5.6). The numbers are not in order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReporterTrustBand {
    /// No state.
    #[default]
    Unspecified,
    /// Trusted.
    Normal,
    /// From 20 by default.
    LowTrust,
    /// From 90 by default: may not challenge.
    ChallengerIneligible,
    /// From 50 by default.
    Degraded,
}

impl ReporterTrustBand {
    /// The name without its protobuf prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Normal => "NORMAL",
            Self::LowTrust => "LOW_TRUST",
            Self::ChallengerIneligible => "CHALLENGER_INELIGIBLE",
            Self::Degraded => "DEGRADED",
        }
    }
}

/// How reliable a reporter is; higher is worse (chain 5.1, `ReporterReliabilityState`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the protobuf message's; chain 5.6 says when each changes")]
pub struct ReporterReliability {
    pub reporter_supernode_account: Account,
    pub reliability_score: i64,
    pub last_updated_epoch: EpochId,
    pub trust_band: ReporterTrustBand,
    pub contradiction_count: u64,
    pub ineligible_until_epoch: EpochId,
    pub window_positive_count: u32,
    pub window_negative_count: u32,
    pub window_start_epoch: EpochId,
}

/// How far a ticket has deteriorated (chain 5.1, `TicketDeteriorationState`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the protobuf message's; chain 5.5 says when each changes")]
pub struct TicketDeterioration {
    pub ticket_id: TicketId,
    pub deterioration_score: i64,
    pub last_updated_epoch: EpochId,
    pub active_heal_op_id: u64,
    pub probation_until_epoch: EpochId,
    pub last_heal_epoch: EpochId,
    pub last_failure_epoch: EpochId,
    pub recent_failure_epoch_count: u32,
    pub contradiction_count: u64,
    pub last_target_supernode_account: Account,
    pub last_reporter_supernode_account: Account,
    pub last_result_class: ResultClass,
    pub last_result_epoch: EpochId,
    pub distinct_holder_failure_count: u32,
    pub last_index_failure_epoch: EpochId,
    pub recent_bucket_failure_epoch: EpochId,
    pub old_bucket_failure_epoch: EpochId,
}
