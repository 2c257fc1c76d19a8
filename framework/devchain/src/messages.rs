//! The messages of the wire as the state machine's (wire 2.6 to 2.8), and its answers as the wire's.

use crate::codes;
use lampkeeper_chain_sim::Message;
use lampkeeper_chain_sim::message::{
    EpochReport, Evidence, FinalizeAction, ProofEnum, RegisterSupernode, RequestAction, Response,
    UnnamedEnum, UpdateSupernode,
};
use lampkeeper_chain_sim::refusal::Refusal;
use lampkeeper_chain_sim::state::evidence::EvidenceType;
use lampkeeper_chain_sim::state::supernodes::{PortStatus, SupernodeMetrics};
use lampkeeper_plugin_sdk::api::chain::{
    HealClaimMessage, HealVerificationMessage, HostReport, PortState, RecheckEvidenceMessage,
    StorageChallengeObservation, StorageProofResult,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};
use lampkeeper_proto::lumera::action::v1 as action;
use lampkeeper_proto::lumera::audit::v1 as audit;
use lampkeeper_proto::lumera::supernode::v1 as supernode;
use prost::{Message as _, Name};
use prost_types::Any;

/// A message and who has to sign it.
pub(crate) fn read(any: &Any) -> Result<(String, Message), Refusal> {
    let readers = [audit_message, action_message, supernode_message];
    for reader in readers {
        if let Some(read) = reader(any) {
            return read.map_err(|error| codes::TX_DECODE.because(error.to_string()));
        }
    }
    Err(codes::UNKNOWN_REQUEST.because(format!("no module executes {}", any.type_url)))
}

type Read = Option<Result<(String, Message), prost::DecodeError>>;

/// The message if it is of this type.
fn of_type<M: prost::Message + Name + Default>(
    any: &Any,
    convert: impl FnOnce(M) -> (String, Message),
) -> Read {
    (any.type_url == M::type_url()).then(|| M::decode(any.value.as_slice()).map(convert))
}

fn audit_message(any: &Any) -> Read {
    None.or_else(|| of_type(any, epoch_report))
        .or_else(|| {
            of_type(any, |message: audit::MsgSubmitEvidence| {
                let evidence = Evidence {
                    subject_address: message.subject_address,
                    evidence_type: evidence_type(message.evidence_type),
                    action_id: message.action_id,
                    metadata: message.metadata,
                };
                (message.creator, Message::Evidence(evidence))
            })
        })
        .or_else(|| of_type(any, recheck_evidence))
        .or_else(|| {
            of_type(any, |message: audit::MsgClaimHealComplete| {
                let claim = HealClaimMessage {
                    heal_op_id: message.heal_op_id,
                    ticket_id: message.ticket_id,
                    heal_manifest_hash: message.heal_manifest_hash,
                    details: message.details,
                };
                (message.creator, Message::HealClaim(claim))
            })
        })
        .or_else(|| {
            of_type(any, |message: audit::MsgSubmitHealVerification| {
                let vote = HealVerificationMessage {
                    heal_op_id: message.heal_op_id,
                    verified: message.verified,
                    verification_hash: message.verification_hash,
                    details: message.details,
                };
                (message.creator, Message::HealVerification(vote))
            })
        })
}

fn recheck_evidence(message: audit::MsgSubmitStorageRecheckEvidence) -> (String, Message) {
    let evidence = RecheckEvidenceMessage {
        epoch_id: message.epoch_id,
        challenged_supernode_account: message.challenged_supernode_account,
        ticket_id: message.ticket_id,
        challenged_result_transcript_hash: message.challenged_result_transcript_hash,
        recheck_transcript_hash: message.recheck_transcript_hash,
        recheck_result_class: ResultClass::from_number(message.recheck_result_class).unwrap_or_default(),
        details: message.details,
    };
    (message.creator, Message::RecheckEvidence(evidence))
}

fn epoch_report(message: audit::MsgSubmitEpochReport) -> (String, Message) {
    let mut unnamed_enums = Vec::new();
    for (row, result) in message.storage_proof_results.iter().enumerate() {
        let mut note = |is_named: bool, field| {
            if !is_named {
                unnamed_enums.push(UnnamedEnum { row, field });
            }
        };
        note(Bucket::from_number(result.bucket_type).is_some(), ProofEnum::BucketType);
        note(ArtifactClass::from_number(result.artifact_class).is_some(), ProofEnum::ArtifactClass);
        note(ResultClass::from_number(result.result_class).is_some(), ProofEnum::ResultClass);
    }
    let observation = |observation: audit::StorageChallengeObservation| {
        Some(StorageChallengeObservation {
            target_supernode_account: observation.target_supernode_account,
            port_states: port_states(&observation.port_states),
        })
    };
    let report = EpochReport {
        epoch_id: message.epoch_id,
        host_report: host_report(message.host_report.unwrap_or_default()),
        storage_challenge_observations: message
            .storage_challenge_observations
            .into_iter()
            .map(observation)
            .collect(),
        storage_proof_results: message
            .storage_proof_results
            .into_iter()
            .map(|row| Some(proof_result(row)))
            .collect(),
        unnamed_enums,
    };
    (message.creator, Message::EpochReport(report))
}

fn port_state(number: i32) -> PortState {
    match number {
        1 => PortState::Open,
        2 => PortState::Closed,
        _ => PortState::Unknown,
    }
}

fn port_states(numbers: &[i32]) -> Vec<PortState> {
    numbers.iter().map(|number| port_state(*number)).collect()
}

fn host_report(report: audit::HostReport) -> HostReport {
    HostReport {
        cpu_usage_percent: report.cpu_usage_percent,
        mem_usage_percent: report.mem_usage_percent,
        disk_usage_percent: report.disk_usage_percent,
        inbound_port_states: port_states(&report.inbound_port_states),
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

fn evidence_type(number: i32) -> EvidenceType {
    match number {
        1 => EvidenceType::ActionFinalizationSignatureFailure,
        2 => EvidenceType::ActionFinalizationNotInTop10,
        3 => EvidenceType::ActionExpired,
        4 => EvidenceType::StorageChallengeFailure,
        5 => EvidenceType::CascadeClientFailure,
        _ => EvidenceType::Unspecified,
    }
}

fn action_message(any: &Any) -> Read {
    None.or_else(|| {
        of_type(any, |message: action::MsgRequestAction| {
            let request = RequestAction {
                action_type: message.action_type,
                metadata: message.metadata,
                price: message.price,
                expiration_time: message.expiration_time,
                file_size_kbs: message.file_size_kbs,
                app_pubkey: message.app_pubkey,
            };
            (message.creator, Message::RequestAction(request))
        })
    })
    .or_else(|| {
        of_type(any, |message: action::MsgFinalizeAction| {
            let finalisation = FinalizeAction {
                action_id: message.action_id,
                action_type: message.action_type,
                metadata: message.metadata,
            };
            (message.creator, Message::FinalizeAction(finalisation))
        })
    })
    .or_else(|| {
        of_type(any, |message: action::MsgApproveAction| {
            (message.creator, Message::ApproveAction { action_id: message.action_id })
        })
    })
}

fn supernode_message(any: &Any) -> Read {
    None.or_else(|| {
        of_type(any, |message: supernode::MsgRegisterSupernode| {
            let registration = RegisterSupernode {
                validator_address: message.validator_address,
                ip_address: message.ip_address,
                supernode_account: message.supernode_account,
                p2p_port: message.p2p_port,
            };
            (message.creator, Message::RegisterSupernode(registration))
        })
    })
    .or_else(|| {
        of_type(any, |message: supernode::MsgDeregisterSupernode| {
            let validator_address = message.validator_address;
            (message.creator, Message::DeregisterSupernode { validator_address })
        })
    })
    .or_else(|| {
        of_type(any, |message: supernode::MsgStartSupernode| {
            let validator_address = message.validator_address;
            (message.creator, Message::StartSupernode { validator_address })
        })
    })
    .or_else(|| {
        of_type(any, |message: supernode::MsgStopSupernode| {
            let (validator_address, reason) = (message.validator_address, message.reason);
            (message.creator, Message::StopSupernode { validator_address, reason })
        })
    })
    .or_else(|| {
        of_type(any, |message: supernode::MsgUpdateSupernode| {
            let update = UpdateSupernode {
                validator_address: message.validator_address,
                ip_address: message.ip_address,
                note: message.note,
                supernode_account: message.supernode_account,
                p2p_port: message.p2p_port,
            };
            (message.creator, Message::UpdateSupernode(update))
        })
    })
    .or_else(|| {
        of_type(any, |message: supernode::MsgReportSupernodeMetrics| {
            let metrics = metrics(message.metrics.unwrap_or_default());
            let validator_address = message.validator_address;
            (message.supernode_account, Message::ReportMetrics { validator_address, metrics })
        })
    })
}

fn metrics(metrics: supernode::SupernodeMetrics) -> SupernodeMetrics {
    SupernodeMetrics {
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
        open_ports: metrics
            .open_ports
            .iter()
            .map(|port| PortStatus { port: port.port, state: port_state(port.state) })
            .collect(),
        cascade_kademlia_db_bytes: metrics.cascade_kademlia_db_bytes,
    }
}

/// The answer to a message as `<type>Response`. Every answer that the state machine calls empty is an empty message.
pub(crate) fn response(type_url: &str, response: &Response) -> Any {
    let value = match response {
        Response::Evidence { evidence_id } => {
            audit::MsgSubmitEvidenceResponse { evidence_id: *evidence_id }.encode_to_vec()
        }
        // The answers to a request and to an approval have the same two fields.
        Response::Action { action_id, status } => {
            let (action_id, status) = (action_id.clone(), status.clone());
            action::MsgRequestActionResponse { action_id, status }.encode_to_vec()
        }
        Response::Metrics { compliant, issues } => {
            let (compliant, issues) = (*compliant, issues.clone());
            supernode::MsgReportSupernodeMetricsResponse { compliant, issues }.encode_to_vec()
        }
        _ => Vec::new(),
    };
    Any { type_url: format!("{type_url}Response"), value }
}
