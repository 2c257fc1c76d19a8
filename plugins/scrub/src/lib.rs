//! Reads every artifact of this node's store once in a cycle, and replaces those that have changed on disk.
//!
//! Challenges sample, and sampling does not find bit rot on our own disk. Owns the walk through the store, its pace and
//! its memory of how far it came, and the repair from other holders. A damaged artifact is never served meanwhile: that
//! is the store's promise, so it needs no quarantine of its own. Artifacts that are missing altogether are healed, not
//! scrubbed.
//!
//! # Metrics
//!
//! | name | labels | what |
//! | --- | --- | --- |
//! | `scrub_artifacts_total` | `result`: `intact`, `repaired`, `lost`, `unreadable` | artifacts that were read; `lost` have no intact copy anywhere now, `unreadable` are the disk's fault |
//! | `scrub_bytes_total` | | bytes that were read |
//! | `scrub_cycle` | | gauge: cycles that were completed |
//! | `scrub_progress` | | gauge: how much of the present cycle is done, 0 to 1 |
//! | `scrub_lost` | | gauge: damaged artifacts that wait for a copy |
//!
//! # Events
//!
//! | name | fields | when |
//! | --- | --- | --- |
//! | `scrub.damaged` | `artifact_key` | an artifact no longer hashes to its key |
//! | `scrub.repaired` | `artifact_key` | it was replaced |
//! | `scrub.lost` | `artifact_key`, `reason` | nobody could be found to give it; it is tried again later |
//! | `scrub.cycle_done` | `cycle` | every artifact was read |
#![forbid(unsafe_code)]

mod config;
mod position;
mod repair;
mod service;
#[cfg(test)]
mod tests;

pub use config::Config;

use lampkeeper_plugin_sdk::api::service::Service;
use lampkeeper_plugin_sdk::prelude::*;
use repair::Repairer;
use service::ScrubService;
use std::sync::{Arc, Mutex};

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let config = config.checked(&context.plugin_id)?;
    let telemetry = Arc::clone(&context.telemetry);
    let service = ScrubService {
        config,
        journal: context.journal()?,
        scheduler: context.scheduler()?,
        repairer: Repairer::new(context.store()?, context.network()?, Arc::clone(&telemetry)),
        telemetry,
        trouble: Mutex::new(None),
    };
    Ok(Provided { services: vec![Arc::new(service) as Arc<dyn Service>], ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "scrub",
    summary: "Reads every artifact of this node's store once a month, and replaces those that have changed.",
    provides: [Service],
    needs: [required Journal, required Network, required Scheduler, required Store],
    config: Config,
    construct: construct,
}
