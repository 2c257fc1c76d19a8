//! Making chosen packets again, at a cost proportional to how many there are.
//!
//! A source symbol is a slice of the file and needs no arithmetic. Repair symbols are computed stripe by stripe, so that
//! the intermediate symbols of the file are never all in memory, unless so many are wanted that it pays.

use std::num::NonZeroUsize;

use super::CodecError;
use super::batch::{PACKETS_PER_BATCH, RepairSymbols, make_batch};
use super::packet::{Packet, PacketDraft};
use super::parallel::for_each;
use super::parameters::Parameters;
use super::program::Program;
use super::recovery::{Recovery, check_headers, distinct, read_sub_symbols};
use super::repair::{REPAIR_SYMBOLS_AT_ONCE_MAX, RepairMaker, none};
use super::source::{FileSource, PacketSource};
use super::stripes::run_on_stripes;

/// Makes the packets with these ESIs from the file and hands them on in ascending order, each once, in batches of at
/// most 16 MiB.
///
/// Nothing is solved if only source symbols are wanted. Up to 512 repair symbols take as much memory as they are long
/// and two sub-blocks; more of them take as much as [`super::encode`].
///
/// # Errors
///
/// [`CodecError::WrongFileLength`] if the file is not as long as the parameters say, [`CodecError::UnknownSymbol`]
/// before anything is computed; [`CodecError::Read`] and [`CodecError::Write`] pass on what the source and the sink
/// said.
pub fn regenerate(
    parameters: &Parameters,
    source: &(impl FileSource + ?Sized),
    esis: &[u32],
    workers: NonZeroUsize,
    mut sink: impl FnMut(Vec<Packet>) -> std::io::Result<()>,
) -> Result<(), CodecError> {
    let (expected_bytes, actual_bytes) = (parameters.len_bytes(), source.len_bytes());
    if expected_bytes != actual_bytes {
        return Err(CodecError::WrongFileLength { expected_bytes, actual_bytes });
    }
    let esis: Vec<u32> = distinct(parameters, esis)?.into_iter().collect();
    let first_repair = esis.partition_point(|esi| *esi < parameters.source_symbols());
    let mut repair = match &esis[first_repair..] {
        [] => none(),
        wanted => repair_symbols(parameters, source, wanted, workers)?,
    };
    for esis in esis.chunks(PACKETS_PER_BATCH) {
        sink(make_batch(parameters, source, &mut repair, esis, workers)?).map_err(CodecError::Write)?;
    }
    Ok(())
}

/// Computes repair symbols in one pass over the file.
fn repair_symbols(
    parameters: &Parameters,
    source: &(impl FileSource + ?Sized),
    esis: &[u32],
    workers: NonZeroUsize,
) -> Result<RepairSymbols, CodecError> {
    let mut maker = RepairMaker::new(parameters, esis)?;
    while let Some(range) = maker.wants() {
        let mut piece = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        source.read_at(range.start, &mut piece).map_err(CodecError::Read)?;
        maker.take(piece, workers)?;
    }
    Ok(maker.into_symbols())
}

/// Makes the packets with these ESIs from other packets, without the file, and hands them on in ascending order, each
/// once, in batches of at most 32 MiB. For a holder of symbols that repairs its neighbours' ones.
///
/// `available` lists the symbols that `packets` can give, at least [`Parameters::needed_symbols`]. Memory is used for
/// two sub-blocks and one batch. Each batch reads the packets again: whoever wants more than a batch or two does better
/// to [`super::decode`] and [`regenerate`].
///
/// # Errors
///
/// As [`super::decode`].
pub fn regenerate_from_packets(
    parameters: &Parameters,
    available: &[u32],
    packets: &(impl PacketSource + ?Sized),
    esis: &[u32],
    workers: NonZeroUsize,
    mut sink: impl FnMut(Vec<Packet>) -> std::io::Result<()>,
) -> Result<(), CodecError> {
    let esis: Vec<u32> = distinct(parameters, esis)?.into_iter().collect();
    let recovery = Recovery::plan(parameters, &distinct(parameters, available)?)?;
    check_headers(packets, recovery.inputs.iter().copied())?;
    let mut piece = Vec::new();
    for esis in esis.chunks(REPAIR_SYMBOLS_AT_ONCE_MAX) {
        let program = recovery.program_for(parameters, esis);
        let mut drafts: Vec<PacketDraft> = esis.iter().map(|esi| PacketDraft::new(*esi)).collect();
        for sub_block in parameters.sub_block_list() {
            let width = sub_block.columns.len();
            read_sub_symbols(packets, &recovery.inputs, &sub_block, &mut piece)?;
            let inputs: Vec<&[u8]> = piece.chunks_exact(width).collect();
            append_outputs(&program, &inputs, width, workers, &mut drafts);
        }
        for_each(workers, &mut drafts, 1, || (), |(), drafts| drafts.iter_mut().for_each(PacketDraft::hash));
        sink(drafts.into_iter().map(PacketDraft::finish).collect()).map_err(CodecError::Write)?;
    }
    Ok(())
}

/// Adds the columns of one sub-block to the drafts, which are the program's outputs.
pub(super) fn append_outputs(
    program: &Program,
    inputs: &[&[u8]],
    columns: usize,
    workers: NonZeroUsize,
    drafts: &mut [PacketDraft],
) {
    for stripe in run_on_stripes(program, inputs, columns, workers) {
        for (draft, columns) in drafts.iter_mut().zip(stripe.outputs()) {
            draft.append(columns);
        }
    }
}
