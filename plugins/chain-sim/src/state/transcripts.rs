//! Transcript records: by hash alone, and by target, bucket and epoch (chain 4.5, step 5).

use super::rows::Rows;
use crate::api::{Account, EpochId, TicketId};
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// What the chain remembers of a submitted or rechecked result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transcript {
    /// The hash, an opaque text.
    pub transcript_hash: String,
    /// The epoch of the result; of a recheck, that of the result it repeats.
    pub epoch_id: EpochId,
    /// Who submitted it.
    pub reporter: Account,
    /// About whom.
    pub target: Account,
    /// For which ticket.
    pub ticket_id: TicketId,
    /// What was found.
    pub result_class: ResultClass,
    /// In which bucket.
    pub bucket: Bucket,
    /// The artifact's class.
    pub artifact_class: ArtifactClass,
    /// The artifact's key.
    pub artifact_key: String,
    /// The artifact's ordinal.
    pub artifact_ordinal: u32,
    /// The reported number of artifacts.
    pub artifact_count: u32,
    /// As submitted; empty for a recheck.
    pub derivation_input_hash: String,
    /// As submitted; empty for a recheck.
    pub challenger_signature: String,
    /// As submitted; empty for a recheck.
    pub observer_attestation_signatures: Vec<String>,
    /// Whether another node may recheck it.
    pub recheck_eligible: bool,
    /// Whether a recheck confirmed it.
    pub confirmed_by_recheck: bool,
    /// Whether a recheck refuted it.
    pub contradicted_by_recheck: bool,
    /// The recheck's hash, once there is one.
    pub recheck_transcript_hash: String,
    /// Of a recheck: the hash that was challenged.
    pub challenged_transcript_hash: String,
    /// The text of the genesis row that this record came from, until it changes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub original_json: String,
}

impl Transcript {
    /// The record as a genesis row: the text that it came from, or new text (chain A.3).
    #[must_use]
    pub fn to_row(&self) -> String {
        if self.original_json.is_empty() {
            #[expect(clippy::expect_used, reason = "a record of texts and numbers always has a JSON form")]
            serde_json::to_string(self).expect("a transcript record")
        } else {
            self.original_json.clone()
        }
    }
}

/// What a record is indexed under.
type IndexKey = (EpochId, Account, Bucket, String);

/// All transcript records.
///
/// A hash names one record. The index by target, bucket and epoch remembers more: what stood under a hash before another
/// target, bucket or epoch took it still counts as history (chain 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcripts {
    records: BTreeMap<String, Transcript>,
    superseded: BTreeMap<IndexKey, Transcript>,
    by_epoch: BTreeMap<EpochId, BTreeMap<(Account, Bucket), BTreeSet<String>>>,
}

fn index_key(record: &Transcript) -> IndexKey {
    (record.epoch_id, record.target.clone(), record.bucket, record.transcript_hash.clone())
}

impl Transcripts {
    /// The record under a hash.
    #[must_use]
    pub fn get(&self, transcript_hash: &str) -> Option<&Transcript> {
        self.records.get(transcript_hash)
    }

    /// Writes a record; one with the same hash is replaced.
    pub fn insert(&mut self, record: Transcript) {
        self.by_epoch
            .entry(record.epoch_id)
            .or_default()
            .entry((record.target.clone(), record.bucket))
            .or_default()
            .insert(record.transcript_hash.clone());
        let key = index_key(&record);
        self.superseded.remove(&key);
        if let Some(earlier) = self.records.insert(record.transcript_hash.clone(), record) {
            let earlier_key = index_key(&earlier);
            if earlier_key != key {
                self.superseded.insert(earlier_key, earlier);
            }
        }
    }

    /// Changes the links of a record, if there is one; its hash, epoch, target and bucket must stay.
    pub fn update(&mut self, transcript_hash: &str, change: impl FnOnce(&mut Transcript)) {
        if let Some(record) = self.records.get_mut(transcript_hash) {
            record.original_json.clear();
            change(record);
        }
    }

    /// The records about a target in a bucket and a window, superseded ones included.
    pub fn of_target(
        &self,
        target: &str,
        bucket: Bucket,
        epochs: RangeInclusive<EpochId>,
    ) -> impl Iterator<Item = &Transcript> {
        let key = (target.to_owned(), bucket);
        self.by_epoch
            .range(epochs)
            .filter_map(move |(epoch_id, targets)| Some((*epoch_id, targets.get_key_value(&key)?)))
            .flat_map(move |(epoch_id, (key, hashes))| {
                hashes.iter().filter_map(move |hash| self.indexed(epoch_id, key, hash))
            })
    }

    fn indexed(
        &self,
        epoch_id: EpochId,
        (target, bucket): &(Account, Bucket),
        hash: &str,
    ) -> Option<&Transcript> {
        let current = self.records.get(hash).filter(|record| {
            record.epoch_id == epoch_id && record.target == *target && record.bucket == *bucket
        });
        current.or_else(|| self.superseded.get(&(epoch_id, target.clone(), *bucket, hash.to_owned())))
    }

    /// All records, by hash.
    pub fn iter(&self) -> impl Iterator<Item = &Transcript> {
        self.records.values()
    }

    /// Drops every record whose own epoch is before `epoch_id` (chain 10).
    pub fn drop_before(&mut self, epoch_id: EpochId) {
        let kept = self.by_epoch.split_off(&epoch_id);
        self.superseded.retain(|(epoch, ..), _| *epoch >= epoch_id);
        let dropped = std::mem::replace(&mut self.by_epoch, kept);
        for hash in dropped.into_values().flat_map(BTreeMap::into_values).flatten() {
            if self.records.get(&hash).is_some_and(|record| record.epoch_id < epoch_id) {
                self.records.remove(&hash);
            }
        }
    }
}

impl Rows for Transcripts {
    type Row = Transcript;

    /// Superseded records come first, so that loading supersedes them again.
    fn rows(&self) -> impl Iterator<Item = &Transcript> {
        self.superseded.values().chain(self.iter())
    }

    fn insert_row(&mut self, row: Transcript) {
        self.insert(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_is_used_again_leaves_history_behind() {
        let record = |target: &str, epoch_id| Transcript {
            transcript_hash: "hash".to_owned(),
            target: target.to_owned(),
            epoch_id,
            bucket: Bucket::Recent,
            ..Transcript::default()
        };
        let mut transcripts = Transcripts::default();
        for (target, epoch_id) in [("a", 1), ("b", 2), ("b", 2)] {
            transcripts.insert(record(target, epoch_id));
        }
        let of = |store: &Transcripts, target| store.of_target(target, Bucket::Recent, 0..=9).count();
        assert_eq!((of(&transcripts, "a"), of(&transcripts, "b")), (1, 1));
        assert_eq!(transcripts.get("hash").map(|record| record.target.as_str()), Some("b"));
        let mut loaded = Transcripts::default();
        for row in transcripts.rows() {
            loaded.insert_row(row.clone());
        }
        assert_eq!(loaded, transcripts);
        transcripts.drop_before(2);
        assert_eq!((of(&transcripts, "a"), of(&transcripts, "b")), (0, 1));
        transcripts.drop_before(3);
        assert_eq!(transcripts, Transcripts::default());
    }
}
