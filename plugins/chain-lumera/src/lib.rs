//! A client of Lumera's chain over gRPC (wire 2.6 to 2.11, 10).
//!
//! Every query of the seam is one of the chain's; a submission is signed, priced, broadcast and then followed until a block
//! has executed it, so that "submitted" means executed with code 0. Several endpoints are compared with each other, and
//! the next one is asked when one fails or falls behind.
//!
//! The parts, from below: [`config`] is what may be set; `endpoint` connects; `pool` chooses whom to ask; `fault` and
//! `rejection` say what a failure means; `convert` translates records and messages; `fee`, `ledger`, `signing` and `sender`
//! make transactions; `client` is the seam.
//!
//! The crates `cosmrs` and `cosmos-sdk-proto` are not used: they want the secret key where this node only has a
//! [`Signer`](lampkeeper_plugin_sdk::api::signer::Signer), do not know accounts of the EVM type, and bring older versions
//! of prost, tonic and k256 beside ours. What they would save is `signing`, which is a page.
#![forbid(unsafe_code)]

mod accounts;
mod client;
pub mod config;
mod convert;
mod endpoint;
mod fault;
mod fee;
mod ledger;
mod pool;
mod rejection;
mod sender;
mod signing;

pub use client::{LIST_PAGES_MAX, LumeraClient};
pub use config::ChainLumeraConfig;

use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;

async fn construct(context: PluginContext, config: ChainLumeraConfig) -> Result<Provided, PluginError> {
    let client = connect(&context, &config)?;
    Ok(Provided { chain: Some(Arc::new(client)), ..Provided::default() })
}

/// A client as the plugin makes it. Nothing is sent before the first call.
///
/// # Errors
/// The configuration does not fit, or the context lacks a scheduler or a signer.
pub fn connect(context: &PluginContext, config: &ChainLumeraConfig) -> Result<LumeraClient, PluginError> {
    let settings = config.check().map_err(|(key, reason)| PluginError::InvalidConfig {
        plugin_id: context.plugin_id.clone(),
        key: key.to_owned(),
        reason,
    })?;
    for target in settings.targets.iter().filter(|target| !target.tls) {
        let fields = [("endpoint", Value::from(&target.uri))];
        context.telemetry.log(Level::Info, "an endpoint of the chain is asked in plaintext", &fields);
    }
    let (signer, scheduler) = (context.signer()?, context.scheduler()?);
    let telemetry = Arc::clone(&context.telemetry);
    LumeraClient::new(settings, &context.node, signer, scheduler, telemetry)
        .map_err(|reason| PluginError::CannotStart { plugin_id: context.plugin_id.clone(), reason })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "chain-lumera",
    summary: "Lumera's chain over gRPC.",
    provides: [ChainSubmit],
    needs: [required Scheduler, required Signer],
    config: ChainLumeraConfig,
    construct: construct,
    runtime: small,
}
