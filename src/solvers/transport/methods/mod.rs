//! The methods, one file each, behind one trait; a new one is its file and a row of the registry.
//!
//! Every method works on the semi-dual J(φ) of [`super::dual`], balanced or unbalanced; one step is one unit of work,
//! as a rule one `row_then_col`, and an error leaves the method as it was: passes write into a trial point that is
//! swapped in only after the last of them succeeded.

mod accelerated;
mod anderson;
mod newton;
mod overrelaxed;
mod semidual_rkhs;
mod semidual_rkhs_accelerated;
mod semidual_signed;
mod sinkhorn;

use super::dual::{Dual, Penalties, Point, Residual};
use super::passes::Passes;
use super::problem::{MethodInput, MethodName};
use crate::error::{Error, Result};
use crate::state::Walk;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Of the potentials the method would return now.
    pub error: Residual,
    /// J at them, in units of ε.
    pub value: f64,
    pub progress: Move,
    /// These potentials were evaluated in f32, maybe before a change to f64.
    pub coarse: bool,
}

impl Step {
    fn at(point: &Point, progress: Move) -> Self {
        Step { error: point.error, value: point.value, progress, coarse: point.coarse }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// New potentials.
    Accepted,
    /// The safeguard turned a proposal down; the potentials are the previous ones.
    Rejected,
    /// Work towards a proposal (conjugate gradients); the potentials are the previous ones.
    Preparing,
}

pub trait Method {
    /// Forgets all history; the next step evaluates `phi`.
    fn start(&mut self, phi: &[f64]);
    fn step(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step>;
    /// (ψ, φ) of the last accepted evaluation; its error is the one reported.
    fn potentials(&self) -> (&[f64], &[f64]);
    /// The φ to carry to another ε: one Sinkhorn step further, at no cost.
    fn carry(&self, dual: &Dual, out: &mut [f64]);
    /// Gives back the memory that only further steps need: they take it again.
    fn rest(&mut self);
    /// Everything a restart with the same bits needs.
    fn state(&mut self, walk: &mut dyn Walk) -> Result<()>;
}

/// Bytes that a method holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Until the output is written.
    pub state: u64,
    /// The same, of the steps so far.
    pub history: u64,
    /// While it steps.
    pub steps: u64,
}

/// A row of the registry.
pub struct Entry {
    pub name: MethodName,
    /// As written in an input.
    pub word: &'static str,
    pub summary: &'static str,
    /// Also solves problems with penalised marginals.
    pub unbalanced: bool,
    build: fn(&MethodInput, usize, usize) -> Box<dyn Method>,
    memory: fn(&MethodInput, usize, usize) -> Memory,
}

/// One row per method.
pub fn registry() -> &'static [Entry] {
    use MethodName::*;
    static ENTRIES: &[Entry] = &[
        Entry {
            name: Sinkhorn,
            word: "sinkhorn",
            summary: "alternating soft c-transforms (unbalanced: damped and translation-invariant)",
            unbalanced: true,
            build: sinkhorn::build,
            memory: sinkhorn::memory,
        },
        Entry {
            name: Overrelaxed,
            word: "overrelaxed",
            summary: "Sinkhorn with over-relaxed potentials, guarded by the dual; omega adapted when not given",
            unbalanced: true,
            build: overrelaxed::build,
            memory: overrelaxed::memory,
        },
        Entry {
            name: Accelerated,
            word: "accelerated",
            summary: "safeguarded extrapolation of the Sinkhorn map (Anderson, or momentum where memory is short); the default",
            unbalanced: true,
            build: accelerated::build,
            memory: accelerated::memory,
        },
        Entry {
            name: Anderson,
            word: "anderson",
            summary: "guarded Anderson acceleration of the Sinkhorn map",
            unbalanced: true,
            build: anderson::build,
            memory: anderson::memory,
        },
        Entry {
            name: Newton,
            word: "newton",
            summary: "damped Newton on the semi-dual by conjugate gradients, started and rescued by `accelerated`",
            unbalanced: true,
            build: newton::build,
            memory: newton::memory,
        },
        Entry {
            name: SemidualSigned,
            word: "semidual_signed",
            summary: "steepest ascent of the semi-dual in the sup norm, no constants",
            unbalanced: false,
            build: semidual_signed::build,
            memory: semidual_signed::memory,
        },
        Entry {
            name: SemidualRkhs,
            word: "semidual_rkhs",
            summary: "gradient ascent of the semi-dual in a reproducing-kernel Hilbert space",
            unbalanced: false,
            build: semidual_rkhs::build,
            memory: semidual_rkhs::memory,
        },
        Entry {
            name: SemidualRkhsAccelerated,
            word: "semidual_rkhs_accelerated",
            summary: "the same with Nesterov momentum and restart",
            unbalanced: false,
            build: semidual_rkhs_accelerated::build,
            memory: semidual_rkhs_accelerated::memory,
        },
    ];
    ENTRIES
}

/// What the method asked for holds for n sources and m targets.
pub fn memory(input: &MethodInput, n: usize, m: usize) -> Memory {
    (entry(input).memory)(input, n, m)
}

fn entry(input: &MethodInput) -> &'static Entry {
    registry().iter().find(|e| e.name == input.name).expect("every MethodName has a row in the registry")
}

/// Refuses a balanced-only method for an unbalanced problem.
pub fn check(input: &MethodInput, penalties: Penalties) -> Result<()> {
    let entry = entry(input);
    if !entry.unbalanced && !penalties.balanced() {
        let allowed: Vec<_> = registry().iter().filter(|e| e.unbalanced).map(|e| e.word).collect();
        return Err(Error::Usage(format!(
            "solves balanced problems only; with source_penalty or target_penalty use one of: {}",
            allowed.join(", ")
        )));
    }
    Ok(())
}

/// The method asked for, sized for the passes' problem.
pub fn build(input: &MethodInput, penalties: Penalties, n: usize, m: usize) -> Result<Box<dyn Method>> {
    check(input, penalties)?;
    Ok((entry(input).build)(input, n, m))
}
