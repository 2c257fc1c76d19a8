//! The memory of challenges of a journal in memory.

use super::MemoryJournal;
use async_trait::async_trait;
use lampkeeper_api::EpochId;
use lampkeeper_api::history::{
    ChallengeEntry, EVIDENCE_RECORD_LEN_BYTES_MAX, EvidenceSummary, HISTORY_ROWS_PER_CALL_MAX, HistoryFilter,
    HistoryJournal, HistoryLimits, KeptEvidence, RecordedChallenge, RowState,
};
use lampkeeper_api::journal::{JournalError, PendingProofRow};
use std::collections::BTreeMap;

/// The tables of the history.
#[derive(Debug, Default)]
pub(super) struct History {
    challenges: BTreeMap<u64, Remembered>,
    recorded: u64,
    /// In the order in which they were recorded.
    evidence: Vec<KeptEvidence>,
}

#[derive(Debug, Clone)]
struct Remembered {
    entry: ChallengeEntry,
    is_reported: bool,
}

impl Remembered {
    fn recorded(
        &self,
        challenge_number: u64,
        waiting: &BTreeMap<EpochId, Vec<PendingProofRow>>,
    ) -> RecordedChallenge {
        let entry = self.entry.clone();
        let waits = || {
            let rows = waiting.get(&entry.epoch_id).into_iter().flatten();
            !entry.transcript_hash.is_empty()
                && rows.into_iter().any(|pending| pending.row.transcript_hash == entry.transcript_hash)
        };
        let row = match self.is_reported {
            true => RowState::Reported,
            false if waits() => RowState::Waiting,
            false => RowState::NotReported,
        };
        RecordedChallenge { challenge_number, entry, row }
    }
}

fn check(entries: &[ChallengeEntry], evidence: &[KeptEvidence]) -> Result<(), JournalError> {
    let invalid = |reason: &str| {
        let attempted = "recording challenges".to_owned();
        Err(JournalError::InvalidRow { attempted, reason: reason.to_owned() })
    };
    if entries.len().max(evidence.len()) > HISTORY_ROWS_PER_CALL_MAX {
        return invalid("there are more than one call may record");
    }
    if evidence.iter().any(|evidence| evidence.record.len() > EVIDENCE_RECORD_LEN_BYTES_MAX) {
        return invalid("a record of evidence is longer than any may be");
    }
    Ok(())
}

#[async_trait]
impl HistoryJournal for MemoryJournal {
    async fn record_challenges(
        &self,
        entries: &[ChallengeEntry],
        evidence: &[KeptEvidence],
    ) -> Result<(), JournalError> {
        check(entries, evidence)?;
        let history = &mut self.lock().history;
        for entry in entries {
            history.recorded += 1;
            let remembered = Remembered { entry: entry.clone(), is_reported: false };
            history.challenges.insert(history.recorded, remembered);
        }
        for new in evidence {
            if history.evidence.iter().all(|known| known.evidence_id != new.evidence_id) {
                history.evidence.push(new.clone());
            }
        }
        Ok(())
    }

    async fn mark_rows_reported(
        &self,
        epoch_id: EpochId,
        transcript_hashes: &[String],
    ) -> Result<u64, JournalError> {
        let mut changed = 0;
        for remembered in self.lock().history.challenges.values_mut() {
            let entry = &remembered.entry;
            let is_meant = entry.epoch_id == epoch_id && transcript_hashes.contains(&entry.transcript_hash);
            if is_meant && !entry.transcript_hash.is_empty() && !remembered.is_reported {
                remembered.is_reported = true;
                changed += 1;
            }
        }
        Ok(changed)
    }

    async fn challenges(&self, filter: &HistoryFilter) -> Result<Vec<RecordedChallenge>, JournalError> {
        let tables = self.lock();
        let matching = tables.history.challenges.iter().rev().filter(|(_, remembered)| {
            let entry = &remembered.entry;
            filter.epoch_id.is_none_or(|epoch_id| entry.epoch_id == epoch_id)
                && filter.target_account.as_ref().is_none_or(|target| entry.target_account == *target)
                && (!filter.failed_only || entry.end.is_failure())
        });
        let listed = matching.take(filter.limit.min(HISTORY_ROWS_PER_CALL_MAX));
        Ok(listed.map(|(number, remembered)| remembered.recorded(*number, &tables.proof_rows)).collect())
    }

    async fn recorded_challenge(
        &self,
        challenge_number: u64,
    ) -> Result<Option<RecordedChallenge>, JournalError> {
        let tables = self.lock();
        let remembered = tables.history.challenges.get(&challenge_number);
        Ok(remembered.map(|remembered| remembered.recorded(challenge_number, &tables.proof_rows)))
    }

    async fn evidence_list(&self, filter: &HistoryFilter) -> Result<Vec<EvidenceSummary>, JournalError> {
        let tables = self.lock();
        let matching = tables.history.evidence.iter().rev().filter(|evidence| {
            filter.epoch_id.is_none_or(|epoch_id| evidence.epoch_id == epoch_id)
                && filter.target_account.as_ref().is_none_or(|target| evidence.target_account == *target)
        });
        Ok(matching.take(filter.limit.min(HISTORY_ROWS_PER_CALL_MAX)).map(KeptEvidence::summary).collect())
    }

    async fn evidence(&self, evidence_id: &str) -> Result<Option<KeptEvidence>, JournalError> {
        let tables = self.lock();
        let mut evidence = tables.history.evidence.iter();
        Ok(evidence.find(|evidence| evidence.evidence_id == evidence_id).cloned())
    }

    async fn trim_history(&self, limits: &HistoryLimits) -> Result<u64, JournalError> {
        let history = &mut self.lock().history;
        let before = history.challenges.len() + history.evidence.len();
        let oldest = limits.oldest_epoch_id;
        history.challenges.retain(|_, remembered| remembered.entry.epoch_id >= oldest);
        while history.challenges.len() as u64 > limits.challenges_max {
            history.challenges.pop_first();
        }
        history.evidence.retain(|evidence| evidence.epoch_id >= oldest);
        let surplus = (history.evidence.len() as u64).saturating_sub(limits.evidence_max);
        history.evidence.drain(..usize::try_from(surplus).unwrap_or(usize::MAX).min(history.evidence.len()));
        Ok((before - history.challenges.len() - history.evidence.len()) as u64)
    }
}
