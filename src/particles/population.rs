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
