//! Lorenz's model of 1996 with additive noise [Lorenz1996]: dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + F on a ring.
//!
//! Between times the ODE is solved by the classical Runge–Kutta scheme, then N(0, σ²Δ) is added to each coordinate. The noise
//! being Gaussian and the observations linear, the optimal proposal p(x_k | x_{k−1}, y_k) is known: `guided`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lotka_volterra::{few_steps, steps_over};
use super::{About, Built, BuiltIn, Proposal, ReadFile, Refusal, StateSpace, positive};
use crate::math::dense::LOG_2_PI;
use crate::math::elementary;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;

/// x_k = Φ_Δ(x_{k−1}) + σ√Δ ξ, y = every `stride`-th coordinate + r η.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Coordinates of the ring, ≥ 4.
    #[serde(default = "forty")]
    pub dimension: usize,
    /// F.
    #[serde(default = "eight")]
    pub forcing: f64,
    /// Longest step of the Runge–Kutta scheme.
    #[serde(default = "default_step")]
    pub time_step: f64,
    /// σ: standard deviation of the noise per square root of time.
    #[serde(default = "half")]
    pub noise: f64,
    /// Coordinates 0, stride, 2 stride, … are observed.
    #[serde(default = "one")]
    pub stride: usize,
    /// r.
    #[serde(default = "unit")]
    pub observation_sd: f64,
    /// Mean of every coordinate at the first time; by default that of the model's climate at F = 8.
    #[serde(default = "climate_mean")]
    pub initial_mean: f64,
    /// Standard deviation of every coordinate at the first time.
    #[serde(default = "climate_sd")]
    pub initial_sd: f64,
}

fn forty() -> usize {
    40
}

fn eight() -> f64 {
    8.0
}

fn default_step() -> f64 {
    0.05
}

fn half() -> f64 {
    0.5
}

fn one() -> usize {
    1
}

fn unit() -> f64 {
    1.0
}

fn climate_mean() -> f64 {
    2.3
}

fn climate_sd() -> f64 {
    3.6
}

impl BuiltIn for Input {
    const ABOUT: About =
        About { word: "lorenz_96", summary: "chaos on a ring with additive noise; guided by the optimal proposal" };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        if !(4..=100_000).contains(&self.dimension) {
            return Err(("dimension", format!("dimension = {} must lie in 4 … 100000", self.dimension)));
        }
        if self.stride == 0 || self.stride > self.dimension {
            return Err(("stride", format!("stride = {} must lie in 1 … {}", self.stride, self.dimension)));
        }
        if !self.forcing.is_finite() {
            return Err(("forcing", format!("forcing = {} must be finite", self.forcing)));
        }
        if !self.initial_mean.is_finite() {
            return Err(("initial_mean", format!("initial_mean = {} must be finite", self.initial_mean)));
        }
        positive("time_step", self.time_step)?;
        positive("noise", self.noise)?;
        positive("observation_sd", self.observation_sd)?;
        positive("initial_sd", self.initial_sd)?;
        Ok(Built::StateSpace(Box::new(*self)))
    }
}

impl StateSpace for Input {
    fn coordinates(&self) -> Vec<String> {
        (0..self.dimension).map(|i| format!("x{i}")).collect()
    }

    fn components(&self) -> Vec<String> {
        (0..self.dimension).step_by(self.stride).map(|i| format!("y{i}")).collect()
    }

    fn proposals(&self) -> &'static [Proposal] {
        &[Proposal::Bootstrap, Proposal::Guided]
    }

    fn flow(&self, data: &Arc<Observations>, proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        few_steps(data, self.time_step, 0)?;
        Ok(Box::new(Flow { input: *self, data: data.clone(), guided: proposal != Proposal::Bootstrap }))
    }
}

struct Flow {
    input: Input,
    data: Arc<Observations>,
    guided: bool,
}

/// Particles that go through the scheme together: their stages stay in the second-level cache at 40 coordinates.
const BLOCK: usize = 64;

impl Flow {
    /// out ← Φ_Δ(previous), coordinate by coordinate.
    fn advance(&self, step: usize, previous: View<'_>, out: &mut Tile<'_>) {
        let d = self.input.dimension;
        let interval = self.data.interval(step);
        let (substeps, h) = steps_over(interval, self.input.time_step);
        let n = out.len();
        let level = out.level();
        // x, the stage's argument, its slope, and the sum of slopes.
        let mut room = vec![0.0; 4 * d * BLOCK];
        let (x, rest) = room.split_at_mut(d * BLOCK);
        let (argument, rest) = rest.split_at_mut(d * BLOCK);
        let (slope, sum) = rest.split_at_mut(d * BLOCK);
        for first in (0..n).step_by(BLOCK) {
            let size = BLOCK.min(n - first);
            // Places beyond the last particle hold zeros: harmless, and never read.
            for i in 0..d {
                let row = &mut x[i * BLOCK..(i + 1) * BLOCK];
                row[..size].copy_from_slice(&previous.coordinate(i)[first..first + size]);
                row[size..].fill(0.0);
            }
            for _ in 0..substeps {
                runge_kutta(level, self.input.forcing, h, d, x, argument, slope, sum);
            }
            for i in 0..d {
                out.coordinate_mut(i)[first..first + size].copy_from_slice(&x[i * BLOCK..i * BLOCK + size]);
            }
        }
    }

    /// Variance that each coordinate gains before time `step`; that of the initial law at 0.
    fn gained(&self, step: usize) -> f64 {
        match step {
            0 => self.input.initial_sd * self.input.initial_sd,
            _ => self.input.noise * self.input.noise * self.data.interval(step),
        }
    }

    /// y of coordinate i at `step`, where it is observed.
    fn observed(&self, step: usize, i: usize) -> Option<f64> {
        let y = (i % self.input.stride == 0).then(|| self.data.at(step)[i / self.input.stride])?;
        (!y.is_nan()).then_some(y)
    }

    /// Adds the noise to means in `x`, towards the observations where guided.
    fn add_noise(&self, step: usize, at: &Draws, x: &mut Tile<'_>, log_weight: &mut [f64]) {
        let q = self.gained(step);
        let r = self.input.observation_sd * self.input.observation_sd;
        let n = x.len();
        let log_weight = &mut log_weight[..n];
        let mut noise = [0.0; TILE];
        let noise = &mut noise[..n];
        for (i, x) in x.coordinates_mut().enumerate() {
            at.normals(i as u32, noise);
            match self.guided.then(|| self.observed(step, i)).flatten() {
                None => {
                    let sd = q.sqrt();
                    crate::enter!(at.level, S => for k in 0..n { x[k] = S::mul_add(sd, noise[k], x[k]) });
                }
                Some(y) => {
                    let (gain, sd) = (q / (q + r), (q * r / (q + r)).sqrt());
                    let (a, b) = (-0.5 / (q + r), 0.5 / r);
                    // ln N(y; m, q + r) − ln N(y; x, r).
                    let constant = 0.5 * elementary::ln(r / (q + r));
                    crate::enter!(at.level, S => for k in 0..n {
                        let before = y - x[k];
                        let new = S::mul_add(sd, noise[k], S::mul_add(gain, before, x[k]));
                        let after = y - new;
                        x[k] = new;
                        log_weight[k] += S::mul_add(a * before, before, S::mul_add(b * after, after, constant));
                    });
                }
            }
        }
    }
}

/// One step of the classical scheme on `d` rows of [`BLOCK`] particles.
#[allow(clippy::too_many_arguments)]
fn runge_kutta(
    level: Level,
    forcing: f64,
    h: f64,
    d: usize,
    x: &mut [f64],
    argument: &mut [f64],
    slope: &mut [f64],
    sum: &mut [f64],
) {
    let all = d * BLOCK;
    let (x, argument, slope, sum) = (&mut x[..all], &mut argument[..all], &mut slope[..all], &mut sum[..all]);
    crate::enter!(level, S => {
        argument.copy_from_slice(x);
        sum.fill(0.0);
        for (stage, weight) in [1.0, 2.0, 2.0, 1.0].into_iter().enumerate() {
            tendency::<S>(forcing, d, argument, slope);
            for k in 0..all {
                sum[k] = S::mul_add(weight, slope[k], sum[k]);
            }
            let part = if stage < 2 { 0.5 * h } else { h };
            if stage < 3 {
                for k in 0..all {
                    argument[k] = S::mul_add(part, slope[k], x[k]);
                }
            }
        }
        for k in 0..all {
            x[k] = S::mul_add(h / 6.0, sum[k], x[k]);
        }
    });
}

#[inline(always)]
fn tendency<S: Scalar>(forcing: f64, d: usize, x: &[f64], slope: &mut [f64]) {
    let rows = x.as_chunks::<BLOCK>().0;
    for (i, out) in slope.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let (next, here) = (&rows[(i + 1) % d], &rows[i]);
        let (before, second) = (&rows[(i + d - 1) % d], &rows[(i + d - 2) % d]);
        for k in 0..BLOCK {
            out[k] = S::mul_add(next[k] - second[k], before[k], forcing - here[k]);
        }
    }
}

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        self.input.dimension
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, log_weight: &mut [f64]) {
        x.coordinates_mut().for_each(|x| x.fill(self.input.initial_mean));
        self.add_noise(0, at, x, log_weight);
    }

    fn mutate(&self, step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, log_weight: &mut [f64]) {
        self.advance(step, previous, x);
        self.add_noise(step, at, x, log_weight);
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        let r = self.input.observation_sd;
        let constant = -0.5 * LOG_2_PI - elementary::ln(r);
        let scale = -0.5 / (r * r);
        let n = x.len();
        let log_weight = &mut log_weight[..n];
        for i in (0..self.input.dimension).step_by(self.input.stride) {
            let Some(y) = self.observed(step, i) else { continue };
            let c = x.coordinate(i);
            crate::enter!(x.level(), S => for k in 0..n {
                let off = y - c[k];
                log_weight[k] += S::mul_add(scale * off, off, constant);
            });
        }
    }

    fn has_transition(&self) -> bool {
        true
    }

    fn log_transition(&self, step: usize, previous: View<'_>, x: &[f64], value: &mut [f64]) {
        let n = previous.len();
        let mut room = vec![0.0; self.input.dimension * n];
        let mut means = Tile::new(previous.level(), &mut room, n, n);
        self.advance(step, previous, &mut means);
        let scale = -0.5 / self.gained(step);
        for (i, &x) in x.iter().enumerate() {
            for (v, m) in value.iter_mut().zip(means.coordinate(i)) {
                *v += scale * (x - m) * (x - m);
            }
        }
    }

    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        !self.guided
    }

    fn observe(&self, _step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        for (j, i) in (0..self.input.dimension).step_by(self.input.stride).enumerate() {
            let out = y.coordinate_mut(j);
            at.normals(j as u32, out);
            for (o, x) in out.iter_mut().zip(x.coordinate(i)) {
                *o = x + self.input.observation_sd * *o;
            }
        }
        true
    }
}
