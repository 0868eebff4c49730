//! A replicate: a population of weighted paths, and what it says of the evidence and the marginals.

use super::chain::{Chain, LANES};
use super::collectives::{Blocks, Collectives};
use crate::crew::{each_chunk, map};
use crate::error::{Error, Result};
use crate::math::draws::Draws;
use crate::math::elementary::{exp, ln};
use crate::math::rng::Stream;
use crate::math::simd::Level;

/// What a method works with.
pub struct Context<'a> {
    pub chain: &'a Chain,
    pub ranks: &'a dyn Collectives,
    pub random: Random,
    /// Blocks of all ranks in a replicate.
    pub blocks: usize,
    /// The run's step, for messages.
    pub step: u64,
    /// Asks whether the run is to stop; polled between the stages of a replicate.
    pub stop: &'a dyn Fn() -> bool,
}

/// The random numbers of a run, by address.
#[derive(Debug, Clone, Copy)]
pub struct Random {
    pub level: Level,
    pub seed: u64,
}

impl Random {
    pub fn draws(&self, stream: Stream, step: u32) -> Draws {
        Draws::new(self.level, self.seed, stream, step)
    }

    /// Normal numbers for the rows of a block (numbered globally), draws `from` on.
    pub fn rows(&self, stream: Stream, step: u32, from: usize, block: usize, out: &mut [f64]) {
        let draws = self.draws(stream, step).at((block * LANES) as u64);
        for (draw, row) in out.chunks_exact_mut(LANES).enumerate() {
            draws.normals((from + draw) as u32, row);
        }
    }

    pub fn uniforms(&self, stream: Stream, step: u32, draw: u32, block: usize, out: &mut [f64]) {
        self.draws(stream, step).at((block * LANES) as u64).uniforms(draw, out);
    }
}

impl Context<'_> {
    pub fn paths(&self) -> usize {
        self.blocks * LANES
    }

    pub fn mine(&self) -> std::ops::Range<usize> {
        self.ranks.mine(self.blocks)
    }

    /// The address of a decision that all paths share, and its number there.
    pub fn decision(&self, stream: Stream, step: u32, number: u64) -> (Draws, u64) {
        (self.random.draws(stream, step), number)
    }

    /// Stops a replicate that is asked to; collective.
    pub fn check(&self) -> Result<()> {
        if self.ranks.any((self.stop)()) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Does `work` for every block of this rank: (global number, its part of `population`, its log-weights).
    pub fn for_blocks(
        &self,
        population: &mut Blocks,
        log_weights: &mut [f64],
        work: impl Fn(usize, &mut [f64], &mut [f64]) + Sync,
    ) {
        let first = self.mine().start;
        let size = (population.values * LANES).max(1);
        let blocks = population.data.chunks_mut(size).zip(log_weights.chunks_mut(LANES));
        map(blocks, |b, (x, w)| work(first + b, x, w));
    }

    /// The same for paths that are only read: (global number, its paths, its part of `out`).
    pub fn read_blocks(&self, population: &Blocks, out: &mut [f64], work: impl Fn(usize, &[f64], &mut [f64]) + Sync) {
        let first = self.mine().start;
        each_chunk(out, LANES, |b, out| work(first + b, population.block(b), out));
    }

    /// Largest log-weight, and Σ e^{w − largest}, Σ e^{2(w − largest)} over all paths.
    ///
    /// # Errors
    /// A weight that is not a number.
    pub fn weigh(&self, log_weights: &[f64], what: &str) -> Result<Weighed> {
        let bad = log_weights.iter().position(|w| w.is_nan() || *w == f64::INFINITY);
        if self.ranks.any(bad.is_some()) {
            let first = self.mine().start * LANES;
            let path = bad.map(|b| (first + b) as f64).unwrap_or(f64::INFINITY);
            let path = -self.ranks.max(-path);
            let message = format!(
                "the log-weight of path {path} is not a number ({what}): the chain left the numbers' range; reduce \
                 problem.time_step"
            );
            return Err(Error::Numerical { step: self.step, message });
        }
        let largest = self.ranks.max(log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        if largest == f64::NEG_INFINITY {
            return Ok(Weighed { largest, sum: 0.0, squares: 0.0 });
        }
        let first = self.mine().start;
        let sums = self.ranks.sum(self.blocks, 2, &|b, out| {
            for w in &log_weights[(b - first) * LANES..(b - first + 1) * LANES] {
                let e = exp(w - largest);
                out[0] += e;
                out[1] += e * e;
            }
        });
        Ok(Weighed { largest, sum: sums[0], squares: sums[1] })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    pub largest: f64,
    pub sum: f64,
    pub squares: f64,
}

impl Weighed {
    /// (Σw)²/Σw².
    pub fn ess(&self) -> f64 {
        if self.sum > 0.0 { self.sum * self.sum / self.squares } else { 0.0 }
    }

    pub fn log_mean(&self, paths: usize) -> f64 {
        if self.sum > 0.0 { self.largest + ln(self.sum / paths as f64) } else { f64::NEG_INFINITY }
    }
}

/// The paths of a replicate on this rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// [times × coordinates] values per path.
    pub paths: Blocks,
    pub log_weights: Vec<f64>,
    /// Log-evidence that went into resampling.
    pub log_evidence: f64,
    /// Drift evaluations of all ranks.
    pub evaluations: f64,
    /// Accepted share of Metropolis moves; NaN where there are none.
    pub acceptance: f64,
    /// Resamplings.
    pub resamplings: f64,
    /// Mean duration of the paths where it differs between them; else NaN.
    pub duration: f64,
}

/// What a replicate says.
#[derive(Debug, Clone, PartialEq)]
pub struct Replicate {
    pub log_evidence: f64,
    pub ess: f64,
    /// Means of x − m and (x − m)², m the start's mean, per time and coordinate under the replicate's weights; empty where
    /// no path has weight.
    pub means: Vec<f64>,
    pub squares: Vec<f64>,
    pub evaluations: f64,
    pub acceptance: f64,
    pub resamplings: f64,
    pub duration: f64,
}

/// Evidence, effective sample size and marginals of a replicate; collective.
///
/// # Errors
/// A weight that is not a number.
pub fn conclude(context: &Context, sampled: &Sampled) -> Result<Replicate> {
    let weighed = context.weigh(&sampled.log_weights, "at the end of a replicate")?;
    let values = sampled.paths.values;
    let first = context.mine().start;
    let starts = &context.chain.start.mean;
    let mut moments = if weighed.sum > 0.0 {
        context.ranks.sum(context.blocks, 2 * values, &|b, out| {
            let b = b - first;
            let (means, squares) = out.split_at_mut(values);
            let mut w = [0.0; LANES];
            for (w, log) in w.iter_mut().zip(&sampled.log_weights[b * LANES..]) {
                *w = exp(log - weighed.largest);
            }
            for (v, x) in sampled.paths.block(b).chunks_exact(LANES).enumerate() {
                let start = starts[v % starts.len()];
                for (w, x) in w.iter().zip(x) {
                    let x = x - start;
                    means[v] += w * x;
                    squares[v] += w * x * x;
                }
            }
        })
    } else {
        Vec::new()
    };
    moments.iter_mut().for_each(|m| *m /= weighed.sum);
    let squares = moments.split_off(moments.len() / 2);
    Ok(Replicate {
        log_evidence: sampled.log_evidence + weighed.log_mean(context.paths()),
        ess: weighed.ess(),
        means: moments,
        squares,
        evaluations: sampled.evaluations,
        acceptance: sampled.acceptance,
        resamplings: sampled.resamplings,
        duration: sampled.duration,
    })
}
