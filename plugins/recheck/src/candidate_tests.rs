//! Tables for what makes a row a candidate.

use super::*;
use lampkeeper_plugin_sdk::protocol::words::ArtifactClass;

fn honest_row() -> StorageProofResult {
    let mut row = StorageProofResult {
        target_supernode_account: "target".to_owned(),
        challenger_supernode_account: "reporter".to_owned(),
        ticket_id: "7".to_owned(),
        bucket_type: Bucket::Recent,
        artifact_class: ArtifactClass::Symbol,
        artifact_ordinal: 3,
        artifact_key: "key".to_owned(),
        result_class: ResultClass::HashMismatch,
        derivation_input_hash: "ab".repeat(32),
        challenger_signature: "00".repeat(64),
        ..StorageProofResult::default()
    };
    row.transcript_hash = Transcript {
        epoch_id: 5,
        challenger: "reporter",
        target: "target",
        ticket_id: "7",
        bucket: Bucket::Recent,
        class: ArtifactClass::Symbol,
        ordinal: 3,
        artifact_key: "key",
        derivation_input_hash: &row.derivation_input_hash,
        compound_proof_hash: "",
        observers: &[],
    }
    .hash()
    .unwrap();
    row
}

fn report(row: StorageProofResult) -> EpochReport {
    EpochReport {
        supernode_account: "reporter".to_owned(),
        epoch_id: 5,
        storage_proof_results: vec![row],
        ..EpochReport::default()
    }
}

/// What a row is expected to be.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    NotEligible,
    Malformed,
    Candidate { transcript_matches: bool },
}

#[test]
fn rows_are_weighed_by_what_they_say() {
    use Expected::{Candidate, Malformed, NotEligible};
    type Change = fn(&mut StorageProofResult);
    let good = || Candidate { transcript_matches: true };
    let forged = || Candidate { transcript_matches: false };
    let table: [(&str, Change, Expected); 24] = [
        ("honest", |_| {}, good()),
        ("timeout", |row| row.result_class = ResultClass::TimeoutOrNoResponse, good()),
        ("invalid", |row| row.result_class = ResultClass::InvalidTranscript, good()),
        ("passed", |row| row.result_class = ResultClass::Pass, NotEligible),
        ("no ticket", |row| row.result_class = ResultClass::NoEligibleTicket, NotEligible),
        ("confirmed", |row| row.result_class = ResultClass::RecheckConfirmedFail, NotEligible),
        ("unspecified", |row| row.result_class = ResultClass::Unspecified, NotEligible),
        ("another's", |row| row.challenger_supernode_account = "other".to_owned(), Malformed),
        ("no target", |row| row.target_supernode_account.clear(), Malformed),
        ("long target", |row| row.target_supernode_account = "x".repeat(ACCOUNT_TEXT_LEN_MAX + 1), Malformed),
        ("spaced target", |row| row.target_supernode_account = " target".to_owned(), Malformed),
        ("no ticket id", |row| row.ticket_id.clear(), Malformed),
        ("long ticket id", |row| row.ticket_id = "7".repeat(TICKET_LEN_BYTES_MAX + 1), Malformed),
        ("no key", |row| row.artifact_key.clear(), Malformed),
        ("long key", |row| row.artifact_key = "k".repeat(ARTIFACT_KEY_LEN_BYTES_MAX + 1), Malformed),
        ("no class", |row| row.artifact_class = ArtifactClass::Unspecified, Malformed),
        (
            "long signature",
            |row| row.challenger_signature = "0".repeat(SIGNATURE_LEN_DIGITS_MAX + 1),
            Malformed,
        ),
        ("short hash", |row| row.transcript_hash.truncate(HASH_LEN_DIGITS - 1), Malformed),
        ("upper-case hash", |row| row.transcript_hash.make_ascii_uppercase(), Malformed),
        ("another hash", |row| row.transcript_hash = "0".repeat(HASH_LEN_DIGITS), forged()),
        ("another ordinal", |row| row.artifact_ordinal = 4, forged()),
        ("another ticket", |row| row.ticket_id = "8".to_owned(), forged()),
        ("no bucket", |row| row.bucket_type = Bucket::Unspecified, forged()),
        // The observers of its transcript are not in the row, so its hash can't be computed.
        (
            "quorum",
            |row| {
                row.result_class = ResultClass::ObserverQuorumFail;
                row.transcript_hash = "0".repeat(HASH_LEN_DIGITS);
            },
            good(),
        ),
    ];
    for (about, change, expected) in table {
        let mut row = honest_row();
        change(&mut row);
        let (candidates, malformed) = candidates_of(&report(row));
        let found = match (candidates.as_slice(), malformed) {
            ([], 0) => NotEligible,
            ([], 1) => Malformed,
            ([one], 0) => Candidate { transcript_matches: one.transcript_matches },
            other => panic!("{about}: {other:?}"),
        };
        assert_eq!(found, expected, "{about}");
    }
}

#[test]
fn a_report_of_epoch_zero_or_without_end_is_bounded() {
    let zero = EpochReport { epoch_id: 0, ..report(honest_row()) };
    assert_eq!(candidates_of(&zero), (Vec::new(), 1), "the journal takes no epoch 0 (wire 8.1)");
    let long = EpochReport { storage_proof_results: vec![honest_row(); 100], ..report(honest_row()) };
    assert_eq!(candidates_of(&long).0.len(), ROWS_PER_REPORT_MAX);
}
