//! Damped Newton on the semi-dual, by preconditioned conjugate gradients.
//!
//!     (H + λ diag(b)) s = ∇J,   H = −∇²J = diag(p + b F₂'/r₂) − λ₁ Pᵀ diag(1/P1) P,   φ ← φ + α s
//!
//! (F₂'/r₂ = 0 and λ₁ = 1 for constraints.) H is applied by one row and one column pass. [`super::accelerated`] brings
//! the error to 10⁻² first and rescues a failed line search. The Levenberg λ falls tenfold on a full step and rises
//! tenfold on a failure; conjugate gradients stop at a relative residual min(0.1, √error) [DemboEisenstatSteihaug1982].
//! One step is one evaluation, or one conjugate-gradient iteration (two passes).

use super::accelerated::Accelerated;
use super::{Memory, Method, Move, Step};
use crate::error::Result;
use crate::math::reduce::{dot, fill, sum};
use crate::solvers::transport::dual::{Dual, Point, PointNames, Residual, whole};
use crate::solvers::transport::passes::{Passes, Precision};
use crate::solvers::transport::problem::MethodInput;
use crate::state::{Name, Walk};

/// Where Newton takes over from `accelerated`.
const WARM: f64 = 1e-2;
/// Steps of `accelerated` after a failed line search.
const RESCUE: u64 = 5;
const CG_MOST: u64 = 60;
const HALVINGS: u64 = 4;
const LEVENBERG: (f64, f64, f64) = (1e-3, 1e-12, 1e2);
/// Window of the warm-up.
const WINDOW: usize = 20;

pub fn build(_: &MethodInput, n: usize, m: usize) -> Box<dyn Method> {
    let vector = || vec![0.0; m];
    Box::new(Newton {
        inner: Accelerated::new(n, m, WINDOW),
        point: Point::new(n, m),
        trial: Point::new(n, m),
        marginal: vector(),
        s: vector(),
        residual: vector(),
        direction: vector(),
        product: vector(),
        image: vec![0.0; n],
        scalars: Scalars { lambda: LEVENBERG.0, alpha: 1.0, rz: 0.0, norm: 0.0 },
        stage: INNER,
        count: 0,
    })
}

pub fn memory(_: &MethodInput, n: usize, m: usize) -> Memory {
    let (inner, point) = (Accelerated::memory(n, m, WINDOW), Point::bytes(n, m));
    Memory {
        state: inner.state + point + 32 * m as u64,
        history: inner.history,
        steps: inner.steps + point + 8 * (n + m) as u64,
    }
}

struct Newton {
    inner: Accelerated,
    point: Point,
    trial: Point,
    /// Pᵀ1 at the point.
    marginal: Vec<f64>,
    /// Conjugate gradients: solution, residual, direction.
    s: Vec<f64>,
    residual: Vec<f64>,
    direction: Vec<f64>,
    product: Vec<f64>,
    image: Vec<f64>,
    scalars: Scalars,
    stage: u64,
    /// Steps of the inner method still owed, conjugate-gradient iterations or halvings done.
    count: u64,
}

#[derive(Clone, Copy)]
struct Scalars {
    lambda: f64,
    alpha: f64,
    /// ⟨residual, preconditioned residual⟩.
    rz: f64,
    /// ‖∇J‖₁ at the point.
    norm: f64,
}

/// The next step is one of `accelerated`.
const INNER: u64 = 0;
/// The next step is one conjugate-gradient iteration.
const CG: u64 = 2;
/// The next step evaluates φ + α s.
const TRIAL: u64 = 3;

/// up/down, and 0 where there is nothing to divide: pixels of grids may have no mass.
fn quotient(up: f64, down: f64) -> f64 {
    if up == 0.0 { 0.0 } else { up / down }
}

impl Newton {
    /// Diagonal of H before the plan's part, with the Levenberg term: the preconditioner, > 0 where there is mass.
    fn diagonal(&self, dual: &Dual, b: &[f64], j: usize) -> f64 {
        let penalty = if dual.target.hard() { 0.0 } else { dual.target.slope(self.point.phi[j]) / dual.target.r() };
        self.marginal[j] + b[j] * (penalty + self.scalars.lambda)
    }

    /// Sets up the linear system at the point.
    fn begin(&mut self, dual: &Dual, b: &[f64]) {
        self.s.fill(0.0);
        fill(&mut self.marginal, |j| self.point.marginal(b, j));
        for j in 0..b.len() {
            self.residual[j] = b[j] * dual.target.slope(self.point.phi[j]) - self.marginal[j];
            self.direction[j] = quotient(self.residual[j], self.diagonal(dual, b, j));
        }
        self.scalars.rz = dot(&self.residual, &self.direction);
        self.scalars.norm = sum(b.len(), |j| self.residual[j].abs());
        self.stage = CG;
        self.count = 0;
    }

    fn rescue(&mut self) {
        self.inner.start(&self.point.phi);
        self.scalars.lambda = (10.0 * self.scalars.lambda).min(LEVENBERG.2);
        self.stage = INNER;
        self.count = RESCUE;
    }

    /// The last accepted evaluation: the inner method's, except right after a rescue, when it has none yet.
    fn current(&self) -> &Point {
        let inner = self.inner.point();
        if self.stage == INNER && (inner.sound() || !self.point.sound()) { inner } else { &self.point }
    }

    fn now(&self, progress: Move) -> Step {
        Step::at(self.current(), progress)
    }

    fn conjugate(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        let point = &self.point;
        passes.plan_rows(&point.psi, &point.phi, &self.direction, 1, &mut self.image)?;
        let l1 = dual.source.damping();
        let a = passes.a();
        for (i, image) in self.image.iter_mut().enumerate().filter(|(_, image)| **image != 0.0) {
            *image *= l1 / (a[i] * dual.source.slope(point.psi[i]));
        }
        passes.plan_cols(&point.psi, &point.phi, &self.image, 1, &mut self.product)?;
        let b = passes.b();
        for j in 0..b.len() {
            self.product[j] = self.diagonal(dual, b, j) * self.direction[j] - self.product[j];
        }
        let curvature = dot(&self.direction, &self.product);
        self.count += 1;
        if !(curvature > 0.0 && curvature.is_finite()) {
            // Rounding made H indefinite: what is there is used if it is anything, else the gradient is too small.
            if self.count == 1 {
                self.rescue();
            } else {
                self.try_full_step();
            }
            return Ok(self.now(Move::Preparing));
        }
        let alpha = self.scalars.rz / curvature;
        for j in 0..b.len() {
            self.s[j] += alpha * self.direction[j];
            self.residual[j] -= alpha * self.product[j];
        }
        let norm = sum(b.len(), |j| self.residual[j].abs());
        let forcing = self.point.error.l1.sqrt().min(0.1);
        if norm <= forcing * self.scalars.norm || self.count == CG_MOST {
            self.try_full_step();
            return Ok(self.now(Move::Preparing));
        }
        let rz = sum(b.len(), |j| quotient(self.residual[j] * self.residual[j], self.diagonal(dual, b, j)));
        let beta = rz / self.scalars.rz;
        self.scalars.rz = rz;
        for j in 0..b.len() {
            self.direction[j] = quotient(self.residual[j], self.diagonal(dual, b, j)) + beta * self.direction[j];
        }
        Ok(self.now(Move::Preparing))
    }

    fn try_full_step(&mut self) {
        self.stage = TRIAL;
        self.scalars.alpha = 1.0;
        self.count = 0;
    }

    fn search(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        for (j, z) in self.trial.phi.iter_mut().enumerate() {
            *z = self.point.phi[j] + self.scalars.alpha * self.s[j];
        }
        self.trial.evaluate(dual, passes)?;
        let (a, b) = (passes.a(), passes.b());
        let slope = sum(b.len(), |j| (b[j] * dual.target.slope(self.point.phi[j]) - self.marginal[j]) * self.s[j]);
        let coarse = self.point.coarse || self.trial.coarse;
        let noise = dual.noise(if coarse { Precision::F32 } else { Precision::F64 });
        let wanted = 1e-4 * self.scalars.alpha * slope;
        let accepted = self.trial.sound()
            && self.point.rise(&self.trial, dual, a, b) >= wanted - noise
            && (self.scalars.alpha * slope > noise || self.trial.error.l1 <= self.point.error.l1);
        if accepted {
            if self.scalars.alpha == 1.0 {
                self.scalars.lambda = (0.1 * self.scalars.lambda).max(LEVENBERG.1);
            }
            std::mem::swap(&mut self.point, &mut self.trial);
            self.begin(dual, b);
            return Ok(self.now(Move::Accepted));
        }
        self.count += 1;
        self.scalars.alpha *= 0.5;
        if self.count == HALVINGS {
            self.rescue();
        }
        Ok(self.now(Move::Rejected))
    }
}

impl Method for Newton {
    fn start(&mut self, phi: &[f64]) {
        self.inner.start(phi);
        self.point.error = Residual::UNKNOWN;
        self.scalars.lambda = LEVENBERG.0;
        self.stage = INNER;
        self.count = 0;
    }

    fn step(&mut self, dual: &Dual, passes: &mut dyn Passes) -> Result<Step> {
        self.trial.fit(passes.n(), passes.m());
        self.product.resize(passes.m(), 0.0);
        self.image.resize(passes.n(), 0.0);
        if self.stage != INNER && self.point.coarse && passes.precision() == Precision::F64 {
            // The passes went over to f64: a system set up in f32 is not worth finishing.
            self.trial.phi.copy_from_slice(&self.point.phi);
            self.trial.evaluate(dual, passes)?;
            std::mem::swap(&mut self.point, &mut self.trial);
            self.begin(dual, passes.b());
            return Ok(self.now(Move::Accepted));
        }
        match self.stage {
            INNER => {
                let step = self.inner.step(dual, passes)?;
                self.count = self.count.saturating_sub(1);
                if step.error.l1 <= WARM && self.count == 0 {
                    self.point.clone_from(self.inner.point());
                    self.begin(dual, passes.b());
                }
                Ok(step)
            }
            CG => self.conjugate(dual, passes),
            _ => self.search(dual, passes),
        }
    }

    fn potentials(&self) -> (&[f64], &[f64]) {
        let point = self.current();
        (&point.psi, &point.phi)
    }

    fn carry(&self, dual: &Dual, out: &mut [f64]) {
        self.current().sinkhorn(dual, out);
    }

    fn rest(&mut self) {
        self.inner.rest();
        self.trial.empty();
        (self.product, self.image) = (Vec::new(), Vec::new());
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.inner.state(walk)?;
        self.point.state_as(walk, &POINT)?;
        whole(walk, &MARGINAL, &mut self.marginal)?;
        whole(walk, &S, &mut self.s)?;
        whole(walk, &RESIDUAL, &mut self.residual)?;
        whole(walk, &DIRECTION, &mut self.direction)?;
        let Scalars { lambda, alpha, rz, norm } = self.scalars;
        let mut scalars = [lambda, alpha, rz, norm];
        let mut counts = [self.stage, self.count];
        walk.scalar(&SCALARS, scalars.as_mut_slice().into())?;
        walk.scalar(&COUNTS, counts.as_mut_slice().into())?;
        let [lambda, alpha, rz, norm] = scalars;
        self.scalars = Scalars { lambda, alpha, rz, norm };
        [self.stage, self.count] = counts;
        Ok(())
    }
}

const POINT: PointNames = PointNames::new([
    "newton_phi",
    "newton_psi",
    "newton_phi_transform",
    "newton_evaluation",
    "newton_evaluation_single_precision",
]);
const MARGINAL: Name =
    Name { name: "newton_column_marginal", units: "1", meaning: "second marginal of the plan", axes: &["kept_target"] };
const S: Name =
    Name { name: "newton_solution", units: "1", meaning: "Newton direction so far", axes: &["kept_target"] };
const RESIDUAL: Name =
    Name { name: "newton_residual", units: "1", meaning: "residual of the linear system", axes: &["kept_target"] };
const DIRECTION: Name =
    Name { name: "newton_direction", units: "1", meaning: "conjugate direction", axes: &["kept_target"] };
const SCALARS: Name = Name {
    name: "newton_scalars",
    units: "1",
    meaning: "Levenberg parameter, step length, preconditioned residual, norm of the gradient",
    axes: &["quantity"],
};
const COUNTS: Name = Name {
    name: "newton_counts",
    units: "1",
    meaning: "what the next step does, how often it was done",
    axes: &["quantity"],
};
