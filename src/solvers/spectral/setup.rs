//! From `[problem]` and `[method]` to a solver that is ready for its first step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::bounded;
use super::domain::{Block, Domain, Tile};
use super::ensemble::{self, Ensemble};
use super::equation::{Equation, FieldName};
use super::equations::Profile;
use super::evolution::{Evolution, recorded};
use super::expression::{Function, names};
use super::fields::{Fields, finite};
use super::initial::{self, GridFile, InitialInput, Random};
use super::problem::{Dealiasing, EquationInput, Finding, Periodic, Precision, ProblemInput, WrittenKind};
use super::results::asked::Asked;
use super::results::means::mean_squares;
use super::results::ranks;
use super::sampled::{missed, told_of_missed};
use super::start;
use super::steppers::Scheme;
use super::time::{MethodInput, SINGLE, StepControl};
use super::transform::{Distributed, Level, ProcessGrid, Scales, Settings, Transform, pencil_limit};
use crate::error::{Error, Result};
use crate::input::{Input, KernelLevel};
use crate::io::read::Reader;
use crate::math::real::Real;
use crate::solvers::{Solver, WARNING, warning};
use crate::team::{Team, machine};

pub fn build(input: &Input, team: &dyn Team) -> Result<Box<dyn Solver>> {
    let problem: ProblemInput = input.problem()?;
    let method: MethodInput = input.method()?;
    let equation = match &problem.equation {
        EquationInput::BuiltIn(built_in) => Periodic::BuiltIn(built_in),
        EquationInput::Written(WrittenKind::Written(written)) => Periodic::Written(written),
        EquationInput::Bounded(kind) => {
            ensemble::refuse_walls(input, &problem)?;
            return bounded::build(input, &problem, &method, kind, team);
        }
    };
    if let Some(asked) = &problem.ensemble {
        return Ok(match problem.precision {
            Precision::F64 => Box::new(Ensemble::<f64>::new(input, &problem, asked, team)?),
            Precision::F32 => Box::new(Ensemble::<f32>::new(input, &problem, asked, team)?),
        });
    }
    Ok(match problem.precision {
        Precision::F64 => Box::new(Evolution::<f64>::new(input, &problem, equation, &method, team)?),
        Precision::F32 => Box::new(Evolution::<f32>::new(input, &problem, equation, &method, team)?),
    })
}

/// The distributed transform of a domain, at the kernel level of the input.
///
/// # Errors
/// More ranks than the domain can be cut into, or a process grid that does not fit.
pub fn transform<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    domain: &Domain,
    team: &dyn Team,
) -> Result<Box<dyn Transform<T>>> {
    let ranks_per_node = team.size().div_ceil(machine::hosts(team));
    let (process_grid, share) = (problem.process_grid, problem.share_memory);
    let settings = Settings { process_grid, level: level(input, team)?, ranks_per_node, share };
    let made = Distributed::new(domain, team, settings).map_err(|e| of_process_grid(input, problem, e))?;
    Ok(Box::new(made))
}

/// A process grid's refusal with its key.
pub fn of_process_grid(input: &Input, problem: &ProblemInput, refusal: Error) -> Error {
    match refusal {
        Error::Usage(message) if problem.process_grid.is_some() => input.invalid("problem.process_grid", message),
        Error::Usage(message) => input.invalid("problem.points", message),
        other => other,
    }
}

/// What is kept of an equation solved in `domain`; all that is kept and recorded has names of its own.
///
/// # Errors
/// What cannot be kept, or would be written twice.
pub fn asked<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    equation: &dyn Equation<T>,
    domain: &Domain,
) -> Result<Asked> {
    let asked = Asked::of(&problem.output_keys(), equation, domain).map_err(|refusal| of_output(input, refusal))?;
    let exponents: Vec<String> =
        (1..=problem.tangent.as_ref().map_or(0, |t| t.vectors)).map(|j| format!("lyapunov_{j}")).collect();
    let sums = recorded(equation);
    let all: Vec<&str> = sums.iter().map(|q| q.name).chain(exponents.iter().map(String::as_str)).collect();
    let told = asked.record_apart(&all, input.given("problem.ensemble"));
    told.map_err(|message| input.invalid("problem.equation", message))?;
    Ok(asked)
}

/// A refusal of what is to be kept with its key.
pub fn of_output(input: &Input, (key, message): (&'static str, String)) -> Error {
    input.invalid(&format!("problem.output.{key}"), message)
}

/// As [`transform`] for a grid beside the solver's own, such as that of kept fields: on fewer points, where the process
/// grid does not fit, some ranks hold nothing.
///
/// # Errors
/// Bases that are not known.
pub fn beside<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    domain: &Domain,
    team: &dyn Team,
) -> Result<Box<dyn Transform<T>>> {
    let process_grid = grid_beside(domain, problem.process_grid, team.size());
    transform(input, &ProblemInput { process_grid, ..problem.clone() }, domain, team)
}

/// As much of a process grid as fits a domain.
pub fn grid_beside(domain: &Domain, given: Option<ProcessGrid>, ranks: usize) -> Option<ProcessGrid> {
    let limit = pencil_limit(domain);
    match given {
        Some([p1, p2]) => Some([p1.min(limit[0]), p2.min(limit[1])]),
        None if ranks > limit[0] * limit[1] => Some(limit),
        None => None,
    }
}

/// The lowest kernel level of all ranks, or the one asked for where every rank has it.
pub fn level(input: &Input, team: &dyn Team) -> Result<Level> {
    let common = Level::ALL[team.min(Level::detect() as usize as f64) as usize];
    let asked = match input.run.kernels {
        KernelLevel::Auto => return Ok(common),
        KernelLevel::Portable => Level::Portable,
        KernelLevel::Avx2 => Level::Avx2,
        KernelLevel::Avx512 => Level::Avx512,
    };
    if asked > common {
        let message = format!("not every rank's processor has it; the best that all have is {common:?}");
        return Err(input.invalid("run.kernels", message.to_lowercase()));
    }
    Ok(asked)
}

/// An equation in its box, and what the user is to be told.
pub struct Posed<T: Real> {
    pub equation: Arc<dyn Equation<T>>,
    pub domain: Domain,
    pub notes: Vec<String>,
}

/// The equation in its box, with the modes and points that dealiasing asks for.
///
/// # Errors
/// The key at fault.
pub fn pose<T: Real>(input: &Input, problem: &ProblemInput, equation: Periodic) -> Result<Posed<T>> {
    let at = |(key, message): Finding| input.invalid(&key, message);
    let complex = equation.complex();
    let full = problem.periodic_box(complex).map_err(at)?;
    let written;
    let equation = match equation {
        Periodic::Written(input) => {
            written = problem.aliased(input);
            Periodic::Written(&written)
        }
        built_in => built_in,
    };
    let equation: Arc<dyn Equation<T>> = equation.build(&full).map_err(at)?;
    if problem.forcing.is_some() && equation.keeps_modes() {
        let message = "does not go with an equation that keeps some modes as they are at first";
        return Err(input.invalid("problem.forcing", message));
    }
    let linear = equation.rounds().is_empty();
    let (domain, warning) = problem.dealiased(&full, equation.degree(), linear).map_err(at)?;
    let mut notes: Vec<String> = warning.map(|text| format!("{WARNING}{text}")).into_iter().collect();
    notes.extend(unused(problem));
    if problem.product_degree.is_some() && problem.dealiasing == Dealiasing::None {
        notes.push("problem.product_degree has no effect with dealiasing = \"none\"".to_string());
    }
    if equation.is_stirred() && input.given("method.time_error") {
        notes.push(
            "method.time_error has no effect beside random forcing: steps of other lengths draw other noise".into(),
        );
    }
    Ok(Posed { equation, domain, notes })
}

/// Warnings of parameters, of a written equation and of a first state, that no expression names.
pub fn unused(problem: &ProblemInput) -> Vec<String> {
    let written = match &problem.equation {
        EquationInput::Written(WrittenKind::Written(written)) => Some(written),
        _ => None,
    };
    let mut named = BTreeSet::new();
    let mut keys = Vec::new();
    if let Some(InitialInput::Expressions { fields, parameters }) = &problem.initial {
        fields.values().for_each(|text| names(text, &mut named));
        let unnamed = parameters.keys().filter(|name| !named.contains(*name));
        keys.extend(unnamed.map(|name| format!("problem.initial.parameters.{name}")));
    }
    if let Some(written) = written {
        written.texts().for_each(|text| names(&text, &mut named));
        let unnamed = written.parameters.keys().filter(|name| !named.contains(*name));
        keys.extend(unnamed.map(|name| format!("problem.equation.parameters.{name}")));
    }
    keys.into_iter().map(|key| format!("{WARNING}no expression uses {key}")).collect()
}

/// A first state, as far as it is known before there is a grid.
pub enum First<T> {
    Profile(Profile),
    /// Of each field, where one is given.
    Functions(Vec<Option<Function<T>>>),
    /// Random modes, or those of a file.
    AsAsked,
}

/// What `problem.initial` asks for.
///
/// # Errors
/// The key at fault.
pub fn first<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    asked: Periodic,
    names: &[FieldName],
    domain: &Domain,
) -> Result<First<T>> {
    let at = |key: &str, message: String| input.invalid(&format!("problem.initial.{key}"), message);
    let is_known = |key: &str, field: &str| known(field, names).map_err(|message| at(key, message));
    match &problem.initial {
        None | Some(InitialInput::Named { .. }) => {
            let none = BTreeMap::new();
            let (name, parameters) = match &problem.initial {
                Some(InitialInput::Named { name, parameters }) => (name.as_deref(), parameters),
                _ => (None, &none),
            };
            let found = asked.initial(name, parameters, domain);
            let found = found.map_err(|(key, message)| match key.as_str() {
                "lengths" => input.invalid("problem.lengths", message),
                key => at(key, message),
            })?;
            Ok(First::Profile(found.profile))
        }
        Some(InitialInput::Random { spectrum, fields, means, .. }) => {
            spectrum.check().map_err(|(key, message)| at(&format!("spectrum.{key}"), message))?;
            spectrum.fits(domain).map_err(|message| at("spectrum", message))?;
            fields.iter().enumerate().try_for_each(|(i, field)| is_known(&format!("fields.{i}"), field))?;
            means.keys().try_for_each(|field| is_known(&format!("means.{field}"), field))?;
            Ok(First::AsAsked)
        }
        Some(InitialInput::Expressions { fields, parameters }) => {
            fields.keys().try_for_each(|field| is_known(&format!("fields.{field}"), field))?;
            // Those of the equation are known too; of equal names the first state's own holds.
            let mut all: BTreeMap<String, f64> = match asked {
                Periodic::Written(written) => written.parameters().unwrap_or_default().into_iter().collect(),
                Periodic::BuiltIn(_) => BTreeMap::new(),
            };
            all.extend(parameters.clone());
            let parameters: Vec<(String, f64)> = all.into_iter().collect();
            let parse = |name: &FieldName| -> Result<Option<Function<T>>> {
                let Some(text) = fields.get(&name.name) else { return Ok(None) };
                let function = Function::parse(text, domain, &parameters);
                function.map(Some).map_err(|e| at(&format!("fields.{}", name.name), e.to_string()))
            };
            Ok(First::Functions(names.iter().map(parse).collect::<Result<_>>()?))
        }
        Some(InitialInput::File { .. } | InitialInput::Grid(_)) => Ok(First::AsAsked),
    }
}

/// Looks whether the files of the first state and of the force hold what a run will read; nothing is read but shapes.
///
/// # Errors
/// The key at fault.
pub fn look_at_files<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    names: &[FieldName],
    domain: &Domain,
) -> Result<()> {
    let at = |key: &str, key_of: &str, message: String| input.invalid(&format!("{key}.{key_of}"), message);
    let open = |key: &str, file: &Path| Reader::open(&input.resolve(file)).map_err(|e| at(key, "file", e.to_string()));
    let on_points = domain.on_points(problem.grid());
    let grid = |key: &str, asked: &GridFile| {
        known_datasets(input, key, asked, names)?;
        let reader = open(key, &asked.file)?;
        asked.fields.iter().try_for_each(|(field, dataset)| {
            let found = start::values::<T>(&reader, dataset, &on_points, Block::default());
            found.map(|_| ()).map_err(|e| at(key, &format!("fields.{field}"), e.to_string()))
        })
    };
    match &problem.initial {
        Some(InitialInput::File { file, member }) => {
            let reader = open("problem.initial", file)?;
            for name in names {
                let found = start::coefficients::<T>(&reader, &name.name, *member, domain, Block::default());
                found.map_err(|(key, message)| at("problem.initial", key, message))?;
            }
        }
        Some(InitialInput::Grid(asked)) => grid("problem.initial", asked)?,
        _ => {}
    }
    problem.forcing.as_ref().map_or(Ok(()), |asked| grid("problem.forcing", asked))
}

/// Of the mean square that a random first state is to have, what its kept modes hold at least without a warning.
const HELD: f64 = 0.5;

/// The state at time 0, and what the user is to be told of it; collective. `transform` has the kept modes on the user's
/// points.
///
/// # Errors
/// The key at fault, or the file.
pub fn first_state<T: Real>(
    input: &Input,
    problem: &ProblemInput,
    asked: Periodic,
    equation: &dyn Equation<T>,
    transform: &mut dyn Transform<T>,
    team: &dyn Team,
) -> Result<(Fields<T>, Vec<String>)> {
    let names = equation.fields();
    let mut notes = Vec::new();
    let mut state = Fields::zeros(names.len(), transform.modes().len());
    let at = |key: &str, message: String| input.invalid(&format!("problem.initial.{key}"), message);
    match first(input, problem, asked, names, transform.domain())? {
        First::Profile(profile) => initial::from_profile(&profile, 0.0, equation, transform, team, &mut state),
        First::Functions(functions) => {
            let sample = |tile: &Tile, out: &mut [&mut [T]]| {
                for (out, function) in out.iter_mut().zip(&functions) {
                    match function {
                        Some(function) => function.evaluate(tile, 0.0, out),
                        None => out.fill(T::zero()),
                    }
                }
            };
            transform.through(team, &[], &|tile, _, out| sample(tile, out), &mut state.views_mut());
            let shares = missed(&sample, transform, team, &state.views());
            let first = |name: &FieldName| format!("the first state of {}", name.name);
            notes.extend(names.iter().zip(shares).filter_map(|(name, share)| told_of_missed(&first(name), share)));
        }
        First::AsAsked => {}
    }
    match &problem.initial {
        Some(InitialInput::Random { spectrum, amplitude, fields, means }) => {
            let chosen: Vec<bool> = names.iter().map(|n| fields.is_empty() || fields.contains(&n.name)).collect();
            let means: Vec<f64> = names.iter().map(|n| means.get(&n.name).copied().unwrap_or(0.0)).collect();
            let random = Random {
                spectrum: *spectrum,
                amplitude: *amplitude,
                chosen: &chosen,
                means: &means,
                seed: input.run.seed,
            };
            initial::random(&random, equation, transform, &mut state);
            // The means are no part of the spectrum.
            let means: f64 = means.iter().map(|m| m * m).sum();
            let held = (squares(transform, team, &state).iter().sum::<f64>() - means) / (amplitude * amplitude);
            if held < HELD {
                notes.push(format!(
                    "{WARNING}the kept modes hold {held:.1e} of the mean square that problem.initial.amplitude asks for: most of \
                     the spectrum lies elsewhere"
                ));
            }
        }
        Some(InitialInput::File { file, member }) => {
            let path = input.resolve(file);
            let read = Reader::open(&path).map_err(|e| at("file", e.to_string())).and_then(|reader| {
                let (domain, modes) = (transform.domain(), transform.modes());
                let load = |n: &FieldName| start::coefficients(&reader, &n.name, *member, domain, modes);
                names.iter().map(load).collect::<std::result::Result<Vec<_>, _>>().map_err(|(key, e)| at(key, e))
            });
            state.arrays = team.agree(read)?;
        }
        Some(InitialInput::Grid(file)) => {
            state = on_grid(input, "problem.initial", file, names, transform, team)?;
        }
        _ => {}
    }
    if let Some(field) = not_finite(&state, names, team) {
        let message = format!("the first state is not finite everywhere, or its square is not, of {field}");
        return Err(input.invalid("problem.initial", message));
    }
    notes.extend(constrain(equation, transform, team, &mut state));
    Ok((state, notes))
}

/// The first field with a coefficient whose square is not finite, by name; collective.
pub fn not_finite<'n, T: Real>(state: &Fields<T>, names: &'n [FieldName], team: &dyn Team) -> Option<&'n str> {
    let first = state.arrays.iter().position(|array| !finite(std::slice::from_ref(array)));
    let first = team.min(first.map_or(f64::INFINITY, |f| f as f64));
    first.is_finite().then(|| names[first as usize].name.as_str())
}

/// What a user should know of steps before they are made.
pub fn cautions<T: Real>(input: &Input, method: &MethodInput, scheme: &Scheme, end: f64) -> Vec<String> {
    let mut cautions = Vec::new();
    if let (StepControl::Fixed, Some(step)) = (method.step_control, method.time_step) {
        let (steps, most) = ((end / step * (1.0 - 1e-9)).ceil(), input.run.max_steps);
        // Who gives a limit means it.
        if steps > most as f64 && !input.given("run.max_steps") {
            cautions
                .push(format!("{WARNING}{steps} steps lead to the end, run.max_steps = {most} ends the run before"));
        }
    }
    let single = size_of::<T>() == size_of::<f32>();
    if single && method.step_control == StepControl::Error && method.tolerance < SINGLE {
        let asked = method.tolerance;
        cautions.push(format!(
            "{WARNING}single precision holds errors of steps to {SINGLE:.1e}, not to method.tolerance = {asked:e}"
        ));
    }
    let (control, unused) = match method.step_control {
        StepControl::Fixed => ("fixed", &["safety", "tolerance", "min_step", "min_change", "threshold"][..]),
        StepControl::Cfl => ("cfl", &["tolerance"][..]),
        StepControl::Error => ("error", &[][..]),
    };
    let given = unused.iter().filter(|key| input.given(&format!("method.{key}")));
    cautions.extend(given.map(|key| format!("method.{key} has no effect with step_control = \"{control}\"")));
    let is_bounded = method.step_control != StepControl::Fixed || scheme.steps > 1;
    if !is_bounded && input.given("method.max_change") {
        let word = scheme.word;
        cautions.push(format!("method.max_change has no effect on fixed steps of {word}, which takes one at a time"));
    }
    cautions
}

/// A note as a line of what `check` understood.
pub fn understood(note: String) -> (String, String) {
    match warning(&note) {
        Some(text) => ("warning".to_string(), text.to_string()),
        None => ("note".to_string(), note),
    }
}

/// Projects a first state onto the equation's constraints, and tells what that changed; collective.
fn constrain<T: Real>(
    equation: &dyn Equation<T>,
    transform: &dyn Transform<T>,
    team: &dyn Team,
    state: &mut Fields<T>,
) -> Option<String> {
    let before = squares(transform, team, state);
    initial::constrain(equation, transform, state);
    let (mut all, mut left, mut names) = (0.0, 0.0, Vec::new());
    for ((before, after), field) in before.iter().zip(squares(transform, team, state)).zip(equation.fields()) {
        if (before - after).abs() > initial::TOLD * before {
            (all, left) = (all + before, left + after);
            names.push(field.name.as_str());
        }
    }
    // A projection takes away what it changes.
    initial::told(1.0 - left / all, &names.join(", "))
}

/// The mean square of each field; collective.
fn squares<T: Real>(transform: &dyn Transform<T>, team: &dyn Team, state: &Fields<T>) -> Vec<f64> {
    let domain = transform.domain();
    let scales = Scales::wavenumbers(domain, transform.modes());
    ranks::total(team, &mean_squares(domain, &scales, &state.views()))
}

/// Coefficients of the fields whose values at the grid points of `transform` are in a file; collective.
///
/// # Errors
/// The key at fault, or the file.
pub fn on_grid<T: Real>(
    input: &Input,
    key: &str,
    asked: &GridFile,
    names: &[FieldName],
    transform: &mut dyn Transform<T>,
    team: &dyn Team,
) -> Result<Fields<T>> {
    let at = |key_of: &str, message: String| input.invalid(&format!("{key}.{key_of}"), message);
    known_datasets(input, key, asked, names)?;
    let mut state = Fields::zeros(names.len(), transform.modes().len());
    let path = input.resolve(&asked.file);
    let reader = team.agree(Reader::open(&path).map_err(|e| at("file", e.to_string())))?;
    for (name, coefficients) in names.iter().zip(&mut state.arrays) {
        let Some(dataset) = asked.fields.get(&name.name) else { continue };
        let read = start::values::<T>(&reader, dataset, transform.domain(), transform.points());
        let values = team.agree(read.map_err(|e| at(&format!("fields.{}", name.name), e.to_string())))?;
        transform.forward(team, &[&values], &mut [coefficients]);
    }
    Ok(state)
}

/// Refuses a file of values on the grid that has none of the fields, or others.
fn known_datasets(input: &Input, key: &str, asked: &GridFile, names: &[FieldName]) -> Result<()> {
    let at = |key_of: &str, message: String| input.invalid(&format!("{key}.{key_of}"), message);
    if asked.fields.is_empty() {
        let list: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
        return Err(at("fields", format!("needs a dataset for at least one field of {}", list.join(", "))));
    }
    let is_known = |field: &String| known(field, names).map_err(|message| at(&format!("fields.{field}"), message));
    asked.fields.keys().try_for_each(is_known)
}

fn known(field: &str, names: &[FieldName]) -> std::result::Result<(), String> {
    if names.iter().any(|n| n.name == field) {
        return Ok(());
    }
    let hint = crate::input::did_you_mean(field, names.iter().map(|n| n.name.as_str()));
    let list: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
    Err(format!("unknown field{hint}; the equation has {}", list.join(", ")))
}
