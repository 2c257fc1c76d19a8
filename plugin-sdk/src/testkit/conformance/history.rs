//! What the memory of challenges of every [`Journal`] has to do; a part of the journal's suite.

use super::{CheckResult, Report, equal, holds, refused};
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use lampkeeper_api::chain::StorageProofResult;
use lampkeeper_api::challenge::Observation;
use lampkeeper_api::history::{
    ChallengeEnd, ChallengeEntry, EVIDENCE_RECORD_LEN_BYTES_MAX, HISTORY_ROWS_PER_CALL_MAX, HistoryFilter,
    HistoryLimits, KeptEvidence, RecordedChallenge, RowState,
};
use lampkeeper_api::journal::{Journal, JournalError};
use std::sync::Arc;

const EVERYTHING: HistoryLimits =
    HistoryLimits { oldest_epoch_id: 0, challenges_max: u64::MAX, evidence_max: u64::MAX };

pub(super) async fn history(report: &mut Report, make: &impl AsyncFn() -> Arc<dyn Journal>) {
    let journal = make().await;
    report.check("challenges come back whole, the latest first", challenges(&*journal)).await;
    let journal = make().await;
    report.check("challenges are found by epoch, target and failure", filters(&*journal)).await;
    let journal = make().await;
    report.check("a challenge says what became of its row", row_states(&*journal)).await;
    let journal = make().await;
    report.check("evidence is kept once and comes back whole", evidence_life(&*journal)).await;
    let journal = make().await;
    report.check("what is too long or too much is refused as a whole", bounds(&*journal)).await;
    let journal = make().await;
    report.check("the oldest is forgotten; numbers are never used again", trimming(&*journal)).await;
}

/// A challenge in which no two fields of one type have the same value.
#[must_use]
pub fn challenge(epoch_id: u64, target: &str, end: ChallengeEnd) -> ChallengeEntry {
    ChallengeEntry {
        epoch_id,
        target_account: target.to_owned(),
        ticket_id: "12".to_owned(),
        bucket: Bucket::Probation,
        artifact_class: ArtifactClass::Symbol,
        artifact_key: "key".to_owned(),
        end,
        result_class: ResultClass::HashMismatch,
        transcript_hash: format!("aa{epoch_id}"),
        details: "it said \"n\u{e4}h\"; DROP TABLE challenge_history\n".to_owned(),
        proof: "verified_slice".to_owned(),
        proof_bytes: 70_000,
        attempts: 2,
        duration_ms: 2_501,
        ended_at_s: 1_750_000_000,
        evidence_id: None,
    }
}

/// Evidence with a record of this length.
pub(super) fn evidence(evidence_id: &str, epoch_id: u64, len_bytes: usize) -> KeptEvidence {
    KeptEvidence {
        evidence_id: evidence_id.to_owned(),
        epoch_id,
        target_account: "lumera1bob".to_owned(),
        observation: Observation::WrongBytes,
        is_proven: true,
        recorded_at_s: 1_750_000_001,
        record: "e".repeat(len_bytes),
    }
}

const fn failed() -> ChallengeEnd {
    ChallengeEnd::Observed(Observation::WrongBytes)
}

const fn passed() -> ChallengeEnd {
    ChallengeEnd::Observed(Observation::Pass)
}

async fn all(journal: &dyn Journal) -> Result<Vec<RecordedChallenge>, JournalError> {
    journal.challenges(&HistoryFilter::default()).await
}

fn epochs(listed: &[RecordedChallenge]) -> Vec<u64> {
    listed.iter().map(|challenge| challenge.entry.epoch_id).collect()
}

async fn challenges(journal: &dyn Journal) -> CheckResult {
    equal("none", all(journal).await?, Vec::new())?;
    journal.record_challenges(&[], &[]).await?;
    let with_evidence =
        ChallengeEntry { evidence_id: Some("e1".to_owned()), ..challenge(5, "lumera1bob", failed()) };
    let entries = [challenge(4, "lumera1bob", passed()), with_evidence];
    journal.record_challenges(&entries, &[]).await?;
    for end in [ChallengeEnd::NotEligible, ChallengeEnd::Undecided] {
        journal.record_challenges(&[challenge(6, "lumera1eve", end)], &[]).await?;
    }
    let listed = all(journal).await?;
    let ends: Vec<_> = listed.iter().map(|listed| listed.entry.end).collect();
    let expected = vec![ChallengeEnd::Undecided, ChallengeEnd::NotEligible, failed(), passed()];
    equal("the latest first", ends, expected)?;
    let mut oldest_first: Vec<_> = listed.iter().map(|listed| listed.entry.clone()).collect();
    oldest_first.reverse();
    equal("whole", oldest_first[..2].to_vec(), entries.to_vec())?;
    holds(
        "numbers ascend",
        listed.windows(2).all(|pair| pair[0].challenge_number > pair[1].challenge_number),
    )?;
    let number = listed[1].challenge_number;
    equal("by its number", journal.recorded_challenge(number).await?, Some(listed[1].clone()))?;
    equal("an unknown number", journal.recorded_challenge(number + 1000).await?, None)
}

async fn filters(journal: &dyn Journal) -> CheckResult {
    for epoch_id in 1..=3 {
        let entries =
            [challenge(epoch_id, "lumera1bob", failed()), challenge(epoch_id, "lumera1eve", passed())];
        journal.record_challenges(&entries, &[]).await?;
    }
    journal.record_challenges(&[challenge(4, "lumera1bob", ChallengeEnd::Undecided)], &[]).await?;
    let everything = HistoryFilter::default();
    let bob = Some("lumera1bob".to_owned());
    // A filter, and the epochs of what it finds.
    let table = [
        (everything.clone(), vec![4, 3, 3, 2, 2, 1, 1]),
        (HistoryFilter { limit: 3, ..everything.clone() }, vec![4, 3, 3]),
        (HistoryFilter { limit: 0, ..everything.clone() }, vec![]),
        (HistoryFilter { epoch_id: Some(2), ..everything.clone() }, vec![2, 2]),
        (HistoryFilter { epoch_id: Some(9), ..everything.clone() }, vec![]),
        (HistoryFilter { target_account: bob.clone(), ..everything.clone() }, vec![4, 3, 2, 1]),
        (HistoryFilter { failed_only: true, ..everything.clone() }, vec![3, 2, 1]),
        (HistoryFilter { epoch_id: Some(2), target_account: bob, failed_only: true, limit: 9 }, vec![2]),
    ];
    for (filter, expected) in table {
        equal(&format!("{filter:?}"), epochs(&journal.challenges(&filter).await?), expected)?;
    }
    Ok(())
}

async fn row_states(journal: &dyn Journal) -> CheckResult {
    let without_row = ChallengeEntry {
        transcript_hash: String::new(),
        ..challenge(4, "lumera1bob", ChallengeEnd::Undecided)
    };
    let entries = [challenge(4, "lumera1bob", failed()), challenge(5, "lumera1bob", failed()), without_row];
    journal.record_challenges(&entries, &[]).await?;
    let states = async || -> Result<Vec<RowState>, JournalError> {
        Ok(all(journal).await?.iter().rev().map(|challenge| challenge.row).collect())
    };
    use RowState::{NotReported, Reported, Waiting};
    equal("no rows", states().await?, vec![NotReported; 3])?;
    let row =
        |hash: &str| StorageProofResult { transcript_hash: hash.to_owned(), ..StorageProofResult::default() };
    journal.append_proof_rows(4, &[row("aa4"), row("")]).await?;
    equal("one waits", states().await?, vec![Waiting, NotReported, NotReported])?;
    let hashes = ["aa4".to_owned(), String::new(), "unknown".to_owned()];
    equal("marked", journal.mark_rows_reported(4, &hashes).await?, 1)?;
    equal("marked again", journal.mark_rows_reported(4, &hashes).await?, 0)?;
    equal("of another epoch", journal.mark_rows_reported(6, &["aa5".to_owned()]).await?, 0)?;
    journal.delete_proof_rows(4).await?;
    equal("reported", states().await?, vec![Reported, NotReported, NotReported])
}

async fn evidence_life(journal: &dyn Journal) -> CheckResult {
    equal("none", journal.evidence_list(&HistoryFilter::default()).await?, Vec::new())?;
    equal("an unknown one", journal.evidence("e1").await?, None)?;
    let (first, second) = (evidence("e1", 4, 9), evidence("e2", 5, EVIDENCE_RECORD_LEN_BYTES_MAX));
    let other =
        KeptEvidence { target_account: "lumera1eve".to_owned(), is_proven: false, ..evidence("e3", 5, 0) };
    journal.record_challenges(&[], &[first.clone(), second.clone()]).await?;
    let again = KeptEvidence { record: "changed".to_owned(), ..first.clone() };
    journal.record_challenges(&[], &[again, other.clone()]).await?;
    equal("whole, as it was first", journal.evidence("e1").await?, Some(first.clone()))?;
    equal("the longest", journal.evidence("e2").await?, Some(second.clone()))?;
    let listed = journal.evidence_list(&HistoryFilter::default()).await?;
    equal("the latest first", listed, vec![other.summary(), second.summary(), first.summary()])?;
    let filter = HistoryFilter {
        epoch_id: Some(5),
        target_account: Some("lumera1bob".to_owned()),
        ..HistoryFilter::default()
    };
    equal("filtered", journal.evidence_list(&filter).await?, vec![second.summary()])?;
    let one = HistoryFilter { limit: 1, ..HistoryFilter::default() };
    equal("limited", journal.evidence_list(&one).await?, vec![other.summary()])
}

async fn bounds(journal: &dyn Journal) -> CheckResult {
    let entry = challenge(4, "lumera1bob", failed());
    let is_invalid = |error: &JournalError| matches!(error, JournalError::InvalidRow { .. });
    let long = evidence("e1", 4, EVIDENCE_RECORD_LEN_BYTES_MAX + 1);
    let outcome =
        journal.record_challenges(std::slice::from_ref(&entry), &[evidence("e0", 4, 1), long]).await;
    refused("a record that is too long", outcome, is_invalid)?;
    let many = vec![entry; HISTORY_ROWS_PER_CALL_MAX + 1];
    refused("too many challenges", journal.record_challenges(&many, &[]).await, is_invalid)?;
    equal("nothing was recorded", all(journal).await?.len(), 0)?;
    equal("nor kept", journal.evidence("e0").await?, None)?;
    journal.record_challenges(&many[1..], &[]).await?;
    equal("as many as may be", all(journal).await?.len(), HISTORY_ROWS_PER_CALL_MAX)
}

async fn trimming(journal: &dyn Journal) -> CheckResult {
    for epoch_id in 1..=6 {
        let entry = challenge(epoch_id, "lumera1bob", failed());
        journal.record_challenges(&[entry], &[evidence(&format!("e{epoch_id}"), epoch_id, 3)]).await?;
    }
    let kept = async || -> Result<(Vec<u64>, Vec<u64>), JournalError> {
        let listed = journal.evidence_list(&HistoryFilter::default()).await?;
        Ok((epochs(&all(journal).await?), listed.iter().map(|summary| summary.epoch_id).collect()))
    };
    equal("nothing to forget", journal.trim_history(&EVERYTHING).await?, 0)?;
    let by_epoch = HistoryLimits { oldest_epoch_id: 2, ..EVERYTHING };
    equal("by epoch", journal.trim_history(&by_epoch).await?, 2)?;
    let by_count = HistoryLimits { challenges_max: 4, evidence_max: 2, ..EVERYTHING };
    equal("by number", journal.trim_history(&by_count).await?, 4)?;
    equal("the latest are left", kept().await?, (vec![6, 5, 4, 3], vec![6, 5]))?;
    equal("nothing more", journal.trim_history(&by_count).await?, 0)?;
    let last = all(journal).await?[0].challenge_number;
    let none = HistoryLimits { oldest_epoch_id: u64::MAX, challenges_max: 0, evidence_max: 0 };
    equal("everything", journal.trim_history(&none).await?, 6)?;
    equal("nothing is left", kept().await?, (Vec::new(), Vec::new()))?;
    journal.record_challenges(&[challenge(7, "lumera1bob", failed())], &[]).await?;
    holds("a greater number than any before", all(journal).await?[0].challenge_number > last)
}
