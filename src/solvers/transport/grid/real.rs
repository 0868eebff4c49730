//! The two arithmetics of a panel, f64 and f32, with their own base-2 exponential and logarithm.
//!
//! A number of a panel is a float times a power of two kept apart as an integer (the block exponent). Inputs, kernel
//! factors and block scales are each carried 2^BIAS too large, so that all of the exponent range serves: each may be
//! 2^DEPTH below its largest value, and sums of up to 2^15 products of three still do not overflow.
//!
//! Coefficients: Chebyshev fits on the reduced ranges, computed to 60 digits; relative errors 3e-18 and 2e-9.

use super::isa::{Isa, Portable, Vector, Wide};

#[inline(always)]
pub(super) fn fma64<I: Isa>(a: f64, b: f64, c: f64) -> f64 {
    if I::FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn fma32<I: Isa>(a: f32, b: f32, c: f32) -> f32 {
    if I::FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// 1.5·2^52: adding it rounds to an integer, which then sits in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

pub(super) const BIAS_F64: i32 = 330;
pub(super) const BIAS_F32: i32 = 37;

/// A whole number, |x| < 2^51, in two's complement in the low 52 bits.
#[inline(always)]
pub(super) fn integer_bits(x: f64) -> u64 {
    (x + ROUND).to_bits()
}

#[allow(clippy::excessive_precision)]
const EXP2_F64: [f64; 12] = [
    4.455817908336064493e-10,
    7.0741942972885210056e-9,
    1.0178057087733941105e-7,
    1.3215432535912376166e-6,
    0.000015252733841556772589,
    0.00015403530463724354209,
    0.0013333558146406470697,
    0.0096181291075872566681,
    0.055504108664821627039,
    0.24022650695910159567,
    std::f64::consts::LN_2,
    1.0,
];

#[allow(clippy::excessive_precision)]
const EXP2_F32: [f32; 7] =
    [0.000154614447, 0.00134004282, 0.00961805667, 0.0555032723, 0.240226509, std::f32::consts::LN_2, 1.0];

/// log2((1+s)/(1−s))/s as a polynomial of s², |s| ≤ (√2−1)/(√2+1).
#[allow(clippy::excessive_precision)]
const LOG2_F64: [f64; 9] = [
    0.19133171202266565708,
    0.19113924798420680804,
    0.22198980761494066452,
    0.26230754806401315372,
    0.3205989045353651296,
    0.41219858308348607593,
    0.57707801635569347752,
    0.96179669392597548546,
    2.8853900817779268147,
];

#[allow(clippy::excessive_precision)]
const LOG2_F32: [f32; 4] = [0.431717697, 0.576715186, 0.961798839, 2.88539008];

pub(super) trait Real: Copy + PartialOrd + Send + Sync + bytemuck::Pod + 'static {
    /// Lines of a panel.
    const LANES: usize;
    const BIAS: i32;
    /// Factors below 2^−DEPTH times their largest count as zero.
    const DEPTH: i32;
    /// A sum over n terms is good to 2^−GUARD relatively if it exceeds n·2^(GUARD + 3 − depth).
    const GUARD: i32;
    /// There is nothing more precise to fall back on.
    const LAST: bool;
    const ZERO: Self;
    /// Whole numbers up to four times this are exact.
    const LARGEST_EXPONENT: f64;
    type V<I: Isa>: Vector<E = Self>;

    /// 2^(t + BIAS), zero for t < −DEPTH (and −∞), t ≤ 1.
    fn power<I: Isa>(t: f64) -> Self;
    /// log2 x as (integer, remainder), x > 0 and normal; anything for other x.
    fn log2<I: Isa>(self) -> (i32, f64);
    fn to_f64(self) -> f64;
    fn from_f64(x: f64) -> Self;
    unsafe fn load_f64<I: Isa>(p: *const Self) -> I::F64;
    unsafe fn store_f64<I: Isa>(x: I::F64, p: *mut Self);
}

impl Real for f64 {
    const LANES: usize = 16;
    const BIAS: i32 = BIAS_F64;
    const DEPTH: i32 = 1350;
    const GUARD: i32 = 60;
    const LAST: bool = true;
    const ZERO: f64 = 0.0;
    const LARGEST_EXPONENT: f64 = (1u64 << 40) as f64;
    type V<I: Isa> = I::F64;

    #[inline(always)]
    fn power<I: Isa>(t: f64) -> f64 {
        let shifted = t + ROUND;
        let f = t - (shifted - ROUND);
        let mut p = EXP2_F64[0];
        for c in &EXP2_F64[1..] {
            p = fma64::<I>(p, f, *c);
        }
        let scale = f64::from_bits(shifted.to_bits().wrapping_add((1023 + Self::BIAS) as u64) << 52);
        if t >= -(Self::DEPTH as f64) { p * scale } else { 0.0 }
    }

    #[inline(always)]
    fn log2<I: Isa>(self) -> (i32, f64) {
        const SQRT_HALF: i64 = 0x3fe6_a09e_667f_3bcd;
        let bits = self.to_bits() as i64;
        let e = (bits - SQRT_HALF) >> 52;
        let m = f64::from_bits((bits - (e << 52)) as u64);
        let s = (m - 1.0) / (m + 1.0);
        let u = s * s;
        let mut p = LOG2_F64[0];
        for c in &LOG2_F64[1..] {
            p = fma64::<I>(p, u, *c);
        }
        (e as i32, p * s)
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn from_f64(x: f64) -> f64 {
        x
    }

    #[inline(always)]
    unsafe fn load_f64<I: Isa>(p: *const f64) -> I::F64 {
        unsafe { I::F64::load(p) }
    }

    #[inline(always)]
    unsafe fn store_f64<I: Isa>(x: I::F64, p: *mut f64) {
        unsafe { x.store(p) }
    }
}

impl Real for f32 {
    const LANES: usize = 32;
    const BIAS: i32 = BIAS_F32;
    const DEPTH: i32 = 162;
    const GUARD: i32 = 28;
    const LAST: bool = false;
    const ZERO: f32 = 0.0;
    const LARGEST_EXPONENT: f64 = (1u64 << 22) as f64;
    type V<I: Isa> = I::F32;

    #[inline(always)]
    fn power<I: Isa>(t: f64) -> f32 {
        let shifted = t + ROUND;
        let f = (t - (shifted - ROUND)) as f32;
        let mut p = EXP2_F32[0];
        for c in &EXP2_F32[1..] {
            p = fma32::<I>(p, f, *c);
        }
        let scale = f32::from_bits((shifted.to_bits() as u32).wrapping_add((127 + Self::BIAS) as u32) << 23);
        if t >= -(Self::DEPTH as f64) { p * scale } else { 0.0 }
    }

    #[inline(always)]
    fn log2<I: Isa>(self) -> (i32, f64) {
        const SQRT_HALF: i32 = 0x3f35_04f3;
        let bits = self.to_bits() as i32;
        let e = (bits - SQRT_HALF) >> 23;
        let m = f32::from_bits((bits - (e << 23)) as u32);
        let s = (m - 1.0) / (m + 1.0);
        let u = s * s;
        let mut p = LOG2_F32[0];
        for c in &LOG2_F32[1..] {
            p = fma32::<I>(p, u, *c);
        }
        (e, (p * s) as f64)
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }

    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }

    #[inline(always)]
    unsafe fn load_f64<I: Isa>(p: *const f32) -> I::F64 {
        unsafe { I::F64::load_f32(p) }
    }

    #[inline(always)]
    unsafe fn store_f64<I: Isa>(x: I::F64, p: *mut f32) {
        unsafe { x.store_f32(p) }
    }
}

/// log2 x for x ≥ 0, −∞ for 0: the same bits on every machine.
pub(super) fn binary_log(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * 2f64.powi(54), 54) } else { (x, 0) };
    let (e, f) = Real::log2::<Portable>(x);
    (e - shift) as f64 + f
}

/// 2^t, the same bits on every machine; zero below 2^−1022, +∞ above 2^1023.
#[inline(always)]
pub(super) fn binary_power(t: f64) -> f64 {
    let shifted = t + ROUND;
    let f = t - (shifted - ROUND);
    let mut p = EXP2_F64[0];
    for c in &EXP2_F64[1..] {
        p = p * f + c;
    }
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if t < -1021.5 {
        0.0
    } else if t > 1023.0 {
        f64::INFINITY
    } else {
        p * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_and_logarithm_are_good_to_one_unit_of_each_arithmetic() {
        for i in 0..20_000 {
            let t = -(i as f64) * 0.00577;
            let x = <f64 as Real>::power::<Portable>(t) / 2f64.powi(330);
            assert!((x / t.exp2() - 1.0).abs() < 3e-16, "2^{t}");
            let y = <f32 as Real>::power::<Portable>(t) as f64 / 2f64.powi(37);
            assert!((y / t.exp2() - 1.0).abs() < 1.5e-7, "2^{t} in f32: {y}");
            let (e, l) = Real::log2::<Portable>(x);
            assert!((e as f64 + l - x.log2()).abs() < 3e-16 * (1.0 + t.abs()), "log2 {x}");
            let (e, l) = Real::log2::<Portable>(x as f32);
            assert!((e as f64 + l - (x as f32 as f64).log2()).abs() < 1.2e-7, "log2 {x} in f32");
        }
        assert_eq!(<f64 as Real>::power::<Portable>(f64::NEG_INFINITY), 0.0);
        assert_eq!(<f32 as Real>::power::<Portable>(-163.0), 0.0);
    }
}
