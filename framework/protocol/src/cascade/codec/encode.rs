//! From a file to all its packets, in batches.

use std::num::NonZeroUsize;

use super::CodecError;
use super::batch::{PACKETS_PER_BATCH, RepairSymbols, make_batch};
use super::intermediates::Intermediates;
use super::packet::Packet;
use super::parameters::Parameters;
use super::source::FileSource;
use crate::artifact_key::ArtifactKey;

/// What a layout says about an encoded file (wire 4.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFile {
    /// The geometry, whose [`Parameters::oti`] stands in the layout.
    pub parameters: Parameters,
    /// The symbol ids in the order of the packets: source symbols, then repair symbols.
    pub symbol_ids: Vec<ArtifactKey>,
    /// The hash of the block, which is the content key of the whole file.
    pub block_hash: ArtifactKey,
}

/// Makes all packets of a file and hands them on in batches of at most 16 MiB, in the order of wire 4.7: source
/// symbols, then repair symbols, without gaps.
///
/// Holds about 1.1 x the file besides the source, two sub-blocks and one batch. `sink` is called on the caller's thread
/// while the workers rest; to overlap the two, let it hand the batch to another thread.
///
/// # Errors
///
/// As [`Parameters::for_file_len`]; [`CodecError::Read`] and [`CodecError::Write`] pass on what the source and the
/// sink said.
pub fn encode(
    source: &(impl FileSource + ?Sized),
    workers: NonZeroUsize,
    mut sink: impl FnMut(Vec<Packet>) -> std::io::Result<()>,
) -> Result<EncodedFile, CodecError> {
    let parameters = Parameters::for_file_len(source.len_bytes())?;
    let (intermediates, block_hash) = Intermediates::of_file(&parameters, source, workers)?;
    let mut repair = RepairSymbols::Intermediates(intermediates);
    let mut symbol_ids = Vec::with_capacity(parameters.total_symbols() as usize);
    let esis: Vec<u32> = (0..parameters.total_symbols()).collect();
    for esis in esis.chunks(PACKETS_PER_BATCH) {
        let batch = make_batch(&parameters, source, &mut repair, esis, workers)?;
        symbol_ids.extend(batch.iter().map(Packet::id));
        sink(batch).map_err(CodecError::Write)?;
    }
    Ok(EncodedFile { parameters, symbol_ids, block_hash })
}
