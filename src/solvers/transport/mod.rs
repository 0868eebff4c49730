pub mod grid;
pub mod kernels;
pub mod passes;
pub mod problem;
