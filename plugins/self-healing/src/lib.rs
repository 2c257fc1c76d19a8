//! Runs heal operations: reconstruct and stage, verify, publish (wire 5).
//!
//! Owns the service `self-healing`: when this node heals, votes and publishes, in which order that is written down and
//! submitted, and what a crash or an error may destroy (nothing, unless the chain has said so). How a file is
//! reconstructed is the heal strategy's, where bytes are is the artifact network's, and who heals is the chain's.
//!
//! The rules that keep a node honest after a crash are tables without side effects in [`mod@reconcile`]; everything else
//! gathers their inputs and carries their decisions out.
//!
//! | metric | labels | what it counts |
//! | --- | --- | --- |
//! | `self_healing_reconstructions_total` | `result` | reconstructions that were made, or failed |
//! | `self_healing_reconstruction_seconds` | `strategy` | how long one took |
//! | `self_healing_fetched_bytes_total`, `self_healing_staged_bytes_total` | `strategy` | bytes fetched for, and staged by, reconstructions |
//! | `self_healing_fetched_bytes_per_healed_byte`, `self_healing_fetched_bytes_per_file_byte` | `strategy` | bytes fetched, by those staged for publishing and by the file's |
//! | `self_healing_staged_bytes_per_file_byte` | `strategy` | bytes staged for publishing, by the file's |
//! | `self_healing_published_bytes_total`, `self_healing_published_bytes_per_healed_byte` | | bytes that holders took, each counted; by those staged |
//! | `self_healing_claims_total` | `result` | claims: `executed`, or the kind of error |
//! | `self_healing_votes_total` | `result` | votes: `yes`, `no`, or the kind of error |
//! | `self_healing_fetch_seconds` | | how long a verifier fetched |
//! | `self_healing_serves_total` | `result` | files served to verifiers, by status code |
//! | `self_healing_reconciled_total` | `role`, `decision` | claims and votes of unknown outcome that were looked into |
//! | `self_healing_deduplicated_total` | `role` | operations passed over because the journal has them |
//! | `self_healing_past_deadline_total` | `role` | operations passed over because it is too late |
//! | `self_healing_pending_claims`, `self_healing_staging_bytes` | | at present |
//! | `self_healing_publishes_total` | `result` | publications that were done, or have to be tried again |
//! | `self_healing_cleanups_total` | `status` | claims and directories removed, by the operation's last status |
//! | `self_healing_orphans_removed_total` | | directories without a claim, removed at start |
//! | `self_healing_shadows_total` | `strategy`, `result` | comparisons with a second strategy |
//! | `self_healing_shadow_cost_total` | `strategy`, `quantity` | what those cost |
//! | `ticket_margin_symbols`, `ticket_margin_symbols_min` | `ticket_id` | distinct live symbols of a ticket beyond those needed |
//! | `self_healing_margin_looks_total` | `result` | how often holders were asked for a margin |
//!
//! Events: `heal.started`, `heal.claimed`, `heal.voted`, `heal.published`, `heal.dropped`, `heal.failed`, `heal.shadowed`.
#![forbid(unsafe_code)]

mod chain;
mod claims;
mod config;
mod deadline;
pub mod explain;
mod fetch;
mod finalizer;
mod healer;
mod heard;
mod in_flight;
mod margin;
mod node;
mod publish;
pub mod reconcile;
mod serve;
mod service;
mod shadow;
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
        required Scheduler, required HealStrategy, optional HealShadow,
    ],
    config: Config,
    construct: construct,
}
