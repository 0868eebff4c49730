//! Offspring of particles of parameters, by their weights in integers: of a resampling, and of draws from the posterior.

use super::filters::Running;
use super::{Purpose, Squared};
use crate::math::resampling::{Comb, below, bits, quantise};
use crate::math::rng::Stream;
use crate::particles::{Draws, TILE};
use crate::team::Team;

impl Squared {
    /// How often each particle of an island is drawn, as many times in all as there are: systematically, by the random number
    /// `number` of this time.
    pub(super) fn offspring(&self, island: usize, number: u32) -> Vec<u64> {
        let (n, level) = (self.each(), self.options.level);
        let logs: Vec<f64> = self.island(island).iter().map(|p| p.log_weight).collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut prefix = vec![0u64; n];
        let b = bits(n as u64);
        let tiles: Vec<u128> = logs
            .chunks(TILE)
            .zip(prefix.chunks_mut(TILE))
            .map(|(logs, prefix)| quantise(level, logs, most, b, prefix).total)
            .collect();
        let total = tiles.iter().sum();
        let at = Draws::new(level, self.seed, Stream::ParticlesResample, self.time as u32);
        let comb = Comb { n: n as u64, total, offset: below(&at, number, island as u64, total) };
        let (mut before, mut base) = (0, 0u128);
        let mut counts = Vec::with_capacity(n);
        for (prefix, whole) in prefix.chunks(TILE).zip(&tiles) {
            for reach in prefix {
                let now = comb.below(base + u128::from(*reach));
                counts.push(now - before);
                before = now;
            }
            base += whole;
        }
        counts
    }

    /// Resamples an island: survivors stay, surplus copies take the places of the dead, in order.
    pub(super) fn resample(&mut self, island: usize, team: &dyn Team) {
        let n = self.each();
        let (mut dead, mut surplus) = (Vec::new(), Vec::new());
        for (i, count) in self.offspring(island, 0).into_iter().enumerate() {
            match count {
                0 => dead.push(island * n + i),
                k => surplus.extend((1..k).map(|_| island * n + i)),
            }
        }
        let mine = team.split(self.particles.len()).mine();
        for (to, from) in dead.into_iter().zip(surplus) {
            let mut copy = self.particles[from].clone();
            // Copies go on with draws of their own.
            copy.seeds.push((self.time, self.number(Purpose::Copy, self.time, to)));
            if mine.contains(&to) {
                // Where the filter is not here it is made again when it is needed.
                let dead = self.filters[to - mine.start].take().map(|r| r.filter);
                let held = if mine.contains(&from) { self.filters[from - mine.start].as_ref() } else { None };
                let flow = held.and_then(|_| self.posed.family.at(&copy.theta).ok());
                self.filters[to - mine.start] = held.zip(flow).map(|(held, flow)| Running::copied(held, flow, dead));
            }
            self.particles[to] = copy;
        }
        for j in island * n..(island + 1) * n {
            self.particles[j].log_weight = 0.0;
        }
    }
}
