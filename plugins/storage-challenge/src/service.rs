//! The challenger's rhythm: once an epoch, every assigned target, each on its own clock (wire 3.11).
//!
//! Owns the loop, and what is durable when: rows go to the journal target by target, each target is then marked as done,
//! and at last the epoch. A crash in between repeats only the targets that have neither rows nor a mark, so no bucket is
//! ever challenged twice for one report.

use crate::challenge::TargetChallenger;
use crate::epoch_view::{EpochView, chain_fault, read_params};
use crate::tell::stage_of;
use lampkeeper_plugin_sdk::api::chain::{EnforcementMode, StorageProofResult};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::api::journal::Journal;
use lampkeeper_plugin_sdk::api::scheduler::{sleep_unless_cancelled, within};
use lampkeeper_plugin_sdk::api::service::{Health, Service, ServiceError};
use lampkeeper_plugin_sdk::api::transport::Route;
use lampkeeper_plugin_sdk::api::{BoxFuture, EpochId};
use lampkeeper_plugin_sdk::futures::future::{Either, select};
use lampkeeper_plugin_sdk::futures::{StreamExt, stream};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::words::Bucket;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Name under which the journal remembers the last epoch that was dispatched completely.
pub(crate) const DISPATCHED_MARKER: &str = "storage_challenge.dispatched_epoch";

/// Name under which the journal remembers the last epoch in which a target was done with. Its rows alone don't say so:
/// they leave the journal with the report.
fn target_marker(target: &str) -> String {
    format!("storage_challenge.target.{target}")
}

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
            // Whatever a tick has begun when the node stops is repeated later, as after a crash.
            let tick = match select(Box::pin(self.tick()), shutdown.cancelled()).await {
                Either::Left((tick, _)) => tick,
                Either::Right(_) => break,
            };
            let trouble = match tick {
                Ok(()) => None,
                Err(error) => {
                    let fields = [("reason", error.to_string().into())];
                    self.telemetry.log(
                        Level::Warn,
                        "challenges are held up by a fault of this node",
                        &fields,
                    );
                    self.telemetry.count("challenge_faults_total", &[("stage", &stage_of(&error))], 1);
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
    async fn tick(&self) -> Result<(), ChallengeError> {
        // A chain node that never answers must not hold up all epochs to come.
        let asker = &self.challenger.asker;
        let limit = asker.config.target_deadline();
        let work = within(asker.scheduler.as_ref(), limit, self.find_work()).await;
        let work = work.unwrap_or_else(|| {
            Err(ChallengeError::Ours {
                stage: "asking the chain for this epoch's targets".to_owned(),
                reason: format!("it did not answer within {} ms", limit.as_millis()),
                transient: true,
            })
        })?;
        let Some((epoch_id, work)) = work else { return Ok(()) };
        if let Some((view, targets)) = work {
            self.challenge_all(&view, &targets).await?;
        }
        self.mark(DISPATCHED_MARKER, epoch_id).await
    }

    /// The epoch, unless it is done with, and whom to challenge in it, if anybody.
    async fn find_work(&self) -> Result<Option<(EpochId, Option<(EpochView, Vec<String>)>)>, ChallengeError> {
        let chain = self.challenger.asker.chain.as_ref();
        let epoch = chain.current_epoch().await.map_err(|error| chain_fault("reading the epoch", &error))?;
        let epoch_id = epoch.epoch_id;
        if self.marker(DISPATCHED_MARKER).await?.is_some_and(|done| done >= epoch_id) {
            return Ok(None);
        }
        let params = read_params(chain).await?;
        let off = params.storage_truth_enforcement_mode == EnforcementMode::Unspecified;
        if off || !params.sc_enabled {
            return Ok(Some((epoch_id, None)));
        }
        let targets = self.open_targets(epoch_id).await?;
        if targets.is_empty() {
            return Ok(Some((epoch_id, None)));
        }
        let view = EpochView::load(chain, epoch_id, params).await?;
        Ok(Some((epoch_id, Some((view, targets)))))
    }

    /// Challenges targets side by side; all of them, whatever becomes of one.
    async fn challenge_all(&self, view: &EpochView, targets: &[String]) -> Result<(), ChallengeError> {
        let limit = self.challenger.asker.config.max_concurrent_targets.max(1) as usize;
        let begun = self.challenger.asker.scheduler.now();
        let challenges: Vec<BoxFuture<'_, Result<(), ChallengeError>>> = targets
            .iter()
            .map(|target| Box::pin(self.challenge_target(view, target)) as BoxFuture<'_, _>)
            .collect();
        let outcomes: Vec<Result<(), ChallengeError>> =
            stream::iter(challenges).buffer_unordered(limit).collect().await;
        let took = self.challenger.asker.scheduler.now().since(begun);
        self.telemetry.observe("challenge_dispatch_seconds", &[], took.as_secs_f64());
        self.challenger.tell_detection();
        outcomes.into_iter().collect()
    }

    /// The assigned targets that are not done with in this epoch.
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
        let with_rows: BTreeSet<_> = rows
            .iter()
            .filter(|pending| matches!(pending.row.bucket_type, Bucket::Recent | Bucket::Old))
            .map(|pending| pending.row.target_supernode_account.as_str())
            .collect();
        let mut open = BTreeSet::new();
        for target in assigned.iter().map(|target| target.trim()) {
            let is_candidate = !target.is_empty() && target != own && !with_rows.contains(target);
            let is_done = self.marker(&target_marker(target)).await?.is_some_and(|done| done >= epoch_id);
            if is_candidate && !is_done {
                open.insert(target.to_owned());
            }
        }
        Ok(open.into_iter().collect())
    }

    async fn challenge_target(&self, view: &EpochView, target: &str) -> Result<(), ChallengeError> {
        let asker = &self.challenger.asker;
        let deadline = asker.config.target_deadline();
        let rows = within(asker.scheduler.as_ref(), deadline, self.challenger.rows(view, target)).await;
        asker.write_history(target, view.anchor.epoch_id).await;
        let rows = rows.unwrap_or_else(|| {
            Err(ChallengeError::Ours {
                stage: "challenging a target".to_owned(),
                reason: format!("{target} was not done with within {} ms", deadline.as_millis()),
                transient: true,
            })
        });
        let rows = rows.inspect_err(|error| {
            let stage = stage_of(error);
            self.telemetry.count("challenge_held_total", &[("stage", &stage)], 1);
            let event = Event::new("challenge.held")
                .with("epoch_id", view.anchor.epoch_id)
                .with("target", target)
                .with("stage", stage)
                .with("reason", error.to_string());
            self.telemetry.event(event);
        })?;
        self.keep(view.anchor.epoch_id, &rows).await?;
        self.mark(&target_marker(target), view.anchor.epoch_id).await
    }

    async fn keep(&self, epoch_id: EpochId, rows: &[StorageProofResult]) -> Result<(), ChallengeError> {
        let kept = self.journal.append_proof_rows(epoch_id, rows).await;
        kept.map_err(|error| journal_fault("keeping rows", &error))
    }

    async fn marker(&self, name: &str) -> Result<Option<EpochId>, ChallengeError> {
        let marker = self.journal.epoch_marker(name).await;
        marker.map_err(|error| journal_fault("reading the last epoch", &error))
    }

    async fn mark(&self, name: &str, epoch_id: EpochId) -> Result<(), ChallengeError> {
        let now_s = self.challenger.asker.scheduler.wall_clock_ms() / 1000;
        let marked = self.journal.raise_epoch_marker(name, epoch_id, now_s).await;
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
