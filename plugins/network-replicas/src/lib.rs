//! Publishes artifacts to, and fetches them from, the replica set of their key: the nodes whose accounts are nearest to it
//! (wire 12.5), among those that the chain lists as taking artifacts (wire 12.9).
//!
//! Owns placement, the client of `lampkeeper.v1.ArtifactService` and its server, and the membership read from the
//! chain. What to publish, and what a missing copy means, is decided by callers; bytes belong to the store, connections
//! to the transport. Addresses are passed on as the chain has them: which of them may be dialled is the transport's rule.
//!
//! Nothing that a peer sends is believed: an artifact counts when it hashes to its key. An answer may stop before its last
//! key so that it stays small; the caller then asks again for the rest.
//!
//! # Metrics
//!
//! | name | labels | what |
//! | --- | --- | --- |
//! | `network_members` | `kind`: `routed`, `storing` | gauge: members of the network |
//! | `network_membership_reads_total` | `outcome`: `ok`, `failed` | reads of the membership |
//! | `network_placed_total` | `outcome`: `stored`, `failed` | artifacts published, counted once for each node |
//! | `network_fetched_total` | `source`: `here`, `peers`, `nowhere` | artifacts fetched |
//! | `network_hedged_keys_total` | | keys for which a second holder was asked because the first was slow |
//! | `network_wrong_artifacts_total` | `peer` | artifacts that did not hash to their key |
//! | `network_own_store_failures_total` | | artifacts that this node's store failed to read or write |
//! | `network_calls_total` | `method`, `outcome`: `ok`, `failed` | calls that this node made |
//! | `network_requests_total` | `method`, `outcome`: `ok`, `refused` | calls of peers |
//!
//! # Events
//!
//! | name | fields | when |
//! | --- | --- | --- |
//! | `network.membership` | `routed`, `storing` | the members have changed |
//! | `network.wrong_artifact` | `peer`, `key` | a peer sent bytes that don't hash to the key |
#![forbid(unsafe_code)]

mod config;
mod fetch;
mod limits;
mod membership;
mod publish;
mod remote;
mod replicas;
mod roster;
mod serve;
mod service;
mod survey;
#[cfg(test)]
mod tests;
mod wire;

pub use config::Config;

use crate::replicas::{ReplicaNetwork, Replicas};
use crate::service::ReplicaService;
use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let config = config.checked(&context.plugin_id)?;
    let replicas = Arc::new(Replicas::new(&context, config)?);
    Ok(Provided {
        network: Some(Arc::new(ReplicaNetwork(Arc::clone(&replicas)))),
        services: vec![Arc::new(ReplicaService(replicas))],
        ..Provided::default()
    })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "network-replicas",
    summary: "Keeps artifacts on the nodes nearest to their keys.",
    provides: [Network, Service],
    needs: [required ChainRead, required Store, required Transport, required Scheduler],
    config: Config,
    construct: construct,
}
