//! Transforms of all lines along one axis, a group of lanes at a time: kept modes are padded by zeros when they are
//! loaded, truncated when they are stored, so that modes that are not kept are never touched.

use std::cell::Cell;

use num_complex::Complex;

use super::fft::{Buffer, Fft, Sink, Source, root};
use super::vector::{Job, Level, Vector, prefetch, settle};
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Axis, Basis};

/// Lines whose consecutive elements are rows: the first two axes. Rows are given by pointers to their first column: one
/// for each element of the complex transform, null for modes that are not kept; for Chebyshev axes
/// one for each degree on the side of the modes.
pub struct Strided<T: Real> {
    fft: Fft<T>,
    modes: usize,
    /// For each element of the complex transform its mode, if it is kept, and its point.
    order: [Vec<Option<usize>>; 2],
    /// Chebyshev: ω_k / 2 and the factors of the forward transform.
    chebyshev: Option<Vec<(Complex<T>, T)>>,
}

/// Positions of kept Fourier modes in a transform of `n` points.
fn places(axis: &Axis) -> Vec<usize> {
    (0..axis.modes()).map(|i| axis.number(i).rem_euclid(axis.points as i64) as usize).collect()
}

impl<T: Real> Strided<T> {
    pub fn new(axis: &Axis, level: Level) -> Strided<T> {
        let (n, modes) = (axis.points, axis.modes());
        let mut order = [vec![None; n], (0..n).map(Some).collect()];
        let mut chebyshev = None;
        if axis.basis == Basis::Chebyshev {
            order[0] = (0..n).map(|k| (k < modes).then_some(k)).collect();
            // Ascending points are the standard ones from the last to the first; the standard ones go even ones first,
            // then odd ones backwards (J. Makhoul, IEEE Trans. ASSP 28 (1980) 27).
            for (point, s) in (0..n).rev().enumerate() {
                order[1][if s % 2 == 0 { s / 2 } else { n - 1 - s / 2 }] = Some(point);
            }
            let factor = |k: usize| T::of(if k == 0 { 1.0 } else { 2.0 } / n as f64);
            chebyshev = Some((0..n).map(|k| (T::complex(root(k, 4 * n) * 0.5), factor(k))).collect());
        } else {
            places(axis).into_iter().enumerate().for_each(|(mode, at)| order[0][at] = Some(mode));
        }
        Strided { fft: Fft::new(n, level), modes, order, chebyshev }
    }

    /// Rows of modes and of points in the order in which [`StridedJob`] takes them: from and to, forwards and backwards.
    pub fn in_order<P: Clone>(&self, modes: &[P], points: &[P]) -> [[Vec<Option<P>>; 2]; 2] {
        let list = |order: &[Option<usize>], rows: &[P]| -> Vec<_> {
            order.iter().map(|i| i.map(|i| rows[i].clone())).collect()
        };
        let [modes, points] = [list(&self.order[0], modes), list(&self.order[1], points)];
        let mut opposite = modes.clone();
        if self.chebyshev.is_none() {
            // The inverse transform is the forward one of the elements in opposite order.
            opposite[1..].reverse();
        }
        [[points.clone(), modes], [opposite, points]]
    }

    /// Elements of a buffer.
    pub fn elements(&self) -> usize {
        self.fft.len()
    }

    pub fn line(&self) -> usize {
        self.fft.line()
    }
}

/// Work space of one group of lanes.
pub struct Buffers<'a, T> {
    pub a: *mut T,
    pub b: *mut T,
    pub c: *mut T,
    pub line: &'a mut [Complex<T>],
}

/// Where the rows of a strided transform are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// In the second-level cache.
    Near,
    /// In memory: they are asked for before they are needed.
    Far,
    /// In memory, to be written to the second-level cache, or to where they were read.
    Brought,
    /// In memory, to be written past the caches where rows lie on whole cache lines.
    Streamed,
}

/// Some columns of a strided transform; `from` and `to` point to the first column of each row. A row of `to` may be one
/// of `from`: all rows of some columns are read before the first is written.
pub struct StridedJob<'a, T: Real> {
    pub plan: &'a Strided<T>,
    pub backward: bool,
    pub from: &'a [*const Complex<T>],
    pub to: &'a [*mut Complex<T>],
    pub columns: std::ops::Range<usize>,
    pub rows: Rows,
    pub buffers: Buffers<'a, T>,
}

impl<T: Real> Job<T> for StridedJob<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Vector<T>>(self) {
        let StridedJob { plan, backward, from, to, columns, mut rows, buffers } = self;
        let mut column = columns.start;
        // Groups begin with a cache line if the columns do.
        let head = (to.iter().find(|row| !row.is_null())).map_or(0, |row| columns_to_line(*row, column));
        if rows == Rows::Streamed && to.iter().any(|row| !row.is_null() && columns_to_line(*row, column) != head) {
            rows = Rows::Far;
        }
        while column < columns.end {
            let whole = if column == columns.start && head > 0 { head } else { V::LANES };
            let count = (columns.end - column).min(whole);
            let Buffers { a, b, .. } = buffers;
            let group = Columns { from, to, column, count, rows };
            unsafe {
                match (&plan.chebyshev, backward) {
                    (None, _) => plan.fft.run::<V>(&group, &group, a, b, buffers.line_again()),
                    (Some(roots), true) => chebyshev_backward::<T, V>(plan, roots, &group, &buffers),
                    (Some(roots), false) => chebyshev_forward::<T, V>(plan, roots, &group, &buffers),
                }
            }
            column += count;
        }
        if rows == Rows::Streamed {
            settle();
        }
    }
}

impl<T> Buffers<'_, T> {
    /// # Safety
    /// One at a time.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn line_again(&self) -> &mut [Complex<T>] {
        unsafe { std::slice::from_raw_parts_mut(self.line.as_ptr().cast_mut(), self.line.len()) }
    }
}

/// Columns of a row from `column` to the next beginning of a cache line.
pub fn columns_to_line<T>(row: *const Complex<T>, column: usize) -> usize {
    let at = row.wrapping_add(column) as usize;
    (at.next_multiple_of(64) - at) / size_of::<Complex<T>>()
}

/// Asks for the cache lines of a group of columns, which are to be read or written soon.
#[inline(always)]
fn fetch<T: Real, V: Vector<T>>(row: *const Complex<T>, column: usize) {
    let first: *const u8 = row.wrapping_add(column).cast();
    // A group that begins within a line shares that one with the group before it.
    for at in (63..V::LANES * size_of::<Complex<T>>()).step_by(64) {
        prefetch(first.wrapping_add(at));
    }
}

/// A group of `count` columns from `column` on, of rows that are elements of a transform; other lanes are zero.
struct Columns<'a, T> {
    from: &'a [*const Complex<T>],
    to: &'a [*mut Complex<T>],
    column: usize,
    count: usize,
    rows: Rows,
}

impl<T: Real, V: Vector<T>> Source<T, V> for Columns<'_, T> {
    /// Asks for the next group of the row, and for the columns to which this group goes in the end.
    #[inline(always)]
    unsafe fn take(&self, i: usize) -> (V, V) {
        unsafe {
            let (row, to) = (*self.from.get_unchecked(i), *self.to.get_unchecked(i));
            if self.rows == Rows::Far {
                fetch::<T, V>(to, self.column);
            }
            if row.is_null() {
                let zero = V::splat(T::zero());
                return (zero, zero);
            }
            if self.rows != Rows::Near {
                fetch::<T, V>(row, self.column + V::LANES);
            }
            let at: *const T = row.add(self.column).cast();
            let all = self.count == V::LANES;
            if all { V::load_pairs(at) } else { V::load_some_pairs(at, self.count) }
        }
    }
}

impl<T: Real, V: Vector<T>> Sink<T, V> for Columns<'_, T> {
    #[inline(always)]
    unsafe fn put(&self, i: usize, (re, im): (V, V)) {
        unsafe {
            let row = *self.to.get_unchecked(i);
            if row.is_null() {
                return;
            }
            let at = row.add(self.column).cast();
            if self.count < V::LANES {
                V::store_some_pairs(re, im, at, self.count);
            } else if self.rows == Rows::Streamed {
                V::stream_pairs(re, im, at);
            } else {
                V::store_pairs(re, im, at);
            }
        }
    }
}

/// The real and imaginary parts of element `i` of a buffer; exchanged with `swap`.
#[inline(always)]
unsafe fn element<T: Real, V: Vector<T>>(buffer: *const T, i: usize, swap: bool) -> (V, V) {
    unsafe {
        let at = buffer.add(2 * i * V::LANES);
        let (x, y) = (V::load(at), V::load(at.add(V::LANES)));
        if swap { (y, x) } else { (x, y) }
    }
}

#[inline(always)]
unsafe fn set<T: Real, V: Vector<T>>(buffer: *mut T, i: usize, swap: bool, (re, im): (V, V)) {
    unsafe {
        let at = buffer.add(2 * i * V::LANES);
        let (x, y) = if swap { (im, re) } else { (re, im) };
        x.store(at);
        y.store(at.add(V::LANES));
    }
}

#[inline(always)]
unsafe fn clear<T: Real, V: Vector<T>>(buffer: *mut T, elements: std::ops::Range<usize>) {
    unsafe {
        let zero = V::splat(T::zero());
        for i in elements {
            set(buffer, i, false, (zero, zero));
        }
    }
}

/// Positions between the kept modes of both signs.
fn gap(place: &[usize], n: usize) -> std::ops::Range<usize> {
    // Places are 0 … K, then n − (modes − K − 1) … n − 1.
    let jump = (1..place.len()).find(|&i| place[i] != i).unwrap_or(place.len());
    jump..place.get(jump).copied().unwrap_or(n)
}

/// u(x_i) = Σ_k c_k cos kθ_i, by one complex transform of V_k = ω̄_k (c_k − i c_{n−k}) / 2, ω_k = e^{−iπk/2n}.
#[inline(always)]
unsafe fn chebyshev_backward<T: Real, V: Vector<T>>(
    plan: &Strided<T>,
    roots: &[(Complex<T>, T)],
    columns: &Columns<T>,
    buffers: &Buffers<T>,
) {
    let n = plan.fft.len();
    unsafe {
        for k in 0..n {
            set::<T, V>(buffers.c, k, false, columns.take(k));
        }
        set::<T, V>(buffers.b, 0, false, element(buffers.c, 0, false));
        for (k, (w, _)) in roots.iter().enumerate().skip(1) {
            let (x, y) = (element::<T, V>(buffers.c, k, false), element::<T, V>(buffers.c, n - k, false));
            let (re, im) = (x.0.add(y.1), x.1.sub(y.0));
            let (c, s) = (V::splat(w.re), V::splat(-w.im));
            let z = (re.mul_sub(c, im.mul(s)), re.mul_add(s, im.mul(c)));
            // In opposite order, as the inverse transform is the forward one.
            set(buffers.b, n - k, false, z);
        }
        // The transform reads all of `b` before it writes there.
        plan.fft.run::<V>(&Buffer::new::<V>(buffers.b), columns, buffers.a, buffers.b, buffers.line_again());
    }
}

/// c_k = (2 − δ_{k0})/n Σ_i u(x_i) cos kθ_i = (2 − δ_{k0})/n · (ω_k V_k + ω̄_k V_{n−k}) / 2.
#[inline(always)]
unsafe fn chebyshev_forward<T: Real, V: Vector<T>>(
    plan: &Strided<T>,
    roots: &[(Complex<T>, T)],
    columns: &Columns<T>,
    buffers: &Buffers<T>,
) {
    let n = plan.fft.len();
    unsafe {
        let result = Buffer::new::<V>(buffers.c);
        plan.fft.run::<V>(columns, &result, buffers.a, buffers.b, buffers.line_again());
        for (k, (w, factor)) in roots.iter().enumerate().take(plan.modes) {
            let (x, y) = (element::<T, V>(buffers.c, k, false), element::<T, V>(buffers.c, (n - k) % n, false));
            // ω x + ω̄ y = c (x + y) + i s (x − y), with ω = c + i s.
            let (c, s, factor) = (V::splat(w.re), V::splat(w.im), V::splat(*factor));
            let re = x.0.add(y.0).mul_sub(c, x.1.sub(y.1).mul(s));
            let im = x.1.add(y.1).mul_add(c, x.0.sub(y.0).mul(s));
            columns.put(k, (re.mul(factor), im.mul(factor)));
        }
    }
}

/// Kept modes of the last axis that lie together in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Place of its first mode of line 0, and from line to line, in complex numbers.
    pub base: usize,
    pub pitch: usize,
    pub modes: usize,
}

/// Lines along the last axis, contiguous on the grid; the modes of a line may lie in several runs.
pub struct Contiguous<T: Real> {
    fft: Fft<T>,
    /// Points.
    n: usize,
    modes: usize,
    place: Vec<usize>,
    kind: Kind,
    /// e^{−2πik/n}, k = 0 … n/2, for real lines of even length.
    roots: Vec<Complex<T>>,
    /// What the forward transform multiplies by.
    scale: T,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Real, as n/2 complex numbers.
    Even,
    /// Real, n odd.
    Odd,
    Complex,
}

impl<T: Real> Contiguous<T> {
    pub fn new(axis: &Axis, complex: bool, scale: f64, level: Level) -> Contiguous<T> {
        let n = axis.points;
        let kind = match complex {
            true => Kind::Complex,
            false if n % 2 == 0 => Kind::Even,
            false => Kind::Odd,
        };
        let (length, roots) = if kind == Kind::Even { (n / 2, n / 2 + 1) } else { (n, 0) };
        Contiguous {
            fft: Fft::new(length, level),
            n,
            modes: axis.modes(),
            place: places(axis),
            kind,
            roots: (0..roots).map(|k| T::complex(root(k, n))).collect(),
            scale: T::of(if kind == Kind::Even { 0.5 * scale } else { scale }),
        }
    }

    /// Elements of a buffer.
    pub fn elements(&self) -> usize {
        self.fft.len() + 1
    }

    pub fn line(&self) -> usize {
        self.fft.line()
    }

    /// Reals of a line on the grid.
    pub fn reals(&self) -> usize {
        if self.kind == Kind::Complex { 2 * self.n } else { self.n }
    }
}

/// Coefficients of some lines to their grid values.
pub struct LinesBackward<'a, T: Real> {
    pub plan: &'a Contiguous<T>,
    pub runs: &'a [Run],
    pub modes: *const Complex<T>,
    /// Numbers of the lines in the runs.
    pub lines: std::ops::Range<usize>,
    /// Grid values of the first of the lines; the others follow.
    pub values: *mut T,
    /// They lie in memory, which is asked for them.
    pub far: bool,
    pub buffers: Buffers<'a, T>,
}

impl<T: Real> Job<T> for LinesBackward<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Vector<T>>(self) {
        let LinesBackward { plan, runs, modes, lines, values, far, buffers } = self;
        let mut first = lines.start;
        while first < lines.end {
            let count = (lines.end - first).min(V::LANES);
            unsafe {
                let values = values.add((first - lines.start) * plan.reals());
                let mut at = 0;
                for run in runs {
                    // Lanes without a line repeat the last one.
                    let line: [*const T; 16] =
                        std::array::from_fn(|l| modes.add(run.base + (first + l.min(count - 1)) * run.pitch).cast());
                    load_lines::<T, V>(&line, 2 * run.modes, buffers.c.add(2 * at * V::LANES));
                    at += run.modes;
                }
                let to: [*mut T; 16] = std::array::from_fn(|l| values.add(l.min(count - 1) * plan.reals()));
                // The lines follow each other: what will be written is one piece.
                let soon = Soon::new(values.cast_const(), if far { count * plan.reals() } else { 0 });
                lines_backward::<T, V>(plan, &buffers, &soon);
                store_lines::<T, V>(buffers.c, plan.reals(), &to, count);
            }
            first += count;
        }
    }
}

/// A piece of memory that is to be read or written soon, asked for one cache line at a time while there is other work: all
/// at once would hold up what comes next.
struct Soon {
    next: Cell<*const u8>,
    end: *const u8,
}

impl Soon {
    #[inline(always)]
    fn new<T>(start: *const T, numbers: usize) -> Soon {
        Soon { next: Cell::new(start.cast()), end: start.wrapping_add(numbers).cast() }
    }

    #[inline(always)]
    fn ask(&self) {
        let at = self.next.get();
        if at < self.end {
            prefetch(at);
            self.next.set(at.wrapping_add(64));
        }
    }
}

/// A buffer whose every use asks for a cache line of something else.
struct Asking<'a, T> {
    buffer: Buffer<T>,
    soon: &'a Soon,
}

impl<T: Real, V: Vector<T>> Source<T, V> for Asking<'_, T> {
    #[inline(always)]
    unsafe fn take(&self, i: usize) -> (V, V) {
        self.soon.ask();
        unsafe { self.buffer.take(i) }
    }
}

impl<T: Real, V: Vector<T>> Sink<T, V> for Asking<'_, T> {
    #[inline(always)]
    unsafe fn put(&self, i: usize, z: (V, V)) {
        self.soon.ask();
        unsafe { self.buffer.put(i, z) }
    }
}

/// The numbers 0..n of each lane's line, as vectors.
#[inline(always)]
unsafe fn load_lines<T: Real, V: Vector<T>>(lines: &[*const T; 16], n: usize, to: *mut T) {
    let whole = n - n % V::LANES;
    unsafe {
        for i in (0..whole).step_by(V::LANES) {
            V::load_transposed(lines, i, to.add(i * V::LANES));
        }
        for i in whole..n {
            for (l, line) in lines.iter().take(V::LANES).enumerate() {
                *to.add(i * V::LANES + l) = *line.add(i);
            }
        }
    }
}

/// The reverse, for the first `count` lanes.
#[inline(always)]
unsafe fn store_lines<T: Real, V: Vector<T>>(from: *const T, n: usize, lines: &[*mut T; 16], count: usize) {
    let whole = n - n % V::LANES;
    unsafe {
        for i in (0..whole).step_by(V::LANES) {
            V::store_transposed(from.add(i * V::LANES), lines, i, count);
        }
        for i in whole..n {
            for (l, line) in lines.iter().take(count).enumerate() {
                *line.add(i) = *from.add(i * V::LANES + l);
            }
        }
    }
}

/// X_k + X̄_{h−k} ± i e^{±2πik/n} (X_k − X̄_{h−k}) and the same of h − k, n = 2h: between the modes of a real line and those
/// of the complex one of its even and odd elements. The sine is that of −2πk/n on the way back, of 2πk/n forwards.
#[inline(always)]
unsafe fn halves<T: Real, V: Vector<T>>(x: (V, V), y: (V, V), cosine: V, sine: V) -> [(V, V); 2] {
    unsafe {
        let (sum, difference) = ((x.0.add(y.0), x.1.sub(y.1)), (x.0.sub(y.0), x.1.add(y.1)));
        let a = difference.0.mul_sub(sine, difference.1.mul(cosine));
        let b = difference.1.mul_add(sine, difference.0.mul(cosine));
        [(sum.0.add(a), sum.1.add(b)), (sum.0.sub(a), b.sub(sum.1))]
    }
}

/// Modes in `c` to numbers of the grid, in `c`.
#[inline(always)]
unsafe fn lines_backward<T: Real, V: Vector<T>>(plan: &Contiguous<T>, buffers: &Buffers<T>, soon: &Soon) {
    let (a, b, c, n) = (buffers.a, buffers.b, buffers.c, plan.n);
    let (ends, line) = (Asking { buffer: Buffer::exchanged::<V>(c), soon }, unsafe { buffers.line_again() });
    unsafe {
        let zero = V::splat(T::zero());
        match plan.kind {
            Kind::Even => {
                let h = n / 2;
                clear::<T, V>(c, plan.modes..h + 1);
                // What is real of real lines.
                for k in [0, h] {
                    let (re, _) = element::<T, V>(c, k, false);
                    set(c, k, false, (re, zero));
                }
                for (k, w) in plan.roots.iter().enumerate().take(h / 2 + 1) {
                    let (x, y) = (element::<T, V>(c, k, false), element::<T, V>(c, h - k, false));
                    let [x, y] = halves::<T, V>(x, y, V::splat(w.re), V::splat(w.im));
                    set(c, k, false, x);
                    set(c, h - k, false, y);
                }
                plan.fft.run::<V>(&ends, &ends, a, b, line);
            }
            Kind::Odd => {
                clear::<T, V>(b, 0..n);
                let (re, _) = element::<T, V>(c, 0, false);
                set(b, 0, true, (re, zero));
                for k in 1..plan.modes {
                    let (re, im) = element::<T, V>(c, k, false);
                    set(b, k, true, (re, im));
                    set(b, n - k, true, (re, zero.sub(im)));
                }
                plan.fft.run::<V>(&Buffer::new::<V>(b), &ends, a, b, line);
                for i in 0..n {
                    let (re, _) = element::<T, V>(c, i, false);
                    re.store(c.add(i * V::LANES));
                }
            }
            Kind::Complex => {
                for (i, &at) in plan.place.iter().enumerate() {
                    set(b, at, true, element::<T, V>(c, i, false));
                }
                clear::<T, V>(b, gap(&plan.place, n));
                plan.fft.run::<V>(&Buffer::new::<V>(b), &ends, a, b, line);
            }
        }
    }
}

/// Grid values of some lines to their coefficients.
pub struct LinesForward<'a, T: Real> {
    pub plan: &'a Contiguous<T>,
    pub runs: &'a [Run],
    pub modes: *mut Complex<T>,
    pub lines: std::ops::Range<usize>,
    pub values: *const T,
    pub buffers: Buffers<'a, T>,
}

impl<T: Real> Job<T> for LinesForward<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Vector<T>>(self) {
        let LinesForward { plan, runs, modes, lines, values, buffers } = self;
        let mut first = lines.start;
        while first < lines.end {
            let count = (lines.end - first).min(V::LANES);
            unsafe {
                let values = values.add((first - lines.start) * plan.reals());
                let from: [*const T; 16] = std::array::from_fn(|l| values.add(l.min(count - 1) * plan.reals()));
                let next = values.wrapping_add(V::LANES * plan.reals());
                lines_forward::<T, V>(plan, &from, &buffers, &Soon::new(next, V::LANES * plan.reals()));
                let mut at = 0;
                for run in runs {
                    let line: [*mut T; 16] =
                        std::array::from_fn(|l| modes.add(run.base + (first + l.min(count - 1)) * run.pitch).cast());
                    store_lines::<T, V>(buffers.c.add(2 * at * V::LANES), 2 * run.modes, &line, count);
                    at += run.modes;
                }
            }
            first += count;
        }
    }
}

/// Numbers of the grid to modes in `c`.
#[inline(always)]
unsafe fn lines_forward<T: Real, V: Vector<T>>(
    plan: &Contiguous<T>,
    from: &[*const T; 16],
    buffers: &Buffers<T>,
    soon: &Soon,
) {
    let (a, b, c) = (buffers.a, buffers.b, buffers.c);
    let (ends, line) = (Asking { buffer: Buffer::new::<V>(c), soon }, unsafe { buffers.line_again() });
    unsafe {
        let (zero, scale) = (V::splat(T::zero()), V::splat(plan.scale));
        match plan.kind {
            Kind::Even => {
                let h = plan.n / 2;
                load_lines::<T, V>(from, plan.n, c);
                plan.fft.run::<V>(&ends, &ends, a, b, line);
                for (k, w) in plan.roots.iter().enumerate().take((h / 2 + 1).min(plan.modes)) {
                    let (x, y) =
                        (element::<T, V>(c, k, false), element::<T, V>(c, if k == 0 { 0 } else { h - k }, false));
                    // e^{−2πik/n}: of the other sine.
                    let [x, y] = halves::<T, V>(x, y, V::splat(-w.re), V::splat(w.im));
                    set(c, k, false, (x.0.mul(scale), x.1.mul(scale)));
                    if h - k < plan.modes {
                        set(c, h - k, false, (y.0.mul(scale), y.1.mul(scale)));
                    }
                }
            }
            Kind::Odd => {
                load_lines::<T, V>(from, plan.n, c);
                for i in 0..plan.n {
                    set(b, i, false, (V::load(c.add(i * V::LANES)), zero));
                }
                plan.fft.run::<V>(&Buffer::new::<V>(b), &ends, a, b, line);
                for k in 0..plan.modes {
                    let (re, im) = element::<T, V>(c, k, false);
                    set(c, k, false, (re.mul(scale), im.mul(scale)));
                }
            }
            Kind::Complex => {
                load_lines::<T, V>(from, 2 * plan.n, b);
                plan.fft.run::<V>(&Buffer::new::<V>(b), &ends, a, b, line);
                for (i, &at) in plan.place.iter().enumerate() {
                    let (re, im) = element::<T, V>(c, at, false);
                    set(c, i, false, (re.mul(scale), im.mul(scale)));
                }
            }
        }
    }
}
