//! The Brownian bridge: b = (y − x)/(T − t), with the noise of the step from t to t + h times √((T − t − h)/(T − t)).
//! The chain then has the law of the bridge at the grid's times, and ends at y.

use super::Formula;
use crate::math::simd::scalar::Scalar;

pub struct BrownianBridge {
    pub to: [f64; 2],
    pub end: f64,
}

/// The same in two coordinates, each with its own end.
pub struct Planar {
    pub to: [f64; 2],
    pub end: f64,
}

macro_rules! bridge {
    ($name:ident, $coordinates:literal) => {
        impl Formula for $name {
            const COORDINATES: usize = $coordinates;

            #[inline(always)]
            fn drift<S: Scalar>(&self, t: f64, x: [f64; 2]) -> [f64; 2] {
                let rate = 1.0 / (self.end - t);
                [(self.to[0] - x[0]) * rate, (self.to[1] - x[1]) * rate]
            }

            #[inline(always)]
            fn pull<S: Scalar>(&self, t: f64, _x: [f64; 2], v: [f64; 2]) -> [f64; 2] {
                let rate = 1.0 / (self.end - t);
                v.map(|v| -rate * v)
            }

            fn spread(&self, t: f64, h: f64) -> f64 {
                let rest = (self.end - t - h) / (self.end - t);
                // The last step has no noise; rounding may say otherwise.
                if rest < 1e-9 { 0.0 } else { rest.sqrt() }
            }

            fn linear(&self, t: f64, coordinate: usize) -> Option<(f64, f64)> {
                let rate = 1.0 / (self.end - t);
                Some((-rate, rate * self.to[coordinate]))
            }
        }
    };
}

bridge!(BrownianBridge, 1);
bridge!(Planar, 2);
