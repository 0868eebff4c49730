//! The double well V = a(x² − 1)² in each coordinate: b = −4ax(x² − 1).

use super::Formula;
use crate::math::simd::scalar::Scalar;

pub struct DoubleWell {
    pub height: f64,
}

impl Formula for DoubleWell {
    const COORDINATES: usize = 1;

    #[inline(always)]
    fn drift<S: Scalar>(&self, _t: f64, x: [f64; 2]) -> [f64; 2] {
        let x = x[0];
        [-4.0 * self.height * x * S::mul_add(x, x, -1.0), 0.0]
    }

    #[inline(always)]
    fn pull<S: Scalar>(&self, _t: f64, x: [f64; 2], v: [f64; 2]) -> [f64; 2] {
        let x = x[0];
        [-4.0 * self.height * S::mul_add(3.0 * x, x, -1.0) * v[0], 0.0]
    }

    #[inline(always)]
    fn potential<S: Scalar>(&self, x: [f64; 2]) -> Option<f64> {
        let w = S::mul_add(x[0], x[0], -1.0);
        Some(self.height * w * w)
    }

    #[inline(always)]
    fn functional<S: Scalar>(&self, variance: f64, x: [f64; 2]) -> Option<(f64, [f64; 2])> {
        let (x, a) = (x[0], 4.0 * self.height);
        // b, b', b'' of b = −a (x³ − x).
        let b = -a * x * S::mul_add(x, x, -1.0);
        let slope = -a * S::mul_add(3.0 * x, x, -1.0);
        let bend = -6.0 * a * x;
        Some((0.5 * b * b / variance + 0.5 * slope, [b * slope / variance + 0.5 * bend, 0.0]))
    }
}
