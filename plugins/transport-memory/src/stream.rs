//! The messages of a stream after it was opened.
//!
//! Owns both ends: the source asks the handler for a message only when the reader asked for one, so that nothing piles up
//! in between. Opening is the transport's part.

use crate::conditions::Leg;
use crate::fabric::Membership;
use crate::server::{HandlerTask, Server, unless};
use crate::transport::carriable;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::transport::{Caller, MessageStream, Status, StatusCode, StreamHandler};
use lampkeeper_plugin_sdk::api::{Account, BoxFuture};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::StreamExt;
use lampkeeper_plugin_sdk::futures::channel::{mpsc, oneshot};
use std::sync::Arc;
use std::time::Duration;

/// What a source says when it is asked for a message.
type Next = Option<Result<Vec<u8>, Status>>;
/// Asks the source for one message.
type Pulls = mpsc::UnboundedSender<oneshot::Sender<Next>>;

/// The reader's ends of a stream that is being opened.
pub(crate) struct ReaderEnds {
    /// Whether the handler answers at all.
    pub(crate) opened: oneshot::Receiver<Result<(), Status>>,
    /// Where messages are asked for. It never holds more than one question: the reader waits for each answer.
    pub(crate) pulls: Pulls,
}

/// The work of a call that is answered by a stream, and the reader's ends of it.
pub(crate) fn work(
    server: &Arc<Server>,
    handler: &Arc<dyn StreamHandler>,
    caller: Caller,
    path: &str,
    request: Vec<u8>,
) -> (BoxFuture<'static, ()>, ReaderEnds) {
    let (opening, opened) = oneshot::channel();
    let (pulls, mut asked) = mpsc::unbounded::<oneshot::Sender<Next>>();
    let (server, handler, path) = (Arc::clone(server), Arc::clone(handler), path.to_owned());
    let work = async move {
        let call = async move { handler.call(caller, request).await };
        let mut stream = match server.contained(&path, call).await {
            Ok(stream) => stream,
            // A caller that has gone needs no answer, here and below.
            Err(status) => return drop(opening.send(Err(status))),
        };
        drop(opening.send(Ok(())));
        while let Some(reply) = asked.next().await {
            let next = server.contained(&path, async { stream.next().await.transpose() }).await.transpose();
            let next = next.map(|message| message.and_then(carriable));
            let is_last = !matches!(next, Some(Ok(_)));
            if reply.send(next).is_err() || is_last {
                return;
            }
        }
    };
    (Box::pin(work), ReaderEnds { opened, pulls })
}

/// Between which nodes a stream flows, and what ends it.
pub(crate) struct Connection {
    pub(crate) own: Arc<Membership>,
    pub(crate) peer: Account,
    /// The signals that this node, or the peer, is down.
    pub(crate) cuts: [Cancel; 2],
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) _task: HandlerTask,
}

/// The reader's side of a stream.
pub(crate) struct PulledStream {
    connection: Option<Connection>,
    pulls: Pulls,
    /// A message that was asked for and not yet read: a reader that gave up waiting finds it the next time.
    asked: Option<oneshot::Receiver<Next>>,
    /// The second copy of a message that arrived twice.
    repeated: Option<Vec<u8>>,
    timeout: Duration,
    /// How much of the first message's time went into opening.
    opening_took: Duration,
}

impl PulledStream {
    pub(crate) fn new(
        connection: Connection,
        pulls: Pulls,
        timeout: Duration,
        opening_took: Duration,
    ) -> Self {
        Self { connection: Some(connection), pulls, asked: None, repeated: None, timeout, opening_took }
    }
}

#[async_trait]
impl MessageStream for PulledStream {
    async fn next(&mut self) -> Next {
        if let Some(message) = self.repeated.take() {
            return Some(Ok(message));
        }
        let connection = self.connection.as_ref()?;
        let left = self.timeout.saturating_sub(self.opening_took);
        let pull = pull(connection, &self.pulls, &mut self.asked);
        let next = within(&*connection.scheduler, left, pull).await.unwrap_or_else(|| {
            let reason = format!("no message within {} ms", self.timeout.as_millis());
            Some((Err(Status::new(StatusCode::DeadlineExceeded, reason)), 1))
        });
        self.opening_took = Duration::ZERO;
        match next {
            Some((Ok(message), copies)) => {
                self.repeated = (copies > 1).then(|| message.clone());
                Some(Ok(message))
            }
            Some((Err(status), _)) => {
                self.connection = None;
                Some(Err(status))
            }
            None => {
                self.connection = None;
                None
            }
        }
    }
}

/// The next message and how often it arrived; `None` at the end.
async fn pull(
    connection: &Connection,
    pulls: &Pulls,
    asked: &mut Option<oneshot::Receiver<Next>>,
) -> Option<(Result<Vec<u8>, Status>, usize)> {
    let closed = || Some((Err(Status::new(StatusCode::Unavailable, "the connection closed")), 1));
    let arrival = async {
        let reply = asked.get_or_insert_with(|| {
            let (sender, receiver) = oneshot::channel();
            // If the source is gone the receiver says so.
            drop(pulls.unbounded_send(sender));
            receiver
        });
        let reply = reply.await;
        *asked = None;
        let Ok(next) = reply else { return closed() };
        let len_bytes = next.as_ref().map_or(0, |message| message.as_ref().map_or(0, Vec::len));
        let own = connection.own.account();
        let back = Leg { caller: own, from: &connection.peer, to: own };
        let copies = connection.own.fabric.carry(&*connection.scheduler, back, len_bytes).await;
        next.map(|message| (message, copies))
    };
    let [own_cut, peer_cut] = &connection.cuts;
    unless(own_cut, unless(peer_cut, arrival)).await.flatten().unwrap_or_else(closed)
}
