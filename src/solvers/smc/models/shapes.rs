//! Densities that are hard to sample, of known evidence and moments: the bent Gaussian and the funnel.
//!
//! A sampler goes from N(0, s²I) to the density itself, so that its evidence is 1: the likelihood is the ratio of the two.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::prior::NormalPrior;
use super::{About, Built, BuiltIn, ReadFile, Refusal, Sampler, positive};
use crate::math::dense::LOG_2_PI;
use crate::math::elementary::{exp, ln};
use crate::math::simd::scalar::Scalar;
use crate::particles::{Draws, Target, Tile, View};

/// The banana [HaarioSaksmanTamminen1999] or the funnel [Neal2003].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Which density.
    pub shape: Shape,
    /// Coordinates, ≥ 2.
    #[serde(default = "two")]
    pub dimension: usize,
    /// s: standard deviation of the starting law.
    #[serde(default = "five")]
    pub prior_sd: f64,
}

/// The density.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// x_0 ~ N(0, sd²), x_1 ~ N(bend (x_0² − sd²), 1), the others N(0, 1).
    Banana {
        #[serde(default = "two_wide")]
        sd: f64,
        #[serde(default = "half")]
        bend: f64,
    },
    /// x_0 ~ N(0, sd²), the others N(0, e^{x_0}).
    Funnel {
        #[serde(default = "one")]
        sd: f64,
    },
}

fn two() -> usize {
    2
}

fn five() -> f64 {
    5.0
}

fn two_wide() -> f64 {
    2.0
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

impl BuiltIn for Input {
    const ABOUT: About =
        About { word: "shape", summary: "sampler: a banana or a funnel, evidence 1 and known moments" };

    fn build(&self, _read: &ReadFile<'_>) -> Result<Built, Refusal> {
        positive("prior_sd", self.prior_sd)?;
        if self.dimension < 2 {
            return Err(("dimension", format!("dimension = {} must be at least 2", self.dimension)));
        }
        let n = self.dimension;
        let (mut variances, sd) = match self.shape {
            Shape::Banana { sd, bend } => {
                if !bend.is_finite() {
                    return Err(("shape", format!("bend = {bend} must be finite")));
                }
                let mut variances = vec![1.0; n];
                variances[1] += 2.0 * bend * bend * sd * sd * sd * sd;
                (variances, sd)
            }
            Shape::Funnel { sd } => (vec![exp(0.5 * sd * sd); n], sd),
        };
        if !(sd > 0.0 && sd.is_finite()) {
            return Err(("shape", format!("sd = {sd} must be positive")));
        }
        variances[0] = sd * sd;
        Ok(Built::Sampler(Sampler {
            target: Box::new(Shaped { shape: self.shape, prior: NormalPrior { dimension: n, sd: self.prior_sd } }),
            coordinates: (0..n).map(|i| format!("x{i}")).collect(),
            log_evidence: Some(0.0),
            moments: Some((vec![0.0; n], variances)),
            outcomes: None,
        }))
    }
}

struct Shaped {
    shape: Shape,
    prior: NormalPrior,
}

impl Shaped {
    /// value += ln of the density.
    fn add_density(&self, x: View<'_>, value: &mut [f64]) {
        let n = self.prior.dimension;
        let level = x.level();
        let first = x.coordinate(0);
        let count = first.len();
        match self.shape {
            Shape::Banana { sd, bend } => {
                let constant = -0.5 * n as f64 * LOG_2_PI - ln(sd);
                let (scale, square) = (-0.5 / (sd * sd), sd * sd);
                let second = x.coordinate(1);
                crate::enter!(level, S => for k in 0..count {
                    let off = second[k] - bend * (first[k] * first[k] - square);
                    value[k] += S::mul_add(scale * first[k], first[k], constant) - 0.5 * off * off;
                });
                for d in 2..n {
                    let c = x.coordinate(d);
                    crate::enter!(level, S => for k in 0..count { value[k] = S::mul_add(-0.5 * c[k], c[k], value[k]) });
                }
            }
            Shape::Funnel { sd } => {
                let constant = -0.5 * n as f64 * LOG_2_PI - ln(sd);
                let scale = -0.5 / (sd * sd);
                let others = -0.5 * (n - 1) as f64;
                for d in 1..n {
                    let c = x.coordinate(d);
                    crate::enter!(level, S => for k in 0..count {
                        value[k] -= 0.5 * c[k] * c[k] * S::exp(-first[k]);
                    });
                }
                crate::enter!(level, S => for k in 0..count {
                    value[k] += S::mul_add(scale * first[k], first[k], S::mul_add(others, first[k], constant));
                });
            }
        }
    }
}

impl Target for Shaped {
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
        self.add_density(x, value);
        self.prior.add(x, -1.0, value);
    }

    fn has_gradients(&self) -> bool {
        true
    }

    fn gradients(&self, x: View<'_>, prior: &mut Tile<'_>, likelihood: &mut Tile<'_>) {
        self.prior.add_gradient(x, 1.0, prior);
        self.prior.add_gradient(x, -1.0, likelihood);
        let n = self.prior.dimension;
        let first = x.coordinate(0);
        match self.shape {
            Shape::Banana { sd, bend } => {
                let second = x.coordinate(1);
                let [a, b] = likelihood.some_mut([0, 1]);
                for k in 0..first.len() {
                    let off = second[k] - bend * (first[k] * first[k] - sd * sd);
                    a[k] += 2.0 * bend * first[k] * off - first[k] / (sd * sd);
                    b[k] -= off;
                }
                for d in 2..n {
                    let (c, g) = (x.coordinate(d), likelihood.coordinate_mut(d));
                    g.iter_mut().zip(c).for_each(|(g, c)| *g -= c);
                }
            }
            Shape::Funnel { sd } => {
                for d in 1..n {
                    let c = x.coordinate(d);
                    let [a, g] = likelihood.some_mut([0, d]);
                    crate::enter!(x.level(), S => for k in 0..c.len() {
                        let pull = c[k] * S::exp(-first[k]);
                        g[k] -= pull;
                        a[k] = S::mul_add(0.5 * c[k], pull, a[k]);
                    });
                }
                let a = likelihood.coordinate_mut(0);
                for (a, v) in a.iter_mut().zip(first) {
                    *a -= 0.5 * (n - 1) as f64 + v / (sd * sd);
                }
            }
        }
    }

    fn gaussian_prior(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        Some(self.prior.moments())
    }
}
