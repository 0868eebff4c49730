//! The rotating shallow-water equations, about a fluid of depth H at rest:
//!
//!     u_t − f v + g η_x = ζ v − ½ (u² + v²)_x,   v_t + f u + g η_y = −ζ u − ½ (u² + v²)_y,
//!     η_t + H (u_x + v_y) = −(η u)_x − (η v)_y,   ζ = v_x − u_y.
//!
//! The left sides, gravity waves and rotation, are a block of 3 × 3 per wavenumber; four transforms to the grid, five
//! back.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dissipation::{Hyperviscosity, Losses};
use super::kernel::{along, mean, middle, raise, rows, square, times_i, unit, wide};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, parameter, positive};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};

/// Rotating shallow water of depth H + η on a plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Gravity g > 0, in length/time². Default 1.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub gravity: f64,
    /// Mean depth H > 0. Default 1.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub depth: f64,
    /// Coriolis parameter f, in 1/time. Default 0.
    #[serde(default)]
    pub coriolis: f64,
    /// Viscosity ≥ 0 of the velocities, in length²/time. Default 0.
    #[serde(default)]
    #[schemars(extend("minimum" = 0))]
    pub viscosity: f64,
    /// Linear drag ≥ 0 on the velocities, in 1/time. Default 0.
    #[serde(default)]
    #[schemars(extend("minimum" = 0))]
    pub drag: f64,
    /// Hyperviscosity of the velocities. Default: none.
    #[serde(default)]
    pub hyperviscosity: Option<Hyperviscosity>,
}

fn one() -> f64 {
    1.0
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "shallow_water",
        summary: "rotating shallow water: u_t + u·∇u + f ẑ×u = −g ∇η, η_t + ∇·((H + η) u) = 0",
        dimensions: &[2],
        complex: false,
        initials: &[
            Named {
                word: "bump",
                summary: "a Gaussian elevation in the middle of the box, at rest",
                parameters: &[
                    parameter("height", 0.1, "as a fraction of the depth"),
                    parameter("width", 0.05, "standard deviation as a fraction of the length along x"),
                ],
            },
            Named {
                word: "poincare_wave",
                summary: "a plane inertia–gravity wave, σ² = f² + gHk²: exact to first order in its height, without losses",
                parameters: &[
                    parameter("height", 1e-3, "as a fraction of the depth"),
                    parameter("waves_x", 1.0, "whole waves along x"),
                    parameter("waves_y", 0.0, "whole waves along y"),
                ],
            },
            Named {
                word: "geostrophic_jet",
                summary: "exact without losses: u = speed · sin(2π waves y/length) in balance with the elevation; steady",
                parameters: &[parameter("speed", 0.1, "largest"), parameter("waves", 1.0, "whole waves along y")],
            },
        ],
    };

    fn build<T: Real>(&self, _domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        positive("gravity", self.gravity)?;
        positive("depth", self.depth)?;
        if !self.coriolis.is_finite() {
            return Err(("coriolis", format!("coriolis = {} is not finite", self.coriolis)));
        }
        let losses = Losses::new(self.viscosity, self.hyperviscosity, self.drag)?;
        let field = |name: &str, units: &str, meaning: &str| FieldName {
            name: name.into(),
            units: units.into(),
            meaning: meaning.into(),
        };
        let fields = [
            field("velocity_x", "length/time", "velocity along x"),
            field("velocity_y", "length/time", "velocity along y"),
            field("elevation", "length", "depth less its mean"),
        ];
        Ok(Arc::new(ShallowWater { input: self.clone(), losses, fields }))
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let (x_of, y_of) = (along(domain, 0), along(domain, 1));
        let (g, depth, f) = (self.gravity, self.depth, self.coriolis);
        let lossless = self.viscosity == 0.0 && self.drag == 0.0 && self.hyperviscosity.is_none();
        Ok(match word {
            "bump" => {
                let middles = [middle(domain, 0), middle(domain, 1)];
                let (height, width) = (values.get("height") * depth, values.get("width") * domain.own()[0].length);
                if width <= 0.0 {
                    return Err(("parameters", format!("width = {} must be positive", values.get("width"))));
                }
                Initial::new(false, move |_, x, out| {
                    let (dx, dy) = (x_of(x) - middles[0], y_of(x) - middles[1]);
                    out.copy_from_slice(&[0.0, 0.0, height * exp(-0.5 * (dx * dx + dy * dy) / (width * width))]);
                })
            }
            "poincare_wave" => {
                let height = values.get("height") * depth;
                let waves = [values.waves("waves_x", domain, 0..1)?, values.waves("waves_y", domain, 1..2)?];
                let (kx, ky) = (waves[0] * unit(domain, 0), waves[1] * unit(domain, 1));
                let k = (kx * kx + ky * ky).sqrt();
                if k == 0.0 {
                    return Err(("parameters", "waves_x and waves_y are both 0".into()));
                }
                let sigma = (f * f + g * depth * k * k).sqrt();
                Initial::new(false, move |t, x, out| {
                    let (sin, cos) = libm::sincos(kx * x_of(x) + ky * y_of(x) - sigma * t);
                    // Along the wavenumber, and to the left of it.
                    let (ahead, left) = (height * sigma / (depth * k) * cos, height * f / (depth * k) * sin);
                    out[0] = (kx * ahead - ky * left) / k;
                    out[1] = (ky * ahead + kx * left) / k;
                    out[2] = height * cos;
                })
            }
            _ => {
                let (speed, k) = (values.get("speed"), values.some_waves("waves", domain, 1..2)? * unit(domain, 1));
                Initial::new(lossless, move |_, x, out| {
                    let (sin, cos) = libm::sincos(k * y_of(x));
                    out.copy_from_slice(&[speed * sin, 0.0, f * speed / (g * k) * cos]);
                })
            }
        })
    }
}

struct ShallowWater {
    input: Input,
    losses: Losses,
    fields: [FieldName; 3],
}

impl<T: Real> Equation<T> for ShallowWater {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::Block
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        let Input { gravity: g, depth, coriolis: f, .. } = self.input;
        let real = |x: f64| Complex::new(x, 0.0);
        let imaginary = |x: f64| Complex::new(0.0, x);
        let loss = real(-self.losses.rate(square(k)));
        entries.copy_from_slice(&[
            loss,
            real(f),
            imaginary(-g * k[1]),
            real(-f),
            loss,
            imaginary(-g * k[2]),
            imaginary(-depth * k[1]),
            imaginary(-depth * k[2]),
            real(0.0),
        ]);
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(2)
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 4, forward: 5 }]
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
        let (copies, vorticity) = out.split_at_mut(3);
        copies.iter_mut().zip(state).for_each(|(out, state)| out.copy_from_slice(state));
        wide(|| {
            rows(tile, |at, kx| {
                let (kx, u, v) = (T::of(kx), &state[0][at.clone()], &state[1][at.clone()]);
                for (((out, &u), &v), &ky) in vorticity[0][at].iter_mut().zip(u).zip(v).zip(tile.columns) {
                    *out = times_i(kx, v) - times_i(T::of(ky), u);
                }
            });
        });
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        let n = values[0].len();
        let [u, v, eta, zeta]: [&[T]; 4] = std::array::from_fn(|f| &values[f][..n]);
        let [zv, zu, kinetic, flux_x, flux_y, ..] = products else { unreachable!("five products") };
        let (zv, zu, kinetic) = (&mut zv[..n], &mut zu[..n], &mut kinetic[..n]);
        let (flux_x, flux_y, half) = (&mut flux_x[..n], &mut flux_y[..n], T::of(0.5));
        wide(|| {
            for i in 0..n {
                zv[i] = zeta[i] * v[i];
                zu[i] = zeta[i] * u[i];
                kinetic[i] = half * (u[i] * u[i] + v[i] * v[i]);
                flux_x[i] = eta[i] * u[i];
                flux_y[i] = eta[i] * v[i];
            }
        });
    }

    fn assemble(
        &self,
        _time: f64,
        tile: &Tile,
        _state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        let [u, v, eta, ..] = out else { unreachable!("three fields") };
        wide(|| {
            rows(tile, |at, kx| {
                let n = at.len();
                let [zv, zu, kinetic, flux_x, flux_y]: [&[Complex<T>]; 5] =
                    std::array::from_fn(|p| &products[p][at.clone()][..n]);
                let (u, v, eta) = (&mut u[at.clone()][..n], &mut v[at.clone()][..n], &mut eta[at][..n]);
                let (kx, columns) = (T::of(kx), &tile.columns[..n]);
                for i in 0..n {
                    let ky = T::of(columns[i]);
                    u[i] = zv[i] - times_i(kx, kinetic[i]);
                    v[i] = -zu[i] - times_i(ky, kinetic[i]);
                    eta[i] = -times_i(kx, flux_x[i]) - times_i(ky, flux_y[i]);
                }
            });
        });
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
            Quadratic { name: "elevation", units: "length", meaning: "mean of η: conserved mass" },
            Quadratic { name: "kinetic", units: "length³/time²", meaning: "mean of H|u|²/2, the quadratic part" },
            Quadratic { name: "potential", units: "length³/time²", meaning: "mean of gη²/2" },
            Quadratic { name: "enstrophy", units: "1/time²", meaning: "mean of ζ²/2" },
        ]
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], _rate: &[Complex<f64>], out: &mut [f64]) {
        let zeta = times_i(k[1], state[1]) - times_i(k[2], state[0]);
        out[0] = mean(k, state[2]);
        out[1] = 0.5 * self.input.depth * (state[0].norm_sqr() + state[1].norm_sqr());
        out[2] = 0.5 * self.input.gravity * state[2].norm_sqr();
        out[3] = 0.5 * zeta.norm_sqr();
    }

    fn derived(&self) -> Vec<FieldName> {
        vec![
            FieldName { name: "vorticity".into(), units: "1/time".into(), meaning: "∂v/∂x − ∂u/∂y".into() },
            FieldName { name: "divergence".into(), units: "1/time".into(), meaning: "∂u/∂x + ∂v/∂y".into() },
        ]
    }

    fn derive_field(&self, index: usize, k: [f64; 3], state: &[Complex<f64>]) -> Complex<f64> {
        if index == 0 {
            times_i(k[1], state[1]) - times_i(k[2], state[0])
        } else {
            times_i(k[1], state[0]) + times_i(k[2], state[1])
        }
    }

    fn pointwise(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "energy", units: "length³/time²", meaning: "mean of h|u|²/2 + gη²/2, h = H + η" },
            Quadratic {
                name: "potential_enstrophy",
                units: "1/(length·time²)",
                meaning: "mean of (ζ + f)²/(2h): h times half the square of the potential vorticity",
            },
        ]
    }

    fn pointwise_arrays(&self) -> usize {
        4
    }

    fn derive_pointwise(&self, tile: &Tile, state: &[&[Complex<T>]], out: &mut [&mut [Complex<T>]]) {
        self.derive(0, 0.0, tile, state, &[], out);
    }

    fn pointwise_densities(&self, _tile: &Tile, values: &[&[T]], out: &mut [&mut [f64]]) {
        let Input { gravity: g, depth, coriolis: f, .. } = self.input;
        let [energy, enstrophy] = out else { unreachable!("two densities") };
        for i in 0..energy.len() {
            let [u, v, eta, zeta] = std::array::from_fn(|a| values[a][i].to_f64());
            let h = depth + eta;
            energy[i] = 0.5 * h * (u * u + v * v) + 0.5 * g * eta * eta;
            enstrophy[i] = 0.5 * (zeta + f) * (zeta + f) / h;
        }
    }
}
