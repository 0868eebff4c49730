//! Tracking with nearly constant velocity [BarShalom2001]: white-noise acceleration in one to three dimensions, positions
//! observed with noise; exact by the Kalman filter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear::{Dynamics, Linear};
use super::{About, Built, BuiltIn, ReadFile, Refusal, positive};

/// dv = √q dW, dx = v dt in each dimension; y = x + r η.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// 1, 2 or 3.
    #[serde(default = "two")]
    pub dimensions: usize,
    /// q: variance that the velocity gains per unit of time.
    #[serde(default = "tenth")]
    pub acceleration: f64,
    /// r: standard deviation of the noise of observed positions.
    #[serde(default = "one")]
    pub observation_sd: f64,
    /// Mean position at the first time; absent: the origin.
    #[serde(default)]
    pub initial_position: Option<Vec<f64>>,
    /// Mean velocity at the first time; absent: zero.
    #[serde(default)]
    pub initial_velocity: Option<Vec<f64>>,
    /// Standard deviation of each position at the first time.
    #[serde(default = "one")]
    pub position_sd: f64,
    /// Standard deviation of each velocity at the first time.
    #[serde(default = "one")]
    pub velocity_sd: f64,
}

fn two() -> usize {
    2
}

fn tenth() -> f64 {
    0.1
}

fn one() -> f64 {
    1.0
}

/// A point of `dimensions` coordinates; the origin where none is given.
pub(super) fn point(key: &'static str, given: &Option<Vec<f64>>, dimensions: usize) -> Result<Vec<f64>, Refusal> {
    match given {
        None => Ok(vec![0.0; dimensions]),
        Some(p) if p.len() != dimensions => Err((key, format!("must have {dimensions} entries; here are {}", p.len()))),
        Some(p) if p.iter().any(|x| !x.is_finite()) => Err((key, format!("{p:?} must be finite"))),
        Some(p) => Ok(p.clone()),
    }
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "constant_velocity",
        summary: "tracking: white-noise acceleration, noisy positions, irregular times; exact by the Kalman filter",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        let d = self.dimensions;
        if !(1..=3).contains(&d) {
            return Err(("dimensions", format!("dimensions = {d} must be 1, 2 or 3")));
        }
        positive("acceleration", self.acceleration)?;
        positive("observation_sd", self.observation_sd)?;
        positive("position_sd", self.position_sd)?;
        positive("velocity_sd", self.velocity_sd)?;
        let n = 2 * d;
        let axes = &["x", "y", "z"][..d];
        let mut drift = vec![0.0; n * n];
        let mut diffusion = vec![0.0; n * n];
        let mut initial_covariance = vec![0.0; n * n];
        let mut observation = vec![0.0; d * n];
        let mut noise = vec![0.0; d * d];
        for i in 0..d {
            drift[i * n + d + i] = 1.0;
            diffusion[(d + i) * n + d + i] = self.acceleration;
            initial_covariance[i * n + i] = self.position_sd * self.position_sd;
            initial_covariance[(d + i) * n + d + i] = self.velocity_sd * self.velocity_sd;
            observation[i * n + i] = 1.0;
            noise[i * d + i] = self.observation_sd * self.observation_sd;
        }
        let mut initial_mean = point("initial_position", &self.initial_position, d)?;
        initial_mean.extend(point("initial_velocity", &self.initial_velocity, d)?);
        Ok(Built::StateSpace(Box::new(Linear {
            states: axes.iter().map(|a| a.to_string()).chain(axes.iter().map(|a| format!("v{a}"))).collect(),
            outputs: axes.iter().map(|a| format!("observed_{a}")).collect(),
            dynamics: Dynamics::Continuous { drift, diffusion },
            initial_mean,
            initial_covariance,
            observation,
            offset: vec![0.0; d],
            noise,
        })))
    }
}
