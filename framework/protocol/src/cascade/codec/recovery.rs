//! Planning a recovery: from which packets at hand to compute which symbols.
//!
//! Owns the choice of packets and telling "too few" from "not independent". Leaves reading them to the callers.

use std::collections::BTreeSet;

use super::CodecError;
use super::parameters::{Parameters, SubBlock};
use super::program::Program;
use super::solver::{Combinations, Solution, solve};
use super::source::{PacketSource, check_header, read_sub_symbol};

/// Repair symbols that the solver is given beyond the missing source symbols, if there are that many: enough that the
/// set is practically never dependent. Those that it doesn't choose are not read.
const SPARE_SYMBOLS: usize = 8;

/// The solved equations of the packets at hand.
pub(super) struct Recovery {
    solution: Solution,
    /// The inputs of the solution, in order.
    pub(super) inputs: Vec<u32>,
}

impl Recovery {
    /// Solves with the source symbols at hand and as many repair symbols as it takes.
    pub(super) fn plan(parameters: &Parameters, available: &BTreeSet<u32>) -> Result<Self, CodecError> {
        let need = parameters.needed_symbols();
        let have = available.len() as u32;
        if have < need {
            return Err(CodecError::NotEnoughSymbols { have, need });
        }
        let all: Vec<u32> = available.iter().copied().collect();
        let likely_enough = all.len().min(need as usize + SPARE_SYMBOLS);
        for count in [likely_enough, all.len()] {
            if let Some(solution) = solve(parameters, &all[..count])? {
                return Ok(Self { solution, inputs: all[..count].to_vec() });
            }
        }
        Err(CodecError::DependentSymbols { have, need })
    }

    /// The program that computes these symbols from the inputs.
    pub(super) fn program_for(&self, parameters: &Parameters, wanted: &[u32]) -> Program {
        Program::for_symbols(&self.solution, self.inputs.len(), &Combinations::of(parameters, wanted))
    }
}

/// The distinct symbols at hand, each of which the file must have.
pub(super) fn distinct(parameters: &Parameters, esis: &[u32]) -> Result<BTreeSet<u32>, CodecError> {
    for esi in esis {
        parameters.check_esi(*esi)?;
    }
    Ok(esis.iter().copied().collect())
}

/// Refuses packets whose header names another symbol than the one they are offered for.
pub(super) fn check_headers(
    packets: &(impl PacketSource + ?Sized),
    esis: impl IntoIterator<Item = u32>,
) -> Result<(), CodecError> {
    esis.into_iter().try_for_each(|esi| check_header(packets, esi))
}

/// Reads a sub-block of several symbols, one after another, into `piece`.
pub(super) fn read_sub_symbols(
    packets: &(impl PacketSource + ?Sized),
    esis: &[u32],
    sub_block: &SubBlock,
    piece: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let width = sub_block.columns.len();
    piece.resize(esis.len() * width, 0);
    esis.iter()
        .zip(piece.chunks_exact_mut(width))
        .try_for_each(|(esi, buffer)| read_sub_symbol(packets, *esi, sub_block, buffer))
}
