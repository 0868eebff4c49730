//! The linear part, as implicit and exponential schemes use it.

use num_complex::Complex;

use super::fields::Fields;
use crate::math::real::Real;

/// L on the modes of this rank, in double precision.
#[derive(Debug, Clone, PartialEq)]
pub enum Linear {
    /// One real entry per field and mode: `[field][mode]`.
    RealDiagonal(Vec<Vec<f64>>),
    /// One entry per field and mode: `[field][mode]`.
    Diagonal(Vec<Vec<Complex<f64>>>),
    /// A block per mode, row by row: `[mode · F² + row · F + column]`.
    Block { fields: usize, entries: Vec<Complex<f64>> },
}

/// What a scheme that treats the linear part implicitly asks of it:
///
///     M ∂u/∂t = L u + N(u, t)
///
/// On periodic axes M is the identity and L a [`Linear`]; with walls M and L are banded per wavenumber and N is given
/// in the same equations (rows), boundary rows zero.
pub trait Implicit<T: Real> {
    /// Prepares solves with M − γ L for each given γ (in units of time); earlier ones are forgotten.
    fn prepare(&mut self, gammas: &[f64]);
    /// The γ of the last [`Implicit::prepare`]: several steppers may share this, each asks before it steps. Empty means
    /// that it is not known, and costs a `prepare` at every step.
    fn prepared(&self) -> &[f64] {
        &[]
    }
    /// out = M u.
    fn mass(&self, u: &Fields<T>, out: &mut Fields<T>);
    /// out = L u.
    fn apply(&self, u: &Fields<T>, out: &mut Fields<T>);
    /// Solves (M − γ L) u = b for the `which`-th γ; `u` holds b on entry.
    fn solve(&mut self, which: usize, u: &mut Fields<T>);
}
