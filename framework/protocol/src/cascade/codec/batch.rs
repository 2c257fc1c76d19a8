//! Making the packets of one batch from a file: source symbols are slices of it, repair symbols come from elsewhere.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::CodecError;
use super::intermediates::Intermediates;
use super::packet::{Packet, PacketDraft};
use super::parallel::for_each;
use super::parameters::Parameters;
use super::source::{FileSource, read_padded};

/// Packets that are handed on together: 16 MiB.
pub(super) const PACKETS_PER_BATCH: usize = 256;
/// Packets that one worker makes at a time: few enough to occupy all workers to the end of a batch.
const PACKETS_PER_JOB: usize = 8;

/// Where the repair symbols of a batch come from.
pub(super) enum RepairSymbols {
    /// Any of them, computed now.
    Intermediates(Intermediates),
    /// Some of them, computed before.
    Drafts(BTreeMap<u32, PacketDraft>),
}

/// Makes packets with these ESIs, which the caller has checked, in this order.
pub(super) fn make_batch(
    parameters: &Parameters,
    source: &(impl FileSource + ?Sized),
    repair: &mut RepairSymbols,
    esis: &[u32],
    workers: NonZeroUsize,
) -> Result<Vec<Packet>, CodecError> {
    let mut drafts: Vec<PacketDraft> = match repair {
        RepairSymbols::Intermediates(_) => esis.iter().map(|esi| PacketDraft::new(*esi)).collect(),
        RepairSymbols::Drafts(ready) => {
            esis.iter().map(|esi| ready.remove(esi).unwrap_or_else(|| PacketDraft::new(*esi))).collect()
        }
    };
    let is_source = |draft: &PacketDraft| draft.esi < parameters.source_symbols();
    let runs = drafts.chunk_by_mut(|a, b| is_source(a) && is_source(b) && a.esi + 1 == b.esi);
    for run in runs.filter(|run| is_source(&run[0])) {
        slice_file(parameters, source, run)?;
    }
    for_each(
        workers,
        &mut drafts,
        PACKETS_PER_JOB,
        || (),
        |(), drafts| {
            for draft in drafts {
                if let RepairSymbols::Intermediates(intermediates) = &*repair {
                    intermediates.complete(draft);
                }
                draft.hash();
            }
        },
    );
    Ok(drafts.into_iter().map(PacketDraft::finish).collect())
}

/// Completes drafts of consecutive source symbols: in each sub-block their bytes are consecutive too.
fn slice_file(
    parameters: &Parameters,
    source: &(impl FileSource + ?Sized),
    run: &mut [PacketDraft],
) -> Result<(), CodecError> {
    let mut piece = Vec::new();
    for sub_block in parameters.sub_block_list() {
        let width = sub_block.columns.len();
        piece.resize(run.len() * width, 0);
        let offset = sub_block.file_offset + u64::from(run[0].esi) * width as u64;
        read_padded(source, parameters, offset, &mut piece)?;
        for (draft, columns) in run.iter_mut().zip(piece.chunks_exact(width)) {
            draft.append(columns);
        }
    }
    Ok(())
}
