//! The rows of the memory of challenges.

use super::{Misfit, from_number, to_number, to_remark, to_text, word_of};
use crate::schema::{challenge_history, evidence};
use diesel::prelude::*;
use lampkeeper_plugin_sdk::api::challenge::Observation;
use lampkeeper_plugin_sdk::api::history::{
    ChallengeEnd, ChallengeEntry, EVIDENCE_RECORD_LEN_BYTES_MAX, EvidenceSummary, KeptEvidence,
    RecordedChallenge, RowState,
};
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};

/// A challenge as it is recorded; the database numbers it.
#[derive(Debug, Clone, Queryable, Insertable, Selectable)]
#[diesel(table_name = challenge_history)]
pub(crate) struct NewChallengeRow {
    epoch_id: i64,
    target_account: String,
    ticket_id: String,
    bucket_type: i32,
    artifact_class: i32,
    artifact_key: String,
    ended: String,
    result_class: i32,
    pub(crate) transcript_hash: String,
    details: String,
    proof: String,
    proof_bytes: i64,
    attempts: i64,
    duration_ms: i64,
    ended_at_s: i64,
    evidence_id: Option<String>,
    is_reported: bool,
}

/// A challenge with its number.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = challenge_history)]
pub(crate) struct ChallengeRow {
    challenge_number: i64,
    #[diesel(embed)]
    pub(crate) row: NewChallengeRow,
}

impl NewChallengeRow {
    pub(crate) fn of(entry: &ChallengeEntry) -> Result<Self, Misfit> {
        let evidence_id = entry.evidence_id.as_deref().map(|id| to_text("evidence", id)).transpose()?;
        Ok(Self {
            epoch_id: to_number("epoch", entry.epoch_id)?,
            target_account: to_text("target", &entry.target_account)?,
            ticket_id: to_text("ticket", &entry.ticket_id)?,
            bucket_type: entry.bucket.number(),
            artifact_class: entry.artifact_class.number(),
            artifact_key: to_text("artifact key", &entry.artifact_key)?,
            ended: entry.end.name().to_owned(),
            result_class: entry.result_class.number(),
            transcript_hash: to_text("transcript hash", &entry.transcript_hash)?,
            details: to_remark(&entry.details),
            proof: to_text("proof", &entry.proof)?,
            proof_bytes: to_number("bytes of proof", entry.proof_bytes)?,
            attempts: entry.attempts.into(),
            duration_ms: to_number("duration", entry.duration_ms)?,
            ended_at_s: entry.ended_at_s,
            evidence_id,
            is_reported: false,
        })
    }
}

impl ChallengeRow {
    /// `is_waiting` is whether its row still waits for a report.
    pub(crate) fn into_recorded(self, is_waiting: bool) -> Result<RecordedChallenge, Misfit> {
        let Self { challenge_number, row } = self;
        let end = ChallengeEnd::from_name(&row.ended);
        Ok(RecordedChallenge {
            challenge_number: from_number("challenge", challenge_number)?,
            row: match (row.is_reported, is_waiting) {
                (true, _) => RowState::Reported,
                (false, true) => RowState::Waiting,
                (false, false) => RowState::NotReported,
            },
            entry: ChallengeEntry {
                epoch_id: from_number("epoch", row.epoch_id)?,
                bucket: word_of("bucket", row.bucket_type, Bucket::from_number)?,
                artifact_class: word_of("artifact class", row.artifact_class, ArtifactClass::from_number)?,
                end: end.ok_or_else(|| format!("`{}` is not an end of a challenge", row.ended))?,
                result_class: word_of("result class", row.result_class, ResultClass::from_number)?,
                proof_bytes: from_number("number of bytes", row.proof_bytes)?,
                attempts: from_number("number of attempts", row.attempts)?,
                duration_ms: from_number("duration", row.duration_ms)?,
                target_account: row.target_account,
                ticket_id: row.ticket_id,
                artifact_key: row.artifact_key,
                transcript_hash: row.transcript_hash,
                details: row.details,
                proof: row.proof,
                ended_at_s: row.ended_at_s,
                evidence_id: row.evidence_id,
            },
        })
    }
}

fn observation_of(word: &str) -> Result<Observation, Misfit> {
    Observation::from_name(word).ok_or_else(|| format!("`{word}` is not an observation"))
}

/// What is known of evidence without its record.
#[derive(Debug, Clone, Queryable, Insertable, Selectable)]
#[diesel(table_name = evidence)]
pub(crate) struct SummaryRow {
    evidence_id: String,
    epoch_id: i64,
    target_account: String,
    observation: String,
    is_proven: bool,
    recorded_at_s: i64,
    len_bytes: i64,
}

/// Evidence; the database numbers it.
#[derive(Debug, Clone, Queryable, Insertable, Selectable)]
#[diesel(table_name = evidence)]
pub(crate) struct EvidenceRow {
    #[diesel(embed)]
    summary: SummaryRow,
    record: String,
}

impl EvidenceRow {
    pub(crate) fn of(evidence: &KeptEvidence) -> Result<Self, Misfit> {
        let len_bytes = evidence.record.len();
        if len_bytes > EVIDENCE_RECORD_LEN_BYTES_MAX {
            return Err(format!(
                "a record of {len_bytes} bytes is longer than {EVIDENCE_RECORD_LEN_BYTES_MAX}"
            ));
        }
        let summary = SummaryRow {
            evidence_id: to_text("evidence", &evidence.evidence_id)?,
            epoch_id: to_number("epoch", evidence.epoch_id)?,
            target_account: to_text("target", &evidence.target_account)?,
            observation: evidence.observation.name().to_owned(),
            is_proven: evidence.is_proven,
            recorded_at_s: evidence.recorded_at_s,
            len_bytes: to_number("length", len_bytes as u64)?,
        };
        Ok(Self { summary, record: to_text("record", &evidence.record)? })
    }

    pub(crate) fn into_evidence(self) -> Result<KeptEvidence, Misfit> {
        let summary = self.summary.into_summary()?;
        Ok(KeptEvidence {
            evidence_id: summary.evidence_id,
            epoch_id: summary.epoch_id,
            target_account: summary.target_account,
            observation: summary.observation,
            is_proven: summary.is_proven,
            recorded_at_s: summary.recorded_at_s,
            record: self.record,
        })
    }
}

impl SummaryRow {
    pub(crate) fn into_summary(self) -> Result<EvidenceSummary, Misfit> {
        Ok(EvidenceSummary {
            epoch_id: from_number("epoch", self.epoch_id)?,
            observation: observation_of(&self.observation)?,
            len_bytes: from_number("length", self.len_bytes)?,
            evidence_id: self.evidence_id,
            target_account: self.target_account,
            is_proven: self.is_proven,
            recorded_at_s: self.recorded_at_s,
        })
    }
}
