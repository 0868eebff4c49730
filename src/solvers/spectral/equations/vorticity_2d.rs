//! Incompressible flow in two dimensions, ω_t + u·∇ω = ν Δω − μ ω + forcing, by two transforms each way.
//!
//! With u the rotated gradient of the stream function, −u·∇ω = (∂_y² − ∂_x²)(u v) + ∂_x ∂_y (u² − v²): the two velocities
//! go to the grid, the two products come back [Basdevant1983].

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dissipation::{Hyperviscosity, Losses};
use super::kernel::{along, inverse, middle, raise, rows, square, times_i, unit, wide};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, held, parameter};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};
use crate::solvers::spectral::results::spectra::enstrophy_length;

/// Two-dimensional incompressible Navier–Stokes for the vorticity: ω_t + u·∇ω = ν Δω − μ ω + forcing. No mean flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Viscosity ν ≥ 0, in length²/time. No default.
    #[schemars(extend("minimum" = 0))]
    pub viscosity: f64,
    /// Linear (Rayleigh) drag μ ≥ 0, in 1/time. Default 0.
    #[serde(default)]
    #[schemars(extend("minimum" = 0))]
    pub drag: f64,
    /// Hyperviscosity besides the viscosity. Default: none.
    #[serde(default)]
    pub hyperviscosity: Option<Hyperviscosity>,
    /// What drives the flow. Default: nothing.
    #[serde(default)]
    pub forcing: Forcing,
}

/// A body force that does not depend on time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Forcing {
    /// No force.
    #[default]
    None,
    /// Kolmogorov's: a force amplitude · sin(2π waves y/length_y) along x.
    Kolmogorov {
        /// Force per mass, in length/time². Default 1.
        #[serde(default = "one")]
        amplitude: f64,
        /// Whole waves along y. Default 4.
        #[serde(default = "four")]
        #[schemars(extend("minimum" = 1))]
        waves: u32,
    },
}

fn one() -> f64 {
    1.0
}

fn four() -> u32 {
    4
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "vorticity_2d",
        summary: "2-D Navier–Stokes: ω_t + u·∇ω = ν Δω − μ ω + forcing",
        dimensions: &[2],
        complex: false,
        initials: &[
            Named {
                word: "taylor_green",
                summary: "exact: velocity amplitude · (cos k_x x sin k_y y, …), decaying with ν(k_x² + k_y²) + μ",
                parameters: &[
                    parameter("amplitude", 1.0, "largest velocity along x"),
                    parameter("waves", 1.0, "whole waves along each axis"),
                ],
            },
            Named {
                word: "laminar",
                summary: "exact with Kolmogorov forcing: u = amplitude/(ν k² + μ) sin k y; steady",
                parameters: &[],
            },
            Named {
                word: "vortex_pair",
                summary: "two Gaussian vortices of the same sign, which merge when close",
                parameters: &[
                    parameter("circulation", 1.0, "of each, in length²/time"),
                    parameter("radius", 0.05, "standard deviation of ω, as a fraction of the shorter side"),
                    parameter("distance", 0.2, "between the centres, as a fraction of the shorter side"),
                ],
            },
            Named {
                word: "shear_layers",
                summary: "two opposite shear layers, perturbed: Kelvin–Helmholtz roll-up [BrownMinion1995]",
                parameters: &[
                    parameter("thickness", 30.0, "length_y over the thickness of a layer"),
                    parameter("perturbation", 0.05, "velocity along y over that along x"),
                ],
            },
        ],
    };

    fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        let losses = Losses::new(self.viscosity, self.hyperviscosity, self.drag)?;
        let forcing = match self.forcing {
            Forcing::None => None,
            Forcing::Kolmogorov { amplitude, waves } => {
                if waves == 0 || !amplitude.is_finite() {
                    return Err((
                        "forcing",
                        format!("waves = {waves} must be 1 or more, amplitude {amplitude} finite"),
                    ));
                }
                let k = f64::from(waves) * unit(domain, 1);
                Some(Kolmogorov { strength: -amplitude * k, k, low: domain.own()[1].low })
            }
        };
        Ok(Arc::new(Vorticity {
            losses,
            forcing,
            fields: [FieldName::new("vorticity", "∂v/∂x − ∂u/∂y").in_units("1/time")],
        }))
    }

    fn fits(&self, domain: &Domain) -> Result<(), Refusal> {
        match self.forcing {
            Forcing::None => Ok(()),
            Forcing::Kolmogorov { waves, .. } => held("forcing.waves", f64::from(waves), domain, 1),
        }
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let losses = Losses::new(self.viscosity, self.hyperviscosity, self.drag)?;
        let (x_of, y_of) = (along(domain, 0), along(domain, 1));
        let (qx, qy) = (unit(domain, 0), unit(domain, 1));
        let lengths = [domain.own()[0].length, domain.own()[1].length];
        let shorter = lengths[0].min(lengths[1]);
        Ok(match word {
            "taylor_green" => {
                // ψ = −(amplitude/k_y) cos k_x x cos k_y y, u = ψ_y, ω = −Δψ.
                let (amplitude, waves) = (values.get("amplitude"), values.some_waves("waves", domain, 0..2)?);
                let (kx, ky) = (waves * qx, waves * qy);
                let kk = kx * kx + ky * ky;
                let (peak, decay) = (-amplitude * kk / ky, losses.rate(kk));
                Initial::new(self.forcing == Forcing::None, move |t, x, w| {
                    w[0] = peak * exp(-decay * t) * libm::cos(kx * x_of(x)) * libm::cos(ky * y_of(x));
                })
            }
            "laminar" => {
                let Forcing::Kolmogorov { amplitude, waves } = self.forcing else {
                    return Err((
                        "name",
                        "\"laminar\" is the steady state under Kolmogorov forcing; there is none".into(),
                    ));
                };
                let k = f64::from(waves) * qy;
                let rate = losses.rate(k * k);
                if rate == 0.0 {
                    return Err(("viscosity", "without viscosity and drag there is no steady state".into()));
                }
                Initial::new(true, move |_, x, w| w[0] = -amplitude / rate * k * libm::cos(k * y_of(x)))
            }
            "vortex_pair" => {
                let (radius, middles) = (values.get("radius") * shorter, [middle(domain, 0), middle(domain, 1)]);
                let apart = if domain.own()[0].highest > 0 { values.get("distance") * shorter } else { 0.0 };
                if radius <= 0.0 {
                    return Err(("parameters", format!("radius = {} must be positive", values.get("radius"))));
                }
                let peak = values.get("circulation") / (std::f64::consts::TAU * radius * radius);
                Initial::new(false, move |_, x, w| {
                    let vortex = |side: f64| {
                        let dx = x_of(x) - middles[0] - 0.5 * side * apart;
                        let dy = y_of(x) - middles[1];
                        exp(-0.5 * (dx * dx + dy * dy) / (radius * radius))
                    };
                    w[0] = peak * (vortex(-1.0) + vortex(1.0));
                })
            }
            _ => {
                // u = tanh(s (y/L − ¼)) below the middle, tanh(s (¾ − y/L)) above; v = perturbation sin(2π x/L).
                let (s, perturbation) = (values.get("thickness"), values.get("perturbation"));
                Initial::new(false, move |_, x, w| {
                    let y = y_of(x) / lengths[1];
                    let (argument, sign) = if y < 0.5 { (s * (y - 0.25), 1.0) } else { (s * (0.75 - y), -1.0) };
                    let sech = 1.0 / libm::cosh(argument);
                    w[0] = perturbation * qx * libm::cos(qx * x_of(x)) - sign * s / lengths[1] * sech * sech;
                })
            }
        })
    }
}

/// The curl of Kolmogorov's force: strength · cos(k (y − low)).
struct Kolmogorov {
    strength: f64,
    k: f64,
    low: f64,
}

struct Vorticity {
    losses: Losses,
    forcing: Option<Kolmogorov>,
    fields: [FieldName; 1],
}

impl<T: Real> Equation<T> for Vorticity {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::RealDiagonal
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        entries[0] = Complex::new(-self.losses.rate(square(k)), 0.0);
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(2)
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 2, forward: 2 }]
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
        let [u, v] = out else { unreachable!("two arrays go to the grid") };
        wide(|| velocity(tile, state[0], u, v));
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        let [uv, difference] = products else { unreachable!("two products") };
        wide(|| {
            for (((uv, difference), &u), &v) in uv.iter_mut().zip(difference.iter_mut()).zip(values[0]).zip(values[1]) {
                *uv = u * v;
                *difference = (v - u) * (v + u);
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
        wide(|| {
            rows(tile, |at, kx| {
                let (uv, difference) = (&products[0][at.clone()], &products[1][at.clone()]);
                for (((out, &p), &q), &ky) in out[0][at].iter_mut().zip(uv).zip(difference).zip(tile.columns) {
                    *out = p * T::of(kx * kx - ky * ky) + q * T::of(kx * ky);
                }
            });
        });
    }

    fn forcing(&self, tile: &Tile, out: &mut [&mut [T]]) -> bool {
        let Some(Kolmogorov { strength, k, low }) = self.forcing else { return false };
        tile.for_each(|i, [_, _, y]| out[0][i] = T::of(strength * libm::cos(k * (y - low))));
        true
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
        vec![
            Quadratic { name: "energy", units: "length²/time²", meaning: "mean of |u|²/2" },
            Quadratic { name: "enstrophy", units: "1/time²", meaning: "mean of ω²/2" },
            Quadratic { name: "injection", units: "length²/time³", meaning: "work of the forcing (and of aliasing)" },
            Quadratic { name: "dissipation", units: "length²/time³", meaning: "energy lost to viscosity and drag" },
            Quadratic { name: "enstrophy_injection", units: "1/time³", meaning: "enstrophy put in by the forcing" },
            Quadratic { name: "enstrophy_dissipation", units: "1/time³", meaning: "enstrophy lost" },
        ]
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], rate: &[Complex<f64>], out: &mut [f64]) {
        let kk = square(k);
        let (enstrophy, work) = (0.5 * state[0].norm_sqr(), (state[0].conj() * rate[0]).re);
        let (per_kk, losses) = (inverse(kk), 2.0 * self.losses.rate(kk));
        out[0] = enstrophy * per_kk;
        out[1] = enstrophy;
        out[2] = work * per_kk;
        out[3] = losses * enstrophy * per_kk;
        out[4] = work;
        out[5] = losses * enstrophy;
    }

    fn smallest_eddies(&self, quadratics: &[f64]) -> Option<f64> {
        let Losses { viscosity: nu, hyperviscosity, drag } = self.losses;
        // What viscosity itself takes, which hyperviscosity would hide.
        (nu > 0.0 && hyperviscosity.is_none()).then(|| {
            let by_viscosity = quadratics[5] - 2.0 * drag * quadratics[1];
            enstrophy_length(nu, by_viscosity.max(0.0))
        })
    }

    fn derived(&self) -> Vec<FieldName> {
        vec![
            FieldName::new("velocity_x", "u").in_units("length/time"),
            FieldName::new("velocity_y", "v").in_units("length/time"),
            FieldName::new("stream_function", "ψ, u = ∂ψ/∂y, v = −∂ψ/∂x").in_units("length²/time"),
        ]
    }

    fn derive_field(&self, index: usize, k: [f64; 3], state: &[Complex<f64>]) -> Complex<f64> {
        let psi = state[0] * inverse(square(k));
        match index {
            0 => times_i(k[2], psi),
            1 => times_i(-k[1], psi),
            _ => psi,
        }
    }
}

/// u = i k_y ω/k², v = −i k_x ω/k².
#[inline(always)]
pub(super) fn velocity<T: Real>(tile: &Tile, vorticity: &[Complex<T>], u: &mut [Complex<T>], v: &mut [Complex<T>]) {
    rows(tile, |at, kx| {
        let (u, v, vorticity) = (&mut u[at.clone()], &mut v[at.clone()], &vorticity[at]);
        for (((u, v), &w), &ky) in u.iter_mut().zip(v).zip(vorticity).zip(tile.columns) {
            let per_kk = inverse(kx * kx + ky * ky);
            *u = times_i(T::of(ky * per_kk), w);
            *v = times_i(T::of(-kx * per_kk), w);
        }
    });
}
