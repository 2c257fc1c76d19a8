//! From the file back to its symbols: chosen ones, or all of them.
//!
//! Every symbol is checked against the signed layout before it is handed on.

use super::TicketDocuments;
use super::documents::with_sources;
use super::file_target::{FileTarget, TargetError, read_range};
use super::handoff::{Handoff, HandoffSender};
use super::reconstruct::workers;
use super::windows::{read_run, runs};
use crate::api::network::Artifact;
use crate::api::scheduler::{Scheduler, TaskFailure, blocking};
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::cascade::codec::{self, CodecError, Packet, RepairMaker};
use async_trait::async_trait;
use futures::future::join;
use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Takes symbols as they are made. Called by one task, one batch at a time, each of at most 16 MiB.
#[async_trait]
pub trait PacketSink: Send {
    /// Takes a batch; each artifact's bytes hash to its key, which the ticket's layout names.
    async fn accept(&mut self, symbols: Vec<Artifact>) -> Result<(), TargetError>;
}

/// Why symbols could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegenerateError {
    /// The symbol has another key than the layout says: its creator signed the layout of another file.
    #[error("symbol {esi} comes out as {actual}, which is not its key in the layout")]
    KeyMismatch {
        /// The symbol.
        esi: u32,
        /// The key of what came out.
        actual: ArtifactKey,
    },
    /// The file could not be read, or the symbols not be put where they belong.
    #[error("regenerating symbols: {0}")]
    Target(#[source] TargetError),
    /// The computation did not end by itself.
    #[error("regenerating symbols: {0}")]
    Work(#[source] TaskFailure),
    /// The erasure code refused.
    #[error("regenerating symbols: {reason}")]
    Codec {
        /// What it said.
        reason: String,
    },
}

impl RegenerateError {
    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Target(error) => error.is_transient(),
            Self::Work(_) => true,
            Self::KeyMismatch { .. } | Self::Codec { .. } => false,
        }
    }
}

/// Makes chosen source symbols, which are slices of the file. Nothing is computed, and 4 MiB are held.
///
/// # Errors
/// See [`RegenerateError`].
pub async fn regenerate_source_symbols(
    documents: &TicketDocuments,
    file: &dyn FileTarget,
    esis: &BTreeSet<u32>,
    sink: &mut dyn PacketSink,
) -> Result<(), RegenerateError> {
    let parameters = documents.parameters();
    let esis: Vec<u32> = esis.range(..parameters.source_symbols()).copied().collect();
    for run in runs(&esis) {
        let packets = read_run(file, parameters, run[0], run.len()).await.map_err(RegenerateError::Target)?;
        let symbols = run
            .iter()
            .zip(packets)
            .map(|(esi, bytes)| checked(documents, *esi, ArtifactKey::of(&bytes), bytes));
        let symbols = symbols.collect::<Result<Vec<_>, _>>()?;
        sink.accept(symbols).await.map_err(RegenerateError::Target)?;
    }
    Ok(())
}

/// Makes chosen repair symbols from the file, which is read once, 10 MiB at a time. Up to 512 symbols are held as well;
/// where more are wanted, 1.1 x the file.
///
/// # Errors
/// See [`RegenerateError`].
pub async fn regenerate_repair_symbols(
    documents: &TicketDocuments,
    scheduler: &dyn Scheduler,
    file: &dyn FileTarget,
    esis: &BTreeSet<u32>,
    sink: &mut dyn PacketSink,
) -> Result<(), RegenerateError> {
    let parameters = *documents.parameters();
    let esis: Vec<u32> = esis.range(parameters.source_symbols()..).copied().collect();
    if esis.is_empty() {
        return Ok(());
    }
    let workers = workers(scheduler);
    let mut maker =
        compute(scheduler, "regenerate-plan", move || RepairMaker::new(&parameters, &esis)).await?;
    while let Some(range) = maker.wants() {
        let piece = read_range(file, range).await.map_err(RegenerateError::Target)?;
        let take = move || maker.take(piece, workers).map(|()| maker);
        maker = compute(scheduler, "regenerate-piece", take).await?;
    }
    make(documents, scheduler, sink, move |workers, sender| {
        maker.finish(workers, |batch| sender.send(batch).map_err(io::Error::from))
    })
    .await
}

/// Computes on another thread.
async fn compute<T: Send + 'static>(
    scheduler: &dyn Scheduler,
    name: &str,
    work: impl FnOnce() -> Result<T, CodecError> + Send + 'static,
) -> Result<T, RegenerateError> {
    let computed = blocking(scheduler, name, work).await.map_err(RegenerateError::Work)?;
    computed.map_err(|error| RegenerateError::Codec { reason: with_sources(&error) })
}

/// Makes all symbols from the file, as its creator did.
///
/// # Errors
/// See [`RegenerateError`].
pub async fn encode_symbols(
    documents: &TicketDocuments,
    scheduler: &dyn Scheduler,
    file: Arc<Vec<u8>>,
    sink: &mut dyn PacketSink,
) -> Result<(), RegenerateError> {
    make(documents, scheduler, sink, move |workers, sender| {
        let hand_on = |batch| sender.send(batch).map_err(io::Error::from);
        codec::encode(&file[..], workers, hand_on).map(drop)
    })
    .await
}

/// Runs the computation on another thread while its batches are taken here.
async fn make(
    documents: &TicketDocuments,
    scheduler: &dyn Scheduler,
    sink: &mut dyn PacketSink,
    compute: impl FnOnce(NonZeroUsize, &HandoffSender<Vec<Packet>>) -> Result<(), CodecError> + Send + 'static,
) -> Result<(), RegenerateError> {
    let workers = workers(scheduler);
    let (sender, batches) = Handoff::new(1);
    let work = blocking(scheduler, "regenerate", move || compute(workers, &sender));
    let hand_on = async move {
        while let Some(batch) = batches.next().await {
            let symbols = batch
                .into_iter()
                .map(|packet: Packet| checked(documents, packet.esi(), packet.id(), packet.into_bytes()));
            let symbols = symbols.collect::<Result<Vec<_>, _>>()?;
            sink.accept(symbols).await.map_err(RegenerateError::Target)?;
        }
        Ok(())
    };
    let (handed_on, computed) = join(hand_on, work).await;
    handed_on?;
    let computed = computed.map_err(RegenerateError::Work)?;
    computed.map_err(|error| RegenerateError::Codec { reason: with_sources(&error) })
}

fn checked(
    documents: &TicketDocuments,
    esi: u32,
    key: ArtifactKey,
    bytes: Vec<u8>,
) -> Result<Artifact, RegenerateError> {
    if documents.symbol_keys().get(esi as usize) == Some(&key) {
        Ok(Artifact { key, bytes })
    } else {
        Err(RegenerateError::KeyMismatch { esi, actual: key })
    }
}
