pub mod kernels;
pub mod passes;
