//! Evidence, its indexes and the counters that enforcement reads (chain A.1).

use super::rows::{self, Rows};
use crate::api::{Account, EpochId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What an evidence is about (wire 2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EvidenceType {
    /// Not a type.
    #[default]
    Unspecified,
    /// A finalisation whose ids did not match.
    ActionFinalizationSignatureFailure,
    /// A finalisation from outside the top ten.
    #[serde(rename = "ACTION_FINALIZATION_NOT_IN_TOP_10")]
    ActionFinalizationNotInTop10,
    /// An action that nobody finalised.
    ActionExpired,
    /// A failed challenge of the legacy kind.
    StorageChallengeFailure,
    /// A client that could not store or load a file.
    CascadeClientFailure,
}

impl EvidenceType {
    /// Whether only the action module may create it.
    #[must_use]
    pub const fn belongs_to_action_module(self) -> bool {
        match self {
            Self::ActionFinalizationSignatureFailure
            | Self::ActionFinalizationNotInTop10
            | Self::ActionExpired => true,
            Self::Unspecified | Self::StorageChallengeFailure | Self::CascadeClientFailure => false,
        }
    }
}

/// One evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// Counts from 1.
    pub evidence_id: u64,
    /// Whom it is about.
    pub subject_address: String,
    /// Who said so.
    pub reporter_address: String,
    /// The action it is about.
    pub action_id: String,
    /// Its type.
    pub evidence_type: EvidenceType,
    /// The JSON of its metadata, as it was submitted.
    pub metadata: String,
    /// The height at which it was recorded.
    pub reported_height: u64,
}

/// All evidence, by id, subject and action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvidenceRecords {
    records: BTreeMap<u64, Evidence>,
    by_subject: BTreeMap<String, BTreeSet<u64>>,
    by_action: BTreeMap<String, BTreeSet<u64>>,
}

impl EvidenceRecords {
    /// One evidence.
    #[must_use]
    pub fn get(&self, evidence_id: u64) -> Option<&Evidence> {
        self.records.get(&evidence_id)
    }

    /// Adds an evidence.
    pub fn insert(&mut self, evidence: Evidence) {
        let id = evidence.evidence_id;
        self.by_subject.entry(evidence.subject_address.clone()).or_default().insert(id);
        if !evidence.action_id.is_empty() {
            self.by_action.entry(evidence.action_id.clone()).or_default().insert(id);
        }
        self.records.insert(id, evidence);
    }

    /// The ids about a subject.
    pub fn ids_of_subject(&self, subject: &str) -> impl DoubleEndedIterator<Item = u64> {
        self.by_subject.get(subject).into_iter().flatten().copied()
    }

    /// The ids about an action.
    pub fn ids_of_action(&self, action_id: &str) -> impl DoubleEndedIterator<Item = u64> {
        self.by_action.get(action_id).into_iter().flatten().copied()
    }

    /// All evidence, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Evidence> {
        self.records.values()
    }

    /// The largest id; 0 if there is none.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.records.last_key_value().map_or(0, |(id, _)| *id)
    }
}

impl Rows for EvidenceRecords {
    type Row = Evidence;

    fn rows(&self) -> impl Iterator<Item = &Evidence> {
        self.iter()
    }

    fn insert_row(&mut self, row: Evidence) {
        self.insert(row);
    }
}

/// Evidence and what is counted of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvidenceStore {
    /// The records.
    #[serde(with = "rows")]
    pub records: EvidenceRecords,
    /// Id of the next record; 0 means the largest existing one and 1.
    pub next_evidence_id: u64,
    /// How many of each type were recorded in an epoch about a subject.
    pub counts: BTreeMap<EpochId, BTreeMap<Account, BTreeMap<EvidenceType, u64>>>,
}

impl EvidenceStore {
    /// The counter of an epoch, subject and type.
    #[must_use]
    pub fn count(&self, epoch_id: EpochId, subject: &str, evidence_type: EvidenceType) -> u64 {
        self.counts
            .get(&epoch_id)
            .and_then(|subjects| subjects.get(subject))
            .and_then(|types| types.get(&evidence_type))
            .copied()
            .unwrap_or(0)
    }

    /// Adds one to a counter.
    pub fn add_to_count(&mut self, epoch_id: EpochId, subject: &str, evidence_type: EvidenceType) {
        let types = self.counts.entry(epoch_id).or_default().entry(subject.to_owned()).or_default();
        *types.entry(evidence_type).or_default() += 1;
    }
}
