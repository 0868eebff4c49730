//! Multivariate stochastic volatility [HarveyRuizShephard1994]: the log-variances of several returns are autoregressions
//! with correlated noises, and the returns are correlated.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear::{White, axpy};
use super::{About, Built, BuiltIn, Exact, Proposal, ReadFile, Refusal, StateSpace, positive};
use crate::math::dense;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;
use crate::solvers::smc::exact::quadrature;

/// x_i' = μ_i + φ_i (x_i − μ_i) + σ_i ξ_i, y_i = e^{x_i/2} η_i; started from the stationary law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// μ: means of the log-variances, one per return.
    pub mean: Vec<f64>,
    /// φ in (−1, 1): persistence of each.
    pub persistence: Vec<f64>,
    /// σ: standard deviation of the noise of each.
    pub volatility: Vec<f64>,
    /// Correlation of ξ; absent: none.
    #[serde(default)]
    pub state_correlation: Option<Vec<Vec<f64>>>,
    /// Correlation of η; absent: none.
    #[serde(default)]
    pub return_correlation: Option<Vec<Vec<f64>>>,
}

/// A correlation matrix; the unit matrix where none is given.
fn correlation(key: &'static str, given: &Option<Vec<Vec<f64>>>, n: usize) -> Result<Vec<f64>, Refusal> {
    let Some(rows) = given else { return Ok(dense::identity(n)) };
    if rows.len() != n || rows.iter().any(|r| r.len() != n) {
        return Err((key, format!("must be {n} × {n}")));
    }
    let a = rows.concat();
    for i in 0..n {
        if a[i * n + i] != 1.0 {
            return Err((key, format!("[{i}][{i}] = {} must be 1", a[i * n + i])));
        }
        if let Some(j) = (0..i).find(|&j| a[i * n + j] != a[j * n + i]) {
            return Err((key, format!("must be symmetric; [{i}][{j}] and [{j}][{i}] differ")));
        }
    }
    match dense::cholesky(&a, n) {
        Ok(_) => Ok(a),
        Err(row) => Err((key, format!("must be positive definite; it is not at row {row}"))),
    }
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "multivariate_stochastic_volatility",
        summary: "several returns: log-variances are autoregressions, noises and returns may be correlated",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        let n = self.mean.len();
        if n == 0 {
            return Err(("mean", "needs at least one entry".into()));
        }
        for (key, list) in [("persistence", &self.persistence), ("volatility", &self.volatility)] {
            if list.len() != n {
                return Err((key, format!("must have {n} entries like mean; here are {}", list.len())));
            }
        }
        if let Some(x) = self.mean.iter().find(|x| !x.is_finite()) {
            return Err(("mean", format!("{x} must be finite")));
        }
        if let Some(x) = self.persistence.iter().find(|x| x.is_nan() || x.abs() >= 1.0) {
            return Err(("persistence", format!("{x} must lie in (−1, 1)")));
        }
        for x in &self.volatility {
            positive("volatility", *x)?;
        }
        let states = correlation("state_correlation", &self.state_correlation, n)?;
        let returns = correlation("return_correlation", &self.return_correlation, n)?;
        let mut noise = states.clone();
        let mut stationary = states.clone();
        for i in 0..n {
            for j in 0..n {
                noise[i * n + j] *= self.volatility[i] * self.volatility[j];
                stationary[i * n + j] = noise[i * n + j] / (1.0 - self.persistence[i] * self.persistence[j]);
            }
        }
        let definite = |a: &[f64]| {
            let message = |row| ("state_correlation", format!("gives no positive definite noise (row {row})"));
            dense::cholesky(a, n).map_err(message)
        };
        Ok(Built::StateSpace(Box::new(Model {
            noise: definite(&noise)?,
            stationary: definite(&stationary)?,
            return_factor: definite(&returns)?,
            independent: states == dense::identity(n) && returns == dense::identity(n),
            returns,
            input: Arc::new(self.clone()),
        })))
    }
}

#[derive(Clone)]
struct Model {
    input: Arc<Input>,
    /// Lower factors of the covariances of the noise and of the stationary law.
    noise: Vec<f64>,
    stationary: Vec<f64>,
    returns: Vec<f64>,
    return_factor: Vec<f64>,
    independent: bool,
}

impl StateSpace for Model {
    fn coordinates(&self) -> Vec<String> {
        (0..self.input.mean.len()).map(|i| format!("log_variance_{i}")).collect()
    }

    fn components(&self) -> Vec<String> {
        (0..self.input.mean.len()).map(|i| format!("return_{i}")).collect()
    }

    fn flow(&self, data: &Arc<Observations>, _proposal: Proposal) -> Result<Box<dyn FeynmanKac>, Refusal> {
        let n = self.input.mean.len();
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        let (mut which, mut patterns) = (Vec::new(), Vec::new());
        for k in 0..data.len() {
            let rows: Vec<usize> = (0..n).filter(|&i| !data.at(k)[i].is_nan()).collect();
            let index = match known.get(&rows) {
                Some(&index) => index,
                None => {
                    let part: Vec<f64> =
                        rows.iter().flat_map(|&r| rows.iter().map(move |&c| self.returns[r * n + c])).collect();
                    let white = White::new(&part, rows.len())
                        .map_err(|row| ("return_correlation", format!("is not positive definite (row {row})")))?;
                    known.insert(rows.clone(), patterns.len());
                    patterns.push((rows, white));
                    patterns.len() - 1
                }
            };
            which.push(index);
        }
        Ok(Box::new(Flow { model: self.clone(), data: data.clone(), which, patterns }))
    }

    /// Independent returns are univariate models, each exact by quadrature.
    fn exact(&self, data: &Observations) -> Option<Exact> {
        let n = self.input.mean.len();
        if !self.independent {
            return None;
        }
        let mut exact = Exact::default();
        exact.means.resize(n * data.len(), 0.0);
        exact.variances.resize(n * data.len(), 0.0);
        for i in 0..n {
            let y: Vec<f64> = (0..data.len()).map(|k| data.at(k)[i]).collect();
            let (mu, phi, sigma) = (self.input.mean[i], self.input.persistence[i], self.input.volatility[i]);
            let model = quadrature::StochasticVolatility { mu, phi, sigma, y: &y };
            if model.work(4.0) > quadrature::SMALL {
                return None;
            }
            let found = model.solve(4.0, false);
            exact.log_evidence += found.log_evidence;
            for (k, (mean, variance)) in found.filtered.into_iter().enumerate() {
                exact.means[k * n + i] = mean;
                exact.variances[k * n + i] = variance;
            }
        }
        Some(exact)
    }
}

struct Flow {
    model: Model,
    data: Arc<Observations>,
    which: Vec<usize>,
    /// Observed components, and the density of their η.
    patterns: Vec<(Vec<usize>, White)>,
}

impl Flow {
    /// x += L ξ.
    fn add_noise(&self, factor: &[f64], at: &Draws, x: &mut Tile<'_>) {
        let n = self.model.input.mean.len();
        let mut noise = [0.0; TILE];
        let noise = &mut noise[..x.len()];
        for j in 0..n {
            at.normals(j as u32, noise);
            (j..n).for_each(|i| axpy(at.level, factor[i * n + j], noise, x.coordinate_mut(i)));
        }
    }
}

impl FeynmanKac for Flow {
    fn dimension(&self) -> usize {
        self.model.input.mean.len()
    }

    fn horizon(&self) -> usize {
        self.data.len()
    }

    fn initial(&self, at: &Draws, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        for (x, mean) in x.coordinates_mut().zip(&self.model.input.mean) {
            x.fill(*mean);
        }
        self.add_noise(&self.model.stationary, at, x);
    }

    fn mutate(&self, _step: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, _log_weight: &mut [f64]) {
        let Input { mean, persistence, .. } = &*self.model.input;
        for (i, x) in x.coordinates_mut().enumerate() {
            x.fill(mean[i] - persistence[i] * mean[i]);
            axpy(at.level, persistence[i], previous.coordinate(i), x);
        }
        self.add_noise(&self.model.noise, at, x);
    }

    fn log_potential(&self, step: usize, _previous: View<'_>, x: View<'_>, log_weight: &mut [f64]) {
        let (rows, white) = &self.patterns[self.which[step]];
        let level = x.level();
        let n = x.len();
        let mut residuals = Vec::with_capacity(rows.len());
        for &i in rows {
            let y = self.data.at(step)[i];
            let x = x.coordinate(i);
            let mut z = vec![0.0; n];
            let out = &mut z[..n];
            crate::enter!(level, S => for k in 0..n { out[k] = y * S::exp(-0.5 * x[k]) });
            axpy(level, -0.5, x, log_weight);
            residuals.push(z);
        }
        if !rows.is_empty() {
            white.add(level, &residuals, 1.0, log_weight);
        }
    }

    fn has_transition(&self) -> bool {
        true
    }

    fn log_transition(&self, _step: usize, previous: View<'_>, x: &[f64], value: &mut [f64]) {
        let Input { mean, persistence, .. } = &*self.model.input;
        let n = mean.len();
        let mut z: Vec<Vec<f64>> = Vec::with_capacity(n);
        for i in 0..n {
            let mut e = vec![x[i] - mean[i] + persistence[i] * mean[i]; previous.len()];
            axpy(previous.level(), -persistence[i], previous.coordinate(i), &mut e);
            for (j, z) in z.iter().enumerate() {
                axpy(previous.level(), -self.model.noise[i * n + j], z, &mut e);
            }
            let scale = 1.0 / self.model.noise[i * n + i];
            e.iter_mut().for_each(|e| *e *= scale);
            value.iter_mut().zip(&e).for_each(|(v, e)| *v -= 0.5 * e * e);
            z.push(e);
        }
    }

    fn log_ratio(&self, _step: usize, _previous: View<'_>, _x: View<'_>, _log_weight: &mut [f64]) -> bool {
        true
    }

    fn observe(&self, _step: usize, at: &Draws, x: View<'_>, y: &mut Tile<'_>) -> bool {
        let n = self.model.input.mean.len();
        let mut noise = [0.0; TILE];
        let noise = &mut noise[..x.len()];
        y.coordinates_mut().for_each(|y| y.fill(0.0));
        for j in 0..n {
            at.normals(j as u32, noise);
            (j..n).for_each(|i| axpy(at.level, self.model.return_factor[i * n + j], noise, y.coordinate_mut(i)));
        }
        for i in 0..n {
            let (x, y) = (x.coordinate(i), y.coordinate_mut(i));
            crate::enter!(at.level, S => for k in 0..y.len() { y[k] *= S::exp(0.5 * x[k]) });
        }
        true
    }
}
