//! From the input to problems ready to be solved: weights reconciled, zero weights set aside, layout chosen.

use std::ops::Range;
use std::sync::Arc;

use super::backend::{Backend, Grid};
use super::distributed::PassData;
use super::geometry::{CostOfPoints, Geometry, Matrix, Replicated, Ring, Scale, Side};
use super::grid::{AxisCost, GridCost, GridPasses, LaplaceKernel, Threads};
use super::kernels::{Level, PointCost};
use super::measures::{self, Measure};
use super::passes::Precision;
use super::problem::{
    CostInput, DerivedResult, EpsilonUnit, Layout, MeasureInput, MethodInput, ProblemInput, Quantity,
};
use super::sweep;
use crate::error::Result;
use crate::input::Input;
use crate::math::elementary::{pow, remainder};
use crate::math::sum::tree_sum;
use crate::team::{Partition, Team};

/// Sums of given weights may differ by this much, relative to the larger, and are then rescaled.
const WEIGHT_SUM_TOLERANCE: f64 = 1e-6;

/// A standard deviation of the cost below this fraction of the largest is that of its rounding.
const CONSTANT: f64 = 64.0 * f64::EPSILON;
/// Sums, squares and logarithms of what is computed stay finite where its parts, times this, are.
const ROOM: f64 = 1024.0;
/// Above this ratio of the largest cost to ε, 2^52, exponents C/ε have no digits after the point.
const SHARPEST: f64 = 4_503_599_627_370_496.0;

/// Some atoms of a measure, in increasing order.
#[derive(Debug, Clone)]
pub enum Subset {
    All(usize),
    Some(Vec<usize>),
}

impl Subset {
    pub fn len(&self) -> usize {
        match self {
            Subset::All(n) => *n,
            Subset::Some(atoms) => atoms.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its `k`-th atom.
    pub fn atom(&self, k: usize) -> usize {
        match self {
            Subset::All(_) => k,
            Subset::Some(atoms) => atoms[k],
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).map(|k| self.atom(k))
    }

    /// Positions in the subset of the atoms in `range`.
    fn positions(&self, range: Range<usize>) -> Range<usize> {
        match self {
            Subset::All(_) => range,
            Subset::Some(atoms) => {
                atoms.partition_point(|&i| i < range.start)..atoms.partition_point(|&i| i < range.end)
            }
        }
    }
}

/// One side of the problem after zero weights were set aside.
pub struct Marginal {
    pub measure: Measure,
    /// Atoms with mass and their weights as solved for.
    pub kept: Subset,
    weights: Arc<[f64]>,
    /// Atoms without mass: they get their potential by a soft c-transform at the end.
    pub dropped: Subset,
    dropped_weights: Arc<[f64]>,
}

/// Total masses and what was done to the weights.
pub struct Weights {
    /// Balanced problems are solved at unit mass; results are scaled back by this.
    pub mass: f64,
    /// Σa and Σb of the problem as asked.
    pub masses: (f64, f64),
    pub notes: Vec<String>,
}

/// Brings both weights to the masses of the problem that is solved (methods page §0.2).
pub fn reconcile(input: &Input, problem: &ProblemInput, source: &mut Measure, target: &mut Measure) -> Result<Weights> {
    let balanced = problem.source_penalty.is_none() && problem.target_penalty.is_none();
    let mut notes = Vec::new();
    let total = |m: &Measure| tree_sum(m.n, |i| m.weights[i]);
    let scale = |m: &mut Measure, by: f64| m.weights = m.weights.iter().map(|w| w / by).collect();
    for (name, measure) in [("source", &mut *source), ("target", &mut *target)] {
        if problem.normalise.unwrap_or(!measure.given_weights) {
            let sum = total(measure);
            if measure.given_weights && (sum - 1.0).abs() > 1e-12 {
                notes.push(format!("{name} weights summed to {}; normalised to 1", shown(sum)));
            }
            scale(measure, sum);
        }
    }
    let (sa, sb) = (total(source), total(target));
    if !balanced {
        return Ok(Weights { mass: 1.0, masses: (sa, sb), notes });
    }
    if (sa - sb).abs() > WEIGHT_SUM_TOLERANCE * sa.max(sb) {
        let message = format!(
            "the source weights sum to {} and the target weights to {}: balanced transport needs equal sums (to 1e-6); \
             set normalise = true, or allow mass to change with source_penalty and target_penalty",
            shown(sa),
            shown(sb)
        );
        return Err(input.invalid("problem.target", message));
    }
    if sa != sb && (sa - sb).abs() > 1e-13 * sa {
        notes.push(format!("target weights summed to {}; rescaled to the source's {}", shown(sb), shown(sa)));
    }
    scale(source, sa);
    scale(target, sb);
    Ok(Weights { mass: sa, masses: (sa, sa), notes })
}

/// Refuses what leaves the range of f64 on the way: C/ε and ρ/ε, and the values, which are of the order of
/// Σa (C + ρ) + ε Σa Σb; and exponents C/ε that f64 cannot tell apart. `largest` is the largest |C|.
pub fn check_magnitudes(
    input: &Input,
    problem: &ProblemInput,
    masses: (f64, f64),
    epsilon: f64,
    largest: f64,
) -> Result<()> {
    let beyond = "leaves the range of double precision";
    let penalties = [problem.source_penalty, problem.target_penalty].into_iter().flatten();
    let worth = penalties.fold(largest, f64::max).max(epsilon);
    if !(ROOM / epsilon).is_finite() || !(ROOM * (worth / epsilon)).is_finite() {
        let message = format!(
            "ε is {epsilon:e} in units of the cost: the ratio of 1, or of costs and penalties up to {worth:e}, to it \
             {beyond}; scale the points, or give a larger epsilon"
        );
        return Err(input.invalid("problem.epsilon", message));
    }
    if largest / epsilon > SHARPEST {
        let message = format!(
            "ε is {epsilon:e} and the cost up to {largest:e}: double precision does not resolve ε beside costs more than \
             {SHARPEST:e} times as large; give a larger epsilon, or move the points closer"
        );
        return Err(input.invalid("problem.epsilon", message));
    }
    if !(ROOM * worth).is_finite() {
        // Whatever the weights; costs are smaller by far.
        let (key, what, remedy) = if worth == epsilon {
            ("problem.epsilon", "ε", "")
        } else if problem.source_penalty == Some(worth) {
            ("problem.source_penalty", "the penalty", ", or none, which constrains the marginal")
        } else {
            ("problem.target_penalty", "the penalty", ", or none, which constrains the marginal")
        };
        let message = format!("{what} is {worth:e}: a value of a few times that {beyond}; give a smaller one{remedy}");
        return Err(input.invalid(key, message));
    }
    let (a, b) = masses;
    let value = ROOM * a.max(b) * (worth / epsilon).max(1.0);
    if !(value * epsilon.max(1.0)).is_finite() || !(ROOM * a * b * epsilon.max(1.0)).is_finite() {
        let (key, sum) = if a >= b { ("problem.source", a) } else { ("problem.target", b) };
        let message = format!(
            "the weights sum to {sum:e}: its product with the cost or with the sum of the other weights {beyond}; scale \
             the weights, or set normalise = true"
        );
        return Err(input.invalid(key, message));
    }
    Ok(())
}

/// All digits of a sum, with an exponent where it would take rows of zeros without.
fn shown(sum: f64) -> String {
    if (1e-5..1e16).contains(&sum) { sum.to_string() } else { format!("{sum:e}") }
}

/// Sets atoms without mass aside; on grids they stay, for the sake of the axes.
pub fn keep(measure: Measure, grid: bool) -> Marginal {
    let (kept, dropped) = if grid || measure.weights.iter().all(|w| *w > 0.0) {
        (Subset::All(measure.n), Subset::Some(Vec::new()))
    } else {
        let (kept, dropped) = (0..measure.n).partition(|&i| measure.weights[i] > 0.0);
        (Subset::Some(kept), Subset::Some(dropped))
    };
    let weights = match &kept {
        Subset::All(_) => measure.weights.clone(),
        Subset::Some(atoms) => atoms.iter().map(|&i| measure.weights[i]).collect(),
    };
    // Atoms to be given a potential are the outputs of one pass, which asks for no weight of theirs.
    let dropped_weights = vec![1.0; dropped.len()].into();
    Marginal { measure, kept, weights, dropped, dropped_weights }
}

/// Everything the geometry of a pair of point sets needs.
pub struct Builder<'b> {
    pub input: &'b Input,
    pub problem: &'b ProblemInput,
    pub method: &'b MethodInput,
    pub level: Level,
    pub layout: Layout,
    pub team: &'b dyn Team,
}

/// A set of atoms of one measure: `atoms` of `measure`.
#[derive(Clone, Copy)]
pub struct Atoms<'m> {
    pub measure: &'m Measure,
    pub subset: &'m Subset,
    pub weights: &'m Arc<[f64]>,
}

impl Marginal {
    pub fn kept(&self) -> Atoms<'_> {
        Atoms { measure: &self.measure, subset: &self.kept, weights: &self.weights }
    }

    pub fn dropped(&self) -> Atoms<'_> {
        Atoms { measure: &self.measure, subset: &self.dropped, weights: &self.dropped_weights }
    }

    /// Some coordinates of all atoms with mass, one row per atom, whole on every rank.
    pub fn coordinates(&self, which: Range<usize>, team: &dyn Team) -> Vec<f64> {
        let (d, rows) = (self.measure.dimension, self.measure.rows.clone());
        let mut mine = Vec::new();
        for k in self.kept.positions(rows.clone()) {
            let at = (self.kept.atom(k) - rows.start) * d;
            mine.extend_from_slice(&self.measure.points[at..at + d][which.clone()]);
        }
        if team.size() == 1 { mine } else { team.gather(&mine) }
    }
}

impl Builder<'_> {
    pub fn point_cost(&self) -> Option<PointCost> {
        Some(match self.problem.cost {
            CostInput::SquaredEuclidean { period: None } => PointCost::Squared,
            CostInput::SquaredEuclidean { period: Some(period) } => PointCost::SquaredTorus(period),
            CostInput::Euclidean {} => PointCost::Euclidean,
            CostInput::EuclideanPower { power } => PointCost::Power(power),
            CostInput::Cosine {} => PointCost::Cosine,
            CostInput::Matrix { .. } => return None,
        })
    }

    /// Passes between two sets of atoms at ε.
    pub fn passes(&self, source: Atoms<'_>, target: Atoms<'_>, epsilon: f64, problem: usize) -> Result<Backend> {
        if let (Some(x), Some(y)) = (&source.measure.axes, &target.measure.axes)
            && separable(self.problem, true)
        {
            return Ok(self.grid(x, y, source, target, epsilon, problem));
        }
        let (geometry, cost_range) = self.geometry(source, target)?;
        let scale = Scale { epsilon, precision: Precision::F64 };
        let bandwidth = self.method.bandwidth.unwrap_or(0.1 * self.diameter(target));
        let stored_limit = self.method.stored_kernel_mib.saturating_mul(1 << 20);
        let (a, b) = (source.weights.clone(), target.weights.clone());
        let data = PassData::new(geometry, a, b, cost_range, scale, bandwidth, stored_limit, problem);
        Ok(Backend::Points(Box::new(data)))
    }

    fn grid(
        &self,
        x: &[Vec<f64>],
        y: &[Vec<f64>],
        source: Atoms<'_>,
        target: Atoms<'_>,
        epsilon: f64,
        problem: usize,
    ) -> Backend {
        let cost = match self.problem.cost {
            CostInput::SquaredEuclidean { period: Some(period) } => {
                GridCost::new(x.iter().zip(y).map(|(x, y)| periodic_axis(x, y, period)).collect())
            }
            _ => GridCost::power(x, y, 2.0),
        };
        let laplace = LaplaceKernel::new(y, self.method.bandwidth.unwrap_or(0.1 * self.diameter(target)));
        let (a, b) = (source.weights.to_vec(), target.weights.to_vec());
        let passes = GridPasses::new(cost, a, b, epsilon, laplace, self.level, Threads).numbered(problem);
        Backend::Grid(Box::new(Grid { passes: Some(passes) }))
    }

    fn geometry(&self, source: Atoms<'_>, target: Atoms<'_>) -> Result<(Box<dyn Geometry>, (f64, f64))> {
        let (n, m) = (source.subset.len(), target.subset.len());
        let Some(cost) = self.point_cost() else {
            return self.matrix(source, target);
        };
        let dimension = source.measure.dimension;
        let (source_box, target_box) = (self.bounding_box(source), self.bounding_box(target));
        let range = cost_bounds(cost, &source_box, &target_box);
        let (mut low, mut high): (Vec<f64>, Vec<f64>) =
            source_box.iter().zip(&target_box).map(|(s, t)| (s.0.min(t.0), s.1.max(t.1))).unzip();
        let (mut x, mut y) = (self.own_points(source), self.own_points(target));
        if let PointCost::SquaredTorus(period) = cost
            && spans_periods(&low, &high, period)
        {
            (x, y) = in_one_period(&x, &y, period);
            (low, high) = (vec![-0.5 * period; dimension], vec![0.5 * period; dimension]);
        }
        let cost = CostOfPoints { cost, dimension, level: self.level, low, high };
        let geometry: Box<dyn Geometry> = match self.layout {
            Layout::Ring => {
                let to_ring = |atoms: Atoms<'_>, mine: &[f64]| {
                    let from =
                        |rank| atoms.subset.positions(Partition::new(atoms.measure.n, rank, self.team.size()).mine());
                    let to = |rank| Ring::owned_points(atoms.subset.len(), rank, self.team.size());
                    redistribute(self.team, dimension, mine, &from, &to).into()
                };
                Box::new(Ring::new(cost, n, m, to_ring(source, &x), to_ring(target, &y), self.team))
            }
            _ => Box::new(Replicated::new(cost, self.all_points(x), self.all_points(y))),
        };
        Ok((geometry, range))
    }

    fn own_points(&self, atoms: Atoms<'_>) -> Arc<[f64]> {
        let (d, rows) = (atoms.measure.dimension, atoms.measure.rows.clone());
        match atoms.subset {
            Subset::All(_) => atoms.measure.points.clone(),
            some => {
                let point = |k: usize| {
                    let at = some.atom(k) - rows.start;
                    &atoms.measure.points[at * d..(at + 1) * d]
                };
                some.positions(rows.clone()).flat_map(point).copied().collect()
            }
        }
    }

    /// The points of all ranks.
    fn all_points(&self, mine: Arc<[f64]>) -> Arc<[f64]> {
        if self.team.size() == 1 { mine } else { self.team.gather(&mine).into() }
    }

    /// (low, high) per axis over all ranks.
    fn bounding_box(&self, atoms: Atoms<'_>) -> Vec<(f64, f64)> {
        let d = atoms.measure.dimension;
        let mut mine = vec![(f64::INFINITY, f64::NEG_INFINITY); d];
        for point in atoms.measure.points.chunks(d.max(1)) {
            for (x, (low, high)) in point.iter().zip(&mut mine) {
                *low = low.min(*x);
                *high = high.max(*x);
            }
        }
        let flat: Vec<f64> = mine.iter().flat_map(|&(low, high)| [-low, high]).collect();
        let all = self.team.gather(&flat);
        let largest = |k: usize| all.iter().skip(k).step_by(2 * d).copied().fold(f64::NEG_INFINITY, f64::max);
        (0..d).map(|k| (-largest(2 * k), largest(2 * k + 1))).collect()
    }

    /// Of the box of the points, which on the torus is no longer than a period.
    fn diameter(&self, atoms: Atoms<'_>) -> f64 {
        let longest =
            if let Some(PointCost::SquaredTorus(period)) = self.point_cost() { period } else { f64::INFINITY };
        let squared: f64 = self.bounding_box(atoms).iter().map(|(low, high)| (high - low).min(longest).powi(2)).sum();
        if squared > 0.0 { squared.sqrt() } else { 1.0 }
    }

    /// The cost matrix from its file: own rows are read, own columns come by exchange.
    fn matrix(&self, source: Atoms<'_>, target: Atoms<'_>) -> Result<(Box<dyn Geometry>, (f64, f64))> {
        let (team, n, m) = (self.team, source.subset.len(), target.subset.len());
        let owned = sweep::owned_rows(n, team.rank(), team.size());
        let rows = team.agree(self.read_matrix_rows(source, target, owned.clone()))?;
        let columns = Partition::new(m, team.rank(), team.size());
        let send: Vec<Vec<f64>> = (0..team.size())
            .map(|q| columns.of(q).flat_map(|j| rows.chunks(m).map(move |row| row[j])).collect())
            .collect();
        let received = team.exchange(&send);
        // From rank r: its rows of Cᵀ restricted to my columns, one column after another.
        let mut transposed = Vec::with_capacity(columns.mine().len() * n);
        for j in 0..columns.mine().len() {
            for (r, part) in received.iter().enumerate() {
                let len = sweep::owned_rows(n, r, team.size()).len();
                transposed.extend_from_slice(&part[j * len..(j + 1) * len]);
            }
        }
        let low = -team.max(-rows.iter().copied().fold(f64::INFINITY, f64::min));
        let high = team.max(rows.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        Ok((Box::new(Matrix::new(n, m, rows, transposed, self.level)), (low, high)))
    }

    fn read_matrix_rows(&self, source: Atoms<'_>, target: Atoms<'_>, owned: Range<usize>) -> Result<Vec<f64>> {
        let CostInput::Matrix { file, dataset } = &self.problem.cost else { unreachable!("only a matrix is read") };
        let key = "problem.cost.file";
        let array = measures::open(self.input, key, file, dataset.as_deref())?;
        let (n, m) = (source.measure.n, target.measure.n);
        if array.shape() != [n, m] {
            let message =
                format!("the matrix has shape {:?}, but there are {n} sources and {m} targets", array.shape());
            return Err(self.input.invalid(key, message));
        }
        let mut rows = Vec::with_capacity(owned.len() * target.subset.len());
        for i in owned.map(|k| source.subset.atom(k)) {
            let row = array.read_rows(i..i + 1).map_err(|message| self.input.invalid(key, message))?;
            if let Some(j) = row.iter().position(|c| !c.is_finite()) {
                return Err(self.input.invalid(key, format!("entry ({i}, {j}) is {}: costs must be finite", row[j])));
            }
            rows.extend(target.subset.iter().map(|j| row[j]));
        }
        Ok(rows)
    }

    /// ε in units of the cost: 0 where it is relative to the spread of a cost that is constant but for its rounding.
    pub fn epsilon(&self, backend: &mut Backend) -> f64 {
        let (value, unit) = (self.problem.epsilon, self.problem.epsilon_relative_to);
        let spread = unit == EpsilonUnit::StandardDeviation;
        let (mean, variance, (low, high)) = match backend {
            _ if unit == EpsilonUnit::Absolute => return value,
            Backend::Points(data) => {
                let mean = self.cost_average(data, 0.0, |[_, _, sum, _]| sum);
                // About the mean: squares of costs far from zero would cancel.
                let variance = if spread { self.cost_average(data, mean, |[.., squares]| squares) } else { 0.0 };
                (mean, variance, data.cost_range)
            }
            Backend::Grid(grid) => {
                let cost = grid.passes.as_ref().expect("not in use").cost();
                let (mean, variance) = cost.statistics();
                (mean, variance, cost.range())
            }
        };
        if !spread {
            return value * mean;
        }
        let deviation = variance.sqrt();
        value * if deviation <= CONSTANT * low.abs().max(high.abs()) { 0.0 } else { deviation }
    }

    /// See [`measures::sum_of_places`]: of the entries of a cost matrix in the rows of this rank.
    pub fn own_costs(&self, backend: &mut Backend) -> u64 {
        use rayon::prelude::*;
        let Backend::Points(data) = backend else { unreachable!("a matrix is not on a grid") };
        let (m, owned) = (data.geometry.m(), data.geometry.owned(Side::Source, self.team));
        let scale = Scale { epsilon: 1.0, precision: Precision::F64 };
        let mut sum = 0u64;
        data.geometry.blocks(Side::Source, scale, self.team, &mut |block| {
            let row = |i: usize| {
                let costs = (0..block.columns.len()).map(|j| block.rows.cost(i - block.base, j));
                measures::sum_of_places(measures::COSTS, i * m + block.columns.start, costs)
            };
            let part = owned.clone().into_par_iter().map(row).reduce(|| 0, u64::wrapping_add);
            sum = sum.wrapping_add(part);
        });
        sum
    }

    /// The mean over all entries of the cost, unweighted as in other codes, of what `of` takes from the moments of a row
    /// (see [`super::kernels::Rows::cost_moments`]).
    fn cost_average(&self, data: &mut PassData, about: f64, of: impl Fn([f64; 4]) -> f64 + Sync) -> f64 {
        use rayon::prelude::*;
        let (n, m) = (data.geometry.n(), data.geometry.m());
        let owned = data.geometry.owned(Side::Source, self.team);
        let mut mine = vec![0.0; owned.len()];
        let scale = Scale { epsilon: 1.0, precision: Precision::F64 };
        data.geometry.blocks(Side::Source, scale, self.team, &mut |block| {
            mine.par_iter_mut().zip(owned.clone().into_par_iter()).for_each(|(sum, i)| {
                *sum += of(block.rows.cost_moments(block.local(&(i..i + 1)), about));
            });
        });
        let sums = self.team.gather(&mine);
        tree_sum(n, |i| sums[i]) / (n as f64 * m as f64)
    }
}

/// Bounds of c(x, y) for x and y in boxes, widened by the rounding of the points themselves.
fn cost_bounds(cost: PointCost, x: &[(f64, f64)], y: &[(f64, f64)]) -> (f64, f64) {
    let (mut near, mut far) = (0.0, 0.0);
    for ((x_low, x_high), (y_low, y_high)) in x.iter().zip(y) {
        let nearest = (x_low - y_high).max(y_low - x_high).max(0.0);
        let farthest = (x_high - y_low).max(y_high - x_low);
        near += nearest * nearest;
        far += farthest * farthest;
    }
    match cost {
        PointCost::Squared => (near, far),
        PointCost::SquaredTorus(period) => (0.0, far.min(x.len() as f64 * 0.25 * period * period)),
        PointCost::Euclidean => (near.sqrt(), far.sqrt()),
        PointCost::Power(p) => (pow(near, 0.5 * p), pow(far, 0.5 * p)),
        PointCost::Cosine => (0.0, 2.0),
    }
}

/// |x − y|² along an axis of two grids with this period.
fn periodic_axis(x: &[f64], y: &[f64], period: f64) -> AxisCost {
    let reduced = |axis: &[f64]| axis.iter().map(|c| remainder(*c, period)).collect::<Vec<f64>>();
    let wrapped = |x: f64, y: f64| (x - y) - period * ((x - y) / period).round();
    let (x, y) = (reduced(x), reduced(y));
    let entries = x.iter().flat_map(|x| y.iter().map(move |y| wrapped(*x, *y).powi(2)));
    AxisCost::new(x.len(), y.len(), entries.collect())
}

/// Whether points of this box may lie more than a period apart along an axis: their differences would round by more
/// than their costs, of at most ¼ period² per axis, are certified to.
fn spans_periods(low: &[f64], high: &[f64], period: f64) -> bool {
    low.iter().zip(high).any(|(low, high)| high - low > period)
}

/// Both clouds with every coordinate less its whole periods, exactly. One cloud that is both stays one.
fn in_one_period(x: &Arc<[f64]>, y: &Arc<[f64]>, period: f64) -> (Arc<[f64]>, Arc<[f64]>) {
    let moved = |points: &Arc<[f64]>| points.iter().map(|c| remainder(*c, period)).collect::<Arc<[f64]>>();
    let from = moved(x);
    let to = if Arc::ptr_eq(x, y) { from.clone() } else { moved(y) };
    (from, to)
}

/// Moves rows of width `d` from the ranges `from(rank)` to the ranges `to(rank)`, both in rank order over 0..n.
fn redistribute(
    team: &dyn Team,
    d: usize,
    mine: &[f64],
    from: &dyn Fn(usize) -> Range<usize>,
    to: &dyn Fn(usize) -> Range<usize>,
) -> Vec<f64> {
    let held = from(team.rank());
    let send: Vec<Vec<f64>> = (0..team.size())
        .map(|q| {
            let (start, end) = (to(q).start.max(held.start), to(q).end.min(held.end));
            if start < end { mine[(start - held.start) * d..(end - held.start) * d].to_vec() } else { Vec::new() }
        })
        .collect();
    team.exchange(&send).concat()
}

/// Checks that need both measures but no data of the cost.
pub fn check_pair(
    input: &Input,
    problem: &ProblemInput,
    source: &measures::Outline,
    target: &measures::Outline,
) -> Result<()> {
    let matrix = matches!(problem.cost, CostInput::Matrix { .. });
    for (key, side) in [("problem.source", source), ("problem.target", target)] {
        if side.dimension == 0 && !matrix {
            return Err(
                input.invalid(key, "abstract atoms need a cost given as a matrix (problem.cost.kind = \"matrix\")")
            );
        }
    }
    if !matrix && source.dimension != target.dimension {
        let message = format!("source points have dimension {}, target points {}", source.dimension, target.dimension);
        return Err(input.invalid("problem.target", message));
    }
    if let (MeasureInput::ImageColours { space: from, .. }, MeasureInput::ImageColours { space: to, .. }) =
        (&problem.source, &problem.target)
        && from != to
    {
        let message = "both palettes must have coordinates in one space, problem.source.space";
        return Err(input.invalid("problem.target.space", message));
    }
    if target.dimension == 0 && problem.results.contains(&DerivedResult::BarycentricMap) {
        let message = "\"barycentric_map\" is the mean of target points, and the target's atoms have none: allowed are \
                       \"gradients\" and \"plan_entries\", or a target of points";
        return Err(input.invalid("problem.results", message));
    }
    if matrix && problem.quantity == Quantity::Divergence {
        let message = "the divergence needs costs within each measure too: give points and a cost of points";
        return Err(input.invalid("problem.quantity", message));
    }
    if let CostInput::Matrix { file, dataset } = &problem.cost {
        let array = measures::open(input, "problem.cost.file", file, dataset.as_deref())?;
        if array.shape() != [source.n, target.n] {
            let message = format!(
                "the matrix has shape {:?}, but there are {} sources and {} targets",
                array.shape(),
                source.n,
                target.n
            );
            return Err(input.invalid("problem.cost.file", message));
        }
    }
    Ok(())
}

/// The layout that `auto` stands for: replicated points while all of them take less than an eighth of what a rank has.
pub fn choose_layout(asked: Layout, point_bytes: u64, memory_per_rank: u64) -> Layout {
    match asked {
        Layout::Auto if point_bytes > memory_per_rank / 8 => Layout::Ring,
        Layout::Auto => Layout::Replicated,
        given => given,
    }
}

/// Lengths of points whose squares, and those of their coordinates that matter, are numbers in full precision.
const LENGTHS: std::ops::RangeInclusive<f64> = 1e-140..=1e150;

/// Refuses a cosine cost of a point at the origin, or too near or too far from it to compute with.
pub fn check_norms(input: &Input, key: &str, measure: &Measure) -> Result<()> {
    let largest = |p: &[f64]| p.iter().fold(0.0, |l: f64, x| l.max(x.abs()));
    let mut points = measure.points.chunks(measure.dimension.max(1)).map(largest).enumerate();
    let Some((i, size)) = points.find(|(_, size)| !LENGTHS.contains(size)) else { return Ok(()) };
    let which = measure.rows.start + i;
    let message = if size == 0.0 {
        format!("point {which} is the origin: the cosine cost needs points with a direction")
    } else {
        let (low, high) = (LENGTHS.start(), LENGTHS.end());
        format!(
            "the largest coordinate of point {which} is {size:e} in size: the cosine cost needs {low:e} to {high:e}; \
             directions stay if points are scaled"
        )
    };
    Err(input.invalid(key, message))
}

/// The square of a larger cost may overflow in sums.
const LARGEST_COST: f64 = 1e150;

/// Refuses costs whose (low, high) `range` is too wide to compute with, at the key that makes them large.
pub fn check_costs(input: &Input, problem: &ProblemInput, range: (f64, f64)) -> Result<f64> {
    let largest = range.0.abs().max(range.1.abs());
    if largest <= LARGEST_COST {
        return Ok(largest);
    }
    let key = match problem.cost {
        CostInput::Matrix { .. } => "problem.cost.file",
        CostInput::EuclideanPower { .. } => "problem.cost.power",
        _ => "problem.cost",
    };
    let message =
        format!("costs reach {largest:e}: they must be at most {LARGEST_COST:e}; rescale the points or costs");
    Err(input.invalid(key, message))
}

/// What to tell where gradients are asked for and there are none in the points.
pub fn missing_gradients(problem: &ProblemInput, grid: bool) -> Option<String> {
    let why = match problem.cost {
        CostInput::Matrix { .. } => "a cost given as a matrix does not say how it follows the points",
        _ if grid => "the points of grids with a separable cost do not move",
        _ => return None,
    };
    let asked = problem.results.contains(&DerivedResult::Gradients);
    asked.then(|| format!("gradients are with respect to the weights alone: {why}"))
}

/// Whether the cost is a sum over the axes of two grids.
pub fn separable(problem: &ProblemInput, grids: bool) -> bool {
    grids && matches!(problem.cost, CostInput::SquaredEuclidean { .. })
}
