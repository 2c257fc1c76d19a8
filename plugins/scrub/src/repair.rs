//! Reads an artifact, and replaces it if it has changed.
//!
//! Owns the outcome of one artifact, and the list of those that wait for a copy.

use lampkeeper_plugin_sdk::api::network::ArtifactNetwork;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Damaged artifacts that are remembered until a copy is found; the rest are met again in the next cycle.
const LOST_REMEMBERED_MAX: usize = 4096;

/// What became of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It hashes to its key.
    Intact,
    /// It did not, and was replaced.
    Repaired,
    /// It does not, and no copy was found.
    Lost,
    /// The disk failed, which says nothing about the artifact.
    Unreadable,
    /// It was read as a whole for somebody else in this cycle, and was intact.
    ReadForOthers,
    /// It was deleted since it was listed.
    Gone,
}

impl Outcome {
    const fn label(self) -> Option<&'static str> {
        match self {
            Self::Intact => Some("intact"),
            Self::Repaired => Some("repaired"),
            Self::Lost => Some("lost"),
            Self::Unreadable => Some("unreadable"),
            Self::ReadForOthers => Some("read_for_others"),
            Self::Gone => None,
        }
    }
}

/// Reads and repairs artifacts.
pub(crate) struct Repairer {
    pub(crate) store: Arc<dyn ArtifactStore>,
    network: Arc<dyn ArtifactNetwork>,
    telemetry: Arc<dyn Telemetry>,
    lost: Mutex<BTreeSet<ArtifactKey>>,
}

impl Repairer {
    pub(crate) fn new(
        store: Arc<dyn ArtifactStore>,
        network: Arc<dyn ArtifactNetwork>,
        telemetry: Arc<dyn Telemetry>,
    ) -> Self {
        Self { store, network, telemetry, lost: Mutex::default() }
    }

    /// Reads an artifact; the store hashes what it reads.
    pub(crate) async fn examine(&self, key: &ArtifactKey) -> Outcome {
        let outcome = match self.store.get(key).await {
            Ok(Some(bytes)) => {
                self.telemetry.count("scrub_bytes_total", &[], bytes.len() as u64);
                Outcome::Intact
            }
            Ok(None) => Outcome::Gone,
            Err(error) if error.is_damage() => {
                self.telemetry.count("scrub_damaged_total", &[], 1);
                self.telemetry.event(Event::new("scrub.damaged").with("artifact_key", key.to_string()));
                self.replace(key).await
            }
            Err(error) => {
                let fields = [("artifact_key", key.to_string().into()), ("reason", error.to_string().into())];
                self.telemetry.log(Level::Error, "an artifact could not be read", &fields);
                Outcome::Unreadable
            }
        };
        self.conclude(key, outcome);
        outcome
    }

    /// Passes over an artifact that somebody else's read found intact.
    pub(crate) fn pass(&self, key: &ArtifactKey) {
        self.conclude(key, Outcome::ReadForOthers);
    }

    fn conclude(&self, key: &ArtifactKey, outcome: Outcome) {
        if let Some(label) = outcome.label() {
            self.telemetry.count("scrub_artifacts_total", &[("result", label)], 1);
        }
        self.remember(key, outcome);
    }

    /// Fetches a damaged artifact from another holder and puts it in its place.
    async fn replace(&self, key: &ArtifactKey) -> Outcome {
        let fetched = match self.network.fetch(&[*key]).await {
            Ok(fetched) => fetched.into_iter().next().flatten(),
            Err(error) => return self.give_up(key, error.to_string()),
        };
        let Some(artifact) = fetched else {
            return self.give_up(key, "no holder has intact bytes".to_owned());
        };
        match self.store.put(key, artifact.bytes).await {
            Ok(_) => {
                self.telemetry.event(Event::new("scrub.repaired").with("artifact_key", key.to_string()));
                Outcome::Repaired
            }
            Err(error) => self.give_up(key, error.to_string()),
        }
    }

    fn give_up(&self, key: &ArtifactKey, reason: String) -> Outcome {
        let event =
            Event::new("scrub.lost").with("artifact_key", key.to_string()).with("reason", reason.as_str());
        self.telemetry.event(event);
        Outcome::Lost
    }

    fn remember(&self, key: &ArtifactKey, outcome: Outcome) {
        let mut lost = self.lock();
        match outcome {
            Outcome::Lost if lost.len() < LOST_REMEMBERED_MAX => {
                lost.insert(*key);
            }
            Outcome::Lost | Outcome::Unreadable => {}
            Outcome::Intact | Outcome::ReadForOthers | Outcome::Repaired | Outcome::Gone => {
                lost.remove(key);
            }
        }
        self.telemetry.gauge("scrub_quarantined", &[], lost.len() as f64);
    }

    /// The artifacts that wait for a copy.
    pub(crate) fn lost(&self) -> Vec<ArtifactKey> {
        self.lock().iter().copied().collect()
    }

    /// Whether an artifact waits for a copy.
    pub(crate) fn is_lost(&self, key: &ArtifactKey) -> bool {
        self.lock().contains(key)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ArtifactKey>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
