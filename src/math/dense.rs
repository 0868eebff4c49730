//! Small dense matrices, row by row in slices: what filters, proposals and mass matrices of a few dozen dimensions need.
//! Every sum runs in the order of its index, so the bits depend on nothing but the numbers.

use super::elementary;

/// A (m × k) times B (k × n).
pub fn product(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for l in 0..k {
            let factor = a[i * k + l];
            for j in 0..n {
                c[i * n + j] += factor * b[l * n + j];
            }
        }
    }
    c
}

/// A (m × n) times x.
pub fn apply(a: &[f64], x: &[f64]) -> Vec<f64> {
    a.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

/// The transpose of A (m × n).
pub fn transpose(a: &[f64], m: usize, n: usize) -> Vec<f64> {
    let mut t = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            t[j * m + i] = a[i * n + j];
        }
    }
    t
}

/// A P Aᵀ for A (m × n) and P (n × n), made symmetric.
pub fn congruence(a: &[f64], p: &[f64], m: usize, n: usize) -> Vec<f64> {
    let left = product(a, p, m, n, n);
    let mut c = product(&left, &transpose(a, m, n), m, n, m);
    symmetrise(&mut c, m);
    c
}

/// (A + Aᵀ)/2.
pub fn symmetrise(a: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * (a[i * n + j] + a[j * n + i]);
            a[i * n + j] = mean;
            a[j * n + i] = mean;
        }
    }
}

pub fn identity(n: usize) -> Vec<f64> {
    let mut a = vec![0.0; n * n];
    (0..n).for_each(|i| a[i * n + i] = 1.0);
    a
}

/// The lower factor L of A = L Lᵀ, zeros above. Otherwise the row at which A is not positive definite to rounding: what the
/// rows above leave of its diagonal entry is below 1e−14 of it.
pub fn cholesky(a: &[f64], n: usize) -> Result<Vec<f64>, usize> {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let s: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = a[i * n + j] - s;
            if i == j {
                // A NaN is refused too.
                if !(rest > 0.0 && rest > 1e-14 * a[i * n + i] && rest.is_finite()) {
                    return Err(i);
                }
                l[i * n + i] = rest.sqrt();
            } else {
                l[i * n + j] = rest / l[j * n + j];
            }
        }
    }
    Ok(l)
}

/// As [`cholesky`], for A that may be singular: a pivot below 1e−13 of the largest diagonal entry counts as zero and leaves
/// a column of zeros. The row at which A is indefinite otherwise.
pub fn cholesky_semidefinite(a: &[f64], n: usize) -> Result<Vec<f64>, usize> {
    let largest = (0..n).map(|i| a[i * n + i].abs()).fold(0.0, f64::max);
    let mut l = vec![0.0; n * n];
    for j in 0..n {
        let s: f64 = (0..j).map(|k| l[j * n + k] * l[j * n + k]).sum();
        let rest = a[j * n + j] - s;
        if !rest.is_finite() || rest < -1e-10 * largest {
            return Err(j);
        }
        if rest <= 1e-13 * largest {
            // A zero pivot must have a zero row.
            for i in j + 1..n {
                let s: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
                if (a[i * n + j] - s).abs() > 1e-6 * largest {
                    return Err(j);
                }
            }
            continue;
        }
        l[j * n + j] = rest.sqrt();
        for i in j + 1..n {
            let s: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            l[i * n + j] = (a[i * n + j] - s) / l[j * n + j];
        }
    }
    Ok(l)
}

/// x ← L⁻¹ x.
pub fn solve_lower(l: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in 0..n {
        let s: f64 = (0..i).map(|k| l[i * n + k] * x[k]).sum();
        x[i] = (x[i] - s) / l[i * n + i];
    }
}

/// x ← L⁻ᵀ x.
pub fn solve_lower_transposed(l: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in (0..n).rev() {
        let s: f64 = (i + 1..n).map(|k| l[k * n + i] * x[k]).sum();
        x[i] = (x[i] - s) / l[i * n + i];
    }
}

/// The inverse of L Lᵀ.
pub fn inverse(l: &[f64], n: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; n * n];
    let mut column = vec![0.0; n];
    for j in 0..n {
        column.fill(0.0);
        column[j] = 1.0;
        solve_lower(l, &mut column);
        solve_lower_transposed(l, &mut column);
        (0..n).for_each(|i| inverse[i * n + j] = column[i]);
    }
    symmetrise(&mut inverse, n);
    inverse
}

/// ln det(L Lᵀ).
pub fn log_determinant(l: &[f64], n: usize) -> f64 {
    2.0 * (0..n).map(|i| elementary::ln(l[i * n + i])).sum::<f64>()
}

/// ln N(x; mean, L Lᵀ).
pub fn log_normal(x: &[f64], mean: &[f64], l: &[f64]) -> f64 {
    let n = x.len();
    let mut z: Vec<f64> = x.iter().zip(mean).map(|(x, m)| x - m).collect();
    solve_lower(l, &mut z);
    let square: f64 = z.iter().map(|z| z * z).sum();
    -0.5 * (n as f64 * LOG_2_PI + log_determinant(l, n) + square)
}

/// ln 2π.
pub const LOG_2_PI: f64 = 1.837_877_066_409_345_5;

/// e^A for A (n × n): scaling, the Taylor polynomial of degree 18 at norm ≤ 1/2 (remainder below 1e−22), squaring.
pub fn exponential(a: &[f64], n: usize) -> Vec<f64> {
    let norm = (0..n).map(|i| a[i * n..(i + 1) * n].iter().map(|x| x.abs()).sum::<f64>()).fold(0.0, f64::max);
    let mut squarings = 0;
    let mut scale = 1.0;
    while norm * scale > 0.5 {
        scale *= 0.5;
        squarings += 1;
    }
    let scaled: Vec<f64> = a.iter().map(|x| x * scale).collect();
    // Horner: I + A/1 (I + A/2 (I + A/3 (…))).
    let mut e = identity(n);
    for k in (1..=18).rev() {
        e = product(&scaled, &e, n, n, n);
        e.iter_mut().for_each(|x| *x /= k as f64);
        (0..n).for_each(|i| e[i * n + i] += 1.0);
    }
    for _ in 0..squarings {
        e = product(&e, &e, n, n, n);
    }
    e
}

/// Transition over a time dt of dX = F X dt + G dW with G Gᵀ = `diffusion`: (e^{F dt}, ∫₀^dt e^{Fs} GGᵀ e^{Fᵀs} ds)
/// [VanLoan1978].
pub fn linear_transition(f: &[f64], diffusion: &[f64], n: usize, dt: f64) -> (Vec<f64>, Vec<f64>) {
    let m = 2 * n;
    let mut block = vec![0.0; m * m];
    for i in 0..n {
        for j in 0..n {
            block[i * m + j] = -f[i * n + j] * dt;
            block[i * m + n + j] = diffusion[i * n + j] * dt;
            block[(n + i) * m + n + j] = f[j * n + i] * dt;
        }
    }
    let e = exponential(&block, m);
    let part = |row: usize, column: usize| -> Vec<f64> {
        (0..n).flat_map(|i| e[(row + i) * m + column..(row + i) * m + column + n].to_vec()).collect()
    };
    let transition = transpose(&part(n, n), n, n);
    let mut noise = product(&transition, &part(0, n), n, n, n);
    symmetrise(&mut noise, n);
    (transition, noise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cholesky_of_the_3_by_3_hilbert_matrix_has_determinant_1_over_2160() {
        let a: Vec<f64> = (0..9).map(|k| 1.0 / (k / 3 + k % 3 + 1) as f64).collect();
        let l = cholesky(&a, 3).unwrap();
        assert!((log_determinant(&l, 3) + 2160f64.ln()).abs() < 1e-13);
        let unit = product(&a, &inverse(&l, 3), 3, 3, 3);
        assert!(unit.iter().zip(identity(3)).all(|(x, i)| (x - i).abs() < 1e-13), "{unit:?}");
        assert_eq!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2), Err(1));
        assert_eq!(cholesky(&[f64::NAN], 1), Err(0));
        assert_eq!(cholesky(&[1.0, 1.0, 1.0, 1.0 + 1e-15], 2), Err(1));
    }

    #[test]
    fn a_singular_covariance_has_a_factor_and_an_indefinite_one_none() {
        // v vᵀ with v = (1, 2, −1), rank 1.
        let v = [1.0, 2.0, -1.0];
        let a: Vec<f64> = (0..9).map(|k| v[k / 3] * v[k % 3]).collect();
        let l = cholesky_semidefinite(&a, 3).unwrap();
        let back = product(&l, &transpose(&l, 3, 3), 3, 3, 3);
        assert!(back.iter().zip(&a).all(|(x, y)| (x - y).abs() < 1e-14));
        assert_eq!(cholesky_semidefinite(&[0.0; 4], 2).unwrap(), [0.0; 4]);
        assert_eq!(cholesky_semidefinite(&[1.0, 0.0, 0.0, -1.0], 2), Err(1));
        assert_eq!(cholesky_semidefinite(&[1.0, 2.0, 2.0, 1.0], 2), Err(1));
    }

    #[test]
    fn the_exponential_of_a_rotation_by_10_radians_is_its_cosine_and_sine() {
        let e = exponential(&[0.0, -10.0, 10.0, 0.0], 2);
        let (s, c) = 10f64.sin_cos();
        for (found, exact) in e.iter().zip([c, -s, s, c]) {
            assert!((found - exact).abs() < 1e-13, "{found} {exact}");
        }
    }

    #[test]
    fn white_noise_acceleration_has_the_covariance_t3_3_t2_2_t() {
        // dx = v dt, dv = q dW; Bar-Shalom, Li, Kirubarajan 2001, section 6.2.2.
        let (a, q) = linear_transition(&[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 0.7], 2, 3.0);
        for (found, exact) in a.iter().zip([1.0, 3.0, 0.0, 1.0]) {
            assert!((found - exact).abs() < 1e-14);
        }
        for (found, exact) in q.iter().zip([9.0 * 0.7, 4.5 * 0.7, 4.5 * 0.7, 3.0 * 0.7]) {
            assert!((found - exact).abs() < 1e-13, "{q:?}");
        }
        // Ornstein–Uhlenbeck: σ²(1 − e^{−2θt})/(2θ).
        let (a, q) = linear_transition(&[-1.5], &[0.49], 1, 0.8);
        assert!((a[0] - (-1.2f64).exp()).abs() < 1e-15);
        assert!((q[0] - 0.49 * (1.0 - (-2.4f64).exp()) / 3.0).abs() < 1e-15);
    }

    #[test]
    fn the_density_of_a_correlated_pair_is_that_of_its_formula() {
        // ρ = 0.6, unit variances, at (1, −0.5): −ln 2π − ½ln(1 − ρ²) − (x² − 2ρxy + y²)/(2(1 − ρ²)).
        let l = cholesky(&[1.0, 0.6, 0.6, 1.0], 2).unwrap();
        let exact = -LOG_2_PI - 0.5 * 0.64f64.ln() - (1.0 + 0.6 + 0.25) / (2.0 * 0.64);
        assert!((log_normal(&[1.0, -0.5], &[0.0, 0.0], &l) - exact).abs() < 1e-14);
    }
}
