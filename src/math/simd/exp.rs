//! Exponentials and logarithms of our own: libm differs between machines, and is slow.
//!
//! 2^z = 2^k · p(f) with k = ⌊z⌋ and f = z − k in [0, 1]. The polynomials minimise the relative error on [0, 1]
//! (Remez exchange in 60 digits, coefficients rounded one after the other, each time with the rest fitted again,
//! p(0) = 1 held): truncation 2.3e-16 in f64 (degree 10) and 2.2e-9 in f32 (degree 6).

use super::lanes::{Element, Lanes, PortableF32, PortableF64};
use super::level::{Isa, Level, Op};

/// Bound of the relative error of the vector exp2 in f64 for an exact argument (test below).
pub const EXP2_ERROR_F64: f64 = 1e-15;
/// The same in f32.
pub const EXP2_ERROR_F32: f64 = 1e-7;

const EXP2_F64: [f64; 10] = [
    0.693147180559909,
    0.2402265069609475,
    0.05550410863257305,
    0.009618129384560548,
    0.001333354456580788,
    0.00015403939844080367,
    1.5244894164421417e-05,
    1.3310815768234174e-06,
    9.469575707414509e-08,
    9.935489565862632e-09,
];

const EXP2_F32: [f32; 6] =
    [0.693_147_06, 0.240_229_09, 0.055_486_184, 0.009_673_775, 0.001_248_228_8, 0.000_215_659_79];

/// 2^f for f in [0, 1], by Horner's rule, of R vectors side by side.
#[inline(always)]
pub fn exp2_fraction_f64<V: Lanes<Elem = f64>, const R: usize>(f: [V; R]) -> [V; R] {
    let mut p = [V::splat(EXP2_F64[9]); R];
    for k in (0..9).rev() {
        for r in 0..R {
            p[r] = p[r].mul_add(f[r], V::splat(EXP2_F64[k]));
        }
    }
    for r in 0..R {
        p[r] = p[r].mul_add(f[r], V::splat(1.0));
    }
    p
}

/// The same in f32.
#[inline(always)]
pub fn exp2_fraction_f32<V: Lanes<Elem = f32>, const R: usize>(f: [V; R]) -> [V; R] {
    let mut p = [V::splat(EXP2_F32[5]); R];
    for k in (0..5).rev() {
        for r in 0..R {
            p[r] = p[r].mul_add(f[r], V::splat(EXP2_F32[k]));
        }
    }
    for r in 0..R {
        p[r] = p[r].mul_add(f[r], V::splat(1.0));
    }
    p
}

#[inline(always)]
fn number<V: Lanes>(x: f64) -> V {
    V::splat(V::Elem::from_f64(x))
}

/// log2 m for m in [√½, √2): (2/ln 2) artanh s with s = (m − 1)/(m + 1), |s| ≤ 0.172, by its series
/// (first term left out: 2.3e-17 in f64, 6e-11 in f32, relative).
#[inline(always)]
pub fn log2_mantissa<V: Lanes>(m: V) -> V {
    let one = number::<V>(1.0);
    let s = m.sub(one).div(m.add(one));
    let g = s.mul(s);
    let last = if V::N == 8 { 19 } else { 11 };
    let mut p = number::<V>(1.0 / last as f64);
    let mut k = last - 2;
    while k >= 3 {
        p = p.mul_add(g, number::<V>(1.0 / k as f64));
        k -= 2;
    }
    let two_log2e = number::<V>(2.0 * std::f64::consts::LOG2_E);
    // 2/ln 2 · (s + s·g·p)
    s.mul(g).mul_add(p, s).mul(two_log2e)
}

/// The bare vector kernel: out_k = 2^max(x_k, −1000), any length; what the passes are measured against.
pub fn exp2_slice(level: Level, x: &[f64], out: &mut [f64]) {
    match level {
        Level::Portable => apply::<PortableF64>(x, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => apply::<super::avx2::F64>(x, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => apply::<super::avx512::F64>(x, out),
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("not available here"),
    }
}

/// The same in f32, clamped at −120.
pub fn exp2_slice_f32(level: Level, x: &[f32], out: &mut [f32]) {
    match level {
        Level::Portable => apply::<PortableF32>(x, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => apply::<super::avx2::F32>(x, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => apply::<super::avx512::F32>(x, out),
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("not available here"),
    }
}

fn apply<V: Lanes>(x: &[V::Elem], out: &mut [V::Elem]) {
    assert!(x.len() == out.len() && <V::Isa as Isa>::LEVEL.is_available());
    V::Isa::enter(Exp2::<V> { x, out });
}

struct Exp2<'a, V: Lanes> {
    x: &'a [V::Elem],
    out: &'a mut [V::Elem],
}

impl<V: Lanes> Op for Exp2<'_, V> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let mut x = self.x.chunks_exact(4 * V::N);
        let mut out = self.out.chunks_exact_mut(4 * V::N);
        for (x, out) in x.by_ref().zip(out.by_ref()) {
            let mut z = [V::splat(V::Elem::default()); 4];
            // SAFETY: chunks of 4N.
            unsafe {
                for r in 0..4 {
                    z[r] = V::load(x.as_ptr().add(r * V::N));
                }
                let e = V::exp2_rows::<true>(z);
                for r in 0..4 {
                    e[r].store(out.as_mut_ptr().add(r * V::N));
                }
            }
        }
        for (x, out) in x.remainder().chunks(V::N).zip(out.into_remainder().chunks_mut(V::N)) {
            let mut last = [V::Elem::default(); 16];
            last[..x.len()].copy_from_slice(x);
            // SAFETY: N ≤ 16.
            unsafe { V::load(last.as_ptr()).exp2().store(last.as_mut_ptr()) };
            out.copy_from_slice(&last[..out.len()]);
        }
    }
}

/// 2^x, the same bits on every machine. 0 below −1022.
pub fn exp2(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < -1022.0 {
        return 0.0;
    }
    let low = if x < -500.0 { power_of_two(-500.0) } else { 1.0 };
    first(PortableF64::splat(if x < -500.0 { x + 500.0 } else { x }).exp2()) * low
}

/// e^x: the argument is split so that its rounding does not grow with |x|. 0 below −708.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < -708.0 {
        return 0.0;
    }
    if x > 710.0 {
        return f64::INFINITY;
    }
    // x = k ln 2 + r with ln 2 in two parts, the first of 33 bits: k·LN2_HIGH is exact.
    const LN2_HIGH: f64 = 0.6931471803691238;
    const LN2_LOW: f64 = 1.9082149292705877e-10;
    let k = (x * std::f64::consts::LOG2_E).round();
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    exp2_scaled(r * std::f64::consts::LOG2_E, k)
}

fn exp2_scaled(f: f64, k: f64) -> f64 {
    // Two factors, so that neither leaves the range.
    let half = (k / 2.0).floor();
    first(PortableF64::splat(f).exp2()) * power_of_two(half) * power_of_two(k - half)
}

fn power_of_two(k: f64) -> f64 {
    f64::from_bits(((k + 1023.0) as u64) << 52)
}

/// Natural logarithm, the same bits on every machine; −∞ at 0, NaN below.
pub fn ln(x: f64) -> f64 {
    log2_parts(x).map_or_else(|special| special, |(m, e)| e * std::f64::consts::LN_2 + m * std::f64::consts::LN_2)
}

/// Binary logarithm, the same bits on every machine; −∞ at 0, NaN below.
pub fn log2(x: f64) -> f64 {
    log2_parts(x).map_or_else(|special| special, |(m, e)| m + e)
}

/// (log2 of the mantissa, exponent), or the value at a special argument.
fn log2_parts(x: f64) -> Result<(f64, f64), f64> {
    if x.is_nan() || x < 0.0 {
        return Err(f64::NAN);
    }
    if x == 0.0 {
        return Err(f64::NEG_INFINITY);
    }
    if x == f64::INFINITY {
        return Err(x);
    }
    let (x, below) = if x < f64::MIN_POSITIVE { (x * power_of_two(60.0), 60.0) } else { (x, 0.0) };
    let (m, e) = PortableF64::splat(x).split();
    Ok((first(log2_mantissa(m)), first(e) - below))
}

fn first(v: PortableF64) -> f64 {
    let mut lane = [0.0; 8];
    // SAFETY: eight lanes into eight places.
    unsafe { v.store(lane.as_mut_ptr()) };
    lane[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::simd::level::Portable;

    struct Apply<'a, V: Lanes>(&'a [V::Elem], &'a mut [V::Elem], fn(V) -> V);

    impl<V: Lanes> Op for Apply<'_, V> {
        type Out = ();
        #[inline(always)]
        fn run(self) {
            for (x, y) in self.0.chunks_exact(V::N).zip(self.1.chunks_exact_mut(V::N)) {
                // SAFETY: chunks of N.
                unsafe { self.2(V::load(x.as_ptr())).store(y.as_mut_ptr()) };
            }
        }
    }

    /// Largest relative error against libm in f64 over points of [low, high].
    fn worst<V: Lanes>(f: fn(V) -> V, truth: fn(f64) -> f64, low: f64, high: f64) -> f64 {
        let n = 1 << 18;
        let x: Vec<V::Elem> = (0..n).map(|k| V::Elem::from_f64(low + (high - low) * k as f64 / n as f64)).collect();
        let mut y = x.clone();
        V::Isa::enter(Apply::<V>(&x, &mut y, f));
        let error = |(x, y): (&V::Elem, &V::Elem)| {
            let t = truth(x.to_f64());
            if t == 0.0 { y.to_f64().abs() } else { (y.to_f64() / t - 1.0).abs() }
        };
        x.iter().zip(&y).map(error).fold(0.0, f64::max)
    }

    fn check<I: Isa>() {
        let level = I::LEVEL;
        for (low, high) in [(-3.0, 3.0), (-990.0, 1020.0)] {
            let error = worst::<I::F64>(Lanes::exp2, f64::exp2, low, high);
            assert!(error < EXP2_ERROR_F64, "{level:?}: exp2 in f64 within {error:e}");
        }
        for (low, high) in [(-3.0, 3.0), (-119.0, 127.0)] {
            let error = worst::<I::F32>(Lanes::exp2, f64::exp2, low, high);
            assert!(error < EXP2_ERROR_F32, "{level:?}: exp2 in f32 within {error:e}");
        }
        let error = worst::<I::F64>(Lanes::log2, f64::log2, 1e-300, 3.0);
        assert!(error < 1e-15, "{level:?}: log2 in f64 within {error:e}");
        let error = worst::<I::F32>(Lanes::log2, f64::log2, 1e-30, 3.0);
        assert!(error < 5e-7, "{level:?}: log2 in f32 within {error:e}");
        // Ends: clamped below, infinite above, NaN clamped.
        for (x, y) in
            [(-1e9, (-1000f64).exp2()), (1e9, f64::INFINITY), (1024.0, f64::INFINITY), (f64::NAN, (-1000f64).exp2())]
        {
            let mut out = [0.0; 8];
            I::enter(Apply::<I::F64>(&[x; 8], &mut out, Lanes::exp2));
            assert!(out.iter().all(|&o| o == y), "{level:?}: 2^{x} = {out:?}");
        }
        for (x, y) in [(f32::NEG_INFINITY, (-120f32).exp2()), (128.0, f32::INFINITY), (1e30, f32::INFINITY)] {
            let mut out = [0.0; 16];
            I::enter(Apply::<I::F32>(&[x; 16], &mut out, Lanes::exp2));
            assert!(out.iter().all(|&o| o == y), "{level:?}: 2^{x} = {out:?}");
        }
    }

    #[test]
    fn vector_exponentials_are_within_1e_15_in_f64_and_1e_7_in_f32() {
        check::<Portable>();
        #[cfg(target_arch = "x86_64")]
        {
            use crate::math::simd::level::{Avx2, Avx512};
            if Level::Avx2.is_available() {
                check::<Avx2>();
            }
            if Level::Avx512.is_available() {
                check::<Avx512>();
            }
        }
    }

    #[test]
    fn scalar_exponentials_and_logarithms_are_within_1e_15() {
        for k in -70_000..70_000 {
            let x = k as f64 * 0.0101;
            if x.abs() < 707.0 {
                assert!((exp(x) / x.exp() - 1.0).abs() < 1e-15, "exp {x}");
            }
            if x > -1021.0 && x < 1023.0 {
                assert!((exp2(x) / x.exp2() - 1.0).abs() < 1e-15, "exp2 {x}");
            }
            let y = 1.013f64.powi(k / 2);
            if y > 0.0 && y < f64::INFINITY {
                assert!((ln(y) - y.ln()).abs() <= 1e-15 * (y.ln().abs() + 0.1), "ln {y:e}: {:e}", ln(y) - y.ln());
                assert!((log2(y) - y.log2()).abs() <= 1e-15 * (y.log2().abs() + 0.1), "log2 {y:e}");
            }
        }
        assert_eq!(ln(1.0), 0.0);
        assert!(ln(0.0) == f64::NEG_INFINITY && ln(-1.0).is_nan() && ln(f64::INFINITY) == f64::INFINITY);
        assert!(exp(f64::NEG_INFINITY) == 0.0 && exp(1e5) == f64::INFINITY && exp(0.0) == 1.0);
        assert!((ln(5e-324) - 5e-324f64.ln()).abs() < 1e-12);
    }
}
