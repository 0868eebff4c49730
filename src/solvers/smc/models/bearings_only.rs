//! Bearings-only tracking [GordonSalmondSmith1993]: a target in the plane with white-noise acceleration, seen from fixed
//! sensors by its direction alone.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::constant_velocity::point;
use super::linear::axpy;
use super::{About, Built, BuiltIn, Proposal, ReadFile, Refusal, StateSpace, positive};
use crate::math::dense::LOG_2_PI;
use crate::math::elementary;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;

/// State (x, y, v_x, v_y); each sensor observes atan2(y − s_y, x − s_x) plus noise, in radians.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Positions of the sensors, [x, y] each.
    #[serde(default = "origin")]
    pub sensors: Vec<Vec<f64>>,
    /// Standard deviation of a bearing, in radians.
    #[serde(default = "five_thousandths")]
    pub observation_sd: f64,
    /// Variance that each velocity gains per unit of time.
    #[serde(default = "millionth")]
    pub acceleration: f64,
    /// Mean position at the first time.
    pub initial_position: Option<Vec<f64>>,
    /// Mean velocity at the first time.
    pub initial_velocity: Option<Vec<f64>>,
    /// Standard deviation of each position at the first time.
    #[serde(default = "half")]
    pub position_sd: f64,
    /// Standard deviation of each velocity at the first time.
    #[serde(default = "five_thousandths")]
    pub velocity_sd: f64,
}

fn origin() -> Vec<Vec<f64>> {
    vec![vec![0.0, 0.0]]
}

fn five_thousandths() -> f64 {
    0.005
}

fn millionth() -> f64 {
    1e-6
}

fn half() -> f64 {
    0.5
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "bearings_only",
        summary: "a target in the plane with white-noise acceleration, seen by its direction from fixed sensors",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        positive("observation_sd", self.observation_sd)?;
        positive("acceleration", self.acceleration)?;
        positive("position_sd", self.position_sd)?;
        positive("velocity_sd", self.velocity_sd)?;
        if self.sensors.is_empty() {
            return Err(("sensors", "needs at least one sensor".into()));
        }
        for s in &self.sensors {
            if s.len() != 2 || s.iter().any(|x| !x.is_finite()) {
                return Err(("sensors", format!("{s:?} must be [x, y]")));
            }
        }
        let mut mean = point("initial_position", &self.initial_position, 2)?;
        mean.extend(point("initial_velocity", &self.initial_velocity, 2)?);
        Ok(Built::StateSpace(Box::new(Model { input: self.clone(), mean })))
    }
}

#[derive(Clone)]
struct Model {
    input: Input,
    mean: Vec<f64>,
}

impl StateSpace for Model {
    fn coordinates(&self) -> Vec<String> {
        ["x", "y", "vx", "vy"].map(String::from).to_vec()
    }

    fn components(&self) -> Vec<String> {
        (0..self.input.sensors.len()).map(|i| format!("bearing_{i}")).collect()
    }

    fn flow(&self, data: &Arc<Observations>, _proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        Ok(Box::new(Flow { model: self.clone(), data: data.clone() }))
    }
}

struct Flow {
    model: Model,
    data: Arc<Observations>,
}

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        4
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let Input { position_sd, velocity_sd, .. } = self.model.input;
        for (i, x) in x.coordinates_mut().enumerate() {
            let sd = if i < 2 { position_sd } else { velocity_sd };
            at.normals(i as u32, x);
            x.iter_mut().for_each(|x| *x = self.model.mean[i] + sd * *x);
        }
    }

    fn mutate(&self, step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let dt = self.data.interval(step);
        let q = self.model.input.acceleration;
        // The factor of q (Δ³/3, Δ²/2; Δ²/2, Δ).
        let (a, b) = ((q * dt * dt * dt / 3.0).sqrt(), (3.0 * q * dt).sqrt() / 2.0);
        let c = (q * dt).sqrt() / 2.0;
        let mut noise = [0.0; TILE];
        let noise = &mut noise[..x.len()];
        for i in 0..2 {
            let [position, velocity] = x.some_mut([i, 2 + i]);
            position.copy_from_slice(previous.coordinate(i));
            velocity.copy_from_slice(previous.coordinate(2 + i));
            axpy(at.level, dt, previous.coordinate(2 + i), position);
            at.normals(2 * i as u32, noise);
            axpy(at.level, a, noise, position);
            axpy(at.level, b, noise, velocity);
            at.normals(2 * i as u32 + 1, noise);
            axpy(at.level, c, noise, velocity);
        }
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        let Input { observation_sd, sensors, .. } = &self.model.input;
        let constant = -0.5 * LOG_2_PI - elementary::ln(*observation_sd);
        for (sensor, &seen) in sensors.iter().zip(self.data.at(step)).filter(|(_, y)| !y.is_nan()) {
            let (x, y) = (x.coordinate(0), x.coordinate(1));
            for ((w, x), y) in log_weight.iter_mut().zip(x).zip(y) {
                let off = seen - elementary::atan2(y - sensor[1], x - sensor[0]);
                // The nearest of all turns.
                let off = off - std::f64::consts::TAU * (off / std::f64::consts::TAU).round();
                let z = off / observation_sd;
                *w += constant - 0.5 * z * z;
            }
        }
    }

    fn has_transition(&self) -> bool {
        true
    }

    fn log_transition(&self, step: usize, previous: View<'_>, x: &[f64], value: &mut [f64]) {
        let dt = self.data.interval(step);
        let q = self.model.input.acceleration;
        let (a, b) = ((q * dt * dt * dt / 3.0).sqrt(), (3.0 * q * dt).sqrt() / 2.0);
        let c = (q * dt).sqrt() / 2.0;
        for i in 0..2 {
            let (p, v) = (previous.coordinate(i), previous.coordinate(2 + i));
            for ((w, p), v) in value.iter_mut().zip(p).zip(v) {
                let first = (x[i] - p - dt * v) / a;
                let second = (x[2 + i] - v - b * first) / c;
                *w -= 0.5 * (first * first + second * second);
            }
        }
    }

    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        true
    }

    fn observe(&self, _step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        for (i, sensor) in self.model.input.sensors.iter().enumerate() {
            let out = y.coordinate_mut(i);
            at.normals(i as u32, out);
            for ((o, x), y) in out.iter_mut().zip(x.coordinate(0)).zip(x.coordinate(1)) {
                *o = elementary::atan2(y - sensor[1], x - sensor[0]) + self.model.input.observation_sd * *o;
            }
        }
        true
    }
}
