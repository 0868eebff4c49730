//! The Kuramoto–Sivashinsky equation: in one dimension for the slope, in two for the height.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, mean, raise, rows, square, times_i, unit};
use super::scalar::{Operator, Scalar, Single};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, not_negative, parameter, positive};
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};

/// Kuramoto–Sivashinsky: u_t + u u_x + s u_xx + h u_xxxx + d u = 0 in one dimension,
/// φ_t + ½|∇φ|² + s Δφ + h Δ²φ + d φ = 0 in two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Strength s ≥ 0 of the instability, the negative viscosity. Default 1.
    #[serde(default = "one")]
    #[schemars(extend("minimum" = 0))]
    pub instability: f64,
    /// Hyperviscosity h > 0. Default 1.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub hyperviscosity: f64,
    /// Drag d ≥ 0, a linear damping of all modes. Default 0.
    #[serde(default)]
    #[schemars(extend("minimum" = 0))]
    pub drag: f64,
}

fn one() -> f64 {
    1.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "kuramoto_sivashinsky",
        summary: "Kuramoto–Sivashinsky: u_t + u u_x + u_xx + u_xxxx = 0; in 2-D φ_t + ½|∇φ|² + Δφ + Δ²φ = 0",
        dimensions: &[1, 2],
        complex: false,
        initials: &[
            Named {
                word: "kassam_trefethen",
                summary: "1-D: cos(q x)(1 + sin(q x)), q = 2π/length [KassamTrefethen2005]; 2-D: the sum of one per axis",
                parameters: &[parameter("amplitude", 1.0, "factor of the whole")],
            },
            Named {
                word: "mode",
                summary: "amplitude · cos(2π mode x/length): a growth rate, while small",
                parameters: &[
                    parameter("mode", 1.0, "whole waves along x"),
                    parameter("amplitude", 1e-6, "largest value"),
                ],
            },
        ],
    };

    fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        not_negative("instability", self.instability)?;
        positive("hyperviscosity", self.hyperviscosity)?;
        not_negative("drag", self.drag)?;
        Ok(if domain.dimension == 1 {
            Arc::new(Single(Slope {
                input: self.clone(),
                field: [FieldName::new("u", "slope of the front").in_units("length/time")],
            }))
        } else {
            Arc::new(Height {
                input: self.clone(),
                fields: [FieldName::new("phi", "height of the front").in_units("length²/time")],
            })
        })
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let amplitude = values.get("amplitude");
        let (x_of, qx) = (along(domain, 0), unit(domain, 0));
        if word == "mode" {
            let k = qx * values.waves("mode", domain, 0..1)?;
            return Ok(Initial::new(false, move |_, x, u| u[0] = amplitude * libm::cos(k * x_of(x))));
        }
        let wave = |angle: f64| {
            let (sin, cos) = libm::sincos(angle);
            cos * (1.0 + sin)
        };
        if domain.dimension == 1 {
            return Ok(Initial::new(false, move |_, x, u| u[0] = amplitude * wave(qx * x_of(x))));
        }
        let (y_of, qy) = (along(domain, 1), unit(domain, 1));
        Ok(Initial::new(false, move |_, x, u| u[0] = amplitude * (wave(qx * x_of(x)) + wave(qy * y_of(x)))))
    }
}

impl Input {
    /// s k² − h k⁴ − d.
    fn growth(&self, k: [f64; 3]) -> f64 {
        let kk = square(k);
        kk * (self.instability - self.hyperviscosity * kk) - self.drag
    }
}

/// One dimension: u_t = −½ (u²)_x + …
struct Slope {
    input: Input,
    field: [FieldName; 1],
}

impl Scalar for Slope {
    const REAL: bool = true;
    const DEGREE: u32 = 2;

    fn field(&self) -> &[FieldName; 1] {
        &self.field
    }

    fn linear(&self, k: [f64; 3]) -> Complex<f64> {
        Complex::new(self.input.growth(k), 0.0)
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
            Quadratic { name: "production", units: "length²/time³", meaning: "s times the mean of u_x²" },
            Quadratic { name: "dissipation", units: "length²/time³", meaning: "mean of h u_xx² + d u²" },
        ]
    }

    fn densities(&self, k: [f64; 3], u: Complex<f64>, _rate: Complex<f64>, out: &mut [f64]) {
        let (kk, uu) = (square(k), u.norm_sqr());
        out[0] = mean(k, u);
        out[1] = 0.5 * uu;
        out[2] = self.input.instability * kk * uu;
        out[3] = (self.input.hyperviscosity * kk * kk + self.input.drag) * uu;
    }
}

/// Two dimensions: φ_t = −½|∇φ|² + …
struct Height {
    input: Input,
    fields: [FieldName; 1],
}

impl<T: Real> Equation<T> for Height {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::RealDiagonal
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        entries[0] = Complex::new(self.input.growth(k), 0.0);
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(2)
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 2, forward: 1 }]
    }

    fn derive(
        &self,
        _round: usize,
        _time: f64,
        tile: &Tile,
        state: &[&[Complex<T>]],
        _products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        let [dx, dy] = out else { unreachable!("two arrays go to the grid") };
        rows(tile, |at, kx| {
            let (kx, phi) = (T::of(kx), &state[0][at.clone()]);
            let (dx, dy) = (&mut dx[at.clone()], &mut dy[at]);
            for (((dx, dy), &phi), &ky) in dx.iter_mut().zip(dy).zip(phi).zip(tile.columns) {
                *dx = times_i(kx, phi);
                *dy = times_i(T::of(ky), phi);
            }
        });
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        let half = T::of(-0.5);
        for ((p, &dx), &dy) in products[0].iter_mut().zip(values[0]).zip(values[1]) {
            *p = half * (dx * dx + dy * dy);
        }
    }

    fn assemble(
        &self,
        _time: f64,
        _tile: &Tile,
        _state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        out[0].copy_from_slice(products[0]);
    }

    fn carries(&self) -> bool {
        true
    }

    fn speeds(&self, values: &[&[T]], fastest: &mut [f64; 3]) {
        raise(&mut fastest[1], values[0], 1.0);
        raise(&mut fastest[2], values[1], 1.0);
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "height", units: "length²/time", meaning: "mean of φ" },
            Quadratic { name: "energy", units: "length²/time²", meaning: "mean of |∇φ|²/2" },
            Quadratic { name: "width", units: "length⁴/time²", meaning: "variance of φ" },
        ]
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], _rate: &[Complex<f64>], out: &mut [f64]) {
        let (kk, square) = (square(k), state[0].norm_sqr());
        out[0] = mean(k, state[0]);
        out[1] = 0.5 * kk * square;
        out[2] = if kk > 0.0 { square } else { 0.0 };
    }

    fn derived(&self) -> Vec<FieldName> {
        vec![
            FieldName::new("slope_x", "∂φ/∂x").in_units("length/time"),
            FieldName::new("slope_y", "∂φ/∂y").in_units("length/time"),
        ]
    }

    fn derive_field(&self, index: usize, k: [f64; 3], state: &[Complex<f64>]) -> Complex<f64> {
        times_i(k[1 + index], state[0])
    }
}
