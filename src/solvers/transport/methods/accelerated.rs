//! Safeguarded acceleration of the Sinkhorn map S.

use super::{Method, Step};
use crate::error::Result;
use crate::solvers::transport::dual::{Dual, Point, whole};
use crate::solvers::transport::passes::Passes;
use crate::solvers::transport::problem::MethodInput;
use crate::state::{Name, Walk};

pub fn build(_: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    Box::new(Accelerated {
        point: Point::new(n, m),
        trial: Point::new(n, m),
        previous: vec![0.0; m],
        t: 1.0,
        stage: FRESH,
    })
}

struct Accelerated {
    /// y^k with x^k = S(y^k).
    point: Point,
    trial: Point,
    /// x^{k−1}.
    previous: Vec<f64>,
    t: f64,
    stage: u64,
}

/// The next step evaluates `point.phi` itself, with no history.
const FRESH: u64 = 0;
/// The next step may extrapolate.
const MOMENTUM: u64 = 1;
/// The last proposal was turned down: the next is S(φ).
const PLAIN: u64 = 2;
/// The next step evaluates `point.phi` again, keeping momentum.
const AGAIN: u64 = 3;

impl Method for Accelerated {
    fn start(&mut self, phi: &[f64]) {
        self.point.phi.copy_from_slice(phi);
        self.stage = FRESH;
        self.t = 1.0;
    }

    fn reevaluate(&mut self) {
        if self.stage != FRESH {
            self.stage = AGAIN;
        }
    }

    fn step(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        let mut t = self.t;
        match self.stage {
            FRESH | AGAIN => self.trial.phi.copy_from_slice(&self.point.phi),
            PLAIN => {
                t = 1.0;
                self.point.sinkhorn(dual, &mut self.trial.phi);
            }
            _ => {
                let (damping, b, point) = (dual.target.damping(), passes.b(), &self.point);
                let slope = crate::math::reduce::sum(b.len(), |j| {
                    (b[j] * dual.target.slope(point.phi[j]) - point.p[j])
                        * (point.successor(damping, j) - self.previous[j])
                });
                if slope < 0.0 {
                    t = 1.0;
                }
                let next = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
                let beta = (t - 1.0) / next;
                for (j, z) in self.trial.phi.iter_mut().enumerate() {
                    let x = point.successor(damping, j);
                    *z = x + beta * (x - self.previous[j]);
                }
                t = next;
            }
        }
        self.trial.evaluate(dual, passes)?;
        match self.stage {
            FRESH => self.previous.copy_from_slice(&self.trial.phi),
            AGAIN => {}
            PLAIN => self.point.sinkhorn(dual, &mut self.previous),
            _ => {
                if !self.point.ascends(&self.trial, dual, passes.a(), passes.b()) {
                    self.stage = PLAIN;
                    return Ok(Step { error: self.point.error, value: self.point.value, advanced: false });
                }
                self.point.sinkhorn(dual, &mut self.previous);
            }
        }
        self.t = t;
        self.stage = MOMENTUM;
        std::mem::swap(&mut self.point, &mut self.trial);
        Ok(Step { error: self.point.error, value: self.point.value, advanced: true })
    }

    fn potentials(&self) -> (&[f64], &[f64]) {
        (&self.point.psi, &self.point.phi)
    }

    fn carry(&self, dual: &Dual, out: &mut [f64]) {
        self.point.sinkhorn(dual, out);
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.point.state(walk)?;
        whole(walk, &PREVIOUS, &mut self.previous)?;
        walk.scalar(&T, (&mut self.t).into())?;
        walk.scalar(&STAGE, (&mut self.stage).into())
    }
}

const PREVIOUS: Name =
    Name { name: "method_previous", units: "1", meaning: "Sinkhorn step of the previous point", axes: &["target"] };
const T: Name = Name { name: "method_t", units: "1", meaning: "Nesterov's t", axes: &[] };
const STAGE: Name = Name { name: "method_stage", units: "1", meaning: "what the next step does", axes: &[] };
