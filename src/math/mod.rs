//! Serial mathematics that rooms share.

pub mod reduce;
