//! Complex transforms of many lines at once, one per lane: Stockham passes of radix 2 to 16, self-sorting, between two
//! buffers (C. Van Loan, Computational Frameworks for the Fast Fourier Transform, §1.7). The first pass takes its numbers
//! from where they are and the last puts them where they go, so that lengths to 256 touch one buffer only, once. Lengths
//! with other prime factors go line by line through a library.
//!
//! A buffer of `n` elements holds, per element, the real parts of all lanes and then the imaginary parts.

use std::f64::consts::TAU;
use std::sync::Arc;

use num_complex::Complex;
use rustfft::{FftDirection, FftPlanner};

use super::butterflies::{Butterfly, Input, Output, Pair};
use super::vector::{Call, Level, Vector};
use crate::math::real::Real;

/// e^{−2πi j/n}, each part to within one rounding.
pub fn root(j: usize, n: usize) -> Complex<f64> {
    // Eighths of the circle, so that the arguments stay below π/4 and symmetric roots have the same bits.
    let j = j % n;
    let (eighth, rest) = (8 * j / n, 8 * j % n);
    let angle = |numerator: usize| TAU * numerator as f64 / (8 * n) as f64;
    let (c, s) = if eighth % 2 == 0 {
        (libm::cos(angle(rest)), libm::sin(angle(rest)))
    } else {
        (libm::sin(angle(n - rest)), libm::cos(angle(n - rest)))
    };
    match eighth / 2 {
        0 => Complex::new(c, -s),
        1 => Complex::new(-s, -c),
        2 => Complex::new(-c, s),
        _ => Complex::new(s, c),
    }
}

/// The library's plan of single lines, at a kernel level: rustfft's, or FFTW's with feature `fftw`.
pub fn library_plan<T: Real>(n: usize, direction: FftDirection, level: Level) -> Arc<dyn rustfft::Fft<T>> {
    #[cfg(feature = "fftw")]
    {
        let _ = level;
        super::fftw::plan(n, direction)
    }
    #[cfg(not(feature = "fftw"))]
    rustfft_plan(n, direction, level)
}

/// Which library [`library_plan`] takes, with its version if it says.
pub fn library() -> String {
    #[cfg(feature = "fftw")]
    {
        super::fftw::version()
    }
    #[cfg(not(feature = "fftw"))]
    "rustfft".into()
}

/// rustfft's plan at a kernel level.
#[cfg_attr(all(feature = "fftw", not(test)), allow(dead_code))]
pub fn rustfft_plan<T: Real>(n: usize, direction: FftDirection, level: Level) -> Arc<dyn rustfft::Fft<T>> {
    if level == Level::Portable {
        return rustfft::FftPlannerScalar::new().plan_fft(n, direction);
    }
    match rustfft::FftPlannerAvx::new() {
        Ok(mut planner) => planner.plan_fft(n, direction),
        Err(()) => FftPlanner::new().plan_fft(n, direction),
    }
}

/// Element `i` of the line of every lane, for a transform to begin with.
pub trait Source<T: Real, V: Vector<T>>: Copy {
    /// # Safety
    /// The maker of the source answers for its pointers.
    unsafe fn take(&self, i: usize) -> Pair<V>;
}

/// Where element `i` of every lane goes at the end.
pub trait Sink<T: Real, V: Vector<T>>: Copy {
    /// # Safety
    /// As for [`Source::take`].
    unsafe fn put(&self, i: usize, z: Pair<V>);
}

/// A buffer; the transform in the other direction is this one with real and imaginary parts exchanged on both ends.
#[derive(Clone, Copy)]
pub struct Buffer<T> {
    at: *mut T,
    re: usize,
    im: usize,
}

impl<T: Real> Buffer<T> {
    #[inline(always)]
    pub fn new<V: Vector<T>>(at: *mut T) -> Self {
        Buffer { at, re: 0, im: V::LANES }
    }

    #[inline(always)]
    pub fn exchanged<V: Vector<T>>(at: *mut T) -> Self {
        Buffer { at, re: V::LANES, im: 0 }
    }
}

impl<T: Real, V: Vector<T>> Source<T, V> for Buffer<T> {
    #[inline(always)]
    unsafe fn take(&self, i: usize) -> Pair<V> {
        unsafe {
            let at = self.at.add(2 * i * V::LANES);
            (V::load(at.add(self.re)), V::load(at.add(self.im)))
        }
    }
}

impl<T: Real, V: Vector<T>> Sink<T, V> for Buffer<T> {
    #[inline(always)]
    unsafe fn put(&self, i: usize, (re, im): Pair<V>) {
        unsafe {
            let at = self.at.add(2 * i * V::LANES);
            re.store(at.add(self.re));
            im.store(at.add(self.im));
        }
    }
}

struct Pass {
    radix: usize,
    /// Length of the transforms that remain, and how many of them are interleaved.
    m: usize,
    s: usize,
    /// Where its twiddles start: (radix − 1) roots for each of the m.
    twiddles: usize,
}

/// The forward transform (e^{−ikx}) of length `n` of each lane.
pub struct Fft<T: Real> {
    n: usize,
    passes: Vec<Pass>,
    twiddles: Vec<Complex<T>>,
    other: Option<Arc<dyn rustfft::Fft<T>>>,
}

/// `n` as a product of radices: as few as possible, and of those the ones with the smallest largest; ascending. None if
/// a prime other than 2, 3 and 5 divides it.
fn radices(n: usize) -> Option<Vec<usize>> {
    const KNOWN: [usize; 10] = [2, 3, 4, 5, 6, 8, 9, 10, 12, 16];
    let mut smooth = n;
    for p in [2, 3, 5] {
        while smooth % p == 0 {
            smooth /= p;
        }
    }
    if smooth > 1 {
        return None;
    }
    // All products of `left` of the radices up to `largest`, in ascending order.
    fn search(n: usize, left: usize, largest: usize, found: &mut Vec<usize>) -> bool {
        if left == 0 {
            return n == 1;
        }
        KNOWN.iter().rev().filter(|r| **r <= largest && n % **r == 0).any(|&r| {
            found.push(r);
            search(n / r, left - 1, r, found) || {
                found.pop();
                false
            }
        })
    }
    (0..=n.ilog2() as usize).find_map(|count| {
        KNOWN.iter().find_map(|&largest| {
            let mut found = Vec::new();
            search(n, count, largest, &mut found).then(|| {
                found.reverse();
                found
            })
        })
    })
}

impl<T: Real> Fft<T> {
    pub fn new(n: usize, level: Level) -> Fft<T> {
        assert!(n > 0, "a transform of nothing");
        let mut fft = Fft { n, passes: Vec::new(), twiddles: Vec::new(), other: None };
        let Some(radices) = radices(n) else {
            fft.other = Some(library_plan(n, FftDirection::Forward, level));
            return fft;
        };
        let (mut length, mut s) = (n, 1);
        for radix in radices {
            let m = length / radix;
            fft.passes.push(Pass { radix, m, s, twiddles: fft.twiddles.len() });
            for p in 0..m {
                fft.twiddles.extend((1..radix).map(|j| T::complex(root(p * j, length))));
            }
            (length, s) = (m, s * radix);
        }
        fft
    }

    pub fn len(&self) -> usize {
        self.n
    }

    /// Complex numbers that `line` of [`run`](Fft::run) must have.
    pub fn line(&self) -> usize {
        self.other.as_ref().map_or(0, |f| self.n + f.get_inplace_scratch_len())
    }

    /// Transforms what `source` gives and hands it to `sink`, by way of `a` and `b`. The source may be a third buffer, and
    /// the sink the same one again.
    ///
    /// # Safety
    /// `a` and `b` are buffers of `n` elements of `V`; `line` as long as [`line`](Fft::line) says.
    #[inline(always)]
    pub unsafe fn run<V: Vector<T>>(
        &self,
        source: &impl Source<T, V>,
        sink: &impl Sink<T, V>,
        a: *mut T,
        b: *mut T,
        line: &mut [Complex<T>],
    ) {
        let buffer = Buffer::new::<V>(a);
        unsafe {
            match (&self.other, &self.passes[..]) {
                (Some(other), _) => {
                    for i in 0..self.n {
                        buffer.put(i, Source::<T, V>::take(source, i));
                    }
                    self.one_by_one::<V>(other.as_ref(), a, line);
                    for i in 0..self.n {
                        sink.put(i, Source::<T, V>::take(&buffer, i));
                    }
                }
                (None, []) => sink.put(0, source.take(0)),
                (None, [pass]) => {
                    self.pass::<V>(pass, source, &buffer);
                    for i in 0..self.n {
                        sink.put(i, Source::<T, V>::take(&buffer, i));
                    }
                }
                (None, [first, middle @ .., last]) => {
                    self.pass::<V>(first, source, &buffer);
                    let (mut x, mut y) = (buffer, Buffer::new::<V>(b));
                    for pass in middle {
                        self.pass::<V>(pass, &x, &y);
                        (x, y) = (y, x);
                    }
                    self.pass::<V>(last, &x, sink);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn pass<V: Vector<T>>(&self, pass: &Pass, source: &impl Source<T, V>, sink: &impl Sink<T, V>) {
        unsafe {
            let twiddles = self.twiddles.as_ptr().add(pass.twiddles);
            match pass.radix {
                16 => V::call(PassJob::<_, _, _, 16> { pass, twiddles, source, sink }),
                12 => V::call(PassJob::<_, _, _, 12> { pass, twiddles, source, sink }),
                10 => V::call(PassJob::<_, _, _, 10> { pass, twiddles, source, sink }),
                9 => V::call(PassJob::<_, _, _, 9> { pass, twiddles, source, sink }),
                8 => V::call(PassJob::<_, _, _, 8> { pass, twiddles, source, sink }),
                6 => V::call(PassJob::<_, _, _, 6> { pass, twiddles, source, sink }),
                5 => V::call(PassJob::<_, _, _, 5> { pass, twiddles, source, sink }),
                4 => V::call(PassJob::<_, _, _, 4> { pass, twiddles, source, sink }),
                3 => V::call(PassJob::<_, _, _, 3> { pass, twiddles, source, sink }),
                _ => V::call(PassJob::<_, _, _, 2> { pass, twiddles, source, sink }),
            }
        }
    }

    unsafe fn one_by_one<V: Vector<T>>(&self, plan: &dyn rustfft::Fft<T>, a: *mut T, line: &mut [Complex<T>]) {
        let (line, scratch) = line.split_at_mut(self.n);
        let scratch = &mut scratch[..plan.get_inplace_scratch_len()];
        for lane in 0..V::LANES {
            // SAFETY: within the buffer of n elements of 2 · LANES numbers.
            unsafe {
                for (i, z) in line.iter_mut().enumerate() {
                    let at = a.add(2 * i * V::LANES + lane);
                    *z = Complex::new(*at, *at.add(V::LANES));
                }
                plan.process_with_scratch(line, scratch);
                for (i, z) in line.iter().enumerate() {
                    let at = a.add(2 * i * V::LANES + lane);
                    (*at, *at.add(V::LANES)) = (z.re, z.im);
                }
            }
        }
    }
}

/// One pass: y[q + s (r p + j)] = w^{pj} Σ_i e^{−2πi ij/r} x[q + s (p + m i)], w the (r m)-th root.
struct PassJob<'a, T, S, K, const R: usize> {
    pass: &'a Pass,
    twiddles: *const Complex<T>,
    source: &'a S,
    sink: &'a K,
}

impl<T: Real, V: Vector<T>, S: Source<T, V>, K: Sink<T, V>, const R: usize> Call<T, V> for PassJob<'_, T, S, K, R>
where
    (): Butterfly<R>,
{
    #[inline(always)]
    unsafe fn call(self) {
        let PassJob { pass, twiddles, source, sink } = self;
        // Copies of this function's own: nothing that is stored can change them, so they stay in registers.
        let (source, sink) = (&{ *source }, &{ *sink });
        let (m, s) = (pass.m, pass.s);
        unsafe {
            for q in 0..s {
                let to = Output::<_, _, false> { sink, at: q, step: s, w: twiddles };
                <() as Butterfly<R>>::apply::<T, V, S, K, false>(Input { source, at: q, step: s * m }, to);
            }
            for p in 1..m {
                let w = twiddles.add(p * (R - 1));
                for q in 0..s {
                    let to = Output::<_, _, true> { sink, at: q + s * R * p, step: s, w };
                    <() as Butterfly<R>>::apply::<T, V, S, K, true>(Input { source, at: q + s * p, step: s * m }, to);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::vector::{Job, enter};
    use super::*;

    struct Run<'a, T: Real>(&'a Fft<T>, &'a [Vec<Complex<T>>], &'a mut Vec<Vec<Complex<T>>>);

    impl<T: Real> Job<T> for Run<'_, T> {
        #[inline(always)]
        unsafe fn run<V: Vector<T>>(self) {
            let (n, lanes) = (self.0.len(), V::LANES);
            let mut a = vec![T::zero(); 2 * n * lanes];
            let mut b = a.clone();
            for (lane, line) in self.1.iter().take(lanes).enumerate() {
                for (i, z) in line.iter().enumerate() {
                    (a[2 * i * lanes + lane], a[(2 * i + 1) * lanes + lane]) = (z.re, z.im);
                }
            }
            let mut line = vec![Complex::new(T::zero(), T::zero()); self.0.line()];
            let mut result = std::mem::replace(&mut a, b.clone());
            let ends = Buffer::new::<V>(result.as_mut_ptr());
            unsafe { self.0.run::<V>(&ends, &ends, a.as_mut_ptr(), b.as_mut_ptr(), &mut line) };
            *self.2 = (0..lanes)
                .map(|l| {
                    (0..n).map(|i| Complex::new(result[2 * i * lanes + l], result[(2 * i + 1) * lanes + l])).collect()
                })
                .collect();
        }
    }

    fn compare<T: Real>(n: usize, level: Level, bound: f64) {
        let lines: Vec<Vec<Complex<T>>> = (0..16)
            .map(|l| {
                let value = |i: usize, w: f64| T::of((w * (i * i + 7 * l + 1) as f64).sin());
                (0..n).map(|i| Complex::new(value(i, 0.37), value(i, 0.71))).collect()
            })
            .collect();
        let mut out = Vec::new();
        unsafe { enter(level, Run(&Fft::new(n, level), &lines, &mut out)) };
        for (line, out) in lines.iter().zip(&out) {
            let mut exact: Vec<Complex<f64>> =
                line.iter().map(|z| Complex::new(z.re.to_f64(), z.im.to_f64())).collect();
            FftPlanner::new().plan_fft_forward(n).process(&mut exact);
            let size = exact.iter().map(|z| z.norm_sqr()).sum::<f64>().sqrt();
            let off = exact.iter().zip(out).map(|(a, b)| (a - Complex::new(b.re.to_f64(), b.im.to_f64())).norm_sqr());
            let off = off.sum::<f64>().sqrt() / size;
            assert!(off < bound * (2.0 + (n as f64).log2()), "n = {n}, {level:?}: {off:e}");
        }
    }

    #[test]
    fn every_length_to_130_and_smooth_ones_to_1920_agree_with_rustfft_to_rounding() {
        for level in Level::ALL.into_iter().filter(|l| *l <= Level::detect()) {
            for n in (1..=130).chain([144, 160, 192, 240, 250, 256, 384, 512, 625, 729, 1024, 1920]) {
                compare::<f64>(n, level, 2e-16);
                compare::<f32>(n, level, 1.2e-7);
            }
        }
    }

    #[test]
    fn roots_of_unity_are_exact_where_they_can_be() {
        assert_eq!(root(0, 12), Complex::new(1.0, 0.0));
        assert_eq!(root(3, 12), Complex::new(0.0, -1.0));
        assert_eq!(root(2, 4), Complex::new(-1.0, 0.0));
        for n in [5, 12, 37, 128] {
            for j in 0..n {
                let exact = Complex::from_polar(1.0, -TAU * j as f64 / n as f64);
                assert!((root(j, n) - exact).norm() < 1e-15, "{j} of {n}");
            }
        }
    }
}
