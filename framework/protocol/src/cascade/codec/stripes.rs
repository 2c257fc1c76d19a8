//! Running a program on the columns of one sub-block, stripe by stripe, on several threads.
//!
//! Owns how wide a stripe is: narrow enough that all its rows stay in a core's second-level cache while the program
//! goes through them again and again, which is what makes it faster than working on whole symbols.

use std::num::NonZeroUsize;
use std::ops::Range;

use raptorq::SymbolSlab;

use super::parallel::for_each;
use super::program::Program;

/// How much memory the rows of one stripe should take: they are all in use, so they should fit a core's cache.
const STRIPE_BYTES: usize = 2 * 1024 * 1024;
/// Below this width the cost of an operation itself outweighs the bytes it works on.
const STRIPE_WIDTH_BYTES_MIN: usize = 256;
/// Widths are multiples of a cache line, so that rows start at the same place in one.
const STRIPE_WIDTH_STEP_BYTES: usize = 64;

/// The outputs of a program for one stripe.
pub(super) struct StripeOutputs {
    /// The columns, counted from the start of the sub-block.
    pub(super) columns: Range<usize>,
    /// The outputs one after the other, each as long as there are columns.
    bytes: Vec<u8>,
}

impl StripeOutputs {
    /// Each output's bytes in these columns, in order.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.columns.len())
    }

    /// One output's bytes in these columns.
    pub(super) fn output(&self, output: usize) -> &[u8] {
        &self.bytes[output * self.columns.len()..][..self.columns.len()]
    }
}

/// Cuts the columns of a sub-block into stripes for a program of that many rows, as many for each worker.
fn stripes_of(rows: usize, columns: usize, workers: NonZeroUsize) -> Vec<Range<usize>> {
    let fitting = (STRIPE_BYTES / rows.max(1)).max(STRIPE_WIDTH_BYTES_MIN);
    let count = columns.div_ceil(fitting).next_multiple_of(workers.get());
    let width = columns.div_ceil(count).next_multiple_of(STRIPE_WIDTH_STEP_BYTES);
    (0..columns).step_by(width).map(|start| start..(start + width).min(columns)).collect()
}

/// Runs the program on all columns and returns its outputs, stripes in order. The inputs are as wide as the sub-block.
pub(super) fn run_on_stripes(
    program: &Program,
    inputs: &[&[u8]],
    columns: usize,
    workers: NonZeroUsize,
) -> Vec<StripeOutputs> {
    let stripes = stripes_of(program.rows(), columns, workers);
    let mut stripes: Vec<_> =
        stripes.into_iter().map(|columns| StripeOutputs { columns, bytes: Vec::new() }).collect();
    let no_slab = || SymbolSlab::with_zeros(0, 1);
    for_each(workers, &mut stripes, 1, no_slab, |slab, job| {
        for stripe in job {
            let columns = stripe.columns.clone();
            if slab.symbol_size() != columns.len() {
                *slab = SymbolSlab::with_zeros(program.rows(), columns.len());
            }
            program.run(slab, |input| &inputs[input][columns.clone()]);
            stripe.bytes.reserve_exact(program.outputs() * columns.len());
            for output in 0..program.outputs() {
                stripe.bytes.extend_from_slice(program.output(slab, output));
            }
        }
    });
    stripes
}
