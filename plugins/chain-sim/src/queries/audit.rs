//! The audit module's queries (chain 9.1).

use super::page::paginate;
use super::{PageQuery, Paged, QueryError};
use crate::address;
use crate::api::EpochId;
use crate::api::chain::{
    AssignedTargets, EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, HostReport, NodeSuspicion,
    Params, PortState, ReporterReliability, TicketDeterioration,
};
use crate::state::State;
use crate::state::evidence::Evidence;
use serde::{Deserialize, Serialize};

/// Which epoch a list of reports is restricted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportFilter {
    /// The epoch.
    pub epoch_id: EpochId,
    /// Whether `epoch_id` counts even if it is 0.
    pub filter_by_epoch_id: bool,
}

impl ReportFilter {
    /// The rule of two of the three lists: the flag, or any other epoch than 0 (chain 9.1).
    const fn lenient(self) -> Option<EpochId> {
        if self.filter_by_epoch_id || self.epoch_id != 0 { Some(self.epoch_id) } else { None }
    }
}

/// What one observer said of a node's ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservationRecord {
    /// The observer.
    pub reporter_supernode_account: String,
    /// The epoch.
    pub epoch_id: EpochId,
    /// Height of the report.
    pub report_height: i64,
    /// What it saw.
    pub port_states: Vec<PortState>,
}

/// What a node said of itself in one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostReportRecord {
    /// The epoch.
    pub epoch_id: EpochId,
    /// Height of the report.
    pub report_height: i64,
    /// What it said.
    pub host_report: HostReport,
}

fn required(value: &str, name: &str) -> Result<(), QueryError> {
    if value.is_empty() { Err(QueryError::invalid_argument(format!("{name} is required"))) } else { Ok(()) }
}

/// The number in a page key; keys of another length start at the beginning.
fn number_of(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn number_key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

impl State {
    /// `Params`: the stored parameters with defaults applied.
    #[must_use]
    pub fn query_params(&self) -> Params {
        self.params()
    }

    /// `CurrentEpoch`, from the committed height.
    #[must_use]
    pub fn query_current_epoch(&self) -> EpochInfo {
        let schedule = self.schedule();
        let epoch_id = schedule.epoch_at(self.height);
        EpochInfo {
            epoch_id,
            epoch_start_height: schedule.start_height(epoch_id),
            epoch_end_height: schedule.end_height(epoch_id),
        }
    }

    /// `EpochAnchor`.
    ///
    /// # Errors
    /// NotFound "epoch anchor not found".
    pub fn query_epoch_anchor(&self, epoch_id: EpochId) -> Result<&EpochAnchor, QueryError> {
        self.audit.anchors.get(&epoch_id).ok_or_else(|| QueryError::not_found("epoch anchor not found"))
    }

    /// `CurrentEpochAnchor`.
    ///
    /// # Errors
    /// NotFound "current epoch anchor not found".
    pub fn query_current_epoch_anchor(&self) -> Result<&EpochAnchor, QueryError> {
        let anchor = self.audit.anchors.get(&self.current_epoch());
        anchor.ok_or_else(|| QueryError::not_found("current epoch anchor not found"))
    }

    /// `AssignedTargets`; without an epoch the current one. A non-prober gets an empty list.
    ///
    /// # Errors
    /// InvalidArgument without an account, NotFound for an unregistered one or a missing anchor.
    pub fn query_assigned_targets(
        &self,
        account: &str,
        epoch_id: Option<EpochId>,
    ) -> Result<AssignedTargets, QueryError> {
        required(account, "supernode_account")?;
        self.is_registered(account)?;
        let epoch_id = epoch_id.unwrap_or_else(|| self.current_epoch());
        let anchor = self.query_epoch_anchor(epoch_id)?;
        let params = self.params_of_epoch(epoch_id);
        let duty = self
            .duty_of(account, anchor, &params)
            .map_err(|error| QueryError::internal(error.to_string()))?;
        Ok(AssignedTargets {
            epoch_id,
            epoch_start_height: anchor.epoch_start_height,
            required_open_ports: params.required_open_ports,
            target_supernode_accounts: duty.targets,
        })
    }

    fn is_registered(&self, account: &str) -> Result<(), QueryError> {
        match self.supernode.supernodes.by_account(account) {
            Some(_) => Ok(()),
            None => Err(QueryError::not_found("supernode not found")),
        }
    }

    /// `EpochReport`.
    ///
    /// # Errors
    /// InvalidArgument without an account, NotFound for an unregistered one or a missing report.
    pub fn query_epoch_report(&self, epoch_id: EpochId, account: &str) -> Result<&EpochReport, QueryError> {
        required(account, "supernode_account")?;
        self.is_registered(account)?;
        let report = self.audit.reports.get(epoch_id, account);
        report.ok_or_else(|| QueryError::not_found("epoch report not found"))
    }

    fn reports_of(
        &self,
        account: &str,
        from: EpochId,
    ) -> impl DoubleEndedIterator<Item = (Vec<u8>, &EpochReport)> {
        let epochs = self.audit.reports.by_epoch.range(from..);
        epochs.filter_map(move |(epoch, reports)| Some((number_key(*epoch), reports.get(account)?)))
    }

    /// `EpochReportsByReporter`. Only the flag filters.
    ///
    /// # Errors
    /// InvalidArgument without an account, NotFound for an unregistered one.
    pub fn query_epoch_reports_by_reporter(
        &self,
        account: &str,
        filter: ReportFilter,
        page: Option<&PageQuery>,
    ) -> Result<Paged<EpochReport>, QueryError> {
        required(account, "supernode_account")?;
        self.is_registered(account)?;
        if filter.filter_by_epoch_id {
            let items = self.audit.reports.get(filter.epoch_id, account).cloned().into_iter().collect();
            return Ok(Paged { items, next_key: Vec::new(), total: 0 });
        }
        let page = paginate(page, |from| self.reports_of(account, number_of(from)))?;
        Ok(page.filter_map(|report| Some(report.clone())))
    }

    /// `HostReports`, of any account.
    ///
    /// # Errors
    /// InvalidArgument without an account.
    pub fn query_host_reports(
        &self,
        account: &str,
        filter: ReportFilter,
        page: Option<&PageQuery>,
    ) -> Result<Paged<HostReportRecord>, QueryError> {
        required(account, "supernode_account")?;
        let record = |report: &EpochReport| {
            Some(HostReportRecord {
                epoch_id: report.epoch_id,
                report_height: report.report_height,
                host_report: report.host_report.clone(),
            })
        };
        if let Some(epoch_id) = filter.lenient() {
            let items = self.audit.reports.get(epoch_id, account).and_then(record).into_iter().collect();
            return Ok(Paged { items, next_key: Vec::new(), total: 0 });
        }
        Ok(paginate(page, |from| self.reports_of(account, number_of(from)))?.filter_map(record))
    }

    /// `StorageChallengeReports`: who observed an account. Observations without port states are dropped after paging.
    ///
    /// # Errors
    /// InvalidArgument without an account.
    pub fn query_storage_challenge_reports(
        &self,
        account: &str,
        filter: ReportFilter,
        page: Option<&PageQuery>,
    ) -> Result<Paged<ObservationRecord>, QueryError> {
        required(account, "supernode_account")?;
        let page = if let Some(epoch_id) = filter.lenient() {
            paginate(page, |from| {
                let from = from.to_vec();
                let observers: Vec<_> = self.audit.reports.observers_of(epoch_id, account).collect();
                observers
                    .into_iter()
                    .filter(move |reporter| reporter.as_bytes() >= from.as_slice())
                    .map(move |reporter| (reporter.as_bytes().to_vec(), (epoch_id, reporter)))
            })?
        } else {
            paginate(page, |from| {
                let from = from.to_vec();
                let epochs = self.audit.reports.observers.range(number_of(&from)..);
                epochs
                    .flat_map(|(epoch, targets)| {
                        targets.get(account).into_iter().flatten().map(move |reporter| (*epoch, reporter))
                    })
                    .map(|(epoch, reporter)| (observation_key(epoch, reporter), (epoch, reporter)))
                    .filter(move |(key, _)| *key >= from)
            })?
        };
        Ok(page.filter_map(|(epoch_id, reporter)| self.observation_record(epoch_id, reporter, account)))
    }

    fn observation_record(
        &self,
        epoch_id: EpochId,
        reporter: &str,
        target: &str,
    ) -> Option<ObservationRecord> {
        let report = self.audit.reports.get(epoch_id, reporter)?;
        let mut observations = report.storage_challenge_observations.iter();
        let observation = observations.find(|observation| observation.target_supernode_account == target)?;
        (!observation.port_states.is_empty()).then(|| ObservationRecord {
            reporter_supernode_account: reporter.to_owned(),
            epoch_id,
            report_height: report.report_height,
            port_states: observation.port_states.clone(),
        })
    }

    /// `NodeSuspicionState`.
    ///
    /// # Errors
    /// InvalidArgument without an account, NotFound if nothing was ever recorded.
    pub fn query_node_suspicion(&self, account: &str) -> Result<&NodeSuspicion, QueryError> {
        required(account, "supernode_account")?;
        self.audit
            .suspicion
            .get(account)
            .ok_or_else(|| QueryError::not_found("node suspicion state not found"))
    }

    /// `ReporterReliabilityState`.
    ///
    /// # Errors
    /// InvalidArgument without an account, NotFound if nothing was ever recorded.
    pub fn query_reporter_reliability(&self, account: &str) -> Result<&ReporterReliability, QueryError> {
        required(account, "reporter_supernode_account")?;
        let state = self.audit.reliability.get(account);
        state.ok_or_else(|| QueryError::not_found("reporter reliability state not found"))
    }

    /// `TicketDeteriorationState`.
    ///
    /// # Errors
    /// InvalidArgument without a ticket, NotFound if nothing was ever recorded.
    pub fn query_ticket_deterioration(&self, ticket_id: &str) -> Result<&TicketDeterioration, QueryError> {
        required(ticket_id, "ticket_id")?;
        let state = self.audit.tickets.get(ticket_id);
        state.ok_or_else(|| QueryError::not_found("ticket deterioration state not found"))
    }

    /// `HealOp`.
    ///
    /// # Errors
    /// InvalidArgument for id 0, NotFound.
    pub fn query_heal_op(&self, heal_op_id: u64) -> Result<&HealOp, QueryError> {
        if heal_op_id == 0 {
            return Err(QueryError::invalid_argument("heal_op_id is required"));
        }
        self.audit.heal_ops.get(heal_op_id).ok_or_else(|| QueryError::not_found("heal op not found"))
    }

    /// `HealOpsByTicket`: none for an unknown ticket.
    ///
    /// # Errors
    /// InvalidArgument without a ticket.
    pub fn query_heal_ops_by_ticket(
        &self,
        ticket_id: &str,
        page: Option<&PageQuery>,
    ) -> Result<Paged<HealOp>, QueryError> {
        required(ticket_id, "ticket_id")?;
        let page = paginate(page, |from| numbered(self.audit.heal_ops.ids_of_ticket(ticket_id), from))?;
        Ok(page.filter_map(|id| self.audit.heal_ops.get(id).cloned()))
    }

    /// `HealOpsByStatus`.
    ///
    /// # Errors
    /// InvalidArgument for UNSPECIFIED.
    pub fn query_heal_ops_by_status(
        &self,
        status: HealOpStatus,
        page: Option<&PageQuery>,
    ) -> Result<Paged<HealOp>, QueryError> {
        if status == HealOpStatus::Unspecified {
            return Err(QueryError::invalid_argument("status is required"));
        }
        let page = paginate(page, |from| numbered(self.audit.heal_ops.ids_in_status(status), from))?;
        Ok(page.filter_map(|id| self.audit.heal_ops.get(id).cloned()))
    }

    /// `EvidenceById`.
    ///
    /// # Errors
    /// NotFound "evidence not found".
    pub fn query_evidence(&self, evidence_id: u64) -> Result<&Evidence, QueryError> {
        let evidence = self.audit.evidence.records.get(evidence_id);
        evidence.ok_or_else(|| QueryError::not_found("evidence not found"))
    }

    /// `EvidenceBySubject`.
    ///
    /// # Errors
    /// InvalidArgument without an address.
    pub fn query_evidence_by_subject(
        &self,
        subject: &str,
        page: Option<&PageQuery>,
    ) -> Result<Paged<Evidence>, QueryError> {
        required(subject, "subject_address")?;
        if !address::is_account(subject) {
            return Err(QueryError::invalid_argument("invalid subject_address"));
        }
        let records = &self.audit.evidence.records;
        let page = paginate(page, |from| numbered(records.ids_of_subject(subject), from))?;
        Ok(page.filter_map(|id| records.get(id).cloned()))
    }

    /// `EvidenceByAction`.
    ///
    /// # Errors
    /// InvalidArgument without an action.
    pub fn query_evidence_by_action(
        &self,
        action_id: &str,
        page: Option<&PageQuery>,
    ) -> Result<Paged<Evidence>, QueryError> {
        required(action_id, "action_id")?;
        let records = &self.audit.evidence.records;
        let page = paginate(page, |from| numbered(records.ids_of_action(action_id), from))?;
        Ok(page.filter_map(|id| records.get(id).cloned()))
    }
}

fn observation_key(epoch_id: EpochId, reporter: &str) -> Vec<u8> {
    let mut key = number_key(epoch_id);
    key.push(b'/');
    key.extend_from_slice(reporter.as_bytes());
    key
}

/// Ids with their keys, from a key on.
fn numbered<I: DoubleEndedIterator<Item = u64>>(
    ids: I,
    from: &[u8],
) -> impl DoubleEndedIterator<Item = (Vec<u8>, u64)> + use<I> {
    let from = number_of(from);
    ids.filter(move |id| *id >= from).map(|id| (number_key(id), id))
}
