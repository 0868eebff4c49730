//! Resampling schemes: from integer weights to offspring, tile by tile, the same on any number of ranks.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::layout::{Layout, SLOT_BITS};
use super::migrate::{Room, TileLists};
use super::model::{Draws, TILE};
use super::population::for_masses;
use super::tournament;
use crate::math::resampling::{Comb, Sums, below, from_words, to_words};
use crate::math::rng::Stream;
use crate::math::scatter::{self, Scatter};
use crate::math::simd::Level;
use crate::team::Team;

/// How offspring are drawn; all give particle i in expectation n w_i of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// One uniform number for a comb of n teeth.
    #[default]
    Systematic,
    /// One uniform number for each of n strata.
    Stratified,
    /// ⌊n w⌋ copies, then independent draws of the rest.
    Residual,
    /// n independent draws.
    Multinomial,
    /// Srinivasan sampling: pairs of fractions fight on a tree; negatively associated.
    Ssp,
}

/// The integer weights of all islands and where each tile begins.
pub(super) struct Weighed {
    /// Sum of integer weights of its island before each tile of this rank.
    pub bases: Vec<u128>,
    /// By island.
    pub totals: Vec<u128>,
    /// U in [0, total), by island.
    pub offsets: Vec<u128>,
    pub at: Draws,
    /// Offspring of each lane under systematic resampling in another order than that of the slots ([`super::sorted`]).
    pub in_order: Option<Vec<u64>>,
}

impl Weighed {
    /// `tiles`: sums of the weights by tile of this rank. `first`: number of the decision of island 0 among those at `at`.
    pub fn new(layout: &Layout, tiles: &[Sums], at: Draws, first: u64, team: &dyn Team) -> Weighed {
        let mine: Vec<[u64; 2]> =
            layout.pieces().iter().map(|p| to_words(tiles[p.tiles()].iter().map(|t| t.total).sum())).collect();
        let all = layout.gather(&mine, team);
        let mut before = vec![0u128; all.len()];
        let mut totals = vec![0u128; layout.islands];
        for (i, (piece, words)) in layout.all.iter().zip(&all).enumerate() {
            before[i] = totals[piece.island];
            totals[piece.island] += from_words(words);
        }
        let mut bases = vec![0; tiles.len()];
        for (i, piece) in layout.mine.clone().zip(layout.pieces()) {
            let mut base = before[i];
            for t in piece.tiles() {
                bases[t] = base;
                base += tiles[t].total;
            }
        }
        let offset = |(i, w): (usize, &u128)| below(&at, 0, first + i as u64, (*w).max(1));
        let offsets = totals.iter().enumerate().map(offset).collect();
        Weighed { bases, totals, offsets, at, in_order: None }
    }
}

impl Scheme {
    /// Dead slots and surplus of every tile of the islands that are due, in the masses. Where `conditional`, the last slot
    /// of an island has one child for certain, itself, and the others' are drawn. Collective.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn lists(
        self,
        layout: &Layout,
        level: Level,
        masses: &mut [u64],
        weighed: &Weighed,
        due: &[bool],
        conditional: bool,
        team: &dyn Team,
    ) -> Vec<TileLists> {
        assert!(!conditional || self == Scheme::Multinomial, "conditional resampling is multinomial");
        assert!(weighed.in_order.is_none() || self == Scheme::Systematic, "resampling in order is systematic");
        let n = layout.each as u64;
        // What the residual and SSP schemes know before the tiles are counted.
        let floors = (self == Scheme::Residual).then(|| Floors::new(layout, masses, weighed, n, team));
        let raised = (self == Scheme::Ssp).then(|| tournament::raised(layout, masses, weighed, due, team));
        for_masses(layout, masses, |room: &mut Room, t, place, masses| {
            if !due[place.island] {
                return TileLists::default();
            }
            let island = place.island;
            let counts = &mut room.counts[..place.len];
            // The comb sets every count, the other schemes add to them.
            if self != Scheme::Systematic {
                counts.fill(0);
            }
            let prefix = &masses[..place.len];
            let (total, base) = (weighed.totals[island], weighed.bases[t]);
            match self {
                Scheme::Systematic => match &weighed.in_order {
                    Some(all) => counts.copy_from_slice(&all[layout.part(t)]),
                    None => Comb { n, total, offset: weighed.offsets[island] }.offspring(level, base, prefix, counts),
                },
                Scheme::Stratified => stratified(n, total, base, prefix, island, &weighed.at, counts),
                Scheme::Multinomial => {
                    let scatter = Scatter {
                        n: n - u64::from(conditional),
                        at: weighed.at.stream(Stream::ParticlesMultinomial),
                        item: island as u32,
                    };
                    scattered(&scatter, 1, |i| (0, base + i.map_or(0, |i| u128::from(prefix[i]))), total, counts);
                    if conditional && place.first + place.len == layout.each {
                        counts[place.len - 1] += 1;
                    }
                }
                Scheme::Residual => {
                    let floors = floors.as_ref().expect("counted above");
                    let rest = n - floors.totals[island];
                    // What is left of the shares up to here, in units of the total.
                    let mut whole = floors.bases[t];
                    let start = u128::from(n) * base - u128::from(whole) * total;
                    let mut left = vec![(start / total, start % total)];
                    let mut before = 0;
                    for (count, p) in counts.iter_mut().zip(prefix) {
                        *count = floor(n, p - before, total);
                        whole += *count;
                        before = *p;
                        let c = u128::from(n) * (base + u128::from(*p)) - u128::from(whole) * total;
                        left.push((c / total, c % total));
                    }
                    if rest > 0 {
                        let scatter = Scatter {
                            n: rest,
                            at: weighed.at.stream(Stream::ParticlesMultinomial),
                            item: island as u32,
                        };
                        let mut more = [0u64; TILE];
                        let more = &mut more[..place.len];
                        let at = |i: Option<usize>| {
                            let (a, b) = left[i.map_or(0, |i| i + 1)];
                            (a as u64, b)
                        };
                        scattered(&scatter, rest, at, total, more);
                        counts.iter_mut().zip(more).for_each(|(c, m)| *c += *m);
                    }
                }
                Scheme::Ssp => {
                    let raised = raised.as_ref().expect("fought above");
                    let mut before = 0;
                    for (i, (count, p)) in counts.iter_mut().zip(prefix).enumerate() {
                        *count = floor(n, p - before, total) + u64::from(raised[layout.at(t, i)]);
                        before = *p;
                    }
                }
            }
            room.lists(level, place.len, masses)
        })
    }
}

/// A particle drawn by its weight: draw `number` of its island fell on lane `lane` of tile `tile` of this rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    pub island: usize,
    pub number: u64,
    pub tile: usize,
    pub lane: usize,
}

impl Filter {
    /// `count` particles of each of some islands drawn by their weights, systematically: those on this rank, in order.
    /// Collective.
    pub(super) fn drawn(&self, islands: Range<usize>, count: usize, stream: Stream, team: &dyn Team) -> Vec<Drawn> {
        let (at, layout, masses) = (self.draws(stream, self.step), &self.layout, &self.population.masses);
        let comb = |island: usize| {
            let total = self.islands[island].sums.total;
            Comb { n: count as u64, total, offset: below(&at, 0, island as u64, total) }
        };
        let whole = |tile: usize| u128::from(masses[layout.part(tile).end - 1]);
        let sums: Vec<[u64; 2]> = layout.pieces().iter().map(|p| to_words(p.tiles().map(whole).sum())).collect();
        let all = layout.gather(&sums, team);
        let mut found = Vec::new();
        for island in islands {
            let (comb, mut reach) = (comb(island), 0u128);
            for (i, (piece, sum)) in layout.all.iter().zip(&all).enumerate().filter(|(_, (p, _))| p.island == island) {
                if !layout.mine.contains(&i) {
                    reach += from_words(sum);
                    continue;
                }
                let mut before = comb.below(reach);
                for tile in piece.tiles() {
                    for lane in 0..layout.places[tile].len {
                        let now = comb.below(reach + u128::from(masses[layout.at(tile, lane)]));
                        found.extend((before..now).map(|number| Drawn { island, number, tile, lane }));
                        before = now;
                    }
                    reach += whole(tile);
                }
            }
        }
        found
    }
}

/// ⌊n q / total⌋.
fn floor(n: u64, q: u64, total: u128) -> u64 {
    (u128::from(n) * u128::from(q) / total) as u64
}

/// Point k lies at k·total + U_k, with U_k uniform on [0, total) at its own address.
fn stratified(n: u64, total: u128, base: u128, prefix: &[u64], island: usize, at: &Draws, counts: &mut [u64]) {
    let at = at.stream(Stream::ParticlesStratified);
    let point = |k: u64| u128::from(k) * total + below(&at, 0, (island as u64) << SLOT_BITS | k, total);
    let mut k = (u128::from(n) * base / total) as u64;
    let mut next = if k < n { point(k) } else { u128::MAX };
    if next < u128::from(n) * base {
        k += 1;
        next = if k < n { point(k) } else { u128::MAX };
    }
    for (count, p) in counts.iter_mut().zip(prefix) {
        let end = u128::from(n) * (base + u128::from(*p));
        while next < end {
            *count += 1;
            k += 1;
            next = if k < n { point(k) } else { u128::MAX };
        }
    }
}

/// Counts points of `scatter` between the ends of particles: `end(None)` where the tile begins, `end(Some(i))` where particle
/// i ends, as (a, b) meaning (a + b/total)/shares of the unit interval.
fn scattered(
    scatter: &Scatter,
    shares: u64,
    end: impl Fn(Option<usize>) -> (u64, u128),
    total: u128,
    counts: &mut [u64],
) {
    let at = |i: Option<usize>| {
        let (a, b) = end(i);
        // The very end is the end of the interval.
        if b >= total { scatter::place(a + 1, 0, total, shares) } else { scatter::place(a, b, total, shares) }
    };
    let last = counts.len() - 1;
    let mut i = 0;
    let mut next = at(Some(0));
    scatter.points(at(None), at(Some(last)), &mut |p| {
        while u128::from(p) >= next {
            i += 1;
            next = at(Some(i));
        }
        counts[i] += 1;
    });
}

/// Σ ⌊n w⌋ before each tile and over each island.
struct Floors {
    bases: Vec<u64>,
    totals: Vec<u64>,
}

impl Floors {
    fn new(layout: &Layout, masses: &mut [u64], weighed: &Weighed, n: u64, team: &dyn Team) -> Floors {
        let tiles = for_masses(layout, masses, |_: &mut (), _, place, masses| {
            let total = weighed.totals[place.island];
            let mut before = 0;
            let mut sum = 0;
            for p in &masses[..place.len] {
                sum += floor(n, p - before, total);
                before = *p;
            }
            sum
        });
        let mine: Vec<u64> = layout.pieces().iter().map(|p| tiles[p.tiles()].iter().sum()).collect();
        let all = layout.gather(&mine, team);
        let mut totals = vec![0; layout.islands];
        let mut bases = vec![0; tiles.len()];
        for (i, piece) in layout.all.iter().enumerate() {
            if layout.mine.contains(&i) {
                let mut base = totals[piece.island];
                for t in piece.tiles() {
                    bases[t] = base;
                    base += tiles[t];
                }
            }
            totals[piece.island] += all[i];
        }
        Floors { bases, totals }
    }
}
