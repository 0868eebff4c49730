//! The drift of a curve as a correction of the chain's: v + (σ²/2)∇log ρ − b, by responsibilities where there are several
//! components.
//!
//! The noise of a step spreads the points: between ρ_{j−1} and ρ_j the straight map that a step must make within a
//! component is x ↦ μ_j + a (x − μ_{j−1}) with a² s_{j−1}² + σ²h = s_j², which is v + (σ²/2)∇log ρ as h → 0.

use std::sync::Arc;

use super::mixture::Parts;
use super::shape::{Shape, is_held, variance};
use crate::enter;
use crate::math::elementary::exp;
use crate::math::simd::Level;
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::guide::Control;
use crate::solvers::paths::priors::Prior;

/// Components that the responsibilities have room for.
pub const MOST_COMPONENTS: usize = 16;

pub struct Curve {
    prior: Arc<dyn Prior>,
    level: Level,
    time_step: f64,
    fused: Arc<Vec<bool>>,
    /// Per transition: the components at the time before it; and of each, [component][coordinate], rate and slope of the
    /// drift rate + slope (x − mean).
    steps: Vec<(Parts, Vec<[f64; 2]>)>,
}

impl Curve {
    pub fn new(chain: &Chain, shape: Shape, parameters: &[f64], fused: Arc<Vec<bool>>) -> Curve {
        let (d, h) = (shape.dimension, chain.time_step);
        let mut log_weights = vec![0.0; shape.components];
        shape.log_weights(parameters, &mut log_weights);
        let step = |j: usize| {
            let (mut parts, mut linear) = (Parts::new(shape), vec![[0.0; 2]; shape.components * d]);
            let spread = variance(chain, j) * h;
            for c in 0..shape.components {
                parts.log[c] = log_weights[c];
                for i in 0..d {
                    let k = c * d + i;
                    let end = parameters[shape.mean(c, j, i)];
                    if is_held(chain, j - 1, i) {
                        parts.mean[k] = chain.start.mean[i];
                        linear[k] = [(end - parts.mean[k]) / h, 0.0];
                        continue;
                    }
                    let log = parameters[shape.log_deviation(c, j - 1, i)];
                    let (s, s_next) = (exp(log), exp(parameters[shape.log_deviation(c, j, i)]));
                    let kept = (s_next * s_next - spread).max(0.0).sqrt();
                    parts.mean[k] = parameters[shape.mean(c, j - 1, i)];
                    parts.inverse[k] = 1.0 / s;
                    parts.log[c] -= log;
                    linear[k] = [(end - parts.mean[k]) / h, (kept / s - 1.0) / h];
                }
            }
            (parts, linear)
        };
        let steps = (1..=chain.steps).map(step).collect();
        Curve { prior: chain.prior.clone(), level: chain.level, time_step: h, fused, steps }
    }
}

impl Control for Curve {
    fn add(&self, j: usize, x: &[f64], u: &mut [f64]) {
        if self.fused[j] {
            return;
        }
        let (parts, linear) = &self.steps[j - 1];
        let (d, count) = (x.len() / LANES, parts.log.len());
        let mut drift = vec![0.0; x.len()];
        self.prior.drift((j - 1) as f64 * self.time_step, x, &mut drift);
        let (mut r, mut density) = ([0.0; MOST_COMPONENTS * LANES], [0.0; LANES]);
        let r = &mut r[..count * LANES];
        enter!(self.level, S => {
            parts.responsibilities::<S>(x, r, &mut density);
            for i in 0..d {
                let row = i * LANES..(i + 1) * LANES;
                let (x, drift, u) = (&x[row.clone()], &drift[row.clone()], &mut u[row]);
                let mut blended = [0.0; LANES];
                for (c, r) in r.chunks_exact(LANES).enumerate() {
                    let ([rate, slope], mean) = (linear[c * d + i], parts.mean[c * d + i]);
                    for l in 0..LANES {
                        blended[l] += r[l] * (rate + slope * (x[l] - mean));
                    }
                }
                for l in 0..LANES {
                    u[l] += blended[l] - drift[l];
                }
            }
        });
    }
}
