//! F of a curve of one Gaussian, and its gradient. The general functional ([`super::mixture`]) has the same value to
//! rounding; here the density cancels out of the score, so that no exponential is needed.

use super::shape::{Block, Shape, is_held, product_rule, variance};
use crate::math::elementary::{exp, ln};
use crate::solvers::paths::chain::{Chain, LANES, Quadratic};

pub struct Gaussian<'a> {
    chain: &'a Chain,
    rule: Vec<Block>,
    /// x, drift, e and its product with the drift's derivatives: rows of a block.
    rows: [Vec<f64>; 4],
    value: [f64; LANES],
    /// Between two times, per coordinate: the middle, its rate, the deviation, its rate, and the deviations at the times.
    slab: Vec<[f64; 6]>,
}

impl<'a> Gaussian<'a> {
    pub fn new(chain: &'a Chain, nodes: usize) -> Gaussian<'a> {
        Gaussian {
            chain,
            rule: product_rule(chain.dimension, nodes),
            rows: std::array::from_fn(|_| vec![0.0; chain.rows()]),
            value: [0.0; LANES],
            slab: vec![[0.0; 6]; chain.dimension],
        }
    }

    /// F and its gradient at the parameters (μ, ln s).
    pub fn evaluate(&mut self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let chain = self.chain;
        let (n, d) = (chain.steps + 1, chain.dimension);
        debug_assert_eq!(parameters.len(), Shape::new(chain, 1).len());
        let (mu, logs) = parameters.split_at(n * d);
        gradient.fill(0.0);
        let (gmu, glogs) = gradient.split_at_mut(n * d);
        let mut f = 0.0;
        for i in 0..d {
            let s0 = chain.start.deviation[i];
            if s0 > 0.0 {
                let (m, s) = (mu[i] - chain.start.mean[i], exp(logs[i]));
                f += 0.5 * ((s * s + m * m) / (s0 * s0) - 1.0) - logs[i] + ln(s0);
                gmu[i] += m / (s0 * s0);
                glogs[i] += s * s / (s0 * s0) - 1.0;
            }
        }
        let [x, drift, e, pulled] = &mut self.rows;
        let h = chain.time_step;
        let deviation_of = |j: usize, i: usize| if is_held(chain, j, i) { 0.0 } else { exp(logs[j * d + i]) };
        let mean_of = |j: usize, i: usize| if is_held(chain, j, i) { chain.start.mean[i] } else { mu[j * d + i] };
        for j in 0..n {
            // E J_j under ρ_j.
            if chain.quadratics[j].iter().any(|q| *q != Quadratic::default()) || !chain.others[j].is_empty() {
                for block in &self.rule {
                    for i in 0..d {
                        let (m, s) = (mean_of(j, i), deviation_of(j, i));
                        for l in i * LANES..(i + 1) * LANES {
                            x[l] = m + s * block.z[l];
                        }
                    }
                    let (value, slope) = (&mut self.value, &mut *e);
                    value.fill(0.0);
                    slope.fill(0.0);
                    chain.log_potential(j, x, value);
                    chain.log_potential_gradient(j, x, slope);
                    for (l, w) in block.weights[..block.count].iter().enumerate() {
                        f -= w * value[l];
                        for i in (0..d).filter(|i| !is_held(chain, j, *i)) {
                            let k = i * LANES + l;
                            gmu[j * d + i] -= w * slope[k];
                            glogs[j * d + i] -= w * slope[k] * deviation_of(j, i) * block.z[k];
                        }
                    }
                }
            }
            if j == 0 {
                continue;
            }
            // The action from time j − 1 to j, at the middle of the straight interpolation.
            let (a, b) = ((j - 1) * d, j * d);
            for (i, slab) in self.slab.iter_mut().enumerate() {
                let (m, s) = (mean_of(j - 1, i), deviation_of(j - 1, i));
                let s_next = deviation_of(j, i);
                *slab = [0.5 * (m + mu[b + i]), (mu[b + i] - m) / h, 0.5 * (s + s_next), (s_next - s) / h, s, s_next];
            }
            let variance = variance(chain, j);
            let t = chain.time(j - 1) + 0.5 * h;
            for block in &self.rule {
                for (i, [middle, _, deviation, ..]) in self.slab.iter().enumerate() {
                    for l in i * LANES..(i + 1) * LANES {
                        x[l] = middle + deviation * block.z[l];
                    }
                }
                chain.prior.drift(t, x, drift);
                // e = v − b + (σ²/2)∇log ρ per node and coordinate.
                for (i, [_, rate, deviation, growth, ..]) in self.slab.iter().enumerate() {
                    for l in i * LANES..(i + 1) * LANES {
                        let z = block.z[l];
                        e[l] = rate + growth * z - drift[l] - 0.5 * variance * z / deviation;
                    }
                }
                chain.prior.pull(t, x, e, pulled);
                let factor = h / variance;
                for (l, w) in block.weights[..block.count].iter().enumerate() {
                    for (i, [_, _, deviation, _, s, s_next]) in self.slab.iter().enumerate() {
                        let k = i * LANES + l;
                        let z = block.z[k];
                        f += 0.5 * factor * w * e[k] * e[k];
                        let (along, from_x) = (factor * w * e[k], -factor * w * pulled[k]);
                        // x = middle + deviation z; rate and growth; the score's 1/deviation.
                        let to_middle = 0.5 * from_x;
                        gmu[b + i] += to_middle + along / h;
                        let by_deviation = from_x * z + along * 0.5 * variance * z / (deviation * deviation);
                        let by_growth = along * z / h;
                        glogs[b + i] += s_next * (0.5 * by_deviation + by_growth);
                        if !is_held(chain, j - 1, i) {
                            gmu[a + i] += to_middle - along / h;
                            glogs[a + i] += s * (0.5 * by_deviation - by_growth);
                        }
                    }
                }
            }
        }
        f
    }
}
