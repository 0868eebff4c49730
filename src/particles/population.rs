//! The particles of a rank: states in tiles, log-weights, integer masses, and what travels with a particle.
//!
//! States are kept in f64 or, on request, in f32: half the memory and the messages. Models compute in f64 either way, on
//! tiles that are widened before and rounded after; weights, masses and evidence are f64 and integers.

use serde::{Deserialize, Serialize};

use super::layout::{Layout, Place};
use super::model::{Tile, View};
use crate::crew;
use crate::math::simd::Level;
use crate::math::simd::scalar::Scalar;

/// Tiles that a thread takes at once: few enough that threads end together.
pub(super) const LEAF: usize = 8;

/// In what states are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Double precision.
    #[default]
    F64,
    /// Single precision: a state is rounded to 24 bits whenever a step has made it.
    F32,
}

impl Precision {
    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        match self {
            Precision::F64 => 8,
            Precision::F32 => 4,
        }
    }
}

/// Coordinates of particles, at [`Population::index`].
#[derive(Debug, Clone)]
pub(super) enum States {
    F64(Vec<f64>),
    F32(Vec<f32>),
}

impl States {
    fn zeros(precision: Precision, n: usize) -> States {
        match precision {
            Precision::F64 => States::F64(vec![0.0; n]),
            Precision::F32 => States::F32(vec![0.0; n]),
        }
    }

    /// Becomes a copy of `other`, in the memory it has.
    fn copy_from(&mut self, other: &States) {
        match (self, other) {
            (States::F64(to), States::F64(from)) => to.clone_from(from),
            (States::F32(to), States::F32(from)) => to.clone_from(from),
            (to, from) => *to = from.clone(),
        }
    }

    #[inline(always)]
    pub(super) fn get(&self, at: usize) -> f64 {
        match self {
            States::F64(x) => x[at],
            States::F32(x) => f64::from(x[at]),
        }
    }
}

/// Particles in structure-of-arrays form, tile by tile: coordinate d of a tile is `lanes` numbers in a row.
#[derive(Debug, Clone)]
pub struct Population {
    pub dimension: usize,
    /// Places of a tile ([`Layout::lanes`]).
    lanes: usize,
    pub level: Level,
    pub(super) states: States,
    pub log_weights: Vec<f64>,
    /// Inclusive prefix sums of the integer weights within each tile; scratch while resampling.
    pub masses: Vec<u64>,
    /// Slot of the ancestor one step ago, where kept.
    pub ancestors: Option<Vec<u64>>,
    /// Slot of the ancestor at the first step, where kept.
    pub eves: Option<Vec<u64>>,
}

impl Population {
    pub fn new(
        dimension: usize,
        level: Level,
        precision: Precision,
        layout: &Layout,
        ancestors: bool,
        eves: bool,
    ) -> Population {
        let n = layout.stored();
        Population {
            dimension,
            lanes: layout.lanes,
            level,
            states: States::zeros(precision, n * dimension),
            log_weights: vec![0.0; n],
            masses: vec![0; n],
            ancestors: ancestors.then(|| vec![0; n]),
            eves: eves.then(|| vec![0; n]),
        }
    }

    /// Becomes a copy of `other`, in the memory it has.
    pub(super) fn copy_from(&mut self, other: &Population) {
        let Population { dimension, lanes, level, states, log_weights, masses, ancestors, eves } = other;
        (self.dimension, self.lanes, self.level) = (*dimension, *lanes, *level);
        self.states.copy_from(states);
        self.log_weights.clone_from(log_weights);
        self.masses.clone_from(masses);
        self.ancestors.clone_from(ancestors);
        self.eves.clone_from(eves);
    }

    /// The particles of tile `t`, widened in `room` where they are kept in single precision.
    pub(super) fn view<'a>(&'a self, t: usize, len: usize, room: &'a mut Vec<f64>) -> View<'a> {
        let stride = self.dimension * self.lanes;
        let part = t * stride..(t + 1) * stride;
        match &self.states {
            States::F64(x) => View::new(self.level, &x[part], self.lanes, len),
            States::F32(x) => {
                room.resize(stride, 0.0);
                widen(self.level, &x[part], room);
                View::new(self.level, room, self.lanes, len)
            }
        }
    }

    /// Where coordinate `d` of lane `i` of tile `t` is.
    #[inline(always)]
    pub(super) fn index(&self, t: usize, d: usize, i: usize) -> usize {
        (t * self.dimension + d) * self.lanes + i
    }

    /// Coordinate `d` of lane `i` of tile `t`.
    #[inline(always)]
    pub fn at(&self, t: usize, d: usize, i: usize) -> f64 {
        self.states.get(self.index(t, d, i))
    }

    /// Coordinate `d` of the lanes of tile `t` from `lane` on.
    pub(super) fn read(&self, t: usize, d: usize, lane: usize, x: &mut [f64]) {
        let at = self.index(t, d, lane);
        match &self.states {
            States::F64(all) => x.copy_from_slice(&all[at..at + x.len()]),
            States::F32(all) => widen(self.level, &all[at..at + x.len()], x),
        }
    }

    /// Sets it, rounded to the precision that states are kept in.
    pub fn put(&mut self, t: usize, d: usize, i: usize, x: f64) {
        let at = self.index(t, d, i);
        match &mut self.states {
            States::F64(all) => all[at] = x,
            States::F32(all) => all[at] = x as f32,
        }
    }

    /// Bytes of a population of `particles` in `dimension` coordinates on one rank.
    pub fn bytes(particles: u64, dimension: u64, precision: Precision, ancestors: bool, eves: bool) -> u64 {
        particles * (precision.bytes() * dimension + 8 * (2 + u64::from(ancestors) + u64::from(eves)))
    }
}

fn widen(level: Level, from: &[f32], to: &mut [f64]) {
    crate::enter!(level, S => {
        let _ = S::mul_add;
        to.iter_mut().zip(from).for_each(|(t, f)| *t = f64::from(*f));
    });
}

fn rounded(level: Level, from: &[f64], to: &mut [f32]) {
    crate::enter!(level, S => {
        let _ = S::mul_add;
        to.iter_mut().zip(from).for_each(|(t, f)| *t = *f as f32);
    });
}

/// Room of a thread that works on tiles.
#[derive(Default)]
pub(super) struct Room {
    /// Whatever the work wants.
    pub scratch: Vec<f64>,
    /// A tile that is kept in single precision, widened.
    tile: Vec<f64>,
}

/// Numbers that a tile's states are kept as.
trait Kept: Copy + Send + Sync {
    /// Runs `work` on these numbers in double precision.
    fn in_double<R>(level: Level, part: &mut [Self], room: &mut Vec<f64>, work: impl FnOnce(&mut [f64]) -> R) -> R;
}

impl Kept for f64 {
    #[inline(always)]
    fn in_double<R>(_level: Level, part: &mut [f64], _room: &mut Vec<f64>, work: impl FnOnce(&mut [f64]) -> R) -> R {
        work(part)
    }
}

impl Kept for f32 {
    fn in_double<R>(level: Level, part: &mut [f32], room: &mut Vec<f64>, work: impl FnOnce(&mut [f64]) -> R) -> R {
        room.resize(part.len(), 0.0);
        widen(level, part, room);
        let made = work(room);
        rounded(level, room, part);
        made
    }
}

/// Runs `work(tile, place, states, log_weights, scratch) -> R` for every tile, on the threads of the pool; results by tile.
pub(super) fn for_tiles<R: Send>(
    layout: &Layout,
    population: &mut Population,
    work: impl Fn(usize, &Place, &mut Tile<'_>, &mut [f64], &mut Vec<f64>) -> R + Sync,
) -> Vec<R> {
    let Population { dimension, level, states, log_weights, .. } = population;
    let shape = (*dimension, *level);
    match states {
        States::F64(states) => over_tiles(layout, shape, states, log_weights, work),
        States::F32(states) => over_tiles(layout, shape, states, log_weights, work),
    }
}

fn over_tiles<R: Send, T: Kept>(
    layout: &Layout,
    (dimension, level): (usize, Level),
    states: &mut [T],
    log_weights: &mut [f64],
    work: impl Fn(usize, &Place, &mut Tile<'_>, &mut [f64], &mut Vec<f64>) -> R + Sync,
) -> Vec<R> {
    let lanes = layout.lanes;
    let one = |t: usize, place: &Place, states: &mut [T], weights: &mut [f64], room: &mut Room| {
        let Room { scratch, tile } = room;
        T::in_double(level, states, tile, |x| {
            work(t, place, &mut Tile::new(level, x, lanes, place.len), &mut weights[..place.len], scratch)
        })
    };
    let tiles = layout.places.iter().zip(states.chunks_mut(dimension * lanes)).zip(log_weights.chunks_mut(lanes));
    crew::map_in(tiles, LEAF, Room::default, |room, t, ((place, x), w)| one(t, place, x, w, room))
}

/// The same for the masses alone: `work(room, tile, place, masses) -> R`, with the masses of a tile and a room of the thread.
pub(super) fn for_masses<S: Default, R: Send>(
    layout: &Layout,
    masses: &mut [u64],
    work: impl Fn(&mut S, usize, &Place, &mut [u64]) -> R + Sync,
) -> Vec<R> {
    let tiles = layout.places.iter().zip(masses.chunks_mut(layout.lanes));
    crew::map_in(tiles, LEAF, S::default, |room, t, (place, masses)| work(room, t, place, masses))
}

/// Runs `work(place, log_weights, masses) -> R` for every tile likewise.
pub(super) fn for_weights<R: Send>(
    layout: &Layout,
    population: &mut Population,
    work: impl Fn(&Place, &[f64], &mut [u64]) -> R + Sync,
) -> Vec<R> {
    let log_weights = &population.log_weights;
    for_masses(layout, &mut population.masses, |_: &mut (), t, place, masses| {
        work(place, &log_weights[layout.part(t)], &mut masses[..place.len])
    })
}

/// Values of particles, as they are kept.
pub enum Values<'a> {
    F64(&'a mut [f64]),
    F32(&'a mut [f32]),
}

/// What moves when particles migrate. The particle at `place` ([`Layout::at`]) has its value v at
/// (place / lanes · values + v) · lanes + place % lanes of `data`: tiles of a [`Population`], or smaller blocks of a room.
pub struct Carried<'a> {
    pub data: Values<'a>,
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
    /// Words of a particle's values in a message: f32 go two by two.
    pub(super) fn words(&self) -> usize {
        match self.data {
            Values::F64(_) => self.used,
            Values::F32(_) => self.used.div_ceil(2),
        }
    }

    /// Appends the values of the particle at `place` to a message.
    pub(super) fn pack(&self, place: usize, message: &mut Vec<f64>) {
        let (first, lanes) = (block_place(self.lanes, self.values, place), self.lanes);
        match &self.data {
            Values::F64(data) => message.extend((0..self.used).map(|v| data[first + v * lanes])),
            Values::F32(data) => message.extend((0..self.used).step_by(2).map(|v| {
                let bits = |v: usize| if v < self.used { u64::from(data[first + v * lanes].to_bits()) } else { 0 };
                f64::from_bits(bits(v) | bits(v + 1) << 32)
            })),
        }
    }

    /// Takes the values of the particle at `place` from the words of a message.
    pub(super) fn unpack(&mut self, place: usize, words: &[f64]) {
        let (first, lanes) = (block_place(self.lanes, self.values, place), self.lanes);
        match &mut self.data {
            Values::F64(data) => words.iter().enumerate().for_each(|(v, x)| data[first + v * lanes] = *x),
            Values::F32(data) => {
                for v in 0..self.used {
                    let bits = (words[v / 2].to_bits() >> (32 * (v % 2))) as u32;
                    data[first + v * lanes] = f32::from_bits(bits);
                }
            }
        }
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
            data: match &mut self.states {
                States::F64(x) => Values::F64(x),
                States::F32(x) => Values::F32(x),
            },
            lanes: self.lanes,
            values: self.dimension,
            used: self.dimension,
            eves: self.eves.as_deref_mut(),
            ancestors: self.ancestors.as_deref_mut(),
        };
        (&self.masses, carried)
    }
}
