//! The random walk of chains of parameters: on the logarithms of positive ones, with a covariance and a scale that follow
//! the chain during its warm-up [HaarioSaksmanTamminen1999].

use super::model::{Draws, Parameter};
use crate::math::dense;
use crate::math::elementary::{exp, ln};

/// The share of proposals that a walk in a few dimensions accepts at best.
const ACCEPTANCE: f64 = 0.25;

#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveWalk {
    positive: Vec<bool>,
    pub scale: f64,
    /// Of the walk's coordinates: mean, and covariance row by row.
    pub mean: Vec<f64>,
    pub covariance: Vec<f64>,
}

impl AdaptiveWalk {
    pub fn new(parameters: &[Parameter]) -> AdaptiveWalk {
        let d = parameters.len();
        AdaptiveWalk {
            positive: parameters.iter().map(|p| p.positive).collect(),
            scale: 2.38 / (d.max(1) as f64).sqrt(),
            mean: vec![0.0; d],
            covariance: vec![0.0; d * d],
        }
    }

    pub fn dimension(&self) -> usize {
        self.positive.len()
    }

    /// Starts at θ with a first guess of the spread, until the chain knows better.
    pub fn start(&mut self, theta: &[f64]) {
        let d = self.dimension();
        self.mean = self.coordinates(theta);
        for c in 0..d {
            let m = self.mean[c];
            self.covariance[c * d + c] = if self.positive[c] { 0.01 } else { 0.01 * (1.0 + m * m) };
        }
    }

    /// Coordinates of the walk.
    pub fn coordinates(&self, theta: &[f64]) -> Vec<f64> {
        theta.iter().zip(&self.positive).map(|(t, p)| if *p { ln(*t) } else { *t }).collect()
    }

    /// What a log density of θ gains in the walk's coordinates.
    pub fn log_jacobian(&self, theta: &[f64]) -> f64 {
        theta.iter().zip(&self.positive).filter(|(_, p)| **p).map(|(t, _)| ln(*t)).sum()
    }

    /// A proposal from θ with the draws of `at`; none where the covariance is singular.
    pub fn propose(&self, theta: &[f64], at: &Draws) -> Option<Vec<f64>> {
        let d = self.dimension();
        let factor = dense::cholesky(&self.covariance, d).ok()?;
        let mut proposed = self.coordinates(theta);
        for j in 0..d {
            let mut z = [0.0];
            at.normals(j as u32, &mut z);
            for i in j..d {
                proposed[i] += self.scale * factor[i * d + j] * z[0];
            }
        }
        Some(proposed.iter().zip(&self.positive).map(|(x, p)| if *p { exp(*x) } else { *x }).collect())
    }

    /// Learns from proposal `k` of the warm-up, after which the chain is at θ.
    pub fn adapt(&mut self, k: u64, accepted: bool, theta: &[f64]) {
        let (d, k) = (self.dimension(), k as f64);
        let rate = 1.0 / (k + 10.0).sqrt();
        self.scale *= exp(rate * (f64::from(u8::from(accepted)) - ACCEPTANCE));
        let x = self.coordinates(theta);
        let gain = 2.0 / (k + 40.0);
        let e: Vec<f64> = x.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        for a in 0..d {
            for b in 0..d {
                let c = &mut self.covariance[a * d + b];
                *c += gain * (e[a] * e[b] - *c);
            }
            self.covariance[a * d + a] += 1e-10;
            self.mean[a] += gain * e[a];
        }
    }
}
