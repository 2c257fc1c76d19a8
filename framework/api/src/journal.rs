//! What this node has durably decided.
//!
//! Owns the [`Journal`] seam, split by who calls it. A call has returned only when its effect survives a crash. The
//! meaning of the rows is the services' (wire 3.10, 5.4 to 5.11, 6.4, 8.1).

use crate::chain::StorageProofResult;
use crate::history::HistoryJournal;
use crate::{Account, EpochId, TicketId};
use lampkeeper_api_macros::seam;
use lampkeeper_protocol::words::ResultClass;
use serde::{Deserialize, Serialize};

/// Rows that one epoch may have waiting; more are refused, oldest kept.
pub const PROOF_ROWS_PER_EPOCH_MAX: usize = 4096;

/// How far a submission has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubmissionStatus {
    /// Decided; whether the chain has it is not known.
    Pending,
    /// The chain has executed it.
    Submitted,
}

/// The outcome of an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recorded {
    /// The row is new.
    New,
    /// A row with this key was there already and is unchanged.
    AlreadyRecorded,
}

/// A healer's claim (wire 8.1, `heal_claims_submitted`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealClaim {
    /// The operation.
    pub heal_op_id: u64,
    /// Its ticket.
    pub ticket_id: TicketId,
    /// What was claimed.
    pub manifest_hash: String,
    /// How far it has come.
    pub status: SubmissionStatus,
    /// When the status was set, in seconds since 1970.
    pub recorded_at_s: i64,
}

/// A verifier's vote (wire 8.1, `heal_verifications_submitted`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealVerification {
    /// The operation.
    pub heal_op_id: u64,
    /// Who voted.
    pub verifier_account: Account,
    /// The vote.
    pub verified: bool,
    /// What was sent with it.
    pub verification_hash: String,
    /// How far it has come.
    pub status: SubmissionStatus,
    /// When the status was set, in seconds since 1970.
    pub recorded_at_s: i64,
}

/// Evidence of a recheck (wire 8.1, `storage_recheck_submissions`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecheckSubmission {
    /// The epoch of the challenged result.
    pub epoch_id: EpochId,
    /// Its ticket.
    pub ticket_id: TicketId,
    /// Its target.
    pub target_account: Account,
    /// Its transcript hash.
    pub challenged_transcript_hash: String,
    /// The repetition's transcript hash.
    pub recheck_transcript_hash: String,
    /// What the repetition found.
    pub result_class: ResultClass,
    /// How far it has come.
    pub status: SubmissionStatus,
    /// When the status was set, in seconds since 1970.
    pub recorded_at_s: i64,
}

/// Attempts at a recheck that failed (wire 8.1, `recheck_attempt_failures`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecheckFailures {
    /// The epoch of the challenged result.
    pub epoch_id: EpochId,
    /// Its ticket.
    pub ticket_id: TicketId,
    /// Its target.
    pub target_account: Account,
    /// Failures since the memory of them last lapsed.
    pub attempts: u32,
    /// The latest, for people.
    pub last_error: String,
    /// When the memory lapses, in seconds since 1970.
    pub expires_at_s: i64,
}

/// A row of proof that waits for its report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingProofRow {
    /// Ascends with every row appended; the order of arrival.
    pub sequence: u64,
    /// The epoch it belongs to.
    pub epoch_id: EpochId,
    /// The row.
    pub row: StorageProofResult,
}

/// The healing service's part.
#[seam("journal:heal")]
pub trait HealJournal: Send + Sync {
    /// Records a claim that is about to be submitted.
    async fn insert_claim(&self, claim: &HealClaim) -> Result<Recorded, JournalError>;
    /// Notes that the chain has executed a claim; whether there was such a row.
    async fn mark_claim_submitted(&self, heal_op_id: u64, now_s: i64) -> Result<bool, JournalError>;
    /// Forgets a claim; whether there was such a row.
    async fn delete_claim(&self, heal_op_id: u64) -> Result<bool, JournalError>;
    /// One claim.
    async fn claim(&self, heal_op_id: u64) -> Result<Option<HealClaim>, JournalError>;
    /// All claims, by ascending operation.
    async fn claims(&self) -> Result<Vec<HealClaim>, JournalError>;
    /// Records a vote that is about to be submitted.
    async fn insert_verification(&self, verification: &HealVerification) -> Result<Recorded, JournalError>;
    /// Notes that the chain has executed a vote; whether there was such a row.
    async fn mark_verification_submitted(
        &self,
        heal_op_id: u64,
        verifier: &str,
        now_s: i64,
    ) -> Result<bool, JournalError>;
    /// Forgets a vote; whether there was such a row.
    async fn delete_verification(&self, heal_op_id: u64, verifier: &str) -> Result<bool, JournalError>;
    /// One vote.
    async fn verification(
        &self,
        heal_op_id: u64,
        verifier: &str,
    ) -> Result<Option<HealVerification>, JournalError>;
    /// All votes, by ascending operation and account.
    async fn verifications(&self) -> Result<Vec<HealVerification>, JournalError>;
}

/// The recheck service's part.
#[seam("journal:recheck")]
pub trait RecheckJournal: Send + Sync {
    /// Records evidence that is about to be submitted; one for each epoch and ticket. Epoch 0 and an empty ticket are
    /// refused (wire 8.1).
    async fn insert_recheck(&self, submission: &RecheckSubmission) -> Result<Recorded, JournalError>;
    /// Notes that the chain has executed the evidence; whether there was such a row.
    async fn mark_recheck_submitted(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
        now_s: i64,
    ) -> Result<bool, JournalError>;
    /// Forgets evidence; whether there was such a row.
    async fn delete_recheck(&self, epoch_id: EpochId, ticket_id: &str) -> Result<bool, JournalError>;
    /// The evidence for an epoch and ticket.
    async fn recheck(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
    ) -> Result<Option<RecheckSubmission>, JournalError>;
    /// All evidence, by ascending epoch and ticket.
    async fn rechecks(&self) -> Result<Vec<RecheckSubmission>, JournalError>;
    /// Adds one failure and prolongs the memory of it; the number of attempts now.
    async fn record_recheck_failure(&self, failure: &RecheckFailures) -> Result<u32, JournalError>;
    /// The failures of an epoch and ticket that have not lapsed at `now_s`.
    async fn recheck_failures(
        &self,
        epoch_id: EpochId,
        ticket_id: &str,
        now_s: i64,
    ) -> Result<Option<RecheckFailures>, JournalError>;
    /// Forgets what has lapsed at `now_s`; how many rows.
    async fn delete_expired_recheck_failures(&self, now_s: i64) -> Result<u64, JournalError>;
}

/// The challenger's and the reporter's part.
#[seam("journal:proof")]
pub trait ProofJournal: Send + Sync {
    /// Appends rows of an epoch, all or none.
    async fn append_proof_rows(
        &self,
        epoch_id: EpochId,
        rows: &[StorageProofResult],
    ) -> Result<(), JournalError>;
    /// The rows of an epoch, by ascending sequence; they stay.
    async fn proof_rows(&self, epoch_id: EpochId) -> Result<Vec<PendingProofRow>, JournalError>;
    /// The epochs that have rows, ascending.
    async fn epochs_with_proof_rows(&self) -> Result<Vec<EpochId>, JournalError>;
    /// Removes the rows of an epoch; how many.
    async fn delete_proof_rows(&self, epoch_id: EpochId) -> Result<u64, JournalError>;
    /// An epoch that was remembered under a name, such as the last one dispatched (wire 8.1,
    /// `storage_challenge_state`).
    async fn epoch_marker(&self, name: &str) -> Result<Option<EpochId>, JournalError>;
    /// Remembers an epoch under a name; never lowers what is there.
    async fn raise_epoch_marker(&self, name: &str, epoch_id: EpochId, now_s: i64)
    -> Result<(), JournalError>;
}

/// Everything a node writes down.
#[seam("journal")]
pub trait Journal: HealJournal + RecheckJournal + ProofJournal + HistoryJournal {}

impl<T: HealJournal + RecheckJournal + ProofJournal + HistoryJournal + ?Sized> Journal for T {}

/// The journal could not be read or written. Never a verdict about a peer, and never a reason to destroy anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The database failed or is busy.
    #[error("{attempted}: {reason}")]
    Io {
        /// What was attempted.
        attempted: String,
        /// What went wrong.
        reason: String,
    },
    /// A row holds something that this version can't read.
    #[error("{attempted}: the row is not readable: {reason}")]
    Corrupt {
        /// What was attempted.
        attempted: String,
        /// What was wrong with the row.
        reason: String,
    },
    /// The row may not be written: it lacks what identifies it (wire 8.1), or has a number that no journal holds.
    #[error("{attempted}: {reason}")]
    InvalidRow {
        /// What was attempted.
        attempted: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An epoch has too many rows waiting.
    #[error("epoch {epoch_id} already has {max} proof rows waiting; the new rows were refused")]
    TooManyRows {
        /// The epoch.
        epoch_id: EpochId,
        /// The limit.
        max: usize,
    },
    /// The plugin behind the journal is not running.
    #[error("the journal is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl JournalError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Unavailable { .. } => true,
            Self::Corrupt { .. } | Self::InvalidRow { .. } | Self::TooManyRows { .. } => false,
        }
    }
}
