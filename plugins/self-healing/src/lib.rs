//! Runs heal operations: reconstruct and stage, verify, publish (wire 5).
//!
//! Owns the service `self-healing`: when this node heals, votes and publishes, in which order that is written down and
//! submitted, and what a crash or an error may destroy (nothing, unless the chain has said so). How a file is
//! reconstructed is the heal strategy's, where bytes are is the artifact network's, and who heals is the chain's.
//!
//! The rules that keep a node honest after a crash are tables without side effects in [`mod@reconcile`]; everything else
//! gathers their inputs and carries their decisions out.
#![forbid(unsafe_code)]

mod chain;
mod claims;
mod config;
mod deadline;
mod fetch;
mod finalizer;
mod healer;
mod heard;
mod in_flight;
mod node;
mod publish;
pub mod reconcile;
mod serve;
mod service;
mod verifier;

pub use config::Config;

use lampkeeper_plugin_sdk::prelude::*;
use node::Node;
use service::SelfHealing;
use std::sync::Arc;

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let config = config.checked(&context.plugin_id)?;
    let service = SelfHealing::new(Arc::new(Node::new(&context, config)?));
    Ok(Provided { services: vec![Arc::new(service)], ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "self-healing",
    summary: "Runs heal operations: reconstructs and stages, verifies, publishes.",
    provides: [Service],
    needs: [
        required ChainSubmit, required Journal, required Network, required Staging, required Transport,
        required Scheduler, required HealStrategy,
    ],
    config: Config,
    construct: construct,
}
