//! The evidence of a smooth posterior with one mode, by importance sampling from a multivariate Student distribution
//! about the mode: an answer that owes nothing to particles that resample, with its standard error.

use crate::math::dense::{self, LOG_2_PI};
use crate::math::elementary::{exp, ln, ln_1p};
use crate::math::rng::{Stream, normal_pair};

/// A log-density up to a constant, with its gradient and Hessian.
pub trait Smooth {
    fn dimension(&self) -> usize;
    fn log_density(&self, x: &[f64]) -> f64;
    /// Adds nothing: fills gradient (n) and Hessian (n × n).
    fn derivatives(&self, x: &[f64], gradient: &mut [f64], hessian: &mut [f64]);
}

/// ln ∫ e^{log_density}, its standard error, and the means of the posterior with theirs.
#[derive(Debug, Clone)]
pub struct Estimate {
    pub mode: Vec<f64>,
    /// Laplace's approximation.
    pub laplace: f64,
    pub log_evidence: f64,
    pub standard_error: f64,
    pub mean: Vec<f64>,
    pub mean_error: Vec<f64>,
    /// (Σw)²/Σw².
    pub effective: f64,
}

/// Degrees of freedom of the Student distribution: tails heavier than the posterior's.
const DEGREES: usize = 8;

/// `draws` weighted draws. None: Newton's iteration found no mode with a negative definite Hessian.
pub fn estimate(target: &dyn Smooth, start: &[f64], draws: u64, seed: u64) -> Option<Estimate> {
    let n = target.dimension();
    let (mode, factor) = mode(target, start)?;
    let top = target.log_density(&mode);
    // The Hessian's negative is L Lᵀ, so x = mode + L⁻ᵀ z.
    let log_determinant = dense::log_determinant(&factor, n);
    let laplace = top + 0.5 * (n as f64 * LOG_2_PI - log_determinant);
    let nu = DEGREES as f64;
    // Γ((ν + n)/2)/Γ(ν/2) by its recursion: ν is even.
    let log_gamma_ratio = log_gamma_half(DEGREES + n) - log_gamma_half(DEGREES);
    let constant = log_gamma_ratio - 0.5 * n as f64 * ln(nu * std::f64::consts::PI) + 0.5 * log_determinant;
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut first = vec![0.0; n];
    let mut second = vec![0.0; n];
    let mut cross = vec![0.0; n];
    let mut z = vec![0.0; n];
    for item in 0..draws {
        let mut numbers = (0..).flat_map(|draw| normal_pair(seed, Stream::ParticlesReference, 0, item, draw));
        z.iter_mut().for_each(|z| *z = numbers.next().unwrap_or_default());
        let chi: f64 = (0..DEGREES).map(|_| numbers.next().unwrap_or_default()).map(|x| x * x).sum();
        let scale = (nu / chi).sqrt();
        z.iter_mut().for_each(|z| *z *= scale);
        let square: f64 = z.iter().map(|z| z * z).sum();
        let proposal = constant - 0.5 * (nu + n as f64) * ln_1p(square / nu);
        dense::solve_lower_transposed(&factor, &mut z);
        z.iter_mut().zip(&mode).for_each(|(z, m)| *z += m);
        let w = exp(target.log_density(&z) - proposal - laplace);
        sum += w;
        squares += w * w;
        for i in 0..n {
            let x = z[i] - mode[i];
            first[i] += w * x;
            second[i] += w * w * x * x;
            cross[i] += w * w * x;
        }
    }
    let count = draws as f64;
    let mean = sum / count;
    let standard_error = ((squares / count - mean * mean) / count).sqrt() / mean;
    let shift: Vec<f64> = first.iter().map(|f| f / sum).collect();
    let mean_error =
        (0..n).map(|i| (second[i] - 2.0 * shift[i] * cross[i] + shift[i] * shift[i] * squares).sqrt() / sum).collect();
    Some(Estimate {
        laplace,
        log_evidence: laplace + ln(mean),
        standard_error,
        mean: mode.iter().zip(&shift).map(|(m, s)| m + s).collect(),
        mean_error,
        effective: sum * sum / squares,
        mode,
    })
}

/// Newton's iteration with halved steps: the mode, and the Cholesky factor of the negative Hessian there.
fn mode(target: &dyn Smooth, start: &[f64]) -> Option<(Vec<f64>, Vec<f64>)> {
    let n = target.dimension();
    let mut x = start.to_vec();
    let (mut gradient, mut hessian) = (vec![0.0; n], vec![0.0; n * n]);
    for _ in 0..100 {
        target.derivatives(&x, &mut gradient, &mut hessian);
        hessian.iter_mut().for_each(|h| *h = -*h);
        let factor = dense::cholesky(&hessian, n).ok()?;
        let mut step = gradient.clone();
        dense::solve_lower(&factor, &mut step);
        dense::solve_lower_transposed(&factor, &mut step);
        let decrement: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
        if decrement < 1e-20 {
            return Some((x, factor));
        }
        let here = target.log_density(&x);
        let mut length = 1.0;
        loop {
            let next: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x + length * s).collect();
            if target.log_density(&next) >= here || length < 1e-10 {
                x = next;
                break;
            }
            length *= 0.5;
        }
    }
    None
}

/// ln Γ(k/2).
fn log_gamma_half(k: usize) -> f64 {
    let (mut at, mut sum) = if k % 2 == 0 { (2, 0.0) } else { (1, 0.5 * ln(std::f64::consts::PI)) };
    while at < k {
        sum += ln(at as f64 / 2.0);
        at += 2;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::smc::exact::conjugate::linear_regression;

    /// ln p(y|β) p(β) of a linear regression.
    struct Regression {
        design: Vec<f64>,
        y: Vec<f64>,
    }

    impl Smooth for Regression {
        fn dimension(&self) -> usize {
            2
        }

        fn log_density(&self, b: &[f64]) -> f64 {
            let fit: f64 = self
                .design
                .chunks_exact(2)
                .zip(&self.y)
                .map(|(x, y)| -0.5 * (LOG_2_PI + ((y - x[0] * b[0] - x[1] * b[1]) / 0.6).powi(2)) - 0.6f64.ln())
                .sum();
            fit + b.iter().map(|b| -0.5 * (LOG_2_PI + b * b / 1.69) - 1.3f64.ln()).sum::<f64>()
        }

        fn derivatives(&self, b: &[f64], gradient: &mut [f64], hessian: &mut [f64]) {
            hessian.copy_from_slice(&[-1.0 / 1.69, 0.0, 0.0, -1.0 / 1.69]);
            gradient.iter_mut().zip(b).for_each(|(g, b)| *g = -b / 1.69);
            for (x, y) in self.design.chunks_exact(2).zip(&self.y) {
                let r = y - x[0] * b[0] - x[1] * b[1];
                for i in 0..2 {
                    gradient[i] += x[i] * r / 0.36;
                    (0..2).for_each(|j| hessian[2 * i + j] -= x[i] * x[j] / 0.36);
                }
            }
        }
    }

    #[test]
    fn evidence_by_importance_sampling_is_that_of_the_conjugate_regression_to_4_standard_errors() {
        let design = vec![1.0, 0.2, 1.0, -0.7, 1.0, 1.5, 1.0, 0.9, 1.0, -1.1];
        let y = vec![0.8, -0.3, 2.2, 1.0, -0.9];
        let exact = linear_regression(&design, &y, 2, 1.3, 0.6).unwrap();
        let found = estimate(&Regression { design, y }, &[0.0, 0.0], 20_000, 3).unwrap();
        assert!((found.laplace - exact.log_evidence).abs() < 1e-12);
        assert!(found.standard_error > 1e-4 && found.standard_error < 0.01, "{found:?}");
        assert!((found.log_evidence - exact.log_evidence).abs() < 4.0 * found.standard_error, "{found:?}");
        for i in 0..2 {
            assert!((found.mean[i] - exact.mean[i]).abs() < 4.0 * found.mean_error[i], "{found:?}");
        }
    }
}
