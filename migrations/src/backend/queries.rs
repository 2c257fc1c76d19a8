//! What the journal asks of its database.
//!
//! Owns the statements. They are written against [`Connection`] and [`write_transaction`] alone, and use nothing that
//! only one database has.

use super::{Connection, write_transaction};
use crate::error::QueryError;
use crate::rows::{
    ClaimRow, FailuresRow, Misfit, NewProofRow, ProofRow, RecheckRow, VerificationRow, from_number,
    status_word, to_number, to_text,
};
use crate::schema::{
    heal_claims_submitted as claims_table, heal_verifications_submitted as verifications_table,
    proof_rows as proof_rows_table, recheck_attempt_failures as failures_table,
    storage_challenge_state as state_table, storage_recheck_submissions as rechecks_table,
};
use diesel::prelude::*;
use diesel::upsert::excluded;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::StorageProofResult;
use lampkeeper_plugin_sdk::api::journal::{
    HealClaim, HealVerification, PROOF_ROWS_PER_EPOCH_MAX, PendingProofRow, RecheckFailures,
    RecheckSubmission, Recorded, SubmissionStatus,
};

/// Rows in one INSERT; a row has 15 parameters, and a statement at most 32,766 (SQLite; PostgreSQL has 65,535).
const ROWS_PER_INSERT: usize = 500;

pub(super) type Answer<T> = Result<T, QueryError>;

fn recorded(inserted: usize) -> Recorded {
    if inserted == 0 { Recorded::AlreadyRecorded } else { Recorded::New }
}

pub(super) fn number(name: &str, value: u64) -> Answer<i64> {
    to_number(name, value).map_err(QueryError::Invalid)
}

/// Turns rows into what they stand for; the first that makes no sense ends it.
pub(super) fn read_all<R, T>(rows: Vec<R>, read: fn(R) -> Result<T, Misfit>) -> Answer<Vec<T>> {
    rows.into_iter().map(read).collect::<Result<_, _>>().map_err(QueryError::Unreadable)
}

pub(super) fn read_one<R, T>(row: Option<R>, read: fn(R) -> Result<T, Misfit>) -> Answer<Option<T>> {
    row.map(read).transpose().map_err(QueryError::Unreadable)
}

pub(crate) fn insert_claim(connection: &mut Connection, claim: &HealClaim) -> Answer<Recorded> {
    let row = ClaimRow::of(claim).map_err(QueryError::Invalid)?;
    let insert = diesel::insert_into(claims_table::table).values(row).on_conflict_do_nothing();
    Ok(recorded(insert.execute(connection)?))
}

pub(crate) fn mark_claim_submitted(connection: &mut Connection, heal_op_id: u64, now_s: i64) -> Answer<bool> {
    let claim = claims_table::table.find(number("heal operation", heal_op_id)?);
    let submitted = (
        claims_table::status.eq(status_word(SubmissionStatus::Submitted)),
        claims_table::recorded_at_s.eq(now_s),
    );
    Ok(diesel::update(claim).set(submitted).execute(connection)? > 0)
}

pub(crate) fn delete_claim(connection: &mut Connection, heal_op_id: u64) -> Answer<bool> {
    let claim = claims_table::table.find(number("heal operation", heal_op_id)?);
    Ok(diesel::delete(claim).execute(connection)? > 0)
}

pub(crate) fn claim(connection: &mut Connection, heal_op_id: u64) -> Answer<Option<HealClaim>> {
    let claim = claims_table::table.find(number("heal operation", heal_op_id)?);
    let row = claim.select(ClaimRow::as_select()).first(connection).optional()?;
    read_one(row, ClaimRow::into_claim)
}

pub(crate) fn claims(connection: &mut Connection) -> Answer<Vec<HealClaim>> {
    let rows = claims_table::table.order(claims_table::heal_op_id).select(ClaimRow::as_select());
    read_all(rows.load(connection)?, ClaimRow::into_claim)
}

pub(crate) fn insert_verification(
    connection: &mut Connection,
    verification: &HealVerification,
) -> Answer<Recorded> {
    let row = VerificationRow::of(verification).map_err(QueryError::Invalid)?;
    let insert = diesel::insert_into(verifications_table::table).values(row).on_conflict_do_nothing();
    Ok(recorded(insert.execute(connection)?))
}

pub(crate) fn mark_verification_submitted(
    connection: &mut Connection,
    heal_op_id: u64,
    verifier: &str,
    now_s: i64,
) -> Answer<bool> {
    let vote = verifications_table::table.find((number("heal operation", heal_op_id)?, verifier));
    let submitted = (
        verifications_table::status.eq(status_word(SubmissionStatus::Submitted)),
        verifications_table::recorded_at_s.eq(now_s),
    );
    Ok(diesel::update(vote).set(submitted).execute(connection)? > 0)
}

pub(crate) fn delete_verification(
    connection: &mut Connection,
    heal_op_id: u64,
    verifier: &str,
) -> Answer<bool> {
    let vote = verifications_table::table.find((number("heal operation", heal_op_id)?, verifier));
    Ok(diesel::delete(vote).execute(connection)? > 0)
}

pub(crate) fn verification(
    connection: &mut Connection,
    heal_op_id: u64,
    verifier: &str,
) -> Answer<Option<HealVerification>> {
    let vote = verifications_table::table.find((number("heal operation", heal_op_id)?, verifier));
    let row = vote.select(VerificationRow::as_select()).first(connection).optional()?;
    read_one(row, VerificationRow::into_verification)
}

pub(crate) fn verifications(connection: &mut Connection) -> Answer<Vec<HealVerification>> {
    let order = (verifications_table::heal_op_id, verifications_table::verifier_account);
    let rows = verifications_table::table.order(order).select(VerificationRow::as_select());
    read_all(rows.load(connection)?, VerificationRow::into_verification)
}

pub(crate) fn insert_recheck(
    connection: &mut Connection,
    submission: &RecheckSubmission,
) -> Answer<Recorded> {
    let row = RecheckRow::of(submission).map_err(QueryError::Invalid)?;
    let insert = diesel::insert_into(rechecks_table::table).values(row).on_conflict_do_nothing();
    Ok(recorded(insert.execute(connection)?))
}

pub(crate) fn mark_recheck_submitted(
    connection: &mut Connection,
    epoch_id: EpochId,
    ticket_id: &str,
    now_s: i64,
) -> Answer<bool> {
    let recheck = rechecks_table::table.find((number("epoch", epoch_id)?, ticket_id));
    let submitted = (
        rechecks_table::status.eq(status_word(SubmissionStatus::Submitted)),
        rechecks_table::recorded_at_s.eq(now_s),
    );
    Ok(diesel::update(recheck).set(submitted).execute(connection)? > 0)
}

pub(crate) fn delete_recheck(
    connection: &mut Connection,
    epoch_id: EpochId,
    ticket_id: &str,
) -> Answer<bool> {
    let recheck = rechecks_table::table.find((number("epoch", epoch_id)?, ticket_id));
    Ok(diesel::delete(recheck).execute(connection)? > 0)
}

pub(crate) fn recheck(
    connection: &mut Connection,
    epoch_id: EpochId,
    ticket_id: &str,
) -> Answer<Option<RecheckSubmission>> {
    let recheck = rechecks_table::table.find((number("epoch", epoch_id)?, ticket_id));
    let row = recheck.select(RecheckRow::as_select()).first(connection).optional()?;
    read_one(row, RecheckRow::into_submission)
}

pub(crate) fn rechecks(connection: &mut Connection) -> Answer<Vec<RecheckSubmission>> {
    let order = (rechecks_table::epoch_id, rechecks_table::ticket_id);
    let rows = rechecks_table::table.order(order).select(RecheckRow::as_select());
    read_all(rows.load(connection)?, RecheckRow::into_submission)
}

/// One failure more, in one statement; the newest target, error and expiry stay (wire 8.1).
pub(crate) fn record_recheck_failure(connection: &mut Connection, failure: &RecheckFailures) -> Answer<u32> {
    let row = FailuresRow::first_of(failure).map_err(QueryError::Invalid)?;
    let attempts: i64 = diesel::insert_into(failures_table::table)
        .values(row)
        .on_conflict((failures_table::epoch_id, failures_table::ticket_id))
        .do_update()
        .set((
            failures_table::attempts.eq(failures_table::attempts + 1_i64),
            failures_table::target_account.eq(excluded(failures_table::target_account)),
            failures_table::last_error.eq(excluded(failures_table::last_error)),
            failures_table::expires_at_s.eq(excluded(failures_table::expires_at_s)),
        ))
        .returning(failures_table::attempts)
        .get_result(connection)?;
    from_number("number of attempts", attempts).map_err(QueryError::Unreadable)
}

pub(crate) fn recheck_failures(
    connection: &mut Connection,
    epoch_id: EpochId,
    ticket_id: &str,
    now_s: i64,
) -> Answer<Option<RecheckFailures>> {
    let row = failures_table::table
        .find((number("epoch", epoch_id)?, ticket_id))
        .filter(failures_table::expires_at_s.gt(now_s))
        .select(FailuresRow::as_select())
        .first(connection)
        .optional()?;
    read_one(row, FailuresRow::into_failures)
}

pub(crate) fn delete_expired_recheck_failures(connection: &mut Connection, now_s: i64) -> Answer<u64> {
    let expired = failures_table::table.filter(failures_table::expires_at_s.le(now_s));
    Ok(diesel::delete(expired).execute(connection)? as u64)
}

pub(crate) fn append_proof_rows(
    connection: &mut Connection,
    epoch_id: EpochId,
    results: &[StorageProofResult],
) -> Answer<()> {
    // Before any memory is spent on them.
    if results.len() > PROOF_ROWS_PER_EPOCH_MAX {
        return Err(QueryError::TooManyRows(epoch_id));
    }
    let of_epoch = proof_rows_table::epoch_id.eq(number("epoch", epoch_id)?);
    let rows = results.iter().map(|result| NewProofRow::of(epoch_id, result));
    let rows = rows.collect::<Result<Vec<_>, _>>().map_err(QueryError::Invalid)?;
    write_transaction(connection, |connection| {
        let waiting: i64 = proof_rows_table::table.filter(of_epoch).count().get_result(connection)?;
        if usize::try_from(waiting).unwrap_or(usize::MAX).saturating_add(rows.len())
            > PROOF_ROWS_PER_EPOCH_MAX
        {
            return Err(QueryError::TooManyRows(epoch_id));
        }
        for some in rows.chunks(ROWS_PER_INSERT) {
            diesel::insert_into(proof_rows_table::table).values(some).execute(connection)?;
        }
        Ok(())
    })
}

pub(crate) fn proof_rows(connection: &mut Connection, epoch_id: EpochId) -> Answer<Vec<PendingProofRow>> {
    let rows = proof_rows_table::table
        .filter(proof_rows_table::epoch_id.eq(number("epoch", epoch_id)?))
        .order(proof_rows_table::sequence)
        .select(ProofRow::as_select())
        .load(connection)?;
    read_all(rows, ProofRow::into_pending)
}

pub(crate) fn epochs_with_proof_rows(connection: &mut Connection) -> Answer<Vec<EpochId>> {
    let epochs: Vec<i64> = proof_rows_table::table
        .select(proof_rows_table::epoch_id)
        .distinct()
        .order(proof_rows_table::epoch_id)
        .load(connection)?;
    read_all(epochs, |epoch_id| from_number("epoch", epoch_id))
}

pub(crate) fn delete_proof_rows(connection: &mut Connection, epoch_id: EpochId) -> Answer<u64> {
    let of_epoch = proof_rows_table::epoch_id.eq(number("epoch", epoch_id)?);
    Ok(diesel::delete(proof_rows_table::table.filter(of_epoch)).execute(connection)? as u64)
}

pub(crate) fn epoch_marker(connection: &mut Connection, name: &str) -> Answer<Option<EpochId>> {
    let marker = state_table::table.find(name).select(state_table::epoch_id);
    let epoch_id: Option<i64> = marker.first(connection).optional()?;
    read_one(epoch_id, |epoch_id| from_number("epoch", epoch_id))
}

pub(crate) fn raise_epoch_marker(
    connection: &mut Connection,
    name: &str,
    epoch_id: EpochId,
    now_s: i64,
) -> Answer<()> {
    let epoch_id = number("epoch", epoch_id)?;
    let name = &to_text("marker", name).map_err(QueryError::Invalid)?;
    let raised = (state_table::epoch_id.eq(epoch_id), state_table::updated_at_s.eq(now_s));
    write_transaction(connection, |connection| {
        let lower = state_table::table.find(name).filter(state_table::epoch_id.lt(epoch_id));
        if diesel::update(lower).set(raised).execute(connection)? == 0 {
            // There is none, or it is as high; then it stays.
            diesel::insert_into(state_table::table)
                .values((state_table::state_key.eq(name), raised))
                .on_conflict_do_nothing()
                .execute(connection)?;
        }
        Ok(())
    })
}
