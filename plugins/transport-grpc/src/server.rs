//! The listening side: accepts connections, serves those whose peer proved its account, and drains.
//!
//! Owns the socket and the life of each connection. Who gets in is the [`Gate`]'s decision, how many the [`Crowd`]'s, what
//! is answered the [`Dispatcher`]'s.

use crate::admission::{AdmissionError, Gate};
use crate::calls::ConnectionCalls;
use crate::channel::stream::SecureStream;
use crate::config::{Config, millis};
use crate::crowd::{Crowd, Place};
use crate::dispatch::Dispatcher;
use crate::executor::OnScheduler;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::cancel::{Cancel, Cancelled};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::telemetry::{Level, Telemetry};
use lampkeeper_plugin_sdk::api::transport::{CallerMint, ServerHandle};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::StreamExt;
use lampkeeper_plugin_sdk::futures::channel::mpsc;
use lampkeeper_plugin_sdk::futures::future::{Either, select};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// After a failed accept, which is mostly for want of file descriptors, others may end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a full house looks for room.
const ROOM_PAUSE: Duration = Duration::from_millis(20);
/// How often a connection looks at the age of its calls.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// The longest headers of a request.
const HEADERS_LEN_BYTES_MAX: u32 = 16 * 1024;
/// The largest HTTP/2 frame: fewer, larger frames cost less, and a window limits all of them together.
pub(crate) const FRAME_LEN_BYTES_MAX: u32 = 64 * 1024;
/// What waits to be sent of one stream.
pub(crate) const SEND_LEN_BYTES_MAX: usize = 512 * 1024;

/// What every connection of a server shares.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) gate: Arc<Gate>,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) caller_mint: CallerMint,
    /// No new connections and no new calls.
    pub(crate) draining: Cancel,
    /// Everything ends now.
    pub(crate) ended: Cancel,
}

/// Serves until it is drained or dropped.
pub(crate) struct GrpcServer {
    shared: Arc<Shared>,
    local_address: String,
    /// Ends when no connection is left and none is accepted.
    idle: Mutex<Option<mpsc::Receiver<Infallible>>>,
}

impl GrpcServer {
    /// Starts to accept connections.
    pub(crate) fn start(shared: Arc<Shared>, listener: TcpListener, bound: SocketAddr) -> Self {
        let (alive, idle) = mpsc::channel(0);
        let accepting = accept(Arc::clone(&shared), listener, alive);
        shared.scheduler.spawn("accept connections", Box::pin(accepting));
        let local_address = match shared.config.public_address.as_str() {
            "" => bound.to_string(),
            public => public.to_owned(),
        };
        Self { shared, local_address, idle: Mutex::new(Some(idle)) }
    }
}

#[async_trait]
impl ServerHandle for GrpcServer {
    fn local_address(&self) -> String {
        self.local_address.clone()
    }

    async fn drain(&self, grace: Duration) {
        self.shared.dispatcher.set_not_serving().await;
        self.shared.draining.cancel();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut idle) = idle {
            // Whether they finished or not, what is left ends now.
            let _ = within(&*self.shared.scheduler, grace, idle.next()).await;
        }
        self.shared.ended.cancel();
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.shared.draining.cancel();
        self.shared.ended.cancel();
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, alive: mpsc::Sender<Infallible>) {
    let mut draining = shared.draining.cancelled();
    loop {
        let accepting = async {
            while !shared.crowd.has_room(shared.scheduler.now()) {
                shared.scheduler.sleep(ROOM_PAUSE).await;
            }
            listener.accept().await
        };
        let accepted = match select(pin!(accepting), &mut draining).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => return,
        };
        match accepted {
            Ok((socket, _)) => {
                let (place, is_crowded) = shared.crowd.enter(&shared.ended, shared.scheduler.now());
                if is_crowded {
                    shared.telemetry.count("transport_connections_pushed_out_total", &[], 1);
                }
                let (serving, alive) = (serve_peer(Arc::clone(&shared), socket, place), alive.clone());
                let task = async move {
                    serving.await;
                    drop(alive);
                };
                shared.scheduler.spawn("serve a peer", Box::pin(task));
            }
            Err(error) => {
                let fields = [("error", error.to_string().into())];
                shared.telemetry.log(Level::Warn, "a connection could not be accepted", &fields);
                shared.scheduler.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection from its beginning to its end.
async fn serve_peer(shared: Arc<Shared>, socket: TcpStream, place: Place) {
    let outcome = admit(&shared, socket, &place).await;
    let label = outcome.as_ref().map_or_else(AdmissionError::kind, |_| "ok");
    let labels = [("side", "server"), ("outcome", label)];
    shared.telemetry.count("transport_handshakes_total", &labels, 1);
    tell_counts(&shared);
    match outcome {
        Ok(stream) => serve_stream(&shared, stream, &place).await,
        Err(error) => {
            let fields = [("reason", error.to_string().into())];
            shared.telemetry.log(Level::Debug, "a connection was refused", &fields);
        }
    }
    drop(place);
    tell_counts(&shared);
}

fn tell_counts(shared: &Shared) {
    let (unproved, proved) = shared.crowd.counts();
    for (state, count) in [("unproved", unproved), ("proved", proved)] {
        shared.telemetry.gauge("transport_connections", &[("state", state)], count as f64);
    }
}

async fn admit(
    shared: &Shared,
    socket: TcpStream,
    place: &Place,
) -> Result<SecureStream<TcpStream>, AdmissionError> {
    socket.set_nodelay(true)?;
    let timeout_ms = shared.config.handshake_timeout_ms;
    let accepting = within(&*shared.scheduler, millis(timeout_ms), shared.gate.accept(socket));
    let stream = match select(pin!(accepting), place.cut.cancelled()).await {
        Either::Left((outcome, _)) => outcome.ok_or(AdmissionError::TooSlow { timeout_ms })??,
        Either::Right(_) => return Err(AdmissionError::PushedOut),
    };
    shared.crowd.prove(place, stream.peer()).map_err(AdmissionError::Full)?;
    Ok(stream)
}

async fn serve_stream(shared: &Arc<Shared>, stream: SecureStream<TcpStream>, place: &Place) {
    let config = &shared.config;
    let calls = Arc::new(ConnectionCalls::default());
    let caller = shared.caller_mint.proved(&stream.peer().account);
    let (dispatcher, its_calls) = (Arc::clone(&shared.dispatcher), Arc::clone(&calls));
    let service = service_fn(move |request| {
        let answer = Arc::clone(&dispatcher).answer(caller.clone(), Arc::clone(&its_calls), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let executor = OnScheduler { scheduler: Arc::clone(&shared.scheduler), name: "answer a call" };
    let connection = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes)
        .max_concurrent_streams(config.calls_per_connection_max)
        .max_frame_size(FRAME_LEN_BYTES_MAX)
        .max_header_list_size(HEADERS_LEN_BYTES_MAX)
        .max_send_buf_size(SEND_LEN_BYTES_MAX)
        .keep_alive_interval(millis(config.keepalive_interval_ms))
        .keep_alive_timeout(millis(config.keepalive_timeout_ms))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut life = Life {
        // A signal of its own: those of many connections on one would be slow to poll.
        draining: Some(shared.draining.child().cancelled()),
        cut: place.cut.cancelled(),
        age: shared.scheduler.sleep(millis(config.connection_age_max_ms)),
        is_ending: false,
        look: shared.scheduler.sleep(LOOK_INTERVAL),
        calls,
        shared,
    };
    std::future::poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        match life.poll(context) {
            Poll::Ready(Verdict::Cut) => Poll::Ready(()),
            Poll::Ready(Verdict::EndGracefully) => {
                connection.as_mut().graceful_shutdown();
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

/// What ends a connection besides its peer.
struct Life<'a> {
    draining: Option<Cancelled>,
    cut: Cancelled,
    /// Its greatest age, then what is left to its calls.
    age: BoxFuture<'static, ()>,
    is_ending: bool,
    look: BoxFuture<'static, ()>,
    calls: Arc<ConnectionCalls>,
    shared: &'a Shared,
}

enum Verdict {
    /// Take no further calls.
    EndGracefully,
    /// End now.
    Cut,
}

impl Life<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Verdict> {
        if Pin::new(&mut self.cut).poll(context).is_ready() || self.has_endless_call(context) {
            return Poll::Ready(Verdict::Cut);
        }
        if let Some(draining) = &mut self.draining
            && Pin::new(draining).poll(context).is_ready()
        {
            self.draining = None;
            return Poll::Ready(Verdict::EndGracefully);
        }
        if self.age.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        if self.is_ending {
            return Poll::Ready(Verdict::Cut);
        }
        self.is_ending = true;
        self.age = self.shared.scheduler.sleep(millis(self.shared.config.connection_age_grace_ms));
        Poll::Ready(Verdict::EndGracefully)
    }

    /// Whether a call runs for longer than any may: a peer that takes an answer byte by byte is in no hurry.
    fn has_endless_call(&mut self, context: &mut Context<'_>) -> bool {
        while self.look.as_mut().poll(context).is_ready() {
            self.look = self.shared.scheduler.sleep(LOOK_INTERVAL);
            let age = self.calls.oldest().map(|began| self.shared.scheduler.now().since(began));
            if age.is_some_and(|age| age > millis(self.shared.config.call_time_max_ms)) {
                self.shared.telemetry.count("transport_endless_calls_total", &[], 1);
                return true;
            }
        }
        false
    }
}
