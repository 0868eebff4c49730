//! The room of sequential Monte Carlo: its door.
//!
//! Reading order: [`problem`] what is asked · [`data`] observations · [`models`] · [`setup`] from input to solver ·
//! [`solver`] a filter, [`smoothing`] its past, [`sampling`] a sampler as the loop sees them ·
//! chains of parameters (`pmmh`), of paths (`gibbs`), particles of parameters (`smc_squared`). The particles themselves are in [`crate::particles`].

mod alone;
#[cfg(test)]
mod chains_tests;
mod check;
pub mod data;
pub mod exact;
mod gibbs;
#[cfg(test)]
mod gibbs_tests;
pub mod models;
mod names;
mod plot;
mod pmmh;
mod prediction;
#[cfg(test)]
mod prediction_tests;
pub mod problem;
mod sampling;
mod setup;
#[cfg(test)]
mod setup_tests;
mod smc_squared;
mod smoothing;
#[cfg(test)]
mod smoothing_tests;
mod solver;
mod walk;

use schemars::schema_for;

use super::Entry;

pub const ENTRY: Entry = Entry {
    name: "smc",
    summary: "sequential Monte Carlo: particle filters and samplers, with evidence and its error",
    build: setup::build,
    check: check::check,
    problem_schema: || schema_for!(problem::ProblemInput),
    method_schema: || schema_for!(problem::MethodInput),
    free: &[],
    free_in_method: Some(&["iterations"]),
    methods: || problem::Name::ALL.to_vec(),
    initials: Vec::new,
    plot: plot::plot,
};
