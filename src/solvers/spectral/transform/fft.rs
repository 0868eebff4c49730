//! Complex transforms of many lines at once, one per lane: Stockham passes of radix 8, 5, 4, 3 and 2, self-sorting,
//! between two buffers (C. Van Loan, Computational Frameworks for the Fast Fourier Transform, §1.7). Lengths with other
//! prime factors go line by line through rustfft.
//!
//! A buffer of `n` elements holds, per element, the real parts of all lanes and then the imaginary parts.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};
use std::sync::Arc;

use num_complex::Complex;
use rustfft::{FftDirection, FftPlanner};

use super::vector::{Level, Vector};
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

/// rustfft's plan at a kernel level.
pub fn rust_plan<T: Real>(n: usize, direction: FftDirection, level: Level) -> Arc<dyn rustfft::Fft<T>> {
    if level == Level::Portable {
        return rustfft::FftPlannerScalar::new().plan_fft(n, direction);
    }
    match rustfft::FftPlannerAvx::new() {
        Ok(mut planner) => planner.plan_fft(n, direction),
        Err(()) => FftPlanner::new().plan_fft(n, direction),
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

/// The forward transform (e^{−ikx}) of length `n` of each lane. For the other direction swap real and imaginary parts
/// before and after.
pub struct Fft<T: Real> {
    n: usize,
    passes: Vec<Pass>,
    twiddles: Vec<Complex<T>>,
    other: Option<Arc<dyn rustfft::Fft<T>>>,
}

/// Factors of `n`, largest radix last; none if another prime divides it.
fn radices(n: usize) -> Option<Vec<usize>> {
    let mut rest = n;
    let mut found = Vec::new();
    for p in [5, 3] {
        while rest % p == 0 {
            found.push(p);
            rest /= p;
        }
    }
    if !rest.is_power_of_two() {
        return None;
    }
    let twos = rest.trailing_zeros() as usize;
    let (fours, two) = match twos % 3 {
        0 => (0, false),
        1 if twos >= 4 => (2, false),
        1 => (0, true),
        _ => (1, false),
    };
    found.extend(vec![4; fours]);
    if two {
        found.push(2);
    }
    found.extend(vec![8; (twos - 2 * fours - usize::from(two)) / 3]);
    // The first pass works with stride 1 and the largest radix, where every element needs other twiddles.
    found.reverse();
    Some(found)
}

impl<T: Real> Fft<T> {
    pub fn new(n: usize, level: Level) -> Fft<T> {
        assert!(n > 0, "a transform of nothing");
        let mut fft = Fft { n, passes: Vec::new(), twiddles: Vec::new(), other: None };
        let Some(radices) = radices(n) else {
            fft.other = Some(rust_plan(n, FftDirection::Forward, level));
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

    /// Transforms `a`, using `b`; returns the one of the two that holds the result.
    ///
    /// # Safety
    /// Both are buffers of `n` elements of `V`; `line` as long as [`line`](Fft::line) says.
    #[inline(always)]
    pub unsafe fn run<V: Vector<T>>(&self, a: *mut T, b: *mut T, line: &mut [Complex<T>]) -> *mut T {
        unsafe {
            if let Some(other) = &self.other {
                self.one_by_one::<V>(other.as_ref(), a, line);
                return a;
            }
            let (mut x, mut y) = (a, b);
            for pass in &self.passes {
                let twiddles = self.twiddles.as_ptr().add(pass.twiddles);
                match pass.radix {
                    8 => run_pass::<T, V, 8>(pass, twiddles, x, y),
                    5 => run_pass::<T, V, 5>(pass, twiddles, x, y),
                    4 => run_pass::<T, V, 4>(pass, twiddles, x, y),
                    3 => run_pass::<T, V, 3>(pass, twiddles, x, y),
                    _ => run_pass::<T, V, 2>(pass, twiddles, x, y),
                }
                (x, y) = (y, x);
            }
            x
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

type Pair<V> = (V, V);

/// A transform of length `R` within registers; a trait, so that it is inlined whatever its size.
trait Butterfly<const R: usize> {
    unsafe fn apply<T: Real, V: Vector<T>>(a: [Pair<V>; R]) -> [Pair<V>; R];
}

macro_rules! butterflies {
    ($($r:literal $f:ident),*) => {$(
        impl Butterfly<$r> for () {
            #[inline(always)]
            unsafe fn apply<T: Real, V: Vector<T>>(a: [Pair<V>; $r]) -> [Pair<V>; $r] {
                unsafe { $f::<T, V>(a) }
            }
        }
    )*};
}

butterflies!(2 two, 3 three, 4 four, 5 five, 8 eight);

/// One pass: y[q + s (r p + j)] = w^{pj} Σ_i e^{−2πi ij/r} x[q + s (p + m i)], w the (r m)-th root.
#[inline(always)]
unsafe fn run_pass<T: Real, V: Vector<T>, const R: usize>(
    pass: &Pass,
    twiddles: *const Complex<T>,
    x: *const T,
    y: *mut T,
) where
    (): Butterfly<R>,
{
    let (m, s, element) = (pass.m, pass.s, 2 * V::LANES);
    unsafe {
        for p in 0..m {
            let w: [Pair<V>; R] = std::array::from_fn(|j| {
                // The zeroth is never used.
                let w = *twiddles.add(p * (R - 1) + j.max(1) - 1);
                (V::splat(w.re), V::splat(w.im))
            });
            for q in 0..s {
                let a: [Pair<V>; R] = std::array::from_fn(|i| {
                    let at = x.add((q + s * (p + m * i)) * element);
                    (V::load(at), V::load(at.add(V::LANES)))
                });
                let b = <() as Butterfly<R>>::apply(a);
                for j in 0..R {
                    let (re, im) = b[j];
                    let (re, im) = if j == 0 || p == 0 {
                        (re, im)
                    } else {
                        let (c, d) = w[j];
                        (re.mul_sub(c, im.mul(d)), re.mul_add(d, im.mul(c)))
                    };
                    let at = y.add((q + s * (R * p + j)) * element);
                    re.store(at);
                    im.store(at.add(V::LANES));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn plus<T: Real, V: Vector<T>>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    unsafe { (a.0.add(b.0), a.1.add(b.1)) }
}

#[inline(always)]
unsafe fn minus<T: Real, V: Vector<T>>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    unsafe { (a.0.sub(b.0), a.1.sub(b.1)) }
}

/// a − i b and a + i b.
#[inline(always)]
unsafe fn turned<T: Real, V: Vector<T>>(a: Pair<V>, b: Pair<V>) -> (Pair<V>, Pair<V>) {
    unsafe { ((a.0.add(b.1), a.1.sub(b.0)), (a.0.sub(b.1), a.1.add(b.0))) }
}

#[inline(always)]
unsafe fn two<T: Real, V: Vector<T>>(a: [Pair<V>; 2]) -> [Pair<V>; 2] {
    unsafe { [plus(a[0], a[1]), minus(a[0], a[1])] }
}

#[inline(always)]
unsafe fn three<T: Real, V: Vector<T>>(a: [Pair<V>; 3]) -> [Pair<V>; 3] {
    unsafe {
        let (half, sine) = (V::splat(T::of(0.5)), V::splat(T::of(0.866_025_403_784_438_6)));
        let (t, d) = (plus(a[1], a[2]), minus(a[1], a[2]));
        let m = (t.0.neg_mul_add(half, a[0].0), t.1.neg_mul_add(half, a[0].1));
        let (b, c) = turned(m, (d.0.mul(sine), d.1.mul(sine)));
        [plus(a[0], t), b, c]
    }
}

#[inline(always)]
unsafe fn four<T: Real, V: Vector<T>>(a: [Pair<V>; 4]) -> [Pair<V>; 4] {
    unsafe {
        let (s, d) = (plus(a[0], a[2]), minus(a[0], a[2]));
        let (t, e) = (plus(a[1], a[3]), minus(a[1], a[3]));
        let (b, c) = turned(d, e);
        [plus(s, t), b, minus(s, t), c]
    }
}

#[inline(always)]
unsafe fn five<T: Real, V: Vector<T>>(a: [Pair<V>; 5]) -> [Pair<V>; 5] {
    unsafe {
        // cos and sin of 2π/5 and 4π/5.
        let number = |x: f64| V::splat(T::of(x));
        let (c1, c2) = (number(0.309_016_994_374_947_45), number(-0.809_016_994_374_947_5));
        let (s1, s2) = (number(0.951_056_516_295_153_5), number(0.587_785_252_292_473_1));
        let (t1, t2) = (plus(a[1], a[4]), plus(a[2], a[3]));
        let (d1, d2) = (minus(a[1], a[4]), minus(a[2], a[3]));
        let m1 = (t2.0.mul_add(c2, t1.0.mul_add(c1, a[0].0)), t2.1.mul_add(c2, t1.1.mul_add(c1, a[0].1)));
        let m2 = (t2.0.mul_add(c1, t1.0.mul_add(c2, a[0].0)), t2.1.mul_add(c1, t1.1.mul_add(c2, a[0].1)));
        let n1 = (d2.0.mul_add(s2, d1.0.mul(s1)), d2.1.mul_add(s2, d1.1.mul(s1)));
        let n2 = (d2.0.neg_mul_add(s1, d1.0.mul(s2)), d2.1.neg_mul_add(s1, d1.1.mul(s2)));
        let (b1, b4) = turned(m1, n1);
        let (b2, b3) = turned(m2, n2);
        [plus(a[0], plus(t1, t2)), b1, b2, b3, b4]
    }
}

#[inline(always)]
unsafe fn eight<T: Real, V: Vector<T>>(a: [Pair<V>; 8]) -> [Pair<V>; 8] {
    unsafe {
        let [e0, e1, e2, e3] = four([a[0], a[2], a[4], a[6]]);
        let [o0, o1, o2, o3] = four([a[1], a[3], a[5], a[7]]);
        let h = V::splat(T::of(FRAC_1_SQRT_2));
        // e^{−iπ/4} and e^{−3iπ/4} times the odd ones.
        let o1 = (o1.0.add(o1.1).mul(h), o1.1.sub(o1.0).mul(h));
        let o3 = (o3.1.sub(o3.0).mul(h), o3.0.add(o3.1).mul(h));
        let (b2, b6) = turned(e2, o2);
        // o3 above lacks its sign in the imaginary part.
        let (b3, b7) = ((e3.0.add(o3.0), e3.1.sub(o3.1)), (e3.0.sub(o3.0), e3.1.add(o3.1)));
        [plus(e0, o0), plus(e1, o1), b2, b3, minus(e0, o0), minus(e1, o1), b6, b7]
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
            let result = unsafe { self.0.run::<V>(a.as_mut_ptr(), b.as_mut_ptr(), &mut line) };
            let result = if result == a.as_mut_ptr() { a } else { b };
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
