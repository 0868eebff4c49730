//! What `spanwise check` says of a spectral run: counts alone, nothing is computed.

use num_complex::Complex;

use super::bounded;
use super::domain::{Axis, Domain};
use super::equation::{Coupling, Equation};
use super::problem::{EquationInput, Periodic, Precision, ProblemInput, WrittenKind};
use super::setup;
use super::steppers::{retake_arrays, retake_evaluations, stepper};
use super::time::{MethodInput, StepControl};
use super::transform::layout::{
    Direction, Layout, Network, ProcessGrid, Traffic, buffer_lengths, process_grid, traffic,
};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::math::real::Real;
use crate::solvers::Estimate;

pub fn check(input: &Input, ranks: usize, _threads: usize) -> Result<Estimate> {
    let problem: ProblemInput = input.problem()?;
    let method: MethodInput = input.method()?;
    let equation = match &problem.equation {
        EquationInput::BuiltIn(built_in) => Periodic::BuiltIn(built_in),
        EquationInput::Written(WrittenKind::Written(written)) => Periodic::Written(written),
        EquationInput::Bounded(kind) => return bounded::check(input, &problem, &method, kind, ranks),
    };
    match problem.precision {
        Precision::F64 => estimate::<f64>(input, &problem, equation, &method, ranks),
        Precision::F32 => estimate::<f32>(input, &problem, equation, &method, ranks),
    }
}

/// Ranks of a node where nothing is known of the machine: as many as share memory on a common one.
const RANKS_PER_NODE: usize = 64;
/// Bytes that the program, MPI and HDF5 hold before any problem is built.
const BASE: u64 = 32 << 20;

fn estimate<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    asked: Periodic,
    method: &MethodInput,
    ranks: usize,
) -> Result<Estimate> {
    let posed = setup::pose::<T>(input, problem, asked)?;
    let (equation, domain) = (posed.equation.as_ref(), &posed.domain);
    let end = problem.end().map_err(|(key, message)| input.invalid(&key, message))?;
    let scheme = method
        .check(false, !equation.rounds().is_empty())
        .map_err(|e| input.invalid(&format!("method.{}", e.key), e.message))?;
    let network = Network::ordinary(RANKS_PER_NODE);
    let grid = process_grid(domain, ranks, problem.process_grid, &network).map_err(|e| match e {
        Error::Usage(message) if problem.process_grid.is_some() => input.invalid("problem.process_grid", message),
        Error::Usage(message) => input.invalid("problem.points", message),
        other => other,
    })?;

    let own = domain.own();
    let list = |of: fn(&Axis) -> usize| own.iter().map(|a| of(a).to_string()).collect::<Vec<_>>().join(" × ");
    let fields: Vec<&str> = equation.fields().iter().map(|f| f.name.as_str()).collect();
    let rounds = equation.rounds();
    let trips: (usize, usize) = (rounds.iter().map(|r| r.backward).sum(), rounds.iter().map(|r| r.forward).sum());
    let mut understood = vec![
        ("fields".to_string(), fields.join(", ")),
        ("points".into(), list(|a| a.points)),
        ("kept modes per axis".into(), format!("{} (|k| up to {})", list(Axis::modes), list(|a| a.highest))),
        ("scheme".into(), format!("{}, order {}", scheme.word, scheme.order)),
        ("transforms per evaluation".into(), format!("{} to the grid, {} back", trips.0, trips.1)),
        ("process grid".into(), format!("{} × {}", grid[0], grid[1])),
    ];
    if let Some(step) = method.time_step {
        understood.push(("steps to the end".into(), format!("{:.0}", (end / step).ceil())));
    }
    if method.time_error {
        let cost = format!("{} evaluations at steps 1, 4, 16, … and the last", retake_evaluations(scheme));
        understood.push(("time error".into(), cost));
    }
    let mut copies = 1;
    if let Some(tangent) = &problem.tangent {
        tangent.check(end).map_err(|(key, message)| input.invalid(&key, message))?;
        copies += tangent.vectors;
        understood.push(("directions".into(), tangent.vectors.to_string()));
    }
    understood.extend(posed.notes.into_iter().map(|note| ("note".to_string(), note)));

    let largest = Layout::new(domain, grid, 0);
    let (modes, points) = (largest.modes(domain).len() as u64, largest.points(domain).len() as u64);
    let size = size_of::<T>() as u64;
    let count = equation.fields().len() as u64;
    let array = 2 * size * modes;
    let judged = method.step_control == StepControl::Error;
    let estimated = if judged { scheme.estimate_arrays } else { 0 };
    // The state before a step that is taken again, and a stepper for it where the scheme's own has a history.
    let again = match (method.time_error, scheme.steps > 1 || judged) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 1 + retake_arrays(scheme),
    } as u64;
    // Of L in double precision, and of a factor made of it, per field and mode; fields with equal L share factors.
    let (exact, factor) = match equation.coupling() {
        Coupling::RealDiagonal => (8 * count, size * distinct(equation)),
        Coupling::Diagonal => (16 * count, 2 * size * distinct(equation)),
        Coupling::Block => (16 * count * count, 2 * size * count.next_power_of_two().pow(2)),
    };
    let measured = equation.pointwise_arrays() as u64;
    let backward = rounds.iter().map(|r| r.backward).max().unwrap_or(0) as u64;
    let derived = backward.max(measured);
    let products = trips.1 as u64;
    let copies = copies as u64;
    let mut memory = vec![
        ("program, MPI and HDF5".to_string(), BASE),
        ("state and right-hand side".into(), 2 * count * array),
        (format!("work space of {}", scheme.word), (scheme.arrays + estimated) as u64 * copies * count * array),
        ("linear part and factors of the scheme".into(), modes * (exact + factor * scheme.functions as u64)),
        ("arrays on their way to the grid and back".into(), (derived + products) * array),
        ("buffers of the transform".into(), buffers(domain, grid, measured.max(copies * backward.max(products)), size)),
        ("values of kept fields".into(), size * points * domain.reals() as u64 + array),
    ];
    if again > 0 {
        memory.push(("steps taken a second time for their error".into(), again * copies * count * array));
    }
    if copies > 1 {
        let work = (copies + 1) * backward + copies * products + count + 1;
        memory.push(("directions, and their way to the grid and back".into(), ((copies - 1) * count + work) * array));
    }

    let sent = |direction| traffic(domain, grid, 0, direction, 2 * size_of::<T>());
    let each: Traffic = sum(sent(Direction::Backward), trips.0, sent(Direction::Forward), trips.1);
    let evaluations = scheme.evaluations();
    let mut stepper = stepper::<T>(scheme.word, equation.fields().len(), 1).expect("a scheme of the registry");
    let state = count * 2 * size * domain.modes().iter().map(|&n| n as u64).product::<u64>();
    let whole = size * domain.reals() as u64 * problem.points.iter().map(|&n| n as u64).product::<u64>();
    let snapshots = problem.output.every.map_or(1.0, |every| 1.0 + (end / every).floor()) as u64
        + problem.output.times.len() as u64;
    Ok(Estimate {
        problem: understood,
        memory,
        bytes_per_step: each.bytes * evaluations * copies,
        messages_per_step: each.messages * evaluations * copies,
        seconds_per_step: None,
        output_bytes: state * copies + if problem.output.whole { snapshots * count * whole } else { 0 },
        checkpoint_bytes: state * copies * (1 + stepper.history().0.len() as u64),
    })
}

fn sum(backward: Traffic, b: usize, forward: Traffic, f: usize) -> Traffic {
    let times = |t: Traffic, n: usize| Traffic { messages: t.messages * n as u64, bytes: t.bytes * n as u64 };
    times(backward, b) + times(forward, f)
}

/// How many fields have a linear part of their own, as some wavenumbers tell them apart.
fn distinct<T: Real>(equation: &dyn Equation<T>) -> u64 {
    let fields = equation.fields().len();
    let mut seen: Vec<Vec<Complex<f64>>> = vec![Vec::new(); fields];
    let mut entries = vec![Complex::new(0.0, 0.0); fields];
    for k in [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0], [5.0, 0.5, 0.25]] {
        equation.linear(k, &mut entries);
        seen.iter_mut().zip(&entries).for_each(|(s, e)| s.push(*e));
    }
    (0..fields).filter(|&f| !seen[..f].contains(&seen[f])).count() as u64
}

/// Bytes of the buffers of [`Distributed`](super::transform::Distributed) for `fields` fields at once.
fn buffers(domain: &Domain, grid: ProcessGrid, fields: u64, size: u64) -> u64 {
    let [mid, wide, flat, tall] = buffer_lengths(domain, grid, 0).map(|n| n as u64 * 2 * size);
    fields * (mid + flat) + 2 * (wide + tall)
}
