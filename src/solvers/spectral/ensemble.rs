//! Several runs of a one-dimensional problem at once. A line is whole on one rank, so what ranks and threads share are
//! members. All take the same steps, those of the member that asks for the smallest, so that there is one time.

use std::collections::BTreeMap;
use std::path::Path;

use super::evolution::{CFL, Evolution, STEP, Seen, TIME};
use super::initial::InitialInput;
use super::problem::{EnsembleInput, EquationInput, Periodic, ProblemInput, Quantity, WrittenKind};
use super::results::stack::Stack;
use super::setup;
use super::time::{MethodInput, Next, StepControl};
use super::transform::Level;
use crate::crew::map_in;
use crate::error::{Error, Result};
use crate::input::{Input, KernelLevel};
use crate::math::expression::did_you_mean;
use crate::math::real::Real;
use crate::math::rng::{Stream, word};
use crate::math::sum::tree_sum;
use crate::solvers::{ErrorBar, Number, Outlook, Solver, Status, WARNING};
use crate::state::{Name, Walk};
use crate::team::{Partition, Solo, Team};

/// Modes that a thread has at least: fewer are not worth a hand-over.
const TASK: usize = 2048;

/// A problem that is stepped through time several times over.
pub struct Ensemble<T: Real> {
    /// Those of this rank. A rank beyond the members has one that only follows in time.
    members: Vec<Evolution<T>>,
    caution: Option<String>,
    part: Partition,
    /// The members' own steps would differ: all take the smallest.
    together: bool,
    /// Values that differ between members by name, one per member.
    varied: Vec<(Name, Vec<f64>)>,
    /// After time, step and CFL number: what members record, its mean and its spread.
    recorded: Vec<[Name; 3]>,
    /// What the members here recorded last.
    own: Vec<Vec<f64>>,
    record: Vec<(Name, f64)>,
    /// Walks of the state, of a snapshot, of results.
    stacks: [Stack; 3],
    report: Vec<Number>,
}

/// Whether this rank has members.
fn computes(part: &Partition) -> bool {
    !part.mine().is_empty()
}

/// # Errors
/// The key `problem.ensemble`, where it stands beside walls.
pub fn refuse_walls(input: &Input, problem: &ProblemInput) -> Result<()> {
    match problem.ensemble {
        Some(_) => Err(input.invalid("problem.ensemble", "is for equations on a periodic axis, not between walls")),
        None => Ok(()),
    }
}

/// Checks what can be said of an ensemble without its members.
///
/// # Errors
/// The key at fault.
pub fn check(input: &Input, problem: &ProblemInput, asked: &EnsembleInput) -> Result<()> {
    if problem.points.len() != 1 {
        let message = "is for problems of one axis: grids of two and three are shared out themselves";
        return Err(input.invalid("problem.ensemble", message));
    }
    if problem.tangent.is_some() {
        return Err(input.invalid("problem.tangent", "is for a single run, not beside problem.ensemble"));
    }
    for (key, values) in &asked.vary {
        let refuse = |message: String| Err(input.invalid("problem.ensemble.vary", message));
        if !["equation.", "initial."].iter().any(|p| key.starts_with(p) && key.len() > p.len()) {
            return refuse(format!("\"{key}\" cannot differ between members; keys of equation and initial can"));
        }
        if key.ends_with(".kind") || key.ends_with(".name") {
            return refuse(format!("\"{key}\" is no number; numbers alone can differ between members"));
        }
        let known = match (&problem.equation, &problem.initial) {
            (EquationInput::Written(WrittenKind::Written(written)), _) if key.starts_with("equation.parameters.") => {
                Some(written.parameters.keys().collect::<Vec<_>>())
            }
            (_, Some(InitialInput::Expressions { parameters, .. })) if key.starts_with("initial.parameters.") => {
                Some(parameters.keys().collect())
            }
            _ => None,
        };
        let name = key.rsplit('.').next().unwrap_or_default();
        if let Some(known) = known.filter(|known| !known.iter().any(|k| *k == name)) {
            let known = known.into_iter().map(String::as_str);
            return refuse(format!("\"{key}\": there is no parameter {name}{}", did_you_mean(name, known)));
        }
        if values.len() != asked.members {
            return refuse(format!("\"{key}\" has {} values for {} members", values.len(), asked.members));
        }
        for (m, value) in values.iter().enumerate() {
            if let Err(message) = value.value() {
                return refuse(format!("\"{key}\" of member {m}: {message}"));
            }
        }
    }
    Ok(())
}

/// What a user should know of members that nothing sets apart.
pub fn caution(problem: &ProblemInput, asked: &EnsembleInput) -> Option<String> {
    let is_drawn = match (&problem.equation, &problem.initial) {
        (_, Some(InitialInput::Random { .. })) => true,
        (EquationInput::Written(WrittenKind::Written(written)), _) => !written.random.is_empty(),
        _ => false,
    };
    let equal = asked.members > 1 && asked.vary.is_empty() && !is_drawn;
    equal.then(|| {
        format!("{WARNING}all members are equal: neither problem.ensemble.vary nor a random first state or forcing sets them apart")
    })
}

/// Refuses members, of which these are on this rank, that keep other numbers of modes than each other; collective.
///
/// # Errors
/// `problem.ensemble.vary`.
pub fn same_modes(input: &Input, modes: &[f64], team: &dyn Team) -> Result<()> {
    let least = team.min(modes.iter().copied().fold(f64::INFINITY, f64::min));
    let most = team.max(modes.iter().copied().fold(0.0, f64::max));
    if least == most {
        return Ok(());
    }
    let message = format!(
        "members would keep {least} to {most} modes, as the degrees of their products differ: problem.product_degree is one \
         for all"
    );
    Err(input.invalid("problem.ensemble.vary", message))
}

/// The input of member `m` alone: its values, its seed.
///
/// # Errors
/// `problem.ensemble.vary`, with what the member's value was refused for.
pub fn member(input: &Input, asked: &EnsembleInput, m: usize) -> Result<(Input, ProblemInput)> {
    let sets: Vec<String> = asked.vary.iter().map(|(k, v)| format!("problem.{k}={}", written(&v[m]))).collect();
    let mut own = if sets.is_empty() {
        input.clone()
    } else {
        Input::parse(&input.path, &input.text, &sets).map_err(|e| of_member(input, m, e))?
    };
    if m > 0 {
        own.run.seed = word(input.run.seed, Stream::SpectralMember, 0, m as u64);
    }
    let mut problem: ProblemInput = own.problem().map_err(|e| of_member(input, m, e))?;
    problem.ensemble = None;
    Ok((own, problem))
}

/// A value as TOML; texts such as "1/3" were checked before.
fn written(value: &Quantity) -> String {
    let x = value.value().expect("checked before");
    if x.fract() == 0.0 && x.abs() < 1e15 { format!("{x:.0}") } else { format!("{x:?}") }
}

/// What is wrong with a member, as a fault of the whole input.
pub fn of_member(input: &Input, m: usize, e: Error) -> Error {
    match e {
        Error::Input { key, value, message, .. } if problem_key(&key) => {
            let message = message.split(" (from --set").next().unwrap_or_default().to_string();
            let set = if value.is_empty() { key } else { format!("{key} = {value}") };
            input.invalid("problem.ensemble.vary", format!("member {m}: {set}: {message}"))
        }
        other => other,
    }
}

fn problem_key(key: &str) -> bool {
    key.starts_with("problem.equation") || key.starts_with("problem.initial")
}

impl<T: Real> Ensemble<T> {
    /// Builds the members of this rank and measures their first states; collective.
    pub fn new(input: &Input, problem: &ProblemInput, asked: &EnsembleInput, team: &dyn Team) -> Result<Self> {
        check(input, problem, asked)?;
        let level = setup::level(input, team)?;
        let part = team.split(asked.members);
        let method: MethodInput = input.method()?;
        let here = if computes(&part) { part.mine() } else { 0..1 };
        let build = |m: usize| -> Result<Evolution<T>> {
            let (mut own, problem) = member(input, asked, m)?;
            own.run.kernels = match level {
                Level::Portable => KernelLevel::Portable,
                Level::Avx2 => KernelLevel::Avx2,
                Level::Avx512 => KernelLevel::Avx512,
            };
            let equation = match &problem.equation {
                EquationInput::BuiltIn(built_in) => Periodic::BuiltIn(built_in),
                EquationInput::Written(WrittenKind::Written(written)) => Periodic::Written(written),
                EquationInput::Bounded(_) => unreachable!("refused before"),
            };
            let made = Evolution::new(&own, &problem, equation, &method, &Solo);
            made.map_err(|e| if asked.vary.is_empty() { e } else { of_member(input, m, e) })
        };
        let mut members: Vec<Evolution<T>> = team.agree(here.map(build).collect())?;
        // First steps by the CFL limit differ with the members' first states.
        let first = team.min(members.iter().map(Evolution::first_step).fold(f64::INFINITY, f64::min));
        members.iter_mut().for_each(|m| m.begin(first));
        same_modes(input, &members.iter().map(|m| m.modes() as f64).collect::<Vec<_>>(), team)?;
        let recorded = members[0].record()[3..]
            .iter()
            .map(|(name, _)| {
                let of = |ending: &str, words: &str| {
                    let meaning = format!("{}: {words} the members", name.meaning);
                    Name::kept(&format!("{}{ending}", name.name), name.units, &meaning, &[])
                };
                [*name, of("", "mean over"), of("_spread", "standard deviation over")]
            })
            .collect();
        let mut made = Ensemble {
            members,
            caution: caution(problem, asked),
            part,
            together: method.step_control != StepControl::Fixed,
            varied: varied(&asked.vary),
            recorded,
            own: Vec::new(),
            record: Vec::new(),
            stacks: [Stack::new(in_step), Stack::new(|_| false), Stack::new(in_step)],
            report: Vec::new(),
        };
        made.measure(team)?;
        Ok(made)
    }

    /// Calls `act` for every member here, over threads where that pays.
    fn each<R: Send>(&mut self, act: impl Fn(&mut Evolution<T>) -> R + Send + Sync) -> Vec<R> {
        let enough = TASK.div_ceil(self.members[0].modes().max(1));
        if self.members.len() <= enough || rayon::current_num_threads() == 1 {
            return self.members.iter_mut().map(act).collect();
        }
        map_in(self.members.iter_mut(), enough, || (), |(), _, member| act(member))
    }

    /// The first error, with the number of its member.
    fn first_error<R>(&self, results: Vec<Result<R>>) -> Result<Vec<R>> {
        let start = self.part.mine().start;
        let numbered = |(i, result): (usize, Result<R>)| {
            result.map_err(|e| match e {
                Error::Numerical { step, message } => {
                    Error::Numerical { step, message: format!("member {}: {message}", start + i) }
                }
                other => other,
            })
        };
        results.into_iter().enumerate().map(numbered).collect()
    }

    /// One step of all members, whose size they choose together.
    fn advance(&mut self, step: u64, team: &dyn Team) -> Result<()> {
        let computes = computes(&self.part);
        loop {
            // The same on all members: they saw the same.
            let next: Next = self.each(Evolution::next)[0];
            let seen: Vec<Result<Seen>> = match computes {
                true => self.each(|e| e.attempt(step, &next, &Solo)),
                false => vec![Ok(Seen::default())],
            };
            let seen = team.agree(self.first_error(seen))?;
            // NaN stays.
            let worst =
                |of: fn(&Seen) -> f64| seen.iter().map(of).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a });
            let mut all = [worst(|s| s.frequency), worst(|s| s.error_ratio)];
            team.max_each(&mut all);
            let [frequency, error_ratio] = all;
            let worst = Seen { frequency, error_ratio };
            let accepted = self.each(|e| e.accept(&next, &worst, computes));
            if self.first_error(accepted)?[0] {
                return Ok(());
            }
        }
    }
}

/// Whether a walked scalar follows from the steps, which all members share.
fn in_step(name: &str) -> bool {
    let clock = [TIME.name, STEP.name].contains(&name);
    clock || name.starts_with("control_") || name.starts_with("statistics_")
}

/// Values per member, for `/inputs`.
fn varied(vary: &BTreeMap<String, Vec<Quantity>>) -> Vec<(Name, Vec<f64>)> {
    vary.iter()
        .map(|(key, values)| {
            let meaning = format!("{key} of each member");
            let name = Name::kept(&key.replace('.', "_"), "1", &meaning, &["member"]);
            (name, values.iter().map(|v| v.value().expect("checked before")).collect())
        })
        .collect()
}

/// Mean and standard deviation (of a sample; 0 for one member) of a column of everyone's rows.
fn mean_and_spread(all: &[f64], width: usize, column: usize) -> (f64, f64) {
    let n = all.len() / width;
    let at = |m: usize| all[m * width + column];
    let mean = tree_sum(n, at) / n as f64;
    let square = |m: usize| (at(m) - mean) * (at(m) - mean);
    (mean, if n > 1 { libm::sqrt(tree_sum(n, square) / (n - 1) as f64) } else { 0.0 })
}

impl<T: Real> Solver for Ensemble<T> {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        let from = self.members[0].time();
        if self.together {
            self.advance(step, team)?;
        }
        if !computes(&self.part) {
            let follower = &mut self.members[0];
            if !self.together {
                let next = follower.next();
                follower.accept(&next, &Seen::default(), false)?;
            }
            follower.follow(step);
            return Ok(follower.status());
        }
        let stepped = match self.together {
            true => self.each(|e| e.conclude(step, from, &Solo)),
            false => self.each(|e| e.step(step, &Solo)),
        };
        Ok(self.first_error(stepped)?.swap_remove(0))
    }

    fn reached(&self) -> bool {
        self.members[0].reached()
    }

    fn restored(&mut self) -> Result<()> {
        self.members.iter_mut().try_for_each(Evolution::restored)
    }

    fn measure(&mut self, team: &dyn Team) -> Result<()> {
        let computes = computes(&self.part);
        let measured = self.each(|e| e.measure(&Solo));
        self.first_error(measured)?;
        let rows = if computes { &self.members[..] } else { &[] };
        self.own = rows.iter().map(|e| e.record().into_iter().skip(3).map(|(_, v)| v).collect()).collect();
        let cfl = team.max(rows.iter().map(|e| e.record()[2].1).fold(0.0, f64::max));
        let all = team.gather(&self.own.concat());
        let first = self.members[0].record();
        self.record = vec![(TIME, first[0].1), (STEP, first[1].1), (CFL, cfl)];
        for (column, [_, mean, spread]) in self.recorded.iter().enumerate() {
            let (m, s) = mean_and_spread(&all, self.recorded.len(), column);
            self.record.extend([(*mean, m), (*spread, s)]);
        }
        Ok(())
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let members = &mut self.members;
        self.stacks[0].walk(walk, self.part, &mut |i, walk| members[i].state(walk))
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.varied.iter_mut().try_for_each(|(name, values)| walk.replicated(name, values))
    }

    fn record(&self) -> Vec<(Name, f64)> {
        // Time goes on between measurements.
        let mut record = self.record.clone();
        let now = self.members[0].record();
        record[..2].copy_from_slice(&now[..2]);
        record
    }

    fn snapshot_due(&self) -> Option<f64> {
        self.members[0].snapshot_due()
    }

    /// Fields and their spectra with the axis `member`; and what members record, each its own.
    fn snapshot(&mut self, walk: &mut dyn Walk, team: &dyn Team) -> Result<()> {
        self.measure(team)?;
        let (members, recorded) = (&mut self.members, &self.recorded);
        self.stacks[1].walk(walk, self.part, &mut |i, walk| {
            members[i].snapshot(walk, &Solo)?;
            let values = members[i].record();
            recorded.iter().zip(values[3..].iter()).try_for_each(|([name, ..], (_, value))| {
                let mut value = *value;
                walk.scalar(name, (&mut value).into())
            })
        })
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        let computes = computes(&self.part);
        let finished = self.each(|e| e.finish(&Solo));
        team.agree(self.first_error(finished))?;
        self.measure(team)?;
        let numbers = self.members[0].report();
        let rows = if computes { &self.members[..] } else { &[] };
        let mine: Vec<f64> = rows.iter().flat_map(|e| e.report()).map(|n| n.value).collect();
        let all = team.gather(&mine);
        let (width, members) = (numbers.len(), self.part.n as f64);
        let random = self.varied.is_empty() && self.part.n > 1;
        self.report = numbers
            .into_iter()
            .enumerate()
            .map(|(column, number)| {
                let (mean, spread) = mean_and_spread(&all, width, column);
                match self.recorded.iter().find(|[name, ..]| name.name == number.name) {
                    Some([_, name, _]) => {
                        let error = ErrorBar::StdErr(spread / libm::sqrt(members));
                        let error = if random { error } else { ErrorBar::None };
                        Number { meaning: name.meaning, value: mean, error, ..number }
                    }
                    // Time, which is one; estimates of errors: the worst member's.
                    None => {
                        let value = all.iter().skip(column).step_by(width).copied().fold(0.0, f64::max);
                        Number { value, ..number }
                    }
                }
            })
            .collect();
        Ok(())
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let members = &mut self.members;
        self.stacks[2].walk(walk, self.part, &mut |i, walk| members[i].results(walk))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.members[0].notes();
        notes.push(format!("ensemble of {} members, {} on rank 0", self.part.n, self.part.of(0).len()));
        notes.extend(self.caution.clone());
        notes
    }

    fn report(&self) -> Vec<Number> {
        self.report.clone()
    }

    fn work(&self) -> (f64, &'static str) {
        let (work, unit) = self.members[0].work();
        (work * self.part.n as f64, unit)
    }

    fn outlook(&self) -> Outlook {
        self.members[0].outlook()
    }

    fn extras(&mut self, _dir: &Path, _team: &dyn Team) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
