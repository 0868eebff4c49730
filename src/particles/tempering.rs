//! SMC samplers: from the prior to the posterior through powers of the likelihood, with MCMC moves at every power.
//!
//! A particle carries its log prior and log likelihood as two more coordinates. The powers λ are chosen by 16-section on
//! the effective sample size in integers, the moves are tuned to the population; a [`Schedule`] records both, and a run
//! under a given schedule has an unbiased evidence.

use serde::{Deserialize, Serialize};

use super::filter::{Filter, Options, largest};
use super::layout::Layout;
use super::model::{Draws, TILE, Target, Tile};
use super::moves::{Kernel, Tuning, sweep};
use super::population::{States, for_tiles};
use crate::error::{Error, Result};
use crate::math::resampling::{Sums, bits, quantise};
use crate::math::rng::Stream;
use crate::team::Team;

/// How a sampler moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub kernel: Kernel,
    /// Fewest and most sweeps of moves at a power.
    pub moves: (usize, usize),
    /// Sweeps go on until no coordinate's correlation with where it began is above this.
    pub correlation: f64,
    /// The next power keeps this share of the effective sample size.
    pub keep: f64,
    /// States of a chain that are all kept (waste-free); 1: the last one alone, after as many moves as are needed.
    pub chain: usize,
}

/// One power: its value and how particles moved at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rung {
    pub lambda: f64,
    pub tuning: Tuning,
    pub moves: usize,
    pub acceptance: f64,
    pub correlation: f64,
}

/// The state of a sampler.
pub struct Sampler {
    pub filter: Filter,
    pub plan: Plan,
    /// What was done, or what is to be done where `frozen`.
    pub rungs: Vec<Rung>,
    pub frozen: bool,
    pub lambda: f64,
    /// Rungs climbed.
    pub level: usize,
    pub scale: f64,
}

impl Sampler {
    /// Particles from the prior; `frozen` holds the rungs of a run under a given schedule. Collective.
    ///
    /// # Errors
    /// A log density of the prior draws that is NaN.
    pub fn new(
        target: &dyn Target,
        plan: Plan,
        mut options: Options,
        frozen: Option<Vec<Rung>>,
        team: &dyn Team,
    ) -> Result<Sampler> {
        options.threshold = 1.0;
        let d = target.dimension();
        let layout = Layout::in_grains(options.islands, options.particles, plan.chain, team.rank(), team.size());
        let filter = Filter::on(layout, d + 2, options);
        let (rungs, frozen) = frozen.map_or((Vec::new(), false), |rungs| (rungs, true));
        let mut made =
            Sampler { filter, plan, rungs, frozen, lambda: 0.0, level: 0, scale: plan.kernel.first_scale(d) };
        let draws = made.filter.draws(Stream::ParticlesInitial, 0);
        let faults = for_tiles(&made.filter.layout, &mut made.filter.population, |_, place, x, w, _| {
            w.fill(0.0);
            target.draw_prior(&draws.at(place.address()), x);
            evaluate(target, x, d);
            largest(x.level(), x.coordinate(d)).is_nan() || largest(x.level(), x.coordinate(d + 1)).is_nan()
        });
        made.filter.step = 1;
        let bad = team.any(faults.contains(&true));
        if bad {
            let message = "a draw of the prior has a log density that is NaN".to_string();
            return Err(Error::Numerical { step: 0, message });
        }
        Ok(made)
    }

    /// Empty populations of another size, to be filled from a file.
    pub fn relayout(&mut self, options: Options, frozen: bool) {
        let dimension = self.filter.population.dimension;
        let Layout { rank, ranks, .. } = self.filter.layout;
        let layout = Layout::in_grains(options.islands, options.particles, self.plan.chain, rank, ranks);
        self.filter = Filter::on(layout, dimension, options);
        self.frozen = frozen;
    }

    /// Whether λ = 1 is reached.
    pub fn done(&self) -> bool {
        self.lambda >= 1.0
    }

    /// One rung: choose λ, weigh, resample, move. Collective.
    ///
    /// # Errors
    /// All weights zero, a log density that is NaN, or a schedule that does not reach 1.
    pub fn step(&mut self, target: &dyn Target, team: &dyn Team) -> Result<()> {
        let d = target.dimension();
        let next = if self.frozen {
            let rung = self.rungs.get(self.level).ok_or_else(|| Error::Numerical {
                step: self.level as u64,
                message: "the frozen schedule ends before the power 1".into(),
            })?;
            rung.lambda
        } else {
            next_power(&mut self.filter, d, self.lambda, self.plan.keep, team)
        };
        let delta = next - self.lambda;
        let found = for_tiles(&self.filter.layout, &mut self.filter.population, |_, _, x, w, _| {
            for (w, l) in w.iter_mut().zip(x.coordinate(d + 1)) {
                *w = delta * l;
            }
            largest(x.level(), w)
        });
        let fault = self.filter.found(&found);
        team.agree(fault.map_or(Ok(()), |f| Err(self.filter.fault(&f))))?;
        self.filter.weigh(team)?;
        // The population's shape at the new power, before it is resampled.
        let mut tuning = if self.frozen {
            self.rungs[self.level].tuning.clone()
        } else {
            Tuning::of(&self.filter, d, self.plan.kernel, self.scale, target, team)?
        };
        self.lambda = next;
        let (moves, acceptance, correlation) = if self.plan.chain > 1 {
            self.waste_free(target, &mut tuning, self.plan.chain, team)?
        } else {
            self.filter.resample(team);
            self.movements(target, &mut tuning, team)?
        };
        if self.frozen {
            self.rungs[self.level].acceptance = acceptance;
        } else {
            self.scale = tuning.scale;
            self.rungs.push(Rung { lambda: next, tuning, moves, acceptance, correlation });
        }
        self.level += 1;
        self.filter.step += 1;
        // After resampling and moves the weights are equal.
        self.filter.population.log_weights.fill(0.0);
        let zero = vec![0.0; self.filter.layout.places.len()];
        let _ = self.filter.found(&zero);
        self.filter.weigh(team)
    }

    /// The largest correlation that moves left between particles and where they began, where that is more than was asked
    /// for: they ended at the most moves allowed.
    pub fn unmixed(&self) -> Option<f64> {
        let worst = self.rungs.iter().map(|r| r.correlation).fold(f64::NAN, f64::max);
        (worst > self.plan.correlation).then_some(worst)
    }

    fn movements(&mut self, target: &dyn Target, tuning: &mut Tuning, team: &dyn Team) -> Result<(usize, f64, f64)> {
        let d = target.dimension();
        let most = if self.frozen { self.rungs[self.level].moves } else { self.plan.moves.1 };
        let begun = (!self.frozen).then(|| self.filter.population.states.clone());
        let mut accepted = 0u64;
        let mut correlation = f64::NAN;
        let mut done = 0;
        for m in 0..most {
            let step = self.filter.step;
            let draws = self.filter.draws(Stream::ParticlesMove, step);
            let at = Move { draws, first: (m as u32) * d as u32 };
            let now = sweep(&mut self.filter, target, self.plan.kernel, tuning, self.lambda, &at, team)?;
            accepted += now;
            done = m + 1;
            if !self.frozen {
                // Towards the acceptance that suits the kernel.
                let share = now as f64 / (self.filter.layout.islands * self.filter.layout.each) as f64;
                tuning.adapt(self.plan.kernel, share);
            }
            if let Some(begun) = &begun
                && done >= self.plan.moves.0
            {
                correlation = correlation_with(&self.filter, begun, d, team);
                if correlation < self.plan.correlation {
                    break;
                }
            }
        }
        let n = (self.filter.layout.islands * self.filter.layout.each * done.max(1)) as f64;
        Ok((done, accepted as f64 / n, correlation))
    }
}

/// Where the draws of one sweep lie.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    pub draws: Draws,
    pub first: u32,
}

/// Log prior and log likelihood of a tile into its last two coordinates.
pub(super) fn evaluate(target: &dyn Target, x: &mut Tile<'_>, d: usize) {
    let n = x.len();
    let (mut prior, mut likelihood) = ([0.0; TILE], [0.0; TILE]);
    target.log_prior(x.view(), &mut prior[..n]);
    target.log_likelihood(x.view(), &mut likelihood[..n]);
    x.coordinate_mut(d).copy_from_slice(&prior[..n]);
    x.coordinate_mut(d + 1).copy_from_slice(&likelihood[..n]);
}

/// The largest power λ + δ ≤ 1 at which the effective sample size over all islands together keeps `keep` of the particles.
fn next_power(filter: &mut Filter, d: usize, lambda: f64, keep: f64, team: &dyn Team) -> f64 {
    let n = (filter.layout.islands * filter.layout.each) as f64;
    let each = filter.layout.each as u64;
    // The largest log-likelihood over all islands: one common reference.
    let best = for_tiles(&filter.layout, &mut filter.population, |_, _, x, _, _| {
        x.coordinate(d + 1).iter().copied().fold(f64::NEG_INFINITY, f64::max)
    });
    let best = team.max(best.into_iter().fold(f64::NEG_INFINITY, f64::max));
    let islands = filter.layout.islands as u64;
    let b = bits((each * islands).min(crate::math::resampling::LARGEST));
    let mut effective = |deltas: &[f64]| -> Vec<f64> {
        let tiles = for_tiles(&filter.layout, &mut filter.population, |_, place, x, _, _| {
            let level = x.level();
            let l = x.coordinate(d + 1);
            let (mut w, mut prefix) = ([0.0; TILE], [0u64; TILE]);
            let one = |delta: &f64| {
                for (w, l) in w[..place.len].iter_mut().zip(l) {
                    *w = delta * l;
                }
                quantise(level, &w[..place.len], delta * best, b, &mut prefix[..place.len])
            };
            deltas.iter().map(one).collect::<Vec<Sums>>()
        });
        let mut mine = vec![Sums::default(); deltas.len()];
        for tile in &tiles {
            mine.iter_mut().zip(tile).for_each(|(m, t)| m.add(t));
        }
        let words: Vec<u64> = mine.iter().flat_map(super::estimate::sums_to_words).collect();
        let all = if team.size() == 1 { words } else { team.gather(&words) };
        let mut total = vec![Sums::default(); deltas.len()];
        for rank in all.chunks(6 * deltas.len()) {
            total.iter_mut().zip(rank.chunks(6)).for_each(|(t, w)| t.add(&super::estimate::sums_from_words(w)));
        }
        total.iter().map(Sums::effective).collect()
    };
    let most = 1.0 - lambda;
    if !best.is_finite() || effective(&[most])[0] >= keep * n {
        return 1.0;
    }
    // 16-section: the effective sample size falls with δ. 13 rounds for 52 bits.
    let (mut low, mut high) = (0.0, most);
    for _ in 0..13 {
        let cuts: Vec<f64> = (1..16).map(|k| low + (high - low) * f64::from(k) / 16.0).collect();
        let k = effective(&cuts).iter().take_while(|e| **e >= keep * n).count();
        let bounds = |k: usize| {
            if k == 0 {
                low
            } else if k == 16 {
                high
            } else {
                cuts[k - 1]
            }
        };
        (low, high) = (bounds(k), bounds(k + 1));
    }
    // At least something: a power that does not move would go on for ever.
    lambda + if low > 0.0 { low } else { high }
}

/// The largest over coordinates of |correlation| between where particles began and where they are, all islands together.
fn correlation_with(filter: &Filter, begun: &States, d: usize, team: &dyn Team) -> f64 {
    let n = (filter.layout.islands * filter.layout.each) as f64;
    let total = |sums: Vec<f64>| sums.iter().sum::<f64>();
    let mut worst = 0.0f64;
    for c in 0..d {
        let old = |t: usize, i: usize| begun.get(filter.population.index(t, c, i));
        let new = |t: usize, i: usize| filter.population.at(t, c, i);
        let (a, b) = (total(filter.sums(team, old)) / n, total(filter.sums(team, new)) / n);
        let cross = total(filter.sums(team, |t, i| (old(t, i) - a) * (new(t, i) - b)));
        let first = total(filter.sums(team, |t, i| (old(t, i) - a) * (old(t, i) - a)));
        let second = total(filter.sums(team, |t, i| (new(t, i) - b) * (new(t, i) - b)));
        if first > 0.0 && second > 0.0 {
            worst = worst.max((cross / (first * second).sqrt()).abs());
        }
    }
    worst
}
