//! Transforms of all lines along one axis, a group of lanes at a time: kept modes are padded by zeros when they are
//! loaded, truncated when they are stored, so that modes that are not kept are never touched.

use num_complex::Complex;

use super::fft::{Fft, root};
use super::vector::{Job, Level, Vector, prefetch};
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Axis, Basis};

/// Lines whose consecutive elements are rows: the first two axes. Rows are given by pointers, one per mode and one per
/// point, to their first column.
pub struct Strided<T: Real> {
    fft: Fft<T>,
    modes: usize,
    /// Where element i of a line (mode for Fourier, point for Chebyshev) is in the complex transform.
    place: Vec<usize>,
    /// Elements between the kept modes of both signs.
    gap: std::ops::Range<usize>,
    /// Chebyshev: ω_k / 2 and the factors of the forward transform.
    chebyshev: Option<Vec<(Complex<T>, T)>>,
}

/// Positions of kept Fourier modes in a transform of `n` points.
fn places(axis: &Axis) -> Vec<usize> {
    (0..axis.modes()).map(|i| axis.number(i).rem_euclid(axis.points as i64) as usize).collect()
}

impl<T: Real> Strided<T> {
    pub fn new(axis: &Axis, level: Level) -> Strided<T> {
        let n = axis.points;
        let (place, chebyshev) = if axis.basis == Basis::Chebyshev {
            // Ascending points are the standard ones from the last to the first; the standard ones go even ones first,
            // then odd ones backwards (J. Makhoul, IEEE Trans. ASSP 28 (1980) 27).
            let place = (0..n).rev().map(|s| if s % 2 == 0 { s / 2 } else { n - 1 - s / 2 }).collect();
            let factor = |k: usize| T::of(if k == 0 { 1.0 } else { 2.0 } / n as f64);
            (place, Some((0..n).map(|k| (T::complex(root(k, 4 * n) * 0.5), factor(k))).collect()))
        } else {
            (places(axis), None)
        };
        let gap = gap(&place, n);
        Strided { fft: Fft::new(n, level), modes: axis.modes(), place, gap, chebyshev }
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

/// Some columns of a strided transform; `from` and `to` point to the first column of each row.
pub struct StridedJob<'a, T: Real> {
    pub plan: &'a Strided<T>,
    pub backward: bool,
    pub from: &'a [*const Complex<T>],
    pub to: &'a [*mut Complex<T>],
    pub columns: std::ops::Range<usize>,
    pub buffers: Buffers<'a, T>,
}

impl<T: Real> Job<T> for StridedJob<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Vector<T>>(self) {
        let StridedJob { plan, backward, from, to, columns, buffers } = self;
        let mut column = columns.start;
        while column < columns.end {
            let count = (columns.end - column).min(V::LANES);
            unsafe {
                match (&plan.chebyshev, backward) {
                    (None, true) => {
                        fourier::<T, V, true>(plan, from, to, column, count, &buffers, buffers.line_again())
                    }
                    (None, false) => {
                        fourier::<T, V, false>(plan, from, to, column, count, &buffers, buffers.line_again())
                    }
                    (Some(roots), true) => chebyshev_backward::<T, V>(plan, roots, from, to, column, count, &buffers),
                    (Some(roots), false) => chebyshev_forward::<T, V>(plan, roots, from, to, column, count, &buffers),
                }
            }
            column += count;
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

/// Asks for the cache lines of a group of columns, which are to be read or written soon.
#[inline(always)]
fn fetch<T: Real, V: Vector<T>>(row: *const Complex<T>, column: usize) {
    let first: *const u8 = row.wrapping_add(column).cast();
    for at in (0..V::LANES * size_of::<Complex<T>>()).step_by(64) {
        prefetch(first.wrapping_add(at));
    }
}

/// The real and imaginary parts of `count` columns from `column` on; the other lanes are zero.
#[inline(always)]
unsafe fn load<T: Real, V: Vector<T>>(row: *const Complex<T>, column: usize, count: usize) -> (V, V) {
    unsafe {
        let at: *const T = row.add(column).cast();
        if count == V::LANES {
            return V::load_pairs(at);
        }
        let mut part = [T::zero(); 32];
        std::ptr::copy_nonoverlapping(at, part.as_mut_ptr(), 2 * count);
        V::load_pairs(part.as_ptr())
    }
}

#[inline(always)]
unsafe fn store<T: Real, V: Vector<T>>(re: V, im: V, row: *mut Complex<T>, column: usize, count: usize) {
    unsafe {
        let at: *mut T = row.add(column).cast();
        if count == V::LANES {
            return V::store_pairs(re, im, at);
        }
        let mut part = [T::zero(); 32];
        V::store_pairs(re, im, part.as_mut_ptr());
        std::ptr::copy_nonoverlapping(part.as_ptr(), at, 2 * count);
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

#[inline(always)]
unsafe fn fourier<T: Real, V: Vector<T>, const BACKWARD: bool>(
    plan: &Strided<T>,
    from: &[*const Complex<T>],
    to: &[*mut Complex<T>],
    column: usize,
    count: usize,
    buffers: &Buffers<T>,
    line: &mut [Complex<T>],
) {
    unsafe {
        if BACKWARD {
            // The inverse transform is the forward one of the numbers with their parts exchanged.
            for (row, &at) in from.iter().zip(&plan.place) {
                set(buffers.a, at, true, load::<T, V>(*row, column, count));
                fetch::<T, V>(*row, column + V::LANES);
            }
            to.iter().for_each(|row| fetch::<T, V>(*row, column));
            clear::<T, V>(buffers.a, plan.gap.clone());
            let result = plan.fft.run::<V>(buffers.a, buffers.b, line);
            for (i, row) in to.iter().enumerate() {
                let (re, im) = element::<T, V>(result, i, true);
                store(re, im, *row, column, count);
            }
        } else {
            for (i, row) in from.iter().enumerate() {
                set(buffers.a, i, false, load::<T, V>(*row, column, count));
                fetch::<T, V>(*row, column + V::LANES);
            }
            to.iter().for_each(|row| fetch::<T, V>(*row, column));
            let result = plan.fft.run::<V>(buffers.a, buffers.b, line);
            for (row, &at) in to.iter().zip(&plan.place) {
                let (re, im) = element::<T, V>(result, at, false);
                store(re, im, *row, column, count);
            }
        }
    }
}

/// u(x_i) = Σ_k c_k cos kθ_i, by one complex transform of V_k = ω̄_k (c_k − i c_{n−k}) / 2, ω_k = e^{−iπk/2n}.
#[inline(always)]
unsafe fn chebyshev_backward<T: Real, V: Vector<T>>(
    plan: &Strided<T>,
    roots: &[(Complex<T>, T)],
    from: &[*const Complex<T>],
    to: &[*mut Complex<T>],
    column: usize,
    count: usize,
    buffers: &Buffers<T>,
) {
    let n = plan.fft.len();
    unsafe {
        for (k, row) in from.iter().enumerate() {
            set(buffers.c, k, false, load::<T, V>(*row, column, count));
        }
        clear::<T, V>(buffers.c, plan.modes..n);
        set(buffers.a, 0, true, element::<T, V>(buffers.c, 0, false));
        for (k, (w, _)) in roots.iter().enumerate().skip(1) {
            let (x, y) = (element::<T, V>(buffers.c, k, false), element::<T, V>(buffers.c, n - k, false));
            let (re, im) = (x.0.add(y.1), x.1.sub(y.0));
            let (c, s) = (V::splat(w.re), V::splat(-w.im));
            let z = (re.mul_sub(c, im.mul(s)), re.mul_add(s, im.mul(c)));
            set(buffers.a, k, true, z);
        }
        let result = plan.fft.run::<V>(buffers.a, buffers.b, buffers.line_again());
        for (row, &at) in to.iter().zip(&plan.place) {
            let (re, im) = element::<T, V>(result, at, true);
            store(re, im, *row, column, count);
        }
    }
}

/// c_k = (2 − δ_{k0})/n Σ_i u(x_i) cos kθ_i = (2 − δ_{k0})/n · (ω_k V_k + ω̄_k V_{n−k}) / 2.
#[inline(always)]
unsafe fn chebyshev_forward<T: Real, V: Vector<T>>(
    plan: &Strided<T>,
    roots: &[(Complex<T>, T)],
    from: &[*const Complex<T>],
    to: &[*mut Complex<T>],
    column: usize,
    count: usize,
    buffers: &Buffers<T>,
) {
    let n = plan.fft.len();
    unsafe {
        for (row, &at) in from.iter().zip(&plan.place) {
            set(buffers.a, at, false, load::<T, V>(*row, column, count));
        }
        let result = plan.fft.run::<V>(buffers.a, buffers.b, buffers.line_again());
        for (k, (row, (w, factor))) in to.iter().zip(roots).enumerate() {
            let (x, y) = (element::<T, V>(result, k, false), element::<T, V>(result, (n - k) % n, false));
            // ω x + ω̄ y = c (x + y) + i s (x − y), with ω = c + i s.
            let (c, s, factor) = (V::splat(w.re), V::splat(w.im), V::splat(*factor));
            let re = x.0.add(y.0).mul_sub(c, x.1.sub(y.1).mul(s));
            let im = x.1.add(y.1).mul_add(c, x.0.sub(y.0).mul(s));
            store(re.mul(factor), im.mul(factor), *row, column, count);
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
    pub buffers: Buffers<'a, T>,
}

impl<T: Real> Job<T> for LinesBackward<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Vector<T>>(self) {
        let LinesBackward { plan, runs, modes, lines, values, buffers } = self;
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
                    load_lines::<T, V>(&line, 0, 2 * run.modes, buffers.c.add(2 * at * V::LANES));
                    at += run.modes;
                }
                let to: [*mut T; 16] = std::array::from_fn(|l| values.add(l.min(count - 1) * plan.reals()));
                // The lines follow each other: what will be written is one piece.
                let bytes: *const u8 = values.cast_const().cast();
                (0..count * plan.reals() * size_of::<T>()).step_by(64).for_each(|at| prefetch(bytes.wrapping_add(at)));
                let (result, swap) = lines_backward::<T, V>(plan, &buffers);
                store_lines::<T, V>(result, swap, plan.reals(), &to, count);
            }
            first += count;
        }
    }
}

/// The numbers 0..n of each lane's line, as vectors. Asks for the lines that lie `ahead` numbers further, if any.
#[inline(always)]
unsafe fn load_lines<T: Real, V: Vector<T>>(lines: &[*const T; 16], ahead: usize, n: usize, to: *mut T) {
    let whole = n - n % V::LANES;
    unsafe {
        for i in (0..whole).step_by(V::LANES) {
            V::load_transposed(lines, i, to.add(i * V::LANES));
            if ahead > 0 {
                lines.iter().take(V::LANES).for_each(|line| prefetch(line.wrapping_add(i + ahead).cast()));
            }
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
unsafe fn store_lines<T: Real, V: Vector<T>>(from: *const T, swap: bool, n: usize, lines: &[*mut T; 16], count: usize) {
    let whole = n - n % V::LANES;
    unsafe {
        for i in (0..whole).step_by(V::LANES) {
            V::store_transposed(from.add(i * V::LANES), swap, lines, i, count);
        }
        for i in whole..n {
            for (l, line) in lines.iter().take(count).enumerate() {
                *line.add(i) = *from.add((i ^ usize::from(swap)) * V::LANES + l);
            }
        }
    }
}

/// Modes in `c` to numbers of the grid; in pairs of vectors that are exchanged, or one by one.
#[inline(always)]
unsafe fn lines_backward<T: Real, V: Vector<T>>(plan: &Contiguous<T>, buffers: &Buffers<T>) -> (*mut T, bool) {
    let (a, b, c) = (buffers.a, buffers.b, buffers.c);
    let n = plan.n;
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
                for (k, w) in plan.roots.iter().enumerate().take(h) {
                    let (x, y) = (element::<T, V>(c, k, false), element::<T, V>(c, h - k, false));
                    let (sum, difference) = ((x.0.add(y.0), x.1.sub(y.1)), (x.0.sub(y.0), x.1.add(y.1)));
                    let (p, q) = (V::splat(w.re), V::splat(w.im));
                    let re = difference.0.mul_add(q, difference.1.neg_mul_add(p, sum.0));
                    let im = difference.1.mul_add(q, difference.0.mul_add(p, sum.1));
                    set(a, k, true, (re, im));
                }
                (plan.fft.run::<V>(a, b, buffers.line_again()), true)
            }
            Kind::Odd => {
                clear::<T, V>(a, 0..n);
                let (re, _) = element::<T, V>(c, 0, false);
                set(a, 0, true, (re, zero));
                for k in 1..plan.modes {
                    let (re, im) = element::<T, V>(c, k, false);
                    set(a, k, true, (re, im));
                    set(a, n - k, true, (re, zero.sub(im)));
                }
                let result = plan.fft.run::<V>(a, b, buffers.line_again());
                for i in 0..n {
                    let (re, _) = element::<T, V>(result, i, true);
                    re.store(c.add(i * V::LANES));
                }
                (c, false)
            }
            Kind::Complex => {
                for (i, &at) in plan.place.iter().enumerate() {
                    set(a, at, true, element::<T, V>(c, i, false));
                }
                clear::<T, V>(a, gap(&plan.place, n));
                (plan.fft.run::<V>(a, b, buffers.line_again()), true)
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
                lines_forward::<T, V>(plan, &from, &buffers);
                let mut at = 0;
                for run in runs {
                    let line: [*mut T; 16] =
                        std::array::from_fn(|l| modes.add(run.base + (first + l.min(count - 1)) * run.pitch).cast());
                    store_lines::<T, V>(buffers.c.add(2 * at * V::LANES), false, 2 * run.modes, &line, count);
                    at += run.modes;
                }
            }
            first += count;
        }
    }
}

/// Numbers of the grid to modes in `c`.
#[inline(always)]
unsafe fn lines_forward<T: Real, V: Vector<T>>(plan: &Contiguous<T>, from: &[*const T; 16], buffers: &Buffers<T>) {
    let (a, b, c) = (buffers.a, buffers.b, buffers.c);
    unsafe {
        let (zero, scale) = (V::splat(T::zero()), V::splat(plan.scale));
        match plan.kind {
            Kind::Even => {
                let h = plan.n / 2;
                load_lines::<T, V>(from, V::LANES * plan.n, plan.n, a);
                let result = plan.fft.run::<V>(a, b, buffers.line_again());
                for (k, w) in plan.roots.iter().enumerate().take(plan.modes) {
                    let x = element::<T, V>(result, if k == h { 0 } else { k }, false);
                    let y = element::<T, V>(result, if k == 0 { 0 } else { h - k }, false);
                    let (sum, difference) = ((x.0.add(y.0), x.1.sub(y.1)), (x.0.sub(y.0), x.1.add(y.1)));
                    let (p, q) = (V::splat(w.re), V::splat(w.im));
                    let re = difference.1.mul_add(p, difference.0.mul_add(q, sum.0));
                    let im = difference.1.mul_add(q, difference.0.neg_mul_add(p, sum.1));
                    set(c, k, false, (re.mul(scale), im.mul(scale)));
                }
            }
            Kind::Odd => {
                load_lines::<T, V>(from, V::LANES * plan.n, plan.n, c);
                for i in 0..plan.n {
                    set(a, i, false, (V::load(c.add(i * V::LANES)), zero));
                }
                let result = plan.fft.run::<V>(a, b, buffers.line_again());
                for k in 0..plan.modes {
                    let (re, im) = element::<T, V>(result, k, false);
                    set(c, k, false, (re.mul(scale), im.mul(scale)));
                }
            }
            Kind::Complex => {
                load_lines::<T, V>(from, 2 * V::LANES * plan.n, 2 * plan.n, a);
                let result = plan.fft.run::<V>(a, b, buffers.line_again());
                for (i, &at) in plan.place.iter().enumerate() {
                    let (re, im) = element::<T, V>(result, at, false);
                    set(c, i, false, (re.mul(scale), im.mul(scale)));
                }
            }
        }
    }
}
