//! The Sinkhorn divergence S_ε(a, b) = OT_ε(a, b) − ½ OT_ε(a, a) − ½ OT_ε(b, b) + ½ε (Σa − Σb)². [Feydy2019],
//! [Sejourne2019]
//!
//! The mixed problem goes through the driver; the two symmetric ones have f = g and are solved by f ← ½ (f + λ T f),
//! which halves the error at least. The value is summed from differences of potentials, so that it does not cancel;
//! its bounds come from the certificates of the three problems.

use super::certificate::{Certificate, Certified, Interval, conclude};
use super::dual::{Dual, Penalties, Residual, whole};
use super::passes::{Passes, Precision};
use super::problem::{MethodInput, PrecisionInput};
use super::solve::{Finished, Progress, Solve, StepOutcome, finite_or_zero};
use crate::error::{Error, Result};
use crate::math::elementary::exp;
use crate::math::reduce::sum;
use crate::state::{Name, Walk};

/// The three problems: (a, b), (a, a), (b, b), at one ε.
pub struct Three<'p> {
    pub ab: &'p mut dyn Passes,
    pub aa: &'p mut dyn Passes,
    pub bb: &'p mut dyn Passes,
}

pub struct Divergence {
    penalties: Penalties,
    ab: Solve,
    aa: Symmetric,
    bb: Symmetric,
    /// How (a, b) has ended: one of the constants below.
    ended: u64,
    /// Symmetric problems already stepped in this round.
    round: u64,
}

/// How a problem of the three stands.
const RUNNING: u64 = 0;
const CONVERGED: u64 = 1;
const STALLED: u64 = 2;
/// `precision = "f32"`: stalled at the floor of f32, where another precision may go on.
const STALLED_SINGLE: u64 = 3;

fn stalled(precision: PrecisionInput) -> u64 {
    if precision == PrecisionInput::F32 { STALLED_SINGLE } else { STALLED }
}

/// How a problem stands that had `ended` under the tolerance and precision of the run that saved it; `met`: it meets
/// the present ones. What this run has ended itself stays as it is.
fn reconsidered(ended: u64, met: bool, precision: PrecisionInput) -> u64 {
    match ended {
        CONVERGED if !met => RUNNING,
        STALLED | STALLED_SINGLE if met => CONVERGED,
        STALLED_SINGLE if precision != PrecisionInput::F32 => RUNNING,
        ended => ended,
    }
}

/// The result in f64.
#[derive(Debug, Clone)]
pub struct FinishedDivergence {
    /// S_ε.
    pub value: f64,
    /// S_ε is in here.
    pub regularised: Interval,
    /// OT_0(a, b) − ½ OT_0(a, a) − ½ OT_0(b, b) is in here.
    pub unregularised: Interval,
    pub ab: Finished,
    pub aa: SelfFinished,
    pub bb: SelfFinished,
}

/// A symmetric problem in f64: φ = f/ε and ψ = its exact update, equal at the solution.
#[derive(Debug, Clone)]
pub struct SelfFinished {
    pub psi: Vec<f64>,
    pub phi: Vec<f64>,
    pub error: Residual,
    pub certificate: Certificate,
}

impl FinishedDivergence {
    /// The largest of the three problems.
    pub fn error(&self) -> Residual {
        let [ab, aa, bb] = [self.ab.error, self.aa.error, self.bb.error];
        Residual { l1: ab.l1.max(aa.l1).max(bb.l1), linf: ab.linf.max(aa.linf).max(bb.linf) }
    }
}

/// Refuses penalties that a divergence cannot have.
pub fn check(penalties: Penalties) -> Result<()> {
    if penalties.source != penalties.target {
        return Err(Error::Usage("needs source_penalty and target_penalty equal, or neither".into()));
    }
    Ok(())
}

impl Divergence {
    pub fn new(input: &MethodInput, penalties: Penalties, three: &mut Three, warm: Option<&[f64]>) -> Result<Self> {
        check(penalties)?;
        Ok(Divergence {
            penalties,
            ab: Solve::new(input, penalties, three.ab, warm)?,
            aa: Symmetric::new(input, penalties, three.aa, &SOURCE_NAMES),
            bb: Symmetric::new(input, penalties, three.bb, &TARGET_NAMES),
            ended: RUNNING,
            round: 0,
        })
    }

    /// One step of every problem that has not ended. Interrupted, the problems already stepped in this round keep
    /// their step and the round goes on with the others: each problem runs through the same bits in any case.
    pub fn step(&mut self, three: &mut Three) -> Result<StepOutcome> {
        if self.round == 0 {
            self.aa.step(three.aa)?;
            self.round = 1;
        }
        if self.round == 1 {
            self.bb.step(three.bb)?;
            self.round = 2;
        }
        let mut message = String::new();
        if self.ended == RUNNING {
            match self.ab.step(three.ab)? {
                StepOutcome::Running => {}
                StepOutcome::Converged => self.ended = CONVERGED,
                StepOutcome::Stalled(why) => {
                    self.ended = stalled(self.aa.precision);
                    message = why;
                }
            }
        }
        self.round = 0;
        if self.ended == RUNNING || !self.aa.ended() || !self.bb.ended() {
            return Ok(StepOutcome::Running);
        }
        if self.reached() {
            return Ok(StepOutcome::Converged);
        }
        let [aa, bb] = [self.aa.error.l1, self.bb.error.l1];
        Ok(StepOutcome::Stalled(format!(
            "marginal errors {:.2e} (a, b), {aa:.2e} (a, a), {bb:.2e} (b, b) {message}",
            self.ab.progress().error.l1
        )))
    }

    pub fn reached(&self) -> bool {
        [self.ended, self.aa.ended, self.bb.ended] == [CONVERGED; 3]
    }

    /// See [`Solve::verdict`]: of all three problems.
    pub fn verdict(&self, finished: &FinishedDivergence) -> StepOutcome {
        let [aa, bb] = [finished.aa.error.l1, finished.bb.error.l1];
        if self.ab.verdict(&finished.ab) == StepOutcome::Converged && aa.max(bb) <= self.aa.tolerance {
            return StepOutcome::Converged;
        }
        StepOutcome::Stalled(format!(
            "marginal errors {:.2e} (a, b), {aa:.2e} (a, a), {bb:.2e} (b, b), tolerance {:.2e}",
            finished.ab.error.l1, self.aa.tolerance
        ))
    }

    /// The problem whose step comes next in this round: 0 (a, b), 1 (a, a), 2 (b, b). After an interruption, the one
    /// that was interrupted.
    pub fn under_way(&self) -> usize {
        [1, 2, 0][self.round as usize]
    }

    /// Of the mixed problem; the error is the largest of the three.
    pub fn progress(&self) -> Progress {
        let mut progress = self.ab.progress();
        for other in [&self.aa, &self.bb] {
            progress.error.l1 = progress.error.l1.max(other.error.l1);
            progress.error.linf = progress.error.linf.max(other.error.linf);
        }
        progress
    }

    /// (ψ, φ) of (a, b), and f/ε of (a, a) and (b, b).
    pub fn potentials(&self) -> [&[f64]; 4] {
        let (psi, phi) = self.ab.potentials();
        [psi, phi, &self.aa.f, &self.bb.f]
    }

    /// `zero_diagonal`: c(x, x) = 0 ≤ c, so that OT_0(a, a) = OT_0(b, b) = 0.
    pub fn finish(&mut self, three: &mut Three, zero_diagonal: bool) -> Result<FinishedDivergence> {
        let ab = self.ab.finish(three.ab)?;
        let aa = self.aa.finish(three.aa)?;
        let bb = self.bb.finish(three.bb)?;
        // The passes of (a, b) may be back at the ε of a level; those of the others never leave the one asked for.
        let dual = Dual::new(self.penalties, three.aa.epsilon(), three.ab);
        let (a, b, f) = (three.ab.a(), three.ab.b(), dual.source);
        // The masses cancel against ½ε(Σa − Σb)² but for those of the plans.
        let scaled = sum(a.len(), |i| 0.5 * a[i] * (f.rise(aa.psi[i], ab.psi[i]) + f.rise(aa.phi[i], ab.psi[i])))
            + sum(b.len(), |j| 0.5 * b[j] * (f.rise(bb.psi[j], ab.phi[j]) + f.rise(bb.phi[j], ab.phi[j])))
            - (ab.certificate.mass - 0.5 * aa.certificate.mass - 0.5 * bb.certificate.mass);
        let bounds = |ab: Interval, aa: Interval, bb: Interval| Interval {
            lower: ab.lower - 0.5 * aa.upper - 0.5 * bb.upper,
            upper: ab.upper - 0.5 * aa.lower - 0.5 * bb.lower,
        };
        let zero = Interval { lower: 0.0, upper: 0.0 };
        let mut regularised =
            bounds(ab.certificate.regularised, aa.certificate.regularised, bb.certificate.regularised);
        let excess = 0.5 * dual.epsilon * (dual.mass.0 - dual.mass.1).powi(2);
        // A few roundings of the largest term.
        let slack = 8.0 * f64::EPSILON * (regularised.lower.abs().max(regularised.upper.abs()) + excess);
        regularised.lower += excess - slack;
        regularised.upper += excess + slack;
        let unregularised = if zero_diagonal {
            bounds(ab.certificate.unregularised, zero, zero)
        } else {
            bounds(ab.certificate.unregularised, aa.certificate.unregularised, bb.certificate.unregularised)
        };
        let value = regularised.nearest(dual.epsilon * scaled);
        Ok(FinishedDivergence { value, regularised, unregularised, ab, aa, bb })
    }

    pub fn state(&mut self, three: &mut Three, walk: &mut dyn Walk) -> Result<()> {
        self.ab.state(three.ab, walk)?;
        self.aa.state(three.aa, walk)?;
        self.bb.state(three.bb, walk)?;
        let mut counts = [self.ended, self.round];
        walk.scalar(&COUNTS, counts.as_mut_slice().into())?;
        [self.ended, self.round] = counts;
        self.ended = reconsidered(self.ended, self.ab.reached(), self.aa.precision);
        Ok(())
    }
}

/// OT_ε(a, a) by f ← ½ (f + λ soft_rows(f)).
struct Symmetric {
    penalties: Penalties,
    dual: Dual,
    names: &'static SymmetricNames,
    tolerance: f64,
    precision: PrecisionInput,
    f: Vec<f64>,
    /// soft_rows(f).
    t: Vec<f64>,
    trial: Vec<f64>,
    trial_t: Vec<f64>,
    error: Residual,
    best: f64,
    steps: u64,
    idle: u64,
    single: u64,
    /// As [`Divergence::ended`].
    ended: u64,
}

/// Steps without progress (a factor 0.8) after which a precision is at its floor.
const PATIENCE: u64 = 30;

impl Symmetric {
    fn new(input: &MethodInput, penalties: Penalties, passes: &mut dyn Passes, names: &'static SymmetricNames) -> Self {
        let n = passes.n();
        let mut symmetric = Symmetric {
            penalties,
            dual: Dual::new(penalties, passes.epsilon(), passes),
            names,
            tolerance: input.tolerance,
            precision: input.precision,
            f: vec![0.0; n],
            t: vec![0.0; n],
            trial: vec![0.0; n],
            trial_t: vec![0.0; n],
            error: Residual::UNKNOWN,
            best: f64::INFINITY,
            steps: 0,
            idle: 0,
            single: u64::from(input.precision != PrecisionInput::F64),
            ended: RUNNING,
        };
        symmetric.prepare(passes);
        symmetric
    }

    fn ended(&self) -> bool {
        self.ended != RUNNING
    }

    fn prepare(&mut self, passes: &mut dyn Passes) {
        let precision = if self.single == 1 { Precision::F32 } else { Precision::F64 };
        if passes.precision() != precision {
            passes.set_precision(precision);
        }
    }

    fn step(&mut self, passes: &mut dyn Passes) -> Result<()> {
        if self.ended() {
            return Ok(());
        }
        let damping = self.dual.source.damping();
        self.trial.resize(self.f.len(), 0.0);
        self.trial_t.resize(self.f.len(), 0.0);
        // After a change of precision the same f is looked at again.
        let fresh = self.error == Residual::UNKNOWN;
        for (i, trial) in self.trial.iter_mut().enumerate() {
            *trial = if fresh { self.f[i] } else { 0.5 * (self.f[i] + damping * self.t[i]) };
        }
        passes.soft_rows(&self.trial, &mut self.trial_t)?;
        std::mem::swap(&mut self.f, &mut self.trial);
        std::mem::swap(&mut self.t, &mut self.trial_t);
        let (a, f, t, side) = (passes.a(), &self.f, &self.t, self.dual.source);
        let half = Residual::of(a.len(), |i| a[i] * exp(f[i] - t[i]), |i| a[i] * side.slope(f[i]));
        // Both marginals are the same.
        self.error = half.plus(half);
        self.steps += 1;
        let overflowed = !self.error.l1.is_finite();
        if !overflowed && self.error.l1 <= 0.8 * self.best {
            self.best = self.error.l1;
            self.idle = 0;
        } else {
            self.idle += 1;
        }
        let (done, floor) = (self.error.l1 <= self.tolerance, overflowed || self.idle >= PATIENCE);
        if done || floor {
            if self.single == 1 {
                // f32 throughout: what f64 says of this f is the verdict.
                self.enter(0);
            } else {
                self.ended = if done { CONVERGED } else { stalled(self.precision) };
            }
        }
        if self.single == 0 && self.precision == PrecisionInput::F32 && self.error != Residual::UNKNOWN {
            self.ended = if done { CONVERGED } else { STALLED_SINGLE };
        }
        self.prepare(passes);
        Ok(())
    }

    /// Goes on in another precision, from the same f.
    fn enter(&mut self, single: u64) {
        self.single = single;
        self.idle = 0;
        self.best = f64::INFINITY;
        self.error = Residual::UNKNOWN;
    }

    /// After loading: see [`reconsidered`].
    fn reconsider(&mut self) {
        let met = self.single == 0 && self.error.l1 <= self.tolerance;
        self.ended = reconsidered(self.ended, met, self.precision);
        // f64 only judges f32, which then has ended: what has not goes back to f32.
        let judged = self.single == 0 && self.error != Residual::UNKNOWN;
        if !self.ended() && judged && self.precision == PrecisionInput::F32 {
            self.enter(1);
        }
    }

    fn finish(&mut self, passes: &mut dyn Passes) -> Result<SelfFinished> {
        (self.trial, self.trial_t) = (Vec::new(), Vec::new());
        let certified = conclude(passes, self.penalties, finite_or_zero(self.f.clone()));
        self.prepare(passes);
        let Certified { certificate, psi, phi, error } = certified?;
        Ok(SelfFinished { psi, phi, error, certificate })
    }

    fn state(&mut self, passes: &mut dyn Passes, walk: &mut dyn Walk) -> Result<()> {
        let mut counts = [self.steps, self.idle, self.single, self.ended];
        let mut scalars = [self.error.l1, self.error.linf, self.best];
        walk.scalar(&self.names.counts, counts.as_mut_slice().into())?;
        walk.scalar(&self.names.scalars, scalars.as_mut_slice().into())?;
        [self.steps, self.idle, self.single, self.ended] = counts;
        [self.error.l1, self.error.linf, self.best] = scalars;
        self.prepare(passes);
        whole(walk, &self.names.f, &mut self.f)?;
        whole(walk, &self.names.t, &mut self.t)?;
        passes.state(walk)?;
        self.reconsider();
        self.prepare(passes);
        Ok(())
    }
}

struct SymmetricNames {
    f: Name,
    t: Name,
    counts: Name,
    scalars: Name,
}

const fn symmetric_names(names: [&'static str; 4], axis: &'static [&'static str]) -> SymmetricNames {
    let [f, t, counts, scalars] = names;
    SymmetricNames {
        f: Name { name: f, units: "1", meaning: "scaled potential of the symmetric problem", axes: axis },
        t: Name { name: t, units: "1", meaning: "its soft c-transform", axes: axis },
        counts: Name {
            name: counts,
            units: "1",
            meaning: "steps, steps since progress, 1 in f32, 1 when converged (2: stalled, 3: at the floor of f32)",
            axes: &["quantity"],
        },
        scalars: Name {
            name: scalars,
            units: "1",
            meaning: "L1 and Linf residual, best L1 residual at this precision",
            axes: &["quantity"],
        },
    }
}

static SOURCE_NAMES: SymmetricNames = symmetric_names(
    ["source_self_potential", "source_self_transform", "source_self_counts", "source_self_scalars"],
    &["kept_source"],
);
static TARGET_NAMES: SymmetricNames = symmetric_names(
    ["target_self_potential", "target_self_transform", "target_self_counts", "target_self_scalars"],
    &["kept_target"],
);
const COUNTS: Name = Name {
    name: "divergence_counts",
    units: "1",
    meaning: "1 when the mixed problem has converged (2: stalled, 3: at the floor of f32), symmetric problems stepped in this round",
    axes: &["quantity"],
};
