//! The audit module's parameters as the wire has them (wire 2.6).

use lampkeeper_plugin_sdk::api::chain::Params;
use lampkeeper_proto::lumera::audit::v1 as audit;

pub(crate) fn params(params: Params) -> audit::Params {
    audit::Params {
        epoch_length_blocks: params.epoch_length_blocks,
        epoch_zero_height: params.epoch_zero_height,
        peer_quorum_reports: params.peer_quorum_reports,
        min_probe_targets_per_epoch: params.min_probe_targets_per_epoch,
        max_probe_targets_per_epoch: params.max_probe_targets_per_epoch,
        required_open_ports: params.required_open_ports,
        min_cpu_free_percent: params.min_cpu_free_percent,
        min_mem_free_percent: params.min_mem_free_percent,
        min_disk_free_percent: params.min_disk_free_percent,
        consecutive_epochs_to_postpone: params.consecutive_epochs_to_postpone,
        keep_last_epoch_entries: params.keep_last_epoch_entries,
        peer_port_postpone_threshold_percent: params.peer_port_postpone_threshold_percent,
        action_finalization_signature_failure_evidences_per_epoch: params
            .action_finalization_signature_failure_evidences_per_epoch,
        action_finalization_signature_failure_consecutive_epochs: params
            .action_finalization_signature_failure_consecutive_epochs,
        action_finalization_not_in_top10_evidences_per_epoch: params
            .action_finalization_not_in_top10_evidences_per_epoch,
        action_finalization_not_in_top10_consecutive_epochs: params
            .action_finalization_not_in_top10_consecutive_epochs,
        action_finalization_recovery_epochs: params.action_finalization_recovery_epochs,
        action_finalization_recovery_max_total_bad_evidences: params
            .action_finalization_recovery_max_total_bad_evidences,
        sc_enabled: params.sc_enabled,
        sc_challengers_per_epoch: params.sc_challengers_per_epoch,
        storage_truth_recent_bucket_max_blocks: params.storage_truth_recent_bucket_max_blocks,
        storage_truth_old_bucket_min_blocks: params.storage_truth_old_bucket_min_blocks,
        storage_truth_challenge_target_divisor: params.storage_truth_challenge_target_divisor,
        storage_truth_compound_ranges_per_artifact: params.storage_truth_compound_ranges_per_artifact,
        storage_truth_compound_range_len_bytes: params.storage_truth_compound_range_len_bytes,
        storage_truth_max_self_heal_ops_per_epoch: params.storage_truth_max_self_heal_ops_per_epoch,
        storage_truth_probation_epochs: params.storage_truth_probation_epochs,
        storage_truth_node_suspicion_decay_per_epoch: params.storage_truth_node_suspicion_decay_per_epoch,
        storage_truth_reporter_reliability_decay_per_epoch: params
            .storage_truth_reporter_reliability_decay_per_epoch,
        storage_truth_ticket_deterioration_decay_per_epoch: params
            .storage_truth_ticket_deterioration_decay_per_epoch,
        storage_truth_node_suspicion_threshold_watch: params.storage_truth_node_suspicion_threshold_watch,
        storage_truth_node_suspicion_threshold_probation: params
            .storage_truth_node_suspicion_threshold_probation,
        storage_truth_node_suspicion_threshold_postpone: params
            .storage_truth_node_suspicion_threshold_postpone,
        storage_truth_reporter_reliability_low_trust_threshold: params
            .storage_truth_reporter_reliability_low_trust_threshold,
        storage_truth_reporter_reliability_ineligible_threshold: params
            .storage_truth_reporter_reliability_ineligible_threshold,
        storage_truth_ticket_deterioration_heal_threshold: params
            .storage_truth_ticket_deterioration_heal_threshold,
        storage_truth_reporter_reliability_degraded_threshold: params
            .storage_truth_reporter_reliability_degraded_threshold,
        storage_truth_pattern_escalation_window: params.storage_truth_pattern_escalation_window,
        storage_truth_divergence_window_epochs: params.storage_truth_divergence_window_epochs,
        storage_truth_reporter_min_reports_for_divergence: params
            .storage_truth_reporter_min_reports_for_divergence,
        storage_truth_node_suspicion_threshold_strong_postpone: params
            .storage_truth_node_suspicion_threshold_strong_postpone,
        storage_truth_recovery_clean_pass_count: params.storage_truth_recovery_clean_pass_count,
        storage_truth_class_a_fault_window: params.storage_truth_class_a_fault_window,
        storage_truth_class_b_fault_window: params.storage_truth_class_b_fault_window,
        storage_truth_heal_deadline_epochs: params.storage_truth_heal_deadline_epochs,
        storage_truth_old_class_a_fault_window: params.storage_truth_old_class_a_fault_window,
        storage_truth_contradiction_window_epochs: params.storage_truth_contradiction_window_epochs,
        storage_truth_reporter_ineligible_duration_epochs: params
            .storage_truth_reporter_ineligible_duration_epochs,
        storage_truth_strong_recovery_clean_pass_count: params.storage_truth_strong_recovery_clean_pass_count,
        storage_truth_heal_verifier_count: params.storage_truth_heal_verifier_count,
        storage_truth_enforcement_mode: params.storage_truth_enforcement_mode.number(),
    }
}
