//! The passes of [`Passes`] over any [`Geometry`], shared out over ranks and threads: the owner of an output makes it
//! whole, then outputs are gathered. Which form a pass takes depends on n, m and the precision only, never on ranks.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::geometry::{Geometry, Scale, Side};
use super::kernels::{self, MaxSum, Rows};
use super::passes::{Passes, Precision};
use super::results;
use super::sweep::{self, Stored};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::math::elementary::ln;
use crate::state::{Name, Walk};
use crate::team::Team;

/// A sum of exponentials is trusted while it is within 2^±60 of what the shift predicts (methods page §2.0).
pub const SAFE: Range<f64> = 8.673617379884035e-19..1.152921504606847e18;

/// Rows handed to a thread at a time; a multiple of every kernel's register block.
const ROWS_PER_TASK: usize = 64;

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
    stored: Option<Stored>,
    /// Sweeps since ε or the precision changed.
    sweeps: f64,
    entries: f64,
    /// Largest |potential|/ε that a pass has met at this ε.
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
            stored: None,
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

/// What a step may change of [`PassData`].
pub struct Snapshot {
    last_psi: Vec<f64>,
    last_x: Vec<f64>,
    absorbed: Option<Stored>,
    counters: [f64; 3],
}

impl PassData {
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            last_psi: self.last_psi.clone(),
            last_x: self.last_x.clone(),
            absorbed: self.stored.as_ref().map(Stored::without_kernel),
            counters: [self.sweeps, self.entries, self.largest_potential],
        }
    }

    /// Back to the snapshot: an abandoned step of several passes leaves no trace. A kernel is kept where it is that of
    /// the snapshot, else rebuilt when it is next needed.
    pub fn restore(&mut self, before: Snapshot) {
        self.last_psi = before.last_psi;
        self.last_x = before.last_x;
        [self.sweeps, self.entries, self.largest_potential] = before.counters;
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
                meaning: "epsilon, precision (0 f64, 1 f32), entries evaluated, sweeps and largest potential at this epsilon",
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
    out.par_chunks_mut(ROWS_PER_TASK * width).enumerate().for_each(|(k, chunk)| {
        if !interrupt::requested() {
            let start = owned.start + k * ROWS_PER_TASK;
            work(start..start + chunk.len() / width, chunk);
        }
    });
}

impl TeamPasses<'_> {
    /// Gathers owned outputs into `out`. A rank that was interrupted says so with +∞, which no output can be.
    fn gather(&self, mut mine: Vec<f64>, out: &mut [f64]) -> Result<()> {
        if interrupt::requested() {
            mine.fill(f64::INFINITY);
        }
        // An interrupted rank without outputs must be heard too.
        let stop = self.team.any(interrupt::requested());
        out.copy_from_slice(&self.team.gather(&mine));
        if stop { Err(Error::Interrupted) } else { Ok(()) }
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
        let mut mine = vec![0.0; owned.len()];
        if !shift.is_empty() {
            data.geometry.blocks(side, data.scale, self.team, &mut |block| {
                share(owned.clone(), 1, &mut mine, |rows, sums| {
                    block.rows.shifted_sum(block.local(&rows), &h[block.columns.clone()], &shift[rows], sums);
                });
            });
            for (value, s) in mine.iter_mut().zip(&shift[owned.clone()]) {
                *value = if SAFE.contains(value) { s - ln(*value) } else { f64::NAN };
            }
        } else {
            mine.fill(f64::NAN);
        }
        let unsafe_rows: Vec<usize> = (0..mine.len()).filter(|&i| mine[i].is_nan()).collect();
        if self.team.any(!unsafe_rows.is_empty()) {
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
        }
        self.gather(mine, out)?;
        self.count(side);
        self.meet(potential);
        self.meet(out);
        Ok(())
    }

    /// out[i·width + k] = weight_i Σ_j exp(h_j + s_i − C_ij/ε) v[j·width + k] by `kernel`.
    #[allow(clippy::too_many_arguments)]
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
        self.meet(other);
        let data = &mut *self.data;
        let (own_weight, other_weight) = match side {
            Side::Source => (&data.a, &data.b),
            Side::Target => (&data.b, &data.a),
            Side::TargetTarget => unreachable!("the plan has no target-target block"),
        };
        let (h, shift) = (column_terms(other, other_weight), column_terms(own, own_weight));
        let owned = data.geometry.owned(side, self.team);
        let mut mine = vec![0.0; owned.len() * width];
        // Certificates and derived results: always f64.
        let scale = Scale { precision: Precision::F64, ..data.scale };
        data.geometry.blocks(side, scale, self.team, &mut |block| {
            share(owned.clone(), width, &mut mine, |rows, out| {
                let h = &h[block.columns.clone()];
                kernel(block.rows, block.local(&rows), h, &shift[rows], block.columns.clone(), out);
            });
        });
        self.gather(mine, out)?;
        self.count(side);
        Ok(())
    }

    fn min_plus(&mut self, side: Side, potential: &[f64], out: &mut [f64]) -> Result<()> {
        let data = &mut *self.data;
        let owned = data.geometry.owned(side, self.team);
        let mut mine = vec![f64::INFINITY; owned.len()];
        let scale = Scale { precision: Precision::F64, ..data.scale };
        data.geometry.blocks(side, scale, self.team, &mut |block| {
            share(owned.clone(), 1, &mut mine, |rows, out| {
                block.rows.min_plus(block.local(&rows), &potential[block.columns.clone()], out);
            });
        });
        self.gather(mine, out)?;
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
            self.data.largest_potential = 0.0;
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
        self.data.last_psi.clear();
        self.data.last_psi.extend_from_slice(out);
        Ok(())
    }

    fn soft_cols(&mut self, psi: &[f64], out: &mut [f64]) -> Result<()> {
        self.soft_min(Side::Target, psi, out)?;
        self.data.last_x.clear();
        self.data.last_x.extend_from_slice(out);
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
            let iteration = sweep::Iteration {
                geometry: data.geometry.as_mut(),
                scale: data.scale,
                a: &data.a,
                b: &data.b,
                stored_limit,
                last_psi: &data.last_psi,
                phi,
                rule,
                team: self.team,
            };
            let done = sweep::row_then_col(iteration, &mut data.stored, psi, x)?;
            data.sweeps = sweeps;
            data.entries += data.geometry.n() as f64 * data.geometry.m() as f64;
            if done {
                data.last_psi.copy_from_slice(psi);
                data.last_x.clear();
                data.last_x.extend_from_slice(x);
                return Ok(());
            }
        }
        let mut t = vec![0.0; psi.len()];
        self.soft_min(Side::Source, phi, &mut t)?;
        psi.par_iter_mut().with_min_len(4096).enumerate().for_each(|(i, p)| *p = rule(i, t[i]));
        self.soft_min(Side::Target, psi, x)?;
        self.data.last_psi = t;
        self.data.last_x.clear();
        self.data.last_x.extend_from_slice(x);
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

    fn plan_cost_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], out: &mut [f64]) -> Result<()> {
        self.weighted(Side::Source, psi, phi, 1, out, |rows, range, h, shift, columns, out| {
            rows.weighted_cost(range, h, shift, &v[columns], out);
        })
    }

    fn bilinear_cost(&mut self, u: &[f64], v: &[f64]) -> Result<f64> {
        let data = &mut *self.data;
        let owned = data.geometry.owned(Side::Source, self.team);
        let mut mine = vec![0.0; owned.len()];
        let scale = Scale { precision: Precision::F64, ..data.scale };
        data.geometry.blocks(Side::Source, scale, self.team, &mut |block| {
            share(owned.clone(), 1, &mut mine, |rows, out| {
                block.rows.cost_sum(block.local(&rows), &v[block.columns.clone()], out);
            });
        });
        let mut whole = vec![0.0; data.geometry.n()];
        self.gather(mine, &mut whole)?;
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
        let mut mine = vec![0.0; owned.len()];
        let scale = Scale { epsilon: data.bandwidth, precision: Precision::F64 };
        data.geometry.blocks(Side::TargetTarget, scale, self.team, &mut |block| {
            share(owned.clone(), 1, &mut mine, |rows, out| {
                let columns = block.columns.clone();
                block.rows.weighted_sum(block.local(&rows), &zero[columns.clone()], &zero[rows], &w[columns], 1, out);
            });
        });
        self.gather(mine, out)?;
        self.count(Side::TargetTarget);
        Ok(())
    }

    fn dimension(&self) -> Option<usize> {
        Some(self.data.geometry.dimension()).filter(|d| *d > 0)
    }

    fn gradient_rows(&mut self, psi: &[f64], phi: &[f64], out: &mut [f64]) -> Result<()> {
        results::point_gradient(self, psi, phi, out)
    }

    fn largest_entries(&mut self, psi: &[f64], phi: &[f64], count: usize) -> Result<Vec<(u64, u64, f64)>> {
        Ok(results::largest_entries(self.data, self.team, psi, phi, count))
    }

    fn rounding(&self) -> f64 {
        let data = &*self.data;
        let (n, m) = (data.geometry.n(), data.geometry.m());
        let cost = data.cost_range.0.abs().max(data.cost_range.1.abs()) / data.scale.epsilon;
        let weight = data.a.iter().chain(data.b.iter()).fold(0.0f64, |m, w| m.max(ln(*w).abs()));
        let potential = data.largest_potential + weight;
        kernels::rounding::row_sum_error(n.max(m), data.geometry.dimension().max(1), potential, potential, cost)
    }

    fn entries(&self) -> f64 {
        self.data.entries
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let data = &mut *self.data;
        let precision = if data.scale.precision == Precision::F32 { 1.0 } else { 0.0 };
        let mut counters = [data.scale.epsilon, precision, data.entries, data.sweeps, data.largest_potential];
        let names = &STATE_NAMES[data.problem];
        walk.scalar(&names.counters, (&mut counters[..]).into())?;
        data.scale.epsilon = counters[0];
        data.scale.precision = if counters[1] == 1.0 { Precision::F32 } else { Precision::F64 };
        data.entries = counters[2];
        data.sweeps = counters[3];
        data.largest_potential = counters[4];
        walk.replicated(&names.last_psi, &mut data.last_psi)?;
        walk.replicated(&names.last_x, &mut data.last_x)?;
        Stored::state(&mut data.stored, names, walk)
    }
}
