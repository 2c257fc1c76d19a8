//! The walk through the store: one artifact, a pause, the next one; for ever.
//!
//! Owns the pace and the position. What is done about an artifact is `repair`'s part.

use crate::config::Config;
use crate::position::{MARKER, Position};
use crate::repair::Repairer;
use lampkeeper_plugin_sdk::api::journal::Journal;
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler, sleep_unless_cancelled};
use lampkeeper_plugin_sdk::api::service::{Health, Service, ServiceError};
use lampkeeper_plugin_sdk::api::store::ArtifactEntry;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Artifacts that are listed at once.
const PAGE_ARTIFACTS: usize = 1000;
/// Artifacts after which the position is written down.
const ARTIFACTS_PER_MARK: usize = 32;
/// The longest sleep at a stretch, after which artifacts that wait for a copy are thought of.
const NAP_MAX: Duration = Duration::from_secs(60);
/// How long to wait when the store or the journal fails, or the store is empty.
const TROUBLE_PAUSE: Duration = Duration::from_secs(60);

/// The supervised walk.
pub(crate) struct ScrubService {
    pub(crate) config: Config,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) repairer: Repairer,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) trouble: Mutex<Option<String>>,
}

/// Where the walk is: as the journal has it, and to the key.
struct Walk {
    position: Position,
    after: Option<ArtifactKey>,
}

#[async_trait]
impl Service for ScrubService {
    fn name(&self) -> &str {
        "scrub"
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        if self.config.paused {
            shutdown.cancelled().await;
            return Ok(());
        }
        let read = self.journal.epoch_marker(MARKER).await;
        let number = read.map_err(|error| ServiceError::Retry(error.to_string()))?.unwrap_or(0);
        let position = Position::from_number(number);
        let mut walk = Walk { position, after: position.key_before() };
        let mut retried_at = self.scheduler.now();
        while !shutdown.is_cancelled() {
            match self.walk_page(&mut walk, &mut retried_at, &shutdown).await {
                Ok(()) => self.note(None),
                Err(trouble) => {
                    self.note(Some(trouble));
                    sleep_unless_cancelled(&*self.scheduler, TROUBLE_PAUSE, &shutdown).await;
                }
            }
        }
        Ok(())
    }

    fn health(&self) -> Health {
        let lost = self.repairer.lost().len();
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reason) => Health::Degraded { reason: reason.clone() },
            None if lost > 0 => Health::Degraded {
                reason: format!("{lost} damaged artifacts have no copy anywhere at present"),
            },
            None => Health::Ok,
        }
    }
}

impl ScrubService {
    fn note(&self, trouble: Option<String>) {
        if let Some(reason) = &trouble {
            self.telemetry.log(Level::Warn, "the scrub is held up", &[("reason", reason.into())]);
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Reads the next artifacts.
    async fn walk_page(
        &self,
        walk: &mut Walk,
        retried_at: &mut Moment,
        shutdown: &Cancel,
    ) -> Result<(), String> {
        let store = &self.repairer.store;
        let listed = store.list(walk.after, PAGE_ARTIFACTS).await;
        let entries = listed.map_err(|error| error.to_string())?;
        let count = store.usage().await.map_err(|error| error.to_string())?.artifact_count;
        for (index, entry) in entries.iter().enumerate() {
            walk.position = walk.position.at(&entry.key);
            if index % ARTIFACTS_PER_MARK == 0 {
                self.mark(walk.position).await?;
            }
            self.visit(entry, count, retried_at, shutdown).await;
            walk.after = Some(entry.key);
            if shutdown.is_cancelled() {
                return self.mark(walk.position).await;
            }
        }
        if entries.len() == PAGE_ARTIFACTS {
            return Ok(());
        }
        if entries.is_empty() && walk.after.is_none() {
            self.rest(TROUBLE_PAUSE, retried_at, shutdown).await;
            return Ok(());
        }
        *walk = Walk { position: walk.position.next_cycle(), after: None };
        self.mark(walk.position).await?;
        self.telemetry.event(Event::new("scrub.cycle_done").with("cycle", walk.position.cycle));
        Ok(())
    }

    async fn visit(&self, entry: &ArtifactEntry, count: u64, retried_at: &mut Moment, shutdown: &Cancel) {
        let begun = self.scheduler.now();
        self.repairer.examine(&entry.key).await;
        let took = self.scheduler.now().since(begun);
        let pause = self.config.pause_after(entry.len_bytes, took, count);
        self.rest(pause, retried_at, shutdown).await;
    }

    /// Sleeps; when it is time, looks again for copies of what was lost.
    async fn rest(&self, pause: Duration, retried_at: &mut Moment, shutdown: &Cancel) {
        let until = self.scheduler.now().plus(pause);
        while !shutdown.is_cancelled() {
            let left = until.since(self.scheduler.now());
            if left.is_zero() {
                return;
            }
            sleep_unless_cancelled(&*self.scheduler, left.min(NAP_MAX), shutdown).await;
            if self.scheduler.now().since(*retried_at) >= self.config.retry_lost() {
                *retried_at = self.scheduler.now();
                for key in self.repairer.lost() {
                    self.repairer.examine(&key).await;
                }
            }
        }
    }

    async fn mark(&self, position: Position) -> Result<(), String> {
        self.telemetry.gauge("scrub_cycle", &[], position.cycle as f64);
        self.telemetry.gauge("scrub_progress", &[], position.share());
        let now_s = self.scheduler.wall_clock_ms() / 1000;
        let marked = self.journal.raise_epoch_marker(MARKER, position.number(), now_s).await;
        marked.map_err(|error| error.to_string())
    }
}
