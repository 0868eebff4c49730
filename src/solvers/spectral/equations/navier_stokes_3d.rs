//! Incompressible flow in three dimensions, u_t + u·∇u = −∇p + ν Δu + forcing, by three transforms to the grid and
//! five back.
//!
//! The three velocities go to the grid; of the six products u_i u_j five come back, because a multiple of the identity
//! is a pressure: u u − w w, v v − w w, u v, u w, v w [Basdevant1983]. The pressure is projected out.

use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dissipation::{Hyperviscosity, Losses};
use super::kernel::{along, inverse, raise, rows, square, times_i, unit, wide};
use super::{About, BuiltIn, Initial, Named, Refusal, Values, band, held, parameter, positive};
use crate::math::elementary::exp;
use crate::math::real::Real;
use crate::solvers::spectral::domain::{Domain, Tile};
use crate::solvers::spectral::equation::{Coupling, Degree, Drive, Equation, FieldName, Quadratic, Round};
use crate::solvers::spectral::results::spectra::kolmogorov_length;

/// Three-dimensional incompressible Navier–Stokes for the velocity; density 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Viscosity ν ≥ 0, in length²/time. No default.
    #[schemars(extend("minimum" = 0))]
    pub viscosity: f64,
    /// Linear drag ≥ 0, in 1/time. Default 0.
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

/// What drives the flow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Forcing {
    /// No force.
    #[default]
    None,
    /// The force that keeps the ABC flow with these coefficients: ν k² (A sin kz + C cos ky, …), k = 2π waves/length, where
    /// ν k² stands for all that hyperviscosity and drag add to it.
    Abc {
        /// [A, B, C]. Default [1, 1, 1].
        #[serde(default = "ones")]
        coefficients: [f64; 3],
        /// Whole waves along each axis. Default 1.
        #[serde(default = "one_wave")]
        #[schemars(extend("minimum" = 1))]
        waves: u32,
    },
    /// A force amplitude · sin(2π waves y/length_y) along x.
    Kolmogorov {
        /// Force per mass, in length/time². Default 1.
        #[serde(default = "one")]
        amplitude: f64,
        /// Whole waves along y. Default 1.
        #[serde(default = "one_wave")]
        #[schemars(extend("minimum" = 1))]
        waves: u32,
    },
    /// Statistically steady isotropic turbulence: the modes with 0 < |k| ≤ wavenumber keep their initial values.
    Frozen {
        /// Highest wavenumber that is held, in radians per length. No default.
        #[schemars(extend("exclusiveMinimum" = 0))]
        wavenumber: f64,
    },
    /// Isotropic turbulence: the force rate · u on all modes but the mean [Lundgren2003], or on those of them up to a wavenumber.
    Linear {
        /// In 1/time. No default.
        rate: f64,
        /// Highest wavenumber that is driven, in radians per length. Default: all; the mean never is.
        #[serde(default)]
        wavenumber: Option<f64>,
    },
    /// Isotropic turbulence at constant power: a force along u on the modes with 0 < |k| ≤ wavenumber, as strong as
    /// makes it do this work whatever the flow. The first state must move there.
    Power {
        /// Energy put in per mass and time, in length²/time³. No default.
        #[schemars(extend("exclusiveMinimum" = 0))]
        power: f64,
        /// Highest wavenumber that is driven, in radians per length. No default.
        #[schemars(extend("exclusiveMinimum" = 0))]
        wavenumber: f64,
    },
}

fn one() -> f64 {
    1.0
}

fn one_wave() -> u32 {
    1
}

fn ones() -> [f64; 3] {
    [1.0; 3]
}

impl BuiltIn for Input {
    const ABOUT: About = About {
        word: "navier_stokes_3d",
        summary: "3-D Navier–Stokes: u_t + u·∇u = −∇p + ν Δu + forcing, div u = 0",
        dimensions: &[3],
        complex: false,
        initials: &[
            Named {
                word: "taylor_green",
                summary: "(sin x cos y cos z, −cos x sin y cos z, 0), in units of length/2π [TaylorGreen1937]",
                parameters: &[parameter("amplitude", 1.0, "largest velocity")],
            },
            Named {
                word: "abc",
                summary: "exact in a cube: (A sin kz + C cos ky, B sin kx + A cos kz, C sin ky + B cos kx) e^(−νk²t) [Dombre1986]",
                parameters: &[
                    parameter("a", 1.0, "A"),
                    parameter("b", 1.0, "B"),
                    parameter("c", 1.0, "C"),
                    parameter("waves", 1.0, "whole waves along each axis"),
                    parameter("perturbation", 0.0, "amplitude of a Taylor–Green flow added, to start an instability"),
                ],
            },
            Named {
                word: "taylor_green_2d",
                summary: "exact: mean (U, V, W) + (cos x sin y, −sin x cos y, 0) carried along, in units of length/2π",
                parameters: &[
                    parameter("amplitude", 1.0, "largest velocity of the vortices"),
                    parameter("mean_x", 0.0, "U"),
                    parameter("mean_y", 0.0, "V"),
                    parameter("mean_z", 0.0, "W"),
                ],
            },
        ],
    };

    fn build<T: Real>(&self, domain: &Domain) -> Result<Arc<dyn Equation<T>>, Refusal> {
        let losses = Losses::new(self.viscosity, self.hyperviscosity, self.drag)?;
        let (mut frozen, mut driven, mut body, mut drive) = (0.0, None, None, None);
        match self.forcing {
            Forcing::None => {}
            Forcing::Abc { coefficients, waves } => {
                let k = same_wavenumber(domain, f64::from(waves))?;
                let scale = losses.rate(k * k);
                body = Some(Body::Abc(coefficients.map(|c| scale * c), k, lows(domain)));
            }
            Forcing::Kolmogorov { amplitude, waves } => {
                body = Some(Body::Kolmogorov(amplitude, f64::from(waves) * unit(domain, 1), domain.own()[1].low));
            }
            Forcing::Frozen { wavenumber } => frozen = positive("forcing.wavenumber", wavenumber)?,
            Forcing::Linear { rate, wavenumber } => {
                let limit = wavenumber.map(|k| positive("forcing.wavenumber", k)).transpose()?;
                driven = Some((rate, limit.map_or(f64::INFINITY, |k| k * k)));
            }
            Forcing::Power { power, wavenumber } => {
                let k = positive("forcing.wavenumber", wavenumber)?;
                drive = Some(Drive { power: positive("forcing.power", power)?, limit: k * k });
            }
        }
        let field = |axis: &str| FieldName {
            name: format!("velocity_{axis}"),
            units: "length/time".into(),
            meaning: format!("velocity along {axis}"),
        };
        let fields = ["x", "y", "z"].map(field);
        Ok(Arc::new(Flow { losses, frozen: frozen * frozen, driven, drive, body, fields }))
    }

    fn fits(&self, domain: &Domain) -> Result<(), Refusal> {
        match self.forcing {
            Forcing::None | Forcing::Linear { wavenumber: None, .. } => Ok(()),
            Forcing::Abc { waves, .. } => (0..3).try_for_each(|a| held("forcing.waves", f64::from(waves), domain, a)),
            Forcing::Kolmogorov { waves, .. } => held("forcing.waves", f64::from(waves), domain, 1),
            Forcing::Frozen { wavenumber: k }
            | Forcing::Linear { wavenumber: Some(k), .. }
            | Forcing::Power { wavenumber: k, .. } => band("forcing.wavenumber", k, domain),
        }
    }

    fn initial(&self, word: &str, values: &Values, domain: &Domain) -> Result<Initial, Refusal> {
        let losses = Losses::new(self.viscosity, self.hyperviscosity, self.drag)?;
        let x_of: [_; 3] = std::array::from_fn(|a| along(domain, a));
        let q: [f64; 3] = std::array::from_fn(|a| unit(domain, a));
        let taylor_green = move |amplitude: f64, x: [f64; 3]| {
            let [(sx, cx), (sy, cy), (_, cz)]: [(f64, f64); 3] =
                std::array::from_fn(|a| libm::sincos(q[a] * x_of[a](x)));
            [amplitude * sx * cy * cz, -amplitude * q[0] / q[1] * cx * sy * cz, 0.0]
        };
        Ok(match word {
            "taylor_green" => {
                let amplitude = values.get("amplitude");
                Initial::new(false, move |_, x, u| u.copy_from_slice(&taylor_green(amplitude, x)))
            }
            "abc" => {
                let waves = values.some_waves("waves", domain, 0..3)?;
                let (k, perturbation) = (same_wavenumber(domain, waves)?, values.get("perturbation"));
                let (coefficients, lows) = (["a", "b", "c"].map(|c| values.get(c)), lows(domain));
                let (exact, decay) = match self.forcing {
                    Forcing::None => (true, losses.rate(k * k)),
                    Forcing::Abc { coefficients: forced, waves: own } => {
                        (forced == coefficients && f64::from(own) == waves, 0.0)
                    }
                    _ => (false, 0.0),
                };
                Initial::new(exact && perturbation == 0.0, move |t, x, u| {
                    let factor = exp(-decay * t);
                    let abc = abc(coefficients, k, lows, x);
                    let extra = taylor_green(perturbation, x);
                    (0..3).for_each(|i| u[i] = factor * abc[i] + extra[i]);
                })
            }
            _ => {
                let (amplitude, mean) =
                    (values.get("amplitude"), ["mean_x", "mean_y", "mean_z"].map(|m| values.get(m)));
                let decay = losses.rate(q[0] * q[0] + q[1] * q[1]);
                Initial::new(self.forcing == Forcing::None && self.drag == 0.0, move |t, x, u| {
                    let [(sx, cx), (sy, cy)]: [(f64, f64); 2] =
                        std::array::from_fn(|a| libm::sincos(q[a] * (x_of[a](x) - mean[a] * t)));
                    let size = amplitude * exp(-decay * t);
                    u[0] = mean[0] + size * cx * sy;
                    u[1] = mean[1] - size * q[0] / q[1] * sx * cy;
                    u[2] = mean[2];
                })
            }
        })
    }
}

/// 2π waves/length of a cube; refuses other boxes.
fn same_wavenumber(domain: &Domain, waves: f64) -> Result<f64, Refusal> {
    let k: [f64; 3] = std::array::from_fn(|a| waves * unit(domain, a));
    if (k[0] - k[1]).abs() + (k[0] - k[2]).abs() > 1e-12 * k[0] {
        return Err(("lengths", "the ABC flow wants a cube".into()));
    }
    Ok(k[0])
}

fn lows(domain: &Domain) -> [f64; 3] {
    std::array::from_fn(|a| domain.own()[a].low)
}

/// The ABC flow, a Beltrami field: its curl is k times itself.
fn abc([a, b, c]: [f64; 3], k: f64, lows: [f64; 3], x: [f64; 3]) -> [f64; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)]: [(f64, f64); 3] =
        std::array::from_fn(|axis| libm::sincos(k * (x[axis] - lows[axis])));
    [a * sz + c * cy, b * sx + a * cz, c * sy + b * cx]
}

/// A force that does not depend on time.
enum Body {
    /// Coefficients, wavenumber, start of the axes.
    Abc([f64; 3], f64, [f64; 3]),
    /// Amplitude, wavenumber, start of y.
    Kolmogorov(f64, f64, f64),
}

struct Flow {
    losses: Losses,
    /// Modes with 0 < k² up to this keep their values; 0: none.
    frozen: f64,
    /// Rate of growth of the modes with k² up to a limit.
    driven: Option<(f64, f64)>,
    drive: Option<Drive>,
    body: Option<Body>,
    fields: [FieldName; 3],
}

impl Flow {
    /// Rate at which energy leaves a mode by the losses, and enters by the linear drive, without freezing.
    fn rates(&self, kk: f64) -> (f64, f64) {
        let driven = self.driven.map_or(0.0, |(rate, limit)| if kk > 0.0 && kk <= limit { rate } else { 0.0 });
        (self.losses.rate(kk), driven)
    }

    fn is_frozen(&self, kk: f64) -> bool {
        kk > 0.0 && kk <= self.frozen
    }
}

impl<T: Real> Equation<T> for Flow {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::RealDiagonal
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        let kk = square(k);
        let (losses, driven) = self.rates(kk);
        let rate = if self.is_frozen(kk) { 0.0 } else { driven - losses };
        entries.fill(Complex::new(rate, 0.0));
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(2)
    }

    fn keeps_modes(&self) -> bool {
        self.frozen > 0.0
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 3, forward: 5 }]
    }

    fn derives(&self, _round: usize) -> bool {
        false
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        wide(|| stresses(values, products));
    }

    fn reads_state(&self) -> bool {
        false
    }

    fn assemble(
        &self,
        _time: f64,
        tile: &Tile,
        _state: &[&[Complex<T>]],
        products: &[&[Complex<T>]],
        out: &mut [&mut [Complex<T>]],
    ) {
        wide(|| advection(tile, products, out));
        if self.frozen > 0.0 {
            tile.for_each(|i, k| {
                if self.is_frozen(square(k)) {
                    out.iter_mut().for_each(|out| out[i] = Complex::new(T::zero(), T::zero()));
                }
            });
        }
    }

    fn forcing(&self, tile: &Tile, out: &mut [&mut [T]]) -> bool {
        match self.body {
            None => return false,
            Some(Body::Abc(coefficients, k, lows)) => tile.for_each(|i, x| {
                let force = abc(coefficients, k, lows, x);
                (0..3).for_each(|f| out[f][i] = T::of(force[f]));
            }),
            Some(Body::Kolmogorov(amplitude, k, low)) => {
                tile.for_each(|i, [_, y, _]| out[0][i] = T::of(amplitude * libm::sin(k * (y - low))));
            }
        }
        true
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

    fn quadratics(&self) -> Vec<Quadratic> {
        vec![
            Quadratic { name: "energy", units: "length²/time²", meaning: "mean of |u|²/2" },
            Quadratic { name: "enstrophy", units: "1/time²", meaning: "mean of |curl u|²/2" },
            Quadratic { name: "injection", units: "length²/time³", meaning: "work of the forcing (and of aliasing)" },
            Quadratic { name: "dissipation", units: "length²/time³", meaning: "energy lost to viscosity and drag" },
            Quadratic { name: "helicity", units: "length/time²", meaning: "mean of u · curl u" },
        ]
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], rate: &[Complex<f64>], out: &mut [f64]) {
        let kk = square(k);
        let energy = 0.5 * state.iter().map(|u| u.norm_sqr()).sum::<f64>();
        let work: f64 = state.iter().zip(rate).map(|(u, rate)| (u.conj() * rate).re).sum();
        let (losses, driven) = self.rates(kk);
        let curl = curl(k, state);
        out[0] = energy;
        out[1] = kk * energy;
        // Whoever holds a frozen mode makes up for what it loses, besides what it gives to the others.
        out[2] = work + 2.0 * energy * if self.is_frozen(kk) { losses } else { driven };
        out[3] = 2.0 * losses * energy;
        out[4] = (0..3).map(|i| (state[i].conj() * curl[i]).re).sum();
    }

    fn smallest_eddies(&self, quadratics: &[f64]) -> Option<f64> {
        let nu = self.losses.viscosity;
        // What viscosity itself takes: 2 ν times the enstrophy.
        (nu > 0.0).then(|| kolmogorov_length(nu, 2.0 * nu * quadratics[1]))
    }

    fn drive(&self) -> Option<Drive> {
        self.drive
    }

    fn derived(&self) -> Vec<FieldName> {
        let component = |axis: &str| FieldName {
            name: format!("vorticity_{axis}"),
            units: "1/time".into(),
            meaning: format!("curl of the velocity along {axis}"),
        };
        ["x", "y", "z"].map(component).to_vec()
    }

    fn derive_field(&self, index: usize, k: [f64; 3], state: &[Complex<f64>]) -> Complex<f64> {
        curl(k, state)[index]
    }
}

fn curl(k: [f64; 3], u: &[Complex<f64>]) -> [Complex<f64>; 3] {
    std::array::from_fn(|i| {
        let (j, l) = ((i + 1) % 3, (i + 2) % 3);
        times_i(k[j], u[l]) - times_i(k[l], u[j])
    })
}

/// uu − ww, vv − ww, uv, uw, vw.
#[inline(always)]
pub(super) fn stresses<T: Real>(values: &[&[T]], products: &mut [&mut [T]]) {
    let n = values[0].len();
    let (u, v, w) = (&values[0][..n], &values[1][..n], &values[2][..n]);
    let [xx, yy, xy, xz, yz, ..] = products else { unreachable!("five products") };
    let (xx, yy, xy, xz, yz) = (&mut xx[..n], &mut yy[..n], &mut xy[..n], &mut xz[..n], &mut yz[..n]);
    for i in 0..n {
        let (u, v, w) = (u[i], v[i], w[i]);
        xx[i] = (u - w) * (u + w);
        yy[i] = (v - w) * (v + w);
        xy[i] = u * v;
        xz[i] = u * w;
        yz[i] = v * w;
    }
}

/// −i (k·S − k (k·S·k)/k²) from the coefficients S of the five products.
#[inline(always)]
pub(super) fn advection<T: Real>(tile: &Tile, products: &[&[Complex<T>]], out: &mut [&mut [Complex<T>]]) {
    let [x, y, z, ..] = out else { unreachable!("three velocities") };
    let kx = T::of(tile.plane);
    rows(tile, |at, ky| {
        let n = at.len();
        let [xx, yy, xy, xz, yz]: [&[Complex<T>]; 5] = std::array::from_fn(|p| &products[p][at.clone()][..n]);
        let (x, y, z) = (&mut x[at.clone()][..n], &mut y[at.clone()][..n], &mut z[at][..n]);
        let (columns, horizontal) = (&tile.columns[..n], tile.plane * tile.plane + ky * ky);
        let ky = T::of(ky);
        for i in 0..n {
            let kz = columns[i];
            let per_kk = T::of(inverse(horizontal + kz * kz));
            let kz = T::of(kz);
            let sx = xx[i] * kx + xy[i] * ky + xz[i] * kz;
            let sy = xy[i] * kx + yy[i] * ky + yz[i] * kz;
            let sz = xz[i] * kx + yz[i] * ky;
            let pressure = (sx * kx + sy * ky + sz * kz) * per_kk;
            x[i] = minus_i(sx - pressure * kx);
            y[i] = minus_i(sy - pressure * ky);
            z[i] = minus_i(sz - pressure * kz);
        }
    });
}

#[inline(always)]
fn minus_i<T: Real>(z: Complex<T>) -> Complex<T> {
    Complex::new(z.im, -z.re)
}

/// u − k (k·u)/k² of the first three fields.
pub(super) fn project<T: Real>(tile: &Tile, state: &mut [&mut [Complex<T>]]) {
    tile.for_each(|i, k| {
        let u: [Complex<f64>; 3] =
            std::array::from_fn(|f| Complex::new(state[f][i].re.to_f64(), state[f][i].im.to_f64()));
        let along = (u[0] * k[0] + u[1] * k[1] + u[2] * k[2]) * inverse(square(k));
        (0..3).for_each(|f| state[f][i] = T::complex(u[f] - along * k[f]));
    });
}
