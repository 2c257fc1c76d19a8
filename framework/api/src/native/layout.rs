//! A digest of the layout of everything that crosses a border.
//!
//! Owns the list of types, with the fields of those whose fields are public. A test compares it with the sources. The
//! meaning of what lies at an offset is covered by the digest of the sources, not by this one: it finds compilers and
//! flags that lay the same source out in another way.

use std::mem::{align_of, offset_of, size_of};

macro_rules! layout {
    ($($type:ty { $($field:ident),* };)+) => {
        const NUMBERS: &[u64] = &[
            $(size_of::<$type>() as u64, align_of::<$type>() as u64, $(offset_of!($type, $field) as u64,)*)+
        ];
    };
}

layout! {
    crate::cancel::Cancel {};
    crate::cancel::Cancelled {};
    crate::chain::PageRequest { key, limit };
    crate::chain::Page<crate::TicketId> { items, next_key };
    crate::chain::ChainStatus { chain_id, latest_height, latest_block_time_ms };
    crate::chain::EpochInfo { epoch_id, epoch_start_height, epoch_end_height };
    crate::chain::AssignedTargets {
        epoch_id, epoch_start_height, required_open_ports, target_supernode_accounts
    };
    crate::chain::ChainError {};
    crate::chain::Rejection { reason, codespace, code, message };
    crate::chain::ChainMessage {};
    crate::chain::EpochReportMessage {
        epoch_id, host_report, storage_challenge_observations, storage_proof_results
    };
    crate::chain::RecheckEvidenceMessage {
        epoch_id, challenged_supernode_account, ticket_id, challenged_result_transcript_hash,
        recheck_transcript_hash, recheck_result_class, details
    };
    crate::chain::HealClaimMessage { heal_op_id, ticket_id, heal_manifest_hash, details };
    crate::chain::HealVerificationMessage { heal_op_id, verified, verification_hash, details };
    crate::chain::RequestTicketMessage {
        data_hash, file_name, rq_ids_ic, signatures, public, file_size_kbs, price, expiration_time_s
    };
    crate::chain::FinalizeTicketMessage { ticket_id, rq_ids_ids };
    crate::chain::TxReceipt { tx_hash, height, response_id };
    crate::chain::EnforcementMode {};
    crate::chain::EpochAnchor {
        epoch_id, epoch_start_height, epoch_end_height, epoch_length_blocks, seed,
        active_supernode_accounts, target_supernode_accounts, params_commitment,
        active_set_commitment, targets_set_commitment
    };
    crate::chain::PortState {};
    crate::chain::HostReport {
        cpu_usage_percent, mem_usage_percent, disk_usage_percent, inbound_port_states,
        failed_actions_count, cascade_kademlia_db_bytes
    };
    crate::chain::StorageChallengeObservation { target_supernode_account, port_states };
    crate::chain::StorageProofResult {
        target_supernode_account, challenger_supernode_account, ticket_id, bucket_type,
        artifact_class, artifact_ordinal, artifact_key, result_class, transcript_hash, details,
        artifact_count, derivation_input_hash, challenger_signature, observer_attestation_signatures
    };
    crate::chain::EpochReport {
        supernode_account, epoch_id, report_height, host_report, storage_challenge_observations,
        storage_proof_results
    };
    crate::chain::HealOpStatus {};
    crate::chain::HealOp {
        heal_op_id, ticket_id, scheduled_epoch_id, healer_supernode_account,
        verifier_supernode_accounts, status, created_height, updated_height, deadline_epoch_id,
        result_hash, notes
    };
    crate::chain::TicketState {};
    crate::chain::Ticket {
        ticket_id, creator, state, block_height, supernode_accounts, file_size_kbs, price,
        expiration_time_s, data_hash, file_name, rq_ids_ic, rq_ids_max, rq_ids_ids, signatures,
        public, index_artifact_count, symbol_artifact_count, app_pubkey
    };
    crate::chain::SupernodeState {};
    crate::chain::Supernode {
        supernode_account, validator_address, latest_address, p2p_port, state, state_reason,
        state_height, states
    };
    crate::chain::SupernodeStateSince { state, height };
    crate::chain::AccountInfo { address, public_key, public_key_type_url, account_number, sequence };
    crate::chain::NodeSuspicion {
        supernode_account, suspicion_score, last_updated_epoch, last_recent_fail_epoch,
        last_old_fail_epoch, distinct_ticket_fail_window, window_start_epoch, class_a_count_window,
        last_class_a_epoch, class_b_count_window, last_class_b_epoch, clean_pass_count,
        last_clean_pass_epoch, last_index_fail_epoch, clean_pass_count_at_postpone
    };
    crate::chain::ReporterTrustBand {};
    crate::chain::ReporterReliability {
        reporter_supernode_account, reliability_score, last_updated_epoch, trust_band,
        contradiction_count, ineligible_until_epoch, window_positive_count, window_negative_count,
        window_start_epoch
    };
    crate::chain::TicketDeterioration {
        ticket_id, deterioration_score, last_updated_epoch, active_heal_op_id,
        probation_until_epoch, last_heal_epoch, last_failure_epoch, recent_failure_epoch_count,
        contradiction_count, last_target_supernode_account, last_reporter_supernode_account,
        last_result_class, last_result_epoch, distinct_holder_failure_count,
        last_index_failure_epoch, recent_bucket_failure_epoch, old_bucket_failure_epoch
    };
    crate::challenge::RepeatedArtifact { class, ordinal, artifact_key };
    crate::challenge::ChallengeRequest { epoch_id, target_account, ticket_id, bucket, repeated };
    crate::challenge::Observation {};
    crate::challenge::ChallengeOutcome {};
    crate::challenge::ChallengeError {};
    crate::heal::HealJob { heal_op, ticket, cancel };
    crate::heal::HealCost {
        artifact_count, missing_artifact_count, fetched_count, fetched_bytes, regenerated_count,
        staged_bytes, decoded, margin_symbols, compute_ms
    };
    crate::heal::Reconstruction { manifest_hash, cost };
    crate::heal::HealError {};
    crate::history::ChallengeEnd {};
    crate::history::ChallengeEntry {
        epoch_id, target_account, ticket_id, bucket, artifact_class, artifact_key, end,
        result_class, transcript_hash, details, proof, proof_bytes, attempts, duration_ms,
        ended_at_s, evidence_id
    };
    crate::history::RowState {};
    crate::history::RecordedChallenge { challenge_number, entry, row };
    crate::history::HistoryFilter { epoch_id, target_account, failed_only, limit };
    crate::history::EvidenceSummary {
        evidence_id, epoch_id, target_account, observation, is_proven, recorded_at_s, len_bytes
    };
    crate::history::KeptEvidence {
        evidence_id, epoch_id, target_account, observation, is_proven, recorded_at_s, record
    };
    crate::history::HistoryLimits { oldest_epoch_id, challenges_max, evidence_max };
    crate::journal::SubmissionStatus {};
    crate::journal::Recorded {};
    crate::journal::HealClaim { heal_op_id, ticket_id, manifest_hash, status, recorded_at_s };
    crate::journal::HealVerification {
        heal_op_id, verifier_account, verified, verification_hash, status, recorded_at_s
    };
    crate::journal::RecheckSubmission {
        epoch_id, ticket_id, target_account, challenged_transcript_hash, recheck_transcript_hash,
        result_class, status, recorded_at_s
    };
    crate::journal::RecheckFailures {
        epoch_id, ticket_id, target_account, attempts, last_error, expires_at_s
    };
    crate::journal::PendingProofRow { sequence, epoch_id, row };
    crate::journal::JournalError {};
    crate::network::Possession {};
    crate::network::Survey { key, holders };
    crate::network::Artifact { key, bytes };
    crate::network::Published { key, stored_on, failed_on };
    crate::network::NetworkError {};
    crate::plugin::Seam {};
    crate::plugin::Need { seam, optional };
    crate::plugin::PluginDescriptor { id, version, summary, provides, needs, config_schema, construct };
    crate::plugin::StaticPlugin { describe };
    crate::plugin::NodeInfo { name, account, chain_id, data_dir };
    crate::plugin::Provided {
        chain_reader, chain, store, staging, journal, transport, network, scheduler, signer,
        heal_strategy, heal_shadow, challenger, services, close
    };
    crate::plugin::PluginContext { plugin_id, node, config_json, seams, telemetry, caller_mint };
    crate::plugin::PluginError {};
    crate::scheduler::Moment {};
    crate::scheduler::TaskFailure {};
    crate::scheduler::Permit {};
    crate::service::Health {};
    crate::service::ServiceError {};
    crate::signer::SignError { account, reason };
    crate::staging::StagedArtifact { key, len_bytes, missing_on };
    crate::staging::StagingManifest {
        heal_op_id, ticket_id, manifest_hash, file_len_bytes, artifacts, strategy
    };
    crate::staging::StagingState {};
    crate::store::ByteRange { start, end };
    crate::store::PutOutcome {};
    crate::store::ProvenRanges { len_bytes, ranges, slice };
    crate::store::ArtifactEntry { key, len_bytes };
    crate::store::CheckedArtifact { key, is_intact };
    crate::store::StoreUsage { artifact_count, artifact_bytes, volume_total_bytes, volume_free_bytes };
    crate::store::StoreError {};
    crate::telemetry::Value {};
    crate::telemetry::Event { name, fields };
    crate::telemetry::Level {};
    crate::transport::Peer { account, address };
    crate::transport::Caller {};
    crate::transport::CallerMint {};
    crate::transport::StatusCode {};
    crate::transport::Status { code, message };
    crate::transport::CallError {};
    crate::transport::Handler {};
    crate::transport::Route { path, handler };
    crate::transport::Router {};
    crate::chain::Params {};
    crate::telemetry::Labels<'static> {};
    lampkeeper_protocol::artifact_key::ArtifactKey {};
    lampkeeper_protocol::words::ArtifactClass {};
    lampkeeper_protocol::words::Bucket {};
    lampkeeper_protocol::words::ResultClass {};
}

/// The digest for this image.
pub const LAYOUT_DIGEST: u64 = super::digests::joined(NUMBERS);
