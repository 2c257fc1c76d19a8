//! Which ticket of a target was challenged lately, as the chain remembers it.
//!
//! Owns the answer to one question: may a row say "no eligible ticket"? The chain refuses it while anyone's row about a
//! ticket of the same target and bucket is recent (chain 4.4), and with it the whole report.

use crate::epoch_view::{EpochView, chain_fault};
use lampkeeper_plugin_sdk::api::chain::{ChainReader, Params, StorageProofResult};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::api::{Account, EpochId};
use lampkeeper_plugin_sdk::protocol::assignment::assign_storage_truth;
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Closed epochs that are remembered; they don't change any more.
const EPOCHS_REMEMBERED_MAX: usize = 128;
/// The longest window that is looked through; the chain keeps reports for 200 epochs by default (chain 10).
const WINDOW_EPOCHS_MAX: u64 = 64;
/// Rows of one report that are looked at; the chain accepts no more (wire 3.10).
const ROWS_OF_REPORT_MAX: usize = 16;

/// A target and the number of a bucket.
type Place = (String, i32);

/// What is known of a closed epoch.
#[derive(Default)]
struct ClosedEpoch {
    /// The ticket of the latest row about each place.
    tickets: BTreeMap<Place, String>,
    /// Whose reports were read; those without one are among them.
    read: BTreeSet<Account>,
    /// Whether all reports were read.
    is_complete: bool,
}

/// Remembers, for closed epochs, the tickets that were challenged.
#[derive(Default)]
pub(crate) struct SeenTickets {
    closed: Mutex<BTreeMap<EpochId, ClosedEpoch>>,
}

impl SeenTickets {
    /// The ticket of the latest row about this target and bucket within the chain's window, if there is one.
    pub(crate) async fn recently(
        &self,
        chain: &dyn ChainReader,
        view: &EpochView,
        target: &str,
        bucket: Bucket,
    ) -> Result<Option<String>, ChallengeError> {
        let epoch_id = view.anchor.epoch_id;
        let first = epoch_id.saturating_sub(window_epochs(&view.params, bucket).saturating_sub(1));
        let place = (target.to_owned(), bucket.number());
        for closed in (first..epoch_id).rev() {
            let ticket = self.in_epoch(chain, view, closed, &place).await?;
            if ticket.is_some() {
                return Ok(ticket);
            }
        }
        Ok(None)
    }

    /// At most one account challenged the target, most likely the one that the anchor's assignment names (chain 3.3).
    /// But the chain left out challengers whose reports it trusted too little then, which the anchor does not tell; so
    /// only all reports together say that there was none.
    async fn in_epoch(
        &self,
        chain: &dyn ChainReader,
        view: &EpochView,
        epoch_id: EpochId,
        place: &Place,
    ) -> Result<Option<String>, ChallengeError> {
        if let Some(known) = self.known(epoch_id, place) {
            return Ok(known);
        }
        let anchor = match chain.epoch_anchor(epoch_id).await {
            Ok(anchor) => anchor,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(chain_fault("reading an earlier anchor", &error)),
        };
        let mut reporters: Vec<&str> = anchor.active_supernode_accounts.iter().map(String::as_str).collect();
        let targets: Vec<&str> = anchor.target_supernode_accounts.iter().map(String::as_str).collect();
        let divisor = view.params.storage_truth_challenge_target_divisor;
        let assignment = assign_storage_truth(&reporters, &targets, &anchor.seed, divisor);
        reporters.sort_by_key(|reporter| assignment.get(reporter) != Some(&place.0.as_str()));
        for reporter in reporters {
            self.read_report(chain, epoch_id, reporter).await?;
            if let Some(Some(ticket)) = self.known(epoch_id, place) {
                return Ok(Some(ticket));
            }
        }
        self.with(epoch_id, |closed| closed.is_complete = true);
        Ok(None)
    }

    async fn read_report(
        &self,
        chain: &dyn ChainReader,
        epoch_id: EpochId,
        reporter: &str,
    ) -> Result<(), ChallengeError> {
        if self.with(epoch_id, |closed| closed.read.contains(reporter)) {
            return Ok(());
        }
        let rows = match chain.epoch_report(reporter, epoch_id).await {
            Ok(report) => report.storage_proof_results,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(chain_fault("reading an earlier report", &error)),
        };
        let names_ticket = |row: &&StorageProofResult| {
            row.result_class != ResultClass::NoEligibleTicket && !row.ticket_id.is_empty()
        };
        self.with(epoch_id, |closed| {
            closed.read.insert(reporter.to_owned());
            for row in rows.iter().take(ROWS_OF_REPORT_MAX).filter(names_ticket) {
                let place = (row.target_supernode_account.clone(), row.bucket_type.number());
                closed.tickets.entry(place).or_insert_with(|| row.ticket_id.clone());
            }
        });
        Ok(())
    }

    /// What is remembered: the ticket, or that there is none; `None` if it has to be looked up.
    fn known(&self, epoch_id: EpochId, place: &Place) -> Option<Option<String>> {
        self.with(epoch_id, |closed| match closed.tickets.get(place) {
            Some(ticket) => Some(Some(ticket.clone())),
            None => closed.is_complete.then_some(None),
        })
    }

    fn with<T>(&self, epoch_id: EpochId, look: impl FnOnce(&mut ClosedEpoch) -> T) -> T {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.len() >= EPOCHS_REMEMBERED_MAX && !closed.contains_key(&epoch_id) {
            closed.pop_first();
        }
        look(closed.entry(epoch_id).or_default())
    }
}

/// The window in which a row about a ticket forbids "no eligible ticket" (chain 4.4).
fn window_epochs(params: &Params, bucket: Bucket) -> u64 {
    let window = match bucket {
        Bucket::Recent => {
            let (blocks, epoch) = (params.storage_truth_recent_bucket_max_blocks, params.epoch_length_blocks);
            if blocks == 0 || epoch == 0 { 3 } else { blocks.div_ceil(epoch).max(1) }
        }
        _ => u64::from(params.storage_truth_old_class_a_fault_window),
    };
    window.min(WINDOW_EPOCHS_MAX)
}
