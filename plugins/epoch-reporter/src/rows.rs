//! Which of the waiting rows a report carries, and whether they are complete (wire 3.10, 7.4).
//!
//! Owns pure functions only. Nothing here removes a row from the journal.

use crate::fallback::Fallback;
use lampkeeper_plugin_sdk::api::chain::StorageProofResult;
use lampkeeper_plugin_sdk::api::journal::PendingProofRow;
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rows that the chain takes in one report (chain 4.2, step 10).
pub(crate) const ROWS_PER_REPORT_MAX: usize = 16;

/// What a report may hold besides its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) own_account: &'a str,
    pub(crate) targets: &'a [String],
    pub(crate) fallback: Fallback,
}

/// The rows of a report, in its order, and why others are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Selection {
    pub(crate) rows: Vec<StorageProofResult>,
    pub(crate) left_out: BTreeMap<&'static str, u64>,
}

/// The rows that the chain can accept, at most [`ROWS_PER_REPORT_MAX`] of them. `waiting` ascends by sequence.
///
/// One row that the chain refuses would take the whole report with it, so what it can't accept is left out: another's
/// rows, rows about others than the assigned targets, repetitions (chain 4.3, rows 4 to 6 and 12) and a second RECENT or
/// OLD row of a target. The oldest counts, so a bucket that was challenged twice does not block the epoch in mode FULL
/// (closes wire 3.11).
pub(crate) fn select(waiting: Vec<PendingProofRow>, terms: Terms<'_>) -> Selection {
    let mut left_out = BTreeMap::new();
    let mut descriptors = BTreeSet::new();
    let mut canonical = BTreeSet::new();
    let mut kept = waiting;
    kept.retain(|pending| {
        let refused = refusal(&pending.row, terms, &mut descriptors, &mut canonical);
        if let Some(reason) = refused {
            *left_out.entry(reason).or_default() += 1;
        }
        refused.is_none()
    });
    let before = kept.len();
    let rows = throttle(kept, ROWS_PER_REPORT_MAX);
    if rows.len() < before {
        left_out.insert("throttled", (before - rows.len()) as u64);
    }
    Selection { rows, left_out }
}

type Descriptor = (String, Bucket, String, ArtifactClass, u32);

fn refusal(
    row: &StorageProofResult,
    terms: Terms<'_>,
    descriptors: &mut BTreeSet<Descriptor>,
    canonical: &mut BTreeSet<(String, Bucket)>,
) -> Option<&'static str> {
    let target = &row.target_supernode_account;
    if row.challenger_supernode_account != terms.own_account {
        return Some("other_challenger");
    }
    if !terms.targets.contains(target) {
        return Some("not_assigned");
    }
    if !terms.fallback.keeps(row) {
        return Some("refused_by_chain");
    }
    let is_canonical = matches!(row.bucket_type, Bucket::Recent | Bucket::Old);
    if is_canonical && !canonical.insert((target.clone(), row.bucket_type)) {
        return Some("repeated");
    }
    let descriptor =
        (target.clone(), row.bucket_type, row.ticket_id.clone(), row.artifact_class, row.artifact_ordinal);
    if descriptors.insert(descriptor) { None } else { Some("repeated") }
}

/// The fair throttle and the order of wire 3.10.
///
/// While there are too many rows, the largest (target, bucket) group loses its oldest row (ties: smaller target, then
/// smaller bucket number), as long as it has more than one; then the globally oldest rows go. What remains is sorted by
/// bucket number and ticket; rows that are equal in both stay in the order of their arrival.
pub(crate) fn throttle(waiting: Vec<PendingProofRow>, rows_max: usize) -> Vec<StorageProofResult> {
    let excess = waiting.len().saturating_sub(rows_max);
    let dropped = dropped_by_group(&waiting, excess);
    let mut kept: Vec<_> =
        waiting.into_iter().filter(|pending| !dropped.contains(&pending.sequence)).collect();
    kept.drain(..kept.len().saturating_sub(rows_max));
    let mut rows: Vec<_> = kept.into_iter().map(|pending| pending.row).collect();
    rows.sort_by(|a, b| (a.bucket_type.number(), &a.ticket_id).cmp(&(b.bucket_type.number(), &b.ticket_id)));
    rows
}

/// The sequences of up to `excess` rows, taken from the largest groups.
fn dropped_by_group(waiting: &[PendingProofRow], excess: usize) -> BTreeSet<u64> {
    let mut groups: BTreeMap<(&str, i32), VecDeque<u64>> = BTreeMap::new();
    for pending in waiting {
        let group = (pending.row.target_supernode_account.as_str(), pending.row.bucket_type.number());
        groups.entry(group).or_default().push_back(pending.sequence);
    }
    let mut dropped = BTreeSet::new();
    while dropped.len() < excess {
        // `max_by_key` takes the last of equals, hence the reversal.
        let Some(largest) = groups.values_mut().rev().max_by_key(|group| group.len()) else { break };
        if largest.len() < 2 {
            break;
        }
        dropped.extend(largest.pop_front());
    }
    dropped
}

/// The first target and bucket without its one row; `None` if all are there (wire 7.4).
pub(crate) fn missing_coverage(rows: &[StorageProofResult], targets: &[String]) -> Option<String> {
    for target in targets {
        for bucket in [Bucket::Recent, Bucket::Old] {
            let of_bucket = |row: &&StorageProofResult| {
                row.target_supernode_account == *target && row.bucket_type == bucket
            };
            let count = rows.iter().filter(of_bucket).count();
            if count != 1 {
                return Some(format!("target {target} has {count} {bucket} rows instead of one"));
            }
        }
    }
    None
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
