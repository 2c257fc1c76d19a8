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
}

/// All transcript records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcripts {
    records: BTreeMap<String, Transcript>,
    by_epoch: BTreeMap<EpochId, BTreeMap<(Account, Bucket), BTreeSet<String>>>,
}

impl Transcripts {
    /// The record under a hash.
    #[must_use]
    pub fn get(&self, transcript_hash: &str) -> Option<&Transcript> {
        self.records.get(transcript_hash)
    }

    /// Writes a record; one with the same hash is replaced, its index entry stays.
    pub fn insert(&mut self, record: Transcript) {
        self.by_epoch
            .entry(record.epoch_id)
            .or_default()
            .entry((record.target.clone(), record.bucket))
            .or_default()
            .insert(record.transcript_hash.clone());
        self.records.insert(record.transcript_hash.clone(), record);
    }

    /// Changes the links of a record, if there is one; its hash, epoch, target and bucket must stay.
    pub fn update(&mut self, transcript_hash: &str, change: impl FnOnce(&mut Transcript)) {
        if let Some(record) = self.records.get_mut(transcript_hash) {
            change(record);
        }
    }

    /// The records about a target in a bucket and a window.
    pub fn of_target(
        &self,
        target: &str,
        bucket: Bucket,
        epochs: RangeInclusive<EpochId>,
    ) -> impl Iterator<Item = &Transcript> {
        let key = (target.to_owned(), bucket);
        self.by_epoch
            .range(epochs)
            .filter_map(move |(_, targets)| targets.get(&key))
            .flatten()
            .filter_map(|hash| self.records.get(hash))
    }

    /// All records, by hash.
    pub fn iter(&self) -> impl Iterator<Item = &Transcript> {
        self.records.values()
    }

    /// Drops every record whose own epoch is before `epoch_id` (chain 10).
    pub fn drop_before(&mut self, epoch_id: EpochId) {
        let kept = self.by_epoch.split_off(&epoch_id);
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

    fn rows(&self) -> impl Iterator<Item = &Transcript> {
        self.iter()
    }

    fn insert_row(&mut self, row: Transcript) {
        self.insert(row);
    }
}
