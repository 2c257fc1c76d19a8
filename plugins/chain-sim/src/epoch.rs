//! Epochs of the chain, and what the first block of each freezes (chain 1).

use crate::api::EpochId;
use crate::api::chain::{EpochAnchor, SupernodeState};
use crate::block::BlockError;
use crate::params;
use crate::protocol::epoch::{EpochSchedule, anchor_seed, set_commitment};
use crate::state::State;
use std::collections::BTreeSet;

impl State {
    /// How heights map to epochs.
    #[must_use]
    pub fn schedule(&self) -> EpochSchedule {
        let params = self.params();
        let zero_height = params.epoch_zero_height.min(i64::MAX as u64);
        #[expect(clippy::expect_used, reason = "defaulting leaves no zero and the height is bounded")]
        let schedule = EpochSchedule::new(zero_height, params.epoch_length_blocks).expect("a valid schedule");
        schedule
    }

    /// The epoch of the block that is executed now or was executed last.
    #[must_use]
    pub fn current_epoch(&self) -> EpochId {
        self.schedule().epoch_at(self.height)
    }

    /// Writes the anchor and the parameter snapshot of an epoch, unless they exist (chain 1.2, chain 1.3).
    ///
    /// # Errors
    /// The current height is not the first of the epoch, or a supernode has no account.
    pub fn write_anchor(&mut self, epoch_id: EpochId, header_hash: &[u8]) -> Result<(), BlockError> {
        let schedule = self.schedule();
        if self.height != schedule.start_height(epoch_id) {
            return Err(BlockError::new(format!(
                "writing the anchor of epoch {epoch_id} at height {}: it is only written at height {}",
                self.height,
                schedule.start_height(epoch_id)
            )));
        }
        if !self.audit.anchors.contains_key(&epoch_id) {
            let end_height = schedule.end_height(epoch_id);
            let anchor = self.build_anchor(epoch_id, self.height, end_height, header_hash)?;
            self.audit.anchors.insert(epoch_id, anchor);
        }
        let params = self.params();
        self.audit.params_snapshots.entry(epoch_id).or_insert(params);
        Ok(())
    }

    /// The anchor that an epoch with these heights would have now (chain 1.2).
    ///
    /// # Errors
    /// A supernode has no account.
    pub fn build_anchor(
        &self,
        epoch_id: EpochId,
        start_height: i64,
        end_height: i64,
        header_hash: &[u8],
    ) -> Result<EpochAnchor, BlockError> {
        let mut active = BTreeSet::new();
        let mut targets = BTreeSet::new();
        for node in self.supernode.supernodes.iter() {
            if node.supernode_account.is_empty() {
                return Err(BlockError::new(format!(
                    "anchoring epoch {epoch_id}: the supernode of {} has no account",
                    node.validator_address
                )));
            }
            match node.state() {
                SupernodeState::Active | SupernodeState::StorageFull => {
                    active.insert(node.supernode_account.as_str());
                    targets.insert(node.supernode_account.as_str());
                }
                SupernodeState::Postponed => {
                    targets.insert(node.supernode_account.as_str());
                }
                SupernodeState::Unspecified
                | SupernodeState::Disabled
                | SupernodeState::Stopped
                | SupernodeState::Penalized => {}
            }
        }
        let active: Vec<&str> = active.into_iter().collect();
        let targets: Vec<&str> = targets.into_iter().collect();
        Ok(EpochAnchor {
            epoch_id,
            epoch_start_height: start_height,
            epoch_end_height: end_height,
            epoch_length_blocks: end_height.abs_diff(start_height).saturating_add(1),
            seed: anchor_seed(header_hash, start_height, epoch_id),
            params_commitment: params::commitment(&self.audit.params),
            active_set_commitment: set_commitment(&active),
            targets_set_commitment: set_commitment(&targets),
            active_supernode_accounts: active.into_iter().map(str::to_owned).collect(),
            target_supernode_accounts: targets.into_iter().map(str::to_owned).collect(),
        })
    }
}
