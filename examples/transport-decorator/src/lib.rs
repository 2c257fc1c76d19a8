//! Stands in front of another transport and limits how many bytes a second this node moves.
//!
//! Owns the plugin `transport-limit`. It needs a transport and provides one; the manifest chooses it
//! (`[provide] transport = "transport-limit"`), and the node gives it the other one. Handshakes, identities and serving stay
//! with the transport behind it. Only calls that this node makes are counted: what it serves to others passes freely.
#![forbid(unsafe_code)]

mod budget;

use budget::Budget;
use lampkeeper_plugin_sdk::api::chain::PortState;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::transport::{
    CallError, MessageStream, Peer, Router, ServerHandle, Status, Transport,
};
use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// Bytes a second, requests and answers of this node's calls together.
    #[schemars(range(min = 1024))]
    pub bytes_per_second: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { bytes_per_second: 100_000_000 }
    }
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let scheduler = context.scheduler()?;
    let budget = Arc::new(Budget::new(config.bytes_per_second, Arc::clone(&scheduler)));
    let transport = Limited { inner: context.transport()?, scheduler, budget };
    Ok(Provided { transport: Some(Arc::new(transport)), ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "transport-limit",
    summary: "Limits how many bytes a second this node's calls move.",
    provides: [Transport],
    needs: [required Transport, required Scheduler],
    config: Config,
    construct: construct,
}

struct Limited {
    inner: Arc<dyn Transport>,
    scheduler: Arc<dyn Scheduler>,
    budget: Arc<Budget>,
}

impl Limited {
    /// Waits for the request's turn; how much of the time is left for the call.
    async fn admit(&self, peer: &Peer, len_bytes: usize, timeout: Duration) -> Result<Duration, CallError> {
        let begun = self.scheduler.now();
        let turn = within(&*self.scheduler, timeout, self.budget.spend(len_bytes)).await;
        // Nothing was sent: the time was lost here, and says nothing about the peer.
        turn.ok_or_else(|| CallError::Local {
            reason: format!("the bandwidth limit left no time for a call of {}", peer.account),
        })?;
        Ok(timeout.saturating_sub(self.scheduler.now().since(begun)))
    }
}

#[async_trait]
impl Transport for Limited {
    async fn call(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let left = self.admit(peer, request.len(), timeout).await?;
        let answer = self.inner.call(peer, path, request, left).await?;
        // The bytes are here already: what they cost delays the next call, not this one.
        self.budget.owe(answer.len());
        Ok(answer)
    }

    async fn call_stream(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        let left = self.admit(peer, request.len(), timeout).await?;
        let inner = self.inner.call_stream(peer, path, request, left).await?;
        Ok(Box::new(LimitedStream { inner, budget: Arc::clone(&self.budget), owed_bytes: 0 }))
    }

    async fn serve(&self, router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        self.inner.serve(router).await
    }

    async fn probe_port(&self, address: &str, port: u16, timeout: Duration) -> PortState {
        self.inner.probe_port(address, port, timeout).await
    }
}

/// Pays for each message before it asks for the next one, so that the source is held back.
struct LimitedStream {
    inner: Box<dyn MessageStream>,
    budget: Arc<Budget>,
    owed_bytes: usize,
}

#[async_trait]
impl MessageStream for LimitedStream {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        self.budget.spend(std::mem::take(&mut self.owed_bytes)).await;
        let message = self.inner.next().await?;
        self.owed_bytes = message.as_ref().map_or(0, Vec::len);
        Some(message)
    }
}
