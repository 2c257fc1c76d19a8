//! What the close of an epoch does to heal operations: expire, then schedule (chain 7.1 to 7.3).

use super::verify::settle_failed;
use crate::api::chain::{EnforcementMode, HealOp, HealOpStatus, Params, SupernodeState, TicketDeterioration};
use crate::api::{Account, EpochId, TicketId};
use crate::block::BlockError;
use crate::event::Event;
use crate::protocol::heal::heal_participants;
use crate::state::State;
use std::cmp::Reverse;
use std::collections::BTreeSet;

impl State {
    pub(crate) fn expire_heal_ops(&mut self, epoch_id: EpochId, params: &Params) -> Result<(), BlockError> {
        for id in self.audit.heal_ops.ids_by_finality(false) {
            let Some(operation) = self.audit.heal_ops.get(id).cloned() else { continue };
            if operation.deadline_epoch_id != 0 && operation.deadline_epoch_id <= epoch_id {
                self.expire_heal_op(&operation, epoch_id, params)?;
            }
        }
        Ok(())
    }

    fn expire_heal_op(
        &mut self,
        operation: &HealOp,
        epoch_id: EpochId,
        params: &Params,
    ) -> Result<(), BlockError> {
        let has_ticket = self.audit.tickets.get(&operation.ticket_id).is_some();
        if has_ticket && operation.healer_supernode_account.is_empty() {
            return Err(BlockError::new(format!(
                "heal op {} is missing healer account",
                operation.heal_op_id
            )));
        }
        let updated_height = self.height.unsigned_abs();
        self.audit.heal_ops.update(operation.heal_op_id, |stored| {
            stored.status = HealOpStatus::Expired;
            stored.updated_height = updated_height;
        });
        if has_ticket {
            self.audit.tickets.update(&operation.ticket_id, |ticket| {
                settle_failed(ticket, epoch_id, params);
                if ticket.active_heal_op_id == operation.heal_op_id {
                    ticket.active_heal_op_id = 0;
                }
            });
            self.mark_failed_heal(operation, epoch_id);
        }
        let event = Event::audit("storage_truth_heal_op_expired")
            .with("epoch_id", epoch_id)
            .with("heal_op_id", operation.heal_op_id)
            .with("ticket_id", &operation.ticket_id);
        self.emit(event);
        Ok(())
    }

    pub(crate) fn schedule_heal_ops(&mut self, epoch_id: EpochId, params: &Params) {
        let cap = params.storage_truth_max_self_heal_ops_per_epoch as usize;
        if params.storage_truth_enforcement_mode == EnforcementMode::Unspecified || cap == 0 {
            return;
        }
        let accounts = self.heal_accounts(epoch_id);
        if accounts.is_empty() {
            return;
        }
        let eligible: Vec<Account> =
            accounts.into_iter().filter(|account| self.may_heal(account, epoch_id, params)).collect();
        let mut created = 0;
        for (ticket_id, last_target) in self.heal_candidates(epoch_id, params) {
            if created == cap {
                break;
            }
            if self.schedule_heal_op(&ticket_id, &last_target, &eligible, epoch_id, params) {
                created += 1;
            }
        }
    }

    /// The anchor's active accounts, or those that are ACTIVE now; sorted.
    fn heal_accounts(&self, epoch_id: EpochId) -> Vec<Account> {
        let anchored =
            self.audit.anchors.get(&epoch_id).map(|anchor| anchor.active_supernode_accounts.clone());
        let accounts = anchored
            .filter(|accounts| !accounts.is_empty())
            .unwrap_or_else(|| self.supernode.supernodes.accounts_in(SupernodeState::Active));
        accounts.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Nodes postponed by their score and suspicious ones don't heal; a threshold of 0 or less suspects nobody.
    fn may_heal(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        let threshold = params.storage_truth_node_suspicion_threshold_probation;
        let is_suspicious = threshold > 0 && self.suspicion_at(account, epoch_id, params) >= threshold;
        !self.audit.storage_truth_postponements.contains_key(account) && !is_suspicious
    }

    /// Tickets that deserve a heal, the most urgent first, with their last target. Stale pointers to heal operations are
    /// cleared on the way.
    fn heal_candidates(&mut self, epoch_id: EpochId, params: &Params) -> Vec<(TicketId, Account)> {
        let threshold = params.storage_truth_ticket_deterioration_heal_threshold;
        let mut candidates: Vec<TicketDeterioration> = Vec::new();
        let mut stale: Vec<TicketId> = Vec::new();
        for ticket in self.audit.tickets.with_score_from(threshold) {
            if ticket.probation_until_epoch > epoch_id {
                continue;
            }
            let pointed = self.audit.heal_ops.get(ticket.active_heal_op_id);
            if pointed.is_some_and(|operation| !operation.status.is_final()) {
                continue;
            }
            if ticket.active_heal_op_id != 0 {
                stale.push(ticket.ticket_id.clone());
            }
            if !self.audit.heal_ops.is_open_for(&ticket.ticket_id) && has_failed_enough(ticket) {
                candidates.push(ticket.clone());
            }
        }
        for ticket_id in stale {
            self.audit.tickets.update(&ticket_id, |ticket| ticket.active_heal_op_id = 0);
        }
        candidates.sort_by_cached_key(|ticket| {
            (
                Reverse(ticket.deterioration_score),
                ticket.last_index_failure_epoch == 0,
                Reverse(ticket.distinct_holder_failure_count),
                ticket.last_failure_epoch,
                ticket.ticket_id.clone(),
            )
        });
        candidates
            .into_iter()
            .map(|ticket| (ticket.ticket_id, ticket.last_target_supernode_account))
            .collect()
    }

    /// Schedules an operation for a ticket; `false` if there are too few participants.
    fn schedule_heal_op(
        &mut self,
        ticket_id: &str,
        last_target: &str,
        eligible: &[Account],
        epoch_id: EpochId,
        params: &Params,
    ) -> bool {
        let list: Vec<&str> =
            eligible.iter().map(String::as_str).filter(|account| *account != last_target).collect();
        let participants =
            heal_participants(&list, ticket_id, epoch_id, params.storage_truth_heal_verifier_count);
        let shortage = |kind| Event::audit(kind).with("ticket_id", ticket_id).with("epoch_id", epoch_id);
        let Some(healer) = participants.healer else {
            self.emit(shortage("storage_truth_heal_op_insufficient_healers"));
            return false;
        };
        if participants.verifiers.is_empty() {
            self.emit(shortage("storage_truth_heal_op_insufficient_verifiers"));
            return false;
        }
        let height = self.height.unsigned_abs();
        let operation = HealOp {
            heal_op_id: self.take_heal_op_id(),
            ticket_id: ticket_id.to_owned(),
            scheduled_epoch_id: epoch_id,
            healer_supernode_account: healer.to_owned(),
            verifier_supernode_accounts: participants
                .verifiers
                .iter()
                .map(|&account| account.to_owned())
                .collect(),
            status: HealOpStatus::Scheduled,
            created_height: height,
            updated_height: height,
            deadline_epoch_id: epoch_id.saturating_add(u64::from(params.storage_truth_heal_deadline_epochs)),
            ..HealOp::default()
        };
        let event = Event::audit("storage_truth_heal_op_scheduled")
            .with("epoch_id", epoch_id)
            .with("heal_op_id", operation.heal_op_id)
            .with("ticket_id", ticket_id)
            .with("healer_supernode_account", healer)
            .with("deadline_epoch_id", operation.deadline_epoch_id);
        self.audit.tickets.update(ticket_id, |ticket| ticket.active_heal_op_id = operation.heal_op_id);
        self.audit.heal_ops.insert(operation);
        self.emit(event);
        true
    }

    /// The next id; a missing counter is recovered from the largest id (chain 7).
    fn take_heal_op_id(&mut self) -> u64 {
        let id = match self.audit.next_heal_op_id {
            0 => self.audit.heal_ops.last_id().saturating_add(1),
            id => id,
        };
        self.audit.next_heal_op_id = id.saturating_add(1);
        id
    }
}

fn has_failed_enough(ticket: &TicketDeterioration) -> bool {
    ticket.distinct_holder_failure_count >= 2
        || ticket.last_index_failure_epoch > 0
        || ticket.recent_failure_epoch_count >= 2
}
