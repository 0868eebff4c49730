//! What is true of the periodic equations: closed forms, conserved quantities, derivatives. Published numbers are in
//! tests/published.rs.

mod closed_forms;
mod initial_fields;
mod invariants;
pub(super) mod run;
mod tangents;
