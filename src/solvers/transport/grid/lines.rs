//! Who computes which lines of an axis pass.

use std::ops::Range;

use super::axis::LINES_PER_PANEL;
use crate::crew::each_chunk;
use crate::error::Result;

/// Shares out the lines of a pass. `compute(range, out)` fills `range.len() × width` values, one line after the other;
/// its bits do not depend on how lines are grouped, and multiples of [`LINES_PER_PANEL`] waste no lanes. On return
/// `out` (lines × width) is whole, on every rank.
pub trait Lines {
    fn run(
        &self,
        lines: usize,
        width: usize,
        compute: &(dyn Fn(Range<usize>, &mut [f64]) + Sync),
        out: &mut [f64],
    ) -> Result<()>;
}

/// One thread, one rank.
#[derive(Debug, Clone, Copy, Default)]
pub struct Serial;

impl Lines for Serial {
    fn run(
        &self,
        lines: usize,
        _width: usize,
        compute: &(dyn Fn(Range<usize>, &mut [f64]) + Sync),
        out: &mut [f64],
    ) -> Result<()> {
        compute(0..lines, out);
        Ok(())
    }
}

/// The threads of the current rayon pool, one rank.
#[derive(Debug, Clone, Copy, Default)]
pub struct Threads;

impl Threads {
    /// `lines` of a larger set, their values in `out`: the part of one rank.
    pub fn compute(
        lines: Range<usize>,
        width: usize,
        compute: &(dyn Fn(Range<usize>, &mut [f64]) + Sync),
        out: &mut [f64],
    ) {
        // A few pieces per thread, for balance.
        let panels = lines.len().div_ceil(LINES_PER_PANEL);
        let piece = panels.div_ceil(4 * rayon::current_num_threads()).max(1) * LINES_PER_PANEL;
        if piece >= lines.len() || rayon::current_num_threads() == 1 {
            compute(lines, out);
        } else {
            each_chunk(out, piece * width, |p, out| {
                let first = lines.start + p * piece;
                compute(first..lines.end.min(first + piece), out);
            });
        }
    }
}

impl Lines for Threads {
    fn run(
        &self,
        lines: usize,
        width: usize,
        compute: &(dyn Fn(Range<usize>, &mut [f64]) + Sync),
        out: &mut [f64],
    ) -> Result<()> {
        Threads::compute(0..lines, width, compute, out);
        Ok(())
    }
}
