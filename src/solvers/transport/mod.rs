//! The room of entropic optimal transport.

pub mod certificate;
pub mod derived;
pub mod divergence;
pub mod dual;
pub mod exact;
pub mod kernels;
pub mod methods;
pub mod passes;
pub mod problem;
pub mod solve;
