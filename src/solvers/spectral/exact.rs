//! What is true of the periodic equations: closed forms, published numbers, conserved quantities.

mod closed_forms;
mod initial_fields;
mod invariants;
mod run;
mod turbulence;
