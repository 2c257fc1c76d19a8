//! Repair symbols from a file that comes piece by piece, so that it is never all in memory.
//!
//! Owns the choice between two ways: few symbols are computed sub-block by sub-block; for many it pays to keep the
//! file's intermediate symbols.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::vec::IntoIter;

use super::CodecError;
use super::batch::{PACKETS_PER_BATCH, RepairSymbols, make_batch};
use super::intermediates::{IntermediatesBuilder, program_from_file};
use super::packet::{Packet, PacketDraft};
use super::parameters::{Parameters, SubBlock};
use super::program::Program;
use super::recovery::distinct;
use super::regenerate::append_outputs;
use super::solver::Combinations;

/// Up to this many repair symbols (32 MiB) are all computed before the first is handed on.
pub(super) const REPAIR_SYMBOLS_AT_ONCE_MAX: usize = 512;

/// Makes repair symbols for whoever can't let the codec read the file, since it comes from elsewhere: reads what
/// [`RepairMaker::wants`] until that is `None`, and [`RepairMaker::finish`]es.
///
/// Up to 512 symbols take as much memory as they are long and two sub-blocks, of about 10 MiB each; more of them take
/// 1.1 x the file.
///
/// ```
/// use lampkeeper_protocol::cascade::codec::{Parameters, RepairMaker};
/// use std::num::NonZeroUsize;
///
/// let file = b"a file".repeat(40_000);
/// let parameters = Parameters::for_file_len(file.len() as u64)?;
/// let mut maker = RepairMaker::new(&parameters, &[parameters.source_symbols()])?;
/// while let Some(range) = maker.wants() {
///     maker.take(file[range.start as usize..range.end as usize].to_vec(), NonZeroUsize::MIN)?;
/// }
/// let mut packets = Vec::new();
/// maker.finish(NonZeroUsize::MIN, |batch| Ok(packets.extend(batch)))?;
/// assert_eq!(packets[0].esi(), parameters.source_symbols());
/// # Ok::<(), lampkeeper_protocol::cascade::codec::CodecError>(())
/// ```
pub struct RepairMaker {
    parameters: Parameters,
    esis: Vec<u32>,
    to_come: IntoIter<SubBlock>,
    made: Made,
}

enum Made {
    Few { program: Program, drafts: Vec<PacketDraft> },
    Many(Box<IntermediatesBuilder>),
}

impl RepairMaker {
    /// Begins to make the repair symbols among these; source symbols are left out, since they are slices of the file.
    ///
    /// # Errors
    ///
    /// [`CodecError::UnknownSymbol`].
    pub fn new(parameters: &Parameters, esis: &[u32]) -> Result<Self, CodecError> {
        let esis: Vec<u32> =
            distinct(parameters, esis)?.range(parameters.source_symbols()..).copied().collect();
        let made = if esis.len() <= REPAIR_SYMBOLS_AT_ONCE_MAX {
            let wanted = Combinations::of(parameters, &esis);
            let program = program_from_file(parameters, |solution, inputs| {
                Program::for_symbols(&solution, inputs, &wanted)
            })?;
            Made::Few { program, drafts: esis.iter().map(|esi| PacketDraft::new(*esi)).collect() }
        } else {
            Made::Many(Box::new(IntermediatesBuilder::new(parameters)?))
        };
        Ok(Self { parameters: *parameters, esis, to_come: parameters.sub_block_list().into_iter(), made })
    }

    /// The piece of the file that has to come next; `None` when all is done.
    #[must_use]
    pub fn wants(&self) -> Option<Range<u64>> {
        let sub_block = self.to_come.as_slice().first().filter(|_| !self.esis.is_empty())?;
        let end = sub_block.file_offset + self.padded_len(sub_block) as u64;
        let len_bytes = self.parameters.len_bytes();
        Some(sub_block.file_offset.min(len_bytes)..end.min(len_bytes))
    }

    /// Length of a sub-block, padding included.
    fn padded_len(&self, sub_block: &SubBlock) -> usize {
        self.parameters.source_symbols() as usize * sub_block.columns.len()
    }

    /// Takes the piece that [`RepairMaker::wants`].
    ///
    /// # Errors
    ///
    /// [`CodecError::Read`] if it is another length; nothing has changed then.
    pub fn take(&mut self, mut piece: Vec<u8>, workers: NonZeroUsize) -> Result<(), CodecError> {
        let wanted = self.wants().unwrap_or(0..0);
        let in_file = piece.len();
        if in_file as u64 != wanted.end - wanted.start {
            return Err(CodecError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        let Some(sub_block) = self.to_come.next() else { return Ok(()) };
        let width = sub_block.columns.len();
        piece.resize(self.padded_len(&sub_block), 0);
        match &mut self.made {
            Made::Few { program, drafts } => {
                let inputs: Vec<&[u8]> = piece.chunks_exact(width).collect();
                append_outputs(program, &inputs, width, workers, drafts);
            }
            Made::Many(builder) => builder.extend(&piece, in_file, width, workers),
        }
        Ok(())
    }

    /// What has been made, once nothing is wanted any more.
    pub(super) fn into_symbols(self) -> RepairSymbols {
        match self.made {
            Made::Few { drafts, .. } => {
                RepairSymbols::Drafts(drafts.into_iter().map(|draft| (draft.esi, draft)).collect())
            }
            Made::Many(builder) => RepairSymbols::Intermediates(builder.finish(&self.parameters).0),
        }
    }

    /// Hands the packets on in ascending order, each once, in batches of at most 16 MiB.
    ///
    /// # Errors
    ///
    /// [`CodecError::Read`] if a piece has not come; [`CodecError::Write`] passes on what the sink said.
    pub fn finish(
        self,
        workers: NonZeroUsize,
        mut sink: impl FnMut(Vec<Packet>) -> io::Result<()>,
    ) -> Result<(), CodecError> {
        if self.wants().is_some() {
            return Err(CodecError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        let (parameters, esis) = (self.parameters, self.esis.clone());
        let mut symbols = self.into_symbols();
        let no_file: &[u8] = &[];
        for esis in esis.chunks(PACKETS_PER_BATCH) {
            sink(make_batch(&parameters, no_file, &mut symbols, esis, workers)?)
                .map_err(CodecError::Write)?;
        }
        Ok(())
    }
}

/// No repair symbols at all.
pub(super) const fn none() -> RepairSymbols {
    RepairSymbols::Drafts(BTreeMap::new())
}
