//! From packets back to the file.
//!
//! Owns the order of work: source symbols at hand are copied, and only the missing ones are computed.

use std::num::NonZeroUsize;

use super::CodecError;
use super::parameters::{Parameters, SubBlock};
use super::program::Program;
use super::recovery::{Recovery, check_headers, distinct, read_sub_symbols};
use super::source::{PacketSource, read_sub_symbol};
use super::stripes::run_on_stripes;
use crate::artifact_key::ArtifactKey;

/// Recovers a file from the packets at hand and hands it on in order, in pieces of at most about 10 MiB. Returns the
/// content key of the file, for the caller to compare with the layout's block hash and the ticket's data hash.
///
/// `available` lists the symbols that `packets` can give, in any order; some may be left unread. Any
/// [`Parameters::needed_symbols`] of them practically suffice. Besides what the packets take, memory for two or three
/// sub-blocks is used.
///
/// # Errors
///
/// [`CodecError::NotEnoughSymbols`] and [`CodecError::DependentSymbols`] before anything is read or handed on: the file
/// is lost unless more symbols turn up. [`CodecError::UnknownSymbol`] and [`CodecError::CorruptPacket`] if a packet
/// offered is not of this file. [`CodecError::Read`] and [`CodecError::Write`] pass on what the packets and the sink
/// said.
pub fn decode(
    parameters: &Parameters,
    available: &[u32],
    packets: &(impl PacketSource + ?Sized),
    workers: NonZeroUsize,
    mut sink: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<ArtifactKey, CodecError> {
    let plan = DecodePlan::new(parameters, available)?;
    check_headers(packets, plan.present.iter().chain(&plan.repair).copied())?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = Vec::new();
    let mut repair = Vec::new();
    for sub_block in parameters.sub_block_list() {
        plan.recover(packets, &sub_block, workers, &mut piece, &mut repair)?;
        let rest = parameters.len_bytes().saturating_sub(sub_block.file_offset);
        piece.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
        hasher.update(&piece);
        sink(&piece).map_err(CodecError::Write)?;
    }
    Ok(ArtifactKey::from_bytes(*hasher.finalize().as_bytes()))
}

/// What to read and what to compute, the same for every sub-block.
struct DecodePlan {
    source_symbols: usize,
    /// Source symbols at hand.
    present: Vec<u32>,
    /// Source symbols to compute.
    missing: Vec<u32>,
    /// Repair symbols to compute them from.
    repair: Vec<u32>,
    /// `None` if nothing is missing.
    recovery: Option<(Recovery, Program)>,
}

impl DecodePlan {
    fn new(parameters: &Parameters, available: &[u32]) -> Result<Self, CodecError> {
        let available = distinct(parameters, available)?;
        let source_symbols = parameters.source_symbols();
        let (present, missing): (Vec<u32>, Vec<u32>) =
            (0..source_symbols).partition(|esi| available.contains(esi));
        let mut plan = Self {
            source_symbols: source_symbols as usize,
            present,
            missing,
            repair: Vec::new(),
            recovery: None,
        };
        if !plan.missing.is_empty() {
            let recovery = Recovery::plan(parameters, &available)?;
            let program = recovery.program_for(parameters, &plan.missing);
            let needed = (0..).zip(&recovery.inputs).filter(|(input, _)| program.needs_input(*input));
            plan.repair = needed.map(|(_, esi)| *esi).filter(|esi| *esi >= source_symbols).collect();
            plan.recovery = Some((recovery, program));
        }
        Ok(plan)
    }

    /// Fills `piece` with the bytes of the sub-block; `repair` is scratch space.
    fn recover(
        &self,
        packets: &(impl PacketSource + ?Sized),
        sub_block: &SubBlock,
        workers: NonZeroUsize,
        piece: &mut Vec<u8>,
        repair: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let width = sub_block.columns.len();
        let place = |esi: u32| esi as usize * width..(esi as usize + 1) * width;
        piece.resize(self.source_symbols * width, 0);
        for esi in &self.present {
            read_sub_symbol(packets, *esi, sub_block, &mut piece[place(*esi)])?;
        }
        let Some((recovery, program)) = &self.recovery else { return Ok(()) };
        read_sub_symbols(packets, &self.repair, sub_block, repair)?;
        let mut repair_rows = self.repair.iter().zip(repair.chunks_exact(width)).peekable();
        let row_of = |esi: &u32| {
            if (*esi as usize) < self.source_symbols {
                return &piece[place(*esi)];
            }
            // The inputs are in ascending order, as the repair symbols are; those that aren't needed have no row.
            repair_rows.next_if(|(read, _)| *read == esi).map_or(&[][..], |(_, row)| row)
        };
        let inputs: Vec<&[u8]> = recovery.inputs.iter().map(row_of).collect();
        for stripe in run_on_stripes(program, &inputs, width, workers) {
            for (esi, columns) in self.missing.iter().zip(stripe.outputs()) {
                piece[place(*esi)][stripe.columns.clone()].copy_from_slice(columns);
            }
        }
        Ok(())
    }
}
