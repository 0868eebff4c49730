//! Row kernels: sums of exponentials of rows of the cost, on the fly. Serial; threads and ranks are the caller's.
//!
//! Every row sum is Σ over column tiles of [`COLUMN_TILE`] columns, each tile reduced through 8 virtual lanes in one
//! tree, the tile sums added in order in f64. So a block of columns that starts on a tile boundary continues a sum
//! with the same bits (the ring layout), and the bits depend neither on ranks nor on threads.

//!
//! Inside, everything is in base 2: z·log2(e) = h'_j + s'_i − q_ij. `math/simd` holds the vectors and the
//! exponential, `cost` the costs, `tiles` the inner loops, `engine` the passes, `stored` the stored Gibbs kernel.

// Rows and lanes are counted, over several arrays at once.
#![allow(clippy::needless_range_loop)]

mod cloud;
mod cost;
mod engine;
mod matrix;
mod points;
pub mod rounding;
mod stored;
#[cfg(test)]
mod tests;
mod tiles;

pub use crate::math::simd::{Level, exp};
use crate::math::simd::{lanes, level};
pub use cloud::Aligned;
pub use cost::ROW_BLOCK;
pub use matrix::matrix;
pub use points::{LARGEST_DIFFERENCE_DIMENSION, PointCloud, PointCost, bounding_box};
pub use stored::StoredKernel;

use std::ops::Range;

/// Columns per tile; blocks of columns that travel start at multiples of it.
pub const COLUMN_TILE: usize = 2048;

/// A partial log-sum-exp: Σ exp(z − max), with its max.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxSum {
    pub max: f64,
    pub sum: f64,
}

impl MaxSum {
    pub const EMPTY: MaxSum = MaxSum { max: f64::NEG_INFINITY, sum: 0.0 };

    /// self ⊕ other: sums brought to the larger maximum.
    pub fn merge(&mut self, other: MaxSum) {
        if other.max == f64::NEG_INFINITY {
            return;
        }
        if other.max > self.max {
            let scale = if self.max == f64::NEG_INFINITY { 0.0 } else { exp::exp(self.max - other.max) };
            *self = MaxSum { max: other.max, sum: self.sum * scale + other.sum };
        } else {
            self.sum += other.sum * exp::exp(other.max - self.max);
        }
    }

    /// max + ln sum; −∞ when empty.
    pub fn log(self) -> f64 {
        if self.max == f64::NEG_INFINITY { self.max } else { self.max + exp::ln(self.sum) }
    }
}

/// One orientation of the cost at one ε: row i (an output) against the columns this object was built with.
/// `h` has one value per column, `shift` one per row of `rows`, and so have the accumulators.
///
/// z_ij = h_j + shift_i − C_ij/ε (natural units; an implementation may work in base 2 inside).
pub trait Rows: Send + Sync {
    fn rows(&self) -> usize;
    fn cols(&self) -> usize;
    /// acc_i ← acc_i ⊕ log-sum-exp over columns of h_j − C_ij/ε. Safe for any finite or −∞ h.
    fn max_sum(&self, rows: Range<usize>, h: &[f64], acc: &mut [MaxSum]);
    /// sums_i += Σ_j exp(z_ij), with z clamped from below (the denormal trap); overflow gives +∞, never NaN.
    fn shifted_sum(&self, rows: Range<usize>, h: &[f64], shift: &[f64], sums: &mut [f64]);
    /// out[i·cols + j] = exp(z_ij), row-major over `rows` (to build a stored kernel).
    fn exponentials(&self, rows: Range<usize>, h: &[f64], shift: &[f64], out: &mut [f64]);
    /// out[i·width + k] += Σ_j exp(z_ij) v[j·width + k].
    fn weighted_sum(&self, rows: Range<usize>, h: &[f64], shift: &[f64], v: &[f64], width: usize, out: &mut [f64]);
    /// out_i += Σ_j exp(z_ij) v_j C_ij, C in its own units.
    fn weighted_cost(&self, rows: Range<usize>, h: &[f64], shift: &[f64], v: &[f64], out: &mut [f64]);
    /// out_i ← min(out_i, min_j (C_ij − g_j)), in units of the cost.
    fn min_plus(&self, rows: Range<usize>, g: &[f64], out: &mut [f64]);
    /// h as [`Rows::sweep`] reads it, made once for all rows.
    fn scale(&self, h: &[f64]) -> Scaled;
    /// One sweep (§2.0): for each row i of `rows`, S_i = Σ_j exp(z_ij) (same bits as `shifted_sum` from 0), then
    /// columns_j += close(i, S_i) · exp(z_ij), rows in order. `close` gets the index within `rows`; `columns` are
    /// [`column_sums`]. Needs all columns in this object. `scratch` is reused between calls. Where an S_i is +∞ the
    /// columns are void. In f64 no cut of the rows into calls changes bits; in f32 none at a multiple of
    /// [`ROW_BLOCK`] does.
    fn sweep(
        &self,
        rows: Range<usize>,
        h: &Scaled,
        shift: &[f64],
        close: &mut dyn FnMut(usize, f64) -> f64,
        columns: &mut Aligned<f64>,
        scratch: &mut Scratch,
    );
    /// (min, max, Σ C, Σ (C − about)²) over `rows` and the columns.
    fn cost_moments(&self, rows: Range<usize>, about: f64) -> [f64; 4];
    /// out_i += Σ_j C_ij v_j, C in its own units.
    fn cost_sum(&self, rows: Range<usize>, v: &[f64], out: &mut [f64]);
    /// The cost of one entry, plainly: C_ij.
    fn cost(&self, i: usize, j: usize) -> f64;
}

/// Sums over the columns that a sweep adds to: zeros, whole vectors on cache lines. What stands behind the columns is
/// of no meaning.
pub fn column_sums(cols: usize) -> Aligned<f64> {
    Aligned::zeros(cols.next_multiple_of(COLUMN_PADDING))
}

/// Two vectors of f32, or four of f64.
const COLUMN_PADDING: usize = 32;

/// Terms of the columns in the elements of the kernel that made them, tile by tile.
pub struct Scaled {
    h: Aligned<f64>,
    tiles: Vec<ScaledTile>,
}

struct ScaledTile {
    /// Taken off all h of the tile, and the least of what is left.
    centre: f64,
    low: f64,
}

/// Row buffers of a sweep: exponentials of [`ROW_BLOCK`] rows.
#[derive(Default)]
pub struct Scratch {
    buffer: Option<Aligned<f64>>,
}

impl Scratch {
    /// Room for `len` elements of any content, from a cache line on.
    fn elements<E: lanes::Element>(&mut self, len: usize) -> &mut [E] {
        let words = (len * size_of::<E>()).div_ceil(8);
        let held = self.buffer.take().filter(|held| held.as_slice().len() >= words);
        let buffer = self.buffer.insert(held.unwrap_or_else(|| Aligned::zeros(words)));
        &mut bytemuck::cast_slice_mut(buffer.as_mut_slice())[..len]
    }
}
