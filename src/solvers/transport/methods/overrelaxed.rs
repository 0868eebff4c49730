//! Over-relaxed Sinkhorn: both potentials go ω times as far as their exact updates, guarded by the dual.
//!
//!     ψ ← ψ + ω (λ₁ t(φ) − ψ),    φ ← φ + ω (λ₂ x(ψ) − φ),    t = soft_rows(φ), x = soft_cols(ψ)
//!
//! If θ² is the linear rate of Sinkhorn, ω* = 2/(1 + √(1 − θ²)) gives the rate ω* − 1 [Thibault2021], [Lehmann2022].
//! When ω is not given it is adapted: from an observed rate μ at relaxation ω, θ² = (μ + ω − 1)²/(μ ω²) (Young's
//! relation of successive over-relaxation; μ = θ² at ω = 1).
//!
//! Safeguard: the rows' move must raise the dual by half of what ω (2 − ω) of the exact row update's rise would be
//! (that fraction is exact for a quadratic), else the next step is exact; the columns' rise is known before the move,
//! which falls back to ω = 1 by itself. So the dual never decreases.

use super::{Memory, Method, Move, Step};
use crate::error::Result;
use crate::math::elementary::exp;
use crate::math::reduce::sum;
use crate::solvers::transport::dual::{Dual, Residual, whole};
use crate::solvers::transport::passes::{Passes, Precision};
use crate::solvers::transport::problem::MethodInput;
use crate::state::{Name, Walk};

pub fn build(input: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    Box::new(Overrelaxed {
        given: input.relaxation,
        pair: Pair::new(n, m),
        trial: Pair::new(n, m),
        omega: 1.0,
        stage: FRESH,
        here: 0,
        errors: [f64::INFINITY; 3],
    })
}

pub fn memory(_: &MethodInput, n: usize, m: usize) -> Memory {
    let pair = 8 * (n + 2 * m) as u64;
    Memory { state: pair, history: 0, steps: pair }
}

/// ψ and φ with x = soft_cols(ψ).
struct Pair {
    psi: Vec<f64>,
    phi: Vec<f64>,
    x: Vec<f64>,
    error: Residual,
    value: f64,
    /// Evaluated in f32.
    coarse: bool,
}

impl Pair {
    fn new(n: usize, m: usize) -> Self {
        Pair {
            psi: vec![0.0; n],
            phi: vec![0.0; m],
            x: vec![0.0; m],
            error: Residual::UNKNOWN,
            value: f64::NEG_INFINITY,
            coarse: false,
        }
    }

    fn step(&self, progress: Move) -> Step {
        Step { error: self.error, value: self.value, progress, coarse: self.coarse }
    }
}

struct Overrelaxed {
    given: Option<f64>,
    pair: Pair,
    trial: Pair,
    omega: f64,
    stage: u64,
    /// Steps at this ω.
    here: u64,
    /// The last three errors, newest first.
    errors: [f64; 3],
}

/// The next step evaluates `pair.phi` itself with the exact ψ.
const FRESH: u64 = 0;
const RELAX: u64 = 1;
/// The last proposal was turned down: the next update of the rows is exact.
const EXACT: u64 = 2;

/// Steps at one ω before its rate is believed.
const OBSERVE: u64 = 8;
/// A rate is believed when two in succession differ by less than this fraction of 1 − rate.
const STEADY: f64 = 0.1;
/// ω stays below 2 by this much: θ² is only estimated.
const MARGIN: f64 = 0.02;

impl Overrelaxed {
    /// ω from the last three errors, if they say something.
    fn adapt(&mut self) {
        if self.given.is_some() || self.here < OBSERVE {
            return;
        }
        let [e0, e1, e2] = self.errors;
        let (rate, before) = (e0 / e1, e1 / e2);
        // At or above ω* the errors oscillate with rate ω − 1 and say nothing more about θ.
        let informative = rate < 1.0 && rate > self.omega - 1.0 + 0.01;
        if !informative || (rate - before).abs() > STEADY * (1.0 - rate) {
            return;
        }
        let theta2 = (rate + self.omega - 1.0).powi(2) / (rate * self.omega * self.omega);
        let omega = (2.0 / (1.0 + (1.0 - theta2.min(1.0)).sqrt())).min(2.0 - MARGIN);
        if omega > self.omega + 0.01 {
            self.omega = omega;
            self.here = 0;
        }
    }
}

impl Method for Overrelaxed {
    fn start(&mut self, phi: &[f64]) {
        self.pair.phi.copy_from_slice(phi);
        self.stage = FRESH;
        self.here = 0;
        self.omega = self.given.unwrap_or(1.0);
    }

    fn step(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        if self.trial.psi.is_empty() {
            self.trial = Pair::new(passes.n(), passes.m());
        }
        let (source, target) = (dual.source, dual.target);
        let (l1, l2) = (source.damping(), target.damping());
        let fresh = self.stage == FRESH;
        let omega = if self.stage == RELAX { self.omega } else { 1.0 };
        let single = passes.precision() == Precision::F32;
        let noise = dual.noise(if single || self.pair.coarse { Precision::F32 } else { Precision::F64 });
        let (old, new) = (&self.pair, &mut self.trial);

        // Columns first, from the stored x: their rise is known before the move.
        let mut shift = 0.0;
        if fresh {
            new.phi.copy_from_slice(&old.phi);
        } else {
            let b = passes.b();
            let rise = |omega: f64| {
                sum(b.len(), |j| {
                    let to = old.phi[j] + omega * (l2 * old.x[j] - old.phi[j]);
                    b[j] * (target.rise(old.phi[j], to) - exp(to - old.x[j]) + exp(old.phi[j] - old.x[j]))
                })
            };
            let wanted = 0.5 * omega * (2.0 - omega) * rise(1.0);
            let omega = if rise(omega) >= wanted - noise { omega } else { 1.0 };
            for (j, phi) in new.phi.iter_mut().enumerate() {
                *phi = old.phi[j] + omega * (l2 * old.x[j] - old.phi[j]);
            }
            // The gauge of two constraints, the best translation otherwise.
            shift = dual.translation(passes.a(), &old.psi, b, |j| new.phi[j]);
            new.phi.iter_mut().for_each(|phi| *phi -= shift);
        }
        let from = |i: usize| old.psi[i] + shift;
        if omega == 1.0 {
            passes.row_then_col(&new.phi, &|_, t| l1 * t, &mut new.psi, &mut new.x)?;
        } else {
            passes.row_then_col(&new.phi, &|i, t| from(i) + omega * (l1 * t - from(i)), &mut new.psi, &mut new.x)?;
        }

        let (a, b) = (passes.a(), passes.b());
        // The exact row transform, recovered from the relaxed one.
        let t = |i: usize| if omega == 1.0 { new.psi[i] / l1 } else { (from(i) + (new.psi[i] - from(i)) / omega) / l1 };
        if omega != 1.0 {
            let rise = |to: &(dyn Fn(usize) -> f64 + Sync)| {
                sum(a.len(), |i| {
                    let t = t(i);
                    a[i] * (source.rise(from(i), to(i)) - exp(to(i) - t) + exp(from(i) - t))
                })
            };
            let risen = rise(&|i| new.psi[i]);
            let wanted = 0.5 * omega * (2.0 - omega) * rise(&|i| l1 * t(i));
            if risen.is_nan() || risen < wanted - noise {
                self.stage = EXACT;
                if self.given.is_none() {
                    // Too far from the solution for the linear rate to mean anything yet.
                    self.omega = 1.0;
                    self.here = 0;
                }
                return Ok(self.pair.step(Move::Rejected));
            }
        }
        let r = |i: usize| a[i] * exp(new.psi[i] - t(i));
        let p = |j: usize| b[j] * exp(new.phi[j] - new.x[j]);
        let columns = Residual::of(b.len(), p, |j| b[j] * target.slope(new.phi[j]));
        let rows = Residual::of(a.len(), r, |i| a[i] * source.slope(new.psi[i]));
        new.error = columns.plus(rows);
        new.value = sum(a.len(), |i| a[i] * source.value(new.psi[i]))
            + sum(b.len(), |j| b[j] * target.value(new.phi[j]))
            - sum(a.len(), r)
            + dual.mass.0 * dual.mass.1;
        new.coarse = single;
        let error = new.error.l1;
        self.stage = RELAX;
        self.here += 1;
        self.errors = [error, self.errors[0], self.errors[1]];
        std::mem::swap(&mut self.pair, &mut self.trial);
        // Near the floor of f32 the observed rate is that of noise.
        if !single || error > 1e-3 {
            self.adapt();
        }
        Ok(self.pair.step(Move::Accepted))
    }

    fn potentials(&self) -> (&[f64], &[f64]) {
        (&self.pair.psi, &self.pair.phi)
    }

    fn carry(&self, dual: &Dual, out: &mut [f64]) {
        let damping = dual.target.damping();
        out.iter_mut().zip(&self.pair.x).for_each(|(out, x)| *out = damping * x);
    }

    fn rest(&mut self) {
        self.trial = Pair::new(0, 0);
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let pair = &mut self.pair;
        whole(walk, &PSI, &mut pair.psi)?;
        whole(walk, &PHI, &mut pair.phi)?;
        whole(walk, &X, &mut pair.x)?;
        let [e0, e1, e2] = self.errors;
        let mut scalars = [self.omega, pair.error.l1, pair.error.linf, pair.value, e0, e1, e2];
        let mut counts = [self.stage, self.here, u64::from(pair.coarse)];
        walk.scalar(&SCALARS, scalars.as_mut_slice().into())?;
        walk.scalar(&COUNTS, counts.as_mut_slice().into())?;
        [self.omega, pair.error.l1, pair.error.linf, pair.value, ..] = scalars;
        self.errors = [scalars[4], scalars[5], scalars[6]];
        [self.stage, self.here, _] = counts;
        self.pair.coarse = counts[2] == 1;
        Ok(())
    }
}

const PSI: Name =
    Name { name: "psi", units: "1", meaning: "scaled source potential f/epsilon", axes: &["kept_source"] };
const PHI: Name =
    Name { name: "phi", units: "1", meaning: "scaled target potential g/epsilon", axes: &["kept_target"] };
const X: Name = Name {
    name: "phi_transform",
    units: "1",
    meaning: "soft c-transform of psi over the source",
    axes: &["kept_target"],
};
const SCALARS: Name = Name {
    name: "method_scalars",
    units: "1",
    meaning: "relaxation, L1 and Linf residual, dual value / epsilon, last three errors",
    axes: &["quantity"],
};
const COUNTS: Name = Name {
    name: "method_counts",
    units: "1",
    meaning: "what the next step does, steps at this relaxation, 1 when evaluated in f32",
    axes: &["quantity"],
};
