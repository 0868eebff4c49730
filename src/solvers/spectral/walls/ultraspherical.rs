//! Operators between ultraspherical bases: differentiation, conversion and multiplication are banded.
//!
//! A function is u = Σ u_j T_j(ξ) on −1 ≤ ξ ≤ 1. Its m-th derivative is taken from T to C^(m), where it has one
//! diagonal, and lower derivatives are converted up to the same C^(m), two diagonals a stage:
//! S. Olver and A. Townsend, SIAM Review 55 (2013) 462. Entries couple indices of one parity only.

use ndarray::{Array1, Array2};

/// Row `r` of the conversion T → C^(2), at columns r, r + 2, r + 4.
pub fn to_second(r: usize) -> [f64; 3] {
    let x = r as f64;
    let first = if r == 0 { 1.0 } else { 0.5 };
    [first / (x + 1.0), -0.5 / (x + 1.0) - 0.5 / (x + 3.0), 0.5 / (x + 3.0)]
}

/// Row `r` of d²/dξ²: T → C^(2), at column r + 2. (That of d/dξ is 1 at column r + 1 and −1 at r + 3.)
pub fn second_derivative(r: usize) -> f64 {
    2.0 * (r + 2) as f64
}

/// The p-th derivative of T_j at ξ = ±1: (±1)^(j+p) Π_{i<p} (j² − i²)/(2i + 1).
pub fn at_wall(p: usize, upper: bool, j: usize) -> f64 {
    let square = (j * j) as f64;
    let value: f64 = (0..p).map(|i| (square - (i * i) as f64) / (2 * i + 1) as f64).product();
    if upper || (j + p).is_multiple_of(2) { value } else { -value }
}

/// Mean of T_j over −1 ≤ ξ ≤ 1: 1/(1 − j²) for even j, 0 for odd.
pub fn mean(j: usize) -> f64 {
    if j.is_multiple_of(2) { 1.0 / (1.0 - (j * j) as f64) } else { 0.0 }
}

/// Mean of T_i T_j over −1 ≤ ξ ≤ 1.
pub fn mean_of_product(i: usize, j: usize) -> f64 {
    0.5 * (mean(i + j) + mean(i.abs_diff(j)))
}

/// d^m/dξ^m: T → C^(m) on n coefficients; the identity for m = 0.
pub fn derivative(m: usize, n: usize) -> Array2<f64> {
    let mut matrix = Array2::zeros((n, n));
    let factor: f64 = if m == 0 { 1.0 } else { (1..m).map(|i| 2.0 * i as f64).product() };
    for j in m..n {
        matrix[[j - m, j]] = if m == 0 { 1.0 } else { factor * j as f64 };
    }
    matrix
}

/// C^(from) → C^(to) on n coefficients; C^(0) stands for T.
pub fn conversion(from: usize, to: usize, n: usize) -> Array2<f64> {
    let mut matrix = Array2::eye(n);
    for lambda in from..to {
        let mut stage = Array2::zeros((n, n));
        for j in 0..n {
            let entry = match (lambda, j) {
                (0, 0) => 1.0,
                (0, _) => 0.5,
                _ => lambda as f64 / (lambda + j) as f64,
            };
            stage[[j, j]] = entry;
            if j >= 2 {
                stage[[j - 2, j]] = -entry;
            }
        }
        matrix = stage.dot(&matrix);
    }
    matrix
}

/// Multiplication by ξ in C^(λ), λ ≥ 1, on n coefficients.
pub fn multiplication(lambda: usize, n: usize) -> Array2<f64> {
    let mut matrix = Array2::zeros((n, n));
    let l = lambda as f64;
    for k in 0..n {
        let x = k as f64;
        if k + 1 < n {
            matrix[[k + 1, k]] = (x + 1.0) / (2.0 * (x + l));
        }
        if k > 0 {
            matrix[[k - 1, k]] = (x + 2.0 * l - 1.0) / (2.0 * (x + l));
        }
    }
    matrix
}

/// Multiplication by the polynomial Σ c_i ξ^i in C^(λ) on n coefficients (Horner).
pub fn polynomial(coefficients: &[f64], lambda: usize, n: usize) -> Array2<f64> {
    let x = multiplication(lambda, n);
    let eye: Array2<f64> = Array2::eye(n);
    coefficients.iter().rev().fold(Array2::zeros((n, n)), |sum, &c| x.dot(&sum) + &eye * c)
}

/// Columns φ_j = T_j + Σ_{i ≤ m} c_i T_{j+i}, j < n − m, that vanish under m conditions, each given as
/// (derivative, upper wall).
///
/// # Panics
/// When the conditions do not determine the c_i (such as one condition twice).
pub fn recombination(conditions: &[(usize, bool)], n: usize) -> Array2<f64> {
    let m = conditions.len();
    let mut basis = Array2::zeros((n, n - m));
    for j in 0..n - m {
        let mut system: Vec<Vec<f64>> = Vec::with_capacity(m);
        let mut right = Vec::with_capacity(m);
        for &(p, upper) in conditions {
            // Rows are scaled so that entries stay of order one.
            let scale = ((j + m) as f64).powi(2 * p as i32);
            system.push((1..=m).map(|i| at_wall(p, upper, j + i) / scale).collect());
            right.push(-at_wall(p, upper, j) / scale);
        }
        let c = solve_small(system, right, ROUNDING).expect("the boundary conditions are independent");
        basis[[j, j]] = 1.0;
        for (i, c) in c.iter().enumerate() {
            basis[[j + 1 + i, j]] = *c;
        }
    }
    basis
}

/// Values of Σ u_j T_j at ξ (Clenshaw).
pub fn evaluate(coefficients: &Array1<num_complex::Complex<f64>>, xi: f64) -> num_complex::Complex<f64> {
    let zero = num_complex::Complex::new(0.0, 0.0);
    let (mut next, mut after) = (zero, zero);
    for c in coefficients.iter().skip(1).rev() {
        (next, after) = (next * (2.0 * xi) - after + c, next);
    }
    next * xi - after + coefficients[0]
}

/// A pivot so much smaller than the largest entry is the rounding of 0.
pub const ROUNDING: f64 = 1e-14;

/// Solves a small dense system by elimination with partial pivoting; none when a pivot is at most `least` of the largest
/// entry.
pub fn solve_small<V>(mut matrix: Vec<Vec<f64>>, mut right: Vec<V>, least: f64) -> Option<Vec<V>>
where
    V: Copy + std::ops::Sub<Output = V> + std::ops::Mul<f64, Output = V>,
{
    let n = right.len();
    let largest = matrix.iter().flatten().fold(0.0f64, |m, x| m.max(x.abs()));
    for k in 0..n {
        let pivot = (k..n).max_by(|&a, &b| matrix[a][k].abs().total_cmp(&matrix[b][k].abs()))?;
        if matrix[pivot][k].abs() <= least * largest {
            return None;
        }
        matrix.swap(k, pivot);
        right.swap(k, pivot);
        for i in k + 1..n {
            let factor = matrix[i][k] / matrix[k][k];
            for j in k..n {
                let above = matrix[k][j];
                matrix[i][j] -= factor * above;
            }
            right[i] = right[i] - right[k] * factor;
        }
    }
    for k in (0..n).rev() {
        for j in k + 1..n {
            right[k] = right[k] - right[j] * matrix[k][j];
        }
        right[k] = right[k] * (1.0 / matrix[k][k]);
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coefficients of ξ³ in T: (3 T₁ + T₃)/4.
    fn cube(n: usize) -> Array1<f64> {
        let mut u = Array1::zeros(n);
        u[1] = 0.75;
        u[3] = 0.25;
        u
    }

    #[test]
    fn the_second_derivative_of_xi_cubed_is_6_xi_in_c2() {
        // C^(2)_1 = 4 ξ, so 6 ξ has the coefficient 1.5.
        let d = derivative(2, 8).dot(&cube(8));
        assert!((d[1] - 1.5).abs() < 1e-15 && d.iter().enumerate().all(|(i, x)| i == 1 || *x == 0.0));
        assert_eq!(derivative(2, 8)[[1, 3]], second_derivative(1));
    }

    #[test]
    fn conversion_multiplication_and_differentiation_agree_on_powers() {
        // ξ · (d/dξ ξ³) = 3 ξ³ in C^(1) and C^(2).
        let n = 10;
        for lambda in 1..=4 {
            let slope = conversion(1, lambda, n).dot(&derivative(1, n).dot(&cube(n)));
            let product = multiplication(lambda, n).dot(&slope);
            let exact = conversion(0, lambda, n).dot(&cube(n)) * 3.0;
            assert!((&product - &exact).iter().all(|x| x.abs() < 1e-14), "{lambda}");
        }
        let two = conversion(0, 2, n);
        for r in 0..n - 4 {
            let [a, b, c] = to_second(r);
            for (got, want) in [(a, two[[r, r]]), (b, two[[r, r + 2]]), (c, two[[r, r + 4]])] {
                assert!((got - want).abs() < 1e-16, "row {r}: {got} {want}");
            }
        }
    }

    #[test]
    fn wall_rows_and_means_are_those_of_t3() {
        // T₃ = 4ξ³ − 3ξ: T' = 12ξ² − 3, T'' = 24ξ; the mean of T₃² is 17/35.
        assert_eq!([0, 1, 2].map(|p| at_wall(p, true, 3)), [1.0, 9.0, 24.0]);
        assert_eq!([0, 1, 2].map(|p| at_wall(p, false, 3)), [-1.0, 9.0, -24.0]);
        assert!((mean_of_product(3, 3) - 17.0 / 35.0).abs() < 1e-15);
        assert!((mean_of_product(1, 3) - (4.0 / 5.0 - 1.0)).abs() < 1e-15);
    }

    #[test]
    fn a_recombined_basis_keeps_mixed_conditions() {
        let conditions = [(0, false), (1, false), (0, true), (2, true)];
        let basis = recombination(&conditions, 20);
        for (p, upper) in conditions {
            let row = Array1::from_iter((0..20).map(|j| at_wall(p, upper, j)));
            let scale = row.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            assert!(row.dot(&basis).iter().all(|x| x.abs() < 1e-14 * scale));
        }
    }
}
