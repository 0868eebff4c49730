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
use crate::math::elementary::{exp, exp_m1, ln, ln_1p};
use crate::math::reduce::{SUM_ROUNDING, fill, max_abs, sum, sums, total, update};

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

    /// The number in it that is nearest to x; an end where x is not a number.
    pub fn nearest(&self, x: f64) -> f64 {
        x.max(self.lower).min(self.upper)
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
    /// The dual value of the potentials, and the primal value of the feasible plan (by its bound): not widened, and in the
    /// interval.
    pub dual: f64,
    pub primal: f64,
    /// The primal value of OT_0 at the feasible plan, likewise.
    pub unregularised_primal: f64,
    /// ⟨P̂, C⟩ of the feasible plan P̂ (without the penalties).
    pub transport_cost: f64,
    /// ΣP before rounding.
    pub mass: f64,
    /// ‖P1 − a‖ and ‖Pᵀ1 − b‖ (in general: minus what the penalties want), relative to the mass, in L1 and L∞.
    pub source_error: Residual,
    pub target_error: Residual,
}

/// What is certain, and the potentials it is certain about.
pub struct Certified {
    pub certificate: Certificate,
    pub psi: Vec<f64>,
    pub phi: Vec<f64>,
    /// Of φ as given, with its exact ψ.
    pub error: Residual,
}

/// Potentials with the logarithms of their plan's marginals.
struct Pair {
    psi: Vec<f64>,
    phi: Vec<f64>,
    /// log(P1/a) and log(Pᵀ1/b); empty where the potential is the exact update for its constraint: all 0.
    rows: Vec<f64>,
    cols: Vec<f64>,
    /// (ψ + s, φ − s), the same plan, is the best translation.
    s: f64,
    error: Residual,
}

/// Certifies the potentials φ = g/ε (ψ follows) at the ε of `passes`. Leaves the precision of `passes` as it was.
pub fn certify(passes: &mut dyn Passes, penalties: Penalties, phi: &[f64]) -> Result<Certificate> {
    let precision = passes.precision();
    passes.set_precision(Precision::F64);
    let certified = certify_f64(passes, penalties, phi.to_vec(), false);
    passes.set_precision(precision);
    certified.map(|c| c.certificate)
}

/// The same for passes whose last work this is: what only further steps would need is given back on the way.
pub fn conclude(passes: &mut dyn Passes, penalties: Penalties, phi: Vec<f64>) -> Result<Certified> {
    passes.set_precision(Precision::F64);
    let certified = certify_f64(passes, penalties, phi, true);
    passes.rest();
    certified
}

/// Vectors come and go so that few live at once: see [`most_vectors`].
fn certify_f64(passes: &mut dyn Passes, penalties: Penalties, phi: Vec<f64>, last: bool) -> Result<Certified> {
    let dual = Dual::new(penalties, passes.epsilon(), passes);
    let (low, high) = passes.cost_range();
    passes.measure_rounding();
    let lower0 = unregularised_dual(passes, &dual, &phi)?.max(trivial(&dual, low));
    let pair = Pair::new(passes, &dual, phi)?;
    if last {
        passes.forget_shifts();
    }
    let size = max_abs(&pair.psi) + max_abs(&pair.phi) + 2.0 * pair.s.abs();
    let delta = 2.0 * (passes.rounding() + 4.0 * U * (size + dual.scale + 4.0));
    let problem = Problem { dual, delta };

    let lower = problem.dual_value(passes, &pair);
    let upper = if penalties.balanced() {
        problem.rounded_plan(passes, &pair)?
    } else {
        problem.penalised_plan(passes, &pair)?
    };
    // OT_0 ≤ OT_ε since KL ≥ 0.
    let above = dual.epsilon * upper.value + upper.widening;
    let below = dual.epsilon * lower.value - lower.widening;
    let mut regularised = Interval::new(below.max(lower0), above);
    let cost = upper.cost.value + upper.cost.widening;
    let mut unregularised = Interval::new(lower0, above.min(cost));
    let (a, b) = (passes.a(), passes.b());
    if penalties.balanced() {
        // OT_ε ≤ OT_0 + ε max KL(P|abᵀ), the maximum over plans being at most the smaller entropy.
        let most = dual.epsilon * problem.largest_information(a, b);
        unregularised = unregularised.meet(Interval::new(below - most, f64::INFINITY));
        regularised = regularised.meet(Interval::new(f64::NEG_INFINITY, cost + most));
        let [product0, product] = product_plan(&dual, high);
        unregularised = unregularised.meet(Interval::new(f64::NEG_INFINITY, product0));
        regularised = regularised.meet(Interval::new(f64::NEG_INFINITY, product));
    }
    let certificate = Certificate {
        regularised,
        unregularised,
        dual: regularised.nearest(dual.epsilon * lower.value),
        primal: regularised.nearest(dual.epsilon * upper.value),
        unregularised_primal: unregularised.nearest(upper.cost.value),
        transport_cost: upper.transport_cost,
        mass: sum(a.len(), |i| pair.row_mass(a, i)),
        source_error: Residual::of(a.len(), |i| pair.row_mass(a, i), |i| a[i] * dual.source.slope(pair.psi(i))),
        target_error: Residual::of(b.len(), |j| pair.col_mass(b, j), |j| b[j] * dual.target.slope(pair.phi(j))),
    };
    let Pair { mut psi, mut phi, s, error, .. } = pair;
    update(&mut psi, |_, psi| psi + s);
    update(&mut phi, |_, phi| phi - s);
    Ok(Certified { certificate, psi, phi, error })
}

/// Vectors that live at once at most: (over the sources, over the targets), besides what the passes hold. Potentials,
/// the logarithm of the second marginal, two vectors of the plan; with penalties also that of the first. A pass itself
/// works with one more, of either side.
pub const fn most_vectors(balanced: bool) -> (u64, u64) {
    if balanced { (2, 3) } else { (3, 3) }
}

impl Pair {
    /// ψ by its exact update; where only the target is constrained, φ by its own instead, so that the plan meets every
    /// constraint it can; then the best translation.
    fn new(passes: &mut dyn Passes, dual: &Dual, mut phi: Vec<f64>) -> Result<Self> {
        let mut rows = vec![0.0; passes.n()];
        passes.soft_rows(&phi, &mut rows)?;
        let damping = dual.source.damping();
        let psi = if dual.source.hard() { std::mem::take(&mut rows) } else { scaled(&rows, damping) };
        let mut cols = vec![0.0; passes.m()];
        passes.soft_cols(&psi, &mut cols)?;
        let b = passes.b();
        let wanted = |j: usize| b[j] * dual.target.slope(phi[j]);
        let error = Residual::of(b.len(), |j| b[j] * exp(phi[j] - cols[j]), wanted);
        if dual.target.hard() && !dual.source.hard() {
            phi = std::mem::take(&mut cols);
            passes.soft_rows(&phi, &mut rows)?;
        }
        update(&mut rows, |i, t| psi[i] - t);
        update(&mut cols, |j, x| phi[j] - x);
        let mut s = 0.0;
        if !(dual.source.hard() && dual.target.hard()) {
            s = dual.translation(passes.a(), &psi, passes.b(), |j| phi[j]);
        }
        Ok(Pair { psi, phi, rows, cols, s: if s.is_finite() { s } else { 0.0 }, error })
    }

    fn psi(&self, i: usize) -> f64 {
        self.psi[i] + self.s
    }

    fn phi(&self, j: usize) -> f64 {
        self.phi[j] - self.s
    }

    fn row(&self, i: usize) -> f64 {
        if self.rows.is_empty() { 0.0 } else { self.rows[i] }
    }

    fn col(&self, j: usize) -> f64 {
        if self.cols.is_empty() { 0.0 } else { self.cols[j] }
    }

    /// (P1)_i.
    fn row_mass(&self, a: &[f64], i: usize) -> f64 {
        if self.rows.is_empty() { a[i] } else { a[i] * exp(self.rows[i]) }
    }

    /// (Pᵀ1)_j.
    fn col_mass(&self, b: &[f64], j: usize) -> f64 {
        b[j] * exp(self.col(j))
    }
}

fn scaled(x: &[f64], factor: f64) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    fill(&mut out, |i| factor * x[i]);
    out
}

/// A value, and what rounding may have done to it, in units of the cost. Values of OT_ε are in units of ε.
struct Bound {
    value: f64,
    widening: f64,
}

/// An upper bound of OT_ε, likewise, with what else its plan tells.
struct Upper {
    value: f64,
    widening: f64,
    /// An upper bound of OT_0, in units of the cost.
    cost: Bound,
    transport_cost: f64,
}

/// Adds terms and their absolute values.
#[derive(Default)]
struct Tally {
    value: f64,
    absolute: f64,
}

impl Tally {
    fn add(&mut self, n: usize, term: impl Fn(usize) -> f64 + Sync) {
        let [value, absolute] = sums(n, |i| {
            let term = term(i);
            [term, term.abs()]
        });
        self.value += value;
        self.absolute += absolute;
    }

    fn rounding(&self) -> f64 {
        // Each term is itself a few operations.
        2.0 * SUM_ROUNDING * self.absolute
    }
}

/// The unregularised dual at c-transforms of g = εφ, widened, in units of the cost.
fn unregularised_dual(passes: &mut dyn Passes, d: &Dual, phi: &[f64]) -> Result<f64> {
    let mut f = vec![0.0; passes.n()];
    // g, then its double transform.
    let mut h = scaled(phi, d.epsilon);
    passes.min_rows(&h, &mut f)?;
    passes.min_cols(&f, &mut h)?;
    let (a, b) = (passes.a(), passes.b());
    // Taken off f, so that f + h ≤ C holds exactly.
    let slack = d.epsilon * passes.rounding() + 16.0 * U * (d.epsilon * d.scale + max_abs(&f) + max_abs(&h));
    update(&mut f, |_, f| (f - slack) / d.epsilon);
    update(&mut h, |_, h| h / d.epsilon);
    if !(d.source.hard() && d.target.hard()) {
        let s = d.translation(a, &f, b, |j| h[j]);
        // A translation rounds too.
        let slack = 4.0 * U * (max_abs(&f) + max_abs(&h) + s.abs());
        update(&mut f, |_, f| f + (s - slack));
        update(&mut h, |_, h| h - s);
    }
    let mut tally = Tally::default();
    tally.add(a.len(), |i| a[i] * d.source.value(f[i]));
    tally.add(b.len(), |j| b[j] * d.target.value(h[j]));
    let value = d.epsilon * (tally.value - tally.rounding());
    Ok(if value.is_nan() { f64::NEG_INFINITY } else { value })
}

/// The unregularised dual at constants: f + g = the smallest cost.
fn trivial(d: &Dual, low: f64) -> f64 {
    let u = low / d.epsilon / 2.0;
    let value = d.mass.0 * d.source.value(u) + d.mass.1 * d.target.value(u);
    let rounding = 4.0 * SUM_ROUNDING * (d.mass.0 * d.source.value(u).abs() + d.mass.1 * d.target.value(u).abs());
    let value = d.epsilon * (value - rounding);
    if value.is_nan() { f64::NEG_INFINITY } else { value }
}

/// Balanced: bounds of OT_0 and OT_ε from the plan abᵀ/M, all of it at the largest cost. KL(abᵀ/M|abᵀ) =
/// −M log M − M + M².
fn product_plan(d: &Dual, high: f64) -> [f64; 2] {
    let mass = d.mass.0.max(d.mass.1);
    let [cost, information] = [mass * high, d.epsilon * (mass * mass - mass - mass * ln(mass))];
    let mismatch = 2.0 * (d.mass.0 - d.mass.1).abs() + 4.0 * SUM_ROUNDING * mass;
    let rounding = mismatch * (high.abs() + d.epsilon * (2.0 + mass + ln(mass).abs()));
    [cost + rounding, cost + information + rounding]
}

struct Problem {
    dual: Dual,
    /// See the head of the file: 2δ there.
    delta: f64,
}

impl Problem {
    fn mass(&self) -> f64 {
        self.dual.mass.0.max(self.dual.mass.1)
    }

    /// D(ψ, φ).
    fn dual_value(&self, passes: &dyn Passes, pair: &Pair) -> Bound {
        let (a, b, d) = (passes.a(), passes.b(), &self.dual);
        let mut tally = Tally::default();
        tally.add(a.len(), |i| a[i] * d.source.value(pair.psi(i)));
        tally.add(b.len(), |j| b[j] * d.target.value(pair.phi(j)));
        let mass = sum(a.len(), |i| pair.row_mass(a, i));
        tally.add(1, |_| -mass);
        tally.add(1, |_| d.mass.0 * d.mass.1);
        Bound { value: tally.value, widening: d.epsilon * (tally.rounding() + self.delta * mass) }
    }

    /// max over plans of KL(P|abᵀ): M (min entropy of a/M, b/M) − M log M − M + M².
    fn largest_information(&self, a: &[f64], b: &[f64]) -> f64 {
        let mass = self.mass();
        let entropy = |w: &[f64]| -sum(w.len(), |i| if w[i] > 0.0 { w[i] * ln(w[i] / mass) } else { 0.0 });
        (entropy(a).min(entropy(b)) - mass * ln(mass) - mass + mass * mass) * (1.0 + 1e-9)
    }

    /// Balanced: the bound of the value of X + e_a e_bᵀ/θ by convexity, and its cost.
    fn rounded_plan(&self, passes: &mut dyn Passes, pair: &Pair) -> Result<Upper> {
        let (d, delta) = (&self.dual, self.delta);
        let (n, m) = (passes.n(), passes.m());
        // log v = min(0, log(b/p)) from the log marginal: p may underflow, v never does.
        let log_v = |j: usize| (-pair.col(j)).min(0.0);
        let mut v = vec![0.0; m];
        fill(&mut v, |j| exp(log_v(j)));
        let mut r = vec![0.0; n];
        passes.plan_cost_rows(&pair.psi, &pair.phi, &v, &mut r)?;
        let mut cost = total(&r);
        passes.plan_rows(&pair.psi, &pair.phi, &v, 1, &mut r)?;

        let (a, b) = (passes.a(), passes.b());
        let c = |j: usize| b[j] * exp(pair.col(j).min(0.0));
        let e_b = |j: usize| -b[j] * exp_m1(pair.col(j).min(0.0));
        let mass = self.mass();
        let theta = sum(m, e_b).min(mass);
        let mut tally = Tally::default();
        tally.add(n, |i| r[i] * pair.psi(i));
        tally.add(m, |j| c(j) * pair.phi(j));
        tally.add(m, |j| c(j) * log_v(j));
        tally.add(1, |_| -mass);
        tally.add(1, |_| d.mass.0 * d.mass.1);
        let exponents = tally.absolute;
        let mut residual_cost = 0.0;
        if theta > 0.0 {
            fill(&mut v, e_b);
            update(&mut r, |i, r| (a[i] - r).max(0.0));
            scale_to(&mut v, b, 1.0);
            scale_to(&mut r, a, 1.0);
            residual_cost = theta * passes.bilinear_cost(&r, &v)?;
            let (a, b) = (passes.a(), passes.b());
            // With e = θē: Σ e log(e/a) = θ (log θ + Σ ē log(ē/a)); the mixture costs −θ log(θ/M) − (M−θ) log(1−θ/M).
            tally.add(n, |i| theta * x_log_ratio(r[i], a[i]));
            tally.add(m, |j| theta * x_log_ratio(v[j], b[j]));
            tally.add(1, |_| theta * ln(mass));
            if theta < mass {
                tally.add(1, |_| -(mass - theta) * ln_1p(-theta / mass));
            }
        }
        cost += residual_cost;
        let largest = d.epsilon * d.scale;
        let mismatch = (d.mass.0 - d.mass.1).abs();
        let lost = 16.0 * delta * mass;
        // What moving `lost` of the mass, and the mismatch of the two masses, may cost.
        let moved = (lost + mismatch) * largest * 2.0 + SUM_ROUNDING * cost.abs();
        let entropy = 2.0 * delta * exponents
            + lost * (1.0 + ln(1.0 / delta).max(0.0))
            + mismatch * (max_abs(&pair.psi) + max_abs(&pair.phi) + 2.0 * pair.s.abs() + 40.0);
        Ok(Upper {
            value: tally.value + residual_cost / d.epsilon,
            widening: d.epsilon * (tally.rounding() + entropy) + moved,
            cost: Bound { value: cost, widening: moved },
            transport_cost: cost,
        })
    }

    /// Penalised: the primal at P(ψ, φ), scaled by its best factor where no side is constrained.
    fn penalised_plan(&self, passes: &mut dyn Passes, pair: &Pair) -> Result<Upper> {
        let (d, delta) = (&self.dual, self.delta);
        let (n, m) = (passes.n(), passes.m());
        let mut costs = vec![0.0; n];
        passes.plan_cost_rows(&pair.psi, &pair.phi, &vec![1.0; m], &mut costs)?;
        let cost = total(&costs);
        drop(costs);
        let (a, b) = (passes.a(), passes.b());
        let (r, c) = (|i: usize| pair.row_mass(a, i), |j: usize| pair.col_mass(b, j));
        let mass = sum(n, r);

        let soft = |side: super::dual::Side| if side.hard() { 0.0 } else { side.r() };
        let (r1, r2) = (soft(d.source), soft(d.target));
        let entropy = sum(n, |i| r(i) * pair.psi(i)) + sum(m, |j| c(j) * pair.phi(j));
        let penalty_slope = r1 * sum(n, |i| r(i) * pair.row(i)) + r2 * sum(m, |j| c(j) * pair.col(j));
        // Both sides free: d/dk of the primal at kP vanishes at this log k.
        let best = |slope: f64, total: f64| {
            let free = !d.source.hard() && !d.target.hard();
            let log_k = -slope / (total * mass);
            if free && log_k.is_finite() { log_k.clamp(-700.0, 700.0) } else { 0.0 }
        };
        let evaluate = |log_k: f64, entropic: bool| -> (f64, f64) {
            let k = exp(log_k);
            let mut tally = Tally::default();
            let mut error = 2.0 * delta * k * cost.abs() / d.epsilon + 8.0 * delta * k * mass * d.scale;
            if entropic {
                tally.add(n, |i| k * r(i) * (pair.psi(i) + log_k));
                tally.add(m, |j| k * c(j) * pair.phi(j));
                tally.add(1, |_| -k * mass);
                tally.add(1, |_| d.mass.0 * d.mass.1);
                error += 4.0 * delta * tally.absolute;
            } else {
                tally.add(1, |_| k * cost / d.epsilon);
            }
            let mut penalise = |rho: f64, w: &[f64], log: &(dyn Fn(usize) -> f64 + Sync)| {
                if rho > 0.0 {
                    tally.add(w.len(), |i| rho * w[i] * relative_entropy(log(i) + log_k));
                    let derivative = sum(w.len(), |i| {
                        let l = log(i) + log_k;
                        w[i] * (l.abs() + delta) * exp(l)
                    });
                    error += 4.0 * delta * rho * derivative;
                }
            };
            penalise(r1, a, &|i| pair.row(i));
            penalise(r2, b, &|j| pair.col(j));
            (tally.value, d.epsilon * (error + tally.rounding()))
        };
        let (value, widening) = evaluate(best(entropy + penalty_slope, 1.0 + r1 + r2), true);
        let (value0, widening0) = evaluate(best(cost / d.epsilon + penalty_slope, r1 + r2), false);
        let cost0 = Bound { value: d.epsilon * value0, widening: widening0 };
        Ok(Upper { value, widening, cost: cost0, transport_cost: cost })
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
    if x > 0.0 { x * ln(x / w) } else { 0.0 }
}

/// KL of e^l against 1: l e^l − e^l + 1, accurate near l = 0.
pub(crate) fn relative_entropy(l: f64) -> f64 {
    if l.abs() < 0.01 {
        // Σ_{k≥2} l^k (k − 1)/k!
        l * l * (0.5 + l * (1.0 / 3.0 + l * (0.125 + l * (1.0 / 30.0 + l * (1.0 / 144.0 + l / 840.0)))))
    } else if l < -700.0 {
        1.0
    } else {
        l * exp(l) - exp_m1(l)
    }
}
