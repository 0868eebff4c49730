//! The Allen–Cahn equation u_t = ε² Δu + u − u³, and Nagumo's, u_t = ε² Δu + u (1 − u)(u − a).

use std::f64::consts::SQRT_2;
use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, mean, middle, plateau, square, unit};
use super::scalar::{Operator, Scalar, Single};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, parameter, positive};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::equation::{Equation, FieldName, Quadratic};

/// Allen–Cahn: u_t = ε² Δu + u − u³; with a threshold a, Nagumo's u_t = ε² Δu + u (1 − u)(u − a).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Width ε > 0 of the interfaces. No default.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub interface_width: f64,
    /// Threshold a of Nagumo's reaction. Default: none, the double well u − u³.
    #[serde(default)]
    pub threshold: Option<f64>,
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "allen_cahn",
        summary: "Allen–Cahn: u_t = ε² Δu + u − u³; or Nagumo's reaction u (1 − u)(u − a)",
        dimensions: &[1, 2, 3],
        complex: false,
        initials: &[
            Named {
                word: "cosine",
                summary: "amplitude · the sum of cos(2π waves x/length) over the axes",
                parameters: &[
                    parameter("amplitude", 0.5, "of each axis"),
                    parameter("waves", 2.0, "whole waves along each axis"),
                ],
            },
            Named {
                word: "fronts",
                summary: "two facing fronts at a distance of half the box along x, steady (double well: tanh(x/(√2 ε))) or \
                          moving at ε(1 − 2a)/√2 (Nagumo); exact but for their overlap e^(−distance/(√2 ε))",
                parameters: &[],
            },
        ],
    };

    fn build<T: Real>(&self, _domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        positive("interface_width", self.interface_width)?;
        if let Some(a) = self.threshold
            && !a.is_finite()
        {
            return Err(("threshold", format!("threshold = {a} is not finite")));
        }
        Ok(Arc::new(Single(AllenCahn { input: self.clone(), field: [FieldName::new("u", "order parameter")] })))
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let (x_of, length) = (along(domain, 0), domain.own()[0].length);
        let middle = middle(domain, 0);
        if word == "cosine" {
            let (amplitude, waves) = (values.get("amplitude"), values.waves("waves", domain, 0..domain.dimension)?);
            let axes: Vec<_> = (0..domain.dimension).map(|a| (waves * unit(domain, a), along(domain, a))).collect();
            return Ok(Initial::new(false, move |_, x, u| {
                u[0] = amplitude * axes.iter().map(|(k, along)| libm::cos(k * along(x))).sum::<f64>();
            }));
        }
        let width = SQRT_2 * positive("interface_width", self.interface_width)?;
        Ok(match self.threshold {
            None => Initial::new(true, move |_, x, u| {
                let edge = |x: f64| 0.5 - 0.5 * libm::tanh((x - 0.25 * length) / width);
                u[0] = 2.0 * plateau(x_of(x) - middle, length, edge) - 1.0;
            }),
            Some(a) => {
                // 1 in the middle; each front moves outwards at v where a < ½.
                let v = 0.5 * width * (1.0 - 2.0 * a);
                Initial::new(true, move |t, x, u| {
                    let edge = |x: f64| 1.0 / (1.0 + exp((x - 0.25 * length - v * t) / width));
                    u[0] = plateau(x_of(x) - middle, length, edge);
                })
            }
        })
    }
}

struct AllenCahn {
    input: Input,
    field: [FieldName; 1],
}

impl Scalar for AllenCahn {
    const REAL: bool = true;
    const DEGREE: u32 = 3;

    fn field(&self) -> &[FieldName; 1] {
        &self.field
    }

    fn linear(&self, k: [f64; 3]) -> Complex<f64> {
        let width = self.input.interface_width;
        let growth = self.input.threshold.map_or(1.0, |a| -a);
        Complex::new(growth - width * width * square(k), 0.0)
    }

    fn polynomial<T: Real>(&self, u: T) -> T {
        let quadratic = T::of(self.input.threshold.map_or(0.0, |a| 1.0 + a));
        u * u * (quadratic - u)
    }

    fn operator(&self) -> Operator {
        Operator::Identity
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        let mut list = vec![
            Quadratic { name: "mean", units: "1", meaning: "mean of u" },
            Quadratic { name: "square", units: "1", meaning: "mean of u²" },
            Quadratic {
                name: "dissipation",
                units: "1/time",
                meaning: "mean of u_t² without problem.forcing: minus the rate of the free energy",
            },
        ];
        if self.input.threshold.is_none() {
            let meaning = "mean of ε²|∇u|²/2 + (1 − u²)²/4";
            list.push(Quadratic { name: "free_energy", units: "1", meaning });
        }
        list
    }

    fn densities(&self, k: [f64; 3], u: Complex<f64>, rate: Complex<f64>, out: &mut [f64]) {
        let linear = self.linear(k);
        out[0] = mean(k, u);
        out[1] = u.norm_sqr();
        out[2] = (rate + linear * u).norm_sqr();
        if let Some(energy) = out.get_mut(3) {
            // N = −u³, so that −⟨u N⟩ = ⟨u⁴⟩: exact where N is not aliased.
            let constant = if k == [0.0; 3] { 0.25 } else { 0.0 };
            *energy = -0.5 * linear.re * u.norm_sqr() - 0.25 * (u.conj() * rate).re + constant;
        }
    }
}
