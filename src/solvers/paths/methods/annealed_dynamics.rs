//! Walkers in path space: a non-equilibrium annealing of the cost with Jarzynski's weights and resampling.
//!
//! A path is a function of its noise ξ, white under the (guided) chain, so that the target of level s has the density
//! e^{−Ψ(ξ)} against N(0, I), Ψ = −s Λ(ξ), Λ the log-weight of the guided path: the exact Euler–Maruyama density, with
//! any noise σ(X, t). The moves leave it invariant and are well defined on function space [Cotter2013; Beskos2011]:
//!
//!     pcn       ξ' = √(1−β²) ξ + β w,                           α = 1 ∧ e^{Ψ(ξ) − Ψ(ξ')}
//!     pcnl      ξ' = ((2−δ) ξ − 2δ ∇Ψ(ξ) + √(8δ) w)/(2+δ),      α = 1 ∧ e^{ρ(ξ,ξ') − ρ(ξ',ξ)}
//!               ρ(u,v) = Ψ(u) + ½⟨v−u, ∇Ψ(u)⟩ + (δ/4)⟨u+v, ∇Ψ(u)⟩ + (δ/4)|∇Ψ(u)|²
//!               with ∇Ψ cut to the length √(8/δ), so that a steep cost does not hold walkers fast [Roberts1996]: the
//!               ratio holds for any field in its place
//!     hmc       kicks −(ε/2)∇Ψ around exact rotations of (ξ, velocity) by the angle ε
//!     shooting  the noise after a random time is drawn anew,    α = 1 ∧ e^{Ψ(ξ) − Ψ(ξ')}; a rejected move repeats the path
//!
//! Before the moves of a level A ← A + (s' − s) Λ(ξ); Z_1/Z_0 ≈ mean e^A. Where the schedule is adaptive it comes, with
//! the step sizes, from a pilot population, and is frozen for the replicates.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::importance::Twist;
use super::{Finding, Method, default_replicates, sized};
use crate::error::{Error, Result};
use crate::math::draws::Draws;
use crate::math::elementary::{cos, exp, ln, sin};
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::crew::Blocks;
use crate::solvers::paths::ensemble::{Context, Random, Sampled};
use crate::solvers::paths::guide::{Guide, Scratch, linear_twist};
use crate::state::{Name, Walk};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Walkers of a replicate; rounded up to a multiple of 64.
    #[serde(default = "default_walkers")]
    #[schemars(range(min = 1))]
    pub paths: usize,
    /// Independent replicates, for the error bars.
    #[serde(default = "default_replicates")]
    #[schemars(range(min = 2, max = 4096))]
    pub replicates: usize,
    /// How walkers move.
    #[serde(default)]
    pub mover: Mover,
    /// β of pcn (at most 1), δ of pcnl, ε of hmc: of all levels, or where the pilot starts from.
    #[serde(default = "half")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub step_size: f64,
    /// Rotations of a trajectory of hmc.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 10_000))]
    pub rotations: usize,
    /// Moves at each level.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 100_000))]
    pub sweeps: usize,
    /// Equal levels from 0 to 1, with one step size; absent: chosen by a pilot population, with the step sizes.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100_000))]
    pub levels: Option<usize>,
    /// Least effective sample size of a level of the pilot, as a share of the walkers.
    #[serde(default = "most_of_it")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub ess: f64,
    /// Resample where the effective sample size falls below this share of the walkers; 0: never.
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    pub resample_below: f64,
    /// What guides the paths at level 0.
    #[serde(default)]
    pub twist: Twist,
}

sized!(Input);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mover {
    /// Preconditioned Crank–Nicolson.
    #[default]
    Pcn,
    /// The same with a gradient (Langevin).
    Pcnl,
    /// Hamiltonian dynamics on path space.
    Hmc,
    /// Forward shooting of transition path sampling.
    Shooting,
}

fn default_walkers() -> usize {
    1024
}

fn half() -> f64 {
    0.5
}

fn most_of_it() -> f64 {
    0.8
}

fn ten() -> usize {
    10
}

fn five() -> usize {
    5
}

pub struct AnnealedDynamics {
    input: Input,
    guide: Guide,
    /// s_1 … s_S = 1, and the step size of each level.
    levels: Vec<f64>,
    step_sizes: Vec<f64>,
    evaluations: f64,
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<AnnealedDynamics, Finding> {
        let gradient = matches!(self.mover, Mover::Pcnl | Mover::Hmc);
        if gradient && !chain.constant_noise() {
            return Err(("mover".into(), "needs noise that does not depend on the state; use pcn or shooting".into()));
        }
        if gradient && !chain.prior.has_pull() {
            return Err((
                "mover".into(),
                "needs derivatives that the written drift has not; use pcn or shooting".into(),
            ));
        }
        if self.mover == Mover::Pcn && self.step_size > 1.0 {
            return Err(("step_size".into(), "of pcn is at most 1".into()));
        }
        let guide = match self.twist {
            Twist::None => Guide::default(),
            Twist::Linear => Guide::twisted(linear_twist(chain)),
        };
        let levels: Vec<f64> = self.levels.map_or(Vec::new(), |n| (1..=n).map(|i| i as f64 / n as f64).collect());
        let step_sizes = vec![self.step_size; levels.len()];
        if levels.len() * self.sweeps >= MOST_MOVES {
            return Err(("sweeps".into(), format!("levels × sweeps must be below {MOST_MOVES}")));
        }
        Ok(AnnealedDynamics { input: self.clone(), guide, levels, step_sizes, evaluations: 0.0 })
    }
}

/// Moves of a replicate that can be addressed.
const MOST_MOVES: usize = 1 << 20;
/// Rounds of sweeps in which a pilot adapts the step size of a level, at most.
const ROUNDS: usize = 6;
/// Levels of a pilot, at most.
const MOST_LEVELS: usize = 10_000;

/// Where the random numbers of a population lie.
#[derive(Clone, Copy)]
struct Address {
    start: Stream,
    replicate: u32,
}

impl Address {
    /// The step of a move: replicates of the pilot are numbered from the top.
    fn step(&self, serial: usize) -> u32 {
        self.replicate * MOST_MOVES as u32 + serial as u32
    }
}

/// Walkers of this rank.
struct Walkers {
    noise: Blocks,
    /// Λ.
    gain: Vec<f64>,
    /// A.
    log_weights: Vec<f64>,
}

impl AnnealedDynamics {
    fn start(&self, context: &Context, at: Address) -> Walkers {
        let (chain, random) = (context.chain, context.random);
        let mine = context.mine().len();
        let mut noise = Blocks::zeros(mine, chain.block() / LANES);
        let mut gain = vec![0.0; mine * LANES];
        context.for_blocks(&mut noise, &mut gain, |block, xi, gain| {
            random.rows(at.start, at.replicate, 0, block, xi);
            let mut x = vec![0.0; chain.block()];
            self.guide.simulate(chain, xi, &mut x, gain, &mut Scratch::new(chain));
        });
        Walkers { noise, gain, log_weights: vec![0.0; mine * LANES] }
    }

    /// The moves of a level; returns (accepted share, drift evaluations).
    fn sweep(
        &self,
        context: &Context,
        at: Address,
        level: usize,
        s: f64,
        size: f64,
        walkers: &mut Walkers,
    ) -> Result<(f64, f64)> {
        let (chain, random) = (context.chain, context.random);
        let first = context.mine().start;
        let values = walkers.noise.values * LANES;
        let mut accepted = vec![0.0; walkers.gain.len() / LANES];
        walkers
            .noise
            .data
            .par_chunks_mut(values)
            .zip(walkers.gain.par_chunks_mut(LANES))
            .zip(&mut accepted)
            .enumerate()
            .for_each(|(b, ((xi, gain), accepted))| {
                let mut local = Local::new(chain, random, at, first + b, s, size, self);
                for sweep in 0..self.input.sweeps {
                    *accepted += local.step(level * self.input.sweeps + sweep, xi, gain);
                }
            });
        let sum = context.crew.sum(context.blocks, 1, &|b, out| out[0] += accepted[b - first])[0];
        let moves = (context.paths() * self.input.sweeps) as f64;
        let cost = match self.input.mover {
            Mover::Pcn | Mover::Shooting => 1.0,
            Mover::Pcnl => 2.0,
            Mover::Hmc => 2.0 * self.input.rotations as f64,
        };
        Ok((sum / moves, moves * chain.steps as f64 * cost))
    }

    /// One population from level 0 to 1. With `pilot` the levels and step sizes are chosen on the way and returned.
    fn run(&self, context: &Context, at: Address, pilot: bool) -> Result<(Sampled, Vec<f64>, Vec<f64>)> {
        context.check()?;
        let chain = context.chain;
        let mut walkers = self.start(context, at);
        let mut evaluations = context.paths() as f64 * chain.steps as f64;
        let (mut log_evidence, mut resamplings, mut s) = (0.0, 0.0, 0.0);
        let (mut levels, mut sizes) = (self.levels.clone(), self.step_sizes.clone());
        if pilot {
            (levels, sizes) = (Vec::new(), Vec::new());
        }
        let (mut size, mut acceptance, mut level) = (self.input.step_size, 0.0, 0);
        while s < 1.0 {
            context.check()?;
            let next = if pilot { self.next_level(context, &walkers, s)? } else { levels[level] };
            for (a, gain) in walkers.log_weights.iter_mut().zip(&walkers.gain) {
                *a += (next - s) * gain;
            }
            s = next;
            let weighed = context.weigh(&walkers.log_weights, "at a level")?;
            if weighed.sum == 0.0 {
                break;
            }
            // A pilot resamples at each level: its choice is the conditional effective sample size.
            if pilot || weighed.ess() < self.input.resample_below * context.paths() as f64 {
                log_evidence += weighed.log_mean(context.paths());
                let decision = context.decision(Stream::PathsResample, at.step(level), u64::from(pilot));
                let mut gains = Blocks { values: 1, data: walkers.gain.clone() };
                context.crew.resample(context.blocks, &walkers.log_weights, decision, 1, &mut gains);
                walkers.gain = gains.data;
                let values = walkers.noise.values;
                context.crew.resample(context.blocks, &walkers.log_weights, decision, values, &mut walkers.noise);
                walkers.log_weights.fill(0.0);
                resamplings += 1.0;
            }
            if !pilot {
                size = sizes[level];
            }
            // A pilot moves until the step size of the level has settled.
            for round in 0..if pilot { ROUNDS } else { 1 } {
                let serial = if pilot { level * ROUNDS + round } else { level };
                let (accepted, cost) = self.sweep(context, at, serial, s, size, &mut walkers)?;
                evaluations += cost;
                acceptance = accepted;
                let better = self.adapted(size, accepted);
                if !pilot || (better / size - 1.0).abs() < 0.15 {
                    break;
                }
                size = better;
            }
            if pilot {
                levels.push(s);
                sizes.push(size);
                if levels.len() >= MOST_LEVELS || (level + 1) * ROUNDS * self.input.sweeps >= MOST_MOVES {
                    let message = format!("{} levels reached s = {s:.3e} only: raise method.paths", levels.len());
                    return Err(Error::Numerical { step: context.step, message });
                }
            }
            level += 1;
        }
        let mut paths = Blocks::zeros(walkers.noise.len(), walkers.noise.values);
        let noise = &walkers.noise;
        let first = context.mine().start;
        let mut gain = walkers.gain;
        context.for_blocks(&mut paths, &mut gain, |block, x, gain| {
            self.guide.simulate(chain, noise.block(block - first), x, gain, &mut Scratch::new(chain));
        });
        evaluations += context.paths() as f64 * chain.steps as f64;
        let sampled =
            Sampled { paths, log_weights: walkers.log_weights, log_evidence, evaluations, acceptance, resamplings };
        Ok((sampled, levels, sizes))
    }

    /// Largest level whose weights keep the share of effective walkers that is asked for.
    fn next_level(&self, context: &Context, walkers: &Walkers, s: f64) -> Result<f64> {
        let enough = self.input.ess * context.paths() as f64;
        let ess = |next: f64| -> Result<f64> {
            let weights: Vec<f64> = walkers.gain.iter().map(|g| (next - s) * g).collect();
            Ok(context.weigh(&weights, "at a level")?.ess())
        };
        if ess(1.0)? >= enough {
            return Ok(1.0);
        }
        let (mut low, mut high) = (s, 1.0);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if ess(middle)? < enough { high = middle } else { low = middle }
        }
        // Costs of infinity end walkers at any level: then the next one is as good as any.
        Ok(if low > s { low } else { high.max(s + 1e-6).min(1.0) })
    }

    fn adapted(&self, size: f64, accepted: f64) -> f64 {
        let (target, most) = match self.input.mover {
            Mover::Pcn => (0.35, 1.0),
            Mover::Pcnl => (0.55, 1.9),
            Mover::Hmc => (0.75, 0.5),
            Mover::Shooting => return size,
        };
        (size * exp(2.0 * (accepted - target))).clamp(1e-6, most)
    }
}

/// The work space of the moves of one block.
struct Local<'a> {
    chain: &'a Chain,
    guide: &'a Guide,
    propose: Draws,
    accept: Draws,
    at: Address,
    mover: Mover,
    rotations: usize,
    s: f64,
    size: f64,
    scratch: Scratch,
    x: Vec<f64>,
    w: Vec<f64>,
    trial: Vec<f64>,
    trial_gain: Vec<f64>,
    /// ∇Λ at ξ, when it is known, and at the trial.
    slope: Vec<f64>,
    known: bool,
    trial_slope: Vec<f64>,
}

impl<'a> Local<'a> {
    fn new(
        chain: &'a Chain,
        random: Random,
        at: Address,
        block: usize,
        s: f64,
        size: f64,
        method: &'a AnnealedDynamics,
    ) -> Self {
        let slot = (block * LANES) as u64;
        let buffer = || vec![0.0; chain.block()];
        Local {
            chain,
            guide: &method.guide,
            propose: random.draws(at.moves(Stream::PathsPropose), 0).at(slot),
            accept: random.draws(at.moves(Stream::PathsAccept), 0).at(slot),
            at,
            mover: method.input.mover,
            rotations: method.input.rotations,
            s,
            size,
            scratch: Scratch::new(chain),
            x: buffer(),
            w: buffer(),
            trial: buffer(),
            trial_gain: vec![0.0; LANES],
            slope: buffer(),
            known: false,
            trial_slope: buffer(),
        }
    }

    /// One move of every walker of the block; returns how many were accepted.
    fn step(&mut self, serial: usize, xi: &mut [f64], gain: &mut [f64]) -> f64 {
        let propose = Draws { step: self.at.step(serial), ..self.propose };
        let accept = Draws { step: self.at.step(serial), ..self.accept };
        for (draw, row) in self.w.chunks_exact_mut(LANES).enumerate() {
            propose.normals(draw as u32, row);
        }
        let mut log_ratio = [0.0; LANES];
        match self.mover {
            Mover::Pcn => {
                let (a, b) = ((1.0 - self.size * self.size).max(0.0).sqrt(), self.size);
                for ((t, xi), w) in self.trial.iter_mut().zip(xi.iter()).zip(&self.w) {
                    *t = a * xi + b * w;
                }
                self.evaluate();
                self.gains(gain, &mut log_ratio);
            }
            Mover::Shooting => {
                let mut frame = [0.0; LANES];
                accept.uniforms(1, &mut frame);
                let rows = self.chain.rows();
                self.trial.copy_from_slice(xi);
                for (l, u) in frame.iter().enumerate() {
                    // The noise from this time on is new: of all (also of the start), …, of the last step.
                    let from = (u * (self.chain.steps + 1) as f64) as usize;
                    for j in from..=self.chain.steps {
                        for i in 0..self.chain.dimension {
                            let k = j * rows + i * LANES + l;
                            self.trial[k] = self.w[k];
                        }
                    }
                }
                self.evaluate();
                self.gains(gain, &mut log_ratio);
            }
            Mover::Pcnl => {
                self.know(xi);
                let (d, s) = (self.size, self.s);
                let cut = cuts(s, d, &self.slope);
                let (a, b, c) = ((2.0 - d) / (2.0 + d), 2.0 * d * s / (2.0 + d), (8.0 * d).sqrt() / (2.0 + d));
                for k in 0..xi.len() {
                    self.trial[k] = a * xi[k] + b * cut[k % LANES] * self.slope[k] + c * self.w[k];
                }
                self.evaluate();
                self.slope_of_trial();
                let cut_of_trial = cuts(s, d, &self.trial_slope);
                let rho = |from: &[f64], to: &[f64], slope: &[f64], cut: &[f64; LANES], gain: &[f64]| {
                    let mut rho = [0.0; LANES];
                    for (r, gain) in rho.iter_mut().zip(gain) {
                        *r = -s * gain;
                    }
                    for k in 0..from.len() {
                        let (u, v, g) = (from[k], to[k], -s * cut[k % LANES] * slope[k]);
                        rho[k % LANES] += 0.5 * (v - u) * g + 0.25 * d * ((u + v) * g + g * g);
                    }
                    rho
                };
                let there = rho(xi, &self.trial, &self.slope, &cut, gain);
                let back = rho(&self.trial, xi, &self.trial_slope, &cut_of_trial, &self.trial_gain);
                for l in 0..LANES {
                    log_ratio[l] = there[l] - back[l];
                }
            }
            Mover::Hmc => {
                self.know(xi);
                self.trajectory(xi, gain, &mut log_ratio);
            }
        }
        let mut u = [0.0; LANES];
        accept.uniforms(0, &mut u);
        let mut accepted = 0.0;
        for l in 0..LANES {
            // A trial that is no number (a chain that ran away) is turned down.
            if ln(u[l]) < log_ratio[l] && self.trial_gain[l].is_finite() {
                accepted += 1.0;
                gain[l] = self.trial_gain[l];
                for k in (l..xi.len()).step_by(LANES) {
                    xi[k] = self.trial[k];
                }
                if self.known {
                    for k in (l..xi.len()).step_by(LANES) {
                        self.slope[k] = self.trial_slope[k];
                    }
                }
            }
        }
        accepted
    }

    /// Λ of the trial, and its path.
    fn evaluate(&mut self) {
        self.guide.simulate(self.chain, &self.trial, &mut self.x, &mut self.trial_gain, &mut self.scratch);
    }

    fn gains(&self, gain: &[f64], log_ratio: &mut [f64; LANES]) {
        for l in 0..LANES {
            log_ratio[l] =
                if gain[l] == f64::NEG_INFINITY { f64::INFINITY } else { self.s * (self.trial_gain[l] - gain[l]) };
        }
    }

    /// ∇Λ at ξ.
    fn know(&mut self, xi: &[f64]) {
        if !self.known {
            let mut gain = [0.0; LANES];
            self.guide.simulate(self.chain, xi, &mut self.x, &mut gain, &mut self.scratch);
            self.guide.gradient(self.chain, &self.x, &mut self.slope, &mut self.scratch);
            self.known = true;
        }
    }

    /// ∇Λ at the trial whose path is in `x`.
    fn slope_of_trial(&mut self) {
        self.guide.gradient(self.chain, &self.x, &mut self.trial_slope, &mut self.scratch);
    }

    fn trajectory(&mut self, xi: &[f64], gain: &[f64], log_ratio: &mut [f64; LANES]) {
        let (s, angle) = (self.s, self.size);
        let energy = |xi: &[f64], v: &[f64], gain: &[f64]| {
            let mut h = [0.0; LANES];
            for (h, gain) in h.iter_mut().zip(gain) {
                *h = -s * gain;
            }
            for k in 0..xi.len() {
                h[k % LANES] += 0.5 * (xi[k] * xi[k] + v[k] * v[k]);
            }
            h
        };
        // `w` is the velocity.
        let before = energy(xi, &self.w, gain);
        self.trial.copy_from_slice(xi);
        self.trial_slope.copy_from_slice(&self.slope);
        let (c, sn) = (cos(angle), sin(angle));
        for _ in 0..self.rotations {
            for k in 0..self.trial.len() {
                let v = self.w[k] + 0.5 * angle * s * self.trial_slope[k];
                let x = self.trial[k];
                self.trial[k] = c * x + sn * v;
                self.w[k] = c * v - sn * x;
            }
            self.evaluate();
            self.slope_of_trial();
            for k in 0..self.trial.len() {
                self.w[k] += 0.5 * angle * s * self.trial_slope[k];
            }
        }
        let after = energy(&self.trial, &self.w, &self.trial_gain);
        for l in 0..LANES {
            log_ratio[l] = before[l] - after[l];
        }
    }
}

/// Per path what a gradient s∇Λ is multiplied with so that its length is at most √(8/δ): the gradient's part of a move is
/// then at most twice the noise's in that direction.
fn cuts(s: f64, d: f64, slope: &[f64]) -> [f64; LANES] {
    let mut square = [0.0; LANES];
    for row in slope.chunks_exact(LANES) {
        square.iter_mut().zip(row).for_each(|(q, g)| *q += g * g);
    }
    let most = (8.0 / d).sqrt();
    square.map(|q| {
        let length = s * q.sqrt();
        if length > most { most / length } else { 1.0 }
    })
}

impl Address {
    /// The pilot's moves have their own streams.
    fn moves(&self, stream: Stream) -> Stream {
        match (self.start, stream) {
            (Stream::PathsTrain, Stream::PathsPropose) => Stream::PathsTune,
            (Stream::PathsTrain, _) => Stream::PathsShoot,
            (_, stream) => stream,
        }
    }
}

const LEVELS: Name =
    Name { name: "schedule", units: "1", meaning: "levels of the annealing after 0", axes: &["level"] };
const SIZES: Name =
    Name { name: "step_sizes", units: "1", meaning: "step size of the moves at each level", axes: &["level"] };
const PILOT: Name =
    Name { name: "pilot_evaluations", units: "1", meaning: "drift evaluations of the pilot", axes: &[] };

impl Method for AnnealedDynamics {
    fn train(&mut self, context: &Context, _round: u64) -> Result<bool> {
        if self.levels.is_empty() {
            let (sampled, levels, sizes) =
                self.run(context, Address { start: Stream::PathsTrain, replicate: 0 }, true)?;
            if !(levels.last() >= Some(&1.0)) {
                let message = "no walker of the pilot meets the cost: raise method.paths or use method.twist".into();
                return Err(Error::Numerical { step: context.step, message });
            }
            self.evaluations = sampled.evaluations;
            (self.levels, self.step_sizes) = (levels, sizes);
        }
        Ok(true)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        Ok(self.run(context, Address { start: Stream::PathsNoise, replicate }, false)?.0)
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        walk.replicated(&LEVELS, &mut self.levels)?;
        walk.replicated(&SIZES, &mut self.step_sizes)?;
        walk.scalar(&PILOT, (&mut self.evaluations).into())
    }

    fn training_evaluations(&self) -> f64 {
        self.evaluations
    }

    fn training(&self) -> (f64, f64) {
        (if self.levels.is_empty() { 0.0 } else { 1.0 }, f64::NAN)
    }

    fn values_per_path(&self, chain: &Chain) -> usize {
        chain.block() / LANES + 1
    }

    fn sweeps(&self) -> f64 {
        let levels = if self.levels.is_empty() { 20 } else { self.levels.len() };
        (levels * self.input.sweeps) as f64
    }

    fn notes(&self) -> Vec<String> {
        if self.levels.is_empty() { Vec::new() } else { vec![format!("{} levels", self.levels.len())] }
    }
}
