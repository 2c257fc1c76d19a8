//! Bringing staged artifacts to the nodes that lacked them.
//!
//! Owns when that counts as done. An artifact that names the nodes which lacked it is done when all of them have it, or
//! when those that don't can't be reached and most of its present replica set has it. One that names none is done when
//! most of its replica set has it. Anything else is tried again at the next look; nothing staged is given up before.

use crate::node::Node;
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::network::{Artifact, Published};
use lampkeeper_plugin_sdk::api::staging::{StagedArtifact, StagingManifest};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, BTreeSet};

/// The most artifacts that are published in one call.
const ARTIFACTS_PER_CALL: usize = 128;
/// The most bytes that are published in one call, unless one artifact alone is longer.
const BYTES_PER_CALL_MAX: u64 = 8 * 1024 * 1024;

/// What became of publishing an operation's artifacts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublishOutcome {
    /// All are where they belong.
    Done {
        /// Bytes that were stored, each node counted.
        bytes: u64,
        /// Nodes that store some of it now.
        stored_on: Vec<Account>,
    },
    /// Some are not; everything has to stay.
    Again { reason: String },
    /// The node stops.
    Stopped,
}

#[derive(Default)]
struct Tally {
    bytes: u64,
    stored_on: BTreeSet<Account>,
}

impl Tally {
    fn add(&mut self, published: &Published, len_bytes: u64) {
        self.bytes = self.bytes.saturating_add(len_bytes.saturating_mul(published.stored_on.len() as u64));
        self.stored_on.extend(published.stored_on.iter().cloned());
    }
}

impl Node {
    /// Publishes everything that a sealed directory names.
    pub(crate) async fn publish(&self, manifest: &StagingManifest, shutdown: &Cancel) -> PublishOutcome {
        let mut groups: BTreeMap<&[Account], Vec<&StagedArtifact>> = BTreeMap::new();
        for artifact in &manifest.artifacts {
            groups.entry(&artifact.missing_on).or_default().push(artifact);
        }
        let mut tally = Tally::default();
        let mut problem = None;
        for (missing_on, artifacts) in groups {
            for batch in batches(&artifacts) {
                if shutdown.is_cancelled() {
                    return PublishOutcome::Stopped;
                }
                if let Err(reason) = self.publish_batch(manifest, missing_on, batch, &mut tally).await {
                    problem = problem.or(Some(reason));
                }
            }
        }
        match problem {
            Some(reason) => PublishOutcome::Again { reason },
            None => {
                PublishOutcome::Done { bytes: tally.bytes, stored_on: tally.stored_on.into_iter().collect() }
            }
        }
    }

    async fn publish_batch(
        &self,
        manifest: &StagingManifest,
        missing_on: &[Account],
        batch: &[&StagedArtifact],
        tally: &mut Tally,
    ) -> Result<(), String> {
        let artifacts = self.read_batch(manifest, batch).await?;
        let lengths: BTreeMap<ArtifactKey, u64> =
            artifacts.iter().map(|artifact| (artifact.key, artifact.bytes.len() as u64)).collect();
        let len_of = |published: &Published| lengths.get(&published.key).copied().unwrap_or(0);
        if missing_on.is_empty() {
            return self.publish_to_replicas(artifacts, tally, &len_of).await;
        }
        let published =
            self.network.publish_to(artifacts, missing_on).await.map_err(|error| error.to_string())?;
        let mut short = BTreeSet::new();
        for published in &published {
            tally.add(published, len_of(published));
            if !missing_on.iter().all(|account| published.stored_on.contains(account)) {
                short.insert(published.key);
            }
        }
        if short.is_empty() {
            return Ok(());
        }
        // Some of those that lacked it can't be reached: what counts now is the replica set as it is today.
        let left: Vec<&StagedArtifact> =
            batch.iter().copied().filter(|artifact| short.contains(&artifact.key)).collect();
        let artifacts = self.read_batch(manifest, &left).await?;
        self.publish_to_replicas(artifacts, tally, &len_of).await
    }

    async fn publish_to_replicas(
        &self,
        artifacts: Vec<Artifact>,
        tally: &mut Tally,
        len_of: &(dyn Fn(&Published) -> u64 + Sync),
    ) -> Result<(), String> {
        let published = self.network.publish(artifacts).await.map_err(|error| error.to_string())?;
        let mut outcome = Ok(());
        for published in &published {
            tally.add(published, len_of(published));
            if published.stored_on.len() <= published.failed_on.len() {
                let (stored, failed) = (published.stored_on.len(), published.failed_on.len());
                let reason = published.failed_on.first().map_or("", |(_, reason)| reason.as_str());
                outcome = Err(format!(
                    "artifact {} is on {stored} of {} holders: {reason}",
                    published.key,
                    stored + failed
                ));
            }
        }
        outcome
    }

    async fn read_batch(
        &self,
        manifest: &StagingManifest,
        batch: &[&StagedArtifact],
    ) -> Result<Vec<Artifact>, String> {
        let mut artifacts = Vec::with_capacity(batch.len());
        for staged in batch {
            match self.staging.get_artifact(manifest.heal_op_id, &staged.key).await {
                Ok(bytes) => artifacts.push(Artifact { key: staged.key, bytes }),
                Err(error) if error.is_transient() => return Err(error.to_string()),
                // It will never become readable again. A later heal finds it missing; the others are not held up.
                Err(error) => self.warn("a staged artifact can't be published", manifest.heal_op_id, &error),
            }
        }
        Ok(artifacts)
    }
}

/// Splits artifacts so that no call publishes too much.
fn batches<'a, 'b>(artifacts: &'a [&'b StagedArtifact]) -> impl Iterator<Item = &'a [&'b StagedArtifact]> {
    let mut rest = artifacts;
    std::iter::from_fn(move || {
        let mut bytes = 0_u64;
        let fitting = rest.iter().take(ARTIFACTS_PER_CALL).take_while(|artifact| {
            bytes = bytes.saturating_add(artifact.len_bytes);
            bytes <= BYTES_PER_CALL_MAX
        });
        let count = fitting.count().max(1).min(rest.len());
        let (batch, others) = rest.split_at(count);
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}
