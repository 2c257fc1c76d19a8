//! Hands out anew what has become rare.
//!
//! Owns the heal strategy `heal-rare-first`. Like `heal-minimal` it makes only what some holder lacks. Its own idea: an
//! artifact with few copies left is given to its whole replica set, not just to those who say that they lack it. A holder
//! that has lost its disk and not noticed yet is then mended by the same heal.
#![forbid(unsafe_code)]

use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_plugin_sdk::api::network::Survey;
use lampkeeper_plugin_sdk::cascade::{
    ArtifactKind, HealWorkbench, StagedFile, Stager, TicketDocuments, network_error, regenerate_error,
    regenerate_repair_symbols, regenerate_source_symbols, unless_cancelled,
};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The strategy's name.
const NAME: &str = "heal-rare-first";
/// Artifacts that the holders are asked about in one call.
const KEYS_PER_SURVEY: usize = 512;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// An artifact with fewer intact copies than this is handed out to everybody who should hold it.
    #[schemars(range(min = 0, max = 64))]
    pub rare_below_copies: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { rare_below_copies: 3 }
    }
}

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let strategy = RareFirst { bench: HealWorkbench::of(&context)?, config };
    Ok(Provided { heal_strategy: Some(Arc::new(strategy)), ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "heal-rare-first",
    summary: "Heals what is missing, and hands out anew what has become rare.",
    provides: [HealStrategy],
    needs: [required ChainRead, required Network, required Staging, required Scheduler],
    config: Config,
    construct: construct,
}

struct RareFirst {
    bench: HealWorkbench,
    config: Config,
}

#[async_trait]
impl HealStrategy for RareFirst {
    fn name(&self) -> &str {
        NAME
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        unless_cancelled(&job.cancel, self.heal(&job)).await
    }
}

/// What is to be done, from what the holders say.
#[derive(Default)]
struct Work {
    /// Who is to be given an artifact; nobody in particular means the whole replica set.
    receivers: BTreeMap<ArtifactKey, Vec<Account>>,
    id_files: Vec<ArtifactKind>,
    symbols: BTreeSet<u32>,
    /// Symbols that nobody has, as far as they say.
    gone: BTreeSet<u32>,
    rare_count: usize,
}

impl Work {
    fn add(&mut self, kind: ArtifactKind, survey: &Survey, rare_below_copies: usize) {
        let copies = survey.holding().count();
        if let ArtifactKind::Symbol { esi } = kind
            && copies == 0
        {
            self.gone.insert(esi);
        }
        let mut receivers: Vec<Account> = survey.lacking().cloned().collect();
        if receivers.is_empty() {
            return;
        }
        if copies < rare_below_copies {
            receivers.clear();
            self.rare_count += 1;
        }
        self.receivers.insert(survey.key, receivers);
        match kind {
            ArtifactKind::Symbol { esi } => drop(self.symbols.insert(esi)),
            ArtifactKind::IndexFile { .. } | ArtifactKind::LayoutFile { .. } => self.id_files.push(kind),
        }
    }
}

impl RareFirst {
    async fn heal(&self, job: &HealJob) -> Result<Reconstruction, HealError> {
        let documents = self.bench.documents(job).await?;
        let work = self.survey(&documents).await?;
        let told =
            [("rare_count", Value::from(work.rare_count)), ("lacking_count", work.receivers.len().into())];
        self.bench.telemetry.log(Level::Info, "artifacts are rare", &told);
        let (file, made) = self.bench.reconstruct_file(job, &documents, &work.gone).await?;
        let parameters = documents.parameters();
        let live = i64::from(parameters.total_symbols()) - work.gone.len() as i64;
        let mut cost = HealCost {
            artifact_count: documents.artifact_count(),
            missing_artifact_count: work.receivers.len() as u64,
            fetched_count: made.fetched_count,
            fetched_bytes: made.fetched_bytes,
            decoded: made.decoded(),
            margin_symbols: live - i64::from(parameters.needed_symbols()),
            compute_ms: made.compute_ms,
            ..HealCost::default()
        };
        let begun = self.bench.scheduler.now();
        let mut stager = self.bench.stager(job, work.receivers.clone());
        self.stage(job, &documents, &work, &file, &mut stager).await?;
        cost.compute_ms += self.bench.elapsed_ms(begun);
        self.bench.seal(job, &documents, stager, NAME, cost).await
    }

    async fn survey(&self, documents: &TicketDocuments) -> Result<Work, HealError> {
        let artifacts: Vec<(ArtifactKey, ArtifactKind)> = documents.artifacts().collect();
        let mut work = Work::default();
        for batch in artifacts.chunks(KEYS_PER_SURVEY) {
            let keys: Vec<ArtifactKey> = batch.iter().map(|(key, _)| *key).collect();
            let surveys = self.bench.network.survey(&keys, true).await;
            let surveys = surveys.map_err(|error| network_error("asking holders what they have", &error))?;
            for ((_, kind), survey) in batch.iter().zip(&surveys) {
                work.add(*kind, survey, self.config.rare_below_copies);
            }
        }
        Ok(work)
    }

    async fn stage(
        &self,
        job: &HealJob,
        documents: &Arc<TicketDocuments>,
        work: &Work,
        file: &StagedFile,
        stager: &mut Stager,
    ) -> Result<(), HealError> {
        self.bench.stage_id_files(job, documents, &work.id_files, stager).await?;
        regenerate_source_symbols(documents, file, &work.symbols, stager)
            .await
            .map_err(|error| regenerate_error(job, &error))?;
        regenerate_repair_symbols(documents, &*self.bench.scheduler, file, &work.symbols, stager)
            .await
            .map_err(|error| regenerate_error(job, &error))
    }
}
