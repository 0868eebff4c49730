//! Waste-free SMC samplers [DauChopin2022] (their algorithm 2): of N particles M are drawn by their weights, each starts a
//! chain of P = N/M states under the moves' kernel, and all N states are the next particles. Nothing that was computed is
//! thrown away, and under a given schedule the evidence stays unbiased.
//!
//! The states of a chain stand in a row of P slots on one rank (the grain of the layout), so that only the M starts travel.

use super::filter::{Filter, Options};
use super::layout::{Layout, Place};
use super::model::Target;
use super::moves::{Tuning, sweep};
use super::tempering::{Move, Sampler};
use crate::error::Result;
use crate::math::rng::Stream;
use crate::team::Team;

impl Sampler {
    /// Draws the starts, runs chains of `length` states at the present power and fills the population with them. Sweeps,
    /// share of proposals accepted, and no correlation (NaN): the number of moves is given. Collective.
    pub(super) fn waste_free(
        &mut self,
        target: &dyn Target,
        tuning: &mut Tuning,
        length: usize,
        team: &dyn Team,
    ) -> Result<(usize, f64, f64)> {
        let (d, whole) = (target.dimension(), &self.filter);
        let chains = whole.layout.each / length;
        let options = Options { particles: chains, ..whole.options.clone() };
        let layout = Layout::of(whole.layout.islands, chains, whole.layout.rank, whole.layout.ranks);
        let mut starts = Filter::on(layout, d + 2, options);
        starts.step = whole.step;
        self.sow(&mut starts, chains, team);
        self.harvest(&starts, 0, length);
        let draws = self.filter.draws(Stream::ParticlesMove, self.filter.step);
        let all = (starts.layout.islands * chains) as f64;
        let mut accepted = 0u64;
        for m in 0..length - 1 {
            let at = Move { draws, first: (m * d) as u32 };
            let now = sweep(&mut starts, target, self.plan.kernel, tuning, self.lambda, &at, team)?;
            accepted += now;
            if !self.frozen {
                tuning.adapt(self.plan.kernel, now as f64 / all);
            }
            self.harvest(&starts, m + 1, length);
        }
        for island in &mut self.filter.islands {
            (island.settled, island.fresh, island.resampled) = (island.log_evidence, true, true);
        }
        Ok((length - 1, accepted as f64 / (all * (length - 1) as f64), f64::NAN))
    }

    /// The drawn particles, each at the slot of its number, whichever rank that is on.
    fn sow(&self, starts: &mut Filter, chains: usize, team: &dyn Team) {
        let stride = self.filter.population.dimension;
        let islands = starts.layout.islands;
        let owner = team.split(islands * chains);
        let mut send: Vec<Vec<f64>> = vec![Vec::new(); team.size()];
        for drawn in self.filter.drawn(0..islands, chains, Stream::ParticlesResample, team) {
            let index = drawn.island * chains + drawn.number as usize;
            let message = &mut send[owner.owner(index)];
            message.extend((0..stride).map(|c| self.filter.population.at(drawn.tile, c, drawn.lane)));
        }
        let received = if team.size() == 1 { send } else { team.exchange(&send) };
        // Draws are numbered in the order of islands, ranks and slots, and so are the chains.
        let mut next = received.iter().flat_map(|r| r.chunks_exact(stride));
        for (tile, place) in starts.layout.places.iter().enumerate() {
            for lane in 0..place.len {
                let particle = next.next().expect("a particle for every chain");
                for (c, x) in particle.iter().enumerate() {
                    starts.population.put(tile, c, lane, *x);
                }
            }
        }
        assert!(next.next().is_none(), "a chain for every particle drawn");
    }

    /// The present states of the chains become state `m` of each in the population.
    fn harvest(&mut self, starts: &Filter, m: usize, length: usize) {
        let stride = self.filter.population.dimension;
        let mut tiles = self.filter.layout.places.iter().enumerate().peekable();
        for (tile, place) in starts.layout.places.iter().enumerate() {
            for lane in 0..place.len {
                let slot = (place.first + lane) * length + m;
                let holds = |p: &Place| p.island == place.island && slot < p.first + p.len;
                while tiles.next_if(|(_, p)| !holds(p)).is_some() {}
                let (to, at) = tiles.peek().map(|(to, p)| (*to, slot - p.first)).expect("a chain is on one rank");
                for c in 0..stride {
                    self.filter.population.put(to, c, at, starts.population.at(tile, c, lane));
                }
            }
        }
    }
}
