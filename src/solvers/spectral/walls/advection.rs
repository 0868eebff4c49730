//! The explicit part between walls: advection, buoyancy, the mean pressure gradient.
//!
//! With products A = uu − ww, B = vv − ww, C = uv, E = uw, F = vw on the grid (the isotropic part of the stress belongs
//! to the pressure, which never appears: J. Kim, P. Moin, R. Moser, J. Fluid Mech. 177 (1987) 133):
//!
//!     ∂∇²w/∂t: (k² + ∂zz) i(kx E + ky F) − ∂z(kx² A + 2 kx ky C + ky² B) − k² β θ
//!     ∂η/∂t:   (kx² − ky²) C + kx ky (B − A) − ∂z i(kx F − ky E)
//!     ∂θ/∂t:   −i kx (uθ) − i ky (vθ) − ∂z(wθ) + Γ w
//!     mean:    ∂U/∂t: −∂z E + G,  ∂V/∂t: −∂z F
//!
//! given in rows of C^(2), where ∂z and ∂zz of coefficients of T are one or two diagonals.

use std::sync::{Arc, Mutex};

use num_complex::Complex;
use smallvec::SmallVec;

use super::geometry::{Geometry, zeros};
use super::ultraspherical::{second_derivative, to_second};
use crate::crew::each_chunk;
use crate::error::Result;
use crate::solvers::spectral::domain::Tile;
use crate::solvers::spectral::fields::Fields;
use crate::solvers::spectral::steppers::Nonlinear;
use crate::solvers::spectral::transform::Transform;
use crate::team::Team;

/// Coefficients of the flow between walls, in the units of the problem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Physics {
    /// ν.
    pub viscosity: f64,
    /// Of temperature; none without it.
    pub diffusivity: Option<f64>,
    /// β: force per mass along z of a unit of temperature.
    pub buoyancy: f64,
    /// Γ = −dT/dz of the conducting state; θ is the deviation from it.
    pub gradient: f64,
    /// G: constant force per mass along x (minus the mean pressure gradient).
    pub force: f64,
    /// Bulk velocity held constant instead.
    pub flux: Option<f64>,
}

/// Arrays that an evaluation takes to the grid, and back.
pub fn trips(three_dimensional: bool, heat: bool) -> (usize, usize) {
    let velocities = if three_dimensional { 3 } else { 2 };
    let fluxes = if heat { velocities } else { 0 };
    (velocities + usize::from(heat), fluxes + if three_dimensional { 5 } else { 2 })
}

/// Work space of the explicit part.
pub struct Advection {
    geometry: Arc<Geometry>,
    physics: Physics,
    /// w, u and in three dimensions v.
    velocity: Fields<f64>,
    products: Fields<f64>,
    /// At each plane of the padded grid: the wavenumber N/(length of a Chebyshev cell) that limits Δt.
    steepness: Vec<(f64, f64)>,
    nothing: Vec<Complex<f64>>,
}

impl Advection {
    pub fn new(geometry: Arc<Geometry>, physics: Physics) -> Advection {
        let wide = geometry.three_dimensional();
        let velocity = zeros(&geometry, if wide { 3 } else { 2 });
        let products = zeros(&geometry, trips(wide, physics.diffusivity.is_some()).1);
        let axis = &geometry.domain.axes[0];
        let n = geometry.degree as f64;
        let steepness = (0..axis.points)
            .map(|i| {
                let z = axis.coordinate(i);
                let xi = 2.0 * (z - axis.low) / axis.length - 1.0;
                let narrow = (1.0 - xi * xi).max(0.0).sqrt().max(std::f64::consts::PI / (2.0 * n));
                (z, geometry.scale * n / narrow)
            })
            .collect();
        let nothing = vec![Complex::new(0.0, 0.0); geometry.columns()];
        Advection { geometry, physics, velocity, products, steepness, nothing }
    }

    /// Ready to evaluate; `fastest` is raised to the largest Σ |u_i| k_i met on this rank's part of the grid.
    pub fn bind<'a>(
        &'a mut self,
        transform: &'a mut dyn Transform<f64>,
        team: &'a dyn Team,
        fastest: Option<&'a mut f64>,
    ) -> Bound<'a> {
        Bound { advection: self, transform, team, fastest }
    }

    /// Bytes of the work space.
    pub fn bytes(&self) -> u64 {
        let arrays = self.velocity.len() + self.products.len();
        (16 * arrays * self.velocity.modes()) as u64
    }

    /// w, u, (v) of a state.
    pub fn velocities(&mut self, state: &Fields<f64>) -> &Fields<f64> {
        let eta = self.geometry.three_dimensional().then(|| state.arrays[1].as_slice());
        self.geometry.velocities(&state.arrays[0], eta, &mut self.velocity.arrays);
        &self.velocity
    }
}

/// An [`Advection`] with its transform and ranks.
pub struct Bound<'a> {
    advection: &'a mut Advection,
    transform: &'a mut dyn Transform<f64>,
    team: &'a dyn Team,
    fastest: Option<&'a mut f64>,
}

impl Nonlinear<f64> for Bound<'_> {
    fn evaluate(&mut self, _time: f64, state: &Fields<f64>, out: &mut Fields<f64>) -> Result<()> {
        self.advection.velocities(state);
        let Advection { geometry, physics, velocity, products, steepness, nothing } = &mut *self.advection;
        let wide = geometry.three_dimensional();
        let heated = physics.diffusivity.is_some();
        let theta = heated.then(|| state.arrays[if wide { 2 } else { 1 }].as_slice());
        {
            let mut inputs: [&[Complex<f64>]; 4] = [&[]; 4];
            let mut given = 0;
            for array in velocity.arrays.iter().map(Vec::as_slice).chain(theta) {
                inputs[given] = array;
                given += 1;
            }
            let mut outputs: SmallVec<[&mut [Complex<f64>]; 8]> =
                products.arrays.iter_mut().map(Vec::as_mut_slice).collect();
            let largest = Mutex::new(0.0f64);
            let watch = self.fastest.is_some();
            let wavenumbers = [1, 2].map(|a| {
                let axis = &geometry.domain.axes[a];
                std::f64::consts::TAU / axis.length * axis.highest as f64
            });
            let multiply = |tile: &Tile, values: &[&[f64]], products: &mut [&mut [f64]]| {
                if wide {
                    multiply_3d(values, products)
                } else {
                    multiply_2d(values, products)
                }
                if watch {
                    let steep = steepness[tile.start[0]].1;
                    let here = (0..tile.len())
                        .map(|i| {
                            let across = if wide { values[2][i].abs() * wavenumbers[0] } else { 0.0 };
                            values[0][i].abs() * steep + values[1][i].abs() * wavenumbers[1] + across
                        })
                        // f64::max would lose a NaN.
                        .fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a });
                    let mut largest = largest.lock().expect("no thread panicked");
                    *largest = if here.is_nan() { f64::INFINITY } else { largest.max(here) };
                }
            };
            self.transform.through(self.team, &inputs[..given], &multiply, &mut outputs);
            if let Some(fastest) = self.fastest.as_deref_mut() {
                *fastest = fastest.max(largest.into_inner().expect("no thread panicked"));
            }
        }
        assemble(geometry, physics, velocity, products, theta, nothing, out);
        Ok(())
    }
}

/// [w, u, (θ)] → [A, E, (uθ, wθ)].
fn multiply_2d(values: &[&[f64]], products: &mut [&mut [f64]]) {
    let (w, u) = (values[0], values[1]);
    for (i, (w, u)) in w.iter().zip(u).enumerate() {
        products[0][i] = u * u - w * w;
        products[1][i] = u * w;
    }
    if let Some(theta) = values.get(2) {
        for (i, theta) in theta.iter().enumerate() {
            products[2][i] = u[i] * theta;
            products[3][i] = w[i] * theta;
        }
    }
}

/// [w, u, v, (θ)] → [A, E, B, C, F, (uθ, wθ, vθ)].
fn multiply_3d(values: &[&[f64]], products: &mut [&mut [f64]]) {
    let (w, u, v) = (values[0], values[1], values[2]);
    let [a, e, b, c, f, heat @ ..] = products else { return };
    for i in 0..w.len() {
        let ww = w[i] * w[i];
        a[i] = u[i] * u[i] - ww;
        b[i] = v[i] * v[i] - ww;
        c[i] = u[i] * v[i];
        e[i] = u[i] * w[i];
        f[i] = v[i] * w[i];
    }
    if let (Some(theta), [x, z, y]) = (values.get(3), heat) {
        for i in 0..w.len() {
            x[i] = u[i] * theta[i];
            y[i] = v[i] * theta[i];
            z[i] = w[i] * theta[i];
        }
    }
}

/// Coefficients of T as rows; beyond the highest degree there is nothing.
struct Rows<'a> {
    array: &'a [Complex<f64>],
    columns: usize,
    nothing: &'a [Complex<f64>],
}

impl<'a> Rows<'a> {
    fn row(&self, j: usize) -> &'a [Complex<f64>] {
        self.array.get(j * self.columns..(j + 1) * self.columns).unwrap_or(self.nothing)
    }

    /// Rows r, r + 2, r + 4 and r + 1, r + 3: what one row of C^(2) needs.
    fn around(&self, r: usize) -> [&'a [Complex<f64>]; 5] {
        [0, 2, 4, 1, 3].map(|d| self.row(r + d))
    }
}

fn i(z: Complex<f64>) -> Complex<f64> {
    Complex::new(-z.im, z.re)
}

fn assemble(
    geometry: &Geometry,
    physics: &Physics,
    velocity: &Fields<f64>,
    products: &Fields<f64>,
    theta: Option<&[Complex<f64>]>,
    nothing: &[Complex<f64>],
    out: &mut Fields<f64>,
) {
    let columns = geometry.columns();
    let wide = geometry.three_dimensional();
    let (n, scale) = (geometry.degree, geometry.scale);
    let rows = |array| Rows { array, columns, nothing };
    let product = |at: usize| rows(products.arrays[at].as_slice());
    let convert = |s: &[f64; 3], x: &[&[Complex<f64>]; 5], q: usize| x[0][q] * s[0] + x[1][q] * s[1] + x[2][q] * s[2];
    let (kx, ky, squares) = (&geometry.kx, &geometry.ky, &geometry.squares);
    let zero = Complex::new(0.0, 0.0);

    // ∇²w, and the mean flow in its mean column.
    each_chunk(&mut out.arrays[0], columns, |r, out| {
        // ∇²w has degree N − 2: rows 0 to N − 4.
        if r + 4 > n {
            out.fill(zero);
            return;
        }
        let s = to_second(r);
        let twice = scale * scale * second_derivative(r);
        let (a, e) = (product(0).around(r), product(1).around(r));
        let none = rows(&[]).around(r);
        let [b, c, f] = if wide { [2, 3, 4].map(|p| product(p).around(r)) } else { [none; 3] };
        let heat = theta.map(|t| rows(t).around(r));
        for q in 0..columns {
            let (x, y, k) = (kx[q], ky[q], squares[q]);
            let g = i(e[0][q] * x + f[0][q] * y) * s[0]
                + i(e[1][q] * x + f[1][q] * y) * s[1]
                + i(e[2][q] * x + f[2][q] * y) * s[2];
            let second = i(e[1][q] * x + f[1][q] * y) * twice;
            let stress = |at: usize| a[at][q] * (x * x) + c[at][q] * (2.0 * x * y) + b[at][q] * (y * y);
            let mut sum = g * k + second - (stress(3) - stress(4)) * scale;
            if let Some(heat) = &heat {
                sum -= convert(&s, heat, q) * (k * physics.buoyancy);
            }
            out[q] = sum;
        }
        if let Some(q) = geometry.mean {
            let flux = |at: usize| Complex::new(e[at][q].re, f[at][q].re);
            out[q] = (flux(4) - flux(3)) * scale;
            if r == 0 {
                out[q].re += physics.force;
            }
        }
    });

    if wide {
        each_chunk(&mut out.arrays[1], columns, |r, out| {
            if r + 2 > n {
                out.fill(zero);
                return;
            }
            let s = to_second(r);
            let [a, e, b, c, f] = [0, 1, 2, 3, 4].map(|p| product(p).around(r));
            for q in 0..columns {
                let (x, y) = (kx[q], ky[q]);
                let shear = |at: usize| i(f[at][q] * x - e[at][q] * y);
                let plane = |at: usize| c[at][q] * (x * x - y * y) + (b[at][q] - a[at][q]) * (x * y);
                out[q] = plane(0) * s[0] + plane(1) * s[1] + plane(2) * s[2] - (shear(3) - shear(4)) * scale;
            }
        });
    }

    if theta.is_some() {
        let first = if wide { 5 } else { 2 };
        each_chunk(&mut out.arrays[if wide { 2 } else { 1 }], columns, |r, out| {
            if r + 2 > n {
                out.fill(zero);
                return;
            }
            let s = to_second(r);
            let (x, z) = (product(first).around(r), product(first + 1).around(r));
            let y = if wide { product(first + 2).around(r) } else { rows(&[]).around(r) };
            let w = rows(velocity.arrays[0].as_slice()).around(r);
            for q in 0..columns {
                let across = convert(&s, &x, q) * kx[q] + convert(&s, &y, q) * ky[q];
                out[q] = convert(&s, &w, q) * physics.gradient - i(across) - (z[3][q] - z[4][q]) * scale;
            }
        });
    }
}
