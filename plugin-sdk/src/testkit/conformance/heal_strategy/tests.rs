//! The suite passes a plain strategy, and catches each of several flaws by the check that is meant for it.

use super::heal_strategy;
use crate::cascade::{
    ArtifactKind, HealWorkbench, encode_symbols, read_whole_file, regenerate_error, target_error,
    unless_cancelled,
};
use crate::protocol::artifact_key::ArtifactKey;
use crate::testkit::VirtualScheduler;
use async_trait::async_trait;
use lampkeeper_api::heal::{HealCost, HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_api::network::Artifact;
use lampkeeper_api::staging::{StagedArtifact, StagingManifest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// What a strategy does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Puts together what the network hands over and never hashes it.
    TrustsTheNetwork,
    /// Says that it is done and leaves the directory open.
    NeverSeals,
    /// Stages an artifact that the ticket does not have.
    StagesAStranger,
    /// Publishes by itself.
    Publishes,
    /// Never looks at the signal.
    IgnoresTheSignal,
    /// Fetches everything in one go.
    FetchesAllAtOnce,
    /// Remembers operations and does not do one twice.
    DoesItOnce,
}

struct Flawed {
    bench: HealWorkbench,
    flaw: Flaw,
    done: Mutex<BTreeSet<u64>>,
}

#[async_trait]
impl HealStrategy for Flawed {
    fn name(&self) -> &str {
        "flawed"
    }

    async fn reconstruct(&self, job: HealJob) -> Result<Reconstruction, HealError> {
        if self.flaw == Flaw::DoesItOnce && !self.done.lock().unwrap().insert(job.heal_op.heal_op_id) {
            return Err(HealError::Cancelled);
        }
        if self.flaw == Flaw::IgnoresTheSignal {
            return self.heal(&job).await;
        }
        unless_cancelled(&job.cancel, self.heal(&job)).await
    }
}

fn retry(error: impl std::fmt::Display) -> HealError {
    HealError::Retry { attempted: "testing".to_owned(), reason: error.to_string() }
}

impl Flawed {
    /// Gets the file back, encodes all of it and stages that.
    async fn heal(&self, job: &HealJob) -> Result<Reconstruction, HealError> {
        let bench = &self.bench;
        let documents = bench.documents(job).await?;
        if self.flaw == Flaw::TrustsTheNetwork {
            return self.trust(job).await;
        }
        if self.flaw == Flaw::FetchesAllAtOnce {
            bench.network.fetch(documents.symbol_keys()).await.map_err(retry)?;
        }
        let (file, made) = bench.reconstruct_file(job, &documents, &BTreeSet::new()).await?;
        let mut stager = bench.stager(job, BTreeMap::new());
        let is_id_file = |kind: &ArtifactKind| !matches!(kind, ArtifactKind::Symbol { .. });
        let id_files: Vec<ArtifactKind> =
            documents.artifacts().map(|(_, kind)| kind).filter(is_id_file).collect();
        bench.stage_id_files(job, &documents, &id_files, &mut stager).await?;
        let file = read_whole_file(&file, documents.parameters().len_bytes()).await;
        let file = file.map_err(|error| target_error(&error))?;
        if self.flaw == Flaw::StagesAStranger {
            let bytes = b"mine".to_vec();
            let stranger = Artifact { key: ArtifactKey::of(&bytes), bytes };
            stager.stage(vec![stranger]).await.map_err(|error| target_error(&error))?;
        }
        encode_symbols(&documents, &*bench.scheduler, Arc::new(file), &mut stager)
            .await
            .map_err(|error| regenerate_error(job, &error))?;
        if self.flaw == Flaw::Publishes {
            bench.network.publish(Vec::new()).await.map_err(retry)?;
        }
        let cost = HealCost {
            artifact_count: documents.artifact_count(),
            fetched_count: made.fetched_count,
            fetched_bytes: made.fetched_bytes,
            ..HealCost::default()
        };
        if self.flaw == Flaw::NeverSeals {
            return Ok(Reconstruction { manifest_hash: documents.data_hash().to_owned(), cost });
        }
        bench.seal(job, &documents, stager, self.name(), cost).await
    }

    /// Writes the source symbols one after the other, as they come.
    async fn trust(&self, job: &HealJob) -> Result<Reconstruction, HealError> {
        let (bench, heal_op_id) = (&self.bench, job.heal_op.heal_op_id);
        let documents = bench.documents(job).await?;
        let source_symbols = documents.parameters().source_symbols() as usize;
        let keys = &documents.symbol_keys()[..source_symbols];
        let found = bench.network.fetch(keys).await.map_err(retry)?;
        let mut file: Vec<u8> = Vec::new();
        for symbol in found {
            let Some(symbol) = symbol else { return Err(retry("a source symbol is gone")) };
            file.extend(&symbol.bytes[4..]);
        }
        let len_bytes = documents.parameters().len_bytes();
        file.truncate(len_bytes as usize);
        bench.staging.begin(heal_op_id).await.map_err(retry)?;
        bench.staging.write_file_at(heal_op_id, 0, file).await.map_err(retry)?;
        let manifest = StagingManifest {
            heal_op_id,
            ticket_id: job.ticket.ticket_id.clone(),
            manifest_hash: documents.data_hash().to_owned(),
            file_len_bytes: len_bytes,
            artifacts: Vec::<StagedArtifact>::new(),
            strategy: self.name().to_owned(),
        };
        bench.staging.seal(&manifest).await.map_err(retry)?;
        let cost =
            HealCost { artifact_count: documents.artifact_count(), fetched_bytes: 1, ..HealCost::default() };
        Ok(Reconstruction { manifest_hash: manifest.manifest_hash, cost })
    }
}

#[test]
fn every_flaw_is_caught_by_the_check_that_is_meant_for_it() {
    // The flaw; a check that has to fail, and a part of what it has to say. The sound strategy passes.
    let table = [
        (Flaw::None, None),
        (Flaw::TrustsTheNetwork, Some(("bytes that are not", "byte for byte"))),
        (Flaw::NeverSeals, Some(("what is lacking is staged", "a sealed staging directory"))),
        (
            Flaw::StagesAStranger,
            Some(("what is lacking is staged", "only artifacts of the ticket's signed layout")),
        ),
        (Flaw::Publishes, Some(("what is lacking is staged", "publications by the strategy: 0"))),
        (Flaw::IgnoresTheSignal, Some(("it stops when it is cancelled", "the job ends within 5 s"))),
        (Flaw::FetchesAllAtOnce, Some(("within the limits", "artifacts being fetched at once: at most 512"))),
        (Flaw::DoesItOnce, Some(("the same operation again", "a reconstruction"))),
    ];
    for (flaw, expected) in table {
        let scheduler = VirtualScheduler::new(7);
        let report = scheduler.block_on(heal_strategy(scheduler.handle(), async |context| {
            let bench = HealWorkbench::of(&context).unwrap();
            Arc::new(Flawed { bench, flaw, done: Mutex::default() }) as Arc<dyn HealStrategy>
        }));
        let Some((check, words)) = expected else {
            report.assert_passed();
            continue;
        };
        let caught = report.failures().find(|failed| failed.name.contains(check));
        let caught = caught.unwrap_or_else(|| panic!("{flaw:?} passed `{check}`:\n{report}"));
        assert!(format!("{:?}", caught.failure).contains(words), "{flaw:?}:\n{report}");
    }
}
