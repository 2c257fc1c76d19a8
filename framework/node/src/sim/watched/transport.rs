//! A node's transport: what it sends to others to keep, what it serves, and the bytes that a liar changes.

use super::{HealingLie, Watched};
use crate::sim::defect::Defect;
use lampkeeper_api::chain::PortState;
use lampkeeper_api::transport::{
    CallError, Caller, Handler, MessageStream, Peer, Route, Router, ServerHandle, Status, StreamHandler,
    Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_proto::lampkeeper::v1::{FetchResponse, StoreRequest};
use lampkeeper_proto::methods::{FETCH, SERVE_RECONSTRUCTED_ARTEFACTS, STORE};
use lampkeeper_proto::supernode::ServeReconstructedArtefactsResponse;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use lampkeeper_transport_memory::MemoryTransport;
use prost::Message as _;
use std::sync::Arc;
use std::time::Duration;

/// A transport that records what is published and served.
pub struct WatchedTransport {
    /// The transport behind it.
    pub inner: MemoryTransport,
    /// Whose it is.
    pub watched: Watched,
}

#[async_trait]
impl Transport for WatchedTransport {
    async fn call(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        if path == STORE
            && let Ok(store) = StoreRequest::decode(request.as_slice())
        {
            let keys = store.artifacts.iter().map(|bytes| ArtifactKey::of(bytes)).collect();
            self.watched.ledger.sent(&self.watched.account, keys);
        }
        self.inner.call(peer, path, request, timeout).await
    }

    async fn call_stream(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        self.inner.call_stream(peer, path, request, timeout).await
    }

    async fn serve(&self, router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        let mut watched = Router::default();
        for path in router.paths() {
            let Some(handler) = router.find(path) else { continue };
            let route = Route { path: path.to_owned(), handler: self.watch(path, handler.clone()) };
            watched.add(route).map_err(|path| CallError::Local { reason: format!("{path} is taken") })?;
        }
        self.inner.serve(watched).await
    }

    async fn probe_port(&self, address: &str, port: u16, timeout: Duration) -> PortState {
        self.inner.probe_port(address, port, timeout).await
    }
}

impl WatchedTransport {
    fn watch(&self, path: &str, handler: Handler) -> Handler {
        let watched = self.watched.clone();
        match handler {
            Handler::Unary(inner) if path == FETCH => {
                Handler::Unary(Arc::new(WatchedFetch { inner, watched }))
            }
            Handler::ServerStream(inner) if path == SERVE_RECONSTRUCTED_ARTEFACTS => {
                match watched.role.healing {
                    Some(lie @ (HealingLie::ServesWrongBytes | HealingLie::Truncates)) => {
                        Handler::ServerStream(Arc::new(LyingServer { inner, watched, lie }))
                    }
                    _ => Handler::ServerStream(inner),
                }
            }
            handler => handler,
        }
    }
}

/// Looks at every artifact that is served.
struct WatchedFetch {
    inner: Arc<dyn UnaryHandler>,
    watched: Watched,
}

#[async_trait]
impl UnaryHandler for WatchedFetch {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let answer = self.inner.call(caller, request).await?;
        let Watched { name, ledger, .. } = &self.watched;
        match FetchResponse::decode(answer.as_slice()) {
            Ok(mut response) => {
                if self.watched.suffers(Defect::ServesDamage) {
                    let data = response.artifacts.iter_mut().flat_map(|artifact| artifact.data.first_mut());
                    data.for_each(|byte| *byte ^= 1);
                }
                for artifact in response.artifacts.iter().filter(|artifact| artifact.found) {
                    let actual = ArtifactKey::of(&artifact.data).to_string();
                    if actual != artifact.key {
                        let details = format!("served bytes of {actual} as {}", artifact.key);
                        ledger.violate("served-bytes-match", name, details);
                    }
                }
            }
            Err(error) => ledger.violate("served-bytes-match", name, format!("malformed answer: {error}")),
        }
        Ok(answer)
    }
}

/// Serves a reconstructed file wrongly.
struct LyingServer {
    inner: Arc<dyn StreamHandler>,
    watched: Watched,
    lie: HealingLie,
}

#[async_trait]
impl StreamHandler for LyingServer {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
        let inner = self.inner.call(caller, request).await?;
        let is_short = self.lie == HealingLie::Truncates;
        self.watched.ledger.fault(if is_short { "files ended early" } else { "wrong bytes served" });
        Ok(Box::new(LyingStream { inner, is_short }))
    }
}

struct LyingStream {
    inner: Box<dyn MessageStream>,
    is_short: bool,
}

#[async_trait]
impl MessageStream for LyingStream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        let message = match self.inner.next().await? {
            Ok(message) => message,
            Err(status) => return Some(Err(status)),
        };
        let Ok(mut piece) = ServeReconstructedArtefactsResponse::decode(message.as_slice()) else {
            return Some(Ok(message));
        };
        if self.is_short {
            piece.chunk.pop();
        } else if let Some(byte) = piece.chunk.first_mut() {
            *byte ^= 1;
        }
        Some(Ok(piece.encode_to_vec()))
    }
}
