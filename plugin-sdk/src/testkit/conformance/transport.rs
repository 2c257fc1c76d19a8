//! What every [`Transport`] has to do.

use super::{CheckResult, Failure, Report, equal, holds, pattern, refused};
use async_trait::async_trait;
use lampkeeper_api::scheduler::{Scheduler, within};
use lampkeeper_api::transport::{
    CallError, Caller, MESSAGE_LEN_BYTES_MAX, MessageStream, Peer, Route, Router, ServerHandle, Status,
    StatusCode, StreamHandler, Transport, UnaryHandler,
};
use lampkeeper_api::{Account, chain::PortState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Long enough for any call that ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// For calls that are to run out of time.
const SHORT: Duration = Duration::from_millis(50);
/// Messages of the long stream; all of them together are more than any transport may hold back.
const LONG_STREAM_MESSAGES: usize = 1000;
const LONG_STREAM_MESSAGE_LEN_BYTES: usize = 64 * 1024;

/// Two nodes that can reach each other.
pub struct TransportPair {
    /// Serves.
    pub server: Arc<dyn Transport>,
    /// The server's account.
    pub server_account: Account,
    /// Calls.
    pub client: Arc<dyn Transport>,
    /// The client's account.
    pub client_account: Account,
    /// What both run on.
    pub scheduler: Arc<dyn Scheduler>,
}

/// The suite. `make` returns two new nodes each time; nothing is served yet.
pub async fn transport(make: impl AsyncFn() -> TransportPair) -> Report {
    let mut report = Report::new("transport");
    let nodes = Nodes::serve(make().await).await;
    report.check("an answer comes back, at every length up to the maximum", unary(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("the caller is the account that the handshake proved", caller_identity(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("a peer with another account is not called", server_identity(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("a status comes back with its code and message", statuses(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("an unknown path is unimplemented", unknown_path(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report
        .check(
            "a panic in a handler is contained, and the caller told that it is not to blame",
            handler_panics(&nodes),
        )
        .await;
    let nodes = Nodes::serve(make().await).await;
    report.check("a call ends when its time is over", timeouts(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("messages above the maximum are not passed on", too_large(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("a stream comes in order and ends", streams(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("a stream may end with a status", broken_streams(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("a slow reader holds the source back", back_pressure(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("dropping a call drops its handler", dropped_call(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("dropping a stream drops its source", dropped_stream(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("draining lets a running call finish and takes no new one", drain(&nodes)).await;
    let nodes = Nodes::serve(make().await).await;
    report.check("a served port is open", open_port(&nodes)).await;
    report
}

/// What the handlers of a server were seen to do.
#[derive(Default)]
struct Seen {
    begun: AtomicUsize,
    dropped: AtomicBool,
    messages_asked: AtomicUsize,
}

/// Two nodes, one of them serving every behaviour under a path of its own.
struct Nodes {
    pair: TransportPair,
    peer: Peer,
    handle: Result<Box<dyn ServerHandle>, CallError>,
    seen: Arc<Seen>,
}

impl Nodes {
    async fn serve(pair: TransportPair) -> Self {
        let seen = Arc::new(Seen::default());
        let mut router = Router::default();
        for behaviour in Behaviour::ALL {
            let handler = Arc::new(TestHandler {
                behaviour,
                seen: Arc::clone(&seen),
                scheduler: Arc::clone(&pair.scheduler),
            });
            let route = match behaviour.is_stream() {
                true => Route::server_stream(behaviour.path(), handler),
                false => Route::unary(behaviour.path(), handler),
            };
            router.add(route).ok(); // each behaviour has a path of its own
        }
        let handle = pair.server.serve(router).await;
        let address = handle.as_ref().map_or_else(|_| String::new(), |handle| handle.local_address());
        let peer = Peer { account: pair.server_account.clone(), address };
        Self { pair, peer, handle, seen }
    }

    fn server(&self) -> Result<&dyn ServerHandle, Failure> {
        self.handle.as_deref().map_err(|error| Failure::from(error.clone()))
    }

    /// Calls with patience.
    async fn call(&self, behaviour: Behaviour, request: Vec<u8>) -> Result<Vec<u8>, CallError> {
        self.pair.client.call(&self.peer, &behaviour.path(), request, PATIENCE).await
    }

    async fn stream(&self, behaviour: Behaviour) -> Result<Box<dyn MessageStream>, CallError> {
        self.pair.client.call_stream(&self.peer, &behaviour.path(), Vec::new(), PATIENCE).await
    }

    /// Waits for something that happens on its own.
    async fn eventually(&self, what: &str, is_so: impl Fn() -> bool) -> CheckResult {
        for _ in 0..1000 {
            if is_so() {
                return Ok(());
            }
            self.pair.scheduler.sleep(Duration::from_millis(5)).await;
        }
        holds(what, is_so())
    }
}

/// What a path of the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Echo,
    WhoAmI,
    Refuse,
    Panic,
    Hang,
    Slow,
    TooLarge,
    Count,
    CountThenFail,
    Long,
    HangingStream,
}

impl Behaviour {
    const ALL: [Self; 11] = [
        Self::Echo,
        Self::WhoAmI,
        Self::Refuse,
        Self::Panic,
        Self::Hang,
        Self::Slow,
        Self::TooLarge,
        Self::Count,
        Self::CountThenFail,
        Self::Long,
        Self::HangingStream,
    ];

    fn path(self) -> String {
        format!("/lampkeeper.Conformance/{self:?}")
    }

    const fn is_stream(self) -> bool {
        match self {
            Self::Count | Self::CountThenFail | Self::Long | Self::HangingStream => true,
            Self::Echo
            | Self::WhoAmI
            | Self::Refuse
            | Self::Panic
            | Self::Hang
            | Self::Slow
            | Self::TooLarge => false,
        }
    }
}

struct TestHandler {
    behaviour: Behaviour,
    seen: Arc<Seen>,
    scheduler: Arc<dyn Scheduler>,
}

/// Notes that it was dropped.
struct DropMark(Arc<Seen>);

impl Drop for DropMark {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::Release);
    }
}

#[async_trait]
impl UnaryHandler for TestHandler {
    async fn call(&self, caller: Caller, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let _mark = DropMark(Arc::clone(&self.seen));
        self.seen.begun.fetch_add(1, Ordering::AcqRel);
        match self.behaviour {
            Behaviour::WhoAmI => Ok(caller.account().as_bytes().to_vec()),
            Behaviour::Refuse => {
                let code = request.first().and_then(|index| STATUS_CODES.get(usize::from(*index)));
                Err(Status::new(code.copied().unwrap_or(StatusCode::Unknown), "not today: 100 % booked"))
            }
            Behaviour::Panic => panic!("a handler of the conformance suite panics, as it should"),
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Slow => {
                self.scheduler.sleep(Duration::from_millis(200)).await;
                Ok(request)
            }
            Behaviour::TooLarge => Ok(vec![0; MESSAGE_LEN_BYTES_MAX + 1]),
            _ => Ok(request),
        }
    }
}

#[async_trait]
impl StreamHandler for TestHandler {
    async fn call(&self, _caller: Caller, _request: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
        self.seen.begun.fetch_add(1, Ordering::AcqRel);
        let mark = DropMark(Arc::clone(&self.seen));
        Ok(Box::new(TestStream { behaviour: self.behaviour, next: 0, mark }))
    }
}

struct TestStream {
    behaviour: Behaviour,
    next: usize,
    mark: DropMark,
}

#[async_trait]
impl MessageStream for TestStream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        self.mark.0.messages_asked.fetch_add(1, Ordering::AcqRel);
        let number = self.next;
        self.next += 1;
        match (self.behaviour, number) {
            (Behaviour::Long, LONG_STREAM_MESSAGES..) => None,
            (Behaviour::Long, _) => Some(Ok(vec![0; LONG_STREAM_MESSAGE_LEN_BYTES])),
            (_, 0..3) => Some(Ok(vec![number as u8; number])),
            (Behaviour::CountThenFail, 3) => Some(Err(Status::new(StatusCode::Aborted, "lost the thread"))),
            (Behaviour::HangingStream, _) => std::future::pending().await,
            _ => None,
        }
    }
}

/// Every status that a handler may answer.
const STATUS_CODES: [StatusCode; 13] = [
    StatusCode::Cancelled,
    StatusCode::Unknown,
    StatusCode::InvalidArgument,
    StatusCode::DeadlineExceeded,
    StatusCode::NotFound,
    StatusCode::PermissionDenied,
    StatusCode::ResourceExhausted,
    StatusCode::FailedPrecondition,
    StatusCode::Aborted,
    StatusCode::Unimplemented,
    StatusCode::Internal,
    StatusCode::Unavailable,
    StatusCode::Unauthenticated,
];

async fn unary(nodes: &Nodes) -> CheckResult {
    nodes.server()?;
    for len_bytes in [0, 1, 65_536, MESSAGE_LEN_BYTES_MAX] {
        let message = pattern(len_bytes, 1);
        let answer = nodes.call(Behaviour::Echo, message.clone()).await?;
        holds(&format!("the echo of {len_bytes} bytes"), answer == message)?;
    }
    Ok(())
}

async fn caller_identity(nodes: &Nodes) -> CheckResult {
    // What a request says about its sender must not matter.
    let answer = nodes.call(Behaviour::WhoAmI, nodes.pair.server_account.clone().into_bytes()).await?;
    equal("caller", String::from_utf8_lossy(&answer).into_owned(), nodes.pair.client_account.clone())
}

async fn server_identity(nodes: &Nodes) -> CheckResult {
    let stranger = Peer { account: nodes.pair.client_account.clone(), ..nodes.peer.clone() };
    let path = Behaviour::Echo.path();
    let outcome = nodes.pair.client.call(&stranger, &path, b"secret".to_vec(), PATIENCE).await;
    refused("WrongIdentity", outcome, |error| matches!(error, CallError::WrongIdentity { .. }))?;
    equal("calls that reached a handler", nodes.seen.begun.load(Ordering::Acquire), 0)
}

async fn statuses(nodes: &Nodes) -> CheckResult {
    for (index, code) in STATUS_CODES.into_iter().enumerate() {
        let outcome = nodes.call(Behaviour::Refuse, vec![index as u8]).await;
        let expected = Status::new(code, "not today: 100 % booked");
        refused(
            &format!("Refused with {expected}"),
            outcome,
            |error| matches!(error, CallError::Refused { status, .. } if *status == expected),
        )?;
    }
    Ok(())
}

async fn unknown_path(nodes: &Nodes) -> CheckResult {
    let is_unimplemented = |error: &CallError| matches!(error, CallError::Refused { status, .. } if status.code == StatusCode::Unimplemented);
    let path = "/lampkeeper.Conformance/Nothing";
    let client = &nodes.pair.client;
    let outcome = client.call(&nodes.peer, path, Vec::new(), PATIENCE).await;
    refused("Refused with Unimplemented", outcome, is_unimplemented)?;
    // A stream's refusal may come with the call or with the first message.
    match client.call_stream(&nodes.peer, path, Vec::new(), PATIENCE).await {
        Err(error) => refused("Refused with Unimplemented", Err::<(), _>(error), is_unimplemented),
        Ok(mut stream) => refused("Unimplemented", stream.next().await.unwrap_or(Ok(Vec::new())), |status| {
            status.code == StatusCode::Unimplemented
        }),
    }
}

async fn handler_panics(nodes: &Nodes) -> CheckResult {
    let outcome = nodes.call(Behaviour::Panic, Vec::new()).await;
    // Unavailable is what a border answers that is between the transport and the handler.
    let is_told = |error: &CallError| match error {
        CallError::Refused { status, .. } => {
            matches!(status.code, StatusCode::Internal | StatusCode::Unavailable)
        }
        _ => false,
    };
    refused("Refused with Internal or Unavailable", outcome, is_told)?;
    equal("the next call", nodes.call(Behaviour::Echo, vec![1]).await?, vec![1])
}

async fn timeouts(nodes: &Nodes) -> CheckResult {
    let client = &nodes.pair.client;
    let outcome = client.call(&nodes.peer, &Behaviour::Hang.path(), Vec::new(), SHORT).await;
    refused("TimedOut", outcome, |error| matches!(error, CallError::TimedOut { .. }))?;
    let path = Behaviour::HangingStream.path();
    let mut stream = client.call_stream(&nodes.peer, &path, Vec::new(), SHORT).await?;
    for number in 0..3_u8 {
        equal("a message in time", stream.next().await, Some(Ok(vec![number; usize::from(number)])))?;
    }
    let next = within(&*nodes.pair.scheduler, PATIENCE, stream.next()).await;
    let is_late = matches!(&next, Some(Some(Err(status))) if status.code == StatusCode::DeadlineExceeded);
    if is_late { Ok(()) } else { equal("DeadlineExceeded for a message that never comes", next, None) }
}

async fn too_large(nodes: &Nodes) -> CheckResult {
    let outcome = nodes.call(Behaviour::Echo, vec![0; MESSAGE_LEN_BYTES_MAX + 1]).await;
    refused("Local for a request above the maximum", outcome, CallError::is_ours)?;
    equal("calls that reached a handler", nodes.seen.begun.load(Ordering::Acquire), 0)?;
    let outcome = nodes.call(Behaviour::TooLarge, Vec::new()).await;
    refused("an error of the peer for an answer above the maximum", outcome, |error| !error.is_ours())?;
    equal("the next call", nodes.call(Behaviour::Echo, vec![1]).await?, vec![1])
}

async fn streams(nodes: &Nodes) -> CheckResult {
    let mut stream = nodes.stream(Behaviour::Count).await?;
    for number in 0..3_u8 {
        equal("message", stream.next().await, Some(Ok(vec![number; usize::from(number)])))?;
    }
    equal("end", stream.next().await, None)?;
    equal("after the end", stream.next().await, None)
}

async fn broken_streams(nodes: &Nodes) -> CheckResult {
    let mut stream = nodes.stream(Behaviour::CountThenFail).await?;
    for number in 0..3_u8 {
        equal("message", stream.next().await, Some(Ok(vec![number; usize::from(number)])))?;
    }
    let expected = Status::new(StatusCode::Aborted, "lost the thread");
    equal("status", stream.next().await, Some(Err(expected)))?;
    equal("after the status", stream.next().await, None)
}

async fn back_pressure(nodes: &Nodes) -> CheckResult {
    let mut stream = nodes.stream(Behaviour::Long).await?;
    stream.next().await;
    nodes.pair.scheduler.sleep(Duration::from_millis(100)).await; // time for a source that is not held back
    let asked = nodes.seen.messages_asked.load(Ordering::Acquire);
    holds(&format!("far fewer than {asked} messages were made for a reader of one"), asked < 300)?;
    let mut count = 1;
    while let Some(message) = stream.next().await {
        equal("a message's length", message.map(|bytes| bytes.len()), Ok(LONG_STREAM_MESSAGE_LEN_BYTES))?;
        count += 1;
    }
    equal("messages", count, LONG_STREAM_MESSAGES)
}

async fn dropped_call(nodes: &Nodes) -> CheckResult {
    let path = Behaviour::Hang.path();
    let calling = nodes.pair.client.call(&nodes.peer, &path, Vec::new(), PATIENCE * 1000);
    let begun = nodes.eventually("the handler runs", || nodes.seen.begun.load(Ordering::Acquire) == 1);
    // Select drops the call as soon as the handler has begun.
    match futures::future::select(calling, Box::pin(begun)).await {
        futures::future::Either::Left((outcome, _)) => return refused("no answer yet", outcome, |_| false),
        futures::future::Either::Right((begun, calling)) => {
            begun?;
            drop(calling);
        }
    }
    nodes.eventually("the handler is dropped", || nodes.seen.dropped.load(Ordering::Acquire)).await
}

async fn dropped_stream(nodes: &Nodes) -> CheckResult {
    let mut stream = nodes.stream(Behaviour::HangingStream).await?;
    stream.next().await;
    holds("the source lives before", !nodes.seen.dropped.load(Ordering::Acquire))?;
    drop(stream);
    nodes.eventually("the source is dropped", || nodes.seen.dropped.load(Ordering::Acquire)).await
}

async fn drain(nodes: &Nodes) -> CheckResult {
    let server = nodes.server()?;
    let running = nodes.call(Behaviour::Slow, vec![7]);
    let draining = async {
        nodes.eventually("the call runs", || nodes.seen.begun.load(Ordering::Acquire) == 1).await?;
        server.drain(PATIENCE).await;
        CheckResult::Ok(())
    };
    let (answer, drained) = futures::future::join(running, draining).await;
    drained?;
    equal("the answer of the running call", answer?, vec![7])?;
    let outcome = nodes.call(Behaviour::Echo, vec![1]).await;
    refused("no response from a drained server", outcome, CallError::is_no_response)?;
    equal("calls that reached a handler", nodes.seen.begun.load(Ordering::Acquire), 1)
}

async fn open_port(nodes: &Nodes) -> CheckResult {
    let Some((host, port)) = nodes.peer.address.rsplit_once(':') else {
        return equal("the local address has a port", nodes.peer.address.clone(), "host:port".to_owned());
    };
    let port = port.parse()?;
    let state = nodes.pair.client.probe_port(host, port, PATIENCE).await;
    equal("while it serves", state, PortState::Open)
}
