//! Bayesian logistic regression: P(y = 1) = 1/(1 + e^{−xᵀβ}), β ~ N(0, s²I).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cases::{BLOCK, Columns, Outcomes, blocks, linear_form};
use super::prior::NormalPrior;
use super::{About, Built, BuiltIn, ReadFile, Refusal, Sampler, Table, positive};
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, Target, Tile, View};
#[cfg(test)]
use crate::solvers::smc::exact::laplace::Smooth;

/// Labels and features from a table of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// CSV, npy or HDF5: one row per case.
    pub file: String,
    /// The dataset of an HDF5 file.
    #[serde(default)]
    pub dataset: Option<String>,
    /// Column of the label, 0 or 1; the others are features.
    #[serde(default)]
    pub label: usize,
    /// Columns of the features; absent: all but the label.
    #[serde(default)]
    pub features: Option<Vec<usize>>,
    /// Subtract the mean of each feature and divide by its standard deviation.
    #[serde(default = "yes")]
    pub standardise: bool,
    /// A coefficient for the constant 1, before the others.
    #[serde(default = "yes")]
    pub intercept: bool,
    /// s: standard deviation of every coefficient.
    #[serde(default = "five")]
    pub prior_sd: f64,
}

fn yes() -> bool {
    true
}

fn five() -> f64 {
    5.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "logistic_regression",
        summary: "sampler: coefficients of a logistic regression with a normal prior, data from a file",
    };

    fn build(&self, read: &ReadFile<'_>) -> Result<Built, Refusal> {
        let (target, outcomes) = self.target(read)?;
        let p = target.prior.dimension;
        Ok(Built::Sampler(Sampler {
            target: Box::new(target),
            coordinates: (0..p).map(|i| format!("beta{i}")).collect(),
            log_evidence: None,
            moments: None,
            outcomes: Some(outcomes),
        }))
    }
}

impl Input {
    pub(super) fn target(&self, read: &ReadFile<'_>) -> Result<(Regression, Outcomes), Refusal> {
        positive("prior_sd", self.prior_sd)?;
        let table = read("file", &self.file, self.dataset.as_deref())?;
        if self.label >= table.columns {
            let message = format!("label = {} is no column: the file has {} (from 0)", self.label, table.columns);
            return Err(("label", message));
        }
        let features: Vec<usize> = match &self.features {
            None => (0..table.columns).filter(|&c| c != self.label).collect(),
            Some(list) => {
                if let Some(c) = list.iter().find(|&&c| c >= table.columns || c == self.label) {
                    let message = format!(
                        "{c} is no feature: columns are 0 … {}, {} is the label",
                        table.columns - 1,
                        self.label
                    );
                    return Err(("features", message));
                }
                list.clone()
            }
        };
        let columns = self.columns(&table, features)?;
        let cases = columns.cases(&table)?;
        if let Some(r) = cases.labels.iter().position(|label| label.is_nan()) {
            return Err(("label", format!("row {r}: the label NaN must be 0 or 1")));
        }
        let prior = NormalPrior { dimension: cases.width, sd: self.prior_sd };
        // The likelihood is Σ −ln(1 + e^{−s xᵀβ}), s = ±1 the label.
        let target = Regression { prior, design: cases.rows.clone() };
        Ok((target, Outcomes { columns, cases }))
    }

    /// What becomes of the columns of the data.
    fn columns(&self, table: &Table, features: Vec<usize>) -> Result<Columns, Refusal> {
        let rows = table.rows as f64;
        let of = |c: usize| table.values.iter().skip(c).step_by(table.columns).copied();
        let mut scales = Vec::with_capacity(features.len());
        for &c in &features {
            if let Some((r, x)) = of(c).enumerate().find(|(_, x)| !x.is_finite()) {
                return Err(("file", format!("row {r}, column {c}: {x} must be finite")));
            }
            if !self.standardise {
                scales.push((0.0, 1.0));
                continue;
            }
            let mean = of(c).sum::<f64>() / rows;
            let variance = of(c).map(|x| (x - mean) * (x - mean)).sum::<f64>() / rows;
            if variance.sqrt() <= 1e-14 * mean.abs() {
                return Err(("file", format!("column {c} is constant: it cannot be standardised")));
            }
            scales.push((mean, variance.sqrt()));
        }
        if features.is_empty() && !self.intercept {
            return Err(("features", "there is no coefficient: no feature and no intercept".into()));
        }
        let (width, label) = (table.columns, self.label);
        Ok(Columns { width, label, features, scales, intercept: self.intercept })
    }
}

/// The target.
pub(super) struct Regression {
    prior: NormalPrior,
    /// s_r x_r, row by row.
    design: Arc<Vec<f64>>,
}

/// Rows whose factors 1 + e^{−|η|} ≤ 2 are multiplied before one logarithm.
const ROWS: usize = 512;

impl Target for Regression {
    fn dimension(&self) -> usize {
        self.prior.dimension
    }

    fn draw_prior(&self, at: &Draws, x: &mut Tile<'_>) {
        self.prior.draw(at, x);
    }

    fn log_prior(&self, x: View<'_>, value: &mut [f64]) {
        self.prior.add(x, 1.0, value);
    }

    /// −Σ ln(1 + e^{−η}) = −Σ [max(−η, 0) + ln(1 + e^{−|η|})].
    fn log_likelihood(&self, x: View<'_>, value: &mut [f64]) {
        let p = self.prior.dimension;
        for block in blocks(x) {
            let value = &mut value[block.clone()];
            crate::enter!(x.level(), S => {
                let mut eta = [0.0f64; BLOCK];
                let mut product = [1.0f64; BLOCK];
                let (mut linear, mut logs) = ([0.0f64; BLOCK], [0.0f64; BLOCK]);
                for rows in self.design.chunks(ROWS * p) {
                    for row in rows.chunks_exact(p) {
                        linear_form::<S>(row, x, &block, &mut eta);
                        for k in 0..BLOCK {
                            linear[k] += (-eta[k]).max(0.0);
                            product[k] *= 1.0 + S::exp(-eta[k].abs());
                        }
                    }
                    for k in 0..BLOCK {
                        logs[k] += S::ln(product[k]);
                        product[k] = 1.0;
                    }
                }
                for k in 0..block.len() {
                    value[k] -= linear[k] + logs[k];
                }
            });
        }
    }

    fn has_gradients(&self) -> bool {
        true
    }

    /// Σ s x/(1 + e^{η}).
    fn gradients(&self, x: View<'_>, prior: &mut Tile<'_>, likelihood: &mut Tile<'_>) {
        self.prior.add_gradient(x, 1.0, prior);
        let p = self.prior.dimension;
        let mut sums = vec![[0.0f64; BLOCK]; p];
        for block in blocks(x) {
            sums.iter_mut().for_each(|s| s.fill(0.0));
            crate::enter!(x.level(), S => {
                let mut eta = [0.0f64; BLOCK];
                for row in self.design.chunks_exact(p) {
                    linear_form::<S>(row, x, &block, &mut eta);
                    for k in 0..BLOCK {
                        eta[k] = 1.0 / (1.0 + S::exp(eta[k]));
                    }
                    for (a, sum) in row.iter().zip(&mut sums) {
                        for k in 0..BLOCK {
                            sum[k] = S::mul_add(*a, eta[k], sum[k]);
                        }
                    }
                }
            });
            for (d, sum) in sums.iter().enumerate() {
                let g = &mut likelihood.coordinate_mut(d)[block.clone()];
                g.iter_mut().zip(sum).for_each(|(g, s)| *g += s);
            }
        }
    }

    fn gaussian_prior(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        Some(self.prior.moments())
    }
}

#[cfg(test)]
impl Smooth for Regression {
    fn dimension(&self) -> usize {
        self.prior.dimension
    }

    /// One row after the other, with the library's functions: the slow twin.
    fn log_density(&self, b: &[f64]) -> f64 {
        use crate::math::elementary::{exp, ln, ln_1p};
        let sd = self.prior.sd;
        let prior: f64 = b.iter().map(|b| -0.5 * (crate::math::dense::LOG_2_PI + b * b / (sd * sd)) - ln(sd)).sum();
        let eta = |row: &[f64]| row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>();
        let one = |row: &[f64]| (-eta(row)).max(0.0) + ln_1p(exp(-eta(row).abs()));
        prior - self.design.chunks_exact(b.len()).map(one).sum::<f64>()
    }

    fn derivatives(&self, b: &[f64], gradient: &mut [f64], hessian: &mut [f64]) {
        let p = b.len();
        let scale = 1.0 / (self.prior.sd * self.prior.sd);
        hessian.fill(0.0);
        for i in 0..p {
            gradient[i] = -b[i] * scale;
            hessian[i * p + i] = -scale;
        }
        for row in self.design.chunks_exact(p) {
            let eta: f64 = row.iter().zip(b).map(|(x, b)| x * b).sum();
            let miss = 1.0 / (1.0 + crate::math::elementary::exp(eta));
            for i in 0..p {
                gradient[i] += row[i] * miss;
                (0..p).for_each(|j| hessian[i * p + j] -= row[i] * row[j] * miss * (1.0 - miss));
            }
        }
    }
}
