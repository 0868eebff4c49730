//! [`super::semidual_rkhs`] with Nesterov's momentum and gradient restart: gap = O(1/k²) with constants that do not
//! depend on the cost or ε, and O(1/k²) for MMD²(p, b) (methods page §1.5) [Nesterov1983], [ODonoghueCandes2015].

use super::Method;
use super::semidual_rkhs::Rkhs;
pub use super::semidual_rkhs::memory;
use crate::solvers::transport::problem::MethodInput;

pub fn build(_: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    Box::new(Rkhs::new(n, m, true))
}
