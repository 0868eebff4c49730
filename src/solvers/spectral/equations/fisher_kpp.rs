//! The Fisher–KPP equation u_t = D Δu + r u (1 − u).

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, mean, middle, plateau, square, varying};
use super::scalar::{Operator, Scalar, Single};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, parameter, positive};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::equation::{Equation, FieldName, Quadratic};

/// Fisher–KPP: u_t = D Δu + r u (1 − u).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Diffusivity D > 0, in length²/time. Default 1.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub diffusivity: f64,
    /// Growth rate r > 0, in 1/time. Default 1.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub growth: f64,
}

fn one() -> f64 {
    1.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "fisher_kpp",
        summary: "Fisher–KPP: u_t = D Δu + r u (1 − u)",
        dimensions: &[1, 2, 3],
        complex: false,
        initials: &[
            Named {
                word: "bump",
                summary: "a Gaussian in the middle of the box: spreads at the speed 2√(rD)",
                parameters: &[
                    parameter("height", 0.5, "largest value"),
                    parameter("width", 0.05, "standard deviation as a fraction of the length along x"),
                ],
            },
            Named {
                word: "fronts",
                summary: "exact but for their overlap: two fronts (1 + e^(√(r/6D) x − 5rt/6))^(−2) that run outwards along x \
                          [AblowitzZeppetella1979]; overlap e^(−√(r/6D) distance), distance the gap between them either way",
                parameters: &[parameter("gap", 0.5, "distance between the fronts as a fraction of the length")],
            },
        ],
    };

    fn build<T: Real>(&self, _domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        positive("diffusivity", self.diffusivity)?;
        positive("growth", self.growth)?;
        Ok(Arc::new(Single(Fisher { input: self.clone(), field: [FieldName::new("u", "population")] })))
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let length = domain.own()[0].length;
        if word == "bump" {
            let (height, width) = (values.get("height"), values.get("width") * length);
            if width <= 0.0 {
                return Err(("parameters", format!("width = {} must be positive", values.get("width"))));
            }
            let axes: Vec<_> = varying(domain).map(|a| (along(domain, a), middle(domain, a))).collect();
            return Ok(Initial::new(false, move |_, x, u| {
                let rr: f64 = axes.iter().map(|(along, middle)| (along(x) - middle) * (along(x) - middle)).sum();
                u[0] = height * exp(-0.5 * rr / (width * width));
            }));
        }
        let (x_of, middle, half_gap) = (along(domain, 0), middle(domain, 0), 0.5 * values.get("gap") * length);
        let (steepness, rate) = ((self.growth / (6.0 * self.diffusivity)).sqrt(), 5.0 / 6.0 * self.growth);
        Ok(Initial::new(true, move |t, x, u| {
            let edge = |x: f64| {
                let e = 1.0 + exp(steepness * (x - half_gap) - rate * t);
                1.0 / (e * e)
            };
            u[0] = plateau(x_of(x) - middle, length, edge);
        }))
    }
}

struct Fisher {
    input: Input,
    field: [FieldName; 1],
}

impl Scalar for Fisher {
    const REAL: bool = true;
    const DEGREE: u32 = 2;

    fn field(&self) -> &[FieldName; 1] {
        &self.field
    }

    fn linear(&self, k: [f64; 3]) -> Complex<f64> {
        Complex::new(self.input.growth - self.input.diffusivity * square(k), 0.0)
    }

    fn polynomial<T: Real>(&self, u: T) -> T {
        T::of(-self.input.growth) * (u * u)
    }

    fn operator(&self) -> Operator {
        Operator::Identity
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "mass", units: "1", meaning: "mean of u" },
            Quadratic {
                name: "production",
                units: "1/time",
                meaning: "mean of r u (1 − u): the rate of the mass without problem.forcing",
            },
        ]
    }

    fn densities(&self, k: [f64; 3], u: Complex<f64>, _rate: Complex<f64>, out: &mut [f64]) {
        out[0] = mean(k, u);
        out[1] = self.input.growth * (mean(k, u) - u.norm_sqr());
    }
}
