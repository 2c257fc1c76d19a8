//! From what is left in the network to the file.
//!
//! Owns the order of work: source symbols are slices of the file and go straight to their place; only where some are
//! gone are repair symbols gathered and equations solved. Where the file is put is the caller's [`FileTarget`].

use super::TicketDocuments;
use super::collect::{FETCHES_IN_FLIGHT_MAX, Packets, fetch_symbols, gather};
use super::documents::with_sources;
use super::file_target::{FileTarget, TARGET_IO_LEN_BYTES_MAX, TargetError, hash_file};
use super::handoff::Handoff;
use super::windows::{runs, write_run};
use crate::api::network::{ArtifactNetwork, NetworkError};
use crate::api::scheduler::{Scheduler, TaskFailure, blocking};
use crate::protocol::cascade::codec::{
    self, CodecError, PACKET_HEADER_LEN_BYTES, PACKET_LEN_BYTES, PacketSource, Parameters, SYMBOL_LEN_BYTES,
};
use futures::future::join;
use futures::{StreamExt as _, stream};
use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// What getting a file back took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconstructed {
    /// Symbols fetched.
    pub fetched_count: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Source symbols that were gone and had to be computed.
    pub recovered_count: u64,
    /// Time spent computing them, in milliseconds.
    pub compute_ms: u64,
}

impl Reconstructed {
    /// Whether equations had to be solved.
    #[must_use]
    pub const fn decoded(&self) -> bool {
        self.recovered_count > 0
    }

    fn count(&mut self, packets: &Packets) {
        self.fetched_count += packets.len() as u64;
        self.fetched_bytes += packets.values().map(|packet| packet.len() as u64).sum::<u64>();
    }
}

/// Why a file could not be got back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconstructError {
    /// Too few symbols are left in the network.
    #[error("only {have} of the {need} symbols needed can be fetched at present")]
    Lost {
        /// Distinct symbols that could be fetched.
        have: u64,
        /// Symbols needed.
        need: u64,
    },
    /// What came out is not the file that the chain knows: its creator signed the layout of another one.
    #[error("the reconstructed file hashes to {actual}, not to the ticket's data hash")]
    WrongFile {
        /// Base64 of the BLAKE3 of what came out.
        actual: String,
    },
    /// The network could not be used.
    #[error("fetching symbols: {0}")]
    Network(#[source] NetworkError),
    /// The place of the file failed.
    #[error("writing the reconstructed file: {0}")]
    Target(#[source] TargetError),
    /// The computation did not end by itself.
    #[error("recovering symbols: {0}")]
    Work(#[source] TaskFailure),
    /// The erasure code refused.
    #[error("recovering symbols: {reason}")]
    Codec {
        /// What it said.
        reason: String,
    },
}

impl ReconstructError {
    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Work(_) => true,
            Self::Network(error) => error.is_transient(),
            Self::Target(error) => error.is_transient(),
            Self::WrongFile { .. } | Self::Codec { .. } => false,
        }
    }
}

/// Gets files back.
#[derive(Clone)]
pub struct Reconstructor {
    network: Arc<dyn ArtifactNetwork>,
    scheduler: Arc<dyn Scheduler>,
}

/// As many threads as blocking work may use.
pub(super) fn workers(scheduler: &dyn Scheduler) -> NonZeroUsize {
    NonZeroUsize::new(scheduler.parallelism()).unwrap_or(NonZeroUsize::MIN)
}

impl Reconstructor {
    /// Works through these seams.
    #[must_use]
    pub fn new(network: Arc<dyn ArtifactNetwork>, scheduler: Arc<dyn Scheduler>) -> Self {
        Self { network, scheduler }
    }

    /// Writes the ticket's file to `target`, which must be empty, and checks its hash by reading it back.
    ///
    /// `unlikely` names symbols that are believed gone: they are asked for last. Memory stays constant unless a source
    /// symbol is gone; then the file is held once, and as many repair symbols as source symbols are gone.
    ///
    /// # Errors
    /// See [`ReconstructError`]; what was written so far stays in `target`.
    pub async fn reconstruct(
        &self,
        documents: &TicketDocuments,
        unlikely: &BTreeSet<u32>,
        target: &dyn FileTarget,
    ) -> Result<Reconstructed, ReconstructError> {
        let mut made = Reconstructed::default();
        let gone = self.copy_source_symbols(documents, unlikely, target, &mut made).await?;
        if !gone.is_empty() {
            made.recovered_count = gone.len() as u64;
            self.recover(documents, unlikely, gone, target, &mut made).await?;
        }
        let hasher =
            hash_file(target, documents.parameters().len_bytes()).await.map_err(ReconstructError::Target)?;
        match hasher.data_hash() {
            actual if actual == documents.data_hash() => Ok(made),
            actual => Err(ReconstructError::WrongFile { actual }),
        }
    }

    /// Writes the source symbols that can be fetched; those that can't are returned.
    async fn copy_source_symbols(
        &self,
        documents: &TicketDocuments,
        unlikely: &BTreeSet<u32>,
        target: &dyn FileTarget,
        made: &mut Reconstructed,
    ) -> Result<BTreeSet<u32>, ReconstructError> {
        let parameters = documents.parameters();
        let likely: Vec<u32> =
            (0..parameters.source_symbols()).filter(|esi| !unlikely.contains(esi)).collect();
        let mut gone: BTreeSet<u32> = (0..parameters.source_symbols()).collect();
        let fetches: Vec<_> =
            runs(&likely).map(|run| fetch_symbols(&*self.network, documents, run)).collect();
        let mut fetches = stream::iter(fetches).buffered(FETCHES_IN_FLIGHT_MAX);
        while let Some(packets) = fetches.next().await {
            let packets = packets.map_err(ReconstructError::Network)?;
            made.count(&packets);
            let (esis, packets): (Vec<u32>, Vec<Vec<u8>>) = packets.into_iter().unzip();
            let mut packets = &packets[..];
            for run in runs(&esis) {
                let (of_run, others) = packets.split_at(run.len());
                write_run(target, parameters, run[0], of_run).await.map_err(ReconstructError::Target)?;
                packets = others;
            }
            gone.retain(|esi| esis.binary_search(esi).is_err());
        }
        Ok(gone)
    }

    /// Computes the source symbols that are gone from as many others.
    async fn recover(
        &self,
        documents: &TicketDocuments,
        unlikely: &BTreeSet<u32>,
        gone: BTreeSet<u32>,
        target: &dyn FileTarget,
        made: &mut Reconstructed,
    ) -> Result<(), ReconstructError> {
        let parameters = *documents.parameters();
        let need = u64::from(parameters.needed_symbols());
        let present: Vec<u32> = (0..parameters.source_symbols()).filter(|esi| !gone.contains(esi)).collect();
        let repair = parameters.source_symbols()..parameters.total_symbols();
        let (last, first): (Vec<u32>, Vec<u32>) = repair.partition(|esi| unlikely.contains(esi));
        // Source symbols that were asked for and not given are not asked for again.
        let not_asked = gone.iter().copied().filter(|esi| unlikely.contains(esi));
        let mut candidates: Vec<u32> = first.into_iter().chain(not_asked).chain(last).collect();
        let mut packets = Packets::new();
        let mut missing = gone.len();
        let mut file = None;
        loop {
            let found = gather(&*self.network, &*self.scheduler, documents, &candidates, missing)
                .await
                .map_err(ReconstructError::Network)?;
            made.count(&found);
            let exhausted = found.len() < missing;
            packets.extend(found);
            let have = (present.len() + packets.len()) as u64;
            if exhausted {
                return Err(ReconstructError::Lost { have, need });
            }
            candidates.retain(|esi| !packets.contains_key(esi));
            let part = match file.take() {
                Some(file) => file,
                None => Arc::new(
                    read_sparse(target, parameters.len_bytes()).await.map_err(ReconstructError::Target)?,
                ),
            };
            let at_hand = AtHand { layout: SubBlocks::of(&parameters), file: Arc::clone(&part), packets };
            let (returned, outcome) = self.decode(&parameters, &present, at_hand, target, made).await?;
            match outcome {
                Ok(()) => return Ok(()),
                // About one set in a hundred does not suffice; one more symbol mostly helps.
                Err(error) if error.needs_more_symbols() => {
                    (packets, file, missing) = (returned, Some(part), 1);
                }
                Err(error) => return Err(ReconstructError::Codec { reason: with_sources(&error) }),
            }
        }
    }

    /// Decodes on another thread while the pieces are written here. Hands the packets back.
    async fn decode(
        &self,
        parameters: &Parameters,
        present: &[u32],
        at_hand: AtHand,
        target: &dyn FileTarget,
        made: &mut Reconstructed,
    ) -> Result<(Packets, Result<(), CodecError>), ReconstructError> {
        let (parameters, workers) = (*parameters, workers(&*self.scheduler));
        let available: Vec<u32> = present.iter().copied().chain(at_hand.packets.keys().copied()).collect();
        let (sender, pieces) = Handoff::new(1);
        let begun = self.scheduler.now();
        let work = blocking(&*self.scheduler, "decode", move || {
            let sink = |piece: &[u8]| sender.send(piece.to_vec()).map_err(io::Error::from);
            let outcome = codec::decode(&parameters, &available, &at_hand, workers, sink).map(drop);
            (at_hand.packets, outcome)
        });
        let write = async move {
            let mut offset = 0;
            while let Some(piece) = pieces.next().await {
                for part in piece.chunks(TARGET_IO_LEN_BYTES_MAX) {
                    target.write_at(offset, part.to_vec()).await?;
                    offset += part.len() as u64;
                }
            }
            Ok(())
        };
        let (written, decoded) = join(write, work).await;
        made.compute_ms += u64::try_from(self.scheduler.now().since(begun).as_millis()).unwrap_or(u64::MAX);
        written.map_err(ReconstructError::Target)?;
        decoded.map_err(ReconstructError::Work)
    }
}

/// The file as far as it was written; zeros elsewhere.
async fn read_sparse(target: &dyn FileTarget, len_bytes: u64) -> Result<Vec<u8>, TargetError> {
    let mut file = vec![0; usize::try_from(len_bytes).unwrap_or(0)];
    let mut offset = 0;
    while offset < file.len() {
        let part = target.read_at(offset as u64, TARGET_IO_LEN_BYTES_MAX.min(file.len() - offset)).await?;
        if part.is_empty() {
            break;
        }
        let end = (offset + part.len()).min(file.len());
        file[offset..end].copy_from_slice(&part[..end - offset]);
        offset = end;
    }
    Ok(file)
}

/// Packets to decode from: source symbols are read from the file, the others are in memory.
struct AtHand {
    layout: SubBlocks,
    file: Arc<Vec<u8>>,
    packets: Packets,
}

impl PacketSource for AtHand {
    fn read_at(&self, esi: u32, offset: usize, buffer: &mut [u8]) -> io::Result<()> {
        if self.packets.contains_key(&esi) {
            return PacketSource::read_at(&self.packets, esi, offset, buffer);
        }
        if offset.saturating_add(buffer.len()) > PACKET_LEN_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.layout.read(&self.file, esi, offset, buffer);
        Ok(())
    }
}

/// Where the columns of source symbols are in the file: first column and file offset of each sub-block.
struct SubBlocks {
    blocks: Vec<(usize, usize)>,
}

impl SubBlocks {
    fn of(parameters: &Parameters) -> Self {
        let mut column = 0;
        let place = |range: std::ops::Range<u64>| {
            let start = column;
            column += (range.end - range.start) as usize;
            (start, range.start as usize)
        };
        Self { blocks: parameters.file_ranges(0).into_iter().map(place).collect() }
    }

    /// Fills the buffer with a part of a packet; what is beyond the file is padding.
    fn read(&self, file: &[u8], esi: u32, offset: usize, buffer: &mut [u8]) {
        buffer.fill(0);
        let (from, to) = (offset, offset + buffer.len());
        for (at, byte) in esi.to_be_bytes().into_iter().enumerate().skip(from).take(buffer.len()) {
            buffer[at - from] = byte;
        }
        let ends = self.blocks.iter().skip(1).map(|(column, _)| *column).chain([SYMBOL_LEN_BYTES]);
        for ((column, file_offset), end) in self.blocks.iter().zip(ends) {
            let first = (column + PACKET_HEADER_LEN_BYTES).max(from);
            let last = (end + PACKET_HEADER_LEN_BYTES).min(to);
            if first >= last {
                continue;
            }
            let start =
                file_offset + esi as usize * (end - column) + (first - PACKET_HEADER_LEN_BYTES - column);
            let available = &file[start.min(file.len())..(start + last - first).min(file.len())];
            buffer[first - from..first - from + available.len()].copy_from_slice(available);
        }
    }
}
