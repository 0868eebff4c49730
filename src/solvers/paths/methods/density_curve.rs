//! Gaussian density curves: ρ_k = N(μ_k, diag s_k²) at the times of the grid, optimised against the bound on the evidence
//!
//!     F = KL(ρ_0 | start) + Σ_k (h/(2σ²)) E_{ρ_k}|v_k − b + (σ²/2) ∇log ρ_k|² + Σ_k E_{ρ_k} J_k ≥ −log Z
//!
//! (Doob's Lagrangian with soft ends, h → 0), v_k the velocity of the curve: v = μ' + (s'/s)(x − μ). Between two times the
//! velocity is that of the straight Gaussian interpolation and the expectation is taken at its middle. Expectations are by
//! Gauss–Hermite nodes, so F is a function of the parameters, minimised by Adam with a step size that falls. The curve's
//! drift v + (σ²/2)∇log ρ then guides paths, whose weights make the result exact.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, Method, Population, importance, twisted_smc};
use crate::error::{Error, Result};
use crate::math::elementary::{exp, ln};
use crate::math::rng::Stream;
use crate::solvers::paths::bumps::gauss_hermite;
use crate::solvers::paths::chain::{Chain, LANES, Other, Quadratic};
use crate::solvers::paths::ensemble::{Context, Sampled};
use crate::solvers::paths::guide::{Control, Guide};
use crate::state::{Name, Walk};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: Population,
    /// Steps of the optimisation.
    #[serde(default = "thousands")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub iterations: usize,
    /// First step size of Adam; it falls to a thousandth.
    #[serde(default = "rate")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rate: f64,
    /// Nodes of the Gauss–Hermite rule per coordinate.
    #[serde(default = "seven")]
    #[schemars(range(min = 3, max = 15))]
    pub nodes: usize,
    /// Resample along time where the effective sample size falls below this share; 0: importance sampling.
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    pub resample_below: f64,
}

fn thousands() -> usize {
    4000
}

fn rate() -> f64 {
    0.03
}

fn seven() -> usize {
    7
}

fn half() -> f64 {
    0.5
}

/// Iterations of one round of training.
const ROUND: usize = 500;

pub struct DensityCurve {
    input: Input,
    /// [time][coordinate]: μ, then ln s in the same order.
    parameters: Vec<f64>,
    /// Adam's two moments.
    moments: [Vec<f64>; 2],
    iterations: u64,
    bound: f64,
    evaluations: f64,
    /// Transitions that are fused with an observation.
    fused: Arc<Vec<bool>>,
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<DensityCurve, Finding> {
        if !chain.constant_noise() || chain.deviation(chain.steps, 0).is_none_or(|s| s == 0.0) {
            return Err(("name".into(), "density curves need noise that is constant and nowhere zero".into()));
        }
        if !chain.prior.has_pull() {
            return Err(("name".into(), "density curves need derivatives that the written drift has not".into()));
        }
        if chain.others.iter().flatten().any(|o| matches!(o, Other::Ball { .. })) {
            let message = "a ball has no Gaussian expectation: give an observation with a small deviation";
            return Err(("name".into(), message.into()));
        }
        let parameters = straight(chain);
        let observed = |q: &Vec<Quadratic>| q.iter().any(|q| q.a > 0.0);
        let fused = chain.quadratics.iter().map(observed).collect();
        let zeros = || vec![0.0; parameters.len()];
        let moments = [zeros(), zeros()];
        Ok(DensityCurve {
            input: self.clone(),
            parameters,
            moments,
            iterations: 0,
            bound: f64::NAN,
            evaluations: 0.0,
            fused: Arc::new(fused),
        })
    }
}

/// Where curves begin: straight from the start through the observations, as wide as a bridge: means [time][coordinate],
/// then logarithms of deviations.
pub fn straight(chain: &Chain) -> Vec<f64> {
    let (n, d) = (chain.steps + 1, chain.dimension);
    let mut parameters = vec![0.0; 2 * n * d];
    for i in 0..d {
        let mut known = vec![(0usize, chain.start.mean[i])];
        for (j, q) in chain.quadratics.iter().enumerate() {
            if q[i].a > 0.0 && j > 0 {
                known.push((j, q[i].c / q[i].a));
            }
        }
        for j in 0..n {
            let after = known.iter().position(|k| k.0 >= j);
            parameters[j * d + i] = match after {
                Some(0) => known[0].1,
                Some(k) => {
                    let ((a, x), (b, y)) = (known[k - 1], known[k]);
                    x + (y - x) * (j - a) as f64 / (b - a) as f64
                }
                None => known[known.len() - 1].1,
            };
            let step = chain.noise * chain.time_step.sqrt();
            let base = chain.start.deviation[i].max(step);
            parameters[n * d + j * d + i] = ln(base.clamp(step, 0.5));
        }
    }
    parameters
}

/// Nodes of the product rule in standard coordinates: [node][coordinate], with weights.
fn product_rule(d: usize, nodes: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
    let (x, w) = gauss_hermite(nodes);
    let count = nodes.pow(d as u32);
    let mut points = Vec::with_capacity(count);
    let mut weights = Vec::with_capacity(count);
    for k in 0..count {
        let (mut rest, mut weight, mut point) = (k, 1.0, Vec::new());
        for _ in 0..d {
            point.push(x[rest % nodes]);
            weight *= w[rest % nodes];
            rest /= nodes;
        }
        points.push(point);
        weights.push(weight);
    }
    (points, weights)
}

/// F and its gradient at the parameters (μ, ln s).
pub fn functional(chain: &Chain, nodes: usize, parameters: &[f64], gradient: &mut [f64]) -> f64 {
    let (n, d) = (chain.steps + 1, chain.dimension);
    let (points, weights) = product_rule(d, nodes);
    let (mu, logs) = parameters.split_at(n * d);
    gradient.fill(0.0);
    let (gmu, glogs) = gradient.split_at_mut(n * d);
    let variance = chain.noise * chain.noise;
    let mut f = 0.0;
    // KL of the start; a fixed start has the deviation of the first parameters held by its own step.
    for i in 0..d {
        let s0 = chain.start.deviation[i];
        if s0 > 0.0 {
            let (m, s) = (mu[i] - chain.start.mean[i], exp(logs[i]));
            f += 0.5 * ((s * s + m * m) / (s0 * s0) - 1.0) - logs[i] + ln(s0);
            gmu[i] += m / (s0 * s0);
            glogs[i] += s * s / (s0 * s0) - 1.0;
        }
    }
    let block = |x: &[Vec<f64>]| {
        let mut rows = vec![0.0; chain.rows()];
        for (l, x) in x.iter().enumerate() {
            for i in 0..d {
                rows[i * LANES + l] = x[i];
            }
        }
        rows
    };
    let h = chain.time_step;
    for j in 0..n {
        // E J_j under ρ_j.
        if chain.quadratics[j].iter().any(|q| *q != Quadratic::default()) || !chain.others[j].is_empty() {
            for (chunk, w) in points.chunks(LANES).zip(weights.chunks(LANES)) {
                let s = |i: usize| if j == 0 && chain.start.deviation[i] == 0.0 { 0.0 } else { exp(logs[j * d + i]) };
                let at: Vec<Vec<f64>> =
                    chunk.iter().map(|z| (0..d).map(|i| mu[j * d + i] + s(i) * z[i]).collect()).collect();
                let x = block(&at);
                let (mut value, mut slope) = (vec![0.0; LANES], vec![0.0; chain.rows()]);
                chain.log_potential(j, &x, &mut value);
                chain.log_potential_gradient(j, &x, &mut slope);
                for (l, (z, w)) in chunk.iter().zip(w).enumerate() {
                    f -= w * value[l];
                    for i in 0..d {
                        gmu[j * d + i] -= w * slope[i * LANES + l];
                        glogs[j * d + i] -= w * slope[i * LANES + l] * s(i) * z[i];
                    }
                }
            }
        }
        if j == 0 {
            continue;
        }
        // The action from time j − 1 to j, at the middle of the straight interpolation.
        let (a, b) = ((j - 1) * d, j * d);
        let fixed = |i: usize| j == 1 && chain.start.deviation[i] == 0.0;
        let s_of =
            |at: usize, i: usize| if at == 0 && chain.start.deviation[i] == 0.0 { 0.0 } else { exp(logs[at + i]) };
        let m = |i: usize| if fixed(i) { chain.start.mean[i] } else { mu[a + i] };
        let middle: Vec<f64> = (0..d).map(|i| 0.5 * (m(i) + mu[b + i])).collect();
        let rate: Vec<f64> = (0..d).map(|i| (mu[b + i] - m(i)) / h).collect();
        let deviation: Vec<f64> = (0..d).map(|i| 0.5 * (s_of(a, i) + s_of(b, i))).collect();
        let growth: Vec<f64> = (0..d).map(|i| (s_of(b, i) - s_of(a, i)) / h).collect();
        for (chunk, w) in points.chunks(LANES).zip(weights.chunks(LANES)) {
            let at: Vec<Vec<f64>> =
                chunk.iter().map(|z| (0..d).map(|i| middle[i] + deviation[i] * z[i]).collect()).collect();
            let x = block(&at);
            let (mut drift, mut pulled) = (vec![0.0; chain.rows()], vec![0.0; chain.rows()]);
            let t = chain.time(j - 1) + 0.5 * h;
            chain.prior.drift(t, &x, &mut drift);
            // e = v − b + (σ²/2)∇log ρ per node and coordinate.
            let mut e = vec![0.0; chain.rows()];
            for (l, z) in chunk.iter().enumerate() {
                for i in 0..d {
                    e[i * LANES + l] =
                        rate[i] + growth[i] * z[i] - drift[i * LANES + l] - 0.5 * variance * z[i] / deviation[i];
                }
            }
            chain.prior.pull(t, &x, &e, &mut pulled);
            let factor = h / variance;
            for (l, (z, w)) in chunk.iter().zip(w).enumerate() {
                for i in 0..d {
                    let k = i * LANES + l;
                    f += 0.5 * factor * w * e[k] * e[k];
                    let (along, from_x) = (factor * w * e[k], -factor * w * pulled[k]);
                    // x = middle + deviation z; rate and growth; the score's 1/deviation.
                    let to_middle = 0.5 * from_x;
                    gmu[b + i] += to_middle + along / h;
                    if !fixed(i) {
                        gmu[a + i] += to_middle - along / h;
                    }
                    let by_deviation = from_x * z[i] + along * 0.5 * variance * z[i] / (deviation[i] * deviation[i]);
                    let by_growth = along * z[i] / h;
                    glogs[b + i] += s_of(b, i) * (0.5 * by_deviation + by_growth);
                    if !(a == 0 && chain.start.deviation[i] == 0.0) {
                        glogs[a + i] += s_of(a, i) * (0.5 * by_deviation - by_growth);
                    }
                }
            }
        }
    }
    f
}

/// The drift of the curve minus that of the chain, as a correction.
struct Curve {
    prior: Arc<dyn crate::solvers::paths::priors::Prior>,
    /// Per transition and coordinate: drift = rate + slope (x − centre).
    linear: Vec<[f64; 3]>,
    dimension: usize,
    time_step: f64,
    fused: Arc<Vec<bool>>,
}

impl Control for Curve {
    fn add(&self, j: usize, x: &[f64], u: &mut [f64]) {
        if self.fused[j] {
            return;
        }
        let mut drift = vec![0.0; x.len()];
        self.prior.drift((j - 1) as f64 * self.time_step, x, &mut drift);
        for i in 0..self.dimension {
            let [rate, slope, centre] = self.linear[(j - 1) * self.dimension + i];
            for l in i * LANES..(i + 1) * LANES {
                u[l] += rate + slope * (x[l] - centre) - drift[l];
            }
        }
    }
}

impl DensityCurve {
    fn guide(&self, chain: &Chain) -> Guide {
        let (n, d) = (chain.steps + 1, chain.dimension);
        let (mu, logs) = self.parameters.split_at(n * d);
        let h = chain.time_step;
        // The step's noise spreads the points: between ρ_{j−1} and ρ_j the straight map that a step must make is
        // x ↦ μ_j + r (x − μ_{j−1}) with r² s_{j−1}² + σ²h = s_j².
        let variance = chain.noise * chain.noise * h;
        let mut linear = Vec::new();
        for j in 1..n {
            for i in 0..d {
                let (a, b) = ((j - 1) * d + i, j * d + i);
                let fixed = j == 1 && chain.start.deviation[i] == 0.0;
                let (m, s) = if fixed { (chain.start.mean[i], 0.0) } else { (mu[a], exp(logs[a])) };
                let s_next = exp(logs[b]);
                let kept = (s_next * s_next - variance).max(0.0).sqrt();
                let slope = if fixed { 0.0 } else { (kept / s - 1.0) / h };
                linear.push([(mu[b] - m) / h, slope, m]);
            }
        }
        let control =
            Curve { prior: chain.prior.clone(), linear, dimension: d, time_step: h, fused: self.fused.clone() };
        let twist = chain
            .quadratics
            .iter()
            .zip(self.fused.iter())
            .map(|(q, fused)| if *fused { q.clone() } else { vec![Quadratic::default(); d] })
            .collect();
        Guide { twist: Some(Arc::new(twist)), control: Some(Arc::new(control)), ..Guide::default() }
    }

    fn adam(&mut self, chain: &Chain, steps: usize) -> f64 {
        let (nodes, rate, total) = (self.input.nodes, self.input.rate, self.input.iterations as f64);
        let mut gradient = vec![0.0; self.parameters.len()];
        let mut f = f64::NAN;
        let (b1, b2) = (0.9f64, 0.999f64);
        for _ in 0..steps {
            f = functional(chain, nodes, &self.parameters, &mut gradient);
            self.iterations += 1;
            let t = self.iterations as i32;
            let size = rate * exp(-ln(1000.0) * self.iterations as f64 / total);
            let (c1, c2) = (1.0 - b1.powi(t), 1.0 - b2.powi(t));
            let [first, second] = &mut self.moments;
            for (k, g) in gradient.iter().enumerate() {
                first[k] = b1 * first[k] + (1.0 - b1) * g;
                second[k] = b2 * second[k] + (1.0 - b2) * g * g;
                self.parameters[k] -= size * (first[k] / c1) / ((second[k] / c2).sqrt() + 1e-10);
            }
        }
        let count = (steps * chain.steps) as f64;
        self.evaluations += 2.0 * count * (nodes as f64).powi(chain.dimension as i32);
        f
    }
}

const PARAMETERS: Name = Name {
    name: "curve",
    units: "1",
    meaning: "means of the Gaussian curve [time][coordinate], then logarithms of its deviations",
    axes: &["curve_parameter"],
};
const MOMENTS: [Name; 2] = [
    Name { name: "adam_first", units: "1", meaning: "first moments of Adam", axes: &["curve_parameter"] },
    Name { name: "adam_second", units: "1", meaning: "second moments of Adam", axes: &["curve_parameter"] },
];
const NUMBERS: Name = Name {
    name: "curve_numbers",
    units: "1",
    meaning: "F and drift evaluations of the optimisation",
    axes: &["curve_number"],
};
const ITERATIONS: Name = Name { name: "iterations", units: "1", meaning: "iterations of the optimisation", axes: &[] };

impl Method for DensityCurve {
    fn train(&mut self, context: &Context, _round: u64) -> Result<bool> {
        let left = self.input.iterations - self.iterations as usize;
        if left == 0 {
            return Ok(true);
        }
        context.check()?;
        // Every rank does the same: the curve is small.
        let bound = self.adam(context.chain, left.min(ROUND));
        if !bound.is_finite() {
            let message = "the functional of the curve left the numbers' range: reduce method.rate".into();
            return Err(Error::Numerical { step: context.step, message });
        }
        self.bound = bound;
        Ok(self.iterations as usize == self.input.iterations)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        let guide = self.guide(context.chain);
        if self.input.resample_below > 0.0 {
            let below = self.input.resample_below;
            return twisted_smc::filter(context, &guide, below, Stream::PathsNoise, replicate);
        }
        importance::sample(context, &guide, Stream::PathsNoise, replicate)
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.replicated(&PARAMETERS, &mut self.parameters)?;
        for (name, moments) in MOMENTS.iter().zip(&mut self.moments) {
            walk.replicated(name, moments)?;
        }
        let mut numbers = vec![self.bound, self.evaluations];
        walk.scalar(&NUMBERS, (&mut numbers).into())?;
        [self.bound, self.evaluations] = [numbers[0], numbers[1]];
        walk.scalar(&ITERATIONS, (&mut self.iterations).into())
    }

    fn training_evaluations(&self) -> f64 {
        self.evaluations
    }

    fn training(&self) -> (f64, f64) {
        (self.iterations as f64 / self.input.iterations as f64, f64::NAN)
    }

    fn other_log_evidence(&self) -> Option<(f64, &'static str)> {
        Some((-self.bound, "-F of the Gaussian curve, a lower bound up to the time step"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solvers::paths::exact::chain;

    #[test]
    fn the_gradient_of_the_functional_is_its_differences_to_1e_6() {
        let chain = chain(
            r#"{"prior": {"kind": "muller_brown"}, "noise": 5.0, "start": [-0.5, 1.4], "start_deviation": [0.1, 0.0],
                "time_step": 0.001, "steps": 6, "observations": [{"step": 6, "value": [-0.4, 1.2], "deviation": [0.1]},
                {"step": 3, "value": [-0.45], "deviation": [0.2], "coordinates": [0]}]}"#,
        );
        let method: Input = serde_json::from_str("{}").unwrap();
        let mut parameters = method.build(&chain).unwrap().parameters;
        for (k, p) in parameters.iter_mut().enumerate() {
            *p += 0.05 * ((k * 7919 % 101) as f64 / 50.0 - 1.0);
        }
        let mut gradient = vec![0.0; parameters.len()];
        let mut unused = gradient.clone();
        functional(&chain, 5, &parameters, &mut gradient);
        for k in 0..parameters.len() {
            let mut at = |d: f64| {
                let mut p = parameters.clone();
                p[k] += d;
                functional(&chain, 5, &p, &mut unused)
            };
            let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((slope - gradient[k]).abs() < 1e-5 * (1.0 + slope.abs()), "{k}: {slope} {}", gradient[k]);
        }
    }
}
