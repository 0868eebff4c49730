//! Row kernels: sums of exponentials of rows of the cost, on the fly. Serial; threads and ranks are the caller's.
//!
//! Every row sum is Σ over column tiles of [`COLUMN_TILE`] columns, each tile reduced through 8 virtual lanes in one
//! tree, the tile sums added in order in f64. So a block of columns that starts on a tile boundary continues a sum
//! with the same bits (the ring layout), and the bits depend neither on ranks nor on threads.

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
    /// out[i·width + k] += Σ_j exp(z_ij) v[j·width + k].
    fn weighted_sum(&self, rows: Range<usize>, h: &[f64], shift: &[f64], v: &[f64], width: usize, out: &mut [f64]);
    /// out_i += Σ_j exp(z_ij) v_j C_ij, C in its own units.
    fn weighted_cost(&self, rows: Range<usize>, h: &[f64], shift: &[f64], v: &[f64], out: &mut [f64]);
    /// out_i ← min(out_i, min_j (C_ij − g_j)), in units of the cost.
    fn min_plus(&self, rows: Range<usize>, g: &[f64], out: &mut [f64]);
    /// One sweep (§2.0): for each row i of `rows`, S_i = Σ_j exp(z_ij) (same bits as `shifted_sum` from 0), then
    /// columns_j += close(i, S_i) · exp(z_ij), rows in order. `close` gets the index within `rows`.
    /// Needs all columns in this object. `scratch` is reused between calls.
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
    /// The cost of one entry, plainly: C_ij.
    fn cost(&self, i: usize, j: usize) -> f64;
}

/// Row buffers of a sweep.
#[derive(Debug, Default)]
pub struct Scratch {
    pub f64: Vec<f64>,
    pub f32: Vec<f32>,
}
