//! The journal of a disk. Each call is one transaction: it has happened or it has not.

use super::{NodeDisk, Trouble};
use crate::sim::defect::Defect;
use crate::sim::submissions::{claim_key, recheck_key, vote_key};
use lampkeeper_api::chain::StorageProofResult;
use lampkeeper_api::history::{
    ChallengeEntry, EvidenceSummary, HistoryFilter, HistoryJournal, HistoryLimits, KeptEvidence,
    RecordedChallenge,
};
use lampkeeper_api::journal::{
    HealClaim, HealJournal, HealVerification, JournalError, PendingProofRow, ProofJournal, RecheckFailures,
    RecheckJournal, RecheckSubmission, Recorded,
};
use lampkeeper_api::{BoxFuture, EpochId};
use lampkeeper_plugin_sdk::async_trait;

/// The journal of a disk.
pub struct DiskJournal(pub NodeDisk);

fn journal_error(trouble: Trouble, attempted: &str) -> JournalError {
    let reason = match trouble {
        Trouble::Io => "injected disk fault",
        Trouble::Full => "no room, by an injected disk fault",
    };
    JournalError::Io { attempted: attempted.to_owned(), reason: reason.to_owned() }
}

impl DiskJournal {
    async fn read<T>(
        &self,
        work: impl Future<Output = Result<T, JournalError>> + Send,
    ) -> Result<T, JournalError> {
        self.0.read(work).await.map_err(|trouble| journal_error(trouble, "reading the journal"))?
    }

    async fn write<T: Send>(&self, work: BoxFuture<'_, Result<T, JournalError>>) -> Result<T, JournalError> {
        let written = self.0.write(true, work, None).await;
        written.map_err(|trouble| journal_error(trouble, "writing the journal"))?
    }

    /// Marks a message as executed; from then on every life knows it.
    async fn mark(
        &self,
        key: String,
        work: BoxFuture<'_, Result<bool, JournalError>>,
    ) -> Result<bool, JournalError> {
        let owner = self.0.owner();
        let marked = if owner.suffers(Defect::ForgetsExecution) { true } else { self.write(work).await? };
        if marked {
            owner.ledger.written_down(&owner.account, key);
        }
        Ok(marked)
    }
}

#[async_trait]
impl HealJournal for DiskJournal {
    async fn insert_claim(&self, claim: &HealClaim) -> Result<Recorded, JournalError> {
        self.write(self.0.journal.insert_claim(claim)).await
    }

    async fn mark_claim_submitted(&self, heal_op_id: u64, now_s: i64) -> Result<bool, JournalError> {
        self.mark(claim_key(heal_op_id), self.0.journal.mark_claim_submitted(heal_op_id, now_s)).await
    }

    async fn delete_claim(&self, heal_op_id: u64) -> Result<bool, JournalError> {
        if self.0.owner().suffers(Defect::KeepsClaims) {
            return Ok(true);
        }
        self.write(self.0.journal.delete_claim(heal_op_id)).await
    }

    async fn claim(&self, heal_op_id: u64) -> Result<Option<HealClaim>, JournalError> {
        self.read(self.0.journal.claim(heal_op_id)).await
    }

    async fn claims(&self) -> Result<Vec<HealClaim>, JournalError> {
        self.read(self.0.journal.claims()).await
    }

    async fn insert_verification(&self, verification: &HealVerification) -> Result<Recorded, JournalError> {
        self.write(self.0.journal.insert_verification(verification)).await
    }

    async fn mark_verification_submitted(
        &self,
        heal_op_id: u64,
        verifier: &str,
        now_s: i64,
    ) -> Result<bool, JournalError> {
        let work = self.0.journal.mark_verification_submitted(heal_op_id, verifier, now_s);
        self.mark(vote_key(heal_op_id), work).await
    }

    async fn delete_verification(&self, heal_op_id: u64, verifier: &str) -> Result<bool, JournalError> {
        self.write(self.0.journal.delete_verification(heal_op_id, verifier)).await
    }

    async fn verification(
        &self,
        heal_op_id: u64,
        verifier: &str,
    ) -> Result<Option<HealVerification>, JournalError> {
        self.read(self.0.journal.verification(heal_op_id, verifier)).await
    }

    async fn verifications(&self) -> Result<Vec<HealVerification>, JournalError> {
        self.read(self.0.journal.verifications()).await
    }
}

#[async_trait]
impl RecheckJournal for DiskJournal {
    async fn insert_recheck(&self, submission: &RecheckSubmission) -> Result<Recorded, JournalError> {
        self.write(self.0.journal.insert_recheck(submission)).await
    }

    async fn mark_recheck_submitted(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
        now_s: i64,
    ) -> Result<bool, JournalError> {
        let work = self.0.journal.mark_recheck_submitted(epoch_id, ticket_id, now_s);
        self.mark(recheck_key(epoch_id, ticket_id), work).await
    }

    async fn delete_recheck(&self, epoch_id: EpochId, ticket_id: &str) -> Result<bool, JournalError> {
        self.write(self.0.journal.delete_recheck(epoch_id, ticket_id)).await
    }

    async fn recheck(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
    ) -> Result<Option<RecheckSubmission>, JournalError> {
        self.read(self.0.journal.recheck(epoch_id, ticket_id)).await
    }

    async fn rechecks(&self) -> Result<Vec<RecheckSubmission>, JournalError> {
        self.read(self.0.journal.rechecks()).await
    }

    async fn record_recheck_failure(&self, failure: &RecheckFailures) -> Result<u32, JournalError> {
        self.write(self.0.journal.record_recheck_failure(failure)).await
    }

    async fn recheck_failures(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
        now_s: i64,
    ) -> Result<Option<RecheckFailures>, JournalError> {
        self.read(self.0.journal.recheck_failures(epoch_id, ticket_id, now_s)).await
    }

    async fn delete_expired_recheck_failures(&self, now_s: i64) -> Result<u64, JournalError> {
        self.write(self.0.journal.delete_expired_recheck_failures(now_s)).await
    }
}

#[async_trait]
impl ProofJournal for DiskJournal {
    async fn append_proof_rows(
        &self,
        epoch_id: EpochId,
        rows: &[StorageProofResult],
    ) -> Result<(), JournalError> {
        self.write(self.0.journal.append_proof_rows(epoch_id, rows)).await
    }

    async fn proof_rows(&self, epoch_id: EpochId) -> Result<Vec<PendingProofRow>, JournalError> {
        self.read(self.0.journal.proof_rows(epoch_id)).await
    }

    async fn epochs_with_proof_rows(&self) -> Result<Vec<EpochId>, JournalError> {
        self.read(self.0.journal.epochs_with_proof_rows()).await
    }

    async fn delete_proof_rows(&self, epoch_id: EpochId) -> Result<u64, JournalError> {
        self.write(self.0.journal.delete_proof_rows(epoch_id)).await
    }

    async fn epoch_marker(&self, name: &str) -> Result<Option<EpochId>, JournalError> {
        self.read(self.0.journal.epoch_marker(name)).await
    }

    async fn raise_epoch_marker(
        &self,
        name: &str,
        epoch_id: EpochId,
        now_s: i64,
    ) -> Result<(), JournalError> {
        self.write(self.0.journal.raise_epoch_marker(name, epoch_id, now_s)).await
    }
}

#[async_trait]
impl HistoryJournal for DiskJournal {
    async fn record_challenges(
        &self,
        entries: &[ChallengeEntry],
        evidence: &[KeptEvidence],
    ) -> Result<(), JournalError> {
        self.write(self.0.journal.record_challenges(entries, evidence)).await
    }

    async fn mark_rows_reported(
        &self,
        epoch_id: EpochId,
        transcript_hashes: &[String],
    ) -> Result<u64, JournalError> {
        self.write(self.0.journal.mark_rows_reported(epoch_id, transcript_hashes)).await
    }

    async fn challenges(&self, filter: &HistoryFilter) -> Result<Vec<RecordedChallenge>, JournalError> {
        self.read(self.0.journal.challenges(filter)).await
    }

    async fn recorded_challenge(
        &self,
        challenge_number: u64,
    ) -> Result<Option<RecordedChallenge>, JournalError> {
        self.read(self.0.journal.recorded_challenge(challenge_number)).await
    }

    async fn evidence_list(&self, filter: &HistoryFilter) -> Result<Vec<EvidenceSummary>, JournalError> {
        self.read(self.0.journal.evidence_list(filter)).await
    }

    async fn evidence(&self, evidence_id: &str) -> Result<Option<KeptEvidence>, JournalError> {
        self.read(self.0.journal.evidence(evidence_id)).await
    }

    async fn trim_history(&self, limits: &HistoryLimits) -> Result<u64, JournalError> {
        self.write(self.0.journal.trim_history(limits)).await
    }
}
