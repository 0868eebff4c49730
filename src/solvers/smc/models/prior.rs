//! The prior N(0, s²I) that targets of samplers share.

use crate::math::dense::LOG_2_PI;
use crate::math::elementary::ln;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, Tile, View};

/// N(0, sd² I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NormalPrior {
    pub dimension: usize,
    pub sd: f64,
}

impl NormalPrior {
    pub fn draw(&self, at: &Draws, x: &mut Tile<'_>) {
        for (d, x) in x.coordinates_mut().take(self.dimension).enumerate() {
            at.normals(d as u32, x);
            x.iter_mut().for_each(|x| *x *= self.sd);
        }
    }

    /// value += sign · ln density.
    pub fn add(&self, x: View<'_>, sign: f64, value: &mut [f64]) {
        let constant = -sign * self.dimension as f64 * (0.5 * LOG_2_PI + ln(self.sd));
        let scale = -0.5 * sign / (self.sd * self.sd);
        value.iter_mut().for_each(|v| *v += constant);
        for d in 0..self.dimension {
            let c = x.coordinate(d);
            crate::enter!(x.level(), S => for k in 0..c.len() { value[k] = S::mul_add(scale * c[k], c[k], value[k]) });
        }
    }

    /// gradient += sign · ∇ ln density.
    pub fn add_gradient(&self, x: View<'_>, sign: f64, gradient: &mut Tile<'_>) {
        let scale = -sign / (self.sd * self.sd);
        for d in 0..self.dimension {
            super::linear::axpy(x.level(), scale, x.coordinate(d), gradient.coordinate_mut(d));
        }
    }

    /// Mean and covariance.
    pub fn moments(&self) -> (Vec<f64>, Vec<f64>) {
        let n = self.dimension;
        let mut covariance = vec![0.0; n * n];
        (0..n).for_each(|i| covariance[i * n + i] = self.sd * self.sd);
        (vec![0.0; n], covariance)
    }
}
