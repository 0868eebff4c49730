//! Scalar functions that inline into plain loops, so that the compiler turns the loop into vectors of the level.
//!
//! Every function is straight-line arithmetic without branches or tables. A value depends on its argument alone: the
//! same bits in the body and in the tail of a loop, whatever the vector length.

/// The scalar arithmetic of a kernel level.
pub trait Scalar {
    /// a · b + c, rounded once except at the portable level.
    fn mul_add(a: f64, b: f64, c: f64) -> f64;

    /// x < 2^63, rounded to the nearest.
    fn from_u64(x: u64) -> f64;

    /// The smallest integer that is not below 0 ≤ x < 2^51.
    fn ceil(x: f64) -> f64;

    /// e^x, relative error below 4e-16; 0 below −708, +∞ above 709, NaN for NaN.
    #[inline(always)]
    fn exp(x: f64) -> f64 {
        let z = if x < -708.0 { -708.0 } else { x };
        let z = if z > 709.0 { 709.0 } else { z };
        let t = Self::mul_add(z, std::f64::consts::LOG2_E, MAGIC);
        let k = t - MAGIC;
        let r = Self::mul_add(k, -LN2_LOW, Self::mul_add(k, -LN2_HIGH, z));
        let mut p = EXP[0];
        p = Self::mul_add(p, r, EXP[1]);
        p = Self::mul_add(p, r, EXP[2]);
        p = Self::mul_add(p, r, EXP[3]);
        p = Self::mul_add(p, r, EXP[4]);
        p = Self::mul_add(p, r, EXP[5]);
        p = Self::mul_add(p, r, EXP[6]);
        p = Self::mul_add(p, r, EXP[7]);
        p = Self::mul_add(p, r, EXP[8]);
        p = Self::mul_add(p, r, EXP[9]);
        p = Self::mul_add(p, r, EXP[10]);
        p = Self::mul_add(p, r, 1.0);
        p = Self::mul_add(p, r, 1.0);
        // k stands in the low bits of t: added to the exponent.
        let y = f64::from_bits(p.to_bits().wrapping_add(t.to_bits() << 52));
        let y = if x < -708.0 { 0.0 } else { y };
        if x > 709.0 { f64::INFINITY } else { y }
    }

    /// Natural logarithm of a normal number x > 0, error below 4e-16 of the larger of |ln x| and 0.2.
    #[inline(always)]
    fn ln_positive(z: f64) -> f64 {
        let root = std::f64::consts::FRAC_1_SQRT_2.to_bits();
        let one = 1.0f64.to_bits();
        let biased = z.to_bits().wrapping_sub(root).wrapping_add(one) >> 52;
        let m = f64::from_bits(z.to_bits().wrapping_sub(biased.wrapping_sub(1023) << 52));
        let e = (f64::from_bits(TWO_52.to_bits() | biased) - TWO_52) - 1023.0;
        let s = (m - 1.0) / (m + 1.0);
        let g = s * s;
        let mut p = 1.0 / 19.0;
        p = Self::mul_add(p, g, 1.0 / 17.0);
        p = Self::mul_add(p, g, 1.0 / 15.0);
        p = Self::mul_add(p, g, 1.0 / 13.0);
        p = Self::mul_add(p, g, 1.0 / 11.0);
        p = Self::mul_add(p, g, 1.0 / 9.0);
        p = Self::mul_add(p, g, 1.0 / 7.0);
        p = Self::mul_add(p, g, 1.0 / 5.0);
        p = Self::mul_add(p, g, 1.0 / 3.0);
        let two_s = s + s;
        let y = Self::mul_add(two_s * g, p, two_s);
        Self::mul_add(e, LN2_HIGH, Self::mul_add(e, LN2_LOW, y))
    }

    /// Natural logarithm of any x (positive ones below the smallest normal count as that); −∞ at 0, NaN below and for NaN,
    /// +∞ at +∞.
    #[inline(always)]
    fn ln(x: f64) -> f64 {
        let y = Self::ln_positive(if x < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { x });
        let y = if x == 0.0 { f64::NEG_INFINITY } else { y };
        let y = if x == f64::INFINITY { x } else { y };
        if x >= 0.0 { y } else { f64::NAN }
    }

    /// (sin 2πv, cos 2πv) for |v| < 2⁴⁰, absolute error below 3e-16 for |v| ≤ 1.
    #[inline(always)]
    fn sin_cos_turns(v: f64) -> (f64, f64) {
        let t = Self::mul_add(v, 4.0, MAGIC);
        let k = t - MAGIC;
        // Exact: a quarter of an integer from a number close to it.
        let x = Self::mul_add(k, -0.25, v) * std::f64::consts::TAU;
        let g = x * x;
        let mut s = -1.0 / 1_307_674_368_000.0;
        s = Self::mul_add(s, g, 1.0 / 6_227_020_800.0);
        s = Self::mul_add(s, g, -1.0 / 39_916_800.0);
        s = Self::mul_add(s, g, 1.0 / 362_880.0);
        s = Self::mul_add(s, g, -1.0 / 5_040.0);
        s = Self::mul_add(s, g, 1.0 / 120.0);
        s = Self::mul_add(s, g, -1.0 / 6.0);
        let s = Self::mul_add(s * g, x, x);
        let mut c = 1.0 / 20_922_789_888_000.0;
        c = Self::mul_add(c, g, -1.0 / 87_178_291_200.0);
        c = Self::mul_add(c, g, 1.0 / 479_001_600.0);
        c = Self::mul_add(c, g, -1.0 / 3_628_800.0);
        c = Self::mul_add(c, g, 1.0 / 40_320.0);
        c = Self::mul_add(c, g, -1.0 / 720.0);
        c = Self::mul_add(c, g, 1.0 / 24.0);
        c = Self::mul_add(c, g, -0.5);
        let c = Self::mul_add(c, g, 1.0);
        // Quadrant k mod 4 from the low bits of t.
        let bits = t.to_bits();
        let swap = bits & 1 == 1;
        let (sin, cos) = if swap { (c, s) } else { (s, c) };
        let flip_sin = (bits & 2) << 62;
        let flip_cos = ((bits.wrapping_add(1)) & 2) << 62;
        (f64::from_bits(sin.to_bits() ^ flip_sin), f64::from_bits(cos.to_bits() ^ flip_cos))
    }
}

/// 1.5 · 2⁵²: adding it rounds to an integer, which then stands in the low bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;
const TWO_52: f64 = 4_503_599_627_370_496.0;
/// ln 2 in two parts, the first of 33 bits: k·LN2_HIGH is exact.
const LN2_HIGH: f64 = 0.6931471803691238;
const LN2_LOW: f64 = 1.9082149292705877e-10;
/// 1/12! … 1/2!: Taylor's series, whose next term is 2e-16 at r = ln 2 / 2.
const EXP: [f64; 11] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
];

/// Two roundings: the same bits on every IEEE machine.
pub struct Plain;

impl Scalar for Plain {
    #[inline(always)]
    fn mul_add(a: f64, b: f64, c: f64) -> f64 {
        // `f64::mul_add` is a library call where the target has no such instruction.
        a * b + c
    }

    #[inline(always)]
    fn from_u64(x: u64) -> f64 {
        halves(x)
    }

    #[inline(always)]
    fn ceil(x: f64) -> f64 {
        let nearest = (x + MAGIC) - MAGIC;
        if nearest < x { nearest + 1.0 } else { nearest }
    }
}

/// Two exact halves, as not every level converts 64-bit integers.
#[inline(always)]
fn halves(x: u64) -> f64 {
    const LOW: u64 = 0x4330_0000_0000_0000;
    const HIGH: u64 = 0x4530_0000_0000_0000;
    let low = f64::from_bits(x & 0xFFFF_FFFF | LOW);
    let high = f64::from_bits(x >> 32 | HIGH);
    (high - (f64::from_bits(HIGH) + f64::from_bits(LOW))) + low
}

/// Fused multiply-add; 64-bit integers in halves (AVX2).
pub struct Fused;

impl Scalar for Fused {
    #[inline(always)]
    fn mul_add(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn from_u64(x: u64) -> f64 {
        halves(x)
    }

    #[inline(always)]
    fn ceil(x: f64) -> f64 {
        x.ceil()
    }
}

/// The same bits as [`Fused`], with conversions of 64-bit integers (AVX-512).
pub struct Wide;

impl Scalar for Wide {
    #[inline(always)]
    fn mul_add(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn from_u64(x: u64) -> f64 {
        x as i64 as f64
    }

    #[inline(always)]
    fn ceil(x: f64) -> f64 {
        x.ceil()
    }
}

/// Σ of all values in eight sums side by side, which are then folded on each other, and the rest.
///
/// Sums of what a loop computes are best taken afterwards, of an array that keeps it: a loop that has both is unrolled, and
/// its function is then computed for two values at once, whatever the level.
#[inline(always)]
pub fn total(values: &[f64]) -> f64 {
    let (wide, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for values in wide {
        for l in 0..8 {
            sums[l] += values[l];
        }
    }
    folded(sums) + rest.iter().sum::<f64>()
}

/// Σ a_l b_l of two lists of one length, likewise.
#[inline(always)]
pub fn dot<S: Scalar>(a: &[f64], b: &[f64]) -> f64 {
    let ((wide_a, rest_a), (wide_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in wide_a.iter().zip(wide_b) {
        for l in 0..8 {
            sums[l] = S::mul_add(a[l], b[l], sums[l]);
        }
    }
    folded(sums) + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

#[inline(always)]
fn folded(s: [f64; 8]) -> f64 {
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

/// Runs `work` compiled with AVX2 and fused multiply-add.
///
/// # Safety
/// The level must be available ([`Level::is_available`](super::Level::is_available)).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    super::align_frame();
    work()
}

/// The same with AVX-512.
///
/// # Safety
/// As [`with_avx2`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq,avx512bw,avx512vl")]
pub unsafe fn with_avx512<R>(work: impl FnOnce() -> R) -> R {
    super::align_frame();
    work()
}

/// `enter!(level, S => expression)`: the expression compiled for each kernel level, with `S` the [`Scalar`] of the level.
///
/// The expression must be plain loops; what it calls must be `#[inline(always)]`, as it is itself: a large one would else
/// stay a function of its own, without the level's instructions. An unavailable level runs the portable
/// code.
#[macro_export]
macro_rules! enter {
    ($level:expr, $S:ident => $body:expr) => {
        match $level {
            #[cfg(target_arch = "x86_64")]
            $crate::math::simd::Level::Avx512 if $crate::math::simd::Level::Avx512.is_available() => {
                type $S = $crate::math::simd::scalar::Wide;
                // SAFETY: available.
                unsafe {
                    $crate::math::simd::scalar::with_avx512(
                        #[inline(always)]
                        || $body,
                    )
                }
            }
            #[cfg(target_arch = "x86_64")]
            $crate::math::simd::Level::Avx2 | $crate::math::simd::Level::Avx512
                if $crate::math::simd::Level::Avx2.is_available() =>
            {
                type $S = $crate::math::simd::scalar::Fused;
                // SAFETY: available.
                unsafe {
                    $crate::math::simd::scalar::with_avx2(
                        #[inline(always)]
                        || $body,
                    )
                }
            }
            _ => {
                type $S = $crate::math::simd::scalar::Plain;
                $body
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::simd::Level;

    fn worst(level: Level, low: f64, high: f64, f: fn(Level, &mut [f64]), error: fn(f64, f64) -> f64) -> f64 {
        let n = 200_003;
        let x: Vec<f64> = (0..n).map(|k| low + (high - low) * k as f64 / n as f64).collect();
        let mut y = x.clone();
        f(level, &mut y);
        x.iter().zip(&y).map(|(&x, &y)| error(x, y)).fold(0.0, f64::max)
    }

    #[test]
    fn sums_and_products_of_1_to_n_are_n_n_plus_1_over_2_and_its_like_for_squares_at_any_length() {
        for n in 0..40 {
            let x: Vec<f64> = (1..=n).map(f64::from).collect();
            let n = f64::from(n);
            assert_eq!(total(&x), n * (n + 1.0) / 2.0);
            assert_eq!(dot::<Plain>(&x, &x), n * (n + 1.0) * (2.0 * n + 1.0) / 6.0);
            assert_eq!(dot::<Fused>(&x, &x), dot::<Plain>(&x, &x));
        }
    }

    fn exp(level: Level, x: &mut [f64]) {
        enter!(level, S => for x in x.iter_mut() { *x = S::exp(*x) })
    }

    fn ln(level: Level, x: &mut [f64]) {
        enter!(level, S => for x in x.iter_mut() { *x = S::ln(*x) })
    }

    fn sin(level: Level, x: &mut [f64]) {
        enter!(level, S => for x in x.iter_mut() { *x = S::sin_cos_turns(*x).0 })
    }

    fn cos(level: Level, x: &mut [f64]) {
        enter!(level, S => for x in x.iter_mut() { *x = S::sin_cos_turns(*x).1 })
    }

    #[test]
    fn exp_ln_sin_and_cos_are_within_5e_16_of_the_c_library_at_every_level() {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            for (low, high) in [(-3.0, 3.0), (-700.0, 700.0)] {
                let e = worst(level, low, high, exp, |x, y| (y / x.exp() - 1.0).abs());
                assert!(e < 5e-16, "{level:?}: exp within {e:e}");
            }
            for (low, high) in [(1e-3, 3.0), (1e-300, 1e300)] {
                let e = worst(level, low, high, ln, |x, y| (y - x.ln()).abs() / x.ln().abs().max(0.2));
                assert!(e < 5e-16, "{level:?}: ln within {e:e}");
            }
            let e = worst(level, 0.0, 1.0, sin, |x, y| (y - libm::sin(std::f64::consts::TAU * x)).abs());
            assert!(e < 1.2e-15, "{level:?}: sin within {e:e} (2πx is rounded in the reference)");
            let e = worst(level, 0.0, 1.0, cos, |x, y| (y - libm::cos(std::f64::consts::TAU * x)).abs());
            assert!(e < 1.2e-15, "{level:?}: cos within {e:e}");
            let mut ends = [f64::NEG_INFINITY, -1e9, -708.5, 709.5, f64::INFINITY, f64::NAN, 0.0];
            exp(level, &mut ends);
            assert_eq!(ends[..5], [0.0, 0.0, 0.0, f64::INFINITY, f64::INFINITY]);
            assert!(ends[5].is_nan() && ends[6] == 1.0);
            let mut ends = [0.0, 1.0, f64::INFINITY, -1.0, f64::NAN];
            ln(level, &mut ends);
            assert_eq!(ends[..3], [f64::NEG_INFINITY, 0.0, f64::INFINITY]);
            assert!(ends[3].is_nan() && ends[4].is_nan());
        }
    }
}
