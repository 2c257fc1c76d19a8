//! The rows of the tables, and the way between them and the types of the seam.
//!
//! Owns the translation and its refusals: a number or text that a database can't hold, a word or number in a row that
//! this version does not know. Nothing here is particular to one database, and what one can't hold is refused for all.

pub(crate) mod history;

use crate::schema::{
    heal_claims_submitted, heal_verifications_submitted, proof_rows, recheck_attempt_failures,
    storage_recheck_submissions,
};
use diesel::prelude::*;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::StorageProofResult;
use lampkeeper_plugin_sdk::api::journal::{
    HealClaim, HealVerification, PendingProofRow, RecheckFailures, RecheckSubmission, SubmissionStatus,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};
use lampkeeper_plugin_sdk::serde_json;

/// What is wrong with a row, for people.
pub(crate) type Misfit = String;

/// The database's word for a status (wire 8.1).
pub(crate) const fn status_word(status: SubmissionStatus) -> &'static str {
    match status {
        SubmissionStatus::Pending => "pending",
        SubmissionStatus::Submitted => "submitted",
    }
}

fn status_of(word: &str) -> Result<SubmissionStatus, Misfit> {
    match word {
        "pending" => Ok(SubmissionStatus::Pending),
        "submitted" => Ok(SubmissionStatus::Submitted),
        _ => Err(format!("`{word}` is not a status")),
    }
}

/// Databases have signed numbers. No chain has counted as far as half of what 64 bits hold.
pub(crate) fn to_number(name: &str, value: u64) -> Result<i64, Misfit> {
    i64::try_from(value).map_err(|_| format!("{name} {value} is larger than the journal can hold"))
}

/// The way back from [`to_number`].
pub(crate) fn from_number<T: TryFrom<i64>>(name: &str, value: i64) -> Result<T, Misfit> {
    T::try_from(value).map_err(|_| format!("{value} is not a {name}"))
}

/// A text that names something. PostgreSQL has no NUL in texts.
pub(crate) fn to_text(name: &str, value: &str) -> Result<String, Misfit> {
    if value.contains('\0') {
        return Err(format!("the {name} {value:?} has a NUL character, which no journal can hold"));
    }
    Ok(value.to_owned())
}

/// A text for people, of which a part may come from a peer: a peer must not be able to have a row refused.
fn to_remark(value: &str) -> String {
    value.replace('\0', "\u{FFFD}")
}

fn word_of<T>(name: &str, number: i32, from_number: fn(i32) -> Option<T>) -> Result<T, Misfit> {
    from_number(number).ok_or_else(|| format!("{number} is not a {name}"))
}

/// A healer's claim.
#[derive(Debug, Clone, Queryable, Insertable, Selectable)]
#[diesel(table_name = heal_claims_submitted)]
pub(crate) struct ClaimRow {
    heal_op_id: i64,
    ticket_id: String,
    manifest_hash: String,
    status: String,
    recorded_at_s: i64,
}

impl ClaimRow {
    pub(crate) fn of(claim: &HealClaim) -> Result<Self, Misfit> {
        Ok(Self {
            heal_op_id: to_number("heal operation", claim.heal_op_id)?,
            ticket_id: to_text("ticket", &claim.ticket_id)?,
            manifest_hash: to_text("manifest hash", &claim.manifest_hash)?,
            status: status_word(claim.status).to_owned(),
            recorded_at_s: claim.recorded_at_s,
        })
    }

    pub(crate) fn into_claim(self) -> Result<HealClaim, Misfit> {
        Ok(HealClaim {
            heal_op_id: from_number("heal operation", self.heal_op_id)?,
            status: status_of(&self.status)?,
            ticket_id: self.ticket_id,
            manifest_hash: self.manifest_hash,
            recorded_at_s: self.recorded_at_s,
        })
    }
}

/// A verifier's vote.
#[derive(Debug, Clone, Queryable, Insertable, Selectable)]
#[diesel(table_name = heal_verifications_submitted)]
pub(crate) struct VerificationRow {
    heal_op_id: i64,
    verifier_account: String,
    verified: bool,
    verification_hash: String,
    status: String,
    recorded_at_s: i64,
}

impl VerificationRow {
    pub(crate) fn of(verification: &HealVerification) -> Result<Self, Misfit> {
        Ok(Self {
            heal_op_id: to_number("heal operation", verification.heal_op_id)?,
            verifier_account: to_text("verifier", &verification.verifier_account)?,
            verified: verification.verified,
            verification_hash: to_text("verification hash", &verification.verification_hash)?,
            status: status_word(verification.status).to_owned(),
            recorded_at_s: verification.recorded_at_s,
        })
    }

    pub(crate) fn into_verification(self) -> Result<HealVerification, Misfit> {
        Ok(HealVerification {
            heal_op_id: from_number("heal operation", self.heal_op_id)?,
            status: status_of(&self.status)?,
            verifier_account: self.verifier_account,
            verified: self.verified,
            verification_hash: self.verification_hash,
            recorded_at_s: self.recorded_at_s,
        })
    }
}

/// Evidence of a recheck.
#[derive(Debug, Clone, Queryable, Insertable, Selectable)]
#[diesel(table_name = storage_recheck_submissions)]
pub(crate) struct RecheckRow {
    epoch_id: i64,
    ticket_id: String,
    target_account: String,
    challenged_transcript_hash: String,
    recheck_transcript_hash: String,
    result_class: i32,
    status: String,
    recorded_at_s: i64,
}

impl RecheckRow {
    /// Epoch 0 and an empty ticket are refused (wire 8.1).
    pub(crate) fn of(submission: &RecheckSubmission) -> Result<Self, Misfit> {
        check_recheck_key(submission.epoch_id, &submission.ticket_id)?;
        Ok(Self {
            epoch_id: to_number("epoch", submission.epoch_id)?,
            ticket_id: to_text("ticket", &submission.ticket_id)?,
            target_account: to_text("target", &submission.target_account)?,
            challenged_transcript_hash: to_text(
                "challenged transcript hash",
                &submission.challenged_transcript_hash,
            )?,
            recheck_transcript_hash: to_text("recheck transcript hash", &submission.recheck_transcript_hash)?,
            result_class: submission.result_class.number(),
            status: status_word(submission.status).to_owned(),
            recorded_at_s: submission.recorded_at_s,
        })
    }

    pub(crate) fn into_submission(self) -> Result<RecheckSubmission, Misfit> {
        Ok(RecheckSubmission {
            epoch_id: from_number("epoch", self.epoch_id)?,
            result_class: word_of("result class", self.result_class, ResultClass::from_number)?,
            status: status_of(&self.status)?,
            ticket_id: self.ticket_id,
            target_account: self.target_account,
            challenged_transcript_hash: self.challenged_transcript_hash,
            recheck_transcript_hash: self.recheck_transcript_hash,
            recorded_at_s: self.recorded_at_s,
        })
    }
}

fn check_recheck_key(epoch_id: EpochId, ticket_id: &str) -> Result<(), Misfit> {
    match (epoch_id, ticket_id) {
        (0, _) => Err("epoch 0 has no results to recheck".to_owned()),
        (_, "") => Err("the ticket is empty".to_owned()),
        _ => Ok(()),
    }
}

/// Attempts at a recheck that failed.
#[derive(Debug, Clone, Queryable, Insertable, Selectable)]
#[diesel(table_name = recheck_attempt_failures)]
pub(crate) struct FailuresRow {
    epoch_id: i64,
    ticket_id: String,
    target_account: String,
    attempts: i64,
    last_error: String,
    expires_at_s: i64,
}

impl FailuresRow {
    /// The row of a first failure; what `failures` says about their number is not looked at.
    pub(crate) fn first_of(failures: &RecheckFailures) -> Result<Self, Misfit> {
        Ok(Self {
            epoch_id: to_number("epoch", failures.epoch_id)?,
            ticket_id: to_text("ticket", &failures.ticket_id)?,
            target_account: to_text("target", &failures.target_account)?,
            attempts: 1,
            last_error: to_remark(&failures.last_error),
            expires_at_s: failures.expires_at_s,
        })
    }

    pub(crate) fn into_failures(self) -> Result<RecheckFailures, Misfit> {
        Ok(RecheckFailures {
            epoch_id: from_number("epoch", self.epoch_id)?,
            attempts: from_number("number of attempts", self.attempts)?,
            ticket_id: self.ticket_id,
            target_account: self.target_account,
            last_error: self.last_error,
            expires_at_s: self.expires_at_s,
        })
    }
}

/// A row of proof as it is appended; the database numbers it.
#[derive(Debug, Clone, Queryable, Insertable, Selectable)]
#[diesel(table_name = proof_rows)]
pub(crate) struct NewProofRow {
    epoch_id: i64,
    target_account: String,
    challenger_account: String,
    ticket_id: String,
    bucket_type: i32,
    artifact_class: i32,
    artifact_ordinal: i64,
    artifact_key: String,
    result_class: i32,
    transcript_hash: String,
    details: String,
    artifact_count: i64,
    derivation_input_hash: String,
    challenger_signature: String,
    observer_attestation_signatures: String,
}

/// A row of proof with its number.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = proof_rows)]
pub(crate) struct ProofRow {
    sequence: i64,
    #[diesel(embed)]
    row: NewProofRow,
}

impl NewProofRow {
    pub(crate) fn of(epoch_id: EpochId, row: &StorageProofResult) -> Result<Self, Misfit> {
        let signatures = serde_json::to_string(&row.observer_attestation_signatures);
        Ok(Self {
            epoch_id: to_number("epoch", epoch_id)?,
            target_account: to_text("target", &row.target_supernode_account)?,
            challenger_account: to_text("challenger", &row.challenger_supernode_account)?,
            ticket_id: to_text("ticket", &row.ticket_id)?,
            bucket_type: row.bucket_type.number(),
            artifact_class: row.artifact_class.number(),
            artifact_ordinal: row.artifact_ordinal.into(),
            artifact_key: to_text("artifact key", &row.artifact_key)?,
            result_class: row.result_class.number(),
            transcript_hash: to_text("transcript hash", &row.transcript_hash)?,
            details: to_remark(&row.details),
            artifact_count: row.artifact_count.into(),
            derivation_input_hash: to_text("derivation input hash", &row.derivation_input_hash)?,
            challenger_signature: to_text("challenger signature", &row.challenger_signature)?,
            observer_attestation_signatures: signatures.map_err(|error| error.to_string())?,
        })
    }

    fn into_result(self) -> Result<StorageProofResult, Misfit> {
        let signatures = serde_json::from_str(&self.observer_attestation_signatures);
        Ok(StorageProofResult {
            bucket_type: word_of("bucket", self.bucket_type, Bucket::from_number)?,
            artifact_class: word_of("artifact class", self.artifact_class, ArtifactClass::from_number)?,
            artifact_ordinal: from_number("artifact ordinal", self.artifact_ordinal)?,
            result_class: word_of("result class", self.result_class, ResultClass::from_number)?,
            artifact_count: from_number("number of artifacts", self.artifact_count)?,
            observer_attestation_signatures: signatures
                .map_err(|error| format!("the attestations are not a list of texts: {error}"))?,
            target_supernode_account: self.target_account,
            challenger_supernode_account: self.challenger_account,
            ticket_id: self.ticket_id,
            artifact_key: self.artifact_key,
            transcript_hash: self.transcript_hash,
            details: self.details,
            derivation_input_hash: self.derivation_input_hash,
            challenger_signature: self.challenger_signature,
        })
    }
}

impl ProofRow {
    pub(crate) fn into_pending(self) -> Result<PendingProofRow, Misfit> {
        Ok(PendingProofRow {
            sequence: from_number("sequence", self.sequence)?,
            epoch_id: from_number("epoch", self.row.epoch_id)?,
            row: self.row.into_result()?,
        })
    }
}
