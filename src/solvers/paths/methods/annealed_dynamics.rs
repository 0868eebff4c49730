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
//!     spde      the Langevin SPDE of the path x, semi-implicit and preconditioned by its linear part, with Metropolis: see
//!               [`langevin`]
//!     shooting  the noise after a random time is drawn anew,    α = 1 ∧ e^{Ψ(ξ) − Ψ(ξ')}; a rejected move repeats the path
//!
//! Before the moves of a level A ← A + (s' − s) Λ(ξ); Z_1/Z_0 ≈ mean e^A. Where the schedule is adaptive it comes, with
//! the step sizes, from a pilot population, and is frozen for the replicates.

mod langevin;
mod moves;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::importance::Twist;
use super::{Finding, Method, WalkerPopulation};
use crate::error::{Error, Result};
use crate::math::elementary::exp;
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::collectives::Blocks;
use crate::solvers::paths::ensemble::{Context, Sampled};
use crate::solvers::paths::guide::{Guide, Scratch, linear_twist};
use crate::state::{Name, Walk};
use langevin::Base;
use moves::Local;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: WalkerPopulation,
    /// How walkers move.
    #[serde(default)]
    pub mover: Mover,
    /// β of pcn (at most 1), δ of pcnl and spde, ε of hmc: of all levels, or where the pilot starts from.
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
    /// Langevin dynamics of the path itself (an SPDE in the time of the moves), its linear part implicit.
    Spde,
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
    /// Keys that the mover or the levels leave without use, and why.
    pub fn unused(&self) -> Vec<Finding> {
        let mover = format!("{:?}", self.mover).to_lowercase();
        let by =
            |key: &str, of: &str| (key.into(), format!("is not used by method.mover = \"{mover}\"; it is for {of}"));
        let mut unused = Vec::new();
        if self.mover != Mover::Hmc {
            unused.push(by("rotations", "\"hmc\""));
        }
        if self.mover == Mover::Shooting {
            unused.push(by("step_size", "\"pcn\", \"pcnl\", \"hmc\" and \"spde\""));
        }
        if self.levels.is_some() {
            let message =
                "is not used with method.levels: it is for the pilot that chooses levels where none are given";
            unused.push(("ess".into(), message.into()));
        }
        unused
    }

    pub fn build(&self, chain: &Chain) -> std::result::Result<AnnealedDynamics, Finding> {
        let gradient = matches!(self.mover, Mover::Pcnl | Mover::Hmc | Mover::Spde);
        if gradient && !chain.constant_noise() {
            return Err(("mover".into(), "needs noise that does not depend on the state; use pcn or shooting".into()));
        }
        if gradient && !chain.prior.has_pull() {
            return Err((
                "mover".into(),
                "needs derivatives that the written drift has not; use pcn or shooting".into(),
            ));
        }
        if self.mover == Mover::Spde {
            langevin::check(chain).map_err(|message| ("mover".into(), message))?;
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
        let base = (self.input.mover == Mover::Spde).then(|| Base::new(chain, self.guide.twist.is_some(), s));
        let mut accepted = vec![0.0; walkers.gain.len() / LANES];
        walkers
            .noise
            .data
            .par_chunks_mut(values)
            .zip(walkers.gain.par_chunks_mut(LANES))
            .zip(&mut accepted)
            .enumerate()
            .for_each(|(b, ((xi, gain), accepted))| {
                let mut local = Local::new(chain, random, at, first + b, s, size, self, base.as_ref());
                for sweep in 0..self.input.sweeps {
                    *accepted += local.step(level * self.input.sweeps + sweep, xi, gain);
                }
            });
        let sum = context.ranks.sum(context.blocks, 1, &|b, out| out[0] += accepted[b - first])[0];
        let moves = (context.paths() * self.input.sweeps) as f64;
        let cost = match self.input.mover {
            Mover::Pcn | Mover::Shooting => 1.0,
            Mover::Pcnl | Mover::Spde => 2.0,
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
                context.ranks.resample(context.blocks, &walkers.log_weights, decision, 1, &mut gains);
                walkers.gain = gains.data;
                let values = walkers.noise.values;
                context.ranks.resample(context.blocks, &walkers.log_weights, decision, values, &mut walkers.noise);
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
        let sampled = Sampled {
            paths,
            log_weights: walkers.log_weights,
            log_evidence,
            evaluations,
            acceptance,
            resamplings,
            duration: f64::NAN,
        };
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
            Mover::Pcnl | Mover::Spde => (0.55, 1.9),
            Mover::Hmc => (0.75, 0.5),
            Mover::Shooting => return size,
        };
        (size * exp(2.0 * (accepted - target))).clamp(1e-6, most)
    }
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

    fn notes(&self) -> Vec<String> {
        if self.levels.is_empty() { Vec::new() } else { vec![format!("{} levels", self.levels.len())] }
    }
}
