//! Which ticket of a target was challenged lately, as the chain remembers it.
//!
//! Owns the answer to one question: may a row say "no eligible ticket"? The chain refuses it while anyone's row about a
//! ticket of the same target and bucket is recent (chain 4.4), and with it the whole report.

use crate::epoch_view::{EpochView, chain_fault};
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::{ChainReader, EpochReport, Params};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::protocol::assignment::assign_storage_truth;
use lampkeeper_plugin_sdk::protocol::words::{Bucket, ResultClass};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Closed epochs whose answers are remembered; they don't change any more.
const REMEMBERED_MAX: usize = 16_384;
/// The longest window that is looked through.
const WINDOW_EPOCHS_MAX: u64 = 64;

/// Remembers, for closed epochs, the ticket of each target and bucket.
#[derive(Default)]
pub(crate) struct SeenTickets {
    closed: Mutex<BTreeMap<(EpochId, String, i32), Option<String>>>,
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
        for closed in (first..epoch_id).rev() {
            let key = (closed, target.to_owned(), bucket.number());
            let known = self.lock().get(&key).cloned();
            let ticket = match known {
                Some(ticket) => ticket,
                None => {
                    let ticket = ticket_in_epoch(chain, view, closed, target, bucket).await?;
                    self.remember(key, ticket.clone());
                    ticket
                }
            };
            if ticket.is_some() {
                return Ok(ticket);
            }
        }
        Ok(None)
    }

    fn remember(&self, key: (EpochId, String, i32), ticket: Option<String>) {
        let mut closed = self.lock();
        if closed.len() >= REMEMBERED_MAX {
            closed.pop_first();
        }
        closed.insert(key, ticket);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(EpochId, String, i32), Option<String>>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
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

/// At most one account challenged the target in an epoch, and the anchor tells which: its report is the only one to
/// read (chain 3.3).
async fn ticket_in_epoch(
    chain: &dyn ChainReader,
    view: &EpochView,
    epoch_id: EpochId,
    target: &str,
    bucket: Bucket,
) -> Result<Option<String>, ChallengeError> {
    let anchor = match chain.epoch_anchor(epoch_id).await {
        Ok(anchor) => anchor,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(chain_fault("reading an earlier anchor", &error)),
    };
    let active: Vec<&str> = anchor.active_supernode_accounts.iter().map(String::as_str).collect();
    let targets: Vec<&str> = anchor.target_supernode_accounts.iter().map(String::as_str).collect();
    let divisor = view.params.storage_truth_challenge_target_divisor;
    let assignment = assign_storage_truth(&active, &targets, &anchor.seed, divisor);
    let Some((challenger, _)) = assignment.iter().find(|(_, assigned)| **assigned == target) else {
        return Ok(None);
    };
    match chain.epoch_report(challenger, epoch_id).await {
        Ok(report) => Ok(ticket_in_report(&report, target, bucket)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(chain_fault("reading an earlier report", &error)),
    }
}

fn ticket_in_report(report: &EpochReport, target: &str, bucket: Bucket) -> Option<String> {
    let row = report.storage_proof_results.iter().find(|row| {
        row.target_supernode_account == target
            && row.bucket_type == bucket
            && row.result_class != ResultClass::NoEligibleTicket
            && !row.ticket_id.is_empty()
    });
    row.map(|row| row.ticket_id.clone())
}
