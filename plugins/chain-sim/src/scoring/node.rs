//! Suspicion of nodes (chain 5.5, "Node apply").

use crate::api::EpochId;
use crate::api::chain::{NodeSuspicion, Params, StorageProofResult};
use crate::protocol::score::decay;
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use crate::state::State;
use crate::state::facts::is_class_a;

impl State {
    /// Applies a delta to the target of a result; answers the new score if anything was written.
    pub(super) fn apply_node(
        &mut self,
        result: &StorageProofResult,
        delta: i64,
        epoch_id: EpochId,
        params: &Params,
    ) -> Option<i64> {
        let target = &result.target_supernode_account;
        let stored = self.audit.suspicion.get(target).cloned();
        if stored.is_none() && delta == 0 {
            return None;
        }
        let mut suspicion = stored.unwrap_or_else(|| NodeSuspicion {
            supernode_account: target.clone(),
            ..NodeSuspicion::default()
        });
        suspicion.suspicion_score =
            decayed_suspicion(&suspicion, epoch_id, params).saturating_add(delta).max(0);
        suspicion.last_updated_epoch = epoch_id;
        record_history(&mut suspicion, result, epoch_id, params);
        let score = suspicion.suspicion_score;
        self.audit.suspicion.insert(target.clone(), suspicion);
        Some(score)
    }

    /// The suspicion of a node decayed to an epoch; 0 without a state.
    pub(crate) fn suspicion_at(&self, account: &str, epoch_id: EpochId, params: &Params) -> i64 {
        self.audit
            .suspicion
            .get(account)
            .map_or(0, |suspicion| decayed_suspicion(suspicion, epoch_id, params))
    }
}

fn decayed_suspicion(suspicion: &NodeSuspicion, epoch_id: EpochId, params: &Params) -> i64 {
    let elapsed = epoch_id.saturating_sub(suspicion.last_updated_epoch);
    decay(suspicion.suspicion_score, params.storage_truth_node_suspicion_decay_per_epoch, elapsed)
}

fn record_history(
    suspicion: &mut NodeSuspicion,
    result: &StorageProofResult,
    epoch_id: EpochId,
    params: &Params,
) {
    if result.result_class == ResultClass::Pass {
        suspicion.clean_pass_count = suspicion.clean_pass_count.saturating_add(1);
        suspicion.last_clean_pass_epoch = epoch_id;
    }
    if !result.result_class.is_failure() {
        return;
    }
    match result.bucket_type {
        Bucket::Recent => suspicion.last_recent_fail_epoch = epoch_id,
        Bucket::Old => suspicion.last_old_fail_epoch = epoch_id,
        Bucket::Unspecified | Bucket::Probation | Bucket::Recheck => {}
    }
    if result.artifact_class == ArtifactClass::Index {
        suspicion.last_index_fail_epoch = epoch_id;
    }
    let window = u64::from(params.storage_truth_pattern_escalation_window);
    if epoch_id.saturating_sub(suspicion.window_start_epoch) >= window {
        suspicion.window_start_epoch = epoch_id;
        suspicion.distinct_ticket_fail_window = 0;
        suspicion.class_a_count_window = 0;
        suspicion.class_b_count_window = 0;
    }
    suspicion.distinct_ticket_fail_window = suspicion.distinct_ticket_fail_window.saturating_add(1);
    if is_class_a(result.result_class) {
        suspicion.class_a_count_window = suspicion.class_a_count_window.saturating_add(1);
        suspicion.last_class_a_epoch = epoch_id;
        suspicion.clean_pass_count = 0;
    } else if result.result_class == ResultClass::TimeoutOrNoResponse {
        suspicion.class_b_count_window = suspicion.class_b_count_window.saturating_add(1);
        suspicion.last_class_b_epoch = epoch_id;
    }
}
