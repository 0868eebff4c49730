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
    /// One sweep (§2.0): for each row i of `rows`, S_i = Σ_j exp(z_ij) (same bits as `shifted_sum` from 0), then
    /// columns_j += close(i, S_i) · exp(z_ij), rows in order. `close` gets the index within `rows`.
    /// Needs all columns in this object. `scratch` is reused between calls. Where an S_i is +∞ the columns are void.
    /// In f64 no cut of the rows into calls changes bits; in f32 none at a multiple of [`ROW_BLOCK`] does.
    fn sweep(
        &self,
        rows: Range<usize>,
        h: &[f64],
        shift: &[f64],
        close: &mut dyn FnMut(usize, f64) -> f64,
        columns: &mut [f64],
        scratch: &mut Scratch,
    );
    /// (min, max, Σ, Σ²) of C over `rows` and the columns.
    fn cost_moments(&self, rows: Range<usize>) -> [f64; 4];
    /// out_i += Σ_j C_ij v_j, C in its own units.
    fn cost_sum(&self, rows: Range<usize>, v: &[f64], out: &mut [f64]);
    /// The cost of one entry, plainly: C_ij.
    fn cost(&self, i: usize, j: usize) -> f64;
}

impl Scratch {
    /// `wide` f64 (a multiple of 8) and `len` elements, both starting on a cache line, of any content.
    fn aligned<E: lanes::Element>(&mut self, wide: usize, len: usize) -> (&mut [f64], &mut [E]) {
        let needed = 8 * wide + len * size_of::<E>();
        if self.f64.len() * 8 < needed + 64 {
            self.f64.resize((needed + 64).div_ceil(8), 0.0);
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.f64);
        let skip = bytes.as_ptr().align_offset(64);
        let (first, second) = bytes[skip..skip + needed].split_at_mut(8 * wide);
        (bytemuck::cast_slice_mut(first), bytemuck::cast_slice_mut(second))
    }
}

/// Row buffers of a sweep.
#[derive(Debug, Default)]
pub struct Scratch {
    f64: Vec<f64>,
}
