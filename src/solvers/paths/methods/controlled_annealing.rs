//! Controlled annealing: targets Q_s ∝ e^{−sJ} · chain from s = 0 to 1, each the law of the chain with a corrected drift.
//!
//! At level s paths are drawn with the present correction u and weighted to be Q_s exactly. With η_k = σ√h ξ_k the noise
//! that moved them, the slope v = ∂_s u minimises the exact loss of the Euler–Maruyama chain
//!
//!     L(v) = E[(Σ_k v(x_k, t_k)·η_k/σ² + J(x) − E J)²]                                                    (1)
//!
//! the projection of J on martingale increments: no divergence, no time derivative. With a linear basis v = Σ θ_i φ_i it
//! is a least-squares problem, G θ = −r with G_ij = Cov(F_i, F_j), r_i = Cov(F_i, J), F_i = Σ_k φ_i(x_k, t_k)·η_k/σ².
//! Increments of different times are uncorrelated under Q_s, so G is solved bin of time by bin of time and the bins are
//! swept again on what the others left (backfitting).
//!
//! A corrected drift cannot shrink the noise of a step: where the chain is observed the kernel is fused with s·(the
//! observation) exactly instead ([`guide`](crate::solvers::paths::guide)), and the correction is left out there.
//!
//! The regression's target is δJ less the log-weights of level s: what earlier levels missed is mended, to first order, at
//! each later one, and in a few last rounds at s = 1.
//!
//! Levels: the largest s for which the effective sample size of e^{−δJ} stays above κN. Where fresh paths show that a step
//! has fitted its own sample only, it is halved, and its level with it. The evidence of the levels is summed on the way,
//! log Z_{s+δ} − log Z_s = log Σ w e^{−δJ} − log Σ w over the paths of level s: a series in δ would need small steps.

mod basis;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, Method, Population, importance};
use crate::error::{Error, Result};
use crate::math::elementary::{exp, ln};
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES, Quadratic};
use crate::solvers::paths::ensemble::{Context, Sampled, Weighed};
use crate::solvers::paths::guide::Guide;
use crate::solvers::paths::linear::solve;
use crate::state::{Name, Walk};
use basis::{Basis, Linear, compositions, normal_equations};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: Population,
    /// Paths that a level is learned on; rounded up to a multiple of 64.
    #[serde(default = "thousands")]
    #[schemars(range(min = 64))]
    pub training_paths: usize,
    /// Lowest value of each coordinate that the basis resolves; beyond, it is continued as a constant.
    pub low: Vec<f64>,
    /// Highest value of each coordinate.
    pub high: Vec<f64>,
    /// Degree of the polynomials of the coordinates.
    #[serde(default = "cubic")]
    #[schemars(range(min = 0, max = 12))]
    pub degree: u32,
    /// Bins of time, each with its own polynomial; absent: one per step, 100 at most.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub bins: Option<usize>,
    /// Least effective sample size of a level, as a share of the paths.
    #[serde(default = "most_of_it")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub ess: f64,
    /// Levels that are tried at most.
    #[serde(default = "levels")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_levels: u64,
    /// Sweeps of the regression over the bins.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 20))]
    pub sweeps: usize,
    /// Fuse the kernel with the observation where there is one; false: the drift alone.
    #[serde(default = "yes")]
    pub fuse: bool,
    /// Resample along time where the effective sample size falls below this share; 0: importance sampling.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub resample_below: f64,
}

fn thousands() -> usize {
    4096
}

fn cubic() -> u32 {
    3
}

fn most_of_it() -> f64 {
    0.9
}

fn levels() -> u64 {
    1000
}

fn three() -> usize {
    3
}

fn yes() -> bool {
    true
}

pub struct ControlledAnnealing {
    input: Input,
    basis: Arc<Basis>,
    fused: Arc<Vec<bool>>,
    coefficients: Vec<f64>,
    level: f64,
    levels: u64,
    /// log Z_s = −∫E_s[J] ds so far.
    integral: f64,
    residual: f64,
    evaluations: f64,
    /// Rounds at level 1.
    polished: f64,
    /// The last step of the coefficients, the level before it, and how often it has been halved.
    last: Vec<f64>,
    level_before: f64,
    halvings: f64,
    /// The last step of the integral, and what it would have been after one halving, two, …
    integral_steps: Vec<f64>,
}

/// A step after which fresh paths keep less than this share of `ess` is taken back by half: the regression has fitted
/// its own sample.
const CARRIES_OVER: f64 = 0.1;
/// Largest correction of a step, in deviations of its noise.
const MOST_PUSH: f64 = 1.5;
/// Least effective share of the paths of a level.
const LEAST_SHARE: f64 = 0.005;
/// Halvings of a step, at most.
const HALVINGS: usize = 8;

/// Ridge of the regressions, relative to the mean diagonal.
const RIDGE: f64 = 1e-4;
/// Rounds at level 1 that only mend what the weights say.
const POLISH: f64 = 3.0;

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<ControlledAnnealing, Finding> {
        let d = chain.dimension;
        for (key, list) in [("low", &self.low), ("high", &self.high)] {
            if list.len() != d {
                return Err((key.into(), format!("has {} coordinates; the start has {d}", list.len())));
            }
        }
        if let Some(i) = (0..d).find(|&i| !(self.low[i] < self.high[i])) {
            return Err(("high".into(), format!("must be above low = {}, not {}", self.low[i], self.high[i])));
        }
        if chain.start.deviation.iter().any(|s| *s > 0.0) {
            let message = "controlled annealing starts from a fixed point; use twisted_smc or density_curve for a law";
            return Err(("name".into(), message.into()));
        }
        if !chain.constant_noise() || chain.deviation(1, 0).is_none_or(|s| s == 0.0) {
            return Err(("name".into(), "a correction of the drift needs constant noise".into()));
        }
        if chain.others.iter().flatten().any(|o| matches!(o, crate::solvers::paths::chain::Other::Ball { .. })) {
            let message =
                "a ball is no level of a cost: give an observation with a small deviation, or use twisted_smc";
            return Err(("name".into(), message.into()));
        }
        let mut powers = vec![vec![0; d]];
        for total in 1..=self.degree {
            compositions(total, d, &mut Vec::new(), &mut powers);
        }
        let bins = self.bins.unwrap_or(chain.steps.min(100)).min(chain.steps);
        let basis = Basis {
            low: self.low.clone(),
            high: self.high.clone(),
            powers,
            bins,
            steps: chain.steps,
            level: chain.level,
        };
        let observed = |q: &Vec<Quadratic>| q.iter().any(|q| q.a > 0.0);
        let fused: Vec<bool> = chain.quadratics.iter().map(|q| self.fuse && observed(q)).collect();
        let coefficients = vec![0.0; bins * d * basis.count()];
        let last = coefficients.clone();
        Ok(ControlledAnnealing {
            input: self.clone(),
            basis: Arc::new(basis),
            fused: Arc::new(fused),
            coefficients,
            level: 0.0,
            levels: 0,
            integral: 0.0,
            residual: f64::NAN,
            evaluations: 0.0,
            polished: 0.0,
            last,
            level_before: 0.0,
            halvings: 0.0,
            integral_steps: vec![0.0; HALVINGS + 1],
        })
    }
}

impl ControlledAnnealing {
    /// The guide at level s.
    fn guide(&self, chain: &Chain, s: f64) -> Guide {
        let twist: Vec<Vec<Quadratic>> = chain
            .quadratics
            .iter()
            .zip(self.fused.iter())
            .map(|(q, fused)| {
                let part = |q: &Quadratic| Quadratic { a: s * q.a, c: s * q.c, d: s * q.d };
                if *fused { q.iter().map(part).collect() } else { vec![Quadratic::default(); q.len()] }
            })
            .collect();
        let control = Linear {
            basis: self.basis.clone(),
            coefficients: self.coefficients.clone(),
            fused: self.fused.clone(),
            largest: (1..=chain.steps).map(|j| MOST_PUSH * deviation(chain, j) / chain.time_step).collect(),
        };
        Guide { twist: Some(Arc::new(twist)), control: Some(Arc::new(control)), ..Guide::default() }
    }
}

/// Of every coordinate in transition `j` ≥ 1; checked by `build`.
fn deviation(chain: &Chain, j: usize) -> f64 {
    chain.deviation(j, 0).expect("noise that does not depend on the state")
}

/// The sums of a bin's normal equations.
fn sizes(p: usize) -> usize {
    p * p + 2 * p
}

impl Method for ControlledAnnealing {
    fn train(&mut self, context: &Context, round: u64) -> Result<bool> {
        if self.level >= 1.0 && self.polished >= POLISH {
            return Ok(true);
        }
        if self.levels >= self.input.max_levels {
            let message = format!(
                "{} levels reached s = {:.4} only: raise method.max_levels or method.training_paths, or lower method.ess",
                self.levels, self.level
            );
            return Err(Error::Numerical { step: context.step, message });
        }
        let training = Context { blocks: self.input.training_paths.div_ceil(LANES), ..*context };
        let (chain, random) = (training.chain, training.random);
        let (s, first) = (self.level, training.mine().start);
        let guide = self.guide(chain, s);
        let drawn = importance::sample(&training, &guide, Stream::PathsTrain, round as u32)?;
        let evaluations = drawn.evaluations;
        // J per path; the weights of `drawn` hold −J whole, those of level s hold s of it.
        let mut cost = vec![0.0; drawn.log_weights.len()];
        training.read_blocks(&drawn.paths, &mut cost, |_, x, cost| {
            chain.log_cost(x, cost);
            cost.iter_mut().for_each(|c| *c = -*c);
        });
        let paths = drawn.paths;
        let weights: Vec<f64> = drawn.log_weights.iter().zip(&cost).map(|(w, j)| w + (1.0 - s) * j).collect();
        let now = training.weigh(&weights, "at a level of the annealing")?;
        let share = now.ess() / training.paths() as f64;
        if self.levels > 0 && share < CARRIES_OVER * self.input.ess && self.halvings < HALVINGS as f64 {
            // Half of the step is taken back, and of the level with it.
            for (c, step) in self.coefficients.iter_mut().zip(&mut self.last) {
                *step *= 0.5;
                *c -= *step;
            }
            self.level = 0.5 * (self.level + self.level_before);
            let halvings = self.halvings as usize;
            self.integral += self.integral_steps[halvings + 1] - self.integral_steps[halvings];
            self.halvings += 1.0;
            self.levels += 1;
            self.evaluations += evaluations;
            return Ok(false);
        }
        if share < LEAST_SHARE {
            let message = format!(
                "only {:.1} of {} paths are effective at s = {s:.4}: raise method.training_paths, lower method.degree, or \
                 narrow method.low and method.high",
                now.ess(),
                training.paths()
            );
            return Err(Error::Numerical { step: context.step, message });
        }
        let normalised: Vec<f64> = weights.iter().map(|w| exp(w - now.largest) / now.sum).collect();
        let mean = |values: &[f64]| -> f64 {
            training.ranks.sum(training.blocks, 1, &|b, out| {
                let at = (b - first) * LANES..(b - first + 1) * LANES;
                out[0] += values[at.clone()].iter().zip(&normalised[at]).map(|(v, w)| v * w).sum::<f64>();
            })[0]
        };
        let square = |values: &[f64]| -> f64 { mean(&values.iter().map(|v| v * v).collect::<Vec<_>>()) };

        // The next level: the effective sample size of w e^{−δJ} against that of w.
        let tilted = |delta: f64| -> Result<Weighed> {
            let tilted: Vec<f64> = weights.iter().zip(&cost).map(|(w, j)| w - delta * j).collect();
            training.weigh(&tilted, "at a level of the annealing")
        };
        let ess = |delta: f64| -> Result<f64> { Ok(tilted(delta)?.ess()) };
        let enough = self.input.ess * now.ess();
        let mut delta = 1.0 - s;
        if delta > 0.0 && ess(delta)? < enough {
            let (mut low, mut high) = (0.0, delta);
            for _ in 0..30 {
                delta = 0.5 * (low + high);
                if ess(delta)? < enough { high = delta } else { low = delta }
            }
            delta = low;
            if !(delta > 0.0) {
                let message = format!("no level above s = {s} keeps the weights: raise method.training_paths");
                return Err(Error::Numerical { step: context.step, message });
            }
        }
        let mut integral_steps = vec![0.0; HALVINGS + 1];
        if delta > 0.0 {
            for (k, step) in integral_steps.iter_mut().enumerate() {
                let then = tilted(delta * 0.5f64.powi(k as i32))?;
                *step = then.largest - now.largest + ln(then.sum) - ln(now.sum);
            }
        }

        // v by backfitting over the bins.
        let (d, q) = (chain.dimension, self.basis.count());
        let p = q * d;
        let bins = self.basis.bins;
        let mut theta = vec![0.0; bins * p];
        // What the correction is to explain: the step of the level, and what the weights say it has missed so far.
        let mut rest: Vec<f64> = cost.iter().zip(&weights).map(|(j, w)| delta * j - w).collect();
        let asked = {
            let centre = mean(&rest);
            square(&rest) - centre * centre
        };
        let mut left = asked;
        for _ in 0..self.input.sweeps {
            training.check()?;
            let centre = mean(&rest);
            let sums = training.ranks.sum(training.blocks, bins * sizes(p), &|block, out| {
                let b = block - first;
                let mut xi = vec![0.0; chain.block()];
                random.rows(Stream::PathsTrain, round as u32, 0, block, &mut xi);
                let lanes = b * LANES..(b + 1) * LANES;
                let (w, r) = (&normalised[lanes.clone()], &rest[lanes]);
                let target: Vec<f64> = w.iter().zip(r).map(|(w, r)| w * (r - centre)).collect();
                self.increments(chain, paths.block(b), &xi, |bin, f| {
                    let out = &mut out[bin * sizes(p)..(bin + 1) * sizes(p)];
                    normal_equations(chain.level, p, f, w, &target, out);
                });
            });
            let mut step = vec![0.0; bins * p];
            for (bin, sums) in sums.chunks_exact(sizes(p)).enumerate() {
                let (g, more) = sums.split_at(p * p);
                let (r, means) = more.split_at(p);
                let mut g = g.to_vec();
                for a in 0..p {
                    for b in 0..=a {
                        g[a * p + b] -= means[a] * means[b];
                    }
                }
                step[bin * p..(bin + 1) * p].copy_from_slice(&solve(&g, r, RIDGE));
            }
            // Σ step F per path, and the length of the step that leaves the least variance: bins that are correlated in
            // the sample cannot overshoot together.
            let mut along = vec![0.0; cost.len()];
            training.read_blocks(&paths, &mut along, |block, x, along| {
                let mut xi = vec![0.0; chain.block()];
                random.rows(Stream::PathsTrain, round as u32, 0, block, &mut xi);
                self.increments(chain, x, &xi, |bin, f| {
                    for (t, f) in step[bin * p..(bin + 1) * p].iter().zip(f.chunks_exact(LANES)) {
                        along.iter_mut().zip(f).for_each(|(a, f)| *a += t * f);
                    }
                });
            });
            let middle = mean(&along);
            let spread = square(&along) - middle * middle;
            let both: Vec<f64> = along.iter().zip(&rest).map(|(a, r)| a * r).collect();
            let length = if spread > 0.0 { (mean(&both) - middle * centre) / spread } else { 0.0 };
            theta.iter_mut().zip(&step).for_each(|(t, x)| *t -= length * x);
            rest.iter_mut().zip(&along).for_each(|(r, a)| *r -= length * a);
            let centre = mean(&rest);
            left = square(&rest) - centre * centre;
        }
        // All is known: nothing below can fail.
        self.integral += integral_steps[0];
        self.integral_steps = integral_steps;
        for (c, t) in self.coefficients.iter_mut().zip(&theta) {
            *c += t;
        }
        (self.last, self.level_before, self.halvings) = (theta, s, 0.0);
        self.level = if 1.0 - s - delta < 1e-12 { 1.0 } else { s + delta };
        self.levels += 1;
        self.polished += f64::from(u8::from(s >= 1.0));
        self.residual = if asked > 0.0 { left / asked } else { 0.0 };
        self.evaluations += evaluations;
        Ok(self.level >= 1.0 && self.polished >= POLISH)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        let guide = self.guide(context.chain, 1.0);
        if self.input.resample_below > 0.0 {
            return super::twisted_smc::filter(
                context,
                &guide,
                self.input.resample_below,
                Stream::PathsNoise,
                replicate,
            );
        }
        importance::sample(context, &guide, Stream::PathsNoise, replicate)
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.replicated(&COEFFICIENTS, &mut self.coefficients)?;
        walk.replicated(&LAST, &mut self.last)?;
        let numbers = [
            &mut self.level,
            &mut self.integral,
            &mut self.residual,
            &mut self.evaluations,
            &mut self.polished,
            &mut self.level_before,
            &mut self.halvings,
        ];
        let mut values: Vec<f64> = numbers.iter().map(|n| **n).collect();
        walk.scalar(&NUMBERS, (&mut values).into())?;
        numbers.into_iter().zip(values).for_each(|(n, v)| *n = v);
        walk.scalar(&STEPS, (&mut self.integral_steps).into())?;
        walk.scalar(&LEVELS, (&mut self.levels).into())
    }

    fn training_evaluations(&self) -> f64 {
        self.evaluations
    }

    fn training(&self) -> (f64, f64) {
        (self.level, self.residual)
    }

    fn other_log_evidence(&self) -> Option<(f64, &'static str)> {
        Some((self.integral, "thermodynamic integration over the levels, by their log-ratios"))
    }

    fn notes(&self) -> Vec<String> {
        let (bins, p) = (self.basis.bins, self.basis.count());
        vec![format!("drift correction: {p} polynomials a coordinate in {bins} bins of time")]
    }
}

impl ControlledAnnealing {
    /// Calls `each` with every bin's F_i (rows [coordinate][feature][LANES]) for the paths of a block.
    fn increments(&self, chain: &Chain, x: &[f64], xi: &[f64], mut each: impl FnMut(usize, &[f64])) {
        let (rows, d, q) = (chain.rows(), chain.dimension, self.basis.count());
        let mut phi = vec![0.0; q * LANES];
        let mut f = vec![0.0; q * d * LANES];
        let mut bin = 0;
        let mut filled = false;
        for j in 1..=chain.steps {
            if self.basis.bin(j) != bin {
                if filled {
                    each(bin, &f);
                }
                f.fill(0.0);
                filled = false;
                bin = self.basis.bin(j);
            }
            let s = deviation(chain, j);
            // A step without noise cannot be corrected.
            if self.fused[j] || s == 0.0 {
                continue;
            }
            filled = true;
            self.basis.evaluate(&x[(j - 1) * rows..j * rows], &mut phi);
            // η/σ² with η = s ξ, and s² = σ² h: s/σ² = h/s.
            let factor = chain.time_step / s;
            for i in 0..d {
                let xi = &xi[j * rows + i * LANES..][..LANES];
                for (f, phi) in
                    f[i * q * LANES..(i + 1) * q * LANES].chunks_exact_mut(LANES).zip(phi.chunks_exact(LANES))
                {
                    for l in 0..LANES {
                        f[l] += factor * xi[l] * phi[l];
                    }
                }
            }
        }
        if filled {
            each(bin, &f);
        }
    }
}

const COEFFICIENTS: Name = Name {
    name: "control_coefficients",
    units: "1",
    meaning: "coefficients of the drift correction: bin of time, coordinate, feature",
    axes: &["control_coefficient"],
};
const LAST: Name =
    Name { name: "control_step", units: "1", meaning: "last step of the coefficients", axes: &["control_coefficient"] };
const NUMBERS: Name = Name {
    name: "annealing",
    units: "1",
    meaning: "level s, integral of -E[J], unexplained share, drift evaluations, rounds at level 1, level before, halvings",
    axes: &["annealing_number"],
};
const STEPS: Name = Name {
    name: "annealing_steps",
    units: "1",
    meaning: "last step of the integral, and what it is after each number of halvings",
    axes: &["annealing_halving"],
};
const LEVELS: Name = Name { name: "levels", units: "1", meaning: "levels of the annealing so far", axes: &[] };
