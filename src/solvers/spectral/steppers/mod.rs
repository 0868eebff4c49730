//! Time steppers: one file per scheme, one line of the registry each.
//!
//!     M du/dt = L u + N(u, t)
//!
//! A stepper sees N through [`Nonlinear`] and L through [`Linear`] (exponential schemes) or [`Implicit`] (IMEX). A step
//! is a composition of evaluations of N and of maps that are linear in each mode (or solves with M − γ L), with no
//! branch that depends on the state; its derivative is therefore the same step of the linearised equation, and its
//! adjoint the adjoints of the same maps in reverse.

mod ars;
mod cnab;
mod doubling;
mod etdrk4;
mod factors;
mod if_rk4;
#[cfg(test)]
mod pde_tests;
mod phi;
mod sbdf;
#[cfg(test)]
pub(super) mod small;
mod smr;
mod stage;
mod sweep;
#[cfg(test)]
mod tests;

pub use doubling::{retake, retake_arrays, retake_evaluations, subtract};
pub use factors::Factors;
pub use phi::resolvent;
pub use stage::Stage;
pub use sweep::{Factor, GROUP, Sweep, Vector, combine, run};

use super::fields::Fields;
use super::linear::{Implicit, Linear};
use crate::error::Result;
use crate::math::real::Real;

/// N(u, t); collective when it has ranks behind it.
pub trait Nonlinear<T: Real> {
    fn evaluate(&mut self, time: f64, state: &Fields<T>, out: &mut Fields<T>) -> Result<()>;
    /// Whether [`Nonlinear::evaluate_in_parts`] can be called.
    fn comes_in_parts(&self) -> bool {
        false
    }
    /// Whether the next call of [`Nonlinear::evaluate_in_parts`] may be for a state that [`Stage::take`] returned and nobody
    /// kept.
    fn goes_on_at_once(&self) -> bool {
        false
    }
    /// N of the state of a stage, every part of which the stage takes once.
    fn evaluate_in_parts(&mut self, _time: f64, _stage: &Stage<T>) {
        unreachable!("N does not come in parts")
    }
}

/// The linear part, as the scheme takes it.
pub enum LinearPart<'a, T: Real> {
    Exponential(&'a Linear),
    Implicit(&'a mut dyn Implicit<T>),
}

impl<'a, T: Real> LinearPart<'a, T> {
    /// # Panics
    /// With an implicit part: the scheme's [`Kind`] was not heeded.
    fn exponential(&self) -> &'a Linear {
        match self {
            LinearPart::Exponential(linear) => linear,
            LinearPart::Implicit(_) => panic!("an exponential scheme was given an implicit linear part"),
        }
    }

    /// # Panics
    /// With an exponential part: the scheme's [`Kind`] was not heeded.
    fn implicit(&mut self) -> &mut dyn Implicit<T> {
        match self {
            LinearPart::Implicit(implicit) => *implicit,
            LinearPart::Exponential(_) => panic!("an IMEX scheme was given an exponential linear part"),
        }
    }
}

/// Makes the factors for these γ unless they are there.
fn prepare<T: Real>(implicit: &mut dyn Implicit<T>, gammas: &[f64]) {
    if implicit.prepared() != gammas {
        implicit.prepare(gammas);
    }
}

/// A time-stepping scheme with its own work space and history. One stepper serves one linear part.
pub trait Stepper<T: Real>: Send {
    /// Takes `state` from `time` to `time + step`. Coefficients are made anew when `step` differs from the last one.
    /// After an error the state and the history are as before.
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
    /// After something was added to the state between steps: `add` adds it to a state. It moves earlier states too,
    /// as it is no part of the slope that is read off them; what was evaluated at the state is forgotten.
    fn disturb(&mut self, _add: &mut dyn FnMut(&mut Fields<T>)) {}
    /// Before the first step: whether to compare each step with the embedded scheme. False: there is none.
    fn estimate(&mut self, _on: bool) -> bool {
        false
    }
    /// Difference to the embedded scheme of the last step, where it was asked for: one per field and mode.
    fn embedded_error(&self) -> Option<&Fields<T>> {
        None
    }
    /// Takes the last step back, where its error was estimated; once, right after it.
    ///
    /// # Panics
    /// When [`Stepper::estimate`] is off.
    fn reject(&mut self, _state: &mut Fields<T>) {
        panic!("this step cannot be taken back");
    }
}

/// How a scheme treats the linear part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Exponential,
    Imex,
}

/// One line of the registry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scheme {
    /// The word of the input.
    pub word: &'static str,
    pub summary: &'static str,
    pub kind: Kind,
    pub order: u32,
    /// |λ|Δt up to which the explicit part is stable on the imaginary axis; 0: never, only with diffusion.
    pub cfl: f64,
    /// Order of the embedded scheme that estimates the error.
    pub embedded: Option<u32>,
    /// Steps whose values enter one step: 1 for a Runge–Kutta scheme.
    pub steps: u32,
    /// Work space in arrays of the size of the state, at its largest (multistep schemes: while they start).
    pub arrays: usize,
    /// Arrays more for the error estimate.
    pub estimate_arrays: usize,
    /// Functions of L that are held per mode, L itself in the precision of the state included for IMEX.
    pub functions: usize,
}

impl Scheme {
    /// Of `arrays`, those that stay after the first steps.
    pub fn lasting_arrays(&self) -> usize {
        match self.word {
            "sbdf2" | "cnab2" => 4,
            "sbdf3" => 6,
            _ => self.arrays,
        }
    }

    /// Whether waves that L does not damp grow at any step. Of backward differences of third order.
    pub fn amplifies_waves(&self) -> bool {
        self.word == "sbdf3"
    }

    /// Evaluations of N per step, past the start.
    pub fn evaluations(&self) -> u64 {
        match self.word {
            "etdrk4" | "if_rk4" | "ars443" => 4,
            "smr_rk3" => 3,
            "ars222" => 2,
            _ => 1,
        }
    }
}

/// The schemes. Order is that for smooth solutions of the whole equation; the CFL constants are the limits of the
/// explicit part on the imaginary axis (§4.4 of the notes; a test finds each again).
pub fn schemes() -> &'static [Scheme] {
    use Kind::{Exponential, Imex};
    const fn scheme(
        (word, summary): (&'static str, &'static str),
        kind: Kind,
        order: u32,
        cfl: f64,
        steps: u32,
        arrays: usize,
        functions: usize,
    ) -> Scheme {
        Scheme { word, summary, kind, order, cfl, embedded: None, steps, arrays, estimate_arrays: 0, functions }
    }
    static SCHEMES: &[Scheme] = &[
        scheme(("etdrk4", "exponential time differencing, order 4 (Cox–Matthews)"), Exponential, 4, 2.828, 1, 4, 6),
        Scheme {
            embedded: Some(3),
            estimate_arrays: 2,
            ..scheme(
                ("if_rk4", "integrating factor, classical Runge–Kutta, order 4; embedded order 3"),
                Exponential,
                4,
                2.828,
                1,
                3,
                2,
            )
        },
        scheme(("ars222", "IMEX Runge–Kutta, order 2, two solves (Ascher–Ruuth–Spiteri)"), Imex, 2, 0.0, 1, 4, 2),
        scheme(("ars443", "IMEX Runge–Kutta, order 3, four solves (Ascher–Ruuth–Spiteri)"), Imex, 3, 1.57, 1, 6, 2),
        scheme(("sbdf2", "semi-implicit backward differences, order 2"), Imex, 2, 0.0, 2, 8, 2),
        scheme(("sbdf3", "semi-implicit backward differences, order 3"), Imex, 3, 0.633, 3, 12, 2),
        scheme(("cnab2", "Crank–Nicolson and Adams–Bashforth, order 2"), Imex, 2, 0.0, 2, 8, 2),
        scheme(("smr_rk3", "Spalart–Moser–Rogers: order 3 explicit, 2 implicit"), Imex, 2, 1.732, 1, 5, 4),
    ];
    SCHEMES
}

/// The scheme of that word for so many fields and modes on this rank.
pub fn stepper<T: Real>(word: &str, fields: usize, modes: usize) -> Option<Box<dyn Stepper<T>>> {
    Some(match word {
        "etdrk4" => Box::new(etdrk4::Etdrk4::new(fields, modes)),
        "if_rk4" => Box::new(if_rk4::IfRk4::new(fields, modes)),
        "ars222" => Box::new(ars::Ars::two(fields, modes)),
        "ars443" => Box::new(ars::Ars::four(fields, modes)),
        "sbdf2" => Box::new(sbdf::Sbdf::<T, 2>::new(fields, modes)),
        "sbdf3" => Box::new(sbdf::Sbdf::<T, 3>::new(fields, modes)),
        "cnab2" => Box::new(cnab::Cnab2::new(fields, modes)),
        "smr_rk3" => Box::new(smr::SmrRk3::new(fields, modes)),
        _ => return None,
    })
}
