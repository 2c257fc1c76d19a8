//! The reward of a clean epoch (chain 5.10).

use crate::api::chain::Params;
use crate::api::{Account, EpochId};
use crate::event::Event;
use crate::protocol::words::ResultClass;
use crate::state::State;
use std::collections::BTreeSet;

/// What a clean epoch takes off a reporter's score.
const CLEAN_EPOCH_DELTA: i64 = -4;
/// Passes that make an epoch clean; not a parameter.
const CLEAN_EPOCH_PASSES: usize = 5;

impl State {
    pub(crate) fn reward_clean_epochs(&mut self, epoch_id: EpochId, params: &Params) {
        let with_state = self.audit.reliability.keys();
        let reporters: BTreeSet<Account> =
            with_state.chain(self.audit.reporter_results.reporters_in(epoch_id)).cloned().collect();
        for reporter in reporters {
            let Some(passes) = self.clean_passes(&reporter, epoch_id) else { continue };
            self.apply_reporter(&reporter, CLEAN_EPOCH_DELTA, 0, epoch_id, params);
            let event = Event::audit("storage_truth_score_updated")
                .with("epoch_id", epoch_id)
                .with("reporter_supernode_account", &reporter)
                .with("clean_epoch_recovery_delta", CLEAN_EPOCH_DELTA)
                .with("epoch_pass_count", passes);
            self.emit(event);
        }
    }

    /// The passes of a clean epoch; `None` if it was not clean.
    fn clean_passes(&self, reporter: &str, epoch_id: EpochId) -> Option<usize> {
        let facts = || self.audit.reporter_results.of_reporter(reporter, epoch_id..=epoch_id);
        let passes = facts().filter(|fact| fact.result_class == ResultClass::Pass).count();
        let is_refuted = facts().any(|fact| fact.result_class.is_failure() && fact.overturned);
        (passes >= CLEAN_EPOCH_PASSES && !is_refuted).then_some(passes)
    }
}
