//! Paths guided by a curve of clouds: the drift of the entropic transport from each cloud to the next.
//!
//! Under the optimal law the pair of two times has the density φ(x) p(y|x) ψ(y): it is the entropic transport between its
//! own marginals with p as kernel, and drifts by v + (σ²/2)∇log ρ as h → 0. With a cloud y_b of bandwidth β and p = N(m, S),
//!
//!     ψ(y) = Σ_b e^{γ_b} N(y; y_b, β²),     mean of the kernel twisted by ψ = m + S/(S + β²) (Σ_b w_b(m) y_b − m),
//!
//! w_b ∝ exp(γ_b − |m − y_b|²/(2(S + β²))), γ by Sinkhorn's iteration. In place of the sum v + (σ²/2)∇log ρ this stays
//! stable where a marginal is narrower than a step. ψ itself is what resampling looks ahead with.

use std::sync::Arc;

use crate::enter;
use crate::math::elementary::ln;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::guide::{Bump, Control};
use crate::solvers::paths::priors::Prior;

pub struct Clouds {
    prior: Arc<dyn Prior>,
    level: Level,
    dimension: usize,
    time_step: f64,
    /// The time of the first cloud.
    first: usize,
    /// [cloud][coordinate][particle].
    clouds: Vec<Vec<f64>>,
    /// γ of each cloud.
    potentials: Vec<Vec<f64>>,
    /// β² of each cloud, and S of the transition into it.
    widths: Vec<(f64, f64)>,
    /// Times that are fused with an observation, where nothing else guides.
    fused: Vec<bool>,
}

impl Clouds {
    pub fn new(
        chain: &Chain,
        first: usize,
        clouds: Vec<Vec<f64>>,
        potentials: Vec<Vec<f64>>,
        widths: Vec<(f64, f64)>,
        fused: Vec<bool>,
    ) -> Clouds {
        let (prior, level) = (chain.prior.clone(), chain.level);
        let (dimension, time_step) = (chain.dimension, chain.time_step);
        Clouds { prior, level, dimension, time_step, first, clouds, potentials, widths, fused }
    }

    /// The cloud that guides into time `j`.
    fn guiding(&self, j: usize) -> Option<usize> {
        (j >= 1 && j >= self.first && !self.fused[j]).then(|| j - self.first)
    }

    /// log Σ_b exp(γ_b − |x − y_b|²/(2 width)) at the rows of a block, and the mean of y_b under these weights.
    fn blend(&self, k: usize, x: &[f64], width: f64, log: &mut [f64], mean: Option<&mut [f64]>) {
        let (d, n) = (self.dimension, self.potentials[k].len());
        let half = 0.5 / width;
        let mut e = vec![0.0; n * LANES];
        let (mut largest, mut sum) = ([f64::NEG_INFINITY; LANES], [0.0; LANES]);
        let mut none = Vec::new();
        let mean = mean.unwrap_or(&mut none);
        mean.fill(0.0);
        let (cloud, gamma) = (&self.clouds[k], &self.potentials[k]);
        enter!(self.level, S => {
            for (b, e) in e.chunks_exact_mut(LANES).enumerate() {
                e.fill(gamma[b]);
                for c in 0..d {
                    let (x, y) = (&x[c * LANES..(c + 1) * LANES], cloud[c * n + b]);
                    for l in 0..LANES {
                        e[l] -= half * (x[l] - y) * (x[l] - y);
                    }
                }
                for l in 0..LANES {
                    largest[l] = if e[l] > largest[l] { e[l] } else { largest[l] };
                }
            }
            for (b, e) in e.chunks_exact_mut(LANES).enumerate() {
                for l in 0..LANES {
                    e[l] = S::exp(e[l] - largest[l]);
                    sum[l] += e[l];
                }
                for (c, mean) in mean.chunks_exact_mut(LANES).enumerate() {
                    let y = cloud[c * n + b];
                    for l in 0..LANES {
                        mean[l] += y * e[l];
                    }
                }
            }
        });
        for l in 0..LANES {
            log[l] = largest[l] + ln(sum[l]);
        }
        for mean in mean.chunks_exact_mut(LANES) {
            mean.iter_mut().zip(&sum).for_each(|(m, s)| *m /= s);
        }
    }
}

impl Control for Clouds {
    fn add(&self, j: usize, x: &[f64], u: &mut [f64]) {
        let Some(k) = self.guiding(j) else { return };
        let (beta, s) = self.widths[k];
        let (mut m, mut mean, mut log) = (vec![0.0; x.len()], vec![0.0; x.len()], [0.0; LANES]);
        self.prior.mean((j - 1) as f64 * self.time_step, self.time_step, x, &mut m);
        self.blend(k, &m, s + beta, &mut log, Some(&mut mean));
        let share = s / ((s + beta) * self.time_step);
        for ((u, m), mean) in u.iter_mut().zip(&m).zip(&mean) {
            *u += share * (mean - m);
        }
    }
}

impl Bump for Clouds {
    /// log ψ_j; the drift is the control's business, so that there is no gradient.
    fn add(&self, j: usize, x: &[f64], value: &mut [f64], gradient: Option<&mut [f64]>) {
        if gradient.is_some() {
            return;
        }
        let Some(k) = self.guiding(j) else { return };
        let mut log = [0.0; LANES];
        self.blend(k, x, self.widths[k].0, &mut log, None);
        value.iter_mut().zip(&log).for_each(|(v, l)| *v += l);
    }
}
