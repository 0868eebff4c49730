//! Filters of models with one real state by quadrature: the densities on an equally spaced grid, every integral by the
//! trapezoidal rule, which converges faster than any power of the spacing for smooth densities that vanish at the ends
//! [TrefethenWeideman2014].

use crate::math::dense::LOG_2_PI;
use crate::math::elementary::{exp, ln};

/// Multiplications that a truth may cost beside a run: about half a second.
pub const SMALL: f64 = 5e8;

/// A model with one real state, by its log-densities.
pub trait Scalar {
    /// ln p(x_0).
    fn initial(&self, x: f64) -> f64;
    /// ln p(x_k = to | x_{k−1} = from).
    fn transition(&self, k: usize, from: f64, to: f64) -> f64;
    /// ln p(y_k | x_k).
    fn observation(&self, k: usize, x: f64) -> f64;
    /// True when the transition is the same at every k, so that it is tabulated once.
    fn homogeneous(&self) -> bool {
        true
    }
}

/// What quadrature finds.
#[derive(Debug, Clone)]
pub struct Found {
    pub log_evidence: f64,
    /// ln p(y_k | y_{0..k−1}).
    pub increments: Vec<f64>,
    /// Mean and variance of x_k given y_{0..k}.
    pub filtered: Vec<(f64, f64)>,
    /// Mean and variance of x_k given all observations; empty where not asked for.
    pub smoothed: Vec<(f64, f64)>,
}

/// Filters, and smooths where asked, `steps` times on `points` points over [low, high].
pub fn run(model: &dyn Scalar, steps: usize, low: f64, high: f64, points: usize, smooth: bool) -> Found {
    let h = (high - low) / (points - 1) as f64;
    let x: Vec<f64> = (0..points).map(|i| low + h * i as f64).collect();
    // Row `to`, column `from`.
    let table = |k: usize| -> Vec<f64> {
        x.iter().flat_map(|&to| x.iter().map(move |&from| h * exp(model.transition(k, from, to)))).collect()
    };
    let fixed = (model.homogeneous() && steps > 1).then(|| table(1));
    let moments = |p: &[f64]| {
        let total: f64 = p.iter().sum();
        let mean = p.iter().zip(&x).map(|(p, x)| p * x).sum::<f64>() / total;
        (mean, p.iter().zip(&x).map(|(p, x)| p * (x - mean) * (x - mean)).sum::<f64>() / total)
    };
    let mut found = Found { log_evidence: 0.0, increments: Vec::new(), filtered: Vec::new(), smoothed: Vec::new() };
    let mut density: Vec<f64> = x.iter().map(|&x| exp(model.initial(x))).collect();
    let mut likelihoods: Vec<Vec<f64>> = Vec::new();
    let mut densities: Vec<Vec<f64>> = Vec::new();
    for k in 0..steps {
        if k > 0 {
            let other;
            let kernel = match &fixed {
                Some(kernel) => kernel,
                None => {
                    other = table(k);
                    &other
                }
            };
            density =
                kernel.chunks_exact(points).map(|row| row.iter().zip(&density).map(|(a, p)| a * p).sum()).collect();
        }
        let log_g: Vec<f64> = x.iter().map(|&x| model.observation(k, x)).collect();
        let top = log_g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let g: Vec<f64> = log_g.iter().map(|l| exp(l - top)).collect();
        density.iter_mut().zip(&g).for_each(|(p, g)| *p *= g);
        let mass = h * density.iter().sum::<f64>();
        density.iter_mut().for_each(|p| *p /= mass);
        let increment = top + ln(mass);
        found.increments.push(increment);
        found.log_evidence += increment;
        found.filtered.push(moments(&density));
        if smooth {
            likelihoods.push(g);
            densities.push(density.clone());
        }
    }
    if !smooth {
        return found;
    }
    // β_k(x) ∝ ∫ p(x'|x) g_{k+1}(x') β_{k+1}(x') dx'.
    let mut beta = vec![1.0; points];
    for k in (0..steps).rev() {
        let product: Vec<f64> = densities[k].iter().zip(&beta).map(|(p, b)| p * b).collect();
        found.smoothed.push(moments(&product));
        if k > 0 {
            let other;
            let kernel = match &fixed {
                Some(kernel) => kernel,
                None => {
                    other = table(k);
                    &other
                }
            };
            let weight: Vec<f64> = likelihoods[k].iter().zip(&beta).map(|(g, b)| g * b).collect();
            let mut before = vec![0.0; points];
            for (row, w) in kernel.chunks_exact(points).zip(&weight) {
                before.iter_mut().zip(row).for_each(|(b, a)| *b += a * w);
            }
            let top = before.iter().copied().fold(0.0, f64::max);
            before.iter_mut().for_each(|b| *b /= top);
            beta = before;
        }
    }
    found.smoothed.reverse();
    found
}

/// x_0 ~ N(μ, σ²/(1 − φ²)), x' = μ + φ(x − μ) + σN(0, 1), y ~ N(0, e^x); NaN is missing.
#[derive(Debug, Clone)]
pub struct StochasticVolatility<'a> {
    pub mu: f64,
    pub phi: f64,
    pub sigma: f64,
    pub y: &'a [f64],
}

impl Scalar for StochasticVolatility<'_> {
    fn initial(&self, x: f64) -> f64 {
        log_normal(x, self.mu, self.sigma / (1.0 - self.phi * self.phi).sqrt())
    }

    fn transition(&self, _: usize, from: f64, to: f64) -> f64 {
        log_normal(to, self.mu + self.phi * (from - self.mu), self.sigma)
    }

    fn observation(&self, k: usize, x: f64) -> f64 {
        let y = self.y[k];
        if y.is_nan() { 0.0 } else { -0.5 * (LOG_2_PI + x + y * y * exp(-x)) }
    }
}

impl StochasticVolatility<'_> {
    /// Half the width of the grid, ± 9 stationary standard deviations, and its points at `per_sd` points per standard
    /// deviation of the transition.
    fn grid(&self, per_sd: f64) -> (f64, usize) {
        let half = 9.0 * self.sigma / (1.0 - self.phi * self.phi).sqrt();
        (half, (2.0 * half * per_sd / self.sigma).ceil() as usize + 1)
    }

    /// Multiplications of a pass at `per_sd`.
    pub fn work(&self, per_sd: f64) -> f64 {
        let points = self.grid(per_sd).1 as f64;
        points * points * self.y.len() as f64
    }

    /// At four points per standard deviation the evidence has more than ten digits.
    pub fn solve(&self, per_sd: f64, smooth: bool) -> Found {
        let (half, points) = self.grid(per_sd);
        run(self, self.y.len(), self.mu - half, self.mu + half, points, smooth)
    }
}

/// ln N(x; mean, sd²).
pub fn log_normal(x: f64, mean: f64, sd: f64) -> f64 {
    let z = (x - mean) / sd;
    -0.5 * (LOG_2_PI + z * z) - ln(sd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::smc::exact::walk_of_ten;

    struct Walk(Vec<f64>);

    impl Scalar for Walk {
        fn initial(&self, x: f64) -> f64 {
            log_normal(x, 0.0, 1.0)
        }

        fn transition(&self, _: usize, from: f64, to: f64) -> f64 {
            log_normal(to, 0.9 * from, 0.5)
        }

        fn observation(&self, k: usize, x: f64) -> f64 {
            log_normal(self.0[k], x, 0.7)
        }
    }

    #[test]
    fn quadrature_and_kalman_agree_on_the_ten_steps_to_1e_12() {
        let (model, y) = walk_of_ten();
        let exact = model.filter(&y).unwrap();
        let smoothed = model.smooth(&exact).unwrap();
        let found = run(&Walk(y), 10, -10.0, 10.0, 201, true);
        assert!((found.log_evidence - exact.log_evidence).abs() < 1e-12, "{}", found.log_evidence);
        for k in 0..10 {
            assert!((found.filtered[k].0 - exact.filtered[k].mean[0]).abs() < 1e-12);
            assert!((found.smoothed[k].0 - smoothed[k].mean[0]).abs() < 1e-12);
            assert!((found.smoothed[k].1 - smoothed[k].covariance[0]).abs() < 1e-12);
        }
    }

    #[test]
    fn the_evidence_of_stochastic_volatility_has_converged_to_ten_digits_at_four_points_a_deviation() {
        let y: Vec<f64> =
            (0..200).map(|k| 1.3 * (0.7 * k as f64).sin() + if k % 37 == 5 { 4.0 } else { 0.0 }).collect();
        let model = StochasticVolatility { mu: -0.4, phi: 0.95, sigma: 0.25, y: &y };
        let (two, four, six) = (model.solve(2.0, true), model.solve(4.0, true), model.solve(6.0, true));
        assert!((four.log_evidence - six.log_evidence).abs() < 1e-10, "{} {}", four.log_evidence, six.log_evidence);
        assert!((two.log_evidence - six.log_evidence).abs() < 1e-8);
        assert!((four.smoothed[7].1 - six.smoothed[7].1).abs() < 1e-11);
    }
}
