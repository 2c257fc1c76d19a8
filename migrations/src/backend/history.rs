//! The statements on the memory of challenges, and that part of the seam.

use super::journal::DieselJournal;
use super::queries::{Answer, number, read_all, read_one};
use super::{Connection, write_transaction};
use crate::error::QueryError;
use crate::rows::history::{ChallengeRow, EvidenceRow, NewChallengeRow, SummaryRow};
use crate::schema::{
    challenge_history as challenges_table, evidence as evidence_table, proof_rows as proof_rows_table,
};
use diesel::prelude::*;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::challenge::Observation;
use lampkeeper_plugin_sdk::api::history::{
    ChallengeEnd, ChallengeEntry, EvidenceSummary, HISTORY_ROWS_PER_CALL_MAX, HistoryFilter, HistoryJournal,
    HistoryLimits, KeptEvidence, RecordedChallenge,
};
use lampkeeper_plugin_sdk::api::journal::JournalError;
use lampkeeper_plugin_sdk::async_trait;
use std::collections::BTreeSet;

/// Rows in one INSERT; a row has 17 parameters (see `ROWS_PER_INSERT` of the other queries).
const ROWS_PER_INSERT: usize = 500;
/// Transcript hashes in one statement.
const HASHES_PER_STATEMENT: usize = 500;

#[async_trait]
impl HistoryJournal for DieselJournal {
    async fn record_challenges(
        &self,
        entries: &[ChallengeEntry],
        evidence: &[KeptEvidence],
    ) -> Result<(), JournalError> {
        let attempted = "recording challenges".to_owned();
        let (entries, evidence) = match prepare(entries, evidence) {
            Ok(rows) => rows,
            Err(error) => return Err(error.of_attempt(attempted)),
        };
        self.run(attempted, move |connection| record(connection, &entries, &evidence)).await
    }

    async fn mark_rows_reported(
        &self,
        epoch_id: EpochId,
        transcript_hashes: &[String],
    ) -> Result<u64, JournalError> {
        let hashes = transcript_hashes.to_vec();
        let attempted = format!("noting the reported rows of epoch {epoch_id}");
        self.run(attempted, move |connection| mark_rows_reported(connection, epoch_id, &hashes)).await
    }

    async fn challenges(&self, filter: &HistoryFilter) -> Result<Vec<RecordedChallenge>, JournalError> {
        let filter = filter.clone();
        self.run("listing challenges".to_owned(), move |connection| challenges(connection, &filter)).await
    }

    async fn recorded_challenge(
        &self,
        challenge_number: u64,
    ) -> Result<Option<RecordedChallenge>, JournalError> {
        let attempted = format!("reading challenge {challenge_number}");
        self.run(attempted, move |connection| recorded_challenge(connection, challenge_number)).await
    }

    async fn evidence_list(&self, filter: &HistoryFilter) -> Result<Vec<EvidenceSummary>, JournalError> {
        let filter = filter.clone();
        self.run("listing evidence".to_owned(), move |connection| evidence_list(connection, &filter)).await
    }

    async fn evidence(&self, evidence_id: &str) -> Result<Option<KeptEvidence>, JournalError> {
        let evidence_id = evidence_id.to_owned();
        let attempted = format!("reading evidence `{evidence_id}`");
        self.run(attempted, move |connection| evidence(connection, &evidence_id)).await
    }

    async fn trim_history(&self, limits: &HistoryLimits) -> Result<u64, JournalError> {
        let limits = *limits;
        self.run("forgetting old challenges".to_owned(), move |connection| trim(connection, &limits)).await
    }
}

/// What is to be written, refused before a connection is asked for.
fn prepare(
    entries: &[ChallengeEntry],
    evidence: &[KeptEvidence],
) -> Answer<(Vec<NewChallengeRow>, Vec<EvidenceRow>)> {
    let count = entries.len().max(evidence.len());
    if count > HISTORY_ROWS_PER_CALL_MAX {
        let reason =
            format!("{count} are more than the {HISTORY_ROWS_PER_CALL_MAX} that one call may record");
        return Err(QueryError::Invalid(reason));
    }
    let entries = entries.iter().map(NewChallengeRow::of).collect::<Result<_, _>>();
    let evidence = evidence.iter().map(EvidenceRow::of).collect::<Result<_, _>>();
    Ok((entries.map_err(QueryError::Invalid)?, evidence.map_err(QueryError::Invalid)?))
}

fn record(connection: &mut Connection, entries: &[NewChallengeRow], evidence: &[EvidenceRow]) -> Answer<()> {
    write_transaction(connection, |connection| {
        for some in entries.chunks(ROWS_PER_INSERT) {
            diesel::insert_into(challenges_table::table).values(some).execute(connection)?;
        }
        for one in evidence {
            diesel::insert_into(evidence_table::table)
                .values(one)
                .on_conflict_do_nothing()
                .execute(connection)?;
        }
        Ok(())
    })
}

fn mark_rows_reported(
    connection: &mut Connection,
    epoch_id: EpochId,
    transcript_hashes: &[String],
) -> Answer<u64> {
    let epoch_id = number("epoch", epoch_id)?;
    let hashes: Vec<&String> = transcript_hashes.iter().filter(|hash| !hash.is_empty()).collect();
    write_transaction(connection, |connection| {
        let mut changed = 0;
        for some in hashes.chunks(HASHES_PER_STATEMENT) {
            let rows = challenges_table::table
                .filter(challenges_table::epoch_id.eq(epoch_id))
                .filter(challenges_table::is_reported.eq(false))
                .filter(challenges_table::transcript_hash.eq_any(some.iter().copied()));
            changed +=
                diesel::update(rows).set(challenges_table::is_reported.eq(true)).execute(connection)?;
        }
        Ok(changed as u64)
    })
}

fn challenges(connection: &mut Connection, filter: &HistoryFilter) -> Answer<Vec<RecordedChallenge>> {
    let mut rows = challenges_table::table.order(challenges_table::challenge_number.desc()).into_boxed();
    if let Some(epoch_id) = filter.epoch_id {
        rows = rows.filter(challenges_table::epoch_id.eq(number("epoch", epoch_id)?));
    }
    if let Some(target) = &filter.target_account {
        rows = rows.filter(challenges_table::target_account.eq(target));
    }
    if filter.failed_only {
        let failures = Observation::ALL.into_iter().map(ChallengeEnd::Observed);
        let failures = failures.filter(|end| end.is_failure()).map(ChallengeEnd::name);
        rows = rows.filter(challenges_table::ended.eq_any(failures.collect::<Vec<_>>()));
    }
    let rows = rows.limit(limit_of(filter)).select(ChallengeRow::as_select()).load(connection)?;
    with_waiting(connection, rows)
}

fn recorded_challenge(connection: &mut Connection, number_wanted: u64) -> Answer<Option<RecordedChallenge>> {
    let row = challenges_table::table.find(number("challenge", number_wanted)?);
    let row = row.select(ChallengeRow::as_select()).first(connection).optional()?;
    Ok(with_waiting(connection, row.into_iter().collect())?.pop())
}

/// The rows with what became of them: those that wait are few.
fn with_waiting(connection: &mut Connection, rows: Vec<ChallengeRow>) -> Answer<Vec<RecordedChallenge>> {
    let waiting: Vec<String> =
        proof_rows_table::table.select(proof_rows_table::transcript_hash).load(connection)?;
    let waiting: BTreeSet<String> = waiting.into_iter().filter(|hash| !hash.is_empty()).collect();
    let recorded = rows.into_iter().map(|row| {
        let is_waiting = waiting.contains(&row.row.transcript_hash);
        row.into_recorded(is_waiting)
    });
    recorded.collect::<Result<_, _>>().map_err(QueryError::Unreadable)
}

fn evidence_list(connection: &mut Connection, filter: &HistoryFilter) -> Answer<Vec<EvidenceSummary>> {
    let mut rows = evidence_table::table.order(evidence_table::evidence_number.desc()).into_boxed();
    if let Some(epoch_id) = filter.epoch_id {
        rows = rows.filter(evidence_table::epoch_id.eq(number("epoch", epoch_id)?));
    }
    if let Some(target) = &filter.target_account {
        rows = rows.filter(evidence_table::target_account.eq(target));
    }
    let rows = rows.limit(limit_of(filter)).select(SummaryRow::as_select()).load(connection)?;
    read_all(rows, SummaryRow::into_summary)
}

fn evidence(connection: &mut Connection, evidence_id: &str) -> Answer<Option<KeptEvidence>> {
    let row = evidence_table::table.filter(evidence_table::evidence_id.eq(evidence_id));
    let row = row.select(EvidenceRow::as_select()).first(connection).optional()?;
    read_one(row, EvidenceRow::into_evidence)
}

fn limit_of(filter: &HistoryFilter) -> i64 {
    i64::try_from(filter.limit.min(HISTORY_ROWS_PER_CALL_MAX)).unwrap_or(i64::MAX)
}

fn trim(connection: &mut Connection, limits: &HistoryLimits) -> Answer<u64> {
    // No epoch is larger than what a column holds, so a larger limit keeps none either.
    let oldest = i64::try_from(limits.oldest_epoch_id).unwrap_or(i64::MAX);
    let kept = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    write_transaction(connection, |connection| {
        let past = challenges_table::table.filter(challenges_table::epoch_id.lt(oldest));
        let mut forgotten = diesel::delete(past).execute(connection)?;
        let surplus: Option<i64> = challenges_table::table
            .order(challenges_table::challenge_number.desc())
            .select(challenges_table::challenge_number)
            .offset(kept(limits.challenges_max))
            .first(connection)
            .optional()?;
        if let Some(last) = surplus {
            let surplus = challenges_table::table.filter(challenges_table::challenge_number.le(last));
            forgotten += diesel::delete(surplus).execute(connection)?;
        }
        let past = evidence_table::table.filter(evidence_table::epoch_id.lt(oldest));
        forgotten += diesel::delete(past).execute(connection)?;
        let surplus: Option<i64> = evidence_table::table
            .order(evidence_table::evidence_number.desc())
            .select(evidence_table::evidence_number)
            .offset(kept(limits.evidence_max))
            .first(connection)
            .optional()?;
        if let Some(last) = surplus {
            let surplus = evidence_table::table.filter(evidence_table::evidence_number.le(last));
            forgotten += diesel::delete(surplus).execute(connection)?;
        }
        Ok(forgotten as u64)
    })
}
