//! Expressions of the input: read, checked, and compiled to loops over slices. No user code is compiled.
//!
//! [`syntax`] the grammar · [`mistake`] errors that point at a character · [`graph`] real formulas in which every
//! subexpression stands once · [`real`] from syntax to formulas · [`slices`] programs over slices of particles.

pub mod graph;
pub mod mistake;
pub mod real;
pub mod slices;
pub mod syntax;

pub use graph::{Graph, Id};
pub use mistake::{Mistake, did_you_mean};
pub use real::{Scope, read};
pub use slices::{Program, Source};
