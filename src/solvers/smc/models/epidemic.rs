//! An epidemic as a diffusion: susceptible, infected, recovered (SIR), with counts of new cases.
//!
//!     infection at rate β S I/N,   recovery at rate γ I
//!
//! By Euler–Maruyama on the chemical Langevin equation, as in `lotka_volterra`. The third coordinate is the number of
//! infections since the last time; reported cases are Poisson with mean `reporting` times it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lotka_volterra::{few_steps, reactions, steps_over};
use super::written::observation::poisson;
use super::{About, Built, BuiltIn, Proposal, ReadFile, Refusal, StateSpace, positive};
use crate::math::elementary;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;

/// SIR with Poisson counts of reported new cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// N.
    #[serde(default = "default_population")]
    pub population: f64,
    /// β: infections per infected and unit of time while all are susceptible.
    #[serde(default = "default_transmission")]
    pub transmission: f64,
    /// γ: inverse of the mean time of infection.
    #[serde(default = "default_recovery")]
    pub recovery: f64,
    /// Median of the infected at the first time.
    #[serde(default = "ten")]
    pub initial_infected: f64,
    /// Standard deviation of their logarithm.
    #[serde(default = "half")]
    pub initial_log_sd: f64,
    /// Share of infections that is reported.
    #[serde(default = "default_reporting")]
    pub reporting: f64,
    /// Longest step of Euler's scheme.
    #[serde(default = "tenth")]
    pub time_step: f64,
}

fn default_population() -> f64 {
    10_000.0
}

fn default_transmission() -> f64 {
    0.5
}

fn default_recovery() -> f64 {
    0.2
}

fn ten() -> f64 {
    10.0
}

fn half() -> f64 {
    0.5
}

fn default_reporting() -> f64 {
    0.3
}

fn tenth() -> f64 {
    0.1
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "epidemic",
        summary: "susceptible, infected, recovered as a diffusion, with Poisson counts of reported cases",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        for (key, value) in [
            ("population", self.population),
            ("transmission", self.transmission),
            ("recovery", self.recovery),
            ("initial_infected", self.initial_infected),
            ("initial_log_sd", self.initial_log_sd),
            ("reporting", self.reporting),
            ("time_step", self.time_step),
        ] {
            positive(key, value)?;
        }
        if self.reporting > 1.0 {
            return Err(("reporting", format!("reporting = {} must lie in (0, 1]", self.reporting)));
        }
        if self.initial_infected >= self.population {
            return Err(("initial_infected", format!("{} must be below the population", self.initial_infected)));
        }
        Ok(Built::StateSpace(Box::new(*self)))
    }
}

impl StateSpace for Input {
    fn coordinates(&self) -> Vec<String> {
        vec!["susceptible".into(), "infected".into(), "new_infections".into()]
    }

    fn components(&self) -> Vec<String> {
        vec!["reported_cases".into()]
    }

    fn flow(&self, data: &Arc<Observations>, _proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        few_steps(data, self.time_step, 2)?;
        for (k, y) in data.values.iter().enumerate() {
            if !y.is_nan() && !(*y >= 0.0 && y.fract() == 0.0) {
                let message = format!("reported_cases = {y} (row {k}) is impossible: it must be a whole number ≥ 0");
                return Err(("observations", message));
            }
        }
        Ok(Box::new(Flow { input: *self, data: data.clone() }))
    }
}

struct Flow {
    input: Input,
    data: Arc<Observations>,
}

/// Mean of a count where nobody was infected: someone may have been missed.
const LEAST: f64 = 1e-3;

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        3
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let Input { population, initial_infected, initial_log_sd: sd, .. } = self.input;
        let [susceptible, infected, new] = x.some_mut([0, 1, 2]);
        at.normals(0, infected);
        crate::enter!(at.level, S => for k in 0..infected.len() {
            infected[k] = (initial_infected * S::exp(sd * infected[k])).min(population);
            susceptible[k] = population - infected[k];
            new[k] = infected[k];
        });
    }

    fn mutate(&self, step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let Input { population, transmission, recovery, time_step, .. } = self.input;
        let (substeps, h) = steps_over(self.data.interval(step), time_step);
        let n = x.len();
        let [susceptible, infected, new] = x.some_mut([0, 1, 2]);
        susceptible.copy_from_slice(previous.coordinate(0));
        infected.copy_from_slice(previous.coordinate(1));
        new.fill(0.0);
        let (mut first, mut second) = ([0.0; TILE], [0.0; TILE]);
        let (first, second) = (&mut first[..n], &mut second[..n]);
        let contact = transmission * h / population;
        for s in 0..substeps as u32 {
            at.normals(2 * s, first);
            at.normals(2 * s + 1, second);
            crate::enter!(at.level, S => for k in 0..n {
                let (s, i) = (susceptible[k], infected[k]);
                // Between nobody and all who are left.
                let caught = reactions::<S>(contact * s * i, first[k]).max(0.0).min(s);
                let cured = reactions::<S>(recovery * h * i, second[k]);
                susceptible[k] = s - caught;
                infected[k] = (i + caught - cured).max(0.0);
                new[k] += caught;
            });
        }
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        let y = self.data.at(step)[0];
        if y.is_nan() {
            return;
        }
        let constant = -elementary::ln_gamma(y + 1.0);
        let share = self.input.reporting;
        let c = x.coordinate(2);
        let log_weight = &mut log_weight[..c.len()];
        crate::enter!(x.level(), S => for k in 0..c.len() {
            let mean = (share * c[k]).max(LEAST);
            log_weight[k] += S::mul_add(y, S::ln(mean), constant) - mean;
        });
    }

    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        true
    }

    fn observe(&self, _step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        let out = y.coordinate_mut(0);
        at.uniforms(0, out);
        for (o, c) in out.iter_mut().zip(x.coordinate(2)) {
            *o = poisson((self.input.reporting * c).max(LEAST), *o);
        }
        true
    }
}
