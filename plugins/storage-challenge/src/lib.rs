//! Challenges assigned peers for byte ranges of artifacts, and answers such challenges.
//!
//! Owns both sides of the compound challenge (wire 3), the probes that go beyond it, and the [`Challenger`] seam with
//! which rechecks repeat a challenge. Rows wait in the journal; carrying them to the chain is the reporter's part.
//!
//! # Metrics
//!
//! | name | labels | what |
//! | --- | --- | --- |
//! | `challenges_total` | `result`, `bucket` | canonical challenges; `result` is the observation, `no_eligible`, or `unsayable` when the chain would refuse that |
//! | `challenge_tickets_discovered_total` | | tickets that the chain lists for the targets, the refused ones among them |
//! | `challenge_tickets_refused_total` | `reason` | tickets that may not be challenged, or turned out not to qualify when they were drawn |
//! | `challenge_held_total` | `stage` | targets without rows because of a fault of this node, signing among them |
//! | `challenge_faults_total` | `stage` | ticks that ended with a fault of this node; a held target ends its tick, too |
//! | `challenge_dispatch_seconds` | | distribution: an epoch's challenges |
//! | `challenge_detection_chance_per_day` | `peer` or `all`, `lost_percent`: 1, 5, 10 | gauge: see [`detection_chance`] |
//! | `challenge_artifacts_drawn_per_day`, `challenge_proof_bytes_per_day` | `peer` or `all` | gauges: the different artifacts drawn in the last day, and the bytes of all proofs |
//! | `probes_total` | `result`: `pass`, `fail`, `ours` | challenges beyond the canonical ones |
//! | `probe_proof_bytes_total` | | bytes of their proofs |
//! | `probe_faults_total` | `stage` | probes and tickets of probes that were lost to a fault of this node |
//! | `evidence_kept_total` | `basis`: `target_signature`, `challenger_word` | evidence of failed challenges, see `docs/evidence.md` |
//! | `challenge_history_faults_total` | | challenges or evidence that could not be remembered; they count all the same |
//! | `challenges_served_total` | `result` | challenges of others |
//! | `slices_served_total` | `result`: `ok`, `refused` | older peers' challenges |
//!
//! # Events
//!
//! | name | when |
//! | --- | --- |
//! | `challenge.result` | a canonical row was made |
//! | `challenge.no_eligible`, `challenge.unsayable` | a bucket has no ticket, and that can be said, or not |
//! | `challenge.ticket_refused` | a ticket turned out not to qualify |
//! | `challenge.held` | a target has no rows because of a fault of this node |
//! | `evidence.kept` | evidence of a failed challenge was written to the journal |
//! | `probe.failed`, `probe.summary` | a probe failed; all probes of a target are done |
//!
//! [`Challenger`]: lampkeeper_plugin_sdk::api::challenge::Challenger
#![forbid(unsafe_code)]

mod answer;
mod artifacts;
mod ask;
mod caps;
mod challenge;
mod config;
mod detection;
mod draw;
mod epoch_view;
mod history;
mod legacy;
mod members_then;
mod placement;
mod probe;
mod record;
mod registered;
mod repeat;
mod rows;
mod self_check;
mod serve;
mod service;
mod tell;
#[cfg(test)]
mod tests;

pub use config::{Config, ProbeShape};
pub use detection::detection_chance;

use artifacts::ArtifactsOfTickets;
use ask::Asker;
use caps::CapsCache;
use challenge::TargetChallenger;
use detection::DrawsOfDay;
use history::SeenTickets;
use lampkeeper_plugin_sdk::api::challenge::Challenger;
use lampkeeper_plugin_sdk::api::service::Service;
use lampkeeper_plugin_sdk::api::transport::Route;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_proto::methods;
use legacy::{SliceProofHandler, VerifySliceHandler};
use members_then::MembersOfEpochs;
use record::Recorder;
use registered::RegisteredCallers;
use serve::{CompoundProofHandler, READS_AT_ONCE};
use service::ChallengeService;
use std::sync::{Arc, Mutex};

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let challenger = Arc::new(target_challenger(&context, config)?);
    let service = ChallengeService {
        challenger: Arc::clone(&challenger),
        journal: context.journal()?,
        telemetry: Arc::clone(&context.telemetry),
        routes: routes(&context)?,
        trouble: Mutex::new(None),
    };
    Ok(Provided {
        challenger: Some(challenger as Arc<dyn Challenger>),
        services: vec![Arc::new(service) as Arc<dyn Service>],
        ..Provided::default()
    })
}

fn target_challenger(context: &PluginContext, config: Config) -> Result<TargetChallenger, PluginError> {
    let chain = context.chain_reader()?;
    let network = context.network()?;
    Ok(TargetChallenger {
        artifacts: ArtifactsOfTickets::new(Arc::clone(&chain), Arc::clone(&network)),
        asker: Asker {
            config,
            chain,
            network,
            store: context.store()?,
            transport: context.transport()?,
            signer: context.signer()?,
            scheduler: context.scheduler()?,
            recorder: Recorder::new(
                context.journal()?,
                Arc::clone(&context.telemetry),
                context.node.chain_id.clone(),
            ),
        },
        members: MembersOfEpochs::default(),
        seen: SeenTickets::default(),
        draws: DrawsOfDay::default(),
        telemetry: Arc::clone(&context.telemetry),
    })
}

fn routes(context: &PluginContext) -> Result<Vec<Route>, PluginError> {
    let (chain, scheduler, store) = (context.chain_reader()?, context.scheduler()?, context.store()?);
    let signer = context.signer()?;
    let account = signer.account().to_owned();
    let callers = Arc::new(RegisteredCallers::new(Arc::clone(&chain), Arc::clone(&scheduler)));
    let reads = scheduler.permits(READS_AT_ONCE);
    let compound = CompoundProofHandler {
        account: account.clone(),
        store: Arc::clone(&store),
        signer,
        caps: Arc::new(CapsCache::new(chain, scheduler)),
        callers: Arc::clone(&callers),
        reads: Arc::clone(&reads),
        telemetry: Arc::clone(&context.telemetry),
    };
    let slice = SliceProofHandler {
        account: account.clone(),
        store,
        callers: Arc::clone(&callers),
        reads,
        telemetry: Arc::clone(&context.telemetry),
    };
    Ok(vec![
        Route::unary(methods::GET_COMPOUND_PROOF, Arc::new(compound)),
        Route::unary(methods::GET_SLICE_PROOF, Arc::new(slice)),
        Route::unary(methods::VERIFY_SLICE_PROOF, Arc::new(VerifySliceHandler { account, callers })),
    ])
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "storage-challenge",
    summary: "Challenges assigned peers for the artifacts that they should hold, and answers their challenges.",
    provides: [Challenger, Service],
    needs: [
        required ChainRead,
        required Journal,
        required Network,
        required Scheduler,
        required Signer,
        required Store,
        required Transport,
    ],
    config: Config,
    construct: construct,
}
