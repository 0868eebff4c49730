//! Observations that follow from particles: the law of the next one given the data so far, and draws along a path.

use std::ops::Range;

use super::estimate::island_weights;
use super::filter::{Filter, Options};
use super::model::{Draws, FeynmanKac, TILE, Tile, View};
use super::population::{LEAF, Precision, for_tiles};
use crate::crew;
use crate::error::Result;
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::team::Team;

impl Filter {
    /// The law of the observation of the next step given the data so far, p(y_k | y_{0:k−1}) = ∫ p(y_k | x_k) p(x_k | x_{k−1})
    /// dp(x_{k−1} | y_{0:k−1}): a draw for every particle, with its weight, as a population of observations whose means and
    /// quantiles are its own. `free` is the model without data, whose draws are those of its transition. The weights must not
    /// look ahead ([`Filter::untwisted`]). Collective.
    ///
    /// # Errors
    /// Those of the first weights.
    ///
    /// # Panics
    /// Where the model draws no observations.
    pub fn observed_next(&self, free: &dyn FeynmanKac, components: usize, team: &dyn Team) -> Result<Filter> {
        let (step, level, d) = (self.step, self.options.level, self.population.dimension);
        let options =
            Options { ancestors: false, eves: false, precision: Precision::F64, sort: None, ..self.options.clone() };
        let mut seen = Filter::on(self.layout.clone(), components, options);
        let moves = self.draws(Stream::ParticlesForecast, step);
        let looks = self.draws(Stream::ParticlesPredictive, step);
        let drawn = for_tiles(&self.layout, &mut seen.population, |t, place, y, w, scratch| {
            let n = place.len;
            let mut x = vec![0.0; d * n];
            let mut x = Tile::new(level, &mut x, n, n);
            let at = moves.at(place.address());
            if step == 0 {
                free.initial(&at, &mut x, w);
            } else {
                free.mutate(step, &at, self.population.view(t, n, scratch), &mut x, w);
            }
            free.observe(step, &looks.at(place.address()), x.view(), y)
        });
        assert!(!drawn.contains(&false), "a model that draws observations");
        if step == 0 {
            seen.population.log_weights.fill(0.0);
            seen.islands.iter_mut().for_each(|island| island.max = 0.0);
            seen.weigh(team)?;
        } else {
            seen.population.log_weights.copy_from_slice(&self.population.log_weights);
            seen.population.masses.copy_from_slice(&self.population.masses);
            seen.islands.clone_from(&self.islands);
        }
        Ok(seen)
    }

    /// The weighted means of what `of(k, tile, values)` says of every particle of a tile, for each k: [k][island]. Collective,
    /// in one call.
    pub fn means_of(
        &self,
        ks: Range<usize>,
        of: impl Fn(usize, View<'_>, &mut [f64]) + Sync,
        team: &dyn Team,
    ) -> Vec<Vec<f64>> {
        let places = &self.layout.places;
        let mut room = vec![0.0; self.layout.stored()];
        let roots = |k: usize| {
            crew::map_in(room.chunks_mut(self.layout.lanes).zip(places), LEAF, Vec::new, |wide, t, (value, place)| {
                of(k, self.population.view(t, place.len, wide), &mut value[..place.len]);
            });
            self.weighted_roots(|t, i| room[self.layout.at(t, i)])
        };
        self.means_of_roots(team, &ks.map(roots).collect::<Vec<_>>())
    }

    /// `count` particles of each island, evenly spaced over its slots, whatever their weights: island × number × coordinate,
    /// the same on every rank. Collective.
    pub fn spaced(&self, count: usize, team: &dyn Team) -> Vec<f64> {
        let mut mine = Vec::new();
        for piece in self.layout.pieces() {
            let slots = (0..count).map(|k| k * self.layout.each / count).filter(|slot| piece.slots().contains(slot));
            for at in slots.map(|slot| slot - piece.first) {
                let (tile, lane) = (piece.tile + at / TILE, at % TILE);
                mine.extend((0..self.population.dimension).map(|c| self.population.at(tile, c, lane)));
            }
        }
        team.gather(&mine)
    }

    /// States of `count` particles of an island drawn by their weights, one after the other; the same on every rank.
    /// Collective.
    pub fn states(&self, island: usize, count: usize, team: &dyn Team) -> Vec<f64> {
        let drawn = self.drawn(island..island + 1, count, Stream::ParticlesPredictive, team);
        let d = self.population.dimension;
        let mine: Vec<f64> = drawn.iter().flat_map(|p| (0..d).map(|c| self.population.at(p.tile, c, p.lane))).collect();
        team.gather(&mine)
    }

    /// The state of a particle drawn by its weight, of an island drawn by its evidence; the same on every rank. Collective.
    pub fn one(&self, team: &dyn Team) -> Vec<f64> {
        let logs: Vec<f64> = self.islands.iter().map(|i| i.log_evidence).collect();
        let mut u = [0.0];
        self.draws(Stream::ParticlesPredictive, self.step).uniforms(1, &mut u);
        let mut reach = 0.0;
        let weights = island_weights(&logs);
        let passed = weights.iter().position(|w| {
            reach += w;
            u[0] < reach
        });
        let island = passed.unwrap_or(weights.len() - 1);
        self.states(island, 1, team)
    }
}

/// Observations drawn along a path from its first step on, and beyond its end along states that follow: time × component, of
/// steps `first` … horizon − 1 of `free`. `path` is time × coordinate; draws are those of slot `slot` under `seed`.
///
/// # Panics
/// Where the model draws no observations.
pub fn along(
    free: &dyn FeynmanKac,
    components: usize,
    (level, seed, slot): (Level, u64, u64),
    first: usize,
    path: &[f64],
) -> Vec<f64> {
    let d = free.dimension();
    let mut seen = Vec::with_capacity((free.horizon() - first) * components);
    let (mut x, mut before, mut y) = (vec![0.0; d], vec![0.0; d], vec![0.0; components]);
    for step in first..free.horizon() {
        let at = |stream| Draws::new(level, seed, stream, step as u32).at(slot);
        match path.chunks_exact(d).nth(step - first) {
            Some(state) => x.copy_from_slice(state),
            None => {
                before.copy_from_slice(&x);
                let before = View::new(level, &before, 1, 1);
                let mut tile = Tile::new(level, &mut x, 1, 1);
                free.mutate(step, &at(Stream::ParticlesForecast), before, &mut tile, &mut [0.0]);
            }
        }
        let mut tile = Tile::new(level, &mut y, 1, 1);
        let drawn = free.observe(step, &at(Stream::ParticlesPredictive), View::new(level, &x, 1, 1), &mut tile);
        assert!(drawn, "a model that draws observations");
        seen.extend(&y);
    }
    seen
}

/// Whether `free` draws observations of so many components.
pub fn draws_observations(free: &dyn FeynmanKac, components: usize) -> bool {
    let (mut x, mut y) = (vec![0.0; free.dimension()], vec![0.0; components]);
    let at = Draws::new(Level::Portable, 0, Stream::ParticlesForecast, 0);
    let mut tile = Tile::new(Level::Portable, &mut x, 1, 1);
    free.initial(&at, &mut tile, &mut [0.0]);
    free.observe(0, &at, tile.view(), &mut Tile::new(Level::Portable, &mut y, 1, 1))
}
