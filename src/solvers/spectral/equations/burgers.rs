//! Burgers' equation, u_t + u u_x = ν u_xx, in conservative form: one transform each way.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, mean, square, unit};
use super::scalar::{Operator, Scalar, Single};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, not_negative, parameter};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::equation::{Equation, FieldName, Quadratic};

/// Burgers' equation u_t + u u_x = ν u_xx.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Viscosity ν ≥ 0, in length²/time. No default.
    #[schemars(extend("minimum" = 0))]
    pub viscosity: f64,
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "burgers",
        summary: "Burgers: u_t + u u_x = ν u_xx",
        dimensions: &[1],
        complex: false,
        initials: &[
            Named {
                word: "sine",
                summary: "amplitude · sin(2π x/length)",
                parameters: &[parameter("amplitude", 1.0, "largest value")],
            },
            Named {
                word: "cole_hopf",
                summary: "exact: 2νk e^(−νk²t) sin kx / (offset + e^(−νk²t) cos kx), k = 2π/length [Hopf1950]",
                parameters: &[parameter("offset", 2.0, "above 1; the nearer to 1, the steeper")],
            },
        ],
    };

    fn build<T: Real>(&self, _domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        not_negative("viscosity", self.viscosity)?;
        Ok(Arc::new(Single(Burgers {
            viscosity: self.viscosity,
            field: [FieldName::new("u", "velocity").in_units("length/time")],
        })))
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let (x_of, k, nu) = (along(domain, 0), unit(domain, 0), self.viscosity);
        if word == "sine" {
            let amplitude = values.get("amplitude");
            return Ok(Initial::new(false, move |_, x, u| u[0] = amplitude * libm::sin(k * x_of(x))));
        }
        let offset = values.get("offset");
        if offset <= 1.0 {
            return Err(("parameters", format!("offset = {offset} must be above 1: the solution has a pole")));
        }
        Ok(Initial::new(true, move |t, x, u| {
            let (sin, cos) = libm::sincos(k * x_of(x));
            let decay = exp(-nu * k * k * t);
            u[0] = 2.0 * nu * k * decay * sin / (offset + decay * cos);
        }))
    }
}

struct Burgers {
    viscosity: f64,
    field: [FieldName; 1],
}

impl Scalar for Burgers {
    const REAL: bool = true;
    const DEGREE: u32 = 2;

    fn field(&self) -> &[FieldName; 1] {
        &self.field
    }

    fn linear(&self, k: [f64; 3]) -> Complex<f64> {
        Complex::new(-self.viscosity * square(k), 0.0)
    }

    fn polynomial<T: Real>(&self, u: T) -> T {
        u * u
    }

    fn operator(&self) -> Operator {
        Operator::Derivative(-0.5)
    }

    fn speed(&self) -> f64 {
        1.0
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "momentum", units: "length/time", meaning: "mean of u" },
            Quadratic { name: "energy", units: "length²/time²", meaning: "mean of u²/2" },
            Quadratic { name: "dissipation", units: "length²/time³", meaning: "ν times the mean of u_x²" },
        ]
    }

    fn densities(&self, k: [f64; 3], u: Complex<f64>, _rate: Complex<f64>, out: &mut [f64]) {
        out[0] = mean(k, u);
        out[1] = 0.5 * u.norm_sqr();
        out[2] = self.viscosity * square(k) * u.norm_sqr();
    }
}
