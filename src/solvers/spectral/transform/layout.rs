//! Who holds what, and what that costs in messages: index arithmetic only.
//!
//! Ranks stand on a grid of p1 × p2; rank r is at row r / p2, column r mod p2, and ranks beyond it hold nothing. With m
//! modes and n points per axis:
//!
//!     spectral   m0 (whole)   m1 / p1      m2 / p2
//!     between    n0 / p1      m1 (whole)   m2 / p2      after an exchange among the p1 ranks of a column
//!     grid       n0 / p1      n1 / p2      n2 (whole)   after an exchange among the p2 ranks of a row
//!
//! A domain of one axis is whole on one rank, or, above [`WHOLE`] points, shared as [`Shares`] says.

use std::ops::Range;

use super::long::{Shares, WHOLE};
use crate::error::{Error, Result};
use crate::solvers::spectral::domain::{Basis, Block, Domain};
use crate::team::Partition;

/// What a message costs: seconds per message, bytes per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Network {
    /// Latency and bandwidth of a rank inside a node.
    pub inside: (f64, f64),
    /// Between nodes, with every rank of the node sending.
    pub across: (f64, f64),
    pub ranks_per_node: usize,
}

impl Network {
    /// Ordinary numbers: shared memory at 1 µs and 4 GB/s per rank; a 100 Gbit/s port per node, at 2 µs.
    pub fn ordinary(ranks_per_node: usize) -> Network {
        let ranks_per_node = ranks_per_node.max(1);
        Network { inside: (1e-6, 4e9), across: (2e-6, 12e9 / ranks_per_node as f64), ranks_per_node }
    }
}

/// The process grid [p1, p2].
pub type ProcessGrid = [usize; 2];

/// Whether a domain is one line that ranks share.
pub fn is_long(domain: &Domain) -> bool {
    domain.dimension == 1 && domain.axes[2].points > WHOLE
}

/// Most ranks of each side of the process grid: the pencil limit.
pub fn pencil_limit(domain: &Domain) -> ProcessGrid {
    let (m, n) = (domain.modes(), domain.points());
    let side = |a: usize, b: usize| if n[a] == 1 && m[a] == 1 { 1 } else { n[a].max(m[b]) };
    match domain.dimension {
        1 if is_long(domain) => [1, Shares::limit(&domain.axes[2], domain.complex)],
        1 => [1, 1],
        _ => [side(0, 1), side(1, 2)],
    }
}

/// The process grid of `ranks`, by hand or the cheapest by the cost model.
///
/// # Errors
/// [`Error::Usage`] beyond the pencil limit, or when a grid given by hand needs other ranks than there are.
pub fn process_grid(
    domain: &Domain,
    ranks: usize,
    given: Option<ProcessGrid>,
    network: &Network,
) -> Result<ProcessGrid> {
    let limit = pencil_limit(domain);
    let shape = domain.points()[3 - domain.dimension..].iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    if let Some([p1, p2]) = given {
        if p1 == 0 || p2 == 0 || p1 * p2 > ranks {
            return Err(Error::Usage(format!("must be two positive numbers of product at most {ranks}, the ranks")));
        }
        if p1 > limit[0] || p2 > limit[1] {
            return Err(Error::Usage(format!(
                "a grid of {shape} points goes over at most {} × {} ranks",
                limit[0], limit[1]
            )));
        }
        return Ok([p1, p2]);
    }
    if domain.dimension > 1 && ranks > limit[0] * limit[1] {
        return Err(Error::Usage(format!(
            "{ranks} ranks: a grid of {shape} points goes over at most {} × {} = {} ranks",
            limit[0],
            limit[1],
            limit[0] * limit[1]
        )));
    }
    // As many ranks as a grid can use; of those grids the cheapest, and among equals the one with the smaller p2.
    let grids = || (1..=ranks.min(limit[0])).map(|p1| [p1, (ranks / p1).min(limit[1])]);
    let busy = grids().map(|g| g[0] * g[1]).max().expect("at least one rank");
    let best = grids()
        .filter(|g| g[0] * g[1] == busy)
        .map(|g| (cost(domain, g, network), g))
        .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1[1].cmp(&b.1[1])))
        .expect("the busiest is one of them");
    Ok(best.1)
}

/// Messages and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub messages: u64,
    pub bytes: u64,
}

impl Traffic {
    fn add(&mut self, values: usize, size: usize) {
        self.messages += u64::from(values > 0);
        self.bytes += (values * size) as u64;
    }
}

impl std::ops::Add for Traffic {
    type Output = Traffic;

    fn add(self, other: Traffic) -> Traffic {
        Traffic { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

/// Which way a transform goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Modes to grid.
    Backward,
    /// Grid to modes.
    Forward,
}

/// What rank `rank` sends to others in one transform of one field, with complex numbers of `size` bytes.
pub fn traffic(domain: &Domain, grid: ProcessGrid, rank: usize, direction: Direction, size: usize) -> Traffic {
    let [columns, rows] = exchanges(domain, grid, rank, direction, size);
    columns + rows
}

/// That of the exchange within a column of the process grid (p1 ranks) and within a row (p2).
fn exchanges(domain: &Domain, grid: ProcessGrid, rank: usize, direction: Direction, size: usize) -> [Traffic; 2] {
    let mut sent = [Traffic::default(); 2];
    let layout = Layout::new(domain, grid, rank);
    let Some([r1, r2]) = layout.at else { return sent };
    if let Some(shares) = &layout.shares {
        for q in (0..grid[1]).filter(|q| *q != rank) {
            let messages = shares.sent(rank, q, direction == Direction::Backward);
            messages.into_iter().for_each(|numbers| sent[1].add(numbers, size));
        }
        return sent;
    }
    let count = |cut: &Cut, r: usize| cut.of(r).len();
    let (n0, m1) = (&layout.points0, &layout.modes1);
    let (n1, m2) = (&layout.points1, &layout.modes2);
    for q in (0..grid[0]).filter(|q| *q != r1) {
        let (planes, rows) = match direction {
            Direction::Backward => (count(n0, q), count(m1, r1)),
            Direction::Forward => (count(n0, r1), count(m1, q)),
        };
        sent[0].add(planes * rows * count(m2, r2), size);
    }
    for q in (0..grid[1]).filter(|q| *q != r2) {
        let (rows, columns) = match direction {
            Direction::Backward => (count(n1, q), count(m2, r2)),
            Direction::Forward => (count(n1, r2), count(m2, q)),
        };
        sent[1].add(count(n0, r1) * rows * columns, size);
    }
    sent
}

/// Seconds that rank 0 spends on the messages of one backward transform in double precision: α per message and its
/// bytes at the bandwidth of where the group is, inside a node or across.
pub fn cost(domain: &Domain, grid: ProcessGrid, network: &Network) -> f64 {
    seconds(domain, grid, 0, Direction::Backward, 16, network)
}

/// Seconds that rank `rank` spends on the messages of one transform of one field, with complex numbers of `size` bytes.
pub fn seconds(
    domain: &Domain,
    grid: ProcessGrid,
    rank: usize,
    direction: Direction,
    size: usize,
    network: &Network,
) -> f64 {
    let [p1, p2] = grid;
    let node = network.ranks_per_node;
    // Rows of the process grid are consecutive ranks; a column spans p1 rows.
    let all = p1 * p2 <= node;
    let inside = [all, all || p2 == 1 || (p2 <= node && node % p2 == 0)];
    let sent = exchanges(domain, grid, rank, direction, size);
    sent.iter()
        .zip(inside)
        .map(|(t, inside)| {
            let (latency, bandwidth) = if inside { network.inside } else { network.across };
            t.messages as f64 * latency + t.bytes as f64 / bandwidth
        })
        .sum()
}

/// 0..n over `parts` ranks of one side of the process grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut(Partition);

impl Cut {
    fn new(n: usize, parts: usize) -> Cut {
        Cut(Partition::new(n, 0, parts))
    }

    pub fn of(&self, part: usize) -> Range<usize> {
        self.0.of(part)
    }

    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.ranges()
    }
}

/// The parts of one rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub grid: ProcessGrid,
    /// Row and column on the process grid; none for ranks beyond it.
    pub at: Option<[usize; 2]>,
    pub points0: Cut,
    pub modes1: Cut,
    pub points1: Cut,
    pub modes2: Cut,
    /// Of one long line.
    pub shares: Option<Shares>,
}

impl Layout {
    pub fn new(domain: &Domain, grid: ProcessGrid, rank: usize) -> Layout {
        let (m, n) = (domain.modes(), domain.points());
        let [p1, p2] = grid;
        Layout {
            grid,
            at: (rank < p1 * p2).then(|| [rank / p2, rank % p2]),
            points0: Cut::new(n[0], p1),
            modes1: Cut::new(m[1], p1),
            points1: Cut::new(n[1], p2),
            modes2: Cut::new(m[2], p2),
            shares: is_long(domain).then(|| Shares::new(&domain.axes[2], domain.complex, p2)),
        }
    }

    /// The rank at a place of the process grid.
    pub fn rank(&self, at: [usize; 2]) -> usize {
        at[0] * self.grid[1] + at[1]
    }

    fn block(&self, ranges: impl FnOnce([usize; 2]) -> [Range<usize>; 3]) -> Block {
        self.at.map_or(Block::default(), |at| {
            let ranges = ranges(at);
            Block { start: std::array::from_fn(|a| ranges[a].start), count: std::array::from_fn(|a| ranges[a].len()) }
        })
    }

    pub fn modes(&self, domain: &Domain) -> Block {
        self.block(|[r1, r2]| [0..domain.modes()[0], self.modes1.of(r1), self.modes2.of(r2)])
    }

    pub fn points(&self, domain: &Domain) -> Block {
        if let Some(shares) = &self.shares {
            return self.block(|[_, rank]| [0..1, 0..1, shares.points(rank)]);
        }
        self.block(|[r1, r2]| [self.points0.of(r1), self.points1.of(r2), 0..domain.points()[2]])
    }
}

/// Complex numbers in the buffers of a rank: per field between axes 0 and 1 and between axes 1 and 2, and for each of the
/// two exchanges under way; zero where a pass needs none.
pub fn buffer_lengths(domain: &Domain, grid: ProcessGrid, rank: usize) -> [usize; 4] {
    let layout = Layout::new(domain, grid, rank);
    if layout.shares.is_some() {
        return [0; 4];
    }
    let (m, n) = (domain.modes(), domain.points());
    let (a, b) = (layout.modes(domain).count, layout.points(domain).count);
    let flat_domain = n[0] == 1;
    let fused = grid[1] == 1 && !flat_domain;
    let mid = if flat_domain { 0 } else { b[0] * m[1] * a[2] };
    let wide = if grid[0] > 1 { n[0] * a[1] * a[2] } else { 0 };
    let flat = if fused { 0 } else { b[0] * b[1] * m[2] };
    let tall = if grid[1] > 1 { b[0] * n[1] * a[2] } else { 0 };
    [mid, wide, flat, tall]
}

/// Whether the distributed transform knows these bases.
///
/// # Errors
/// [`Error::Usage`] naming the axis.
pub fn check_bases(domain: &Domain) -> Result<()> {
    let first = 3 - domain.dimension;
    for (a, axis) in domain.axes.iter().enumerate() {
        let known = match axis.basis {
            Basis::Chebyshev => a == first && domain.dimension > 1,
            Basis::HalfFourier => a == 2 && !domain.complex,
            Basis::Fourier => a < 2 || domain.complex || domain.dimension == 0,
        };
        let fits = match axis.basis {
            Basis::HalfFourier => 2 * axis.highest <= axis.points,
            Basis::Fourier => axis.modes() <= axis.points,
            Basis::Chebyshev => axis.modes() <= axis.points,
        };
        if !known || !fits || axis.points == 0 {
            return Err(Error::Usage(format!(
                "axis {}: a {:?} axis of {} points and {} modes cannot be axis {} of {}",
                axis.name,
                axis.basis,
                axis.points,
                axis.modes(),
                a - first.min(a) + 1,
                domain.dimension
            )));
        }
    }
    Ok(())
}
