//! Ornstein–Uhlenbeck: b = −rate (x − centre), V = ½ rate (x − centre)².

use super::Formula;
use crate::math::simd::scalar::Scalar;

pub struct OrnsteinUhlenbeck {
    pub rate: f64,
    pub centre: f64,
}

impl Formula for OrnsteinUhlenbeck {
    const COORDINATES: usize = 1;

    #[inline(always)]
    fn drift<S: Scalar>(&self, _t: f64, x: [f64; 2]) -> [f64; 2] {
        x.map(|x| -self.rate * (x - self.centre))
    }

    #[inline(always)]
    fn pull<S: Scalar>(&self, _t: f64, _x: [f64; 2], v: [f64; 2]) -> [f64; 2] {
        v.map(|v| -self.rate * v)
    }

    fn linear(&self, _t: f64, _coordinate: usize) -> Option<(f64, f64)> {
        Some((-self.rate, self.rate * self.centre))
    }

    #[inline(always)]
    fn potential<S: Scalar>(&self, x: [f64; 2]) -> Option<f64> {
        Some(0.5 * self.rate * (x[0] - self.centre) * (x[0] - self.centre))
    }

    #[inline(always)]
    fn functional<S: Scalar>(&self, variance: f64, x: [f64; 2]) -> Option<(f64, [f64; 2])> {
        let b = -self.rate * (x[0] - self.centre);
        Some((0.5 * b * b / variance - 0.5 * self.rate, [-self.rate * b / variance, 0.0]))
    }
}
