//! Safeguarded acceleration of the Sinkhorn map S: the default.
//!
//! Every step evaluates one proposal z. It is kept if J(z) ≥ J(y) + gain(y), what a Sinkhorn step S(y) is certain to
//! reach; otherwise the next step is S(y) itself. So J(y^{k+1}) ≥ J(y^k) + KL(b|p^k) at every other step at least, and
//! Sinkhorn's worst case KL(b|p) ≤ KL(P*|P⁰)/k stays (methods page §1.5, checked there and here); rounding is allowed
//! for as in `Point::ascends`.
//!
//! The proposal is Anderson's (see [`super::anderson`]) over a window of up to [`WINDOW`] steps, which takes half the
//! evaluations of momentum and less; measured over ten problems, longer windows gain nothing more. A refusal starts the
//! window anew. Where not even two differences of length m fit in [`WINDOW_BYTES`], it is Nesterov's momentum
//! z = x + ((t−1)/t′)(x − x_old), with t ← 1 whenever the step opposes the gradient [ODonoghueCandes2015].

use super::anderson::History;
use super::{Memory, Method, Move, Step};
use crate::error::Result;
use crate::math::reduce::sum;
use crate::solvers::transport::dual::{Dual, Point, Residual, whole};
use crate::solvers::transport::passes::Passes;
use crate::solvers::transport::problem::MethodInput;
use crate::state::{Name, Walk};

/// Differences remembered at most.
const WINDOW: usize = 20;
/// Memory of the differences, 8 bytes per point and difference.
const WINDOW_BYTES: usize = 64 << 20;

/// Steps of the window for m targets, within [`WINDOW_BYTES`].
fn window(m: usize) -> usize {
    WINDOW.min(WINDOW_BYTES / (8 * m.max(1)))
}

pub fn build(_: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    let window = window(m);
    Box::new(Accelerated::new(n, m, if window < 2 { 0 } else { window }))
}

pub fn memory(_: &MethodInput, n: usize, m: usize) -> Memory {
    let window = window(m);
    Accelerated::memory(n, m, if window < 2 { 0 } else { window })
}

pub(super) struct Accelerated {
    /// y^k with x^k = S(y^k).
    point: Point,
    trial: Point,
    /// None: momentum.
    history: Option<History>,
    /// x^{k−1} and t of the momentum; x^{k−1} is empty with a history.
    previous: Vec<f64>,
    t: f64,
    stage: u64,
}

/// The next step evaluates `point.phi` itself, with no history.
const FRESH: u64 = 0;
/// The next step may extrapolate.
const EXTRAPOLATE: u64 = 1;
/// The last proposal was turned down: the next is S(φ).
const PLAIN: u64 = 2;

impl Accelerated {
    /// Anderson's window; 0: momentum.
    pub fn new(n: usize, m: usize, window: usize) -> Self {
        Accelerated {
            point: Point::new(n, m),
            trial: Point::new(n, m),
            history: (window > 0).then(|| History::new(window, m)),
            previous: vec![0.0; if window > 0 { 0 } else { m }],
            t: 1.0,
            stage: FRESH,
        }
    }

    pub fn memory(n: usize, m: usize, window: usize) -> Memory {
        let momentum = if window > 0 { 0 } else { 8 * m as u64 };
        let history = if window > 0 { History::bytes(window, m) } else { 0 };
        Memory { state: Point::bytes(n, m) + momentum, history, steps: Point::bytes(n, m) }
    }

    pub fn point(&self) -> &Point {
        &self.point
    }

    /// z = x + ((t−1)/t′)(x − x_old) into the trial; returns t′.
    fn momentum(&mut self, dual: &Dual, b: &[f64]) -> f64 {
        let (damping, point, previous) = (dual.target.damping(), &self.point, &self.previous);
        let along = sum(b.len(), |j| {
            (b[j] * dual.target.slope(point.phi[j]) - point.marginal(b, j))
                * (point.successor(damping, j) - previous[j])
        });
        let t = if along < 0.0 { 1.0 } else { self.t };
        let next = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
        let beta = (t - 1.0) / next;
        for (j, z) in self.trial.phi.iter_mut().enumerate() {
            let x = point.successor(damping, j);
            *z = x + beta * (x - previous[j]);
        }
        next
    }
}

impl Method for Accelerated {
    fn start(&mut self, phi: &[f64]) {
        self.point.phi.copy_from_slice(phi);
        self.point.error = Residual::UNKNOWN;
        self.stage = FRESH;
    }

    fn step(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        self.trial.fit(passes.n(), passes.m());
        let mut t = self.t;
        match (self.stage, &mut self.history) {
            (FRESH, _) => self.trial.phi.copy_from_slice(&self.point.phi),
            (PLAIN, _) => self.point.sinkhorn(dual, &mut self.trial.phi),
            (_, Some(history)) => history.mix(&mut self.trial.phi),
            (_, None) => t = self.momentum(dual, passes.b()),
        }
        self.trial.evaluate(dual, passes)?;
        match self.stage {
            FRESH => {
                t = 1.0;
                self.previous.iter_mut().zip(&self.trial.phi).for_each(|(x, phi)| *x = *phi);
                if let Some(history) = &mut self.history {
                    history.clear();
                }
            }
            stage => {
                if stage == EXTRAPOLATE && !self.point.ascends(&self.trial, dual, passes.a(), passes.b()) {
                    self.stage = PLAIN;
                    self.t = 1.0;
                    if let Some(history) = &mut self.history {
                        history.restart();
                    }
                    return Ok(Step::at(&self.point, Move::Rejected));
                }
                if self.history.is_none() {
                    self.point.sinkhorn(dual, &mut self.previous);
                }
            }
        }
        self.t = t;
        self.stage = EXTRAPOLATE;
        std::mem::swap(&mut self.point, &mut self.trial);
        if let Some(history) = &mut self.history {
            history.push(&self.point, dual, passes.b());
        }
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
        let mut fits = true;
        match &mut self.history {
            Some(history) => fits = history.state(walk)?,
            None => {
                whole(walk, &PREVIOUS, &mut self.previous)?;
                walk.scalar(&T, (&mut self.t).into())?;
            }
        }
        walk.scalar(&STAGE, (&mut self.stage).into())?;
        if !fits {
            // The point is as good as it was.
            self.stage = FRESH;
        }
        Ok(())
    }
}

const PREVIOUS: Name = Name {
    name: "method_previous",
    units: "1",
    meaning: "Sinkhorn step of the previous point",
    axes: &["kept_target"],
};
const T: Name = Name { name: "method_t", units: "1", meaning: "Nesterov's t", axes: &[] };
const STAGE: Name = Name { name: "method_stage", units: "1", meaning: "what the next step does", axes: &[] };
