//! The network around plugins that are tested without a node: wires that are function calls, or nobody at all.
//!
//! Owns just as much of a transport as a plugin needs that calls its peers. What a transport has to do is the transport
//! suite's.

use async_trait::async_trait;
use lampkeeper_api::Account;
use lampkeeper_api::chain::PortState;
use lampkeeper_api::network::{Artifact, ArtifactNetwork, NetworkError, Published, Survey};
use lampkeeper_api::scheduler::{Scheduler, within};
use lampkeeper_api::transport::{
    CallError, Caller, CallerMint, Handler, MessageStream, Peer, Router, ServerHandle, Status, StatusCode,
    Transport,
};
use lampkeeper_protocol::artifact_key::ArtifactKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What each node serves.
#[derive(Default)]
pub(super) struct Wires {
    served: Mutex<BTreeMap<Account, Arc<Router>>>,
}

impl Wires {
    /// A node's end.
    pub(super) fn end(self: &Arc<Self>, own: &str, scheduler: &Arc<dyn Scheduler>) -> Arc<dyn Transport> {
        Arc::new(End { own: own.to_owned(), wires: Arc::clone(self), scheduler: Arc::clone(scheduler) })
    }

    fn served(&self) -> MutexGuard<'_, BTreeMap<Account, Arc<Router>>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct End {
    own: Account,
    wires: Arc<Wires>,
    scheduler: Arc<dyn Scheduler>,
}

impl End {
    fn caller(&self) -> Caller {
        CallerMint::for_host().proved(&self.own)
    }

    fn router(&self, peer: &Peer) -> Result<Arc<Router>, CallError> {
        self.wires.served().get(&peer.account).cloned().ok_or_else(|| unreachable(peer))
    }

    async fn in_time<T>(
        &self,
        peer: &Peer,
        timeout: Duration,
        answer: impl Future<Output = Result<T, Status>> + Send,
    ) -> Result<T, CallError> {
        let account = peer.account.clone();
        match within(&*self.scheduler, timeout, answer).await {
            Some(outcome) => outcome.map_err(|status| CallError::Refused { peer: account, status }),
            None => {
                let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                Err(CallError::TimedOut { peer: account, timeout_ms })
            }
        }
    }
}

fn unreachable(peer: &Peer) -> CallError {
    CallError::Unreachable { peer: peer.account.clone(), reason: "there is nobody".to_owned() }
}

fn unimplemented(path: &str) -> Status {
    Status::new(StatusCode::Unimplemented, format!("nobody answers {path}"))
}

#[async_trait]
impl Transport for End {
    async fn call(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let router = self.router(peer)?;
        let answer = async {
            match router.find(path) {
                Some(Handler::Unary(handler)) => handler.call(self.caller(), request).await,
                _ => Err(unimplemented(path)),
            }
        };
        self.in_time(peer, timeout, answer).await
    }

    async fn call_stream(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        let router = self.router(peer)?;
        let stream = async {
            match router.find(path) {
                Some(Handler::ServerStream(handler)) => handler.call(self.caller(), request).await,
                _ => Err(unimplemented(path)),
            }
        };
        self.in_time(peer, timeout, stream).await
    }

    async fn serve(&self, router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        self.wires.served().insert(self.own.clone(), Arc::new(router));
        Ok(Box::new(Serving { own: self.own.clone(), wires: Arc::clone(&self.wires) }))
    }

    async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
        PortState::Unknown
    }
}

struct Serving {
    own: Account,
    wires: Arc<Wires>,
}

#[async_trait]
impl ServerHandle for Serving {
    fn local_address(&self) -> String {
        format!("{}:4444", self.own)
    }

    async fn drain(&self, _: Duration) {
        self.wires.served().remove(&self.own);
    }
}

/// A network without members.
pub(super) struct NoNetwork;

#[async_trait]
impl ArtifactNetwork for NoNetwork {
    async fn replica_set(&self, _: &ArtifactKey) -> Result<Vec<Account>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn publish(&self, _: Vec<Artifact>) -> Result<Vec<Published>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn publish_to(&self, _: Vec<Artifact>, _: &[Account]) -> Result<Vec<Published>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn fetch(&self, _: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn survey(&self, _: &[ArtifactKey], _: bool) -> Result<Vec<Survey>, NetworkError> {
        Err(NetworkError::NoMembers)
    }
}
