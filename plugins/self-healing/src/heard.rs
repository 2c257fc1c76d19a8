//! What the chain has told this life of the node, beyond what the journal could take down.
//!
//! Owns two memories that a restart may lose. Votes that were executed: a journal that fails must not make the node pay
//! for the same vote again. Denials: a replica of the chain that is behind does not know an operation yet, so one
//! "there is no such operation" is not believed.

use crate::reconcile::ChainSays;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Looks in a row at which the chain denies an operation before that is believed.
pub(crate) const DENIALS_BELIEVED: u32 = 5;
/// Operations that each memory holds; the newest stay.
const OPERATIONS_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Memory {
    executed_votes: BTreeSet<u64>,
    denials: BTreeMap<u64, u32>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Memory>);

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain has executed this node's vote.
    pub(crate) fn vote_executed(&self, heal_op_id: u64) {
        let mut memory = self.lock();
        memory.executed_votes.insert(heal_op_id);
        if memory.executed_votes.len() > OPERATIONS_MAX {
            memory.executed_votes.pop_first();
        }
    }

    /// Whether the chain has said that it executed this node's vote.
    pub(crate) fn is_vote_executed(&self, heal_op_id: u64) -> bool {
        self.lock().executed_votes.contains(&heal_op_id)
    }

    /// What is to be made of an answer: nothing, if it denies an operation for the first few times.
    pub(crate) fn weigh<'a>(&self, heal_op_id: u64, says: ChainSays<'a>) -> ChainSays<'a> {
        let mut memory = self.lock();
        match says {
            ChainSays::Op(_) => {
                memory.denials.remove(&heal_op_id);
                says
            }
            ChainSays::Nothing => says,
            ChainSays::NotFound => {
                let count = memory.denials.entry(heal_op_id).or_default();
                *count += 1;
                let is_believed = *count >= DENIALS_BELIEVED;
                if is_believed || memory.denials.len() > OPERATIONS_MAX {
                    memory.denials.remove(&heal_op_id);
                }
                if is_believed { says } else { ChainSays::Nothing }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::HealOp;

    #[test]
    fn a_denial_is_believed_when_it_is_repeated_without_a_break() {
        let heard = Heard::default();
        let denied = || heard.weigh(3, ChainSays::NotFound);
        for _ in 1..DENIALS_BELIEVED {
            assert_eq!(denied(), ChainSays::Nothing);
        }
        let op = HealOp::default();
        assert_eq!(heard.weigh(3, ChainSays::Op(&op)), ChainSays::Op(&op));
        for _ in 1..DENIALS_BELIEVED {
            assert_eq!(denied(), ChainSays::Nothing);
        }
        assert_eq!(heard.weigh(3, ChainSays::Nothing), ChainSays::Nothing, "no answer is no break");
        assert_eq!(denied(), ChainSays::NotFound);
    }
}
