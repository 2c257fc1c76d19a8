//! Epoch reports and who observed whom.
//!
//! Everything is kept by epoch first, so that retention drops whole epochs and every window is a short walk.

use crate::api::chain::EpochReport;
use crate::api::{Account, EpochId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Stored reports.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Reports by epoch and reporter.
    pub by_epoch: BTreeMap<EpochId, BTreeMap<Account, EpochReport>>,
    /// Observers by epoch and observed node. Planted entries may lack their report (chain 6.5, rule 5).
    pub observers: BTreeMap<EpochId, BTreeMap<Account, BTreeSet<Account>>>,
}

impl Reports {
    /// The report of `account` for an epoch.
    #[must_use]
    pub fn get(&self, epoch_id: EpochId, account: &str) -> Option<&EpochReport> {
        self.by_epoch.get(&epoch_id)?.get(account)
    }

    /// Stores a report and indexes its observations.
    pub fn insert(&mut self, report: EpochReport) {
        for observation in &report.storage_challenge_observations {
            self.observers
                .entry(report.epoch_id)
                .or_default()
                .entry(observation.target_supernode_account.clone())
                .or_default()
                .insert(report.supernode_account.clone());
        }
        self.by_epoch.entry(report.epoch_id).or_default().insert(report.supernode_account.clone(), report);
    }

    /// Who observed `target` in an epoch, by account.
    pub fn observers_of(&self, epoch_id: EpochId, target: &str) -> impl Iterator<Item = &Account> {
        self.observers.get(&epoch_id).and_then(|targets| targets.get(target)).into_iter().flatten()
    }

    /// Drops everything before an epoch.
    pub fn drop_before(&mut self, epoch_id: EpochId) {
        self.by_epoch = self.by_epoch.split_off(&epoch_id);
        self.observers = self.observers.split_off(&epoch_id);
    }
}
