//! What the methods need of the ranks: blocks of paths shared out in order, sums over blocks in one tree, resampling.

use std::ops::Range;

use super::chain::LANES;
use crate::math::draws::Draws;

/// Values per path of this rank's blocks: [block][value][LANES].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Blocks {
    /// Values per path.
    pub values: usize,
    pub data: Vec<f64>,
}

impl Blocks {
    pub fn zeros(blocks: usize, values: usize) -> Blocks {
        Blocks { values, data: vec![0.0; blocks * values * LANES] }
    }

    pub fn len(&self) -> usize {
        self.data.len() / (self.values * LANES).max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn block(&self, b: usize) -> &[f64] {
        &self.data[b * self.values * LANES..(b + 1) * self.values * LANES]
    }

    pub fn block_mut(&mut self, b: usize) -> &mut [f64] {
        &mut self.data[b * self.values * LANES..(b + 1) * self.values * LANES]
    }

    /// Where value `v` of path `path` (numbered on this rank) lies.
    pub fn place(&self, path: usize, v: usize) -> usize {
        (path / LANES) * self.values * LANES + v * LANES + path % LANES
    }
}

/// Paths of all ranks, as blocks; every call but `mine` is collective.
pub trait Collectives {
    /// The blocks of this rank, of `total`.
    fn mine(&self, total: usize) -> Range<usize>;
    /// Σ over the blocks 0..total of the vectors of `length` that `term` adds to zeros, for the blocks of this rank
    /// (numbered globally); the same bits on any number of ranks and threads.
    fn sum(&self, total: usize, length: usize, term: &(dyn Fn(usize, &mut [f64]) + Sync)) -> Vec<f64>;
    fn max(&self, mine: f64) -> f64;
    fn any(&self, mine: bool) -> bool;
    /// The numbers of all ranks, one after the other.
    fn gather(&self, mine: &[f64]) -> Vec<f64>;
    /// Systematic resampling of the paths with weights exp(log_weights): survivors stay in their slots, copies fill the
    /// slots of the dead; the first `used` values of each path move. `decision`: an address, and a number at it.
    fn resample(&self, total: usize, log_weights: &[f64], decision: (Draws, u64), used: usize, population: &mut Blocks);
    /// Draws `slots.len()` paths, at most as many as there are, with the same weights into rows [value] of the ranks that own them: slot s is row
    /// `slots.start + s` of an array of `rows` rows shared out in order. `out` holds this rank's rows.
    #[allow(clippy::too_many_arguments)]
    fn draw(
        &self,
        total: usize,
        log_weights: &[f64],
        decision: (Draws, u64),
        population: &Blocks,
        slots: Range<usize>,
        rows: usize,
        out: &mut [f64],
    );
    /// The rows of this rank, of `rows`.
    fn rows(&self, rows: usize) -> Range<usize>;
}
