//! The particles of a rank: states in tiles, log-weights, integer masses, and what travels with a particle.

use rayon::prelude::*;

use super::layout::{Layout, Place};
use super::model::{TILE, Tile, View};
use crate::math::simd::Level;

/// Particles in structure-of-arrays form, tile by tile: coordinate d of a tile is `TILE` numbers in a row.
#[derive(Debug, Clone)]
pub struct Population {
    pub dimension: usize,
    pub level: Level,
    /// Tile t, coordinate d, lane i at (t · dimension + d) · TILE + i.
    pub states: Vec<f64>,
    pub log_weights: Vec<f64>,
    /// Inclusive prefix sums of the integer weights within each tile; scratch while resampling.
    pub masses: Vec<u64>,
    /// Slot of the ancestor one step ago, where kept.
    pub ancestors: Option<Vec<u64>>,
    /// Slot of the ancestor at the first step, where kept.
    pub eves: Option<Vec<u64>>,
}

impl Population {
    pub fn new(dimension: usize, level: Level, layout: &Layout, ancestors: bool, eves: bool) -> Population {
        let n = layout.places.len() * TILE;
        Population {
            dimension,
            level,
            states: vec![0.0; n * dimension],
            log_weights: vec![0.0; n],
            masses: vec![0; n],
            ancestors: ancestors.then(|| vec![0; n]),
            eves: eves.then(|| vec![0; n]),
        }
    }

    /// The particles of tile `t`.
    pub fn view(&self, t: usize, len: usize) -> View<'_> {
        let stride = self.dimension * TILE;
        View::new(self.level, &self.states[t * stride..(t + 1) * stride], TILE, len)
    }

    /// Coordinate `d` of lane `i` of tile `t`.
    pub fn at(&self, t: usize, d: usize, i: usize) -> f64 {
        self.states[(t * self.dimension + d) * TILE + i]
    }

    /// Bytes of a population of `particles` in `dimension` coordinates on one rank.
    pub fn bytes(particles: u64, dimension: u64, ancestors: bool, eves: bool) -> u64 {
        particles * 8 * (dimension + 2 + u64::from(ancestors) + u64::from(eves))
    }
}

/// Runs `work(place, states, log_weights, masses, scratch) -> R` for every tile, on the threads of the pool; results by tile.
pub(super) fn for_tiles<R: Send>(
    layout: &Layout,
    population: &mut Population,
    work: impl Fn(&Place, &mut Tile<'_>, &mut [f64], &mut [u64], &mut Vec<f64>) -> R + Sync,
) -> Vec<R> {
    let (dimension, level) = (population.dimension, population.level);
    let one = |place: &Place, states: &mut [f64], weights: &mut [f64], masses: &mut [u64], scratch: &mut Vec<f64>| {
        let mut tile = Tile::new(level, states, TILE, place.len);
        work(place, &mut tile, &mut weights[..place.len], masses, scratch)
    };
    let states = dimension * TILE;
    if rayon::current_num_threads() == 1 {
        let mut scratch = Vec::new();
        let tiles = population.states.chunks_mut(states).zip(population.log_weights.chunks_mut(TILE));
        let tiles = tiles.zip(population.masses.chunks_mut(TILE));
        return layout.places.iter().zip(tiles).map(|(p, ((x, w), m))| one(p, x, w, m, &mut scratch)).collect();
    }
    layout
        .places
        .par_iter()
        .zip(population.states.par_chunks_mut(states))
        .zip(population.log_weights.par_chunks_mut(TILE))
        .zip(population.masses.par_chunks_mut(TILE))
        .with_min_len(4)
        .map_init(Vec::new, |scratch, (((p, x), w), m)| one(p, x, w, m, scratch))
        .collect()
}

/// The same for the masses alone: `work(tile, place, masses) -> R`, with the masses of the tile's particles.
pub(super) fn for_masses<R: Send>(
    layout: &Layout,
    masses: &mut [u64],
    work: impl Fn(usize, &Place, &mut [u64]) -> R + Sync,
) -> Vec<R> {
    let one = |(t, (place, masses)): (usize, (&Place, &mut [u64]))| work(t, place, masses);
    if rayon::current_num_threads() == 1 {
        return layout.places.iter().zip(masses.chunks_mut(TILE)).enumerate().map(one).collect();
    }
    layout.places.par_iter().zip(masses.par_chunks_mut(TILE)).enumerate().with_min_len(4).map(one).collect()
}

/// What moves when particles migrate. The particle at `place` (tile · `TILE` + lane) has its value v at
/// (place / lanes · values + v) · lanes + place % lanes of `data`: tiles of a [`Population`], or smaller blocks of a room.
pub struct Carried<'a> {
    pub data: &'a mut [f64],
    /// Particles of a block: a power of two, at most `TILE`.
    pub lanes: usize,
    /// Values of a particle.
    pub values: usize,
    /// The first so many of them move.
    pub used: usize,
    pub eves: Option<&'a mut [u64]>,
    pub ancestors: Option<&'a mut [u64]>,
}

impl Carried<'_> {
    /// Where the first value of a particle lies; the next are `lanes` apart.
    #[inline(always)]
    pub(super) fn at(&self, place: usize) -> usize {
        block_place(self.lanes, self.values, place)
    }
}

/// Index of the first value of the particle at `place` in blocks of `lanes`, a power of two.
#[inline(always)]
pub(super) fn block_place(lanes: usize, values: usize, place: usize) -> usize {
    let shift = lanes.trailing_zeros();
    (((place >> shift) * values) << shift) + (place & (lanes - 1))
}

impl Population {
    /// Everything that moves with a particle, beside the masses that say which do.
    pub(super) fn carried(&mut self) -> (&[u64], Carried<'_>) {
        let carried = Carried {
            data: &mut self.states,
            lanes: TILE,
            values: self.dimension,
            used: self.dimension,
            eves: self.eves.as_deref_mut(),
            ancestors: self.ancestors.as_deref_mut(),
        };
        (&self.masses, carried)
    }
}
