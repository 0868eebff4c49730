//! Expressions of the input: read, checked, compiled to loops over arrays. No user code is compiled.
//!
//! The grammar, real formulas and mistakes are those of [`crate::math::expression`]. Reading order: [`pair`] complex
//! formulas · [`program`] instructions over tiles · [`function`] expressions of coordinates and time. For equations:
//! [`symbol`] operators with constant coefficients · [`form`] sums of operators on fields and products · [`lower`] from
//! syntax to forms · [`plan`] what is computed where · [`speeds`] what limits explicit steps · [`combine`] combinations in
//! spectral space · [`linear`] all that is linear · [`directions`] of wavenumbers · [`growth`] whether it is well posed ·
//! [`posedness`] which term is to blame if not · [`pinpoint`] where a mistake stands · [`read`] all of it for the tables of
//! an input · [`random`] forcing by address.

use crate::math::expression::{graph, mistake, syntax};

mod combine;
mod directions;
mod form;
mod function;
mod growth;
mod linear;
mod lower;
mod pair;
mod pinpoint;
mod plan;
mod posedness;
mod program;
mod random;
mod read;
mod speeds;
mod symbol;

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
pub use syntax::names;
