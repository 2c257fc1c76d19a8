//! `MsgClaimHealComplete` (chain 7.4).

use super::append_note;
use crate::api::chain::{HealClaimMessage, HealOpStatus};
use crate::event::Event;
use crate::message::Response;
use crate::names;
use crate::refusal::{Refusal, audit};
use crate::state::State;

impl State {
    pub(crate) fn claim_heal(
        &mut self,
        message: &HealClaimMessage,
        creator: &str,
    ) -> Result<Response, Refusal> {
        self.claim_is_valid(message, creator)?;
        let updated_height = self.height.unsigned_abs();
        self.audit.heal_ops.update(message.heal_op_id, |operation| {
            operation.status = HealOpStatus::HealerReported;
            operation.updated_height = updated_height;
            operation.result_hash.clone_from(&message.heal_manifest_hash);
            append_note(&mut operation.notes, &message.details);
        });
        let event = Event::audit("storage_truth_heal_op_healer_reported")
            .with("heal_op_id", message.heal_op_id)
            .with("ticket_id", &message.ticket_id)
            .with("healer_supernode_account", creator)
            .with("heal_manifest_hash", &message.heal_manifest_hash);
        self.emit(event);
        Ok(Response::Empty)
    }

    fn claim_is_valid(&self, message: &HealClaimMessage, creator: &str) -> Result<(), Refusal> {
        if creator.is_empty() {
            return Err(audit::INVALID_SIGNER.because("creator is required"));
        }
        if message.heal_op_id == 0 {
            return Err(audit::HEAL_OP_NOT_FOUND.because("heal_op_id is required"));
        }
        if message.ticket_id.is_empty() {
            return Err(audit::HEAL_OP_TICKET_MISMATCH.because("ticket_id is required"));
        }
        if message.heal_manifest_hash.is_empty() {
            return Err(audit::HEAL_OP_INVALID_STATE.because("heal_manifest_hash is required"));
        }
        let Some(operation) = self.audit.heal_ops.get(message.heal_op_id) else {
            return Err(audit::HEAL_OP_NOT_FOUND.because(format!("heal op {} not found", message.heal_op_id)));
        };
        if operation.ticket_id != message.ticket_id {
            return Err(audit::HEAL_OP_TICKET_MISMATCH.because(format!(
                "ticket_id {:?} does not match heal op ticket_id {:?}",
                message.ticket_id, operation.ticket_id
            )));
        }
        if operation.healer_supernode_account != creator {
            return Err(
                audit::HEAL_OP_UNAUTHORIZED.because("creator is not assigned healer for this heal op")
            );
        }
        if !matches!(operation.status, HealOpStatus::Scheduled | HealOpStatus::InProgress) {
            return Err(audit::HEAL_OP_INVALID_STATE.because(format!(
                "heal op status {} does not accept healer completion claim",
                names::heal_op_status(operation.status)
            )));
        }
        if operation.verifier_supernode_accounts.is_empty() {
            return Err(
                audit::HEAL_OP_INVALID_STATE.because("heal op has no independent verifier assignments")
            );
        }
        Ok(())
    }
}
