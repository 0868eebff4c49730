//! Serial mathematics that two rooms share: slices in, slices out; no ranks, files or clocks.

pub mod sum;
