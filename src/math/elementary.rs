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

/// ln(1 + x), accurate near 0.
pub fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}

pub fn log2(x: f64) -> f64 {
    libm::log2(x)
}

pub fn powf(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

pub fn cbrt(x: f64) -> f64 {
    libm::cbrt(x)
}
