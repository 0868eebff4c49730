//! Time steppers: one file per scheme, one line of the registry each.
//!
//!     M du/dt = L u + N(u, t)
//!
//! A stepper sees N through [`Nonlinear`] and L through [`Linear`] (exponential schemes) or [`Implicit`] (IMEX).

use super::fields::Fields;
use super::linear::{Implicit, Linear};
use crate::error::Result;
use crate::math::real::Real;

/// N(u, t); collective when it has ranks behind it.
pub trait Nonlinear<T: Real> {
    fn evaluate(&mut self, time: f64, state: &Fields<T>, out: &mut Fields<T>) -> Result<()>;
}

/// The linear part, as the scheme takes it.
pub enum LinearPart<'a, T: Real> {
    Exponential(&'a Linear),
    Implicit(&'a mut dyn Implicit<T>),
}

/// A time-stepping scheme with its own work space and history.
pub trait Stepper<T: Real> {
    /// Takes `state` from `time` to `time + step`. Coefficients are made anew when `step` differs from the last one.
    fn step(
        &mut self,
        nonlinear: &mut dyn Nonlinear<T>,
        linear: &mut LinearPart<T>,
        time: f64,
        step: f64,
        state: &mut Fields<T>,
    ) -> Result<()>;
    /// What a restart needs besides the state: arrays of earlier steps, by name; and numbers (such as earlier step
    /// sizes and how many steps the history holds).
    fn history(&mut self) -> (Vec<(&'static str, &mut Fields<T>)>, Vec<(&'static str, &mut f64)>);
    /// Difference to the embedded scheme of the last step, where the scheme has one: one per field and mode.
    fn embedded_error(&self) -> Option<&Fields<T>> {
        None
    }
}

/// How a scheme treats the linear part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Exponential,
    Imex,
}

/// One line of the registry.
pub struct Scheme {
    /// The word of the input.
    pub word: &'static str,
    pub summary: &'static str,
    pub kind: Kind,
    pub order: u32,
    /// |λ|Δt up to which the explicit part is stable on the imaginary axis; 0: never, only with diffusion.
    pub cfl: f64,
}
