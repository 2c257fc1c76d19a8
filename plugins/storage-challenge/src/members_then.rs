//! Who the members were when a ticket was stored, from the anchors that the chain keeps.
//!
//! Owns a bounded cache: a past epoch's anchor does not change. What follows for a target is `placement`'s part.

use crate::epoch_view::{EpochView, chain_fault};
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::{ChainReader, Params};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::protocol::epoch::EpochSchedule;
use lampkeeper_plugin_sdk::protocol::placement::Position;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Epochs that are remembered; the oldest is forgotten first.
const EPOCHS_REMEMBERED_MAX: usize = 512;

/// Accounts and their positions.
type Accounts = BTreeMap<String, Position>;

/// The members that may have taken artifacts when a ticket was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MembersThen {
    /// Those in the anchors around the ticket's registration. Full members are among them, which an anchor does not
    /// tell apart: they stand in the way of a target, to its favour.
    Known(Accounts),
    /// The chain no longer has the anchors.
    Forgotten,
}

/// Reads and remembers anchors.
#[derive(Default)]
pub(crate) struct MembersOfEpochs {
    known: Mutex<BTreeMap<EpochId, Option<Arc<Accounts>>>>,
}

impl MembersOfEpochs {
    /// The members around a height: artifacts are placed between a ticket's registration and its finalisation, mostly
    /// in the same epoch or the next.
    pub(crate) async fn around(
        &self,
        chain: &dyn ChainReader,
        view: &EpochView,
        height: i64,
    ) -> Result<MembersThen, ChallengeError> {
        let first = epoch_of(&view.params, height)?;
        let last = first.saturating_add(1).min(view.anchor.epoch_id);
        let mut members = Accounts::new();
        for epoch_id in first..=last {
            match self.of_epoch(chain, epoch_id).await? {
                Some(accounts) => {
                    members.extend(accounts.iter().map(|(account, position)| (account.clone(), *position)));
                }
                None => return Ok(MembersThen::Forgotten),
            }
        }
        Ok(if members.is_empty() { MembersThen::Forgotten } else { MembersThen::Known(members) })
    }

    async fn of_epoch(
        &self,
        chain: &dyn ChainReader,
        epoch_id: EpochId,
    ) -> Result<Option<Arc<Accounts>>, ChallengeError> {
        if let Some(known) = self.lock().get(&epoch_id) {
            return Ok(known.clone());
        }
        let accounts = match chain.epoch_anchor(epoch_id).await {
            Ok(anchor) => {
                let accounts = anchor.active_supernode_accounts.into_iter();
                let placed = accounts.map(|account| {
                    let position = Position::of(&account);
                    (account, position)
                });
                Some(Arc::new(placed.collect()))
            }
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(chain_fault("reading the anchor of a ticket's epoch", &error)),
        };
        let mut known = self.lock();
        if known.len() >= EPOCHS_REMEMBERED_MAX {
            known.pop_first();
        }
        known.insert(epoch_id, accounts.clone());
        Ok(accounts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EpochId, Option<Arc<Accounts>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The epoch of a height (wire 1.7), with the parameters in force now.
fn epoch_of(params: &Params, height: i64) -> Result<EpochId, ChallengeError> {
    EpochSchedule::new(params.epoch_zero_height, params.epoch_length_blocks)
        .map(|schedule| schedule.epoch_at(height))
        .map_err(|error| ChallengeError::Ours {
            stage: "finding the epoch of a ticket".to_owned(),
            reason: error.to_string(),
            transient: true,
        })
}
