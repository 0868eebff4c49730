//! Steepest ascent of the semi-dual in the sup norm: φ ← φ + ‖b − p‖₁ sign(b − p), for mass 1.
//!
//! −J is 1-smooth in ‖·‖_∞ whatever the cost, the weights and ε (Hoeffding's lemma), so each step gains at least
//! ½‖b − p‖₁² and min_k ‖b − p‖₁ ≤ √(2 gap₀/k) (methods page §1.3). Of theoretical interest: Sinkhorn is far faster.

use super::{Memory, Method, Move, Step};
use crate::error::Result;
use crate::math::reduce::{sum, update};
use crate::solvers::transport::dual::{Dual, Point};
use crate::solvers::transport::passes::Passes;
use crate::solvers::transport::problem::MethodInput;
use crate::state::{Name, Walk};

pub fn build(_: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    Box::new(Signed { point: Point::new(n, m), trial: Point::new(n, m), fresh: 1 })
}

pub fn memory(_: &MethodInput, n: usize, m: usize) -> Memory {
    Memory { state: Point::bytes(n, m), history: 0, steps: Point::bytes(n, m) }
}

struct Signed {
    point: Point,
    trial: Point,
    /// 1: the next step evaluates `point.phi` itself.
    fresh: u64,
}

impl Method for Signed {
    fn start(&mut self, phi: &[f64]) {
        self.point.phi.copy_from_slice(phi);
        self.fresh = 1;
    }

    fn step(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        self.trial.fit(passes.n(), passes.m());
        self.trial.phi.copy_from_slice(&self.point.phi);
        if self.fresh == 0 {
            let (b, point) = (passes.b(), &self.point);
            let missing = |j: usize| b[j] - point.marginal(b, j);
            let length = sum(b.len(), |j| missing(j).abs()) / dual.mass.1;
            // f64::signum(0) is 1; here it is 0.
            let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
            update(&mut self.trial.phi, |j, phi| phi + length * sign(missing(j)));
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
