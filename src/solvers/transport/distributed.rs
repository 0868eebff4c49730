//! The passes of [`Passes`] over any [`Geometry`], shared out over ranks and threads: the owner of an output makes it
//! whole, then outputs are gathered. Which form a pass takes depends on n, m and the precision only, never on ranks.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::geometry::{Geometry, Scale, Side};
use super::kernels::{self, MaxSum, PointCost, Rows};
use super::passes::{Passes, Precision};
use super::results;
use super::sweep::{self, Board, Stored};
use crate::crew::each_chunk;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::math::elementary::ln;
use crate::math::reduce::{fill, update};
use crate::state::{Name, Walk};
use crate::team::Team;

/// A sum of exponentials is trusted while it is within 2^±60 of what the shift predicts (methods page §2.0).
pub const SAFE: Range<f64> = 8.673617379884035e-19..1.152921504606847e18;

/// How far results are from their shifts, 60 ln 2, where sums are safe; rounded up.
const SAFE_DISTANCE: f64 = 42.0;

/// Rows handed to a thread at a time; a multiple of every kernel's register block.
const ROWS_PER_TASK: usize = 64;
/// Rows without a safe shift that are redone at a time, where the columns are at hand.
const UNSAFE_AT_ONCE: usize = 1 << 16;

/// What the passes keep between calls.
pub struct PassData {
    pub geometry: Box<dyn Geometry>,
    pub a: Arc<[f64]>,
    pub b: Arc<[f64]>,
    pub cost_range: (f64, f64),
    pub scale: Scale,
    /// Bandwidth of the reproducing kernel, in units of the points.
    pub bandwidth: f64,
    /// The Gibbs kernel may be stored up to this many bytes over all ranks.
    pub stored_limit: u64,
    /// Results of the last row and column pass at this ε: the shifts of the next; empty before the first.
    last_psi: Vec<f64>,
    last_x: Vec<f64>,
    /// log b, once a sweep has asked for it.
    log_b: Vec<f64>,
    /// What the shifts were at the last snapshot, once they have changed.
    before: Option<[Option<Vec<f64>>; 2]>,
    stored: Option<Stored>,
    board: Option<Board>,
    /// Sweeps since ε or the precision changed.
    sweeps: f64,
    entries: f64,
    /// Largest |potential|/ε that a pass has met since `measure_rounding`.
    largest_potential: f64,
    /// Which of [`STATE_NAMES`] this is.
    problem: usize,
}

impl PassData {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        geometry: Box<dyn Geometry>,
        a: Arc<[f64]>,
        b: Arc<[f64]>,
        cost_range: (f64, f64),
        scale: Scale,
        bandwidth: f64,
        stored_limit: u64,
        problem: usize,
    ) -> Self {
        assert_eq!((a.len(), b.len()), (geometry.n(), geometry.m()));
        PassData {
            geometry,
            a,
            b,
            cost_range,
            scale,
            bandwidth,
            stored_limit,
            last_psi: Vec::new(),
            last_x: Vec::new(),
            log_b: Vec::new(),
            before: None,
            stored: None,
            board: None,
            sweeps: 0.0,
            entries: 0.0,
            largest_potential: 0.0,
            problem,
        }
    }

    /// Exponentials evaluated so far.
    pub fn entries(&self) -> f64 {
        self.entries
    }

    /// The passes, for as long as `team` is at hand.
    pub fn with<'p>(&'p mut self, team: &'p dyn Team) -> TeamPasses<'p> {
        TeamPasses { data: self, team }
    }
}

/// What a step may change of [`PassData`], besides the shifts: those are kept from now on, where they are replaced.
pub struct Snapshot {
    absorbed: Option<Stored>,
    counters: [f64; 2],
}

impl PassData {
    /// To be ended by [`PassData::keep`] or [`PassData::restore`].
    pub fn snapshot(&mut self) -> Snapshot {
        self.before = Some([None, None]);
        Snapshot { absorbed: self.stored.as_ref().map(Stored::without_kernel), counters: [self.sweeps, self.entries] }
    }

    /// The step is done.
    pub fn keep(&mut self) {
        self.before = None;
    }

    /// The shift of the next pass over the rows (side 0) or the columns (1).
    fn replace_shift(&mut self, side: usize, shift: Vec<f64>) {
        let held = if side == 0 { &mut self.last_psi } else { &mut self.last_x };
        let old = std::mem::replace(held, shift);
        if let Some(before) = &mut self.before
            && before[side].is_none()
        {
            before[side] = Some(old);
        }
    }

    /// The same, copied; the old vector is used again where no snapshot wants it.
    fn copy_shift(&mut self, side: usize, shift: &[f64]) {
        if self.before.as_ref().is_some_and(|before| before[side].is_none()) {
            return self.replace_shift(side, shift.to_vec());
        }
        let held = if side == 0 { &mut self.last_psi } else { &mut self.last_x };
        held.clear();
        held.extend_from_slice(shift);
    }

    /// Back to the snapshot: an abandoned step of several passes leaves no trace. A kernel is kept where it is that of
    /// the snapshot, else rebuilt when it is next needed.
    pub fn restore(&mut self, before: Snapshot) {
        let [psi, x] = self.before.take().expect("there is a snapshot");
        self.last_psi = psi.unwrap_or(std::mem::take(&mut self.last_psi));
        self.last_x = x.unwrap_or(std::mem::take(&mut self.last_x));
        [self.sweeps, self.entries] = before.counters;
        let same = match (&self.stored, &before.absorbed) {
            (Some(held), Some(then)) => held.same_potentials(then),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.stored = before.absorbed;
        }
    }
}

/// [`PassData`] together with the ranks that share its work.
pub struct TeamPasses<'p> {
    pub(super) data: &'p mut PassData,
    pub(super) team: &'p dyn Team,
}

/// Names of the state of one of the problems of a run: (a, b), and for the divergence (a, a) and (b, b).
pub struct StateNames {
    last_psi: Name,
    last_x: Name,
    counters: Name,
    pub absorbed_psi: Name,
    pub absorbed_phi: Name,
}

macro_rules! state_names {
    ($prefix:literal) => {
        StateNames {
            last_psi: Name {
                name: concat!($prefix, "row_shift"),
                units: "1",
                meaning: "last source potential over epsilon",
                axes: &[concat!($prefix, "row_shift_index")],
            },
            last_x: Name {
                name: concat!($prefix, "column_shift"),
                units: "1",
                meaning: "last target potential over epsilon",
                axes: &[concat!($prefix, "column_shift_index")],
            },
            counters: Name {
                name: concat!($prefix, "pass_counters"),
                units: "1",
                meaning: "epsilon, precision (0 f64, 1 f32), entries evaluated, and sweeps at this epsilon and precision",
                axes: &["pass_counter"],
            },
            absorbed_psi: Name {
                name: concat!($prefix, "absorbed_source"),
                units: "1",
                meaning: "source potential over epsilon absorbed into the stored kernel",
                axes: &[concat!($prefix, "absorbed_source_index")],
            },
            absorbed_phi: Name {
                name: concat!($prefix, "absorbed_target"),
                units: "1",
                meaning: "target potential over epsilon absorbed into the stored kernel",
                axes: &[concat!($prefix, "absorbed_target_index")],
            },
        }
    };
}

/// By problem: (a, b), (a, a), (b, b).
pub static STATE_NAMES: [StateNames; 3] = [state_names!(""), state_names!("source_"), state_names!("target_")];

/// h_j = potential_j + log weight_j.
fn column_terms(potential: &[f64], weight: &[f64]) -> Vec<f64> {
    potential.par_iter().zip(weight.par_iter()).with_min_len(1024).map(|(p, w)| p + ln(*w)).collect()
}

/// Hands `work` blocks of consecutive owned outputs (`width` values each) on all threads; nothing once interrupted.
fn share(owned: Range<usize>, width: usize, out: &mut [f64], work: impl Fn(Range<usize>, &mut [f64]) + Sync) {
    each_chunk(out, ROWS_PER_TASK * width, |k, chunk| {
        if !interrupt::requested() {
            let start = owned.start + k * ROWS_PER_TASK;
            work(start..start + chunk.len() / width, chunk);
        }
    });
}

impl TeamPasses<'_> {
    /// Fills in the outputs of `side` (of `width` values each) that other ranks made.
    fn gather(&self, side: Side, width: usize, out: &mut [f64]) -> Result<()> {
        let team = self.team;
        if team.any(interrupt::requested()) {
            return Err(Error::Interrupted);
        }
        if team.size() > 1 {
            let of = |rank| {
                let outputs = self.data.geometry.owned_by(side, rank, team.size());
                outputs.start * width..outputs.end * width
            };
            let counts: Vec<usize> = (0..team.size()).map(|rank| of(rank).len() * size_of::<f64>()).collect();
            let mine = out[of(team.rank())].to_vec();
            team.gather_bytes_into(bytemuck::cast_slice(&mine), &counts, bytemuck::cast_slice_mut(out));
        }
        Ok(())
    }

    fn side_lengths(&self, side: Side) -> (usize, usize) {
        let (n, m) = (self.data.geometry.n(), self.data.geometry.m());
        match side {
            Side::Source => (n, m),
            Side::Target => (m, n),
            Side::TargetTarget => (m, m),
        }
    }

    /// Remembers how large exponents get, for the rounding bound.
    fn meet(&mut self, potential: &[f64]) {
        self.data.largest_potential = potential.iter().fold(self.data.largest_potential, |m, x| m.max(x.abs()));
    }

    /// The same of the shifts of a pass with results `out`; where they were not safe they were not used.
    fn meet_shifts(&mut self, side: Side, out: &[f64]) {
        let shifts = if side == Side::Source { &self.data.last_psi } else { &self.data.last_x };
        let used = shifts.iter().zip(out).filter(|(shift, out)| (*shift - *out).abs() <= SAFE_DISTANCE);
        self.data.largest_potential = used.fold(self.data.largest_potential, |m, (shift, _)| m.max(shift.abs()));
    }

    fn count(&mut self, side: Side) {
        let (rows, cols) = self.side_lengths(side);
        self.data.entries += rows as f64 * cols as f64;
    }

    /// out_i = −log Σ_j exp(h_j − C_ij/ε), from the shift of the last pass where that is safe.
    fn soft_min(&mut self, side: Side, potential: &[f64], out: &mut [f64]) -> Result<()> {
        let data = &mut *self.data;
        let (weight, shift) = match side {
            Side::Source => (&data.b, &data.last_psi),
            Side::Target => (&data.a, &data.last_x),
            Side::TargetTarget => unreachable!("the reproducing kernel has no soft minimum"),
        };
        let h = column_terms(potential, weight);
        let owned = data.geometry.owned(side, self.team);
        let mine = &mut out[owned.clone()];
        if !shift.is_empty() {
            mine.fill(0.0);
            data.geometry.blocks(side, data.scale, self.team, &mut |block| {
                share(owned.clone(), 1, mine, |rows, sums| {
                    block.rows.shifted_sum(block.local(&rows), &h[block.columns.clone()], &shift[rows], sums);
                });
            });
            update(mine, |i, sum| if SAFE.contains(&sum) { shift[owned.start + i] - ln(sum) } else { f64::NAN });
        } else {
            mine.fill(f64::NAN);
        }
        if self.team.any(mine.iter().any(|value| value.is_nan())) {
            // Where blocks of columns travel, all rows must be ready for each.
            let at_once = if data.geometry.sweeps() { UNSAFE_AT_ONCE } else { mine.len().max(1) };
            let mut next = 0;
            loop {
                let unsafe_rows: Vec<usize> = (next..mine.len()).filter(|&i| mine[i].is_nan()).take(at_once).collect();
                let mut sums = vec![MaxSum::EMPTY; unsafe_rows.len()];
                data.geometry.blocks(side, data.scale, self.team, &mut |block| {
                    let h = &h[block.columns.clone()];
                    sums.par_chunks_mut(ROWS_PER_TASK).zip(unsafe_rows.par_chunks(ROWS_PER_TASK)).for_each(
                        |(sums, rows)| {
                            if !interrupt::requested() {
                                for (from, len) in runs(rows) {
                                    let start = owned.start + rows[from] - block.base;
                                    block.rows.max_sum(start..start + len, h, &mut sums[from..from + len]);
                                }
                            }
                        },
                    );
                });
                for (&i, s) in unsafe_rows.iter().zip(&sums) {
                    mine[i] = -(s.max + ln(s.sum));
                }
                next = unsafe_rows.last().map_or(mine.len(), |last| last + 1);
                if unsafe_rows.len() < at_once || next == mine.len() {
                    break;
                }
            }
        }
        self.gather(side, 1, out)?;
        self.count(side);
        self.meet(potential);
        self.meet(out);
        self.meet_shifts(side, out);
        Ok(())
    }

    /// [`TeamPasses::shifted`] by the logarithms of `weight · e^own`: sums over the plan.
    fn weighted(
        &mut self,
        side: Side,
        own: &[f64],
        other: &[f64],
        width: usize,
        out: &mut [f64],
        kernel: impl Fn(&dyn Rows, Range<usize>, &[f64], &[f64], Range<usize>, &mut [f64]) + Sync,
    ) -> Result<()> {
        self.meet(own);
        let weight = if side == Side::Source { self.data.a.clone() } else { self.data.b.clone() };
        self.shifted(side, |i| own[i] + ln(weight[i]), other, width, out, kernel)
    }

    /// out[i·width + k] = Σ_j exp(shift_i + h_j − C_ij/ε) v[j·width + k] by `kernel`, h of the potential `other`.
    fn shifted(
        &mut self,
        side: Side,
        shift: impl Fn(usize) -> f64 + Sync,
        other: &[f64],
        width: usize,
        out: &mut [f64],
        kernel: impl Fn(&dyn Rows, Range<usize>, &[f64], &[f64], Range<usize>, &mut [f64]) + Sync,
    ) -> Result<()> {
        self.meet(other);
        let data = &mut *self.data;
        let other_weight = match side {
            Side::Source => &data.b,
            Side::Target => &data.a,
            Side::TargetTarget => unreachable!("the plan has no target-target block"),
        };
        let h = column_terms(other, other_weight);
        let owned = data.geometry.owned(side, self.team);
        let mine = &mut out[owned.start * width..owned.end * width];
        mine.fill(0.0);
        // Certificates and derived results: always f64.
        let scale = Scale { precision: Precision::F64, ..data.scale };
        data.geometry.blocks(side, scale, self.team, &mut |block| {
            share(owned.clone(), width, mine, |rows, out| {
                let h = &h[block.columns.clone()];
                let mut shifts = [0.0; ROWS_PER_TASK];
                let shifts = &mut shifts[..rows.len()];
                for (s, i) in shifts.iter_mut().zip(rows.clone()) {
                    *s = shift(i);
                }
                kernel(block.rows, block.local(&rows), h, shifts, block.columns.clone(), out);
            });
        });
        self.gather(side, width, out)?;
        self.count(side);
        Ok(())
    }

    fn min_plus(&mut self, side: Side, potential: &[f64], out: &mut [f64]) -> Result<()> {
        let data = &mut *self.data;
        // Certificates begin with this: nobody sweeps meanwhile.
        data.board = None;
        let owned = data.geometry.owned(side, self.team);
        let mine = &mut out[owned.clone()];
        mine.fill(f64::INFINITY);
        let scale = Scale { precision: Precision::F64, ..data.scale };
        data.geometry.blocks(side, scale, self.team, &mut |block| {
            share(owned.clone(), 1, mine, |rows, out| {
                block.rows.min_plus(block.local(&rows), &potential[block.columns.clone()], out);
            });
        });
        self.gather(side, 1, out)?;
        self.count(side);
        Ok(())
    }
}

/// Runs of consecutive numbers in an increasing list: (position, length).
fn runs(rows: &[usize]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at;
        while at < rows.len() && rows[at] == rows[from] + (at - from) {
            at += 1;
        }
        (at > from).then_some((from, at - from))
    })
}

impl Passes for TeamPasses<'_> {
    fn n(&self) -> usize {
        self.data.geometry.n()
    }

    fn m(&self) -> usize {
        self.data.geometry.m()
    }

    fn a(&self) -> &[f64] {
        &self.data.a
    }

    fn b(&self) -> &[f64] {
        &self.data.b
    }

    fn epsilon(&self) -> f64 {
        self.data.scale.epsilon
    }

    fn set_epsilon(&mut self, epsilon: f64) {
        if epsilon != self.data.scale.epsilon {
            self.data.scale.epsilon = epsilon;
            self.data.last_psi.clear();
            self.data.last_x.clear();
            self.data.stored = None;
            self.data.sweeps = 0.0;
        }
    }

    fn precision(&self) -> Precision {
        self.data.scale.precision
    }

    fn set_precision(&mut self, precision: Precision) {
        if precision != self.data.scale.precision {
            self.data.scale.precision = precision;
            self.data.stored = None;
            self.data.sweeps = 0.0;
        }
    }

    fn cost_range(&self) -> (f64, f64) {
        self.data.cost_range
    }

    fn soft_rows(&mut self, phi: &[f64], out: &mut [f64]) -> Result<()> {
        self.soft_min(Side::Source, phi, out)?;
        self.data.copy_shift(0, out);
        Ok(())
    }

    fn soft_cols(&mut self, psi: &[f64], out: &mut [f64]) -> Result<()> {
        self.soft_min(Side::Target, psi, out)?;
        self.data.copy_shift(1, out);
        Ok(())
    }

    fn row_then_col(
        &mut self,
        phi: &[f64],
        rule: &(dyn Fn(usize, f64) -> f64 + Sync),
        psi: &mut [f64],
        x: &mut [f64],
    ) -> Result<()> {
        if !self.data.last_psi.is_empty() && sweep::one_sweep(self.data.geometry.as_ref(), self.data.scale.precision) {
            let data = &mut *self.data;
            let sweeps = data.sweeps + 1.0;
            // Storing costs about two sweeps: not for the one evaluation in f64 that confirms a solution.
            let stored_limit =
                if sweeps > 2.0 || data.scale.precision == Precision::F32 { data.stored_limit } else { 0 };
            if data.log_b.is_empty() {
                data.log_b = data.b.iter().map(|b| ln(*b)).collect();
            }
            let iteration = sweep::Iteration {
                geometry: data.geometry.as_mut(),
                scale: data.scale,
                a: &data.a,
                b: &data.b,
                log_b: &data.log_b,
                stored_limit,
                last_psi: &data.last_psi,
                phi,
                rule,
                team: self.team,
                board: &mut data.board,
            };
            let done = sweep::row_then_col(iteration, &mut data.stored, psi, x)?;
            data.sweeps = sweeps;
            data.entries += data.geometry.n() as f64 * data.geometry.m() as f64;
            if done {
                data.copy_shift(0, psi);
                data.copy_shift(1, x);
                return Ok(());
            }
        }
        let mut t = vec![0.0; psi.len()];
        self.soft_min(Side::Source, phi, &mut t)?;
        fill(psi, |i| rule(i, t[i]));
        self.soft_min(Side::Target, psi, x)?;
        self.data.replace_shift(0, t);
        self.data.copy_shift(1, x);
        Ok(())
    }

    fn plan_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        self.weighted(Side::Source, psi, phi, width, out, |rows, range, h, shift, columns, out| {
            rows.weighted_sum(range, h, shift, &v[columns.start * width..columns.end * width], width, out);
        })
    }

    fn plan_cols(&mut self, psi: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        self.weighted(Side::Target, phi, psi, width, out, |rows, range, h, shift, columns, out| {
            rows.weighted_sum(range, h, shift, &v[columns.start * width..columns.end * width], width, out);
        })
    }

    fn conditional_rows(&mut self, t: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()> {
        self.meet(t);
        self.shifted(
            Side::Source,
            |i| t[i],
            phi,
            width,
            out,
            |rows, range, h, shift, columns, out| {
                rows.weighted_sum(range, h, shift, &v[columns.start * width..columns.end * width], width, out);
            },
        )
    }

    fn plan_cost_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], out: &mut [f64]) -> Result<()> {
        self.weighted(Side::Source, psi, phi, 1, out, |rows, range, h, shift, columns, out| {
            rows.weighted_cost(range, h, shift, &v[columns], out);
        })
    }

    fn bilinear_cost(&mut self, u: &[f64], v: &[f64]) -> Result<f64> {
        let data = &mut *self.data;
        let owned = data.geometry.owned(Side::Source, self.team);
        let mut whole = vec![0.0; data.geometry.n()];
        let mine = &mut whole[owned.clone()];
        let scale = Scale { precision: Precision::F64, ..data.scale };
        data.geometry.blocks(Side::Source, scale, self.team, &mut |block| {
            share(owned.clone(), 1, mine, |rows, out| {
                block.rows.cost_sum(block.local(&rows), &v[block.columns.clone()], out);
            });
        });
        self.gather(Side::Source, 1, &mut whole)?;
        self.count(Side::Source);
        Ok(crate::math::sum::tree_sum(whole.len(), |i| u[i] * whole[i]))
    }

    fn min_rows(&mut self, g: &[f64], out: &mut [f64]) -> Result<()> {
        self.min_plus(Side::Source, g, out)
    }

    fn min_cols(&mut self, f: &[f64], out: &mut [f64]) -> Result<()> {
        self.min_plus(Side::Target, f, out)
    }

    fn reproducing_kernel(&mut self, w: &[f64], out: &mut [f64]) -> Result<()> {
        let data = &mut *self.data;
        if data.geometry.dimension() == 0 {
            // Abstract atoms: the kernel of distinct atoms is the identity.
            out.copy_from_slice(w);
            return Ok(());
        }
        let m = data.geometry.m();
        let zero = vec![0.0; m];
        let owned = data.geometry.owned(Side::TargetTarget, self.team);
        let mine = &mut out[owned.clone()];
        mine.fill(0.0);
        let scale = Scale { epsilon: data.bandwidth, precision: Precision::F64 };
        data.geometry.blocks(Side::TargetTarget, scale, self.team, &mut |block| {
            share(owned.clone(), 1, mine, |rows, out| {
                let columns = block.columns.clone();
                block.rows.weighted_sum(block.local(&rows), &zero[columns.clone()], &zero[rows], &w[columns], 1, out);
            });
        });
        self.gather(Side::TargetTarget, 1, out)?;
        self.count(Side::TargetTarget);
        Ok(())
    }

    fn dimension(&self) -> Option<usize> {
        Some(self.data.geometry.dimension()).filter(|d| *d > 0)
    }

    fn gradient_rows(&mut self, psi: &[f64], phi: &[f64], out: &mut [f64]) -> Result<()> {
        results::point_gradient(self, Side::Source, psi, phi, out)
    }

    fn gradient_cols(&mut self, psi: &[f64], phi: &[f64], out: &mut [f64]) -> Result<()> {
        results::point_gradient(self, Side::Target, psi, phi, out)
    }

    fn largest_entries(&mut self, psi: &[f64], phi: &[f64], count: usize) -> Result<Vec<(u64, u64, f64)>> {
        Ok(results::largest_entries(self.data, self.team, psi, phi, count))
    }

    fn measure_rounding(&mut self) {
        self.data.largest_potential = 0.0;
    }

    fn rounding(&self) -> f64 {
        let data = &*self.data;
        let (n, m) = (data.geometry.n(), data.geometry.m());
        let cost = data.cost_range.0.abs().max(data.cost_range.1.abs()) / data.scale.epsilon;
        let weight = data.a.iter().chain(data.b.iter()).fold(0.0f64, |m, w| m.max(ln(*w).abs()));
        let potential = data.largest_potential + weight;
        let d = data.geometry.dimension().max(1);
        // A matrix has but its product with log2(e)/ε, fewer than distances on a line.
        let roundings = data.geometry.point_cost().unwrap_or(PointCost::Euclidean).roundings(d);
        kernels::rounding::row_sum_error(n.max(m), d, potential, potential, cost, roundings)
    }

    fn entries(&self) -> f64 {
        self.data.entries
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let data = &mut *self.data;
        let precision = if data.scale.precision == Precision::F32 { 1.0 } else { 0.0 };
        let mut counters = [data.scale.epsilon, precision, data.entries, data.sweeps];
        let names = &STATE_NAMES[data.problem];
        walk.scalar(&names.counters, (&mut counters[..]).into())?;
        data.scale.epsilon = counters[0];
        data.scale.precision = if counters[1] == 1.0 { Precision::F32 } else { Precision::F64 };
        data.entries = counters[2];
        data.sweeps = counters[3];
        walk.replicated(&names.last_psi, &mut data.last_psi)?;
        walk.replicated(&names.last_x, &mut data.last_x)?;
        Stored::state(&mut data.stored, names, walk)
    }

    fn forget_shifts(&mut self) {
        self.data.last_psi = Vec::new();
        self.data.last_x = Vec::new();
    }

    fn rest(&mut self) {
        self.forget_shifts();
        self.data.stored = None;
        self.data.log_b = Vec::new();
        self.data.board = None;
        self.data.geometry.rest();
    }
}
