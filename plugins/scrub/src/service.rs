//! The walk through the store: one artifact, a pause, the next one; for ever, unless it is paused.
//!
//! Owns the pace, the position and the switch. What is done about an artifact is `repair`'s part, what others have read
//! already `elsewhere`'s.

use crate::config::Config;
use crate::elsewhere::Elsewhere;
use crate::repair::Repairer;
use lampkeeper_plugin_sdk::api::journal::Journal;
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler, sleep_unless_cancelled};
use lampkeeper_plugin_sdk::api::service::{Health, Service, ServiceError};
use lampkeeper_plugin_sdk::api::store::ArtifactEntry;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::scrub::{POSITION_MARKER, Position, is_paused, position, set_paused};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Artifacts that are listed at once.
const PAGE_ARTIFACTS: usize = 1000;
/// Artifacts after which the position is written down.
const ARTIFACTS_PER_MARK: usize = 32;
/// The longest sleep at a stretch, after which artifacts that wait for a copy, and the switch, are thought of.
const NAP_MAX: Duration = Duration::from_secs(5);
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
    elsewhere: Elsewhere,
    /// What we have read ourselves since we last listened: the store tells of that as well.
    examined: BTreeSet<ArtifactKey>,
    retried_at: Moment,
}

#[async_trait]
impl Service for ScrubService {
    fn name(&self) -> &str {
        "scrub"
    }

    async fn run(&self, shutdown: Cancel) -> Result<(), ServiceError> {
        let mut walk = self.resume().await.map_err(ServiceError::Retry)?;
        while !shutdown.is_cancelled() {
            match self.walk_page(&mut walk, &shutdown).await {
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
    /// Where the walk was when the node stopped. The manifest decides about the pause only until somebody turns the
    /// switch.
    async fn resume(&self) -> Result<Walk, String> {
        let journal = &*self.journal;
        let position = position(journal).await.map_err(|error| error.to_string())?;
        if self.config.paused && is_paused(journal).await.map_err(|error| error.to_string())?.is_none() {
            let now_s = self.scheduler.wall_clock_ms() / 1000;
            set_paused(journal, true, now_s).await.map_err(|error| error.to_string())?;
        }
        Ok(Walk {
            position,
            after: position.key_before(),
            elsewhere: Elsewhere::default(),
            examined: BTreeSet::new(),
            retried_at: self.scheduler.now(),
        })
    }

    fn note(&self, trouble: Option<String>) {
        if let Some(reason) = &trouble {
            self.telemetry.log(Level::Warn, "the scrub is held up", &[("reason", reason.into())]);
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Reads the next artifacts.
    async fn walk_page(&self, walk: &mut Walk, shutdown: &Cancel) -> Result<(), String> {
        let store = &self.repairer.store;
        let listed = store.list(walk.after, PAGE_ARTIFACTS).await;
        let entries = listed.map_err(|error| error.to_string())?;
        let count = store.usage().await.map_err(|error| error.to_string())?.artifact_count;
        for (index, entry) in entries.iter().enumerate() {
            self.wait_while_paused(walk, shutdown).await?;
            walk.position = walk.position.at(&entry.key);
            if index % ARTIFACTS_PER_MARK == 0 {
                self.mark(walk.position).await?;
            }
            if shutdown.is_cancelled() {
                return self.mark(walk.position).await;
            }
            self.visit(walk, entry, count, shutdown).await;
            walk.after = Some(entry.key);
        }
        if entries.len() == PAGE_ARTIFACTS {
            return Ok(());
        }
        if entries.is_empty() && walk.after.is_none() {
            self.rest(TROUBLE_PAUSE, walk, shutdown).await;
            return Ok(());
        }
        (walk.position, walk.after) = (walk.position.next_cycle(), None);
        walk.elsewhere = Elsewhere::default();
        self.mark(walk.position).await?;
        self.telemetry.event(Event::new("scrub.cycle_done").with("cycle", walk.position.cycle));
        Ok(())
    }

    /// Stands still as long as the switch says so. What others find is taken note of meanwhile, and mended.
    async fn wait_while_paused(&self, walk: &mut Walk, shutdown: &Cancel) -> Result<(), String> {
        let mut was_paused = false;
        loop {
            let paused = is_paused(&*self.journal).await.map_err(|error| error.to_string())?;
            let paused = paused.unwrap_or(false);
            self.telemetry.gauge("scrub_paused", &[], f64::from(u8::from(paused)));
            if paused != was_paused {
                let turned = if paused { Event::new("scrub.paused") } else { Event::new("scrub.resumed") };
                self.telemetry.event(turned.with("cycle", walk.position.cycle));
            }
            if paused && !was_paused {
                self.mark(walk.position).await?;
            }
            if !paused || shutdown.is_cancelled() {
                return Ok(());
            }
            was_paused = true;
            self.rest(NAP_MAX, walk, shutdown).await;
        }
    }

    /// Reads an artifact, unless somebody has in this cycle, and waits until the next one is due.
    async fn visit(&self, walk: &mut Walk, entry: &ArtifactEntry, count: u64, shutdown: &Cancel) {
        self.hear(walk).await;
        let begun = self.scheduler.now();
        let len_bytes = if walk.elsewhere.take_intact(&entry.key) {
            self.repairer.pass(&entry.key);
            0
        } else {
            self.examine(walk, &entry.key).await;
            entry.len_bytes
        };
        let took = self.scheduler.now().since(begun);
        let pause = self.config.pause_after(len_bytes, took, count);
        self.rest(pause, walk, shutdown).await;
    }

    /// Takes note of what reads for others have found; damage is mended at once.
    async fn hear(&self, walk: &mut Walk) {
        // A store that can't say what was read leaves more to read for us.
        let Ok(checked) = self.repairer.store.take_checked().await else { return };
        let own = std::mem::take(&mut walk.examined);
        for key in walk.elsewhere.hear(walk.after, checked) {
            if !own.contains(&key) && !self.repairer.is_lost(&key) {
                self.examine(walk, &key).await;
            }
        }
    }

    async fn examine(&self, walk: &mut Walk, key: &ArtifactKey) {
        self.repairer.examine(key).await;
        walk.examined.insert(*key);
    }

    /// Sleeps; listens to what others find, and when it is time, looks again for copies of what was lost.
    async fn rest(&self, pause: Duration, walk: &mut Walk, shutdown: &Cancel) {
        let until = self.scheduler.now().plus(pause);
        while !shutdown.is_cancelled() {
            let left = until.since(self.scheduler.now());
            if left.is_zero() {
                return;
            }
            sleep_unless_cancelled(&*self.scheduler, left.min(NAP_MAX), shutdown).await;
            self.hear(walk).await;
            if self.scheduler.now().since(walk.retried_at) >= self.config.retry_lost() {
                walk.retried_at = self.scheduler.now();
                for key in self.repairer.lost() {
                    self.examine(walk, &key).await;
                }
            }
        }
    }

    async fn mark(&self, position: Position) -> Result<(), String> {
        self.telemetry.gauge("scrub_cycle", &[], position.cycle as f64);
        self.telemetry.gauge("scrub_progress", &[], position.share());
        let now_s = self.scheduler.wall_clock_ms() / 1000;
        let marked = self.journal.raise_epoch_marker(POSITION_MARKER, position.number(), now_s).await;
        marked.map_err(|error| error.to_string())
    }
}
