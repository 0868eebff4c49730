//! What the methods of transport may ask of a problem: passes over the cost, whole vectors in and out.
//!
//! | here  | paper      | meaning                                             |
//! |-------|------------|-----------------------------------------------------|
//! | psi   | f/ε        | scaled potential of the source, length n            |
//! | phi   | g/ε        | scaled potential of the target, length m            |
//! | a, b  | a, b       | weights, > 0 (sum 1 when balanced)                  |
//! | P     | P          | P_ij = a_i b_j exp(psi_i + phi_j − C_ij/ε)          |
//!
//! Every vector is whole and equal on every rank, so that the methods are serial mathematics with the same bits on
//! any rank count; the passes themselves are shared out by whoever implements the trait. A pass returns
//! `Err(Interrupted)` on every rank together, or on none.

use crate::error::Result;
use crate::state::Walk;

/// Arithmetic of the exponentials of a pass. Potentials are always f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    F64,
    F32,
}

pub trait Passes {
    fn n(&self) -> usize;
    fn m(&self) -> usize;
    fn a(&self) -> &[f64];
    fn b(&self) -> &[f64];
    fn epsilon(&self) -> f64;
    /// Also forgets the shifts of the previous ε.
    fn set_epsilon(&mut self, epsilon: f64);
    fn precision(&self) -> Precision;
    fn set_precision(&mut self, precision: Precision);
    /// (smallest, largest) entry of C, or safe bounds of them.
    fn cost_range(&self) -> (f64, f64);

    /// out_i = −log Σ_j b_j exp(phi_j − C_ij/ε): psi of the soft c-transform (the row pass).
    fn soft_rows(&mut self, phi: &[f64], out: &mut [f64]) -> Result<()>;
    /// out_j = −log Σ_i a_i exp(psi_i − C_ij/ε): phi of the soft c-transform (the column pass).
    fn soft_cols(&mut self, psi: &[f64], out: &mut [f64]) -> Result<()>;
    /// Both halves at once, in one sweep where that is safe: with t = soft_rows(phi),
    /// psi_i = rule(i, t_i) (identity for Sinkhorn; damped or over-relaxed otherwise), then x = soft_cols(psi).
    fn row_then_col(
        &mut self,
        phi: &[f64],
        rule: &(dyn Fn(usize, f64) -> f64 + Sync),
        psi: &mut [f64],
        x: &mut [f64],
    ) -> Result<()>;

    /// out[i·width + k] = Σ_j P_ij v[j·width + k].
    fn plan_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()>;
    /// out[j·width + k] = Σ_i P_ij v[i·width + k].
    fn plan_cols(&mut self, psi: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()>;
    /// out[i·width + k] = Σ_j Q_ij v[j·width + k], Q_ij = b_j exp(t_i + phi_j − C_ij/ε) with t = soft_rows(phi): the
    /// target as seen from source i, Σ_j Q_ij = 1. Of a and psi it knows nothing, so that it is there for a source
    /// without mass too, and never underflows.
    fn conditional_rows(&mut self, t: &[f64], phi: &[f64], v: &[f64], width: usize, out: &mut [f64]) -> Result<()>;
    /// out_i = Σ_j P_ij v_j C_ij.
    fn plan_cost_rows(&mut self, psi: &[f64], phi: &[f64], v: &[f64], out: &mut [f64]) -> Result<()>;
    /// Σ_ij u_i C_ij v_j, with an upper bound of its relative rounding error.
    fn bilinear_cost(&mut self, u: &[f64], v: &[f64]) -> Result<f64>;
    /// out_i = min_j (C_ij − g_j), g unscaled.
    fn min_rows(&mut self, g: &[f64], out: &mut [f64]) -> Result<()>;
    /// out_j = min_i (C_ij − f_i), f unscaled.
    fn min_cols(&mut self, f: &[f64], out: &mut [f64]) -> Result<()>;
    /// out = K w, K_jj' = k(y_j, y_j') a positive definite kernel with k(y, y) = 1 and 0 ≤ k ≤ 1 on the target's atoms.
    fn reproducing_kernel(&mut self, w: &[f64], out: &mut [f64]) -> Result<()>;

    /// Dimension d of the points where the cost has a gradient in them; none for a cost given as a matrix and for grids.
    fn dimension(&self) -> Option<usize>;
    /// out[i·d + k] = Σ_j P_ij ∂c(x_i, y_j)/∂x_ik (0 where c has no gradient, as |x − y| at x = y). Only called when
    /// `dimension` is some d.
    fn gradient_rows(&mut self, psi: &[f64], phi: &[f64], out: &mut [f64]) -> Result<()>;
    /// out[j·d + k] = Σ_i P_ij ∂c(x_i, y_j)/∂y_jk, likewise.
    fn gradient_cols(&mut self, psi: &[f64], phi: &[f64], out: &mut [f64]) -> Result<()>;
    /// The `count` largest entries of P (or all, when fewer) as (row, column, mass): decreasing mass, equal masses by
    /// row, then column.
    fn largest_entries(&mut self, psi: &[f64], phi: &[f64], count: usize) -> Result<Vec<(u64, u64, f64)>>;

    /// What `rounding` bounds begins here: what steps before it met, rejected trials too, does not count.
    fn measure_rounding(&mut self) {}
    /// Bound of the relative rounding error of a sum over one row or column in the f64 passes since
    /// `measure_rounding`, and of further ones with the same potentials (§2.19: about (tile + tiles + 8)·2⁻⁵³ plus the
    /// exponential's own error).
    fn rounding(&self) -> f64;
    /// Row–column pairs of exponentials evaluated so far, for rates.
    fn entries(&self) -> f64;
    /// Shifts and precision: what a restart with the same bits needs.
    fn state(&mut self, walk: &mut dyn Walk) -> Result<()>;

    /// Gives back the shifts of the previous passes; the next ones do without.
    fn forget_shifts(&mut self) {}
    /// Gives back all memory that only further passes need: they would make it again.
    fn rest(&mut self) {}
}
