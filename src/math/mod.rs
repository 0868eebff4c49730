//! Serial mathematics that rooms share: slices in, slices out; no ranks, files or clocks.

pub mod dense;
pub mod draws;
pub mod elementary;
pub mod exact;
pub mod expression;
pub mod real;
pub mod reduce;
pub mod resampling;
pub mod rng;
pub mod scatter;
pub mod simd;
pub mod student;
pub mod sum;
