//! The linear part between walls: diffusion of each unknown, implicit, no splitting error.
//!
//! Unknowns are ∇²w (degree N − 2; its mean column carries the mean flow U + iV, which obeys the same equation), in
//! three dimensions the wall-normal vorticity, and with convection the temperature. Each obeys
//!
//!     M ∂u/∂t = κ ∇² M u + N,   M: T → rows of C^(2)
//!
//! Rows in C^(2) with ∇²w two degrees below w make the scheme the Galerkin method of weight (1 − ξ²)^(3/2), whose
//! spectrum is real and negative: P. Charalambides and F. Waleffe, SIAM J. Numer. Anal. 47 (2008) 48.

use std::sync::Arc;

use num_complex::Complex;

use super::advection::Physics;
use super::geometry::Geometry;
use super::helmholtz::{Condition, Factors, LANES, Target, over_groups};
use super::ultraspherical::{mean, second_derivative, to_second};
use crate::crew::each_chunk;
use crate::solvers::spectral::fields::Fields;
use crate::solvers::spectral::linear::Implicit;

/// One unknown: how fast it diffuses and what holds at the walls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unknown {
    pub name: &'static str,
    pub diffusivity: f64,
    /// ∇²w: degree N − 2 and the integral conditions of no slip; otherwise degree N and zero values.
    pub laplacian: bool,
}

/// M and L of all unknowns, factored for the γ of a scheme.
pub struct Diffusion {
    geometry: Arc<Geometry>,
    unknowns: Vec<Unknown>,
    /// Bulk velocity held constant, if any.
    flux: Option<f64>,
    /// Per γ: factors of each unknown, and the mean flow that a unit force makes, with its own bulk velocity.
    solves: Vec<(Vec<Factors>, Vec<f64>, f64)>,
    gammas: Vec<f64>,
}

impl Diffusion {
    pub fn new(geometry: Arc<Geometry>, unknowns: Vec<Unknown>, flux: Option<f64>) -> Diffusion {
        Diffusion { geometry, unknowns, flux, solves: Vec::new(), gammas: Vec::new() }
    }

    fn degree(&self, unknown: &Unknown) -> usize {
        if unknown.laplacian { self.geometry.degree - 2 } else { self.geometry.degree }
    }

    fn condition(&self, unknown: &Unknown) -> Condition<'_> {
        if unknown.laplacian { Condition::Rows(&self.geometry.no_slip) } else { Condition::Values }
    }

    /// Bytes of the factors of one γ.
    pub fn bytes(&self) -> u64 {
        self.solves.first().map_or(0, |(factors, ..)| factors.iter().map(Factors::bytes).sum())
    }

    /// The force along x that would keep the bulk velocity with no motion but the mean: not needed in a step, where
    /// the flux is a condition; the mean flow of a unit force for the `which`-th γ.
    fn response(&self, factors: &Factors) -> (Vec<f64>, f64) {
        let Some(q) = self.geometry.mean else { return (Vec::new(), 0.0) };
        let mut x = vec![[[0.0; LANES]; 2]; self.geometry.degree + 1];
        x[0][0] = [to_second(0)[0]; LANES];
        factors.solve(q / LANES, &self.condition(&self.unknowns[0]), &mut x);
        let profile: Vec<f64> = x.iter().map(|x| x[0][q % LANES]).collect();
        let bulk = profile.iter().enumerate().map(|(j, u)| mean(j) * u).sum();
        (profile, bulk)
    }

    /// Row by row: out = (α S − β k² S + β d²/dz²) u with S the conversion to C^(2).
    fn rows(&self, u: &Fields<f64>, out: &mut Fields<f64>, mass: bool) {
        let columns = self.geometry.columns();
        let squares = &self.geometry.squares;
        let double = self.geometry.scale * self.geometry.scale;
        for ((unknown, u), out) in self.unknowns.iter().zip(&u.arrays).zip(&mut out.arrays) {
            let n = self.degree(unknown);
            let kappa = unknown.diffusivity;
            each_chunk(out, columns, |r, out| {
                if r + 2 > n {
                    out.fill(Complex::new(0.0, 0.0));
                    return;
                }
                let s = to_second(r);
                let row = |j: usize| &u[j * columns..(j + 1) * columns];
                let (first, second) = (row(r), row(r + 2));
                let third = if r + 4 <= n { row(r + 4) } else { first };
                let last = if r + 4 <= n { s[2] } else { 0.0 };
                if mass {
                    for q in 0..columns {
                        out[q] = first[q] * s[0] + second[q] * s[1] + third[q] * last;
                    }
                } else {
                    let diffused = kappa * double * second_derivative(r);
                    for q in 0..columns {
                        let sum = first[q] * s[0] + second[q] * s[1] + third[q] * last;
                        out[q] = second[q] * diffused - sum * (kappa * squares[q]);
                    }
                }
            });
        }
    }
}

impl Implicit<f64> for Diffusion {
    fn prepare(&mut self, gammas: &[f64]) {
        self.solves.clear();
        self.gammas.clear();
        self.gammas.extend_from_slice(gammas);
        for &gamma in gammas {
            let double = self.geometry.scale * self.geometry.scale;
            let mut all = Vec::new();
            for unknown in &self.unknowns {
                let g = gamma * unknown.diffusivity;
                let a: Vec<f64> = self.geometry.squares.iter().map(|k| 1.0 + g * k).collect();
                all.push(Factors::new(self.degree(unknown), &a, g * double, self.condition(unknown)));
            }
            let (profile, bulk) = self.response(&all[0]);
            self.solves.push((all, profile, bulk));
        }
    }

    fn prepared(&self) -> &[f64] {
        &self.gammas
    }

    fn mass(&self, u: &Fields<f64>, out: &mut Fields<f64>) {
        self.rows(u, out, true);
    }

    fn apply(&self, u: &Fields<f64>, out: &mut Fields<f64>) {
        self.rows(u, out, false);
    }

    fn solve(&mut self, which: usize, u: &mut Fields<f64>) {
        let columns = self.geometry.columns();
        let (factors, profile, response) = &self.solves[which];
        for ((unknown, factors), array) in self.unknowns.iter().zip(factors).zip(&mut u.arrays) {
            let n = factors.degree();
            let condition = self.condition(unknown);
            let target = Target::new(array, columns);
            over_groups(columns, |group, at| {
                self.geometry.room.with(n + 1, |x| {
                    // SAFETY: each group of columns is given to one thread.
                    unsafe { target.load(at.clone(), &mut x[..n - 1]) };
                    factors.solve(group, &condition, x);
                    unsafe { target.store(at, x) };
                });
            });
        }
        // The pressure gradient of a constant flux is the multiplier of this condition on the mean flow along x.
        if let (Some(flux), Some(q)) = (self.flux, self.geometry.mean) {
            let flow = &mut u.arrays[0];
            let bulk: f64 = (0..profile.len()).map(|j| mean(j) * flow[j * columns + q].re).sum();
            let force = (flux - bulk) / response;
            for (j, p) in profile.iter().enumerate() {
                flow[j * columns + q].re += force * p;
            }
        }
    }
}

/// The unknowns of a flow, in the order of its state.
pub fn unknowns(geometry: &Geometry, physics: &Physics) -> Vec<Unknown> {
    let viscosity = physics.viscosity;
    let mut all = vec![Unknown { name: "laplacian_w", diffusivity: viscosity, laplacian: true }];
    if geometry.three_dimensional() {
        all.push(Unknown { name: "vorticity_z", diffusivity: viscosity, laplacian: false });
    }
    all.extend(physics.diffusivity.map(|diffusivity| Unknown { name: "theta", diffusivity, laplacian: false }));
    all
}
