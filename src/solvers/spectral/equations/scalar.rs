//! Equations of one real field whose nonlinear term is an operator applied to a polynomial of it: one transform each way.

use num_complex::Complex;

use super::kernel::{raise, rows, square, times_i};
use crate::math::real::Real;
use crate::solvers::spectral::domain::Tile;
use crate::solvers::spectral::equation::{Coupling, Degree, Equation, FieldName, Quadratic, Round};

/// What stands before the polynomial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operator {
    /// Nothing: N = p(u).
    Identity,
    /// N = factor · ∂p(u)/∂x, in one dimension.
    Derivative(f64),
    /// N = Δ p(u).
    Laplacian,
}

/// ∂u/∂t = L u + (operator) p(u).
pub trait Scalar: Send + Sync {
    /// L has only real entries.
    const REAL: bool;
    /// Degree of p.
    const DEGREE: u32;
    fn field(&self) -> &[FieldName; 1];
    fn linear(&self, k: [f64; 3]) -> Complex<f64>;
    /// p at one point.
    fn polynomial<T: Real>(&self, u: T) -> T;
    fn operator(&self) -> Operator;
    /// What |u| is multiplied with to give the speed along x at which N carries u; 0: it carries nothing.
    fn speed(&self) -> f64 {
        0.0
    }
    fn quadratics(&self) -> Vec<Quadratic>;
    /// See [`Equation::densities`].
    fn densities(&self, k: [f64; 3], u: Complex<f64>, rate: Complex<f64>, out: &mut [f64]);
    /// In one dimension: a mean over the grid of a density of u and ∂u/∂x, for the series.
    fn pointwise(&self) -> Option<Quadratic> {
        None
    }
    /// Its density.
    fn density(&self, _u: f64, _slope: f64) -> f64 {
        0.0
    }
}

/// A [`Scalar`] as an equation.
pub struct Single<S>(pub S);

impl<T: Real, S: Scalar> Equation<T> for Single<S> {
    fn fields(&self) -> &[FieldName] {
        self.0.field()
    }

    fn coupling(&self) -> Coupling {
        if S::REAL { Coupling::RealDiagonal } else { Coupling::Diagonal }
    }

    fn linear(&self, k: [f64; 3], entries: &mut [Complex<f64>]) {
        entries[0] = self.0.linear(k);
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(S::DEGREE)
    }

    fn rounds(&self) -> &[Round] {
        &[Round { backward: 1, forward: 1 }]
    }

    fn derives(&self, _round: usize) -> bool {
        false
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, values: &[&[T]], products: &mut [&mut [T]]) {
        products[0].iter_mut().zip(values[0]).for_each(|(p, &u)| *p = self.0.polynomial(u));
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
        let (out, p) = (&mut *out[0], products[0]);
        match self.0.operator() {
            Operator::Identity => out.copy_from_slice(p),
            Operator::Derivative(factor) => rows(tile, |at, _| {
                for ((out, &p), &k) in out[at.clone()].iter_mut().zip(&p[at]).zip(tile.columns) {
                    *out = times_i(T::of(factor * k), p);
                }
            }),
            Operator::Laplacian => rows(tile, |at, row| {
                for ((out, &p), &column) in out[at.clone()].iter_mut().zip(&p[at]).zip(tile.columns) {
                    *out = p * T::of(-square([tile.plane, row, column]));
                }
            }),
        }
    }

    fn carries(&self) -> bool {
        self.0.speed() > 0.0
    }

    fn speeds(&self, values: &[&[T]], fastest: &mut [f64; 3]) {
        let speed = self.0.speed();
        if speed > 0.0 {
            raise(&mut fastest[2], values[0], speed);
        }
    }

    fn quadratics(&self) -> Vec<Quadratic> {
        self.0.quadratics()
    }

    fn measures_n_alone(&self) -> bool {
        true
    }

    fn densities(&self, k: [f64; 3], state: &[Complex<f64>], rate: &[Complex<f64>], out: &mut [f64]) {
        self.0.densities(k, state[0], rate[0], out);
    }

    fn pointwise(&self) -> Vec<Quadratic> {
        self.0.pointwise().into_iter().collect()
    }

    fn pointwise_arrays(&self) -> usize {
        if self.0.pointwise().is_some() { 2 } else { 0 }
    }

    fn derive_pointwise(&self, tile: &Tile, state: &[&[Complex<T>]], out: &mut [&mut [Complex<T>]]) {
        out[0].copy_from_slice(state[0]);
        tile.for_each(|i, k| out[1][i] = times_i(T::of(k[2]), state[0][i]));
    }

    fn pointwise_densities(&self, _tile: &Tile, values: &[&[T]], out: &mut [&mut [f64]]) {
        for ((out, u), slope) in out[0].iter_mut().zip(values[0]).zip(values[1]) {
            *out = self.0.density((*u).to_f64(), (*slope).to_f64());
        }
    }
}
