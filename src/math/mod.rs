//! Serial mathematics that rooms share.

pub mod elementary;
pub mod rng;
pub mod sum;
