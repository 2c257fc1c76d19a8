//! The two internal fact tables of scoring (chain 5.1), by epoch first.

use super::rows::Rows;
use crate::api::{Account, EpochId, TicketId};
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The window of `length` epochs that ends at `epoch_id` (chain 5.1).
#[must_use]
pub fn window(epoch_id: EpochId, length: u32) -> RangeInclusive<EpochId> {
    // Defaulting leaves no window without epochs; planted ones are read as one epoch, since ranges can't be reversed.
    let first = (epoch_id + 1).saturating_sub(u64::from(length));
    first.min(epoch_id)..=epoch_id
}

/// A failure of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeFailure {
    /// The node.
    pub target: Account,
    /// When.
    pub epoch_id: EpochId,
    /// On which ticket.
    pub ticket_id: TicketId,
    /// Who said so.
    pub reporter: Account,
    /// What was found.
    pub result_class: ResultClass,
    /// In which bucket.
    pub bucket: Bucket,
    /// On which class of artifact.
    pub artifact_class: ArtifactClass,
}

impl NodeFailure {
    /// Whether it is a Class A fault (chain 0.4).
    #[must_use]
    pub const fn is_class_a(&self) -> bool {
        is_class_a(self.result_class)
    }
}

/// Whether a result is a Class A fault (chain 0.4).
#[must_use]
pub const fn is_class_a(class: ResultClass) -> bool {
    matches!(class, ResultClass::HashMismatch | ResultClass::RecheckConfirmedFail)
}

/// The failures of one node in one epoch, by ticket and reporter.
type FailuresOfNode = BTreeMap<(TicketId, Account), NodeFailure>;

/// Node-failure facts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFailures {
    by_epoch: BTreeMap<EpochId, BTreeMap<Account, FailuresOfNode>>,
}

impl NodeFailures {
    /// Writes a fact; one with the same target, epoch, ticket and reporter is overwritten.
    pub fn insert(&mut self, fact: NodeFailure) {
        self.by_epoch
            .entry(fact.epoch_id)
            .or_default()
            .entry(fact.target.clone())
            .or_default()
            .insert((fact.ticket_id.clone(), fact.reporter.clone()), fact);
    }

    /// The facts of a node in a window.
    pub fn of_node(
        &self,
        target: &str,
        epochs: RangeInclusive<EpochId>,
    ) -> impl Iterator<Item = &NodeFailure> {
        self.by_epoch
            .range(epochs)
            .filter_map(move |(_, targets)| targets.get(target))
            .flat_map(BTreeMap::values)
    }

    /// All facts.
    pub fn iter(&self) -> impl Iterator<Item = &NodeFailure> {
        self.by_epoch.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }

    /// Drops everything before an epoch.
    pub fn drop_before(&mut self, epoch_id: EpochId) {
        self.by_epoch = self.by_epoch.split_off(&epoch_id);
    }
}

impl Rows for NodeFailures {
    type Row = NodeFailure;

    fn rows(&self) -> impl Iterator<Item = &NodeFailure> {
        self.iter()
    }

    fn insert_row(&mut self, row: NodeFailure) {
        self.insert(row);
    }
}

/// A result that a reporter submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReporterResult {
    /// Who submitted it.
    pub reporter: Account,
    /// When.
    pub epoch_id: EpochId,
    /// For which ticket.
    pub ticket_id: TicketId,
    /// About whom.
    pub target: Account,
    /// What was found.
    pub result_class: ResultClass,
    /// Whether a recheck confirmed it.
    pub confirmed: bool,
    /// Whether a recheck refuted it.
    pub overturned: bool,
}

/// The results of one epoch. The second map is derived from the first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct EpochResults {
    by_reporter: BTreeMap<Account, BTreeMap<(TicketId, Account), ReporterResult>>,
    reporters: BTreeMap<(TicketId, Account), BTreeSet<Account>>,
}

/// Reporter-result facts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReporterResults {
    by_epoch: BTreeMap<EpochId, EpochResults>,
}

impl ReporterResults {
    /// Writes a fact; one with the same reporter, epoch, ticket and target is overwritten.
    pub fn insert(&mut self, fact: ReporterResult) {
        let epoch = self.by_epoch.entry(fact.epoch_id).or_default();
        let key = (fact.ticket_id.clone(), fact.target.clone());
        epoch.reporters.entry(key.clone()).or_default().insert(fact.reporter.clone());
        epoch.by_reporter.entry(fact.reporter.clone()).or_default().insert(key, fact);
    }

    /// Changes a fact, if there is one.
    pub fn update(
        &mut self,
        reporter: &str,
        epoch_id: EpochId,
        ticket_id: &str,
        target: &str,
        change: impl FnOnce(&mut ReporterResult),
    ) {
        let fact = self
            .by_epoch
            .get_mut(&epoch_id)
            .and_then(|epoch| epoch.by_reporter.get_mut(reporter))
            .and_then(|facts| facts.get_mut(&(ticket_id.to_owned(), target.to_owned())));
        if let Some(fact) = fact {
            change(fact);
        }
    }

    /// The facts of a reporter in a window.
    pub fn of_reporter(
        &self,
        reporter: &str,
        epochs: RangeInclusive<EpochId>,
    ) -> impl Iterator<Item = &ReporterResult> {
        self.by_epoch
            .range(epochs)
            .filter_map(move |(_, epoch)| epoch.by_reporter.get(reporter))
            .flat_map(BTreeMap::values)
    }

    /// The facts about one ticket on one target in a window, from every reporter.
    pub fn of_ticket(
        &self,
        ticket_id: &str,
        target: &str,
        epochs: RangeInclusive<EpochId>,
    ) -> impl Iterator<Item = &ReporterResult> {
        let key = (ticket_id.to_owned(), target.to_owned());
        self.by_epoch.range(epochs).flat_map(move |(_, epoch)| {
            let reporters = epoch.reporters.get(&key).into_iter().flatten();
            let key = key.clone();
            reporters.filter_map(move |reporter| epoch.by_reporter.get(reporter)?.get(&key))
        })
    }

    /// Who has a fact in an epoch.
    pub fn reporters_in(&self, epoch_id: EpochId) -> impl Iterator<Item = &Account> {
        self.by_epoch.get(&epoch_id).into_iter().flat_map(|epoch| epoch.by_reporter.keys())
    }

    /// All facts.
    pub fn iter(&self) -> impl Iterator<Item = &ReporterResult> {
        self.by_epoch.values().flat_map(|epoch| epoch.by_reporter.values()).flat_map(BTreeMap::values)
    }

    /// Drops everything before an epoch.
    pub fn drop_before(&mut self, epoch_id: EpochId) {
        self.by_epoch = self.by_epoch.split_off(&epoch_id);
    }
}

impl Rows for ReporterResults {
    type Row = ReporterResult;

    fn rows(&self) -> impl Iterator<Item = &ReporterResult> {
        self.iter()
    }

    fn insert_row(&mut self, row: ReporterResult) {
        self.insert(row);
    }
}
