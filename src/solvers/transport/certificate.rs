//! Certified bounds of OT_ε and of unregularised OT from any potentials, rounding included.
//!
//! Nothing is assumed of the potentials: a lower bound is a value of the dual, an upper bound a value of the primal at
//! a feasible plan made from them, both read off O(n + m) vectors (methods page §2.19). All in f64.
//!
//! *Balanced*: with P = P(ψ, φ), v = min(1, b/Pᵀ1), X = P diag(v), e_a = a − X1, e_b = b − Xᵀ1, θ = Σe_b, the plan
//! P̂ = X + e_a e_bᵀ/θ is feasible [Altschuler2017]; its entropy is bounded by convexity, without a logarithm per
//! entry. *Unbalanced*: any P ≥ 0 is feasible once a constrained side is exact; with two penalties it is also scaled
//! by its best factor. *ε = 0*: f = min_j (C − g), g = min_i (C − f) below, ⟨P̂, C⟩ (plus penalties) above.
//!
//! *Rounding*. With δ = passes.rounding() + 4u (max|ψ| + max|φ| + C_max/ε + 4), u = 2⁻⁵³, the logarithm of every
//! computed row or column sum, and so of every marginal, is within 2δ of the truth for the stored potentials. Each
//! bound is widened by what 2δ does to it to first order with room (x log x has the modulus of continuity
//! δ log(1/δ)), plus `SUM_ROUNDING` of the absolute values of all terms summed here. Costs are those of the passes:
//! the rounding of C_ij itself, up to 8u C_max, is included as well.

use super::dual::{Dual, Penalties, Residual};
use super::passes::{Passes, Precision};
use crate::error::Result;
use crate::math::reduce::{SUM_ROUNDING, max_abs, sum, total};

const U: f64 = f64::EPSILON / 2.0;

/// The truth lies in [lower, upper]; infinite where nothing is known, never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub lower: f64,
    pub upper: f64,
}

impl Interval {
    fn new(lower: f64, upper: f64) -> Self {
        Interval {
            lower: if lower.is_nan() { f64::NEG_INFINITY } else { lower },
            upper: if upper.is_nan() { f64::INFINITY } else { upper },
        }
    }

    /// (upper − lower)/|upper|; ∞ where that says nothing.
    pub fn relative_gap(&self) -> f64 {
        let gap = (self.upper - self.lower) / self.upper.abs();
        if gap.is_nan() { f64::INFINITY } else { gap }
    }

    pub fn contains(&self, x: f64) -> bool {
        self.lower <= x && x <= self.upper
    }

    /// Both hold.
    fn meet(self, other: Interval) -> Self {
        Interval { lower: self.lower.max(other.lower), upper: self.upper.min(other.upper) }
    }
}

/// What is certain about a pair of potentials.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// OT_ε(a, b).
    pub regularised: Interval,
    /// OT_0(a, b), with the same penalties.
    pub unregularised: Interval,
    /// The dual value of the potentials, and the primal value of the feasible plan (by its bound), not widened.
    pub dual: f64,
    pub primal: f64,
    /// ⟨P̂, C⟩ of the feasible plan P̂ (without the penalties).
    pub transport_cost: f64,
    /// ΣP before rounding.
    pub mass: f64,
    /// ‖P1 − a‖ and ‖Pᵀ1 − b‖ (in general: minus what the penalties want), relative to the mass, in L1 and L∞.
    pub source_error: Residual,
    pub target_error: Residual,
}

/// Potentials with the logarithms of their plan's marginals: log(P1/a), log(Pᵀ1/b).
struct Pair {
    psi: Vec<f64>,
    phi: Vec<f64>,
    rows: Vec<f64>,
    cols: Vec<f64>,
}

/// Certifies the potentials φ = g/ε (ψ follows) at the ε of `passes`. Leaves the precision of `passes` as it was.
pub fn certify(passes: &mut dyn Passes, penalties: Penalties, phi: &[f64]) -> Result<Certificate> {
    let precision = passes.precision();
    passes.set_precision(Precision::F64);
    let certificate = certify_f64(passes, penalties, phi);
    passes.set_precision(precision);
    certificate
}

fn certify_f64(passes: &mut dyn Passes, penalties: Penalties, phi: &[f64]) -> Result<Certificate> {
    let dual = Dual::new(penalties, passes.epsilon(), passes);
    let (a, b) = (passes.a().to_vec(), passes.b().to_vec());
    let pair = Pair::new(passes, &dual, &a, &b, phi)?;
    let delta = 2.0 * (passes.rounding() + 4.0 * U * (max_abs(&pair.psi) + max_abs(&pair.phi) + dual.scale + 4.0));
    let problem = Problem { a: &a, b: &b, dual, delta };

    let (low, _) = passes.cost_range();
    let lower = problem.dual_value(&pair);
    let lower0 = problem.unregularised_dual(passes, &pair.phi)?.max(problem.trivial(low));
    let upper = if penalties.balanced() {
        problem.rounded_plan(passes, &pair)?
    } else {
        problem.penalised_plan(passes, &pair)?
    };
    // OT_0 ≤ OT_ε since KL ≥ 0.
    let above = dual.epsilon * upper.value + upper.widening;
    let below = dual.epsilon * lower.value - lower.widening;
    let mut regularised = Interval::new(below.max(lower0), above);
    let mut unregularised = Interval::new(lower0, above.min(upper.unregularised));
    if penalties.balanced() {
        // OT_ε ≤ OT_0 + ε max KL(P|abᵀ), the maximum over plans being at most the smaller entropy.
        let most = dual.epsilon * problem.largest_information();
        unregularised = unregularised.meet(Interval::new(below - most, f64::INFINITY));
        regularised = regularised.meet(Interval::new(f64::NEG_INFINITY, upper.unregularised + most));
    }
    let wanted = |side: super::dual::Side, u: f64| side.slope(u);
    Ok(Certificate {
        regularised,
        unregularised,
        dual: dual.epsilon * lower.value,
        primal: dual.epsilon * upper.value,
        transport_cost: upper.transport_cost,
        mass: sum(a.len(), |i| a[i] * pair.rows[i].exp()),
        source_error: Residual::of(a.len(), |i| upper.marginals.0[i], |i| a[i] * wanted(dual.source, pair.psi[i])),
        target_error: Residual::of(b.len(), |j| upper.marginals.1[j], |j| b[j] * wanted(dual.target, pair.phi[j])),
    })
}

impl Pair {
    /// ψ by its exact update; where only the target is constrained, φ by its own instead, so that the plan meets every
    /// constraint it can; then the best translation.
    fn new(passes: &mut dyn Passes, dual: &Dual, a: &[f64], b: &[f64], phi: &[f64]) -> Result<Self> {
        let mut t = vec![0.0; a.len()];
        let mut x = vec![0.0; b.len()];
        let mut phi = phi.to_vec();
        passes.soft_rows(&phi, &mut t)?;
        let mut psi: Vec<f64> = t.iter().map(|t| dual.source.damping() * t).collect();
        passes.soft_cols(&psi, &mut x)?;
        if dual.target.hard() && !dual.source.hard() {
            phi.copy_from_slice(&x);
            passes.soft_rows(&phi, &mut t)?;
        }
        let rows = psi.iter().zip(&t).map(|(psi, t)| psi - t).collect();
        let cols = phi.iter().zip(&x).map(|(phi, x)| phi - x).collect();
        let s = dual.translation(a, &psi, b, |j| phi[j]);
        if s.is_finite() && !(dual.source.hard() && dual.target.hard()) {
            psi.iter_mut().for_each(|psi| *psi += s);
            phi.iter_mut().for_each(|phi| *phi -= s);
        }
        Ok(Pair { psi, phi, rows, cols })
    }
}

/// A value in units of ε, and what rounding may have done to ε times it, in units of the cost.
struct Bound {
    value: f64,
    widening: f64,
}

/// An upper bound of OT_ε, likewise, with what else its plan tells.
struct Upper {
    value: f64,
    widening: f64,
    /// An upper bound of OT_0, widened, in units of the cost.
    unregularised: f64,
    transport_cost: f64,
    /// P1, Pᵀ1.
    marginals: (Vec<f64>, Vec<f64>),
}

/// Adds terms and their absolute values.
#[derive(Default)]
struct Tally {
    value: f64,
    absolute: f64,
}

impl Tally {
    fn add(&mut self, n: usize, term: impl Fn(usize) -> f64) {
        self.value += sum(n, &term);
        self.absolute += sum(n, |i| term(i).abs());
    }

    fn rounding(&self) -> f64 {
        // Each term is itself a few operations.
        2.0 * SUM_ROUNDING * self.absolute
    }
}

struct Problem<'a> {
    a: &'a [f64],
    b: &'a [f64],
    dual: Dual,
    /// See the head of the file: 2δ there.
    delta: f64,
}

impl Problem<'_> {
    fn mass(&self) -> f64 {
        self.dual.mass.0.max(self.dual.mass.1)
    }

    /// D(ψ, φ).
    fn dual_value(&self, pair: &Pair) -> Bound {
        let (a, b, d) = (self.a, self.b, &self.dual);
        let mut tally = Tally::default();
        tally.add(a.len(), |i| a[i] * d.source.value(pair.psi[i]));
        tally.add(b.len(), |j| b[j] * d.target.value(pair.phi[j]));
        let mass = sum(a.len(), |i| a[i] * pair.rows[i].exp());
        tally.add(1, |_| -mass);
        tally.add(1, |_| d.mass.0 * d.mass.1);
        Bound { value: tally.value, widening: d.epsilon * (tally.rounding() + self.delta * mass) }
    }

    /// The unregularised dual at c-transforms of g = εφ, widened, in units of the cost.
    fn unregularised_dual(&self, passes: &mut dyn Passes, phi: &[f64]) -> Result<f64> {
        let (a, b, d) = (self.a, self.b, &self.dual);
        let g: Vec<f64> = phi.iter().map(|phi| d.epsilon * phi).collect();
        let (mut f, mut h) = (vec![0.0; a.len()], vec![0.0; b.len()]);
        passes.min_rows(&g, &mut f)?;
        passes.min_cols(&f, &mut h)?;
        // Taken off f, so that f + h ≤ C holds exactly.
        let slack = 16.0 * U * (d.epsilon * d.scale + max_abs(&f) + max_abs(&h));
        f.iter_mut().for_each(|f| *f = (*f - slack) / d.epsilon);
        h.iter_mut().for_each(|h| *h /= d.epsilon);
        if !(d.source.hard() && d.target.hard()) {
            let s = d.translation(a, &f, b, |j| h[j]);
            // A translation rounds too.
            let slack = 4.0 * U * (max_abs(&f) + max_abs(&h) + s.abs());
            f.iter_mut().for_each(|f| *f += s - slack);
            h.iter_mut().for_each(|h| *h -= s);
        }
        let mut tally = Tally::default();
        tally.add(a.len(), |i| a[i] * d.source.value(f[i]));
        tally.add(b.len(), |j| b[j] * d.target.value(h[j]));
        let value = d.epsilon * (tally.value - tally.rounding());
        Ok(if value.is_nan() { f64::NEG_INFINITY } else { value })
    }

    /// The unregularised dual at constants: f + g = the smallest cost.
    fn trivial(&self, low: f64) -> f64 {
        let d = &self.dual;
        let u = low / d.epsilon / 2.0;
        let value = d.mass.0 * d.source.value(u) + d.mass.1 * d.target.value(u);
        let rounding = 4.0 * SUM_ROUNDING * (d.mass.0 * d.source.value(u).abs() + d.mass.1 * d.target.value(u).abs());
        let value = d.epsilon * (value - rounding);
        if value.is_nan() { f64::NEG_INFINITY } else { value }
    }

    /// max over plans of KL(P|abᵀ): M (min entropy of a/M, b/M) − M log M − M + M².
    fn largest_information(&self) -> f64 {
        let mass = self.mass();
        let entropy = |w: &[f64]| -sum(w.len(), |i| w[i] * (w[i] / mass).ln());
        (entropy(self.a).min(entropy(self.b)) - mass * mass.ln() - mass + mass * mass) * (1.0 + 1e-9)
    }

    /// Balanced: the bound of the value of X + e_a e_bᵀ/θ by convexity, and its cost.
    fn rounded_plan(&self, passes: &mut dyn Passes, pair: &Pair) -> Result<Upper> {
        let (a, b, d, delta) = (self.a, self.b, &self.dual, self.delta);
        let (n, m) = (a.len(), b.len());
        let (psi, phi) = (&pair.psi, &pair.phi);
        // log v = min(0, log(b/p)) from the log marginal: p may underflow, v never does.
        let log_v: Vec<f64> = pair.cols.iter().map(|l| (-l).min(0.0)).collect();
        let v: Vec<f64> = log_v.iter().map(|l| l.exp()).collect();
        let payload: Vec<f64> = v.iter().flat_map(|v| [1.0, *v]).collect();
        let mut sums = vec![0.0; 2 * n];
        passes.plan_rows(psi, phi, &payload, 2, &mut sums)?;
        let rows: Vec<f64> = sums.chunks(2).map(|s| s[0]).collect();
        let r: Vec<f64> = sums.chunks(2).map(|s| s[1]).collect();
        let p: Vec<f64> = (0..m).map(|j| b[j] * pair.cols[j].exp()).collect();
        let c: Vec<f64> = (0..m).map(|j| b[j] * pair.cols[j].min(0.0).exp()).collect();
        let mut x_cost = vec![0.0; n];
        passes.plan_cost_rows(psi, phi, &v, &mut x_cost)?;

        let mut e_b: Vec<f64> = (0..m).map(|j| -b[j] * pair.cols[j].min(0.0).exp_m1()).collect();
        let mut e_a: Vec<f64> = (0..n).map(|i| (a[i] - r[i]).max(0.0)).collect();
        let mass = self.mass();
        let theta = total(&e_b).min(mass);
        let mut tally = Tally::default();
        tally.add(n, |i| r[i] * psi[i]);
        tally.add(m, |j| c[j] * phi[j]);
        tally.add(m, |j| c[j] * log_v[j]);
        tally.add(1, |_| -mass);
        tally.add(1, |_| d.mass.0 * d.mass.1);
        let exponents = tally.absolute;
        let mut residual_cost = 0.0;
        if theta > 0.0 {
            scale_to(&mut e_b, b, 1.0);
            scale_to(&mut e_a, a, 1.0);
            residual_cost = theta * passes.bilinear_cost(&e_a, &e_b)?;
            // With e = θē: Σ e log(e/a) = θ (log θ + Σ ē log(ē/a)); the mixture costs −θ log(θ/M) − (M−θ) log(1−θ/M).
            tally.add(n, |i| theta * x_log_ratio(e_a[i], a[i]));
            tally.add(m, |j| theta * x_log_ratio(e_b[j], b[j]));
            tally.add(1, |_| theta * mass.ln());
            if theta < mass {
                tally.add(1, |_| -(mass - theta) * (-theta / mass).ln_1p());
            }
        }
        let cost = total(&x_cost) + residual_cost;
        let largest = d.epsilon * d.scale;
        let mismatch = (d.mass.0 - d.mass.1).abs();
        let lost = 16.0 * delta * mass;
        // What moving `lost` of the mass, and the mismatch of the two masses, may cost.
        let moved = (lost + mismatch) * largest * 2.0 + SUM_ROUNDING * cost.abs();
        let entropy = 2.0 * delta * exponents
            + lost * (1.0 + (1.0 / delta).ln().max(0.0))
            + mismatch * (max_abs(psi) + max_abs(phi) + 40.0);
        Ok(Upper {
            value: tally.value + residual_cost / d.epsilon,
            widening: d.epsilon * (tally.rounding() + entropy) + moved,
            unregularised: cost + moved,
            transport_cost: cost,
            marginals: (rows, p),
        })
    }

    /// Penalised: the primal at P(ψ, φ), scaled by its best factor where no side is constrained.
    fn penalised_plan(&self, passes: &mut dyn Passes, pair: &Pair) -> Result<Upper> {
        let (a, b, d, delta) = (self.a, self.b, &self.dual, self.delta);
        let (n, m) = (a.len(), b.len());
        let (psi, phi) = (&pair.psi, &pair.phi);
        let r: Vec<f64> = (0..n).map(|i| a[i] * pair.rows[i].exp()).collect();
        let c: Vec<f64> = (0..m).map(|j| b[j] * pair.cols[j].exp()).collect();
        let mut costs = vec![0.0; n];
        passes.plan_cost_rows(psi, phi, &vec![1.0; m], &mut costs)?;
        let cost = total(&costs);
        let mass = total(&r);

        let soft = |side: super::dual::Side| if side.hard() { 0.0 } else { side.r() };
        let (r1, r2) = (soft(d.source), soft(d.target));
        let entropy = sum(n, |i| r[i] * psi[i]) + sum(m, |j| c[j] * phi[j]);
        let penalty_slope = r1 * sum(n, |i| r[i] * pair.rows[i]) + r2 * sum(m, |j| c[j] * pair.cols[j]);
        // Both sides free: d/dk of the primal at kP vanishes at this log k.
        let best = |slope: f64, total: f64| {
            let free = !d.source.hard() && !d.target.hard();
            let log_k = -slope / (total * mass);
            if free && log_k.is_finite() { log_k.clamp(-700.0, 700.0) } else { 0.0 }
        };
        let evaluate = |log_k: f64, entropic: bool| -> (f64, f64) {
            let k = log_k.exp();
            let mut tally = Tally::default();
            let mut error = 2.0 * delta * k * cost.abs() / d.epsilon + 8.0 * delta * k * mass * d.scale;
            if entropic {
                tally.add(n, |i| k * r[i] * (psi[i] + log_k));
                tally.add(m, |j| k * c[j] * phi[j]);
                tally.add(1, |_| -k * mass);
                tally.add(1, |_| d.mass.0 * d.mass.1);
                error += 4.0 * delta * tally.absolute;
            } else {
                tally.add(1, |_| k * cost / d.epsilon);
            }
            for (rho, w, logs) in [(r1, a, &pair.rows), (r2, b, &pair.cols)] {
                if rho > 0.0 {
                    tally.add(w.len(), |i| rho * w[i] * relative_entropy(logs[i] + log_k));
                    let derivative = sum(w.len(), |i| {
                        let l = logs[i] + log_k;
                        w[i] * (l.abs() + delta) * l.exp()
                    });
                    error += 4.0 * delta * rho * derivative;
                }
            }
            (tally.value, d.epsilon * (error + tally.rounding()))
        };
        let (value, widening) = evaluate(best(entropy + penalty_slope, 1.0 + r1 + r2), true);
        let (value0, widening0) = evaluate(best(cost / d.epsilon + penalty_slope, r1 + r2), false);
        Ok(Upper {
            value,
            widening,
            unregularised: d.epsilon * value0 + widening0,
            transport_cost: cost,
            marginals: (r, c),
        })
    }
}

/// e ← e / Σe; where that is zero (rounding ate it), proportional to `fallback`.
fn scale_to(e: &mut [f64], fallback: &[f64], mass: f64) {
    let sum = total(e);
    if sum > 0.0 && (mass / sum).is_finite() {
        e.iter_mut().for_each(|e| *e *= mass / sum);
    } else {
        let sum = total(fallback);
        e.iter_mut().zip(fallback).for_each(|(e, w)| *e = w * mass / sum);
    }
}

/// x log(x/w), 0 at x = 0.
fn x_log_ratio(x: f64, w: f64) -> f64 {
    if x > 0.0 { x * (x / w).ln() } else { 0.0 }
}

/// KL of e^l against 1: l e^l − e^l + 1, accurate near l = 0.
pub(crate) fn relative_entropy(l: f64) -> f64 {
    if l.abs() < 0.01 {
        // Σ_{k≥2} l^k (k − 1)/k!
        l * l * (0.5 + l * (1.0 / 3.0 + l * (0.125 + l * (1.0 / 30.0 + l * (1.0 / 144.0 + l / 840.0)))))
    } else if l < -700.0 {
        1.0
    } else {
        l * l.exp() - l.exp_m1()
    }
}
