//! What every heal strategy does alike: load the documents, get the file back into the staging area, stage artifacts,
//! seal, and tell what it cost. Which artifacts to stage is the strategy's decision.

use super::documents::with_sources;
use super::{
    DocumentsCache, DocumentsError, PacketSink, ReconstructError, Reconstructed, Reconstructor,
    RegenerateError, StagedFile, TargetError, TicketDocuments,
};
use crate::api::Account;
use crate::api::cancel::Cancel;
use crate::api::chain::ChainReader;
use crate::api::heal::{HealCost, HealError, HealJob, Reconstruction};
use crate::api::network::{Artifact, ArtifactNetwork, NetworkError};
use crate::api::plugin::{PluginContext, PluginError};
use crate::api::scheduler::{Scheduler, blocking};
use crate::api::staging::{StagedArtifact, Staging, StagingManifest};
use crate::api::store::StoreError;
use crate::api::telemetry::{Event, Telemetry};
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::cascade::codec::PACKET_LEN_BYTES;
use async_trait::async_trait;
use futures::future::{Either, select};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

/// Artifacts that are written to the staging area at once.
const STAGING_WRITES_AT_ONCE: usize = 8;
/// Id files that are made at once; one of a large file has several MiB.
const ID_FILES_PER_BATCH: usize = 4;

/// The seams that a heal strategy works through.
#[derive(Clone)]
pub struct HealWorkbench {
    /// The chain.
    pub chain: Arc<dyn ChainReader>,
    /// The replicas.
    pub network: Arc<dyn ArtifactNetwork>,
    /// Where the result goes.
    pub staging: Arc<dyn Staging>,
    /// Time and threads.
    pub scheduler: Arc<dyn Scheduler>,
    /// Who is told what happens.
    pub telemetry: Arc<dyn Telemetry>,
    documents: DocumentsCache,
}

impl HealWorkbench {
    /// The seams of a plugin that needs `ChainRead`, `Network`, `Staging` and `Scheduler`.
    ///
    /// # Errors
    /// One of them was not declared as needed.
    pub fn of(context: &PluginContext) -> Result<Self, PluginError> {
        Ok(Self {
            chain: context.chain_reader()?,
            network: context.network()?,
            staging: context.staging()?,
            scheduler: context.scheduler()?,
            telemetry: Arc::clone(&context.telemetry),
            documents: DocumentsCache::new(),
        })
    }

    /// The checked documents of the job's ticket.
    ///
    /// # Errors
    /// They are missing, malformed or not signed by the creator.
    pub async fn documents(&self, job: &HealJob) -> Result<Arc<TicketDocuments>, HealError> {
        let loaded = self.documents.load(&*self.chain, &*self.network, &job.ticket).await;
        loaded.map_err(|error| documents_error(job, &error))
    }

    /// Begins the staging directory and gets the file back into it, its hash checked. See
    /// [`Reconstructor::reconstruct`].
    ///
    /// # Errors
    /// Too few symbols are left, or a seam failed.
    pub async fn reconstruct_file(
        &self,
        job: &HealJob,
        documents: &TicketDocuments,
        unlikely: &BTreeSet<u32>,
    ) -> Result<(StagedFile, Reconstructed), HealError> {
        let heal_op_id = job.heal_op.heal_op_id;
        self.staging
            .begin(heal_op_id)
            .await
            .map_err(|error| staging_error("beginning a reconstruction", &error))?;
        let file = StagedFile::new(Arc::clone(&self.staging), heal_op_id);
        let reconstructor = Reconstructor::new(Arc::clone(&self.network), Arc::clone(&self.scheduler));
        let made = reconstructor.reconstruct(documents, unlikely, &file).await;
        match made {
            Ok(made) => Ok((file, made)),
            Err(error) => Err(reconstruct_error(job, &error)),
        }
    }

    /// Takes artifacts for the job's staging directory. `missing_on` says who lacked which; artifacts that are not named
    /// go to their whole replica set.
    #[must_use]
    pub fn stager(&self, job: &HealJob, missing_on: BTreeMap<ArtifactKey, Vec<Account>>) -> Stager {
        Stager {
            staging: Arc::clone(&self.staging),
            heal_op_id: job.heal_op.heal_op_id,
            missing_on,
            staged: Vec::new(),
            symbol_count: 0,
        }
    }

    /// Makes the chosen id files anew and stages them, a few at a time.
    ///
    /// # Errors
    /// They can't be made, or the staging area failed.
    pub async fn stage_id_files(
        &self,
        job: &HealJob,
        documents: &Arc<TicketDocuments>,
        kinds: &[super::ArtifactKind],
        stager: &mut Stager,
    ) -> Result<(), HealError> {
        for batch in kinds.chunks(ID_FILES_PER_BATCH) {
            let (documents, batch) = (Arc::clone(documents), batch.to_vec());
            let files = blocking(&*self.scheduler, "make id files", move || documents.id_files(&batch)).await;
            let files = files.map_err(|failure| retry("making id files", failure.to_string()))?;
            let files = files.map_err(|error| documents_error(job, &error))?;
            let files = files.into_iter().map(|(key, bytes)| Artifact { key, bytes }).collect();
            stager.stage(files).await.map_err(|error| target_error(&error))?;
        }
        Ok(())
    }

    /// Seals the directory and tells what it took (event `heal.reconstructed`).
    ///
    /// # Errors
    /// The staging area failed; nothing is sealed then.
    pub async fn seal(
        &self,
        job: &HealJob,
        documents: &TicketDocuments,
        stager: Stager,
        strategy: &str,
        cost: HealCost,
    ) -> Result<Reconstruction, HealError> {
        let (staged_count, staged_bytes) = (stager.staged.len() as u64, stager.staged_bytes());
        let cost = HealCost { staged_bytes, regenerated_count: stager.symbol_count, ..cost };
        let manifest = StagingManifest {
            heal_op_id: job.heal_op.heal_op_id,
            ticket_id: job.ticket.ticket_id.clone(),
            manifest_hash: documents.data_hash().to_owned(),
            file_len_bytes: documents.parameters().len_bytes(),
            artifacts: stager.staged,
            strategy: strategy.to_owned(),
        };
        self.staging
            .seal(&manifest)
            .await
            .map_err(|error| staging_error("sealing a reconstruction", &error))?;
        self.telemetry.event(
            Event::new("heal.reconstructed")
                .with("heal_op_id", job.heal_op.heal_op_id)
                .with("ticket_id", &job.ticket.ticket_id)
                .with("strategy", strategy)
                .with("fetched_count", cost.fetched_count)
                .with("fetched_bytes", cost.fetched_bytes)
                .with("decoded", cost.decoded)
                .with("regenerated_count", cost.regenerated_count)
                .with("staged_count", staged_count)
                .with("staged_bytes", cost.staged_bytes)
                .with("compute_ms", cost.compute_ms)
                .with("file_bytes", manifest.file_len_bytes),
        );
        Ok(Reconstruction { manifest_hash: manifest.manifest_hash, cost })
    }

    /// Milliseconds since `begun`, for [`HealCost::compute_ms`].
    #[must_use]
    pub fn elapsed_ms(&self, begun: crate::api::scheduler::Moment) -> u64 {
        u64::try_from(self.scheduler.now().since(begun).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Runs the work until it ends or is no longer wanted.
///
/// # Errors
/// [`HealError::Cancelled`], or what the work says.
pub async fn unless_cancelled<T>(
    cancel: &Cancel,
    work: impl Future<Output = Result<T, HealError>> + Send,
) -> Result<T, HealError> {
    match select(cancel.cancelled(), pin!(work)).await {
        Either::Left(_) => Err(HealError::Cancelled),
        Either::Right((outcome, _)) => outcome,
    }
}

/// Puts artifacts into a staging directory and remembers which.
pub struct Stager {
    staging: Arc<dyn Staging>,
    heal_op_id: u64,
    missing_on: BTreeMap<ArtifactKey, Vec<Account>>,
    staged: Vec<StagedArtifact>,
    symbol_count: u64,
}

impl Stager {
    /// Stages artifacts, several at once.
    ///
    /// # Errors
    /// The staging area failed.
    pub async fn stage(&mut self, artifacts: Vec<Artifact>) -> Result<(), TargetError> {
        for artifact in &artifacts {
            self.staged.push(StagedArtifact {
                key: artifact.key,
                len_bytes: artifact.bytes.len() as u64,
                missing_on: self.missing_on.remove(&artifact.key).unwrap_or_default(),
            });
        }
        let (staging, heal_op_id) = (&self.staging, self.heal_op_id);
        let put = |artifact: Artifact| async move {
            staging.put_artifact(heal_op_id, &artifact.key, artifact.bytes).await
        };
        stream::iter(artifacts)
            .map(put)
            .buffer_unordered(STAGING_WRITES_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    fn staged_bytes(&self) -> u64 {
        self.staged.iter().map(|artifact| artifact.len_bytes).sum()
    }
}

#[async_trait]
impl PacketSink for Stager {
    async fn accept(&mut self, symbols: Vec<Artifact>) -> Result<(), TargetError> {
        debug_assert!(symbols.iter().all(|symbol| symbol.bytes.len() == PACKET_LEN_BYTES), "only symbols");
        self.symbol_count += symbols.len() as u64;
        self.stage(symbols).await
    }
}

fn retry(attempted: &str, reason: String) -> HealError {
    HealError::Retry { attempted: attempted.to_owned(), reason }
}

fn staging_error(attempted: &str, error: &StoreError) -> HealError {
    retry(attempted, error.to_string())
}

/// The network could not be used for what was attempted.
#[must_use]
pub fn network_error(attempted: &str, error: &NetworkError) -> HealError {
    retry(attempted, error.to_string())
}

/// The staging area failed.
#[must_use]
pub fn target_error(error: &TargetError) -> HealError {
    retry("staging", error.to_string())
}

fn invalid(job: &HealJob, error: &dyn std::error::Error) -> HealError {
    HealError::InvalidTicket { ticket_id: job.ticket.ticket_id.clone(), reason: with_sources(error) }
}

fn documents_error(job: &HealJob, error: &DocumentsError) -> HealError {
    if error.is_transient() {
        retry("loading a ticket's documents", error.to_string())
    } else {
        invalid(job, error)
    }
}

fn reconstruct_error(job: &HealJob, error: &ReconstructError) -> HealError {
    let ticket_id = || job.ticket.ticket_id.clone();
    match error {
        ReconstructError::Lost { have, need } => {
            HealError::Lost { ticket_id: ticket_id(), have: *have, need: *need }
        }
        ReconstructError::WrongFile { .. } => HealError::WrongFile { ticket_id: ticket_id() },
        // The creator signed a layout whose symbols are not those of any file.
        ReconstructError::Codec { .. } => invalid(job, error),
        ReconstructError::Network(_) | ReconstructError::Target(_) | ReconstructError::Work(_) => {
            retry("reconstructing a file", error.to_string())
        }
    }
}

/// Symbols could not be made anew.
#[must_use]
pub fn regenerate_error(job: &HealJob, error: &RegenerateError) -> HealError {
    match error {
        RegenerateError::KeyMismatch { .. } | RegenerateError::Codec { .. } => invalid(job, error),
        RegenerateError::Target(_) | RegenerateError::Work(_) => {
            retry("regenerating symbols", error.to_string())
        }
    }
}
