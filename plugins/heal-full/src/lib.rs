//! Encodes everything again and stages all of it, as the reference does (wire 4.10).
//!
//! Owns the heal strategy `heal-full`, which is there to compare others with. It asks nobody what is missing.
#![forbid(unsafe_code)]

use lampkeeper_plugin_sdk::api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_plugin_sdk::cascade::{
    ArtifactKind, HealWorkbench, encode_symbols, read_whole_file, regenerate_error, target_error,
    unless_cancelled,
};
use lampkeeper_plugin_sdk::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The strategy's name.
const NAME: &str = "heal-full";

/// What an operator may set: nothing yet.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {}

async fn construct(context: PluginContext, _config: Config) -> Result<Provided, PluginError> {
    let strategy = HealFull { bench: HealWorkbench::of(&context)? };
    Ok(Provided { heal_strategy: Some(Arc::new(strategy)), ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "heal-full",
    summary: "Encodes everything again and stages all of it, for comparison.",
    provides: [HealStrategy],
    needs: [required ChainRead, required Network, required Staging, required Scheduler],
    config: Config,
    construct: construct,
}

struct HealFull {
    bench: HealWorkbench,
}

#[async_trait]
impl HealStrategy for HealFull {
    fn name(&self) -> &str {
        NAME
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        unless_cancelled(&job.cancel, self.heal(&job)).await
    }
}

impl HealFull {
    async fn heal(&self, job: &HealJob) -> Result<Reconstruction, HealError> {
        let documents = self.bench.documents(job).await?;
        let (file, made) = self.bench.reconstruct_file(job, &documents, &BTreeSet::new()).await?;
        let begun = self.bench.scheduler.now();
        let mut stager = self.bench.stager(job, BTreeMap::new());
        let is_id_file = |kind: &ArtifactKind| !matches!(kind, ArtifactKind::Symbol { .. });
        let id_files: Vec<ArtifactKind> =
            documents.artifacts().map(|(_, kind)| kind).filter(is_id_file).collect();
        self.bench.stage_id_files(job, &documents, &id_files, &mut stager).await?;
        let len_bytes = documents.parameters().len_bytes();
        let file = read_whole_file(&file, len_bytes).await.map_err(|error| target_error(&error))?;
        encode_symbols(&documents, &*self.bench.scheduler, Arc::new(file), &mut stager)
            .await
            .map_err(|error| regenerate_error(job, &error))?;
        let cost = HealCost {
            artifact_count: documents.artifact_count(),
            fetched_count: made.fetched_count,
            fetched_bytes: made.fetched_bytes,
            decoded: made.decoded(),
            compute_ms: made.compute_ms + self.bench.elapsed_ms(begun),
            ..HealCost::default()
        };
        self.bench.seal(job, &documents, stager, NAME, cost).await
    }
}
