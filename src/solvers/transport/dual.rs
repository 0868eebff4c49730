//! The dual objective of balanced and unbalanced transport at one ε, and one evaluation of it.
//!
//! In units of ε, with ψ = f/ε, φ = g/ε, r = ρ/ε (infinite on a side whose marginal is a constraint):
//!
//!     D(ψ, φ) = Σ_i a_i F₁(ψ_i) + Σ_j b_j F₂(φ_j) − ΣP + Σa Σb,    F(u) = r (1 − e^{−u/r}),  F(u) = u for r = ∞
//!     P_ij = a_i b_j e^{ψ_i + φ_j − C_ij/ε}
//!
//! Maximising over ψ alone gives ψ = λ₁ t, t = soft_rows(φ), λ = r/(r + 1); what is left is the semi-dual
//! J(φ) = max_ψ D(ψ, φ), concave in φ. Maximising over φ at that ψ gives λ₂ x, x = soft_cols(ψ): one Sinkhorn step,
//! which gains `gain` ≥ 0 by itself. [Sejourne2022], [CuturiPeyre2018]

use super::passes::{Passes, Precision};
use crate::error::Result;
use crate::math::elementary::{exp, exp_m1, ln};
use crate::math::reduce::{dot, fill, sum, sums_and_largest, total};
use crate::state::{Name, Walk};

/// ρ₁ on KL(P1|a) and ρ₂ on KL(Pᵀ1|b); none: that marginal is a constraint.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Penalties {
    pub source: Option<f64>,
    pub target: Option<f64>,
}

impl Penalties {
    pub fn balanced(&self) -> bool {
        self.source.is_none() && self.target.is_none()
    }
}

/// One marginal: r = ρ/ε, infinite when it is a constraint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    r: f64,
}

impl Side {
    pub fn new(penalty: Option<f64>, epsilon: f64) -> Self {
        Side { r: penalty.map_or(f64::INFINITY, |rho| rho / epsilon) }
    }

    pub fn hard(&self) -> bool {
        self.r.is_infinite()
    }

    /// λ = ρ/(ρ + ε).
    pub fn damping(&self) -> f64 {
        if self.hard() { 1.0 } else { self.r / (self.r + 1.0) }
    }

    /// F(u) = r (1 − e^{−u/r}).
    pub fn value(&self, u: f64) -> f64 {
        if self.hard() { u } else { -self.r * exp_m1(-u / self.r) }
    }

    /// F(v) − F(u), without cancellation for v close to u.
    pub fn rise(&self, u: f64, v: f64) -> f64 {
        if self.hard() { v - u } else { -self.r * exp(-u / self.r) * exp_m1((u - v) / self.r) }
    }

    /// F'(u) = e^{−u/r}: the marginal per weight that the penalty wants at potential u.
    pub fn slope(&self, u: f64) -> f64 {
        if self.hard() { 1.0 } else { exp(-u / self.r) }
    }

    pub fn r(&self) -> f64 {
        self.r
    }
}

/// The dual problem at one ε.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dual {
    pub source: Side,
    pub target: Side,
    pub epsilon: f64,
    /// Σa, Σb.
    pub mass: (f64, f64),
    /// Largest |C_ij|/ε, the scale of the potentials.
    pub scale: f64,
}

impl Dual {
    /// The dual at ε of the problem behind `passes`.
    pub fn new(penalties: Penalties, epsilon: f64, passes: &dyn Passes) -> Self {
        let (low, high) = passes.cost_range();
        Dual {
            source: Side::new(penalties.source, epsilon),
            target: Side::new(penalties.target, epsilon),
            epsilon,
            mass: (total(passes.a()), total(passes.b())),
            scale: low.abs().max(high.abs()) / epsilon,
        }
    }

    /// The same problem at another ε.
    pub fn at(&self, penalties: Penalties, epsilon: f64) -> Self {
        Dual {
            source: Side::new(penalties.source, epsilon),
            target: Side::new(penalties.target, epsilon),
            epsilon,
            mass: self.mass,
            scale: self.scale * self.epsilon / epsilon,
        }
    }

    /// s so that (ψ + s, φ − s) maximises D along the translation that leaves P as it is [Sejourne2022]; for two hard
    /// sides D does not depend on s, and s fixes the gauge b·φ = 0.
    pub fn translation(&self, a: &[f64], psi: &[f64], b: &[f64], phi: impl Fn(usize) -> f64 + Sync) -> f64 {
        if self.source.hard() && self.target.hard() {
            return sum(b.len(), |j| b[j] * phi(j)) / self.mass.1;
        }
        // log Σ a e^{−ψ/r}, shifted by its largest exponent so that it neither over- nor underflows.
        let log_slopes = |r: f64, w: &[f64], u: &(dyn Fn(usize) -> f64 + Sync)| {
            if r.is_infinite() {
                return ln(total(w));
            }
            let top = (0..w.len()).fold(f64::NEG_INFINITY, |m, i| m.max(-u(i) / r));
            top + ln(sum(w.len(), |i| w[i] * exp(-u(i) / r - top)))
        };
        let log_a = log_slopes(self.source.r, a, &|i| psi[i]);
        let log_b = log_slopes(self.target.r, b, &phi);
        (log_a - log_b) / (1.0 / self.source.r + 1.0 / self.target.r)
    }

    /// What rounding may do to a difference of dual values.
    pub fn noise(&self, precision: Precision) -> f64 {
        let unit = match precision {
            Precision::F64 => 2f64.powi(-50),
            // Row errors average out over the rows; a quarter unit per unit of exponent was never seen exceeded.
            Precision::F32 => 2f64.powi(-26),
        };
        unit * (4.0 + self.scale) * self.mass.0.max(self.mass.1)
    }
}

/// How far (ψ, φ) is from optimal: the gradient of the dual relative to the mass, which for a constraint is the
/// marginal error. l1 = (‖P1 − a F₁'(ψ)‖₁ + ‖Pᵀ1 − b F₂'(φ)‖₁) / mass, linf the larger of the two largest entries
/// over the mass. F' = 1 on a constrained side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    pub l1: f64,
    pub linf: f64,
}

impl Residual {
    pub const UNKNOWN: Residual = Residual { l1: f64::INFINITY, linf: f64::INFINITY };

    /// Of marginals `p` against what is wanted; ∞ where it is not a number.
    pub fn of(n: usize, p: impl Fn(usize) -> f64 + Sync, wanted: impl Fn(usize) -> f64 + Sync) -> Self {
        let ([reached, wished, off], largest) = sums_and_largest(n, |j| {
            let (p, wanted) = (p(j), wanted(j));
            ([p, wanted, (p - wanted).abs()], (p - wanted).abs())
        });
        Residual::new(off, largest, reached.max(wished))
    }

    fn new(l1: f64, linf: f64, mass: f64) -> Self {
        if l1 == 0.0 && mass == 0.0 {
            // The plan that is wanted is smaller than any number.
            return Residual { l1, linf };
        }
        let (l1, linf) = (l1 / mass, linf / mass);
        if l1.is_finite() && linf.is_finite() { Residual { l1, linf } } else { Residual::UNKNOWN }
    }

    pub fn plus(self, other: Residual) -> Residual {
        Residual { l1: self.l1 + other.l1, linf: self.linf.max(other.linf) }
    }
}

/// The semi-dual evaluated at φ: one `row_then_col`.
#[derive(Debug, Clone)]
pub struct Point {
    pub phi: Vec<f64>,
    /// ψ = λ₁ soft_rows(φ), the best source potential.
    pub psi: Vec<f64>,
    /// soft_cols(ψ).
    pub x: Vec<f64>,
    /// J(φ), in units of ε.
    pub value: f64,
    /// D(ψ, λ₂x) − D(ψ, φ) ≥ 0: what one Sinkhorn step gains at least.
    pub gain: f64,
    /// See [`Dual::translation`].
    pub shift: f64,
    pub error: Residual,
    /// Evaluated in f32.
    pub coarse: bool,
}

impl Point {
    pub fn new(n: usize, m: usize) -> Self {
        Point {
            phi: vec![0.0; m],
            psi: vec![0.0; n],
            x: vec![0.0; m],
            value: f64::NEG_INFINITY,
            gain: 0.0,
            shift: 0.0,
            error: Residual::UNKNOWN,
            coarse: false,
        }
    }

    /// What it holds.
    pub fn bytes(n: usize, m: usize) -> u64 {
        8 * (n + 2 * m) as u64
    }

    /// Gives its memory back; [`Point::fit`] takes it again.
    pub fn empty(&mut self) {
        *self = Point::new(0, 0);
    }

    /// Room for n sources and m targets; nothing to do for a point that has it.
    pub fn fit(&mut self, n: usize, m: usize) {
        self.psi.resize(n, 0.0);
        self.phi.resize(m, 0.0);
        self.x.resize(m, 0.0);
    }

    /// Fills everything from `self.phi`. After an error only `phi` is meaningful.
    pub fn evaluate(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<()> {
        let damping = dual.source.damping();
        if damping == 1.0 {
            passes.row_then_col(&self.phi, &|_, t| t, &mut self.psi, &mut self.x)?;
        } else {
            passes.row_then_col(&self.phi, &|_, t| damping * t, &mut self.psi, &mut self.x)?;
        }
        self.coarse = passes.precision() == Precision::F32;
        self.close(dual, passes.a(), passes.b());
        Ok(())
    }

    /// The scalars, from φ, ψ and x.
    fn close(&mut self, dual: &Dual, a: &[f64], b: &[f64]) {
        let (source, target) = (dual.source, dual.target);
        let (phi, psi, x) = (&self.phi, &self.psi, &self.x);
        let p = |j: usize| b[j] * exp(phi[j] - x[j]);
        let mass = if source.hard() { dual.mass.0 } else { sum(a.len(), |i| a[i] * source.slope(psi[i])) };
        let rows = if source.hard() { dot(a, psi) } else { sum(a.len(), |i| a[i] * source.value(psi[i])) };
        if target.hard() {
            let ([columns, after, reached, off, risen], largest) = sums_and_largest(b.len(), |j| {
                let p = p(j);
                let off = (p - b[j]).abs();
                ([b[j] * phi[j], b[j] * x[j], p, off, b[j] * (x[j] - phi[j])], off)
            });
            self.value = rows + columns - mass + dual.mass.0 * dual.mass.1;
            self.gain = risen - (dual.mass.1 - reached);
            self.shift = if source.hard() { after / dual.mass.1 } else { dual.translation(a, psi, b, |j| x[j]) };
            self.error = Residual::new(off, largest, reached.max(dual.mass.1));
        } else {
            let damping = target.damping();
            self.value = rows + sum(b.len(), |j| b[j] * target.value(phi[j])) - mass + dual.mass.0 * dual.mass.1;
            self.gain = sum(b.len(), |j| {
                let after = damping * x[j];
                b[j] * (target.rise(phi[j], after) - exp(after - x[j])) + p(j)
            });
            self.shift = dual.translation(a, psi, b, |j| damping * x[j]);
            self.error = Residual::of(b.len(), p, |j| b[j] * target.slope(phi[j]));
        }
        if !(self.value.is_finite() && self.shift.is_finite() && self.gain.is_finite()) {
            self.error = Residual::UNKNOWN;
        }
    }

    /// Everything is a number.
    pub fn sound(&self) -> bool {
        self.error.l1.is_finite()
    }

    /// Entry j of Pᵀ1.
    pub fn marginal(&self, b: &[f64], j: usize) -> f64 {
        b[j] * exp(self.phi[j] - self.x[j])
    }

    /// Entry j of the Sinkhorn step S(φ).
    pub fn successor(&self, damping: f64, j: usize) -> f64 {
        damping * self.x[j] - self.shift
    }

    /// out = S(φ).
    pub fn sinkhorn(&self, dual: &Dual, out: &mut [f64]) {
        let damping = dual.target.damping();
        fill(out, |j| self.successor(damping, j));
    }

    /// J(to) − J(self), term by term: no cancellation of the large values.
    pub fn rise(&self, to: &Point, dual: &Dual, a: &[f64], b: &[f64]) -> f64 {
        let (s, t) = (dual.source, dual.target);
        let rows = if s.hard() {
            sum(a.len(), |i| a[i] * (to.psi[i] - self.psi[i]))
        } else {
            // D's row terms at ψ = λ₁t: F(ψ) − e^{ψ−t} with e^{ψ−t} = F'(ψ), and F' = 1 − F/r.
            let factor = 1.0 + 1.0 / s.r();
            sum(a.len(), |i| a[i] * factor * s.rise(self.psi[i], to.psi[i]))
        };
        rows + sum(b.len(), |j| b[j] * t.rise(self.phi[j], to.phi[j]))
    }

    /// Is `to` at least as good as a Sinkhorn step from here? The safeguard of every accelerated method: Sinkhorn's
    /// worst case is kept (methods page §1.5). Below rounding the dual says nothing, and the error may not grow.
    pub fn ascends(&self, to: &Point, dual: &Dual, a: &[f64], b: &[f64]) -> bool {
        if !to.sound() {
            return false;
        }
        let noise = dual.noise(if self.coarse || to.coarse { Precision::F32 } else { Precision::F64 });
        let informative = self.gain > noise;
        self.rise(to, dual, a, b) >= self.gain - noise && (informative || to.error.l1 <= 3.0 * self.error.l1)
    }

    pub fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.state_as(walk, &POINT)
    }

    /// Under other names, for a method that holds a second point.
    pub fn state_as(&mut self, walk: &mut dyn Walk, names: &PointNames) -> Result<()> {
        whole(walk, &names.phi, &mut self.phi)?;
        whole(walk, &names.psi, &mut self.psi)?;
        whole(walk, &names.x, &mut self.x)?;
        let mut coarse = u64::from(self.coarse);
        let mut scalars = [self.value, self.gain, self.shift, self.error.l1, self.error.linf];
        walk.scalar(&names.scalars, scalars.as_mut_slice().into())?;
        walk.scalar(&names.coarse, (&mut coarse).into())?;
        [self.value, self.gain, self.shift, self.error.l1, self.error.linf] = scalars;
        self.coarse = coarse != 0;
        Ok(())
    }
}

/// How the file names a [`Point`].
pub struct PointNames {
    phi: Name,
    psi: Name,
    x: Name,
    scalars: Name,
    coarse: Name,
}

impl PointNames {
    pub const fn new(names: [&'static str; 5]) -> Self {
        let [phi, psi, x, scalars, coarse] = names;
        const fn name(name: &'static str, meaning: &'static str, axes: &'static [&'static str]) -> Name {
            Name { name, units: "1", meaning, axes }
        }
        PointNames {
            phi: name(phi, "scaled target potential g/epsilon of an evaluation", &["kept_target"]),
            psi: name(psi, "scaled source potential f/epsilon of an evaluation", &["kept_source"]),
            x: name(x, "soft c-transform of psi over the source", &["kept_target"]),
            scalars: name(
                scalars,
                "dual value / epsilon, gain of a Sinkhorn step, translation, L1 and Linf residual",
                &["quantity"],
            ),
            coarse: name(coarse, "1 when evaluated in f32", &[]),
        }
    }
}

const POINT: PointNames = PointNames::new(["phi", "psi", "phi_transform", "evaluation", "evaluation_single_precision"]);

/// A vector that is whole and equal on every rank.
pub fn whole(walk: &mut dyn Walk, name: &Name, x: &mut Vec<f64>) -> Result<()> {
    walk.replicated(name, x)
}
