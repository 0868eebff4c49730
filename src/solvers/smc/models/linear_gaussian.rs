//! Scalar linear-Gaussian model: x_0 ~ N(m, s²), x_k = a x_{k−1} + q ξ, y_k = c x_k + r η.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Built, BuiltIn, Exact, Proposal, ReadFile, Refusal, StateSpace, positive};
use crate::math::elementary;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;

/// x_k = a x_{k−1} + q ξ_k, y_k = c x_k + r η_k.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// a.
    #[serde(default = "nine_tenths")]
    pub coefficient: f64,
    /// q: standard deviation of the noise of the state.
    #[serde(default = "one")]
    pub state_sd: f64,
    /// c.
    #[serde(default = "one")]
    pub gain: f64,
    /// r: standard deviation of the noise of observations.
    #[serde(default = "one")]
    pub observation_sd: f64,
    /// Mean at the first time.
    #[serde(default)]
    pub initial_mean: f64,
    /// Standard deviation at the first time; absent: the stationary one, for |a| < 1.
    #[serde(default)]
    pub initial_sd: Option<f64>,
}

fn nine_tenths() -> f64 {
    0.9
}

fn one() -> f64 {
    1.0
}

impl BuiltIn for Input {
    const ABOUT: About =
        About { word: "linear_gaussian", summary: "x' = a x + noise, y = c x + noise: exact by the Kalman filter" };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        positive("state_sd", self.state_sd)?;
        positive("observation_sd", self.observation_sd)?;
        let initial_sd = match self.initial_sd {
            Some(sd) => positive("initial_sd", sd)?,
            None if self.coefficient.abs() < 1.0 => self.state_sd / (1.0 - self.coefficient * self.coefficient).sqrt(),
            None => {
                return Err(("initial_sd", "is needed: |coefficient| ≥ 1 has no stationary law".into()));
            }
        };
        Ok(Built::StateSpace(Box::new(Model { input: *self, initial_sd })))
    }
}

#[derive(Debug, Clone, Copy)]
struct Model {
    input: Input,
    initial_sd: f64,
}

impl StateSpace for Model {
    fn coordinates(&self) -> Vec<String> {
        vec!["x".into()]
    }

    fn components(&self) -> Vec<String> {
        vec!["y".into()]
    }

    fn proposals(&self) -> &'static [Proposal] {
        &[Proposal::Bootstrap, Proposal::Guided, Proposal::Auxiliary]
    }

    fn flow(&self, data: &Arc<Observations>, proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        let log_r = elementary::ln(self.input.observation_sd);
        Ok(Box::new(Flow { model: *self, data: data.clone(), proposal, log_r }))
    }

    /// Kalman's recursion.
    fn exact(&self, data: &Observations) -> Option<Exact> {
        let Input { coefficient: a, state_sd, gain: c, observation_sd, initial_mean, .. } = self.input;
        let (q, r) = (state_sd * state_sd, observation_sd * observation_sd);
        let (mut m, mut p) = (initial_mean, self.initial_sd * self.initial_sd);
        let mut exact = Exact::default();
        for k in 0..data.len() {
            if k > 0 {
                (m, p) = (a * m, a * a * p + q);
            }
            let y = data.at(k)[0];
            if !y.is_nan() {
                let s = c * c * p + r;
                let e = y - c * m;
                exact.log_evidence -= 0.5 * (elementary::ln(std::f64::consts::TAU * s) + e * e / s);
                (m, p) = (m + p * c * e / s, p * r / s);
            }
            exact.means.push(m);
            exact.variances.push(p);
        }
        Some(exact)
    }
}

struct Flow {
    model: Model,
    data: Arc<Observations>,
    proposal: Proposal,
    log_r: f64,
}

impl Flow {
    fn observed(&self, step: usize) -> Option<f64> {
        let y = self.data.at(step)[0];
        (!y.is_nan()).then_some(y)
    }

    /// x = mean + sd ξ and, guided, from the law that knows y (conjugate), with the log-ratio of the two.
    fn draw(&self, step: usize, sd: f64, at: &Draws, mean: &[f64], x: &mut [f64], log_weight: &mut [f64]) {
        let n = x.len();
        let mut noise = [0.0; TILE];
        at.normals(0, &mut noise[..n]);
        let noise = &noise[..n];
        let guided = (self.proposal != Proposal::Bootstrap).then(|| self.observed(step)).flatten();
        let Some(y) = guided else {
            crate::enter!(at.level, S => for i in 0..n { x[i] = S::mul_add(sd, noise[i], mean[i]) });
            return;
        };
        let Input { gain: c, observation_sd, .. } = self.model.input;
        let (p, r) = (sd * sd, observation_sd * observation_sd);
        let s = c * c * p + r;
        let (gain, shrunk) = (p * c / s, sd * (r / s).sqrt());
        // log p/q = [−(x−m)²/p + ξ²]/2 + ½ log(r/s)
        let constant = 0.5 * elementary::ln(r / s);
        crate::enter!(at.level, S => for i in 0..n {
            let centre = S::mul_add(gain, y - c * mean[i], mean[i]);
            x[i] = S::mul_add(shrunk, noise[i], centre);
            let d = (x[i] - mean[i]) / sd;
            log_weight[i] += S::mul_add(0.5, noise[i] * noise[i] - d * d, constant);
        });
    }
}

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        1
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, log_weight: &mut [f64]) {
        let mean = [self.model.input.initial_mean; TILE];
        let n = x.len();
        self.draw(0, self.model.initial_sd, at, &mean[..n], x.coordinate_mut(0), log_weight);
    }

    fn mutate(&self, step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, log_weight: &mut [f64]) {
        let a = self.model.input.coefficient;
        let n = x.len();
        let mut mean = [0.0; TILE];
        for (m, p) in mean[..n].iter_mut().zip(previous.coordinate(0)) {
            *m = a * p;
        }
        self.draw(step, self.model.input.state_sd, at, &mean[..n], x.coordinate_mut(0), log_weight);
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        let Some(y) = self.observed(step) else { return };
        let (c, r) = (self.model.input.gain, self.model.input.observation_sd);
        let constant = -0.5 * elementary::ln(std::f64::consts::TAU) - self.log_r;
        let scale = 1.0 / r;
        for (w, x) in log_weight.iter_mut().zip(x.coordinate(0)) {
            let e = (y - c * x) * scale;
            *w += constant - 0.5 * e * e;
        }
    }

    fn is_twisted(&self) -> bool {
        self.proposal == Proposal::Auxiliary
    }

    /// log p(y_{k+1} | x_k): then the weights of a guided filter do not depend on the draw.
    fn log_twist(&self, step: usize, x: View<'_>, value: &mut [f64]) {
        let Some(y) = self.observed(step + 1) else { return };
        let Input { coefficient: a, state_sd, gain: c, observation_sd, .. } = self.model.input;
        let s = c * c * state_sd * state_sd + observation_sd * observation_sd;
        let constant = -0.5 * elementary::ln(std::f64::consts::TAU * s);
        let slope = c * a;
        for (v, x) in value.iter_mut().zip(x.coordinate(0)) {
            let e = y - slope * x;
            *v += constant - 0.5 * e * e / s;
        }
    }

    fn has_transition(&self) -> bool {
        true
    }

    fn log_transition(&self, _step: usize, previous: View<'_>, x: &[f64], value: &mut [f64]) {
        let (a, q) = (self.model.input.coefficient, self.model.input.state_sd);
        for (v, p) in value.iter_mut().zip(previous.coordinate(0)) {
            let d = (x[0] - a * p) / q;
            *v -= 0.5 * d * d;
        }
    }

    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        self.proposal == Proposal::Bootstrap
    }

    fn observe(&self, _step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        let y = y.coordinate_mut(0);
        at.normals(0, y);
        let (c, r) = (self.model.input.gain, self.model.input.observation_sd);
        for (y, x) in y.iter_mut().zip(x.coordinate(0)) {
            *y = c * x + r * *y;
        }
        true
    }
}
