//! Linear Gaussian models of any dimension, with matrices from the input; exact by the Kalman filter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear::{Dynamics, Linear};
use super::{About, Built, BuiltIn, ReadFile, Refusal, distinct};
use crate::math::dense;
use crate::solvers::smc::exact::kalman::Transition;

/// x_k = A x_{k−1} + b + N(0, Q), or dx = F x dt + noise; y_k = H x_k + d + N(0, R).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Names of the coordinates of the state; absent: x0, x1, ….
    #[serde(default)]
    pub states: Option<Vec<String>>,
    /// A, or F where `continuous`: one row per state.
    pub transition: Vec<Vec<f64>>,
    /// b; absent: zero. Not with `continuous`.
    #[serde(default)]
    pub shift: Option<Vec<f64>>,
    /// Q, or where `continuous` the covariance of the noise per unit of time.
    pub noise_covariance: Vec<Vec<f64>>,
    /// The transition is that of the SDE dx = F x dt + noise over the interval between times.
    #[serde(default)]
    pub continuous: bool,
    /// H: one row per observed component.
    pub observation: Vec<Vec<f64>>,
    /// d; absent: zero.
    #[serde(default)]
    pub offset: Option<Vec<f64>>,
    /// R.
    pub observation_covariance: Vec<Vec<f64>>,
    /// Mean at the first time; absent: zero.
    #[serde(default)]
    pub initial_mean: Option<Vec<f64>>,
    /// Covariance at the first time.
    pub initial_covariance: Vec<Vec<f64>>,
}

/// The rows as one list, of the shape wanted and finite.
fn matrix(key: &'static str, rows: &[Vec<f64>], height: usize, width: usize) -> Result<Vec<f64>, Refusal> {
    if rows.len() != height || rows.iter().any(|r| r.len() != width) {
        let widths: Vec<String> = rows.iter().map(|r| r.len().to_string()).collect();
        let message = format!("must be {height} × {width}; here are {} rows of {}", rows.len(), widths.join(", "));
        return Err((key, message));
    }
    finite(key, rows.concat())
}

fn vector(key: &'static str, given: &Option<Vec<f64>>, length: usize) -> Result<Vec<f64>, Refusal> {
    let Some(given) = given else { return Ok(vec![0.0; length]) };
    if given.len() != length {
        return Err((key, format!("must have {length} entries; here are {}", given.len())));
    }
    finite(key, given.clone())
}

fn finite(key: &'static str, values: Vec<f64>) -> Result<Vec<f64>, Refusal> {
    match values.iter().find(|x| !x.is_finite()) {
        Some(x) => Err((key, format!("{x} must be finite"))),
        None => Ok(values),
    }
}

/// A covariance: symmetric, no negative variance; definite where it must be.
fn covariance(key: &'static str, rows: &[Vec<f64>], n: usize, definite: bool) -> Result<Vec<f64>, Refusal> {
    let a = matrix(key, rows, n, n)?;
    for i in 0..n {
        if a[i * n + i] < 0.0 {
            return Err((key, format!("[{i}][{i}] = {}: a variance is not negative", a[i * n + i])));
        }
        for j in 0..i {
            let (x, y) = (a[i * n + j], a[j * n + i]);
            if (x - y).abs() > 1e-12 * x.abs().max(y.abs()) {
                return Err((key, format!("must be symmetric: [{i}][{j}] = {x}, [{j}][{i}] = {y}")));
            }
        }
    }
    let (factor, word) = match definite {
        true => (dense::cholesky(&a, n), "positive definite"),
        false => (dense::cholesky_semidefinite(&a, n), "positive semidefinite"),
    };
    factor.map(|_| a).map_err(|row| (key, format!("must be {word}; it is not at row {row}")))
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "linear_system",
        summary: "linear Gaussian in any dimension, discrete or a linear SDE at irregular times; exact by the Kalman filter",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        let (n, o) = (self.transition.len(), self.observation.len());
        if n == 0 {
            return Err(("transition", "needs at least one row".into()));
        }
        if o == 0 {
            return Err(("observation", "needs at least one row".into()));
        }
        let states = match &self.states {
            None => (0..n).map(|i| format!("x{i}")).collect(),
            Some(names) if names.len() == n => {
                distinct("states", names)?;
                names.clone()
            }
            Some(names) => return Err(("states", format!("must be {n} names; here are {}", names.len()))),
        };
        let a = matrix("transition", &self.transition, n, n)?;
        let q = covariance("noise_covariance", &self.noise_covariance, n, false)?;
        let shift = vector("shift", &self.shift, n)?;
        if self.continuous && self.shift.is_some() {
            return Err(("shift", "belongs to discrete transitions; leave it out with continuous = true".into()));
        }
        let dynamics = match self.continuous {
            true => Dynamics::Continuous { drift: a, diffusion: q },
            false => Dynamics::Discrete(Transition { matrix: a, shift, covariance: q }),
        };
        Ok(Built::StateSpace(Box::new(Linear {
            states,
            outputs: (0..o).map(|i| format!("y{i}")).collect(),
            dynamics,
            initial_mean: vector("initial_mean", &self.initial_mean, n)?,
            initial_covariance: covariance("initial_covariance", &self.initial_covariance, n, false)?,
            observation: matrix("observation", &self.observation, o, n)?,
            offset: vector("offset", &self.offset, o)?,
            noise: covariance("observation_covariance", &self.observation_covariance, o, true)?,
        })))
    }
}
