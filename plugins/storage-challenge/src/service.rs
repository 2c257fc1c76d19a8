//! The challenger's rhythm: once an epoch, every assigned target, each on its own clock (wire 3.11).
//!
//! Owns the loop, and what is durable when: rows go to the journal target by target, then the epoch is marked as done.
//! A crash in between repeats only the targets that have no rows yet, so no bucket is ever challenged twice for one
//! report.

use crate::challenge::TargetChallenger;
use crate::epoch_view::{EpochView, chain_fault};
use lampkeeper_plugin_sdk::api::chain::{EnforcementMode, StorageProofResult};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::api::journal::Journal;
use lampkeeper_plugin_sdk::api::scheduler::sleep_unless_cancelled;
use lampkeeper_plugin_sdk::api::service::{Health, Service, ServiceError};
use lampkeeper_plugin_sdk::api::transport::Route;
use lampkeeper_plugin_sdk::api::{BoxFuture, EpochId};
use lampkeeper_plugin_sdk::futures::{StreamExt, stream};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::words::Bucket;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Name under which the journal remembers the last epoch that was dispatched completely.
pub(crate) const DISPATCHED_MARKER: &str = "storage_challenge.dispatched_epoch";

/// The supervised challenger.
pub(crate) struct ChallengeService {
    pub(crate) challenger: Arc<TargetChallenger>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) routes: Vec<Route>,
    pub(crate) trouble: Mutex<Option<String>>,
}

#[async_trait]
impl Service for ChallengeService {
    fn name(&self) -> &str {
        "storage-challenge"
    }

    fn routes(&self) -> Vec<Route> {
        self.routes.clone()
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        let asker = &self.challenger.asker;
        while !shutdown.is_cancelled() {
            let trouble = match self.tick(&shutdown).await {
                Ok(()) => None,
                Err(error) => {
                    let fields = [("reason", error.to_string().into())];
                    self.telemetry.log(
                        Level::Warn,
                        "challenges are held up by a fault of this node",
                        &fields,
                    );
                    self.telemetry.count("challenge_faults_total", &[], 1);
                    Some(error.to_string())
                }
            };
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            sleep_unless_cancelled(asker.scheduler.as_ref(), asker.config.poll_interval(), &shutdown).await;
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

impl ChallengeService {
    async fn tick(&self, shutdown: &Cancel) -> Result<(), ChallengeError> {
        let chain = self.challenger.asker.chain.as_ref();
        let epoch = chain.current_epoch().await.map_err(|error| chain_fault("reading the epoch", &error))?;
        if self.journal_marker().await?.is_some_and(|done| done >= epoch.epoch_id) {
            return Ok(());
        }
        let view = EpochView::load(chain, epoch.epoch_id).await?;
        let off = view.params.storage_truth_enforcement_mode == EnforcementMode::Unspecified;
        if off || !view.params.sc_enabled {
            return self.mark_done(epoch.epoch_id).await;
        }
        let targets = self.open_targets(epoch.epoch_id).await?;
        let limit = self.challenger.asker.config.max_concurrent_targets.max(1) as usize;
        let challenges: Vec<BoxFuture<'_, Result<(), ChallengeError>>> = targets
            .iter()
            .map(|target| Box::pin(self.challenge_target(&view, target, shutdown)) as BoxFuture<'_, _>)
            .collect();
        let outcomes: Vec<Result<(), ChallengeError>> =
            stream::iter(challenges).buffer_unordered(limit).collect().await;
        outcomes.into_iter().collect::<Result<(), _>>()?;
        if shutdown.is_cancelled() {
            return Ok(());
        }
        self.mark_done(epoch.epoch_id).await
    }

    /// The assigned targets that have no rows yet.
    async fn open_targets(&self, epoch_id: EpochId) -> Result<Vec<String>, ChallengeError> {
        let asker = &self.challenger.asker;
        let own = asker.signer.account();
        let assigned = match asker.chain.assigned_targets(own, epoch_id).await {
            Ok(assigned) => assigned.target_supernode_accounts,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(chain_fault("reading the assigned targets", &error)),
        };
        let rows =
            self.journal.proof_rows(epoch_id).await.map_err(|error| journal_fault("reading rows", &error))?;
        let done: BTreeSet<_> = rows
            .iter()
            .filter(|pending| matches!(pending.row.bucket_type, Bucket::Recent | Bucket::Old))
            .map(|pending| pending.row.target_supernode_account.as_str())
            .collect();
        let open =
            assigned.iter().map(|target| target.trim()).filter(|target| !target.is_empty() && *target != own);
        Ok(open.filter(|target| !done.contains(target)).map(str::to_owned).collect())
    }

    async fn challenge_target(
        &self,
        view: &EpochView,
        target: &str,
        shutdown: &Cancel,
    ) -> Result<(), ChallengeError> {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        let rows = self.challenger.rows(view, target).await.inspect_err(|error| {
            let event = Event::new("challenge.held")
                .with("epoch_id", view.anchor.epoch_id)
                .with("target", target)
                .with("reason", error.to_string());
            self.telemetry.event(event);
        })?;
        self.keep(view.anchor.epoch_id, &rows).await
    }

    async fn keep(&self, epoch_id: EpochId, rows: &[StorageProofResult]) -> Result<(), ChallengeError> {
        let kept = self.journal.append_proof_rows(epoch_id, rows).await;
        kept.map_err(|error| journal_fault("keeping rows", &error))
    }

    async fn journal_marker(&self) -> Result<Option<EpochId>, ChallengeError> {
        let marker = self.journal.epoch_marker(DISPATCHED_MARKER).await;
        marker.map_err(|error| journal_fault("reading the last epoch", &error))
    }

    async fn mark_done(&self, epoch_id: EpochId) -> Result<(), ChallengeError> {
        let now_s = self.challenger.asker.scheduler.wall_clock_ms() / 1000;
        let marked = self.journal.raise_epoch_marker(DISPATCHED_MARKER, epoch_id, now_s).await;
        marked.map_err(|error| journal_fault("marking the epoch", &error))
    }
}

fn journal_fault(stage: &str, error: &lampkeeper_plugin_sdk::api::journal::JournalError) -> ChallengeError {
    ChallengeError::Ours {
        stage: stage.to_owned(),
        reason: error.to_string(),
        transient: error.is_transient(),
    }
}
