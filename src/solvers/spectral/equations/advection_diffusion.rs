//! Advection and diffusion with constant coefficients, u_t + c·∇u = ν Δu: no transforms at all.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, mean, nearest_image, square, unit, varying};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, not_negative, parameter};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};

/// Advection–diffusion u_t + c·∇u = ν Δu; linear, so that exponential schemes are exact for any step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Velocity c, one number per axis, in length/time. No default.
    pub velocity: Vec<f64>,
    /// Diffusivity ν ≥ 0, in length²/time. Default 0.
    #[serde(default)]
    #[schemars(extend("minimum" = 0))]
    pub diffusivity: f64,
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "advection_diffusion",
        summary: "advection–diffusion: u_t + c·∇u = ν Δu",
        dimensions: &[1, 2, 3],
        complex: false,
        initials: &[
            Named {
                word: "gaussian",
                summary: "exact: a Gaussian in the middle of the box, with its periodic images; spreads as width² + 2νt",
                parameters: &[parameter("width", 0.05, "standard deviation as a fraction of the length along x")],
            },
            Named {
                word: "wave",
                summary: "exact: cos(k·(x − ct)) e^(−νk²t)",
                parameters: &[
                    parameter("waves_x", 1.0, "whole waves along x"),
                    parameter("waves_y", 0.0, "whole waves along y"),
                    parameter("waves_z", 0.0, "whole waves along z"),
                ],
            },
        ],
    };

    fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        not_negative("diffusivity", self.diffusivity)?;
        let velocity = self.internal_velocity(domain)?;
        let fields = [FieldName::new("u", "concentration")];
        Ok(Arc::new(AdvectionDiffusion { velocity, diffusivity: self.diffusivity, fields }))
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let (velocity, nu, dimension) = (self.internal_velocity(domain)?, self.diffusivity, domain.dimension);
        let first = 3 - dimension;
        if word == "wave" {
            let mut k = [0.0; 3];
            for (a, word) in ["waves_x", "waves_y", "waves_z"].iter().enumerate().take(dimension) {
                k[first + a] = unit(domain, a) * values.waves(word, domain, a..a + 1)?;
            }
            let lows: [f64; 3] = std::array::from_fn(|a| domain.axes[a].low);
            return Ok(Initial::new(true, move |t, x, u| {
                let angle: f64 = (first..3).map(|a| k[a] * (x[a] - lows[a] - velocity[a] * t)).sum();
                u[0] = exp(-nu * square(k) * t) * libm::cos(angle);
            }));
        }
        let width = values.get("width") * domain.own()[0].length;
        if width <= 0.0 {
            return Err(("parameters", format!("width = {} must be positive", values.get("width"))));
        }
        let lengths: [f64; 3] = std::array::from_fn(|a| domain.axes[a].length);
        let along: Vec<_> = varying(domain).map(|a| (a, along(domain, a))).collect();
        Ok(Initial::new(true, move |t, x, u| {
            let variance = width * width + 2.0 * nu * t;
            u[0] = 1.0;
            for &(a, along) in &along {
                let length = lengths[first + a];
                let distance = nearest_image(along(x) - 0.5 * length - velocity[first + a] * t, length);
                let images = (2.0 + 9.0 * variance.sqrt() / length) as i64;
                let sum: f64 = (-images..=images)
                    .map(|i| distance + i as f64 * length)
                    .map(|d| exp(-0.5 * d * d / variance))
                    .sum();
                u[0] *= sum * width / variance.sqrt();
            }
        }))
    }
}

impl Input {
    /// The velocity on the internal axes.
    fn internal_velocity(&self, domain: &Domain) -> Result<[f64; 3], Refusal> {
        if self.velocity.len() != domain.dimension {
            let (n, d) = (self.velocity.len(), domain.dimension);
            return Err(("velocity", format!("{n} components of the velocity for {d} axes")));
        }
        let mut velocity = [0.0; 3];
        velocity[3 - domain.dimension..].copy_from_slice(&self.velocity);
        Ok(velocity)
    }
}

struct AdvectionDiffusion {
    velocity: [f64; 3],
    diffusivity: f64,
    fields: [FieldName; 1],
}

impl<T: Real> Equation<T> for AdvectionDiffusion {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        if self.velocity == [0.0; 3] { Coupling::RealDiagonal } else { Coupling::Diagonal }
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        let along: f64 = (0..3).map(|a| self.velocity[a] * k[a]).sum();
        entries[0] = Complex::new(-self.diffusivity * square(k), -along);
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(1)
    }

    fn rounds(&self) -> &[Round] {
        &[]
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, _values: &[&[T]], _products: &mut [&mut [T]]) {}

    fn assemble(
        &self,
        _time: f64,
        _tile: &Tile,
        _state: &[&[Complex<T>]],
        _products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        out[0].fill(Complex::new(T::zero(), T::zero()));
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "mass", units: "1", meaning: "mean of u" },
            Quadratic { name: "square", units: "1", meaning: "mean of u²/2" },
            Quadratic { name: "dissipation", units: "1/time", meaning: "ν times the mean of |∇u|²" },
        ]
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], _rate: &[Complex<f64>], out: &mut [f64]) {
        out[0] = mean(k, state[0]);
        out[1] = 0.5 * state[0].norm_sqr();
        out[2] = self.diffusivity * square(k) * state[0].norm_sqr();
    }
}
