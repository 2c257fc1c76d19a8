//! Validation of the audit module's parameters, and the commitment to them (chain 2, chain 1.2).
//!
//! Owns the order of the checks and their words. Defaulting is a method of the parameters; validation never defaults.

use crate::address;
use crate::api::chain::Params;
use crate::message::Response;
use crate::refusal::{Refusal, audit};
use crate::state::State;
use crate::state::bank::GOVERNANCE_MODULE;
use lampkeeper_proto::lumera::audit::v1 as wire;
use prost::Message as _;
use std::collections::BTreeSet;

/// The most epochs that any window or the retention may have.
pub const EPOCH_WINDOW_MAX: u64 = 10_000;
/// The most targets of a legacy prober.
pub const PROBE_TARGETS_MAX: u32 = 1024;
/// The most verifiers of a heal operation.
pub const HEAL_VERIFIERS_MAX: u32 = 32;

/// One check: whether it holds, and the chain's words if it does not.
type Check = (bool, String);

fn check(holds: bool, words: impl Into<String>) -> Check {
    (holds, words.into())
}

fn positive(value: impl Into<i128>, name: &str) -> Check {
    check(value.into() > 0, format!("{name} must be > 0"))
}

/// Validates parameters as they are (chain 2, "Validation order").
///
/// # Errors
/// The chain's words for the first check that fails.
pub fn validate(params: &Params) -> Result<(), String> {
    validate_with_mode(params, false)
}

/// Validates parameters whose enforcement mode may be a number without a name.
///
/// # Errors
/// The chain's words for the first check that fails.
pub fn validate_with_mode(params: &Params, has_unnamed_mode: bool) -> Result<(), String> {
    let groups = [
        epochs(params),
        retention(params),
        evidence(params),
        buckets(params),
        bands(params),
        healing(params, has_unnamed_mode),
    ];
    match groups.into_iter().flatten().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, words)) => Err(words),
    }
}

fn epochs(p: &Params) -> Vec<Check> {
    let height_max = i64::MAX as u64;
    vec![
        positive(p.epoch_length_blocks, "epoch_length_blocks"),
        positive(p.epoch_zero_height, "epoch_zero_height"),
        check(p.epoch_length_blocks <= height_max, format!("epoch_length_blocks must be <= {height_max}")),
        check(p.epoch_zero_height <= height_max, format!("epoch_zero_height must be <= {height_max}")),
        positive(p.peer_quorum_reports, "peer_quorum_reports"),
        check(
            (1..=PROBE_TARGETS_MAX).contains(&p.max_probe_targets_per_epoch),
            "max_probe_targets_per_epoch must be within 1..1024",
        ),
        check(
            p.min_probe_targets_per_epoch <= p.max_probe_targets_per_epoch,
            "min_probe_targets_per_epoch must be <= max_probe_targets_per_epoch",
        ),
        check(!p.required_open_ports.is_empty(), "required_open_ports must not be empty"),
        check(p.min_cpu_free_percent <= 100, "min_cpu_free_percent must be <= 100"),
        check(p.min_mem_free_percent <= 100, "min_mem_free_percent must be <= 100"),
        check(p.min_disk_free_percent <= 100, "min_disk_free_percent must be <= 100"),
        positive(p.consecutive_epochs_to_postpone, "consecutive_epochs_to_postpone"),
    ]
}

fn retention(p: &Params) -> Vec<Check> {
    let bounded = [
        p.storage_truth_class_a_fault_window,
        p.storage_truth_class_b_fault_window,
        p.storage_truth_old_class_a_fault_window,
        p.storage_truth_pattern_escalation_window,
        p.storage_truth_divergence_window_epochs,
        p.storage_truth_contradiction_window_epochs,
        p.storage_truth_heal_deadline_epochs,
        p.storage_truth_reporter_ineligible_duration_epochs,
    ];
    let longest = longest_lookback(p);
    vec![
        positive(p.keep_last_epoch_entries, "keep_last_epoch_entries"),
        check(p.keep_last_epoch_entries <= EPOCH_WINDOW_MAX, "keep_last_epoch_entries must be <= 10000"),
        check(
            bounded.iter().all(|window| u64::from(*window) <= EPOCH_WINDOW_MAX),
            "storage-truth epoch windows must be <= 10000",
        ),
        check(
            p.keep_last_epoch_entries >= longest,
            format!("keep_last_epoch_entries must be >= max epoch lookback windows (need >= {longest})"),
        ),
    ]
}

/// The longest window that any rule looks back over; retention may not be shorter (chain 2).
fn longest_lookback(p: &Params) -> u64 {
    let windows = [
        p.consecutive_epochs_to_postpone,
        p.action_finalization_signature_failure_consecutive_epochs,
        p.action_finalization_not_in_top10_consecutive_epochs,
        p.action_finalization_recovery_epochs,
        p.storage_truth_class_a_fault_window,
        p.storage_truth_class_b_fault_window,
        p.storage_truth_old_class_a_fault_window,
        p.storage_truth_pattern_escalation_window,
        p.storage_truth_contradiction_window_epochs,
        p.storage_truth_divergence_window_epochs,
        p.storage_truth_heal_deadline_epochs,
    ];
    windows.into_iter().max().map_or(0, u64::from)
}

fn evidence(p: &Params) -> Vec<Check> {
    vec![
        check(
            (1..=100).contains(&p.peer_port_postpone_threshold_percent),
            "peer_port_postpone_threshold_percent must be within 1..100",
        ),
        positive(
            p.action_finalization_signature_failure_evidences_per_epoch,
            "action_finalization_signature_failure_evidences_per_epoch",
        ),
        positive(
            p.action_finalization_signature_failure_consecutive_epochs,
            "action_finalization_signature_failure_consecutive_epochs",
        ),
        // The chain's words spell these two names with an underscore more than the fields have.
        positive(
            p.action_finalization_not_in_top10_evidences_per_epoch,
            "action_finalization_not_in_top_10_evidences_per_epoch",
        ),
        positive(
            p.action_finalization_not_in_top10_consecutive_epochs,
            "action_finalization_not_in_top_10_consecutive_epochs",
        ),
        positive(p.action_finalization_recovery_epochs, "action_finalization_recovery_epochs"),
        positive(
            p.action_finalization_recovery_max_total_bad_evidences,
            "action_finalization_recovery_max_total_bad_evidences",
        ),
        check(p.sc_challengers_per_epoch <= 1024, "sc_challengers_per_epoch must be 0 or <= 1024"),
    ]
}

fn buckets(p: &Params) -> Vec<Check> {
    let recent = "storage_truth_recent_bucket_max_blocks";
    let old = "storage_truth_old_bucket_min_blocks";
    vec![
        positive(p.storage_truth_recent_bucket_max_blocks, recent),
        positive(p.storage_truth_old_bucket_min_blocks, old),
        check(
            p.storage_truth_recent_bucket_max_blocks < p.storage_truth_old_bucket_min_blocks,
            format!("{recent} must be < {old}"),
        ),
        positive(p.storage_truth_challenge_target_divisor, "storage_truth_challenge_target_divisor"),
        positive(p.storage_truth_compound_ranges_per_artifact, "storage_truth_compound_ranges_per_artifact"),
        positive(p.storage_truth_compound_range_len_bytes, "storage_truth_compound_range_len_bytes"),
        positive(p.storage_truth_max_self_heal_ops_per_epoch, "storage_truth_max_self_heal_ops_per_epoch"),
        positive(p.storage_truth_probation_epochs, "storage_truth_probation_epochs"),
    ]
}

fn bands(p: &Params) -> Vec<Check> {
    let node = "storage_truth_node_suspicion_threshold";
    let reporter = "storage_truth_reporter_reliability";
    let low = p.storage_truth_reporter_reliability_low_trust_threshold;
    let degraded = p.storage_truth_reporter_reliability_degraded_threshold;
    let ineligible = p.storage_truth_reporter_reliability_ineligible_threshold;
    let watch = p.storage_truth_node_suspicion_threshold_watch;
    let probation = p.storage_truth_node_suspicion_threshold_probation;
    let postpone = p.storage_truth_node_suspicion_threshold_postpone;
    let strong = p.storage_truth_node_suspicion_threshold_strong_postpone;
    let decay = |value: i64, name: &str| {
        check(
            (1..=1000).contains(&value),
            format!("storage_truth_{name}_decay_per_epoch must be within 1..1000"),
        )
    };
    vec![
        check(watch <= probation, format!("{node}_watch must be <= {node}_probation")),
        check(probation <= postpone, format!("{node}_probation must be <= {node}_postpone")),
        check(low >= 0, format!("{reporter}_low_trust_threshold must be >= 0")),
        check(degraded >= 0, format!("{reporter}_degraded_threshold must be >= 0")),
        check(ineligible >= 0, format!("{reporter}_ineligible_threshold must be >= 0")),
        check(
            low <= degraded,
            format!("{reporter}_low_trust_threshold must be <= {reporter}_degraded_threshold"),
        ),
        check(
            degraded <= ineligible,
            format!("{reporter}_degraded_threshold must be <= {reporter}_ineligible_threshold"),
        ),
        decay(p.storage_truth_node_suspicion_decay_per_epoch, "node_suspicion"),
        decay(p.storage_truth_reporter_reliability_decay_per_epoch, "reporter_reliability"),
        decay(p.storage_truth_ticket_deterioration_decay_per_epoch, "ticket_deterioration"),
        positive(
            p.storage_truth_ticket_deterioration_heal_threshold,
            "storage_truth_ticket_deterioration_heal_threshold",
        ),
        check(postpone < strong, format!("{node}_postpone must be < {node}_strong_postpone")),
    ]
}

fn healing(p: &Params, has_unnamed_mode: bool) -> Vec<Check> {
    let ports: BTreeSet<u32> = p.required_open_ports.iter().copied().collect();
    let recovery = "storage_truth_recovery_clean_pass_count";
    let strong_recovery = "storage_truth_strong_recovery_clean_pass_count";
    vec![
        positive(p.storage_truth_old_class_a_fault_window, "storage_truth_old_class_a_fault_window"),
        check(
            p.storage_truth_old_class_a_fault_window >= p.storage_truth_class_a_fault_window,
            "storage_truth_old_class_a_fault_window must be >= storage_truth_class_a_fault_window",
        ),
        positive(p.storage_truth_pattern_escalation_window, "storage_truth_pattern_escalation_window"),
        positive(p.storage_truth_divergence_window_epochs, "storage_truth_divergence_window_epochs"),
        positive(
            p.storage_truth_reporter_min_reports_for_divergence,
            "storage_truth_reporter_min_reports_for_divergence",
        ),
        positive(
            p.storage_truth_node_suspicion_threshold_strong_postpone,
            "storage_truth_node_suspicion_threshold_strong_postpone",
        ),
        positive(p.storage_truth_recovery_clean_pass_count, recovery),
        positive(p.storage_truth_strong_recovery_clean_pass_count, strong_recovery),
        check(
            p.storage_truth_strong_recovery_clean_pass_count >= p.storage_truth_recovery_clean_pass_count,
            format!("{strong_recovery} must be >= {recovery}"),
        ),
        check(
            (1..=HEAL_VERIFIERS_MAX).contains(&p.storage_truth_heal_verifier_count),
            "storage_truth_heal_verifier_count must be within 1..32",
        ),
        positive(p.storage_truth_class_b_fault_window, "storage_truth_class_b_fault_window"),
        positive(p.storage_truth_heal_deadline_epochs, "storage_truth_heal_deadline_epochs"),
        positive(p.storage_truth_contradiction_window_epochs, "storage_truth_contradiction_window_epochs"),
        positive(
            p.storage_truth_reporter_ineligible_duration_epochs,
            "storage_truth_reporter_ineligible_duration_epochs",
        ),
        check(!has_unnamed_mode, "storage_truth_enforcement_mode is invalid"),
        check(ports.len() == p.required_open_ports.len(), "required_open_ports must be unique"),
    ]
}

impl State {
    /// `MsgUpdateParams` (chain 2).
    pub(crate) fn update_params(
        &mut self,
        params: &Params,
        has_unnamed_mode: bool,
        authority: &str,
    ) -> Result<Response, Refusal> {
        let expected = address::module_account(GOVERNANCE_MODULE);
        if authority != expected {
            let words = format!("invalid authority; expected {expected}, got {authority}");
            return Err(audit::INVALID_SIGNER.because(words));
        }
        let params = params.clone().with_defaults();
        validate_with_mode(&params, has_unnamed_mode).map_err(Refusal::unregistered)?;
        let current = self.params();
        if params.epoch_length_blocks != current.epoch_length_blocks {
            return Err(audit::INVALID_SIGNER.because("epoch_length_blocks is immutable after genesis"));
        }
        if params.epoch_zero_height != current.epoch_zero_height {
            return Err(audit::INVALID_SIGNER.because("epoch_zero_height is immutable after genesis"));
        }
        self.audit.params = params;
        Ok(Response::Empty)
    }
}

/// BLAKE3 of the protobuf encoding of the parameters with defaults applied (chain 1.2).
#[must_use]
pub fn commitment(params: &Params) -> [u8; 32] {
    blake3::hash(&encode(params.clone().with_defaults()).encode_to_vec()).into()
}

macro_rules! copy_fields {
    ($from:ident => { $($field:ident),+ $(,)? } $($changed:ident: $value:expr),*) => {
        wire::Params { $($field: $from.$field,)+ $($changed: $value,)* }
    };
}

fn encode(params: Params) -> wire::Params {
    copy_fields!(params => {
        epoch_length_blocks, epoch_zero_height, peer_quorum_reports, min_probe_targets_per_epoch,
        max_probe_targets_per_epoch, required_open_ports, min_cpu_free_percent, min_mem_free_percent,
        min_disk_free_percent, consecutive_epochs_to_postpone, keep_last_epoch_entries,
        peer_port_postpone_threshold_percent, action_finalization_signature_failure_evidences_per_epoch,
        action_finalization_signature_failure_consecutive_epochs,
        action_finalization_not_in_top10_evidences_per_epoch, action_finalization_not_in_top10_consecutive_epochs,
        action_finalization_recovery_epochs, action_finalization_recovery_max_total_bad_evidences, sc_enabled,
        sc_challengers_per_epoch, storage_truth_recent_bucket_max_blocks, storage_truth_old_bucket_min_blocks,
        storage_truth_challenge_target_divisor, storage_truth_compound_ranges_per_artifact,
        storage_truth_compound_range_len_bytes, storage_truth_max_self_heal_ops_per_epoch,
        storage_truth_probation_epochs, storage_truth_node_suspicion_decay_per_epoch,
        storage_truth_reporter_reliability_decay_per_epoch, storage_truth_ticket_deterioration_decay_per_epoch,
        storage_truth_node_suspicion_threshold_watch, storage_truth_node_suspicion_threshold_probation,
        storage_truth_node_suspicion_threshold_postpone, storage_truth_reporter_reliability_low_trust_threshold,
        storage_truth_reporter_reliability_ineligible_threshold, storage_truth_ticket_deterioration_heal_threshold,
        storage_truth_reporter_reliability_degraded_threshold, storage_truth_pattern_escalation_window,
        storage_truth_divergence_window_epochs, storage_truth_reporter_min_reports_for_divergence,
        storage_truth_node_suspicion_threshold_strong_postpone, storage_truth_recovery_clean_pass_count,
        storage_truth_class_a_fault_window, storage_truth_class_b_fault_window, storage_truth_heal_deadline_epochs,
        storage_truth_old_class_a_fault_window, storage_truth_contradiction_window_epochs,
        storage_truth_reporter_ineligible_duration_epochs, storage_truth_strong_recovery_clean_pass_count,
        storage_truth_heal_verifier_count,
    } storage_truth_enforcement_mode: params.storage_truth_enforcement_mode.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bounds_are_refused_with_the_chains_words() {
        assert_eq!(validate(&Params::default()), Ok(()));
        type Change = fn(&mut Params);
        let table: &[(Change, &str)] = &[
            (
                |p| p.storage_truth_strong_recovery_clean_pass_count = 0,
                "strong_recovery_clean_pass_count must be > 0",
            ),
            (
                |p| {
                    p.storage_truth_recovery_clean_pass_count = 5;
                    p.storage_truth_strong_recovery_clean_pass_count = 3;
                },
                "must be >= storage_truth_recovery_clean_pass_count",
            ),
            (
                |p| {
                    p.storage_truth_divergence_window_epochs = 30;
                    p.keep_last_epoch_entries = 7;
                },
                "keep_last_epoch_entries must be >= max epoch lookback windows (need >= 30)",
            ),
            (
                |p| {
                    p.storage_truth_node_suspicion_threshold_postpone = 100;
                    p.storage_truth_node_suspicion_threshold_strong_postpone = 100;
                },
                "postpone must be < storage_truth_node_suspicion_threshold_strong_postpone",
            ),
            (|p| p.max_probe_targets_per_epoch = 0, "max_probe_targets_per_epoch must be within"),
            (|p| p.max_probe_targets_per_epoch = 1025, "max_probe_targets_per_epoch must be within"),
            (|p| p.storage_truth_heal_verifier_count = 33, "heal_verifier_count must be within 1..32"),
            (|p| p.required_open_ports = vec![1, 1], "required_open_ports must be unique"),
            (|p| p.epoch_length_blocks = u64::MAX, "epoch_length_blocks must be <= 9223372036854775807"),
        ];
        for (change, phrase) in table {
            let mut params = Params::default();
            change(&mut params);
            let words = validate(&params).expect_err(phrase);
            assert!(words.contains(phrase), "{words:?} does not contain {phrase:?}");
        }
    }

    #[test]
    fn the_first_failing_check_wins() {
        let words = validate(&Params::zeroed()).expect_err("zeros");
        assert_eq!(words, "epoch_length_blocks must be > 0");
    }
}
