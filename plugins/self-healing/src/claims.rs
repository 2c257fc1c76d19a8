//! From a sealed reconstruction to a claim that the chain has executed: write down, submit, mark (wire 5.4, 5.6).

use crate::deadline::is_too_late;
use crate::node::{LocalError, Node};
use crate::reconcile::{ChainSays, ClaimError, PendingClaim, claim_error, pending_claim};
use lampkeeper_plugin_sdk::api::chain::{ChainMessage, HealClaimMessage, HealOp};
use lampkeeper_plugin_sdk::api::journal::{HealClaim, Recorded, SubmissionStatus};
use lampkeeper_plugin_sdk::prelude::*;

/// Whether a claim may have reached the chain before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Again,
}

impl Node {
    /// Claims an operation whose reconstruction is sealed.
    pub(crate) async fn claim(&self, heal_op: &HealOp, manifest_hash: &str) -> Result<(), LocalError> {
        let claim = HealClaim {
            heal_op_id: heal_op.heal_op_id,
            ticket_id: heal_op.ticket_id.clone(),
            manifest_hash: manifest_hash.to_owned(),
            status: SubmissionStatus::Pending,
            recorded_at_s: self.now_s(),
        };
        match self.journal.insert_claim(&claim).await? {
            Recorded::New => self.submit_claim(heal_op, &claim, Attempt::First).await,
            Recorded::AlreadyRecorded => {
                self.count("self_healing_deduplicated_total", "role", "healer");
                Ok(())
            }
        }
    }

    /// Submits a claim that is written down, unless it is too late.
    async fn submit_claim(
        &self,
        heal_op: &HealOp,
        claim: &HealClaim,
        attempt: Attempt,
    ) -> Result<(), LocalError> {
        let heal_op_id = claim.heal_op_id;
        if is_too_late(&self.chain, heal_op).await {
            return self.give_up(claim, attempt).await;
        }
        let message = ChainMessage::HealClaim(HealClaimMessage {
            heal_op_id,
            ticket_id: claim.ticket_id.clone(),
            heal_manifest_hash: claim.manifest_hash.clone(),
            details: String::new(),
        });
        let error = match self.submit(message).await {
            Ok(receipt) => return self.claim_executed(claim, receipt.height).await,
            Err(error) => error,
        };
        self.count("self_healing_claims_total", "result", error.kind());
        self.tell_failure(heal_op_id, &claim.ticket_id, "claim", &error.to_string());
        match claim_error(&error) {
            ClaimError::Keep => Ok(()),
            ClaimError::Drop => self.give_up(claim, attempt).await,
            ClaimError::Reconcile => {
                self.note_failure(heal_op_id);
                self.reconcile_claim(claim).await.map(drop)
            }
        }
    }

    /// It is too late for another fee. An earlier submission may still be executed: the chain takes claims until it closes
    /// the operation, and then its verifiers ask for these bytes. So only what was never submitted is forgotten.
    async fn give_up(&self, claim: &HealClaim, attempt: Attempt) -> Result<(), LocalError> {
        match attempt {
            Attempt::Again => Ok(()),
            Attempt::First => {
                self.count("self_healing_past_deadline_total", "role", "healer");
                self.discard(claim.heal_op_id).await?;
                self.tell_dropped(claim.heal_op_id, &claim.ticket_id, "PAST_DEADLINE");
                Ok(())
            }
        }
    }

    async fn claim_executed(&self, claim: &HealClaim, height: i64) -> Result<(), LocalError> {
        self.heard.claim_executed(claim.heal_op_id);
        self.forget_failures(claim.heal_op_id);
        self.count("self_healing_claims_total", "result", "executed");
        self.telemetry.event(
            Event::new("heal.claimed")
                .with("heal_op_id", claim.heal_op_id)
                .with("ticket_id", &claim.ticket_id)
                .with("manifest_hash", &claim.manifest_hash)
                .with("height", height),
        );
        // If this fails the row stays pending until the journal can be told.
        self.journal.mark_claim_submitted(claim.heal_op_id, self.now_s()).await?;
        Ok(())
    }

    /// Looks at the chain and does with a pending claim what the table says, but for submitting it again.
    async fn reconcile_claim(&self, claim: &HealClaim) -> Result<Option<HealOp>, LocalError> {
        let heal_op_id = claim.heal_op_id;
        if self.heard.is_claim_executed(heal_op_id) {
            // The journal failed when it was told. A replica of the chain that is behind may still wait for the claim.
            self.count_reconciled("healer", name(PendingClaim::Promote));
            self.journal.mark_claim_submitted(heal_op_id, self.now_s()).await?;
            return Ok(None);
        }
        let answer = self.chain.heal_op(heal_op_id).await;
        let staging = self.staging.state(heal_op_id).await?;
        let decision = pending_claim(&ChainSays::of(&answer), &claim.manifest_hash, &staging);
        match decision {
            PendingClaim::Keep => {}
            PendingClaim::Resubmit => return Ok(answer.ok()),
            PendingClaim::Promote => {
                let height = answer.map_or(0, |heal_op| i64::try_from(heal_op.updated_height).unwrap_or(0));
                self.claim_executed(claim, height).await?;
            }
            PendingClaim::Restart => {
                self.warn(
                    "the reconstruction of a pending claim is gone: it is made again",
                    heal_op_id,
                    &"staging",
                );
                self.journal.delete_claim(heal_op_id).await?;
            }
            PendingClaim::Drop => {
                let status = answer.map_or("UNKNOWN", |heal_op| heal_op.status.name());
                self.discard(heal_op_id).await?;
                self.tell_dropped(heal_op_id, &claim.ticket_id, status);
            }
        }
        self.count_reconciled("healer", name(decision));
        Ok(None)
    }

    /// Resumes a claim whose outcome is not known, if it is still there (wire 5.6).
    pub(crate) async fn resume_claim(&self, heal_op_id: u64) -> Result<(), LocalError> {
        let claim = self.journal.claim(heal_op_id).await?;
        let Some(claim) = claim.filter(|claim| claim.status == SubmissionStatus::Pending) else {
            return Ok(());
        };
        match self.reconcile_claim(&claim).await? {
            Some(heal_op) if self.may_try(heal_op_id) => {
                self.submit_claim(&heal_op, &claim, Attempt::Again).await
            }
            Some(_) | None => Ok(()),
        }
    }
}

const fn name(decision: PendingClaim) -> &'static str {
    match decision {
        PendingClaim::Keep => "keep",
        PendingClaim::Promote => "promote",
        PendingClaim::Resubmit => "resubmit",
        PendingClaim::Restart => "restart",
        PendingClaim::Drop => "drop",
    }
}
