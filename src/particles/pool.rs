//! Weighted particles of one island that a room stores in blocks of its own: their integer weights, and what follows from
//! them: a resampled population in place, or draws.

use std::ops::Range;

use super::layout::Layout;
use super::migrate::{self, Traffic};
use super::model::{Draws, TILE};
use super::population::{Carried, for_masses};
use super::scheme::{Scheme, Weighed};
use crate::math::resampling::{self, Comb, Sums};
use crate::team::Team;

pub struct Pool {
    layout: Layout,
    masses: Vec<u64>,
    tiles: Vec<Sums>,
    weighed: Weighed,
}

impl Pool {
    /// Particles with these log-weights, in order of this rank's slots; decision `number` of those at `at`. Collective.
    pub fn new(layout: Layout, log_weights: &[f64], at: Draws, number: u64, team: &dyn Team) -> Pool {
        assert!(layout.islands == 1 && log_weights.len() == layout.len(), "one island, all of its weights");
        let largest = team.max(log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        assert!(largest > f64::NEG_INFINITY, "some particle has weight");
        let bits = resampling::bits(layout.each as u64);
        let mut masses = vec![0; layout.stored()];
        let tiles = for_masses(&layout, &mut masses, |_: &mut (), t, place, masses| {
            let weights = &log_weights[layout.part(t)];
            resampling::quantise(at.level, weights, largest, bits, &mut masses[..place.len])
        });
        let weighed = Weighed::new(&layout, &tiles, at, number, team);
        Pool { layout, masses, tiles, weighed }
    }

    /// The population resampled: survivors stay, copies fill the slots of the dead. Collective.
    pub fn resample(mut self, scheme: Scheme, carried: &mut Carried, team: &dyn Team) -> Traffic {
        let level = self.weighed.at.level;
        let lists = scheme.lists(&self.layout, level, &mut self.masses, &self.weighed, &[true], false, team);
        migrate::migrate(&self.layout, &self.masses, carried, &lists, &[true], team)
    }

    /// For each particle of this rank the draws among 0 … m − 1 that it is, by a comb of m teeth.
    pub fn draws(&self, m: usize) -> Vec<Range<usize>> {
        assert!(m <= self.layout.each, "{m} draws of {} particles: integers of this width", self.layout.each);
        let comb = Comb { n: m as u64, total: self.weighed.totals[0], offset: self.weighed.offsets[0] };
        let mut drawn = Vec::with_capacity(self.layout.len());
        for (t, place) in self.layout.places.iter().enumerate() {
            debug_assert_eq!(self.tiles[t].total, u128::from(self.masses[self.layout.part(t).end - 1]));
            let mut counts = [0; TILE];
            let prefix = &self.masses[self.layout.part(t)];
            comb.offspring(self.weighed.at.level, self.weighed.bases[t], prefix, &mut counts[..place.len]);
            let mut from = comb.below(self.weighed.bases[t]) as usize;
            drawn.extend(counts[..place.len].iter().map(|n| {
                from += *n as usize;
                from - *n as usize..from
            }));
        }
        drawn
    }
}
