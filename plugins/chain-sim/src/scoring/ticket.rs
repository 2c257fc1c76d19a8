//! Deterioration of tickets (chain 5.5, "Ticket apply").

use super::adjust::Adjusted;
use crate::api::EpochId;
use crate::api::chain::{Params, StorageProofResult, TicketDeterioration};
use crate::protocol::score::decay;
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use crate::state::State;

/// What a PASS by another holder takes off a ticket whose last result was a failure.
const CROSS_HOLDER_PASS_DELTA: i64 = -3;

impl State {
    /// Applies a result to its ticket; answers the new score if anything was written.
    pub(super) fn apply_ticket(
        &mut self,
        reporter: &str,
        result: &StorageProofResult,
        adjusted: &Adjusted,
        epoch_id: EpochId,
        params: &Params,
    ) -> Option<i64> {
        let stored = self.audit.tickets.get(&result.ticket_id).cloned();
        let delta = adjusted.deltas.ticket;
        if result.ticket_id.is_empty() || (stored.is_none() && delta == 0) {
            return None;
        }
        let is_new = stored.is_none();
        let mut ticket = stored.unwrap_or_else(|| TicketDeterioration {
            ticket_id: result.ticket_id.clone(),
            ..TicketDeterioration::default()
        });
        let elapsed = epoch_id.saturating_sub(ticket.last_updated_epoch);
        let factor = params.storage_truth_ticket_deterioration_decay_per_epoch;
        let mut score = decay(ticket.deterioration_score, factor, elapsed).saturating_add(delta);
        let had_other_target = !ticket.last_target_supernode_account.is_empty()
            && ticket.last_target_supernode_account != result.target_supernode_account;
        if result.result_class == ResultClass::Pass
            && had_other_target
            && ticket.last_result_class.is_failure()
        {
            score = score.saturating_add(CROSS_HOLDER_PASS_DELTA);
        }
        ticket.deterioration_score = score.max(0);
        ticket.last_updated_epoch = epoch_id;
        if result.result_class.is_failure() {
            record_failure(&mut ticket, result, is_new, had_other_target, epoch_id, params);
        }
        if adjusted.contradicted && ticket.last_target_supernode_account == result.target_supernode_account {
            ticket.contradiction_count = ticket.contradiction_count.saturating_add(1);
        }
        ticket.last_target_supernode_account.clone_from(&result.target_supernode_account);
        reporter.clone_into(&mut ticket.last_reporter_supernode_account);
        ticket.last_result_class = result.result_class;
        ticket.last_result_epoch = epoch_id;
        let score = ticket.deterioration_score;
        self.audit.tickets.insert(ticket);
        Some(score)
    }
}

fn record_failure(
    ticket: &mut TicketDeterioration,
    result: &StorageProofResult,
    is_new: bool,
    had_other_target: bool,
    epoch_id: EpochId,
    params: &Params,
) {
    if is_new || epoch_id != ticket.last_failure_epoch {
        ticket.recent_failure_epoch_count = failure_epochs(ticket, epoch_id, params);
        ticket.last_failure_epoch = epoch_id;
    }
    if had_other_target {
        ticket.distinct_holder_failure_count = ticket.distinct_holder_failure_count.saturating_add(1);
    }
    if result.artifact_class == ArtifactClass::Index {
        ticket.last_index_failure_epoch = epoch_id;
    }
    match result.bucket_type {
        Bucket::Recent => ticket.recent_bucket_failure_epoch = epoch_id,
        Bucket::Old => ticket.old_bucket_failure_epoch = epoch_id,
        Bucket::Unspecified | Bucket::Probation | Bucket::Recheck => {}
    }
}

/// How many epochs in reach had a failure, this one included.
fn failure_epochs(ticket: &TicketDeterioration, epoch_id: EpochId, params: &Params) -> u32 {
    let reach = u64::from(params.storage_truth_pattern_escalation_window).max(2);
    let is_out_of_reach = epoch_id.saturating_sub(ticket.last_failure_epoch) > reach;
    match ticket.recent_failure_epoch_count {
        0 => 1,
        _ if is_out_of_reach => 1,
        count => count.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_out_of_reach_start_a_new_count() {
        let ticket = TicketDeterioration {
            last_failure_epoch: 1,
            recent_failure_epoch_count: 2,
            ..TicketDeterioration::default()
        };
        for (epoch_id, expected) in [(10, 3), (15, 3), (16, 1), (20, 1)] {
            assert_eq!(failure_epochs(&ticket, epoch_id, &Params::default()), expected, "epoch {epoch_id}");
        }
    }
}
