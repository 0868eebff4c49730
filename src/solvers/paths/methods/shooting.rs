//! Transition path sampling by shooting [Bolhuis2002]: Markov chains of whole paths whose law is e^{−J}·chain; no evidence.
//!
//! A move keeps the path up to a random frame s (forward shot) or from it on (backward shot, where the start is free), and
//! draws the rest anew from the chain's kernel p, backwards with the time turned: y_k ~ p(x_{k+1} → ·). It is accepted with
//!
//!     forward    α = 1 ∧ e^{J(x) − J(y)}
//!     backward   α = 1 ∧ e^{J(x) − J(y)} R(y)/R(x),   R(x) = ρ(x_0) Π_{k<s} p(x_k → x_{k+1}) / p(x_{k+1} → x_k)
//!
//! and a rejected move repeats the old path. The Euler–Maruyama chain is not reversible: without R the start's law is
//! wrong by some per cent. Walkers begin as weighted paths, resampled, and count where they end: what the weights
//! were too few for the moves mend. The spread of the replicates is the error: it holds where the moves are enough to forget
//! the first paths, whose bias all replicates share. Twice the moves must give the same means within their errors.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::importance::{self, Twist};
use super::{Finding, Method, WalkerPopulation};
use crate::error::{Error, Result};
use crate::math::elementary::ln;
use crate::math::rng::Stream;
use crate::solvers::paths::chain::{Chain, LANES};
use crate::solvers::paths::ensemble::{Context, Random, Sampled};
use crate::solvers::paths::guide::Guide;
use crate::state::Walk;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(flatten)]
    pub size: WalkerPopulation,
    /// Moves of each walker.
    #[serde(default = "many")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub moves: usize,
    /// What guides the weighted paths that walkers begin with.
    #[serde(default)]
    pub twist: Twist,
}

fn many() -> usize {
    200
}

/// Moves of a replicate that can be addressed.
const MOST_MOVES: u32 = 1 << 20;

/// The address of a move of a replicate.
pub fn serial(replicate: u32, number: usize) -> u32 {
    replicate * MOST_MOVES + number as u32
}

/// Moves in hundredths, between which signals are asked for.
pub fn portions(moves: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let length = moves.div_ceil(100);
    (0..moves).step_by(length).map(move |from| from..(from + length).min(moves))
}

pub struct Shooting {
    guide: Guide,
    moves: usize,
    /// Whether the start is drawn, so that backward shots move it.
    two_way: bool,
}

impl Input {
    pub fn build(&self, chain: &Chain) -> std::result::Result<Shooting, Finding> {
        let two_way = chain.start.deviation.iter().all(|s| *s > 0.0);
        if !two_way && chain.start.deviation.iter().any(|s| *s > 0.0) {
            let message = "shooting needs a start that is fixed or drawn in all coordinates";
            return Err(("name".into(), message.into()));
        }
        if two_way && !chain.steady_noise() {
            let message = "backward shots need noise that depends on neither state nor time; fix the start";
            return Err(("name".into(), message.into()));
        }
        let guide = match self.twist {
            Twist::None => Guide::default(),
            Twist::Linear => Guide::linear(chain),
        };
        Ok(Shooting { guide, moves: self.moves, two_way })
    }
}

/// One block of walkers.
struct Walkers<'a> {
    chain: &'a Chain,
    random: Random,
    block: usize,
    trial: Vec<f64>,
    row: Vec<f64>,
    noise: Vec<f64>,
    /// −J of the walkers' paths.
    gain: Vec<f64>,
}

impl Walkers<'_> {
    /// One move of all walkers of the block, the `serial`-th of the replicate; returns how many were accepted.
    fn step(&mut self, serial: u32, two_way: bool, x: &mut [f64]) -> f64 {
        let (chain, random, rows, n) = (self.chain, self.random, self.chain.rows(), self.chain.steps);
        let uniforms = |draw: u32| {
            let mut u = [0.0; LANES];
            random.uniforms(Stream::PathsAccept, serial, draw, self.block, &mut u);
            u
        };
        let (accept, frame, direction) = (uniforms(0), uniforms(1), uniforms(2));
        let backward: [bool; LANES] = std::array::from_fn(|l| two_way && direction[l] < 0.5);
        // A forward shot leaves the frames up to s < n alone, a backward one those from s > 0 on.
        let frame: [usize; LANES] = std::array::from_fn(|l| (frame[l] * n as f64) as usize + usize::from(backward[l]));
        let draw = |j: usize, noise: &mut [f64]| {
            random.rows(Stream::PathsPropose, serial, j * chain.dimension, self.block, noise);
        };
        self.trial.copy_from_slice(x);
        let scale = chain.noise * chain.time_step.sqrt();
        let (first, last) = ((0..LANES).filter(|l| !backward[*l]).map(|l| frame[l]).min().unwrap_or(n), n);
        for j in first + 1..=last {
            draw(j, &mut self.noise);
            self.row.copy_from_slice(&self.trial[(j - 1) * rows..j * rows]);
            chain.prior.advance(chain.time(j - 1), chain.time_step, scale, &self.noise, &mut self.row);
            for k in (0..rows).filter(|k| !backward[k % LANES] && frame[k % LANES] < j) {
                self.trial[j * rows + k] = self.row[k];
            }
        }
        let highest = (0..LANES).filter(|l| backward[*l]).map(|l| frame[l]).max().unwrap_or(0);
        for j in (0..highest).rev() {
            draw(j, &mut self.noise);
            self.row.copy_from_slice(&self.trial[(j + 1) * rows..(j + 2) * rows]);
            chain.prior.advance(chain.time(j), chain.time_step, scale, &self.noise, &mut self.row);
            for k in (0..rows).filter(|k| backward[k % LANES] && j < frame[k % LANES]) {
                self.trial[j * rows + k] = self.row[k];
            }
        }
        let mut gain = [0.0; LANES];
        chain.log_cost(&self.trial, &mut gain);
        let mut ratio = gain;
        for (r, old) in ratio.iter_mut().zip(&self.gain) {
            *r = if *old == f64::NEG_INFINITY { f64::INFINITY } else { *r - old };
        }
        if highest > 0 {
            let trial = std::mem::take(&mut self.trial);
            let (new, old) = (self.turned(&trial, &frame, highest), self.turned(x, &frame, highest));
            self.trial = trial;
            for l in (0..LANES).filter(|l| backward[*l]) {
                ratio[l] += new[l] - old[l];
            }
        }
        let mut accepted = 0.0;
        for l in 0..LANES {
            // A path that ran away is turned down.
            if ln(accept[l]) < ratio[l] && gain[l].is_finite() {
                accepted += 1.0;
                self.gain[l] = gain[l];
                for k in (l..x.len()).step_by(LANES) {
                    x[k] = self.trial[k];
                }
            }
        }
        accepted
    }

    /// ln R of the paths `x`, each up to its frame.
    fn turned(&mut self, x: &[f64], frame: &[usize; LANES], highest: usize) -> [f64; LANES] {
        let (chain, rows) = (self.chain, self.chain.rows());
        let mut log = [0.0; LANES];
        for (i, (m, s)) in chain.start.mean.iter().zip(&chain.start.deviation).enumerate() {
            for l in 0..LANES {
                let z = (x[i * LANES + l] - m) / s;
                log[l] -= 0.5 * z * z;
            }
        }
        let spread = chain.prior.spread(0.0, chain.time_step).unwrap_or(1.0);
        let half = 0.5 / (chain.noise * chain.noise * chain.time_step * spread * spread);
        let (there, back) = (&mut self.row, &mut self.noise);
        for j in 0..highest {
            let (now, next) = x[j * rows..(j + 2) * rows].split_at(rows);
            chain.mean(j + 1, now, there);
            chain.mean(j + 1, next, back);
            for k in (0..rows).filter(|k| j < frame[k % LANES]) {
                let (forth, home) = (next[k] - there[k], now[k] - back[k]);
                log[k % LANES] += half * (home * home - forth * forth);
            }
        }
        log
    }
}

impl Method for Shooting {
    fn train(&mut self, _context: &Context, _round: u64) -> Result<bool> {
        Ok(true)
    }

    fn sample(&self, context: &Context, replicate: u32) -> Result<Sampled> {
        let chain = context.chain;
        let mut sampled = importance::sample(context, &self.guide, Stream::PathsNoise, replicate)?;
        if context.weigh(&sampled.log_weights, "of the first paths")?.sum == 0.0 {
            let message = "no path meets the cost to begin with: raise method.paths or give method.twist".into();
            return Err(Error::Numerical { step: context.step, message });
        }
        let decision = context.decision(Stream::PathsResample, replicate, 0);
        let values = sampled.paths.values;
        context.ranks.resample(context.blocks, &sampled.log_weights, decision, values, &mut sampled.paths);
        sampled.log_weights.fill(0.0);
        let (first, random, two_way) = (context.mine().start, context.random, self.two_way);
        let mut accepted = vec![0.0; sampled.log_weights.len() / LANES];
        for portion in portions(self.moves) {
            context.check()?;
            sampled.paths.data.par_chunks_mut(values * LANES).zip(&mut accepted).enumerate().for_each(
                |(b, (x, accepted))| {
                    let mut walkers = Walkers {
                        chain,
                        random,
                        block: first + b,
                        trial: vec![0.0; chain.block()],
                        row: vec![0.0; chain.rows()],
                        noise: vec![0.0; chain.rows()],
                        gain: vec![0.0; LANES],
                    };
                    chain.log_cost(x, &mut walkers.gain);
                    for number in portion.clone() {
                        *accepted += walkers.step(serial(replicate, number), two_way, x);
                    }
                },
            );
        }
        let sum = context.ranks.sum(context.blocks, 1, &|b, out| out[0] += accepted[b - first])[0];
        let moves = (context.paths() * self.moves) as f64;
        sampled.acceptance = sum / moves;
        // Half of a path's steps are drawn anew on average; backward shots evaluate R besides.
        sampled.evaluations += moves * chain.steps as f64 * if self.two_way { 1.5 } else { 0.5 };
        Ok(sampled)
    }

    fn state(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }

    fn has_evidence(&self) -> bool {
        false
    }

    fn moves(&self) -> bool {
        true
    }

    fn notes(&self) -> Vec<String> {
        let how = if self.two_way { "forward and backward shots" } else { "forward shots: the start is fixed" };
        vec![how.to_string()]
    }
}
