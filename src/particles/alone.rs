//! Errors from one run alone: from the particles of the first step (its Eves) and what became of them.

use super::estimate::LARGEST_SPREAD;
use super::filter::Filter;
use crate::math::elementary::{exp, ln_1p};
use crate::math::resampling::{from_words, to_words};
use crate::team::{Partition, Team};

/// What one island says of the error of its own evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alone {
    /// Estimated relative variance of Ẑ.
    pub relative_variance: f64,
    /// Particles of the first step with descendants.
    pub eves: u64,
}

/// Fewest surviving first ancestors of a variance of the evidence from one run.
pub const FEWEST_EVES: u64 = 50;

/// Fewest surviving first ancestors of an error of a mean from one run.
pub const FEWEST_EVES_OF_A_MEAN: u64 = 100;

/// log Ẑ with a 95 % interval from a relative standard deviation of Ẑ: Ẑ is near lognormal where its variance is finite
/// [BerardDelMoralDoucet2014], so log Ẑ is normal about log Z − error²/2. None above the largest spread that islands may have.
pub fn interval(log: f64, error: f64) -> Option<(f64, f64)> {
    const NORMAL: f64 = 1.959963984540054;
    let centre = log + 0.5 * error * error;
    (error <= LARGEST_SPREAD).then_some((centre - NORMAL * error, centre + NORMAL * error))
}

/// The particles of a filter that keeps eves, in the order of their eves: sorted once for all that is asked.
pub struct Descent<'a> {
    filter: &'a Filter,
    /// (global index of the eve, place in storage) of this rank's particles, ascending.
    order: Vec<(u64, usize)>,
}

impl Filter {
    /// # Panics
    /// Where eves are not kept.
    pub fn descent(&self) -> Descent<'_> {
        let eves = self.population.eves.as_ref().expect("a filter that keeps eves");
        let mut order = Vec::with_capacity(self.layout.len());
        for (t, place) in self.layout.places.iter().enumerate() {
            let base = (place.island * self.layout.each) as u64;
            order.extend(self.layout.part(t).map(|at| (base + eves[at], at)));
        }
        order.sort_unstable();
        Descent { filter: self, order }
    }
}

impl Descent<'_> {
    /// By island, particles of the first step with descendants that have weight. Collective.
    pub fn survivors(&self, team: &dyn Team) -> Vec<u64> {
        self.alive(&self.masses(team), team)
    }

    /// The variance estimator of Lee and Whiteley for every island [LeeWhiteley2018]:
    /// 1 − (N/(N − 1))^{T} (1 − Σ_e (Σ_{i of eve e} W_i)²), after T steps of multinomial resampling at every step. Collective.
    pub fn lee_whiteley(&self, team: &dyn Team) -> Vec<Alone> {
        let masses = self.masses(team);
        let squares = self.squares(&masses, team);
        let growth = exp(-(self.filter.step as f64) * ln_1p(-1.0 / self.filter.layout.each as f64));
        let one = |(s, eves): (f64, u64)| Alone { relative_variance: 1.0 - growth * (1.0 - s), eves };
        squares.into_iter().zip(self.alive(&masses, team)).map(one).collect()
    }

    /// By island, the standard error of the weighted mean of coordinate `d` from this run alone [ChanLai2013]:
    /// √Σ_e (Σ_{i of eve e} W_i (x_i − mean))². Consistent under multinomial resampling, a heuristic under other schemes.
    /// Deviations are whole numbers of 2^−32 of the largest, so that their sums are exact in any order. Collective.
    pub fn chan_lai(&self, d: usize, means: &[f64], team: &dyn Team) -> Vec<f64> {
        let Filter { layout, population, .. } = self.filter;
        // A particle without weight says nothing, whatever its state.
        let deviation = |t: usize, i: usize| match self.filter.mass(t, i) {
            0 => 0.0,
            _ => population.at(t, d, i) - means[layout.places[t].island],
        };
        let mut largest = vec![0.0f64; layout.pieces().len()];
        for (largest, piece) in largest.iter_mut().zip(layout.pieces()) {
            for t in piece.tiles() {
                *largest = (0..layout.places[t].len).map(|i| deviation(t, i).abs()).fold(*largest, f64::max);
            }
        }
        let mut scales = vec![0.0f64; layout.islands];
        for (piece, x) in layout.all.iter().zip(layout.gather(&largest, team)) {
            scales[piece.island] = scales[piece.island].max(x);
        }
        // Weights sum to less than 2^90, so these sums stay below 2^122.
        let unit = (1u64 << 32) as f64;
        let sums = self.by_eve(team, |t, i| {
            let scale = scales[layout.places[t].island];
            let whole = if scale > 0.0 { (deviation(t, i) / scale * unit).round() as i64 } else { 0 };
            i128::from(self.filter.mass(t, i)) * i128::from(whole)
        });
        self.squares(&sums, team).iter().zip(&scales).map(|(s, scale)| s.sqrt() * scale / unit).collect()
    }

    fn masses(&self, team: &dyn Team) -> Vec<(u64, i128)> {
        self.by_eve(team, |t, i| i128::from(self.filter.mass(t, i)))
    }

    fn alive(&self, masses: &[(u64, i128)], team: &dyn Team) -> Vec<u64> {
        let alive = self.over_eves(masses, |_, mass| f64::from(u8::from(mass > 0)), team);
        alive.into_iter().map(|n| n as u64).collect()
    }

    /// By island, Σ over eves of (its sum over the island's weight)². Collective.
    fn squares(&self, sums: &[(u64, i128)], team: &dyn Team) -> Vec<f64> {
        let square = |island: usize, sum: i128| {
            let share = sum as f64 / self.filter.islands[island].sums.total as f64;
            share * share
        };
        self.over_eves(sums, square, team)
    }

    /// Σ over the descendants of each particle of the first step of term(tile, lane), exactly: (global index of the eve, sum),
    /// ascending, of the eves whose slots are on this rank. Collective.
    fn by_eve(&self, team: &dyn Team, term: impl Fn(usize, usize) -> i128) -> Vec<(u64, i128)> {
        let lanes = self.filter.layout.lanes;
        let sum = |same: &[(u64, usize)]| (same[0].0, same.iter().map(|(_, at)| term(at / lanes, at % lanes)).sum());
        let mine: Vec<(u64, i128)> = self.order.chunk_by(|a, b| a.0 == b.0).map(sum).collect();
        let layout = &self.filter.layout;
        add_up(mine, &team.split(layout.islands * layout.each), team)
    }

    /// By island, Σ over eves of term(island, sum), in a tree over their slots. Collective.
    fn over_eves(&self, sums: &[(u64, i128)], term: impl Fn(usize, i128) -> f64, team: &dyn Team) -> Vec<f64> {
        let layout = &self.filter.layout;
        let mut at_slots = vec![0.0; layout.stored()];
        for (index, sum) in sums {
            let (island, slot) = (*index as usize / layout.each, *index as usize % layout.each);
            // Pieces of a rank are of islands in a row.
            let piece = &layout.pieces()[island - layout.pieces()[0].island];
            at_slots[layout.at(piece.tile, slot - piece.first)] = term(island, *sum);
        }
        self.filter.sums(team, |t, i| at_slots[layout.at(t, i)])
    }
}

/// Adds up whole numbers of ascending indices, those of the same index at its owner; ascending. Collective.
fn add_up(mine: Vec<(u64, i128)>, owner: &Partition, team: &dyn Team) -> Vec<(u64, i128)> {
    if team.size() == 1 {
        return mine;
    }
    let mut send: Vec<Vec<u64>> = vec![Vec::new(); team.size()];
    for (index, sum) in mine {
        let [low, high] = to_words(sum as u128);
        send[owner.owner(index as usize)].extend([index, low, high]);
    }
    let received = team.exchange(&send);
    let join = |w: &[u64]| (w[0], from_words(&w[1..]) as i128);
    let mut all: Vec<(u64, i128)> = received.iter().flat_map(|r| r.chunks_exact(3).map(join)).collect();
    all.sort_unstable_by_key(|e| e.0);
    all.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0 };
        same
    });
    all
}
