//! A node's transport on the fabric.
//!
//! Owns the course of a call: what is checked, carried, handled and raced against the timeout and against either node
//! going down. Running handlers belongs to [`Server`], the messages of a stream after its opening to
//! [`stream`](crate::stream).

use crate::conditions::Leg;
use crate::fabric::{Answering, Fabric, JoinError, Membership, NotAnswering};
use crate::server::{MemoryServer, Server, Turned, unless};
use crate::stream::{self, Connection, PulledStream};
use lampkeeper_plugin_sdk::api::chain::PortState;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::telemetry::Telemetry;
use lampkeeper_plugin_sdk::api::transport::{
    CallError, Caller, CallerMint, Handler, MESSAGE_LEN_BYTES_MAX, MessageStream, Peer, Router, ServerHandle,
    Status, StatusCode, Transport, UnaryHandler,
};
use lampkeeper_plugin_sdk::api::{Account, BoxFuture};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::channel::oneshot;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A node that joins a fabric.
pub struct JoiningNode {
    /// The account that its peers will know it by.
    pub account: Account,
    /// Where the chain's registry says it is, `host` or `host:port`.
    pub address: String,
    /// Its time; its handlers run on it.
    pub scheduler: Arc<dyn Scheduler>,
    /// The right to tell its handlers who called.
    pub caller_mint: CallerMint,
    /// Where it tells what happens.
    pub telemetry: Arc<dyn Telemetry>,
}

/// Calls between the nodes of one [`Fabric`]. Leaves it when the transport and what it serves are dropped.
pub struct MemoryTransport {
    membership: Arc<Membership>,
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
}

impl MemoryTransport {
    /// Joins a fabric.
    ///
    /// # Errors
    /// If a node of this account, or with this address, is there.
    pub fn join(fabric: &Fabric, node: JoiningNode) -> Result<Self, JoinError> {
        let membership = fabric.join(&node.account, &node.address, node.caller_mint)?;
        Ok(Self { membership: Arc::new(membership), scheduler: node.scheduler, telemetry: node.telemetry })
    }

    fn fabric(&self) -> &Fabric {
        &self.membership.fabric
    }

    /// Runs a call, within its time and only while this node is up.
    async fn run<T>(
        &self,
        peer: &Peer,
        request_len_bytes: usize,
        timeout: Duration,
        call: impl Future<Output = Result<T, CallError>> + Send,
    ) -> Result<T, CallError> {
        let cut = self.membership.cut();
        let outcome = if request_len_bytes > MESSAGE_LEN_BYTES_MAX {
            Err(local(format!(
                "a request of {request_len_bytes} bytes; at most {MESSAGE_LEN_BYTES_MAX} go in one"
            )))
        } else if cut.is_cancelled() {
            Err(local("this node is down".to_owned()))
        } else {
            match within(&*self.scheduler, timeout, unless(&cut, call)).await {
                Some(Some(outcome)) => outcome,
                Some(None) => Err(local("this node went down".to_owned())),
                None => Err(CallError::TimedOut { peer: peer.account.clone(), timeout_ms: millis(timeout) }),
            }
        };
        let label = outcome.as_ref().map_or_else(outcome_label, |_| "ok");
        self.telemetry.count("transport_calls_total", &[("outcome", label)], 1);
        outcome
    }

    /// Carries the request; who answers it, and how often it arrived.
    async fn deliver(&self, peer: &Peer, request: &[u8]) -> Result<(Answering, usize), CallError> {
        let own = self.membership.account();
        let out = Leg { caller: own, from: own, to: &peer.account };
        let copies = self.fabric().carry(&*self.scheduler, out, request.len()).await;
        let answering = self.fabric().answering(peer).map_err(|reason| match reason {
            NotAnswering::Unreachable(reason) => unreachable(peer, reason),
            NotAnswering::Wrong(account) => CallError::WrongIdentity {
                peer: peer.account.clone(),
                reason: format!("{account} is at `{}`", peer.address),
            },
        })?;
        Ok((answering, copies))
    }

    /// Carries a status back.
    async fn refuse<T>(&self, peer: &Peer, status: Status) -> Result<T, CallError> {
        let own = self.membership.account();
        let back = Leg { caller: own, from: &peer.account, to: own };
        self.fabric().carry(&*self.scheduler, back, status.message.len()).await;
        Err(CallError::Refused { peer: peer.account.clone(), status })
    }

    fn caller(&self, answering: &Answering) -> Caller {
        answering.caller_mint.proved(self.membership.account())
    }

    async fn exchange(&self, peer: &Peer, path: &str, request: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let (answering, copies) = self.deliver(peer, &request).await?;
        let Some(Handler::Unary(handler)) = answering.server.router.find(path) else {
            return self.refuse(peer, unimplemented(path, "one message")).await;
        };
        let caller = self.caller(&answering);
        for _ in 1..copies {
            // Nobody waits for the answer to a repeated request: it runs to its own end.
            let (work, _) = unary_work(&answering.server, handler, caller.clone(), path, request.clone());
            drop(answering.server.spawn(path, work));
        }
        let (work, reply) = unary_work(&answering.server, handler, caller, path, request);
        let task = match answering.server.spawn_for_caller(path, work) {
            Ok(task) => task,
            Err(turned) => return self.turned(peer, turned).await,
        };
        let reply = unless(&answering.cut, reply).await;
        drop(task);
        match reply {
            Some(Ok(Ok(answer))) => {
                let own = self.membership.account();
                let back = Leg { caller: own, from: &peer.account, to: own };
                let carried = self.fabric().carry(&*self.scheduler, back, answer.len());
                unless(&answering.cut, carried).await.ok_or_else(|| broken(peer))?;
                Ok(answer)
            }
            Some(Ok(Err(status))) => self.refuse(peer, status).await,
            Some(Err(oneshot::Canceled)) | None => Err(broken(peer)),
        }
    }

    async fn open(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<PulledStream, CallError> {
        let began = self.scheduler.now();
        let (answering, copies) = self.deliver(peer, &request).await?;
        let Some(Handler::ServerStream(handler)) = answering.server.router.find(path) else {
            return self.refuse(peer, unimplemented(path, "a stream")).await;
        };
        let caller = self.caller(&answering);
        for _ in 1..copies {
            let (work, _) = stream::work(&answering.server, handler, caller.clone(), path, request.clone());
            drop(answering.server.spawn(path, work));
        }
        let (work, ends) = stream::work(&answering.server, handler, caller, path, request);
        let task = match answering.server.spawn_for_caller(path, work) {
            Ok(task) => task,
            Err(turned) => return self.turned(peer, turned).await,
        };
        match unless(&answering.cut, ends.opened).await {
            Some(Ok(Ok(()))) => Ok(PulledStream::new(
                Connection {
                    own: Arc::clone(&self.membership),
                    peer: peer.account.clone(),
                    cuts: [self.membership.cut(), answering.cut],
                    scheduler: Arc::clone(&self.scheduler),
                    _task: task,
                },
                ends.pulls,
                timeout,
                self.scheduler.now().since(began),
            )),
            Some(Ok(Err(status))) => self.refuse(peer, status).await,
            Some(Err(oneshot::Canceled)) | None => Err(broken(peer)),
        }
    }

    async fn turned<T>(&self, peer: &Peer, turned: Turned) -> Result<T, CallError> {
        match turned {
            Turned::Away => Err(unreachable(peer, "connection refused: it is stopping")),
            Turned::Back => {
                let status =
                    Status::new(StatusCode::ResourceExhausted, "too many calls run; try again later");
                self.refuse(peer, status).await
            }
        }
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn call(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        self.run(peer, request.len(), timeout, self.exchange(peer, path, request)).await
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

    async fn serve(&self, router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        let server = Arc::new(Server::new(router, Arc::clone(&self.scheduler), Arc::clone(&self.telemetry)));
        if !self.membership.start_serving(&server) {
            return Err(local("this node serves already; drain that first".to_owned()));
        }
        Ok(Box::new(MemoryServer { server, membership: Arc::clone(&self.membership) }))
    }

    async fn probe_port(&self, address: &str, port: u16, timeout: Duration) -> PortState {
        let cut = self.membership.cut();
        if port == 0 || cut.is_cancelled() {
            return PortState::Unknown;
        }
        let Some(target) = self.fabric().account_at(address, port) else { return PortState::Unknown };
        let own = self.membership.account();
        let probe = async {
            self.fabric().carry_probe(&*self.scheduler, own, &target).await;
            let is_serving = self.fabric().is_serving(&target);
            self.fabric().carry_probe(&*self.scheduler, &target, own).await;
            if is_serving { PortState::Open } else { PortState::Closed }
        };
        within(&*self.scheduler, timeout, unless(&cut, probe)).await.flatten().unwrap_or_default()
    }
}

/// The work of a call that is answered by one message, and where the answer arrives.
fn unary_work(
    server: &Arc<Server>,
    handler: &Arc<dyn UnaryHandler>,
    caller: Caller,
    path: &str,
    request: Vec<u8>,
) -> (BoxFuture<'static, ()>, oneshot::Receiver<Result<Vec<u8>, Status>>) {
    let (sender, receiver) = oneshot::channel();
    let (server, handler, path) = (Arc::clone(server), Arc::clone(handler), path.to_owned());
    let work = async move {
        let answer = server.contained(&path, async move { handler.call(caller, request).await }).await;
        // A caller that has gone needs no answer.
        drop(sender.send(answer.and_then(carriable)));
    };
    (Box::pin(work), receiver)
}

/// A message that may be passed on, or the status that replaces it.
pub(crate) fn carriable(message: Vec<u8>) -> Result<Vec<u8>, Status> {
    if message.len() <= MESSAGE_LEN_BYTES_MAX {
        return Ok(message);
    }
    let reason =
        format!("an answer of {} bytes is larger than the {MESSAGE_LEN_BYTES_MAX} allowed", message.len());
    Err(Status::new(StatusCode::Internal, reason))
}

fn unimplemented(path: &str, answer: &str) -> Status {
    Status::new(StatusCode::Unimplemented, format!("no method `{path}` that answers with {answer}"))
}

fn local(reason: String) -> CallError {
    CallError::Local { reason }
}

fn unreachable(peer: &Peer, reason: &str) -> CallError {
    CallError::Unreachable { peer: peer.account.clone(), reason: reason.to_owned() }
}

fn broken(peer: &Peer) -> CallError {
    CallError::Broken { peer: peer.account.clone(), reason: "the connection closed".to_owned() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
