//! A chain that lives by a script in the manifest, for trying out services without a network.
//!
//! Owns the plugin `mock-chain` and its configuration. What happens in which epoch is in `script`, the answers to the
//! node are in `client`. No rule of a real chain is here: whoever wants those takes the simulated chain.
#![forbid(unsafe_code)]

mod client;
mod script;

pub use script::{EpochScript, Script, Submissions, SupernodeScript};

use client::MockChain;
use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;

async fn construct(context: PluginContext, script: Script) -> Result<Provided, PluginError> {
    script.check().map_err(|(key, reason)| PluginError::InvalidConfig {
        plugin_id: context.plugin_id.clone(),
        key: key.to_owned(),
        reason,
    })?;
    let chain = MockChain::new(
        script,
        context.node.account.clone(),
        context.node.chain_id.clone(),
        context.scheduler()?,
        Arc::clone(&context.telemetry),
    );
    Ok(Provided { chain: Some(Arc::new(chain)), ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "mock-chain",
    summary: "A chain that lives by a script in the manifest.",
    provides: [ChainSubmit],
    needs: [required Scheduler],
    config: Script,
    construct: construct,
}
