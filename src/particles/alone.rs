//! Errors from one run alone: from the particles of the first step (its Eves) and what became of them.

use super::estimate::LARGEST_SPREAD;
use super::filter::Filter;
use super::model::TILE;
use crate::math::elementary::{exp, ln_1p};
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

impl Filter {
    /// The variance estimator of Lee and Whiteley for every island [LeeWhiteley2018]:
    /// 1 − (N/(N − 1))^{T} (1 − Σ_e (Σ_{i of eve e} W_i)²), after T steps of multinomial resampling at every step. Collective.
    ///
    /// # Panics
    /// Where eves are not kept.
    pub fn lee_whiteley(&self, team: &dyn Team) -> Vec<Alone> {
        let masses = self.by_eve(team, |t, i| i128::from(self.mass(t, i)));
        let squares = self.sums(team, |t, i| {
            let share =
                self.of_eve(&masses, t, i) as f64 / self.islands[self.layout.places[t].island].sums.total as f64;
            share * share
        });
        let survivors = self.sums(team, |t, i| f64::from(u8::from(self.of_eve(&masses, t, i) > 0)));
        let growth = exp(-(self.step as f64) * ln_1p(-1.0 / self.layout.each as f64));
        let one = |(s, e): (f64, f64)| Alone { relative_variance: 1.0 - growth * (1.0 - s), eves: e as u64 };
        squares.into_iter().zip(survivors).map(one).collect()
    }

    /// By island, the standard error of the weighted mean of coordinate `d` from this run alone [ChanLai2013]:
    /// √Σ_e (Σ_{i of eve e} W_i (x_i − mean))². Consistent under multinomial resampling, a heuristic under other schemes.
    /// Deviations are whole numbers of 2^−32 of the largest, so that their sums are exact in any order. Collective.
    ///
    /// # Panics
    /// Where eves are not kept.
    pub fn chan_lai(&self, d: usize, means: &[f64], team: &dyn Team) -> Vec<f64> {
        // A particle without weight says nothing, whatever its state.
        let deviation = |t: usize, i: usize| match self.mass(t, i) {
            0 => 0.0,
            _ => self.population.at(t, d, i) - means[self.layout.places[t].island],
        };
        let mut largest = vec![0.0f64; self.layout.pieces().len()];
        for (largest, piece) in largest.iter_mut().zip(self.layout.pieces()) {
            for t in piece.tiles() {
                *largest = (0..self.layout.places[t].len).map(|i| deviation(t, i).abs()).fold(*largest, f64::max);
            }
        }
        let mut scales = vec![0.0f64; self.layout.islands];
        for (piece, x) in self.layout.all.iter().zip(self.layout.gather(&largest, team)) {
            scales[piece.island] = scales[piece.island].max(x);
        }
        // Weights sum to less than 2^90, so these sums stay below 2^122.
        let unit = (1u64 << 32) as f64;
        let sums = self.by_eve(team, |t, i| {
            let scale = scales[self.layout.places[t].island];
            let whole = if scale > 0.0 { (deviation(t, i) / scale * unit).round() as i64 } else { 0 };
            i128::from(self.mass(t, i)) * i128::from(whole)
        });
        let squares = self.sums(team, |t, i| {
            let share = self.of_eve(&sums, t, i) as f64 / self.islands[self.layout.places[t].island].sums.total as f64;
            share * share
        });
        squares.iter().zip(&scales).map(|(s, scale)| s.sqrt() * scale / unit).collect()
    }

    /// Σ over the descendants of each particle of the first step of term(tile, lane), exactly: (global index of the eve, sum),
    /// ascending, of the eves whose slots are on this rank. Collective.
    fn by_eve(&self, team: &dyn Team, term: impl Fn(usize, usize) -> i128) -> Vec<(u64, i128)> {
        let eves = self.population.eves.as_ref().expect("a filter that keeps eves");
        let mut mine = Vec::with_capacity(self.layout.len());
        for (t, place) in self.layout.places.iter().enumerate() {
            let base = (place.island * self.layout.each) as u64;
            mine.extend((0..place.len).map(|i| (base + eves[t * TILE + i], term(t, i))));
        }
        add_up(mine, &team.split(self.layout.islands * self.layout.each), team)
    }

    /// The sum of the eve whose slot is this particle's.
    fn of_eve(&self, sums: &[(u64, i128)], tile: usize, lane: usize) -> i128 {
        let place = &self.layout.places[tile];
        let index = (place.island * self.layout.each + place.first + lane) as u64;
        sums.binary_search_by_key(&index, |e| e.0).map_or(0, |k| sums[k].1)
    }
}

/// Adds up whole numbers of the same index, each at the index's owner; ascending. Collective.
fn add_up(mut mine: Vec<(u64, i128)>, owner: &Partition, team: &dyn Team) -> Vec<(u64, i128)> {
    let merge = |list: &mut Vec<(u64, i128)>| {
        list.sort_unstable_by_key(|e| e.0);
        list.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
    };
    merge(&mut mine);
    if team.size() == 1 {
        return mine;
    }
    let mut send: Vec<Vec<u64>> = vec![Vec::new(); team.size()];
    for (index, sum) in mine {
        send[owner.owner(index as usize)].extend([index, sum as u64, (sum >> 64) as u64]);
    }
    let join = |w: &[u64]| (w[0], (u128::from(w[1]) | u128::from(w[2]) << 64) as i128);
    let mut all: Vec<(u64, i128)> =
        team.exchange(&send).iter().flat_map(|r| r.chunks_exact(3).map(join).collect::<Vec<_>>()).collect();
    merge(&mut all);
    all
}
