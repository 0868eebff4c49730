//! Who holds which points, and how an owned output meets all columns: the layouts of the room.
//!
//! | layout     | held per rank             | per pass                                             |
//! |------------|---------------------------|------------------------------------------------------|
//! | replicated | all points                | one block of all columns                             |
//! | matrix     | own rows and own columns  | one block of all columns                             |
//! | ring       | own points                | blocks of columns arrive in index order, overlapped  |
//!
//! In every layout an output is summed over the same column tiles in the same order, so the bits agree. (The ring
//! passes blocks by broadcast in the order of their index rather than by rotation, for the sake of that order; each
//! rank receives the same words.)

use std::ops::Range;
use std::sync::Arc;

use super::kernels::{self, COLUMN_TILE, Level, PointCost, Rows};
use super::passes::Precision;
use super::sweep;
use crate::team::{Partition, Team};

/// Which output a pass makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Outputs are source points, sums run over target points.
    Source,
    /// Outputs are target points, sums run over source points.
    Target,
    /// Outputs and sums are target points (the reproducing kernel).
    TargetTarget,
}

/// ε and arithmetic of a pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub epsilon: f64,
    pub precision: Precision,
}

/// A block of columns: row 0 of `rows` is output `base`; its columns are `columns` of the whole.
pub struct Block<'a> {
    pub rows: &'a dyn Rows,
    pub base: usize,
    pub columns: Range<usize>,
}

impl Block<'_> {
    /// Global outputs as rows of `rows`.
    pub fn local(&self, outputs: &Range<usize>) -> Range<usize> {
        outputs.start - self.base..outputs.end - self.base
    }
}

/// A cost between two distributed sets of points.
pub trait Geometry {
    fn n(&self) -> usize;
    fn m(&self) -> usize;
    /// The outputs of `side` that this rank makes.
    fn owned(&self, side: Side, team: &dyn Team) -> Range<usize>;
    /// Calls `f` with every block of columns, in index order. Collective in the ring layout.
    fn blocks(&mut self, side: Side, scale: Scale, team: &dyn Team, f: &mut dyn FnMut(Block<'_>));
    /// Whether one block holds all columns, so that a row can be swept in one go.
    fn sweeps(&self) -> bool;
    /// Dimension of the points; 0 when there are none, only a matrix.
    fn dimension(&self) -> usize;
    /// Points `outputs` of the source, row-major, where this rank holds them (its own at least).
    fn source_points(&self) -> (Range<usize>, &[f64]);
    fn target_points(&self) -> (Range<usize>, &[f64]);
}

/// The kernels of the orientations at the scales last used, one per side.
#[derive(Default)]
struct Cache {
    held: Vec<(Side, Scale, Box<dyn Rows>)>,
}

impl Cache {
    fn get(&mut self, side: Side, scale: Scale, make: impl FnOnce() -> Box<dyn Rows>) -> &dyn Rows {
        let at = self.held.iter().position(|(s, ..)| *s == side);
        match at {
            Some(k) if self.held[k].1 == scale => self.held[k].2.as_ref(),
            _ => {
                if let Some(k) = at {
                    // Dropped before the new one is made: two scaled copies are never held.
                    self.held.swap_remove(k);
                }
                self.held.push((side, scale, make()));
                self.held.last().expect("just pushed").2.as_ref()
            }
        }
    }
}

/// A cost of points.
#[derive(Debug, Clone, Copy)]
pub struct CostOfPoints {
    pub cost: PointCost,
    pub dimension: usize,
    pub level: Level,
}

impl CostOfPoints {
    /// Kernels of outputs `from` against columns `to`. The reproducing kernel is exp(−|y − y'|/σ), the Laplace kernel.
    fn rows(&self, side: Side, from: &[f64], to: &[f64], scale: Scale) -> Box<dyn Rows> {
        let cost = if side == Side::TargetTarget { PointCost::Euclidean } else { self.cost };
        kernels::points(cost, from, to, self.dimension, scale.epsilon, scale.precision, self.level)
    }
}

/// All points on every rank: layout L0.
pub struct Replicated {
    cost: CostOfPoints,
    x: Arc<Vec<f64>>,
    y: Arc<Vec<f64>>,
    cache: Cache,
}

impl Replicated {
    pub fn new(cost: CostOfPoints, x: Arc<Vec<f64>>, y: Arc<Vec<f64>>) -> Self {
        Replicated { cost, x, y, cache: Cache::default() }
    }
}

impl Geometry for Replicated {
    fn n(&self) -> usize {
        self.x.len() / self.cost.dimension
    }

    fn m(&self) -> usize {
        self.y.len() / self.cost.dimension
    }

    fn owned(&self, side: Side, team: &dyn Team) -> Range<usize> {
        let outputs = if side == Side::Source { self.n() } else { self.m() };
        Partition::new(outputs, team.rank(), team.size()).mine()
    }

    fn blocks(&mut self, side: Side, scale: Scale, _team: &dyn Team, f: &mut dyn FnMut(Block<'_>)) {
        let (from, to) = match side {
            Side::Source => (&self.x, &self.y),
            Side::Target => (&self.y, &self.x),
            Side::TargetTarget => (&self.y, &self.y),
        };
        let rows = self.cache.get(side, scale, || self.cost.rows(side, from, to, scale));
        f(Block { rows, base: 0, columns: 0..to.len() / self.cost.dimension });
    }

    fn sweeps(&self) -> bool {
        true
    }

    fn dimension(&self) -> usize {
        self.cost.dimension
    }

    fn source_points(&self) -> (Range<usize>, &[f64]) {
        (0..self.n(), &self.x)
    }

    fn target_points(&self) -> (Range<usize>, &[f64]) {
        (0..self.m(), &self.y)
    }
}

/// A cost matrix: this rank's rows of C and its rows of Cᵀ.
pub struct Matrix {
    n: usize,
    m: usize,
    rows: Vec<f64>,
    columns: Vec<f64>,
    level: Level,
    cache: Cache,
}

impl Matrix {
    /// `rows`: C over the sources [`sweep::owned_rows`] (k×m); `columns`: Cᵀ over the partition's targets (k×n).
    pub fn new(n: usize, m: usize, rows: Vec<f64>, columns: Vec<f64>, level: Level) -> Self {
        Matrix { n, m, rows, columns, level, cache: Cache::default() }
    }
}

impl Geometry for Matrix {
    fn n(&self) -> usize {
        self.n
    }

    fn m(&self) -> usize {
        self.m
    }

    fn owned(&self, side: Side, team: &dyn Team) -> Range<usize> {
        match side {
            // The rows that a sweep gives this rank.
            Side::Source => sweep::owned_rows(self.n, team.rank(), team.size()),
            _ => Partition::new(self.m, team.rank(), team.size()).mine(),
        }
    }

    fn blocks(&mut self, side: Side, scale: Scale, team: &dyn Team, f: &mut dyn FnMut(Block<'_>)) {
        let base = self.owned(side, team).start;
        let (entries, columns) = match side {
            Side::Source => (&self.rows, self.m),
            Side::Target => (&self.columns, self.n),
            Side::TargetTarget => unreachable!("abstract atoms have the identity as reproducing kernel"),
        };
        let level = self.level;
        let rows = self.cache.get(side, scale, || {
            kernels::matrix(entries, entries.len() / columns, columns, scale.epsilon, scale.precision, level)
        });
        f(Block { rows, base, columns: 0..columns });
    }

    fn sweeps(&self) -> bool {
        true
    }

    fn dimension(&self) -> usize {
        0
    }

    fn source_points(&self) -> (Range<usize>, &[f64]) {
        (0..0, &[])
    }

    fn target_points(&self) -> (Range<usize>, &[f64]) {
        (0..0, &[])
    }
}

/// Points with their owners, in whole column tiles: layout L3.
pub struct Ring {
    cost: CostOfPoints,
    n: usize,
    m: usize,
    x: Arc<Vec<f64>>,
    y: Arc<Vec<f64>>,
    mine: (Range<usize>, Range<usize>),
}

impl Ring {
    /// `x`, `y`: the points that [`Ring::owned_points`] gives this rank.
    pub fn new(cost: CostOfPoints, n: usize, m: usize, x: Arc<Vec<f64>>, y: Arc<Vec<f64>>, team: &dyn Team) -> Self {
        let owned = |len| Self::owned_points(len, team.rank(), team.size());
        Ring { cost, n, m, x, y, mine: (owned(n), owned(m)) }
    }

    /// Whole tiles per rank, so that a travelling block continues a sum at a tile boundary.
    pub fn owned_points(len: usize, rank: usize, size: usize) -> Range<usize> {
        let tiles = Partition::new(len.div_ceil(COLUMN_TILE), rank, size).mine();
        (tiles.start * COLUMN_TILE).min(len)..(tiles.end * COLUMN_TILE).min(len)
    }
}

impl Geometry for Ring {
    fn n(&self) -> usize {
        self.n
    }

    fn m(&self) -> usize {
        self.m
    }

    fn owned(&self, side: Side, _team: &dyn Team) -> Range<usize> {
        if side == Side::Source { self.mine.0.clone() } else { self.mine.1.clone() }
    }

    fn blocks(&mut self, side: Side, scale: Scale, team: &dyn Team, f: &mut dyn FnMut(Block<'_>)) {
        let (from, to, columns, base) = match side {
            Side::Source => (&self.x, &self.y, self.m, self.mine.0.start),
            Side::Target => (&self.y, &self.x, self.n, self.mine.1.start),
            Side::TargetTarget => (&self.y, &self.y, self.m, self.mine.1.start),
        };
        let send = |root: usize| team.start_broadcast(root, if root == team.rank() { to.as_slice() } else { &[] });
        let mut under_way = Some(send(0));
        for k in 0..team.size() {
            let block: Vec<f64> = under_way.take().expect("started one block ahead").wait();
            if k + 1 < team.size() {
                under_way = Some(send(k + 1));
            }
            let columns = Self::owned_points(columns, k, team.size());
            if !columns.is_empty() && !from.is_empty() {
                let rows = self.cost.rows(side, from, &block, scale);
                f(Block { rows: rows.as_ref(), base, columns });
            }
        }
    }

    fn sweeps(&self) -> bool {
        false
    }

    fn dimension(&self) -> usize {
        self.cost.dimension
    }

    fn source_points(&self) -> (Range<usize>, &[f64]) {
        (self.mine.0.clone(), &self.x)
    }

    fn target_points(&self) -> (Range<usize>, &[f64]) {
        (self.mine.1.clone(), &self.y)
    }
}
