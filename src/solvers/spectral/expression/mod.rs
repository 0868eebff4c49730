//! Expressions of the input: read, checked, compiled to loops over arrays. No user code is compiled.
//!
//! Reading order: [`syntax`] the grammar · [`graph`] real formulas, every subexpression once · [`pair`] complex ones ·
//! [`program`] instructions over tiles · [`function`] expressions of coordinates and time · [`mistake`] errors that
//! point at a character.

mod function;
mod graph;
mod mistake;
mod pair;
mod program;
mod syntax;

pub use function::{Function, complex_constant, constant, constant_with};
pub use mistake::{Mistake, did_you_mean};
pub use pair::FUNCTIONS;
