//! The potential of Müller and Brown: Σ_k A_k exp(a_k (x−x_k)² + b_k (x−x_k)(y−y_k) + c_k (y−y_k)²) [Muller1979].

use super::Formula;
use crate::math::simd::scalar::Scalar;

#[derive(Debug, Clone, Copy)]
pub struct MullerBrown;

const A: [f64; 4] = [-200.0, -100.0, -170.0, 15.0];
const XX: [f64; 4] = [-1.0, -1.0, -6.5, 0.7];
const XY: [f64; 4] = [0.0, 0.0, 11.0, 0.6];
const YY: [f64; 4] = [-10.0, -10.0, -6.5, 0.7];
const X: [f64; 4] = [1.0, 0.0, -0.5, -1.0];
const Y: [f64; 4] = [0.0, 0.5, 1.5, 1.0];

/// Term k at (x, y): its value, and the slopes of its exponent.
#[inline(always)]
fn term<S: Scalar>(k: usize, x: f64, y: f64) -> (f64, f64, f64) {
    let (u, v) = (x - X[k], y - Y[k]);
    // Half the slope of the square terms: 2 a u + b v and b u + 2 c v, with exponent ½(u·first + v·second).
    let gu = S::mul_add(2.0 * XX[k], u, XY[k] * v);
    let gv = S::mul_add(2.0 * YY[k], v, XY[k] * u);
    let e = A[k] * S::exp(0.5 * S::mul_add(u, gu, v * gv));
    (e, gu, gv)
}

impl Formula for MullerBrown {
    const COORDINATES: usize = 2;

    #[inline(always)]
    fn drift<S: Scalar>(&self, _t: f64, [x, y]: [f64; 2]) -> [f64; 2] {
        let (mut bx, mut by) = (0.0, 0.0);
        for k in 0..4 {
            let (e, gu, gv) = term::<S>(k, x, y);
            bx = S::mul_add(-e, gu, bx);
            by = S::mul_add(-e, gv, by);
        }
        [bx, by]
    }

    #[inline(always)]
    fn pull<S: Scalar>(&self, _t: f64, [x, y]: [f64; 2], v: [f64; 2]) -> [f64; 2] {
        // −H v with H = Σ e (g gᵀ + [[2a, b], [b, 2c]]).
        let mut out = [0.0; 2];
        for k in 0..4 {
            let (e, gu, gv) = term::<S>(k, x, y);
            let along = S::mul_add(gu, v[0], gv * v[1]);
            out[0] -= e * (gu * along + 2.0 * XX[k] * v[0] + XY[k] * v[1]);
            out[1] -= e * (gv * along + XY[k] * v[0] + 2.0 * YY[k] * v[1]);
        }
        out
    }

    #[inline(always)]
    fn potential<S: Scalar>(&self, [x, y]: [f64; 2]) -> Option<f64> {
        let mut sum = 0.0;
        for k in 0..4 {
            sum += term::<S>(k, x, y).0;
        }
        Some(sum)
    }
}
