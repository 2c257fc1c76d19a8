//! Placing artifacts on nodes.
//!
//! Owns the batches and what became of each artifact on each node. On which nodes, is given.

use crate::limits::{STORE_ARTIFACTS_MAX, STORE_BATCH_LEN_BYTES_MAX, STORE_OPERATIONS_AT_ONCE};
use crate::replicas::{Replicas, is_lost};
use crate::roster::Roster;
use lampkeeper_plugin_sdk::api::network::{Artifact, Published};
use lampkeeper_plugin_sdk::api::scheduler::blocking;
use lampkeeper_plugin_sdk::api::store::ARTIFACT_LEN_BYTES_MAX;
use lampkeeper_plugin_sdk::api::transport::Peer;
use lampkeeper_plugin_sdk::api::{Account, BoxFuture};
use lampkeeper_plugin_sdk::futures::stream::{self, StreamExt};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of some artifacts on one node: the artifact's index, and why it is not there.
type Outcomes = Vec<(usize, Result<(), String>)>;

impl Replicas {
    /// Stores each artifact on its targets.
    pub(crate) async fn place(
        &self,
        roster: &Roster,
        artifacts: Vec<Artifact>,
        targets: Vec<Vec<Account>>,
    ) -> Vec<Published> {
        let artifacts: Arc<[Artifact]> = artifacts.into();
        let problems = self.problems(&artifacts).await;
        let mut by_account: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, accounts) in targets.iter().enumerate().filter(|(index, _)| problems[*index].is_none()) {
            for account in accounts {
                by_account.entry(account).or_default().push(index);
            }
        }
        let work = by_account.into_iter().map(|(account, indices)| -> BoxFuture<'_, (&str, Outcomes)> {
            let artifacts = Arc::clone(&artifacts);
            Box::pin(async move { (account, self.place_on(roster, account, &artifacts, indices).await) })
        });
        let mut outcomes: Vec<BTreeMap<&str, Result<(), String>>> = vec![BTreeMap::new(); artifacts.len()];
        for (account, results) in self.all(work.collect()).await {
            for (index, result) in results {
                outcomes[index].insert(account, result);
            }
        }
        let published = targets.iter().enumerate().map(|(index, accounts)| {
            let outcome_on = |account: &Account| match &problems[index] {
                Some(problem) => Err(problem.clone()),
                None => outcomes[index]
                    .remove(account.as_str())
                    .unwrap_or_else(|| Err("it was not asked".to_owned())),
            };
            self.published(artifacts[index].key, accounts, outcome_on)
        });
        published.collect()
    }

    fn published(
        &self,
        key: ArtifactKey,
        accounts: &[Account],
        mut outcome_on: impl FnMut(&Account) -> Result<(), String>,
    ) -> Published {
        let mut published = Published { key, stored_on: Vec::new(), failed_on: Vec::new() };
        for account in accounts {
            match outcome_on(account) {
                Ok(()) => published.stored_on.push(account.clone()),
                Err(reason) => published.failed_on.push((account.clone(), reason)),
            }
        }
        let count = |outcome, amount: usize| {
            self.telemetry.count("network_placed_total", &[("outcome", outcome)], amount as u64);
        };
        count("stored", published.stored_on.len());
        count("failed", published.failed_on.len());
        published
    }

    /// Why an artifact can't be placed anywhere, for each of them.
    async fn problems(&self, artifacts: &Arc<[Artifact]>) -> Vec<Option<String>> {
        let checked = Arc::clone(artifacts);
        let check = move || checked.iter().map(problem).collect();
        blocking(&*self.scheduler, "check artifacts to publish", check)
            .await
            .unwrap_or_else(|failure| vec![Some(format!("it was not checked: {failure}")); artifacts.len()])
    }

    async fn place_on(
        &self,
        roster: &Roster,
        account: &str,
        artifacts: &[Artifact],
        indices: Vec<usize>,
    ) -> Outcomes {
        if account == self.own_account {
            return self.place_here(artifacts, indices).await;
        }
        match roster.find(account) {
            Some(member) => self.place_on_peer(&member.peer(), artifacts, indices).await,
            None => {
                let reason = "it is not a supernode that can be reached at present";
                indices.into_iter().map(|index| (index, Err(reason.to_owned()))).collect()
            }
        }
    }

    async fn place_here(&self, artifacts: &[Artifact], indices: Vec<usize>) -> Outcomes {
        let work: Vec<BoxFuture<'_, _>> = indices
            .into_iter()
            .map(|index| -> BoxFuture<'_, _> {
                let artifact = &artifacts[index];
                Box::pin(async move {
                    let outcome = self.store.put(&artifact.key, artifact.bytes.clone()).await;
                    (index, outcome.map(drop).map_err(|error| error.to_string()))
                })
            })
            .collect();
        stream::iter(work).buffer_unordered(STORE_OPERATIONS_AT_ONCE).collect().await
    }

    /// One batch after the other; a peer that is lost is not asked for the rest.
    async fn place_on_peer(&self, peer: &Peer, artifacts: &[Artifact], indices: Vec<usize>) -> Outcomes {
        let mut outcomes = Vec::with_capacity(indices.len());
        let mut lost: Option<String> = None;
        for batch in batches(artifacts, &indices) {
            if let Some(reason) = &lost {
                outcomes.extend(batch.iter().map(|&index| (index, Err(reason.clone()))));
                continue;
            }
            let _permit = self.remote.permit().await;
            let contents: Vec<_> = batch.iter().map(|&index| &artifacts[index]).collect();
            match self.remote.store(peer, &contents).await {
                Ok(results) => outcomes.extend(batch.iter().copied().zip(results)),
                Err(error) => {
                    let reason = error.to_string();
                    outcomes.extend(batch.iter().map(|&index| (index, Err(reason.clone()))));
                    lost = is_lost(&error).then_some(reason);
                }
            }
        }
        outcomes
    }
}

/// Why no node would take this artifact.
fn problem(artifact: &Artifact) -> Option<String> {
    let len_bytes = artifact.bytes.len() as u64;
    if len_bytes > ARTIFACT_LEN_BYTES_MAX {
        return Some(format!("{len_bytes} bytes are more than the {ARTIFACT_LEN_BYTES_MAX} of an artifact"));
    }
    let actual = ArtifactKey::of(&artifact.bytes);
    (actual != artifact.key).then(|| format!("its bytes hash to {actual}"))
}

/// The artifacts in batches that fit one request.
fn batches<'a>(artifacts: &[Artifact], indices: &'a [usize]) -> Vec<&'a [usize]> {
    let mut batches = Vec::new();
    let (mut start, mut len_bytes) = (0, 0);
    for (position, &index) in indices.iter().enumerate() {
        let artifact_len_bytes = artifacts[index].bytes.len() as u64;
        let is_full = position - start == STORE_ARTIFACTS_MAX
            || len_bytes + artifact_len_bytes > STORE_BATCH_LEN_BYTES_MAX;
        if is_full && position > start {
            batches.push(&indices[start..position]);
            (start, len_bytes) = (position, 0);
        }
        len_bytes += artifact_len_bytes;
    }
    if start < indices.len() {
        batches.push(&indices[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_count_and_by_bytes() {
        const MIB: usize = 1024 * 1024;
        for (len_bytes, count, expected) in [
            (1, 0, vec![]),
            (1, 1, vec![1]),
            (0, 256, vec![256]),
            (0, 257, vec![256, 1]),
            (MIB, 8, vec![8]),
            (MIB, 9, vec![8, 1]),
            (8 * MIB, 2, vec![1, 1]),
        ] {
            let artifact = Artifact { key: ArtifactKey::of(b""), bytes: vec![0; len_bytes] };
            let artifacts = vec![artifact; count];
            let indices: Vec<_> = (0..count).collect();
            let lens: Vec<_> = batches(&artifacts, &indices).into_iter().map(<[usize]>::len).collect();
            assert_eq!(lens, expected, "{count} artifacts of {len_bytes} bytes");
        }
    }
}
