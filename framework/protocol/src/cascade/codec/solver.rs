//! Solving the equations of RaptorQ, without the bytes (RFC 6330 5.3.3 and 5.4.2).
//!
//! Owns the only contact with the solver of crate `raptorq`: which symbols are at hand goes in, a list of operations
//! on rows comes out. Leaves applying them to `program`.
//!
//! The solver, its matrices and its row arithmetic are exported by the crate's feature `benchmarking`; the type of a
//! recorded operation is not exported at all, so it is read back from its serde form.

use raptorq::{
    BinaryMatrix, DenseBinaryMatrix, IntermediateSymbolDecoder, Octet, SparseBinaryMatrix, SymbolSlab,
    extended_source_block_symbols, generate_constraint_matrix,
};

use super::CodecError;
use super::parameters::Parameters;

/// From this many symbols on a sparse matrix is solved faster, as the crate's own encoder decides.
const SPARSE_SOURCE_SYMBOLS_MIN: u32 = 250;

/// One step on rows of symbols, over GF(256).
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    /// `dest += src`
    Add { dest: u32, src: u32 },
    /// `dest *= scalar`
    Scale { dest: u32, scalar: u8 },
    /// `dest += src * scalar`
    AddScaled { dest: u32, src: u32, scalar: u8 },
}

/// How to compute the intermediate symbols from a set of encoding symbols.
pub(super) struct Solution {
    /// Rows that the operations work on; all start as zero except the inputs.
    pub(super) rows: usize,
    /// The row of the first input; the others follow in the order in which they were given.
    pub(super) first_input_row: usize,
    pub(super) operations: Vec<Operation>,
    /// Where each intermediate symbol ends up.
    pub(super) intermediate_rows: Vec<u32>,
}

/// The serde form of the crate's `SymbolOps`, which it doesn't export.
#[derive(serde::Deserialize)]
enum RecordedOperation {
    AddAssign {
        dest: u32,
        src: u32,
    },
    MulAssign {
        dest: u32,
        scalar: RecordedOctet,
    },
    #[serde(rename = "FMA")]
    FusedMultiplyAdd {
        dest: u32,
        src: u32,
        scalar: RecordedOctet,
    },
    Reorder {
        order: Vec<u32>,
    },
}

#[derive(serde::Deserialize)]
struct RecordedOctet {
    value: u8,
}

/// Solves for the intermediate symbols given these encoding symbols (distinct, at least K of them). `None` if they
/// are not independent.
pub(super) fn solve(parameters: &Parameters, esis: &[u32]) -> Result<Option<Solution>, CodecError> {
    if extended_symbols(parameters) < SPARSE_SOURCE_SYMBOLS_MIN {
        solve_with::<DenseBinaryMatrix>(parameters, esis)
    } else {
        solve_with::<SparseBinaryMatrix>(parameters, esis)
    }
}

fn solve_with<M: BinaryMatrix>(
    parameters: &Parameters,
    esis: &[u32],
) -> Result<Option<Solution>, CodecError> {
    let source_symbols = parameters.source_symbols();
    let padding = source_symbols..extended_symbols(parameters);
    let equations: Vec<u32> = esis.iter().map(|esi| internal_id(parameters, *esi)).chain(padding).collect();
    let (matrix, hdpc_rows) = generate_constraint_matrix::<M>(source_symbols, &equations);
    let rows = matrix.height();
    // Symbols of one byte, as their value doesn't matter.
    let symbols = SymbolSlab::with_zeros(rows, 1);
    let (_, recorded) = IntermediateSymbolDecoder::new(matrix, hdpc_rows, symbols, source_symbols).execute();
    let Some(recorded) = recorded else { return Ok(None) };
    let mut solution = Solution {
        rows,
        first_input_row: rows - equations.len(),
        operations: Vec::with_capacity(recorded.len()),
        intermediate_rows: Vec::new(),
    };
    read_operations(&recorded, &mut solution).map_err(CodecError::Solver)?;
    Ok(Some(solution))
}

/// Reads the recorded operations one at a time, so that their text form never takes much memory.
fn read_operations<O: serde::Serialize>(recorded: &[O], solution: &mut Solution) -> serde_json::Result<()> {
    let mut text = Vec::new();
    for operation in recorded {
        text.clear();
        serde_json::to_writer(&mut text, operation)?;
        solution.operations.push(match serde_json::from_slice(&text)? {
            RecordedOperation::AddAssign { dest, src } => Operation::Add { dest, src },
            RecordedOperation::MulAssign { dest, scalar } => Operation::Scale { dest, scalar: scalar.value },
            RecordedOperation::FusedMultiplyAdd { dest, src, scalar } => {
                Operation::AddScaled { dest, src, scalar: scalar.value }
            }
            RecordedOperation::Reorder { order } => {
                solution.intermediate_rows = order;
                continue;
            }
        });
    }
    Ok(())
}

/// Which intermediate symbols add up to each of some encoding symbols (RFC 6330 5.3.5.3).
pub(super) struct Combinations {
    ends: Vec<usize>,
    intermediates: Vec<u32>,
}

impl Combinations {
    /// The sums for these encoding symbols, in this order.
    ///
    /// The crate exports them only as rows of its constraint matrix, which needs at least as many equations as there
    /// are unknowns: short lists are filled up with equations that nobody reads.
    pub(super) fn of(parameters: &Parameters, esis: &[u32]) -> Self {
        let mut equations: Vec<u32> = esis.iter().map(|esi| internal_id(parameters, *esi)).collect();
        equations.resize(equations.len().max(extended_symbols(parameters) as usize), 0);
        let (matrix, _) =
            generate_constraint_matrix::<SparseBinaryMatrix>(parameters.source_symbols(), &equations);
        let first_row = matrix.height() - equations.len();
        let first_permanent = first_permanent_column(&matrix);
        let mut permanent = Vec::new();
        let mut combinations = Self { ends: Vec::with_capacity(esis.len()), intermediates: Vec::new() };
        for row in first_row..first_row + esis.len() {
            let ones =
                matrix.get_row_iter(row, 0, first_permanent).filter(|(_, value)| *value != Octet::zero());
            combinations.intermediates.extend(ones.map(|(column, _)| column as u32));
            matrix.query_non_zero_columns_into(row, first_permanent, &mut permanent);
            combinations.intermediates.extend(permanent.iter().map(|column| *column as u32));
            combinations.ends.push(combinations.intermediates.len());
        }
        combinations
    }

    /// The number of encoding symbols.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The intermediate symbols whose sum is the encoding symbol at this position.
    pub(super) fn at(&self, position: usize) -> &[u32] {
        let start = if position == 0 { 0 } else { self.ends[position - 1] };
        &self.intermediates[start..self.ends[position]]
    }
}

/// W, the first column of the permanently inactive symbols. Row 0 of the matrix has its last two ones in columns W and
/// W + 1 (`G_LDPC,2`, RFC 6330 5.3.3.3).
fn first_permanent_column(matrix: &SparseBinaryMatrix) -> usize {
    let last_one = (0..matrix.width()).rev().find(|column| matrix.get(0, *column) != Octet::zero());
    last_one.unwrap_or(1) - 1
}

/// K', the number of source symbols with the padding that RFC 6330 5.3.1 adds.
fn extended_symbols(parameters: &Parameters) -> u32 {
    extended_source_block_symbols(parameters.source_symbols())
}

/// The internal symbol id: repair symbols come after the padding (RFC 6330 5.3.1).
fn internal_id(parameters: &Parameters, esi: u32) -> u32 {
    let source_symbols = parameters.source_symbols();
    if esi < source_symbols { esi } else { esi - source_symbols + extended_symbols(parameters) }
}
