//! Estimates from weighted particles: means and variances by island, quantiles of them all, the same bits on any number of ranks.

use super::filter::{Filter, Island};
use super::layout::Piece;
use super::model::TILE;
use crate::crew;
use crate::enter;
use crate::math::resampling::{Sums, from_words, to_words};
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;
use crate::math::sum::{BLOCK, Tree, complete_subtrees, subtree_roots_filled, subtree_roots_parallel};
use crate::team::Team;

impl Filter {
    /// Σ over the particles of each island of term(tile, lane), in a tree over slots. Collective.
    pub fn sums(&self, team: &dyn Team, term: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f64> {
        self.joined(team, &[self.roots(term)]).remove(0)
    }

    /// Of one term, the sums over this rank's subtrees.
    pub(super) fn roots(&self, term: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f64> {
        let mut mine = Vec::new();
        for piece in self.layout.pieces() {
            mine.extend(subtree_roots_parallel(piece.slots(), |slot| {
                let at = slot - piece.first;
                term(piece.tile + at / TILE, at % TILE)
            }));
        }
        mine
    }

    /// From the [`roots`](Self::roots) of some terms to their sums over all ranks, [term][island], in one call. Collective.
    fn joined(&self, team: &dyn Team, terms: &[Vec<f64>]) -> Vec<Vec<f64>> {
        // Root after root, so that those of all ranks follow each other in the order of the pieces.
        let mine: Vec<f64> = (0..terms[0].len()).flat_map(|root| terms.iter().map(move |t| t[root])).collect();
        let all = if team.size() == 1 { mine } else { team.gather(&mine) };
        let mut roots = all.chunks_exact(terms.len());
        let mut trees: Vec<Vec<Tree>> =
            terms.iter().map(|_| (0..self.layout.islands).map(|_| Tree::new()).collect()).collect();
        for piece in &self.layout.all {
            for (_, height) in complete_subtrees(piece.slots()) {
                let roots = roots.next().expect("a root of every subtree");
                trees.iter_mut().zip(roots).for_each(|(trees, root)| trees[piece.island].push(height, *root));
            }
        }
        trees.iter().map(|trees| trees.iter().map(Tree::root).collect()).collect()
    }

    /// The integer weight of a particle.
    pub fn mass(&self, tile: usize, lane: usize) -> u64 {
        let at = self.layout.at(tile, lane);
        self.population.masses[at] - if lane == 0 { 0 } else { self.population.masses[at - 1] }
    }

    /// By island, the weighted mean of f(tile, lane). Collective.
    pub fn means(&self, team: &dyn Team, f: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f64> {
        self.means_of_roots(team, &[self.weighted_roots(f)]).remove(0)
    }

    /// Of the weighted sum of f(tile, lane), the sums over this rank's subtrees.
    pub(super) fn weighted_roots(&self, f: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f64> {
        self.roots(|t, i| {
            let mass = self.mass(t, i);
            // A particle without weight says nothing, whatever its state.
            if mass == 0 { 0.0 } else { mass as f64 * f(t, i) }
        })
    }

    /// From the [`weighted_roots`](Self::weighted_roots) of some functions to their means, [function][island], in one call.
    /// Collective.
    pub(super) fn means_of_roots(&self, team: &dyn Team, functions: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut sums = self.joined(team, functions);
        for sums in &mut sums {
            sums.iter_mut().zip(&self.islands).for_each(|(s, i)| *s /= i.sums.total as f64);
        }
        sums
    }

    /// Means and variances of every coordinate: [coordinate][island]. Collective.
    pub fn moments(&self, team: &dyn Team) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let coordinates = 0..self.population.dimension;
        let roots = coordinates.clone().map(|d| self.weighted_powers(d, None));
        let means = self.means_of_roots(team, &roots.collect::<Vec<_>>());
        let roots = coordinates.map(|d| self.weighted_powers(d, Some(&means[d])));
        let variances = self.means_of_roots(team, &roots.collect::<Vec<_>>());
        (means, variances)
    }

    /// [`weighted_roots`](Self::weighted_roots) of coordinate `d`, or of its squares about `centres` by island, in whole vectors.
    fn weighted_powers(&self, d: usize, centres: Option<&[f64]>) -> Vec<f64> {
        let (layout, population) = (&self.layout, &self.population);
        let mut mine = Vec::new();
        for piece in layout.pieces() {
            let centre = centres.map(|c| c[piece.island]);
            mine.extend(subtree_roots_filled(piece.slots(), |start, x| {
                let (mut at, mut x) = (start - piece.first, x);
                while !x.is_empty() {
                    let (t, lane) = (piece.tile + at / TILE, at % TILE);
                    let (part, rest) = x.split_at_mut(x.len().min(TILE - lane));
                    population.read(t, d, lane, part);
                    weighted(population.level, &population.masses[layout.part(t)], lane, centre, part);
                    (at, x) = (at + part.len(), rest);
                }
            }));
        }
        mine
    }

    /// The smallest values of coordinate `d` at which the weight below or at them reaches `levels` of the whole, all islands
    /// together, each counted by its `weights` of sum 1. A pass over the particles counts the weight of every island in sixteen
    /// bins, exactly, and the bin with the answer becomes the next range. Collective.
    pub fn quantiles(&self, d: usize, levels: &[f64], weights: &[f64], team: &dyn Team) -> Vec<f64> {
        // The answer lies in low ..= high of the ordered integers of f64; `below` is the weight of an island under low.
        let mut ranges = vec![(0u64, u64::MAX); levels.len()];
        let mut below = vec![vec![0u128; self.islands.len()]; levels.len()];
        // Bin b holds what lies in cuts[b - 1] < x ≤ cuts[b], the last one what is left of the range.
        let cut = |&(low, high): &(u64, u64)| -> [u64; 15] {
            let (width, rest) = ((high - low) / 16, (high - low) % 16);
            std::array::from_fn(|k| low + width * (k as u64 + 1) + rest * (k as u64 + 1) / 16)
        };
        let reached = |of: &[u128]| -> f64 {
            let shares = of.iter().zip(&self.islands).map(|(mass, island)| *mass as f64 / island.sums.total as f64);
            // An island that does not count may have no weight to share.
            shares.zip(weights).filter(|(_, weight)| **weight > 0.0).map(|(share, weight)| share * weight).sum()
        };
        while ranges.iter().any(|(low, high)| low < high) {
            let cuts: Vec<[u64; 15]> = ranges.iter().map(cut).collect();
            let mine: Vec<Vec<[u128; 16]>> =
                self.layout.pieces().iter().map(|piece| self.bins(piece, d, &ranges, &cuts)).collect();
            let flat: Vec<[u64; 2]> = mine.iter().flatten().flatten().map(|s| to_words(*s)).collect();
            let all = if team.size() == 1 { flat } else { team.gather(&flat) };
            // [level][bin][island]
            let mut totals = vec![vec![vec![0u128; self.islands.len()]; 16]; levels.len()];
            let mut next = all.into_iter();
            for piece in &self.layout.all {
                for bin in totals.iter_mut().flatten() {
                    bin[piece.island] += from_words(&next.next().expect("a sum of every bin"));
                }
            }
            for (l, level) in levels.iter().enumerate() {
                // Sums of rounded shares miss a level that they reach by some units of the last place.
                let wanted = level * (1.0 - 1e-13);
                let mut bin = 0;
                while bin < 15 {
                    let with: Vec<u128> = below[l].iter().zip(&totals[l][bin]).map(|(b, t)| b + t).collect();
                    if reached(&with) >= wanted {
                        break;
                    }
                    (below[l], bin) = (with, bin + 1);
                }
                let (low, high) = ranges[l];
                let from = if bin == 0 { low } else { cuts[l][bin - 1].saturating_add(1).min(high) };
                ranges[l] = (from, if bin == 15 { high } else { cuts[l][bin] });
            }
        }
        ranges.into_iter().map(|(_, high)| unordered(high)).collect()
    }

    /// The weight of a piece in the bins of each level's range, exact in any order.
    fn bins(&self, piece: &Piece, d: usize, ranges: &[(u64, u64)], cuts: &[[u64; 15]]) -> Vec<[u128; 16]> {
        let count = |_, t: usize| {
            let mut sums = vec![[0u128; 16]; ranges.len()];
            for i in 0..self.layout.places[t].len {
                let x = ordered(self.population.at(t, d, i));
                for ((sums, (low, high)), cuts) in sums.iter_mut().zip(ranges).zip(cuts) {
                    if *low <= x && x <= *high {
                        sums[cuts.partition_point(|cut| *cut < x)] += u128::from(self.mass(t, i));
                    }
                }
            }
            sums
        };
        let mut all = vec![[0u128; 16]; ranges.len()];
        for one in crew::map(piece.tiles(), count) {
            all.iter_mut().flatten().zip(one.iter().flatten()).for_each(|(all, one)| *all += one);
        }
        all
    }
}

/// Values of the lanes from `lane` on, or their squares about a centre, times the weights of which `masses` are the prefix
/// sums of a tile. A particle without weight says nothing, whatever its state.
fn weighted(level: Level, masses: &[u64], lane: usize, centre: Option<f64>, x: &mut [f64]) {
    let n = x.len();
    let mut weights = [0.0; BLOCK];
    let weights = &mut weights[..n];
    let (before, masses) = (if lane == 0 { 0 } else { masses[lane - 1] }, &masses[lane..lane + n]);
    enter!(level, S => {
        let _ = S::mul_add;
        weights[0] = (masses[0] - before) as f64;
        for i in 1..n {
            weights[i] = (masses[i] - masses[i - 1]) as f64;
        }
        if let Some(centre) = centre {
            for i in 0..n {
                x[i] = (x[i] - centre) * (x[i] - centre);
            }
        }
        for i in 0..n {
            x[i] = if weights[i] == 0.0 { 0.0 } else { weights[i] * x[i] };
        }
    });
}

/// Integers in the order of the numbers.
pub(super) fn ordered(x: f64) -> u64 {
    let b = x.to_bits();
    if b >> 63 == 1 { !b } else { b | 1 << 63 }
}

fn unordered(k: u64) -> f64 {
    f64::from_bits(if k >> 63 == 1 { k & !(1 << 63) } else { !k })
}

/// A number from islands, with its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimated {
    pub value: f64,
    /// NaN with one island.
    pub standard_error: f64,
}

/// Weights of islands in a mean over all: proportional to their evidence.
pub fn island_weights(log_evidence: &[f64]) -> Vec<f64> {
    let max = log_evidence.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let w: Vec<f64> = log_evidence.iter().map(|l| crate::math::elementary::exp(l - max)).collect();
    let sum: f64 = w.iter().sum();
    w.iter().map(|w| w / sum).collect()
}

/// A mean over islands of a ratio estimate, each weighted by its evidence, and its standard error, of the ratio to first
/// order: none (NaN) where the weights spread by more than [`LARGEST_SPREAD`] of their mean, as it goes to 0 when one island
/// carries all the weight, unless those that do are [`MANY`].
pub fn over_islands(values: &[f64], weights: &[f64]) -> Estimated {
    let r = values.len() as f64;
    // Islands that count for nothing may have no value.
    let counting = || values.iter().zip(weights).filter(|(_, w)| **w > 0.0);
    let value: f64 = counting().map(|(v, w)| v * w).sum();
    let squares: f64 = counting().map(|(v, w)| (w * (v - value)) * (w * (v - value))).sum();
    // Weights of sum 1 have R Σ w² = 1 + (1 − 1/R) spread².
    let sum = weights.iter().map(|w| w * w).sum::<f64>();
    let even = r * sum - 1.0 <= LARGEST_SPREAD * LARGEST_SPREAD * (r - 1.0) / r;
    let claimed = values.len() > 1 && (even || 1.0 / sum >= MANY);
    let standard_error = if claimed { (r / (r - 1.0) * squares).sqrt() } else { f64::NAN };
    Estimated { value, standard_error }
}

/// log Ẑ of all islands, with an interval where one can be claimed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// ln of the mean of the islands' Ẑ: Ẑ itself is unbiased.
    pub log: f64,
    /// Standard deviation of Ẑ over its mean, between islands; NaN with one.
    pub spread: f64,
    /// 95 %, from Student's law of R − 1 degrees; none where the spread is above [`LARGEST_SPREAD`] or the interval would not
    /// stay above Ẑ = 0.
    pub interval: Option<(f64, f64)>,
}

/// An effective number of islands, 1/Σw², for which a ratio is linear enough however they spread.
const MANY: f64 = 30.0;

/// Above this the mean of R Ẑ is not near normal, and the interval would not cover what it says.
pub const LARGEST_SPREAD: f64 = 0.35;

impl Evidence {
    /// Why there is no interval although there are several islands.
    pub fn refusal(&self) -> String {
        if self.spread <= LARGEST_SPREAD {
            let spread = self.spread;
            return format!(
                "the islands, which spread by {spread:.2} of their mean, are too few: it would reach down to 0"
            );
        }
        format!("the islands' estimates spread by {:.2} of their mean, above {LARGEST_SPREAD}", self.spread)
    }
}

pub fn evidence(log_evidence: &[f64]) -> Evidence {
    use crate::math::elementary::{exp, ln, ln_1p};
    let r = log_evidence.len() as f64;
    let max = log_evidence.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let z: Vec<f64> = log_evidence.iter().map(|l| exp(l - max)).collect();
    let mean = z.iter().sum::<f64>() / r;
    let log = max + ln(mean);
    if log_evidence.len() < 2 {
        return Evidence { log, spread: f64::NAN, interval: None };
    }
    let spread = (z.iter().map(|z| (z - mean) * (z - mean)).sum::<f64>() / (r - 1.0)).sqrt() / mean;
    let half = crate::math::student::quantile(0.975, log_evidence.len() - 1) * spread / r.sqrt();
    let interval = (spread <= LARGEST_SPREAD && half < 1.0).then(|| (log + ln_1p(-half), log + ln_1p(half)));
    Evidence { log, spread, interval }
}

/// The numbers of an island that a restart needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IslandNumbers {
    pub log_evidence: f64,
    pub settled: f64,
    pub ess: f64,
    pub max: f64,
    pub flags: f64,
}

impl IslandNumbers {
    pub fn of(i: &Island) -> IslandNumbers {
        let flags = f64::from(u8::from(i.due)) + 2.0 * f64::from(u8::from(i.resampled));
        IslandNumbers { log_evidence: i.log_evidence, settled: i.settled, ess: i.ess, max: i.max, flags }
    }

    pub fn put(&self, i: &mut Island) {
        (i.log_evidence, i.settled, i.ess, i.max) = (self.log_evidence, self.settled, self.ess, self.max);
        (i.due, i.resampled) = (self.flags as u8 & 1 == 1, self.flags as u8 & 2 == 2);
    }
}

/// Exact sums as six words.
pub fn sums_to_words(s: &Sums) -> [u64; 6] {
    let ([a, b], [c, d], [e, f]) = (to_words(s.total), to_words(s.top), to_words(s.squares));
    [a, b, c, d, e, f]
}

pub fn sums_from_words(w: &[u64]) -> Sums {
    Sums { total: from_words(&w[..2]), top: from_words(&w[2..4]), squares: from_words(&w[4..6]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_is_claimed_where_one_island_carries_the_evidence() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let equal = over_islands(&values, &[0.25; 4]);
        // Sample variance 5/3 over 4 values.
        assert!((equal.standard_error - (5.0f64 / 12.0).sqrt()).abs() < 1e-15, "{equal:?}");
        let one = over_islands(&values, &island_weights(&[0.0, -30.0, -40.0, -50.0]));
        assert!((one.value - 1.0).abs() < 1e-12 && one.standard_error.is_nan(), "{one:?}");
        // The gate is that of the evidence.
        for scale in [0.2, 0.3, 0.4, 0.5] {
            let logs = [0.0, scale, -scale, 0.3 * scale];
            let known = !over_islands(&values, &island_weights(&logs)).standard_error.is_nan();
            assert_eq!(known, evidence(&logs).spread <= LARGEST_SPREAD, "{scale}");
        }
    }

    #[test]
    fn a_refusal_of_an_interval_says_its_reason() {
        // Student's quantile of one degree is 12.7: 12.7 · 0.19 / √2 > 1.
        let few = evidence(&[0.0, 0.27]);
        assert!(few.interval.is_none() && few.spread < LARGEST_SPREAD, "{few:?}");
        assert!(few.refusal().contains("0.19 of their mean, are too few"), "{}", few.refusal());
        let wide = evidence(&[0.0, 1.0, 2.0, 3.0]);
        assert!(wide.interval.is_none() && wide.refusal().contains("above 0.35"), "{}", wide.refusal());
    }
}
