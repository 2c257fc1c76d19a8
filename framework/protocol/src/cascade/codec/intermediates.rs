//! The intermediate symbols of a whole file, from which any repair symbol is a sum of a few.
//!
//! Owns the one thing that encoding must hold in memory: about 1.1 x the file. They are computed in narrow stripes but
//! kept as whole rows: a repair symbol adds up a few rows from anywhere, which is fast only if each is read in one go.

use std::num::NonZeroUsize;

use super::CodecError;
use super::packet::PacketDraft;
use super::parallel::for_each;
use super::parameters::{Parameters, SYMBOL_LEN_BYTES, SubBlock};
use super::program::Program;
use super::solver::{Combinations, Solution, solve};
use super::source::{FileSource, read_padded};
use super::stripes::{StripeOutputs, run_on_stripes};
use crate::artifact_key::ArtifactKey;

/// Rows that one worker extends at a time.
const ROWS_PER_JOB: usize = 256;

/// The intermediate symbols of a file and how they make its repair symbols.
pub(super) struct Intermediates {
    rows: Vec<Vec<u8>>,
    /// One for each repair symbol.
    combinations: Combinations,
    first_repair_esi: u32,
}

/// Intermediate symbols of which some columns are computed.
pub(super) struct IntermediatesBuilder {
    program: Program,
    hasher: blake3::Hasher,
    rows: Vec<Vec<u8>>,
}

impl IntermediatesBuilder {
    /// Solves; no columns yet.
    pub(super) fn new(parameters: &Parameters) -> Result<Self, CodecError> {
        let program = program_from_file(parameters, Program::for_intermediates)?;
        let rows = (0..program.outputs()).map(|_| Vec::with_capacity(SYMBOL_LEN_BYTES)).collect();
        Ok(Self { program, hasher: blake3::Hasher::new(), rows })
    }

    /// Adds the next columns, from the next piece of the file: `in_file` bytes and padding.
    pub(super) fn extend(&mut self, piece: &[u8], in_file: usize, columns: usize, workers: NonZeroUsize) {
        let inputs: Vec<&[u8]> = piece.chunks_exact(columns).collect();
        let stripes = run_on_stripes(&self.program, &inputs, columns, workers);
        extend_and_hash(&mut self.rows, &stripes, &mut self.hasher, &piece[..in_file], workers);
    }

    /// The intermediate symbols, and the hash of the file.
    pub(super) fn finish(self, parameters: &Parameters) -> (Intermediates, ArtifactKey) {
        let first_repair_esi = parameters.source_symbols();
        let repair_esis: Vec<u32> = (first_repair_esi..parameters.total_symbols()).collect();
        let combinations = Combinations::of(parameters, &repair_esis);
        let block_hash = ArtifactKey::from_bytes(*self.hasher.finalize().as_bytes());
        (Intermediates { rows: self.rows, combinations, first_repair_esi }, block_hash)
    }
}

impl Intermediates {
    /// Reads the file once, in order, and solves for its intermediate symbols. Also hashes it.
    pub(super) fn of_file(
        parameters: &Parameters,
        source: &(impl FileSource + ?Sized),
        workers: NonZeroUsize,
    ) -> Result<(Self, ArtifactKey), CodecError> {
        let mut builder = IntermediatesBuilder::new(parameters)?;
        let mut piece = Vec::new();
        for sub_block in parameters.sub_block_list() {
            let in_file = read_sub_block(source, parameters, &sub_block, &mut piece)?;
            builder.extend(&piece, in_file, sub_block.columns.len(), workers);
        }
        Ok(builder.finish(parameters))
    }

    /// Completes a draft if it is one of a repair symbol.
    pub(super) fn complete(&self, draft: &mut PacketDraft) {
        let Some(position) = draft.esi.checked_sub(self.first_repair_esi) else { return };
        let combination = self.combinations.at(position as usize);
        draft.append_sum(combination.iter().map(|intermediate| &self.rows[*intermediate as usize][..]));
    }
}

/// Adds the next columns to all rows and, at the same time, the next piece of the file to the hash.
fn extend_and_hash(
    rows: &mut [Vec<u8>],
    stripes: &[StripeOutputs],
    hasher: &mut blake3::Hasher,
    piece: &[u8],
    workers: NonZeroUsize,
) {
    enum Job<'a> {
        Hash(&'a mut blake3::Hasher),
        Extend { first_row: usize, rows: &'a mut [Vec<u8>] },
    }
    let mut jobs = vec![Job::Hash(hasher)];
    let chunks = rows.chunks_mut(ROWS_PER_JOB).enumerate();
    jobs.extend(chunks.map(|(number, rows)| Job::Extend { first_row: number * ROWS_PER_JOB, rows }));
    for_each(
        workers,
        &mut jobs,
        1,
        || (),
        |(), jobs| {
            for job in jobs {
                match job {
                    Job::Hash(hasher) => {
                        hasher.update(piece);
                    }
                    Job::Extend { first_row, rows } => {
                        for (row, number) in rows.iter_mut().zip(*first_row..) {
                            stripes.iter().for_each(|stripe| row.extend_from_slice(stripe.output(number)));
                        }
                    }
                }
            }
        },
    );
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
fn read_sub_block(
    source: &(impl FileSource + ?Sized),
    parameters: &Parameters,
    sub_block: &SubBlock,
    piece: &mut Vec<u8>,
) -> Result<usize, CodecError> {
    piece.resize(parameters.source_symbols() as usize * sub_block.columns.len(), 0);
    read_padded(source, parameters, sub_block.file_offset, piece)
}
