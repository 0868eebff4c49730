//! Sinkhorn's iteration in the log domain: φ ← S(φ).
//!
//! Balanced: exact block coordinate ascent of the dual, equivalently mirror descent of KL(Pᵀ1|b) with unit step, so
//! KL(p(φ^k)|b) ≤ KL(P*|P⁰)/k with no further assumption [Leger2021], [AubinFrankowski2022]. Unbalanced: the damped
//! updates λ₁t, λ₂x followed by the best translation [Sejourne2022].

use super::{Memory, Method, Move, Step};
use crate::error::Result;
use crate::solvers::transport::dual::{Dual, Point};
use crate::solvers::transport::passes::Passes;
use crate::solvers::transport::problem::MethodInput;
use crate::state::{Name, Walk};

pub fn build(_: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    Box::new(Sinkhorn { point: Point::new(n, m), trial: Point::new(n, m), fresh: 1 })
}

pub fn memory(_: &MethodInput, n: usize, m: usize) -> Memory {
    Memory { state: Point::bytes(n, m), history: 0, steps: Point::bytes(n, m) }
}

struct Sinkhorn {
    point: Point,
    trial: Point,
    /// 1: the next step evaluates `point.phi` itself.
    fresh: u64,
}

impl Method for Sinkhorn {
    fn start(&mut self, phi: &[f64]) {
        self.point.phi.copy_from_slice(phi);
        self.fresh = 1;
    }

    fn step(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        self.trial.fit(passes.n(), passes.m());
        if self.fresh == 1 {
            self.trial.phi.copy_from_slice(&self.point.phi);
        } else {
            self.point.sinkhorn(dual, &mut self.trial.phi);
        }
        self.trial.evaluate(dual, passes)?;
        std::mem::swap(&mut self.point, &mut self.trial);
        self.fresh = 0;
        Ok(Step::at(&self.point, Move::Accepted))
    }

    fn potentials(&self) -> (&[f64], &[f64]) {
        (&self.point.psi, &self.point.phi)
    }

    fn carry(&self, dual: &Dual, out: &mut [f64]) {
        self.point.sinkhorn(dual, out);
    }

    fn rest(&mut self) {
        self.trial.empty();
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.point.state(walk)?;
        walk.scalar(&FRESH, (&mut self.fresh).into())
    }
}

const FRESH: Name =
    Name { name: "method_fresh", units: "1", meaning: "1 when the next step evaluates phi itself", axes: &[] };
