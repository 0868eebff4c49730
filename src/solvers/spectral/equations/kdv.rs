//! The Korteweg–de Vries equation, u_t + a u u_x + b u_xxx = ν u_xx, in conservative form: one transform each way.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, mean, nearest_image, square, unit};
use super::scalar::{Operator, Scalar, Single};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, not_negative, parameter};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::Domain;
use crate::solvers::spectral::equation::{Equation, FieldName, Quadratic};

/// Korteweg–de Vries: u_t + a u u_x + b u_xxx = ν u_xx.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Factor a of u u_x, not zero. Default 6.
    #[serde(default = "six")]
    pub steepening: f64,
    /// Factor b of u_xxx, not zero. Default 1.
    #[serde(default = "one")]
    pub dispersion: f64,
    /// Viscosity ν ≥ 0 (Korteweg–de Vries–Burgers). Default 0.
    #[serde(default)]
    #[schemars(extend("minimum" = 0))]
    pub viscosity: f64,
}

fn six() -> f64 {
    6.0
}

fn one() -> f64 {
    1.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "kdv",
        summary: "Korteweg–de Vries: u_t + 6 u u_x + u_xxx = 0",
        dimensions: &[1],
        complex: false,
        initials: &[
            Named {
                word: "cosine",
                summary: "amplitude · cos(2π x/length): breaks into solitons [ZabuskyKruskal1965]",
                parameters: &[parameter("amplitude", 1.0, "largest value")],
            },
            Named {
                word: "soliton",
                summary: "exact on the line: (c/2) sech²(√c/2 (x − ct − x₀)) for a = 6, b = 1; error e^(−√c length/2) in a box",
                parameters: &[
                    parameter("speed", 4.0, "c > 0, in units of b"),
                    parameter("position", 0.25, "x₀ as a fraction of the length"),
                ],
            },
            Named {
                word: "two_solitons",
                summary: "exact on the line: u = 2 ∂²/∂x² ln F of two solitons [Hirota1971]; no periodic images",
                parameters: &[
                    parameter("fast_speed", 9.0, "speed of the one behind, in units of b"),
                    parameter("slow_speed", 4.0, "speed of the other, in units of b"),
                    parameter("fast_position", 0.25, "where it is without the other, as a fraction of the length"),
                    parameter("slow_position", 0.5, "where it is without the other, as a fraction of the length"),
                ],
            },
        ],
    };

    fn build<T: Real>(&self, _domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        for (key, value) in [("steepening", self.steepening), ("dispersion", self.dispersion)] {
            if value == 0.0 || !value.is_finite() {
                return Err((key, format!("{key} = {value} must be a number other than 0")));
            }
        }
        not_negative("viscosity", self.viscosity)?;
        Ok(Arc::new(Single(Kdv { input: self.clone(), field: [FieldName::new("u", "elevation")] })))
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let (x_of, length) = (along(domain, 0), domain.own()[0].length);
        // u = (6b/a) w(x, b t) where w_t + 6 w w_x + w_xxx = 0.
        let (factor, clock) = (6.0 * self.dispersion / self.steepening, self.dispersion);
        let exact = self.viscosity == 0.0;
        let speed_of = |word: &str| match values.get(word) {
            c if c > 0.0 => Ok(c),
            c => Err(("parameters", format!("{word} = {c} must be positive"))),
        };
        Ok(match word {
            "cosine" => {
                let (amplitude, k) = (values.get("amplitude"), unit(domain, 0));
                Initial::new(false, move |_, x, u| u[0] = amplitude * libm::cos(k * x_of(x)))
            }
            "soliton" => {
                let (c, start) = (speed_of("speed")?, values.get("position") * length);
                Initial::new(exact, move |t, x, u| {
                    let from_crest = nearest_image(x_of(x) - start - c * clock * t, length);
                    let sech = 1.0 / libm::cosh(0.5 * c.sqrt() * from_crest);
                    u[0] = factor * 0.5 * c * sech * sech;
                })
            }
            _ => {
                let (fast, slow) = (speed_of("fast_speed")?, speed_of("slow_speed")?);
                if fast <= slow {
                    return Err(("parameters", format!("fast_speed = {fast} must be above slow_speed = {slow}")));
                }
                let starts = [values.get("fast_position") * length, values.get("slow_position") * length];
                Initial::new(exact, move |t, x, u| {
                    u[0] = factor * two_solitons([fast, slow], starts, x_of(x), clock * t);
                })
            }
        })
    }
}

/// 2 ∂²/∂x² ln F, F = 1 + e^θ₁ + e^θ₂ + ((k₁−k₂)/(k₁+k₂))² e^(θ₁+θ₂), θᵢ = kᵢ (x − xᵢ) − kᵢ³ t, kᵢ = √cᵢ.
///
/// F is a sum of exponentials of slopes s; the second derivative of its logarithm is the variance of s under them.
fn two_solitons(speeds: [f64; 2], starts: [f64; 2], x: f64, t: f64) -> f64 {
    let k = speeds.map(f64::sqrt);
    let theta: [f64; 2] = std::array::from_fn(|i| k[i] * (x - starts[i]) - k[i] * speeds[i] * t);
    let shift = 2.0 * libm::log((k[0] - k[1]) / (k[0] + k[1]));
    let exponents = [0.0, theta[0], theta[1], theta[0] + theta[1] + shift];
    let slopes = [0.0, k[0], k[1], k[0] + k[1]];
    let highest = exponents.iter().fold(0.0f64, |m, e| m.max(*e));
    let weights = exponents.map(|e| exp(e - highest));
    let total: f64 = weights.iter().sum();
    let mean = weights.iter().zip(slopes).map(|(w, s)| w * s).sum::<f64>() / total;
    2.0 * weights.iter().zip(slopes).map(|(w, s)| w * (s - mean) * (s - mean)).sum::<f64>() / total
}

struct Kdv {
    input: Input,
    field: [FieldName; 1],
}

impl Scalar for Kdv {
    const REAL: bool = false;
    const DEGREE: u32 = 2;

    fn field(&self) -> &[FieldName; 1] {
        &self.field
    }

    fn linear(&self, k: [f64; 3]) -> Complex<f64> {
        Complex::new(-self.input.viscosity * square(k), self.input.dispersion * k[2] * k[2] * k[2])
    }

    fn polynomial<T: Real>(&self, u: T) -> T {
        u * u
    }

    fn operator(&self) -> Operator {
        Operator::Derivative(-0.5 * self.input.steepening)
    }

    fn speed(&self) -> f64 {
        self.input.steepening.abs()
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "mass", units: "length", meaning: "mean of u" },
            Quadratic { name: "momentum", units: "length²", meaning: "mean of u²/2" },
            Quadratic { name: "dissipation", units: "length²/time", meaning: "ν times the mean of u_x²" },
        ]
    }

    fn densities(&self, k: [f64; 3], u: Complex<f64>, _rate: Complex<f64>, out: &mut [f64]) {
        out[0] = mean(k, u);
        out[1] = 0.5 * u.norm_sqr();
        out[2] = self.input.viscosity * square(k) * u.norm_sqr();
    }

    fn pointwise(&self) -> Option<Quadratic> {
        let meaning = "mean of (dispersion/2) u_x² − (steepening/6) u³; with mass and momentum the third invariant";
        Some(Quadratic { name: "hamiltonian", units: "length³/time", meaning })
    }

    fn density(&self, u: f64, slope: f64) -> f64 {
        0.5 * self.input.dispersion * slope * slope - self.input.steepening / 6.0 * u * u * u
    }
}
