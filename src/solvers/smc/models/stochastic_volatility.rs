//! Univariate stochastic volatility [Taylor1982]: x_k = μ + ρ (x_{k−1} − μ) + σ ξ, y_k = e^{x_k/2} η, started from its
//! stationary law.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Built, BuiltIn, Exact, Proposal, ReadFile, Refusal, StateSpace, positive};
use crate::math::elementary;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;
use crate::solvers::smc::exact::quadrature;

/// Log-variance x of returns y.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// μ: mean of the log-variance.
    #[serde(default = "minus_one")]
    pub mean: f64,
    /// ρ in (−1, 1): persistence.
    #[serde(default = "default_persistence")]
    pub persistence: f64,
    /// σ: standard deviation of its noise.
    #[serde(default = "quarter")]
    pub volatility: f64,
}

fn minus_one() -> f64 {
    -1.0
}

fn default_persistence() -> f64 {
    0.95
}

fn quarter() -> f64 {
    0.25
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "stochastic_volatility",
        summary: "the log-variance of returns is an autoregression, started from its stationary law",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        positive("volatility", self.volatility)?;
        if self.persistence.is_nan() || self.persistence.abs() >= 1.0 {
            return Err(("persistence", format!("{} must lie in (−1, 1)", self.persistence)));
        }
        if !self.mean.is_finite() {
            return Err(("mean", format!("{} must be finite", self.mean)));
        }
        Ok(Built::StateSpace(Box::new(*self)))
    }
}

impl StateSpace for Input {
    fn coordinates(&self) -> Vec<String> {
        vec!["log_variance".into()]
    }

    fn components(&self) -> Vec<String> {
        vec!["return".into()]
    }

    fn flow(&self, data: &Arc<Observations>, _proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        Ok(Box::new(Flow { input: *self, data: data.clone() }))
    }

    /// By quadrature, to ten digits.
    fn exact(&self, data: &Observations) -> Option<Exact> {
        let Input { mean: mu, persistence: phi, volatility: sigma } = *self;
        let model = quadrature::StochasticVolatility { mu, phi, sigma, y: &data.values };
        let small = model.work(4.0) <= quadrature::SMALL;
        let found = small.then(|| model.solve(4.0, false))?;
        let (means, variances) = found.filtered.into_iter().unzip();
        Some(Exact { log_evidence: found.log_evidence, means, variances })
    }
}

struct Flow {
    input: Input,
    data: Arc<Observations>,
}

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        1
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let Input { mean, persistence, volatility } = self.input;
        let sd = volatility / (1.0 - persistence * persistence).sqrt();
        let x = x.coordinate_mut(0);
        at.normals(0, x);
        for x in x {
            *x = mean + sd * *x;
        }
    }

    fn mutate(&self, _step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let Input { mean, persistence, volatility } = self.input;
        let x = x.coordinate_mut(0);
        at.normals(0, x);
        let pull = mean - persistence * mean;
        let p = previous.coordinate(0);
        crate::enter!(at.level, S => for i in 0..x.len() {
            x[i] = S::mul_add(volatility, x[i], S::mul_add(persistence, p[i], pull));
        });
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        let y = self.data.at(step)[0];
        if y.is_nan() {
            return;
        }
        let half = -0.5 * y * y;
        let constant = -0.5 * elementary::ln(std::f64::consts::TAU);
        let level = x.level();
        let x = x.coordinate(0);
        crate::enter!(level, S => for i in 0..x.len() {
            log_weight[i] += S::mul_add(half, S::exp(-x[i]), S::mul_add(-0.5, x[i], constant));
        });
    }

    fn has_transition(&self) -> bool {
        true
    }

    fn log_transition(&self, _step: usize, previous: View<'_>, x: &[f64], value: &mut [f64]) {
        let Input { mean, persistence, volatility } = self.input;
        for (v, p) in value.iter_mut().zip(previous.coordinate(0)) {
            let d = (x[0] - mean - persistence * (p - mean)) / volatility;
            *v -= 0.5 * d * d;
        }
    }

    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        true
    }

    fn observe(&self, _step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        let y = y.coordinate_mut(0);
        at.normals(0, y);
        let mut half = [0.0; TILE];
        let half = &mut half[..y.len()];
        half.copy_from_slice(x.coordinate(0));
        crate::enter!(at.level, S => for i in 0..y.len() { y[i] *= S::exp(0.5 * half[i]) });
        true
    }
}
