//! Repeats failed challenges that other nodes reported, and submits what it finds as evidence (wire 6).
//!
//! Owns which rows are worth a recheck and what becomes of the evidence. Making a challenge is the
//! [`Challenger`](lampkeeper_plugin_sdk::api::challenge::Challenger)'s part.
//!
//! A row is rechecked soon after its report is on the chain, its own epoch included, unless `closed_epochs_only` is set; how
//! soon differs between nodes (`spread_percent`), so that they don't all ask one target at once. Waiting for the close would give the target other byte ranges than those that it failed, because a challenger draws those of a
//! recheck from the present epoch; but a false accusation would then count in full at the close, before anybody could
//! contradict it.
//!
//! # Metrics
//!
//! | name | labels | what |
//! | --- | --- | --- |
//! | `recheck_reporters` | | gauge: reporters that are looked at |
//! | `recheck_report_queries_total` | | reports that the chain was asked for |
//! | `recheck_reporter_failures_total` | | reporters that could not be read in a look |
//! | `recheck_candidates_total` | | failures that others have reported |
//! | `recheck_candidates_dropped_total` | | more of them than are remembered |
//! | `recheck_rows_unverified_total` | `reason`: `transcript`, `key`, `signature`, `malformed` | failures whose own claim does not hold together |
//! | `recheck_submissions_total` | `class` | evidence that the chain has executed |
//! | `recheck_already_submitted_total` | | evidence that the chain had already |
//! | `recheck_failures_total` | `stage`: `challenge`, `not_eligible`, `outcome`, `no_contradiction`, `submit`, `refused` | rechecks without evidence |
//! | `recheck_pending` | | gauge: evidence that the chain has not taken yet |
//! | `recheck_expired_total` | | evidence that it never took |
//!
//! # Events
//!
//! `recheck.submitted` (`epoch_id`, `ticket_id`, `target`, `class`, `height`) and `recheck.failed` (`epoch_id`,
//! `ticket_id`, `stage`, `reason`).
#![forbid(unsafe_code)]

mod candidate;
mod config;
mod discovery;
mod evidence;
mod keys;
mod reaction;
mod service;
mod spread;

pub use config::Config;
use discovery::Discovery;
use evidence::Evidence;
use lampkeeper_plugin_sdk::prelude::*;
use service::RecheckService;
use std::sync::{Arc, Mutex};

lampkeeper_plugin_sdk::register_plugin! {
    id: "recheck",
    summary: "Repeats disputed challenges of other nodes and submits the evidence.",
    provides: [Service],
    needs: [required ChainSubmit, required Journal, required Challenger, required Scheduler],
    config: Config,
    construct: construct,
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let (chain, journal, scheduler) = (context.chain()?, context.journal()?, context.scheduler()?);
    let discovery = Discovery::new(
        context.chain_reader()?,
        Arc::clone(&context.telemetry),
        context.node.account.clone(),
        config.clone(),
    );
    let evidence = Evidence {
        config: config.clone(),
        chain: Arc::clone(&chain),
        journal: Arc::clone(&journal),
        challenger: context.challenger()?,
        scheduler: Arc::clone(&scheduler),
        telemetry: Arc::clone(&context.telemetry),
        executed: Mutex::default(),
    };
    let service = RecheckService {
        account: context.node.account,
        telemetry: context.telemetry,
        trouble: Mutex::default(),
        config,
        chain,
        journal,
        scheduler,
        discovery,
        evidence,
    };
    Ok(Provided { services: vec![Arc::new(service)], ..Provided::default() })
}
