//! Boussinesq flow: an incompressible fluid whose buoyancy b, an acceleration against gravity, is carried along.
//!
//!     u_t + u·∇u = −∇p + ν Δu + b ẑ,   b_t + u·∇b = κ Δb − N² w
//!
//! Gravity points down the last axis (y in two dimensions, z in three); b is the departure from a stratification of
//! uniform N². Two dimensions: as vorticity, three transforms to the grid, four back; three: four and eight.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{along, inverse, raise, rows, square, times_i, unit, varying, wide};
use super::navier_stokes_3d::{advection, project, stresses};
use super::vorticity_2d::velocity;
use super::{About, BuiltIn, Initial, Named, Refusal, Values, not_negative, parameter};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};
use crate::solvers::spectral::results::spectra::kolmogorov_length;

/// Boussinesq flow in two or three dimensions, gravity down the last axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Viscosity ν ≥ 0, in length²/time. No default.
    #[schemars(extend("minimum" = 0))]
    pub viscosity: f64,
    /// Diffusivity κ ≥ 0 of the buoyancy, in length²/time. No default.
    #[schemars(extend("minimum" = 0))]
    pub diffusivity: f64,
    /// Stratification N², in 1/time²; negative: unstable. Default 0.
    #[serde(default)]
    pub stratification: f64,
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "boussinesq",
        summary: "Boussinesq: u_t + u·∇u = −∇p + ν Δu + b ẑ, b_t + u·∇b = κ Δb − N² w",
        dimensions: &[2, 3],
        complex: false,
        initials: &[
            Named {
                word: "thermal",
                summary: "a buoyant Gaussian low in the middle of the box, at rest; slightly off the middle",
                parameters: &[
                    parameter("buoyancy", 1.0, "largest b"),
                    parameter("width", 0.08, "standard deviation as a fraction of the height of the box"),
                    parameter("height", 0.25, "of its centre, as a fraction of the height of the box"),
                ],
            },
            Named {
                word: "internal_wave",
                summary: "exact at any amplitude where ν = κ: a plane wave in the plane of x and the vertical, σ = N k_x/|k|",
                parameters: &[
                    parameter("amplitude", 0.1, "of b"),
                    parameter("waves_x", 1.0, "whole waves along x"),
                    parameter("waves_up", 1.0, "whole waves along the vertical"),
                ],
            },
        ],
    };

    fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        not_negative("viscosity", self.viscosity)?;
        not_negative("diffusivity", self.diffusivity)?;
        if !self.stratification.is_finite() {
            return Err(("stratification", format!("stratification = {} is not finite", self.stratification)));
        }
        let field = |name: &str, units: &str, meaning: &str| FieldName {
            name: name.into(),
            units: units.into(),
            meaning: meaning.into(),
        };
        let buoyancy =
            field("buoyancy", "length/time²", "acceleration against gravity, less that of the stratification");
        let input = self.clone();
        Ok(if domain.dimension == 2 {
            Arc::new(Plane { input, fields: [field("vorticity", "1/time", "∂v/∂x − ∂u/∂y"), buoyancy] })
        } else {
            let [x, y, z] =
                ["x", "y", "z"].map(|a| field(&format!("velocity_{a}"), "length/time", &format!("velocity along {a}")));
            Arc::new(Space { input, fields: [x, y, z, buoyancy] })
        })
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let dimension = domain.dimension;
        let last = dimension - 1;
        let (x_of, up_of) = (along(domain, 0), along(domain, last));
        if word == "thermal" {
            let height = domain.own()[last].length;
            let (peak, width) = (values.get("buoyancy"), values.get("width") * height);
            if width <= 0.0 {
                return Err(("parameters", format!("width = {} must be positive", values.get("width"))));
            }
            // Off the middle by an irrational hundredth, so that no symmetry of the grid is kept for ever.
            let centre =
                |a: usize| if a == last { values.get("height") } else { 0.5 + 0.01 / std::f64::consts::SQRT_2 };
            let axes: Vec<_> =
                varying(domain).map(|a| (along(domain, a), centre(a) * domain.own()[a].length)).collect();
            return Ok(Initial::new(false, move |_, x, out| {
                let rr: f64 = axes.iter().map(|(along, c)| (along(x) - c) * (along(x) - c)).sum();
                out.fill(0.0);
                out[out.len() - 1] = peak * exp(-0.5 * rr / (width * width));
            }));
        }
        if self.stratification <= 0.0 {
            let n = self.stratification;
            return Err(("stratification", format!("stratification = {n} must be positive for internal waves")));
        }
        let waves = [values.waves("waves_x", domain, 0..1)?, values.waves("waves_up", domain, last..dimension)?];
        let (kx, ku) = (waves[0] * unit(domain, 0), waves[1] * unit(domain, last));
        if kx == 0.0 {
            return Err(("parameters", "waves_x = 0: such a wave does not move".into()));
        }
        let (kk, amplitude, n2) = (kx * kx + ku * ku, values.get("amplitude"), self.stratification);
        let sigma = (n2 / kk).sqrt() * kx;
        let (stream, nu) = (-amplitude * sigma / (n2 * kx), self.viscosity);
        Ok(Initial::new(self.viscosity == self.diffusivity, move |t, x, out| {
            // ψ = stream · cos θ, u = ∂ψ/∂z, w = −∂ψ/∂x; all quadratic terms vanish.
            let (sin, cos) = libm::sincos(kx * x_of(x) + ku * up_of(x) - sigma * t);
            let decay = exp(-nu * kk * t);
            if let [vorticity, buoyancy] = out {
                (*vorticity, *buoyancy) = (decay * kk * stream * cos, decay * amplitude * cos);
            } else {
                let fields = [-ku * stream * sin, 0.0, kx * stream * sin, amplitude * cos];
                out.iter_mut().zip(fields).for_each(|(out, field)| *out = decay * field);
            }
        }))
    }
}

impl Input {
    fn quadratics() -> Vec<Quadratic> {
        vec![
            Quadratic { name: "kinetic", units: "length²/time²", meaning: "mean of |u|²/2" },
            Quadratic {
                name: "buoyancy_square",
                units: "length²/time⁴",
                meaning: "mean of b²/2; over N²: potential energy",
            },
            Quadratic {
                name: "buoyancy_flux",
                units: "length²/time³",
                meaning: "mean of w b less the product of the means: what buoyancy gives to the flow",
            },
            Quadratic { name: "dissipation", units: "length²/time³", meaning: "ν times the mean of |∇u|²" },
            Quadratic {
                name: "buoyancy_dissipation", units: "length²/time⁵", meaning: "κ times the mean of |∇b|²"
            },
            Quadratic {
                name: "buoyancy_production",
                units: "length²/time⁵",
                meaning: "−N² times the mean of w b: what the stratification gives to the mean of b²/2",
            },
        ]
    }

    fn densities(&self, kk: f64, kinetic: f64, up: Complex<f64>, buoyancy: Complex<f64>, out: &mut [f64]) {
        out[0] = kinetic;
        out[1] = 0.5 * buoyancy.norm_sqr();
        // The mean of b is held by the pressure, and does no work on a mean flow; which lifts it all the same.
        let flux = (up.conj() * buoyancy).re;
        out[2] = if kk > 0.0 { flux } else { 0.0 };
        out[3] = 2.0 * self.viscosity * kk * kinetic;
        out[4] = self.diffusivity * kk * buoyancy.norm_sqr();
        out[5] = -self.stratification * flux;
    }
}

/// Two dimensions: vorticity and buoyancy.
struct Plane {
    input: Input,
    fields: [FieldName; 2],
}

impl<T: Real> Equation<T> for Plane {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::RealDiagonal
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        entries[0] = Complex::new(-self.input.viscosity * square(k), 0.0);
        entries[1] = Complex::new(-self.input.diffusivity * square(k), 0.0);
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(2)
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 3, forward: 4 }]
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
        let [u, v, buoyancy, ..] = out else { unreachable!("three arrays go to the grid") };
        wide(|| velocity(tile, state[0], u, v));
        buoyancy.copy_from_slice(state[1]);
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        let n = values[0].len();
        let [u, v, b]: [&[T]; 3] = std::array::from_fn(|f| &values[f][..n]);
        let [uv, difference, ub, vb, ..] = products else { unreachable!("four products") };
        let (uv, difference, ub, vb) = (&mut uv[..n], &mut difference[..n], &mut ub[..n], &mut vb[..n]);
        wide(|| {
            for i in 0..n {
                uv[i] = u[i] * v[i];
                difference[i] = (v[i] - u[i]) * (v[i] + u[i]);
                ub[i] = u[i] * b[i];
                vb[i] = v[i] * b[i];
            }
        });
    }

    fn assemble(
        &self,
        _time: f64,
        tile: &Tile,
        state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        let [vorticity, buoyancy, ..] = out else { unreachable!("two fields") };
        let n2 = self.input.stratification;
        wide(|| {
            rows(tile, |at, kx| {
                let n = at.len();
                let [uv, difference, ub, vb]: [&[Complex<T>]; 4] =
                    std::array::from_fn(|p| &products[p][at.clone()][..n]);
                let (w, b) = (&state[0][at.clone()][..n], &state[1][at.clone()][..n]);
                let (vorticity, buoyancy) = (&mut vorticity[at.clone()][..n], &mut buoyancy[at][..n]);
                let columns = &tile.columns[..n];
                for i in 0..n {
                    let ky = columns[i];
                    vorticity[i] =
                        uv[i] * T::of(kx * kx - ky * ky) + difference[i] * T::of(kx * ky) + times_i(T::of(kx), b[i]);
                    // −N² v = N² i k_x ω/k².
                    let lifted = times_i(T::of(n2 * kx * inverse(kx * kx + ky * ky)), w[i]);
                    buoyancy[i] = lifted - times_i(T::of(kx), ub[i]) - times_i(T::of(ky), vb[i]);
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

    fn constrain(&self, tile: &Tile, state: &mut [&mut [Complex<T>]]) {
        if tile.start == [0; 3] {
            state[0][0] = Complex::new(T::zero(), T::zero());
        }
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        Input::quadratics()
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], _rate: &[Complex<f64>], out: &mut [f64]) {
        let kk = square(k);
        let psi = state[0] * inverse(kk);
        self.input.densities(kk, 0.5 * kk * psi.norm_sqr(), times_i(-k[1], psi), state[1], out);
    }

    fn derived(&self) -> Vec<FieldName> {
        ["x", "y"]
            .map(|a| FieldName {
                name: format!("velocity_{a}"),
                units: "length/time".into(),
                meaning: format!("velocity along {a}"),
            })
            .to_vec()
    }

    fn derive_field(&self, index: usize, k: [f64; 3], state: &[Complex<f64>]) -> Complex<f64> {
        times_i(if index == 0 { k[2] } else { -k[1] }, state[0] * inverse(square(k)))
    }
}

/// Three dimensions: velocity and buoyancy.
struct Space {
    input: Input,
    fields: [FieldName; 4],
}

impl<T: Real> Equation<T> for Space {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::RealDiagonal
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        entries[..3].fill(Complex::new(-self.input.viscosity * square(k), 0.0));
        entries[3] = Complex::new(-self.input.diffusivity * square(k), 0.0);
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(2)
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 4, forward: 8 }]
    }

    fn derives(&self, _round: usize) -> bool {
        false
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        let (stress, flux) = products.split_at_mut(5);
        wide(|| {
            stresses(values, stress);
            for (flux, velocity) in flux.iter_mut().zip(values) {
                for ((flux, &velocity), &b) in flux.iter_mut().zip(*velocity).zip(values[3]) {
                    *flux = velocity * b;
                }
            }
        });
    }

    fn assemble(
        &self,
        _time: f64,
        tile: &Tile,
        state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        let n2 = T::of(self.input.stratification);
        wide(|| {
            advection(tile, products, out);
            let [x, y, z, buoyancy, ..] = out else { unreachable!("four fields") };
            let kx = tile.plane;
            rows(tile, |at, ky| {
                let n = at.len();
                let [fx, fy, fz]: [&[Complex<T>]; 3] = std::array::from_fn(|p| &products[5 + p][at.clone()][..n]);
                let (w, b) = (&state[2][at.clone()][..n], &state[3][at.clone()][..n]);
                let (x, y, z) = (&mut x[at.clone()][..n], &mut y[at.clone()][..n], &mut z[at.clone()][..n]);
                let (buoyancy, columns) = (&mut buoyancy[at][..n], &tile.columns[..n]);
                for i in 0..n {
                    let kz = columns[i];
                    let horizontal = kx * kx + ky * ky;
                    let per_kk = inverse(horizontal + kz * kz);
                    // b ẑ without its part along k; none for the mean, which the pressure holds.
                    x[i] -= b[i] * T::of(kx * kz * per_kk);
                    y[i] -= b[i] * T::of(ky * kz * per_kk);
                    z[i] += b[i] * T::of(horizontal * per_kk);
                    let divergence = times_i(T::of(kx), fx[i]) + times_i(T::of(ky), fy[i]) + times_i(T::of(kz), fz[i]);
                    buoyancy[i] = -divergence - w[i] * n2;
                }
            });
        });
    }

    fn carries(&self) -> bool {
        true
    }

    fn speeds(&self, values: &[&[T]], fastest: &mut [f64; 3]) {
        fastest.iter_mut().zip(values).for_each(|(fastest, values)| raise(fastest, values, 1.0));
    }

    fn constrain(&self, tile: &Tile, state: &mut [&mut [Complex<T>]]) {
        project(tile, state);
    }

    fn smallest_eddies(&self, quadratics: &[f64]) -> Option<f64> {
        let nu = self.input.viscosity;
        (nu > 0.0).then(|| kolmogorov_length(nu, quadratics[3]))
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        Input::quadratics()
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], _rate: &[Complex<f64>], out: &mut [f64]) {
        let kinetic = 0.5 * state[..3].iter().map(|u| u.norm_sqr()).sum::<f64>();
        self.input.densities(square(k), kinetic, state[2], state[3], out);
    }
}
