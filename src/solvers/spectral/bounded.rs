//! Problems between walls, steady ones and those of stability, from the input: their kinds and what they are made of.

use std::path::Path;
use std::sync::Arc;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{self, RANKS_PER_NODE, per_step};
use super::domain::{Block, Domain, Tile};
use super::equation::{Coupling, Degree, Equation, FieldName, Round};
use super::expression::Function;
use super::fields::Fields;
use super::initial::InitialInput;
use super::memory::{self, Place, Trip};
use super::problem::{EquationInput, Finding, Precision, ProblemInput};
use super::reality;
use super::results::keys::Times;
use super::results::output::Output;
use super::results::{ranks, xdmf};
use super::setup;
use super::start;
use super::steppers::{self, Scheme, retake_arrays, stepper};
use super::time::{Control, MethodInput, Next};
use super::transform::layout::{Network, process_grid};
use super::transform::{self, Transform};
use super::walls::advection::{Physics, trips};
use super::walls::geometry;
use super::walls::input::{
    ChannelInput, ConditionInput, OnsetInput, OrrSommerfeldInput, RayleighBenardInput, SteadyInput, Units,
};
use super::walls::once::{Question, Stability, Steady, WallData};
use super::walls::solver::{Fixed, Pace, Profile, REAL_EVERY, Start, WallFlow};
use super::walls::stability::{Onset, OrrSommerfeld};
use super::walls::steady::Operator;
use super::walls::upright::{lying, upright};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::io::read::Reader;
use crate::solvers::{Estimate, Number, Outlook, Solver, Status, WARNING, program};
use crate::state::{Name, Walk};
use crate::team::{Team, joined_page};

/// Problems that are not steps of a periodic equation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BoundedInput {
    /// Convection between two walls: axes z and one or two periodic ones.
    RayleighBenard(RayleighBenardInput),
    /// Flow along x between two walls at rest: axes z and one or two periodic ones.
    Channel(ChannelInput),
    /// ∇²u = f.
    Poisson(SteadyInput),
    /// ∇²u − λu = f.
    Helmholtz(SteadyInput),
    /// ∇⁴u = f.
    Biharmonic(SteadyInput),
    /// Growth of waves on a parallel flow between walls.
    OrrSommerfeld(OrrSommerfeldInput),
    /// Onset of convection between walls.
    RayleighBenardOnset(OnsetInput),
}

/// Refuses keys that these problems have no use for.
fn refuse_unused(input: &Input, kind: &BoundedInput) -> Result<()> {
    let in_time = matches!(kind, BoundedInput::RayleighBenard(_) | BoundedInput::Channel(_));
    let periodic = "is for equations on periodic axes";
    let products = if in_time { "between walls products are always padded" } else { "is for equations with products" };
    let mut unused = vec![
        ("problem.tangent", periodic),
        ("problem.forcing", periodic),
        ("problem.dealiasing", products),
        ("problem.product_degree", products),
    ];
    if !in_time {
        let runs = "is for runs in time";
        unused.extend([
            ("problem.output", "is for runs in time: a solution found at once is kept whole"),
            ("problem.initial", runs),
            ("problem.end_time", runs),
        ]);
        if input.method::<MethodInput>()? != MethodInput::default() {
            return Err(input.invalid("method", runs));
        }
    }
    if matches!(kind, BoundedInput::OrrSommerfeld(_) | BoundedInput::RayleighBenardOnset(_)) {
        let on_grid = "is for problems on a grid: the walls of a stability problem are where its units put them";
        let of_grids = ["problem.lengths", "problem.origin", "problem.process_grid", "problem.share_memory"];
        unused.extend(of_grids.map(|key| (key, on_grid)));
    }
    match unused.iter().find(|(key, _)| input.given(key)) {
        Some((key, why)) => Err(input.invalid(key, *why)),
        None => Ok(()),
    }
}

/// A problem whose numbers make sense.
enum Posed<'a> {
    /// Its physics, the bulk velocity of the laminar flow and the size of the disturbance.
    Flow(Physics, f64, f64),
    /// Whether there are walls.
    Steady(&'a SteadyInput, Operator, bool),
    Stability(Question),
}

fn pose<'a>(input: &Input, problem: &ProblemInput, kind: &'a BoundedInput, lengths: &[f64]) -> Result<Posed<'a>> {
    let of_equation = |refusal| of_equation(input, refusal);
    let of_points = |message: String| input.invalid("problem.points", message);
    if problem.precision == Precision::F32 {
        let message = "flows between walls, steady problems and those of stability are solved in f64";
        return Err(input.invalid("problem.precision", message));
    }
    let n = problem.points.len();
    let wants = |axes: std::ops::RangeInclusive<usize>, what: &str| match axes.contains(&n) {
        true => Ok(()),
        false => Err(of_points(format!("has {n} axes; {what}"))),
    };
    let posed = match kind {
        BoundedInput::RayleighBenard(_) | BoundedInput::Channel(_) => {
            wants(2..=3, "a flow between walls has two or three: z, and the periodic ones")?;
            if problem.points.iter().any(|&p| p < 6) {
                return Err(of_points("flows between walls need at least 6 points per axis".into()));
            }
            problem.fills_layer(6).map_err(|(key, message)| input.invalid(&key, message))?;
            match kind {
                BoundedInput::Channel(k) => {
                    let (physics, laminar) = k.physics(lengths[0]).map_err(of_equation)?;
                    Posed::Flow(physics, laminar, k.disturbance)
                }
                BoundedInput::RayleighBenard(k) => {
                    Posed::Flow(k.physics(lengths).map_err(of_equation)?, 0.0, k.disturbance)
                }
                _ => unreachable!("flows only"),
            }
        }
        BoundedInput::Poisson(steady) | BoundedInput::Helmholtz(steady) | BoundedInput::Biharmonic(steady) => {
            let word = match kind {
                BoundedInput::Poisson(_) => "poisson",
                BoundedInput::Helmholtz(_) => "helmholtz",
                _ => "biharmonic",
            };
            let (operator, walls) = steady.operator(word).map_err(of_equation)?;
            if walls {
                wants(2..=3, "between walls there are two or three: z, and the periodic ones")?;
                let least = 2 + operator.conditions();
                problem.fills_layer(least).map_err(|(key, message)| input.invalid(&key, message))?;
            }
            Posed::Steady(steady, operator, walls)
        }
        BoundedInput::OrrSommerfeld(_) | BoundedInput::RayleighBenardOnset(_) => {
            wants(1..=1, "a stability problem has one: the number of Chebyshev coefficients")?;
            if !(16..=1024).contains(&problem.points[0]) {
                return Err(of_points("must be 16 to 1024: the eigenvalue problem is dense".into()));
            }
            Posed::Stability(match kind {
                BoundedInput::OrrSommerfeld(k) => {
                    k.check().map_err(of_equation)?;
                    let (profile, reynolds, wavenumber) = (k.profile.coefficients(), k.reynolds, k.wavenumber);
                    let problem = OrrSommerfeld { profile, reynolds, wavenumber };
                    Question::OrrSommerfeld { problem, critical: k.critical }
                }
                BoundedInput::RayleighBenardOnset(k) => {
                    k.check().map_err(of_equation)?;
                    let problem = Onset { lower: k.lower, upper: k.upper };
                    Question::Onset { problem, wavenumber: k.wavenumber }
                }
                _ => unreachable!("questions of stability only"),
            })
        }
    };
    refuse_unused(input, kind)?;
    Ok(posed)
}

/// The key of the input that an equation's refusal is about.
fn of_equation(input: &Input, (key, message): (String, String)) -> Error {
    match key.as_str() {
        "lengths" | "points" => input.invalid(&format!("problem.{key}"), message),
        _ => input.invalid(&format!("problem.equation.{key}"), message),
    }
}

/// Parses, builds and projects the first state; collective.
pub fn build(
    input: &Input,
    problem: &ProblemInput,
    method: &MethodInput,
    kind: &BoundedInput,
    team: &dyn Team,
) -> Result<Box<dyn Solver>> {
    let refuse = |(key, message): Finding| input.invalid(&key, message);
    let of_equation = |refusal| of_equation(input, refusal);
    let (lengths, origin) = (problem.box_lengths().map_err(refuse)?, problem.box_origin().map_err(refuse)?);
    let n = problem.points.len();
    match pose(input, problem, kind, &lengths)? {
        Posed::Flow(physics, laminar, disturbance) => {
            let domain = geometry::domain(&problem.points, &lengths, &origin);
            let heat = physics.diffusivity.is_some();
            let mut start = first_state(input, problem, &domain, heat)?;
            (start.disturbance, start.laminar) = (disturbance, laminar);
            let end = problem.end().map_err(refuse)?;
            let of_method = |e: super::time::Refusal| input.invalid(&format!("method.{}", e.key), e.message);
            let scheme = method.check(true, true).map_err(of_method)?;
            let transform = boxed(input, problem, &domain, team)?;
            let keys = problem.output_keys();
            let names = Arc::new(Velocities::new(n == 3, heat));
            let fields = Fields::zeros(names.fields.len(), transform.modes().len());
            // What is kept is written as it lies: the last axes are the user's.
            let on_grid = setup::transform::<f64>(input, problem, &lying(&domain), team)?;
            let make = |grid: &Domain| {
                setup::beside::<f64>(input, problem, grid, team).expect("a part of the process grid fits")
            };
            let kept = setup::asked(input, problem, names.as_ref(), on_grid.domain())?;
            let output = Output::new(&keys, kept, names, on_grid.as_ref(), make, team);
            let times = Times::new(&keys, 0.0, end);
            let word = scheme.word;
            let stepper = |fields, modes| stepper(word, fields, modes).expect("a scheme of the registry");
            // The loop measures where a record is due.
            let unpaced = Box::new(Fixed { step: end, end });
            let mut flow = WallFlow::new(physics, transform, &stepper, unpaced, start, u64::MAX, team)?;
            if team.any(!flow.is_finite()) {
                return Err(input.invalid("problem.initial", "the first state is not finite everywhere"));
            }
            // The first step of "cfl" needs the speeds of the first state.
            let control = Control::new(method, scheme, flow.frequency()).map_err(of_method)?;
            flow.set_pace(Box::new(Controlled { control, times: times.clone(), end, next: None }));
            flow.tell(cautions(input, problem, method, scheme, end));
            if method.time_error {
                flow.measure_time_error(scheme);
            }
            let (probes, unsampled) = (Vec::new(), None);
            let mut flow = Flow { flow, times, output, on_grid, fields, probes, unsampled, time: 0.0, end };
            flow.probe(team);
            Ok(Box::new(flow))
        }
        Posed::Steady(steady, operator, walls) => {
            let domain = if walls {
                geometry::domain(&problem.points, &lengths, &origin)
            } else {
                problem.periodic_box(false).map_err(refuse)?
            };
            let (right, data) = steady_data(input, steady, &domain)?;
            let transform = boxed(input, problem, &domain, team)?;
            let steady = Steady::new(operator, &right, &data, transform, team);
            Ok(Box::new(team.agree(steady.map_err(of_equation))?))
        }
        Posed::Stability(question) => Ok(Box::new(Stability::new(question, problem.points[0]))),
    }
}

/// The distributed transform of a box, with or without walls.
fn boxed(input: &Input, problem: &ProblemInput, domain: &Domain, team: &dyn Team) -> Result<Box<dyn Transform<f64>>> {
    Ok(upright(domain, setup::transform::<f64>(input, problem, &lying(domain), team)?))
}

/// An expression of the coordinates below `problem.equation`.
fn profile(input: &Input, key: &str, text: &str, domain: &Domain) -> Result<Profile> {
    let function = Function::<f64>::parse(text, domain, &[])
        .map_err(|e| input.invalid(&format!("problem.equation.{key}"), e.to_string()))?;
    if function.depends_on_time() {
        return Err(input.invalid(&format!("problem.equation.{key}"), "depends on t; a steady problem has no time"));
    }
    Ok(Box::new(move |tile: &Tile, out: &mut [f64]| function.evaluate(tile, 0.0, out)))
}

/// The right-hand side of a steady problem and its data at the walls.
fn steady_data(input: &Input, steady: &SteadyInput, domain: &Domain) -> Result<(Profile, Vec<WallData>)> {
    let right = profile(input, "right_hand_side", &steady.right_hand_side, domain)?;
    let mut data: Vec<WallData> = Vec::new();
    for (key, upper, list) in [("lower", false, &steady.lower), ("upper", true, &steady.upper)] {
        for (i, ConditionInput { derivative, value }) in list.iter().enumerate() {
            data.push((*derivative, upper, profile(input, &format!("{key}.{i}.value"), value, domain)?));
        }
    }
    Ok((right, data))
}

/// What a user should know of a flow before its steps are made.
fn cautions(input: &Input, problem: &ProblemInput, method: &MethodInput, scheme: &Scheme, end: f64) -> Vec<String> {
    let mut cautions = setup::cautions::<f64>(input, method, scheme, end);
    cautions.extend(setup::unused(problem));
    if let (EquationInput::Bounded(BoundedInput::RayleighBenard(asked)), Some(InitialInput::File { file, .. })) =
        (&problem.equation, &problem.initial)
    {
        let reader = Reader::open(&input.resolve(file)).ok();
        let units = reader.as_ref().and_then(units_of_convection);
        if units.is_some_and(|units| units != asked.units) {
            cautions.push(format!(
                "{WARNING}problem.initial.file holds velocities in other units of time than problem.equation.units; they are \
                 taken as they stand"
            ));
        }
    }
    cautions
}

/// The units of time of a run of convection that left this file.
fn units_of_convection(reader: &Reader) -> Option<Units> {
    let input: toml::Table = reader.attribute("/", "input")?.parse().ok()?;
    match input.get("problem")?.get("equation")?.clone().try_into().ok()? {
        EquationInput::Bounded(BoundedInput::RayleighBenard(theirs)) => Some(theirs.units),
        _ => None,
    }
}

/// The first state of a flow: expressions, the final state of an earlier run, or the disturbance of the equation.
fn first_state(input: &Input, problem: &ProblemInput, domain: &Domain, heat: bool) -> Result<Start> {
    let mut start = Start::default();
    let (fields, parameters) = match &problem.initial {
        None => return Ok(start),
        Some(InitialInput::Expressions { fields, parameters }) => (fields, parameters),
        Some(InitialInput::File { file, member }) => {
            let (input, path, member) = (input.clone(), input.resolve(file), *member);
            start.load = Some(Box::new(move |name: &str, domain: &Domain, block: Block| {
                let at = |key: &str, message: String| input.invalid(&format!("problem.initial.{key}"), message);
                let reader = Reader::open(&path).map_err(|e| at("file", e.to_string()))?;
                start::coefficients::<f64>(&reader, name, member, domain, block).map_err(|(key, e)| at(key, e))
            }));
            return Ok(start);
        }
        Some(_) => {
            let message = "between walls the first state is kind = \"expressions\" or \"file\", or the equation's \
                           disturbance";
            return Err(input.invalid("problem.initial.kind", message));
        }
    };
    let parameters: Vec<(String, f64)> = parameters.iter().map(|(k, v)| (k.clone(), *v)).collect();
    for (name, text) in fields {
        let key = format!("problem.initial.fields.{name}");
        let function =
            Function::<f64>::parse(text, domain, &parameters).map_err(|e| input.invalid(&key, e.to_string()))?;
        let profile: Profile = Box::new(move |tile: &Tile, out: &mut [f64]| function.evaluate(tile, 0.0, out));
        match name.as_str() {
            "u" => start.u = Some(profile),
            "v" if domain.dimension == 3 => start.v = Some(profile),
            "w" => start.w = Some(profile),
            "theta" if heat => start.theta = Some(profile),
            _ => {
                let known = Velocities::new(domain.dimension == 3, heat);
                let list: Vec<&str> = known.fields.iter().map(|f| f.name.as_str()).collect();
                return Err(input.invalid(&key, format!("unknown field; the flow has {}", list.join(", "))));
            }
        }
    }
    Ok(start)
}

/// Step-size control as the pace of a flow between walls.
struct Controlled {
    control: Control,
    times: Times,
    end: f64,
    next: Option<Next>,
}

impl Pace for Controlled {
    fn next(&mut self, time: f64) -> (f64, f64) {
        let next = self.control.next(time, self.times.next(time).unwrap_or(self.end));
        self.next = Some(next);
        (next.step, next.time)
    }

    fn taken(&mut self, _step: f64, frequency: f64) -> std::result::Result<(), String> {
        if let Some(next) = self.next.take() {
            self.control.taken(&next);
        }
        self.control.observe(frequency)
    }

    fn regular(&self) -> f64 {
        self.control.regular()
    }

    fn ended(&self, time: f64) -> bool {
        time >= self.end
    }

    fn numbers(&mut self) -> Vec<(&'static str, &mut f64)> {
        self.control.numbers()
    }

    fn restored(&mut self) {
        self.control.restored();
    }
}

/// What is kept of a flow between walls: velocity and temperature. An equation in name only.
struct Velocities {
    fields: Vec<FieldName>,
}

impl Velocities {
    fn new(wide: bool, heat: bool) -> Velocities {
        let mut fields =
            vec![FieldName::new("w", "velocity from wall to wall"), FieldName::new("u", "velocity along x")];
        if wide {
            fields.push(FieldName::new("v", "velocity along y"));
        }
        if heat {
            fields.push(FieldName::new("theta", "temperature above conduction"));
        }
        Velocities { fields }
    }
}

impl Equation<f64> for Velocities {
    fn fields(&self) -> &[FieldName] {
        &self.fields
    }

    fn coupling(&self) -> Coupling {
        Coupling::RealDiagonal
    }

    fn linear(&self, _k: [f64; 3], entries: &mut [Complex<f64>]) {
        entries.fill(Complex::new(0.0, 0.0));
    }

    fn degree(&self) -> Degree {
        Degree::Polynomial(1)
    }

    fn rounds(&self) -> &[Round] {
        &[]
    }

    fn derive(
        &self,
        _round: usize,
        _time: f64,
        _tile: &Tile,
        _state: &[&[Complex<f64>]],
        _products: &[&[Complex<f64>]],
        _out: &mut [&mut [Complex<f64>]],
    ) {
    }

    fn multiply(&self, _round: usize, _time: f64, _tile: &Tile, _values: &[&[f64]], _products: &mut [&mut [f64]]) {}

    fn assemble(
        &self,
        _time: f64,
        _tile: &Tile,
        _state: &[&[Complex<f64>]],
        _products: &[&[Complex<f64>]],
        _out: &mut [&mut [Complex<f64>]],
    ) {
    }
}

/// A flow between walls with what is kept of it.
struct Flow {
    flow: WallFlow,
    times: Times,
    output: Output<f64>,
    /// What is to be said of statistics without a sample.
    unsampled: Option<String>,
    /// For values of kept fields; the flow has its own.
    on_grid: Box<dyn Transform<f64>>,
    /// w, u, v, theta: coefficients of the present state.
    fields: Fields<f64>,
    /// Values at the probes when last measured.
    probes: Vec<f64>,
    time: f64,
    end: f64,
}

impl Flow {
    /// Coefficients of what is kept.
    fn refresh(&mut self) {
        let (velocity, theta) = self.flow.velocities();
        let all = velocity.arrays.iter().map(Vec::as_slice).chain(theta);
        for (mine, theirs) in self.fields.arrays.iter_mut().zip(all) {
            mine.copy_from_slice(theirs);
        }
    }

    /// Values of the present state at the probes; collective.
    fn probe(&mut self, team: &dyn Team) {
        if !self.output.probe_names().is_empty() {
            self.refresh();
            self.probes = self.output.probes(team, &self.fields);
        }
    }
}

impl Solver for Flow {
    fn step(&mut self, step: u64, team: &dyn Team) -> Result<Status> {
        let status = self.flow.step(step, team)?;
        self.time = self.flow.time();
        if self.output.samples(step, self.time) {
            self.refresh();
            self.output.sample(step, self.time, team, &self.fields, self.on_grid.as_mut());
        }
        Ok(status)
    }

    fn reached(&self) -> bool {
        self.time >= self.end
    }

    fn restored(&mut self) -> Result<()> {
        self.flow.restored()?;
        self.times.restored(self.time)
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.flow.state(walk)?;
        self.time = self.flow.time();
        self.output.state(walk, self.on_grid.as_ref())
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        self.flow.inputs(walk)
    }

    fn measure(&mut self, team: &dyn Team) -> Result<()> {
        self.flow.measure(team);
        self.probe(team);
        Ok(())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let mut record = self.flow.record();
        record.extend(self.output.probe_names().iter().copied().zip(self.probes.iter().copied()));
        record
    }

    fn snapshot_due(&self) -> Option<f64> {
        self.times.due(self.time).then_some(self.time)
    }

    fn snapshot(&mut self, walk: &mut dyn Walk, team: &dyn Team) -> Result<()> {
        self.refresh();
        self.output.walk(walk, team, &self.fields, self.on_grid.as_mut())
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        self.unsampled = self.output.note();
        self.flow.finish(team)
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        // Statistics lie on the grid of the kept fields, not on that of the flow, and a group has one z: where there are
        // any, the last state is in /fields alone.
        if self.output.has_statistics() {
            return self.output.results(walk, self.on_grid.as_ref());
        }
        self.flow.results(walk)
    }

    fn notes(&self) -> Vec<String> {
        self.flow.notes().into_iter().chain(self.unsampled.clone()).collect()
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("line_transforms", transform::library())]
    }

    fn report(&self) -> Vec<Number> {
        self.flow.report()
    }

    fn work(&self) -> (f64, &'static str) {
        self.flow.work()
    }

    fn outlook(&self) -> Outlook {
        Outlook::until(self.end, self.time, self.flow.last_step())
    }

    fn extras(&mut self, dir: &Path, team: &dyn Team) -> Result<Vec<String>> {
        ranks::from_first(team, || xdmf::write(dir))
    }
}

/// What `spanwise check` says of these problems: counts alone.
pub fn check(
    input: &Input,
    problem: &ProblemInput,
    method: &MethodInput,
    kind: &BoundedInput,
    ranks: usize,
    threads: usize,
) -> Result<Estimate> {
    let refuse = |(key, message): Finding| input.invalid(&key, message);
    let (lengths, origin) = (problem.box_lengths().map_err(refuse)?, problem.box_origin().map_err(refuse)?);
    let posed = pose(input, problem, kind, &lengths)?;
    let n = problem.points.len();
    let list = |items: &[usize]| items.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    let mut estimate = Estimate { memory: vec![program(ranks)], ..Estimate::default() };
    if let Posed::Stability(_) = posed {
        let size = problem.points[0] as u64;
        estimate.problem = vec![("Chebyshev coefficients".into(), size.to_string())];
        estimate.memory.push(("dense matrices of the eigenvalue problem, rank 0".into(), 12 * 16 * size * size));
        return Ok(estimate);
    }
    let walls = !matches!(posed, Posed::Steady(.., false));
    let domain = match walls {
        true => geometry::domain(&problem.points, &lengths, &origin),
        false => problem.periodic_box(false).map_err(refuse)?,
    };
    let lying = lying(&domain);
    let network = Network::ordinary(RANKS_PER_NODE);
    let grid = process_grid(&lying, ranks, problem.process_grid, &network)
        .map_err(|e| setup::of_process_grid(input, problem, e))?;
    let shared = check::is_shared(problem, ranks);
    let here = Place { domain: &lying, grid, threads: threads as u64, size: 8, shared };
    let (modes, values) = (here.modes(), here.values());
    let heat = u64::from(matches!(kind, BoundedInput::RayleighBenard(_)));
    let flow = matches!(kind, BoundedInput::RayleighBenard(_) | BoundedInput::Channel(_));
    let unknowns = if flow { n as u64 - 1 + heat } else { 1 };
    estimate.problem = vec![
        ("points".into(), list(&domain.own().iter().map(|a| a.points).collect::<Vec<_>>())),
        ("kept modes per axis".into(), list(&domain.own().iter().map(|a| a.modes()).collect::<Vec<_>>())),
        ("unknowns".into(), unknowns.to_string()),
        ("process grid".into(), format!("{} × {}", grid[0], grid[1])),
    ];
    let (trips, scheme, end) = if flow {
        let refused = |e: super::time::Refusal| input.invalid(&format!("method.{}", e.key), e.message);
        let end = problem.end().map_err(refuse)?;
        (trips(n == 3, heat == 1), *method.check(true, true).map_err(refused)?, end)
    } else {
        // The solution is taken to the grid.
        ((1, 0), steppers::schemes()[0], 0.0)
    };
    let trip = Trip { backward: trips.0 as u64, forward: trips.1 as u64 };
    let keys = problem.output_keys();
    let snapshots = keys.snapshots(end);
    let (kept_domain, [snapshot, statistics]) = match posed {
        Posed::Flow(..) => {
            first_state(input, problem, &domain, heat > 0)?;
            let asked = setup::asked(input, problem, &Velocities::new(n == 3, heat > 0), &lying)?;
            let bytes = asked.bytes(&keys, &lying, 8);
            (asked.domain, bytes)
        }
        Posed::Steady(steady, ..) => {
            let _ = steady_data(input, steady, &domain)?;
            (lying.clone(), [0, 0])
        }
        Posed::Stability(_) => unreachable!("has no grid"),
    };
    let beside = setup::grid_beside(&kept_domain, problem.process_grid, ranks);
    let kept = Place { domain: &kept_domain, grid: process_grid(&kept_domain, ranks, beside, &network)?, ..here };
    if flow {
        let cautions = cautions(input, problem, method, &scheme, end);
        estimate.problem.extend(cautions.into_iter().map(setup::understood));
        // One set of factors for each γ of the scheme, and those of Poisson's equation for the velocity.
        let gammas = if scheme.word == "smr_rk3" { 3 } else { 1 };
        let (velocities, lasting) = (n as u64 + heat, scheme.lasting_arrays() as u64);
        let named = memory::named(&keys, velocities, 0);
        let snapshots = 1 + problem.output.times.len() as u64;
        // The state before a step that is taken again stays; a stepper for it, where the scheme's own has a history, does
        // not.
        let again = u64::from(method.time_error);
        let retaking = if scheme.steps > 1 { again * retake_arrays(&scheme) as u64 } else { 0 };
        estimate.memory.extend([
            (format!("state and work space of {}", scheme.word), 16 * (1 + lasting) * unknowns * modes),
            ("velocities and products".into(), 16 * (n as u64 + trip.forward) * modes),
            ("banded factors per wavenumber".into(), 24 * gammas * unknowns * modes + 32 * modes),
            ("buffers of the transform".into(), here.transform(trip)),
            // The first steps of a multistep scheme, and steps taken again, are over before fields are kept.
            ("values of kept fields, or first steps".into(), {
                let kept = velocities * values
                    + here.transform(Trip { backward: 1, forward: 0 })
                    + memory::kept(&here, &kept, named, snapshots, &keys);
                let starting = scheme.arrays as u64 - lasting + retaking;
                16 * velocities * modes + kept.max(16 * starting * unknowns * modes)
            }),
            ("sums over wavenumbers".into(), memory::sums(&lying, false, ranks)),
            ("files".into(), memory::files(&here, &kept, 1, &keys)),
        ]);
        estimate.memory.extend(here.seen(trip, joined_page()));
        estimate.memory.extend(memory::statistics(&kept, named, &keys));
        if again > 0 {
            estimate.memory.push(("steps taken a second time for their error".into(), 16 * unknowns * modes));
        }
    } else {
        estimate.memory.extend([
            ("solution and right-hand side".to_string(), 2 * 16 * modes),
            ("banded factors per wavenumber".into(), if walls { 8 * 12 * modes } else { 0 }),
            ("buffers of the transform".into(), here.transform(Trip { backward: 1, forward: 1 })),
            ("values of kept fields".into(), 2 * values),
        ]);
        estimate.memory.extend(here.seen(Trip { backward: 1, forward: 1 }, joined_page()));
    }
    let evaluations = if flow { scheme.evaluations() } else { 1 };
    let sent = per_step(&lying, grid, trips, evaluations, 16, &network);
    (estimate.bytes_per_step, estimate.messages_per_step) = (sent.traffic.bytes, sent.traffic.messages);
    estimate.problem.extend(sent.words(ranks, &network, 1, shared));
    let history = stepper::<f64>(scheme.word, 1, 1).map_or(0, |mut stepper| stepper.history().0.len() as u64);
    if n == 3 && heat == 1 {
        let real = reality::exchanged(&lying, grid, unknowns * (1 + history), 16);
        estimate.problem.extend(check::keeping_real(real, &format!("every {REAL_EVERY} steps")));
    }
    let product = |sides: [usize; 3]| sides.iter().map(|&n| n as u64).product::<u64>();
    let state = 16 * unknowns * product(domain.modes());
    // Where there are no statistics, the last state on the grid of the products is among the results.
    let last = if statistics == 0 { 8 * product(lying.points()) * if flow { n as u64 + heat } else { 1 } } else { 0 };
    estimate.output_bytes = state + snapshots * snapshot + statistics + last;
    estimate.checkpoint_bytes = state * (1 + history) + statistics;
    Ok(estimate)
}
