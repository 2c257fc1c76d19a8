//! What every [`ArtifactNetwork`] has to do, seen from one of its nodes.

use super::{CheckResult, Report, equal, holds, pattern, refused};
use crate::protocol::artifact_key::ArtifactKey;
use lampkeeper_api::network::{Artifact, ArtifactNetwork, KEYS_PER_CALL_MAX, NetworkError, Possession};
use std::sync::Arc;

/// The suite. `make` returns an empty network with at least one member that takes artifacts, as one of its nodes sees
/// it.
pub async fn network(make: impl AsyncFn() -> Arc<dyn ArtifactNetwork>) -> Report {
    let mut report = Report::new("network");
    let network = make().await;
    report.check("a replica set has members, each once, the same each time", replica_sets(&*network)).await;
    let network = make().await;
    report.check("what was published is fetched, in the caller's order", round_trip(&*network)).await;
    let network = make().await;
    report.check("what nobody has is None, not an error", absent(&*network)).await;
    let network = make().await;
    report.check("publishing says for each member whether it has it", publishing_tells(&*network)).await;
    let network = make().await;
    report.check("a survey names the replica set and what each member has", surveys(&*network)).await;
    let network = make().await;
    report.check("publishing to nobody stores nothing", publish_to_nobody(&*network)).await;
    let network = make().await;
    report.check("nothing asked is nothing answered", nothing(&*network)).await;
    let network = make().await;
    report.check("more keys than a call may name are refused", too_many(&*network)).await;
    report
}

fn artifact(len_bytes: usize, salt: u8) -> Artifact {
    let bytes = pattern(len_bytes, salt);
    Artifact { key: ArtifactKey::of(&bytes), bytes }
}

async fn replica_sets(network: &dyn ArtifactNetwork) -> CheckResult {
    for salt in 0..4 {
        let key = artifact(10, salt).key;
        let members = network.replica_set(&key).await?;
        holds("there is a member", !members.is_empty())?;
        let mut once = members.clone();
        once.sort();
        once.dedup();
        equal("members, each once", once.len(), members.len())?;
        equal("the same key again", network.replica_set(&key).await?, members)?;
    }
    Ok(())
}

async fn round_trip(network: &dyn ArtifactNetwork) -> CheckResult {
    let artifacts: Vec<Artifact> =
        [0, 1, 1024, 65_536].into_iter().zip(1..).map(|(len, salt)| artifact(len, salt)).collect();
    network.publish(artifacts.clone()).await?;
    let missing = artifact(100, 99);
    let mut keys: Vec<ArtifactKey> = artifacts.iter().rev().map(|artifact| artifact.key).collect();
    keys.insert(2, missing.key);
    let fetched = network.fetch(&keys).await?;
    let found: Vec<Option<ArtifactKey>> =
        fetched.iter().map(|found| found.as_ref().map(|found| found.key)).collect();
    let expected: Vec<Option<ArtifactKey>> =
        keys.iter().map(|key| (*key != missing.key).then_some(*key)).collect();
    equal("keys", found, expected)?;
    let intact = |artifact: &Artifact| ArtifactKey::of(&artifact.bytes) == artifact.key;
    holds("every artifact hashes to its key", fetched.iter().flatten().all(intact))
}

async fn absent(network: &dyn ArtifactNetwork) -> CheckResult {
    let keys = [artifact(10, 1).key, artifact(10, 2).key];
    equal("fetched", network.fetch(&keys).await?.iter().filter(|found| found.is_some()).count(), 0)
}

async fn publishing_tells(network: &dyn ArtifactNetwork) -> CheckResult {
    let artifacts = vec![artifact(100, 1), artifact(100, 2)];
    let keys: Vec<ArtifactKey> = artifacts.iter().map(|artifact| artifact.key).collect();
    let published = network.publish(artifacts).await?;
    equal("keys, in the caller's order", published.iter().map(|one| one.key).collect(), keys)?;
    for one in &published {
        let mut told: Vec<_> = one.stored_on.clone();
        told.extend(one.failed_on.iter().map(|(account, _)| account.clone()));
        told.sort();
        let mut members = network.replica_set(&one.key).await?;
        members.sort();
        equal("members that were told of", told, members)?;
        holds("somebody has it", !one.stored_on.is_empty())?;
    }
    Ok(())
}

async fn surveys(network: &dyn ArtifactNetwork) -> CheckResult {
    let (kept, lost) = (artifact(100, 1), artifact(100, 2));
    let published = network.publish(vec![kept.clone()]).await?;
    for verify in [false, true] {
        let surveys = network.survey(&[lost.key, kept.key], verify).await?;
        equal("keys", surveys.iter().map(|one| one.key).collect::<Vec<_>>(), vec![lost.key, kept.key])?;
        for survey in &surveys {
            let asked: Vec<_> = survey.holders.iter().map(|(account, _)| account.clone()).collect();
            equal("members asked, nearest first", asked, network.replica_set(&survey.key).await?)?;
        }
        let holding = surveys.get(1).map(|survey| survey.holding().count()).unwrap_or_default();
        let stored = published.first().map(|one| one.stored_on.len()).unwrap_or_default();
        equal("members that have what was published", holding, stored)?;
        let has = |survey: &lampkeeper_api::network::Survey| survey.holding().count();
        equal("members that have what was not", surveys.first().map(has), Some(0))?;
        let hashed = |possession: &Possession| !verify || *possession != Possession::Present;
        let all = surveys.iter().flat_map(|survey| &survey.holders);
        holds("who was to verify did", all.into_iter().all(|(_, possession)| hashed(possession)))?;
    }
    Ok(())
}

async fn publish_to_nobody(network: &dyn ArtifactNetwork) -> CheckResult {
    let artifact = artifact(100, 1);
    let published = network.publish_to(vec![artifact.clone()], &[]).await?;
    equal("members that have it", published.iter().flat_map(|one| &one.stored_on).count(), 0)?;
    equal("fetched", network.fetch(&[artifact.key]).await?.iter().flatten().count(), 0)
}

async fn nothing(network: &dyn ArtifactNetwork) -> CheckResult {
    equal("published", network.publish(Vec::new()).await?.len(), 0)?;
    equal("fetched", network.fetch(&[]).await?.len(), 0)?;
    equal("surveyed", network.survey(&[], true).await?.len(), 0)
}

async fn too_many(network: &dyn ArtifactNetwork) -> CheckResult {
    let keys = vec![artifact(10, 1).key; KEYS_PER_CALL_MAX + 1];
    let is_right = |error: &NetworkError| matches!(error, NetworkError::TooManyKeys { .. });
    refused("TooManyKeys", network.fetch(&keys).await.map(drop), is_right)?;
    refused("TooManyKeys", network.survey(&keys, false).await.map(drop), is_right)
}
