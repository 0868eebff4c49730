//! Geometric Brownian motion dX = rX dt + σX dW: noise that depends on the state.

use super::Formula;
use crate::math::simd::scalar::Scalar;

pub struct GeometricBrownian {
    pub rate: f64,
}

impl Formula for GeometricBrownian {
    const COORDINATES: usize = 1;
    const STATE_NOISE: bool = true;

    #[inline(always)]
    fn drift<S: Scalar>(&self, _t: f64, x: [f64; 2]) -> [f64; 2] {
        x.map(|x| self.rate * x)
    }

    #[inline(always)]
    fn pull<S: Scalar>(&self, _t: f64, _x: [f64; 2], v: [f64; 2]) -> [f64; 2] {
        v.map(|v| self.rate * v)
    }

    #[inline(always)]
    fn state_spread<S: Scalar>(&self, _t: f64, x: [f64; 2]) -> [f64; 2] {
        x
    }
}
