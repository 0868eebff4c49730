//! The Cahn–Hilliard equation u_t = m Δ(u³ − u − ε² Δu).

use std::f64::consts::SQRT_2;
use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, inverse, mean, middle, plateau, square, unit};
use super::scalar::{Operator, Scalar, Single};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, held, parameter, positive};
use crate::math::real::Real;
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::equation::{Equation, FieldName, Quadratic};

/// Cahn–Hilliard: u_t = m Δ(u³ − u − ε² Δu).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Width ε > 0 of the interfaces. No default.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub interface_width: f64,
    /// Mobility m > 0. Default 1.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub mobility: f64,
}

fn one() -> f64 {
    1.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "cahn_hilliard",
        summary: "Cahn–Hilliard: u_t = m Δ(u³ − u − ε² Δu)",
        dimensions: &[1, 2, 3],
        complex: false,
        initials: &[
            Named {
                word: "cosines",
                summary: "mean + amplitude · the sum over the axes of cos(2π waves x/length) + ½ cos(2π (waves + 1) x/length)",
                parameters: &[
                    parameter("mean", 0.0, "mean composition"),
                    parameter("amplitude", 0.1, "of each axis"),
                    parameter("waves", 4.0, "whole waves along each axis"),
                ],
            },
            Named {
                word: "fronts",
                summary: "two facing fronts tanh(x/(√2 ε)) at a distance of half the box along x: steady but for their \
                          overlap e^(−length/(√2 ε))",
                parameters: &[],
            },
        ],
    };

    fn build<T: Real>(&self, _domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        positive("interface_width", self.interface_width)?;
        positive("mobility", self.mobility)?;
        Ok(Arc::new(Single(CahnHilliard { input: self.clone(), field: [FieldName::new("u", "composition")] })))
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let (x_of, length) = (along(domain, 0), domain.own()[0].length);
        let middle = middle(domain, 0);
        if word == "cosines" {
            let (mean, amplitude) = (values.get("mean"), values.get("amplitude"));
            let waves = values.waves("waves", domain, 0..domain.dimension)?;
            (0..domain.dimension).try_for_each(|a| held("parameters", waves + 1.0, domain, a))?;
            let axes: Vec<_> = (0..domain.dimension).map(|a| (unit(domain, a), along(domain, a))).collect();
            return Ok(Initial::new(false, move |_, x, u| {
                let wave = |angle: f64| libm::cos(waves * angle) + 0.5 * libm::cos((waves + 1.0) * angle);
                u[0] = mean + amplitude * axes.iter().map(|(q, along)| wave(q * along(x))).sum::<f64>();
            }));
        }
        let width = SQRT_2 * positive("interface_width", self.interface_width)?;
        Ok(Initial::new(true, move |_, x, u| {
            let edge = |x: f64| 0.5 - 0.5 * libm::tanh((x - 0.25 * length) / width);
            u[0] = 2.0 * plateau(x_of(x) - middle, length, edge) - 1.0;
        }))
    }
}

struct CahnHilliard {
    input: Input,
    field: [FieldName; 1],
}

impl Scalar for CahnHilliard {
    const REAL: bool = true;
    const DEGREE: u32 = 3;

    fn field(&self) -> &[FieldName; 1] {
        &self.field
    }

    fn linear(&self, k: [f64; 3]) -> Complex<f64> {
        let (kk, width) = (square(k), self.input.interface_width);
        Complex::new(self.input.mobility * kk * (1.0 - width * width * kk), 0.0)
    }

    fn polynomial<T: Real>(&self, u: T) -> T {
        T::of(self.input.mobility) * (u * u * u)
    }

    fn operator(&self) -> Operator {
        Operator::Laplacian
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "mass", units: "1", meaning: "mean of u" },
            Quadratic { name: "variance", units: "1", meaning: "mean square of u about its mean" },
            Quadratic { name: "gradient_energy", units: "1", meaning: "mean of ε²|∇u|²/2" },
            Quadratic {
                name: "dissipation",
                units: "1/time",
                meaning: "m times the mean of |∇μ|², μ = u³ − u − ε² Δu: minus the rate of the free energy without problem.forcing",
            },
        ]
    }

    fn densities(&self, k: [f64; 3], u: Complex<f64>, rate: Complex<f64>, out: &mut [f64]) {
        let (kk, width) = (square(k), self.input.interface_width);
        out[0] = mean(k, u);
        out[1] = if kk > 0.0 { u.norm_sqr() } else { 0.0 };
        out[2] = 0.5 * width * width * kk * u.norm_sqr();
        // u_t = −m k² μ, so that m k² |μ|² = |u_t|²/(m k²).
        out[3] = (rate + self.linear(k) * u).norm_sqr() * inverse(kk) / self.input.mobility;
    }
}
