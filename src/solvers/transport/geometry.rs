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

use super::kernels::{self, COLUMN_TILE, Level, PointCloud, PointCost, Rows};
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
    /// The outputs of `side` that a rank of so many makes.
    fn owned_by(&self, side: Side, rank: usize, ranks: usize) -> Range<usize>;
    /// Those that this rank makes.
    fn owned(&self, side: Side, team: &dyn Team) -> Range<usize> {
        self.owned_by(side, team.rank(), team.size())
    }
    /// Calls `f` with every block of columns, in index order. Collective in the ring layout.
    fn blocks(&mut self, side: Side, scale: Scale, team: &dyn Team, f: &mut dyn FnMut(Block<'_>));
    /// Whether one block holds all columns, so that a row can be swept in one go.
    fn sweeps(&self) -> bool;
    /// Whether every rank holds all rows, so that any may sweep them.
    fn holds_all_rows(&self) -> bool {
        false
    }
    /// Dimension of the points; 0 when there are none, only a matrix.
    fn dimension(&self) -> usize;
    /// Points `outputs` of the source, row-major, where this rank holds them (its own at least).
    fn source_points(&self) -> (Range<usize>, &[f64]);
    fn target_points(&self) -> (Range<usize>, &[f64]);
    fn level(&self) -> Level;
    /// The cost of points; none for a matrix.
    fn point_cost(&self) -> Option<PointCost>;
    /// Gives back what the next block would make again.
    fn rest(&mut self) {}
}

/// The kernels of both orientations at the scale last used.
#[derive(Default)]
struct Cache {
    held: Option<(Scale, Box<dyn Rows>, Box<dyn Rows>)>,
}

impl Cache {
    fn get(&mut self, side: Side, scale: Scale, make: impl FnOnce() -> (Box<dyn Rows>, Box<dyn Rows>)) -> &dyn Rows {
        if self.held.as_ref().is_none_or(|(held, ..)| *held != scale) {
            // Dropped before the new ones are made: two scaled copies are never held.
            self.held = None;
            let (rows, cols) = make();
            self.held = Some((scale, rows, cols));
        }
        let (_, rows, cols) = self.held.as_ref().expect("just made");
        if side == Side::Source { rows.as_ref() } else { cols.as_ref() }
    }
}

/// A cost of points.
#[derive(Debug, Clone)]
pub struct CostOfPoints {
    pub cost: PointCost,
    pub dimension: usize,
    pub level: Level,
    /// A box that holds all points of both sides: the origin of the arithmetic, the same for every block.
    pub low: Vec<f64>,
    pub high: Vec<f64>,
}

impl CostOfPoints {
    /// Outputs `from` against columns `to`. The reproducing kernel is exp(−|y − y'|/σ), the Laplace kernel.
    fn cloud(&self, side: Side, from: Arc<[f64]>, to: Arc<[f64]>) -> PointCloud {
        let cost = if side == Side::TargetTarget { PointCost::Euclidean } else { self.cost };
        PointCloud::within(cost, from, to, self.dimension, &self.low, &self.high)
    }
}

/// All points on every rank: layout L0.
pub struct Replicated {
    cost: CostOfPoints,
    cloud: PointCloud,
    x: Arc<[f64]>,
    y: Arc<[f64]>,
    cache: Cache,
    reproducing: Option<(Scale, Box<dyn Rows>)>,
}

impl Replicated {
    pub fn new(cost: CostOfPoints, x: Arc<[f64]>, y: Arc<[f64]>) -> Self {
        let cloud = cost.cloud(Side::Source, x.clone(), y.clone());
        Replicated { cost, cloud, x, y, cache: Cache::default(), reproducing: None }
    }
}

impl Geometry for Replicated {
    fn n(&self) -> usize {
        self.x.len() / self.cost.dimension
    }

    fn m(&self) -> usize {
        self.y.len() / self.cost.dimension
    }

    fn owned_by(&self, side: Side, rank: usize, ranks: usize) -> Range<usize> {
        let outputs = if side == Side::Source { self.n() } else { self.m() };
        Partition::new(outputs, rank, ranks).mine()
    }

    fn blocks(&mut self, side: Side, scale: Scale, _team: &dyn Team, f: &mut dyn FnMut(Block<'_>)) {
        let columns = 0..if side == Side::Target { self.n() } else { self.m() };
        let level = self.cost.level;
        let rows = if side == Side::TargetTarget {
            if self.reproducing.as_ref().is_none_or(|(held, _)| *held != scale) {
                let cloud = self.cost.cloud(side, self.y.clone(), self.y.clone());
                self.reproducing = Some((scale, cloud.rows(scale.epsilon, scale.precision, level)));
            }
            self.reproducing.as_ref().expect("just made").1.as_ref()
        } else {
            self.cache.get(side, scale, || self.cloud.both(scale.epsilon, scale.precision, level))
        };
        f(Block { rows, base: 0, columns });
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

    fn level(&self) -> Level {
        self.cost.level
    }

    fn holds_all_rows(&self) -> bool {
        true
    }

    fn rest(&mut self) {
        self.cache = Cache::default();
        self.reproducing = None;
    }

    fn point_cost(&self) -> Option<PointCost> {
        Some(self.cost.cost)
    }
}

/// A cost matrix: this rank's rows of C and its rows of Cᵀ.
pub struct Matrix {
    n: usize,
    m: usize,
    rows: Arc<[f64]>,
    columns: Arc<[f64]>,
    level: Level,
    cache: Cache,
}

impl Matrix {
    /// `rows`: C over the sources [`sweep::owned_rows`] (k×m); `columns`: Cᵀ over the partition's targets (k×n).
    pub fn new(n: usize, m: usize, rows: Vec<f64>, columns: Vec<f64>, level: Level) -> Self {
        Matrix { n, m, rows: rows.into(), columns: columns.into(), level, cache: Cache::default() }
    }
}

impl Geometry for Matrix {
    fn n(&self) -> usize {
        self.n
    }

    fn m(&self) -> usize {
        self.m
    }

    fn owned_by(&self, side: Side, rank: usize, ranks: usize) -> Range<usize> {
        match side {
            // The rows that a sweep gives this rank.
            Side::Source => sweep::owned_rows(self.n, rank, ranks),
            _ => Partition::new(self.m, rank, ranks).mine(),
        }
    }

    fn blocks(&mut self, side: Side, scale: Scale, team: &dyn Team, f: &mut dyn FnMut(Block<'_>)) {
        let base = self.owned(side, team).start;
        let (n, m, level) = (self.n, self.m, self.level);
        let (own, transposed) = (&self.rows, &self.columns);
        let rows = self.cache.get(side, scale, || {
            let make = |entries: &Arc<[f64]>, columns: usize| {
                let rows = entries.len() / columns;
                kernels::matrix(entries.clone(), rows, columns, scale.epsilon, scale.precision, level)
            };
            (make(own, m), make(transposed, n))
        });
        let columns = if side == Side::Source { m } else { n };
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

    fn level(&self) -> Level {
        self.level
    }

    fn point_cost(&self) -> Option<PointCost> {
        None
    }
}

/// Points with their owners, in whole column tiles: layout L3.
pub struct Ring {
    cost: CostOfPoints,
    n: usize,
    m: usize,
    x: Arc<[f64]>,
    y: Arc<[f64]>,
    mine: (Range<usize>, Range<usize>),
}

impl Ring {
    /// `x`, `y`: the points that [`Ring::owned_points`] gives this rank.
    pub fn new(cost: CostOfPoints, n: usize, m: usize, x: Arc<[f64]>, y: Arc<[f64]>, team: &dyn Team) -> Self {
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

    fn owned_by(&self, side: Side, rank: usize, ranks: usize) -> Range<usize> {
        Self::owned_points(if side == Side::Source { self.n } else { self.m }, rank, ranks)
    }

    fn blocks(&mut self, side: Side, scale: Scale, team: &dyn Team, f: &mut dyn FnMut(Block<'_>)) {
        let (from, to, columns, base) = match side {
            Side::Source => (&self.x, &self.y, self.m, self.mine.0.start),
            Side::Target => (&self.y, &self.x, self.n, self.mine.1.start),
            Side::TargetTarget => (&self.y, &self.y, self.m, self.mine.1.start),
        };
        let send = |root: usize| team.start_broadcast(root, if root == team.rank() { &to[..] } else { &[] });
        let mut under_way = Some(send(0));
        for k in 0..team.size() {
            let block: Vec<f64> = under_way.take().expect("started one block ahead").wait();
            if k + 1 < team.size() {
                under_way = Some(send(k + 1));
            }
            let columns = Self::owned_points(columns, k, team.size());
            if !columns.is_empty() && !from.is_empty() {
                let cloud = self.cost.cloud(side, from.clone(), block.into());
                let rows = cloud.rows(scale.epsilon, scale.precision, self.cost.level);
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

    fn level(&self) -> Level {
        self.cost.level
    }

    fn point_cost(&self) -> Option<PointCost> {
        Some(self.cost.cost)
    }
}
