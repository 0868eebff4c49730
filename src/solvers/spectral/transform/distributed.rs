//! The fast transform: over ranks (slabs and pencils) and threads, pruned, with pointwise work fused in.
//!
//! Three-dimensional grids that are not cut along axis 1 go plane by plane: axis 1, axis 2, the pointwise work, and back
//! while the plane is in the second-level cache; then axis 0 in tiles of columns. Otherwise axis 1 has a pass of its own.
//! Every line is transformed in its own lane by the same plan, so bits depend neither on ranks nor threads nor tiles.
//! Packing is part of the passes: where ranks share memory, rows go straight to the rank that takes them up; otherwise they
//! lie where messages go, which overlap the passes over the next field.

use std::slice::from_ref;

use num_complex::Complex;
use smallvec::SmallVec;

use super::blocks::Blocks;
use super::layout::{self, Layout, Network, ProcessGrid};
use super::long::Long;
use super::memory::zeros;
use super::passes::{Core, Ends, LISTED, Shared, Work};
use super::single::Single;
use super::tables::{Parts, parts};
use super::together::Together;
use super::vector::Level;
use super::{Counts, Inputs, Pointwise, Then, Transform};
use crate::error::Result;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Block, Domain};
use crate::team::{Flight, Group, Team};

/// Something of each field.
type FieldList<V> = SmallVec<[V; LISTED]>;

/// How a [`Distributed`] transform is to work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// By hand; none: by the cost model.
    pub process_grid: Option<ProcessGrid>,
    pub level: Level,
    pub ranks_per_node: usize,
    /// Ranks that all share a node write into each other's arrays.
    pub share: bool,
}

/// A transform of this rank's part of a domain.
pub struct Distributed<T: Real> {
    core: Core<T>,
    layout: Layout,
    /// Domains of one dimension, on the rank that holds the line.
    single: Option<Single<T>>,
    /// Those that ranks share.
    long: Option<Long<T>>,
    /// On one rank, and on ranks that share memory; otherwise the arrays below, between messages.
    together: Option<Together<T>>,
    /// Arrays of one field between the first two axes: [b0][m1][a2], in regions by the ranks that hold m1 in spectral
    /// space.
    mid: Vec<Vec<Complex<T>>>,
    /// [n0][a1][a2]: what is exchanged for `mid`; two, used in turn.
    wide: Vec<Vec<Complex<T>>>,
    /// Arrays of one field after axis 1: [b0][b1][m2], in regions by the ranks that hold m2 in spectral space.
    flat: Vec<Vec<Complex<T>>>,
    /// [b0][n1][a2]: what is exchanged for `flat`; two.
    tall: Vec<Vec<Complex<T>>>,
    /// Parts of `wide`, `mid`, `tall` and `flat` that belong to other ranks.
    parts: [Parts; 4],
}

impl<T: Real> Distributed<T> {
    /// The transform of `domain` on the ranks of `team`.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage), on every rank alike: more ranks than the pencil limit, a process
    /// grid that does not fit, or bases that are not known.
    pub fn new(domain: &Domain, team: &dyn Team, settings: Settings) -> Result<Self> {
        layout::check_bases(domain)?;
        let network = Network::ordinary(settings.ranks_per_node);
        let grid = layout::process_grid(domain, team.size(), settings.process_grid, &network)?;
        let layout = Layout::new(domain, grid, team.rank());
        let level = settings.level;
        let share = settings.share && domain.dimension > 1;
        let together = Together::new(&layout, team, share);
        let ranks_per_node = settings.ranks_per_node.clamp(1, grid[0] * grid[1]);
        let core = Core::new(domain, &layout, level, together.is_some(), ranks_per_node);
        let parts = parts(&layout);
        let (axis, complex) = (&domain.axes[2], domain.complex);
        let long = layout.shares.is_some().then(|| Long::new(axis, complex, team.rank(), grid[1], level));
        let alone = domain.dimension == 1 && long.is_none() && layout.at.is_some();
        let single = alone.then(|| Single::new(axis, complex, level));
        Ok(Distributed {
            core,
            layout,
            single,
            long,
            together,
            mid: Vec::new(),
            wide: Vec::new(),
            flat: Vec::new(),
            tall: Vec::new(),
            parts,
        })
    }

    pub fn process_grid(&self) -> ProcessGrid {
        self.layout.grid
    }

    /// Whether ranks write into each other's arrays.
    #[cfg(test)]
    pub fn is_shared(&self) -> bool {
        self.together.is_some() && self.layout.grid != [1, 1]
    }

    /// Complex numbers of one array of `mid`, `wide`, `flat`, `tall`.
    fn sizes(&self) -> [usize; 4] {
        let (m, n) = (self.core.domain.modes(), self.core.domain.points());
        let (a, b) = (self.core.modes.count, self.core.points.count);
        [b[0] * m[1] * a[2], n[0] * a[1] * a[2], b[0] * b[1] * m[2], b[0] * n[1] * a[2]]
    }

    /// Buffers for `fields` fields at once, which nobody still reads from when this has returned.
    fn reserve(&mut self, team: &dyn Team, fields: usize) {
        if let Some(together) = &mut self.together {
            together.reserve(&self.core.domain, &self.layout, team, fields);
            return together.meet(team, Group::All);
        }
        let [mid, wide, flat, tall] = self.sizes();
        let [p1, p2] = self.layout.grid;
        let fill = |list: &mut Vec<Vec<Complex<T>>>, count: usize, size: usize| {
            while list.len() < count {
                list.push(zeros(size));
            }
        };
        if !self.core.flat_domain {
            fill(&mut self.mid, fields, mid);
        }
        if !self.core.fused {
            fill(&mut self.flat, fields, flat);
        }
        if p1 > 1 {
            fill(&mut self.wide, 2, wide);
        }
        if p2 > 1 {
            fill(&mut self.tall, 2, tall);
        }
    }

    /// [`descend`](Self::descend) without messages: all fields in one pass per axis, so that threads and ranks meet once.
    fn descend_together(&mut self, team: &dyn Team, inputs: &[&[Complex<T>]]) {
        let (core, together) = (&self.core, self.together.as_ref().expect("asked by `descend`"));
        let inputs: FieldList<_> = inputs.iter().map(|c| c.as_ptr().cast_mut()).collect();
        let all = 0..inputs.len();
        if !core.flat_domain {
            let ends = |f: usize| Ends { from: &inputs[f..=f], to: together.mids(f) };
            core.x(true, &all.clone().map(ends).collect::<FieldList<_>>(), None);
            return self.descend_from_axis_0(team, inputs.len());
        }
        let together = self.together.as_mut().expect("as above");
        let ends = |f: usize| Ends { from: &inputs[f..=f], to: together.flats(f) };
        self.core.y(true, &all.map(ends).collect::<FieldList<_>>(), None);
        together.meet(team, Group::Row);
    }

    /// What of it comes after the pass along axis 0.
    fn descend_from_axis_0(&mut self, team: &dyn Team, fields: usize) {
        let (core, together) = (&self.core, self.together.as_mut().expect("asked by `descend`"));
        together.meet(team, Group::Column);
        if !core.fused {
            let ends = |f: usize| Ends { from: from_ref(together.mid(f)), to: together.flats(f) };
            core.y(true, &(0..fields).map(ends).collect::<FieldList<_>>(), None);
            together.meet(team, Group::Row);
        }
    }

    /// [`ascend`](Self::ascend) without messages.
    fn ascend_together(&mut self, team: &dyn Team, outputs: &mut [&mut [Complex<T>]]) {
        let outputs: FieldList<_> = outputs.iter_mut().map(|c| c.as_mut_ptr()).collect();
        self.ascend_to_axis_0(team, outputs.len(), &outputs);
        let (core, together) = (&self.core, self.together.as_ref().expect("asked by `ascend`"));
        if !core.flat_domain {
            let ends = |f: usize| Ends { from: together.mids(f), to: &outputs[f..=f] };
            core.x(false, &(0..outputs.len()).map(ends).collect::<FieldList<_>>(), None);
        }
    }

    /// What of it comes before the pass along axis 0; without that axis to `outputs`.
    fn ascend_to_axis_0(&mut self, team: &dyn Team, fields: usize, outputs: &[*mut Complex<T>]) {
        let (core, together) = (&self.core, self.together.as_mut().expect("asked by `ascend`"));
        if !core.fused {
            together.meet(team, Group::Row);
            let to = |f: usize| if core.flat_domain { &outputs[f] } else { together.mid(f) };
            let ends = |f: usize| Ends { from: together.flats(f), to: from_ref(to(f)) };
            core.y(false, &(0..fields).map(ends).collect::<FieldList<_>>(), None);
        }
        if !core.flat_domain {
            together.meet(team, Group::Column);
        }
    }

    /// Coefficients to `mid` (fused) or `flat`.
    fn descend(&mut self, team: &dyn Team, inputs: &[&[Complex<T>]]) {
        let [p1, p2] = self.layout.grid;
        if self.together.is_some() {
            return self.descend_together(team, inputs);
        }
        let mut first: [Option<Flight<Complex<T>>>; 2] = [None, None];
        let mut second: Vec<Option<Flight<Complex<T>>>> = Vec::new();
        let fields = inputs.len();
        for f in 0..=fields {
            if f < fields && !self.core.flat_domain {
                let mut mid = std::mem::take(&mut self.mid[f]);
                let mut wide = self.wide.pop().unwrap_or_default();
                let flight = first[(f + 1) % 2].as_mut();
                let (from, to) = ([inputs[f].as_ptr().cast_mut()], [wide.as_mut_ptr(), mid.as_mut_ptr()]);
                self.core.x(true, &[Ends { from: &from, to: &to }], flight);
                if p1 > 1 {
                    first[f % 2] = Some(team.start_transfer(wide, &self.parts[0], mid, &self.parts[1]));
                } else {
                    self.mid[f] = mid;
                }
            }
            if f == 0 {
                continue;
            }
            let g = f - 1;
            if let Some(flight) = first[g % 2].take() {
                let (wide, mid) = flight.wait();
                self.wide.push(wide);
                self.mid[g] = mid;
            }
            if self.core.fused {
                continue;
            }
            if g >= 2 && p2 > 1 {
                self.land_flat(&mut second, g - 2);
            }
            let mut flat = std::mem::take(&mut self.flat[g]);
            let mut tall = self.tall.pop().unwrap_or_default();
            let from = if self.core.flat_domain { inputs[g] } else { &self.mid[g] };
            let flight = first[f % 2].as_mut().or(second.last_mut().and_then(Option::as_mut));
            let (from, to) = ([from.as_ptr().cast_mut()], [tall.as_mut_ptr(), flat.as_mut_ptr()]);
            self.core.y(true, &[Ends { from: &from, to: &to }], flight);
            if p2 > 1 {
                second.push(Some(team.start_transfer(tall, &self.parts[2], flat, &self.parts[3])));
            } else {
                self.flat[g] = flat;
            }
        }
        for g in 0..second.len() {
            self.land_flat(&mut second, g);
        }
    }

    fn land_flat(&mut self, flights: &mut [Option<Flight<Complex<T>>>], g: usize) {
        if let Some(flight) = flights[g].take() {
            let (tall, flat) = flight.wait();
            self.tall.push(tall);
            self.flat[g] = flat;
        }
    }

    /// `mid` (fused) or `flat` to coefficients.
    fn ascend(&mut self, team: &dyn Team, outputs: &mut [&mut [Complex<T>]]) {
        let [p1, p2] = self.layout.grid;
        if self.together.is_some() {
            return self.ascend_together(team, outputs);
        }
        let fields = outputs.len();
        let mut second: Vec<Option<Flight<Complex<T>>>> = Vec::new();
        let mut first: [Option<Flight<Complex<T>>>; 2] = [None, None];
        if p2 > 1 {
            second.resize_with(fields, || None);
            (0..fields.min(2)).for_each(|f| second[f] = Some(self.send_flat(team, f)));
        }
        for f in 0..=fields {
            if f < fields && !self.core.fused {
                let mut tall = Vec::new();
                if let Some(flight) = second.get_mut(f).and_then(Option::take) {
                    let (flat, filled) = flight.wait();
                    (self.flat[f], tall) = (flat, filled);
                }
                let mut mid = if self.core.flat_domain { Vec::new() } else { std::mem::take(&mut self.mid[f]) };
                let to = if self.core.flat_domain { &mut *outputs[f] } else { &mut mid[..] };
                let flight = second.get_mut(f + 1).and_then(Option::as_mut).or(first[(f + 1) % 2].as_mut());
                let (from, to) = ([tall.as_mut_ptr(), self.flat[f].as_mut_ptr()], [to.as_mut_ptr()]);
                self.core.y(false, &[Ends { from: &from, to: &to }], flight);
                if !self.core.flat_domain {
                    self.mid[f] = mid;
                }
                if p2 > 1 {
                    self.tall.push(tall);
                    if f + 2 < fields {
                        second[f + 2] = Some(self.send_flat(team, f + 2));
                    }
                }
            }
            if self.core.flat_domain {
                continue;
            }
            if f < fields && p1 > 1 {
                let wide = self.wide.pop().expect("two of them");
                let mid = std::mem::take(&mut self.mid[f]);
                first[f % 2] = Some(team.start_transfer(mid, &self.parts[1], wide, &self.parts[0]));
            }
            if f == 0 {
                continue;
            }
            let g = f - 1;
            let mut wide = Vec::new();
            if let Some(flight) = first[g % 2].take() {
                let (mid, filled) = flight.wait();
                (self.mid[g], wide) = (mid, filled);
            }
            let (from, to) = ([wide.as_mut_ptr(), self.mid[g].as_mut_ptr()], [outputs[g].as_mut_ptr()]);
            self.core.x(false, &[Ends { from: &from, to: &to }], first[f % 2].as_mut());
            if p1 > 1 {
                self.wide.push(wide);
            }
        }
    }

    fn send_flat<'t>(&mut self, team: &'t dyn Team, f: usize) -> Flight<'t, Complex<T>> {
        let tall = self.tall.pop().expect("two of them");
        team.start_transfer(std::mem::take(&mut self.flat[f]), &self.parts[3], tall, &self.parts[2])
    }

    fn on_grid(&mut self, inputs: usize, outputs: usize, work: &Work<T>) {
        let fused = self.core.fused;
        let arrays = if fused { &mut self.mid } else { &mut self.flat };
        let arrays: FieldList<_> = match &self.together {
            Some(t) => (0..inputs.max(outputs)).map(|f| Shared(if fused { *t.mid(f) } else { *t.flat(f) })).collect(),
            None => arrays[..inputs.max(outputs)].iter_mut().map(|a| Shared(a.as_mut_ptr())).collect(),
        };
        self.core.on_grid(&arrays, inputs, outputs, work);
    }
}

impl<T: Real> Transform<T> for Distributed<T> {
    fn domain(&self) -> &Domain {
        &self.core.domain
    }

    fn modes(&self) -> Block {
        self.core.modes
    }

    fn points(&self) -> Block {
        self.core.points
    }

    fn backward(&mut self, team: &dyn Team, coefficients: &[&[Complex<T>]], values: &mut [&mut [T]]) {
        assert_eq!(coefficients.len(), values.len(), "as many fields of values as of coefficients");
        self.check(coefficients.iter().map(|c| c.len()), values.iter().map(|v| v.len()));
        if self.core.domain.dimension == 1 {
            if let Some(long) = &mut self.long {
                coefficients.iter().zip(values).for_each(|(c, v)| long.backward(team, c, v));
            } else if let Some(single) = &mut self.single {
                coefficients.iter().zip(values).for_each(|(c, v)| single.backward(c, v));
            }
            return;
        }
        self.reserve(team, values.len());
        self.descend(team, coefficients);
        let values: Vec<_> = values.iter_mut().map(|v| Shared(v.as_mut_ptr())).collect();
        self.on_grid(values.len(), 0, &Work::Keep(&values));
    }

    fn forward(&mut self, team: &dyn Team, values: &[&[T]], coefficients: &mut [&mut [Complex<T>]]) {
        assert_eq!(coefficients.len(), values.len(), "as many fields of values as of coefficients");
        self.check(coefficients.iter().map(|c| c.len()), values.iter().map(|v| v.len()));
        if self.core.domain.dimension == 1 {
            if let Some(long) = &mut self.long {
                values.iter().zip(coefficients).for_each(|(v, c)| long.forward(team, v, c));
            } else if let Some(single) = &mut self.single {
                values.iter().zip(coefficients).for_each(|(v, c)| single.forward(v, c));
            }
            return;
        }
        let values: Vec<_> = values.iter().map(|v| Shared(v.as_ptr())).collect();
        if self.has_all_planes() {
            // Axis 0 then reads and writes one array: a third faster than two, which share the caches.
            let arrays: FieldList<_> = coefficients.iter_mut().map(|c| c.as_mut_ptr()).collect();
            let shared: FieldList<_> = arrays.iter().copied().map(Shared).collect();
            self.core.on_grid(&shared, 0, values.len(), &Work::Given(&values));
            let in_place = |array| Ends { from: from_ref(array), to: from_ref(array) };
            return self.core.x(false, &arrays.iter().map(in_place).collect::<FieldList<_>>(), None);
        }
        self.reserve(team, values.len());
        self.on_grid(0, values.len(), &Work::Given(&values));
        self.ascend(team, coefficients);
    }

    fn through(
        &mut self,
        team: &dyn Team,
        inputs: &[&[Complex<T>]],
        pointwise: &Pointwise<T>,
        outputs: &mut [&mut [Complex<T>]],
    ) {
        self.check(inputs.iter().map(|c| c.len()).chain(outputs.iter().map(|c| c.len())), std::iter::empty());
        if self.core.domain.dimension == 1 {
            if let Some(long) = &mut self.long {
                long.through(team, inputs, pointwise, outputs);
            } else if let Some(single) = &mut self.single {
                single.through(inputs, pointwise, outputs);
            }
            return;
        }
        self.reserve(team, inputs.len().max(outputs.len()));
        self.descend(team, inputs);
        self.on_grid(inputs.len(), outputs.len(), &Work::Tiles(pointwise));
        self.ascend(team, outputs);
    }

    fn through_then(
        &mut self,
        team: &dyn Team,
        inputs: Inputs<T>,
        pointwise: &Pointwise<T>,
        counts: Counts,
        then: &Then<T>,
    ) {
        let blocks = self.blocks(counts.outputs, counts.next).expect("asked by `takes_at_once`");
        let inputs = match inputs {
            Inputs::Coefficients(inputs) => {
                self.check(inputs.iter().map(|c| c.len()), std::iter::empty());
                self.reserve(team, inputs.len().max(counts.outputs).max(counts.next));
                self.descend(team, inputs);
                inputs.len()
            }
            Inputs::Left(inputs) => {
                self.descend_from_axis_0(team, inputs);
                inputs
            }
        };
        self.on_grid(inputs, counts.outputs, &Work::Tiles(pointwise));
        self.ascend_to_axis_0(team, counts.outputs, &[]);
        let together = self.together.as_ref().expect("there are blocks");
        let mids: FieldList<_> = (0..counts.outputs.max(counts.next)).map(|f| together.mids(f)).collect();
        self.core.x_then(&blocks, &mids, counts, then);
    }

    fn takes_at_once(&self, outputs: usize, next: usize) -> bool {
        self.blocks(outputs, next).is_some()
    }
}

impl<T: Real> Distributed<T> {
    /// Whether an array of coefficients of this rank is as one between axes 0 and 1: alone, with all modes of axis 0.
    fn has_all_planes(&self) -> bool {
        let core = &self.core;
        self.layout.grid == [1, 1] && !core.flat_domain && core.modes.count[0] == core.points.count[0]
    }

    /// In which outputs can be taken at once: where axis 0 is transformed last, and comes without messages.
    fn blocks(&self, outputs: usize, next: usize) -> Option<Blocks> {
        let last = !self.core.flat_domain && self.together.is_some();
        if last { self.core.blocks(outputs.max(next)) } else { None }
    }

    /// # Panics
    /// If an array is not as long as this rank's block: the passes go by pointers.
    fn check(&self, modes: impl Iterator<Item = usize>, values: impl Iterator<Item = usize>) {
        let (m, n) = (self.core.modes.len(), self.core.points.len() * self.core.domain.reals());
        assert!(modes.into_iter().all(|l| l == m), "arrays of {m} coefficients");
        assert!(values.into_iter().all(|l| l == n), "arrays of {n} grid values");
    }
}
