//! Expressions of the input: read, checked, compiled to loops over arrays. No user code is compiled.
//!
//! Reading order: [`syntax`] the grammar · [`graph`] real formulas, every subexpression once · [`pair`] complex ones ·
//! [`program`] instructions over tiles · [`function`] expressions of coordinates and time · [`mistake`] errors that
//! point at a character. For equations: [`symbol`] operators with constant coefficients · [`form`] sums of operators on
//! fields and products · [`lower`] from syntax to forms · [`plan`] what is computed where · [`combine`] combinations in
//! spectral space · [`growth`] whether L is well posed · [`read`] all of it for the tables of an input · [`random`]
//! forcing by address.

mod combine;
mod form;
mod function;
mod graph;
mod growth;
mod lower;
mod mistake;
mod pair;
mod plan;
mod program;
mod random;
mod read;
mod symbol;
mod syntax;

pub use combine::{Combine, project, with_parts};
pub use function::{Function, complex_constant, constant, constant_with};
pub use graph::Graph;
pub use lower::OPERATORS;
pub use mistake::{Mistake, did_you_mean};
pub use pair::{FUNCTIONS, Pair};
pub use plan::{Constraint, Plan};
pub use program::{Output, Program, Source};
pub use random::RandomForcing;
pub use read::{Read, Refusal, Tables, parameters, read};
pub use symbol::Symbol;
