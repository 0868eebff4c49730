//! The models of the room: one file each, one line of [`ModelInput`] and one of the modules.
//!
//! A file holds what the user may set (`Input`), how it is built, and its flows or its target. A model is either a
//! state-space model (a flow for given observations) or the target of a sampler (prior and likelihood).

// Particles are counted, over several slices at once.
#![allow(clippy::needless_range_loop)]

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::data::Observations;
use crate::particles::{Family, FeynmanKac, Target};

pub mod bearings_only;
pub mod cases;
pub mod constant_velocity;
pub mod epidemic;
pub mod gaussian_mixture;
mod linear;
pub mod linear_gaussian;
pub mod linear_system;
pub mod logistic_regression;
pub mod lorenz_96;
pub mod lotka_volterra;
pub mod multivariate_stochastic_volatility;
mod prior;
pub mod shapes;
pub mod stochastic_volatility;
#[cfg(test)]
mod tests;
pub mod written;

/// The key below `problem.model` that is at fault, and what is wrong with it.
pub type Refusal = (&'static str, String);

/// What a model says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct About {
    /// The word of the input: `kind`.
    pub word: &'static str,
    pub summary: &'static str,
}

/// From which law particles are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proposal {
    /// The transition of the model.
    Bootstrap,
    /// A law that knows the present observation.
    Guided,
    /// As guided, with a twist that looks one observation ahead.
    Auxiliary,
}

/// The truth, where a closed form has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exact {
    pub log_evidence: f64,
    /// Filtering means and variances, times × coordinates; empty where unknown.
    pub means: Vec<f64>,
    pub variances: Vec<f64>,
}

/// A state-space model with its parameters.
pub trait StateSpace: Send + Sync {
    /// Names of the coordinates of the state.
    fn coordinates(&self) -> Vec<String>;

    /// Names of the components of an observation.
    fn components(&self) -> Vec<String>;

    /// Those it has; the engine refuses others by name.
    fn proposals(&self) -> &'static [Proposal] {
        &[Proposal::Bootstrap]
    }

    /// The flow for given observations (times × components, NaN where missing); horizon = number of times.
    ///
    /// # Errors
    /// The key below `problem` at fault, and why.
    fn flow(&self, data: &Arc<Observations>, proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal>;

    /// The truth for these observations, where known at a small cost.
    fn exact(&self, _data: &Observations) -> Option<Exact> {
        None
    }

    /// The family of this model over the parameters named, for particle MCMC and SMC²: each with its prior.
    fn family(&self, _data: &Arc<Observations>, _parameters: &[String]) -> Option<Box<dyn Family>> {
        None
    }
}

/// A model, built.
pub enum Built {
    StateSpace(Box<dyn StateSpace>),
    Sampler(Sampler),
}

/// The target of a sampler, with what is known of it.
pub struct Sampler {
    pub target: Box<dyn Target>,
    pub coordinates: Vec<String>,
    /// Exact log-evidence, where known.
    pub log_evidence: Option<f64>,
    /// Exact posterior means and variances, where known.
    pub moments: Option<(Vec<f64>, Vec<f64>)>,
    /// Cases whose outcomes the particles predict, where the target is a regression.
    pub outcomes: Option<cases::Outcomes>,
}

/// Reads the files a model names: (key below `problem.model`, path as given, dataset or none) → rows × columns.
pub type ReadFile<'a> = dyn Fn(&'static str, &str, Option<&str>) -> Result<Table, Refusal> + 'a;

/// A table of numbers from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub rows: usize,
    pub columns: usize,
    /// Row by row.
    pub values: Vec<f64>,
}

/// What each model's file implements for its `Input`.
pub trait BuiltIn {
    const ABOUT: About;
    /// Refuses values that make no sense.
    fn build(&self, read: &ReadFile<'_>) -> Result<Built, Refusal>;
}

/// Refuses a `value` of `key` that is not positive.
pub(super) fn positive(key: &'static str, value: f64) -> Result<f64, Refusal> {
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err((key, format!("{key} = {value} must be positive"))) }
}

/// Refuses names that repeat, and those that cannot be part of a name in a file.
pub(super) fn distinct(key: &'static str, names: &[String]) -> Result<(), Refusal> {
    for (i, name) in names.iter().enumerate() {
        if name.trim().is_empty() || name.contains(|c: char| c == '/' || c.is_control()) {
            return Err((key, format!("{name:?} is no name: it must have characters, and no \"/\" among them")));
        }
        if names[..i].contains(name) {
            return Err((key, format!("\"{name}\" stands twice")));
        }
    }
    Ok(())
}

macro_rules! models {
    ($($(#[$doc:meta])* $word:literal $variant:ident($module:ident),)*) => {
        /// The model.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind")]
        pub enum ModelInput {
            $($(#[$doc])* #[serde(rename = $word)] $variant($module::Input),)*
        }

        /// What the models say of themselves.
        pub const ALL: &[About] = &[$(<$module::Input as BuiltIn>::ABOUT,)*];

        impl ModelInput {
            pub fn about(&self) -> About {
                match self { $(ModelInput::$variant(_) => <$module::Input as BuiltIn>::ABOUT,)* }
            }

            /// The model; `read` reads the files it names.
            ///
            /// # Errors
            /// The key below `problem.model` at fault, and why.
            pub fn build(&self, read: &ReadFile<'_>) -> Result<Built, Refusal> {
                match self { $(ModelInput::$variant(input) => input.build(read),)* }
            }
        }
    };
}

models! {
    /// x' = a x + noise, y = c x + noise: exact by the Kalman filter.
    "linear_gaussian" LinearGaussian(linear_gaussian),
    /// Univariate stochastic volatility: the log-variance of returns is an autoregression.
    "stochastic_volatility" StochasticVolatility(stochastic_volatility),
    /// Several returns whose log-variances are autoregressions; noises and returns may be correlated.
    "multivariate_stochastic_volatility" MultivariateStochasticVolatility(multivariate_stochastic_volatility),
    /// Linear Gaussian in any dimension, discrete or a linear SDE: exact by the Kalman filter.
    "linear_system" LinearSystem(linear_system),
    /// Tracking with white-noise acceleration: exact by the Kalman filter.
    "constant_velocity" ConstantVelocity(constant_velocity),
    /// Tracking by directions alone.
    "bearings_only" BearingsOnly(bearings_only),
    /// Lorenz's model of 1996 with additive noise.
    "lorenz_96" Lorenz96(lorenz_96),
    /// Predators and prey as a diffusion.
    "lotka_volterra" LotkaVolterra(lotka_volterra),
    /// Susceptible, infected, recovered as a diffusion, with counts of new cases.
    "epidemic" Epidemic(epidemic),
    /// Sampler: coefficients of a logistic regression.
    "logistic_regression" LogisticRegression(logistic_regression),
    /// Sampler: a mixture of Gaussians, or one; evidence known.
    "gaussian_mixture" GaussianMixture(gaussian_mixture),
    /// Sampler: a banana or a funnel; evidence 1.
    "shape" Shape(shapes),
    /// Transition and observations are expressions of the input.
    "written" Written(written),
}
