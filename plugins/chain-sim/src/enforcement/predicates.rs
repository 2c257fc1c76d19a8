//! What a node must have done to be postponed by its score (chain 6.3).

use crate::api::EpochId;
use crate::api::chain::Params;
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use crate::state::State;
use crate::state::facts::{NodeFailure, window};
use std::collections::BTreeSet;

/// Failures that predicate A asks for, whatever their class.
const FAILURES_MIN: usize = 2;
/// Timeouts that predicate B asks for.
const TIMEOUTS_MIN: usize = 4;
/// Distinct tickets that predicate C and the strong band ask for.
const TICKETS_MIN: usize = 2;

fn distinct_tickets<'a>(facts: impl Iterator<Item = &'a NodeFailure>) -> usize {
    facts.map(|fact| fact.ticket_id.as_str()).collect::<BTreeSet<_>>().len()
}

impl State {
    fn failures(&self, account: &str, epoch_id: EpochId, length: u32) -> impl Iterator<Item = &NodeFailure> {
        self.audit.node_failures.of_node(account, window(epoch_id, length))
    }

    /// Band 3: predicates A, B and C.
    pub(super) fn deserves_postponement(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        self.audit.suspicion.contains_key(account)
            && (self.predicate_a(account, epoch_id, params)
                || self.predicate_b(account, epoch_id, params)
                || self.predicate_c(account, epoch_id, params))
    }

    fn predicate_a(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        let facts = || self.failures(account, epoch_id, params.storage_truth_class_a_fault_window);
        let count = facts().count();
        if count == 0 {
            return self.audit.suspicion.get(account).is_some_and(|suspicion| {
                let (class_a, class_b) = (suspicion.class_a_count_window, suspicion.class_b_count_window);
                class_a >= 1 && class_a.saturating_add(class_b) >= 2
            });
        }
        count >= FAILURES_MIN && facts().any(|fact| fact.bucket == Bucket::Recent && fact.is_class_a())
    }

    fn predicate_b(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        self.failures(account, epoch_id, params.storage_truth_class_b_fault_window)
            .filter(|fact| fact.result_class == ResultClass::TimeoutOrNoResponse)
            .count()
            >= TIMEOUTS_MIN
    }

    fn predicate_c(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        let facts = self.failures(account, epoch_id, params.storage_truth_old_class_a_fault_window);
        distinct_tickets(facts.filter(|fact| fact.bucket == Bucket::Old && fact.is_class_a())) >= TICKETS_MIN
    }

    /// Band 4, which does not consult the predicates of band 3.
    pub(super) fn deserves_strong_postponement(
        &self,
        account: &str,
        epoch_id: EpochId,
        params: &Params,
    ) -> bool {
        let Some(suspicion) = self.audit.suspicion.get(account) else { return false };
        let length = params.storage_truth_class_a_fault_window;
        let facts = || self.failures(account, epoch_id, length);
        let class_a = || facts().filter(|fact| fact.is_class_a());
        let by_tickets = if class_a().next().is_none() {
            suspicion.class_a_count_window >= 2
        } else {
            distinct_tickets(class_a()) >= TICKETS_MIN
        };
        let last_index = suspicion.last_index_fail_epoch;
        let by_index = facts().any(|fact| fact.artifact_class == ArtifactClass::Index)
            || (last_index > 0 && epoch_id.saturating_sub(last_index) < u64::from(length));
        by_tickets || by_index || self.has_failed_heal(account, epoch_id, length)
    }

    fn has_failed_heal(&self, account: &str, epoch_id: EpochId, length: u32) -> bool {
        let mut markers =
            self.audit.failed_heals.range(window(epoch_id, length)).flat_map(|(_, markers)| markers);
        markers.any(|(healer, _)| healer == account)
    }
}
