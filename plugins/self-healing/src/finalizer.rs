//! The finalizer's phase: publish what the chain has verified, forget what has ended otherwise (wire 5.11).

use crate::node::{LocalError, Node};
use crate::publish::PublishOutcome;
use crate::reconcile::{ChainSays, Finalizing, finalizing};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::journal::HealClaim;
use lampkeeper_plugin_sdk::api::staging::StagingState;
use lampkeeper_plugin_sdk::prelude::*;

impl Node {
    /// Does with a claim, pending or submitted, what the chain's word demands; nothing if there is none any more.
    pub(crate) async fn finalize(&self, heal_op_id: u64, shutdown: &Cancel) -> Result<(), LocalError> {
        let Some(claim) = self.journal.claim(heal_op_id).await? else { return Ok(()) };
        let answer = self.chain.heal_op(heal_op_id).await;
        if let Err(error) = &answer
            && !error.is_transient()
            && !error.is_not_found()
        {
            self.warn("a heal operation can't be read; its claim is kept", heal_op_id, error);
        }
        let says = ChainSays::of(&answer);
        // Asked only for a denial, which is rare.
        let epoch_id = match says {
            ChainSays::NotFound => self.chain.current_epoch().await.ok().map(|epoch| epoch.epoch_id),
            ChainSays::Op(_) | ChainSays::Nothing => None,
        };
        let says = self.heard.weigh(heal_op_id, says, epoch_id);
        match finalizing(&says, &claim.manifest_hash) {
            Finalizing::Keep => Ok(()),
            Finalizing::Drop { status } => {
                self.discard(heal_op_id).await?;
                self.tell_dropped(heal_op_id, &claim.ticket_id, status);
                Ok(())
            }
            Finalizing::Publish if self.may_try(heal_op_id) => self.publish_claim(&claim, shutdown).await,
            Finalizing::Publish => Ok(()),
        }
    }

    async fn publish_claim(&self, claim: &HealClaim, shutdown: &Cancel) -> Result<(), LocalError> {
        let _permit = self.publish_permits.acquire().await;
        let heal_op_id = claim.heal_op_id;
        let manifest = match self.staging.state(heal_op_id).await? {
            StagingState::Sealed(manifest) if manifest.manifest_hash == claim.manifest_hash => manifest,
            other => {
                // What was verified is not here any more: it can't be published, and waiting does not help.
                self.warn(
                    "a verified reconstruction is not in the staging area",
                    heal_op_id,
                    &state_name(&other),
                );
                self.discard(heal_op_id).await?;
                self.tell_dropped(heal_op_id, &claim.ticket_id, "VERIFIED_LOST");
                return Ok(());
            }
        };
        match self.publish(&manifest, shutdown).await {
            PublishOutcome::Done { bytes, stored_on } => {
                self.telemetry.event(
                    Event::new("heal.published")
                        .with("heal_op_id", heal_op_id)
                        .with("ticket_id", &claim.ticket_id)
                        .with("artifact_count", manifest.artifacts.len())
                        .with("bytes", bytes)
                        .with("stored_on", stored_on),
                );
                self.count("self_healing_publishes_total", "result", "done");
                self.telemetry.count("self_healing_published_bytes_total", &[], bytes);
                let healed_bytes: u64 = manifest.artifacts.iter().map(|artifact| artifact.len_bytes).sum();
                if healed_bytes > 0 {
                    let per_byte = bytes as f64 / healed_bytes as f64;
                    self.telemetry.observe("self_healing_published_bytes_per_healed_byte", &[], per_byte);
                }
                self.discard(heal_op_id).await?;
                self.count("self_healing_cleanups_total", "status", "VERIFIED");
                Ok(())
            }
            PublishOutcome::Again { reason } => {
                self.count("self_healing_publishes_total", "result", "again");
                self.tell_failure(heal_op_id, &claim.ticket_id, "publish", &reason);
                self.note_failure(heal_op_id);
                Ok(())
            }
            PublishOutcome::Stopped => Ok(()),
        }
    }
}

const fn state_name(state: &StagingState) -> &'static str {
    match state {
        StagingState::Absent => "absent",
        StagingState::Unsealed => "unsealed",
        StagingState::Sealed(_) => "of another claim",
        StagingState::Damaged { .. } => "damaged",
    }
}
