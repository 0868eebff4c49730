//! Results that follow from converged potentials: gradients, the barycentric map, the largest plan entries.
//!
//! By the envelope theorem (methods page §2.15): ∂OT_ε/∂x_i = Σ_j P_ij ∂_x c(x_i, y_j), likewise in y_j, ∂OT_ε/∂C = P,
//! ∂OT_ε/∂ε = KL(P|abᵀ); balanced ∂OT_ε/∂a_i = f_i up to a constant, unbalanced F₁(f_i) − ε (r_i/a_i − Σb) with
//! F(f) = ρ (1 − e^{−f/ρ}) and r = P1. All for the exact potentials: errors are of the order of the marginal error.
//!
//! With ψ = f/ε and t the soft c-transform of φ, r_i/a_i = e^{ψ_i − t_i}: no quotient, so that an atom without mass has
//! its gradient too, that for the first mass it is given. Its potential decides nothing before; the one that counts is
//! the best answer, ψ_i = λ t_i.

use super::dual::{Dual, Penalties, Side};
use super::passes::{Passes, Precision};
use crate::error::{Error, Result};
use crate::math::elementary::exp;
use crate::math::reduce::{dot, sum, total};

/// Gradients of OT_ε, or of S_ε.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// n×d, with respect to the source's points; none for a cost given as a matrix, and for grids.
    pub source_points: Option<Vec<f64>>,
    /// m×d, likewise.
    pub target_points: Option<Vec<f64>>,
    /// With respect to the weights; centred (a·∂a = b·∂b = 0) on a constrained side, where it acts on mass-preserving
    /// changes only.
    pub source_weights: Vec<f64>,
    pub target_weights: Vec<f64>,
    /// KL(P|abᵀ).
    pub epsilon: f64,
    /// What `source_weights` and `target_weights` of OT_ε are made with.
    pub source: WeightGradient,
    pub target: WeightGradient,
}

/// ∂OT_ε/∂w of one side at any point: F(u) − ε (e^{u − t} − the other side's mass) in units of ε, from the potential u
/// there and the soft c-transform t of the other potential; ε u less its mean on a constrained side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightGradient {
    side: Side,
    epsilon: f64,
    other_mass: f64,
    centre: f64,
}

impl WeightGradient {
    fn new(side: Side, epsilon: f64, other_mass: f64, w: &[f64], u: &[f64]) -> Self {
        let centre = if side.hard() { epsilon * dot(w, u) / total(w) } else { 0.0 };
        WeightGradient { side, epsilon, other_mass, centre }
    }

    fn at(&self, u: f64, t: f64) -> f64 {
        if self.side.hard() {
            self.epsilon * u - self.centre
        } else {
            self.epsilon * (self.side.value(u) - exp(u - t) + self.other_mass)
        }
    }

    /// At an atom without mass: its potential is the best answer to t.
    pub fn without_mass(&self, t: f64) -> f64 {
        self.at(self.side.damping() * t, t)
    }

    fn all(&self, w: &[f64], u: &[f64], t: &[f64]) -> Vec<f64> {
        (0..w.len()).map(|i| if w[i] > 0.0 { self.at(u[i], t[i]) } else { self.without_mass(t[i]) }).collect()
    }
}

/// From potentials ψ = f/ε, φ = g/ε in f64.
pub fn gradients(passes: &mut dyn Passes, penalties: Penalties, psi: &[f64], phi: &[f64]) -> Result<Gradients> {
    in_f64(passes, |passes| {
        let dual = Dual::new(penalties, passes.epsilon(), passes);
        let (n, m) = (passes.n(), passes.m());
        let (mut source_points, mut target_points) = (None, None);
        if let Some(d) = passes.dimension() {
            passes.gradient_rows(psi, phi, source_points.insert(vec![0.0; n * d]))?;
            passes.gradient_cols(psi, phi, target_points.insert(vec![0.0; m * d]))?;
        }
        let mut cost = vec![0.0; n];
        passes.plan_cost_rows(psi, phi, &vec![1.0; m], &mut cost)?;
        let (mut t, mut x) = (vec![0.0; n], vec![0.0; m]);
        passes.soft_rows(phi, &mut t)?;
        passes.soft_cols(psi, &mut x)?;
        let (a, b) = (passes.a(), passes.b());
        let source = WeightGradient::new(dual.source, dual.epsilon, dual.mass.1, a, psi);
        let target = WeightGradient::new(dual.target, dual.epsilon, dual.mass.0, b, phi);
        // Marginals of the plan; no mass is none whatever the potential.
        let r = |i: usize| if a[i] > 0.0 { a[i] * exp(psi[i] - t[i]) } else { 0.0 };
        let c = |j: usize| if b[j] > 0.0 { b[j] * exp(phi[j] - x[j]) } else { 0.0 };
        let information =
            sum(n, |i| r(i) * psi[i]) + sum(m, |j| c(j) * phi[j]) - total(&cost) / dual.epsilon - sum(n, r)
                + dual.mass.0 * dual.mass.1;
        Ok(Gradients {
            source_points,
            target_points,
            source_weights: source.all(a, psi, &t),
            target_weights: target.all(b, phi, &x),
            epsilon: information,
            source,
            target,
        })
    })
}

impl Gradients {
    /// Of S_ε = OT_ε(a, b) − ½ OT_ε(a, a) − ½ OT_ε(b, b) + ½ε (Σa − Σb)², from those of the three problems. A measure
    /// is both sides of its own problem, and both follow it.
    pub fn of_divergence(mut self, aa: &Gradients, bb: &Gradients) -> Gradients {
        let halves = |to: &mut [f64], own: [&[f64]; 2], more: f64| {
            to.iter_mut().enumerate().for_each(|(i, to)| *to += more - 0.5 * (own[0][i] + own[1][i]));
        };
        let points = |to: &mut Option<Vec<f64>>, own: &Gradients| {
            if let (Some(to), Some(x), Some(y)) = (to, &own.source_points, &own.target_points) {
                halves(to, [x, y], 0.0);
            }
        };
        let excess = self.excess();
        points(&mut self.source_points, aa);
        points(&mut self.target_points, bb);
        halves(&mut self.source_weights, [&aa.source_weights, &aa.target_weights], excess);
        halves(&mut self.target_weights, [&bb.source_weights, &bb.target_weights], -excess);
        self.epsilon +=
            0.5 * (self.target.other_mass - self.source.other_mass).powi(2) - 0.5 * (aa.epsilon + bb.epsilon);
        self
    }

    /// Of S_ε with respect to a source weight that is zero: from the soft c-transforms there, `t` of the target's
    /// potential, `own` of both potentials of (a, a).
    pub fn of_divergence_at_source(&self, aa: &Gradients, t: f64, own: [f64; 2]) -> f64 {
        self.source.without_mass(t) + self.excess() - aa.own_without_mass(own)
    }

    /// The same of a target weight, with (b, b).
    pub fn of_divergence_at_target(&self, bb: &Gradients, x: f64, own: [f64; 2]) -> f64 {
        self.target.without_mass(x) - self.excess() - bb.own_without_mass(own)
    }

    fn own_without_mass(&self, [t, x]: [f64; 2]) -> f64 {
        0.5 * (self.source.without_mass(t) + self.target.without_mass(x))
    }

    /// ε (Σa − Σb), the derivative of the divergence's mass term in Σa; where masses are constrained they are equal.
    fn excess(&self) -> f64 {
        let hard = self.source.side.hard();
        if hard { 0.0 } else { self.source.epsilon * (self.target.other_mass - self.source.other_mass) }
    }
}

/// Target atoms without mass, which grids keep, get their best answer to ψ: their φ decides nothing, and some methods
/// leave it where it was.
pub fn answer_without_mass(passes: &mut dyn Passes, penalties: Penalties, psi: &[f64], phi: &mut [f64]) -> Result<()> {
    if passes.b().iter().all(|b| *b > 0.0) {
        return Ok(());
    }
    in_f64(passes, |passes| {
        let damping = Side::new(penalties.target, passes.epsilon()).damping();
        let mut x = vec![0.0; phi.len()];
        passes.soft_cols(psi, &mut x)?;
        for (phi, (x, b)) in phi.iter_mut().zip(x.iter().zip(passes.b())) {
            if *b == 0.0 {
                *phi = damping * x;
            }
        }
        Ok(())
    })
}

/// T(x_i) = Σ_j P_ij y_j / Σ_j P_ij, n×d: the mean of the target as seen from x_i. It follows from φ alone, so that
/// atoms of any mass, and of none, have one. `coordinates`: those of all targets, a few at a time, each m×k.
pub fn barycentric_map(passes: &mut dyn Passes, phi: &[f64], coordinates: &[Vec<f64>]) -> Result<Vec<f64>> {
    let (n, m) = (passes.n(), passes.m());
    if let Some(y) = coordinates.iter().find(|y| y.is_empty() || y.len() % m != 0) {
        return Err(Error::Usage(format!("barycentric map: {} coordinates for {m} points", y.len())));
    }
    let d = coordinates.iter().map(|y| y.len() / m).sum();
    in_f64(passes, |passes| {
        let mut t = vec![0.0; n];
        passes.soft_rows(phi, &mut t)?;
        let mut map = vec![0.0; n * d];
        let mut first = 0;
        for y in coordinates {
            let width = y.len() / m;
            let payload: Vec<f64> =
                y.chunks(width).flat_map(|y| std::iter::once(1.0).chain(y.iter().copied())).collect();
            let mut sums = vec![0.0; n * (width + 1)];
            passes.conditional_rows(&t, phi, &payload, width + 1, &mut sums)?;
            for (point, sums) in map.chunks_mut(d).zip(sums.chunks(width + 1)) {
                // The first sum is 1 but for rounding, which cancels.
                (0..width).for_each(|k| point[first + k] = sums[1 + k] / sums[0]);
            }
            first += width;
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
