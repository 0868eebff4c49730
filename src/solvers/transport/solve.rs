//! The driver: levels of ε, phases of precision, stopping. One step is one step of the method.
//!
//! | phase   | passes run in | left when                                                             |
//! |---------|---------------|-----------------------------------------------------------------------|
//! | level l | f32 (mixed)   | error ≤ level_tolerance, or no progress: the potentials go to ε_{l+1}  |
//! | single  | f32 (mixed)   | error ≤ tolerance or at the floor of f32: same potentials, now in f64  |
//! | double  | f64           | error ≤ tolerance: converged; no progress at the floor of f64: stalled |
//!
//! Where C/ε is so large that f32 overflows, the potentials as they were go back to the ε from which f32 could not tell
//! them apart, and f64 takes over; where f64 overflows too, the run has stalled. The last word is [`Solve::verdict`]:
//! on the error that is reported, evaluated once more in f64.

use super::certificate::{Certificate, Certified, certify, conclude};
use super::dual::{Dual, Penalties, Residual};
use super::methods::{self, Method, Move};
use super::passes::{Passes, Precision};
use super::problem::{MethodInput, PrecisionInput, Switch};
use crate::error::{Error, Result};
use crate::math::elementary::{ln, pow};
use crate::state::{Name, Walk};

/// "auto" ε-scaling starts above this ratio of the largest cost to ε. Measured over ten problems: below, the levels
/// cost more evaluations than they save.
const SCALING_RATIO: f64 = 300.0;
/// The first ε is this fraction of the largest cost.
const SCALING_START: f64 = 0.1;
/// Progress is made when the error falls below this fraction of what it was at the last progress.
const PROGRESS: f64 = 0.8;
/// Steps without progress after which a level of ε is left, f64 (near its floor) is stalled.
const PATIENCE_LEVEL: u64 = 50;
const PATIENCE_DOUBLE: u64 = 100;
/// Steps without a new smallest error after which f32 is left: within 32 times its expected floor, and anywhere.
/// Leaving early costs time only.
const PATIENCE_SINGLE: (u64, u64) = (3, 20);
/// Above this ratio of the largest cost to ε the rounding of f32 moves exponents by about one.
const SINGLE_RATIO: f64 = 16_777_216.0;

#[derive(Debug, Clone, PartialEq)]
pub enum StepOutcome {
    Running,
    /// The tolerance (or the gap tolerance) is reached, checked in f64.
    Converged,
    /// No further progress at this precision; says what was achieved.
    Stalled(String),
}

/// What is recorded of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    pub error: Residual,
    /// Dual value, in units of the cost.
    pub value: f64,
    pub epsilon: f64,
    pub precision: Precision,
    /// (upper − lower)/|upper| of OT_ε when last certified; ∞ before.
    pub relative_gap: f64,
    pub rejected: u64,
}

/// The result in f64, at the ε asked for.
#[derive(Debug, Clone)]
pub struct Finished {
    /// f/ε and g/ε.
    pub psi: Vec<f64>,
    pub phi: Vec<f64>,
    pub error: Residual,
    pub certificate: Certificate,
}

pub struct Solve {
    method: Box<dyn Method>,
    penalties: Penalties,
    tolerance: f64,
    level_tolerance: f64,
    gap_tolerance: Option<f64>,
    check_every: u64,
    precision: PrecisionInput,
    /// ε_0 > … > ε.
    levels: Vec<f64>,
    /// The dual at the ε asked for; that of every level follows from it.
    base: Dual,
    dual: Dual,
    state: State,
}

/// What the driver itself remembers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    level: u64,
    /// 1 while the passes run in f32.
    single: u64,
    /// `precision = "f32"` only: 1 while one evaluation in f64 checks what f32 claims, 2 when f32 is at its floor.
    verify: u64,
    steps: u64,
    /// 1 when the error was evaluated in f32.
    coarse: u64,
    /// Steps at this level and precision, and how many since the last progress.
    here: u64,
    idle: u64,
    /// Steps since the smallest error.
    flat: u64,
    rejected: u64,
    /// Smallest error here, and the error at the last progress.
    best: f64,
    mark: f64,
    /// Error at which f32 believes itself converged.
    claim: f64,
    error: Residual,
    value: f64,
    gap: f64,
}

impl Solve {
    /// `warm`: target potential g (units of the cost) to start from; then "auto" does no ε-scaling.
    pub fn new(
        input: &MethodInput,
        penalties: Penalties,
        passes: &mut dyn Passes,
        warm: Option<&[f64]>,
    ) -> Result<Self> {
        let epsilon = passes.epsilon();
        let (n, m) = (passes.n(), passes.m());
        let mut method = methods::build(input, penalties, n, m)?;
        let dual = Dual::new(penalties, epsilon, passes);
        let scaling = &input.epsilon_scaling;
        let largest = dual.scale * epsilon;
        let enabled = match scaling.enabled {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => warm.is_none() && largest > SCALING_RATIO * epsilon,
        };
        let levels = if enabled {
            levels(scaling.start.unwrap_or(SCALING_START * largest), epsilon, scaling.factor)?
        } else {
            vec![epsilon]
        };
        let mut phi = vec![0.0; m];
        if let Some(g) = warm {
            if g.len() != m {
                return Err(Error::Usage(format!("warm start: {} target potentials for {m} points", g.len())));
            }
            if let Some(bad) = g.iter().find(|g| !g.is_finite()) {
                return Err(Error::Usage(format!("warm start: a target potential is {bad}")));
            }
            phi.iter_mut().zip(g).for_each(|(phi, g)| *phi = g / levels[0]);
        }
        method.start(&phi);
        let state = State {
            level: 0,
            single: u64::from(input.precision != PrecisionInput::F64),
            verify: 0,
            steps: 0,
            coarse: 0,
            here: 0,
            idle: 0,
            flat: 0,
            rejected: 0,
            best: f64::INFINITY,
            mark: f64::INFINITY,
            claim: input.tolerance,
            error: Residual::UNKNOWN,
            value: f64::NAN,
            gap: f64::INFINITY,
        };
        let mut solve = Solve {
            method,
            penalties,
            tolerance: input.tolerance,
            level_tolerance: scaling.level_tolerance,
            gap_tolerance: input.gap_tolerance,
            check_every: input.check_every,
            precision: input.precision,
            levels,
            base: dual,
            dual,
            state,
        };
        solve.prepare(passes);
        Ok(solve)
    }

    /// Brings the passes to the ε and precision of this state.
    fn prepare(&mut self, passes: &mut dyn Passes) {
        let epsilon = self.levels[self.state.level as usize];
        if passes.epsilon() != epsilon {
            passes.set_epsilon(epsilon);
        }
        if self.dual.epsilon != epsilon {
            self.dual = self.base.at(self.penalties, epsilon);
        }
        let precision = if self.state.single == 1 { Precision::F32 } else { Precision::F64 };
        if passes.precision() != precision {
            passes.set_precision(precision);
        }
    }

    pub fn step(&mut self, passes: &mut dyn Passes) -> Result<StepOutcome> {
        let step = self.method.step(&self.dual, passes)?;
        let mut s = self.state;
        s.steps += 1;
        s.here += 1;
        s.rejected += u64::from(step.progress == Move::Rejected);
        s.error = step.error;
        s.coarse = u64::from(step.coarse);
        let value = self.dual.epsilon * step.value;
        // What is no number bounds nothing.
        s.value = if value.is_nan() { f64::NEG_INFINITY } else { value };
        let overflowed = !step.error.l1.is_finite();
        if step.progress != Move::Preparing {
            s.flat = if step.error.l1 < s.best { 0 } else { s.flat + 1 };
            s.idle = if !overflowed && step.error.l1 <= PROGRESS * s.mark { 0 } else { s.idle + 1 };
        }
        if s.idle == 0 {
            s.mark = step.error.l1.min(s.mark);
        }
        s.best = step.error.l1.min(s.best);
        self.state = s;
        let last = self.at_last_level();
        let outcome = if overflowed && s.single == 1 {
            self.give_up_single();
            StepOutcome::Running
        } else if overflowed && (s.idle >= PATIENCE_LEVEL || !finite(self.method.potentials().1)) {
            StepOutcome::Stalled(self.stall(f64::INFINITY))
        } else if !last {
            self.leave_level();
            StepOutcome::Running
        } else if s.single == 1 {
            self.leave_single()
        } else {
            self.finish_double()
        };
        self.prepare(passes);
        if last && self.at_last_level() && outcome == StepOutcome::Running {
            return self.check_gap(passes);
        }
        Ok(outcome)
    }

    fn at_last_level(&self) -> bool {
        self.state.level as usize + 1 == self.levels.len()
    }

    fn enter(&mut self) {
        self.state.here = 0;
        self.state.idle = 0;
        self.state.flat = 0;
        self.state.best = f64::INFINITY;
        self.state.mark = f64::INFINITY;
    }

    fn leave_level(&mut self) {
        let s = &self.state;
        if s.error.l1 > self.level_tolerance && s.idle < PATIENCE_LEVEL && !(s.single == 1 && self.at_floor()) {
            return;
        }
        let mut phi = vec![0.0; self.method.potentials().1.len()];
        self.method.carry(&self.dual, &mut phi);
        let ratio = self.levels[s.level as usize] / self.levels[s.level as usize + 1];
        phi.iter_mut().for_each(|phi| *phi *= ratio);
        self.method.start(&phi);
        self.state.level += 1;
        self.enter();
    }

    /// f32 has overflowed: the potentials as they were, from here in f64.
    fn give_up_single(&mut self) {
        let (level, largest) = (self.state.level as usize, self.base.scale * self.base.epsilon);
        let to = if self.precision == PrecisionInput::F32 {
            // One look in f64 at the ε asked for.
            self.state.verify = 2;
            self.levels.len() - 1
        } else {
            // What f32 made of smaller ε was noise.
            self.levels.iter().position(|epsilon| largest > SINGLE_RATIO * epsilon).map_or(level, |l| l.min(level))
        };
        let ratio = self.levels[level] / self.levels[to];
        let phi = finite_or_zero(self.method.potentials().1.iter().map(|phi| ratio * phi).collect());
        self.method.start(&phi);
        self.state.level = to as u64;
        self.state.single = 0;
        self.enter();
    }

    /// f32 cannot be expected to do much better than this error; an estimate, made safe by watching progress.
    fn floor(&self) -> f64 {
        if self.state.single == 1 {
            2f64.powi(-24) * (24.0 + 0.25 * self.dual.scale)
        } else {
            2f64.powi(-53) * (64.0 + 4.0 * self.dual.scale)
        }
    }

    fn at_floor(&self) -> bool {
        let s = &self.state;
        if s.single == 1 {
            s.error.l1 <= self.floor()
                || (s.flat >= PATIENCE_SINGLE.0 && s.best <= 32.0 * self.floor())
                || s.flat >= PATIENCE_SINGLE.1
        } else {
            s.idle >= PATIENCE_DOUBLE && s.best <= 1e3 * self.floor()
        }
    }

    fn leave_single(&mut self) -> StepOutcome {
        let floor = self.at_floor();
        if self.state.error.l1 <= self.state.claim || floor {
            if self.precision == PrecisionInput::F32 {
                self.state.verify = if floor { 2 } else { 1 };
                self.state.claim = 0.5 * self.state.error.l1;
            }
            self.state.single = 0;
            self.enter();
        }
        StepOutcome::Running
    }

    fn finish_double(&mut self) -> StepOutcome {
        if self.state.coarse == 1 {
            // Nothing accepted in f64 yet.
            return StepOutcome::Running;
        }
        let error = self.state.error.l1;
        if error <= self.tolerance {
            return StepOutcome::Converged;
        }
        match self.state.verify {
            1 => {
                self.state.verify = 0;
                self.state.single = 1;
                self.enter();
                StepOutcome::Running
            }
            2 => StepOutcome::Stalled(self.stall(error)),
            _ if self.at_floor() => StepOutcome::Stalled(self.stall(self.state.best)),
            _ => StepOutcome::Running,
        }
    }

    /// What a run that gets no further says of the marginal error it achieved.
    fn stall(&self, error: f64) -> String {
        let floor = match self.state.verify {
            2 => "f32".to_string(),
            _ => format!("f64 (largest cost / epsilon = {:.1e})", self.base.scale),
        };
        if error.is_finite() {
            format!("marginal error {error:.2e} at the floor of {floor}, tolerance {:.2e}", self.tolerance)
        } else {
            format!("the marginals overflow at the floor of {floor}")
        }
    }

    /// What the result says of the aim, whatever the steps thought: its error is evaluated anew and in f64, and not
    /// every method steps on the potentials that it is about.
    pub fn verdict(&self, finished: &Finished) -> StepOutcome {
        let gap = finished.certificate.regularised.relative_gap();
        if finished.error.l1 <= self.tolerance || self.gap_tolerance.is_some_and(|tolerance| gap <= tolerance) {
            StepOutcome::Converged
        } else {
            StepOutcome::Stalled(self.stall(finished.error.l1))
        }
    }

    fn check_gap(&mut self, passes: &mut dyn Passes) -> Result<StepOutcome> {
        let Some(tolerance) = self.gap_tolerance else { return Ok(StepOutcome::Running) };
        if !self.state.steps.is_multiple_of(self.check_every) {
            return Ok(StepOutcome::Running);
        }
        let (_, phi) = self.method.potentials();
        match certify(passes, self.penalties, phi) {
            Ok(certificate) => self.state.gap = certificate.regularised.relative_gap(),
            // The step itself is done; the gap is looked at again after the next check_every steps.
            Err(Error::Interrupted) => {}
            Err(other) => return Err(other),
        }
        Ok(if self.state.gap <= tolerance { StepOutcome::Converged } else { StepOutcome::Running })
    }

    /// Whether the last step met the tolerance (or the gap tolerance).
    pub fn reached(&self) -> bool {
        let s = &self.state;
        let gap = self.gap_tolerance.is_some_and(|tolerance| s.gap <= tolerance);
        let error = s.single == 0 && s.coarse == 0 && s.error.l1 <= self.tolerance;
        self.at_last_level() && (gap || error)
    }

    pub fn progress(&self) -> Progress {
        let s = &self.state;
        Progress {
            error: s.error,
            value: s.value,
            epsilon: self.dual.epsilon,
            precision: if s.single == 1 { Precision::F32 } else { Precision::F64 },
            relative_gap: s.gap,
            rejected: s.rejected,
        }
    }

    /// (ψ, φ) at the present level.
    pub fn potentials(&self) -> (&[f64], &[f64]) {
        self.method.potentials()
    }

    /// The certificate at the ε asked for, with the potentials it is about. The state stays as it is; the passes are
    /// brought back to its ε and precision, but have forgotten their shifts: save a checkpoint before.
    pub fn finish(&mut self, passes: &mut dyn Passes) -> Result<Finished> {
        let epsilon = *self.levels.last().expect("there is always a last level");
        let ratio = self.dual.epsilon / epsilon;
        self.method.rest();
        let phi = finite_or_zero(self.method.potentials().1.iter().map(|phi| ratio * phi).collect());
        if passes.epsilon() != epsilon {
            passes.set_epsilon(epsilon);
        }
        let certified = conclude(passes, self.penalties, phi);
        self.prepare(passes);
        let Certified { certificate, psi, phi, error } = certified?;
        Ok(Finished { psi, phi, error, certificate })
    }

    /// The whole state, that of the passes included: loading brings the passes to the right ε first.
    pub fn state(&mut self, passes: &mut dyn Passes, walk: &mut dyn Walk) -> Result<()> {
        let s = &mut self.state;
        let mut counts = [s.level, s.single, s.verify, s.coarse, s.steps, s.here, s.idle, s.flat, s.rejected];
        let mut scalars = [s.best, s.mark, s.claim, s.error.l1, s.error.linf, s.value, s.gap];
        walk.scalar(&COUNTS, counts.as_mut_slice().into())?;
        walk.scalar(&SCALARS, scalars.as_mut_slice().into())?;
        [s.level, s.single, s.verify, s.coarse, s.steps, s.here, s.idle, s.flat, s.rejected] = counts;
        [s.best, s.mark, s.claim, s.error.l1, s.error.linf, s.value, s.gap] = scalars;
        if s.level as usize >= self.levels.len() {
            return Err(Error::Usage(format!(
                "the checkpoint is at level {} of epsilon, this problem has {}",
                s.level,
                self.levels.len()
            )));
        }
        if self.precision != PrecisionInput::F32 {
            // The floor of f32 is not that of this run.
            self.state.verify = 0;
        }
        self.prepare(passes);
        self.method.state(walk)?;
        passes.state(walk)
    }
}

const COUNTS: Name = Name {
    name: "driver_counts",
    units: "1",
    meaning: "level of epsilon, 1 in f32, verification, 1 for an f32 error, steps, steps here, steps since progress, steps since the smallest error, rejected proposals",
    axes: &["quantity"],
};
const SCALARS: Name = Name {
    name: "driver_scalars",
    units: "1",
    meaning: "smallest error here, error at the last progress, error claimed by f32, L1 and Linf error, dual value, relative certified gap",
    axes: &["quantity"],
};

/// More levels than this cannot be meant: each is a step at least.
const MOST_LEVELS: f64 = 1e6;

fn finite(x: &[f64]) -> bool {
    x.iter().all(|x| x.is_finite())
}

/// Potentials to go on from, or to certify: any will do, but they must be numbers.
pub(super) fn finite_or_zero(phi: Vec<f64>) -> Vec<f64> {
    if finite(&phi) { phi } else { vec![0.0; phi.len()] }
}

/// Geometric from `start` down to ε, in steps of at most 1/factor; ε itself is last, exactly.
fn levels(start: f64, epsilon: f64, factor: f64) -> Result<Vec<f64>> {
    if start <= epsilon {
        return Ok(vec![epsilon]);
    }
    let count = (ln(epsilon / start) / ln(factor)).ceil().max(1.0);
    if count.is_nan() || count > MOST_LEVELS {
        return Err(Error::Usage(format!(
            "epsilon_scaling: {count:.3e} levels from epsilon = {start:e} down to {epsilon:e} by a factor of {factor} \
             each; at most {MOST_LEVELS:e} are allowed"
        )));
    }
    let count = count as usize;
    let mut levels: Vec<f64> = (0..count).map(|l| start * pow(epsilon / start, l as f64 / count as f64)).collect();
    levels.push(epsilon);
    Ok(levels)
}
