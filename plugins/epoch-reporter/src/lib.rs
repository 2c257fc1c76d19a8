//! Submits one report an epoch with host metrics, port observations and proof results (wire 7).
//!
//! Owns when a report is due and what goes into it. The rows of proof are the challenger's: it writes them to the
//! journal, and they stay there until the chain has executed the report that carries them.
//!
//! Events: `report.submitted` (`epoch_id`, `height`, `rows`, `observations`), `report.duplicate` (`epoch_id`) and, once for
//! each epoch and reason, `report.skipped` (`epoch_id`, `reason`; the reasons are the short names of `held::Reason`).
#![forbid(unsafe_code)]

mod config;
mod fallback;
mod held;
mod host;
mod ports;
mod rows;
mod service;
mod state;

pub use config::Config;
use lampkeeper_plugin_sdk::prelude::*;
use service::EpochReporter;
use std::sync::Arc;

lampkeeper_plugin_sdk::register_plugin! {
    id: "epoch-reporter",
    summary: "Submits one report an epoch with host metrics, port observations and proof results.",
    provides: [Service],
    needs: [
        required ChainSubmit,
        required Journal,
        required Transport,
        required Store,
        required Scheduler,
    ],
    config: Config,
    construct: construct,
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let reporter = EpochReporter {
        chain: context.chain()?,
        journal: context.journal()?,
        transport: context.transport()?,
        store: context.store()?,
        scheduler: context.scheduler()?,
        account: context.node.account,
        telemetry: context.telemetry,
        config,
        state: state::State::default(),
    };
    Ok(Provided { services: vec![Arc::new(reporter)], ..Provided::default() })
}
