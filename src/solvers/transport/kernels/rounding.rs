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
/// C/ε ≤ `cost` over the common box of the points ([`super::PointCloud::cost_bound`]) with `roundings` of its own
/// ([`super::PointCost::roundings`]) and dimension `d` (1 for a matrix): the rounding of the argument counts in full.
///
/// h − centre, its product with log2(e) and that constant: 3, with |h − centre| ≤ 2|h|; the same for the shift; their
/// sum and the d products added to it, d + 1 in all, each of |h| + |shift| + C/ε.
pub fn term_error(d: usize, h: f64, shift: f64, cost: f64, roundings: f64) -> f64 {
    let argument = (d as f64 + 6.0) * (2.0 * h + shift) + (roundings + 1.0) * cost;
    EXP2_ERROR_F64 + argument * U
}

/// Relative error of S_i = Σ_j exp(h_j + shift_i − C_ij/ε) in the f64 passes: terms and sum, with a tenth for the
/// higher orders. Valid for the point costs and matrices, all but `cols` as in [`term_error`].
pub fn row_sum_error(cols: usize, d: usize, h: f64, shift: f64, cost: f64, roundings: f64) -> f64 {
    1.1 * (sum_error(cols) + term_error(d, h, shift, cost, roundings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::transport::kernels::{Level, PointCloud, PointCost};
    use crate::solvers::transport::passes::Precision;

    /// Numbers k/1024 in [0, 1), without pattern.
    fn dyadic(n: usize, seed: u64) -> Vec<f64> {
        (0..n as u64).map(|k| ((k + seed).wrapping_mul(0x9e3779b97f4a7c15) >> 54) as f64 / 1024.0).collect()
    }

    /// With coordinates, h and ε dyadic, the exponents are exact in f64, and the truth is known to 3e-16.
    #[test]
    fn the_bound_holds_where_exponents_are_exact_and_is_within_1000_of_the_error() {
        let (n, m, d) = (40, 3000, 3);
        for log_epsilon in [0, -4, -8, -12] {
            let epsilon = 2f64.powi(log_epsilon);
            let (x, y) = (dyadic(n * d, 1), dyadic(m * d, 77_777));
            let h: Vec<f64> = dyadic(m, 5).iter().map(|h| h / epsilon).collect();
            let c = |i: usize, j: usize| (0..d).map(|k| (x[i * d + k] - y[j * d + k]).powi(2)).sum::<f64>();
            let z = |i: usize, j: usize| h[j] - c(i, j) / epsilon;
            let shift: Vec<f64> = (0..n).map(|i| -(0..m).map(|j| z(i, j)).fold(f64::NEG_INFINITY, f64::max)).collect();
            let top = |v: &[f64]| v.iter().fold(0.0f64, |a, b| a.max(b.abs()));
            let cloud = PointCloud::new(PointCost::Squared, x.clone().into(), y.clone().into(), d);
            let roundings = PointCost::Squared.roundings(d);
            let bound = row_sum_error(m, d, top(&h), top(&shift), cloud.cost_bound() / epsilon, roundings);
            for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                let mut sums = vec![0.0; n];
                cloud.rows(epsilon, Precision::F64, level).shifted_sum(0..n, &h, &shift, &mut sums);
                let mut worst = 0.0f64;
                for i in 0..n {
                    // Sorted, so that the plain sum is accurate.
                    let mut terms: Vec<f64> = (0..m).map(|j| (z(i, j) + shift[i]).exp()).collect();
                    terms.sort_by(f64::total_cmp);
                    let (mut s, mut rest) = (0.0, 0.0);
                    for t in terms {
                        let next: f64 = s + t;
                        rest += t - (next - s);
                        s = next;
                    }
                    worst = worst.max((sums[i] / (s + rest) - 1.0).abs());
                }
                assert!(worst <= bound && worst > bound / 1000.0, "ε = {epsilon}, {level:?}: {worst:e} of {bound:e}");
            }
        }
    }
}
