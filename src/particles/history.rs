//! Paths: the genealogy of particles, traced back by ancestors or sampled backwards.
//!
//! A record of a step holds what this rank's particles were. With [`History::prune`] only particles with descendants are
//! kept: the path tree of [JacobMurrayRubenthaler2015], about T + N log N states instead of T N.

use std::collections::VecDeque;

use super::filter::{Filter, largest};
use super::model::{FeynmanKac, TILE, View};
use super::scheme::Drawn;
use crate::error::{Error, Result};
use crate::math::resampling::{Sums, below, bits, from_words, quantise, to_words};
use crate::math::rng::Stream;
use crate::team::Team;

/// Most weights of backward simulation that are held at once.
const LARGEST_BATCH: usize = 1 << 22;

/// Particles of one step on this rank, by global index (island · particles + slot), ascending.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) index: Vec<u64>,
    /// Global index one step before.
    pub(super) ancestor: Vec<u64>,
    /// particle × coordinate.
    pub(super) states: Vec<f64>,
    log_weights: Vec<f64>,
}

/// The particles of all steps so far, on this rank.
#[derive(Debug, Clone)]
pub struct History {
    pub(super) dimension: usize,
    pub(super) records: VecDeque<Record>,
    /// Steps whose records are gone, from the first on.
    pub(super) forgotten: usize,
}

/// Paths as path × time × coordinate, the same on every rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Paths {
    pub count: usize,
    pub times: usize,
    pub dimension: usize,
    pub states: Vec<f64>,
}

impl Paths {
    pub fn at(&self, path: usize, time: usize, d: usize) -> f64 {
        self.states[(path * self.times + time) * self.dimension + d]
    }
}

impl History {
    /// For a filter that keeps ancestors.
    pub fn new(filter: &Filter) -> History {
        assert!(filter.options.ancestors, "a history needs the ancestors of particles");
        History { dimension: filter.population.dimension, records: VecDeque::new(), forgotten: 0 }
    }

    /// Takes note of the particles after a step.
    pub fn push(&mut self, filter: &Filter) {
        let mut record = Record::default();
        let ancestors = filter.population.ancestors.as_ref().expect("asserted in `new`");
        let each = filter.layout.each as u64;
        for (t, place) in filter.layout.places.iter().enumerate() {
            let base = place.island as u64 * each;
            for i in 0..place.len {
                record.index.push(base + (place.first + i) as u64);
                record.ancestor.push(base + ancestors[filter.layout.at(t, i)]);
                record.states.extend((0..self.dimension).map(|d| filter.population.at(t, d, i)));
                record.log_weights.push(filter.population.log_weights[filter.layout.at(t, i)]);
            }
        }
        self.records.push_back(record);
    }

    /// Steps taken note of, those whose records are gone included.
    pub fn steps(&self) -> usize {
        self.forgotten + self.records.len()
    }

    /// Forgets all but the last `keep` steps.
    pub fn forget(&mut self, keep: usize) {
        while self.records.len() > keep {
            self.records.pop_front();
            self.forgotten += 1;
        }
    }

    /// States kept on this rank.
    pub fn len(&self) -> usize {
        self.records.iter().map(|r| r.index.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets particles without descendants at the last step. Collective.
    pub fn prune(&mut self, filter: &Filter, team: &dyn Team) {
        let owner = team.split(filter.layout.islands * filter.layout.each);
        for t in (0..self.records.len().saturating_sub(1)).rev() {
            let mut wanted: Vec<u64> = self.records[t + 1].ancestor.clone();
            wanted.sort_unstable();
            wanted.dedup();
            let mut send: Vec<Vec<u64>> = vec![Vec::new(); team.size()];
            for w in wanted {
                send[owner.owner(w as usize)].push(w);
            }
            let mut keep: Vec<u64> = team.exchange(&send).into_iter().flatten().collect();
            keep.sort_unstable();
            keep.dedup();
            let record = &mut self.records[t];
            let unchanged = keep.len() == record.index.len();
            if !unchanged {
                let mut next = Record::default();
                let mut at = 0;
                for k in keep {
                    while record.index[at] < k {
                        at += 1;
                    }
                    next.index.push(k);
                    next.ancestor.push(record.ancestor[at]);
                    next.log_weights.push(record.log_weights[at]);
                    next.states.extend(&record.states[at * self.dimension..(at + 1) * self.dimension]);
                }
                *record = next;
            }
            // Where nothing was forgotten, nothing before changes either.
            if !team.any(!unchanged) {
                break;
            }
        }
    }

    /// `count` particles of an island drawn by their present weights, systematically. Collective.
    fn draw(&self, filter: &Filter, island: usize, count: usize, team: &dyn Team) -> Vec<u64> {
        let layout = &filter.layout;
        let drawn = filter.drawn(island..island + 1, count, Stream::ParticlesBackward, team);
        let index = |d: &Drawn| (island * layout.each + layout.places[d.tile].first + d.lane) as u64;
        team.gather(&drawn.iter().map(index).collect::<Vec<u64>>())
    }

    /// The states at record `t` of the particles `wanted`, and their ancestors: [ancestor, states…] of each. Collective.
    fn look_up(&self, t: usize, wanted: &[u64], team: &dyn Team) -> Vec<(u64, Vec<f64>)> {
        let record = &self.records[t - self.forgotten];
        let mut mine: Vec<f64> = Vec::new();
        for (k, w) in wanted.iter().enumerate() {
            if let Ok(at) = record.index.binary_search(w) {
                mine.push(f64::from_bits(k as u64));
                mine.push(f64::from_bits(record.ancestor[at]));
                mine.extend(&record.states[at * self.dimension..(at + 1) * self.dimension]);
            }
        }
        let mut found = vec![(0, Vec::new()); wanted.len()];
        for one in team.gather(&mine).chunks(2 + self.dimension) {
            found[one[0].to_bits() as usize] = (one[1].to_bits(), one[2..].to_vec());
        }
        found
    }

    /// `count` paths of an island, drawn by the weights of the last step and traced back by ancestors. Collective; every rank
    /// gets the paths (a number the caller chooses, not the number of particles).
    pub fn trace(&self, filter: &Filter, island: usize, count: usize, team: &dyn Team) -> Paths {
        let mut at = self.draw(filter, island, count, team);
        let times = self.records.len();
        let mut paths =
            Paths { count, times, dimension: self.dimension, states: vec![0.0; count * times * self.dimension] };
        for t in (0..times).rev() {
            for (k, (ancestor, state)) in self.look_up(t, &at.clone(), team).into_iter().enumerate() {
                let to = (k * times + t) * self.dimension;
                paths.states[to..to + self.dimension].copy_from_slice(&state);
                at[k] = ancestor;
            }
        }
        paths
    }

    /// `count` paths of an island by backward simulation: x_t among the particles of step t with probability proportional to
    /// W_t p(x_{t+1} | x_t) / ψ_t. Needs a history that was not pruned. Collective.
    ///
    /// # Errors
    /// A model without transition density, or one that gives NaN.
    pub fn backward(
        &self,
        model: &dyn FeynmanKac,
        filter: &Filter,
        island: usize,
        count: usize,
        team: &dyn Team,
    ) -> Result<Paths> {
        let times = self.records.len();
        let d = self.dimension;
        let mut paths = Paths { count, times, dimension: d, states: vec![0.0; count * times * d] };
        let last = self.draw(filter, island, count, team);
        let mut next = vec![0.0; count * d];
        for t in (0..times).rev() {
            if t + 1 == times {
                for (k, (_, state)) in self.look_up(t, &last, team).into_iter().enumerate() {
                    next[k * d..(k + 1) * d].copy_from_slice(&state);
                }
            } else {
                self.select(model, filter, (island, t), &mut next, team)?;
            }
            for k in 0..count {
                let to = (k * times + t) * d;
                paths.states[to..to + d].copy_from_slice(&next[k * d..(k + 1) * d]);
            }
        }
        Ok(paths)
    }

    /// For each state of `next` (path × coordinate) at step t + 1, a particle of the island at step t with probability
    /// proportional to W_t p(x_{t+1} | x_t) / ψ_t: its state takes the place of the one after it, its slot is answered.
    /// Collective.
    ///
    /// # Errors
    /// A model without transition density or one that gives NaN, or no particle that leads to the state.
    pub fn select(
        &self,
        model: &dyn FeynmanKac,
        filter: &Filter,
        (island, t): (usize, usize),
        next: &mut [f64],
        team: &dyn Team,
    ) -> Result<Vec<u64>> {
        if !model.has_transition() {
            let message = "backward simulation needs the transition density, which the model does not have";
            return Err(Error::Usage(message.into()));
        }
        let d = self.dimension;
        // So many paths at once that their weights stay small; the number is the same on every rank.
        let batch = (LARGEST_BATCH / filter.layout.each).max(1);
        let mut slots = Vec::with_capacity(next.len() / d);
        for (k, part) in next.chunks_mut(batch * d).enumerate() {
            slots.extend(self.select_some(model, filter, (island, t, k * batch), part, team)?);
        }
        Ok(slots)
    }

    /// The same for a batch of paths, of which the first has number `first`.
    fn select_some(
        &self,
        model: &dyn FeynmanKac,
        filter: &Filter,
        (island, t, first): (usize, usize, usize),
        next: &mut [f64],
        team: &dyn Team,
    ) -> Result<Vec<u64>> {
        let d = self.dimension;
        let count = next.len() / d;
        let each = filter.layout.each as u64;
        let range = island as u64 * each..(island as u64 + 1) * each;
        let level = filter.options.level;
        let record = &self.records[t - self.forgotten];
        let (from, to) =
            (record.index.partition_point(|i| *i < range.start), record.index.partition_point(|i| *i < range.end));
        // Weights of this rank's particles for every path; twists are divided out.
        let n = to - from;
        let mut logs = vec![0.0; n * count];
        for start in (0..n).step_by(TILE) {
            let len = (n - start).min(TILE);
            let mut tile = vec![0.0; d * TILE];
            for i in 0..len {
                for c in 0..d {
                    tile[c * TILE + i] = record.states[(from + start + i) * d + c];
                }
            }
            let view = View::new(level, &tile, TILE, len);
            let mut base = record.log_weights[from + start..from + start + len].to_vec();
            if model.is_twisted() {
                base.iter_mut().for_each(|w| *w = -*w);
                model.log_twist(t, view, &mut base);
                base.iter_mut().for_each(|w| *w = -*w);
            }
            for k in 0..count {
                let values = &mut logs[k * n + start..k * n + start + len];
                values.copy_from_slice(&base);
                model.log_transition(t + 1, view, &next[k * d..(k + 1) * d], values);
                // A particle without weight says nothing, whatever its state.
                for (value, _) in values.iter_mut().zip(&base).filter(|(_, base)| **base == f64::NEG_INFINITY) {
                    *value = f64::NEG_INFINITY;
                }
            }
        }
        let largest: Vec<f64> = (0..count).map(|k| largest(level, &logs[k * n..(k + 1) * n])).collect();
        let all = team.gather(&largest);
        if all.iter().any(|m| m.is_nan() || *m == f64::INFINITY) {
            let message = "the transition density is no number (a noise of deviation 0): use genealogy or fixed_lag, or \
                           ancestor_sampling = false";
            return Err(Error::Numerical { step: t as u64 + 1, message: message.into() });
        }
        let max: Vec<f64> =
            (0..count).map(|k| all.iter().skip(k).step_by(count).copied().fold(f64::NEG_INFINITY, f64::max)).collect();
        let b = bits(each);
        let mut prefix = vec![0u64; n * count];
        let mut mine = Vec::with_capacity(2 * count);
        for k in 0..count {
            let mut total = Sums::default();
            for start in (k * n..(k + 1) * n).step_by(TILE) {
                let end = (start + TILE).min((k + 1) * n);
                total.add(&quantise(level, &logs[start..end], max[k], b, &mut prefix[start..end]));
            }
            mine.extend(to_words(total.total));
        }
        let all = team.gather(&mine);
        let sum = |rank: usize, k: usize| from_words(&all[2 * (rank * count + k)..][..2]);
        let draws = filter.draws(Stream::ParticlesBackward, t);
        let mut found: Vec<f64> = Vec::new();
        for k in 0..count {
            let total: u128 = (0..team.size()).map(|r| sum(r, k)).sum();
            if total == 0 {
                let message = format!("no particle of step {t} leads to a path of backward simulation");
                return Err(Error::Numerical { step: t as u64, message });
            }
            let before: u128 = (0..team.rank()).map(|r| sum(r, k)).sum();
            let u = below(&draws, 1, (island as u64) << 40 | (first + k) as u64, total);
            if u < before || u >= before + sum(team.rank(), k) {
                continue;
            }
            // The particle in whose share of this rank u lies, tile by tile.
            let mut rest = u - before;
            for start in (0..n).step_by(TILE) {
                let tile = &prefix[k * n + start..k * n + (start + TILE).min(n)];
                let whole = u128::from(tile[tile.len() - 1]);
                if rest < whole {
                    let lane = tile.partition_point(|p| u128::from(*p) <= rest);
                    let at = from + start + lane;
                    found.push(f64::from_bits(k as u64));
                    found.push(f64::from_bits(record.index[at] - range.start));
                    found.extend(&record.states[at * d..(at + 1) * d]);
                    break;
                }
                rest -= whole;
            }
        }
        let mut slots = vec![0; count];
        for one in team.gather(&found).chunks(2 + d) {
            let k = one[0].to_bits() as usize;
            slots[k] = one[1].to_bits();
            next[k * d..(k + 1) * d].copy_from_slice(&one[2..]);
        }
        Ok(slots)
    }
}
