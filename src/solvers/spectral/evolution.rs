//! A periodic problem in time as a [`Solver`]: state, steps, series, fields.

mod names;

use std::path::Path;
use std::sync::Arc;

use num_complex::Complex;

pub(super) use self::names::{CFL, STEP, TIME, recorded};
use self::names::{Names, walk_coefficients};
use super::domain::Domain;
use super::equation::{Equation, Kick};
use super::fields::{Fields, finite};
use super::growth::Growth;
use super::linear::{Fourier, Linear};
use super::nonlinear::{Evaluation, Views, over_tiles};
use super::problem::{Periodic, ProblemInput};
use super::reality::Reality;
use super::results::keys::Times;
use super::results::output::Output;
use super::results::remap::Remap;
use super::results::spectra::{Decay, k_max_eta};
use super::results::time_error::{self, TimeError};
use super::results::{means, ranks, xdmf};
use super::setup::{self, Posed};
use super::steppers::{Kind, LinearPart, Nonlinear, Scheme, Stepper, retake, stepper, subtract};
use super::time::{Control, MethodInput, Next, StepControl, Verdict, error_ratio, frequency};
use super::transform::{self, Scales, Transform};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::math::real::Real;
use crate::solvers::{ErrorBar, Number, Outcome, Outlook, Solver, Status, WARNING};
use crate::state::{Name, Walk};
use crate::team::{Solo, Team};

/// The linear part as the scheme takes it.
enum Part<T: Real> {
    Exponential(Linear),
    Implicit(Fourier<T>),
}

/// A problem that is stepped through time.
pub struct Evolution<T: Real> {
    equation: Arc<dyn Equation<T>>,
    domain: Domain,
    transform: Box<dyn Transform<T>>,
    scales: Scales,
    evaluation: Evaluation<T>,
    part: Part<T>,
    scheme: &'static Scheme,
    stepper: Box<dyn Stepper<T>>,
    /// Directions that go with the state.
    growth: Option<Growth<T>>,
    /// None: the fields are complex.
    reality: Option<Reality<T>>,
    /// Of the fastest mode of L, in 1/time.
    growth_rate: f64,
    control: Control,
    /// The scheme's error estimate chooses the step.
    judged: bool,
    times: Times,
    end: f64,
    output: Output<T>,
    state: Fields<T>,
    /// N + f of the state that was measured last.
    rate: Fields<T>,
    seed: u64,
    time: f64,
    last_step: f64,
    /// Σ |u_i|max k_max,i at the start of the last step.
    frequency: f64,
    steps: u64,
    /// None: not asked for.
    time_error: Option<TimeError>,
    /// The state before a step that is measured.
    before: Fields<T>,
    /// Of the present state; after `finish`.
    norm: f64,
    quadratics: Vec<f64>,
    probes: Vec<f64>,
    /// Along each of the user's axes; after `finish`.
    decays: Vec<Option<Decay>>,
    names: Names,
    notes: Vec<String>,
}

/// What an attempted step says to the control of the step size.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Seen {
    /// Σ |u_i|max k_max,i at its start.
    pub frequency: f64,
    /// Its estimated error over what is allowed; 0 where none is estimated.
    pub error_ratio: f64,
}

impl<T: Real> Evolution<T> {
    /// Parses, builds and measures the first state; collective.
    pub fn new(
        input: &Input,
        problem: &ProblemInput,
        asked: Periodic,
        method: &MethodInput,
        team: &dyn Team,
    ) -> Result<Self> {
        let Posed { equation, domain, mut notes } = setup::pose::<T>(input, problem, asked)?;
        let refuse = |(key, message): super::problem::Finding| input.invalid(&key, message);
        let end = problem.end().map_err(refuse)?;
        let mut transform = setup::transform::<T>(input, problem, &domain, team)?;
        // Coefficients that `make` finds by a transform with the kept modes on the user's points.
        let mut from_points = |make: &mut dyn FnMut(&mut dyn Transform<T>) -> Result<Fields<T>>| {
            if domain.points() == problem.grid() {
                return make(transform.as_mut());
            }
            let grid = domain.on_points(problem.grid());
            let mut on_grid = setup::beside::<T>(input, problem, &grid, team)?;
            let made = make(on_grid.as_mut())?;
            // The same modes, which the two grids may share out in other ways.
            let remap = Remap::new(team, &grid, on_grid.modes(), &domain, transform.modes());
            let mut here = Fields::zeros(made.len(), transform.modes().len());
            for (from, to) in made.arrays.iter().zip(&mut here.arrays) {
                remap.apply(team, from, to);
            }
            Ok(here)
        };
        let state = from_points(&mut |points| {
            let (state, told) = setup::first_state(input, problem, asked, equation.as_ref(), points, team)?;
            notes.extend(told);
            Ok(state)
        })?;
        let force = match &problem.forcing {
            None => None,
            Some(file) => {
                let names = equation.fields();
                Some(from_points(&mut |points| setup::on_grid(input, "problem.forcing", file, names, points, team))?)
            }
        };
        let modes = transform.modes();
        let scales = Scales::wavenumbers(&domain, modes);
        let mut evaluation = Evaluation::new(equation.clone(), transform.as_mut(), team);
        if let Some(force) = force {
            evaluation.force(force);
        }

        if let Some(band) = &evaluation.band {
            let (band, all) =
                (band.inner(&state.arrays, &state.arrays, team), means::mean_squares(&domain, &scales, &state.views()));
            // Transforms leave some rounding in modes that are at rest.
            let rounding = 8.0 * Real::to_f64(T::epsilon());
            let all: f64 = ranks::total(team, &all).iter().sum();
            if band.is_nan() || band <= rounding * rounding * all {
                let message =
                    "the first state is at rest on the modes up to it, where a drive of constant power needs motion";
                return Err(input.invalid("problem.equation.forcing.wavenumber", message));
            }
        }

        let mut rate = Fields::zeros(state.len(), modes.len());
        let mut fastest = [0.0; 3];
        let first = evaluation.bind(transform.as_mut(), team, Some(&mut fastest)).evaluate(0.0, &state, &mut rate);
        first.map_err(|e| input.invalid("problem.initial", e.to_string()))?;
        if let Some(field) = setup::not_finite(&rate, equation.fields(), team) {
            let message = format!("the right-hand side of {field} is not finite at the first state and time");
            return Err(input.invalid("problem.equation", message));
        }
        let frequency = frequency(fastest, &domain);
        let method_error = |e: super::time::Refusal| input.invalid(&format!("method.{}", e.key), e.message);
        let scheme = method.check(false, equation.carries()).map_err(method_error)?;
        let control = Control::new(method, scheme, frequency).map_err(method_error)?;
        let growth = match &problem.tangent {
            None => None,
            Some(asked) => {
                asked.check(end).map_err(refuse)?;
                let made = Growth::new(asked, input.run.seed, &evaluation, transform.as_ref(), team);
                let message = "are more than the state has directions that the constraints leave";
                Some(made.ok_or_else(|| input.invalid("problem.tangent.vectors", message))?)
            }
        };
        let copies = 1 + growth.as_ref().map_or(0, Growth::count);
        let mut stepper = stepper(scheme.word, copies * state.len(), modes.len()).expect("a scheme of the registry");
        let judged = method.step_control == StepControl::Error && stepper.estimate(true);
        let linear = Linear::of(equation.as_ref(), &scales);
        let growth_rate = team.max(linear.growth_rate());
        notes.extend(setup::cautions::<T>(input, method, scheme, end));
        if scheme.amplifies_waves() {
            let excess = team.max(linear.excess_of_bdf3(control.regular())) * end / control.regular();
            if excess > 0.1 {
                let power = excess / std::f64::consts::LN_10;
                notes.push(format!(
                    "{WARNING}sbdf3 with steps of {} amplifies undamped waves of L, one by 10^{power:.1} until the end; \
                     etdrk4, if_rk4 and sbdf2 do not",
                    control.regular()
                ));
            }
        }
        let reality = Reality::new(&domain, modes, team);
        let part = match scheme.kind {
            Kind::Exponential => Part::Exponential(linear),
            Kind::Imex => Part::Implicit(Fourier::new(linear)),
        };

        let kept = setup::asked(input, problem, equation.as_ref(), &domain)?;
        let keys = problem.output_keys();
        let make =
            |grid: &Domain| setup::beside::<T>(input, problem, grid, team).expect("a part of the process grid fits");
        let output = Output::new(&keys, kept, equation.clone(), transform.as_ref(), make, team);
        let mut control = control;
        let names = Names::new(equation.as_ref(), &domain, stepper.as_mut(), &mut control, copies);
        notes.push(describe(&domain, transform.as_ref(), scheme.word));
        // Steps apart by a random force are not steps of one motion.
        let estimated = method.time_error && !equation.is_stirred();
        if estimated {
            notes.push(TimeError::note(scheme));
        }
        let mut made = Evolution {
            times: Times::new(&keys, 0.0, end),
            equation,
            domain,
            transform,
            scales,
            evaluation,
            part,
            scheme,
            stepper,
            growth,
            reality,
            growth_rate,
            control,
            judged,
            end,
            output,
            state,
            rate,
            seed: input.run.seed,
            time: 0.0,
            last_step: 0.0,
            frequency,
            steps: 0,
            time_error: estimated.then(|| TimeError::new(1)),
            before: Fields::zeros(0, 0),
            norm: 0.0,
            quadratics: Vec::new(),
            probes: Vec::new(),
            decays: Vec::new(),
            names,
            notes,
        };
        made.measure(team)?;
        Ok(made)
    }

    /// Takes step `step`.
    fn advance(&mut self, step: u64, team: &dyn Team) -> Result<()> {
        loop {
            let next = self.next();
            let seen = self.attempt(step, &next, team)?;
            if self.accept(&next, &seen, true)? {
                return Ok(());
            }
        }
    }

    /// Time of the state.
    pub(super) fn time(&self) -> f64 {
        self.time
    }

    /// The regular step of the beginning, and another one in its place.
    pub(super) fn first_step(&self) -> f64 {
        self.control.regular()
    }

    pub(super) fn begin(&mut self, step: f64) {
        self.control.begin(step);
    }

    /// Modes here.
    pub(super) fn modes(&self) -> usize {
        self.state.modes()
    }

    /// As [`Evolution::conclude`] where there is no state to take along.
    pub(super) fn follow(&mut self, step: u64) {
        let taken = Next { step: self.last_step, time: self.time, lands: false };
        if self.is_measured(step, &taken)
            && let Some(kept) = &mut self.time_error
        {
            let regular = self.control.regular();
            kept.add_step(self.time, (&[0.0], &[0.0]), self.last_step, regular, self.scheme.order);
        }
        self.steps += 1;
        self.output.sample(step, self.time, &Solo, &self.state, self.transform.as_mut());
    }

    /// The step to try next.
    pub(super) fn next(&mut self) -> Next {
        let stop = self.times.next(self.time).unwrap_or(self.end);
        self.control.next(self.time, stop)
    }

    /// Whether step `step` is one whose error is measured.
    fn is_measured(&self, step: u64, next: &Next) -> bool {
        self.time_error.is_some() && (time_error::due(step) || next.time >= self.end)
    }

    /// Calls `act` with the state and its directions as one list; the number is that of the state's own arrays.
    fn joined<R>(&mut self, act: impl FnOnce(&mut Self, usize) -> R) -> R {
        let fields = self.state.len();
        if let Some(growth) = &mut self.growth {
            growth.join(&mut self.state);
        }
        let result = act(self, fields);
        if let Some(growth) = &mut self.growth {
            growth.part(&mut self.state, fields);
        }
        result
    }

    /// Takes the state over step `step`, which is then accepted or not. Collective.
    pub(super) fn attempt(&mut self, step: u64, next: &Next, team: &dyn Team) -> Result<Seen> {
        let measured = self.is_measured(step, next);
        self.joined(|made, fields| {
            if measured {
                if made.before.is_empty() {
                    made.before = Fields::zeros(made.state.len(), made.state.modes());
                }
                made.before.copy_from(&made.state);
            }
            if made.kicks_before() {
                made.stir(Kick { seed: made.seed, step, after: false, span: 0.5 * next.step });
            }
            let (mut fastest, from) = ([0.0; 3], made.time);
            made.with_equation(team, Some(&mut fastest), |moving, nonlinear, linear| {
                moving.stepper.step(nonlinear, linear, from, next.step, moving.state)
            })?;
            let error_ratio = if made.judged { made.error_ratio(fields, team) } else { 0.0 };
            Ok(Seen { frequency: frequency(fastest, &made.domain), error_ratio })
        })
    }

    /// Goes on from a step, or takes it back and says false. Not `attempted`: there is no state to take along.
    pub(super) fn accept(&mut self, next: &Next, seen: &Seen, attempted: bool) -> Result<bool> {
        if self.judged {
            let verdict = self.control.judge(next, seen.error_ratio).map_err(|e| self.failed(&e))?;
            if verdict == Verdict::Reject {
                if attempted {
                    self.joined(|made, _| made.stepper.reject(&mut made.state));
                }
                return Ok(false);
            }
        }
        self.control.taken(next);
        self.frequency = seen.frequency;
        self.control.observe(self.frequency).map_err(|e| self.failed(&e))?;
        self.last_step = next.step;
        self.time = next.time;
        Ok(true)
    }

    /// What follows the accepted step `step` from `from`: its error, random forcing, constraints, growth of directions,
    /// samples. Collective.
    pub(super) fn conclude(&mut self, step: u64, from: f64, team: &dyn Team) -> Result<Status> {
        let taken = Next { step: self.last_step, time: self.time, lands: false };
        if self.is_measured(step, &taken) {
            self.measure_step(from, team)?;
        }
        let span = if self.kicks_before() { 0.5 } else { 1.0 } * self.last_step;
        self.stir(Kick { seed: self.seed, step, after: true, span });
        over_tiles(&self.scales, &mut self.state.arrays, |tile, _, parts| self.equation.constrain(tile, parts));
        self.keep_real(from, team);
        let directions = self.growth.as_ref().is_none_or(|g| finite(&g.directions));
        if team.any(!(self.state.finite() && directions)) {
            return Err(self.diverged(from));
        }
        if let Some(growth) = &mut self.growth {
            let fields = self.state.len();
            let history = if growth.is_due(self.last_step) { self.stepper.history().0 } else { Vec::new() };
            let mut along: Vec<_> = history.into_iter().map(|(_, kept)| &mut kept.arrays[fields..]).collect();
            let equation = self.equation.as_ref();
            growth.stepped(&mut along, self.time, self.last_step, equation, &self.domain, &self.scales, team);
        }
        self.steps += 1;
        self.output.sample(step, self.time, team, &self.state, self.transform.as_mut());
        Ok(self.status())
    }

    /// Whether the end was reached.
    pub(super) fn status(&self) -> Status {
        if self.time >= self.end { Status::Finished(Outcome::Reached) } else { Status::Running }
    }

    /// Calls `act` with what a stepper needs, made of fields that it does not touch.
    fn with_equation(
        &mut self,
        team: &dyn Team,
        fastest: Option<&mut [f64; 3]>,
        act: impl FnOnce(&mut Moving<T>, &mut dyn Nonlinear<T>, &mut LinearPart<T>) -> Result<()>,
    ) -> Result<()> {
        let mut linear = match &mut self.part {
            Part::Exponential(linear) => LinearPart::Exponential(linear),
            Part::Implicit(fourier) => LinearPart::Implicit(fourier),
        };
        let mut moving = Moving { stepper: self.stepper.as_mut(), state: &mut self.state, before: &mut self.before };
        let transform = self.transform.as_mut();
        match &mut self.growth {
            None => act(&mut moving, &mut self.evaluation.bind(transform, team, fastest), &mut linear),
            Some(growth) => {
                let mut bound = growth.tangent.bind(&self.evaluation, transform, team, fastest);
                act(&mut moving, &mut bound, &mut linear)
            }
        }
    }

    /// The error of the last step, which began at `from`, by taking it a second time from the state before it.
    fn measure_step(&mut self, from: f64, team: &dyn Team) -> Result<()> {
        let (scheme, judged, size) = (self.scheme, self.judged, self.last_step);
        let error = self.joined(|made, fields| {
            let mut factor = 1.0;
            made.with_equation(team, None, |moving, nonlinear, linear| {
                // With an error estimate the stepper holds the first stage of the next step.
                let lent: Option<&mut dyn Stepper<T>> =
                    if scheme.steps == 1 && !judged { Some(&mut *moving.stepper) } else { None };
                factor = retake(scheme, lent, nonlinear, linear, from, size, moving.before)?;
                subtract(moving.before, moving.state);
                Ok(())
            })?;
            Ok(factor * made.norm_of(&made.before.arrays[..fields], team))
        })?;
        if !error.is_finite() {
            return Err(self.diverged(from));
        }
        let regular = self.control.regular();
        let norm = self.norm_of(&self.state.arrays, team);
        if let Some(kept) = &mut self.time_error {
            kept.add_step(self.time, (&[error], &[norm]), size, regular, scheme.order);
        }
        Ok(())
    }

    /// Root of the mean over the box of Σ|u|²; collective.
    fn norm_of(&self, arrays: &[Vec<Complex<T>>], team: &dyn Team) -> f64 {
        let views: Vec<&[Complex<T>]> = arrays.iter().map(Vec::as_slice).collect();
        let squares = ranks::total(team, &means::mean_squares(&self.domain, &self.scales, &views));
        libm::sqrt(squares.iter().sum())
    }

    /// Takes away what rounding has put between the two modes of a pair, after the step from `from`, if the fastest mode of
    /// L has grown by e since that was done: by the times alone, so that a run that goes on does it at the same steps.
    fn keep_real(&mut self, from: f64, team: &dyn Team) {
        let Self { reality: Some(reality), growth_rate, time, state, growth, stepper, .. } = self else { return };
        if (from * *growth_rate).floor() == (*time * *growth_rate).floor() {
            return;
        }
        let directions = growth.as_mut().map_or(&mut [][..], |growth| &mut growth.directions);
        reality.restore_all(team, state, stepper.as_mut(), directions);
    }

    /// Whether half of what a random forcing brings in a step is added before it, the rest after it: so its statistics are of
    /// second order in the step (Strang's splitting). All after steps that may be taken back, and those that go by earlier
    /// states too.
    fn kicks_before(&self) -> bool {
        self.scheme.steps == 1 && !self.judged
    }

    /// Adds what the random forcing brings, where there is one.
    fn stir(&mut self, kick: Kick) {
        if !self.equation.is_stirred() {
            return;
        }
        let Self { equation, scales, domain, stepper, state, .. } = self;
        let fields = equation.fields().len();
        let mut add = |to: &mut Fields<T>| {
            for (tile, at) in scales.tiles(2048) {
                let mut parts: Views<&mut [Complex<T>]> =
                    to.arrays[..fields].iter_mut().map(|a| &mut a[at.clone()]).collect();
                equation.stir(kick, domain, &tile, &mut parts);
            }
        };
        add(state);
        stepper.disturb(&mut add);
    }

    /// The estimated error of the last step over what is allowed.
    fn error_ratio(&self, fields: usize, team: &dyn Team) -> f64 {
        let error = self.stepper.embedded_error().expect("the scheme estimates its error");
        let squares = |all: &Fields<T>| {
            let views: Vec<&[Complex<T>]> = all.arrays[..fields].iter().map(Vec::as_slice).collect();
            ranks::total(team, &means::mean_squares(&self.domain, &self.scales, &views))
        };
        let norms: Vec<(f64, f64)> =
            squares(error).into_iter().zip(squares(&self.state)).map(|(e, u)| (libm::sqrt(e), libm::sqrt(u))).collect();
        error_ratio(&norms, self.control.tolerance(), Real::to_f64(T::epsilon()))
    }

    /// In the step from `from`, which is not counted yet.
    fn diverged(&self, from: f64) -> Error {
        let step = self.steps + 1;
        let message = format!(
            "diverged at step {step}, between t = {from} and {}: reduce method.time_step (the step was {})",
            self.time, self.last_step
        );
        Error::Numerical { step, message }
    }

    fn failed(&self, why: &str) -> Error {
        let message =
            format!("at t = {}: {why}; reduce method.time_step, or method.min_step if it is given", self.time);
        Error::Numerical { step: self.steps + 1, message }
    }
}

/// What a step moves.
struct Moving<'a, T: Real> {
    stepper: &'a mut dyn Stepper<T>,
    state: &'a mut Fields<T>,
    before: &'a mut Fields<T>,
}

/// What is kept where, for the log.
fn describe<T: Real>(domain: &Domain, transform: &dyn Transform<T>, scheme: &str) -> String {
    let list = |n: Vec<usize>| n.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    format!(
        "scheme {scheme}; modes up to {} per axis, products on {} points, {} modes on rank 0",
        list(domain.own().iter().map(|a| a.highest).collect()),
        list(domain.own().iter().map(|a| a.points).collect()),
        transform.modes().len(),
    )
}

impl<T: Real> Solver for Evolution<T> {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        let from = self.time;
        self.advance(step, team)?;
        self.conclude(step, from, team)
    }

    fn reached(&self) -> bool {
        self.time >= self.end
    }

    fn restored(&mut self) -> Result<()> {
        self.control.restored();
        self.times.restored(self.time)
    }

    fn measure(&mut self, team: &dyn Team) -> Result<()> {
        if !self.names.quadratics.is_empty() {
            let mut bound = self.evaluation.bind(self.transform.as_mut(), team, None);
            bound.evaluate(self.time, &self.state, &mut self.rate)?;
            if let (true, Some(force)) = (self.equation.measures_n_alone(), &self.evaluation.forcing) {
                let pairs = self.rate.arrays.iter_mut().flatten().zip(force.arrays.iter().flatten());
                pairs.for_each(|(rate, force)| *rate -= *force);
            }
            let parts = means::quadratics(self.equation.as_ref(), &self.domain, &self.scales, &self.state, &self.rate);
            let mut values = ranks::total(team, &parts);
            let eta = self.equation.smallest_eddies(&values).map(|eta| k_max_eta(&self.domain, eta));
            values.extend(self.evaluation.pointwise(self.transform.as_mut(), team, &self.state));
            values.extend(eta);
            self.quadratics = values;
        }
        self.probes = self.output.probes(team, &self.state);
        Ok(())
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        for (axis, name) in self.domain.own().iter().zip(&self.names.wavenumbers) {
            let mut values: Vec<f64> = (0..axis.modes()).map(|i| axis.wavenumber(i)).collect();
            walk.replicated(name, &mut values)?;
        }
        let block = self.scales.block();
        for (name, values) in self.names.fields.iter().zip(&mut self.state.arrays) {
            walk_coefficients(walk, name, &self.domain, block, values)?;
        }
        if let Some(growth) = &mut self.growth {
            for (name, values) in self.names.directions.iter().zip(&mut growth.directions) {
                walk_coefficients(walk, name, &self.domain, block, values)?;
            }
            growth.walk(walk)?;
        }
        if let Some(time_error) = &mut self.time_error {
            time_error.walk(walk)?;
        }
        let (arrays, numbers) = self.stepper.history();
        for (names, (_, fields)) in self.names.history.iter().zip(arrays) {
            for (name, values) in names.iter().zip(&mut fields.arrays) {
                walk_coefficients(walk, name, &self.domain, block, values)?;
            }
        }
        for (name, (_, number)) in self.names.numbers.iter().zip(numbers) {
            walk.scalar(name, number.into())?;
        }
        for (name, (_, number)) in self.names.control.iter().zip(self.control.numbers()) {
            walk.scalar(name, number.into())?;
        }
        walk.scalar(&TIME, (&mut self.time).into())?;
        walk.scalar(&STEP, (&mut self.last_step).into())?;
        walk.scalar(&CFL, (&mut self.frequency).into())?;
        self.output.state(walk, self.transform.as_ref())
    }

    fn inputs(&mut self, _walk: &mut dyn Walk) -> Result<()> {
        Ok(())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let mut record = vec![(TIME, self.time), (STEP, self.last_step), (CFL, self.frequency * self.last_step)];
        record.extend(self.names.quadratics.iter().copied().zip(self.quadratics.iter().copied()));
        record.extend(self.growth.iter().flat_map(Growth::record));
        record.extend(self.output.probe_names().iter().copied().zip(self.probes.iter().copied()));
        record
    }

    fn snapshot_due(&self) -> Option<f64> {
        self.times.due(self.time).then_some(self.time)
    }

    fn snapshot(&mut self, walk: &mut dyn Walk, team: &dyn Team) -> Result<()> {
        self.output.walk(walk, team, &self.state, self.transform.as_mut())
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        self.measure(team)?;
        let views = self.state.views();
        self.decays = ranks::resolution(team, &self.domain, &self.scales, &views);
        self.norm = self.norm_of(&self.state.arrays, team);
        self.notes.extend(self.output.note());
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.output.results(walk, self.transform.as_ref())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("line_transforms", transform::library())]
    }

    fn report(&self) -> Vec<Number> {
        let number = |name, meaning, value| Number { name, unit: "1", meaning, value, error: ErrorBar::None };
        let mut report = vec![number("time", "time reached", self.time)];
        for (name, value) in self.names.quadratics.iter().zip(&self.quadratics) {
            report.push(Number { unit: name.units, ..number(name.name, name.meaning, *value) });
        }
        report.extend(self.growth.iter().flat_map(Growth::report));
        let worst = |of: fn(&Decay) -> f64| self.decays.iter().flatten().map(of).fold(0.0, f64::max);
        let tail = "estimate of the space error: share of the amplitude in the last eighth of the kept modes";
        report.push(number("last_eighth", tail, worst(|d| d.tail)));
        let beyond = "estimate of the space error: amplitude beyond the kept modes, from the decay of the spectrum";
        report.push(number("beyond_the_last", beyond, worst(|d| d.error)));
        report.extend(self.time_error.as_ref().and_then(|e| e.number(self.time, &[self.norm])));
        report
    }

    fn work(&self) -> (f64, &'static str) {
        let points: f64 = self.domain.points().iter().map(|&n| n as f64).product();
        (points * self.steps as f64, "points·steps")
    }

    fn outlook(&self) -> Outlook {
        Outlook::until(self.end, self.time, self.last_step)
    }

    fn extras(&mut self, dir: &Path, team: &dyn Team) -> Result<Vec<String>> {
        ranks::from_first(team, || xdmf::write(dir))
    }
}
