//! Between coefficients and grid values, over all ranks.
//!
//! Coefficients are normalised as û_k = (1/M) Σ u(x_j) e^{−ik·(x_j − low)} (M points), so Σ|û|² is the mean of |u|².

pub mod blocks;
mod butterflies;
mod distributed;
mod fft;
#[cfg(feature = "fftw")]
mod fftw;
pub mod layout;
mod lines;
mod long;
mod memory;
mod passes;
mod reference;
mod scratch;
mod single;
mod strided;
mod tables;
mod together;
mod vector;

pub use distributed::{Distributed, Settings};
pub use fft::library;
pub use layout::{Direction, Network, ProcessGrid, Traffic, cost, pencil_limit, process_grid, seconds, traffic};
pub use memory::zeros;
pub use reference::Reference;
pub use vector::{Level, prefetch};

use std::ops::Range;

use num_complex::Complex;

use super::domain::{Block, Domain, Tile};
use crate::math::real::Real;
use crate::team::Team;

/// Makes grid values of products from grid values of fields, at one tile.
pub type Pointwise<'a, T> = dyn Fn(&Tile, &[&[T]], &mut [&mut [T]]) + Sync + 'a;

/// Takes the coefficients of the products at one tile, whose places in an array of this rank are the range, and leaves in
/// the first of their slices what goes to the grid next, if anything does. The last slices are work space of a tile.
pub type Then<'a, T> = dyn Fn(&Tile, Range<usize>, &mut [&mut [Complex<T>]], &mut [&mut [Complex<T>]]) + Sync + 'a;

/// What a [`Transform::through_then`] takes to the grid.
#[derive(Clone, Copy)]
pub enum Inputs<'a, T> {
    Coefficients(&'a [&'a [Complex<T>]]),
    /// So many arrays that the last call left; nothing else was asked of the transform since.
    Left(usize),
}

/// How many arrays a [`Then`] has to do with.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Products.
    pub outputs: usize,
    /// What it leaves.
    pub next: usize,
    /// Work space.
    pub work: usize,
}

/// A distributed transform of a domain; buffers are its own, made once.
pub trait Transform<T: Real>: Send {
    fn domain(&self) -> &Domain;
    /// The coefficients of this rank.
    fn modes(&self) -> Block;
    /// The grid points of this rank.
    fn points(&self) -> Block;
    /// Coefficients to grid values, field by field; collective.
    fn backward(&mut self, team: &dyn Team, coefficients: &[&[Complex<T>]], values: &mut [&mut [T]]);
    /// Grid values to coefficients, field by field; collective.
    fn forward(&mut self, team: &dyn Team, values: &[&[T]], coefficients: &mut [&mut [Complex<T>]]);
    /// `backward` of the inputs, `pointwise` on the grid, `forward` to the outputs, fused; collective.
    fn through(
        &mut self,
        team: &dyn Team,
        inputs: &[&[Complex<T>]],
        pointwise: &Pointwise<T>,
        outputs: &mut [&mut [Complex<T>]],
    );
    /// Whether [`Transform::through_then`] can be called, with so many outputs and arrays that it leaves.
    fn takes_at_once(&self, _outputs: usize, _next: usize) -> bool {
        false
    }
    /// `through`, whose outputs `then` takes tile by tile, every mode once; collective.
    fn through_then(
        &mut self,
        _team: &dyn Team,
        _inputs: Inputs<T>,
        _pointwise: &Pointwise<T>,
        _counts: Counts,
        _then: &Then<T>,
    ) {
        unreachable!("outputs are not taken at once");
    }
}

/// Wavenumbers or coordinates of a block, to cut tiles from.
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    block: Block,
    values: [Vec<f64>; 3],
}

impl Scales {
    pub fn wavenumbers(domain: &Domain, block: Block) -> Scales {
        Scales::new(block, |a, i| domain.axes[a].wavenumber(i))
    }

    pub fn coordinates(domain: &Domain, block: Block) -> Scales {
        Scales::new(block, |a, i| domain.axes[a].coordinate(i))
    }

    fn new(block: Block, value: impl Fn(usize, usize) -> f64) -> Scales {
        let values = std::array::from_fn(|a| (0..block.count[a]).map(|i| value(a, block.start[a] + i)).collect());
        Scales { block, values }
    }

    pub fn block(&self) -> Block {
        self.block
    }

    /// The tile of `rows` of local plane `plane`.
    pub fn tile(&self, plane: usize, rows: Range<usize>) -> Tile<'_> {
        self.part(plane, rows, 0..self.block.count[2])
    }

    /// The tile of `columns` of `rows` of local plane `plane`.
    pub fn part(&self, plane: usize, rows: Range<usize>, columns: Range<usize>) -> Tile<'_> {
        let first = [plane, rows.start, columns.start];
        let start = std::array::from_fn(|a| self.block.start[a] + first[a]);
        Tile { plane: self.values[0][plane], rows: &self.values[1][rows], columns: &self.values[2][columns], start }
    }

    /// Rows of a tile: as many as make about `values` values.
    fn rows_per_tile(&self, values: usize) -> usize {
        (values / self.block.count[2].max(1)).clamp(1, self.block.count[1].max(1))
    }

    /// Number of tiles of about `values` values that the block is cut into.
    pub fn tile_count(&self, values: usize) -> usize {
        if self.block.is_empty() {
            0
        } else {
            self.block.count[0] * self.block.count[1].div_ceil(self.rows_per_tile(values))
        }
    }

    /// Tile `index` of [`Scales::tile_count`], and the range of its values in an array of the block.
    pub fn nth_tile(&self, index: usize, values: usize) -> (Tile<'_>, Range<usize>) {
        let [_, rows, columns] = self.block.count;
        let each = self.rows_per_tile(values);
        let per_plane = rows.div_ceil(each);
        let (plane, row) = (index / per_plane, index % per_plane * each);
        let end = rows.min(row + each);
        let first = (plane * rows + row) * columns;
        (self.tile(plane, row..end), first..first + (end - row) * columns)
    }

    /// All tiles of the block, each with the range of its values in an array of the block.
    pub fn tiles(&self, values: usize) -> impl Iterator<Item = (Tile<'_>, Range<usize>)> {
        (0..self.tile_count(values)).map(move |i| self.nth_tile(i, values))
    }
}

#[cfg(test)]
mod tests;
