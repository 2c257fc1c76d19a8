//! The chain's records as the seam has them (wire 2.6 to 2.8, 2.10).

use lampkeeper_plugin_sdk::api::chain::{
    AccountInfo, EpochAnchor, EpochReport, HealOp, HealOpStatus, HostReport, NodeSuspicion, PortState,
    ReporterReliability, ReporterTrustBand, StorageChallengeObservation, StorageProofResult, Supernode,
    SupernodeState, SupernodeStateSince, Ticket, TicketDeterioration, TicketState,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};
use lampkeeper_proto::cosmos::auth::v1beta1::BaseAccount;
use lampkeeper_proto::lumera::action::v1 as action;
use lampkeeper_proto::lumera::audit::v1 as audit;
use lampkeeper_proto::lumera::supernode::v1 as supernode_wire;
use prost::Message as _;

/// A hash or seed of 32 bytes.
fn digest(bytes: &[u8], name: &str) -> Result<[u8; 32], String> {
    bytes.try_into().map_err(|_| format!("the anchor's {name} has {} bytes, not 32", bytes.len()))
}

pub(crate) fn anchor(anchor: audit::EpochAnchor) -> Result<EpochAnchor, String> {
    Ok(EpochAnchor {
        epoch_id: anchor.epoch_id,
        epoch_start_height: anchor.epoch_start_height,
        epoch_end_height: anchor.epoch_end_height,
        epoch_length_blocks: anchor.epoch_length_blocks,
        seed: digest(&anchor.seed, "seed")?,
        active_supernode_accounts: anchor.active_supernode_accounts,
        target_supernode_accounts: anchor.target_supernode_accounts,
        params_commitment: digest(&anchor.params_commitment, "params_commitment")?,
        active_set_commitment: digest(&anchor.active_set_commitment, "active_set_commitment")?,
        targets_set_commitment: digest(&anchor.targets_set_commitment, "targets_set_commitment")?,
    })
}

fn port_states(states: Vec<i32>) -> Vec<PortState> {
    let state = |number| match number {
        1 => PortState::Open,
        2 => PortState::Closed,
        _ => PortState::Unknown,
    };
    states.into_iter().map(state).collect()
}

fn host_report(report: audit::HostReport) -> HostReport {
    HostReport {
        cpu_usage_percent: report.cpu_usage_percent,
        mem_usage_percent: report.mem_usage_percent,
        disk_usage_percent: report.disk_usage_percent,
        inbound_port_states: port_states(report.inbound_port_states),
        failed_actions_count: report.failed_actions_count,
        cascade_kademlia_db_bytes: report.cascade_kademlia_db_bytes,
    }
}

fn proof_result(row: audit::StorageProofResult) -> StorageProofResult {
    StorageProofResult {
        target_supernode_account: row.target_supernode_account,
        challenger_supernode_account: row.challenger_supernode_account,
        ticket_id: row.ticket_id,
        bucket_type: Bucket::from_number(row.bucket_type).unwrap_or_default(),
        artifact_class: ArtifactClass::from_number(row.artifact_class).unwrap_or_default(),
        artifact_ordinal: row.artifact_ordinal,
        artifact_key: row.artifact_key,
        result_class: ResultClass::from_number(row.result_class).unwrap_or_default(),
        transcript_hash: row.transcript_hash,
        details: row.details,
        artifact_count: row.artifact_count,
        derivation_input_hash: row.derivation_input_hash,
        challenger_signature: row.challenger_signature,
        observer_attestation_signatures: row.observer_attestation_signatures,
    }
}

pub(crate) fn epoch_report(report: audit::EpochReport) -> EpochReport {
    let observation = |observation: audit::StorageChallengeObservation| StorageChallengeObservation {
        target_supernode_account: observation.target_supernode_account,
        port_states: port_states(observation.port_states),
    };
    EpochReport {
        supernode_account: report.supernode_account,
        epoch_id: report.epoch_id,
        report_height: report.report_height,
        host_report: host_report(report.host_report.unwrap_or_default()),
        storage_challenge_observations: report
            .storage_challenge_observations
            .into_iter()
            .map(observation)
            .collect(),
        storage_proof_results: report.storage_proof_results.into_iter().map(proof_result).collect(),
    }
}

pub(crate) fn heal_op(operation: audit::HealOp) -> HealOp {
    HealOp {
        heal_op_id: operation.heal_op_id,
        ticket_id: operation.ticket_id,
        scheduled_epoch_id: operation.scheduled_epoch_id,
        healer_supernode_account: operation.healer_supernode_account,
        verifier_supernode_accounts: operation.verifier_supernode_accounts,
        status: HealOpStatus::from_number(operation.status).unwrap_or_default(),
        created_height: operation.created_height,
        updated_height: operation.updated_height,
        deadline_epoch_id: operation.deadline_epoch_id,
        result_hash: operation.result_hash,
        notes: operation.notes,
    }
}

pub(crate) fn suspicion(state: audit::NodeSuspicionState) -> NodeSuspicion {
    NodeSuspicion {
        supernode_account: state.supernode_account,
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

pub(crate) fn reliability(state: audit::ReporterReliabilityState) -> ReporterReliability {
    ReporterReliability {
        reporter_supernode_account: state.reporter_supernode_account,
        reliability_score: state.reliability_score,
        last_updated_epoch: state.last_updated_epoch,
        trust_band: match state.trust_band {
            1 => ReporterTrustBand::Normal,
            2 => ReporterTrustBand::LowTrust,
            3 => ReporterTrustBand::ChallengerIneligible,
            4 => ReporterTrustBand::Degraded,
            _ => ReporterTrustBand::Unspecified,
        },
        contradiction_count: state.contradiction_count,
        ineligible_until_epoch: state.ineligible_until_epoch,
        window_positive_count: state.window_positive_count,
        window_negative_count: state.window_negative_count,
        window_start_epoch: state.window_start_epoch,
    }
}

pub(crate) fn deterioration(state: audit::TicketDeteriorationState) -> TicketDeterioration {
    TicketDeterioration {
        ticket_id: state.ticket_id,
        deterioration_score: state.deterioration_score,
        last_updated_epoch: state.last_updated_epoch,
        active_heal_op_id: state.active_heal_op_id,
        probation_until_epoch: state.probation_until_epoch,
        last_heal_epoch: state.last_heal_epoch,
        last_failure_epoch: state.last_failure_epoch,
        recent_failure_epoch_count: state.recent_failure_epoch_count,
        contradiction_count: state.contradiction_count,
        last_target_supernode_account: state.last_target_supernode_account,
        last_reporter_supernode_account: state.last_reporter_supernode_account,
        last_result_class: ResultClass::from_number(state.last_result_class).unwrap_or_default(),
        last_result_epoch: state.last_result_epoch,
        distinct_holder_failure_count: state.distinct_holder_failure_count,
        last_index_failure_epoch: state.last_index_failure_epoch,
        recent_bucket_failure_epoch: state.recent_bucket_failure_epoch,
        old_bucket_failure_epoch: state.old_bucket_failure_epoch,
    }
}

/// Whether an action is a file; only those are tickets.
pub(crate) fn is_cascade(record: &action::Action) -> bool {
    record.action_type == action::ActionType::Cascade as i32
}

pub(crate) fn ticket(record: action::Action) -> Result<Ticket, String> {
    let metadata = action::CascadeMetadata::decode(record.metadata.as_slice())
        .map_err(|error| format!("the metadata of action {} can't be read: {error}", record.action_id))?;
    Ok(Ticket {
        ticket_id: record.action_id,
        creator: record.creator,
        state: ticket_state(record.state),
        block_height: record.block_height,
        supernode_accounts: record.super_nodes,
        file_size_kbs: record.file_size_kbs,
        price: record.price,
        expiration_time_s: record.expiration_time,
        data_hash: metadata.data_hash,
        file_name: metadata.file_name,
        rq_ids_ic: metadata.rq_ids_ic,
        rq_ids_max: metadata.rq_ids_max,
        rq_ids_ids: metadata.rq_ids_ids,
        signatures: metadata.signatures,
        public: metadata.public,
        index_artifact_count: metadata.index_artifact_count,
        symbol_artifact_count: metadata.symbol_artifact_count,
        app_pubkey: record.app_pubkey,
    })
}

fn ticket_state(number: i32) -> TicketState {
    match number {
        1 => TicketState::Pending,
        2 => TicketState::Processing,
        3 => TicketState::Done,
        4 => TicketState::Approved,
        5 => TicketState::Rejected,
        6 => TicketState::Failed,
        7 => TicketState::Expired,
        _ => TicketState::Unspecified,
    }
}

fn supernode_state(number: i32) -> SupernodeState {
    match number {
        1 => SupernodeState::Active,
        2 => SupernodeState::Disabled,
        3 => SupernodeState::Stopped,
        4 => SupernodeState::Penalized,
        5 => SupernodeState::Postponed,
        6 => SupernodeState::StorageFull,
        _ => SupernodeState::Unspecified,
    }
}

/// A supernode with its latest state and address: those with the greatest height, the first of equals (wire 2.8).
pub(crate) fn supernode(record: supernode_wire::SuperNode) -> Supernode {
    let latest_state = record.states.iter().rev().max_by_key(|state| state.height);
    let latest_address = record.prev_ip_addresses.iter().rev().max_by_key(|address| address.height);
    Supernode {
        validator_address: record.validator_address,
        latest_address: latest_address.map(|latest| latest.address.clone()).unwrap_or_default(),
        p2p_port: record.p2p_port,
        state: latest_state.map(|latest| supernode_state(latest.state)).unwrap_or_default(),
        state_reason: latest_state.map(|latest| latest.reason.clone()).unwrap_or_default(),
        state_height: latest_state.map(|latest| latest.height).unwrap_or_default(),
        states: record
            .states
            .iter()
            .map(|since| SupernodeStateSince { state: supernode_state(since.state), height: since.height })
            .collect(),
        supernode_account: record.supernode_account,
    }
}

/// What the auth module tells of an account. The key is a message of one field, whatever its type (wire 2.10).
pub(crate) fn account(info: BaseAccount) -> Result<AccountInfo, String> {
    let key = info.pub_key.unwrap_or_default();
    let public_key = lampkeeper_proto::cosmos::crypto::secp256k1::PubKey::decode(key.value.as_slice())
        .map_err(|error| format!("the key of {} can't be read: {error}", info.address))?;
    Ok(AccountInfo {
        address: info.address,
        public_key: public_key.key,
        public_key_type_url: key.type_url,
        account_number: info.account_number,
        sequence: info.sequence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_a_supernode_is_the_highest_and_the_first_of_equals() {
        let state = |state, height, reason: &str| supernode_wire::SuperNodeStateRecord {
            state,
            height,
            reason: reason.to_owned(),
        };
        let address =
            |address: &str, height| supernode_wire::IpAddressHistory { address: address.to_owned(), height };
        let node = supernode(supernode_wire::SuperNode {
            states: vec![state(1, 1, ""), state(5, 9, "first"), state(6, 9, "second"), state(1, 4, "")],
            prev_ip_addresses: vec![address("a", 7), address("b", 7), address("c", 1)],
            ..supernode_wire::SuperNode::default()
        });
        assert_eq!((node.state, node.state_reason.as_str()), (SupernodeState::Postponed, "first"));
        assert_eq!((node.state_height, node.latest_address.as_str()), (9, "a"));
        assert_eq!(node.states.len(), 4);
    }

    #[test]
    fn unknown_numbers_are_unspecified_and_short_hashes_are_refused() {
        let op = heal_op(audit::HealOp { status: 99, ..audit::HealOp::default() });
        assert_eq!(op.status, HealOpStatus::Unspecified);
        assert!(anchor(audit::EpochAnchor { seed: vec![0; 31], ..audit::EpochAnchor::default() }).is_err());
        let broken = action::Action { metadata: vec![0xff], ..action::Action::default() };
        assert!(ticket(broken).is_err());
    }
}
