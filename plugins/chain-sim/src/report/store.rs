//! What an accepted report writes, in the chain's order (chain 4.5).

use super::validate::Accepted;
use crate::address;
use crate::api::chain::{EnforcementMode, EpochReport, StorageProofResult, SupernodeState};
use crate::event::Event;
use crate::state::State;
use crate::state::supernodes::SupernodeMetricsState;
use crate::state::transcripts::Transcript;

/// What an incomplete report adds to its reporter's reliability score (chain 4.5, step 7).
const INCOMPLETE_REPORT_DELTA: i64 = 8;

pub(super) fn store(state: &mut State, accepted: Accepted) {
    let Accepted { report, params, incomplete, unanchored } = accepted;
    for ticket_id in unanchored {
        state.emit(Event::audit("storage_truth_artifact_count_unanchored").with("ticket_id", ticket_id));
    }
    // The store indexes reporters and observers with the report, which covers steps 2 and 4.
    state.audit.reports.insert(report.clone());
    follow_disk_usage(state, &report);
    bridge_cascade_bytes(state, &report);
    for result in &report.storage_proof_results {
        index_transcript(state, &report, result);
    }
    if state.params().storage_truth_enforcement_mode != EnforcementMode::Unspecified {
        for result in &report.storage_proof_results {
            state.score_result(&report.supernode_account, result, report.epoch_id);
        }
    }
    if incomplete {
        let reporter = &report.supernode_account;
        let applied = state.apply_reporter(reporter, INCOMPLETE_REPORT_DELTA, 0, report.epoch_id, &params);
        let mut event = Event::audit("storage_truth_score_updated")
            .with("epoch_id", report.epoch_id)
            .with("reporter_supernode_account", reporter)
            .with("reason", "INCOMPLETE_REPORT");
        if let Some(score) = applied {
            event = event.with("reporter_reliability_score", score);
        }
        let band = state.trust_band_name(reporter);
        state.emit(event.with("reporter_trust_band", band));
    }
}

/// Step 1: STORAGE_FULL follows the reported disk usage.
fn follow_disk_usage(state: &mut State, report: &EpochReport) {
    let disk = report.host_report.disk_usage_percent;
    let transition = || Event::new("audit_set_report_transition");
    if disk == 0.0 {
        state.emit(transition().with("disk_usage_percent", "0").with("transition_skipped", "true"));
        return;
    }
    let Some(node) = state.supernode.supernodes.by_account(&report.supernode_account) else { return };
    if node.states.is_empty() {
        state.emit(transition().with("supernode_found", "false"));
        return;
    }
    let latest = node.state();
    if matches!(
        latest,
        SupernodeState::Disabled
            | SupernodeState::Stopped
            | SupernodeState::Penalized
            | SupernodeState::Postponed
    ) {
        return;
    }
    let is_full = disk > state.max_disk_usage_percent();
    if is_full && latest != SupernodeState::StorageFull {
        state.emit(transition().with("to_state", "storage_full"));
        state.mark_storage_full(&report.supernode_account);
    } else if !is_full && latest == SupernodeState::StorageFull {
        state.emit(transition().with("to_state", "active"));
        let height = state.height;
        state.supernode.supernodes.append_state(
            &report.supernode_account,
            SupernodeState::Active,
            height,
            "",
        );
    }
}

/// Step 3: the reported cascade bytes become the supernode module's.
fn bridge_cascade_bytes(state: &mut State, report: &EpochReport) {
    let node = state.supernode.supernodes.by_account(&report.supernode_account);
    let operator = node.map(|node| node.validator_address.clone()).unwrap_or_default();
    let skipped = if operator.is_empty() {
        Some("empty_validator_address")
    } else if address::decode(address::OPERATOR_PREFIX, &operator).is_none() {
        Some("invalid_validator_address")
    } else {
        None
    };
    if let Some(reason) = skipped {
        let event = Event::audit("audit_cascade_bytes_bridge_skipped")
            .with("supernode_account", &report.supernode_account)
            .with("reason", reason);
        state.emit(event);
        return;
    }
    let height = state.height;
    let metrics = state.supernode.metrics.entry(operator.clone()).or_insert_with(|| SupernodeMetricsState {
        validator_address: operator,
        ..SupernodeMetricsState::default()
    });
    metrics.metrics.cascade_kademlia_db_bytes = report.host_report.cascade_kademlia_db_bytes;
    metrics.height = height;
    metrics.report_count += 1;
}

/// Step 5: the transcript record, in every mode.
fn index_transcript(state: &mut State, report: &EpochReport, result: &StorageProofResult) {
    if result.transcript_hash.is_empty() {
        return;
    }
    state.audit.transcripts.insert(Transcript {
        transcript_hash: result.transcript_hash.clone(),
        epoch_id: report.epoch_id,
        reporter: report.supernode_account.clone(),
        target: result.target_supernode_account.clone(),
        ticket_id: result.ticket_id.clone(),
        result_class: result.result_class,
        bucket: result.bucket_type,
        artifact_class: result.artifact_class,
        artifact_key: result.artifact_key.clone(),
        artifact_ordinal: result.artifact_ordinal,
        artifact_count: result.artifact_count,
        derivation_input_hash: result.derivation_input_hash.clone(),
        challenger_signature: result.challenger_signature.clone(),
        observer_attestation_signatures: result.observer_attestation_signatures.clone(),
        recheck_eligible: result.result_class.is_recheck_eligible(),
        ..Transcript::default()
    });
}
