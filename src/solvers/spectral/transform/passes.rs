//! The passes over the part of a rank, in tasks that threads share out.

use std::ops::Range;
use std::sync::Mutex;

use num_complex::Complex;
use smallvec::SmallVec;

use super::blocks::Blocks;
use super::layout::Layout;
use super::lines::{Contiguous, LinesBackward, LinesForward, Run};
use super::scratch::{Aligned, Scratch};
use super::strided::{Rows, Strided, StridedJob, columns_to_line};
use super::tables::{Place, tables};
use super::vector::{Level, enter};
use super::{Counts, Pointwise, Scales, Then};
use crate::crew::each;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Basis, Block, Domain, Tile};
use crate::team::{Flight, machine};

/// Columns of a task of a strided pass.
const COLUMNS: usize = 64;
/// Of the last cache, what an array takes that stays there between two passes, beside what they read and write.
const STAYS: f64 = 0.25;
/// Fields whose slices are listed without an allocation.
pub const LISTED: usize = 24;

/// What threads share.
pub struct Core<T: Real> {
    pub domain: Domain,
    level: Level,
    pub modes: Block,
    pub points: Block,
    /// Of the points.
    scales: Scales,
    /// Of the modes.
    waves: Scales,
    axes: [Strided<T>; 2],
    /// None in one dimension: a line alone has a transform of its own.
    last: Option<Contiguous<T>>,
    /// Axis 0 has nothing to do.
    pub flat_domain: bool,
    /// Planes are worked on whole.
    pub fused: bool,
    /// Rows of axis 0, in spectral arrays and in (`wide`, `mid`): from and to, forwards and backwards.
    x_rows: [[Vec<Option<Place>>; 2]; 2],
    /// Rows of axis 1, in `mid` and in (`tall`, `flat`), or in a plane when fused.
    y_rows: [[Vec<Option<Place>>; 2]; 2],
    runs: Vec<Run>,
    /// Complex numbers from row to row of a plane when fused.
    pitch: usize,
    tile_rows: usize,
    /// Bytes of the part of an array that this rank has from which on passes write past the caches, and planes are brought
    /// in and out row by row.
    stream: usize,
    /// Of each thread, so that it stays in that one's cache from loop to loop.
    scratch: Vec<Own<T>>,
}

/// Work space of a thread while it does not use it, on cache lines of its own.
#[repr(align(128))]
struct Own<T>(Mutex<Option<Box<Scratch<T>>>>);

/// A pointer that tasks share; each touches other places behind it.
#[derive(Clone, Copy)]
pub struct Shared<P>(pub P);

// SAFETY: see the passes: tasks write to disjoint rows or columns.
unsafe impl<P> Send for Shared<P> {}
unsafe impl<P> Sync for Shared<P> {}

impl<P: Copy> Shared<P> {
    fn get(&self) -> P {
        self.0
    }
}

/// The arrays that a pass takes a field from and puts it to: its tables say in which of them a row lies.
#[derive(Clone, Copy)]
pub struct Ends<'a, T> {
    pub from: &'a [*mut Complex<T>],
    pub to: &'a [*mut Complex<T>],
}

// SAFETY: see the passes: tasks write to disjoint rows or columns.
unsafe impl<T> Send for Ends<'_, T> {}
unsafe impl<T> Sync for Ends<'_, T> {}

/// Calls `pointwise` with the first so many slices of each kind, listed without an allocation if they are few.
pub fn call<'a, T: Real>(
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
pub enum Work<'a, T> {
    /// Values are kept.
    Keep(&'a [Shared<*mut T>]),
    /// Products are given.
    Given(&'a [Shared<*const T>]),
    /// Both, tile by tile.
    Tiles(&'a Pointwise<'a, T>),
}

/// Progress of messages between the parts of a pass.
pub type Moving<'a, 't, T> = Option<&'a mut Flight<'t, Complex<T>>>;

/// What an array may have on each of so many ranks of a node to stay in their last caches.
fn stream(ranks_per_node: usize) -> usize {
    // Small enough for tests to go both ways.
    let (bytes, cores) = if cfg!(test) { (128 << 10, 8) } else { machine::last_cache() };
    let caches = (ranks_per_node * rayon::current_num_threads()).div_ceil(cores);
    (STAYS * (bytes * caches) as f64) as usize / ranks_per_node
}

impl<T: Real> Core<T> {
    /// The passes of the rank of `layout`, with tables for ranks that are `together` or not, so many of which a node has.
    pub fn new(domain: &Domain, layout: &Layout, level: Level, together: bool, ranks_per_node: usize) -> Self {
        let (modes, points) = (layout.modes(domain), layout.points(domain));
        let scale = (0..3)
            .filter(|a| domain.axes[*a].basis != Basis::Chebyshev)
            .map(|a| 1.0 / domain.axes[a].points as f64)
            .product::<f64>();
        let flat_domain = domain.points()[0] == 1;
        let fused = layout.grid[1] == 1 && !flat_domain;
        let m2 = domain.modes()[2];
        // Rows on whole cache lines, an odd number of them apart.
        let pitch = m2.next_multiple_of(4);
        let pitch = if pitch / 4 % 2 == 0 { pitch + 4 } else { pitch };
        let (x_rows, y_rows, runs) = tables(domain, layout, fused.then_some(pitch), together);
        let axes = [Strided::new(&domain.axes[0], level), Strided::new(&domain.axes[1], level)];
        // Ranks beyond the process grid have none.
        let ordered = |axis: &Strided<T>, [modes, points]: [Vec<Place>; 2]| match points.is_empty() {
            true => Default::default(),
            false => axis.in_order(&modes, &points),
        };
        Core {
            domain: domain.clone(),
            level,
            modes,
            points,
            scales: Scales::coordinates(domain, points),
            waves: Scales::wavenumbers(domain, modes),
            x_rows: ordered(&axes[0], x_rows),
            y_rows: ordered(&axes[1], y_rows),
            axes,
            last: (domain.dimension > 1).then(|| Contiguous::new(&domain.axes[2], domain.complex, scale, level)),
            flat_domain,
            fused,
            runs,
            pitch,
            stream: stream(ranks_per_node),
            tile_rows: level.lanes::<T>().max(8),
            scratch: (0..rayon::current_num_threads()).map(|_| Own(Mutex::new(None))).collect(),
        }
    }

    fn last(&self) -> &Contiguous<T> {
        self.last.as_ref().expect("passes are for more dimensions than one")
    }

    /// The pass along axis 0.
    pub fn x(&self, backward: bool, fields: &[Ends<T>], flight: Moving<T>) {
        self.pass(0, backward, 1, self.modes.count[1] * self.modes.count[2], fields, flight);
    }

    /// The pass along axis 1.
    pub fn y(&self, backward: bool, fields: &[Ends<T>], flight: Moving<T>) {
        self.pass(1, backward, self.points.count[0], self.modes.count[2], fields, flight);
    }

    /// A pass along axis 0 or 1 over all planes and columns of some fields, in tasks of some columns; in place where all
    /// fields have the same arrays at both ends.
    fn pass(&self, axis: usize, backward: bool, planes: usize, columns: usize, fields: &[Ends<T>], flight: Moving<T>) {
        let rows = if axis == 0 { &self.x_rows } else { &self.y_rows };
        let rows = &rows[usize::from(backward)];
        let rows_to = rows[1].iter().flatten().count();
        let width = self.width(fields.len() * planes * columns);
        let tasks = columns.div_ceil(width).max(1);
        let far = if fields.iter().all(|field| field.from == field.to) {
            Rows::Brought
        } else if self.is_large(planes * columns * rows_to) {
            Rows::Streamed
        } else {
            Rows::Far
        };
        let run = |task: usize| {
            let (field, task) = (&fields[task / (planes * tasks)], task % (planes * tasks));
            let (plane, part) = (task / tasks, task % tasks);
            // Tasks begin with a cache line where rows do; the first takes the columns before it.
            let head = rows[1]
                .iter()
                .flatten()
                .next()
                .map_or(0, |p| columns_to_line(field.to[p.array].wrapping_add(p.base), 0));
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

    /// The blocks of [`Core::x_then`] for so many fields.
    pub fn blocks(&self, fields: usize) -> Option<Blocks> {
        let (number, lanes) = (size_of::<Complex<T>>(), self.level.lanes::<T>());
        Blocks::new(self.modes.count, fields, number, lanes, self.scratch.len())
    }

    /// The pass forward along axis 0 over arrays of fields, in blocks that `then` takes while they are in the second-level
    /// cache; what it leaves there goes the way back from there.
    pub fn x_then(&self, blocks: &Blocks, fields: &[&[*mut Complex<T>]], counts: Counts, then: &Then<T>) {
        let [planes, rows, columns] = self.modes.count;
        let fields = Shared(std::ptr::from_ref(fields));
        if self.modes.is_empty() {
            return;
        }
        each(blocks.count(), |block| {
            // SAFETY: it outlives the tasks, which touch their own columns of the arrays behind it.
            let fields = unsafe { &*fields.get() };
            let [of_axis_1, of_axis_2] = blocks.nth(block);
            let begin = of_axis_1.start * columns + of_axis_2.start;
            let count = of_axis_1.len() * of_axis_2.len();
            self.with_scratch(|s| {
                s.values.reserve(2 * fields.len() * blocks.numbers());
                s.products.reserve(2 * counts.work * blocks.pitch());
                let room: *mut Complex<T> = s.values.start().cast();
                let beside: *mut Complex<T> = s.products.start().cast();
                let in_room = |f: usize, p: &Place| {
                    let plane = p.base / (rows * columns);
                    room.wrapping_add(f * blocks.numbers() + plane * blocks.pitch()).wrapping_sub(begin)
                };
                let in_array = |f: usize, p: &Place| fields[f][p.array].wrapping_add(p.base);
                for f in 0..counts.outputs {
                    s.list_by(&self.x_rows[0], |p| in_array(f, p), |p| in_room(f, p));
                    // SAFETY: the rows of the tables are as long as a plane has columns; those of the block in the room
                    // made above are as long as the block has.
                    unsafe { self.strided(0, false, begin..begin + count, Rows::Brought, s) };
                }
                for plane in 0..planes {
                    let tile = self.waves.part(plane, of_axis_1.clone(), of_axis_2.clone());
                    let at = plane * rows * columns + begin;
                    // SAFETY: within the rooms, which this thread alone has; no two slices overlap.
                    let slice = |start: *mut Complex<T>| unsafe { std::slice::from_raw_parts_mut(start, count) };
                    let of_field = |f| slice(room.wrapping_add(f * blocks.numbers() + plane * blocks.pitch()));
                    let of_work = |w| slice(beside.wrapping_add(w * blocks.pitch()));
                    let mut values: SmallVec<[_; LISTED]> = (0..fields.len()).map(of_field).collect();
                    let mut work: SmallVec<[_; LISTED]> = (0..counts.work).map(of_work).collect();
                    then(&tile, at..at + count, &mut values, &mut work);
                }
                for f in 0..counts.next {
                    s.list_by(&self.x_rows[1], |p| in_room(f, p), |p| in_array(f, p));
                    // SAFETY: as above.
                    unsafe { self.strided(0, true, begin..begin + count, Rows::Sent, s) };
                }
            });
        });
    }

    /// Columns of a task of a pass over so many in all: fewer where threads would otherwise not end together.
    fn width(&self, columns: usize) -> usize {
        match rayon::current_num_threads() {
            1 => COLUMNS,
            threads => columns.div_ceil(8 * threads).max(1).next_multiple_of(self.level.lanes::<T>()).min(COLUMNS),
        }
    }

    /// # Safety
    /// The rows listed in `s` must be valid for the columns.
    unsafe fn strided(&self, axis: usize, backward: bool, columns: Range<usize>, rows: Rows, s: &mut Scratch<T>) {
        let (from, to, buffers) = s.rows_and_buffers();
        let job = StridedJob { plan: &self.axes[axis], backward, from, to, columns, rows, buffers };
        // SAFETY: the level was checked, the buffers are long enough.
        unsafe { enter(self.level, job) };
    }

    /// Grid work on all planes; `arrays` hold the fields before and the products after.
    pub fn on_grid(&self, arrays: &[Shared<*mut Complex<T>>], inputs: usize, outputs: usize, work: &Work<T>) {
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
            s.planes.push(Aligned::new(2 * self.domain.points()[1] * self.pitch));
        }
        let columns = 0..self.modes.count[2];
        let large = self.is_large(self.points.count[0] * self.y_rows[0][1].len() * columns.len());
        let [brought, sent] = if large { [Rows::Near; 2] } else { [Rows::Brought, Rows::Sent] };
        let in_plane = |s: &mut Scratch<T>, f: usize| -> *mut Complex<T> { s.planes[f].start().cast() };
        for (f, array) in arrays.iter().enumerate().take(inputs) {
            let to = in_plane(s, f);
            s.list(&self.y_rows[1], &[array.get()], &[to], plane);
            // SAFETY: this plane's rows of the array, and a plane of this thread.
            unsafe {
                if large {
                    s.bring(to, self.pitch, columns.len());
                }
                self.strided(1, true, columns.clone(), brought, s);
            }
        }
        let rows = self.points.count[1];
        if large && plane + 1 < self.points.count[0] {
            let asked = rows.div_ceil(self.tile_rows) * (inputs + outputs);
            let arrays = arrays[..inputs].iter().map(|array| array.get());
            s.expect(&self.y_rows[1][0], arrays, plane + 1, columns.len(), asked);
        }
        for first in (0..rows).step_by(self.tile_rows) {
            self.tile(s, plane, first..rows.min(first + self.tile_rows), 0, in_plane, inputs, outputs, work);
        }
        for (f, array) in arrays.iter().enumerate().take(outputs) {
            let from = in_plane(s, f);
            s.list(&self.y_rows[0], &[from], &[array.get()], plane);
            // SAFETY: as above.
            unsafe {
                if large {
                    s.stay(from, self.pitch);
                }
                self.strided(1, false, columns.clone(), sent, s);
                if large {
                    s.send(columns.len());
                }
            }
        }
    }

    /// Whether an array of so many numbers does not stay in the caches between two passes.
    fn is_large(&self, numbers: usize) -> bool {
        size_of::<Complex<T>>() * numbers > self.stream
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
        let reals = self.last().reals();
        let size = rows.len() * reals;
        let at = (plane * self.points.count[1] + rows.start) * reals;
        let lines = line + rows.start..line + rows.end;
        if let Work::Tiles(_) = work {
            s.values.reserve(inputs * size);
            s.products.reserve(outputs * size);
        }
        for f in 0..inputs {
            s.ask();
            let values = match work {
                // SAFETY: this tile's rows of the array of values.
                Work::Keep(values) => unsafe { values[f].get().add(at) },
                // SAFETY: within the room made above.
                _ => unsafe { s.values.start().add(f * size) },
            };
            let modes = array(s, f).cast_const();
            let (plan, runs, lines) = (self.last(), &self.runs[..], lines.clone());
            let far = matches!(work, Work::Keep(_));
            let job = LinesBackward { plan, runs, modes, lines, values, far, buffers: s.buffers() };
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
            s.ask();
            let values = match work {
                // SAFETY: as above.
                Work::Given(values) => unsafe { values[f].get().add(at) },
                _ => unsafe { s.products.start().add(f * size).cast_const() },
            };
            let modes = array(s, f);
            let (plan, runs, lines) = (self.last(), &self.runs[..], lines.clone());
            let job = LinesForward { plan, runs, modes, lines, values, buffers: s.buffers() };
            // SAFETY: as above.
            unsafe { enter(self.level, job) };
        }
    }

    fn with_scratch(&self, act: impl FnOnce(&mut Scratch<T>)) {
        let thread = rayon::current_thread_index().unwrap_or(0) % self.scratch.len();
        let own = || self.scratch[thread].0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let taken = own().take();
        let mut scratch = taken.unwrap_or_else(|| Box::new(self.new_scratch()));
        act(&mut scratch);
        *own() = Some(scratch);
    }

    fn new_scratch(&self) -> Scratch<T> {
        let modes_of_line = self.domain.modes()[2].max(self.domain.points()[2] / 2 + 1);
        let elements = self.axes.iter().map(Strided::elements).chain([self.last().elements().max(modes_of_line)]);
        let lanes = elements.max().unwrap_or(1) * 2 * self.level.lanes::<T>();
        Scratch::new(lanes, self.axes.iter().map(Strided::line).chain([self.last().line()]).max().unwrap_or(0))
    }
}
