//! exp and ln with the same bits on every machine: the C library's differ between machines and instruction sets.

pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

pub fn ln(x: f64) -> f64 {
    libm::log(x)
}
