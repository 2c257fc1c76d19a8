//! How history changes what a result is worth (chain 5.4).

use super::Deltas;
use crate::api::chain::{Params, StorageProofResult, TicketDeterioration};
use crate::api::{Account, EpochId};
use crate::protocol::score::decay;
use crate::protocol::words::{Bucket, ResultClass};
use crate::state::State;
use crate::state::facts::window;
use std::collections::BTreeSet;

/// The least share of a failure that counts, whoever reports it, in percent.
const TRUST_PERCENT_MIN: i64 = 50;

/// A result's worth after its adjustments.
#[derive(Debug, Default)]
pub(super) struct Adjusted {
    /// The effective deltas.
    pub(super) deltas: Deltas,
    /// Whether it contradicts an earlier failure, with confirmation.
    pub(super) contradicted: bool,
    /// The reporter of that failure, if it is another one.
    pub(super) contradicted_reporter: Option<Account>,
}

pub(super) fn adjust(
    state: &State,
    reporter: &str,
    result: &StorageProofResult,
    epoch_id: EpochId,
    params: &Params,
) -> Adjusted {
    let mut deltas = Deltas::base(result.result_class, result.bucket_type, result.artifact_class);
    if result.bucket_type == Bucket::Recheck {
        return Adjusted { deltas, ..Adjusted::default() };
    }
    if result.result_class == ResultClass::HashMismatch {
        let percent = trust_percent(state, reporter, epoch_id, params);
        deltas.node = scale(deltas.node, percent);
        deltas.ticket = scale(deltas.ticket, percent);
    }
    if result.ticket_id.is_empty() {
        return Adjusted { deltas, ..Adjusted::default() };
    }
    if result.result_class.is_failure() {
        deltas.node += node_bonus(state, result, epoch_id, params);
        deltas.ticket += ticket_bonus(state.audit.tickets.get(&result.ticket_id), result, epoch_id);
    }
    let contradicted = contradicts(state, reporter, result, epoch_id, params);
    let contradicted_reporter = state
        .audit
        .tickets
        .get(&result.ticket_id)
        .filter(|_| contradicted)
        .map(|ticket| ticket.last_reporter_supernode_account.clone())
        .filter(|last| !last.is_empty() && last != reporter);
    Adjusted { deltas, contradicted, contradicted_reporter }
}

/// `trunc(delta·percent/100)`, toward zero.
pub(crate) const fn scale(delta: i64, percent: i64) -> i64 {
    delta * percent / 100
}

/// The trust multiplier (chain 5.4 a).
fn trust_percent(state: &State, reporter: &str, epoch_id: EpochId, params: &Params) -> i64 {
    let reliability = state.audit.reliability.get(reporter).map_or(0, |stored| {
        let elapsed = epoch_id.saturating_sub(stored.last_updated_epoch);
        decay(stored.reliability_score, params.storage_truth_reporter_reliability_decay_per_epoch, elapsed)
    });
    if reliability <= 0 { 100 } else { 100_i64.saturating_sub(reliability).max(TRUST_PERCENT_MIN) }
}

/// Distinct tickets and both buckets (chain 5.4 b, 1 and 2).
fn node_bonus(state: &State, result: &StorageProofResult, epoch_id: EpochId, params: &Params) -> i64 {
    let epochs = window(epoch_id, params.storage_truth_pattern_escalation_window);
    let mut tickets: BTreeSet<&str> = BTreeSet::from([result.ticket_id.as_str()]);
    let mut has_recent = result.bucket_type == Bucket::Recent;
    let mut has_old = result.bucket_type == Bucket::Old;
    for fact in state.audit.node_failures.of_node(&result.target_supernode_account, epochs) {
        tickets.insert(&fact.ticket_id);
        has_recent |= fact.bucket == Bucket::Recent;
        has_old |= fact.bucket == Bucket::Old;
    }
    let distinct = match tickets.len() {
        0 | 1 => 0,
        2 => 10,
        _ => 15,
    };
    distinct + if has_recent && has_old { 12 } else { 0 }
}

/// A ticket that fails again (chain 5.4 b, 3). It fires after passes alone, too.
fn ticket_bonus(ticket: Option<&TicketDeterioration>, result: &StorageProofResult, epoch_id: EpochId) -> i64 {
    let Some(ticket) = ticket else { return 0 };
    let last_target = &ticket.last_target_supernode_account;
    if epoch_id == ticket.last_failure_epoch || last_target.is_empty() {
        0
    } else if *last_target != result.target_supernode_account {
        10
    } else {
        6
    }
}

/// Whether a PASS refutes the ticket's last failure, confirmed by somebody independent (chain 5.4 c).
fn contradicts(
    state: &State,
    reporter: &str,
    result: &StorageProofResult,
    epoch_id: EpochId,
    params: &Params,
) -> bool {
    let (ticket_id, target) = (&result.ticket_id, &result.target_supernode_account);
    let is_refutation = result.result_class == ResultClass::Pass
        && state.audit.tickets.get(ticket_id).is_some_and(|ticket| {
            ticket.last_result_epoch <= epoch_id
                && ticket.last_target_supernode_account == *target
                && ticket.last_result_class.is_failure()
        });
    if !is_refutation {
        return false;
    }
    let epochs = window(epoch_id, params.storage_truth_contradiction_window_epochs);
    let by_reporter = state
        .audit
        .reporter_results
        .of_ticket(ticket_id, target, epochs.clone())
        .any(|fact| fact.result_class == ResultClass::Pass && fact.reporter != reporter);
    by_reporter
        || state
            .audit
            .transcripts
            .of_target(target, Bucket::Recheck, epochs)
            .any(|record| record.result_class == ResultClass::Pass && record.ticket_id == *ticket_id)
}

#[cfg(test)]
mod tests {
    use super::scale;

    #[test]
    fn scaling_cuts_toward_zero() {
        for (delta, percent, expected) in [(12, 50, 6), (-3, 50, -1), (-3, 25, 0), (12, 75, 9), (12, 100, 12)]
        {
            assert_eq!(scale(delta, percent), expected, "{delta} at {percent}");
        }
    }
}
