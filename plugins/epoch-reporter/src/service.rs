//! The reporter's rhythm: look whether this epoch's report is due, and submit it once (wire 7.2).
//!
//! Owns the order in which things become durable. Rows stay in the journal until the chain has executed a report of their
//! epoch, be it seen by the submission or found by a query; a crash at any point leads to one more query, never to a
//! second report or to lost rows. Choosing rows, probing ports and reading the store are the other modules' parts.

use crate::config::Config;
use crate::fallback::{Fallback, blames_the_rows};
use crate::held::{Held, Reason};
use crate::host::host_report;
use crate::ports::Prober;
use crate::rows::{Terms, missing_coverage, select};
use crate::state::{EpochState, State};
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainError, ChainMessage, EnforcementMode, EpochInfo, EpochReport, EpochReportMessage,
    Params, RejectionReason, StorageProofResult,
};
use lampkeeper_plugin_sdk::api::journal::{Journal, PendingProofRow};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, sleep_unless_cancelled, within};
use lampkeeper_plugin_sdk::api::service::{Health, Service, ServiceError};
use lampkeeper_plugin_sdk::api::store::{ArtifactStore, StoreUsage};
use lampkeeper_plugin_sdk::api::transport::Transport;
use lampkeeper_plugin_sdk::api::{Account, EpochId};
use lampkeeper_plugin_sdk::futures::future::{Either, select as first_of};
use lampkeeper_plugin_sdk::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much of an epoch may pass, in percent, before missing rows become a warning, and before an unknown disk usage
/// no longer holds the report: an epoch without a report postpones the node.
const LATE_PERCENT: u32 = 80;

/// The supervised reporter.
pub(crate) struct EpochReporter {
    pub(crate) config: Config,
    pub(crate) account: Account,
    pub(crate) chain: Arc<dyn ChainClient>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) state: State,
}

/// A report that may be submitted.
struct Draft {
    message: EpochReportMessage,
    left_out: BTreeMap<&'static str, u64>,
}

/// What the chain asks of this node in an epoch.
struct Duty {
    targets: Vec<Account>,
    ports: Vec<u32>,
    params: Params,
}

#[async_trait]
impl Service for EpochReporter {
    fn name(&self) -> &str {
        "epoch-reporter"
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        while !shutdown.is_cancelled() {
            let look = Box::pin(within(self.scheduler.as_ref(), self.config.tick_timeout(), self.look()));
            // A submission that is dropped may still be executed; the chain is looked at before the next one.
            let outcome = match first_of(look, shutdown.cancelled()).await {
                Either::Left((Some(outcome), _)) => outcome,
                Either::Left((None, _)) => {
                    let detail = format!("gave up after {} ms", self.config.tick_timeout_ms);
                    Err(Held::new(Reason::TimedOut, detail))
                }
                Either::Right(_) => return Ok(()),
            };
            if let Err(held) = &outcome {
                self.tell_held(held);
            }
            self.state.lock().trouble = outcome.err().and_then(trouble);
            let interval = self.config.poll_interval();
            sleep_unless_cancelled(self.scheduler.as_ref(), interval, &shutdown).await;
        }
        Ok(())
    }

    fn health(&self) -> Health {
        match &self.state.lock().trouble {
            None => Health::Ok,
            Some(reason) => Health::Degraded { reason: reason.clone() },
        }
    }
}

/// Waiting for the challenger is no trouble.
fn trouble(held: Held) -> Option<String> {
    let is_trouble = held.reason != Reason::CoverageIncomplete;
    is_trouble.then(|| format!("{}: {}", held.reason.name(), held.detail))
}

impl EpochReporter {
    /// One look: `Ok` when there is nothing left to do in this epoch.
    async fn look(&self) -> Result<(), Held> {
        let epoch =
            self.chain.current_epoch().await.map_err(|error| Held::chain("reading the epoch", &error))?;
        self.enter(epoch.epoch_id).await;
        self.discard_rows_of_past_epochs(epoch.epoch_id).await?;
        if self.state.update(|state| state.is_reported) {
            return self.clear_rows(epoch.epoch_id).await;
        }
        self.check_anchor(epoch.epoch_id).await?;
        let waiting = self.waiting_rows(epoch.epoch_id).await?;
        if let Some(report) = self.report_on_chain(epoch.epoch_id).await? {
            if !waiting.is_empty() || self.state.update(|state| state.outcome_unknown) {
                self.tell_submitted(&report);
            }
            self.remember_reported(epoch.epoch_id, &report.storage_proof_results).await;
            return self.settle(epoch.epoch_id).await;
        }
        let duty = self.duty(epoch.epoch_id).await?;
        self.wait_for_coverage(&epoch, &duty, &waiting).await?;
        let draft = self.draft(&epoch, &duty, waiting).await?;
        self.submit(draft, duty.params.storage_truth_enforcement_mode).await
    }

    /// Turns to an epoch; says what became of the one before.
    async fn enter(&self, epoch_id: EpochId) {
        let before = self.state.lock().epoch.as_ref().map(|state| (state.epoch_id, state.is_reported));
        match before {
            Some((before, _)) if before == epoch_id => return,
            Some((before, false)) if before < epoch_id => match self.report_on_chain(before).await {
                Ok(Some(report)) => self.tell_submitted(&report),
                Ok(None) => {
                    let detail = format!("no report of epoch {before} was executed");
                    self.tell_held(&Held::new(Reason::EpochEnded, detail));
                }
                Err(held) => {
                    self.log(Level::Warn, "the last epoch's report was not looked for", &held.detail)
                }
            },
            _ => {}
        }
        self.state.lock().epoch = Some(EpochState::new(epoch_id));
    }

    /// The chain takes a report only in its own epoch (chain 4.2, step 3), so rows of earlier ones can't be used.
    async fn discard_rows_of_past_epochs(&self, current: EpochId) -> Result<(), Held> {
        let attempted = "discarding rows of past epochs";
        let epochs = self.journal.epochs_with_proof_rows().await;
        for past in epochs.map_err(|error| Held::journal(attempted, &error))? {
            if past >= current {
                break;
            }
            let rows = self.journal.delete_proof_rows(past).await;
            let rows = rows.map_err(|error| Held::journal(attempted, &error))?;
            self.telemetry.count("report_rows_expired_total", &[], rows);
            let fields = [("epoch_id", past.into()), ("rows", rows.into())];
            self.telemetry.log(Level::Warn, "rows of proof were not reported in their epoch", &fields);
        }
        Ok(())
    }

    async fn check_anchor(&self, epoch_id: EpochId) -> Result<(), Held> {
        let anchor = self.chain.epoch_anchor(epoch_id).await;
        let anchor = anchor.map_err(|error| Held::chain("reading the anchor", &error))?;
        if anchor.epoch_id == epoch_id {
            return Ok(());
        }
        let detail = format!("asked for the anchor of epoch {epoch_id}, got that of {}", anchor.epoch_id);
        Err(Held::new(Reason::ChainUnreadable, detail))
    }

    async fn waiting_rows(&self, epoch_id: EpochId) -> Result<Vec<PendingProofRow>, Held> {
        let rows = self.journal.proof_rows(epoch_id).await;
        let rows = rows.map_err(|error| Held::journal("reading the rows", &error))?;
        self.telemetry.gauge("report_rows_waiting", &[], rows.len() as f64);
        Ok(rows)
    }

    /// This node's report, if the chain has executed one; nothing else makes it safe to submit.
    async fn report_on_chain(&self, epoch_id: EpochId) -> Result<Option<EpochReport>, Held> {
        match self.chain.epoch_report(&self.account, epoch_id).await {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Held::chain("looking for our report", &error)),
        }
    }

    async fn duty(&self, epoch_id: EpochId) -> Result<Duty, Held> {
        let attempted = "reading the assigned targets";
        let assigned = match self.chain.assigned_targets(&self.account, epoch_id).await {
            Ok(assigned) if assigned.epoch_id == epoch_id => assigned,
            Ok(assigned) => {
                let detail = format!("{attempted}: asked for epoch {epoch_id}, got {}", assigned.epoch_id);
                return Err(Held::new(Reason::ChainUnreadable, detail));
            }
            Err(error) if error.is_not_found() => {
                return Err(Held::new(Reason::NotRegistered, format!("{attempted}: {error}")));
            }
            Err(error) => return Err(Held::chain(attempted, &error)),
        };
        let params = self.chain.params().await;
        let params = params.map_err(|error| Held::new(Reason::ModeUnknown, error.to_string()))?;
        let mut targets: Vec<Account> = Vec::new();
        for target in assigned.target_supernode_accounts {
            let target = target.trim();
            if !target.is_empty() && target != self.account && !targets.iter().any(|known| known == target) {
                targets.push(target.to_owned());
            }
        }
        Ok(Duty { targets, ports: assigned.required_open_ports, params })
    }

    /// In mode FULL the chain refuses a report without one RECENT and one OLD row for every target (wire 7.4). In the other
    /// modes it does not, but rows that come after the report are lost, so the challenger gets a share of the epoch.
    async fn wait_for_coverage(
        &self,
        epoch: &EpochInfo,
        duty: &Duty,
        waiting: &[PendingProofRow],
    ) -> Result<(), Held> {
        let mode = duty.params.storage_truth_enforcement_mode;
        let rows_come = match mode {
            EnforcementMode::Unspecified => false,
            EnforcementMode::Shadow | EnforcementMode::Soft => duty.params.sc_enabled,
            EnforcementMode::Full => true,
        };
        let terms = Terms { own_account: &self.account, targets: &duty.targets, fallback: Fallback::AllRows };
        let missing = missing_coverage(&select(waiting.to_vec(), terms).rows, &duty.targets);
        let Some(missing) = missing.filter(|_| rows_come) else { return Ok(()) };
        let passed = self.passed_percent(epoch).await?;
        if mode != EnforcementMode::Full && passed >= self.config.wait_for_rows_percent {
            return Ok(());
        }
        let is_late = passed > LATE_PERCENT;
        let reason = if is_late { Reason::CoverageIncompleteLate } else { Reason::CoverageIncomplete };
        Err(Held::new(reason, format!("{passed} % of the epoch have passed, and {missing}")))
    }

    /// How much of an epoch has passed, in whole percent.
    async fn passed_percent(&self, epoch: &EpochInfo) -> Result<u32, Held> {
        let status = self.chain.status().await.map_err(|error| Held::chain("reading the height", &error))?;
        let blocks = epoch.epoch_end_height.saturating_sub(epoch.epoch_start_height).saturating_add(1).max(1);
        let passed = status.latest_height.saturating_sub(epoch.epoch_start_height).saturating_add(1);
        let percent = passed.clamp(0, blocks).saturating_mul(100) / blocks;
        Ok(u32::try_from(percent).unwrap_or(100))
    }

    async fn draft(
        &self,
        epoch: &EpochInfo,
        duty: &Duty,
        waiting: Vec<PendingProofRow>,
    ) -> Result<Draft, Held> {
        let last_sequence = waiting.last().map_or(0, |pending| pending.sequence);
        let fallback = self.state.update(|state| state.fallback(last_sequence));
        let terms = Terms { own_account: &self.account, targets: &duty.targets, fallback };
        let selection = select(waiting, terms);
        let host_report = host_report(self.usage(epoch).await?);
        let prober = Prober {
            chain: self.chain.as_ref(),
            transport: self.transport.as_ref(),
            scheduler: self.scheduler.as_ref(),
            timeout: self.config.probe_timeout(),
            targets_at_once: self.config.max_concurrent_probes as usize,
        };
        let message = EpochReportMessage {
            epoch_id: epoch.epoch_id,
            host_report,
            storage_challenge_observations: prober.observe(&duty.targets, &duty.ports).await,
            storage_proof_results: selection.rows,
        };
        Ok(Draft { message, left_out: selection.left_out })
    }

    /// How full the store is, or was when it was last read. A node that never knew waits, until waiting would cost it the
    /// report: an unknown usage is reported as 0, which erases what payouts are weighed by.
    async fn usage(&self, epoch: &EpochInfo) -> Result<Option<StoreUsage>, Held> {
        let error = match self.store.usage().await {
            Ok(usage) => {
                self.state.lock().usage = Some(usage);
                return Ok(Some(usage));
            }
            Err(error) => error,
        };
        self.log(Level::Warn, "the usage of the artifact store can't be read", &error.to_string());
        let known = self.state.lock().usage;
        if known.is_some() || self.passed_percent(epoch).await? > LATE_PERCENT {
            return Ok(known);
        }
        Err(Held::new(Reason::UsageUnknown, error.to_string()))
    }

    async fn submit(&self, draft: Draft, mode: EnforcementMode) -> Result<(), Held> {
        let Draft { message, left_out } = draft;
        let epoch_id = message.epoch_id;
        let rows = message.storage_proof_results.clone();
        let observations = message.storage_challenge_observations.len();
        // Set before the call: when the future is dropped, nobody knows what became of the message.
        self.state.update(|state| state.outcome_unknown = true);
        let error = match self.chain.submit(ChainMessage::EpochReport(message)).await {
            Ok(receipt) => {
                for (reason, count) in left_out {
                    self.telemetry.count("report_rows_left_out_total", &[("reason", reason)], count);
                }
                self.tell_executed(epoch_id, receipt.height, rows.len(), observations);
                self.remember_reported(epoch_id, &rows).await;
                return self.settle(epoch_id).await;
            }
            Err(error) => error,
        };
        if !error.is_certainly_not_applied() {
            return Err(Held::new(Reason::OutcomeUnknown, error.to_string()));
        }
        self.state.update(|state| state.outcome_unknown = false);
        match error.rejection() {
            None => Err(Held::new(Reason::NotSubmitted, error.to_string())),
            Some(RejectionReason::DuplicateReport) => {
                self.telemetry.count("reports_duplicate_total", &[], 1);
                self.telemetry.event(Event::new("report.duplicate").with("epoch_id", epoch_id));
                self.settle(epoch_id).await
            }
            Some(reason) => Err(self.refused(reason, &error, mode, &rows)),
        }
    }

    /// The chain refused the report: maybe because of its rows, of which the next one then has fewer.
    fn refused(
        &self,
        reason: RejectionReason,
        error: &ChainError,
        mode: EnforcementMode,
        rows: &[StorageProofResult],
    ) -> Held {
        let label = format!("{reason:?}");
        self.telemetry.count("reports_rejected_total", &[("reason", &label)], 1);
        if blames_the_rows(reason) {
            let fallback = self.state.update(|state| state.refused(mode, rows));
            let fields = [("rows", rows.len().into()), ("next", format!("{fallback:?}").into())];
            self.telemetry.log(Level::Warn, "the chain refused rows of a report", &fields);
        }
        Held::new(Reason::Rejected, error.to_string())
    }

    /// Lets the journal's memory of challenges say which of them were reported. Nothing depends on it.
    async fn remember_reported(&self, epoch_id: EpochId, rows: &[StorageProofResult]) {
        let hashes: Vec<_> = rows.iter().map(|row| row.transcript_hash.clone()).collect();
        if let Err(error) = self.journal.mark_rows_reported(epoch_id, &hashes).await {
            self.log(Level::Warn, "the reported rows are not remembered as such", &error.to_string());
        }
    }

    /// The chain has a report of this epoch: no further one will be taken, and the rows have served.
    async fn settle(&self, epoch_id: EpochId) -> Result<(), Held> {
        self.state.update(|state| state.is_reported = true);
        self.clear_rows(epoch_id).await
    }

    async fn clear_rows(&self, epoch_id: EpochId) -> Result<(), Held> {
        if self.state.update(|state| state.is_cleared) {
            return Ok(());
        }
        let cleared = self.journal.delete_proof_rows(epoch_id).await;
        cleared.map_err(|error| Held::journal("removing the reported rows", &error))?;
        self.telemetry.gauge("report_rows_waiting", &[], 0.0);
        self.state.update(|state| state.is_cleared = true);
        Ok(())
    }

    fn tell_submitted(&self, report: &EpochReport) {
        let (rows, observations) =
            (report.storage_proof_results.len(), report.storage_challenge_observations.len());
        self.tell_executed(report.epoch_id, report.report_height, rows, observations);
    }

    fn tell_executed(&self, epoch_id: EpochId, height: i64, rows: usize, observations: usize) {
        self.telemetry.count("reports_submitted_total", &[], 1);
        let event = Event::new("report.submitted")
            .with("epoch_id", epoch_id)
            .with("height", height)
            .with("rows", rows)
            .with("observations", observations);
        self.telemetry.event(event);
    }

    /// Says why there is no report yet, once for each epoch and reason.
    fn tell_held(&self, held: &Held) {
        let reason = held.reason.name();
        let epoch_id =
            self.state.lock().epoch.as_mut().map(|state| (state.epoch_id, state.is_news(held.reason)));
        let level = if matches!(epoch_id, Some((_, false))) { Level::Debug } else { held.reason.level() };
        let fields = [("reason", reason.into()), ("detail", (&held.detail).into())];
        self.telemetry.log(level, "no report was submitted", &fields);
        if let Some((epoch_id, true)) = epoch_id {
            self.telemetry.count("reports_skipped_total", &[("reason", reason)], 1);
            self.telemetry
                .event(Event::new("report.skipped").with("epoch_id", epoch_id).with("reason", reason));
        }
    }

    fn log(&self, level: Level, message: &str, reason: &str) {
        self.telemetry.log(level, message, &[("reason", reason.into())]);
    }
}
