//! Calls between the nodes of one process, for devnets, simulations and tests.
//!
//! Owns the [`Fabric`] that stands for the network, its faults, and a [`Transport`] for each node on it. No byte leaves the
//! process and there is no handshake: an account is proved by having joined the fabric under it, which nothing but this
//! process decides. What a message means belongs to the services.
//!
//! Nodes find each other by the name of their fabric ([`Fabric::named`]), which is the plugin's setting `network`. The
//! names belong to one image of the program: a plugin that was built as a dynamic library has names of its own, so
//! use the static tier for nodes that have to meet.
//!
//! # Metrics and events
//!
//! | name | labels | what |
//! | --- | --- | --- |
//! | `transport_calls_total` | `outcome`: `ok`, `unreachable`, `timed_out`, `wrong_identity`, `refused`, `broken`, `local` | calls that this node made; a stream counts when it opens |
//! | `transport_handler_panics_total` | `path` | panics of this node's handlers, each answered as `Internal` |
//!
//! There are no events: every call is the business of the service that made it.
//!
//! [`Transport`]: lampkeeper_plugin_sdk::api::transport::Transport
#![forbid(unsafe_code)]

mod conditions;
mod fabric;
mod faults;
mod server;
mod stream;
mod transport;

pub use conditions::{LinkQuality, MessageFault};
pub use fabric::{Fabric, JoinError};
pub use faults::Faults;
pub use transport::{JoiningNode, MemoryTransport};

use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// The fabric to join: nodes of one process that name the same one can call each other.
    pub network: String,
    /// The address that peers find in the chain's registry, `host` or `host:port`; the node's name if it is empty.
    pub address: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { network: "default".to_owned(), address: String::new() }
    }
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let cannot_start =
        |reason: String| PluginError::CannotStart { plugin_id: context.plugin_id.clone(), reason };
    let caller_mint = context
        .caller_mint
        .clone()
        .ok_or_else(|| cannot_start("the host granted no right to name callers".to_owned()))?;
    let address = if config.address.is_empty() { context.node.name.clone() } else { config.address };
    let joining = JoiningNode {
        account: context.node.account.clone(),
        address,
        scheduler: context.scheduler()?,
        caller_mint,
        telemetry: Arc::clone(&context.telemetry),
    };
    let transport = MemoryTransport::join(&Fabric::named(&config.network), joining)
        .map_err(|error| cannot_start(error.to_string()))?;
    Ok(Provided { transport: Some(Arc::new(transport)), ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "transport-memory",
    summary: "Calls between the nodes of one process, with faults on demand.",
    provides: [Transport],
    needs: [required Scheduler],
    config: Config,
    construct: construct,
}
