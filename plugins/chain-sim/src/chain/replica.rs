//! Replicas that are behind, for faults that ask for one.
//!
//! A replica is a second state that executes the same blocks later. It costs one copy when it is made, and each block's
//! transactions until it has caught up with them; never a copy of the state for each block.

use super::producer::PlannedBlock;
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What has happened to the chain that a replica has not done yet.
enum Step {
    Block(Arc<PlannedBlock>),
    /// A tester planted something: the state as it was then.
    Planted(Arc<State>),
}

struct Replica {
    state: State,
    waiting: VecDeque<Step>,
    /// Blocks among `waiting`.
    blocks_waiting: usize,
}

impl Replica {
    fn push(&mut self, step: Step, lag_blocks: u32) {
        self.blocks_waiting += usize::from(matches!(step, Step::Block(_)));
        self.waiting.push_back(step);
        while self.blocks_waiting > lag_blocks as usize
            || matches!(self.waiting.front(), Some(Step::Planted(_)))
        {
            match self.waiting.pop_front() {
                Some(Step::Planted(state)) => self.state = Arc::unwrap_or_clone(state),
                Some(Step::Block(block)) => {
                    self.blocks_waiting -= 1;
                    // The chain itself has executed this block from the same state, so it can't fail here.
                    let executed = block.execute(&mut self.state);
                    debug_assert!(executed.is_ok(), "a block that the chain has executed");
                }
                None => return,
            }
        }
    }
}

/// The replicas that rules ask for, by how many blocks they are behind.
#[derive(Default)]
pub(crate) struct Replicas(BTreeMap<u32, Replica>);

impl Replicas {
    /// Keeps a replica for each of these lags, and no other. A new one begins with the present state.
    pub(crate) fn keep(&mut self, lags: &BTreeSet<u32>, present: &State) {
        self.0.retain(|lag, _| lags.contains(lag));
        for lag in lags {
            self.0.entry(*lag).or_insert_with(|| Replica {
                state: present.clone(),
                waiting: VecDeque::new(),
                blocks_waiting: 0,
            });
        }
    }

    /// Tells all replicas of a block.
    pub(super) fn follow(&mut self, block: &Arc<PlannedBlock>) {
        for (lag, replica) in &mut self.0 {
            replica.push(Step::Block(Arc::clone(block)), *lag);
        }
    }

    /// Tells all replicas that the state was changed past all messages.
    pub(crate) fn planted(&mut self, present: &State) {
        if self.0.is_empty() {
            return;
        }
        let present = Arc::new(present.clone());
        for (lag, replica) in &mut self.0 {
            replica.push(Step::Planted(Arc::clone(&present)), *lag);
        }
    }

    /// The state of this many blocks ago, or of when the replica began.
    pub(crate) fn get(&self, lag: u32) -> Option<&State> {
        self.0.get(&lag).map(|replica| &replica.state)
    }
}
