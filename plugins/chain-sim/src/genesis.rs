//! The audit module's genesis: what is exported of it and what an import refuses (chain A.3).
//!
//! Owns the form, which is plain JSON with the names of this crate rather than the chain's proto JSON. Anchors and parameter
//! snapshots are not part of it. A whole chain is saved with [`State::to_json`] instead.

use crate::api::chain::{
    EpochReport, HealOp, NodeSuspicion, Params, ReporterReliability, SupernodeState, TicketDeterioration,
};
use crate::api::{Account, EpochId, TicketId};
use crate::params;
use crate::state::evidence::{Evidence, EvidenceType};
use crate::state::facts::{NodeFailure, ReporterResult};
use crate::state::tickets::ArtifactCounts;
use crate::state::transcripts::Transcript;
use crate::state::{AuditState, State, StorageTruthMarker};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A genesis that the chain refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("importing the audit genesis failed: {reason}")]
pub struct GenesisError {
    /// The chain's words.
    pub reason: String,
}

fn refused(reason: impl Into<String>) -> GenesisError {
    GenesisError { reason: reason.into() }
}

/// A vote on a heal operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealVoteRow {
    /// The operation.
    pub heal_op_id: u64,
    /// Who voted.
    pub verifier_supernode_account: Account,
    /// The vote.
    pub verified: bool,
}

/// The anchored counts of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactCountRow {
    /// The ticket.
    pub ticket_id: TicketId,
    /// Index artifacts.
    pub index_artifact_count: u32,
    /// Symbol artifacts.
    pub symbol_artifact_count: u32,
}

/// A counter of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceCountRow {
    /// The epoch.
    pub epoch_id: EpochId,
    /// The subject.
    pub subject_address: Account,
    /// The type.
    pub evidence_type: EvidenceType,
    /// How many.
    pub count: u64,
}

/// A postponed node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostponementRow {
    /// The node.
    pub supernode_account: Account,
    /// When it was postponed.
    pub epoch_id: EpochId,
    /// Whether by the strong band; only for postponements by score.
    #[serde(default)]
    pub strong: bool,
}

/// A ticket and an account in an epoch: a recheck that was submitted, or a heal that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketMarkerRow {
    /// The epoch.
    pub epoch_id: EpochId,
    /// The ticket.
    pub ticket_id: TicketId,
    /// The rechecker, or the healer.
    pub supernode_account: Account,
}

/// The audit module's genesis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the store of the same name in the audit module's state")]
pub struct AuditGenesis {
    pub params: Params,
    pub next_evidence_id: u64,
    pub next_heal_op_id: u64,
    pub evidence: Vec<Evidence>,
    pub evidence_counts: Vec<EvidenceCountRow>,
    pub heal_ops: Vec<HealOp>,
    pub heal_votes: Vec<HealVoteRow>,
    pub node_suspicion: Vec<NodeSuspicion>,
    pub reporter_reliability: Vec<ReporterReliability>,
    pub ticket_deterioration: Vec<TicketDeterioration>,
    pub artifact_counts: Vec<ArtifactCountRow>,
    pub reports: Vec<EpochReport>,
    /// Each row is JSON text, which an export repeats byte for byte.
    pub transcripts: Vec<String>,
    pub node_failures: Vec<NodeFailure>,
    pub reporter_results: Vec<ReporterResult>,
    pub recheck_submissions: Vec<TicketMarkerRow>,
    pub failed_heals: Vec<TicketMarkerRow>,
    pub storage_truth_postponements: Vec<PostponementRow>,
    pub action_postponements: Vec<PostponementRow>,
}

impl Default for AuditGenesis {
    fn default() -> Self {
        State::new(crate::ChainConfig::default()).export_audit_genesis()
    }
}

impl AuditGenesis {
    /// What can be refused without a state.
    ///
    /// # Errors
    /// Bad parameters, or an id that occurs twice.
    pub fn validate(&self) -> Result<(), GenesisError> {
        params::validate(&self.params.clone().with_defaults()).map_err(refused)?;
        let mut ids = BTreeSet::new();
        if let Some(row) = self.evidence.iter().find(|row| !ids.insert(row.evidence_id)) {
            return Err(refused(format!("duplicate evidence_id {}", row.evidence_id)));
        }
        ids.clear();
        if let Some(row) = self.heal_ops.iter().find(|row| !ids.insert(row.heal_op_id)) {
            return Err(refused(format!("duplicate heal_op_id {}", row.heal_op_id)));
        }
        Ok(())
    }

    fn epochs_are_past(&self, current: EpochId) -> Result<(), GenesisError> {
        let nodes = self
            .node_suspicion
            .iter()
            .map(|row| (&row.supernode_account, row.last_updated_epoch.max(row.window_start_epoch)));
        let reporters = self
            .reporter_reliability
            .iter()
            .map(|row| (&row.reporter_supernode_account, row.last_updated_epoch.max(row.window_start_epoch)));
        let tickets = self.ticket_deterioration.iter().map(|row| (&row.ticket_id, row.last_updated_epoch));
        match nodes.chain(reporters).chain(tickets).find(|(_, epoch)| *epoch > current) {
            Some((name, epoch)) => Err(refused(format!(
                "the state of {name:?} is of epoch {epoch}, beyond the current epoch {current}"
            ))),
            None => Ok(()),
        }
    }

    fn rows_are_sound(&self) -> Result<(), GenesisError> {
        if let Some(row) = self.node_suspicion.iter().find(|row| row.suspicion_score < 0) {
            return Err(refused(format!("negative suspicion score of {:?}", row.supernode_account)));
        }
        for row in &self.artifact_counts {
            if row.ticket_id.is_empty() {
                return Err(refused("artifact count row with empty ticket id"));
            }
            if row.index_artifact_count == 0 && row.symbol_artifact_count == 0 {
                return Err(refused(format!("ticket {:?} has zero index and symbol counts", row.ticket_id)));
            }
        }
        Ok(())
    }
}

/// One transcript row. Nothing may follow the record.
fn transcript(text: &str) -> Result<Transcript, GenesisError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let record =
        Transcript::deserialize(&mut reader).map_err(|error| refused(format!("transcript row: {error}")))?;
    reader.end().map_err(|_| refused("transcript row has trailing JSON data"))?;
    Ok(Transcript { original_json: text.to_owned(), ..record })
}

impl State {
    /// Replaces the audit module by a genesis. Supernodes are imported before.
    ///
    /// # Errors
    /// The genesis is refused; nothing is changed then.
    pub fn import_audit_genesis(&mut self, genesis: &AuditGenesis) -> Result<(), GenesisError> {
        genesis.validate()?;
        genesis.rows_are_sound()?;
        let mut audit =
            AuditState { params: genesis.params.clone().with_defaults(), ..AuditState::default() };
        std::mem::swap(&mut self.audit.params, &mut audit.params);
        let current = self.current_epoch();
        std::mem::swap(&mut self.audit.params, &mut audit.params);
        genesis.epochs_are_past(current)?;
        self.postponements_are_real(&genesis.storage_truth_postponements)?;
        fill_scores(&mut audit, genesis);
        fill_history(&mut audit, genesis)?;
        self.audit = audit;
        Ok(())
    }

    fn postponements_are_real(&self, rows: &[PostponementRow]) -> Result<(), GenesisError> {
        for PostponementRow { supernode_account: account, .. } in rows {
            let Some(node) = self.supernode.supernodes.by_account(account) else {
                return Err(refused(format!("postponement of {account:?} references unknown supernode")));
            };
            if node.state() != SupernodeState::Postponed {
                return Err(refused(format!(
                    "postponement of {account:?} lacks corresponding supernode-postponed state"
                )));
            }
        }
        Ok(())
    }

    /// The audit module as a genesis; [`Self::import_audit_genesis`] reads it back.
    #[must_use]
    pub fn export_audit_genesis(&self) -> AuditGenesis {
        let audit = &self.audit;
        let markers = |rows: Vec<(EpochId, &TicketId, &Account)>| {
            let row = |(epoch_id, ticket_id, account): (EpochId, &TicketId, &Account)| TicketMarkerRow {
                epoch_id,
                ticket_id: ticket_id.clone(),
                supernode_account: account.clone(),
            };
            rows.into_iter().map(row).collect()
        };
        let rechecks = audit.recheck_submissions.iter();
        let failed = audit.failed_heals.iter();
        AuditGenesis {
            params: audit.params.clone(),
            next_evidence_id: audit.evidence.next_evidence_id,
            next_heal_op_id: audit.next_heal_op_id,
            evidence: audit.evidence.records.iter().cloned().collect(),
            evidence_counts: evidence_counts(audit),
            heal_ops: audit.heal_ops.iter().cloned().collect(),
            heal_votes: heal_votes(audit),
            node_suspicion: audit.suspicion.values().cloned().collect(),
            reporter_reliability: audit.reliability.values().cloned().collect(),
            ticket_deterioration: audit.tickets.iter().cloned().collect(),
            artifact_counts: artifact_counts(audit),
            reports: audit.reports.by_epoch.values().flat_map(|reports| reports.values().cloned()).collect(),
            transcripts: audit.transcripts.iter().map(Transcript::to_row).collect(),
            node_failures: audit.node_failures.iter().cloned().collect(),
            reporter_results: audit.reporter_results.iter().cloned().collect(),
            recheck_submissions: markers(
                rechecks
                    .flat_map(|(epoch, rows)| rows.iter().map(|(ticket, who)| (*epoch, ticket, who)))
                    .collect(),
            ),
            failed_heals: markers(
                failed
                    .flat_map(|(epoch, rows)| rows.iter().map(|(who, ticket)| (*epoch, ticket, who)))
                    .collect(),
            ),
            storage_truth_postponements: storage_truth_postponements(audit),
            action_postponements: action_postponements(audit),
        }
    }
}

fn fill_scores(audit: &mut AuditState, genesis: &AuditGenesis) {
    for row in &genesis.node_suspicion {
        audit.suspicion.insert(row.supernode_account.clone(), row.clone());
    }
    for row in &genesis.reporter_reliability {
        audit.reliability.insert(row.reporter_supernode_account.clone(), row.clone());
    }
    for row in &genesis.ticket_deterioration {
        audit.tickets.insert(row.clone());
    }
    for row in &genesis.artifact_counts {
        let counts = ArtifactCounts { index: row.index_artifact_count, symbol: row.symbol_artifact_count };
        audit.artifact_counts.insert(row.ticket_id.clone(), counts);
    }
    for row in &genesis.storage_truth_postponements {
        let marker = StorageTruthMarker { epoch_id: row.epoch_id, strong: row.strong };
        audit.storage_truth_postponements.insert(row.supernode_account.clone(), marker);
    }
    for row in &genesis.action_postponements {
        audit.action_postponements.insert(row.supernode_account.clone(), row.epoch_id);
    }
}

fn fill_history(audit: &mut AuditState, genesis: &AuditGenesis) -> Result<(), GenesisError> {
    for row in &genesis.evidence {
        audit.evidence.records.insert(row.clone());
    }
    for row in &genesis.evidence_counts {
        let subjects = audit.evidence.counts.entry(row.epoch_id).or_default();
        subjects.entry(row.subject_address.clone()).or_default().insert(row.evidence_type, row.count);
    }
    for row in &genesis.heal_ops {
        audit.heal_ops.insert(row.clone());
    }
    audit.evidence.next_evidence_id = genesis.next_evidence_id.max(audit.evidence.records.last_id() + 1);
    audit.next_heal_op_id = genesis.next_heal_op_id.max(audit.heal_ops.last_id() + 1);
    for row in &genesis.heal_votes {
        let votes = audit.heal_votes.entry(row.heal_op_id).or_default();
        votes.insert(row.verifier_supernode_account.clone(), row.verified);
    }
    for row in &genesis.reports {
        audit.reports.insert(row.clone());
    }
    for text in &genesis.transcripts {
        audit.transcripts.insert(transcript(text)?);
    }
    for row in &genesis.node_failures {
        audit.node_failures.insert(row.clone());
    }
    for row in &genesis.reporter_results {
        audit.reporter_results.insert(row.clone());
    }
    for row in &genesis.recheck_submissions {
        let key = (row.ticket_id.clone(), row.supernode_account.clone());
        audit.recheck_submissions.entry(row.epoch_id).or_default().insert(key);
    }
    for row in &genesis.failed_heals {
        let key = (row.supernode_account.clone(), row.ticket_id.clone());
        audit.failed_heals.entry(row.epoch_id).or_default().insert(key);
    }
    Ok(())
}

fn evidence_counts(audit: &AuditState) -> Vec<EvidenceCountRow> {
    let mut rows = Vec::new();
    for (epoch_id, subjects) in &audit.evidence.counts {
        for (subject, types) in subjects {
            rows.extend(types.iter().map(|(evidence_type, count)| EvidenceCountRow {
                epoch_id: *epoch_id,
                subject_address: subject.clone(),
                evidence_type: *evidence_type,
                count: *count,
            }));
        }
    }
    rows
}

fn heal_votes(audit: &AuditState) -> Vec<HealVoteRow> {
    let votes = audit.heal_votes.iter();
    votes
        .flat_map(|(id, votes)| {
            votes.iter().map(|(verifier, verified)| HealVoteRow {
                heal_op_id: *id,
                verifier_supernode_account: verifier.clone(),
                verified: *verified,
            })
        })
        .collect()
}

fn artifact_counts(audit: &AuditState) -> Vec<ArtifactCountRow> {
    let counts = audit.artifact_counts.iter();
    counts
        .map(|(ticket_id, counts)| ArtifactCountRow {
            ticket_id: ticket_id.clone(),
            index_artifact_count: counts.index,
            symbol_artifact_count: counts.symbol,
        })
        .collect()
}

fn storage_truth_postponements(audit: &AuditState) -> Vec<PostponementRow> {
    let markers = audit.storage_truth_postponements.iter();
    markers
        .map(|(account, marker)| PostponementRow {
            supernode_account: account.clone(),
            epoch_id: marker.epoch_id,
            strong: marker.strong,
        })
        .collect()
}

fn action_postponements(audit: &AuditState) -> Vec<PostponementRow> {
    let markers = audit.action_postponements.iter();
    markers
        .map(|(account, epoch_id)| PostponementRow {
            supernode_account: account.clone(),
            epoch_id: *epoch_id,
            strong: false,
        })
        .collect()
}
