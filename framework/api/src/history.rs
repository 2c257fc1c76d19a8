//! What this node's challenges came to, kept for those who look at it later.
//!
//! Owns the [`HistoryJournal`] part of the journal: a bounded memory of challenges and the evidence of those that failed.
//! No service decides anything by it. The format of evidence, and what it proves, is the plugin SDK's.

use crate::challenge::Observation;
use crate::journal::JournalError;
use crate::{Account, EpochId, TicketId};
use lampkeeper_api_macros::seam;
use lampkeeper_protocol::words::{ArtifactClass, Bucket, ResultClass};
use serde::{Deserialize, Serialize};

/// The longest record of evidence that a journal keeps.
pub const EVIDENCE_RECORD_LEN_BYTES_MAX: usize = 1024 * 1024;
/// The most challenges or pieces of evidence that one call records or returns.
pub const HISTORY_ROWS_PER_CALL_MAX: usize = 10_000;

/// How a challenge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChallengeEnd {
    /// Something was observed about the target.
    Observed(Observation),
    /// Nothing was to be said: the ticket or the target did not qualify, or no longer.
    NotEligible,
    /// Nothing could be found out, because of this node or because nobody has a copy to compare with.
    Undecided,
}

impl ChallengeEnd {
    const NOT_ELIGIBLE: &'static str = "not_eligible";
    const UNDECIDED: &'static str = "undecided";

    /// A short name; distinct from those of all observations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observed(observation) => observation.name(),
            Self::NotEligible => Self::NOT_ELIGIBLE,
            Self::Undecided => Self::UNDECIDED,
        }
    }

    /// The end with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            Self::NOT_ELIGIBLE => Some(Self::NotEligible),
            Self::UNDECIDED => Some(Self::Undecided),
            _ => Observation::from_name(name).map(Self::Observed),
        }
    }

    /// Whether it counts against the target.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Observed(observation) if observation != Observation::Pass)
    }
}

/// One challenge of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeEntry {
    /// The epoch in which it was made, or whose result it repeats.
    pub epoch_id: EpochId,
    /// Who was challenged.
    pub target_account: Account,
    /// About which ticket.
    pub ticket_id: TicketId,
    /// Why: RECENT and OLD are the canonical challenges, PROBATION is a probe, RECHECK repeats a result.
    pub bucket: Bucket,
    /// The class of the artifact.
    pub artifact_class: ArtifactClass,
    /// Its key, base58.
    pub artifact_key: String,
    /// How it ended.
    pub end: ChallengeEnd,
    /// The class of the row that says so; UNSPECIFIED if there was nothing to say.
    pub result_class: ResultClass,
    /// The transcript hash of that row, or empty.
    pub transcript_hash: String,
    /// More about the end, for people.
    pub details: String,
    /// How the bytes were proven, such as `verified_slice`, `compared` or `none`.
    pub proof: String,
    /// Bytes of the proof.
    pub proof_bytes: u64,
    /// How often the target was asked.
    pub attempts: u32,
    /// From the first question to the end, in milliseconds.
    pub duration_ms: u64,
    /// When it ended, in seconds since 1970.
    pub ended_at_s: i64,
    /// Evidence of it: [`KeptEvidence::evidence_id`].
    pub evidence_id: Option<String>,
}

/// What became of a challenge's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowState {
    /// It never became a row of a report, or the row was left out.
    NotReported,
    /// It waits in the journal for the epoch's report.
    Waiting,
    /// The chain has accepted it.
    Reported,
}

impl RowState {
    /// A short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotReported => "not_reported",
            Self::Waiting => "waiting",
            Self::Reported => "reported",
        }
    }
}

/// A challenge as the journal remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedChallenge {
    /// Ascends with every challenge recorded, and is never used again.
    pub challenge_number: u64,
    /// What was recorded.
    pub entry: ChallengeEntry,
    /// What became of its row.
    pub row: RowState,
}

/// Which challenges or evidence to list; the latest come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Of this epoch alone.
    pub epoch_id: Option<EpochId>,
    /// About this target alone.
    pub target_account: Option<Account>,
    /// Only challenges that count against their target. All evidence does.
    pub failed_only: bool,
    /// How many at most; [`HISTORY_ROWS_PER_CALL_MAX`] holds in any case.
    pub limit: usize,
}

impl Default for HistoryFilter {
    fn default() -> Self {
        Self { epoch_id: None, target_account: None, failed_only: false, limit: HISTORY_ROWS_PER_CALL_MAX }
    }
}

/// What is known of a piece of evidence without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSummary {
    /// Names it: the digest of its record, 64 hex digits.
    pub evidence_id: String,
    /// The epoch of the challenge.
    pub epoch_id: EpochId,
    /// Against whom it is.
    pub target_account: Account,
    /// What it is evidence of.
    pub observation: Observation,
    /// Whether the target's own signature proves it; otherwise it is only this node's word.
    pub is_proven: bool,
    /// When it was recorded, in seconds since 1970.
    pub recorded_at_s: i64,
    /// Length of the record.
    pub len_bytes: u64,
}

/// Evidence against a target, in the form that can be handed to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEvidence {
    /// Names it: the digest of its record, 64 hex digits.
    pub evidence_id: String,
    /// The epoch of the challenge.
    pub epoch_id: EpochId,
    /// Against whom it is.
    pub target_account: Account,
    /// What it is evidence of.
    pub observation: Observation,
    /// Whether the target's own signature proves it; otherwise it is only this node's word.
    pub is_proven: bool,
    /// When it was recorded, in seconds since 1970.
    pub recorded_at_s: i64,
    /// The record: JSON of at most [`EVIDENCE_RECORD_LEN_BYTES_MAX`] bytes.
    pub record: String,
}

impl KeptEvidence {
    /// What is known of it without reading it.
    #[must_use]
    pub fn summary(&self) -> EvidenceSummary {
        EvidenceSummary {
            evidence_id: self.evidence_id.clone(),
            epoch_id: self.epoch_id,
            target_account: self.target_account.clone(),
            observation: self.observation,
            is_proven: self.is_proven,
            recorded_at_s: self.recorded_at_s,
            len_bytes: self.record.len() as u64,
        }
    }
}

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Nothing of earlier epochs.
    pub oldest_epoch_id: EpochId,
    /// Challenges, the latest recorded.
    pub challenges_max: u64,
    /// Pieces of evidence, the latest recorded.
    pub evidence_max: u64,
}

/// The memory of challenges: written by the challenger and the reporter, read by whoever inspects the node.
#[seam("journal:history")]
pub trait HistoryJournal: Send + Sync {
    /// Adds challenges in this order and the evidence that belongs to them, all or none. Evidence that is there already
    /// stays as it is. More than [`HISTORY_ROWS_PER_CALL_MAX`] of either, and records of more than
    /// [`EVIDENCE_RECORD_LEN_BYTES_MAX`], are refused as invalid.
    async fn record_challenges(
        &self,
        entries: &[ChallengeEntry],
        evidence: &[KeptEvidence],
    ) -> Result<(), JournalError>;
    /// Notes that the chain has accepted rows of an epoch, by their transcript hashes; how many challenges that changed.
    async fn mark_rows_reported(
        &self,
        epoch_id: EpochId,
        transcript_hashes: &[String],
    ) -> Result<u64, JournalError>;
    /// Challenges, by descending number.
    async fn challenges(&self, filter: &HistoryFilter) -> Result<Vec<RecordedChallenge>, JournalError>;
    /// One challenge by its number.
    async fn recorded_challenge(
        &self,
        challenge_number: u64,
    ) -> Result<Option<RecordedChallenge>, JournalError>;
    /// Evidence without its records, the latest recorded first.
    async fn evidence_list(&self, filter: &HistoryFilter) -> Result<Vec<EvidenceSummary>, JournalError>;
    /// One piece of evidence.
    async fn evidence(&self, evidence_id: &str) -> Result<Option<KeptEvidence>, JournalError>;
    /// Forgets what is beyond the limits, the oldest first; how many challenges and pieces of evidence together.
    async fn trim_history(&self, limits: &HistoryLimits) -> Result<u64, JournalError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_found_by_its_name() {
        let observed = Observation::ALL.into_iter().map(ChallengeEnd::Observed);
        let ends: Vec<_> = observed.chain([ChallengeEnd::NotEligible, ChallengeEnd::Undecided]).collect();
        for end in &ends {
            assert_eq!(ChallengeEnd::from_name(end.name()), Some(*end));
            let blames = !matches!(end.name(), "pass" | "not_eligible" | "undecided");
            assert_eq!(end.is_failure(), blames, "{end:?}");
        }
        assert_eq!(ChallengeEnd::from_name("ours"), None);
    }
}
