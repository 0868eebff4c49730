//! Density curves of particles: a cloud at each time, optimised against the functional whose least value is −log Z
//!
//!     F = KL(ρ_0 | start) + Σ_k (h/(2σ²)) E_{ρ_k}|v_k − b + (σ²/2) ∇log ρ_k|² + Σ_k E_{ρ_k} J_k
//!
//! (h → 0). Particles of consecutive times are coupled: sorted in one coordinate, else paired by entropic transport with the
//! chain's kernel, so that v_k = (y − x)/h. Block Gauss–Seidel: sweeps over the even, then the odd clouds, each moved down
//! the slope of its part of F (its two slabs and its own terms, [`functional`]) in units of the transports' curvature,
//! over-relaxed while F falls and by smaller steps where it does not. Particles keep their couplings within a round of
//! sweeps; rounds end when F has stopped falling.
//!
//! The curve then guides paths, whose weights make the result exact: by the drift of the entropic transport between
//! consecutive clouds, which is that of the optimal law, v + (σ²/2)∇log ρ, as h → 0 ([`guide`]).

mod functional;
mod guide;
mod plan;

use std::sync::OnceLock;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::density_curve::straight;
use super::{Finding, Method, Population, Unsettled, twisted_smc};
use crate::error::{Error, Result};
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES, Other, Quadratic};
use crate::solvers::paths::ensemble::{Context, Random, Sampled};
use crate::solvers::paths::entropic::{Until, pairing, sinkhorn};
use crate::solvers::paths::guide::Guide;
use crate::state::{Name, Walk};
use functional::Curve;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: Population,
    /// Particles of each time's cloud; rounded up to a multiple of 64.
    #[serde(default = "cloud_size")]
    #[schemars(range(min = 64, max = 4096))]
    pub particles: usize,
    /// Bandwidth of the kernel estimates, over the median distance to the neighbour that a share 4^-d of the cloud is nearer
    /// than in d coordinates (0.4 deviations of a normal law on a line).
    #[serde(default = "bandwidth")]
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub bandwidth: f64,
    /// Sweeps over the clouds at most.
    #[serde(default = "most_sweeps")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sweeps: usize,
    /// Stop once a round of 25 sweeps lowers F by less than this.
    #[serde(default = "least_fall")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: f64,
    /// Resample along time where the effective sample size falls below this share; 0: importance sampling.
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    pub resample_below: f64,
}

fn cloud_size() -> usize {
    128
}

fn bandwidth() -> f64 {
    0.7
}

fn most_sweeps() -> usize {
    1000
}

fn least_fall() -> f64 {
    1e-3
}

fn half() -> f64 {
    0.5
}

/// Sweeps of one round of training.
const ROUND: usize = 25;
/// Largest step over the one that the transports' curvature asks for.
const OVER: f64 = 1.8;
/// The neighbour whose distance the bandwidth is measured by is this share of the cloud away, in each coordinate.
const NEAR: usize = 4;
/// But not nearer than this one.
const NEAREST: usize = 4;
/// Sinkhorn's iterations where the plan is rounded to pairs, which exchanges improve.
const ROUGH: Until = Until { tolerance: 1e-2, iterations: 32 };

pub struct DensityParticles {
    input: Input,
    particles: usize,
    /// The time of the first cloud.
    first: usize,
    /// [cloud][coordinate][particle]; empty before the training.
    clouds: Vec<Vec<f64>>,
    /// Step of each cloud over the one that the curvature asks for.
    paces: Vec<f64>,
    bandwidths: Vec<f64>,
    /// [cloud][2][particle]: potentials of the transports into the clouds, and of the means before them into themselves; empty
    /// until the sweeps are done.
    potentials: Vec<Vec<f64>>,
    sweeps: u64,
    /// F before and after the last round.
    bound: [f64; 2],
    evaluations: f64,
    fused: Vec<bool>,
    /// Made of the clouds and potentials when the first replicate asks.
    guide: OnceLock<Guide>,
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<DensityParticles, Finding> {
        let wrong = |message: &str| Err(("name".to_string(), message.to_string()));
        if !chain.constant_noise() || (1..=chain.steps).any(|j| chain.deviation(j, 0).is_none_or(|s| s == 0.0)) {
            return wrong("density curves need noise that does not depend on the state and is nowhere zero");
        }
        if !chain.prior.has_pull() {
            return wrong("density curves need derivatives that the written drift has not");
        }
        if chain.others.iter().flatten().any(|o| matches!(o, Other::Ball { .. })) {
            return wrong("a ball has no slope: give an observation with a small deviation");
        }
        let drawn = chain.start.deviation.iter().filter(|s| **s > 0.0).count();
        if drawn != 0 && drawn != chain.dimension {
            return wrong("curves of particles need a start that is fixed or drawn in all coordinates");
        }
        let first = usize::from(drawn == 0);
        if chain.steps < first + 1 {
            return Err(("name".into(), "curves of particles need at least two steps".into()));
        }
        let observed = |q: &Vec<Quadratic>| q.iter().any(|q| q.a > 0.0);
        Ok(DensityParticles {
            input: self.clone(),
            particles: self.particles.div_ceil(LANES) * LANES,
            first,
            clouds: Vec::new(),
            paces: Vec::new(),
            bandwidths: Vec::new(),
            potentials: Vec::new(),
            sweeps: 0,
            bound: [f64::NAN; 2],
            evaluations: 0.0,
            fused: chain.quadratics.iter().map(observed).collect(),
            guide: OnceLock::new(),
        })
    }
}

/// [particle][coordinate] from [coordinate][particle].
fn turned(x: &[f64], d: usize) -> Vec<f64> {
    let n = x.len() / d;
    (0..x.len()).map(|k| x[k % d * n + k / d]).collect()
}

/// `width` numbers of each of `count` clouds: ranks and threads share the clouds, and every rank has the numbers of all.
/// Collective.
fn each(
    context: &Context,
    count: usize,
    width: usize,
    work: impl Fn(usize) -> Vec<f64> + Sync + Send,
) -> Vec<Vec<f64>> {
    let mine: Vec<Vec<f64>> = context.ranks.mine(count).into_par_iter().map(work).collect();
    context.ranks.gather(&mine.concat()).chunks_exact(width).map(<[f64]>::to_vec).collect()
}

/// A bandwidth for a cloud: `factor` times the median distance to a neighbour, at least a twentieth of a step's noise.
fn bandwidth_of(x: &[f64], d: usize, factor: f64, noise: f64) -> f64 {
    let n = x.len() / d;
    let near = n.checked_div(NEAR.saturating_pow(d as u32)).unwrap_or(0).max(NEAREST);
    let to_neighbour = |i: usize| {
        let square = |j: usize| (0..d).map(|c| (x[c * n + j] - x[c * n + i]).powi(2)).sum::<f64>();
        let mut all: Vec<f64> = (0..n).map(square).collect();
        *all.select_nth_unstable_by(near, f64::total_cmp).1
    };
    let mut distances: Vec<f64> = (0..n).map(to_neighbour).collect();
    let median = distances.select_nth_unstable_by(n / 2, f64::total_cmp).1.sqrt();
    (factor * median).max(0.05 * noise)
}

impl DensityParticles {
    fn curve<'a>(&'a self, chain: &'a Chain) -> Curve<'a> {
        Curve { chain, first: self.first, bandwidths: &self.bandwidths }
    }

    /// Clouds around a straight line through the observations; each particle and its mirror image have the same place
    /// in all of them.
    fn begin(&mut self, chain: &Chain, random: Random) {
        let (n, d, times) = (self.particles, chain.dimension, chain.steps + 1);
        let line = straight(chain);
        let mut z = vec![0.0; d * n];
        for (c, row) in z.chunks_exact_mut(n).enumerate() {
            let (half, mirror) = row.split_at_mut(n / 2);
            random.draws(Stream::PathsTrain, 0).normals(c as u32, half);
            mirror.iter_mut().zip(half).for_each(|(m, z)| *m = -*z);
        }
        let cloud = |j: usize| -> Vec<f64> {
            let at = |k: usize| j * d + k / n;
            (0..d * n).map(|k| line[at(k)] + crate::math::elementary::exp(line[times * d + at(k)]) * z[k]).collect()
        };
        self.clouds = (self.first..times).map(cloud).collect();
        self.paces = vec![1.0; self.clouds.len()];
    }

    /// Couples each cloud with the next anew, and measures bandwidths. Collective.
    fn couple(&mut self, context: &Context) {
        let chain = context.chain;
        let (n, d) = (self.particles, chain.dimension);
        if d == 1 {
            self.clouds.par_iter_mut().for_each(|x| x.sort_unstable_by(f64::total_cmp));
        } else {
            let pairs = each(context, self.clouds.len() - 1, n, |slab| {
                let k = slab + 1;
                let (j, mut mean) = (self.first + k, vec![0.0; n * d]);
                chain.prior.mean(chain.time(j - 1), chain.time_step, &self.clouds[k - 1], &mut mean);
                let (x, y) = (turned(&mean, d), turned(&self.clouds[k], d));
                let scale = 0.5 / self.curve(chain).variance(j);
                let plan = sinkhorn(chain.level, &x, &y, d, scale, ROUGH, &|| Ok(())).expect("nothing stops it");
                pairing(&x, &y, d, scale, &plan.g).into_iter().map(|i| i as f64).collect()
            });
            // Particle i of the first cloud leads through all.
            let mut along: Vec<usize> = (0..n).collect();
            for (x, pairs) in self.clouds[1..].iter_mut().zip(&pairs) {
                along.iter_mut().for_each(|i| *i = pairs[*i] as usize);
                *x = (0..d * n).map(|k| x[k / n * n + along[k % n]]).collect();
            }
        }
        let factor = self.input.bandwidth;
        let noise = |k: usize| chain.deviation((self.first + k).max(1), 0).unwrap_or(0.0);
        self.bandwidths =
            self.clouds.par_iter().enumerate().map(|(k, x)| bandwidth_of(x, d, factor, noise(k))).collect();
    }

    /// One step of cloud `k` down its part of F: the cloud, its pace, and how often its part was evaluated.
    fn moved(&self, chain: &Chain, k: usize) -> (Vec<f64>, f64, f64) {
        let (curve, of, x) = (self.curve(chain), self.clouds.len(), &self.clouds[k]);
        let (j, n) = (self.first + k, self.particles);
        let part = |x: &[f64], mut slope: Option<&mut [f64]>| {
            let mut value = curve.own(k, of, x, slope.as_deref_mut());
            if k > 0 {
                value += curve.transport(j, &self.clouds[k - 1], x, None, slope.as_deref_mut());
            }
            if k + 1 < of {
                value += curve.transport(j + 1, x, &self.clouds[k + 1], slope, None);
            }
            value
        };
        let mut slope = vec![0.0; x.len()];
        let value = part(x, Some(&mut slope));
        let mut curvature: Vec<f64> = chain.quadratics[j].iter().map(|q| q.a).collect();
        let start = curve.start().1;
        for (c, curvature) in curvature.iter_mut().enumerate() {
            *curvature += if k > 0 { 1.0 / curve.variance(j) } else { 1.0 / (start[c] * start[c]) };
            *curvature += if k + 1 < of { 1.0 / curve.variance(j + 1) } else { 0.0 };
        }
        let mut pace = self.paces[k];
        for tried in 1..10 {
            let trial: Vec<f64> =
                x.iter().zip(&slope).enumerate().map(|(i, (x, s))| x - pace * s / curvature[i / n]).collect();
            if part(&trial, None) < value {
                return (trial, (1.2 * pace).min(OVER), 1.0 + tried as f64);
            }
            pace *= 0.5;
        }
        (x.clone(), pace, 10.0)
    }

    /// One sweep over the even, then the odd clouds. Collective.
    fn sweep(&mut self, context: &Context) {
        let (chain, values) = (context.chain, self.clouds[0].len());
        for parity in 0..2 {
            let clouds: Vec<usize> = (parity..self.clouds.len()).step_by(2).collect();
            let moved = each(context, clouds.len(), values + 2, |c| {
                let (mut x, pace, parts) = self.moved(chain, clouds[c]);
                x.extend([pace, parts]);
                x
            });
            for (&k, mut x) in clouds.iter().zip(moved) {
                let [pace, parts] = [x[values], x[values + 1]];
                x.truncate(values);
                (self.clouds[k], self.paces[k]) = (x, pace);
                // Two transports and the divergence, by one product with the drift's derivatives a coordinate.
                self.evaluations += parts * (self.particles * (2 + chain.dimension)) as f64;
            }
        }
        self.sweeps += 1;
    }
}

const CLOUDS: Name = Name {
    name: "clouds",
    units: "1",
    meaning: "particles of the curve [time][coordinate][particle]",
    axes: &["cloud_value"],
};
const POTENTIALS: Name = Name {
    name: "cloud_potentials",
    units: "1",
    meaning: "potentials of the transports into the clouds, and of the earlier means into themselves [time][2][particle]",
    axes: &["cloud_particle"],
};
const STEPS: Name =
    Name { name: "cloud_steps", units: "1", meaning: "step of each cloud, then its bandwidth", axes: &["cloud_step"] };
const SWEEPS: Name = Name { name: "sweeps", units: "1", meaning: "sweeps over the clouds", axes: &[] };
const NUMBERS: Name = Name {
    name: "curve_numbers",
    units: "1",
    meaning: "F before and after the last round, drift evaluations of the optimisation",
    axes: &["curve_number"],
};

/// A flat list in pieces of one length; none where the list is empty.
fn pieces(list: &[f64], length: usize) -> Vec<Vec<f64>> {
    list.chunks_exact(length).map(<[f64]>::to_vec).collect()
}

impl Method for DensityParticles {
    fn train(&mut self, context: &Context, _round: u64) -> Result<bool> {
        if !self.potentials.is_empty() {
            return Ok(true);
        }
        // Once: a round that is given up must leave no trace.
        context.check()?;
        let chain = context.chain;
        if self.clouds.is_empty() {
            self.begin(chain, context.random);
        }
        self.couple(context);
        let before = self.curve(chain).value(&self.clouds);
        for _ in 0..ROUND.min(self.input.sweeps - self.sweeps as usize) {
            self.sweep(context);
        }
        let after = self.curve(chain).value(&self.clouds);
        if !after.is_finite() {
            let message = "the functional of the clouds left the numbers' range: reduce problem.time_step".into();
            return Err(Error::Numerical { step: context.step, message });
        }
        self.bound = [before, after];
        if before - after >= self.input.tolerance && (self.sweeps as usize) < self.input.sweeps {
            return Ok(false);
        }
        self.plan(context);
        Ok(true)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        let guide = self.guide.get_or_init(|| self.made_guide(context.chain));
        twisted_smc::filter(context, guide, self.input.resample_below, Stream::PathsNoise, replicate)
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let (mut clouds, mut potentials) = (self.clouds.concat(), self.potentials.concat());
        let mut steps: Vec<f64> = self.paces.iter().chain(&self.bandwidths).copied().collect();
        walk.replicated(&CLOUDS, &mut clouds)?;
        walk.replicated(&POTENTIALS, &mut potentials)?;
        walk.replicated(&STEPS, &mut steps)?;
        walk.scalar(&SWEEPS, (&mut self.sweeps).into())?;
        let mut numbers = vec![self.bound[0], self.bound[1], self.evaluations];
        walk.scalar(&NUMBERS, (&mut numbers).into())?;
        (self.bound, self.evaluations) = ([numbers[0], numbers[1]], numbers[2]);
        self.bandwidths = steps.split_off(steps.len() / 2);
        self.paces = steps;
        let count = self.paces.len().max(1);
        self.clouds = pieces(&clouds, (clouds.len() / count).max(1));
        self.potentials = pieces(&potentials, 2 * self.particles);
        self.guide = OnceLock::new();
        Ok(())
    }

    fn training_evaluations(&self) -> f64 {
        self.evaluations
    }

    fn training(&self) -> (f64, f64) {
        (self.sweeps as f64 / self.input.sweeps as f64, self.bound[0] - self.bound[1])
    }

    fn other_log_evidence(&self) -> Option<(f64, &'static str)> {
        Some((-self.bound[1], "-F of the clouds; no bound, as their densities are kernel estimates"))
    }

    fn unsettled(&self) -> Option<Unsettled> {
        let [before, after] = self.bound;
        // Sweeps of the last round.
        let last = (self.sweeps as usize).saturating_sub(1) % ROUND + 1;
        let value = (before - after) / last as f64;
        (!self.potentials.is_empty() && before - after >= self.input.tolerance).then(|| Unsettled {
            name: "fall_per_sweep",
            value,
            meaning: "what F still fell by a sweep when the sweeps ended: raise method.sweeps",
            note: format!(
                "stopped at {} sweeps, F still falls by {value:.1e} a sweep: raise method.sweeps",
                self.sweeps
            ),
        })
    }

    fn values_held(&self) -> usize {
        // Clouds and potentials, and the guide's copies of them.
        8 * self.fused.len() * self.particles
    }
}
