//! Bounds of rounding errors, as certificates want them.

use super::COLUMN_TILE;
use super::exp::EXP2_ERROR_F64;

/// Unit roundoff of f64.
const U: f64 = 1.0 / (1u64 << 53) as f64;

/// Relative error of a row sum of `cols` positive terms, the terms taken as exact: a lane adds one in eight of a tile,
/// the tree three times, the tiles one after the other.
pub fn sum_error(cols: usize) -> f64 {
    let lane = COLUMN_TILE.min(cols).div_ceil(8);
    (lane + 3 + cols.div_ceil(COLUMN_TILE)) as f64 * U
}

/// Relative error of one term exp(h_j + shift_i − C_ij/ε) in f64, to first order, where |h| ≤ `h`, |shift| ≤ `shift`,
/// C/ε ≤ `cost` over the common box of the points ([`super::PointCloud::cost_bound`]) and dimension `d`
/// (1 for a matrix): the rounding of the argument counts in full.
///
/// h − centre and its product with log2(e): 2 each, the constant itself 1; the same for the shift; two sums of
/// |h| + |shift| + C/ε. A squared distance carries d + 7: coordinates (2 roundings each, against the box), their
/// difference, the sum of d squares, the scale. Norms and powers take less, up to |log2| of the distance for powers.
pub fn term_error(d: usize, h: f64, shift: f64, cost: f64) -> f64 {
    let argument = 6.0 * (2.0 * h + shift) + (d as f64 + 10.0) * cost;
    EXP2_ERROR_F64 + argument * U
}

/// Relative error of S_i = Σ_j exp(h_j + shift_i − C_ij/ε) in the f64 passes: terms and sum, with a tenth for the
/// higher orders. Valid for the point costs and matrices, given `h`, `shift`, `cost` as in [`term_error`].
pub fn row_sum_error(cols: usize, d: usize, h: f64, shift: f64, cost: f64) -> f64 {
    1.1 * (sum_error(cols) + term_error(d, h, shift, cost))
}
