//! The passes of the methods on a pair of grids.
//!
//! Everything is done in binary logarithms of positive numbers, axis by axis; sums of numbers of both signs are
//! differences of two such passes. Nothing is kept from one pass to the next but buffers.

use std::f64::consts::{LN_2, LOG2_E};
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::super::largest::{Largest, merged};
use super::super::passes::{Passes, Precision};
use super::axis::{AxisKernel, Input, LINES_PER_PANEL, Output, extent};
use super::cost::{AxisCost, GridCost};
use super::isa::Level;
use super::laplace::LaplaceKernel;
use super::lines::Lines;
use super::real::{binary_log, binary_power};
use super::tropical::min_plus;
use crate::crew::each_chunk;
use crate::error::Result;
use crate::state::{Name, Walk};

/// Values of a vector that a thread takes at a time.
const PIECE: usize = 4096;

/// The passes of entropic transport between two grids with a separable cost. Weights may be zero.
pub struct GridPasses<L> {
    cost: GridCost,
    laplace: LaplaceKernel,
    weights: [Vec<f64>; 2],
    log2_weights: [Arc<[f64]>; 2],
    /// (smallest, largest) of each, −∞ aside.
    weight_extents: [(f64, f64); 2],
    epsilon: f64,
    precision: Precision,
    level: Level,
    lines: L,
    /// The different axis matrices of both directions, and which one each axis uses, by [`Side`].
    matrices: Vec<AxisCost>,
    uses: [Vec<usize>; 2],
    kernels: Vec<AxisKernel>,
    /// Of target-to-source passes; made when first asked for.
    weighted: Vec<AxisKernel>,
    entries: f64,
    problem: usize,
    current: Vec<f64>,
    next: Vec<f64>,
}

/// Where a pass ends: at the source (rows) or the target (columns).
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Source = 0,
    Target = 1,
}

impl Side {
    fn other(self) -> Side {
        if self == Side::Source { Side::Target } else { Side::Source }
    }
}

impl<L: Lines> GridPasses<L> {
    /// `a` and `b` are weights ≥ 0 in C order of the source and the target grid, `laplace` the reproducing kernel on
    /// the target grid, `lines` who computes; all ranks give the same `level`.
    pub fn new(
        cost: GridCost,
        a: Vec<f64>,
        b: Vec<f64>,
        epsilon: f64,
        laplace: LaplaceKernel,
        level: Level,
        lines: L,
    ) -> Self {
        assert_eq!((a.len(), b.len()), (cost.n(), cost.m()));
        let log2 = |w: &[f64]| w.iter().map(|&w| binary_log(w)).collect::<Arc<[f64]>>();
        let mut matrices: Vec<AxisCost> = Vec::new();
        // Equal axes share their matrix and, by symmetry, both directions: a smaller working set.
        let mut find = |c: AxisCost| {
            matrices.iter().position(|have| *have == c).unwrap_or_else(|| {
                matrices.push(c);
                matrices.len() - 1
            })
        };
        let to_source = cost.axes().iter().map(|c| find(c.clone())).collect();
        let to_target = cost.axes().iter().map(|c| find(c.transposed())).collect();
        let log2_weights = [log2(&a), log2(&b)];
        let mut passes = GridPasses {
            weight_extents: [extent(&log2_weights[0]), extent(&log2_weights[1])],
            log2_weights,
            weights: [a, b],
            cost,
            laplace,
            epsilon,
            precision: Precision::F64,
            level,
            lines,
            matrices,
            uses: [to_source, to_target],
            kernels: Vec::new(),
            weighted: Vec::new(),
            entries: 0.0,
            problem: 0,
            current: Vec::new(),
            next: Vec::new(),
        };
        passes.set_epsilon(epsilon);
        passes
    }

    /// The same passes with other workers.
    pub fn with_lines<M>(self, lines: M) -> GridPasses<M> {
        GridPasses {
            cost: self.cost,
            laplace: self.laplace,
            weights: self.weights,
            log2_weights: self.log2_weights,
            weight_extents: self.weight_extents,
            epsilon: self.epsilon,
            precision: self.precision,
            level: self.level,
            matrices: self.matrices,
            uses: self.uses,
            kernels: self.kernels,
            weighted: self.weighted,
            entries: self.entries,
            current: self.current,
            next: self.next,
            problem: self.problem,
            lines,
        }
    }

    /// Names the state of problem `k` of a run: (a, b), (a, a) or (b, b).
    pub fn numbered(self, problem: usize) -> Self {
        GridPasses { problem, ..self }
    }

    /// Sets the count of entries back, after an abandoned step.
    pub fn set_entries(&mut self, entries: f64) {
        self.entries = entries;
    }

    pub fn cost(&self) -> &GridCost {
        &self.cost
    }

    /// out_i = finish(i, z_i), z = log2 of the kernel applied to 2^(what `start` says), with one axis weighted or none.
    fn apply(
        &mut self,
        to: Side,
        precision: Precision,
        weighted: Option<usize>,
        start: Start,
        finish: impl Fn(usize, f64) -> f64 + Sync,
        out: &mut [f64],
    ) -> Result<()> {
        let (level, last) = (self.level, self.cost.axes().len() - 1);
        let log2_weights = &self.log2_weights[to.other() as usize];
        let mut points = log2_weights.len();
        let mut bounds = match start {
            Start::Mass(potential) => {
                let ((a, b), (c, d)) = (self.weight_extents[to.other() as usize], extent(potential));
                (a + c * LOG2_E, b + d * LOG2_E)
            }
            Start::Current => extent(&self.current),
        };
        let mut format = Output::Logarithms;
        for (axis, &matrix) in self.uses[to as usize].iter().enumerate() {
            let kernel = if weighted == Some(axis) { &self.weighted[axis] } else { &self.kernels[matrix] };
            let (lines, width) = (points / kernel.inputs(), kernel.outputs());
            let input = match (axis, start, format) {
                (0, Start::Mass(potential), _) => Input::Mass { log2_weights, potential },
                (_, _, Output::Logarithms) => Input::Logarithms(&self.current),
                (_, _, Output::Scaled { exponent }) => Input::Scaled { values: &self.current, exponent },
            };
            bounds = kernel.bounds(bounds);
            format = if axis < last { intermediate(bounds) } else { Output::Logarithms };
            if axis < last {
                self.next.resize(lines * width, 0.0);
                let compute = |range: Range<usize>, out: &mut [f64]| {
                    kernel.pass(level, precision, (input, format), range, out);
                };
                self.lines.run(lines, width, &compute, &mut self.next)?;
                std::mem::swap(&mut self.current, &mut self.next);
            } else {
                let compute = |range: Range<usize>, out: &mut [f64]| {
                    // A panel at a time, so that `finish` finds its values in cache.
                    for (first, out) in
                        range.clone().step_by(LINES_PER_PANEL).zip(out.chunks_mut(LINES_PER_PANEL * width))
                    {
                        let lines = first..range.end.min(first + LINES_PER_PANEL);
                        kernel.pass(level, precision, (input, format), lines, out);
                        out.iter_mut().enumerate().for_each(|(r, y)| *y = finish(first * width + r, *y));
                    }
                };
                self.lines.run(lines, width, &compute, out)?;
            }
            points = lines * width;
            self.entries += (lines * kernel.inputs() * width) as f64;
        }
        Ok(())
    }

    fn soft(&mut self, to: Side, potential: &[f64], out: &mut [f64]) -> Result<()> {
        self.apply(to, self.precision, None, Start::Mass(potential), |_, z| -LN_2 * z, out)
    }

    /// out[i·width + k] += Σ_j P_ij v[j·width + k], with a weighted axis or none.
    #[allow(clippy::too_many_arguments)]
    fn plan(
        &mut self,
        to: Side,
        precision: Precision,
        weighted: Option<usize>,
        potentials: [&[f64]; 2],
        v: &[f64],
        width: usize,
        out: &mut [f64],
    ) -> Result<()> {
        let (here, there) = (potentials[to as usize], potentials[to.other() as usize]);
        let log2_here = self.log2_weights[to as usize].clone();
        self.spread(to, precision, weighted, |i| log_of_mass(log2_here[i], here[i]), there, v, width, out)
    }

    /// out[i·width + k] += 2^here(i) Σ_j w_j e^(there_j − C_ij/ε) v[j·width + k], w the weights of the other side.
    #[allow(clippy::too_many_arguments)]
    fn spread(
        &mut self,
        to: Side,
        precision: Precision,
        weighted: Option<usize>,
        here: impl Fn(usize) -> f64 + Sync,
        there: &[f64],
        v: &[f64],
        width: usize,
        out: &mut [f64],
    ) -> Result<()> {
        let log2_there = self.log2_weights[to.other() as usize].clone();
        let mut part = vec![0.0; self.log2_weights[to as usize].len()];
        for k in 0..width {
            for sign in [1.0, -1.0] {
                if !v.iter().skip(k).step_by(width).any(|&v| v * sign > 0.0) {
                    continue;
                }
                self.current.resize(there.len(), 0.0);
                each(&mut self.current, |j, x| {
                    let v = sign * v[j * width + k];
                    *x = if v > 0.0 { log_of_mass(log2_there[j], there[j]) + binary_log(v) } else { f64::NEG_INFINITY };
                });
                let finish = |i, z| binary_power(here(i) + z);
                self.apply(to, precision, weighted, Start::Current, finish, &mut part)?;
                for (y, p) in out.iter_mut().skip(k).step_by(width).zip(&part) {
                    *y += sign * p;
                }
            }
        }
        Ok(())
    }

    fn min(&mut self, to: Side, potential: &[f64], out: &mut [f64]) -> Result<()> {
        self.current.resize(potential.len(), 0.0);
        each(&mut self.current, |i, x| *x = -potential[i]);
        for &matrix in &self.uses[to as usize] {
            let cost = &self.matrices[matrix];
            let lines = self.current.len() / cost.inputs();
            self.next.resize(lines * cost.outputs(), 0.0);
            let (level, input) = (self.level, &self.current);
            let compute = |range, out: &mut [f64]| min_plus(cost, level, input, range, out);
            self.lines.run(lines, cost.outputs(), &compute, &mut self.next)?;
            std::mem::swap(&mut self.current, &mut self.next);
        }
        out.copy_from_slice(&self.current);
        Ok(())
    }
}

/// Where a pass starts: at the weights times e^potential, or at the logarithms in `current`.
#[derive(Clone, Copy)]
enum Start<'a> {
    Mass(&'a [f64]),
    Current,
}

/// Values between axes, given bounds of their logarithms: as they are where f64 holds them.
fn intermediate((low, high): (f64, f64)) -> Output {
    if high - low < 1950.0 { Output::Scaled { exponent: high.ceil() as i32 - 1000 } } else { Output::Logarithms }
}

/// log2 (w e^potential); zero weight is zero mass whatever the potential.
#[inline(always)]
fn log_of_mass(log2_weight: f64, potential: f64) -> f64 {
    let x = potential * LOG2_E + log2_weight;
    if log2_weight == f64::NEG_INFINITY { f64::NEG_INFINITY } else { x }
}

/// f(index, value) for every value, in pieces if there are threads to share them.
fn each(values: &mut [f64], f: impl Fn(usize, &mut f64) + Sync) {
    each_chunk(values, PIECE, |piece, values| {
        for (r, x) in values.iter_mut().enumerate() {
            f(piece * PIECE + r, x);
        }
    });
}

/// Σ w over all axes but `axis`, compensated.
fn marginal(w: &[f64], shape: &[usize], axis: usize) -> Vec<f64> {
    let inner: usize = shape[axis + 1..].iter().product();
    let n = shape[axis];
    (0..n)
        .map(|i| {
            compensated(w.chunks_exact(n * inner).flat_map(|slab| slab[i * inner..(i + 1) * inner].iter().copied()))
        })
        .collect()
}

/// Sum with its rounding errors summed beside it [Neumaier1974].
fn compensated(terms: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0);
    for x in terms {
        let s = sum + x;
        lost += if sum.abs() >= x.abs() { (sum - s) + x } else { (x - s) + sum };
        sum = s;
    }
    sum + lost
}

impl<L: Lines> Passes for GridPasses<L> {
    fn n(&self) -> usize {
        self.cost.n()
    }

    fn m(&self) -> usize {
        self.cost.m()
    }

    fn a(&self) -> &[f64] {
        &self.weights[0]
    }

    fn b(&self) -> &[f64] {
        &self.weights[1]
    }

    fn epsilon(&self) -> f64 {
        self.epsilon
    }

    fn set_epsilon(&mut self, epsilon: f64) {
        self.epsilon = epsilon;
        self.kernels = self.matrices.iter().map(|c| c.kernel(epsilon)).collect();
        self.weighted.clear();
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    fn cost_range(&self) -> (f64, f64) {
        self.cost.range()
    }

    fn soft_rows(&mut self, phi: &[f64], out: &mut [f64]) -> Result<()> {
        self.soft(Side::Source, phi, out)
    }

    fn soft_cols(&mut self, psi: &[f64], out: &mut [f64]) -> Result<()> {
        self.soft(Side::Target, psi, out)
    }

    fn row_then_col(
        &mut self,
        phi: &[f64],
        rule: &(dyn Fn(usize, f64) -> f64 + Sync),
        psi: &mut [f64],
        x: &mut [f64],
    ) -> Result<()> {
        self.apply(Side::Source, self.precision, None, Start::Mass(phi), |i, z| rule(i, -LN_2 * z), psi)?;
        self.soft(Side::Target, psi, x)
    }

    fn plan_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        out.fill(0.0);
        self.plan(Side::Source, self.precision, None, [psi, phi], v, width, out)
    }

    fn plan_cols(&mut self, psi: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        out.fill(0.0);
        self.plan(Side::Target, self.precision, None, [psi, phi], v, width, out)
    }

    fn conditional_rows(&mut self, t: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        out.fill(0.0);
        self.spread(Side::Source, self.precision, None, |i| t[i] * LOG2_E, phi, v, width, out)
    }

    /// Σ_k of the plan with C^(k) − min C^(k) on axis k, plus Σ_k min C^(k) times the plan itself; in f64.
    fn plan_cost_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], out: &mut [f64]) -> Result<()> {
        if self.weighted.is_empty() {
            self.weighted = self.cost.axes().iter().map(|c| c.weighted_kernel(self.epsilon)).collect();
        }
        out.fill(0.0);
        let (least, _) = self.cost_range();
        if least != 0.0 {
            self.plan(Side::Source, Precision::F64, None, [psi, phi], v, 1, out)?;
            out.iter_mut().for_each(|y| *y *= least);
        }
        for axis in 0..self.cost.axes().len() {
            self.plan(Side::Source, Precision::F64, Some(axis), [psi, phi], v, 1, out)?;
        }
        Ok(())
    }

    /// From the marginals of u and v along each axis; the relative error is below 2^−50 for u, v, C ≥ 0.
    fn bilinear_cost(&mut self, u: &[f64], v: &[f64]) -> Result<f64> {
        let (n, m) = (self.cost.source_shape(), self.cost.target_shape());
        let axes = self.cost.axes().iter().enumerate().map(|(k, c)| {
            let (u, v) = (marginal(u, &n, k), marginal(v, &m, k));
            let rows = u.iter().zip(c.cost().chunks_exact(c.inputs()));
            compensated(rows.map(|(u, c)| u * compensated(c.iter().zip(&v).map(|(c, v)| c * v))))
        });
        Ok(compensated(axes))
    }

    fn min_rows(&mut self, g: &[f64], out: &mut [f64]) -> Result<()> {
        self.min(Side::Source, g, out)
    }

    fn min_cols(&mut self, f: &[f64], out: &mut [f64]) -> Result<()> {
        self.min(Side::Target, f, out)
    }

    fn reproducing_kernel(&mut self, w: &[f64], out: &mut [f64]) -> Result<()> {
        self.laplace.apply(w, out);
        Ok(())
    }

    /// The points of a grid do not move: no gradient in them.
    fn dimension(&self) -> Option<usize> {
        None
    }

    fn gradient_rows(&mut self, _psi: &[f64], _phi: &[f64], _out: &mut [f64]) -> Result<()> {
        unreachable!("only called where there is a dimension")
    }

    fn gradient_cols(&mut self, _psi: &[f64], _phi: &[f64], _out: &mut [f64]) -> Result<()> {
        unreachable!("only called where there is a dimension")
    }

    /// Entry by entry, O(n m): the cost of the first axes is summed once per run of the last.
    fn largest_entries(&mut self, psi: &[f64], phi: &[f64], count: usize) -> Result<Vec<(u64, u64, f64)>> {
        let log = |side: Side, potential: &[f64]| -> Vec<f64> {
            let log2 = &self.log2_weights[side as usize];
            potential.iter().zip(log2.iter()).map(|(p, w)| LN_2 * log_of_mass(*w, *p)).collect()
        };
        let (s, h) = (log(Side::Source, psi), log(Side::Target, phi));
        let last = self.cost.axes().last().expect("a grid has an axis");
        let (width, epsilon) = (last.inputs(), self.epsilon);
        let row = |mut largest: Largest, i: usize| {
            let along = &last.cost()[i % last.outputs() * width..][..width];
            for (run, h) in h.chunks(width).enumerate() {
                let first = self.cost.entry(i, run * width) - along[0];
                for (r, (h, c)) in h.iter().zip(along).enumerate() {
                    let z = s[i] + h - (first + c) / epsilon;
                    if z >= largest.threshold() {
                        largest.offer((z, i as u64, (run * width + r) as u64));
                    }
                }
            }
            largest
        };
        let found = (0..s.len())
            .into_par_iter()
            .fold(|| Largest::new(count), row)
            .map(Largest::sorted)
            .reduce(Vec::new, |a, b| merged(a, b, count));
        Ok(found.into_iter().map(|(z, i, j)| (i, j, binary_power(z * LOG2_E))).collect())
    }

    /// Per axis, in units of 2^−53: additions within a block and over blocks, the exponentials' and logarithms' own
    /// error, and the rounding of the exponents, whose size is that of the cost and the potentials over ε. Potentials
    /// are taken to be no larger than max |C|/ε + 64.
    fn rounding(&self) -> f64 {
        let sizes = self.cost.axes().iter().map(|c| c.outputs().max(c.inputs()) as f64 / 8.0 + 64.0 + 24.0);
        let exponent: f64 = self.cost.axes().iter().map(|c| c.range()).map(|(a, b)| a.abs().max(b.abs())).sum();
        let d = self.cost.axes().len() as f64;
        (sizes.sum::<f64>() + 2.0 * (d + 2.0) * (exponent / self.epsilon + 64.0)) * (f64::EPSILON / 2.0)
    }

    /// Entries of the axis kernels multiplied with, that is Σ over axes of lines × outputs × inputs; not n·m.
    fn entries(&self) -> f64 {
        self.entries
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let mut single = (self.precision == Precision::F32) as u64;
        walk.scalar(&SINGLE[self.problem], (&mut single).into())?;
        self.precision = if single == 1 { Precision::F32 } else { Precision::F64 };
        walk.scalar(&ENTRIES[self.problem], (&mut self.entries).into())
    }
}

const fn single(name: &'static str) -> Name {
    Name { name, units: "1", meaning: "1 while the passes compute in f32, else 0", axes: &[] }
}

const fn entries(name: &'static str) -> Name {
    Name { name, units: "1", meaning: "axis kernel entries multiplied with so far", axes: &[] }
}

static SINGLE: [Name; 3] =
    [single("single_precision"), single("source_single_precision"), single("target_single_precision")];
static ENTRIES: [Name; 3] =
    [entries("kernel_entries"), entries("source_kernel_entries"), entries("target_kernel_entries")];
