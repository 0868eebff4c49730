//! A mixture of Gaussians as the likelihood of a sampler, with a prior N(0, s²I): the posterior is a mixture with known
//! evidence, means and weights. One component is a Gaussian posterior.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear::{White, axpy};
use super::prior::NormalPrior;
use super::{About, Built, BuiltIn, ReadFile, Refusal, Sampler, positive};
use crate::math::dense;
use crate::math::elementary::ln;
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, Target, Tile, View};
use crate::solvers::smc::exact::conjugate;

/// One component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Weights need not sum to 1: they are normalised.
    #[serde(default = "one")]
    pub weight: f64,
    pub mean: Vec<f64>,
    /// Standard deviation of every coordinate; or give `covariance`.
    #[serde(default)]
    pub sd: Option<f64>,
    #[serde(default)]
    pub covariance: Option<Vec<Vec<f64>>>,
}

/// Prior N(0, s²I), likelihood Σ w_i N(x; m_i, S_i).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// s.
    #[serde(default = "ten")]
    pub prior_sd: f64,
    pub components: Vec<Component>,
}

fn one() -> f64 {
    1.0
}

fn ten() -> f64 {
    10.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "gaussian_mixture",
        summary: "sampler: prior N(0, s²I), likelihood a mixture of Gaussians; evidence and moments known",
    };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        positive("prior_sd", self.prior_sd)?;
        let Some(first) = self.components.first() else {
            return Err(("components", "needs at least one component".into()));
        };
        let n = first.mean.len();
        if n == 0 {
            return Err(("components", "[0].mean needs at least one entry".into()));
        }
        let total: f64 = self.components.iter().map(|c| c.weight).sum();
        let mut parts = Vec::new();
        for (i, c) in self.components.iter().enumerate() {
            let refuse = |message: String| Err(("components", format!("[{i}]{message}")));
            if !(c.weight > 0.0 && c.weight.is_finite()) {
                return refuse(format!(".weight = {} must be positive", c.weight));
            }
            if c.mean.len() != n {
                return refuse(format!(".mean must have {n} entries like the first; here are {}", c.mean.len()));
            }
            let covariance = match (&c.sd, &c.covariance) {
                (Some(sd), None) if *sd > 0.0 && sd.is_finite() => {
                    dense::identity(n).iter().map(|x| x * sd * sd).collect::<Vec<f64>>()
                }
                (Some(sd), None) => return refuse(format!(".sd = {sd} must be positive")),
                (None, Some(rows)) if rows.len() == n && rows.iter().all(|r| r.len() == n) => rows.concat(),
                (None, Some(_)) => return refuse(format!(".covariance must be {n} × {n}")),
                _ => return refuse(": give sd or covariance, one of them".into()),
            };
            if let Err(row) = dense::cholesky(&covariance, n) {
                return refuse(format!(".covariance must be positive definite; it is not at row {row}"));
            }
            parts.push(conjugate::Component { weight: c.weight / total, mean: c.mean.clone(), covariance });
        }
        let indefinite = |row| ("components", format!("a covariance is not positive definite (row {row})"));
        let (posterior, _) = conjugate::mixture(self.prior_sd, &parts).map_err(indefinite)?;
        let lobes = parts.iter().map(|p| Lobe::new(p).map_err(indefinite)).collect::<Result<Vec<Lobe>, _>>()?;
        let variances = (0..n).map(|i| posterior.covariance[i * n + i]).collect();
        Ok(Built::Sampler(Sampler {
            target: Box::new(Mixture { prior: NormalPrior { dimension: n, sd: self.prior_sd }, lobes }),
            coordinates: (0..n).map(|i| format!("x{i}")).collect(),
            log_evidence: Some(posterior.log_evidence),
            moments: Some((posterior.mean, variances)),
            outcomes: None,
        }))
    }
}

struct Lobe {
    log_weight: f64,
    mean: Vec<f64>,
    white: White,
    /// S⁻¹.
    precision: Vec<f64>,
}

impl Lobe {
    fn new(part: &conjugate::Component) -> Result<Lobe, usize> {
        let n = part.mean.len();
        let factor = dense::cholesky(&part.covariance, n)?;
        Ok(Lobe {
            log_weight: ln(part.weight),
            mean: part.mean.clone(),
            white: White::new(&part.covariance, n)?,
            precision: dense::inverse(&factor, n),
        })
    }

    /// x − m.
    fn residuals(&self, x: View<'_>) -> Vec<Vec<f64>> {
        let one = |(d, m): (usize, &f64)| x.coordinate(d).iter().map(|x| x - m).collect();
        self.mean.iter().enumerate().map(one).collect()
    }
}

struct Mixture {
    prior: NormalPrior,
    lobes: Vec<Lobe>,
}

impl Mixture {
    /// ln w_i + ln N(x; m_i, S_i) of each component.
    fn logs(&self, x: View<'_>) -> Vec<Vec<f64>> {
        let one = |lobe: &Lobe| {
            let mut value = vec![lobe.log_weight; x.len()];
            lobe.white.add(x.level(), &lobe.residuals(x), 1.0, &mut value);
            value
        };
        self.lobes.iter().map(one).collect()
    }
}

impl Target for Mixture {
    fn dimension(&self) -> usize {
        self.prior.dimension
    }

    fn draw_prior(&self, at: &Draws, x: &mut Tile<'_>) {
        self.prior.draw(at, x);
    }

    fn log_prior(&self, x: View<'_>, value: &mut [f64]) {
        self.prior.add(x, 1.0, value);
    }

    fn log_likelihood(&self, x: View<'_>, value: &mut [f64]) {
        let logs = self.logs(x);
        let mut top = logs[0].clone();
        for l in &logs[1..] {
            top.iter_mut().zip(l).for_each(|(t, l)| *t = t.max(*l));
        }
        let mut sum = vec![0.0; x.len()];
        let (top, sum) = (&top[..], &mut sum[..]);
        let n = x.len();
        for l in &logs {
            let l = &l[..n];
            crate::enter!(x.level(), S => for k in 0..n { sum[k] += S::exp(l[k] - top[k]) });
        }
        crate::enter!(x.level(), S => for k in 0..n { value[k] += top[k] + S::ln(sum[k]) });
    }

    fn has_gradients(&self) -> bool {
        true
    }

    fn gradients(&self, x: View<'_>, prior: &mut Tile<'_>, likelihood: &mut Tile<'_>) {
        self.prior.add_gradient(x, 1.0, prior);
        let n = self.prior.dimension;
        let mut logs = self.logs(x);
        let mut total = vec![0.0; x.len()];
        self.log_likelihood(x, &mut total);
        for (lobe, share) in self.lobes.iter().zip(&mut logs) {
            let (share, total) = (&mut share[..], &total[..]);
            crate::enter!(x.level(), S => for k in 0..total.len() { share[k] = S::exp(share[k] - total[k]) });
            let mut residuals = lobe.residuals(x);
            for r in &mut residuals {
                r.iter_mut().zip(&*share).for_each(|(r, s)| *r *= s);
            }
            for i in 0..n {
                for (j, r) in residuals.iter().enumerate() {
                    axpy(x.level(), -lobe.precision[i * n + j], r, likelihood.coordinate_mut(i));
                }
            }
        }
    }

    fn gaussian_prior(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        Some(self.prior.moments())
    }
}
