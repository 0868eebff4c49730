//! Loops compiled once per kernel level.
//!
//! Two ways to write one. Explicit vectors: [`lanes`] (8 virtual lanes of f64 at every level), with its levels in
//! [`level`] and its exponentials in [`exp`]. Plain loops over slices inside [`enter!`](crate::enter), which compiles them
//! for each level and leaves the vectors to the compiler; they call the scalar functions of [`scalar`], which inline.

// Rows and lanes are counted, over several arrays at once.
#![allow(clippy::needless_range_loop)]

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod compress;
pub mod exp;
pub mod lanes;
pub mod level;
pub mod scalar;

pub use level::Level;
