//! Asking the replica sets what they have.
//!
//! Owns the batches for each holder. What a gap means is the caller's business.

use crate::limits::{POSSESS_KEYS_MAX, STORE_OPERATIONS_AT_ONCE};
use crate::replicas::{Replicas, is_lost};
use crate::roster::Roster;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::network::{Possession, Survey};
use lampkeeper_plugin_sdk::api::store::StoreError;
use lampkeeper_plugin_sdk::api::transport::Peer;
use lampkeeper_plugin_sdk::futures::stream::{self, StreamExt};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::BTreeMap;

impl Replicas {
    /// What each member of each key's replica set has.
    pub(crate) async fn survey_all(
        &self,
        roster: &Roster,
        keys: &[ArtifactKey],
        verify: bool,
    ) -> Vec<Survey> {
        let sets: Vec<_> = keys.iter().map(|key| roster.replica_set(key, self.replica_count())).collect();
        let mut by_member: BTreeMap<usize, Vec<ArtifactKey>> = BTreeMap::new();
        for (key, set) in keys.iter().zip(&sets) {
            for member in set {
                by_member.entry(*member).or_default().push(*key);
            }
        }
        let work = by_member.into_iter().map(|(member, mut keys)| -> BoxFuture<'_, _> {
            keys.sort_unstable();
            keys.dedup();
            Box::pin(async move {
                let member_account = &roster.members[member].account;
                let has = if *member_account == self.own_account {
                    self.possessions_here(&keys, verify).await
                } else {
                    self.possessions_of(&roster.members[member].peer(), &keys, verify).await
                };
                (member, keys.into_iter().zip(has).collect::<BTreeMap<_, _>>())
            })
        });
        let answers: BTreeMap<_, _> = self.all(work.collect()).await.into_iter().collect();
        let holder = |key: &ArtifactKey, member: usize| {
            let says = answers.get(&member).and_then(|has| has.get(key)).copied();
            (roster.members[member].account.clone(), says.unwrap_or(Possession::Unknown))
        };
        let survey = |(key, set): (&ArtifactKey, &Vec<usize>)| Survey {
            key: *key,
            holders: set.iter().map(|&member| holder(key, member)).collect(),
        };
        keys.iter().zip(&sets).map(survey).collect()
    }

    /// What a peer says about each key, batch after batch; unknown from where it stopped answering.
    async fn possessions_of(&self, peer: &Peer, keys: &[ArtifactKey], verify: bool) -> Vec<Possession> {
        let mut has = Vec::with_capacity(keys.len());
        while has.len() < keys.len() {
            let rest = &keys[has.len()..];
            let batch = &rest[..rest.len().min(POSSESS_KEYS_MAX)];
            let _permit = self.remote.permit().await;
            match self.remote.possess(peer, batch, verify).await {
                Ok(answers) => has.extend(answers),
                Err(error) if is_lost(&error) => break,
                Err(_) => has.resize(has.len() + batch.len(), Possession::Unknown),
            }
        }
        has.resize(keys.len(), Possession::Unknown);
        has
    }

    async fn possessions_here(&self, keys: &[ArtifactKey], verify: bool) -> Vec<Possession> {
        let work: Vec<BoxFuture<'_, _>> =
            keys.iter().map(|key| Box::pin(self.possession_here(key, verify)) as BoxFuture<'_, _>).collect();
        stream::iter(work).buffered(STORE_OPERATIONS_AT_ONCE).collect().await
    }

    /// What this node's own store has. A store that fails says nothing about what is in it.
    pub(crate) async fn possession_here(&self, key: &ArtifactKey, verify: bool) -> Possession {
        if verify {
            return match self.store.get(key).await {
                Ok(Some(_)) => Possession::Intact,
                Ok(None) => Possession::Absent,
                Err(StoreError::Corrupt { .. }) => Possession::Corrupt,
                Err(_) => Possession::Unknown,
            };
        }
        match self.store.size(key).await {
            Ok(Some(_)) => Possession::Present,
            Ok(None) => Possession::Absent,
            Err(StoreError::Corrupt { .. }) => Possession::Corrupt,
            Err(_) => Possession::Unknown,
        }
    }
}
