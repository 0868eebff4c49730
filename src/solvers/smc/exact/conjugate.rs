//! Posteriors with closed forms, for samplers that move a prior N(0, s²I) to a posterior: evidence, means, covariances.

use crate::math::dense::{self, LOG_2_PI};
use crate::math::elementary::{exp, ln};

/// An evidence with the moments of the posterior.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    pub log_evidence: f64,
    pub mean: Vec<f64>,
    pub covariance: Vec<f64>,
}

/// Prior N(0, prior_sd² I), likelihood N(x; mean, covariance) as a function of x. Err: the row at which the covariance is
/// not positive definite.
pub fn gaussian(prior_sd: f64, mean: &[f64], covariance: &[f64]) -> Result<Posterior, usize> {
    let n = mean.len();
    let mut total = covariance.to_vec();
    (0..n).for_each(|i| total[i * n + i] += prior_sd * prior_sd);
    let factor = dense::cholesky(&total, n)?;
    let log_evidence = dense::log_normal(mean, &vec![0.0; n], &factor);
    // s²(s² + S)⁻¹ m and s²(s² + S)⁻¹ S.
    let mut gain = dense::inverse(&factor, n);
    gain.iter_mut().for_each(|g| *g *= prior_sd * prior_sd);
    let mut covariance = dense::product(&gain, covariance, n, n, n);
    dense::symmetrise(&mut covariance, n);
    Ok(Posterior { log_evidence, mean: dense::apply(&gain, mean), covariance })
}

/// One component of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    pub weight: f64,
    pub mean: Vec<f64>,
    pub covariance: Vec<f64>,
}

/// Prior N(0, prior_sd² I), likelihood Σ w_i N(x; m_i, S_i): the evidence, the moments of the posterior, and the
/// probability of each component.
pub fn mixture(prior_sd: f64, components: &[Component]) -> Result<(Posterior, Vec<f64>), usize> {
    let n = components[0].mean.len();
    let parts: Vec<Posterior> =
        components.iter().map(|c| gaussian(prior_sd, &c.mean, &c.covariance)).collect::<Result<_, _>>()?;
    let logs: Vec<f64> = components.iter().zip(&parts).map(|(c, p)| ln(c.weight) + p.log_evidence).collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logs.iter().map(|l| exp(l - top)).sum();
    let weights: Vec<f64> = logs.iter().map(|l| exp(l - top) / total).collect();
    let mut mean = vec![0.0; n];
    for (w, p) in weights.iter().zip(&parts) {
        mean.iter_mut().zip(&p.mean).for_each(|(m, x)| *m += w * x);
    }
    let mut covariance = vec![0.0; n * n];
    for (w, p) in weights.iter().zip(&parts) {
        for i in 0..n {
            for j in 0..n {
                let between = (p.mean[i] - mean[i]) * (p.mean[j] - mean[j]);
                covariance[i * n + j] += w * (p.covariance[i * n + j] + between);
            }
        }
    }
    Ok((Posterior { log_evidence: top + ln(total), mean, covariance }, weights))
}

/// y = X β + N(0, noise²), β ~ N(0, prior_sd² I); X has `features` columns.
pub fn linear_regression(
    design: &[f64],
    y: &[f64],
    features: usize,
    prior_sd: f64,
    noise_sd: f64,
) -> Result<Posterior, usize> {
    let (n, m) = (y.len(), features);
    let (s2, r2) = (prior_sd * prior_sd, noise_sd * noise_sd);
    // Precision I/s² + XᵀX/r²; by the matrix determinant lemma nothing is n × n.
    let across = dense::transpose(design, n, m);
    let mut precision = dense::product(&across, design, m, n, m);
    precision.iter_mut().for_each(|p| *p /= r2);
    (0..m).for_each(|i| precision[i * m + i] += 1.0 / s2);
    let factor = dense::cholesky(&precision, m)?;
    let covariance = dense::inverse(&factor, m);
    let b: Vec<f64> = dense::apply(&across, y).iter().map(|x| x / r2).collect();
    let mean = dense::apply(&covariance, &b);
    let explained: f64 = b.iter().zip(&mean).map(|(b, m)| b * m).sum();
    let square: f64 = y.iter().map(|y| y * y).sum::<f64>() / r2;
    let logs = n as f64 * (LOG_2_PI + ln(r2)) + m as f64 * ln(s2) + dense::log_determinant(&factor, m);
    Ok(Posterior { log_evidence: -0.5 * (logs + square - explained), mean, covariance })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ∫∫ f over [−12, 12]² by the trapezoidal rule.
    fn integral(f: impl Fn(f64, f64) -> f64) -> f64 {
        let h = 0.05;
        let at = |i: usize| -12.0 + h * i as f64;
        (0..481).map(|i| (0..481).map(|j| f(at(i), at(j))).sum::<f64>()).sum::<f64>() * h * h
    }

    fn components() -> Vec<Component> {
        vec![
            Component { weight: 0.3, mean: vec![2.0, -1.0], covariance: vec![0.5, 0.2, 0.2, 0.4] },
            Component { weight: 0.7, mean: vec![-1.5, 1.0], covariance: vec![1.0, -0.3, -0.3, 0.3] },
        ]
    }

    #[test]
    fn evidence_and_moments_of_a_mixture_agree_with_quadrature_to_1e_10() {
        let parts = components();
        let (found, weights) = mixture(1.7, &parts).unwrap();
        let factors: Vec<Vec<f64>> = parts.iter().map(|c| dense::cholesky(&c.covariance, 2).unwrap()).collect();
        let density = |x: f64, y: f64| {
            let prior = (-0.5 * (x * x + y * y) / (1.7 * 1.7)).exp() / (std::f64::consts::TAU * 1.7 * 1.7);
            let terms = parts.iter().zip(&factors);
            prior * terms.map(|(c, l)| c.weight * dense::log_normal(&[x, y], &c.mean, l).exp()).sum::<f64>()
        };
        let z = integral(density);
        assert!((found.log_evidence - z.ln()).abs() < 1e-10, "{} {}", found.log_evidence, z.ln());
        let mean = integral(|x, y| x * density(x, y)) / z;
        assert!((found.mean[0] - mean).abs() < 1e-10);
        let cross = integral(|x, y| x * y * density(x, y)) / z - found.mean[0] * found.mean[1];
        assert!((found.covariance[1] - cross).abs() < 1e-10);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn evidence_of_a_linear_regression_is_the_density_of_its_data() {
        let design = [1.0, 0.2, 1.0, -0.7, 1.0, 1.5, 1.0, 0.9, 1.0, -1.1];
        let y = [0.8, -0.3, 2.2, 1.0, -0.9];
        let found = linear_regression(&design, &y, 2, 1.3, 0.6).unwrap();
        // N(0, s² X Xᵀ + r² I).
        let mut covariance = dense::congruence(&design, &[1.69, 0.0, 0.0, 1.69], 5, 2);
        (0..5).for_each(|i| covariance[6 * i] += 0.36);
        let exact = dense::log_normal(&y, &[0.0; 5], &dense::cholesky(&covariance, 5).unwrap());
        assert!((found.log_evidence - exact).abs() < 1e-12, "{} {exact}", found.log_evidence);
        assert!((found.mean[1] - 1.115).abs() < 0.1, "{:?}", found.mean);
    }
}
