//! The rhythm of rechecks: settle what is pending, look through the reports, recheck a few rows (wire 6.2, 6.3).
//!
//! Owns the loop and which candidates are taken. Reading reports is `discovery`'s part, everything about one candidate is
//! `evidence`'s.

use crate::candidate::Candidate;
use crate::config::Config;
use crate::discovery::{Discovery, Worth};
use crate::evidence::Evidence;
use crate::spread::Pace;
use lampkeeper_plugin_sdk::api::chain::{ChainClient, ChainError, EnforcementMode, EpochInfo};
use lampkeeper_plugin_sdk::api::journal::{Journal, JournalError, RecheckSubmission, SubmissionStatus};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, sleep_unless_cancelled, within};
use lampkeeper_plugin_sdk::api::service::{Health, Service, ServiceError};
use lampkeeper_plugin_sdk::api::{Account, EpochId, TicketId};
use lampkeeper_plugin_sdk::futures::future::{Either, select as first_of};
use lampkeeper_plugin_sdk::prelude::*;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Pending evidence that is submitted again in one look.
const PENDING_PER_LOOK_MAX: usize = 64;
/// How long one look may take; many times what its rechecks need.
const LOOK_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The supervised rechecker.
pub(crate) struct RecheckService {
    pub(crate) config: Config,
    pub(crate) account: Account,
    pub(crate) chain: Arc<dyn ChainClient>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) discovery: Discovery,
    pub(crate) evidence: Evidence,
    pub(crate) trouble: Mutex<Option<String>>,
}

/// A look that could not be finished: the chain or the journal failed. Nothing is lost; the next look goes on.
struct Trouble(String);

impl Trouble {
    fn chain(attempted: &str, error: &ChainError) -> Self {
        Self(format!("{attempted}: {error}"))
    }
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self(error.to_string())
    }
}

/// The epochs' tickets that need no further recheck.
type Taken = BTreeSet<(EpochId, TicketId)>;

#[async_trait]
impl Service for RecheckService {
    fn name(&self) -> &str {
        "recheck"
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        while !shutdown.is_cancelled() {
            // Evidence whose submission is dropped is pending in the journal, and is submitted again later.
            // A chain node that never answers must not end all looks to come.
            let look = Box::pin(within(self.scheduler.as_ref(), LOOK_TIMEOUT, self.look()));
            let outcome = match first_of(look, shutdown.cancelled()).await {
                Either::Left((Some(outcome), _)) => outcome,
                Either::Left((None, _)) => {
                    Err(Trouble(format!("a look took longer than {} s", LOOK_TIMEOUT.as_secs())))
                }
                Either::Right(_) => return Ok(()),
            };
            let trouble = outcome.err().map(|Trouble(reason)| reason);
            if let Some(reason) = &trouble {
                let fields = [("reason", reason.into())];
                self.telemetry.log(Level::Warn, "rechecks are held up by a fault of this node", &fields);
            }
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            sleep_unless_cancelled(self.scheduler.as_ref(), self.config.tick_interval(), &shutdown).await;
        }
        Ok(())
    }

    fn health(&self) -> Health {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Health::Ok,
            Some(reason) => Health::Degraded { reason: reason.clone() },
        }
    }
}

impl RecheckService {
    async fn look(&self) -> Result<(), Trouble> {
        let params =
            self.chain.params().await.map_err(|error| Trouble::chain("reading the parameters", &error))?;
        if params.storage_truth_enforcement_mode == EnforcementMode::Unspecified {
            return Ok(());
        }
        let epoch =
            self.chain.current_epoch().await.map_err(|error| Trouble::chain("reading the epoch", &error))?;
        self.journal.delete_expired_recheck_failures(self.scheduler.wall_clock_ms() / 1000).await?;
        let kept_epochs = params.keep_last_epoch_entries.max(self.config.lookback_epochs);
        let (taken, pending) = self.settle_pending(epoch.epoch_id.saturating_sub(kept_epochs)).await?;
        // What the chain does not take at present counts against this look, so that it can't pile up.
        let room = (self.config.max_per_tick as usize).saturating_sub(pending);
        for candidate in self.choose(&epoch, room, taken).await? {
            self.evidence.make(&candidate).await?;
        }
        Ok(())
    }

    /// Submits again what an unknown outcome or a crash left pending (closes wire 6.4), and forgets what is about epochs that
    /// the chain has forgotten. Returns all that has been taken on, and how much of it is still pending.
    async fn settle_pending(&self, oldest_kept: EpochId) -> Result<(Taken, usize), Trouble> {
        let mut submissions = self.journal.rechecks().await?;
        let mut expired = submissions.clone();
        expired.retain(|submission| submission.epoch_id < oldest_kept);
        submissions.retain(|submission| submission.epoch_id >= oldest_kept);
        for submission in expired {
            self.journal.delete_recheck(submission.epoch_id, &submission.ticket_id).await?;
            if submission.status == SubmissionStatus::Pending {
                self.telemetry.count("recheck_expired_total", &[], 1);
            }
        }
        let mut taken = Taken::new();
        let mut still_pending = 0;
        let is_pending = |submission: &RecheckSubmission| submission.status == SubmissionStatus::Pending;
        let (pending, submitted): (Vec<_>, Vec<_>) = submissions.into_iter().partition(is_pending);
        taken.extend(submitted.into_iter().map(|submission| (submission.epoch_id, submission.ticket_id)));
        for (index, submission) in pending.into_iter().enumerate() {
            let settled = index < PENDING_PER_LOOK_MAX && self.evidence.submit(&submission).await?;
            still_pending += usize::from(!settled);
            // Whatever became of it, it is not challenged again in this look.
            taken.insert((submission.epoch_id, submission.ticket_id));
        }
        self.telemetry.gauge("recheck_pending", &[], still_pending as f64);
        Ok((taken, still_pending))
    }

    /// Up to `room` candidates, from the present epoch backwards, one for each epoch and ticket (wire 6.2).
    async fn choose(
        &self,
        epoch: &EpochInfo,
        room: usize,
        mut taken: Taken,
    ) -> Result<Vec<Arc<Candidate>>, Trouble> {
        let current = epoch.epoch_id;
        let window = window(current, self.config.lookback_epochs, self.config.closed_epochs_only);
        self.discovery.keep_only(window.clone());
        let mut chosen = Vec::new();
        if room == 0 || window.is_empty() {
            return Ok(chosen);
        }
        let pace = self.pace(epoch).await?;
        let reporters = self.discovery.reporters().await;
        let reporters = reporters.map_err(|error| Trouble::chain("listing the supernodes", &error))?;
        let mut failures = 0;
        for epoch_id in window.rev() {
            let is_closed = epoch_id < current;
            let read = self.discovery.read_epoch(epoch_id, is_closed, &reporters, pace, &mut failures).await;
            let mut last = Vec::new();
            for candidate in self.discovery.candidates(epoch_id, pace.height) {
                match self.worth(&candidate, &taken, &mut failures).await? {
                    Worth::First => {
                        taken.insert((epoch_id, candidate.ticket_id.clone()));
                        chosen.push(candidate);
                    }
                    Worth::Last => last.push(candidate),
                    Worth::Never => {}
                }
                if chosen.len() == room {
                    return Ok(chosen);
                }
            }
            last.retain(|candidate| taken.insert((epoch_id, candidate.ticket_id.clone())));
            chosen.extend(last.into_iter().take(room - chosen.len()));
            if chosen.len() == room {
                return Ok(chosen);
            }
            if let Err(error) = read {
                // The rest of the window waits; what was found is still worth a recheck.
                let fields = [("reason", error.to_string().into())];
                self.telemetry.log(
                    Level::Warn,
                    "too many reports can't be read; the look ends early",
                    &fields,
                );
                break;
            }
        }
        Ok(chosen)
    }

    /// How far the present epoch has come.
    async fn pace(&self, epoch: &EpochInfo) -> Result<Pace, Trouble> {
        let status =
            self.chain.status().await.map_err(|error| Trouble::chain("reading the height", &error))?;
        Ok(Pace {
            height: status.latest_height,
            end_height: epoch.epoch_end_height,
            spread_percent: self.config.spread_percent,
        })
    }

    /// What a candidate is worth in this look.
    async fn worth(
        &self,
        candidate: &Candidate,
        taken: &Taken,
        failures: &mut usize,
    ) -> Result<Worth, Trouble> {
        let (epoch_id, ticket_id) = (candidate.epoch_id, &candidate.ticket_id);
        let is_ours = candidate.target == self.account || candidate.reporter == self.account;
        if is_ours || taken.contains(&(epoch_id, ticket_id.clone())) {
            return Ok(Worth::Never);
        }
        let now_s = self.scheduler.wall_clock_ms() / 1000;
        let failed = self.journal.recheck_failures(epoch_id, ticket_id, now_s).await?;
        if failed.is_some_and(|failed| failed.attempts >= self.config.max_failure_attempts_per_ticket) {
            return Ok(Worth::Never);
        }
        match self.discovery.worth(candidate).await {
            Ok(worth) => Ok(worth),
            Err(error) => {
                let counted = self.discovery.count_failure(&candidate.reporter, error, failures);
                counted.map_err(|error| Trouble::chain("reading a reporter's key", &error))?;
                Ok(Worth::Never)
            }
        }
    }
}

/// The epochs that are looked through. The journal takes no epoch 0 (wire 6.2, step 1; wire 8.1).
fn window(current: EpochId, lookback_epochs: u64, closed_epochs_only: bool) -> RangeInclusive<EpochId> {
    let first = if current > lookback_epochs { current - lookback_epochs } else { 1 };
    let last = if closed_epochs_only { current.saturating_sub(1) } else { current };
    first..=last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_reaches_back_to_epoch_one_at_most() {
        // Current epoch, look-back, whether only closed ones count, epochs.
        let table: [(u64, u64, bool, &[u64]); 8] = [
            (0, 7, false, &[]),
            (1, 7, false, &[1]),
            (1, 7, true, &[]),
            (7, 7, false, &[1, 2, 3, 4, 5, 6, 7]),
            (8, 7, false, &[1, 2, 3, 4, 5, 6, 7, 8]),
            (9, 7, false, &[2, 3, 4, 5, 6, 7, 8, 9]),
            (9, 1, false, &[8, 9]),
            (9, 1, true, &[8]),
        ];
        for (current, lookback, closed_only, expected) in table {
            assert_eq!(
                window(current, lookback, closed_only).collect::<Vec<_>>(),
                expected,
                "{current}/{lookback}"
            );
        }
    }
}
