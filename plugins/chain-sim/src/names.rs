//! Full protobuf names of enumeration values, as events and refusals spell them (chain 0.4).

use crate::api::chain::{EnforcementMode, HealOpStatus, ReporterTrustBand, SupernodeState, TicketState};
use crate::protocol::words::{Bucket, ResultClass};

pub(crate) fn bucket(bucket: Bucket) -> String {
    format!("STORAGE_PROOF_BUCKET_TYPE_{}", bucket.name())
}

pub(crate) fn result_class(class: ResultClass) -> String {
    format!("STORAGE_PROOF_RESULT_CLASS_{}", class.name())
}

pub(crate) fn heal_op_status(status: HealOpStatus) -> String {
    format!("HEAL_OP_STATUS_{}", status.name())
}

pub(crate) fn trust_band(band: ReporterTrustBand) -> String {
    format!("REPORTER_TRUST_BAND_{}", band.name())
}

pub(crate) fn enforcement_mode(mode: EnforcementMode) -> String {
    format!("STORAGE_TRUTH_ENFORCEMENT_MODE_{}", mode.name())
}

pub(crate) fn supernode_state(state: SupernodeState) -> String {
    format!("SUPERNODE_STATE_{}", state.name())
}

pub(crate) const fn action_state(state: TicketState) -> &'static str {
    match state {
        TicketState::Unspecified => "ACTION_STATE_UNSPECIFIED",
        TicketState::Pending => "ACTION_STATE_PENDING",
        TicketState::Processing => "ACTION_STATE_PROCESSING",
        TicketState::Done => "ACTION_STATE_DONE",
        TicketState::Approved => "ACTION_STATE_APPROVED",
        TicketState::Rejected => "ACTION_STATE_REJECTED",
        TicketState::Failed => "ACTION_STATE_FAILED",
        TicketState::Expired => "ACTION_STATE_EXPIRED",
    }
}
