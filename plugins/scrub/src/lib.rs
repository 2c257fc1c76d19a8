//! Reads every artifact of this node's store once in a cycle, and replaces those that have changed on disk.
//!
//! Challenges sample, and sampling does not find bit rot on our own disk. Owns the walk through the store, its pace and
//! its memory of how far it came, and the repair from other holders. Artifacts that are missing altogether are healed,
//! not scrubbed.
//!
//! An artifact that was read as a whole for somebody else, such as one that was proven to a challenger, counts as read in
//! the cycle that is under way; one that such a read found damaged is repaired at once. The store says which those are
//! ([`ArtifactStore::take_checked`]); after a restart they are forgotten and read once more.
//!
//! Damaged artifacts are in quarantine until they are replaced: the store hands them to nobody, they are listed here and
//! looked for again and again, and nothing is deleted, so that a disk that was merely read wrongly loses nothing.
//!
//! The walk stands still while it is paused. The switch is in the journal ([`scrub`]), so it is turned from outside,
//! obeyed before the next artifact, and outlives a restart.
//!
//! [`ArtifactStore::take_checked`]: lampkeeper_plugin_sdk::api::store::ArtifactStore::take_checked
//! [`scrub`]: lampkeeper_plugin_sdk::scrub
//!
//! # Metrics
//!
//! | name | labels | what |
//! | --- | --- | --- |
//! | `scrub_artifacts_total` | `result`: `intact`, `read_for_others`, `repaired`, `lost`, `unreadable` | artifacts that were read, or need not be; `lost` have no intact copy anywhere now, `unreadable` are the disk's fault |
//! | `scrub_damaged_total` | | artifacts that were found damaged, each time |
//! | `scrub_bytes_total` | | bytes that were read |
//! | `scrub_cycle` | | gauge: cycles that were completed |
//! | `scrub_progress` | | gauge: how much of the present cycle is done, 0 to 1 |
//! | `scrub_quarantined` | | gauge: damaged artifacts that wait for a copy |
//! | `scrub_paused` | | gauge: 1 while it stands still |
//!
//! # Events
//!
//! | name | fields | when |
//! | --- | --- | --- |
//! | `scrub.damaged` | `artifact_key` | an artifact no longer hashes to its key |
//! | `scrub.repaired` | `artifact_key` | it was replaced |
//! | `scrub.lost` | `artifact_key`, `reason` | nobody could be found to give it; it is tried again later |
//! | `scrub.cycle_done` | `cycle` | every artifact was read |
//! | `scrub.paused`, `scrub.resumed` | `cycle` | the switch was turned |
#![forbid(unsafe_code)]

mod config;
mod elsewhere;
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
