//! Heals what is missing and nothing else.
//!
//! Owns the heal strategy `heal-minimal`: it asks the holders what they have, gets the file back from just enough
//! symbols, and makes anew only the artifacts that some member of their replica set lacks. Claiming and publishing are
//! the healing service's.
//!
//! Cost follows the damage: where all source symbols are at hand nothing is solved and memory stays constant; a lost
//! source symbol is a slice of the file; up to 512 lost repair symbols take one reading of the file, piece by piece, and
//! more of them its intermediate symbols, which are a little more than the file.
#![forbid(unsafe_code)]

mod survey;

use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_plugin_sdk::cascade::{
    HealWorkbench, StagedFile, Stager, TicketDocuments, regenerate_error, regenerate_repair_symbols,
    regenerate_source_symbols, unless_cancelled,
};
use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;
use survey::TicketSurvey;

/// The strategy's name.
const NAME: &str = "heal-minimal";

/// What an operator may set: nothing yet.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {}

async fn construct(context: PluginContext, _config: Config) -> Result<Provided, PluginError> {
    let strategy = HealMinimal { bench: HealWorkbench::of(&context)? };
    Ok(Provided { heal_strategy: Some(Arc::new(strategy)), ..Provided::default() })
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "heal-minimal",
    summary: "Heals what is missing and nothing else.",
    provides: [HealStrategy],
    needs: [required ChainRead, required Network, required Staging, required Scheduler],
    config: Config,
    construct: construct,
}

struct HealMinimal {
    bench: HealWorkbench,
}

#[async_trait]
impl HealStrategy for HealMinimal {
    fn name(&self) -> &str {
        NAME
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        unless_cancelled(&job.cancel, self.heal(&job)).await
    }
}

impl HealMinimal {
    async fn heal(&self, job: &HealJob) -> Result<Reconstruction, HealError> {
        let documents = self.bench.documents(job).await?;
        let survey = TicketSurvey::take(&*self.bench.network, &documents).await?;
        self.tell_survey(job, &documents, &survey);
        let (file, made) = self.bench.reconstruct_file(job, &documents, &survey.gone_symbols).await?;
        let cost = HealCost {
            artifact_count: documents.artifact_count(),
            missing_artifact_count: survey.lacking.len() as u64,
            fetched_count: made.fetched_count,
            fetched_bytes: made.fetched_bytes,
            decoded: made.decoded(),
            margin_symbols: survey.margin_symbols(&documents),
            compute_ms: made.compute_ms,
            ..HealCost::default()
        };
        let mut stager = self.bench.stager(job, survey.lacking.clone());
        let compute_ms = self.stage_lacking(job, &documents, &survey, &file, &mut stager).await?;
        let cost = HealCost { compute_ms: cost.compute_ms + compute_ms, ..cost };
        self.bench.seal(job, &documents, stager, NAME, cost).await
    }

    /// Makes and stages what some holder lacks; how long making it took, in milliseconds.
    async fn stage_lacking(
        &self,
        job: &HealJob,
        documents: &Arc<TicketDocuments>,
        survey: &TicketSurvey,
        file: &StagedFile,
        stager: &mut Stager,
    ) -> Result<u64, HealError> {
        let begun = self.bench.scheduler.now();
        self.bench.stage_id_files(job, documents, &survey.lacking_id_files, stager).await?;
        regenerate_source_symbols(documents, file, &survey.lacking_symbols, stager)
            .await
            .map_err(|error| regenerate_error(job, &error))?;
        let scheduler = &*self.bench.scheduler;
        regenerate_repair_symbols(documents, scheduler, file, &survey.lacking_symbols, stager)
            .await
            .map_err(|error| regenerate_error(job, &error))?;
        Ok(self.bench.elapsed_ms(begun))
    }

    fn tell_survey(&self, job: &HealJob, documents: &TicketDocuments, survey: &TicketSurvey) {
        let margin_symbols = survey.margin_symbols(documents);
        self.bench.telemetry.event(
            Event::new("heal.surveyed")
                .with("heal_op_id", job.heal_op.heal_op_id)
                .with("ticket_id", &job.ticket.ticket_id)
                .with("artifact_count", documents.artifact_count())
                .with("lacking_count", survey.lacking.len())
                .with("replica_count", survey.replica_count)
                .with("margin_symbols", margin_symbols),
        );
        for (account, count) in survey.lacking_by_account() {
            let fields =
                [("account", Value::from(account as &Account)), ("lacking_count", Value::from(count))];
            self.bench.telemetry.log(Level::Info, "a holder lacks artifacts", &fields);
        }
    }
}
