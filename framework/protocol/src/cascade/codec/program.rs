//! A list of row operations that turns symbols at hand into wanted symbols, the same for every column.
//!
//! Owns choosing the cheaper of two ways, and leaving out what no wanted symbol depends on. Leaves where the bytes are
//! to `stripes`.

use raptorq::{Octet, SymbolSlab};

use super::solver::{Combinations, Operation, Solution};

/// How many plain additions a multiply-and-add costs (measured in cache on x86-64 with AVX-512).
const ADD_SCALED_COST: usize = 2;

/// Operations on a slab of rows; some rows are filled before, some read afterwards.
pub(super) struct Program {
    rows: usize,
    /// The row that each input is put into; `None` if nothing depends on that input.
    input_rows: Vec<Option<u32>>,
    /// Rows that must be zero at the start.
    zero_rows: Vec<u32>,
    operations: Vec<Operation>,
    /// The row that holds each output at the end.
    output_rows: Vec<u32>,
}

impl Program {
    /// Computes all intermediate symbols from the inputs of the solution.
    pub(super) fn for_intermediates(solution: Solution, inputs: usize) -> Self {
        let is_input = |row: &u32| {
            (solution.first_input_row..solution.first_input_row + inputs).contains(&(*row as usize))
        };
        Self {
            rows: solution.rows,
            input_rows: (0..inputs).map(|input| Some((solution.first_input_row + input) as u32)).collect(),
            zero_rows: (0..solution.rows as u32).filter(|row| !is_input(row)).collect(),
            operations: solution.operations,
            output_rows: solution.intermediate_rows,
        }
    }

    /// Computes some encoding symbols from the inputs of the solution, in the cheaper way: through the intermediate
    /// symbols, or, if only a few symbols are wanted, as a weighted sum of the inputs for each.
    pub(super) fn for_symbols(solution: &Solution, inputs: usize, wanted: &Combinations) -> Self {
        let elimination = Self::eliminating(solution, inputs, wanted);
        if elimination.operations.len() <= ADD_SCALED_COST * inputs * wanted.len() {
            return elimination;
        }
        elimination.summed_directly()
    }

    /// The solution's operations as far as the wanted symbols depend on them, then the sums of intermediate symbols.
    fn eliminating(solution: &Solution, inputs: usize, wanted: &Combinations) -> Self {
        let mut numbers = RowNumbers::new(solution.rows);
        let mut sums = Vec::new();
        for position in 0..wanted.len() {
            for intermediate in wanted.at(position) {
                sums.push((
                    position as u32,
                    numbers.give(solution.intermediate_rows[*intermediate as usize]),
                ));
            }
        }
        let mut operations = needed_operations(&solution.operations, &mut numbers);
        let first_output = numbers.given;
        operations.extend(
            sums.into_iter().map(|(position, src)| Operation::Add { dest: first_output + position, src }),
        );

        let input_rows = numbers.of_rows[solution.first_input_row..][..inputs].to_vec();
        let rows = first_output as usize + wanted.len();
        Self {
            rows,
            zero_rows: rows_without(rows, &input_rows),
            input_rows,
            operations,
            output_rows: (first_output..rows as u32).collect(),
        }
    }

    /// The same outputs, each as one weighted sum of the inputs.
    ///
    /// The weights come from the transposed program: run backwards with sources and destinations exchanged, it carries
    /// each output's weight from its own row back to the inputs.
    fn summed_directly(&self) -> Self {
        let outputs = self.output_rows.len();
        let mut weights = SymbolSlab::with_zeros(self.rows, outputs);
        for (output, row) in self.output_rows.iter().enumerate() {
            weights.get_mut(*row as usize)[output] = 1;
        }
        for operation in self.operations.iter().rev() {
            apply(&transposed(operation), &mut weights);
        }
        let inputs = self.input_rows.len() as u32;
        let mut operations = Vec::with_capacity(self.input_rows.len() * outputs);
        for (src, row) in (0..).zip(&self.input_rows) {
            let Some(row) = row else { continue };
            let sums = (inputs..).zip(weights.get(*row as usize)).filter_map(|(dest, weight)| match weight {
                0 => None,
                1 => Some(Operation::Add { dest, src }),
                scalar => Some(Operation::AddScaled { dest, src, scalar: *scalar }),
            });
            operations.extend(sums);
        }
        let input_rows: Vec<_> = (0..).zip(&self.input_rows).map(|(input, row)| row.map(|_| input)).collect();
        let rows = self.input_rows.len() + outputs;
        Self {
            rows,
            zero_rows: rows_without(rows, &input_rows),
            input_rows,
            operations,
            output_rows: (inputs..inputs + outputs as u32).collect(),
        }
    }

    /// Number of rows of the slab that [`Program::run`] works on.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of outputs.
    pub(super) fn outputs(&self) -> usize {
        self.output_rows.len()
    }

    /// Whether anything depends on that input.
    pub(super) fn needs_input(&self, input: usize) -> bool {
        self.input_rows[input].is_some()
    }

    /// Fills the slab, whatever it held, and computes. `input` gives the bytes of an input, as wide as the slab's rows.
    pub(super) fn run<'a>(&self, slab: &mut SymbolSlab, input: impl Fn(usize) -> &'a [u8]) {
        for row in &self.zero_rows {
            slab.get_mut(*row as usize).fill(0);
        }
        for (number, row) in self.input_rows.iter().enumerate() {
            if let Some(row) = row {
                slab.get_mut(*row as usize).copy_from_slice(input(number));
            }
        }
        for operation in &self.operations {
            apply(operation, slab);
        }
    }

    /// An output after [`Program::run`].
    pub(super) fn output<'a>(&self, slab: &'a SymbolSlab, output: usize) -> &'a [u8] {
        slab.get(self.output_rows[output] as usize)
    }
}

/// New numbers for the rows that matter, given in the order in which they turn up.
struct RowNumbers {
    of_rows: Vec<Option<u32>>,
    given: u32,
}

impl RowNumbers {
    fn new(rows: usize) -> Self {
        Self { of_rows: vec![None; rows], given: 0 }
    }

    fn has(&self, row: u32) -> bool {
        self.of_rows[row as usize].is_some()
    }

    fn give(&mut self, row: u32) -> u32 {
        *self.of_rows[row as usize].get_or_insert_with(|| {
            self.given += 1;
            self.given - 1
        })
    }
}

/// The operations on the rows numbered so far and on those that these depend on, in terms of the new numbers. A row is
/// never overwritten, only added to and scaled, so one that matters at the end does so from the start.
fn needed_operations(all: &[Operation], numbers: &mut RowNumbers) -> Vec<Operation> {
    let mut needed = Vec::with_capacity(all.len());
    for operation in all.iter().rev() {
        match *operation {
            Operation::Add { dest, src } if numbers.has(dest) => {
                needed.push(Operation::Add { dest: numbers.give(dest), src: numbers.give(src) });
            }
            Operation::Scale { dest, scalar } if numbers.has(dest) => {
                needed.push(Operation::Scale { dest: numbers.give(dest), scalar });
            }
            Operation::AddScaled { dest, src, scalar } if numbers.has(dest) => {
                needed.push(Operation::AddScaled {
                    dest: numbers.give(dest),
                    src: numbers.give(src),
                    scalar,
                });
            }
            Operation::Add { .. } | Operation::Scale { .. } | Operation::AddScaled { .. } => {}
        }
    }
    needed.reverse();
    needed
}

/// The operation that moves weights from what it produced to what it read.
fn transposed(operation: &Operation) -> Operation {
    match *operation {
        Operation::Add { dest, src } => Operation::Add { dest: src, src: dest },
        Operation::Scale { dest, scalar } => Operation::Scale { dest, scalar },
        Operation::AddScaled { dest, src, scalar } => Operation::AddScaled { dest: src, src: dest, scalar },
    }
}

fn apply(operation: &Operation, slab: &mut SymbolSlab) {
    match *operation {
        Operation::Add { dest, src } => slab.add_assign(dest as usize, src as usize),
        Operation::Scale { dest, scalar } => slab.mulassign_scalar(dest as usize, &Octet::new(scalar)),
        Operation::AddScaled { dest, src, scalar } => {
            slab.fma(dest as usize, src as usize, &Octet::new(scalar));
        }
    }
}

/// The rows below `rows` that no input is put into.
fn rows_without(rows: usize, input_rows: &[Option<u32>]) -> Vec<u32> {
    let mut is_input = vec![false; rows];
    for row in input_rows.iter().flatten() {
        is_input[*row as usize] = true;
    }
    (0..rows as u32).filter(|row| !is_input[*row as usize]).collect()
}
