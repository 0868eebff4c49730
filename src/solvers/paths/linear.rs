//! Small dense systems of equations: normal equations of the fits.

use crate::math::simd::scalar::{Plain, dot};

/// Solves (G + ridge · tr(G)/p · I) θ = r for a symmetric non-negative G (p × p, its lower triangle), by Cholesky's
/// factorisation. Directions without information (a pivot that vanishes) get 0.
pub fn solve(g: &[f64], r: &[f64], ridge: f64) -> Vec<f64> {
    let p = r.len();
    let trace: f64 = (0..p).map(|i| g[i * p + i]).sum();
    let add = ridge * trace / p as f64;
    let mut l = vec![0.0; p * p];
    for i in 0..p {
        for j in 0..=i {
            let mut sum = g[i * p + j];
            if i == j {
                sum += add;
            }
            sum -= dot::<Plain>(&l[i * p..i * p + j], &l[j * p..j * p + j]);
            l[i * p + j] = if i == j {
                if sum > 1e-14 * (g[i * p + i] + add) { sum.sqrt() } else { f64::INFINITY }
            } else {
                sum / l[j * p + j]
            };
        }
    }
    let mut x = r.to_vec();
    for i in 0..p {
        for k in 0..i {
            x[i] -= l[i * p + k] * x[k];
        }
        x[i] /= l[i * p + i];
    }
    for i in (0..p).rev() {
        for k in i + 1..p {
            x[i] -= l[k * p + i] * x[k];
        }
        x[i] /= l[i * p + i];
    }
    x
}

/// The inverse of a matrix in rows, by Gauss and Jordan with pivots of columns; `None` for a singular one.
pub fn inverse(a: &[f64], n: usize) -> Option<Vec<f64>> {
    let (mut a, mut b) = (a.to_vec(), vec![0.0; n * n]);
    (0..n).for_each(|i| b[i * n + i] = 1.0);
    for k in 0..n {
        let pivot = (k..n).max_by(|i, j| a[i * n + k].abs().total_cmp(&a[j * n + k].abs()))?;
        let size = a[pivot * n + k];
        if !(size.abs() > 0.0) {
            return None;
        }
        for c in 0..n {
            a.swap(k * n + c, pivot * n + c);
            b.swap(k * n + c, pivot * n + c);
            (a[k * n + c], b[k * n + c]) = (a[k * n + c] / size, b[k * n + c] / size);
        }
        for i in (0..n).filter(|i| *i != k) {
            let by = a[i * n + k];
            for c in 0..n {
                a[i * n + c] -= by * a[k * n + c];
                b[i * n + c] -= by * b[k * n + c];
            }
        }
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_the_identity_to_1e_13() {
        let n = 5;
        let a: Vec<f64> = (0..n * n).map(|k| ((k * k + 3 * k) * 7919 % 1009) as f64 / 504.5 - 1.0).collect();
        let b = inverse(&a, n).unwrap();
        for k in 0..n * n {
            let one: f64 = (0..n).map(|m| a[k / n * n + m] * b[m * n + k % n]).sum();
            assert!((one - if k / n == k % n { 1.0 } else { 0.0 }).abs() < 1e-13, "{k}: {one}");
        }
        assert!(inverse(&[1.0, 1.0, 1.0, 1.0], 2).is_none());
    }

    #[test]
    fn a_4_by_4_system_is_solved_to_1e_12_and_a_missing_direction_gives_0() {
        let b = [[2.0, 0.3, 0.1, 0.0], [0.3, 1.5, -0.2, 0.0], [0.1, -0.2, 3.0, 0.0], [0.0; 4]];
        let g: Vec<f64> = b.iter().flatten().copied().collect();
        let truth = [1.0, -2.0, 0.5, 0.0];
        let r: Vec<f64> = b.iter().map(|row| row.iter().zip(truth).map(|(a, t)| a * t).sum()).collect();
        for (x, t) in solve(&g, &r, 0.0).iter().zip(truth) {
            assert!((x - t).abs() < 1e-12, "{x} {t}");
        }
    }
}
