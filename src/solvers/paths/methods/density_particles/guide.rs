//! Paths guided by a curve of clouds: by the entropic transports from each cloud to the next.
//!
//! Under the optimal law the pair of two times has the density φ(x) p(y|x) ψ(y), p = N(m, S) the chain's kernel: it is the
//! entropic transport between its own marginals, and its mean is m + hv' + (S/2)∇log ρ as h → 0, v' the velocity beside the
//! chain's. Between clouds the kernel must be wider than the distance of particles: with the variance ε = S + β² the
//! transport's mean T_xy(m) = Σ_b w_b(m) y_b, w_b ∝ exp(γ_b − |m − y_b|²/(2ε)), has (ε/2)∇log ρ in that place. What is too
//! much comes from the transport T_xx of the means of the earlier cloud into themselves, m + (ε/2)∇log ρ [Pooladian2022]:
//!
//!     mean of the guided kernel = m + (T_xy − T_xx)(m) + (S/ε)(T_xx − m)
//!
//! Without it (m + (S/ε)(T_xy − m)) paths lag behind clouds that move: by β²/S steps. The mean is m + S∇log p(ψ)(m) of
//! log p(ψ) = (ε/S) log Σ_b e^{γ_b} N(m; y_b, ε) − (β²/S) the same of T_xx, which resampling looks ahead with.

use std::sync::Arc;

use crate::enter;
use crate::math::elementary::ln;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::guide::{Bump, Control};
use crate::solvers::paths::priors::Prior;

/// Points and potentials of a transport into them: points [coordinate][point].
pub struct Transport {
    pub points: Vec<f64>,
    pub potentials: Vec<f64>,
}

/// Between a cloud and the one before.
pub struct Step {
    /// Into the cloud, and from the means of the one before into themselves.
    pub across: Transport,
    pub within: Transport,
    /// S + β², and S over it.
    pub width: f64,
    pub share: f64,
}

pub struct Clouds {
    prior: Arc<dyn Prior>,
    level: Level,
    dimension: usize,
    time_step: f64,
    /// Per transition from time 0 on.
    steps: Vec<Step>,
    /// Times that are fused with an observation, into which nothing else guides.
    fused: Vec<bool>,
}

impl Transport {
    /// log Σ_b exp(γ_b − |x − y_b|²/(2 width)) at the rows of a block, and the mean of y_b under these weights.
    fn blend(&self, level: Level, x: &[f64], width: f64, log: &mut [f64], mean: Option<&mut [f64]>) {
        let (d, n) = (x.len() / LANES, self.potentials.len());
        let half = 0.5 / width;
        let mut e = vec![0.0; n * LANES];
        let (mut largest, mut sum) = ([f64::NEG_INFINITY; LANES], [0.0; LANES]);
        let mut none = Vec::new();
        let mean = mean.unwrap_or(&mut none);
        mean.fill(0.0);
        enter!(level, S => {
            for (b, e) in e.chunks_exact_mut(LANES).enumerate() {
                e.fill(self.potentials[b]);
                for c in 0..d {
                    let (x, y) = (&x[c * LANES..(c + 1) * LANES], self.points[c * n + b]);
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
                    let y = self.points[c * n + b];
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

impl Clouds {
    pub fn new(chain: &Chain, steps: Vec<Step>, fused: Vec<bool>) -> Clouds {
        let (prior, level) = (chain.prior.clone(), chain.level);
        Clouds { prior, level, dimension: chain.dimension, time_step: chain.time_step, steps, fused }
    }

    /// The chain's means of transition `j` from the rows of a block.
    fn means(&self, j: usize, x: &[f64]) -> Vec<f64> {
        let mut m = vec![0.0; self.dimension * LANES];
        self.prior.mean((j - 1) as f64 * self.time_step, self.time_step, x, &mut m);
        m
    }
}

impl Control for Clouds {
    fn add(&self, j: usize, x: &[f64], u: &mut [f64]) {
        if self.fused[j] {
            return;
        }
        let (step, m) = (&self.steps[j - 1], self.means(j, x));
        let (mut across, mut within, mut log) = (vec![0.0; x.len()], vec![0.0; x.len()], [0.0; LANES]);
        step.across.blend(self.level, &m, step.width, &mut log, Some(&mut across));
        step.within.blend(self.level, &m, step.width, &mut log, Some(&mut within));
        for (((u, m), across), within) in u.iter_mut().zip(&m).zip(&across).zip(&within) {
            *u += (across - within + step.share * (within - m)) / self.time_step;
        }
    }
}

impl Bump for Clouds {
    /// log p(ψ_{j+1}), but none at the start, where a twist has it; the drift is the control's business, so that there is no
    /// gradient.
    fn add(&self, j: usize, x: &[f64], value: &mut [f64], gradient: Option<&mut [f64]>) {
        let Some(step) = self.steps.get(j).filter(|_| j > 0 && gradient.is_none()) else { return };
        let m = self.means(j + 1, x);
        let (mut across, mut within) = ([0.0; LANES], [0.0; LANES]);
        step.across.blend(self.level, &m, step.width, &mut across, None);
        step.within.blend(self.level, &m, step.width, &mut within, None);
        for ((v, across), within) in value.iter_mut().zip(&across).zip(&within) {
            *v += (across - (1.0 - step.share) * within) / step.share;
        }
    }
}
