//! Separable costs on regular grids: passes axis by axis.
//!
//!     C_ij = Σ_k C^(k)_{i_k j_k}        i = (i_1 … i_d), j = (j_1 … j_d) in C order
//!
//! so that exp(−C/ε) is a product over axes and a pass over all n·m pairs is d passes along lines, O(n Σ_k m_k) in
//! all. The squared distance, and |x − y|^p summed over axes, are of this kind. Source and target grid may differ.
//!
//! | file     | holds                                                                    |
//! |----------|--------------------------------------------------------------------------|
//! | cost     | the cost, axis by axis                                                   |
//! | axis     | one log-domain pass along an axis, as a matrix product with block exponents |
//! | panel    | its arithmetic, sixteen or thirty-two lines at a time                      |
//! | tropical | one min-plus pass along an axis                                          |
//! | lines    | who computes which lines                                                 |
//! | passes   | [`GridPasses`]: the passes of the methods                                |
//!
//! Scaling iterations on plain u = exp(psi) with the symmetry of the axis kernel split into even and odd halves would
//! save half of the products, but lose every digit where u spans many powers of e along a line: an even and an odd
//! part of equal size cancel to the small value of a pair. Potentials of a displacement δ do span δ·D/ε powers.

pub mod axis;
mod cost;
mod isa;
mod laplace;
mod lines;
mod panel;
mod passes;
mod real;
#[cfg(test)]
mod tests;
pub mod tropical;

pub use axis::{AxisKernel, Input, LINES_PER_PANEL, Output};
pub use cost::{AxisCost, GridCost};
pub use isa::Level;
pub use laplace::LaplaceKernel;
pub use lines::{Lines, Serial, Threads};
pub use passes::GridPasses;
