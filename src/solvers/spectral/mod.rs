//! The room of spectral PDE solvers: its door.
//!
//! Words: *modes* are the kept coefficients, *points* the grid on which products are taken; a *tile* is the piece of
//! either that one thread works on; a *round* is one trip of fields to the grid and of products back.
//!
//! Reading order: [`domain`] the box · [`equation`] what an equation is · [`transform`] coefficients to grid and back,
//! over ranks · [`nonlinear`] one evaluation · [`linear`], [`steppers`] time.

mod bounded;
mod check;
pub mod domain;
mod ensemble;
pub mod equation;
pub mod equations;
mod evolution;
#[cfg(test)]
mod exact;
pub mod expression;
pub mod fields;
mod growth;
pub mod initial;
pub mod linear;
mod memory;
pub mod nonlinear;
pub mod plot;
pub mod problem;
mod reality;
pub mod results;
mod sampled;
mod setup;
mod start;
pub mod steppers;
pub mod tangent;
pub mod time;
pub mod transform;

use super::Entry;
use schemars::schema_for;

pub const ENTRY: Entry = Entry {
    name: "spectral",
    summary: "PDEs on distributed grids by Fourier and Chebyshev series, built in or written in the input",
    build: setup::build,
    check: check::check,
    problem_schema: || schema_for!(problem::ProblemInput),
    method_schema: || schema_for!(time::MethodInput),
    free: &["end_time", "process_grid", "share_memory"],
    free_in_method: None,
    methods: || steppers::schemes().iter().map(|s| (s.word, s.summary)).collect(),
    initials: equations::initials,
    plot: plot::plot,
};
pub mod walls;
