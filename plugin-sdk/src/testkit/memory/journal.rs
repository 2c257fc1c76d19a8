//! A [`Journal`](lampkeeper_api::journal::Journal) in memory.

mod history;

use async_trait::async_trait;
use history::History;
use lampkeeper_api::chain::StorageProofResult;
use lampkeeper_api::journal::{
    HealClaim, HealJournal, HealVerification, JournalError, PROOF_ROWS_PER_EPOCH_MAX, PendingProofRow,
    ProofJournal, RecheckFailures, RecheckJournal, RecheckSubmission, Recorded, SubmissionStatus,
};
use lampkeeper_api::{Account, EpochId, TicketId};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a node has decided, in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    claims: BTreeMap<u64, HealClaim>,
    verifications: BTreeMap<(u64, Account), HealVerification>,
    rechecks: BTreeMap<(EpochId, TicketId), RecheckSubmission>,
    recheck_failures: BTreeMap<(EpochId, TicketId), RecheckFailures>,
    proof_rows: BTreeMap<EpochId, Vec<PendingProofRow>>,
    proof_rows_appended: u64,
    epoch_markers: BTreeMap<String, EpochId>,
    history: History,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert<K: Ord, V: Clone>(table: &mut BTreeMap<K, V>, key: K, row: &V) -> Recorded {
    match table.entry(key) {
        Entry::Occupied(_) => Recorded::AlreadyRecorded,
        Entry::Vacant(place) => {
            place.insert(row.clone());
            Recorded::New
        }
    }
}

#[async_trait]
impl HealJournal for MemoryJournal {
    async fn insert_claim(&self, claim: &HealClaim) -> Result<Recorded, JournalError> {
        Ok(insert(&mut self.lock().claims, claim.heal_op_id, claim))
    }

    async fn mark_claim_submitted(&self, heal_op_id: u64, now_s: i64) -> Result<bool, JournalError> {
        let mut tables = self.lock();
        let Some(claim) = tables.claims.get_mut(&heal_op_id) else { return Ok(false) };
        (claim.status, claim.recorded_at_s) = (SubmissionStatus::Submitted, now_s);
        Ok(true)
    }

    async fn delete_claim(&self, heal_op_id: u64) -> Result<bool, JournalError> {
        Ok(self.lock().claims.remove(&heal_op_id).is_some())
    }

    async fn claim(&self, heal_op_id: u64) -> Result<Option<HealClaim>, JournalError> {
        Ok(self.lock().claims.get(&heal_op_id).cloned())
    }

    async fn claims(&self) -> Result<Vec<HealClaim>, JournalError> {
        Ok(self.lock().claims.values().cloned().collect())
    }

    async fn insert_verification(&self, verification: &HealVerification) -> Result<Recorded, JournalError> {
        let key = (verification.heal_op_id, verification.verifier_account.clone());
        Ok(insert(&mut self.lock().verifications, key, verification))
    }

    async fn mark_verification_submitted(
        &self,
        heal_op_id: u64,
        verifier: &str,
        now_s: i64,
    ) -> Result<bool, JournalError> {
        let mut tables = self.lock();
        let vote = tables.verifications.get_mut(&(heal_op_id, verifier.to_owned()));
        let Some(vote) = vote else { return Ok(false) };
        (vote.status, vote.recorded_at_s) = (SubmissionStatus::Submitted, now_s);
        Ok(true)
    }

    async fn delete_verification(&self, heal_op_id: u64, verifier: &str) -> Result<bool, JournalError> {
        Ok(self.lock().verifications.remove(&(heal_op_id, verifier.to_owned())).is_some())
    }

    async fn verification(
        &self,
        heal_op_id: u64,
        verifier: &str,
    ) -> Result<Option<HealVerification>, JournalError> {
        Ok(self.lock().verifications.get(&(heal_op_id, verifier.to_owned())).cloned())
    }

    async fn verifications(&self) -> Result<Vec<HealVerification>, JournalError> {
        Ok(self.lock().verifications.values().cloned().collect())
    }
}

#[async_trait]
impl RecheckJournal for MemoryJournal {
    async fn insert_recheck(&self, submission: &RecheckSubmission) -> Result<Recorded, JournalError> {
        if submission.epoch_id == 0 || submission.ticket_id.is_empty() {
            return Err(JournalError::InvalidRow {
                attempted: format!("recording the recheck of ticket `{}`", submission.ticket_id),
                reason: "it needs an epoch above 0 and a ticket".to_owned(),
            });
        }
        let key = (submission.epoch_id, submission.ticket_id.clone());
        Ok(insert(&mut self.lock().rechecks, key, submission))
    }

    async fn mark_recheck_submitted(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
        now_s: i64,
    ) -> Result<bool, JournalError> {
        let mut tables = self.lock();
        let submission = tables.rechecks.get_mut(&(epoch_id, ticket_id.to_owned()));
        let Some(submission) = submission else { return Ok(false) };
        (submission.status, submission.recorded_at_s) = (SubmissionStatus::Submitted, now_s);
        Ok(true)
    }

    async fn delete_recheck(&self, epoch_id: EpochId, ticket_id: &str) -> Result<bool, JournalError> {
        Ok(self.lock().rechecks.remove(&(epoch_id, ticket_id.to_owned())).is_some())
    }

    async fn recheck(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
    ) -> Result<Option<RecheckSubmission>, JournalError> {
        Ok(self.lock().rechecks.get(&(epoch_id, ticket_id.to_owned())).cloned())
    }

    async fn rechecks(&self) -> Result<Vec<RecheckSubmission>, JournalError> {
        Ok(self.lock().rechecks.values().cloned().collect())
    }

    async fn record_recheck_failure(&self, failure: &RecheckFailures) -> Result<u32, JournalError> {
        let mut tables = self.lock();
        let key = (failure.epoch_id, failure.ticket_id.clone());
        let attempts = tables.recheck_failures.get(&key).map_or(0, |known| known.attempts).saturating_add(1);
        tables.recheck_failures.insert(key, RecheckFailures { attempts, ..failure.clone() });
        Ok(attempts)
    }

    async fn recheck_failures(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
        now_s: i64,
    ) -> Result<Option<RecheckFailures>, JournalError> {
        let tables = self.lock();
        let known = tables.recheck_failures.get(&(epoch_id, ticket_id.to_owned()));
        Ok(known.filter(|failures| failures.expires_at_s > now_s).cloned())
    }

    async fn delete_expired_recheck_failures(&self, now_s: i64) -> Result<u64, JournalError> {
        let mut tables = self.lock();
        let before = tables.recheck_failures.len();
        tables.recheck_failures.retain(|_, failures| failures.expires_at_s > now_s);
        Ok((before - tables.recheck_failures.len()) as u64)
    }
}

#[async_trait]
impl ProofJournal for MemoryJournal {
    async fn append_proof_rows(
        &self,
        epoch_id: EpochId,
        rows: &[StorageProofResult],
    ) -> Result<(), JournalError> {
        let mut tables = self.lock();
        let waiting = tables.proof_rows.get(&epoch_id).map_or(0, Vec::len);
        if waiting.saturating_add(rows.len()) > PROOF_ROWS_PER_EPOCH_MAX {
            return Err(JournalError::TooManyRows { epoch_id, max: PROOF_ROWS_PER_EPOCH_MAX });
        }
        for row in rows {
            tables.proof_rows_appended += 1;
            let row = PendingProofRow { sequence: tables.proof_rows_appended, epoch_id, row: row.clone() };
            tables.proof_rows.entry(epoch_id).or_default().push(row);
        }
        Ok(())
    }

    async fn proof_rows(&self, epoch_id: EpochId) -> Result<Vec<PendingProofRow>, JournalError> {
        Ok(self.lock().proof_rows.get(&epoch_id).cloned().unwrap_or_default())
    }

    async fn epochs_with_proof_rows(&self) -> Result<Vec<EpochId>, JournalError> {
        Ok(self.lock().proof_rows.keys().copied().collect())
    }

    async fn delete_proof_rows(&self, epoch_id: EpochId) -> Result<u64, JournalError> {
        Ok(self.lock().proof_rows.remove(&epoch_id).map_or(0, |rows| rows.len() as u64))
    }

    async fn epoch_marker(&self, name: &str) -> Result<Option<EpochId>, JournalError> {
        Ok(self.lock().epoch_markers.get(name).copied())
    }

    async fn raise_epoch_marker(
        &self,
        name: &str,
        epoch_id: EpochId,
        _now_s: i64,
    ) -> Result<(), JournalError> {
        let mut tables = self.lock();
        let marker = tables.epoch_markers.entry(name.to_owned()).or_insert(epoch_id);
        *marker = epoch_id.max(*marker);
        Ok(())
    }
}
