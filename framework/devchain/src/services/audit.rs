//! The audit module's queries (wire 2.6, chain 9.1).

use super::{page_query, paged, status};
use crate::chain::DevChain;
use crate::params;
use crate::records;
use crate::router::Router;
use lampkeeper_chain_sim::queries::ReportFilter;
use lampkeeper_plugin_sdk::api::chain::HealOpStatus;
use lampkeeper_proto::calls::audit as calls;
use lampkeeper_proto::lumera::audit::v1 as wire;
use tonic::Status;

pub(super) fn answer(router: &mut Router) {
    epochs(router);
    reports(router);
    router.answer(calls::NODE_SUSPICION_STATE, |chain, request| {
        chain.read(|state| {
            let found = state.query_node_suspicion(&request.supernode_account).map_err(status)?;
            Ok(wire::QueryNodeSuspicionStateResponse { state: Some(records::suspicion(found)) })
        })
    });
    router.answer(calls::REPORTER_RELIABILITY_STATE, |chain, request| {
        chain.read(|state| {
            let account = &request.reporter_supernode_account;
            let found = state.query_reporter_reliability(account).map_err(status)?;
            Ok(wire::QueryReporterReliabilityStateResponse { state: Some(records::reliability(found)) })
        })
    });
    router.answer(calls::TICKET_DETERIORATION_STATE, |chain, request| {
        chain.read(|state| {
            let found = state.query_ticket_deterioration(&request.ticket_id).map_err(status)?;
            Ok(wire::QueryTicketDeteriorationStateResponse { state: Some(records::deterioration(found)) })
        })
    });
    heal_ops(router);
    evidence(router);
}

fn epochs(router: &mut Router) {
    router.answer(calls::PARAMS, |chain, _| {
        Ok(wire::QueryParamsResponse {
            params: Some(params::params(chain.read(|state| state.query_params()))),
        })
    });
    router.answer(calls::CURRENT_EPOCH, |chain, _| {
        let epoch = chain.read(|state| state.query_current_epoch());
        Ok(wire::QueryCurrentEpochResponse {
            epoch_id: epoch.epoch_id,
            epoch_start_height: epoch.epoch_start_height,
            epoch_end_height: epoch.epoch_end_height,
        })
    });
    router.answer(calls::EPOCH_ANCHOR, |chain, request| {
        chain.read(|state| {
            let found = state.query_epoch_anchor(request.epoch_id).map_err(status)?;
            Ok(wire::QueryEpochAnchorResponse { anchor: Some(records::anchor(found)) })
        })
    });
    router.answer(calls::CURRENT_EPOCH_ANCHOR, |chain, _| {
        chain.read(|state| {
            let found = state.query_current_epoch_anchor().map_err(status)?;
            Ok(wire::QueryCurrentEpochAnchorResponse { anchor: Some(records::anchor(found)) })
        })
    });
    router.answer(calls::ASSIGNED_TARGETS, |chain, request| {
        let epoch_id = request.filter_by_epoch_id.then_some(request.epoch_id);
        let account = &request.supernode_account;
        let found = chain.read(|state| state.query_assigned_targets(account, epoch_id)).map_err(status)?;
        Ok(wire::QueryAssignedTargetsResponse {
            epoch_id: found.epoch_id,
            epoch_start_height: found.epoch_start_height,
            required_open_ports: found.required_open_ports,
            target_supernode_accounts: found.target_supernode_accounts,
        })
    });
}

fn reports(router: &mut Router) {
    router.answer(calls::EPOCH_REPORT, |chain, request| {
        chain.read(|state| {
            let found = state.query_epoch_report(request.epoch_id, &request.supernode_account);
            Ok(wire::QueryEpochReportResponse { report: Some(records::epoch_report(found.map_err(status)?)) })
        })
    });
    router.answer(calls::EPOCH_REPORTS_BY_REPORTER, |chain, request| {
        let wire::QueryEpochReportsByReporterRequest {
            supernode_account,
            epoch_id,
            pagination,
            filter_by_epoch_id,
        } = request;
        let (filter, page) = (ReportFilter { epoch_id, filter_by_epoch_id }, page_query(pagination));
        let found = chain
            .read(|state| state.query_epoch_reports_by_reporter(&supernode_account, filter, page.as_ref()));
        let (reports, pagination) = paged(found.map_err(status)?, records::epoch_report);
        Ok(wire::QueryEpochReportsByReporterResponse { reports, pagination })
    });
    router.answer(calls::STORAGE_CHALLENGE_REPORTS, storage_challenge_reports);
    router.answer(calls::HOST_REPORTS, host_reports);
}

fn storage_challenge_reports(
    chain: &DevChain,
    request: wire::QueryStorageChallengeReportsRequest,
) -> Result<wire::QueryStorageChallengeReportsResponse, Status> {
    let wire::QueryStorageChallengeReportsRequest {
        supernode_account,
        epoch_id,
        pagination,
        filter_by_epoch_id,
    } = request;
    let (filter, page) = (ReportFilter { epoch_id, filter_by_epoch_id }, page_query(pagination));
    let found =
        chain.read(|state| state.query_storage_challenge_reports(&supernode_account, filter, page.as_ref()));
    let (reports, pagination) = paged(found.map_err(status)?, |record| wire::StorageChallengeReport {
        reporter_supernode_account: record.reporter_supernode_account.clone(),
        epoch_id: record.epoch_id,
        report_height: record.report_height,
        port_states: records::port_states(&record.port_states),
    });
    Ok(wire::QueryStorageChallengeReportsResponse { reports, pagination })
}

fn host_reports(
    chain: &DevChain,
    request: wire::QueryHostReportsRequest,
) -> Result<wire::QueryHostReportsResponse, Status> {
    let wire::QueryHostReportsRequest { supernode_account, epoch_id, pagination, filter_by_epoch_id } =
        request;
    let (filter, page) = (ReportFilter { epoch_id, filter_by_epoch_id }, page_query(pagination));
    let found = chain.read(|state| state.query_host_reports(&supernode_account, filter, page.as_ref()));
    let (reports, pagination) = paged(found.map_err(status)?, |record| wire::HostReportEntry {
        epoch_id: record.epoch_id,
        report_height: record.report_height,
        host_report: Some(records::host_report(&record.host_report)),
    });
    Ok(wire::QueryHostReportsResponse { reports, pagination })
}

fn heal_ops(router: &mut Router) {
    router.answer(calls::HEAL_OP, |chain, request| {
        chain.read(|state| {
            let found = state.query_heal_op(request.heal_op_id).map_err(status)?;
            Ok(wire::QueryHealOpResponse { heal_op: Some(records::heal_op(found)) })
        })
    });
    router.answer(calls::HEAL_OPS_BY_TICKET, |chain, request| {
        let page = page_query(request.pagination);
        let found = chain.read(|state| state.query_heal_ops_by_ticket(&request.ticket_id, page.as_ref()));
        let (heal_ops, pagination) = paged(found.map_err(status)?, records::heal_op);
        Ok(wire::QueryHealOpsByTicketResponse { heal_ops, pagination })
    });
    router.answer(calls::HEAL_OPS_BY_STATUS, |chain, request| {
        let page = page_query(request.pagination);
        // A status without a name is none that any operation is in.
        let wanted = HealOpStatus::from_number(request.status).unwrap_or_default();
        let found = chain.read(|state| state.query_heal_ops_by_status(wanted, page.as_ref()));
        let (heal_ops, pagination) = paged(found.map_err(status)?, records::heal_op);
        Ok(wire::QueryHealOpsByStatusResponse { heal_ops, pagination })
    });
}

fn evidence(router: &mut Router) {
    router.answer(calls::EVIDENCE_BY_ID, |chain, request| {
        chain.read(|state| {
            let found = state.query_evidence(request.evidence_id).map_err(status)?;
            Ok(wire::QueryEvidenceByIdResponse { evidence: Some(records::evidence(found)) })
        })
    });
    router.answer(calls::EVIDENCE_BY_SUBJECT, |chain, request| {
        let page = page_query(request.pagination);
        let found =
            chain.read(|state| state.query_evidence_by_subject(&request.subject_address, page.as_ref()));
        let (evidence, pagination) = paged(found.map_err(status)?, records::evidence);
        Ok(wire::QueryEvidenceBySubjectResponse { evidence, pagination })
    });
    router.answer(calls::EVIDENCE_BY_ACTION, |chain, request| {
        let page = page_query(request.pagination);
        let found = chain.read(|state| state.query_evidence_by_action(&request.action_id, page.as_ref()));
        let (evidence, pagination) = paged(found.map_err(status)?, records::evidence);
        Ok(wire::QueryEvidenceByActionResponse { evidence, pagination })
    });
}
