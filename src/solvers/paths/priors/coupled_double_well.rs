//! U = (4(1−x²−y²)² + 2(x²−2)² + ((x+y)²−1)² + ((x−y)²−1)² − 2)/6: minima (±√1.25, 0) with U = −1/12, passes (0, ±1)
//! with U = 1, a top (0, 0) with U = 2.

use super::Formula;
use crate::math::simd::scalar::Scalar;

pub struct CoupledDoubleWell;

impl Formula for CoupledDoubleWell {
    const COORDINATES: usize = 2;

    #[inline(always)]
    fn drift<S: Scalar>(&self, _t: f64, [x, y]: [f64; 2]) -> [f64; 2] {
        let (p, q) = (x + y, x - y);
        let ring = -16.0 * (1.0 - x * x - y * y);
        let (fp, fq) = (4.0 * p * (p * p - 1.0), 4.0 * q * (q * q - 1.0));
        let gx = ring * x + 8.0 * x * (x * x - 2.0) + fp + fq;
        let gy = ring * y + fp - fq;
        [gx * (-1.0 / 6.0), gy * (-1.0 / 6.0)]
    }

    #[inline(always)]
    fn pull<S: Scalar>(&self, _t: f64, [x, y]: [f64; 2], v: [f64; 2]) -> [f64; 2] {
        let (p, q) = (x + y, x - y);
        let ring = -16.0 * (1.0 - x * x - y * y);
        let (sp, sq) = (12.0 * p * p - 4.0, 12.0 * q * q - 4.0);
        let hxx = ring + 32.0 * x * x + 24.0 * x * x - 16.0 + sp + sq;
        let hyy = ring + 32.0 * y * y + sp + sq;
        let hxy = 32.0 * x * y + sp - sq;
        [(hxx * v[0] + hxy * v[1]) * (-1.0 / 6.0), (hxy * v[0] + hyy * v[1]) * (-1.0 / 6.0)]
    }

    #[inline(always)]
    fn potential<S: Scalar>(&self, [x, y]: [f64; 2]) -> Option<f64> {
        let square = |z: f64| z * z;
        let (p, q) = (x + y, x - y);
        let wells = 4.0 * square(1.0 - x * x - y * y) + 2.0 * square(x * x - 2.0);
        Some((wells + square(p * p - 1.0) + square(q * q - 1.0) - 2.0) / 6.0)
    }
}
