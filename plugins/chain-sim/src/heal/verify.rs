//! `MsgSubmitHealVerification` and what a majority does (chain 7.5).

use super::append_note;
use crate::api::EpochId;
use crate::api::chain::{HealOp, HealOpStatus, HealVerificationMessage, Params, TicketDeterioration};
use crate::event::Event;
use crate::message::Response;
use crate::names;
use crate::refusal::{Refusal, audit};
use crate::state::State;

/// The least score of a ticket that was healed.
const HEALED_SCORE_MIN: i64 = 8;
/// What a failed or expired heal adds to its ticket.
pub(super) const FAILED_HEAL_DELTA: i64 = 15;

impl State {
    pub(crate) fn verify_heal(
        &mut self,
        message: &HealVerificationMessage,
        creator: &str,
    ) -> Result<Response, Refusal> {
        let operation = self.verification_is_valid(message, creator)?.clone();
        let votes = self.audit.heal_votes.entry(operation.heal_op_id).or_default();
        votes.insert(creator.to_owned(), message.verified);
        // Only the votes of assigned verifiers count, whatever else was planted.
        let verifiers = operation.verifier_supernode_accounts.iter();
        let cast: Vec<bool> = verifiers.filter_map(|verifier| votes.get(verifier).copied()).collect();
        let positives = cast.iter().filter(|verified| **verified).count();
        let negatives = cast.len() - positives;
        let majority = operation.verifier_supernode_accounts.len() / 2 + 1;
        let subject = |event: Event| {
            event
                .with("heal_op_id", operation.heal_op_id)
                .with("ticket_id", &operation.ticket_id)
                .with("verifier_supernode_account", creator)
        };
        if negatives >= majority {
            self.finalise_heal(&operation, HealOpStatus::Failed, message);
            let event = subject(Event::audit("storage_truth_heal_op_failed"))
                .with("verification_hash", &message.verification_hash)
                .with("verified", message.verified);
            self.emit(event);
        } else if positives >= majority {
            self.finalise_heal(&operation, HealOpStatus::Verified, message);
            let event = subject(Event::audit("storage_truth_heal_op_verified"));
            self.emit(event.with("verification_hash", &message.verification_hash));
        }
        Ok(Response::Empty)
    }

    fn verification_is_valid(
        &self,
        message: &HealVerificationMessage,
        creator: &str,
    ) -> Result<&HealOp, Refusal> {
        if creator.is_empty() {
            return Err(audit::INVALID_SIGNER.because("creator is required"));
        }
        if message.heal_op_id == 0 {
            return Err(audit::HEAL_OP_NOT_FOUND.because("heal_op_id is required"));
        }
        if message.verification_hash.is_empty() {
            return Err(audit::HEAL_OP_INVALID_STATE.because("verification_hash is required"));
        }
        let Some(operation) = self.audit.heal_ops.get(message.heal_op_id) else {
            return Err(audit::HEAL_OP_NOT_FOUND.because(format!("heal op {} not found", message.heal_op_id)));
        };
        if operation.status != HealOpStatus::HealerReported {
            return Err(audit::HEAL_OP_INVALID_STATE.because(format!(
                "heal op status {} does not accept verification",
                names::heal_op_status(operation.status)
            )));
        }
        if !operation.verifier_supernode_accounts.iter().any(|verifier| verifier == creator) {
            return Err(
                audit::HEAL_OP_UNAUTHORIZED.because("creator is not assigned verifier for this heal op")
            );
        }
        let votes = self.audit.heal_votes.get(&operation.heal_op_id);
        if votes.is_some_and(|votes| votes.contains_key(creator)) {
            return Err(audit::HEAL_VERIFICATION_EXISTS.because("verification already submitted by creator"));
        }
        let expected = &operation.result_hash;
        if message.verified && !expected.is_empty() && message.verification_hash != *expected {
            return Err(audit::INVALID_HEAL_VERIFICATION.because(format!(
                "positive attestation hash {} mismatches heal-op result hash {}",
                hex::encode(&message.verification_hash),
                hex::encode(expected)
            )));
        }
        Ok(operation)
    }

    fn finalise_heal(
        &mut self,
        operation: &HealOp,
        status: HealOpStatus,
        deciding: &HealVerificationMessage,
    ) {
        let (updated_height, epoch_id, params) =
            (self.height.unsigned_abs(), self.current_epoch(), self.params());
        self.audit.heal_ops.update(operation.heal_op_id, |stored| {
            stored.status = status;
            stored.updated_height = updated_height;
            stored.result_hash.clone_from(&deciding.verification_hash);
            append_note(&mut stored.notes, &deciding.details);
        });
        if self.audit.tickets.get(&operation.ticket_id).is_none() {
            return;
        }
        self.audit.tickets.update(&operation.ticket_id, |ticket| {
            if ticket.active_heal_op_id == operation.heal_op_id {
                ticket.active_heal_op_id = 0;
            }
            match status {
                HealOpStatus::Verified => settle_verified(ticket, epoch_id, &params),
                _ => settle_failed(ticket, epoch_id, &params),
            }
        });
        if status == HealOpStatus::Failed {
            self.mark_failed_heal(operation, epoch_id);
        }
    }

    pub(super) fn mark_failed_heal(&mut self, operation: &HealOp, epoch_id: EpochId) {
        let marker = (operation.healer_supernode_account.clone(), operation.ticket_id.clone());
        self.audit.failed_heals.entry(epoch_id).or_default().insert(marker);
    }
}

fn settle_verified(ticket: &mut TicketDeterioration, epoch_id: EpochId, params: &Params) {
    ticket.deterioration_score = (ticket.deterioration_score / 4).max(HEALED_SCORE_MIN);
    ticket.last_heal_epoch = epoch_id;
    ticket.probation_until_epoch = epoch_id.saturating_add(u64::from(params.storage_truth_probation_epochs));
    ticket.distinct_holder_failure_count = 0;
    ticket.recent_failure_epoch_count = 0;
    ticket.last_index_failure_epoch = 0;
    ticket.last_failure_epoch = 0;
}

/// A failed and an expired heal cost the ticket the same (chain 7.2, chain 7.5).
pub(super) fn settle_failed(ticket: &mut TicketDeterioration, epoch_id: EpochId, params: &Params) {
    ticket.deterioration_score = ticket.deterioration_score.saturating_add(FAILED_HEAL_DELTA);
    let until = epoch_id.saturating_add(u64::from(params.storage_truth_probation_epochs));
    ticket.probation_until_epoch = ticket.probation_until_epoch.max(until);
}
