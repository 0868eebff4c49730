//! Values at a point, by summing the series there: exact for what the kept modes represent.

use num_complex::Complex;

use super::super::domain::{Axis, Basis, Domain};
use super::super::transform::Scales;
use super::means::{sum_over_tiles, wide};
use crate::math::exact::Exact;
use crate::math::real::Real;

/// e^{ik(x − low)}, or T_j.
fn function(axis: &Axis, index: usize, x: f64) -> Complex<f64> {
    if axis.basis == Basis::Chebyshev {
        let place = (2.0 * (x - axis.low) / axis.length - 1.0).clamp(-1.0, 1.0);
        return Complex::new(libm::cos(index as f64 * libm::acos(place)), 0.0);
    }
    let angle = axis.wavenumber(index) * (x - axis.low);
    Complex::new(libm::cos(angle), libm::sin(angle))
}

/// Basis functions of a block's modes at one point; made once.
#[derive(Debug, Clone)]
pub struct Probe {
    factors: [Vec<Complex<f64>>; 3],
    complex: bool,
}

impl Probe {
    /// At `point`, one coordinate per axis of the user; a coordinate outside a periodic box is taken inside.
    pub fn new(domain: &Domain, scales: &Scales, point: &[f64]) -> Probe {
        let block = scales.block();
        let factors = std::array::from_fn(|a| {
            let own = (a + domain.dimension).checked_sub(3).map_or(0.0, |i| point[i]);
            (0..block.count[a])
                .map(|i| {
                    let index = block.start[a] + i;
                    // The half that is not kept is the conjugate of this one.
                    let twice = if a == 2 { super::means::weight(domain, index) } else { 1.0 };
                    if domain.axes[a].points == 1 {
                        Complex::new(1.0, 0.0)
                    } else {
                        function(&domain.axes[a], index, own) * twice
                    }
                })
                .collect()
        });
        Probe { factors, complex: domain.complex }
    }

    /// This rank's part of the values of each array at the point: one sum each, or two (real and imaginary part) for
    /// complex fields.
    pub fn values<T: Real>(&self, scales: &Scales, arrays: &[&[Complex<T>]]) -> Vec<Exact> {
        let each = if self.complex { 2 } else { 1 };
        let start = scales.block().start;
        sum_over_tiles(scales, each * arrays.len(), |tile, at, sums| {
            let n = tile.columns.len();
            let plane = self.factors[0][tile.start[0] - start[0]];
            for (a, array) in arrays.iter().enumerate() {
                for r in 0..tile.rows.len() {
                    let row = plane * self.factors[1][tile.start[1] - start[1] + r];
                    let values = &array[at.start + r * n..at.start + (r + 1) * n];
                    for (z, column) in values.iter().zip(&self.factors[2]) {
                        let value = wide(*z) * (row * column);
                        sums[each * a].add(value.re);
                        if self.complex {
                            sums[each * a + 1].add(value.im);
                        }
                    }
                }
            }
        })
    }
}
