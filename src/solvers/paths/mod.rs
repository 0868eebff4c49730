//! The room of conditioned path measures: its door.
//!
//! Words: the *chain* is the Euler–Maruyama chain of the reference diffusion; the *cost* J weighs its paths with e^{−J};
//! a *guide* twists and shifts the chain's kernel, and says by how much; a *replicate* is one independent population of
//! paths; *training* is what a method does before its first replicate.
//!
//! Reading order: [`priors`] reference diffusions · [`chain`] chain and cost · [`guide`] guided transitions and their
//! weights · [`coupled`], [`tabulated`], [`bumps`] twists of other kinds · [`collectives`] what methods need of ranks · [`ensemble`] a replicate · [`methods`] · [`tally`] error bars · [`committor`]
//! what needs no paths.

pub mod bumps;
pub mod chain;
mod check;
pub mod collectives;
pub mod committor;
pub mod coupled;
pub mod ensemble;
pub mod entropic;
#[cfg(test)]
mod exact;
pub mod guide;
pub mod linear;
pub mod methods;
pub mod plot;
pub mod priors;
pub mod problem;
mod ranks;
mod setup;
mod solver;
pub mod tabulated;
pub mod tally;

use super::Entry;
use schemars::schema_for;

pub const ENTRY: Entry = Entry {
    name: "paths",
    summary: "conditioned path measures: bridges, transition paths and smoothing of diffusions",
    build: setup::build,
    check: check::check,
    problem_schema: || schema_for!(problem::ProblemInput),
    method_schema: || schema_for!(methods::MethodInput),
    free: &[],
    free_in_method: Some(&[]),
    methods: methods::list,
    initials: Vec::new,
    plot: plot::plot,
};
