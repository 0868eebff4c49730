pub mod colour;
pub mod kernels;
pub mod passes;
pub mod plot;
pub mod problem;
