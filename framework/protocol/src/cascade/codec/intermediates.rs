//! The intermediate symbols of a whole file, from which any repair symbol is a sum of a few.
//!
//! Owns the one thing that encoding must hold in memory: about 1.1 x the file. Kept as the stripes in which they were
//! computed.

use std::num::NonZeroUsize;
use std::ops::Range;

use raptorq::SymbolSlab;

use super::CodecError;
use super::packet::PacketDraft;
use super::parallel::for_each;
use super::parameters::{Parameters, SubBlock};
use super::program::Program;
use super::solver::{Combinations, Solution, solve};
use super::source::{FileSource, read_padded};
use super::stripes::stripes_of;
use crate::artifact_key::ArtifactKey;

/// The intermediate symbols of a file and how they make its repair symbols.
pub(super) struct Intermediates {
    program: Program,
    /// In the order of their columns.
    stripes: Vec<SymbolSlab>,
    /// One for each repair symbol.
    combinations: Combinations,
    first_repair_esi: u32,
}

/// What can be done at the same time once a sub-block has been read.
enum Job<'a> {
    Hash(&'a mut blake3::Hasher),
    Solve { columns: Range<usize>, slab: Option<SymbolSlab> },
}

impl Intermediates {
    /// Reads the file once, in order, and solves for its intermediate symbols. Also hashes it.
    pub(super) fn of_file(
        parameters: &Parameters,
        source: &(impl FileSource + ?Sized),
        workers: NonZeroUsize,
    ) -> Result<(Self, ArtifactKey), CodecError> {
        let program = program_from_file(parameters, Program::for_intermediates)?;
        let mut hasher = blake3::Hasher::new();
        let mut stripes = Vec::new();
        let mut piece = Vec::new();
        for sub_block in parameters.sub_block_list() {
            let in_file = read_sub_block(source, parameters, &sub_block, &mut piece)?;
            let width = sub_block.columns.len();
            let mut jobs = vec![Job::Hash(&mut hasher)];
            let columns = stripes_of(program.rows(), width, workers);
            jobs.extend(columns.into_iter().map(|columns| Job::Solve { columns, slab: None }));
            for_each(
                workers,
                &mut jobs,
                1,
                || (),
                |(), jobs| {
                    for job in jobs {
                        match job {
                            Job::Hash(hasher) => {
                                hasher.update(&piece[..in_file]);
                            }
                            Job::Solve { columns, slab } => {
                                let mut stripe = SymbolSlab::with_zeros(program.rows(), columns.len());
                                program.run(&mut stripe, |input| &piece[input * width..][columns.clone()]);
                                *slab = Some(stripe);
                            }
                        }
                    }
                },
            );
            stripes.extend(jobs.into_iter().filter_map(|job| match job {
                Job::Hash(_) => None,
                Job::Solve { slab, .. } => slab,
            }));
        }
        let first_repair_esi = parameters.source_symbols();
        let repair_esis: Vec<u32> = (first_repair_esi..parameters.total_symbols()).collect();
        let combinations = Combinations::of(parameters, &repair_esis);
        let block_hash = ArtifactKey::from_bytes(*hasher.finalize().as_bytes());
        Ok((Self { program, stripes, combinations, first_repair_esi }, block_hash))
    }

    /// Completes the repair symbols among the drafts. Going through the stripes once for several drafts reuses what the cache
    /// holds of a stripe.
    pub(super) fn complete(&self, drafts: &mut [PacketDraft]) {
        for stripe in &self.stripes {
            for draft in drafts.iter_mut() {
                let Some(position) = draft.esi.checked_sub(self.first_repair_esi) else { continue };
                let combination = self.combinations.at(position as usize);
                let row = |intermediate: &u32| self.program.output(stripe, *intermediate as usize);
                draft.append_sum(combination.iter().map(row));
            }
        }
    }
}

/// Solves for a file whose source symbols are all at hand, which always succeeds: they are independent by construction
/// (RFC 6330 5.3.3.4.2).
pub(super) fn program_from_file(
    parameters: &Parameters,
    make: impl FnOnce(Solution, usize) -> Program,
) -> Result<Program, CodecError> {
    let esis: Vec<u32> = (0..parameters.source_symbols()).collect();
    match solve(parameters, &esis)? {
        Some(solution) => Ok(make(solution, esis.len())),
        None => {
            let need = parameters.needed_symbols();
            Err(CodecError::DependentSymbols { have: need, need })
        }
    }
}

/// Reads the piece of the file that is a sub-block into `piece`, one sub-symbol after another, zero-padded. Returns
/// how much of it is in the file.
pub(super) fn read_sub_block(
    source: &(impl FileSource + ?Sized),
    parameters: &Parameters,
    sub_block: &SubBlock,
    piece: &mut Vec<u8>,
) -> Result<usize, CodecError> {
    piece.resize(parameters.source_symbols() as usize * sub_block.columns.len(), 0);
    read_padded(source, parameters, sub_block.file_offset, piece)
}
