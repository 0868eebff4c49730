//! The room of entropic optimal transport: its door.
//!
//!     OT_ε(a, b) = min ⟨P, C⟩ + ε KL(P | a bᵀ)   over plans with marginals a, b, or penalised marginals
//!
//! Words: *source* and *target* are the two measures; a *pass* makes one potential from the other; *psi* and *phi* are
//! potentials over ε; a *certificate* is an interval that contains the truth whatever the potentials are.
//!
//! Reading order: [`problem`] what is asked · [`passes`] what a method may ask for · [`dual`], [`methods`], [`solve`]
//! how · [`certificate`] what is certain · [`exact`] what is true · [`setup`], [`distributed`] ranks and layouts ·
//! [`kernels`] arithmetic.

pub mod backend;
pub mod certificate;
mod check;
pub mod colour;
pub mod derived;
pub mod distributed;
pub mod divergence;
pub mod dual;
pub mod exact;
pub mod generated;
pub mod geometry;
pub mod grid;
pub mod kernels;
pub mod largest;
pub mod measures;
pub mod methods;
mod names;
pub mod passes;
mod plot;
pub mod problem;
pub mod results;
pub mod setup;
pub mod solve;
mod solver;
pub mod sweep;

use super::Entry;
use schemars::schema_for;

pub const ENTRY: Entry = Entry {
    name: "transport",
    summary: "certified entropic optimal transport between weighted points, images and densities",
    build: solver::build,
    check: check::check,
    problem_schema: || schema_for!(problem::ProblemInput),
    method_schema: || schema_for!(problem::MethodInput),
    free: &[],
    free_in_method: None,
    methods: || methods::registry().iter().map(|m| (m.word, m.summary)).collect(),
    initials: Vec::new,
    plot: plot::plot,
};
