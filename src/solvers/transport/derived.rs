//! Results that follow from converged potentials: gradients, the barycentric map, the largest plan entries.
//!
//! By the envelope theorem (methods page §2.15): ∂OT_ε/∂x_i = Σ_j P_ij ∂_x c(x_i, y_j), ∂OT_ε/∂C = P,
//! ∂OT_ε/∂ε = KL(P|abᵀ); balanced ∂OT_ε/∂a_i = f_i up to a constant, unbalanced F₁(f_i) − ε (r_i/a_i − Σb) with
//! F(f) = ρ (1 − e^{−f/ρ}) and r = P1. All for the exact potentials: errors are of the order of the marginal error.

use super::dual::{Dual, Penalties};
use super::passes::{Passes, Precision};
use crate::error::{Error, Result};
use crate::math::reduce::{dot, sum};

/// Gradients of OT_ε.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// n×d, with respect to the source's points; none for a cost given as a matrix.
    pub source_points: Option<Vec<f64>>,
    /// With respect to the weights; centred (a·∂a = b·∂b = 0) on a constrained side, where it acts on mass-preserving
    /// changes only.
    pub source_weights: Vec<f64>,
    pub target_weights: Vec<f64>,
    /// KL(P|abᵀ).
    pub epsilon: f64,
}

/// From potentials ψ = f/ε, φ = g/ε in f64.
pub fn gradients(passes: &mut dyn Passes, penalties: Penalties, psi: &[f64], phi: &[f64]) -> Result<Gradients> {
    in_f64(passes, |passes| {
        let dual = Dual::new(penalties, passes.epsilon(), passes);
        let (n, m) = (passes.n(), passes.m());
        let source_points = match passes.dimension() {
            None => None,
            Some(d) => {
                let mut out = vec![0.0; n * d];
                passes.gradient_rows(psi, phi, &mut out)?;
                Some(out)
            }
        };
        let ones = vec![1.0; n.max(m)];
        let (mut r, mut c, mut cost) = (vec![0.0; n], vec![0.0; m], vec![0.0; n]);
        passes.plan_rows(psi, phi, &ones[..m], 1, &mut r)?;
        passes.plan_cols(psi, phi, &ones[..n], 1, &mut c)?;
        passes.plan_cost_rows(psi, phi, &ones[..m], &mut cost)?;
        let (a, b) = (passes.a(), passes.b());
        let weights = |side: super::dual::Side, w: &[f64], u: &[f64], marginal: &[f64], other: f64| -> Vec<f64> {
            let mut out: Vec<f64> = if side.hard() {
                u.iter().map(|u| dual.epsilon * u).collect()
            } else {
                (0..w.len()).map(|i| dual.epsilon * (side.value(u[i]) - marginal[i] / w[i] + other)).collect()
            };
            if side.hard() {
                let mean = dot(w, &out) / sum(w.len(), |i| w[i]);
                out.iter_mut().for_each(|g| *g -= mean);
            }
            out
        };
        let mass = sum(n, |i| r[i]);
        let information =
            dot(&r, psi) + dot(&c, phi) - sum(n, |i| cost[i]) / dual.epsilon - mass + dual.mass.0 * dual.mass.1;
        Ok(Gradients {
            source_points,
            source_weights: weights(dual.source, a, psi, &r, dual.mass.1),
            target_weights: weights(dual.target, b, phi, &c, dual.mass.0),
            epsilon: information,
        })
    })
}

/// T(x_i) = Σ_j P_ij y_j / Σ_j P_ij for target points `y` (m×width). A row whose mass underflows (possible when
/// unbalanced) takes the mean Σ_j b_j y_j / Σb instead of 0/0.
pub fn barycentric_map(passes: &mut dyn Passes, psi: &[f64], phi: &[f64], y: &[f64], width: usize) -> Result<Vec<f64>> {
    let (n, m) = (passes.n(), passes.m());
    if y.len() != m * width {
        return Err(Error::Usage(format!("barycentric map: {} numbers for {m} points in {width} columns", y.len())));
    }
    in_f64(passes, |passes| {
        let payload: Vec<f64> = y.chunks(width).flat_map(|y| std::iter::once(1.0).chain(y.iter().copied())).collect();
        let mut sums = vec![0.0; n * (width + 1)];
        passes.plan_rows(psi, phi, &payload, width + 1, &mut sums)?;
        let b = passes.b();
        let total = sum(m, |j| b[j]);
        let mean: Vec<f64> = (0..width).map(|k| sum(m, |j| b[j] * y[j * width + k]) / total).collect();
        let mut map = Vec::with_capacity(n * width);
        for row in sums.chunks(width + 1) {
            let image = row[1..].iter().map(|s| s / row[0]);
            if row[0] > 0.0 && image.clone().all(f64::is_finite) {
                map.extend(image);
            } else {
                map.extend(&mean);
            }
        }
        Ok(map)
    })
}

/// The `count` largest plan entries (row, column, mass), by decreasing mass.
pub fn plan_entries(passes: &mut dyn Passes, psi: &[f64], phi: &[f64], count: usize) -> Result<Vec<(u64, u64, f64)>> {
    in_f64(passes, |passes| passes.largest_entries(psi, phi, count))
}

fn in_f64<T>(passes: &mut dyn Passes, work: impl FnOnce(&mut dyn Passes) -> Result<T>) -> Result<T> {
    let precision = passes.precision();
    passes.set_precision(Precision::F64);
    let result = work(passes);
    passes.set_precision(precision);
    result
}
