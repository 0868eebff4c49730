//! What `spanwise check` says of a spectral run: counts alone, nothing is computed.

use num_complex::Complex;

use super::bounded;
use super::domain::{Axis, Domain, Tile};
use super::ensemble;
use super::equation::{Coupling, Equation, Round};
use super::evolution::recorded;
use super::memory::{self, Place, Trip};
use super::nonlinear::{following, goes_on_at_once};
use super::problem::{EnsembleInput, EquationInput, Periodic, Precision, ProblemInput, WrittenKind};
use super::reality;
use super::setup;
use super::steppers::{GROUP, Kind, retake_arrays, retake_evaluations, stepper};
use super::time::{MethodInput, StepControl};
use super::transform::layout::{self, Direction, Network, ProcessGrid, Traffic, process_grid, traffic};
use crate::error::Result;
use crate::input::Input;
use crate::math::real::Real;
use crate::solvers::{Estimate, program};
use crate::team::{Solo, joined_page};

pub fn check(input: &Input, ranks: usize, threads: usize) -> Result<Estimate> {
    Ok(Estimate { size_key: "problem.points".into(), ..of_problem(input, ranks, threads)? })
}

fn of_problem(input: &Input, ranks: usize, threads: usize) -> Result<Estimate> {
    let problem: ProblemInput = input.problem()?;
    let method: MethodInput = input.method()?;
    let equation = match &problem.equation {
        EquationInput::BuiltIn(built_in) => Periodic::BuiltIn(built_in),
        EquationInput::Written(WrittenKind::Written(written)) => Periodic::Written(written),
        EquationInput::Bounded(kind) => {
            ensemble::refuse_walls(input, &problem)?;
            return bounded::check(input, &problem, &method, kind, ranks, threads);
        }
    };
    if let Some(asked) = &problem.ensemble {
        return match problem.precision {
            Precision::F64 => of_ensemble::<f64>(input, &problem, asked, &method, ranks, threads),
            Precision::F32 => of_ensemble::<f32>(input, &problem, asked, &method, ranks, threads),
        };
    }
    match problem.precision {
        Precision::F64 => estimate::<f64>(input, &problem, equation, &method, ranks, threads, 1),
        Precision::F32 => estimate::<f32>(input, &problem, equation, &method, ranks, threads, 1),
    }
}

/// Ranks of a node where nothing is known of the machine: as many as share memory on a common one.
pub const RANKS_PER_NODE: usize = 64;
/// What happens to messages on one node.
const SHARED: &str = "no messages: their bytes are written into the memory of the other ranks";

/// Of a problem, or of `members` of it on one rank.
fn estimate<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    given: Periodic,
    method: &MethodInput,
    ranks: usize,
    threads: usize,
    members: u64,
) -> Result<Estimate> {
    let posed = setup::pose::<T>(input, problem, given)?;
    let (equation, domain) = (posed.equation.as_ref(), &posed.domain);
    setup::first::<T>(input, problem, given, equation.fields(), domain)?;
    setup::look_at_files::<T>(input, problem, equation.fields(), domain)?;
    let end = problem.end().map_err(|(key, message)| input.invalid(&key, message))?;
    let scheme =
        method.check(false, equation.carries()).map_err(|e| input.invalid(&format!("method.{}", e.key), e.message))?;
    let network = Network::ordinary(RANKS_PER_NODE);
    let grid = process_grid(domain, ranks, problem.process_grid, &network)
        .map_err(|e| setup::of_process_grid(input, problem, e))?;

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
        let steps = (end / step).ceil();
        let steps = if steps < 1e15 { format!("{steps:.0}") } else { format!("{steps:.3e}") };
        understood.push(("steps to the end".into(), steps));
    }
    let estimates = method.time_error && !equation.is_stirred();
    if estimates {
        let cost = format!("{} evaluations at steps 1, 4, 16, … and the last", retake_evaluations(scheme));
        understood.push(("time error".into(), cost));
    }
    let mut copies = 1;
    if let Some(tangent) = &problem.tangent {
        tangent.check(end).map_err(|(key, message)| input.invalid(&key, message))?;
        copies += tangent.vectors;
        understood.push(("directions".into(), tangent.vectors.to_string()));
    }
    let notes = posed.notes.into_iter().chain(setup::cautions::<T>(input, method, scheme, end));
    understood.extend(notes.map(setup::understood));

    let size = size_of::<T>() as u64;
    let shared = is_shared(problem, ranks);
    let here = Place { domain, grid, threads: threads as u64, size, shared };
    let modes = here.modes();
    let count = equation.fields().len() as u64;
    let array = here.array();
    let judged = method.step_control == StepControl::Error;
    let estimated = if judged { scheme.estimate_arrays } else { 0 };
    // The state before a step that is taken again stays; a stepper for it, where the scheme's own has a history, does not.
    let again = u64::from(estimates);
    let retaking = if scheme.steps > 1 || judged { again * retake_arrays(scheme) as u64 } else { 0 };
    // Of L in double precision, and of a factor made of it, per field and mode; fields with equal L share factors.
    let (exact, factor) = match equation.coupling() {
        Coupling::RealDiagonal => (8 * count, size * distinct(equation)),
        Coupling::Diagonal => (16 * count, 2 * size * distinct(equation)),
        Coupling::Block => (16 * count * count, 2 * size * if count > 4 { 64 } else { count * count }),
    };
    let measured = equation.pointwise_arrays() as u64;
    let derived = equation.derived_arrays() as u64;
    let products = trips.1 as u64;
    let last = rounds.last().map_or(0, |last| last.forward as u64);
    let at_once = here.at_once(last.max(following(rounds) as u64)).is_some();
    let kept_products = if at_once { products - last } else { products };
    let copies = copies as u64;
    // N in parts is not kept, where no error estimate asks for it, nor a state that leaves for the grid at once.
    let exponential = scheme.kind == Kind::Exponential && count <= GROUP as u64;
    let in_parts = at_once && exponential && copies == 1 && !judged && equation.drive().is_none();
    let passing = in_parts && goes_on_at_once(equation);
    let arrays = (scheme.lasting_arrays() + estimated) as u64 - u64::from(in_parts) - u64::from(passing);
    let most = |of: fn(&Round) -> usize| rounds.iter().map(of).max().unwrap_or(0) as u64;
    // The first state comes from values on the grid.
    let trip = Trip {
        backward: measured.max(copies * most(|r| r.backward)),
        forward: copies * most(|r| r.forward).max(count),
    };
    let forced = if problem.forcing.is_some() || has_forcing(equation, domain) { count * array } else { 0 };
    let keys = problem.output_keys();
    let asked = setup::asked(input, problem, equation, domain)?;
    let beside = setup::grid_beside(&asked.domain, problem.process_grid, ranks);
    let kept_grid = process_grid(&asked.domain, ranks, beside, &network)?;
    let kept = Place { domain: &asked.domain, grid: kept_grid, ..here };
    let snapshots = keys.snapshots(end);
    let named = memory::named(&keys, count, equation.derived().len());
    let mut memory = vec![
        program(ranks),
        ("state and right-hand side".into(), 2 * count * array),
        (format!("work space of {}", scheme.word), arrays * copies * count * array),
        ("linear part and factors of the scheme".into(), modes * (exact + factor * scheme.functions as u64)),
        ("arrays on their way to the grid and back".into(), (derived + kept_products) * array + forced),
        ("buffers of the transform".into(), here.transform(trip)),
        // The first steps of a multistep scheme, and steps taken again, are over before fields are kept.
        ("values of kept fields, or first steps".into(), {
            let starting = (scheme.arrays - scheme.lasting_arrays()) as u64;
            let starting = (starting + retaking) * copies * count * array;
            memory::kept(&here, &kept, named, snapshots, &keys).max(starting)
        }),
        ("sums over wavenumbers".into(), memory::sums(domain, keys.spectra, ranks)),
        ("files".into(), memory::files(&here, &kept, members, &keys)),
    ];
    // One member after the other is measured, on each thread.
    memory[1..7].iter_mut().for_each(|(_, bytes)| *bytes *= members);
    memory[7].1 *= members.min(threads as u64);
    memory.extend(here.seen(trip, joined_page()));
    memory.extend(memory::statistics(&kept, members * named, &keys));
    if again > 0 {
        memory.push(("steps taken a second time for their error".into(), members * again * copies * count * array));
    }
    if copies > 1 {
        let work = (copies + 1) * most(|r| r.backward) + copies * products + count + 1;
        memory.push(("directions, and their way to the grid and back".into(), ((copies - 1) * count + work) * array));
    }

    let sent = per_step(domain, grid, trips, scheme.evaluations(), 2 * size_of::<T>(), &network);
    // The largest speed, where there is one; whether a value is not finite.
    understood.extend(sent.words(ranks, &network, 1 + u64::from(equation.carries()), shared));
    let mut stepper = stepper::<T>(scheme.word, equation.fields().len(), 1).expect("a scheme of the registry");
    let history = stepper.history().0.len() as u64;
    let real = reality::exchanged(domain, grid, copies * count * (1 + history), 2 * size);
    understood.extend(keeping_real(real, "each time that the fastest growing mode of L has grown by e"));
    let state = count * 2 * size * domain.modes().iter().map(|&n| n as u64).product::<u64>();
    let [snapshot, statistics] = asked.bytes(&keys, domain, size);
    // Sums for the series are taken of a right-hand side of their own, and of squares on the grid.
    let recorded = match recorded(equation).is_empty() {
        true => Traffic::default(),
        false => {
            per_step(domain, grid, (trips.0 + measured as usize, trips.1), 1, 2 * size_of::<T>(), &network).traffic
        }
    };
    Ok(Estimate {
        problem: understood,
        memory,
        bytes_per_step: sent.traffic.bytes * copies,
        messages_per_step: sent.traffic.messages * copies,
        bytes_per_record: recorded.bytes,
        messages_per_record: recorded.messages,
        output_bytes: state * copies + snapshots * snapshot + statistics,
        checkpoint_bytes: state * copies * (1 + history) + statistics,
        ..Estimate::default()
    })
}

/// Whether ranks, if they all fit on one node, write into each other's arrays.
pub fn is_shared(problem: &ProblemInput, ranks: usize) -> bool {
    problem.share_memory && (2..=RANKS_PER_NODE).contains(&ranks)
}

/// What the busiest rank sends in a step, and the seconds that its messages take.
pub struct Sent {
    pub traffic: Traffic,
    pub seconds: f64,
}

impl Sent {
    /// Lines for the user; `agreements`: calls of a step in which all ranks meet; `shared`: on one node.
    pub fn words(&self, ranks: usize, network: &Network, agreements: u64, shared: bool) -> Vec<(String, String)> {
        if ranks == 1 {
            return Vec::new();
        }
        let (inside, across) = (network.inside, network.across);
        let (micro, giga) = (1e6, 1e-9);
        vec![
            (
                "messages of a step take".to_string(),
                format!(
                    "{:.3} ms, at {:.0} µs and {:.0} GB/s a rank inside a node of {RANKS_PER_NODE} ranks, {:.0} µs and \
                     {:.3} GB/s across",
                    self.seconds * 1e3,
                    inside.0 * micro,
                    inside.1 * giga,
                    across.0 * micro,
                    across.1 * giga
                ),
            ),
            ("agreements of all ranks per step".into(), format!("{agreements}, and one of the run")),
            ("on one node".into(), if shared { SHARED } else { "messages too" }.into()),
        ]
    }
}

/// A line for the user of what keeps real fields real on several ranks ([`reality::exchanged`]).
pub fn keeping_real(sent: Traffic, when: &str) -> Option<(String, String)> {
    let Traffic { messages, bytes } = sent;
    let line = format!("at most {messages} messages and {bytes} bytes more from a rank, {when}");
    (messages > 0).then(|| ("keeping fields real takes".into(), line))
}

/// Messages of a step of `evaluations` evaluations, each of which takes `trips` arrays to the grid and back, of complex
/// numbers of `size` bytes.
pub fn per_step(
    domain: &Domain,
    grid: ProcessGrid,
    trips: (usize, usize),
    evaluations: u64,
    size: usize,
    network: &Network,
) -> Sent {
    let (m, n) = (domain.modes(), domain.points());
    // Parts of a side differ by one at most: those that hold one more come first, on each of its two axes.
    let kinds = |parts: usize, lengths: [usize; 2]| {
        let mut kinds = vec![0, lengths[0] % parts, lengths[1] % parts];
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    let mut busiest = Sent { traffic: Traffic::default(), seconds: 0.0 };
    for r1 in kinds(grid[0], [n[0], m[1]]) {
        for r2 in kinds(grid[1], [n[1], m[2]]) {
            let rank = r1 * grid[1] + r2;
            let mut here = Sent { traffic: Traffic::default(), seconds: 0.0 };
            for (direction, trips) in [(Direction::Backward, trips.0), (Direction::Forward, trips.1)] {
                let times = evaluations * trips as u64;
                let sent = traffic(domain, grid, rank, direction, size);
                here.traffic.messages += times * sent.messages;
                here.traffic.bytes += times * sent.bytes;
                here.seconds += times as f64 * layout::seconds(domain, grid, rank, direction, size, network);
            }
            busiest.traffic.messages = busiest.traffic.messages.max(here.traffic.messages);
            busiest.traffic.bytes = busiest.traffic.bytes.max(here.traffic.bytes);
            busiest.seconds = busiest.seconds.max(here.seconds);
        }
    }
    busiest
}

/// That of one member as often as the busiest rank has members.
fn of_ensemble<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    asked: &EnsembleInput,
    method: &MethodInput,
    ranks: usize,
    threads: usize,
) -> Result<Estimate> {
    ensemble::check(input, problem, asked)?;
    let (members, here) = (asked.members as u64, asked.members.div_ceil(ranks) as u64);
    let (mut first, mut kept) = (None, Vec::new());
    for m in 0..if asked.vary.is_empty() { 1 } else { asked.members } {
        let (own, problem) = ensemble::member(input, asked, m)?;
        let equation = match &problem.equation {
            EquationInput::BuiltIn(built_in) => Periodic::BuiltIn(built_in),
            EquationInput::Written(WrittenKind::Written(written)) => Periodic::Written(written),
            EquationInput::Bounded(_) => unreachable!("refused before"),
        };
        let of_member = |e| if asked.vary.is_empty() { e } else { ensemble::of_member(input, m, e) };
        if m == 0 {
            let estimate = estimate::<T>(&own, &problem, equation, method, 1, threads, here);
            first = Some(estimate.map_err(of_member)?);
        }
        let posed = setup::pose::<T>(&own, &problem, equation).map_err(of_member)?;
        kept.push(posed.domain.modes()[2] as f64);
    }
    ensemble::same_modes(input, &kept, &Solo)?;
    let mut estimate = first.expect("an ensemble has at least one member");
    estimate.problem.push(("members".into(), format!("{members}, at most {here} on a rank")));
    estimate.problem.extend(ensemble::caution(problem, asked).map(setup::understood));
    if ranks as u64 > members {
        let idle = format!("{} ranks have no member", ranks as u64 - members);
        estimate.problem.push(("note".into(), idle));
    }
    estimate.memory[0] = program(ranks);
    estimate.output_bytes *= members;
    estimate.checkpoint_bytes *= members;
    Ok(estimate)
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

/// Whether an equation has a forcing that does not depend on time, as one point tells.
fn has_forcing<T: Real>(equation: &dyn Equation<T>, domain: &Domain) -> bool {
    let tile = Tile { plane: 0.0, rows: &[0.0], columns: &[0.0], start: [0; 3] };
    let mut values = vec![vec![T::zero(); domain.reals()]; equation.fields().len()];
    let mut values: Vec<&mut [T]> = values.iter_mut().map(Vec::as_mut_slice).collect();
    equation.forcing(&tile, &mut values)
}
