//! Which ports of the targets accept connections (wire 7.5).
//!
//! Owns whom to probe and how many at once. Only a refused connection is CLOSED: whatever may be a fault of our own is
//! UNKNOWN, which the transport decides.

use lampkeeper_plugin_sdk::address::host_of;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::chain::{ChainReader, PortState, StorageChallengeObservation};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::transport::Transport;
use lampkeeper_plugin_sdk::futures::{StreamExt, stream};
use std::time::Duration;

/// What probing needs.
pub(crate) struct Prober<'a> {
    pub(crate) chain: &'a dyn ChainReader,
    pub(crate) transport: &'a dyn Transport,
    pub(crate) scheduler: &'a dyn Scheduler,
    pub(crate) timeout: Duration,
    pub(crate) targets_at_once: usize,
}

impl Prober<'_> {
    /// One observation for each target, in their order, with one state for each port, in theirs.
    pub(crate) async fn observe(
        &self,
        targets: &[String],
        ports: &[u32],
    ) -> Vec<StorageChallengeObservation> {
        // Boxed, because the compiler can't see that futures which borrow from a closure's argument are `Send`.
        let observations: Vec<BoxFuture<'_, StorageChallengeObservation>> = targets
            .iter()
            .map(|target| Box::pin(self.observe_target(target, ports)) as BoxFuture<'_, _>)
            .collect();
        stream::iter(observations).buffered(self.targets_at_once.max(1)).collect().await
    }

    async fn observe_target(&self, target: &str, ports: &[u32]) -> StorageChallengeObservation {
        // An address that can't be read says nothing about the target.
        let address = self.chain.supernode(target).await.map(|node| node.latest_address).unwrap_or_default();
        let mut port_states = Vec::with_capacity(ports.len());
        for port in ports {
            port_states.push(self.probe(host_of(&address), *port).await);
        }
        StorageChallengeObservation { target_supernode_account: target.to_owned(), port_states }
    }

    async fn probe(&self, host: Option<&str>, port: u32) -> PortState {
        let (Some(host), Ok(port @ 1..)) = (host, u16::try_from(port)) else { return PortState::Unknown };
        // The transport keeps the time; a transport that does not would hold up the report.
        let state =
            within(self.scheduler, self.timeout, self.transport.probe_port(host, port, self.timeout)).await;
        state.unwrap_or(PortState::Unknown)
    }
}
