//! A second heal strategy on the same operation: run when the first is done, compared with it, and thrown away.
//!
//! Owns the comparison and the shadow's own limits. What a shadow stages lies under a number that no operation has
//! ([`shadow_of`]), so nothing of it can be claimed, served or published. It is removed when the comparison is made, and what
//! a crash leaves of it when the service starts.

use crate::node::{LocalError, Node};
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{HealOp, Ticket};
use lampkeeper_plugin_sdk::api::heal::{
    HealCost, HealError, HealJob, HealStrategy, Reconstruction, shadow_of,
};
use lampkeeper_plugin_sdk::api::scheduler::within;
use lampkeeper_plugin_sdk::api::staging::StagingState;
use lampkeeper_plugin_sdk::cascade::DataHasher;
use lampkeeper_plugin_sdk::prelude::*;

/// Bytes of a shadow's file that are read at once.
const READ_LEN_BYTES: usize = 1024 * 1024;

/// What the first strategy made of an operation.
pub(crate) struct Made {
    pub(crate) ticket: Ticket,
    pub(crate) reconstruction: Reconstruction,
    pub(crate) seconds: f64,
}

/// How a comparison came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Both made the ticket's file.
    Agrees,
    /// The second made something else.
    Differs,
    /// The second made nothing.
    Failed,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::Failed => "failed",
        }
    }
}

impl Node {
    /// Lets the second strategy, if there is one, do what the first has done. Never waits for its turn: while as many
    /// as allowed are under way, an operation is passed over.
    pub(crate) async fn shadow(
        &self,
        heal_op: &HealOp,
        first: &Made,
        shutdown: &Cancel,
    ) -> Result<(), LocalError> {
        let Some(strategy) = &self.shadow else { return Ok(()) };
        let labels = |result| [("strategy", strategy.name()), ("result", result)];
        let Some(_permit) = self.shadow_permits.try_acquire() else {
            self.telemetry.count("self_healing_shadows_total", &labels("passed_over"), 1);
            return Ok(());
        };
        let shadow_id = shadow_of(heal_op.heal_op_id);
        let begun = self.scheduler.now();
        let cancel = shutdown.child();
        let job = HealJob {
            heal_op: HealOp { heal_op_id: shadow_id, ..heal_op.clone() },
            ticket: first.ticket.clone(),
            cancel: cancel.clone(),
        };
        let outcome =
            within(&*self.scheduler, self.config.shadow_time_limit(), strategy.reconstruct(job)).await;
        cancel.cancel();
        let seconds = self.seconds_since(begun);
        let second = match outcome {
            Some(outcome) => outcome,
            None => Err(HealError::Retry {
                attempted: "reconstructing for comparison".to_owned(),
                reason: format!("it took longer than {} ms", self.config.shadow_time_limit_ms),
            }),
        };
        if second == Err(HealError::Cancelled) && shutdown.is_cancelled() {
            return Ok(self.staging.remove(shadow_id).await?);
        }
        let verdict = self.compare(shadow_id, first, &second).await;
        // Whatever came out, nobody waits for it.
        self.staging.remove(shadow_id).await?;
        self.telemetry.count("self_healing_shadows_total", &labels(verdict.word()), 1);
        self.tell_comparison(heal_op, &**strategy, first, (&second, seconds), verdict);
        Ok(())
    }

    /// Looks at the bytes, not at what the strategy says of them.
    async fn compare(
        &self,
        shadow_id: u64,
        first: &Made,
        second: &Result<Reconstruction, HealError>,
    ) -> Verdict {
        match (second, self.staged_hash(shadow_id).await) {
            (Err(_), _) => Verdict::Failed,
            (Ok(second), Some(hash))
                if hash == first.reconstruction.manifest_hash
                    && second.manifest_hash == first.reconstruction.manifest_hash =>
            {
                Verdict::Agrees
            }
            (Ok(_), _) => Verdict::Differs,
        }
    }

    /// The hash of a sealed file; `None` if there is none, or it can't be read.
    async fn staged_hash(&self, shadow_id: u64) -> Option<String> {
        let Ok(StagingState::Sealed(manifest)) = self.staging.state(shadow_id).await else { return None };
        let mut hasher = DataHasher::new();
        while hasher.len_bytes() < manifest.file_len_bytes {
            let part = self.staging.read_file_at(shadow_id, hasher.len_bytes(), READ_LEN_BYTES).await.ok()?;
            if part.is_empty() {
                return None;
            }
            hasher.update(&part);
        }
        Some(hasher.data_hash())
    }

    fn tell_comparison(
        &self,
        heal_op: &HealOp,
        strategy: &dyn HealStrategy,
        first: &Made,
        (second, seconds): (&Result<Reconstruction, HealError>, f64),
        verdict: Verdict,
    ) {
        let reason = second.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let mut event = Event::new("heal.shadowed")
            .with("heal_op_id", heal_op.heal_op_id)
            .with("ticket_id", &heal_op.ticket_id)
            .with("strategy", self.strategy.name())
            .with("shadow_strategy", strategy.name())
            .with("result", verdict.word())
            .with("reason", reason)
            .with("seconds", first.seconds)
            .with("shadow_seconds", seconds);
        let shadow_cost = second.as_ref().map(|made| made.cost.clone()).unwrap_or_default();
        for ((quantity, ours), (_, theirs)) in
            quantities(&first.reconstruction.cost).into_iter().zip(quantities(&shadow_cost))
        {
            event = event.with(quantity, ours).with(&format!("shadow_{quantity}"), theirs);
            let labels = [("strategy", strategy.name()), ("quantity", quantity)];
            self.telemetry.count("self_healing_shadow_cost_total", &labels, theirs);
        }
        self.telemetry.event(event);
    }
}

/// What is compared of two costs.
const fn quantities(cost: &HealCost) -> [(&'static str, u64); 5] {
    [
        ("fetched_count", cost.fetched_count),
        ("fetched_bytes", cost.fetched_bytes),
        ("regenerated_count", cost.regenerated_count),
        ("staged_bytes", cost.staged_bytes),
        ("compute_ms", cost.compute_ms),
    ]
}
