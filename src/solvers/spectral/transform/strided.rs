//! Transforms of all lines along one of the first two axes, a group of lanes at a time: kept modes are padded by zeros when
//! they are loaded, truncated when they are stored, so that modes that are not kept are never touched.

use num_complex::Complex;

use super::fft::{Buffer, Fft, Sink, Source, root};
use super::lines::{Buffers, element, places, set};
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

/// Where the rows of a strided transform are: those in memory are asked for before they are needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// In the second-level cache.
    Near,
    /// In memory, to be written to the second-level cache, or to where they were read.
    Brought,
    /// In the second-level cache, to be written to memory.
    Sent,
    /// In memory, at both ends.
    Far,
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
        let dense = plan.modes == plan.fft.len();
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
                    (None, _) if count < V::LANES || !dense => {
                        plan.fft.run::<V>(&group, &group, a, b, buffers.line_again());
                    }
                    (None, _) => match rows {
                        Rows::Near => run_dense::<T, V, false, false, false>(plan, group, &buffers),
                        Rows::Brought => run_dense::<T, V, true, false, false>(plan, group, &buffers),
                        Rows::Sent => run_dense::<T, V, false, true, false>(plan, group, &buffers),
                        Rows::Far => run_dense::<T, V, true, true, false>(plan, group, &buffers),
                        Rows::Streamed => run_dense::<T, V, true, false, true>(plan, group, &buffers),
                    },
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
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    from: &'a [*const Complex<T>],
    to: &'a [*mut Complex<T>],
    column: usize,
    count: usize,
    rows: Rows,
}

impl<T: Real> Columns<'_, T> {
    /// Element `i`. With `next` the next group of its row is asked for, with `dest` the columns to which this group goes in
    /// the end.
    #[inline(always)]
    unsafe fn taken<V: Vector<T>>(&self, i: usize, dense: bool, next: bool, dest: bool) -> (V, V) {
        unsafe {
            let row = *self.from.get_unchecked(i);
            if dest {
                fetch::<T, V>(*self.to.get_unchecked(i), self.column);
            }
            if !dense && row.is_null() {
                let zero = V::splat(T::zero());
                return (zero, zero);
            }
            if next {
                fetch::<T, V>(row, self.column + V::LANES);
            }
            let at: *const T = row.add(self.column).cast();
            if dense || self.count == V::LANES { V::load_pairs(at) } else { V::load_some_pairs(at, self.count) }
        }
    }

    #[inline(always)]
    unsafe fn given<V: Vector<T>>(&self, i: usize, dense: bool, stream: bool, (re, im): (V, V)) {
        unsafe {
            let row = *self.to.get_unchecked(i);
            if !dense && row.is_null() {
                return;
            }
            let at = row.add(self.column).cast();
            if !dense && self.count < V::LANES {
                V::store_some_pairs(re, im, at, self.count);
            } else if stream {
                V::stream_pairs(re, im, at);
            } else {
                V::store_pairs(re, im, at);
            }
        }
    }
}

impl<T: Real, V: Vector<T>> Source<T, V> for Columns<'_, T> {
    #[inline(always)]
    unsafe fn take(&self, i: usize) -> (V, V) {
        let next = matches!(self.rows, Rows::Brought | Rows::Far | Rows::Streamed);
        let dest = matches!(self.rows, Rows::Sent | Rows::Far);
        unsafe { self.taken(i, false, next, dest) }
    }
}

impl<T: Real, V: Vector<T>> Sink<T, V> for Columns<'_, T> {
    #[inline(always)]
    unsafe fn put(&self, i: usize, z: (V, V)) {
        unsafe { self.given(i, false, self.rows == Rows::Streamed, z) }
    }
}

/// Transforms whole vectors of rows that are all there, as [`Columns`] would, but without a branch at a row: a seventh faster.
#[inline(always)]
unsafe fn run_dense<T: Real, V: Vector<T>, const NEXT: bool, const DEST: bool, const STREAM: bool>(
    plan: &Strided<T>,
    group: Columns<T>,
    buffers: &Buffers<T>,
) {
    let (from, to) = (DenseFrom::<T, NEXT, DEST>(group), DenseTo::<T, STREAM>(group));
    unsafe { plan.fft.run::<V>(&from, &to, buffers.a, buffers.b, buffers.line_again()) };
}

#[derive(Clone, Copy)]
struct DenseFrom<'a, T, const NEXT: bool, const DEST: bool>(Columns<'a, T>);

#[derive(Clone, Copy)]
struct DenseTo<'a, T, const STREAM: bool>(Columns<'a, T>);

impl<T: Real, V: Vector<T>, const NEXT: bool, const DEST: bool> Source<T, V> for DenseFrom<'_, T, NEXT, DEST> {
    #[inline(always)]
    unsafe fn take(&self, i: usize) -> (V, V) {
        unsafe { self.0.taken(i, true, NEXT, DEST) }
    }
}

impl<T: Real, V: Vector<T>, const STREAM: bool> Sink<T, V> for DenseTo<'_, T, STREAM> {
    #[inline(always)]
    unsafe fn put(&self, i: usize, z: (V, V)) {
        unsafe { self.0.given(i, true, STREAM, z) }
    }
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
