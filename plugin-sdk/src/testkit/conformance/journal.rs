//! What every [`Journal`] has to do.

use super::history::{challenge, evidence, history};
use super::{CheckResult, Report, equal, holds, refused};
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use lampkeeper_api::chain::StorageProofResult;
use lampkeeper_api::history::{ChallengeEnd, HistoryFilter};
use lampkeeper_api::journal::{
    HealClaim, HealVerification, Journal, JournalError, PROOF_ROWS_PER_EPOCH_MAX, RecheckFailures,
    RecheckSubmission, Recorded, SubmissionStatus,
};
use std::sync::Arc;

/// The largest number that a signed column of a database holds; ids and epochs stay below it.
const GREATEST: u64 = i64::MAX as u64;

/// The suite. `make` returns an empty journal each time.
pub async fn journal(make: impl AsyncFn() -> Arc<dyn Journal>) -> Report {
    let mut report = Report::new("journal");
    let journal = make().await;
    report.check("a claim is recorded once and then unchanged", claims_are_unique(&*journal)).await;
    let journal = make().await;
    report.check("a claim goes from pending to submitted, or is forgotten", claim_life(&*journal)).await;
    let journal = make().await;
    report.check("a vote is recorded once for each verifier", votes_are_unique(&*journal)).await;
    let journal = make().await;
    report.check("a vote goes from pending to submitted, or is forgotten", vote_life(&*journal)).await;
    let journal = make().await;
    report.check("evidence is recorded once for each epoch and ticket", rechecks_are_unique(&*journal)).await;
    let journal = make().await;
    report.check("evidence without an epoch or a ticket is refused", rechecks_need_a_key(&*journal)).await;
    let journal = make().await;
    report.check("evidence goes from pending to submitted, or is forgotten", recheck_life(&*journal)).await;
    let journal = make().await;
    report.check("failed attempts add up, and the latest is remembered", failures_add_up(&*journal)).await;
    let journal = make().await;
    report.check("failed attempts lapse", failures_lapse(&*journal)).await;
    let journal = make().await;
    report.check("proof rows come back whole and in order, and stay", proof_rows(&*journal)).await;
    let journal = make().await;
    report
        .check("proof rows are deleted by epoch; sequences are never used again", proof_rows_go(&*journal))
        .await;
    let journal = make().await;
    report.check("too many proof rows are refused as a whole", proof_rows_maximum(&*journal)).await;
    let journal = make().await;
    report.check("an epoch marker is never lowered", markers(&*journal)).await;
    history(&mut report, &make).await;
    report
}

/// The part of the suite for journals that outlive their process. `open` opens the same, at first empty, journal each
/// time.
pub async fn journal_survives_reopening(open: impl AsyncFn() -> Arc<dyn Journal>) -> Report {
    let mut report = Report::new("journal after reopening");
    let check = async {
        let journal = open().await;
        journal.insert_claim(&claim(1)).await?;
        journal.mark_claim_submitted(1, 50).await?;
        journal.insert_verification(&vote(2, "lumera1a")).await?;
        journal.insert_recheck(&recheck(3, "9")).await?;
        journal.record_recheck_failure(&failure("9", "busy", 900)).await?;
        journal.append_proof_rows(4, &[proof_row(1), proof_row(2)]).await?;
        let rows = journal.proof_rows(4).await?;
        journal.raise_epoch_marker("last", 5, 1).await?;
        let remembered = challenge(6, "lumera1bob", ChallengeEnd::NotEligible);
        journal.record_challenges(std::slice::from_ref(&remembered), &[evidence("e6", 6, 100)]).await?;
        drop(journal);
        let journal = open().await;
        let submitted = HealClaim { status: SubmissionStatus::Submitted, recorded_at_s: 50, ..claim(1) };
        equal("claim", journal.claim(1).await?, Some(submitted))?;
        equal("vote", journal.verification(2, "lumera1a").await?, Some(vote(2, "lumera1a")))?;
        equal("recheck", journal.recheck(3, "9").await?, Some(recheck(3, "9")))?;
        equal("attempts", journal.record_recheck_failure(&failure("9", "busy", 900)).await?, 2)?;
        equal("proof rows", journal.proof_rows(4).await?, rows.clone())?;
        equal("marker", journal.epoch_marker("last").await?, Some(5))?;
        let challenges = journal.challenges(&HistoryFilter::default()).await?;
        equal("challenges", challenges.into_iter().map(|one| one.entry).collect(), vec![remembered])?;
        equal("evidence", journal.evidence("e6").await?, Some(evidence("e6", 6, 100)))?;
        journal.delete_proof_rows(4).await?;
        drop(journal);
        let journal = open().await;
        journal.append_proof_rows(4, &[proof_row(3)]).await?;
        let later = journal.proof_rows(4).await?;
        holds("sequences go on", later.iter().all(|new| rows.iter().all(|old| new.sequence > old.sequence)))
    };
    report.check("what was recorded stays so", check).await;
    report
}

/// What a journal has to say that the first version wrote, and that was upgraded: `make` returns one that holds the rows of
/// the golden files in the journals' tests.
pub async fn journal_of_first_version(journal: &dyn Journal) -> Report {
    let mut report = Report::new("journal of the first version");
    let decisions = async {
        let expected = HealClaim {
            heal_op_id: 3,
            ticket_id: "7".to_owned(),
            manifest_hash: "aGFzaA==".to_owned(),
            status: SubmissionStatus::Pending,
            recorded_at_s: 1_750_000_000,
        };
        equal("claims", journal.claims().await?, vec![expected])?;
        let vote = journal.verification(4, "lumera1alice").await?;
        let vote = vote.map(|vote| (vote.verified, vote.status));
        equal("vote", vote, Some((true, SubmissionStatus::Submitted)))?;
        let recheck = journal.recheck(5, "7").await?;
        let class = recheck.map(|recheck| recheck.result_class);
        equal("recheck", class, Some(ResultClass::RecheckConfirmedFail))?;
        let failures = journal.recheck_failures(6, "7", 1_750_000_599).await?;
        equal("failed attempts", failures.map(|failures| failures.attempts), Some(2))?;
        equal("marker", journal.epoch_marker("dispatched").await?, Some(8))
    };
    report.check("what was decided is still there", decisions).await;
    let later = async {
        journal.append_proof_rows(9, &[proof_row(1)]).await?;
        let entry = challenge(9, "lumera1bob", ChallengeEnd::NotEligible);
        journal.record_challenges(&[entry], &[evidence("e9", 9, 100)]).await?;
        equal("evidence", journal.evidence("e9").await?, Some(evidence("e9", 9, 100)))
    };
    report.check("the tables of later steps are there", later).await;
    report
}

/// A pending claim.
#[must_use]
pub fn claim(heal_op_id: u64) -> HealClaim {
    HealClaim {
        heal_op_id,
        ticket_id: "12".to_owned(),
        manifest_hash: "c29tZSBoYXNo".to_owned(),
        status: SubmissionStatus::Pending,
        recorded_at_s: 10,
    }
}

fn vote(heal_op_id: u64, verifier: &str) -> HealVerification {
    HealVerification {
        heal_op_id,
        verifier_account: verifier.to_owned(),
        verified: true,
        verification_hash: "c29tZSBoYXNo".to_owned(),
        status: SubmissionStatus::Pending,
        recorded_at_s: 10,
    }
}

fn recheck(epoch_id: u64, ticket_id: &str) -> RecheckSubmission {
    RecheckSubmission {
        epoch_id,
        ticket_id: ticket_id.to_owned(),
        target_account: "lumera1target".to_owned(),
        challenged_transcript_hash: "aa".to_owned(),
        recheck_transcript_hash: "bb".to_owned(),
        result_class: ResultClass::RecheckConfirmedFail,
        status: SubmissionStatus::Pending,
        recorded_at_s: 10,
    }
}

fn failure(ticket_id: &str, last_error: &str, expires_at_s: i64) -> RecheckFailures {
    RecheckFailures {
        epoch_id: 3,
        ticket_id: ticket_id.to_owned(),
        target_account: "lumera1target".to_owned(),
        attempts: 1,
        last_error: last_error.to_owned(),
        expires_at_s,
    }
}

/// A row in which no two fields of one type have the same value.
#[must_use]
pub fn proof_row(number: u32) -> StorageProofResult {
    StorageProofResult {
        target_supernode_account: format!("lumera1target{number}"),
        challenger_supernode_account: "lumera1challenger".to_owned(),
        ticket_id: number.to_string(),
        bucket_type: Bucket::Old,
        artifact_class: ArtifactClass::Symbol,
        artifact_ordinal: u32::MAX - number,
        artifact_key: "key".to_owned(),
        result_class: ResultClass::TimeoutOrNoResponse,
        transcript_hash: "aa".to_owned(),
        details: "it said \"näh\"; DROP TABLE rows\n".to_owned(),
        artifact_count: u32::MAX,
        derivation_input_hash: "bb".to_owned(),
        challenger_signature: "cc".to_owned(),
        observer_attestation_signatures: vec!["dd".to_owned(), String::new()],
    }
}

async fn claims_are_unique(journal: &dyn Journal) -> CheckResult {
    for heal_op_id in [30, 4, GREATEST] {
        equal("first", journal.insert_claim(&claim(heal_op_id)).await?, Recorded::New)?;
    }
    let other = HealClaim { manifest_hash: "other".to_owned(), recorded_at_s: 99, ..claim(4) };
    equal("second", journal.insert_claim(&other).await?, Recorded::AlreadyRecorded)?;
    equal("unchanged", journal.claim(4).await?, Some(claim(4)))?;
    equal("by ascending operation", journal.claims().await?, vec![claim(4), claim(30), claim(GREATEST)])
}

async fn claim_life(journal: &dyn Journal) -> CheckResult {
    equal("absent", journal.claim(4).await?, None)?;
    equal("mark what is absent", journal.mark_claim_submitted(4, 20).await?, false)?;
    equal("delete what is absent", journal.delete_claim(4).await?, false)?;
    journal.insert_claim(&claim(4)).await?;
    journal.insert_claim(&claim(5)).await?;
    equal("mark", journal.mark_claim_submitted(4, 20).await?, true)?;
    let submitted = HealClaim { status: SubmissionStatus::Submitted, recorded_at_s: 20, ..claim(4) };
    equal("submitted", journal.claim(4).await?, Some(submitted.clone()))?;
    equal("insert does not reset it", journal.insert_claim(&claim(4)).await?, Recorded::AlreadyRecorded)?;
    equal("still submitted", journal.claim(4).await?, Some(submitted))?;
    equal("delete", journal.delete_claim(4).await?, true)?;
    equal("its neighbour alone is left", journal.claims().await?, vec![claim(5)])?;
    equal("recorded anew", journal.insert_claim(&claim(4)).await?, Recorded::New)
}

async fn votes_are_unique(journal: &dyn Journal) -> CheckResult {
    for (heal_op_id, verifier) in [(9, "b"), (9, "a"), (2, "c")] {
        equal("first", journal.insert_verification(&vote(heal_op_id, verifier)).await?, Recorded::New)?;
    }
    let other = HealVerification { verified: false, verification_hash: "other".to_owned(), ..vote(9, "a") };
    equal("second", journal.insert_verification(&other).await?, Recorded::AlreadyRecorded)?;
    equal("unchanged", journal.verification(9, "a").await?, Some(vote(9, "a")))?;
    let expected = vec![vote(2, "c"), vote(9, "a"), vote(9, "b")];
    equal("by ascending operation and account", journal.verifications().await?, expected)
}

async fn vote_life(journal: &dyn Journal) -> CheckResult {
    equal("absent", journal.verification(9, "a").await?, None)?;
    equal("mark what is absent", journal.mark_verification_submitted(9, "a", 20).await?, false)?;
    let no = HealVerification { verified: false, ..vote(9, "b") };
    journal.insert_verification(&vote(9, "a")).await?;
    journal.insert_verification(&no).await?;
    equal("mark", journal.mark_verification_submitted(9, "a", 20).await?, true)?;
    let submitted =
        HealVerification { status: SubmissionStatus::Submitted, recorded_at_s: 20, ..vote(9, "a") };
    equal("submitted", journal.verification(9, "a").await?, Some(submitted))?;
    equal("delete", journal.delete_verification(9, "a").await?, true)?;
    equal("delete again", journal.delete_verification(9, "a").await?, false)?;
    equal("the other verifier's vote alone is left", journal.verifications().await?, vec![no])
}

async fn rechecks_are_unique(journal: &dyn Journal) -> CheckResult {
    for (epoch_id, ticket_id) in [(8, "5"), (8, "12"), (1, "7")] {
        equal("first", journal.insert_recheck(&recheck(epoch_id, ticket_id)).await?, Recorded::New)?;
    }
    let other_target = RecheckSubmission { target_account: "lumera1other".to_owned(), ..recheck(8, "5") };
    equal("another target", journal.insert_recheck(&other_target).await?, Recorded::AlreadyRecorded)?;
    equal("unchanged", journal.recheck(8, "5").await?, Some(recheck(8, "5")))?;
    let expected = vec![recheck(1, "7"), recheck(8, "12"), recheck(8, "5")];
    equal("by ascending epoch and ticket, as text", journal.rechecks().await?, expected)
}

async fn rechecks_need_a_key(journal: &dyn Journal) -> CheckResult {
    for (epoch_id, ticket_id) in [(0, "5"), (8, "")] {
        let outcome = journal.insert_recheck(&recheck(epoch_id, ticket_id)).await;
        refused("InvalidRow", outcome, |error| matches!(error, JournalError::InvalidRow { .. }))?;
    }
    equal("nothing recorded", journal.rechecks().await?, Vec::new())
}

async fn recheck_life(journal: &dyn Journal) -> CheckResult {
    equal("absent", journal.recheck(8, "5").await?, None)?;
    equal("mark what is absent", journal.mark_recheck_submitted(8, "5", 20).await?, false)?;
    journal.insert_recheck(&recheck(8, "5")).await?;
    journal.insert_recheck(&recheck(9, "5")).await?;
    equal("mark", journal.mark_recheck_submitted(8, "5", 20).await?, true)?;
    let submitted =
        RecheckSubmission { status: SubmissionStatus::Submitted, recorded_at_s: 20, ..recheck(8, "5") };
    equal("submitted", journal.recheck(8, "5").await?, Some(submitted))?;
    equal("delete", journal.delete_recheck(8, "5").await?, true)?;
    equal("delete again", journal.delete_recheck(8, "5").await?, false)?;
    equal("the other epoch's alone is left", journal.rechecks().await?, vec![recheck(9, "5")])
}

async fn failures_add_up(journal: &dyn Journal) -> CheckResult {
    equal("none", journal.recheck_failures(3, "5", 0).await?, None)?;
    equal("first", journal.record_recheck_failure(&failure("5", "busy", 100)).await?, 1)?;
    equal("another ticket's first", journal.record_recheck_failure(&failure("6", "busy", 100)).await?, 1)?;
    let latest =
        RecheckFailures { target_account: "lumera1other".to_owned(), ..failure("5", "timeout", 200) };
    equal("second", journal.record_recheck_failure(&latest).await?, 2)?;
    let expected = RecheckFailures { attempts: 2, ..latest };
    equal("counted and overwritten", journal.recheck_failures(3, "5", 150).await?, Some(expected))
}

async fn failures_lapse(journal: &dyn Journal) -> CheckResult {
    journal.record_recheck_failure(&failure("5", "busy", 100)).await?;
    journal.record_recheck_failure(&failure("6", "busy", 200)).await?;
    equal("before", journal.recheck_failures(3, "5", 99).await?, Some(failure("5", "busy", 100)))?;
    equal("from its second on", journal.recheck_failures(3, "5", 100).await?, None)?;
    equal("nothing to forget yet", journal.delete_expired_recheck_failures(99).await?, 0)?;
    equal("forgotten", journal.delete_expired_recheck_failures(100).await?, 1)?;
    equal("counted anew", journal.record_recheck_failure(&failure("5", "busy", 300)).await?, 1)?;
    equal("its neighbour", journal.recheck_failures(3, "6", 100).await?, Some(failure("6", "busy", 200)))
}

async fn proof_rows(journal: &dyn Journal) -> CheckResult {
    equal("no epochs", journal.epochs_with_proof_rows().await?, Vec::new())?;
    journal.append_proof_rows(9, &[]).await?;
    equal("no rows, no epoch", journal.epochs_with_proof_rows().await?, Vec::new())?;
    journal.append_proof_rows(9, &[proof_row(3), proof_row(1)]).await?;
    journal.append_proof_rows(4, &[proof_row(5)]).await?;
    journal.append_proof_rows(9, &[proof_row(1)]).await?;
    equal("epochs, ascending", journal.epochs_with_proof_rows().await?, vec![4, 9])?;
    for _ in 0..2 {
        let pending = journal.proof_rows(9).await?;
        let rows: Vec<_> = pending.iter().map(|pending| pending.row.clone()).collect();
        equal("rows in the order of arrival", rows, vec![proof_row(3), proof_row(1), proof_row(1)])?;
        holds("sequences ascend", pending.windows(2).all(|pair| pair[0].sequence < pair[1].sequence))?;
        holds("each says its epoch", pending.iter().all(|pending| pending.epoch_id == 9))?;
    }
    equal("an epoch without rows", journal.proof_rows(5).await?, Vec::new())
}

async fn proof_rows_go(journal: &dyn Journal) -> CheckResult {
    journal.append_proof_rows(8, &[proof_row(1)]).await?;
    journal.append_proof_rows(9, &[proof_row(1), proof_row(2)]).await?;
    let last = journal.proof_rows(9).await?.last().map_or(0, |pending| pending.sequence);
    equal("delete", journal.delete_proof_rows(9).await?, 2)?;
    equal("delete again", journal.delete_proof_rows(9).await?, 0)?;
    equal("the other epoch stays", journal.epochs_with_proof_rows().await?, vec![8])?;
    journal.append_proof_rows(9, &[proof_row(3)]).await?;
    let sequences: Vec<_> = journal.proof_rows(9).await?.iter().map(|pending| pending.sequence).collect();
    holds("a greater sequence than any before", sequences.iter().all(|sequence| *sequence > last))
}

async fn proof_rows_maximum(journal: &dyn Journal) -> CheckResult {
    let rows = vec![proof_row(1); PROOF_ROWS_PER_EPOCH_MAX];
    journal.append_proof_rows(9, &rows[1..]).await?;
    let outcome = journal.append_proof_rows(9, &rows[..2]).await;
    refused("TooManyRows", outcome, |error| matches!(error, JournalError::TooManyRows { epoch_id: 9, .. }))?;
    equal("none was appended", journal.proof_rows(9).await?.len(), PROOF_ROWS_PER_EPOCH_MAX - 1)?;
    journal.append_proof_rows(9, &rows[..1]).await?;
    equal("the last that fits", journal.proof_rows(9).await?.len(), PROOF_ROWS_PER_EPOCH_MAX)?;
    journal.append_proof_rows(10, &rows[..1]).await?;
    equal("another epoch has its own limit", journal.proof_rows(10).await?.len(), 1)
}

async fn markers(journal: &dyn Journal) -> CheckResult {
    equal("at first", journal.epoch_marker("last").await?, None)?;
    for (raised_to, expected) in [(0, 0), (5, 5), (3, 5), (5, 5), (6, 6), (GREATEST, GREATEST)] {
        journal.raise_epoch_marker("last", raised_to, 1).await?;
        equal(&format!("raised to {raised_to}"), journal.epoch_marker("last").await?, Some(expected))?;
    }
    equal("another name", journal.epoch_marker("other").await?, None)
}
