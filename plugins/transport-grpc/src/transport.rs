//! The transport seam over gRPC.
//!
//! Owns the course of a call. Connections belong to the [`Pool`], serving to the [`GrpcServer`].

use crate::admission::Gate;
use crate::calls::Calls;
use crate::channel::HandshakeError;
use crate::channel::handshake::{Credentials, PeerType};
use crate::client::{NotSent, Pool};
use crate::codec::RawCodec;
use crate::config::{Config, ShownAs};
use crate::crowd::Crowd;
use crate::dispatch::Dispatcher;
use crate::known_peers::KnownPeers;
use crate::reach;
use crate::server::{GrpcServer, Shared};
use crate::status::from_wire;
use bytes::Bytes;
use http::uri::PathAndQuery;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::{ChainReader, PortState};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::telemetry::{Level, Telemetry};
use lampkeeper_plugin_sdk::api::transport::{
    CallError, CallerMint, MESSAGE_LEN_BYTES_MAX, MessageStream, Peer, Router, ServerHandle, Status,
    StatusCode, Transport,
};
use lampkeeper_plugin_sdk::async_trait;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::Streaming;

/// How much later than the caller a server gives up, so that it is the caller's clock that decides.
const SERVER_MARGIN: Duration = Duration::from_secs(2);
/// gRPC writes a timeout with at most eight digits.
const GRPC_TIMEOUT_MAX: Duration = Duration::from_secs(99_999_999);

/// What a node needs for its transport.
pub struct Parts {
    /// The node's key.
    pub signer: Arc<dyn Signer>,
    /// Where it asks about its peers.
    pub chain: Arc<dyn ChainReader>,
    /// Its time; connections and handlers run on it. It must be on a tokio runtime that has I/O and time.
    pub scheduler: Arc<dyn Scheduler>,
    /// The right to tell its handlers who called.
    pub caller_mint: CallerMint,
    /// Where it tells what happens.
    pub telemetry: Arc<dyn Telemetry>,
}

/// Calls between nodes, as gRPC over the secure channel.
pub struct GrpcTransport {
    config: Config,
    gate: Arc<Gate>,
    pool: Pool,
    scheduler: Arc<dyn Scheduler>,
    caller_mint: CallerMint,
    telemetry: Arc<dyn Telemetry>,
}

impl GrpcTransport {
    /// A transport that neither listens nor calls yet.
    ///
    /// # Errors
    /// If the node's key can't be used in a handshake.
    pub fn new(parts: Parts, config: Config) -> Result<Self, HandshakeError> {
        let Parts { signer, chain, scheduler, caller_mint, telemetry } = parts;
        let peer_type = match config.shown_as {
            ShownAs::Supernode => PeerType::Supernode,
            ShownAs::Account => PeerType::Account,
        };
        let gate = Arc::new(Gate {
            credentials: Credentials::new(signer, peer_type)?,
            known_peers: KnownPeers::new(chain, Arc::clone(&scheduler), &config),
            accepts_ordinary: config.accept_ordinary_accounts,
        });
        let pool =
            Pool::new(config.clone(), Arc::clone(&gate), Arc::clone(&scheduler), Arc::clone(&telemetry));
        Ok(Self { config, gate, pool, scheduler, caller_mint, telemetry })
    }

    /// Ends every connection that this node has made. Further calls make new ones, which end at once.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Runs a call within its time, and counts it.
    async fn run<T>(
        &self,
        peer: &Peer,
        request_len_bytes: usize,
        timeout: Duration,
        call: impl Future<Output = Result<T, CallError>> + Send,
    ) -> Result<T, CallError> {
        let outcome = if request_len_bytes > MESSAGE_LEN_BYTES_MAX {
            let reason =
                format!("a request of {request_len_bytes} bytes; at most {MESSAGE_LEN_BYTES_MAX} go in one");
            Err(CallError::Local { reason })
        } else {
            within(&*self.scheduler, timeout, call).await.unwrap_or_else(|| {
                let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                Err(CallError::TimedOut { peer: peer.account.clone(), timeout_ms })
            })
        };
        let label = outcome.as_ref().map_or_else(outcome_label, |_| "ok");
        self.telemetry.count("transport_calls_total", &[("outcome", label)], 1);
        outcome
    }

    /// Sends a request, a second time if a connection that had died in silence took it and did not send it.
    async fn send(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<Streaming<Vec<u8>>, CallError> {
        let path = PathAndQuery::try_from(path)
            .map_err(|error| CallError::Local { reason: format!("`{path}` is no path: {error}") })?;
        let request = Bytes::from(request);
        let mut is_repeated = false;
        loop {
            let connection = self.pool.connection(peer).await?;
            let origin = connection.origin.clone();
            let mut grpc = tonic::client::Grpc::with_origin(connection, origin)
                .max_decoding_message_size(MESSAGE_LEN_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_LEN_BYTES_MAX);
            let mut message = tonic::Request::new(request.clone());
            if let Some(timeout) = timeout {
                message.set_timeout(timeout.saturating_add(SERVER_MARGIN).min(GRPC_TIMEOUT_MAX));
            }
            let ready = grpc.ready().await.map_err(tonic::Status::from_error);
            let outcome = match ready {
                Ok(()) => grpc.server_streaming(message, path.clone(), RawCodec).await,
                Err(status) => Err(status),
            };
            match outcome {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if was_not_sent(&status) && !is_repeated => is_repeated = true,
                Err(status) => return Err(failed(peer, &status)),
            }
        }
    }

    async fn exchange(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let mut answers = self.send(peer, path, request, Some(timeout)).await?;
        let broken =
            |reason: &str| CallError::Broken { peer: peer.account.clone(), reason: reason.to_owned() };
        let answer = answers.message().await.map_err(|status| failed(peer, &status))?;
        let answer = answer.ok_or_else(|| broken("an answer without a message"))?;
        // The status comes behind the message, and it decides.
        match answers.message().await {
            Ok(None) => Ok(answer),
            Ok(Some(_)) => Err(broken("more than one message where one was expected")),
            Err(status) => Err(failed(peer, &status)),
        }
    }

    async fn open(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<AnswerStream, CallError> {
        let began = self.scheduler.now();
        let answers = self.send(peer, path, request, None).await?;
        let left = timeout.saturating_sub(self.scheduler.now().since(began));
        Ok(AnswerStream { answers: Some(answers), scheduler: Arc::clone(&self.scheduler), timeout, left })
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn call(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        self.run(peer, request.len(), timeout, self.exchange(peer, path, request, timeout)).await
    }

    async fn call_stream(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        let stream = self.run(peer, request.len(), timeout, self.open(peer, path, request, timeout)).await?;
        Ok(Box::new(stream))
    }

    #[expect(clippy::disallowed_methods, reason = "this crate owns the sockets of the transport seam")]
    async fn serve(&self, router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        let cannot = |what: &str, reason: String| CallError::Local { reason: format!("{what}: {reason}") };
        let listen = &self.config.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| cannot(&format!("can't listen on `{listen}`"), error.to_string()))?;
        let bound =
            listener.local_addr().map_err(|error| cannot("the socket has no address", error.to_string()))?;
        let draining = Cancel::new();
        let dispatcher = Dispatcher::new(
            router,
            Arc::clone(&self.scheduler),
            Arc::clone(&self.telemetry),
            Arc::new(Calls::new(Arc::clone(&self.scheduler), &self.config)),
            draining.clone(),
            self.config.reflection,
        )
        .await
        .map_err(|error| cannot("the schemas can't be reflected", error.to_string()))?;
        let shared = Shared {
            config: self.config.clone(),
            gate: Arc::clone(&self.gate),
            crowd: Arc::new(Crowd::new(&self.config)),
            dispatcher: Arc::new(dispatcher),
            scheduler: Arc::clone(&self.scheduler),
            telemetry: Arc::clone(&self.telemetry),
            caller_mint: self.caller_mint.clone(),
            draining,
            ended: Cancel::new(),
        };
        let server = GrpcServer::start(Arc::new(shared), listener, bound);
        let fields = [("address", server.local_address().into())];
        self.telemetry.log(Level::Info, "peers can connect", &fields);
        Ok(Box::new(server))
    }

    async fn probe_port(&self, address: &str, port: u16, timeout: Duration) -> PortState {
        if address.is_empty() || port == 0 {
            return PortState::Unknown;
        }
        let connecting = reach::connect(address, port, self.config.dial_private_addresses);
        match within(&*self.scheduler, timeout, connecting).await {
            Some(Ok(_)) => PortState::Open,
            Some(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => PortState::Closed,
            Some(Err(_)) | None => PortState::Unknown,
        }
    }
}

/// Messages as they come, with a deadline for each.
struct AnswerStream {
    answers: Option<Streaming<Vec<u8>>>,
    scheduler: Arc<dyn Scheduler>,
    timeout: Duration,
    /// For the next message; opening took some of the first one's.
    left: Duration,
}

#[async_trait]
impl MessageStream for AnswerStream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        let answers = self.answers.as_mut()?;
        let left = std::mem::replace(&mut self.left, self.timeout);
        let next = within(&*self.scheduler, left, answers.message()).await;
        let next = match next {
            Some(Ok(message)) => message.map(Ok),
            Some(Err(status)) if status.source().is_some() => {
                let reason = format!("the connection broke: {}", status.message());
                Some(Err(Status::new(StatusCode::Unavailable, reason)))
            }
            Some(Err(status)) => Some(Err(from_wire(&status))),
            None => {
                let reason = format!("no message within {} ms", self.timeout.as_millis());
                Some(Err(Status::new(StatusCode::DeadlineExceeded, reason)))
            }
        };
        if !matches!(next, Some(Ok(_))) {
            self.answers = None;
        }
        next
    }
}

/// Whether a status is that of a request that never left.
fn was_not_sent(status: &tonic::Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<NotSent>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// A status of a call: with a source it is the connection's failure, without one the peer's answer.
fn failed(peer: &Peer, status: &tonic::Status) -> CallError {
    let account = peer.account.clone();
    match status.source() {
        Some(_) => CallError::Broken { peer: account, reason: status.message().to_owned() },
        None => CallError::Refused { peer: account, status: from_wire(status) },
    }
}

/// The label of a failed call; see the crate's documentation.
fn outcome_label(error: &CallError) -> &'static str {
    match error {
        CallError::Unreachable { .. } => "unreachable",
        CallError::TimedOut { .. } => "timed_out",
        CallError::WrongIdentity { .. } => "wrong_identity",
        CallError::Refused { .. } => "refused",
        CallError::Broken { .. } => "broken",
        CallError::Local { .. } => "local",
        _ => "other",
    }
}
