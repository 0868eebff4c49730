//! The room of spectral PDE solvers: its door.
//!
//! Words: *modes* are the kept coefficients, *points* the grid on which products are taken; a *tile* is the piece of
//! either that one thread works on; a *round* is one trip of fields to the grid and of products back.
//!
//! Reading order: [`domain`] the box · [`equation`] what an equation is · [`transform`] coefficients to grid and back,
//! over ranks · [`nonlinear`] one evaluation · [`linear`], [`steppers`] time.

pub mod domain;
pub mod equation;
pub mod fields;
pub mod linear;
pub mod nonlinear;
pub mod plot;
pub mod results;
pub mod steppers;
pub mod transform;
