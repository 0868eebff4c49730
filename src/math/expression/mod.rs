//! Expressions of the input: read, checked, and compiled to loops over slices. No user code is compiled.
//!
//! [`syntax`] the grammar · [`mistake`] errors that point at a character · [`graph`] real formulas in which every
//! subexpression stands once · [`real`] from syntax to formulas · [`slices`] programs over slices of particles.

pub mod graph;
pub mod mistake;
pub mod real;
pub mod slices;
pub mod syntax;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use graph::{Graph, Id};
pub use mistake::{Mistake, did_you_mean};
pub use real::{Scope, read};
pub use slices::{Program, Source};

/// A number, or an expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Expression {
    Value(f64),
    Text(String),
}

impl Expression {
    /// What the parser reads.
    pub fn text(&self) -> String {
        match self {
            // The shortest text that reads back as the same number.
            Expression::Value(x) => format!("{x:?}"),
            Expression::Text(text) => text.clone(),
        }
    }
}
