//! F of a curve of mixtures ρ_k = Σ_c w_c N(μ_{c,k}, diag s_{c,k}²), and its gradient.
//!
//! The weights do not depend on time, so that the velocity is v = Σ_c r_c v_c with the responsibilities
//! r_c ∝ w_c N(x; μ_c, s_c²), as the score is ∇log ρ = Σ_c r_c ∇log ρ_c. With u_c = v_c + (σ²/2)∇log ρ_c, which is linear,
//!
//!     F = KL(ρ_0 | start) + Σ_slabs (h/(2σ²)) E|Σ_c r_c u_c − b|² + Σ_k E J_k,     E = Σ_c w_c E_c,
//!
//! E_c by Gauss–Hermite nodes of the component. The gradient goes through the nodes, through u_c, and through
//! dr_c = r_c (dℓ_c − Σ_a r_a dℓ_a), ℓ_c = log w_c N(x; μ_c, s_c²).

use super::shape::{Block, Shape, is_held, product_rule, variance};
use crate::enter;
use crate::math::elementary::{exp, ln};
use crate::math::simd::scalar::{Scalar, total};
use crate::solvers::paths::chain::{Chain, LANES, Quadratic};

/// Components at a time, [component][coordinate] where nothing else is said.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    pub mean: Vec<f64>,
    /// 1/s; 0 in a coordinate that is held, which tells no component from another.
    pub inverse: Vec<f64>,
    /// [component]: log w − Σ log s.
    pub log: Vec<f64>,
}

impl Parts {
    pub fn new(shape: Shape) -> Parts {
        let values = || vec![0.0; shape.components * shape.dimension];
        Parts { mean: values(), inverse: values(), log: vec![0.0; shape.components] }
    }

    /// r_c at the points of a block, [component][LANES], and log ρ without its powers of 2π.
    #[inline(always)]
    pub fn responsibilities<S: Scalar>(&self, x: &[f64], r: &mut [f64], density: &mut [f64; LANES]) {
        let d = x.len() / LANES;
        let (mut largest, mut sum) = ([f64::NEG_INFINITY; LANES], [0.0; LANES]);
        for (c, r) in r.chunks_exact_mut(LANES).enumerate() {
            r.fill(self.log[c]);
            for (i, x) in x.chunks_exact(LANES).enumerate() {
                let (mean, inverse) = (self.mean[c * d + i], self.inverse[c * d + i]);
                for l in 0..LANES {
                    let z = (x[l] - mean) * inverse;
                    r[l] = S::mul_add(-0.5 * z, z, r[l]);
                }
            }
            for l in 0..LANES {
                largest[l] = if r[l] > largest[l] { r[l] } else { largest[l] };
            }
        }
        for r in r.chunks_exact_mut(LANES) {
            for l in 0..LANES {
                r[l] = S::exp(r[l] - largest[l]);
                sum[l] += r[l];
            }
        }
        for r in r.chunks_exact_mut(LANES) {
            for l in 0..LANES {
                r[l] /= sum[l];
            }
        }
        for l in 0..LANES {
            density[l] = largest[l] + S::ln_positive(sum[l]);
        }
    }
}

/// Slopes of F by what describes the components at a time or between two.
struct Slopes {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    rate: Vec<f64>,
    growth: Vec<f64>,
    /// By log w, over all times.
    log_weight: Vec<f64>,
}

pub struct Mixture<'a> {
    chain: &'a Chain,
    shape: Shape,
    rule: Vec<Block>,
    log_weights: Vec<f64>,
    weights: Vec<f64>,
    parts: Parts,
    deviation: Vec<f64>,
    rate: Vec<f64>,
    growth: Vec<f64>,
    slopes: Slopes,
    /// x, drift, Σ r u, the slope by e, its product with the drift's derivatives, the slope by x: rows of a block.
    rows: [Vec<f64>; 6],
    /// [component][LANES].
    r: Vec<f64>,
    density: [f64; LANES],
}

impl<'a> Mixture<'a> {
    pub fn new(chain: &'a Chain, shape: Shape, nodes: usize) -> Mixture<'a> {
        let values = || vec![0.0; shape.components * shape.dimension];
        let each = || vec![0.0; shape.components];
        let slopes =
            Slopes { mean: values(), deviation: values(), rate: values(), growth: values(), log_weight: each() };
        Mixture {
            chain,
            shape,
            rule: product_rule(chain.dimension, nodes),
            log_weights: each(),
            weights: each(),
            parts: Parts::new(shape),
            deviation: values(),
            rate: values(),
            growth: values(),
            slopes,
            rows: std::array::from_fn(|_| vec![0.0; chain.rows()]),
            r: vec![0.0; shape.components * LANES],
            density: [0.0; LANES],
        }
    }

    /// F and its gradient.
    pub fn evaluate(&mut self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let chain = self.chain;
        gradient.fill(0.0);
        self.slopes.log_weight.fill(0.0);
        self.shape.log_weights(parameters, &mut self.log_weights);
        self.weights.iter_mut().zip(&self.log_weights).for_each(|(w, log)| *w = exp(*log));
        let mut f = 0.0;
        for j in 0..self.shape.times {
            let costs = chain.quadratics[j].iter().any(|q| *q != Quadratic::default()) || !chain.others[j].is_empty();
            let drawn = j == 0 && chain.start.deviation.iter().any(|s| *s > 0.0);
            if costs || drawn {
                self.at(j, parameters);
                f += if drawn { self.divergence_of_the_start() } else { 0.0 };
                f += if costs { self.cost(j) } else { 0.0 };
                self.collect(j, gradient);
            }
            if j > 0 {
                f += self.action(j, parameters, gradient);
            }
        }
        if self.shape.components > 1 {
            // The weights are exponentials over their sum.
            let all: f64 = self.slopes.log_weight.iter().sum();
            for (c, (slope, w)) in self.slopes.log_weight.iter().zip(&self.weights).enumerate() {
                gradient[self.shape.log_weight(c)] = slope - w * all;
            }
        }
        f
    }

    /// The components at time `j`; no slopes yet.
    fn at(&mut self, j: usize, parameters: &[f64]) {
        let (d, shape) = (self.shape.dimension, self.shape);
        for c in 0..shape.components {
            self.parts.log[c] = self.log_weights[c];
            for i in 0..d {
                let k = c * d + i;
                if is_held(self.chain, j, i) {
                    (self.parts.mean[k], self.deviation[k], self.parts.inverse[k]) =
                        (self.chain.start.mean[i], 0.0, 0.0);
                    continue;
                }
                let log = parameters[shape.log_deviation(c, j, i)];
                self.parts.mean[k] = parameters[shape.mean(c, j, i)];
                self.deviation[k] = exp(log);
                self.parts.inverse[k] = 1.0 / self.deviation[k];
                self.parts.log[c] -= log;
            }
        }
        self.slopes.mean.fill(0.0);
        self.slopes.deviation.fill(0.0);
    }

    /// The slopes at time `j` into the gradient.
    fn collect(&self, j: usize, gradient: &mut [f64]) {
        let (d, shape) = (self.shape.dimension, self.shape);
        for k in 0..shape.components * d {
            let (c, i) = (k / d, k % d);
            if !is_held(self.chain, j, i) {
                gradient[shape.mean(c, j, i)] += self.slopes.mean[k];
                gradient[shape.log_deviation(c, j, i)] += self.deviation[k] * self.slopes.deviation[k];
            }
        }
    }

    /// The nodes of component `k` as points.
    fn place(&mut self, k: usize, block: usize) {
        let d = self.shape.dimension;
        for i in 0..d {
            let (mean, deviation) = (self.parts.mean[k * d + i], self.deviation[k * d + i]);
            for l in i * LANES..(i + 1) * LANES {
                self.rows[0][l] = mean + deviation * self.rule[block].z[l];
            }
        }
    }

    /// E J_j.
    fn cost(&mut self, j: usize) -> f64 {
        let (chain, d) = (self.chain, self.shape.dimension);
        let mut cost = 0.0;
        for k in 0..self.shape.components {
            for b in 0..self.rule.len() {
                self.place(k, b);
                let (block, weight) = (&self.rule[b], self.weights[k]);
                let [x, slope, ..] = &mut self.rows;
                let mut value = [0.0; LANES];
                slope.fill(0.0);
                chain.log_potential(j, x, &mut value);
                chain.log_potential_gradient(j, x, slope);
                let mut own = 0.0;
                for l in 0..block.count {
                    own -= weight * block.weights[l] * value[l];
                    for i in 0..d {
                        let by_x = -weight * block.weights[l] * slope[i * LANES + l];
                        self.slopes.mean[k * d + i] += by_x;
                        self.slopes.deviation[k * d + i] += by_x * block.z[i * LANES + l];
                    }
                }
                self.slopes.log_weight[k] += own;
                cost += own;
            }
        }
        cost
    }

    /// KL(ρ_0 | start) over the coordinates that are drawn.
    fn divergence_of_the_start(&mut self) -> f64 {
        let (chain, d, count) = (self.chain, self.shape.dimension, self.shape.components);
        let start = &chain.start;
        let mut divergence = 0.0;
        for k in 0..count {
            for b in 0..self.rule.len() {
                self.place(k, b);
                let (block, parts, slopes) = (&self.rule[b], &self.parts, &mut self.slopes);
                let [x, ..] = &self.rows;
                let (r, density) = (&mut self.r, &mut self.density);
                enter!(chain.level, S => parts.responsibilities::<S>(x, r, density));
                let mut own = 0.0;
                for l in 0..block.count {
                    let share = self.weights[k] * block.weights[l];
                    let mut log = density[l];
                    for c in 0..count {
                        slopes.log_weight[c] += share * r[c * LANES + l];
                    }
                    for i in (0..d).filter(|i| start.deviation[*i] > 0.0) {
                        let apart = (x[i * LANES + l] - start.mean[i]) / start.deviation[i];
                        log += 0.5 * apart * apart + ln(start.deviation[i]);
                        let mut by_x = share * apart / start.deviation[i];
                        for c in 0..count {
                            let at = c * d + i;
                            let z = (x[i * LANES + l] - parts.mean[at]) * parts.inverse[at];
                            let q = share * r[c * LANES + l] * parts.inverse[at];
                            slopes.mean[at] += q * z;
                            slopes.deviation[at] += q * (z * z - 1.0);
                            by_x -= q * z;
                        }
                        slopes.mean[k * d + i] += by_x;
                        slopes.deviation[k * d + i] += by_x * block.z[i * LANES + l];
                    }
                    own += share * log;
                }
                slopes.log_weight[k] += own;
                divergence += own;
            }
        }
        divergence
    }

    /// Mean and deviation of component `c` in coordinate `i` at time `j`.
    fn end(&self, c: usize, j: usize, i: usize, parameters: &[f64]) -> (f64, f64) {
        match is_held(self.chain, j, i) {
            true => (self.chain.start.mean[i], 0.0),
            false => (parameters[self.shape.mean(c, j, i)], exp(parameters[self.shape.log_deviation(c, j, i)])),
        }
    }

    /// The components at a part θ of the way from time `j` − 1 to `j`: means and variances on straight lines, so that what
    /// spreads by its noise alone has no action.
    fn between(&mut self, j: usize, theta: f64, parameters: &[f64]) {
        let (d, h) = (self.shape.dimension, self.chain.time_step);
        for c in 0..self.shape.components {
            self.parts.log[c] = self.log_weights[c];
            for i in 0..d {
                let k = c * d + i;
                let ((m, s), (m_next, s_next)) = (self.end(c, j - 1, i, parameters), self.end(c, j, i, parameters));
                let deviation = ((1.0 - theta) * s * s + theta * s_next * s_next).sqrt();
                (self.parts.mean[k], self.rate[k]) = ((1.0 - theta) * m + theta * m_next, (m_next - m) / h);
                (self.deviation[k], self.growth[k]) = (deviation, 0.5 * (s_next * s_next - s * s) / (h * deviation));
                self.parts.inverse[k] = 1.0 / deviation;
                self.parts.log[c] -= ln(deviation);
            }
        }
        let slopes = &mut self.slopes;
        for slopes in [&mut slopes.mean, &mut slopes.deviation, &mut slopes.rate, &mut slopes.growth] {
            slopes.fill(0.0);
        }
    }

    /// The slopes of the part θ into the gradient.
    fn share_out(&self, j: usize, theta: f64, parameters: &[f64], gradient: &mut [f64]) {
        let (d, h, slopes) = (self.shape.dimension, self.chain.time_step, &self.slopes);
        for at in 0..self.shape.components * d {
            let (c, i) = (at / d, at % d);
            let inverse = self.parts.inverse[at];
            let by_deviation = slopes.deviation[at] - slopes.growth[at] * self.growth[at] * inverse;
            for (j, part, sign) in [(j - 1, 1.0 - theta, -1.0), (j, theta, 1.0)] {
                if !is_held(self.chain, j, i) {
                    let log = self.shape.log_deviation(c, j, i);
                    let (_, s) = self.end(c, j, i, parameters);
                    gradient[self.shape.mean(c, j, i)] += part * slopes.mean[at] + sign * slopes.rate[at] / h;
                    gradient[log] += s * s * inverse * (part * by_deviation + sign * slopes.growth[at] / h);
                }
            }
        }
    }

    /// The action from time `j` − 1 to `j` by two points of Gauss, and its slopes into the gradient. One point in the middle
    /// would have components change places there at no cost, as v is a mean over those that coincide.
    fn action(&mut self, j: usize, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let off = 0.5 / 3f64.sqrt();
        let mut action = 0.0;
        for theta in [0.5 - off, 0.5 + off] {
            self.between(j, theta, parameters);
            action += self.rate_of_action(j, theta);
            self.share_out(j, theta, parameters, gradient);
        }
        action
    }

    /// Half a step's action at its part θ, and the slopes.
    fn rate_of_action(&mut self, j: usize, theta: f64) -> f64 {
        let (chain, d, count) = (self.chain, self.shape.dimension, self.shape.components);
        let (h, variance) = (chain.time_step, variance(chain, j));
        let (t, factor, half) = (chain.time(j - 1) + theta * h, 0.5 * h / variance, 0.5 * variance);
        let mut action = 0.0;
        for k in 0..count {
            for b in 0..self.rule.len() {
                self.place(k, b);
                let Mixture { rule, parts, rate, growth, slopes, rows, r, density, weights, .. } = self;
                let (block, [x, drift, blended, along, pulled, back]) = (&rule[b], rows);
                chain.prior.drift(t, x, drift);
                let mut own = 0.0;
                enter!(chain.level, S => {
                    parts.responsibilities::<S>(x, r, density);
                    for i in 0..d {
                        let row = i * LANES..(i + 1) * LANES;
                        let (x, drift) = (&x[row.clone()], &drift[row.clone()]);
                        let (blended, along) = (&mut blended[row.clone()], &mut along[row]);
                        blended.fill(0.0);
                        for (c, r) in r.chunks_exact(LANES).enumerate() {
                            let at = c * d + i;
                            let (mean, inverse, rate) = (parts.mean[at], parts.inverse[at], rate[at]);
                            let slope = growth[at] - half * inverse;
                            for l in 0..LANES {
                                let z = (x[l] - mean) * inverse;
                                blended[l] = S::mul_add(r[l], S::mul_add(slope, z, rate), blended[l]);
                            }
                        }
                        let mut parts_of_it = [0.0; LANES];
                        for l in 0..LANES {
                            let e = blended[l] - drift[l];
                            along[l] = factor * weights[k] * block.weights[l] * e;
                            parts_of_it[l] = 0.5 * along[l] * e;
                        }
                        own += total(&parts_of_it);
                    }
                });
                chain.prior.pull(t, x, along, pulled);
                enter!(chain.level, S => {
                    for (back, pulled) in back.iter_mut().zip(pulled.iter()) {
                        *back = -pulled;
                    }
                    for (c, r) in r.chunks_exact(LANES).enumerate() {
                        // What a gain of ℓ_c is worth.
                        let mut q = [0.0; LANES];
                        for i in 0..d {
                            let row = i * LANES..(i + 1) * LANES;
                            let (x, blended, along) = (&x[row.clone()], &blended[row.clone()], &along[row]);
                            let at = c * d + i;
                            let (mean, inverse, rate) = (parts.mean[at], parts.inverse[at], rate[at]);
                            let slope = growth[at] - half * inverse;
                            for l in 0..LANES {
                                let z = (x[l] - mean) * inverse;
                                q[l] = S::mul_add(along[l], S::mul_add(slope, z, rate) - blended[l], q[l]);
                            }
                        }
                        for l in 0..LANES {
                            q[l] *= r[l];
                        }
                        let all = total(&q);
                        slopes.log_weight[c] += all;
                        for i in 0..d {
                            let row = i * LANES..(i + 1) * LANES;
                            let (x, along, back) = (&x[row.clone()], &along[row.clone()], &mut back[row]);
                            let at = c * d + i;
                            let (mean, inverse) = (parts.mean[at], parts.inverse[at]);
                            let slope = growth[at] - half * inverse;
                            let mut sums = [[0.0; LANES]; 4];
                            for l in 0..LANES {
                                let z = (x[l] - mean) * inverse;
                                let g = r[l] * along[l];
                                sums[0][l] = g;
                                sums[1][l] = g * z;
                                sums[2][l] = q[l] * z;
                                sums[3][l] = q[l] * z * z;
                                back[l] += (g * slope - q[l] * z) * inverse;
                            }
                            let [g, gz, qz, qzz] = [total(&sums[0]), total(&sums[1]), total(&sums[2]), total(&sums[3])];
                            slopes.rate[at] += g;
                            slopes.growth[at] += gz;
                            slopes.mean[at] += (qz - slope * g) * inverse;
                            slopes.deviation[at] += ((half * inverse - slope) * gz + qzz - all) * inverse;
                        }
                    }
                    for i in 0..d {
                        let row = i * LANES..(i + 1) * LANES;
                        let (back, z) = (&back[row.clone()], &block.z[row]);
                        let mut turned = [0.0; LANES];
                        for l in 0..LANES {
                            turned[l] = back[l] * z[l];
                        }
                        slopes.mean[k * d + i] += total(back);
                        slopes.deviation[k * d + i] += total(&turned);
                    }
                });
                slopes.log_weight[k] += own;
                action += own;
            }
        }
        action
    }
}
