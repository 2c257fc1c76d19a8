//! The calls of `lampkeeper.v1.ArtifactService`, from the answering side.
//!
//! Owns who may call, how much one call may ask for, and which artifacts this node takes. A caller is a supernode that the
//! chain routes; everybody else is turned away before a request is read.

use crate::limits::{
    EXTRA_FIELDS_MAX, FETCH_ANSWER_LEN_BYTES_MAX, FETCH_KEYS_MAX, KEYS_REQUEST_LEN_BYTES_MAX,
    POSSESS_HASHED_LEN_BYTES_MAX, POSSESS_KEYS_MAX, STORE_ARTIFACTS_MAX, STORE_OPERATIONS_AT_ONCE,
};
use crate::replicas::Replicas;
use crate::roster::Roster;
use crate::wire;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::network::{Artifact, Possession};
use lampkeeper_plugin_sdk::api::scheduler::blocking;
use lampkeeper_plugin_sdk::api::store::{ARTIFACT_LEN_BYTES_MAX, StoreError};
use lampkeeper_plugin_sdk::api::telemetry::Level;
use lampkeeper_plugin_sdk::api::transport::{Caller, Route, Status, StatusCode, UnaryHandler};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::stream::{self, StreamExt};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_proto::lampkeeper::v1;
use lampkeeper_proto::methods;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// What the peers answer when they take nothing at present (wire 12.6).
const NOT_ELIGIBLE: &str = "batch store rejected: self not store-eligible";

/// Whether an artifact is kept; if not, why, with details for people.
type Kept = Result<(), (v1::RefusalReason, String)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Possess,
    Fetch,
    Store,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Possess => "Possess",
            Self::Fetch => "Fetch",
            Self::Store => "Store",
        }
    }
}

/// Answers one method.
struct ArtifactService {
    replicas: Arc<Replicas>,
    method: Method,
}

/// The routes of the service.
pub(crate) fn routes(replicas: &Arc<Replicas>) -> Vec<Route> {
    let route = |path, method| {
        Route::unary(path, Arc::new(ArtifactService { replicas: Arc::clone(replicas), method }))
    };
    vec![
        route(methods::POSSESS, Method::Possess),
        route(methods::FETCH, Method::Fetch),
        route(methods::STORE, Method::Store),
    ]
}

#[async_trait]
impl UnaryHandler for ArtifactService {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let outcome = self.replicas.answer(self.method, &caller, request).await;
        let label = if outcome.is_ok() { "ok" } else { "refused" };
        let labels = [("method", self.method.name()), ("outcome", label)];
        self.replicas.telemetry.count("network_requests_total", &labels, 1);
        outcome
    }
}

impl Replicas {
    async fn answer(&self, method: Method, caller: &Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let Some(_admitted) = self.admitted.try_acquire() else {
            return Err(Status::new(
                StatusCode::ResourceExhausted,
                "too many requests wait; try again later",
            ));
        };
        let roster = self.admit(caller).await?;
        let _working = self.working.acquire().await;
        match method {
            Method::Possess => self.answer_possess(&request).await.map(|answer| answer.encode_to_vec()),
            Method::Fetch => self.answer_fetch(&request).await.map(|answer| answer.encode_to_vec()),
            Method::Store => self.answer_store(&roster, request).await.map(|answer| answer.encode_to_vec()),
        }
    }

    /// The roster that the caller is in. A stranger may have registered just now, so the chain is asked again, but not
    /// for every stranger.
    async fn admit(&self, caller: &Caller) -> Result<Arc<Roster>, Status> {
        let ages = [self.config.refresh_interval(), Duration::from_millis(self.config.stranger_refresh_ms)];
        for age in ages {
            let roster = self.membership.not_older_than(age).await.map_err(|_| {
                Status::new(StatusCode::Unavailable, "the membership is not known yet; try again later")
            })?;
            if roster.find(caller.account()).is_some() {
                return Ok(roster);
            }
        }
        let reason = format!("{} is not a supernode that takes part at present", caller.account());
        Err(Status::new(StatusCode::PermissionDenied, reason))
    }

    async fn answer_possess(&self, request: &[u8]) -> Result<v1::PossessResponse, Status> {
        let request: v1::PossessRequest = decode_keys_request(request, POSSESS_KEYS_MAX)?;
        let keys = parse_keys(&request.keys, POSSESS_KEYS_MAX)?;
        let mut possessions = Vec::with_capacity(keys.len());
        let mut hashed_len_bytes = 0_u64;
        for key in &keys {
            if request.verify {
                let len_bytes = self.store.size(key).await.ok().flatten().unwrap_or(0);
                hashed_len_bytes = hashed_len_bytes.saturating_add(len_bytes);
                if hashed_len_bytes > POSSESS_HASHED_LEN_BYTES_MAX && !possessions.is_empty() {
                    break;
                }
            }
            let possession = match self.possession_here(key, request.verify).await {
                Possession::Intact => v1::Possession::Verified,
                Possession::Present => v1::Possession::Present,
                Possession::Absent => v1::Possession::Absent,
                Possession::Corrupt => v1::Possession::Corrupt,
                Possession::Unknown => v1::Possession::Unspecified,
            };
            possessions.push(i32::from(possession));
        }
        Ok(v1::PossessResponse { possessions })
    }

    async fn answer_fetch(&self, request: &[u8]) -> Result<v1::FetchResponse, Status> {
        let request: v1::FetchRequest = decode_keys_request(request, FETCH_KEYS_MAX)?;
        let keys = parse_keys(&request.keys, FETCH_KEYS_MAX)?;
        let mut artifacts = Vec::with_capacity(keys.len());
        let mut answer_len_bytes = 0_u64;
        for (key, text) in keys.iter().zip(request.keys) {
            let len_bytes = self.store.size(key).await.ok().flatten().unwrap_or(0);
            if answer_len_bytes.saturating_add(len_bytes) > FETCH_ANSWER_LEN_BYTES_MAX {
                break; // the first always fits
            }
            let data = self.read_for_peer(key).await;
            answer_len_bytes += data.as_ref().map_or(0, |data| data.len() as u64);
            let found = data.is_some();
            artifacts.push(v1::FetchedArtifact { key: text, found, data: data.unwrap_or_default() });
        }
        Ok(v1::FetchResponse { artifacts })
    }

    /// An intact artifact. To a peer, damage and a failing disk are the same as absence: it asks somebody else.
    async fn read_for_peer(&self, key: &ArtifactKey) -> Option<Vec<u8>> {
        match self.store.get(key).await {
            Ok(data) => data,
            Err(error) => {
                let fields = [("key", key.to_string().into()), ("error", error.to_string().into())];
                self.telemetry.log(Level::Warn, "an artifact of this node could not be read", &fields);
                self.telemetry.count("network_own_store_failures_total", &[], 1);
                None
            }
        }
    }

    async fn answer_store(&self, roster: &Roster, request: Vec<u8>) -> Result<v1::StoreResponse, Status> {
        let request: v1::StoreRequest =
            wire::decode(&request, STORE_ARTIFACTS_MAX + EXTRA_FIELDS_MAX).map_err(invalid)?;
        if request.artifacts.len() > STORE_ARTIFACTS_MAX {
            return Err(invalid(format!(
                "{} artifacts; at most {STORE_ARTIFACTS_MAX} go in one request",
                request.artifacts.len()
            )));
        }
        let hash = move || {
            let hashed = request.artifacts.into_iter().map(|bytes| {
                let key = ArtifactKey::of(&bytes);
                Artifact { key, bytes }
            });
            hashed.collect::<Vec<_>>()
        };
        let artifacts = blocking(&*self.scheduler, "hash artifacts to store", hash)
            .await
            .map_err(|_| Status::new(StatusCode::Internal, "the artifacts were not hashed"))?;
        if !roster.own_takes_artifacts && self.is_any_new(&artifacts).await {
            return Err(Status::new(StatusCode::FailedPrecondition, NOT_ELIGIBLE));
        }
        let work: Vec<BoxFuture<'_, (ArtifactKey, Kept)>> = artifacts
            .into_iter()
            .map(|artifact| Box::pin(self.keep(roster, artifact)) as BoxFuture<'_, _>)
            .collect();
        let mut outcomes = stream::iter(work).buffered(STORE_OPERATIONS_AT_ONCE);
        let mut answer = v1::StoreResponse::default();
        while let Some((key, outcome)) = outcomes.next().await {
            let key = key.to_string();
            match outcome {
                Ok(()) => answer.stored_keys.push(key),
                Err((reason, details)) => {
                    answer.refused.push(v1::RefusedArtifact { key, reason: reason.into(), details });
                }
            }
        }
        Ok(answer)
    }

    async fn is_any_new(&self, artifacts: &[Artifact]) -> bool {
        for artifact in artifacts {
            if !matches!(self.store.size(&artifact.key).await, Ok(Some(_))) {
                return true;
            }
        }
        false
    }

    /// Stores an artifact if it belongs here.
    async fn keep(&self, roster: &Roster, artifact: Artifact) -> (ArtifactKey, Kept) {
        let key = artifact.key;
        (key, self.keep_checked(roster, artifact).await)
    }

    async fn keep_checked(&self, roster: &Roster, artifact: Artifact) -> Kept {
        use v1::RefusalReason::{NotResponsible, StoreFailed, StoreFull, TooLarge};
        let len_bytes = artifact.bytes.len() as u64;
        if len_bytes > ARTIFACT_LEN_BYTES_MAX {
            return Err((TooLarge, format!("{len_bytes} bytes; at most {ARTIFACT_LEN_BYTES_MAX}")));
        }
        let nearest = self.replica_count() + self.config.replica_slack as usize;
        let rank = roster.rank(&artifact.key, &self.own_account);
        if rank >= nearest {
            return Err((NotResponsible, format!("{rank} nodes are nearer; {nearest} keep an artifact")));
        }
        // What exactly failed is this node's own business.
        match self.store.put(&artifact.key, artifact.bytes).await {
            Ok(_) => Ok(()),
            Err(StoreError::Full { .. }) => Err((StoreFull, String::new())),
            Err(error) => {
                let fields = [("key", artifact.key.to_string().into()), ("error", error.to_string().into())];
                self.telemetry.log(Level::Warn, "an artifact of a peer was not stored", &fields);
                self.telemetry.count("network_own_store_failures_total", &[], 1);
                Err((StoreFailed, String::new()))
            }
        }
    }
}

fn invalid(reason: impl Into<String>) -> Status {
    Status::new(StatusCode::InvalidArgument, reason)
}

/// A request that names keys, unless it is longer than any good one.
fn decode_keys_request<M: Message + Default>(request: &[u8], keys_max: usize) -> Result<M, Status> {
    if request.len() > KEYS_REQUEST_LEN_BYTES_MAX {
        return Err(invalid(format!("{} bytes; at most {KEYS_REQUEST_LEN_BYTES_MAX}", request.len())));
    }
    wire::decode(request, keys_max + EXTRA_FIELDS_MAX).map_err(invalid)
}

fn parse_keys(texts: &[String], keys_max: usize) -> Result<Vec<ArtifactKey>, Status> {
    if texts.is_empty() || texts.len() > keys_max {
        return Err(invalid(format!("{} keys; 1 to {keys_max} go in one request", texts.len())));
    }
    let parse = |text: &String| text.parse::<ArtifactKey>().map_err(|error| invalid(error.to_string()));
    texts.iter().map(parse).collect()
}
