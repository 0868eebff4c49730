//! Exponentials and logarithms of our own: libm differs between machines, and is slow.
//!
//! 2^z = 2^k · p(f) with k = ⌊z⌋ and f = z − k in [0, 1]. The polynomials minimise the relative error on [0, 1]
//! (Remez exchange in 60 digits, coefficients rounded one after the other, each time with the rest fitted again,
//! p(0) = 1 held): truncation 2.3e-16 in f64 (degree 10) and 2.2e-9 in f32 (degree 6).

use super::MaxSum;
use super::lanes::{Lanes, PortableF64};

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

const EXP2_F32: [f32; 6] = [
    0.693_147_06,
    0.240_229_09,
    0.055_486_184,
    0.009_673_775,
    0.001_248_228_8,
    0.000_215_659_79,
];

/// 2^f for f in [0, 1]: 1 + f·Q(f), Q by pairs of coefficients in f² (short chains). The last step rounds once.
#[inline(always)]
pub fn exp2_fraction_f64<V: Lanes<Elem = f64>>(f: V) -> V {
    let c = |k: usize| V::splat(EXP2_F64[k - 1]);
    let g = f.mul(f);
    let mut q = c(10).mul_add(f, c(9));
    q = q.mul_add(g, c(8).mul_add(f, c(7)));
    q = q.mul_add(g, c(6).mul_add(f, c(5)));
    q = q.mul_add(g, c(4).mul_add(f, c(3)));
    q = q.mul_add(g, c(2).mul_add(f, c(1)));
    q.mul_add(f, V::splat(1.0))
}

/// The same in f32.
#[inline(always)]
pub fn exp2_fraction_f32<V: Lanes<Elem = f32>>(f: V) -> V {
    let c = |k: usize| V::splat(EXP2_F32[k - 1]);
    let g = f.mul(f);
    let mut q = c(6).mul_add(f, c(5));
    q = q.mul_add(g, c(4).mul_add(f, c(3)));
    q = q.mul_add(g, c(2).mul_add(f, c(1)));
    q.mul_add(f, V::splat(1.0))
}

/// log2 m for m in [√½, √2): (2/ln 2) artanh s with s = (m − 1)/(m + 1), |s| ≤ 0.172, by its series
/// (first term left out: 2.3e-17 in f64, 6e-11 in f32, relative).
#[inline(always)]
pub fn log2_mantissa<V: Lanes>(m: V) -> V {
    use super::lanes::Element;
    let number = |x: f64| V::splat(V::Elem::from_f64(x));
    let one = number(1.0);
    let s = m.sub(one).div(m.add(one));
    let g = s.mul(s);
    let last = if V::N == 8 { 19 } else { 11 };
    let mut p = number(1.0 / last as f64);
    let mut k = last - 2;
    while k >= 3 {
        p = p.mul_add(g, number(1.0 / k as f64));
        k -= 2;
    }
    let two_log2e = number(2.0 * std::f64::consts::LOG2_E);
    // 2/ln 2 · (s + s·g·p)
    s.mul(g).mul_add(p, s).mul(two_log2e)
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
    const LN2_HIGH: f64 = 0.693147180369123816490;
    const LN2_LOW: f64 = 1.90821492927058770002e-10;
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
    log2_parts(x).map_or_else(|special| special, |(m, e)| {
        e * std::f64::consts::LN_2 + m * std::f64::consts::LN_2
    })
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

impl MaxSum {
    /// self ⊕ other: sums brought to the larger maximum.
    pub fn merge(&mut self, other: MaxSum) {
        if other.max == f64::NEG_INFINITY {
            return;
        }
        if other.max > self.max {
            let scale = if self.max == f64::NEG_INFINITY { 0.0 } else { exp(self.max - other.max) };
            *self = MaxSum { max: other.max, sum: self.sum * scale + other.sum };
        } else {
            self.sum += other.sum * exp(other.max - self.max);
        }
    }

    /// max + ln sum; −∞ when empty.
    pub fn log(self) -> f64 {
        if self.max == f64::NEG_INFINITY { self.max } else { self.max + ln(self.sum) }
    }
}
