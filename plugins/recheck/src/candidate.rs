//! From a row of another node's report to a candidate for a recheck (wire 6.2).
//!
//! Owns which rows qualify and what can be checked of them without asking anybody. Whose key signed is `keys`' part.

use lampkeeper_plugin_sdk::api::chain::{EpochReport, StorageProofResult};
use lampkeeper_plugin_sdk::api::challenge::RepeatedArtifact;
use lampkeeper_plugin_sdk::api::{Account, EpochId, TicketId};
use lampkeeper_plugin_sdk::protocol::account::ACCOUNT_TEXT_LEN_MAX;
use lampkeeper_plugin_sdk::protocol::transcript::Transcript;
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};

/// Rows of one report that are looked at: the chain takes no more (chain 4.2, step 10).
const ROWS_PER_REPORT_MAX: usize = 16;
/// The longest ticket: a decimal counter.
const TICKET_LEN_BYTES_MAX: usize = 64;
/// The longest artifact key: 32 bytes in base58.
const ARTIFACT_KEY_LEN_BYTES_MAX: usize = 44;
/// Hex digits of a hash.
const HASH_LEN_DIGITS: usize = 64;
/// Hex digits of the longest signature: R, S and V.
const SIGNATURE_LEN_DIGITS_MAX: usize = 130;

/// A failed challenge that another node reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) epoch_id: EpochId,
    pub(crate) target: Account,
    pub(crate) ticket_id: TicketId,
    pub(crate) reporter: Account,
    pub(crate) transcript_hash: String,
    /// What the reporter said.
    pub(crate) class: ResultClass,
    pub(crate) artifact: RepeatedArtifact,
    /// Hex of the reporter's signature over the transcript hash's text.
    pub(crate) signature: String,
    /// Whether the row's own fields hash to its transcript hash.
    pub(crate) transcript_matches: bool,
}

/// The candidates of a report, and how many eligible rows were too malformed to be one.
pub(crate) fn candidates_of(report: &EpochReport) -> (Vec<Candidate>, u64) {
    let mut malformed = 0;
    let rows = report.storage_proof_results.iter().take(ROWS_PER_REPORT_MAX);
    let eligible = rows.filter(|row| row.result_class.is_recheck_eligible());
    let candidates = eligible.filter_map(|row| {
        let candidate = candidate_of(report, row);
        malformed += u64::from(candidate.is_none());
        candidate
    });
    let candidates = candidates.collect();
    (candidates, malformed)
}

fn candidate_of(report: &EpochReport, row: &StorageProofResult) -> Option<Candidate> {
    let is_word =
        |text: &str, max: usize| !text.is_empty() && text.len() <= max && !text.contains(char::is_whitespace);
    let well_formed = report.epoch_id > 0
        && row.challenger_supernode_account == report.supernode_account
        && is_word(&row.target_supernode_account, ACCOUNT_TEXT_LEN_MAX)
        && is_word(&row.ticket_id, TICKET_LEN_BYTES_MAX)
        && is_word(&row.artifact_key, ARTIFACT_KEY_LEN_BYTES_MAX)
        && row.artifact_class.domain_word().is_some()
        && row.challenger_signature.len() <= SIGNATURE_LEN_DIGITS_MAX
        && row.transcript_hash.len() == HASH_LEN_DIGITS
        && row.transcript_hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    well_formed.then(|| Candidate {
        epoch_id: report.epoch_id,
        target: row.target_supernode_account.clone(),
        ticket_id: row.ticket_id.clone(),
        reporter: report.supernode_account.clone(),
        transcript_hash: row.transcript_hash.clone(),
        class: row.result_class,
        artifact: RepeatedArtifact {
            class: row.artifact_class,
            ordinal: row.artifact_ordinal,
            artifact_key: row.artifact_key.clone(),
        },
        signature: row.challenger_signature.clone(),
        transcript_matches: transcript_matches(report.epoch_id, row),
    })
}

/// Every row of a failure can be hashed again from what it says: the proof hash and the observers of its transcript are
/// empty (wire 3.6). Only a row about observers could have more in it than it tells; today's challengers make none.
fn transcript_matches(epoch_id: EpochId, row: &StorageProofResult) -> bool {
    if row.result_class == ResultClass::ObserverQuorumFail {
        return true;
    }
    let transcript = Transcript {
        epoch_id,
        challenger: &row.challenger_supernode_account,
        target: &row.target_supernode_account,
        ticket_id: &row.ticket_id,
        bucket: row.bucket_type,
        class: row.artifact_class,
        ordinal: row.artifact_ordinal,
        artifact_key: &row.artifact_key,
        derivation_input_hash: &row.derivation_input_hash,
        compound_proof_hash: "",
        observers: &[],
    };
    row.bucket_type != Bucket::Unspecified && transcript.hash().is_ok_and(|hash| hash == row.transcript_hash)
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
