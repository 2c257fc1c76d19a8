//! What all phases share: the seams, the settings, who this node is, and how it tells what it does.

use crate::chain::TimedChain;
use crate::config::Config;
use crate::heard::Heard;
use crate::in_flight::InFlight;
use crate::margin::Margins;
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::chain::{ChainError, ChainMessage, HealOp, TxReceipt};
use lampkeeper_plugin_sdk::api::heal::HealStrategy;
use lampkeeper_plugin_sdk::api::journal::{Journal, JournalError};
use lampkeeper_plugin_sdk::api::network::ArtifactNetwork;
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Permits, Scheduler};
use lampkeeper_plugin_sdk::api::staging::Staging;
use lampkeeper_plugin_sdk::api::store::StoreError;
use lampkeeper_plugin_sdk::api::transport::Transport;
use lampkeeper_plugin_sdk::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest wait after repeated failures, in poll intervals.
const BACKOFF_INTERVALS_MAX: u32 = 16;

/// The seams and the state that phases share.
pub(crate) struct Node {
    pub(crate) account: Account,
    pub(crate) config: Config,
    pub(crate) chain: TimedChain,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) network: Arc<dyn ArtifactNetwork>,
    pub(crate) staging: Arc<dyn Staging>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) strategy: Arc<dyn HealStrategy>,
    /// Run after the strategy, to be compared with it.
    pub(crate) shadow: Option<Arc<dyn HealStrategy>>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) in_flight: InFlight,
    pub(crate) heard: Heard,
    pub(crate) margins: Margins,
    pub(crate) reconstruct_permits: Arc<dyn Permits>,
    pub(crate) verify_permits: Arc<dyn Permits>,
    pub(crate) publish_permits: Arc<dyn Permits>,
    pub(crate) serve_permits: Arc<dyn Permits>,
    pub(crate) shadow_permits: Arc<dyn Permits>,
    /// Operations that failed lately: how often, and when to try again.
    failures: Mutex<BTreeMap<u64, (u32, Moment)>>,
}

impl Node {
    pub(crate) fn new(context: &PluginContext, config: Config) -> Result<Self, PluginError> {
        let scheduler = context.scheduler()?;
        let client = context.chain()?;
        Ok(Self {
            account: client.account_address().to_owned(),
            chain: TimedChain { client, scheduler: Arc::clone(&scheduler), timeout: config.query_timeout() },
            journal: context.journal()?,
            network: context.network()?,
            staging: context.staging()?,
            transport: context.transport()?,
            strategy: context.heal_strategy()?,
            shadow: context.seams.heal_shadow.clone(),
            telemetry: Arc::clone(&context.telemetry),
            in_flight: InFlight::default(),
            heard: Heard::default(),
            margins: Margins::default(),
            reconstruct_permits: scheduler.permits(config.max_concurrent_reconstructs),
            verify_permits: scheduler.permits(config.max_concurrent_verifications),
            publish_permits: scheduler.permits(config.max_concurrent_publishes),
            serve_permits: scheduler.permits(config.max_concurrent_serves),
            shadow_permits: scheduler.permits(config.max_concurrent_shadows),
            failures: Mutex::default(),
            scheduler,
            config,
        })
    }

    /// Now, in seconds since 1970, for the journal.
    pub(crate) fn now_s(&self) -> i64 {
        self.scheduler.wall_clock_ms().div_euclid(1000)
    }

    /// Submits; the answer says whether the chain has executed the message.
    pub(crate) async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        self.chain.client.submit(message).await
    }

    /// Whether the operation may be tried now, or failed too lately.
    pub(crate) fn may_try(&self, heal_op_id: u64) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&heal_op_id).is_none_or(|(_, not_before)| *not_before <= self.scheduler.now())
    }

    /// Remembers a failure: the next attempt waits twice as long each time.
    pub(crate) fn note_failure(&self, heal_op_id: u64) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, not_before) = failures.entry(heal_op_id).or_default();
        let intervals = 1_u32.checked_shl(*count).unwrap_or(u32::MAX).min(BACKOFF_INTERVALS_MAX);
        *count = count.saturating_add(1);
        *not_before = self.scheduler.now().plus(self.config.poll_interval().saturating_mul(intervals));
    }

    /// How often the operation has failed lately.
    pub(crate) fn failure_count(&self, heal_op_id: u64) -> u32 {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&heal_op_id).map_or(0, |(count, _)| *count)
    }

    /// Forgets the failures of an operation.
    pub(crate) fn forget_failures(&self, heal_op_id: u64) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&heal_op_id);
    }

    /// Tells that something about an operation failed (event `heal.failed`).
    pub(crate) fn tell_failure(&self, heal_op_id: u64, ticket_id: &str, stage: &str, reason: &str) {
        self.telemetry.event(
            Event::new("heal.failed")
                .with("heal_op_id", heal_op_id)
                .with("ticket_id", ticket_id)
                .with("stage", stage)
                .with("reason", reason),
        );
    }

    /// Tells that claim and reconstruction of an operation are gone (event `heal.dropped`).
    pub(crate) fn tell_dropped(&self, heal_op_id: u64, ticket_id: &str, status: &str) {
        self.telemetry.event(
            Event::new("heal.dropped")
                .with("heal_op_id", heal_op_id)
                .with("ticket_id", ticket_id)
                .with("status", status),
        );
        self.count("self_healing_cleanups_total", "status", status);
    }

    pub(crate) fn warn(&self, message: &str, heal_op_id: u64, reason: &dyn std::fmt::Display) {
        let fields = [("heal_op_id", Value::from(heal_op_id)), ("reason", Value::from(reason.to_string()))];
        self.telemetry.log(Level::Warn, message, &fields);
    }

    pub(crate) fn count(&self, name: &str, label: &str, value: &str) {
        self.telemetry.count(name, &[(label, value)], 1);
    }

    /// Counts what was decided about a claim or a vote of which the outcome was not known.
    pub(crate) fn count_reconciled(&self, role: &str, decision: &str) {
        let labels = [("role", role), ("decision", decision)];
        self.telemetry.count("self_healing_reconciled_total", &labels, 1);
    }

    pub(crate) fn seconds_since(&self, begun: Moment) -> f64 {
        self.scheduler.now().since(begun).as_secs_f64()
    }

    /// Removes the reconstruction, then the claim: a crash in between leaves a claim that the tables deal with.
    pub(crate) async fn discard(&self, heal_op_id: u64) -> Result<(), LocalError> {
        self.staging.remove(heal_op_id).await?;
        self.journal.delete_claim(heal_op_id).await?;
        self.forget_failures(heal_op_id);
        Ok(())
    }
}

/// Whether this account is among the verifiers.
pub(crate) fn is_verifier(heal_op: &HealOp, account: &str) -> bool {
    heal_op.verifier_supernode_accounts.iter().any(|verifier| verifier == account)
}

/// How long a wait of this node's own is at most.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// This node's disk or journal failed. Never a reason to destroy anything or to blame anybody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LocalError {
    #[error("the journal: {0}")]
    Journal(#[from] JournalError),
    #[error("the staging area: {0}")]
    Staging(#[from] StoreError),
}
