//! What a node submits, as the chain's messages (wire 2.6, 2.7, 4.12), and what the chain answers to it.

use lampkeeper_plugin_sdk::api::chain::{
    ChainError, ChainMessage, EpochReportMessage, FinalizeTicketMessage, HostReport, PortState,
    RequestTicketMessage, StorageProofResult,
};
use lampkeeper_proto::cosmos::base::abci::v1beta1::TxMsgData;
use lampkeeper_proto::lumera::action::v1 as action;
use lampkeeper_proto::lumera::audit::v1 as audit;
use prost::{Message, Name};
use prost_types::Any;
use serde_json::json;

/// The only type of action that this node asks for or finalises.
const CASCADE: &str = "CASCADE";

/// The message with its type, in the name of `creator`; `Unavailable` for a kind that this client does not know.
pub(crate) fn encode(creator: &str, message: ChainMessage) -> Result<Any, ChainError> {
    let creator = creator.to_owned();
    match message {
        ChainMessage::EpochReport(report) => wrap(&epoch_report(creator, report)),
        ChainMessage::RecheckEvidence(evidence) => wrap(&audit::MsgSubmitStorageRecheckEvidence {
            creator,
            epoch_id: evidence.epoch_id,
            challenged_supernode_account: evidence.challenged_supernode_account,
            ticket_id: evidence.ticket_id,
            challenged_result_transcript_hash: evidence.challenged_result_transcript_hash,
            recheck_transcript_hash: evidence.recheck_transcript_hash,
            recheck_result_class: evidence.recheck_result_class.number(),
            details: evidence.details,
        }),
        ChainMessage::HealClaim(claim) => wrap(&audit::MsgClaimHealComplete {
            creator,
            heal_op_id: claim.heal_op_id,
            ticket_id: claim.ticket_id,
            heal_manifest_hash: claim.heal_manifest_hash,
            details: claim.details,
        }),
        ChainMessage::HealVerification(vote) => wrap(&audit::MsgSubmitHealVerification {
            creator,
            heal_op_id: vote.heal_op_id,
            verified: vote.verified,
            verification_hash: vote.verification_hash,
            details: vote.details,
        }),
        ChainMessage::RequestTicket(request) => wrap(&request_action(creator, request)),
        ChainMessage::FinalizeTicket(finalisation) => wrap(&finalize_action(creator, finalisation)),
        other => {
            let reason = format!("this chain client does not know messages of kind {}", other.kind());
            Err(ChainError::Unavailable { reason })
        }
    }
}

pub(crate) fn wrap<M: Message + Name>(message: &M) -> Result<Any, ChainError> {
    Any::from_msg(message).map_err(|error| ChainError::InvalidRequest {
        reason: format!("encoding {} failed: {error}", M::full_name()),
    })
}

fn port_states(states: Vec<PortState>) -> Vec<i32> {
    let number = |state| match state {
        PortState::Unknown => 0,
        PortState::Open => 1,
        PortState::Closed => 2,
    };
    states.into_iter().map(number).collect()
}

fn host_report(report: HostReport) -> audit::HostReport {
    audit::HostReport {
        cpu_usage_percent: report.cpu_usage_percent,
        mem_usage_percent: report.mem_usage_percent,
        disk_usage_percent: report.disk_usage_percent,
        inbound_port_states: port_states(report.inbound_port_states),
        failed_actions_count: report.failed_actions_count,
        cascade_kademlia_db_bytes: report.cascade_kademlia_db_bytes,
    }
}

fn proof_result(row: StorageProofResult) -> audit::StorageProofResult {
    audit::StorageProofResult {
        target_supernode_account: row.target_supernode_account,
        challenger_supernode_account: row.challenger_supernode_account,
        ticket_id: row.ticket_id,
        bucket_type: row.bucket_type.number(),
        artifact_class: row.artifact_class.number(),
        artifact_ordinal: row.artifact_ordinal,
        artifact_key: row.artifact_key,
        result_class: row.result_class.number(),
        transcript_hash: row.transcript_hash,
        details: row.details,
        artifact_count: row.artifact_count,
        derivation_input_hash: row.derivation_input_hash,
        challenger_signature: row.challenger_signature,
        observer_attestation_signatures: row.observer_attestation_signatures,
    }
}

fn epoch_report(creator: String, report: EpochReportMessage) -> audit::MsgSubmitEpochReport {
    let observations = report.storage_challenge_observations.into_iter();
    audit::MsgSubmitEpochReport {
        creator,
        epoch_id: report.epoch_id,
        host_report: Some(host_report(report.host_report)),
        storage_challenge_observations: observations
            .map(|observation| audit::StorageChallengeObservation {
                target_supernode_account: observation.target_supernode_account,
                port_states: port_states(observation.port_states),
            })
            .collect(),
        storage_proof_results: report.storage_proof_results.into_iter().map(proof_result).collect(),
    }
}

/// The metadata is JSON with numbers as numbers and no field that is not needed: the chain decodes it strictly (chain
/// Appendix C).
fn request_action(creator: String, request: RequestTicketMessage) -> action::MsgRequestAction {
    let metadata = json!({
        "data_hash": request.data_hash,
        "file_name": request.file_name,
        "rq_ids_ic": request.rq_ids_ic,
        "signatures": request.signatures,
        "public": request.public,
    });
    action::MsgRequestAction {
        creator,
        action_type: CASCADE.to_owned(),
        metadata: metadata.to_string(),
        price: request.price,
        expiration_time: request.expiration_time_s.to_string(),
        file_size_kbs: request.file_size_kbs.to_string(),
        app_pubkey: Vec::new(),
    }
}

fn finalize_action(creator: String, finalisation: FinalizeTicketMessage) -> action::MsgFinalizeAction {
    action::MsgFinalizeAction {
        creator,
        action_id: finalisation.ticket_id,
        action_type: CASCADE.to_owned(),
        metadata: json!({ "rq_ids_ids": finalisation.rq_ids_ids }).to_string(),
    }
}

/// The id in the answer to a message, from the hexadecimal data of its transaction; empty if the answer has none.
pub(crate) fn response_id(data_hex: &str) -> String {
    let data = hex::decode(data_hex).ok().and_then(|bytes| TxMsgData::decode(bytes.as_slice()).ok());
    let first = data.and_then(|data| data.msg_responses.into_iter().next());
    let response = first.and_then(|any| any.to_msg::<action::MsgRequestActionResponse>().ok());
    response.map(|response| response.action_id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::{HealClaimMessage, StorageChallengeObservation};
    use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

    #[test]
    fn a_claim_has_the_bytes_that_its_fields_say() {
        let claim = HealClaimMessage {
            heal_op_id: 7,
            ticket_id: "12".to_owned(),
            heal_manifest_hash: "aGFzaA==".to_owned(),
            details: String::new(),
        };
        let any = encode("lumera1x", ChainMessage::HealClaim(claim)).unwrap();
        assert_eq!(any.type_url, "/lumera.audit.v1.MsgClaimHealComplete");
        // Written by hand from the field numbers: 1 creator, 2 heal_op_id, 3 ticket_id, 4 heal_manifest_hash.
        assert_eq!(
            hex::encode(&any.value),
            "0a086c756d65726131781007".to_owned() + "1a023132" + "22086147467a61413d3d"
        );
    }

    #[test]
    fn a_report_keeps_every_field_of_its_rows() {
        let row = StorageProofResult {
            target_supernode_account: "target".to_owned(),
            challenger_supernode_account: "challenger".to_owned(),
            ticket_id: "1".to_owned(),
            bucket_type: Bucket::Old,
            artifact_class: ArtifactClass::Symbol,
            artifact_ordinal: 2,
            artifact_key: "key".to_owned(),
            result_class: ResultClass::HashMismatch,
            transcript_hash: "t".to_owned(),
            details: "d".to_owned(),
            artifact_count: 50,
            derivation_input_hash: "i".to_owned(),
            challenger_signature: "s".to_owned(),
            observer_attestation_signatures: vec!["o".to_owned()],
        };
        let observation = StorageChallengeObservation {
            target_supernode_account: "target".to_owned(),
            port_states: vec![PortState::Open, PortState::Closed, PortState::Unknown],
        };
        let report = EpochReportMessage {
            epoch_id: 3,
            host_report: HostReport { cpu_usage_percent: 12.5, ..HostReport::default() },
            storage_challenge_observations: vec![observation.clone()],
            storage_proof_results: vec![row.clone()],
        };
        let any = encode("creator", ChainMessage::EpochReport(report.clone())).unwrap();
        let sent: audit::MsgSubmitEpochReport = any.to_msg().unwrap();
        let stored = super::super::epoch_report(audit::EpochReport {
            supernode_account: sent.creator,
            epoch_id: sent.epoch_id,
            report_height: 5,
            host_report: sent.host_report,
            storage_challenge_observations: sent.storage_challenge_observations,
            storage_proof_results: sent.storage_proof_results,
        });
        assert_eq!(stored.host_report, report.host_report);
        assert_eq!(stored.storage_challenge_observations, vec![observation]);
        assert_eq!(stored.storage_proof_results, vec![row]);
    }

    #[test]
    fn the_metadata_of_tickets_is_strict_json() {
        let request = RequestTicketMessage {
            data_hash: "h".to_owned(),
            file_name: "a \"b\"".to_owned(),
            rq_ids_ic: u64::MAX,
            signatures: "s.t".to_owned(),
            public: true,
            file_size_kbs: 9,
            price: "10010ulume".to_owned(),
            expiration_time_s: 5,
        };
        let any = encode("c", ChainMessage::RequestTicket(request)).unwrap();
        let sent: action::MsgRequestAction = any.to_msg().unwrap();
        assert_eq!(
            sent.metadata,
            "{\"data_hash\":\"h\",\"file_name\":\"a \\\"b\\\"\",\"public\":true,\
             \"rq_ids_ic\":18446744073709551615,\"signatures\":\"s.t\"}"
        );
        assert_eq!((sent.expiration_time.as_str(), sent.file_size_kbs.as_str()), ("5", "9"));
        let finalisation =
            FinalizeTicketMessage { ticket_id: "4".to_owned(), rq_ids_ids: vec!["a".to_owned()] };
        let any = encode("c", ChainMessage::FinalizeTicket(finalisation)).unwrap();
        let sent: action::MsgFinalizeAction = any.to_msg().unwrap();
        assert_eq!(sent.metadata, "{\"rq_ids_ids\":[\"a\"]}");
    }

    #[test]
    fn the_new_tickets_id_is_in_the_data_of_its_transaction() {
        let response =
            action::MsgRequestActionResponse { action_id: "17".to_owned(), status: "PENDING".to_owned() };
        let data = TxMsgData { msg_responses: vec![Any::from_msg(&response).unwrap()] };
        assert_eq!(response_id(&hex::encode_upper(data.encode_to_vec())), "17");
        for other in ["", "zz", "0a", &hex::encode(TxMsgData::default().encode_to_vec())] {
            assert_eq!(response_id(other), "", "{other}");
        }
    }
}
