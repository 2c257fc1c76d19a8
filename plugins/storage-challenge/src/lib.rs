//! Challenges assigned peers for byte ranges of artifacts, and answers such challenges.
//!
//! Owns both sides of the compound challenge (wire 3), the probes that go beyond it, and the [`Challenger`] seam with
//! which rechecks repeat a challenge. Rows wait in the journal; carrying them to the chain is the reporter's part.
//!
//! Events: `challenge.result`, `challenge.no_eligible`, `challenge.held`, `probe.failed`, `probe.summary`.
//! Metrics: `challenges_total{result, bucket}`, `probes_total{result}`, `probe_proof_bytes_total`,
//! `challenge_faults_total`, `challenges_served_total{result}`.
//!
//! [`Challenger`]: lampkeeper_plugin_sdk::api::challenge::Challenger
#![forbid(unsafe_code)]

mod answer;
mod artifacts;
mod ask;
mod caps;
mod challenge;
mod config;
mod draw;
mod epoch_view;
mod history;
mod legacy;
mod placement;
mod registered;
mod rows;
mod serve;
mod service;

pub use config::Config;

use artifacts::ArtifactsOfTickets;
use ask::Asker;
use caps::CapsCache;
use challenge::TargetChallenger;
use history::SeenTickets;
use lampkeeper_plugin_sdk::api::challenge::Challenger;
use lampkeeper_plugin_sdk::api::service::Service;
use lampkeeper_plugin_sdk::api::transport::Route;
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_proto::methods;
use legacy::{SliceProofHandler, VerifySliceHandler};
use registered::RegisteredCallers;
use serve::CompoundProofHandler;
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
        },
        seen: SeenTickets::default(),
        telemetry: Arc::clone(&context.telemetry),
    })
}

fn routes(context: &PluginContext) -> Result<Vec<Route>, PluginError> {
    let (chain, scheduler, store) = (context.chain_reader()?, context.scheduler()?, context.store()?);
    let signer = context.signer()?;
    let account = signer.account().to_owned();
    let callers = Arc::new(RegisteredCallers::new(Arc::clone(&chain), Arc::clone(&scheduler)));
    let compound = CompoundProofHandler {
        account: account.clone(),
        store: Arc::clone(&store),
        signer,
        caps: Arc::new(CapsCache::new(chain, scheduler)),
        callers: Arc::clone(&callers),
        telemetry: Arc::clone(&context.telemetry),
    };
    let slice = SliceProofHandler { account: account.clone(), store, callers: Arc::clone(&callers) };
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
