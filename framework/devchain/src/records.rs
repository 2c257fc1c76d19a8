//! The state machine's records as the wire has them (wire 2.6 to 2.8).

use lampkeeper_chain_sim::state::actions::{Action, AvailabilityCommitment, CascadeMetadata, ChunkProof};
use lampkeeper_chain_sim::state::bank::DENOM;
use lampkeeper_chain_sim::state::evidence::{Evidence, EvidenceType};
use lampkeeper_chain_sim::state::supernodes::{SupernodeMetrics, SupernodeMetricsState, SupernodeRecord};
use lampkeeper_plugin_sdk::api::chain::{
    EpochAnchor, EpochReport, HealOp, HostReport, NodeSuspicion, PortState, ReporterReliability,
    ReporterTrustBand, StorageProofResult, SupernodeState, TicketDeterioration, TicketState,
};
use lampkeeper_proto::cosmos::base::v1beta1::Coin;
use lampkeeper_proto::lumera::action::v1 as action_wire;
use lampkeeper_proto::lumera::audit::v1 as audit;
use lampkeeper_proto::lumera::supernode::v1 as supernode;
use prost::Message as _;

/// Coins of the chain's only kind.
pub(crate) fn coin(amount_ulume: u64) -> Coin {
    Coin { denom: DENOM.to_owned(), amount: amount_ulume.to_string() }
}

pub(crate) fn anchor(anchor: &EpochAnchor) -> audit::EpochAnchor {
    audit::EpochAnchor {
        epoch_id: anchor.epoch_id,
        epoch_start_height: anchor.epoch_start_height,
        epoch_end_height: anchor.epoch_end_height,
        epoch_length_blocks: anchor.epoch_length_blocks,
        seed: anchor.seed.to_vec(),
        active_supernode_accounts: anchor.active_supernode_accounts.clone(),
        target_supernode_accounts: anchor.target_supernode_accounts.clone(),
        params_commitment: anchor.params_commitment.to_vec(),
        active_set_commitment: anchor.active_set_commitment.to_vec(),
        targets_set_commitment: anchor.targets_set_commitment.to_vec(),
    }
}

fn port_state(state: PortState) -> i32 {
    match state {
        PortState::Unknown => 0,
        PortState::Open => 1,
        PortState::Closed => 2,
    }
}

pub(crate) fn port_states(states: &[PortState]) -> Vec<i32> {
    states.iter().map(|state| port_state(*state)).collect()
}

pub(crate) fn host_report(report: &HostReport) -> audit::HostReport {
    audit::HostReport {
        cpu_usage_percent: report.cpu_usage_percent,
        mem_usage_percent: report.mem_usage_percent,
        disk_usage_percent: report.disk_usage_percent,
        inbound_port_states: port_states(&report.inbound_port_states),
        failed_actions_count: report.failed_actions_count,
        cascade_kademlia_db_bytes: report.cascade_kademlia_db_bytes,
    }
}

fn proof_result(row: &StorageProofResult) -> audit::StorageProofResult {
    audit::StorageProofResult {
        target_supernode_account: row.target_supernode_account.clone(),
        challenger_supernode_account: row.challenger_supernode_account.clone(),
        ticket_id: row.ticket_id.clone(),
        bucket_type: row.bucket_type.number(),
        artifact_class: row.artifact_class.number(),
        artifact_ordinal: row.artifact_ordinal,
        artifact_key: row.artifact_key.clone(),
        result_class: row.result_class.number(),
        transcript_hash: row.transcript_hash.clone(),
        details: row.details.clone(),
        artifact_count: row.artifact_count,
        derivation_input_hash: row.derivation_input_hash.clone(),
        challenger_signature: row.challenger_signature.clone(),
        observer_attestation_signatures: row.observer_attestation_signatures.clone(),
    }
}

pub(crate) fn epoch_report(report: &EpochReport) -> audit::EpochReport {
    let observations = report.storage_challenge_observations.iter();
    audit::EpochReport {
        supernode_account: report.supernode_account.clone(),
        epoch_id: report.epoch_id,
        report_height: report.report_height,
        host_report: Some(host_report(&report.host_report)),
        storage_challenge_observations: observations
            .map(|observation| audit::StorageChallengeObservation {
                target_supernode_account: observation.target_supernode_account.clone(),
                port_states: port_states(&observation.port_states),
            })
            .collect(),
        storage_proof_results: report.storage_proof_results.iter().map(proof_result).collect(),
    }
}

pub(crate) fn heal_op(operation: &HealOp) -> audit::HealOp {
    audit::HealOp {
        heal_op_id: operation.heal_op_id,
        ticket_id: operation.ticket_id.clone(),
        scheduled_epoch_id: operation.scheduled_epoch_id,
        healer_supernode_account: operation.healer_supernode_account.clone(),
        verifier_supernode_accounts: operation.verifier_supernode_accounts.clone(),
        status: operation.status.number(),
        created_height: operation.created_height,
        updated_height: operation.updated_height,
        deadline_epoch_id: operation.deadline_epoch_id,
        result_hash: operation.result_hash.clone(),
        notes: operation.notes.clone(),
    }
}

pub(crate) fn suspicion(state: &NodeSuspicion) -> audit::NodeSuspicionState {
    audit::NodeSuspicionState {
        supernode_account: state.supernode_account.clone(),
        suspicion_score: state.suspicion_score,
        last_updated_epoch: state.last_updated_epoch,
        last_recent_fail_epoch: state.last_recent_fail_epoch,
        last_old_fail_epoch: state.last_old_fail_epoch,
        distinct_ticket_fail_window: state.distinct_ticket_fail_window,
        window_start_epoch: state.window_start_epoch,
        class_a_count_window: state.class_a_count_window,
        last_class_a_epoch: state.last_class_a_epoch,
        class_b_count_window: state.class_b_count_window,
        last_class_b_epoch: state.last_class_b_epoch,
        clean_pass_count: state.clean_pass_count,
        last_clean_pass_epoch: state.last_clean_pass_epoch,
        last_index_fail_epoch: state.last_index_fail_epoch,
        clean_pass_count_at_postpone: state.clean_pass_count_at_postpone,
    }
}

pub(crate) fn reliability(state: &ReporterReliability) -> audit::ReporterReliabilityState {
    audit::ReporterReliabilityState {
        reporter_supernode_account: state.reporter_supernode_account.clone(),
        reliability_score: state.reliability_score,
        last_updated_epoch: state.last_updated_epoch,
        trust_band: match state.trust_band {
            ReporterTrustBand::Unspecified => 0,
            ReporterTrustBand::Normal => 1,
            ReporterTrustBand::LowTrust => 2,
            ReporterTrustBand::ChallengerIneligible => 3,
            ReporterTrustBand::Degraded => 4,
        },
        contradiction_count: state.contradiction_count,
        ineligible_until_epoch: state.ineligible_until_epoch,
        window_positive_count: state.window_positive_count,
        window_negative_count: state.window_negative_count,
        window_start_epoch: state.window_start_epoch,
    }
}

pub(crate) fn deterioration(state: &TicketDeterioration) -> audit::TicketDeteriorationState {
    audit::TicketDeteriorationState {
        ticket_id: state.ticket_id.clone(),
        deterioration_score: state.deterioration_score,
        last_updated_epoch: state.last_updated_epoch,
        active_heal_op_id: state.active_heal_op_id,
        probation_until_epoch: state.probation_until_epoch,
        last_heal_epoch: state.last_heal_epoch,
        last_failure_epoch: state.last_failure_epoch,
        recent_failure_epoch_count: state.recent_failure_epoch_count,
        contradiction_count: state.contradiction_count,
        last_target_supernode_account: state.last_target_supernode_account.clone(),
        last_reporter_supernode_account: state.last_reporter_supernode_account.clone(),
        last_result_class: state.last_result_class.number(),
        last_result_epoch: state.last_result_epoch,
        distinct_holder_failure_count: state.distinct_holder_failure_count,
        last_index_failure_epoch: state.last_index_failure_epoch,
        recent_bucket_failure_epoch: state.recent_bucket_failure_epoch,
        old_bucket_failure_epoch: state.old_bucket_failure_epoch,
    }
}

fn evidence_type(evidence_type: EvidenceType) -> i32 {
    match evidence_type {
        EvidenceType::Unspecified => 0,
        EvidenceType::ActionFinalizationSignatureFailure => 1,
        EvidenceType::ActionFinalizationNotInTop10 => 2,
        EvidenceType::ActionExpired => 3,
        EvidenceType::StorageChallengeFailure => 4,
        EvidenceType::CascadeClientFailure => 5,
    }
}

/// Evidence with its metadata as the JSON that was submitted: the state machine keeps no other form of it.
pub(crate) fn evidence(evidence: &Evidence) -> audit::Evidence {
    audit::Evidence {
        evidence_id: evidence.evidence_id,
        subject_address: evidence.subject_address.clone(),
        reporter_address: evidence.reporter_address.clone(),
        action_id: evidence.action_id.clone(),
        evidence_type: evidence_type(evidence.evidence_type),
        metadata: evidence.metadata.clone().into_bytes(),
        reported_height: evidence.reported_height,
    }
}

fn ticket_state(state: TicketState) -> i32 {
    match state {
        TicketState::Unspecified => 0,
        TicketState::Pending => 1,
        TicketState::Processing => 2,
        TicketState::Done => 3,
        TicketState::Approved => 4,
        TicketState::Rejected => 5,
        TicketState::Failed => 6,
        TicketState::Expired => 7,
    }
}

/// The state of an action with this number; unspecified for one without a name.
pub(crate) fn ticket_state_of(number: i32) -> TicketState {
    [
        TicketState::Pending,
        TicketState::Processing,
        TicketState::Done,
        TicketState::Approved,
        TicketState::Rejected,
        TicketState::Failed,
        TicketState::Expired,
    ]
    .into_iter()
    .find(|state| ticket_state(*state) == number)
    .unwrap_or_default()
}

pub(crate) fn action(record: &Action) -> action_wire::Action {
    action_wire::Action {
        creator: record.creator.clone(),
        action_id: record.action_id.clone(),
        action_type: action_wire::ActionType::Cascade as i32,
        metadata: cascade_metadata(&record.metadata).encode_to_vec(),
        price: format!("{}{DENOM}", record.price_ulume),
        expiration_time: record.expiration_time_s,
        state: ticket_state(record.state),
        block_height: record.block_height,
        super_nodes: record.supernodes.clone(),
        file_size_kbs: record.file_size_kbs,
        app_pubkey: record.app_pubkey.clone(),
    }
}

fn cascade_metadata(metadata: &CascadeMetadata) -> action_wire::CascadeMetadata {
    action_wire::CascadeMetadata {
        data_hash: metadata.data_hash.clone(),
        file_name: metadata.file_name.clone(),
        rq_ids_ic: metadata.rq_ids_ic,
        rq_ids_max: metadata.rq_ids_max,
        rq_ids_ids: metadata.rq_ids_ids.clone(),
        signatures: metadata.signatures.clone(),
        public: metadata.public,
        availability_commitment: metadata.availability_commitment.as_ref().map(commitment),
        chunk_proofs: metadata.chunk_proofs.iter().map(chunk_proof).collect(),
        index_artifact_count: metadata.index_artifact_count,
        symbol_artifact_count: metadata.symbol_artifact_count,
    }
}

fn commitment(commitment: &AvailabilityCommitment) -> action_wire::AvailabilityCommitment {
    action_wire::AvailabilityCommitment {
        commitment_type: commitment.commitment_type.clone(),
        hash_algo: commitment.hash_algo,
        chunk_size: commitment.chunk_size,
        total_size: commitment.total_size,
        num_chunks: commitment.num_chunks,
        root: commitment.root.clone(),
        challenge_indices: commitment.challenge_indices.clone(),
    }
}

fn chunk_proof(proof: &ChunkProof) -> action_wire::ChunkProof {
    action_wire::ChunkProof {
        chunk_index: proof.chunk_index,
        leaf_hash: proof.leaf_hash.clone(),
        path_hashes: proof.path_hashes.clone(),
        path_directions: proof.path_directions.clone(),
    }
}

fn supernode_state(state: SupernodeState) -> i32 {
    match state {
        SupernodeState::Unspecified => 0,
        SupernodeState::Active => 1,
        SupernodeState::Disabled => 2,
        SupernodeState::Stopped => 3,
        SupernodeState::Penalized => 4,
        SupernodeState::Postponed => 5,
        SupernodeState::StorageFull => 6,
    }
}

pub(crate) fn supernode(record: &SupernodeRecord) -> supernode::SuperNode {
    let states = record.states.iter().map(|since| supernode::SuperNodeStateRecord {
        state: supernode_state(since.state),
        height: since.height,
        reason: since.reason.clone(),
    });
    let addresses = record
        .prev_ip_addresses
        .iter()
        .map(|since| supernode::IpAddressHistory { address: since.address.clone(), height: since.height });
    let accounts = record.prev_supernode_accounts.iter().map(|since| supernode::SupernodeAccountHistory {
        account: since.account.clone(),
        height: since.height,
    });
    supernode::SuperNode {
        validator_address: record.validator_address.clone(),
        states: states.collect(),
        prev_ip_addresses: addresses.collect(),
        note: record.note.clone(),
        supernode_account: record.supernode_account.clone(),
        p2p_port: record.p2p_port.clone(),
        prev_supernode_accounts: accounts.collect(),
        ..supernode::SuperNode::default()
    }
}

pub(crate) fn metrics_state(state: &SupernodeMetricsState) -> supernode::SupernodeMetricsState {
    supernode::SupernodeMetricsState {
        validator_address: state.validator_address.clone(),
        metrics: Some(metrics(&state.metrics)),
        report_count: state.report_count,
        height: state.height,
    }
}

fn metrics(metrics: &SupernodeMetrics) -> supernode::SupernodeMetrics {
    let ports = metrics.open_ports.iter();
    supernode::SupernodeMetrics {
        version_major: metrics.version_major,
        version_minor: metrics.version_minor,
        version_patch: metrics.version_patch,
        cpu_cores_total: metrics.cpu_cores_total,
        cpu_usage_percent: metrics.cpu_usage_percent,
        mem_total_gb: metrics.mem_total_gb,
        mem_usage_percent: metrics.mem_usage_percent,
        mem_free_gb: metrics.mem_free_gb,
        disk_total_gb: metrics.disk_total_gb,
        disk_usage_percent: metrics.disk_usage_percent,
        disk_free_gb: metrics.disk_free_gb,
        uptime_seconds: metrics.uptime_seconds,
        peers_count: metrics.peers_count,
        open_ports: ports
            .map(|port| supernode::PortStatus { port: port.port, state: port_state(port.state) })
            .collect(),
        cascade_kademlia_db_bytes: metrics.cascade_kademlia_db_bytes,
    }
}
