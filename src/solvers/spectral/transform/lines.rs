//! Transforms of lines along the last axis, contiguous on the grid, a group of lanes at a time: modes that are not kept are
//! never touched.

use std::cell::Cell;
use std::ops::Range;

use num_complex::Complex;

use super::fft::{Buffer, Fft, Sink, Source, root};
use super::vector::{Job, Level, Vector, prefetch};
use crate::math::real::Real;
use crate::solvers::spectral::domain::Axis;

/// Positions of kept Fourier modes in a transform of `n` points.
pub fn places(axis: &Axis) -> Vec<usize> {
    (0..axis.modes()).map(|i| axis.number(i).rem_euclid(axis.points as i64) as usize).collect()
}

/// Work space of one group of lanes.
pub struct Buffers<'a, T> {
    pub a: *mut T,
    pub b: *mut T,
    pub c: *mut T,
    pub line: &'a mut [Complex<T>],
}

impl<T> Buffers<'_, T> {
    /// # Safety
    /// One at a time.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn line_again(&self) -> &mut [Complex<T>] {
        unsafe { std::slice::from_raw_parts_mut(self.line.as_ptr().cast_mut(), self.line.len()) }
    }
}

/// The real and imaginary parts of element `i` of a buffer; exchanged with `swap`.
#[inline(always)]
pub unsafe fn element<T: Real, V: Vector<T>>(buffer: *const T, i: usize, swap: bool) -> (V, V) {
    unsafe {
        let at = buffer.add(2 * i * V::LANES);
        let (x, y) = (V::load(at), V::load(at.add(V::LANES)));
        if swap { (y, x) } else { (x, y) }
    }
}

#[inline(always)]
pub unsafe fn set<T: Real, V: Vector<T>>(buffer: *mut T, i: usize, swap: bool, (re, im): (V, V)) {
    unsafe {
        let at = buffer.add(2 * i * V::LANES);
        let (x, y) = if swap { (im, re) } else { (re, im) };
        x.store(at);
        y.store(at.add(V::LANES));
    }
}

#[inline(always)]
unsafe fn clear<T: Real, V: Vector<T>>(buffer: *mut T, elements: Range<usize>) {
    unsafe {
        let zero = V::splat(T::zero());
        for i in elements {
            set(buffer, i, false, (zero, zero));
        }
    }
}

/// Positions between the kept modes of both signs.
fn gap(place: &[usize], n: usize) -> Range<usize> {
    // Places are 0 … K, then n − (modes − K − 1) … n − 1.
    let jump = (1..place.len()).find(|&i| place[i] != i).unwrap_or(place.len());
    jump..place.get(jump).copied().unwrap_or(n)
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
    /// −e^{2πik/n} times `scale`: of the other sine.
    scaled_roots: Vec<Complex<T>>,
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
        let scale = if kind == Kind::Even { 0.5 * scale } else { scale };
        Contiguous {
            fft: Fft::new(length, level),
            n,
            modes: axis.modes(),
            place: places(axis),
            kind,
            roots: (0..roots).map(|k| T::complex(root(k, n))).collect(),
            scaled_roots: (0..roots).map(|k| T::complex(-root(k, n).conj() * scale)).collect(),
            scale: T::of(scale),
        }
    }

    /// Elements of a buffer.
    pub fn elements(&self) -> usize {
        self.fft.len() + 1
    }

    pub fn line(&self) -> usize {
        self.fft.line()
    }

    /// Modes from either end of a line that [`store_paired`] makes: where all modes of real lines lie together, in whole
    /// blocks.
    #[inline(always)]
    fn paired<V: Vector<T>>(&self, runs: &[Run]) -> usize {
        let h = self.n / 2;
        let all = self.kind == Kind::Even && runs.len() == 1 && self.modes == h + 1;
        if all && h % V::LANES == 0 { h / 2 } else { 0 }
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
    pub lines: Range<usize>,
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
                store_lines::<T, V>(buffers.c, 0..plan.reals(), &to, count);
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
#[derive(Clone, Copy)]
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
            let block = V::load_block(lines, i);
            for (j, v) in block.iter().enumerate().take(V::LANES) {
                v.store(to.add((i + j) * V::LANES));
            }
        }
        for i in whole..n {
            for (l, line) in lines.iter().take(V::LANES).enumerate() {
                *to.add(i * V::LANES + l) = *line.add(i);
            }
        }
    }
}

/// The reverse, of some of the numbers, for the first `count` lanes.
#[inline(always)]
unsafe fn store_lines<T: Real, V: Vector<T>>(
    from: *const T,
    numbers: Range<usize>,
    lines: &[*mut T; 16],
    count: usize,
) {
    let whole = numbers.end - numbers.len() % V::LANES;
    unsafe {
        for i in (numbers.start..whole).step_by(V::LANES) {
            let mut block = [V::splat(T::zero()); 16];
            for (j, v) in block.iter_mut().enumerate().take(V::LANES) {
                *v = V::load(from.add((i + j) * V::LANES));
            }
            V::store_block(block, lines, i, count);
        }
        for i in whole..numbers.end {
            for (l, line) in lines.iter().take(count).enumerate() {
                *line.add(i) = *from.add(i * V::LANES + l);
            }
        }
    }
}

/// `scale` times X_k + X̄_{h−k} ± i e^{±2πik/n} (X_k − X̄_{h−k}) and the same of h − k, n = 2h: between the modes of a real line
/// and those of the complex one of its even and odd elements. Cosine and sine are multiples of that scale; the sine is that
/// of −2πk/n on the way back, of 2πk/n forwards.
#[inline(always)]
unsafe fn halves<T: Real, V: Vector<T>>(x: (V, V), y: (V, V), cosine: V, sine: V, scale: V) -> [(V, V); 2] {
    unsafe {
        let (sum, difference) = ((x.0.add(y.0), x.1.sub(y.1)), (x.0.sub(y.0), x.1.add(y.1)));
        let a = difference.0.mul_sub(sine, difference.1.mul(cosine));
        let b = difference.1.mul_add(sine, difference.0.mul(cosine));
        [(sum.0.mul_add(scale, a), sum.1.mul_add(scale, b)), (sum.0.mul_sub(scale, a), sum.1.neg_mul_add(scale, b))]
    }
}

/// What the transform forwards left in `c`, all modes of lines, to where these lie together: [`halves`] makes them in
/// registers, so many from either end, up to those in the middle, which are made.
#[inline(always)]
unsafe fn store_paired<T: Real, V: Vector<T>>(
    plan: &Contiguous<T>,
    paired: usize,
    c: *mut T,
    lines: &[*mut T; 16],
    count: usize,
) {
    let (h, some) = (plan.n / 2, V::LANES / 2);
    unsafe {
        let scale = V::splat(plan.scale);
        let (mut low, mut high) = ([scale; 16], [scale; 16]);
        for first in (0..paired).step_by(some) {
            for i in 0..some {
                let k = first + i;
                let w = plan.scaled_roots.get_unchecked(k);
                let (x, y) = (element::<T, V>(c, k, false), element::<T, V>(c, if k == 0 { 0 } else { h - k }, false));
                let [x, y] = halves::<T, V>(x, y, V::splat(w.re), V::splat(w.im), scale);
                (low[2 * i], low[2 * i + 1]) = x;
                // Blocks of the upper modes begin where those of the lower do: with mode h − first, which completes one.
                let j = 2 * ((some - i) % some);
                (high[j], high[j + 1]) = y;
                if k == 0 {
                    set(c, h, false, y);
                } else if i == 0 {
                    V::store_block(high, lines, 2 * (h - k), count);
                }
            }
            V::store_block(low, lines, 2 * first, count);
        }
        (high[0], high[1]) = element(c, paired, false);
        V::store_block(high, lines, 2 * paired, count);
        store_lines::<T, V>(c, 2 * h..2 * h + 2, lines, count);
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
                let one = V::splat(T::one());
                for (k, w) in plan.roots.iter().enumerate().take(h / 2 + 1) {
                    let (x, y) = (element::<T, V>(c, k, false), element::<T, V>(c, h - k, false));
                    let [x, y] = halves::<T, V>(x, y, V::splat(w.re), V::splat(w.im), one);
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
    pub lines: Range<usize>,
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
                let paired = plan.paired::<V>(runs);
                lines_forward::<T, V>(plan, paired, &from, &buffers, &Soon::new(next, V::LANES * plan.reals()));
                let in_run = |run: &Run| -> [*mut T; 16] {
                    std::array::from_fn(|l| modes.add(run.base + (first + l.min(count - 1)) * run.pitch).cast())
                };
                if paired > 0 {
                    store_paired::<T, V>(plan, paired, buffers.c, &in_run(&runs[0]), count);
                } else {
                    let mut at = 0;
                    for run in runs {
                        let c = buffers.c.add(2 * at * V::LANES);
                        store_lines::<T, V>(c, 0..2 * run.modes, &in_run(run), count);
                        at += run.modes;
                    }
                }
            }
            first += count;
        }
    }
}

/// Numbers of the grid to modes in `c`, all but so many from either end.
#[inline(always)]
unsafe fn lines_forward<T: Real, V: Vector<T>>(
    plan: &Contiguous<T>,
    paired: usize,
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
                let pairs = plan.scaled_roots.iter().enumerate().take((h / 2 + 1).min(plan.modes));
                for (k, w) in pairs.skip(paired) {
                    let (x, y) =
                        (element::<T, V>(c, k, false), element::<T, V>(c, if k == 0 { 0 } else { h - k }, false));
                    let [x, y] = halves::<T, V>(x, y, V::splat(w.re), V::splat(w.im), scale);
                    set(c, k, false, x);
                    if h - k < plan.modes {
                        set(c, h - k, false, y);
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
