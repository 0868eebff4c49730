//! The fast transform: over ranks (slabs and pencils) and threads, pruned, with pointwise work fused in.
//!
//! Three-dimensional grids that are not cut along axis 1 go plane by plane: axis 1, axis 2, the pointwise work, and back
//! while the plane is in the second-level cache; then axis 0 in tiles of columns. Otherwise axis 1 has a pass of its own.
//! Every line is transformed in its own lane by the same plan, so bits depend neither on ranks nor threads nor tiles.
//! Exchanges overlap the passes over the next field; packing is part of the passes, whose rows lie where messages go.

use std::ops::Range;
use std::sync::Mutex;

use num_complex::Complex;
use rayon::prelude::*;
use smallvec::SmallVec;

use super::layout::{self, Layout, Network, ProcessGrid};
use super::lines::{Buffers, Contiguous, LinesBackward, LinesForward, Rows, Run, Strided, StridedJob, columns_to_line};
use super::long::Long;
use super::single::Single;
use super::tables::{Parts, Place, parts, tables};
use super::vector::{Level, enter, settle, stream_copy};
use super::{Pointwise, Scales, Transform};
use crate::error::Result;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Basis, Block, Domain, Tile};
use crate::team::{Flight, Team};

/// Columns of a task of a strided pass.
const COLUMNS: usize = 64;
/// Bytes of an array from which on passes write past the caches, and planes are brought in and out row by row.
const STREAM: usize = if cfg!(test) { 32 << 10 } else { 8 << 20 };
/// Fields whose slices are listed without an allocation.
const LISTED: usize = 24;

/// Something of each field.
type FieldList<V> = SmallVec<[V; LISTED]>;

/// How a [`Distributed`] transform is to work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// By hand; none: by the cost model.
    pub process_grid: Option<ProcessGrid>,
    pub level: Level,
    pub ranks_per_node: usize,
}

/// A transform of this rank's part of a domain.
pub struct Distributed<T: Real> {
    core: Core<T>,
    layout: Layout,
    /// Domains of one dimension, on the rank that holds the line.
    single: Option<Single<T>>,
    /// Those that ranks share.
    long: Option<Long<T>>,
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

/// What threads share.
struct Core<T: Real> {
    domain: Domain,
    level: Level,
    modes: Block,
    points: Block,
    scales: Scales,
    axes: [Strided<T>; 2],
    last: Contiguous<T>,
    /// Axis 0 has nothing to do.
    flat_domain: bool,
    /// Planes are worked on whole.
    fused: bool,
    /// Rows of axis 0, in spectral arrays and in (`wide`, `mid`): from and to, forwards and backwards.
    x_rows: [[Vec<Option<Place>>; 2]; 2],
    /// Rows of axis 1, in `mid` and in (`tall`, `flat`), or in a plane when fused.
    y_rows: [[Vec<Option<Place>>; 2]; 2],
    runs: Vec<Run>,
    /// Complex numbers of a plane when fused, and from row to row in it.
    plane: usize,
    pitch: usize,
    tile_rows: usize,
    scratch: Mutex<Vec<Box<Scratch<T>>>>,
}

/// Work space of one thread.
struct Scratch<T> {
    lanes: [Aligned<T>; 3],
    line: Vec<Complex<T>>,
    from: Vec<*const Complex<T>>,
    to: Vec<*mut Complex<T>>,
    /// Where rows go that were worked on in a plane.
    out: Vec<*mut Complex<T>>,
    planes: Vec<Aligned<T>>,
    values: Aligned<T>,
    products: Aligned<T>,
}

// SAFETY: the pointers are only used within one task.
unsafe impl<T: Send> Send for Scratch<T> {}

/// Numbers on whole cache lines.
struct Aligned<T>(Vec<T>);

impl<T: Real> Aligned<T> {
    fn new(n: usize) -> Self {
        Aligned(vec![T::zero(); n + 64 / size_of::<T>()])
    }

    /// Makes room; contents are lost.
    fn reserve(&mut self, n: usize) {
        if self.0.len() < n + 64 / size_of::<T>() {
            *self = Aligned::new(n);
        }
    }

    fn start(&mut self) -> *mut T {
        let at = self.0.as_ptr().align_offset(64);
        self.0[at..].as_mut_ptr()
    }
}

/// A pointer that tasks share; each touches other places behind it.
#[derive(Clone, Copy)]
struct Shared<P>(P);

// SAFETY: see the passes: tasks write to disjoint rows or columns.
unsafe impl<P> Send for Shared<P> {}
unsafe impl<P> Sync for Shared<P> {}

impl<P: Copy> Shared<P> {
    fn get(&self) -> P {
        self.0
    }
}

/// The arrays that a pass takes a field from and puts it to, two each: its tables say in which of them a row lies.
#[derive(Clone, Copy)]
struct Ends<T> {
    from: [*const Complex<T>; 2],
    to: [*mut Complex<T>; 2],
}

// SAFETY: see the passes: tasks write to disjoint rows or columns.
unsafe impl<T> Send for Ends<T> {}
unsafe impl<T> Sync for Ends<T> {}

impl<T> Ends<T> {
    /// From one array to the two.
    fn scatter(from: &[Complex<T>], to: [&mut [Complex<T>]; 2]) -> Self {
        Ends { from: [from.as_ptr(); 2], to: to.map(<[_]>::as_mut_ptr) }
    }

    /// From the two to one array.
    fn gather(from: [&[Complex<T>]; 2], to: &mut [Complex<T>]) -> Self {
        Ends { from: from.map(<[_]>::as_ptr), to: [to.as_mut_ptr(); 2] }
    }

    /// Between arrays of which there is one on either side.
    fn plain(from: &[Complex<T>], to: &mut [Complex<T>]) -> Self {
        Ends::gather([from; 2], to)
    }
}

/// Calls `act` for 0..n, over threads if there are any; allocates nothing on one thread.
fn each(n: usize, act: impl Fn(usize) + Sync + Send) {
    if n <= 1 || rayon::current_num_threads() == 1 {
        (0..n).for_each(act);
    } else {
        (0..n).into_par_iter().with_max_len(1).for_each(act);
    }
}

/// Calls `pointwise` with the first so many slices of each kind, listed without an allocation if they are few.
pub(super) fn call<'a, T: Real>(
    pointwise: &Pointwise<T>,
    tile: &Tile,
    mut values: impl Iterator<Item = &'a [T]>,
    inputs: usize,
    mut products: impl Iterator<Item = &'a mut [T]>,
    outputs: usize,
) {
    if inputs.max(outputs) <= LISTED {
        let ins: [&[T]; LISTED] = std::array::from_fn(|f| if f < inputs { values.next() } else { None }.unwrap_or(&[]));
        let mut outs: [&mut [T]; LISTED] =
            std::array::from_fn(|f| if f < outputs { products.next() } else { None }.unwrap_or_default());
        pointwise(tile, &ins[..inputs], &mut outs[..outputs]);
    } else {
        let ins: Vec<&[T]> = values.take(inputs).collect();
        let mut outs: Vec<&mut [T]> = products.take(outputs).collect();
        pointwise(tile, &ins, &mut outs);
    }
}

/// What happens on the grid.
enum Work<'a, T> {
    /// Values are kept.
    Keep(&'a [Shared<*mut T>]),
    /// Products are given.
    Given(&'a [Shared<*const T>]),
    /// Both, tile by tile.
    Tiles(&'a Pointwise<'a, T>),
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
        let (modes, points) = (layout.modes(domain), layout.points(domain));
        let level = settings.level;
        let scale = (0..3)
            .filter(|a| domain.axes[*a].basis != Basis::Chebyshev)
            .map(|a| 1.0 / domain.axes[a].points as f64)
            .product::<f64>();
        let flat_domain = domain.points()[0] == 1;
        let fused = grid[1] == 1 && !flat_domain;
        let m2 = domain.modes()[2];
        // Rows on whole cache lines, an odd number of them apart.
        let pitch = m2.next_multiple_of(4) / 4 * 4;
        let pitch = if pitch / 4 % 2 == 0 { pitch + 4 } else { pitch };
        let (x_rows, y_rows, runs) = tables(domain, &layout, fused.then_some(pitch));
        let axes = [Strided::new(&domain.axes[0], level), Strided::new(&domain.axes[1], level)];
        // Ranks beyond the process grid have none.
        let ordered = |axis: &Strided<T>, [modes, points]: [Vec<Place>; 2]| match points.is_empty() {
            true => Default::default(),
            false => axis.in_order(&modes, &points),
        };
        let core = Core {
            domain: domain.clone(),
            level,
            modes,
            points,
            scales: Scales::coordinates(domain, points),
            x_rows: ordered(&axes[0], x_rows),
            y_rows: ordered(&axes[1], y_rows),
            axes,
            last: Contiguous::new(&domain.axes[2], domain.complex, scale, level),
            flat_domain,
            fused,
            runs,
            plane: domain.points()[1] * pitch,
            pitch,
            tile_rows: level.lanes::<T>().max(8),
            scratch: Mutex::new(Vec::new()),
        };
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

    /// Complex numbers of one array of `mid`, `wide`, `flat`, `tall`.
    fn sizes(&self) -> [usize; 4] {
        let (m, n) = (self.core.domain.modes(), self.core.domain.points());
        let (a, b) = (self.core.modes.count, self.core.points.count);
        [b[0] * m[1] * a[2], n[0] * a[1] * a[2], b[0] * b[1] * m[2], b[0] * n[1] * a[2]]
    }

    /// Buffers for `fields` fields at once.
    fn reserve(&mut self, fields: usize) {
        let [mid, wide, flat, tall] = self.sizes();
        let [p1, p2] = self.layout.grid;
        let zeros = |n: usize| {
            let zeros = vec![Complex::new(T::zero(), T::zero()); n];
            super::memory::prefer_large_pages(&zeros);
            zeros
        };
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

    /// [`descend`](Self::descend) on one rank: all fields in one pass per axis, so that threads meet once.
    fn descend_alone(&mut self, inputs: &[&[Complex<T>]]) {
        let core = &self.core;
        if !core.flat_domain {
            let fields: FieldList<_> = inputs.iter().zip(&mut self.mid).map(|(c, mid)| Ends::plain(c, mid)).collect();
            core.x(true, &fields, None);
        }
        if !core.fused {
            let from = |f: usize| if core.flat_domain { inputs[f] } else { &self.mid[f] };
            let pairs = self.flat.iter_mut().enumerate().take(inputs.len());
            let fields: FieldList<_> = pairs.map(|(f, flat)| Ends::plain(from(f), flat)).collect();
            core.y(true, &fields, None);
        }
    }

    /// [`ascend`](Self::ascend) on one rank.
    fn ascend_alone(&mut self, outputs: &mut [&mut [Complex<T>]]) {
        let core = &self.core;
        if !core.fused {
            let mut fields = FieldList::new();
            for (f, output) in outputs.iter_mut().enumerate() {
                let to = if core.flat_domain { &mut **output } else { &mut self.mid[f][..] };
                fields.push(Ends::plain(&self.flat[f], to));
            }
            core.y(false, &fields, None);
        }
        if !core.flat_domain {
            let fields: FieldList<_> = self.mid.iter().zip(outputs).map(|(mid, c)| Ends::plain(mid, c)).collect();
            core.x(false, &fields, None);
        }
    }

    /// Coefficients to `mid` (fused) or `flat`.
    fn descend(&mut self, team: &dyn Team, inputs: &[&[Complex<T>]]) {
        let [p1, p2] = self.layout.grid;
        if p1 * p2 == 1 {
            return self.descend_alone(inputs);
        }
        let mut first: [Option<Flight<Complex<T>>>; 2] = [None, None];
        let mut second: Vec<Option<Flight<Complex<T>>>> = Vec::new();
        let fields = inputs.len();
        for f in 0..=fields {
            if f < fields && !self.core.flat_domain {
                let mut mid = std::mem::take(&mut self.mid[f]);
                let mut wide = self.wide.pop().unwrap_or_default();
                let flight = first[(f + 1) % 2].as_mut();
                self.core.x(true, &[Ends::scatter(inputs[f], [&mut wide, &mut mid])], flight);
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
            self.core.y(true, &[Ends::scatter(from, [&mut tall, &mut flat])], flight);
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
        if p1 * p2 == 1 {
            return self.ascend_alone(outputs);
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
                self.core.y(false, &[Ends::gather([&tall, &self.flat[f]], to)], flight);
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
            self.core.x(false, &[Ends::gather([&wide, &self.mid[g]], outputs[g])], first[f % 2].as_mut());
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
        let arrays = if self.core.fused { &mut self.mid } else { &mut self.flat };
        let fields = inputs.max(outputs);
        let arrays: FieldList<_> = arrays[..fields].iter_mut().map(|a| Shared(a.as_mut_ptr())).collect();
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
        self.reserve(values.len());
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
        self.reserve(values.len());
        let values: Vec<_> = values.iter().map(|v| Shared(v.as_ptr())).collect();
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
        self.reserve(inputs.len().max(outputs.len()));
        self.descend(team, inputs);
        self.on_grid(inputs.len(), outputs.len(), &Work::Tiles(pointwise));
        self.ascend(team, outputs);
    }
}

impl<T: Real> Distributed<T> {
    /// # Panics
    /// If an array is not as long as this rank's block: the passes go by pointers.
    fn check(&self, modes: impl Iterator<Item = usize>, values: impl Iterator<Item = usize>) {
        let (m, n) = (self.core.modes.len(), self.core.points.len() * self.core.domain.reals());
        assert!(modes.into_iter().all(|l| l == m), "arrays of {m} coefficients");
        assert!(values.into_iter().all(|l| l == n), "arrays of {n} grid values");
    }
}

/// Progress of messages between the parts of a pass.
type Moving<'a, 't, T> = Option<&'a mut Flight<'t, Complex<T>>>;

impl<T: Real> Core<T> {
    /// The pass along axis 0.
    fn x(&self, backward: bool, fields: &[Ends<T>], flight: Moving<T>) {
        self.pass(0, backward, 1, self.modes.count[1] * self.modes.count[2], fields, flight);
    }

    /// The pass along axis 1.
    fn y(&self, backward: bool, fields: &[Ends<T>], flight: Moving<T>) {
        self.pass(1, backward, self.points.count[0], self.modes.count[2], fields, flight);
    }

    /// A pass along axis 0 or 1 over all planes and columns of some fields, in tasks of some columns.
    fn pass(&self, axis: usize, backward: bool, planes: usize, columns: usize, fields: &[Ends<T>], flight: Moving<T>) {
        let rows = if axis == 0 { &self.x_rows } else { &self.y_rows };
        let rows = &rows[usize::from(backward)];
        let rows_to = rows[1].iter().flatten().count();
        let width = self.width(fields.len() * planes * columns);
        let tasks = columns.div_ceil(width).max(1);
        let far = if self.is_large(planes * columns * rows_to) { Rows::Streamed } else { Rows::Far };
        let run = |task: usize| {
            let (field, task) = (&fields[task / (planes * tasks)], task % (planes * tasks));
            let (plane, part) = (task / tasks, task % tasks);
            // Tasks begin with a cache line where rows do; the first takes the columns before it.
            let head = rows[1]
                .iter()
                .flatten()
                .next()
                .map_or(0, |p| columns_to_line(field.to[usize::from(p.second)].wrapping_add(p.base), 0));
            let first = if part == 0 { 0 } else { columns.min(head + part * width) };
            let columns = first..columns.min(head + (part + 1) * width);
            self.with_scratch(|s| {
                s.list(rows, field.from, field.to, plane);
                // SAFETY: rows and columns lie within the arrays by construction of the tables; tasks have other
                // fields, columns or planes.
                unsafe { self.strided(axis, backward, columns, far, s) };
            });
        };
        let all = fields.len() * planes * tasks;
        match flight {
            None => each(all, run),
            Some(flight) => {
                // In a few parts, between which messages move on.
                let parts = 8;
                for part in 0..parts {
                    let (start, end) = (all * part / parts, all * (part + 1) / parts);
                    each(end - start, |i| run(start + i));
                    flight.progress();
                }
            }
        }
    }

    /// Columns of a task of a pass over so many in all: fewer where threads would otherwise not end together.
    fn width(&self, columns: usize) -> usize {
        match rayon::current_num_threads() {
            1 => COLUMNS,
            threads => columns.div_ceil(4 * threads).max(1).next_multiple_of(self.level.lanes::<T>()).min(COLUMNS),
        }
    }

    /// # Safety
    /// The rows listed in `s` must be valid for the columns.
    unsafe fn strided(&self, axis: usize, backward: bool, columns: Range<usize>, rows: Rows, s: &mut Scratch<T>) {
        let [a, b, c] = &mut s.lanes;
        let buffers = Buffers { a: a.start(), b: b.start(), c: c.start(), line: &mut s.line };
        let job = StridedJob { plan: &self.axes[axis], backward, from: &s.from, to: &s.to, columns, rows, buffers };
        // SAFETY: the level was checked, the buffers are long enough.
        unsafe { enter(self.level, job) };
    }

    /// Grid work on all planes; `arrays` hold the fields before and the products after.
    fn on_grid(&self, arrays: &[Shared<*mut Complex<T>>], inputs: usize, outputs: usize, work: &Work<T>) {
        let [planes, rows, _] = self.points.count;
        let work = Shared(std::ptr::from_ref(work));
        // SAFETY: it outlives the tasks; what it points to is `Sync` or shared by disjoint parts.
        let work = || unsafe { &*work.get() };
        if self.fused {
            each(planes, |plane| self.with_scratch(|s| self.plane(s, plane, arrays, inputs, outputs, work())));
            return;
        }
        let tiles = rows.div_ceil(self.tile_rows);
        each(planes * tiles, |task| {
            let (plane, first) = (task / tiles, task % tiles * self.tile_rows);
            let tile = first..rows.min(first + self.tile_rows);
            self.with_scratch(|s| {
                let line = plane * rows;
                self.tile(s, plane, tile, line, |_, f| arrays[f].get(), inputs, outputs, work());
            });
        });
    }

    /// One plane: axis 1, tiles of axis 2 with the work between, axis 1.
    fn plane(
        &self,
        s: &mut Scratch<T>,
        plane: usize,
        arrays: &[Shared<*mut Complex<T>>],
        inputs: usize,
        outputs: usize,
        work: &Work<T>,
    ) {
        while s.planes.len() < arrays.len() {
            s.planes.push(Aligned::new(2 * self.plane));
        }
        let columns = 0..self.modes.count[2];
        let large = self.is_large(self.points.count[0] * self.y_rows[0][1].len() * columns.len());
        let kept = if large { Rows::Near } else { Rows::Far };
        let in_plane = |s: &mut Scratch<T>, f: usize| -> *mut Complex<T> { s.planes[f].start().cast() };
        for (f, array) in arrays.iter().enumerate().take(inputs) {
            let to = in_plane(s, f);
            s.list(&self.y_rows[1], [array.get(); 2].map(<*mut _>::cast_const), [to; 2], plane);
            // SAFETY: this plane's rows of the array, and a plane of this thread.
            unsafe {
                if large {
                    s.bring(to, self.pitch, columns.len());
                }
                self.strided(1, true, columns.clone(), kept, s);
            }
        }
        let rows = self.points.count[1];
        for first in (0..rows).step_by(self.tile_rows) {
            self.tile(s, plane, first..rows.min(first + self.tile_rows), 0, in_plane, inputs, outputs, work);
        }
        for (f, array) in arrays.iter().enumerate().take(outputs) {
            let from = in_plane(s, f);
            s.list(&self.y_rows[0], [from.cast_const(); 2], [array.get(); 2], plane);
            // SAFETY: as above.
            unsafe {
                if large {
                    s.stay(from, self.pitch);
                }
                self.strided(1, false, columns.clone(), kept, s);
                if large {
                    s.send(columns.len());
                }
            }
        }
    }

    /// Whether an array of so many numbers does not stay in the caches between two passes.
    fn is_large(&self, numbers: usize) -> bool {
        size_of::<Complex<T>>() * numbers > STREAM
    }

    /// Some rows of a plane: lines to the grid, work, and back. `line` is the number of row 0 among the lines of the runs.
    #[allow(clippy::too_many_arguments)]
    fn tile(
        &self,
        s: &mut Scratch<T>,
        plane: usize,
        rows: Range<usize>,
        line: usize,
        array: impl Fn(&mut Scratch<T>, usize) -> *mut Complex<T>,
        inputs: usize,
        outputs: usize,
        work: &Work<T>,
    ) {
        let reals = self.last.reals();
        let size = rows.len() * reals;
        let at = (plane * self.points.count[1] + rows.start) * reals;
        let lines = line + rows.start..line + rows.end;
        if let Work::Tiles(_) = work {
            s.values.reserve(inputs * size);
            s.products.reserve(outputs * size);
        }
        for f in 0..inputs {
            let values = match work {
                // SAFETY: this tile's rows of the array of values.
                Work::Keep(values) => unsafe { values[f].get().add(at) },
                // SAFETY: within the room made above.
                _ => unsafe { s.values.start().add(f * size) },
            };
            let modes = array(s, f).cast_const();
            let (plan, runs, lines) = (&self.last, &self.runs[..], lines.clone());
            let job = LinesBackward { plan, runs, modes, lines, values, buffers: s.buffers() };
            // SAFETY: runs lie within the arrays by construction; other tasks have other lines.
            unsafe { enter(self.level, job) };
        }
        if let Work::Tiles(pointwise) = work {
            let tile = self.scales.tile(plane, rows.clone());
            let (values, products) = (s.values.start().cast_const(), s.products.start());
            // SAFETY: disjoint parts of this thread's room.
            let input = |f: usize| unsafe { std::slice::from_raw_parts(values.add(f * size), size) };
            let output = |f: usize| unsafe { std::slice::from_raw_parts_mut(products.add(f * size), size) };
            call(pointwise, &tile, (0..inputs).map(input), inputs, (0..outputs).map(output), outputs);
        }
        for f in 0..outputs {
            let values = match work {
                // SAFETY: as above.
                Work::Given(values) => unsafe { values[f].get().add(at) },
                _ => unsafe { s.products.start().add(f * size).cast_const() },
            };
            let modes = array(s, f);
            let (plan, runs, lines) = (&self.last, &self.runs[..], lines.clone());
            let job = LinesForward { plan, runs, modes, lines, values, buffers: s.buffers() };
            // SAFETY: as above.
            unsafe { enter(self.level, job) };
        }
    }

    fn with_scratch(&self, act: impl FnOnce(&mut Scratch<T>)) {
        let free = || self.scratch.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let taken = free().pop();
        let mut scratch = taken.unwrap_or_else(|| Box::new(self.new_scratch()));
        act(&mut scratch);
        free().push(scratch);
    }

    fn new_scratch(&self) -> Scratch<T> {
        let elements = self.axes.iter().map(Strided::elements).chain([self.last.elements().max(self.modes_of_line())]);
        let lanes = elements.max().unwrap_or(1) * 2 * self.level.lanes::<T>();
        let line = self.axes.iter().map(Strided::line).chain([self.last.line()]).max().unwrap_or(0);
        Scratch {
            lanes: std::array::from_fn(|_| Aligned::new(lanes)),
            line: vec![Complex::new(T::zero(), T::zero()); line],
            from: Vec::new(),
            to: Vec::new(),
            out: Vec::new(),
            planes: Vec::new(),
            values: Aligned::new(0),
            products: Aligned::new(0),
        }
    }

    fn modes_of_line(&self) -> usize {
        self.domain.modes()[2].max(self.domain.points()[2] / 2 + 1)
    }
}

impl<T: Real> Scratch<T> {
    fn list(
        &mut self,
        rows: &[Vec<Option<Place>>; 2],
        from: [*const Complex<T>; 2],
        to: [*mut Complex<T>; 2],
        plane: usize,
    ) {
        let [rows_from, rows_to] = rows;
        self.from.clear();
        self.to.clear();
        let at = |p: &Place| p.base + plane * p.step;
        // Only addresses are made here; what is behind them was made valid by the tables.
        let source = |p: &Place| from[usize::from(p.second)].wrapping_add(at(p));
        let sink = |p: &Place| to[usize::from(p.second)].wrapping_add(at(p));
        self.from.extend(rows_from.iter().map(|p| p.as_ref().map_or(std::ptr::null(), source)));
        self.to.extend(rows_to.iter().map(|p| p.as_ref().map_or(std::ptr::null_mut(), sink)));
    }

    /// Copies the listed rows to a plane, in the order of memory, and lists those of the plane instead: rows of a plane
    /// follow each other, so that memory is read as one piece, at more than twice the rate of columns of rows.
    ///
    /// # Safety
    /// The rows are valid for `columns`, the plane for as many rows of `pitch`.
    unsafe fn bring(&mut self, plane: *mut Complex<T>, pitch: usize, columns: usize) {
        let mut row = plane;
        // The inverse transform takes the rows in opposite order.
        for from in self.from.iter_mut().rev().filter(|row| !row.is_null()) {
            unsafe {
                std::ptr::copy_nonoverlapping(*from, row, columns);
                *from = row;
                row = row.add(pitch);
            }
        }
    }

    /// Lists rows of the plane as those to write to, and keeps where they are to go by [`send`](Self::send).
    fn stay(&mut self, plane: *mut Complex<T>, pitch: usize) {
        self.out.clear();
        self.out.extend_from_slice(&self.to);
        let kept = self.to.iter_mut().filter(|row| !row.is_null());
        kept.enumerate().for_each(|(i, row)| *row = plane.wrapping_add(i * pitch));
    }

    /// Copies the rows of a plane to where they go.
    ///
    /// # Safety
    /// The rows are valid for `columns`.
    unsafe fn send(&mut self, columns: usize) {
        for (from, to) in self.to.iter().zip(&self.out).filter(|(row, _)| !row.is_null()) {
            unsafe { stream_copy(from.cast_const().cast(), to.cast(), columns * size_of::<Complex<T>>()) };
        }
        settle();
    }

    fn buffers(&mut self) -> Buffers<'_, T> {
        let [a, b, c] = &mut self.lanes;
        Buffers { a: a.start(), b: b.start(), c: c.start(), line: &mut self.line }
    }
}
