//! The calls of `lampkeeper.v1.ArtifactService`, from the calling side.
//!
//! Owns the requests, the checks of what a peer answers and the limit of calls at once. Whom to ask, and what follows from
//! an answer, is decided by publish, fetch and survey.

use crate::limits::{
    EXTRA_FIELDS_MAX, FETCH_KEYS_MAX, PEER_TEXT_LEN_CHARS_MAX, POSSESS_KEYS_MAX, STORE_ARTIFACTS_MAX,
};
use crate::wire;
use lampkeeper_plugin_sdk::api::network::{Artifact, Possession};
use lampkeeper_plugin_sdk::api::scheduler::{Permit, Permits, Scheduler, blocking};
use lampkeeper_plugin_sdk::api::telemetry::Telemetry;
use lampkeeper_plugin_sdk::api::transport::{CallError, Peer, Transport};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_proto::lampkeeper::v1;
use lampkeeper_proto::methods;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a holder sent for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// Bytes that hash to the key.
    Found(Vec<u8>),
    /// It has none.
    Absent,
    /// Bytes that don't hash to the key.
    Wrong,
}

/// The peers' artifact services.
pub(crate) struct Remote {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) permits: Arc<dyn Permits>,
    pub(crate) timeout: Duration,
}

impl Remote {
    /// The right to make one call. Whoever calls holds it until the answer is dealt with, which bounds memory.
    pub(crate) async fn permit(&self) -> Permit {
        self.permits.acquire().await
    }

    /// What the peer has of `keys`: an answer for each of the first ones, at least one.
    pub(crate) async fn possess(
        &self,
        peer: &Peer,
        keys: &[ArtifactKey],
        verify: bool,
    ) -> Result<Vec<Possession>, CallError> {
        debug_assert!(!keys.is_empty() && keys.len() <= POSSESS_KEYS_MAX);
        let request = v1::PossessRequest { keys: texts(keys), verify };
        let fields_max = keys.len() + EXTRA_FIELDS_MAX;
        // An entry takes a byte when it is packed and two when it is not.
        let len_bytes_max = 2 * keys.len() + 64;
        let answer: v1::PossessResponse =
            self.request(peer, methods::POSSESS, &request, fields_max, len_bytes_max).await?;
        check_prefix(peer, answer.possessions.len(), keys.len())?;
        Ok(answer.possessions.iter().map(|&number| possession(number)).collect())
    }

    /// What the peer sends for `keys`, checked: an answer for each of the first ones, at least one.
    pub(crate) async fn fetch(&self, peer: &Peer, keys: Vec<ArtifactKey>) -> Result<Vec<Fetched>, CallError> {
        debug_assert!(!keys.is_empty() && keys.len() <= FETCH_KEYS_MAX);
        let request = v1::FetchRequest { keys: texts(&keys) };
        let fields_max = keys.len() + EXTRA_FIELDS_MAX;
        let answer: v1::FetchResponse =
            self.request(peer, methods::FETCH, &request, fields_max, usize::MAX).await?;
        check_prefix(peer, answer.artifacts.len(), keys.len())?;
        let check = move || {
            let checked = answer.artifacts.into_iter().zip(keys).map(|(artifact, key)| match artifact {
                v1::FetchedArtifact { found: false, .. } => Fetched::Absent,
                v1::FetchedArtifact { data, .. } if ArtifactKey::of(&data) == key => Fetched::Found(data),
                _ => Fetched::Wrong,
            });
            checked.collect()
        };
        let checked = blocking(&*self.scheduler, "check fetched artifacts", check).await;
        checked
            .map_err(|failure| CallError::Local { reason: format!("the answer was not checked: {failure}") })
    }

    /// Whether the peer keeps each artifact, in order; if not, why.
    pub(crate) async fn store(
        &self,
        peer: &Peer,
        artifacts: &[&Artifact],
    ) -> Result<Vec<Result<(), String>>, CallError> {
        debug_assert!(!artifacts.is_empty() && artifacts.len() <= STORE_ARTIFACTS_MAX);
        let request =
            v1::StoreRequest { artifacts: artifacts.iter().map(|artifact| artifact.bytes.clone()).collect() };
        let fields_max = artifacts.len() + EXTRA_FIELDS_MAX;
        let answer: v1::StoreResponse =
            self.request(peer, methods::STORE, &request, fields_max, usize::MAX).await?;
        let refused: BTreeMap<_, _> =
            answer.refused.into_iter().map(|refused| (refused.key.clone(), refused)).collect();
        let outcome = |artifact: &&Artifact| {
            let key = artifact.key.to_string();
            if let Some(refused) = refused.get(&key) {
                return Err(refusal(refused));
            }
            let is_stored = answer.stored_keys.contains(&key);
            if is_stored { Ok(()) } else { Err("it did not say whether it stored the artifact".to_owned()) }
        };
        Ok(artifacts.iter().map(outcome).collect())
    }

    async fn request<A: Message + Default>(
        &self,
        peer: &Peer,
        path: &'static str,
        request: &impl Message,
        fields_max: usize,
        len_bytes_max: usize,
    ) -> Result<A, CallError> {
        let request = request.encode_to_vec();
        let outcome = self.transport.call(peer, path, request, self.timeout).await.and_then(|answer| {
            if answer.len() > len_bytes_max {
                return Err(broken(peer, format!("an answer of {} bytes to so few keys", answer.len())));
            }
            wire::decode(&answer, fields_max).map_err(|reason| broken(peer, reason))
        });
        let label = if outcome.is_ok() { "ok" } else { "failed" };
        let method = path.rsplit('/').next().unwrap_or(path);
        self.telemetry.count("network_calls_total", &[("method", method), ("outcome", label)], 1);
        outcome
    }
}

fn texts(keys: &[ArtifactKey]) -> Vec<String> {
    keys.iter().map(ArtifactKey::to_string).collect()
}

fn broken(peer: &Peer, reason: String) -> CallError {
    CallError::Broken { peer: peer.account.clone(), reason }
}

/// An answer may stop early, so that it stays small, but not before it began, or it would be asked for for ever.
fn check_prefix(peer: &Peer, answers: usize, keys: usize) -> Result<(), CallError> {
    if answers == 0 || answers > keys {
        return Err(broken(peer, format!("{answers} answers to {keys} keys")));
    }
    Ok(())
}

fn possession(number: i32) -> Possession {
    match v1::Possession::try_from(number) {
        Ok(v1::Possession::Absent) => Possession::Absent,
        Ok(v1::Possession::Present) => Possession::Present,
        Ok(v1::Possession::Verified) => Possession::Intact,
        Ok(v1::Possession::Corrupt) => Possession::Corrupt,
        Ok(v1::Possession::Unspecified) | Err(_) => Possession::Unknown,
    }
}

/// A peer's refusal, for people.
fn refusal(refused: &v1::RefusedArtifact) -> String {
    let reason = match refused.reason() {
        v1::RefusalReason::Unspecified => "no reason given",
        v1::RefusalReason::TooLarge => "too large",
        v1::RefusalReason::StoreFull => "its store is full",
        v1::RefusalReason::NotResponsible => "it is not responsible for the artifact",
        v1::RefusalReason::StoreFailed => "its store failed",
    };
    let details: String = refused.details.chars().take(PEER_TEXT_LEN_CHARS_MAX).collect();
    if details.is_empty() { reason.to_owned() } else { format!("{reason}: {details}") }
}
