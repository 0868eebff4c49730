//! Elementary functions with the same bits on every machine: the C library's differ between machines and instruction
//! sets. Square roots and roundings are exact by IEEE 754 and need none of this.

pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// e^x − 1, accurate near 0.
pub fn exp_m1(x: f64) -> f64 {
    libm::expm1(x)
}

pub fn exp2(x: f64) -> f64 {
    libm::exp2(x)
}

pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

pub fn sin(x: f64) -> f64 {
    libm::sin(x)
}

pub fn cos(x: f64) -> f64 {
    libm::cos(x)
}

pub fn tan(x: f64) -> f64 {
    libm::tan(x)
}

pub fn sinh(x: f64) -> f64 {
    libm::sinh(x)
}

pub fn cosh(x: f64) -> f64 {
    libm::cosh(x)
}

pub fn tanh(x: f64) -> f64 {
    libm::tanh(x)
}

/// 1/cosh x, without overflow.
pub fn sech(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    2.0 * e / (1.0 + e * e)
}

/// x to the power y.
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// x less the multiple of y nearest to it: exact, in [−|y|/2, |y|/2].
pub fn remainder(x: f64, y: f64) -> f64 {
    libm::remainder(x, y)
}

/// The angle of the point (x, y), in (−π, π].
pub fn atan2(y: f64, x: f64) -> f64 {
    libm::atan2(y, x)
}

/// ln(1 + x), accurate near 0.
pub fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}

pub fn log2(x: f64) -> f64 {
    libm::log2(x)
}

pub fn cbrt(x: f64) -> f64 {
    libm::cbrt(x)
}

/// ln |Γ(x)|
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}
