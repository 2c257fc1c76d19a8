//! What the close of an epoch does to the states of nodes (chain 6).
//!
//! Owns the frame: which nodes are examined, in which order, and the markers that remember why a node was postponed.

mod bands;
mod ordinary;
mod predicates;
mod recovery;

use crate::api::chain::{Params, SupernodeState};
use crate::api::{Account, EpochId};
use crate::state::State;

impl State {
    /// Postpones and recovers nodes (chain 6.1). Both lists are read before anything changes, so that a node postponed
    /// now is not recovered in the same pass.
    pub(crate) fn enforce(&mut self, epoch_id: EpochId, params: &Params) {
        let active = self.supernode.supernodes.accounts_in(SupernodeState::Active);
        let postponed = self.supernode.supernodes.accounts_in(SupernodeState::Postponed);
        for account in &active {
            self.enforce_active(account, epoch_id, params);
        }
        for account in &postponed {
            self.try_recovery(account, epoch_id, params);
        }
    }

    fn enforce_active(&mut self, account: &Account, epoch_id: EpochId, params: &Params) {
        self.enforce_storage_truth(account, epoch_id, params);
        // A marker left over from an earlier postponement exempts, too (chain 6.1, "Stale-marker quirk").
        if self.audit.storage_truth_postponements.contains_key(account) {
            return;
        }
        self.audit.action_postponements.remove(account);
        let Some(reason) = self.ordinary_reason(account, epoch_id, params) else { return };
        self.postpone(account, reason.words());
        if reason.is_action_finalisation() {
            self.audit.action_postponements.insert(account.clone(), epoch_id);
        }
    }
}
