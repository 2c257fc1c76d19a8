//! What the reporter remembers between two looks.
//!
//! Owns it, in memory: everything that must survive a crash is in the journal or on the chain.

use crate::fallback::Fallback;
use crate::held::Reason;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::{EnforcementMode, StorageProofResult};
use lampkeeper_plugin_sdk::api::store::StoreUsage;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by the loop and by whoever asks for the health.
#[derive(Debug, Default)]
pub(crate) struct State {
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The epoch that is worked on; `None` before the first look.
    pub(crate) epoch: Option<EpochState>,
    /// The usage that was read last, for when it can't be read.
    pub(crate) usage: Option<StoreUsage>,
    /// What holds the report, for the health.
    pub(crate) trouble: Option<String>,
}

/// How far an epoch's report has come.
#[derive(Debug, Default)]
pub(crate) struct EpochState {
    pub(crate) epoch_id: EpochId,
    /// Whether the chain has a report, and it was told.
    pub(crate) is_reported: bool,
    /// Whether the rows that the report carried are gone from the journal.
    pub(crate) is_cleared: bool,
    /// Whether a submission may have been executed without our knowing.
    pub(crate) outcome_unknown: bool,
    told: BTreeSet<Reason>,
    refusals: Refusals,
}

/// Refusals of one set of waiting rows.
#[derive(Debug, Default)]
struct Refusals {
    last_sequence: u64,
    count: u32,
    fallback: Fallback,
}

impl State {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the epoch that is worked on, if there is one.
    pub(crate) fn update<T: Default>(&self, change: impl FnOnce(&mut EpochState) -> T) -> T {
        self.lock().epoch.as_mut().map(change).unwrap_or_default()
    }
}

impl EpochState {
    pub(crate) fn new(epoch_id: EpochId) -> Self {
        Self { epoch_id, ..Self::default() }
    }

    /// Whether this is the first time that a reason holds in this epoch.
    pub(crate) fn is_news(&mut self, reason: Reason) -> bool {
        self.told.insert(reason)
    }

    /// What to leave out; nothing when rows have arrived since the last refusal.
    pub(crate) fn fallback(&mut self, last_sequence: u64) -> Fallback {
        if self.refusals.last_sequence != last_sequence {
            self.refusals = Refusals { last_sequence, ..Refusals::default() };
        }
        self.refusals.fallback
    }

    /// Counts a refusal of the rows that were sent; the step that follows from it.
    pub(crate) fn refused(&mut self, mode: EnforcementMode, sent: &[StorageProofResult]) -> Fallback {
        let refusals = &mut self.refusals;
        refusals.count += 1;
        let next = refusals.fallback.after_refusals(refusals.count, mode, sent);
        if next != refusals.fallback {
            refusals.count = 0;
            refusals.fallback = next;
        }
        next
    }
}
