//! Brownian motion: no drift.

use super::Formula;
use crate::math::simd::scalar::Scalar;

pub struct Brownian;

impl Formula for Brownian {
    const COORDINATES: usize = 1;

    #[inline(always)]
    fn drift<S: Scalar>(&self, _t: f64, _x: [f64; 2]) -> [f64; 2] {
        [0.0; 2]
    }

    #[inline(always)]
    fn pull<S: Scalar>(&self, _t: f64, _x: [f64; 2], _v: [f64; 2]) -> [f64; 2] {
        [0.0; 2]
    }

    fn linear(&self, _t: f64, _coordinate: usize) -> Option<(f64, f64)> {
        Some((0.0, 0.0))
    }
}
