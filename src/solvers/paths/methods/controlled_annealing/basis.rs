//! The basis of the drift's correction, polynomials in bins of time, and the sums of its least squares.

use std::sync::Arc;

use crate::enter;
use crate::math::simd::Level;
use crate::math::simd::scalar::dot;
use crate::solvers::paths::chain::LANES;
use crate::solvers::paths::guide::Control;

/// Polynomials of total degree up to `degree` in coordinates scaled to [−1, 1] and cut there.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    /// Exponents of each feature.
    pub powers: Vec<Vec<u32>>,
    pub bins: usize,
    pub steps: usize,
    pub level: Level,
}

impl Basis {
    pub fn count(&self) -> usize {
        self.powers.len()
    }

    /// The bin of transition j ≥ 1.
    pub fn bin(&self, j: usize) -> usize {
        (j - 1) * self.bins / self.steps
    }

    /// out[feature][LANES].
    pub fn evaluate(&self, x: &[f64], out: &mut [f64]) {
        let mut scaled = vec![0.0; x.len()];
        for (i, (z, x)) in scaled.chunks_exact_mut(LANES).zip(x.chunks_exact(LANES)).enumerate() {
            let (middle, half) = (0.5 * (self.low[i] + self.high[i]), 0.5 * (self.high[i] - self.low[i]));
            for (z, x) in z.iter_mut().zip(x) {
                *z = ((x - middle) / half).clamp(-1.0, 1.0);
            }
        }
        for (powers, out) in self.powers.iter().zip(out.chunks_exact_mut(LANES)) {
            out.fill(1.0);
            for (power, z) in powers.iter().zip(scaled.chunks_exact(LANES)) {
                for _ in 0..*power {
                    out.iter_mut().zip(z).for_each(|(o, z)| *o *= z);
                }
            }
        }
    }
}

/// A drift correction Σ θ φ, per bin of time.
pub struct Linear {
    pub basis: Arc<Basis>,
    /// [bin][coordinate][feature].
    pub coefficients: Vec<f64>,
    /// Transitions that are fused with an observation: no correction there.
    pub fused: Arc<Vec<bool>>,
    /// Largest correction of a coordinate in each transition; 0 where there is no noise.
    pub largest: Vec<f64>,
}

impl Control for Linear {
    fn add(&self, j: usize, x: &[f64], u: &mut [f64]) {
        let largest = self.largest[j - 1];
        if self.fused[j] || largest == 0.0 {
            return;
        }
        let (p, d) = (self.basis.count(), x.len() / LANES);
        let mut phi = vec![0.0; p * LANES];
        self.basis.evaluate(x, &mut phi);
        let theta = &self.coefficients[self.basis.bin(j) * p * d..][..p * d];
        for (u, theta) in u.chunks_exact_mut(LANES).zip(theta.chunks_exact(p)) {
            for (t, phi) in theta.iter().zip(phi.chunks_exact(LANES)) {
                u.iter_mut().zip(phi).for_each(|(u, f)| *u += t * f);
            }
            // A push of a deviation a step is all that a bridge takes; more would drive the chain out of range.
            u.iter_mut().for_each(|u| *u = u.clamp(-largest, largest));
        }
    }
}

/// All exponents of `parts` coordinates that sum to `total`.
pub fn compositions(total: u32, parts: usize, head: &mut Vec<u32>, out: &mut Vec<Vec<u32>>) {
    if parts == 1 {
        let mut all = head.clone();
        all.push(total);
        out.push(all);
        return;
    }
    for first in (0..=total).rev() {
        head.push(first);
        compositions(total - first, parts - 1, head, out);
        head.pop();
    }
}

/// out += (lower triangle of Σ w F Fᵀ, Σ F·target, Σ w F).
pub fn normal_equations(level: Level, p: usize, f: &[f64], w: &[f64], target: &[f64], out: &mut [f64]) {
    let mut weighted = [0.0; LANES];
    let ones = [1.0; LANES];
    enter!(level, S => {
        for a in 0..p {
            let left = &f[a * LANES..(a + 1) * LANES];
            for l in 0..LANES {
                weighted[l] = w[l] * left[l];
            }
            for b in 0..=a {
                out[a * p + b] += dot::<S>(&weighted, &f[b * LANES..(b + 1) * LANES]);
            }
            out[p * p + a] += dot::<S>(left, target);
            out[p * p + p + a] += dot::<S>(&weighted, &ones);
        }
    })
}
