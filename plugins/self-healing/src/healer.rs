//! The healer's phase: reconstruct what the chain has scheduled for this node, and claim it (wire 5.4).

use crate::deadline::{in_time, is_too_late};
use crate::node::{LocalError, Node};
use crate::reconcile::{ChainSays, holds, is_orphan};
use crate::shadow::Made;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{HealOp, Ticket};
use lampkeeper_plugin_sdk::api::heal::{HealError, HealJob, is_shadow};
use lampkeeper_plugin_sdk::api::staging::StagingState;

impl Node {
    /// Reconstructs and claims one operation; what the strategy made, if it had to be asked.
    pub(crate) async fn heal(&self, heal_op: &HealOp, shutdown: &Cancel) -> Result<Option<Made>, LocalError> {
        let _permit = self.reconstruct_permits.acquire().await;
        let heal_op_id = heal_op.heal_op_id;
        if shutdown.is_cancelled() || self.journal.claim(heal_op_id).await?.is_some() {
            return Ok(None);
        }
        if is_too_late(&self.chain, heal_op).await {
            self.count("self_healing_past_deadline_total", "role", "healer");
            return Ok(None);
        }
        let ticket = match self.chain.ticket(&heal_op.ticket_id).await {
            Ok(ticket) => ticket,
            Err(error) => {
                self.failed(heal_op, "ticket", &error.to_string());
                return Ok(None);
            }
        };
        let data_hash = ticket.data_hash.trim().to_owned();
        let staging = self.staging.state(heal_op_id).await?;
        // A crash between sealing and writing the claim down leaves a complete reconstruction behind.
        if holds(&staging, &data_hash) {
            self.claim(heal_op, &data_hash).await?;
            return Ok(None);
        }
        let made = self.reconstruct(heal_op, ticket, shutdown).await?;
        if made.is_some() {
            self.claim(heal_op, &data_hash).await?;
        }
        Ok(made)
    }

    /// Lets the strategy work; `Some` if there is a sealed reconstruction of the ticket's file now.
    async fn reconstruct(
        &self,
        heal_op: &HealOp,
        ticket: Ticket,
        shutdown: &Cancel,
    ) -> Result<Option<Made>, LocalError> {
        let heal_op_id = heal_op.heal_op_id;
        self.telemetry.event(
            lampkeeper_plugin_sdk::api::telemetry::Event::new("heal.started")
                .with("heal_op_id", heal_op_id)
                .with("ticket_id", &heal_op.ticket_id)
                .with("strategy", self.strategy.name()),
        );
        let begun = self.scheduler.now();
        // The strategy's own signal: it ends with the node's, and with the time for this operation.
        let cancel = shutdown.child();
        let job = HealJob { heal_op: heal_op.clone(), ticket: ticket.clone(), cancel: cancel.clone() };
        let work = self.strategy.reconstruct(job);
        let outcome = in_time(&self.chain, heal_op, self.config.poll_interval(), work).await;
        cancel.cancel();
        match outcome {
            Some(Ok(reconstruction)) => {
                let made = Made { ticket, reconstruction, seconds: self.seconds_since(begun) };
                let data_hash = made.ticket.data_hash.trim();
                let staging = self.staging.state(heal_op_id).await?;
                if made.reconstruction.manifest_hash == data_hash && holds(&staging, data_hash) {
                    self.measure(&made);
                    return Ok(Some(made));
                }
                self.failed(heal_op, "reconstruct", "the strategy's result is not the ticket's file");
            }
            Some(Err(HealError::Cancelled)) if shutdown.is_cancelled() => return Ok(None),
            Some(Err(error)) => self.failed(heal_op, "reconstruct", &error.to_string()),
            None => self.failed(heal_op, "reconstruct", "the operation's deadline came first"),
        }
        // Nothing was claimed, so nobody waits for what is in the directory.
        self.staging.remove(heal_op_id).await?;
        Ok(None)
    }

    fn failed(&self, heal_op: &HealOp, stage: &str, reason: &str) {
        self.note_failure(heal_op.heal_op_id);
        self.count("self_healing_reconstructions_total", "result", "failed");
        self.tell_failure(heal_op.heal_op_id, &heal_op.ticket_id, stage, reason);
    }

    fn measure(&self, made: &Made) {
        self.count("self_healing_reconstructions_total", "result", "ok");
        let (cost, labels) = (&made.reconstruction.cost, [("strategy", self.strategy.name())]);
        self.telemetry.observe("self_healing_reconstruction_seconds", &labels, made.seconds);
        self.telemetry.count("self_healing_fetched_bytes_total", &labels, cost.fetched_bytes);
        self.telemetry.count("self_healing_staged_bytes_total", &labels, cost.staged_bytes);
        let file_bytes = u64::try_from(made.ticket.file_size_kbs).unwrap_or(0).saturating_mul(1024);
        // What was lost is what is staged; the file is what the verifiers read.
        let fetched_per = |bytes: u64| cost.fetched_bytes as f64 / bytes as f64;
        if cost.staged_bytes > 0 {
            let fetched = fetched_per(cost.staged_bytes);
            self.telemetry.observe("self_healing_fetched_bytes_per_healed_byte", &labels, fetched);
        }
        if file_bytes > 0 {
            let (fetched, staged) = (fetched_per(file_bytes), cost.staged_bytes as f64 / file_bytes as f64);
            self.telemetry.observe("self_healing_fetched_bytes_per_file_byte", &labels, fetched);
            self.telemetry.observe("self_healing_staged_bytes_per_file_byte", &labels, staged);
        }
    }

    /// Removes staging directories that no claim stands for and that the chain does not want (wire 5.2).
    pub(crate) async fn remove_orphans(&self) -> Result<(), LocalError> {
        for heal_op_id in self.staging.list().await? {
            if !is_shadow(heal_op_id) && self.journal.claim(heal_op_id).await?.is_some() {
                continue;
            }
            let staging = self.staging.state(heal_op_id).await?;
            let answer = match staging {
                StagingState::Sealed(_) if !is_shadow(heal_op_id) => {
                    Some(self.chain.heal_op(heal_op_id).await)
                }
                StagingState::Sealed(_)
                | StagingState::Absent
                | StagingState::Unsealed
                | StagingState::Damaged { .. } => None,
            };
            let says = answer.as_ref().map_or(ChainSays::Nothing, ChainSays::of);
            if is_shadow(heal_op_id) || is_orphan(&says, &self.account, &staging) {
                self.staging.remove(heal_op_id).await?;
                self.telemetry.count("self_healing_orphans_removed_total", &[], 1);
            }
        }
        Ok(())
    }
}
