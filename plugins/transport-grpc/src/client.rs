//! Connections to peers: made when they are needed, shared by calls, and kept for a while.
//!
//! Owns the pool. Each connection belongs to one expected account and one address, and its handshake knows no other (wire
//! 11.10). A connection that died is replaced at the next call.

use crate::admission::{AdmissionError, Gate};
use crate::channel::HandshakeError;
use crate::config::{Config, millis};
use crate::executor::OnScheduler;
use crate::reach;
use crate::server::{FRAME_LEN_BYTES_MAX, SEND_LEN_BYTES_MAX};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use lampkeeper_plugin_sdk::address::host_and_port;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Permits, Scheduler, within};
use lampkeeper_plugin_sdk::api::telemetry::Telemetry;
use lampkeeper_plugin_sdk::api::transport::{CallError, Peer};
use lampkeeper_plugin_sdk::futures::future::select;
use lampkeeper_plugin_sdk::futures::lock::Mutex as AsyncMutex;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tonic::body::Body;
use tower_service::Service;

/// Whom a connection is for: account and address.
type Key = (String, String);

/// Connections by peer.
pub(crate) struct Pool {
    config: Config,
    gate: Arc<Gate>,
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
    handshakes: Arc<dyn Permits>,
    /// Given when the node closes its transport.
    closed: Cancel,
    slots: Arc<Slots>,
}

type Slots = Mutex<BTreeMap<Key, Slot>>;

#[derive(Clone)]
struct Slot {
    /// One caller at a time connects; the others wait and use what it made.
    connection: Arc<AsyncMutex<Option<Connection>>>,
    used: Moment,
}

/// A connection to a peer, for one call. Clones are the same connection.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    pub(crate) origin: http::Uri,
}

/// The request was not sent at all, so it may be sent on another connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection closed before the request was sent: {0}")]
pub(crate) struct NotSent(hyper::Error);

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = tonic::codegen::StdError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context).map_err(|error| NotSent(error).into())
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let sending = self.sender.try_send_request(request);
        Box::pin(async move {
            sending.await.map_err(|mut failed| match failed.take_message() {
                Some(_) => NotSent(failed.into_error()).into(),
                None => failed.into_error().into(),
            })
        })
    }
}

impl Pool {
    pub(crate) fn new(
        config: Config,
        gate: Arc<Gate>,
        scheduler: Arc<dyn Scheduler>,
        telemetry: Arc<dyn Telemetry>,
    ) -> Self {
        let handshakes = scheduler.permits(config.outgoing_handshakes_max as usize);
        let slots = Arc::new(Mutex::new(BTreeMap::new()));
        Self { config, gate, scheduler, telemetry, handshakes, closed: Cancel::new(), slots }
    }

    /// Ends every connection.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        self.lock().clear();
    }

    /// A connection to the peer: the one that there is, or a new one.
    pub(crate) async fn connection(&self, peer: &Peer) -> Result<Connection, CallError> {
        let slot = self.slot((peer.account.clone(), peer.address.clone()));
        let mut connection = slot.connection.lock().await;
        if let Some(live) = connection.as_ref().filter(|live| !live.sender.is_closed()) {
            return Ok(live.clone());
        }
        *connection = None;
        let outcome = self.dial(peer).await;
        let label = outcome.as_ref().map_or_else(AdmissionError::kind, |_| "ok");
        let labels = [("side", "client"), ("outcome", label)];
        self.telemetry.count("transport_handshakes_total", &labels, 1);
        let live = outcome.map_err(|error| call_error(peer, error))?;
        *connection = Some(live.clone());
        self.forget_when_idle((peer.account.clone(), peer.address.clone()), &slot);
        Ok(live)
    }

    /// Lets go of a peer's connection once nobody has called for a while; calls on it end undisturbed.
    fn forget_when_idle(&self, key: Key, slot: &Slot) {
        let idle_max = millis(self.config.pooled_idle_max_ms);
        let (slots, scheduler) = (Arc::downgrade(&self.slots), Arc::clone(&self.scheduler));
        let connection = Arc::downgrade(&slot.connection);
        let watching = async move {
            let mut left = idle_max;
            loop {
                scheduler.sleep(left).await;
                let (Some(slots), Some(connection)) = (slots.upgrade(), connection.upgrade()) else { return };
                let mut slots = locked(&slots);
                let own = slots.get(&key).filter(|slot| Arc::ptr_eq(&slot.connection, &connection));
                let Some(slot) = own else { return };
                let idle = scheduler.now().since(slot.used);
                if idle >= idle_max {
                    slots.remove(&key);
                    return;
                }
                left = idle_max.saturating_sub(idle);
            }
        };
        self.scheduler.spawn("forget an idle peer", Box::pin(watching));
    }

    /// The slot of a peer. Idle ones go first when there are too many, then those whose last call is longest ago; calls on
    /// them end undisturbed.
    fn slot(&self, key: Key) -> Slot {
        let now = self.scheduler.now();
        let mut slots = self.lock();
        let idle_max = millis(self.config.pooled_idle_max_ms);
        slots.retain(|_, slot| now.since(slot.used) < idle_max);
        if slots.len() >= self.config.pooled_connections_max as usize && !slots.contains_key(&key) {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| slots.remove(&oldest));
        }
        let slot = slots
            .entry(key)
            .or_insert_with(|| Slot { connection: Arc::new(AsyncMutex::new(None)), used: now });
        slot.used = now;
        slot.clone()
    }

    async fn dial(&self, peer: &Peer) -> Result<Connection, AdmissionError> {
        let _permit = self.handshakes.acquire().await;
        let invalid = |reason: &str| {
            AdmissionError::Connection(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                reason.to_owned(),
            ))
        };
        let (host, port) = host_and_port(&peer.address).ok_or_else(|| invalid("the address has no host"))?;
        let socket = self.connect_socket(host, port).await?;
        let timeout_ms = self.config.handshake_timeout_ms;
        let proving = self.gate.connect(socket, &peer.account);
        let stream = within(&*self.scheduler, millis(timeout_ms), proving)
            .await
            .ok_or(AdmissionError::TooSlow { timeout_ms })??;
        let config = &self.config;
        let executor = OnScheduler { scheduler: Arc::clone(&self.scheduler), name: "call a peer" };
        let (sender, connection) = http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(config.stream_window_bytes)
            .initial_connection_window_size(config.connection_window_bytes)
            .max_frame_size(FRAME_LEN_BYTES_MAX)
            .max_send_buf_size(SEND_LEN_BYTES_MAX)
            .keep_alive_interval(millis(config.client_keepalive_interval_ms))
            .keep_alive_timeout(millis(config.keepalive_timeout_ms))
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| AdmissionError::Connection(std::io::Error::other(error)))?;
        let closed = self.closed.cancelled();
        let driving = async move {
            // An error is that of the calls on it.
            drop(select(pin!(connection), closed).await);
        };
        self.scheduler.spawn("a connection to a peer", Box::pin(driving));
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let origin = http::Uri::builder().scheme("http").authority(authority).path_and_query("/").build();
        let origin = origin.map_err(|_| invalid("the address is no authority of a URL"))?;
        Ok(Connection { sender, origin })
    }

    async fn connect_socket(&self, host: &str, port: u16) -> Result<TcpStream, AdmissionError> {
        let timeout_ms = self.config.connect_timeout_ms;
        let connecting = reach::connect(host, port, self.config.dial_private_addresses);
        let socket = within(&*self.scheduler, millis(timeout_ms), connecting)
            .await
            .ok_or(AdmissionError::TooSlow { timeout_ms })??;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Slot>> {
        locked(&self.slots)
    }
}

fn locked(slots: &Slots) -> MutexGuard<'_, BTreeMap<Key, Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a failed connection means for the call that needed it.
fn call_error(peer: &Peer, error: AdmissionError) -> CallError {
    let (account, reason) = (peer.account.clone(), error.to_string());
    match error {
        AdmissionError::Handshake(HandshakeError::OwnKey(_)) | AdmissionError::CannotTell { .. } => {
            CallError::Local { reason }
        }
        AdmissionError::Handshake(_) | AdmissionError::Unknown { .. } => {
            CallError::WrongIdentity { peer: account, reason }
        }
        AdmissionError::Connection(_)
        | AdmissionError::TooSlow { .. }
        | AdmissionError::Ordinary
        | AdmissionError::Full(_)
        | AdmissionError::PushedOut => CallError::Unreachable { peer: account, reason },
    }
}
