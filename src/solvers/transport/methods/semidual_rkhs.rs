//! Gradient ascent of the semi-dual in a reproducing-kernel Hilbert space H on the target, with optional momentum.
//!
//!     φ^{k+1} = y^k + (1/L) K (b − p(y^k)),    y^{k+1} = φ^{k+1} + ((t_k − 1)/t_{k+1}) (φ^{k+1} − φ^k)
//!
//! (y = φ without momentum). −J is L-smooth in H with L = ¼ max (K_jj + K_j'j' − 2K_jj') ≤ ½ for kernels with
//! k(y, y) = 1 and k ≥ 0, whatever the cost and ε; equivalently, mirror descent of ½MMD² over couplings. Worst cases:
//! gap ≤ L‖φ* − φ⁰‖²_H/(2k), with momentum 2L‖φ* − φ⁰‖²_H/(k + 1)² (methods page §1.3–1.5) [Nesterov1983].

use super::{Memory, Method, Move, Step};
use crate::error::Result;
use crate::math::reduce::{fill, sum};
use crate::solvers::transport::dual::{Dual, Point, whole};
use crate::solvers::transport::passes::Passes;
use crate::solvers::transport::problem::MethodInput;
use crate::state::{Name, Walk};

pub fn build(_: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    Box::new(Rkhs::new(n, m, false))
}

pub fn memory(_: &MethodInput, n: usize, m: usize) -> Memory {
    let point = Point::bytes(n, m);
    Memory { state: point + 8 * m as u64, history: 0, steps: point + 16 * m as u64 }
}

pub(super) struct Rkhs {
    momentum: bool,
    /// At y^k.
    point: Point,
    trial: Point,
    /// φ^k.
    ascended: Vec<f64>,
    next: Vec<f64>,
    gradient: Vec<f64>,
    t: f64,
    /// 1: the next step evaluates `point.phi` itself.
    fresh: u64,
}

/// L for mass 1.
const SMOOTHNESS: f64 = 0.5;

impl Rkhs {
    pub fn new(n: usize, m: usize, momentum: bool) -> Self {
        Rkhs {
            momentum,
            point: Point::new(n, m),
            trial: Point::new(n, m),
            ascended: vec![0.0; m],
            next: vec![0.0; m],
            gradient: vec![0.0; m],
            t: 1.0,
            fresh: 1,
        }
    }
}

impl Method for Rkhs {
    fn start(&mut self, phi: &[f64]) {
        self.point.phi.copy_from_slice(phi);
        self.ascended.copy_from_slice(phi);
        self.t = 1.0;
        self.fresh = 1;
    }

    fn step(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        self.trial.fit(passes.n(), passes.m());
        self.next.resize(passes.m(), 0.0);
        self.gradient.resize(passes.m(), 0.0);
        if self.fresh == 1 {
            self.trial.phi.copy_from_slice(&self.point.phi);
            self.trial.evaluate(dual, passes)?;
            self.fresh = 0;
            std::mem::swap(&mut self.point, &mut self.trial);
            return Ok(Step::at(&self.point, Move::Accepted));
        }
        let b = passes.b();
        fill(&mut self.gradient, |j| b[j] - self.point.marginal(b, j));
        passes.reproducing_kernel(&self.gradient, &mut self.next)?;
        let step = 1.0 / (SMOOTHNESS * dual.mass.1);
        for (next, y) in self.next.iter_mut().zip(&self.point.phi) {
            *next = y + step * *next;
        }
        let mut t = self.t;
        if self.momentum {
            let along = sum(self.next.len(), |j| self.gradient[j] * (self.next[j] - self.ascended[j]));
            if along < 0.0 {
                t = 1.0;
            }
            let after = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
            let beta = (t - 1.0) / after;
            for (j, y) in self.trial.phi.iter_mut().enumerate() {
                *y = self.next[j] + beta * (self.next[j] - self.ascended[j]);
            }
            t = after;
        } else {
            self.trial.phi.copy_from_slice(&self.next);
        }
        self.trial.evaluate(dual, passes)?;
        self.t = t;
        std::mem::swap(&mut self.ascended, &mut self.next);
        std::mem::swap(&mut self.point, &mut self.trial);
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
        (self.next, self.gradient) = (Vec::new(), Vec::new());
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.point.state(walk)?;
        whole(walk, &ASCENDED, &mut self.ascended)?;
        walk.scalar(&T, (&mut self.t).into())?;
        walk.scalar(&FRESH, (&mut self.fresh).into())
    }
}

const ASCENDED: Name =
    Name { name: "method_ascended", units: "1", meaning: "phi before its momentum", axes: &["kept_target"] };
const T: Name = Name { name: "method_t", units: "1", meaning: "Nesterov's t", axes: &[] };
const FRESH: Name =
    Name { name: "method_fresh", units: "1", meaning: "1 when the next step evaluates phi itself", axes: &[] };
