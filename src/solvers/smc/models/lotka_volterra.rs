//! Predators and prey as a diffusion: the chemical Langevin equation of the Lotka–Volterra reactions
//! [BoysWilkinsonKirkwood2008], by Euler–Maruyama.
//!
//!     prey → 2 prey at rate a X,   prey + predator → 2 predators at rate b X Y,   predator → nothing at rate c Y
//!
//! In a step h reaction j happens r_j = λ_j h + √(λ_j h) ξ_j times; X += r_1 − r_2, Y += r_2 − r_3, and both stay ≥ 0.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Built, BuiltIn, Proposal, ReadFile, Refusal, StateSpace, positive};
use crate::math::dense::LOG_2_PI;
use crate::math::draws::LARGEST_DRAW;
use crate::math::elementary;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;

/// Both populations observed with normal noise; NaN where one is not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// a.
    #[serde(default = "half")]
    pub birth: f64,
    /// b.
    #[serde(default = "default_predation")]
    pub predation: f64,
    /// c.
    #[serde(default = "default_death")]
    pub death: f64,
    /// Median of the prey at the first time.
    #[serde(default = "hundred")]
    pub initial_prey: f64,
    /// Median of the predators at the first time.
    #[serde(default = "hundred")]
    pub initial_predators: f64,
    /// Standard deviation of the logarithms at the first time.
    #[serde(default = "tenth")]
    pub initial_log_sd: f64,
    /// Longest step of Euler's scheme.
    #[serde(default = "tenth")]
    pub time_step: f64,
    /// Standard deviation of observed populations.
    #[serde(default = "ten")]
    pub observation_sd: f64,
}

fn half() -> f64 {
    0.5
}

fn default_predation() -> f64 {
    0.0025
}

fn default_death() -> f64 {
    0.3
}

fn hundred() -> f64 {
    100.0
}

fn tenth() -> f64 {
    0.1
}

fn ten() -> f64 {
    10.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "lotka_volterra",
        summary: "predators and prey as a diffusion (chemical Langevin equation, Euler–Maruyama)",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        for (key, value) in [
            ("birth", self.birth),
            ("predation", self.predation),
            ("death", self.death),
            ("initial_prey", self.initial_prey),
            ("initial_predators", self.initial_predators),
            ("initial_log_sd", self.initial_log_sd),
            ("time_step", self.time_step),
            ("observation_sd", self.observation_sd),
        ] {
            positive(key, value)?;
        }
        Ok(Built::StateSpace(Box::new(*self)))
    }
}

impl StateSpace for Input {
    fn coordinates(&self) -> Vec<String> {
        vec!["prey".into(), "predators".into()]
    }

    fn components(&self) -> Vec<String> {
        vec!["observed_prey".into(), "observed_predators".into()]
    }

    fn flow(&self, data: &Arc<Observations>, _proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        few_steps(data, self.time_step, 3)?;
        Ok(Box::new(Flow { input: *self, data: data.clone() }))
    }
}

struct Flow {
    input: Input,
    data: Arc<Observations>,
}

/// Equal steps of at most `longest` over an interval: how many, and how long.
pub(super) fn steps_over(interval: f64, longest: f64) -> (usize, f64) {
    let steps = (interval / longest - 1e-9).ceil().max(1.0) as usize;
    (steps, interval / steps as f64)
}

/// Most steps over an interval: more would never end.
const MOST_STEPS: usize = 10_000_000;

/// Refuses intervals of the data that steps of at most `longest`, with so many noises each, take too many of.
pub(super) fn few_steps(data: &Observations, longest: f64, noises: usize) -> Result<(), Refusal> {
    // Noises of a particle have addresses of their own.
    let most = if noises == 0 { MOST_STEPS } else { MOST_STEPS.min(LARGEST_DRAW as usize / noises) };
    for k in 1..data.len() {
        let interval = data.interval(k);
        if steps_over(interval, longest).0 > most {
            let message = format!(
                "steps of {longest:e} cut the interval {interval} before time {} into more than {most} steps",
                data.times[k]
            );
            return Err(("model.time_step", message));
        }
    }
    Ok(())
}

/// λh + √(λh) ξ.
#[inline(always)]
pub(super) fn reactions<S: Scalar>(expected: f64, noise: f64) -> f64 {
    S::mul_add(expected.sqrt(), noise, expected)
}

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        2
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let Input { initial_prey, initial_predators, initial_log_sd: sd, .. } = self.input;
        for (i, (x, median)) in x.coordinates_mut().zip([initial_prey, initial_predators]).enumerate() {
            at.normals(i as u32, x);
            crate::enter!(at.level, S => for k in 0..x.len() { x[k] = median * S::exp(sd * x[k]) });
        }
    }

    fn mutate(&self, step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let Input { birth, predation, death, time_step, .. } = self.input;
        let (substeps, h) = steps_over(self.data.interval(step), time_step);
        let n = x.len();
        let [prey, predators] = x.some_mut([0, 1]);
        prey.copy_from_slice(previous.coordinate(0));
        predators.copy_from_slice(previous.coordinate(1));
        let (mut first, mut second, mut third) = ([0.0; TILE], [0.0; TILE], [0.0; TILE]);
        let (first, second, third) = (&mut first[..n], &mut second[..n], &mut third[..n]);
        for s in 0..substeps as u32 {
            at.normals(3 * s, first);
            at.normals(3 * s + 1, second);
            at.normals(3 * s + 2, third);
            crate::enter!(at.level, S => for k in 0..n {
                let (x, y) = (prey[k], predators[k]);
                let born = reactions::<S>(birth * h * x, first[k]);
                let eaten = reactions::<S>(predation * h * x * y, second[k]);
                let died = reactions::<S>(death * h * y, third[k]);
                prey[k] = (x + born - eaten).max(0.0);
                predators[k] = (y + eaten - died).max(0.0);
            });
        }
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        let r = self.input.observation_sd;
        let constant = -0.5 * LOG_2_PI - elementary::ln(r);
        let scale = -0.5 / (r * r);
        for (i, &y) in self.data.at(step).iter().enumerate().filter(|(_, y)| !y.is_nan()) {
            let c = x.coordinate(i);
            let log_weight = &mut log_weight[..c.len()];
            crate::enter!(x.level(), S => for k in 0..c.len() {
                let off = y - c[k];
                log_weight[k] += S::mul_add(scale * off, off, constant);
            });
        }
    }

    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        true
    }

    fn observe(&self, _step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        for i in 0..2 {
            let out = y.coordinate_mut(i);
            at.normals(i as u32, out);
            for (o, x) in out.iter_mut().zip(x.coordinate(i)) {
                *o = x + self.input.observation_sd * *o;
            }
        }
        true
    }
}
