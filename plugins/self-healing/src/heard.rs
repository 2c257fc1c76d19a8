//! What the chain has told this life of the node, beyond what the journal could take down.
//!
//! Owns memories that a restart may lose. Claims and votes that were executed: a journal that fails, or a replica of the
//! chain that is behind, must not make the node pay for the same message again. Denials: a replica that is behind, or
//! broken, does not know an operation that is open, so "there is no such operation" is not believed before it has been the
//! only answer for long.

use crate::reconcile::ChainSays;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Looks in a row at which the chain denies an operation before that is believed.
const DENIALS_BELIEVED: u32 = 5;
/// Epochs that these looks have to span. A claim that waits costs disk; one that is forgotten too soon costs the heal.
pub(crate) const EPOCHS_DENIED: u64 = 2;
/// Operations that each memory holds; the newest stay.
const OPERATIONS_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Memory {
    executed_claims: BTreeSet<u64>,
    executed_votes: BTreeSet<u64>,
    denials: BTreeMap<u64, Denial>,
}

/// An operation that the chain has denied at every look.
#[derive(Debug, Clone, Copy)]
struct Denial {
    count: u32,
    since_epoch: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Memory>);

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain has executed this node's claim.
    pub(crate) fn claim_executed(&self, heal_op_id: u64) {
        remember(&mut self.lock().executed_claims, heal_op_id);
    }

    /// Whether the chain has said that it executed this node's claim.
    pub(crate) fn is_claim_executed(&self, heal_op_id: u64) -> bool {
        self.lock().executed_claims.contains(&heal_op_id)
    }

    /// The chain has executed this node's vote.
    pub(crate) fn vote_executed(&self, heal_op_id: u64) {
        remember(&mut self.lock().executed_votes, heal_op_id);
    }

    /// Whether the chain has said that it executed this node's vote.
    pub(crate) fn is_vote_executed(&self, heal_op_id: u64) -> bool {
        self.lock().executed_votes.contains(&heal_op_id)
    }

    /// What is to be made of an answer: nothing, if it denies an operation and has not done so for long. `epoch_id` is the
    /// chain's epoch, if it is known.
    pub(crate) fn weigh<'a>(
        &self,
        heal_op_id: u64,
        says: ChainSays<'a>,
        epoch_id: Option<u64>,
    ) -> ChainSays<'a> {
        let mut memory = self.lock();
        match says {
            ChainSays::Op(_) => {
                memory.denials.remove(&heal_op_id);
                says
            }
            ChainSays::Nothing => says,
            ChainSays::NotFound => {
                let Some(epoch_id) = epoch_id else { return ChainSays::Nothing };
                let first = Denial { count: 0, since_epoch: epoch_id };
                let denial = memory.denials.entry(heal_op_id).or_insert(first);
                denial.count = denial.count.saturating_add(1);
                let is_believed = denial.count >= DENIALS_BELIEVED
                    && epoch_id >= denial.since_epoch.saturating_add(EPOCHS_DENIED);
                if is_believed || memory.denials.len() > OPERATIONS_MAX {
                    memory.denials.remove(&heal_op_id);
                }
                if is_believed { says } else { ChainSays::Nothing }
            }
        }
    }
}

fn remember(operations: &mut BTreeSet<u64>, heal_op_id: u64) {
    operations.insert(heal_op_id);
    if operations.len() > OPERATIONS_MAX {
        operations.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::HealOp;

    #[test]
    fn a_denial_is_believed_when_it_is_repeated_over_epochs_without_a_break() {
        let heard = Heard::default();
        let denied_in = |epoch_id| heard.weigh(3, ChainSays::NotFound, epoch_id);
        for _ in 0..DENIALS_BELIEVED + 3 {
            assert_eq!(denied_in(Some(7)), ChainSays::Nothing, "many times, but all in one epoch");
        }
        assert_eq!(denied_in(Some(8)), ChainSays::Nothing);
        let op = HealOp::default();
        assert_eq!(heard.weigh(3, ChainSays::Op(&op), Some(8)), ChainSays::Op(&op), "a break");
        for epoch_id in [Some(9), None, Some(9), Some(10), Some(8), None] {
            assert_eq!(denied_in(epoch_id), ChainSays::Nothing, "{epoch_id:?}");
        }
        assert_eq!(heard.weigh(3, ChainSays::Nothing, Some(12)), ChainSays::Nothing, "no answer is no break");
        assert_eq!(denied_in(Some(11)), ChainSays::NotFound);
        assert_eq!(denied_in(Some(20)), ChainSays::Nothing, "it begins anew");
        assert_eq!(denied_in(Some(30)), ChainSays::Nothing, "long, but only twice");
    }
}
