//! Written models over their parameters: those with a prior vary, the others keep their numbers.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flow::Flow;
use super::observation::Domain;
use super::{Compiled, Input, Leaves, VARYING};
use crate::error::{Error, Result};
use crate::math::dense::LOG_2_PI;
use crate::math::elementary::{exp, ln};
use crate::math::expression::Program;
use crate::math::expression::graph::{Graph, Id};
use crate::math::expression::slices::Output;
use crate::math::simd::Level;
use crate::particles::{Draws, Family, FeynmanKac, Parameter};
use crate::solvers::smc::data::Observations;

/// The prior of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "distribution", rename_all = "snake_case", deny_unknown_fields)]
pub enum Prior {
    Normal {
        mean: f64,
        sd: f64,
    },
    /// The logarithm is normal; the parameter is positive.
    Lognormal {
        log_mean: f64,
        log_sd: f64,
    },
    Uniform {
        low: f64,
        high: f64,
    },
    /// Density rate·e^(−rate·x); the parameter is positive.
    Exponential {
        rate: f64,
    },
}

impl Prior {
    /// What is wrong with it.
    pub fn mistake(&self) -> Option<String> {
        let positive =
            |key: &str, x: f64| (!(x > 0.0 && x.is_finite())).then(|| format!("{key} = {x} must be positive"));
        match *self {
            Prior::Normal { sd, .. } => positive("sd", sd),
            Prior::Lognormal { log_sd, .. } => positive("log_sd", log_sd),
            Prior::Exponential { rate } => positive("rate", rate),
            Prior::Uniform { low, high } if low < high => None,
            Prior::Uniform { low, high } => Some(format!("low = {low} must be below high = {high}")),
        }
    }

    fn is_positive(&self) -> bool {
        match *self {
            Prior::Normal { .. } => false,
            Prior::Lognormal { .. } | Prior::Exponential { .. } => true,
            Prior::Uniform { low, .. } => low >= 0.0,
        }
    }

    fn draw(&self, at: &Draws, number: u32) -> f64 {
        let mut x = [0.0];
        match *self {
            Prior::Normal { .. } | Prior::Lognormal { .. } => at.normals(number, &mut x),
            Prior::Uniform { .. } | Prior::Exponential { .. } => at.uniforms(number, &mut x),
        }
        match *self {
            Prior::Normal { mean, sd } => mean + sd * x[0],
            Prior::Lognormal { log_mean, log_sd } => exp(log_mean + log_sd * x[0]),
            Prior::Uniform { low, high } => low + (high - low) * x[0],
            Prior::Exponential { rate } => -ln(x[0]) / rate,
        }
    }

    fn log_density(&self, x: f64) -> f64 {
        let normal = |z: f64, sd: f64| -0.5 * (LOG_2_PI + z * z) - ln(sd);
        match *self {
            Prior::Normal { mean, sd } => normal((x - mean) / sd, sd),
            Prior::Lognormal { log_mean, log_sd } if x > 0.0 => normal((ln(x) - log_mean) / log_sd, log_sd) - ln(x),
            Prior::Uniform { low, high } if (low..=high).contains(&x) => -ln(high - low),
            Prior::Exponential { rate } if x >= 0.0 => ln(rate) - rate * x,
            _ => f64::NEG_INFINITY,
        }
    }
}

/// What a formula of the parameters that vary alone must be.
#[derive(Debug)]
pub(super) struct Condition {
    pub id: Id,
    pub name: String,
    pub domain: Domain,
}

/// What the parameters that vary must fulfil.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Sets their values.
    program: Program,
    all: Vec<Condition>,
}

impl Conditions {
    pub fn new(graph: &Graph, all: Vec<Condition>, leaves: Leaves) -> Conditions {
        let outputs: Vec<Output> = all.iter().map(|c| Output::Set(c.id)).collect();
        Conditions { program: Program::new(graph, &outputs, |l| leaves.source(l)), all }
    }

    /// What is wrong with `theta`.
    fn mistake(&self, theta: &[f64]) -> Option<String> {
        let numbers = [&[0.0; VARYING], theta].concat();
        let mut values = vec![0.0; self.all.len()];
        let mut outputs: Vec<&mut [f64]> = values.chunks_mut(1).collect();
        self.program.run(Level::Portable, &numbers, &[], &mut outputs);
        let found = values.into_iter().zip(&self.all).find(|(value, condition)| !condition.domain.holds(*value));
        found.map(|(value, Condition { name, domain, .. })| format!("{name} = {value} must be {}", domain.words()))
    }
}

pub(super) struct Parametric {
    pub input: Arc<Input>,
    /// Over the parameters that vary, in the order of `names`.
    pub model: Arc<Compiled>,
    pub data: Arc<Observations>,
    /// Names of the parameters that vary, in the order asked for.
    pub names: Vec<String>,
}

impl Family for Parametric {
    fn parameters(&self) -> Vec<Parameter> {
        let one = |name: &String| Parameter { name: name.clone(), positive: self.input.priors[name].is_positive() };
        self.names.iter().map(one).collect()
    }

    fn draw_prior(&self, at: &Draws) -> Vec<f64> {
        self.names.iter().enumerate().map(|(i, name)| self.input.priors[name].draw(at, i as u32)).collect()
    }

    fn log_prior(&self, theta: &[f64]) -> f64 {
        self.names.iter().zip(theta).map(|(name, x)| self.input.priors[name].log_density(*x)).sum()
    }

    fn at(&self, theta: &[f64]) -> Result<Box<dyn FeynmanKac>> {
        match self.model.conditions.mistake(theta) {
            Some(mistake) => Err(Error::Usage(mistake)),
            None => Ok(Box::new(Flow { model: self.model.clone(), data: self.data.clone(), theta: theta.into() })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::rng::Stream;
    use crate::math::simd::Level;

    #[test]
    fn priors_integrate_to_1_and_draws_have_their_means() {
        let cases = [
            (Prior::Normal { mean: 0.5, sd: 0.7 }, 0.5, 0.7),
            (Prior::Lognormal { log_mean: -0.3, log_sd: 0.4 }, exp(-0.22), 0.335),
            (Prior::Uniform { low: -1.0, high: 3.0 }, 1.0, 2.0 / 3f64.sqrt()),
            (Prior::Exponential { rate: 2.0 }, 0.5, 0.5),
        ];
        for (prior, mean, sd) in cases {
            let h = 1e-4;
            let at = |k: i32| -8.0 + h * (f64::from(k) + 0.5);
            let total: f64 = (0..200_000).map(|k| h * exp(prior.log_density(at(k)))).sum();
            assert!((total - 1.0).abs() < 1e-6, "{prior:?}: {total}");
            let n = 20_000u64;
            let draws = Draws::new(Level::Portable, 1, Stream::ParticlesParameter, 0);
            let found = (0..n).map(|i| prior.draw(&draws.at(i), 0)).sum::<f64>() / n as f64;
            assert!((found - mean).abs() < 4.0 * sd / (n as f64).sqrt(), "{prior:?}: {found}");
        }
    }
}
