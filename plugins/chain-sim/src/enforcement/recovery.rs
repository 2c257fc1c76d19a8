//! How a postponed node comes back (chain 6.6).

use super::ordinary::meets_minimums;
use crate::api::EpochId;
use crate::api::chain::{Params, PortState, SupernodeState};
use crate::event::Event;
use crate::state::evidence::EvidenceType;
use crate::state::facts::window;
use crate::state::{State, StorageTruthMarker};

impl State {
    pub(super) fn try_recovery(&mut self, account: &str, epoch_id: EpochId, params: &Params) {
        let storage_truth = self.audit.storage_truth_postponements.get(account).copied();
        let action = self.audit.action_postponements.get(account).copied();
        let recovers = match (storage_truth, action) {
            (Some(marker), _) => self.recovers_from_suspicion(account, marker, epoch_id, params),
            (None, Some(postponed_at)) => {
                self.recovers_from_evidence(account, postponed_at, epoch_id, params)
            }
            (None, None) => self.recovers_by_compliance(account, epoch_id, params),
        };
        if !recovers {
            return;
        }
        match self.recovery_target(account, epoch_id) {
            SupernodeState::StorageFull => self.mark_storage_full(account),
            _ => self.recover(account),
        }
        self.audit.storage_truth_postponements.remove(account);
        self.audit.action_postponements.remove(account);
        if storage_truth.is_some() {
            let event = Event::audit("storage_truth_recovered")
                .with("target_supernode_account", account)
                .with("epoch_id", epoch_id);
            self.emit(event);
        }
    }

    fn recovers_from_suspicion(
        &self,
        account: &str,
        marker: StorageTruthMarker,
        epoch_id: EpochId,
        params: &Params,
    ) -> bool {
        let Some(suspicion) = self.audit.suspicion.get(account) else { return true };
        let needed = if marker.strong {
            params.storage_truth_strong_recovery_clean_pass_count
        } else {
            params.storage_truth_recovery_clean_pass_count
        };
        let passes = suspicion.clean_pass_count.saturating_sub(suspicion.clean_pass_count_at_postpone);
        let failed_since_pass = suspicion.last_class_a_epoch != 0
            && suspicion.last_clean_pass_epoch <= suspicion.last_class_a_epoch;
        let watch = params.storage_truth_node_suspicion_threshold_watch;
        let watch = if watch <= 0 { 1 } else { watch };
        self.suspicion_at(account, epoch_id, params) < watch && passes >= needed && !failed_since_pass
    }

    fn recovers_from_evidence(
        &self,
        account: &str,
        postponed_at: EpochId,
        epoch_id: EpochId,
        params: &Params,
    ) -> bool {
        let epochs = params.action_finalization_recovery_epochs;
        if epoch_id < postponed_at.saturating_add(u64::from(epochs)) {
            return false;
        }
        let bad: u64 = window(epoch_id, epochs)
            .map(|epoch| {
                let count = |kind| self.audit.evidence.count(epoch, account, kind);
                count(EvidenceType::ActionFinalizationSignatureFailure)
                    + count(EvidenceType::ActionFinalizationNotInTop10)
            })
            .sum();
        bad < u64::from(params.action_finalization_recovery_max_total_bad_evidences)
    }

    fn recovers_by_compliance(&self, account: &str, epoch_id: EpochId, params: &Params) -> bool {
        let report = self.audit.reports.get(epoch_id, account);
        if !report.is_some_and(|report| meets_minimums(&report.host_report, params)) {
            return false;
        }
        let anchor = self.audit.anchors.get(&epoch_id);
        if anchor.is_some_and(|anchor| anchor.active_supernode_accounts.is_empty()) {
            // Nobody could have observed the node.
            return true;
        }
        let ports = params.required_open_ports.len();
        self.audit.reports.observers_of(epoch_id, account).any(|observer| {
            self.port_states_seen_by(observer, account, epoch_id).is_some_and(|states| {
                states.len() == ports && states.iter().all(|state| *state == PortState::Open)
            })
        })
    }

    /// ACTIVE, or STORAGE_FULL for a node that reports more disk usage than allowed.
    fn recovery_target(&self, account: &str, epoch_id: EpochId) -> SupernodeState {
        let report = self.audit.reports.get(epoch_id, account);
        let disk = report.map_or(0.0, |report| report.host_report.disk_usage_percent);
        let is_valid = (0.0..=100.0).contains(&disk);
        if is_valid && disk <= self.max_disk_usage_percent() {
            SupernodeState::Active
        } else {
            SupernodeState::StorageFull
        }
    }
}
