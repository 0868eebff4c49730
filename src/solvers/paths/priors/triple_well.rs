//! V = 3e^{−x²−(y−1/3)²} − 3e^{−x²−(y−5/3)²} − 5e^{−(x−1)²−y²} − 5e^{−(x+1)²−y²} + 0.2x⁴ + 0.2(y−1/3)⁴ [Metzner2006].

use super::Formula;
use crate::math::simd::scalar::Scalar;

pub struct TripleWell;

const HEIGHT: [f64; 4] = [3.0, -3.0, -5.0, -5.0];
const X: [f64; 4] = [0.0, 0.0, 1.0, -1.0];
const Y: [f64; 4] = [1.0 / 3.0, 5.0 / 3.0, 0.0, 0.0];

impl Formula for TripleWell {
    const COORDINATES: usize = 2;

    #[inline(always)]
    fn drift<S: Scalar>(&self, _t: f64, [x, y]: [f64; 2]) -> [f64; 2] {
        let w = y - 1.0 / 3.0;
        let (mut bx, mut by) = (-0.8 * x * x * x, -0.8 * w * w * w);
        for k in 0..4 {
            let (u, v) = (x - X[k], y - Y[k]);
            let e = HEIGHT[k] * S::exp(-S::mul_add(u, u, v * v));
            bx = S::mul_add(2.0 * e, u, bx);
            by = S::mul_add(2.0 * e, v, by);
        }
        [bx, by]
    }

    #[inline(always)]
    fn pull<S: Scalar>(&self, _t: f64, [x, y]: [f64; 2], d: [f64; 2]) -> [f64; 2] {
        let w = y - 1.0 / 3.0;
        let mut out = [-2.4 * x * x * d[0], -2.4 * w * w * d[1]];
        for k in 0..4 {
            let (u, v) = (x - X[k], y - Y[k]);
            let e = HEIGHT[k] * S::exp(-S::mul_add(u, u, v * v));
            let along = u * d[0] + v * d[1];
            out[0] += 2.0 * e * (d[0] - 2.0 * u * along);
            out[1] += 2.0 * e * (d[1] - 2.0 * v * along);
        }
        out
    }

    #[inline(always)]
    fn potential<S: Scalar>(&self, [x, y]: [f64; 2]) -> Option<f64> {
        let w = y - 1.0 / 3.0;
        let mut sum = 0.2 * (x * x * x * x + w * w * w * w);
        for k in 0..4 {
            let (u, v) = (x - X[k], y - Y[k]);
            sum += HEIGHT[k] * S::exp(-(u * u + v * v));
        }
        Some(sum)
    }
}
