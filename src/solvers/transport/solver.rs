//! `transport` as a [`Solver`]: input in, steps, certificates and derived results out.

mod derive;

use std::path::Path;

use self::derive::Derived;
use super::backend::Backend;
use super::certificate::{Certificate, Interval};
use super::derived::answer_without_mass;
use super::divergence::{self, Divergence, Three};
use super::dual::{Penalties, Residual, Side};
use super::kernels::Level;
use super::measures::{self, Measure};
use super::methods;
use super::names::*;
use super::passes::Precision;
use super::problem::{CostInput, DerivedResult, MethodInput, ProblemInput, Quantity};
use super::setup::{self, Builder, Marginal};
use super::solve::{Finished, Progress, Solve, StepOutcome};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::io::Image;
use crate::io::arrays::regular_file;
use crate::io::read::Reader;
use crate::math::elementary::ln;
use crate::math::reduce::update;
use crate::solvers::{ErrorBar, Number, Outcome, Solver, Status};
use crate::state::{Data, Hyperslab, Name, Walk};
use crate::team::{Solo, Team, machine};

/// A problem of the room, at any stage of its solution.
pub struct Transport {
    problem: ProblemInput,
    source: Marginal,
    target: Marginal,
    /// Balanced problems are solved at unit mass and scaled back by this.
    mass: f64,
    penalties: Penalties,
    notes: Vec<String>,
    epsilon: f64,
    work: Work,
    /// Potentials of atoms without mass, by one more pass.
    extensions: (Option<Backend>, Option<Backend>),
    /// The same for the potentials of (a, a) and (b, b), where the gradients of a divergence want them.
    self_extensions: (Option<Backend>, Option<Backend>),
    level: Level,
    layout: &'static str,
    rank: usize,
    /// Fingerprint of points, weights and costs.
    data: u64,
    steps: u64,
    done: Option<Done>,
}

/// The problems of a run and how far they are.
enum Work {
    Transport { pair: Backend, solve: Solve },
    Divergence { pairs: Box<[Backend; 3]>, solve: Divergence },
}

impl Work {
    /// The problem (a, b).
    fn pair(&mut self) -> &mut Backend {
        match self {
            Work::Transport { pair, .. } => pair,
            Work::Divergence { pairs, .. } => &mut pairs[0],
        }
    }

    fn progress(&self) -> Progress {
        match self {
            Work::Transport { solve, .. } => solve.progress(),
            Work::Divergence { solve, .. } => solve.progress(),
        }
    }
}

/// Calls `act` with the passes of the three problems of a divergence.
fn with_three<R>(pairs: &mut [Backend; 3], team: &dyn Team, act: impl FnOnce(&mut Three) -> R) -> R {
    let [ab, aa, bb] = pairs;
    ab.run(team, |ab| aa.run(team, |aa| bb.run(team, |bb| act(&mut Three { ab, aa, bb }))))
}

/// What `finish` makes.
struct Done {
    certificate: Certificate,
    /// The largest of the problems.
    error: Residual,
    /// What it says of the aim.
    verdict: StepOutcome,
    divergence: Option<DivergenceNumbers>,
    /// f and g of all atoms, in units of the cost.
    source_potential: Vec<f64>,
    target_potential: Vec<f64>,
    derived: Derived,
}

struct DivergenceNumbers {
    value: f64,
    regularised: Interval,
    unregularised: Interval,
}

/// The lowest kernel level of all ranks, or the one asked for where every rank has it.
pub fn agree_on_level(input: &Input, team: &dyn Team) -> Result<Level> {
    use crate::input::KernelLevel;
    let mine = Level::detect();
    let common = team.min(mine as usize as f64) as usize;
    let common = Level::from_index(common).expect("a level of some rank");
    let asked = match input.run.kernels {
        KernelLevel::Auto => return Ok(common),
        KernelLevel::Portable => Level::Portable,
        KernelLevel::Avx2 => Level::Avx2,
        KernelLevel::Avx512 => Level::Avx512,
    };
    if asked > common {
        let message = format!("not every rank's processor has it; the best that all have is \"{}\"", common.name());
        return Err(input.invalid("run.kernels", message));
    }
    Ok(asked)
}

pub fn build(input: &Input, team: &dyn Team) -> Result<Box<dyn Solver>> {
    let problem: ProblemInput = input.problem()?;
    let method: MethodInput = input.method()?;
    team.agree(outline(input, &problem, &method))?;
    let level = agree_on_level(input, team)?;
    let mut source = measures::load(input, "problem.source", 0, &problem.source, team)?;
    let mut target = measures::load(input, "problem.target", 1, &problem.target, team)?;
    if matches!(problem.cost, CostInput::Cosine {}) {
        team.agree(setup::check_norms(input, "problem.source", &source))?;
        team.agree(setup::check_norms(input, "problem.target", &target))?;
    }
    let weights = team.agree(setup::reconcile(input, &problem, &mut source, &mut target))?;
    let grid = setup::separable(&problem, source.axes.is_some() && target.axes.is_some());
    let (source, target) = (setup::keep(source, grid), setup::keep(target, grid));
    let point_bytes = 8 * (source.measure.n * source.measure.dimension + target.measure.n * target.measure.dimension);
    let memory = team.min(machine::memory_per_rank(team) as f64) as u64;
    let layout = setup::choose_layout(method.layout, point_bytes as u64, memory);
    let builder = Builder { input, problem: &problem, method: &method, level, layout, team };

    let mut pair = builder.passes(source.kept(), target.kept(), 1.0, 0)?;
    let mut largest = setup::check_costs(input, &problem, pair.run(team, |passes| passes.cost_range()))?;
    let epsilon = builder.epsilon(&mut pair);
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        let why = if epsilon == 0.0 { "the cost is constant" } else { "the statistic of the cost is beyond f64" };
        let message = format!("ε is {epsilon} in units of the cost: {why}, give an absolute epsilon");
        return Err(input.invalid("problem.epsilon", message));
    }
    setup::check_magnitudes(input, &problem, weights.masses, epsilon, largest)?;
    pair.run(team, |passes| passes.set_epsilon(epsilon));
    let extensions = (
        (!source.dropped.is_empty())
            .then(|| builder.passes(source.dropped(), target.kept(), epsilon, 0))
            .transpose()?,
        (!target.dropped.is_empty())
            .then(|| builder.passes(source.kept(), target.dropped(), epsilon, 0))
            .transpose()?,
    );
    let of_self = problem.quantity == Quantity::Divergence && problem.results.contains(&DerivedResult::Gradients);
    let self_extension = |marginal: &Marginal, k: usize| {
        let wanted = of_self && !marginal.dropped.is_empty();
        wanted.then(|| builder.passes(marginal.dropped(), marginal.kept(), epsilon, k)).transpose()
    };
    let self_extensions = (self_extension(&source, 1)?, self_extension(&target, 2)?);
    let penalties = Penalties { source: problem.source_penalty, target: problem.target_penalty };
    let warm = match &method.warm_start {
        Some(file) => Some(team.agree(read_warm_start(input, file, &target))?),
        None => None,
    };
    let refuse = |e| named(input, &method, e);
    let mut work = match problem.quantity {
        Quantity::Transport => {
            let solve =
                pair.run(team, |passes| Solve::new(&method, penalties, passes, warm.as_deref())).map_err(refuse)?;
            Work::Transport { pair, solve }
        }
        Quantity::Divergence => {
            let aa = builder.passes(source.kept(), source.kept(), epsilon, 1)?;
            let bb = builder.passes(target.kept(), target.kept(), epsilon, 2)?;
            let mut pairs = Box::new([pair, aa, bb]);
            for pair in &mut pairs[1..] {
                let range = pair.run(team, |passes| passes.cost_range());
                largest = largest.max(setup::check_costs(input, &problem, range)?);
            }
            setup::check_magnitudes(input, &problem, weights.masses, epsilon, largest)?;
            let solve = with_three(&mut pairs, team, |three| {
                Divergence::new(&method, penalties, three, warm.as_deref()).map_err(refuse)
            })?;
            Work::Divergence { pairs, solve }
        }
    };
    let costs = match (&problem.cost, &mut work) {
        // Whose entries belong to no points.
        (CostInput::Matrix { .. }, Work::Transport { pair, .. }) => builder.own_costs(pair),
        _ => 0,
    };
    let data = measures::fingerprint([&source.measure, &target.measure], costs, team);
    let mut notes = weights.notes;
    notes.extend(setup::missing_gradients(&problem, grid));
    Ok(Box::new(Transport {
        problem,
        source,
        target,
        mass: weights.mass,
        penalties,
        notes,
        epsilon,
        work,
        extensions,
        self_extensions,
        level,
        layout: if grid { "grid" } else { layout.word() },
        rank: team.rank(),
        data,
        steps: 0,
        done: None,
    }))
}

/// A refusal by the method, at the key that names it.
fn named(input: &Input, method: &MethodInput, error: Error) -> Error {
    match error {
        Error::Usage(message) if method.warm_start.is_some() && message.starts_with("warm start") => {
            input.invalid("method.warm_start", message)
        }
        Error::Usage(message) if message.starts_with("epsilon_scaling") => {
            input.invalid("method.epsilon_scaling", message)
        }
        Error::Usage(message) => input.invalid("method.name", message),
        other => other,
    }
}

/// The target potential of an earlier output.h5, on the atoms kept here.
fn read_warm_start(input: &Input, file: &Path, target: &Marginal) -> Result<Vec<f64>> {
    let reader = open_warm_start(input, file, target.measure.n)?;
    let g = reader.array(WARM_START).map_err(|e| input.invalid("method.warm_start", e.to_string()))?.values;
    Ok(target.kept.iter().map(|j| g[j]).collect())
}

const WARM_START: &str = "/state/target_potential";

/// The file of a warm start, which has a potential for each of the target points.
fn open_warm_start(input: &Input, file: &Path, points: usize) -> Result<Reader> {
    let key = "method.warm_start";
    let path = input.resolve(file);
    regular_file(&path).map_err(|e| input.invalid(key, e))?;
    let none = |e: Error| input.invalid(key, format!("no target potential to start from: {e}"));
    let reader = Reader::open(&path).map_err(none)?;
    let found: usize = reader.shape(WARM_START).map_err(none)?.iter().product();
    if found != points {
        return Err(input.invalid(key, format!("{found} potentials for {points} target points")));
    }
    Ok(reader)
}

/// Both sides as keys and headers tell; refuses what these tell to be wrong, before any data are read.
pub fn outline(input: &Input, problem: &ProblemInput, method: &MethodInput) -> Result<[measures::Outline; 2]> {
    let source = measures::outline(input, "problem.source", &problem.source)?;
    let target = measures::outline(input, "problem.target", &problem.target)?;
    setup::check_pair(input, problem, &source, &target)?;
    let penalties = Penalties { source: problem.source_penalty, target: problem.target_penalty };
    let refuse = |e| named(input, method, e);
    if problem.quantity == Quantity::Divergence {
        divergence::check(penalties).map_err(|e| input.invalid("problem.quantity", e.to_string()))?;
    }
    methods::check(method, penalties).map_err(refuse)?;
    if let Some(file) = &method.warm_start {
        open_warm_start(input, file, target.n)?;
    }
    Ok([source, target])
}

impl Transport {
    /// Values at the kept atoms and at the dropped ones, in the order of the measure.
    fn whole(marginal: &Marginal, kept: Vec<f64>, dropped: &[f64]) -> Vec<f64> {
        if let setup::Subset::All(_) = marginal.kept {
            return kept;
        }
        let mut all = vec![0.0; marginal.measure.n];
        marginal.kept.iter().zip(&kept).chain(marginal.dropped.iter().zip(dropped)).for_each(|(i, v)| all[i] = *v);
        all
    }

    /// An interval for the problem as asked, from one at unit mass: OT_ε(Ma, Mb) = M OT_ε(a, b) + ε (M² − M − M ln M).
    fn scaled(&self, value: f64, epsilon: f64) -> f64 {
        let m = self.mass;
        if m == 1.0 { value } else { m * value + epsilon * (m * m - m - m * ln(m)) }
    }

    /// The same with the rounding of that map.
    fn scaled_interval(&self, interval: Interval, epsilon: f64) -> ErrorBar {
        let (low, high) = (self.scaled(interval.lower, epsilon), self.scaled(interval.upper, epsilon));
        if self.mass == 1.0 {
            return ErrorBar::Interval(low, high);
        }
        let m = self.mass;
        let room = 8.0
            * f64::EPSILON
            * (m * interval.lower.abs().max(interval.upper.abs()) + epsilon * (m * m + m + (m * ln(m)).abs()));
        ErrorBar::Interval(low - room, high + room)
    }

    /// Whether source and target points have the same coordinates: unless the cost is a matrix, they have.
    fn shared_space(&self) -> bool {
        self.source.measure.dimension == self.target.measure.dimension
    }

    /// Brings the passes of (a, b) to another ε.
    fn set_epsilon(&mut self, epsilon: f64, team: &dyn Team) {
        self.work.pair().run(team, |passes| {
            if passes.epsilon() != epsilon {
                passes.set_epsilon(epsilon);
            }
        });
    }
}

/// Walks a whole vector as a block of which each rank writes its rows.
fn walk_rows(walk: &mut dyn Walk, name: &Name, measure: &Measure, width: &[usize], whole: &mut [f64]) -> Result<()> {
    let per_row: usize = width.iter().product();
    let mut global = vec![measure.n];
    global.extend_from_slice(width);
    let rows = measure.rows.clone();
    let mine = &mut whole[rows.start * per_row..rows.end * per_row];
    walk.block(name, &global, &Hyperslab::rows(rows, width), Data::F64(mine))
}

fn walk_image(walk: &mut dyn Walk, name: &Name, image: &Image, rank: usize, bytes: &mut [u8]) -> Result<()> {
    let mine = if rank == 0 { 0..image.rows } else { image.rows..image.rows };
    let values = if rank == 0 { bytes } else { &mut [] };
    let global = [image.rows, image.cols, 3];
    walk.block(name, &global, &Hyperslab::rows(mine, &[image.cols, 3]), Data::U8(values))
}

impl Solver for Transport {
    fn step(&mut self, _step: u64, team: &dyn Team) -> Result<Status> {
        let outcome = match &mut self.work {
            Work::Transport { pair, solve } => {
                let before = pair.snapshot();
                let outcome = pair.run(team, |passes| solve.step(passes));
                match outcome {
                    Ok(_) => pair.keep(),
                    Err(_) => pair.restore(before),
                }
                outcome?
            }
            Work::Divergence { pairs, solve } => {
                let mut before = pairs.each_mut().map(|pair| Some(pair.snapshot()));
                let outcome = with_three(pairs, team, |three| solve.step(three));
                // The problems that made their step keep it.
                let at = solve.under_way();
                if outcome.is_err() {
                    pairs[at].restore(before[at].take().expect("taken once"));
                }
                pairs.iter_mut().for_each(Backend::keep);
                outcome?
            }
        };
        self.steps += 1;
        Ok(match outcome {
            StepOutcome::Running => Status::Running,
            StepOutcome::Converged => Status::Finished(Outcome::Reached),
            StepOutcome::Stalled(achieved) => Status::Finished(Outcome::Stalled(achieved)),
        })
    }

    fn reached(&self) -> bool {
        match &self.work {
            Work::Transport { solve, .. } => solve.reached(),
            Work::Divergence { solve, .. } => solve.reached(),
        }
    }

    fn state(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let mut data = self.data;
        walk.scalar(&DATA, (&mut data).into())?;
        if data != self.data {
            let message = "--resume: the checkpoint was written for other points, weights or costs: a file has changed; \
                           run without --resume";
            return Err(Error::Usage(message.into()));
        }
        walk.scalar(&STEPS, (&mut self.steps).into())?;
        // Nothing of the state's walk needs the other ranks.
        match &mut self.work {
            Work::Transport { pair, solve } => pair.run(&Solo, |passes| solve.state(passes, walk))?,
            Work::Divergence { pairs, solve } => with_three(pairs, &Solo, |three| solve.state(three, walk))?,
        }
        if let Some(done) = &mut self.done {
            walk_rows(walk, &SOURCE_POTENTIAL, &self.source.measure, &[], &mut done.source_potential)?;
            walk_rows(walk, &TARGET_POTENTIAL, &self.target.measure, &[], &mut done.target_potential)?;
        }
        Ok(())
    }

    fn inputs(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let mut epsilon = self.epsilon;
        walk.scalar(&EPSILON, (&mut epsilon).into())?;
        let shared = self.shared_space();
        for (marginal, points, weights, shape) in [
            (&self.source, &SOURCE_POINTS, &SOURCE_WEIGHTS, &SOURCE_SHAPE),
            (&self.target, &TARGET_POINTS, &TARGET_WEIGHTS, &TARGET_SHAPE),
        ] {
            let measure = &marginal.measure;
            if measure.dimension > 0 {
                let global = [measure.n, measure.dimension];
                let mine = Hyperslab::rows(measure.rows.clone(), &global[1..]);
                let points = if points == &TARGET_POINTS { &in_target_space(*points, shared) } else { points };
                walk.given(points, &global, &mine, &measure.points)?;
            }
            let rows = measure.rows.clone();
            let (mine, own) = (Hyperslab::rows(rows.clone(), &[]), &measure.weights[rows]);
            if self.mass == 1.0 {
                walk.given(weights, &[measure.n], &mine, own)?;
            } else {
                // Balanced problems are solved at unit mass; a reader gets the weights of the problem as asked.
                let asked: Vec<f64> = own.iter().map(|w| self.mass * w).collect();
                walk.given(weights, &[measure.n], &mine, &asked)?;
            }
            if let Some(axes) = &measure.axes {
                let mut lengths: Vec<u64> = axes.iter().map(|axis| axis.len() as u64).collect();
                walk.scalar(shape, (&mut lengths).into())?;
            }
        }
        Ok(())
    }

    fn record(&self) -> Vec<(Name, f64)> {
        let p = self.work.progress();
        vec![
            (MARGINAL_ERROR, p.error.l1),
            (MARGINAL_ERROR_MAX, p.error.linf),
            (DUAL_VALUE, self.scaled(p.value, p.epsilon)),
            (RECORDED_EPSILON, p.epsilon),
            (ARITHMETIC, f64::from(u8::from(p.precision == Precision::F32))),
            (RELATIVE_GAP, p.relative_gap),
        ]
    }

    fn finish(&mut self, team: &dyn Team) -> Result<()> {
        let (mut finished, error, verdict, divergence, selves) = match &mut self.work {
            Work::Transport { pair, solve } => {
                let finished = pair.run(team, |passes| solve.finish(passes))?;
                let verdict = solve.verdict(&finished);
                let error = finished.error;
                (finished, error, verdict, None, None)
            }
            Work::Divergence { pairs, solve } => {
                // Every cost of points here is 0 from a point to itself and nowhere negative.
                let f = with_three(pairs, team, |three| solve.finish(three, true))?;
                let (error, verdict) = (f.error(), solve.verdict(&f));
                let numbers =
                    DivergenceNumbers { value: f.value, regularised: f.regularised, unregularised: f.unregularised };
                let selves = self.problem.results.contains(&DerivedResult::Gradients).then_some([f.aa, f.bb]);
                (f.ab, error, verdict, Some(numbers), selves)
            }
        };
        let mut dropped = (Vec::new(), Vec::new());
        if let Some(passes) = &mut self.extensions.0 {
            dropped.0 = vec![0.0; self.source.dropped.len()];
            passes.run(team, |passes| passes.soft_rows(&finished.phi, &mut dropped.0))?;
        }
        if let Some(passes) = &mut self.extensions.1 {
            dropped.1 = vec![0.0; self.target.dropped.len()];
            passes.run(team, |passes| passes.soft_cols(&finished.psi, &mut dropped.1))?;
        }
        // A run that ended early is left at a larger ε, its results are for the one asked for.
        let level = self.work.pair().run(team, |passes| passes.epsilon());
        self.set_epsilon(self.epsilon, team);
        let (penalties, Finished { psi, phi, .. }) = (self.penalties, &mut finished);
        self.work.pair().run(team, |passes| answer_without_mass(passes, penalties, psi, phi))?;
        let derived = self.derive(&finished, selves.as_ref(), (&dropped.0, &dropped.1), team)?;
        self.set_epsilon(level, team);
        match &mut self.work {
            Work::Transport { pair, .. } => pair.run(team, |passes| passes.rest()),
            Work::Divergence { pairs, .. } => {
                pairs.iter_mut().for_each(|pair| pair.run(team, |passes| passes.rest()));
            }
        }
        // The potential of an atom without mass is its best answer: damped where the marginal is penalised.
        for (penalty, potential) in [(self.penalties.source, &mut dropped.0), (self.penalties.target, &mut dropped.1)] {
            let damping = Side::new(penalty, self.epsilon).damping();
            update(potential, |_, t| damping * t);
        }
        // Unit mass to the mass asked for: f + g lowers by ε ln M, split evenly.
        let (epsilon, shift) = (self.epsilon, 0.5 * self.epsilon * ln(self.mass));
        let potential = |marginal: &Marginal, kept: Vec<f64>, dropped: &[f64]| {
            let mut whole = Transport::whole(marginal, kept, dropped);
            update(&mut whole, |_, v| epsilon * v - shift);
            whole
        };
        let Finished { psi, phi, certificate, .. } = finished;
        let source_potential = potential(&self.source, psi, &dropped.0);
        let target_potential = potential(&self.target, phi, &dropped.1);
        self.done = Some(Done { certificate, error, verdict, divergence, source_potential, target_potential, derived });
        Ok(())
    }

    fn verdict(&self) -> Option<Outcome> {
        let unbounded = |number: &Number| match number.error {
            ErrorBar::Interval(low, high) => !(number.value.is_finite() && low.is_finite() && high.is_finite()),
            _ => false,
        };
        Some(match &self.done.as_ref()?.verdict {
            StepOutcome::Stalled(achieved) => Outcome::Stalled(achieved.clone()),
            _ => match self.report().iter().find(|number| unbounded(number)) {
                Some(number) => Outcome::Stalled(format!("{} has no finite certified interval", number.name)),
                None => Outcome::Reached,
            },
        })
    }

    fn results(&mut self, walk: &mut dyn Walk) -> Result<()> {
        let shared = self.shared_space();
        let names = match self.problem.quantity {
            Quantity::Transport => &TRANSPORT_GRADIENTS,
            Quantity::Divergence => &DIVERGENCE_GRADIENTS,
        };
        let Some(done) = &mut self.done else { return Ok(()) };
        let (source, target) = (&self.source.measure, &self.target.measure);
        if let Some(map) = &mut done.derived.barycentric_map {
            walk_rows(walk, &in_target_space(BARYCENTRIC_MAP, shared), source, &[target.dimension], map)?;
        }
        if let Some((of_source, of_target)) = &mut done.derived.point_gradients {
            walk_rows(walk, &names.source_points, source, &[source.dimension], of_source)?;
            walk_rows(walk, &names.target_points, target, &[target.dimension], of_target)?;
        }
        if let Some((of_source, of_target)) = &mut done.derived.weight_gradients {
            walk_rows(walk, &names.source_weights, source, &[], of_source)?;
            walk_rows(walk, &names.target_weights, target, &[], of_target)?;
        }
        if let Some((rows, columns, mass)) = &mut done.derived.plan {
            let all = Hyperslab::rows(if self.rank == 0 { 0..mass.len() } else { mass.len()..mass.len() }, &[]);
            let (global, held) = ([mass.len()], if self.rank == 0 { mass.len() } else { 0 });
            walk.block(&PLAN_ROWS, &global, &all, Data::U64(&mut rows[..held]))?;
            walk.block(&PLAN_COLUMNS, &global, &all, Data::U64(&mut columns[..held]))?;
            walk.block(&PLAN_MASS, &global, &all, Data::F64(&mut mass[..held]))?;
        }
        if let (Some(photo), Some(transferred)) = (&source.photo, &mut done.derived.transferred) {
            walk_image(walk, &SOURCE_IMAGE, &photo.image, self.rank, &mut photo.image.bytes())?;
            walk_image(walk, &TRANSFERRED_IMAGE, &photo.image, self.rank, transferred)?;
        }
        if let (Some(_), Some(photo)) = (&source.photo, &target.photo) {
            walk_image(walk, &TARGET_IMAGE, &photo.image, self.rank, &mut photo.image.bytes())?;
        }
        Ok(())
    }

    fn report(&self) -> Vec<Number> {
        let number = |name, unit, meaning, value, error| Number { name, unit, meaning, value, error };
        let progress = self.work.progress();
        let mut numbers = Vec::new();
        if let Some(Done { certificate: c, error, divergence, .. }) = &self.done {
            if let Some(d) = divergence {
                // The terms in M alone cancel: S_ε(Ma, Mb) = M S_ε(a, b).
                numbers.extend([
                    number(
                        "divergence",
                        "cost",
                        "S_eps, certified interval",
                        self.scaled(d.value, 0.0),
                        self.scaled_interval(d.regularised, 0.0),
                    ),
                    number(
                        "unregularised_divergence",
                        "cost",
                        "OT_0(a,b) - OT_0(a,a)/2 - OT_0(b,b)/2, certified interval",
                        self.scaled(0.5 * (d.unregularised.lower + d.unregularised.upper), 0.0),
                        self.scaled_interval(d.unregularised, 0.0),
                    ),
                ]);
            }
            let dual = self.scaled(c.dual, self.epsilon);
            let cost = self.scaled(c.unregularised_primal, 0.0);
            numbers.extend([
                number(
                    "regularised_cost",
                    "cost",
                    "OT_eps: dual value, certified interval",
                    dual,
                    self.scaled_interval(c.regularised, self.epsilon),
                ),
                number(
                    "unregularised_cost",
                    "cost",
                    "OT_0: value of the rounded plan, certified interval",
                    cost,
                    self.scaled_interval(c.unregularised, 0.0),
                ),
                number("marginal_error", "1", "(|P1-a|_1 + |P'1-b|_1) / mass, in f64", error.l1, ErrorBar::None),
                number(
                    "marginal_error_max",
                    "1",
                    "largest entry of the marginal errors / mass, in f64",
                    error.linf,
                    ErrorBar::None,
                ),
                number("transported_mass", "1", "total mass of the plan", self.mass * c.mass, ErrorBar::None),
            ]);
        } else {
            numbers.push(number(
                "marginal_error",
                "1",
                "(|P1-a|_1 + |P'1-b|_1) / mass",
                progress.error.l1,
                ErrorBar::None,
            ));
        }
        numbers.push(number("epsilon", "cost", "regularisation", self.epsilon, ErrorBar::None));
        numbers.push(number("iterations", "1", "steps of the method", self.steps as f64, ErrorBar::None));
        numbers
    }

    fn work(&self) -> (f64, &'static str) {
        let entries = match &self.work {
            Work::Transport { pair, .. } => pair.entries(),
            Work::Divergence { pairs, .. } => pairs.iter().map(Backend::entries).sum(),
        };
        (entries, "entries")
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn provenance(&self) -> Vec<(&'static str, String)> {
        vec![("kernel_level", self.level.name().into()), ("layout", self.layout.into())]
    }

    fn extras(&mut self, dir: &Path, team: &dyn Team) -> Result<Vec<String>> {
        let Some(Done { derived: Derived { transferred: Some(bytes), .. }, .. }) = &self.done else {
            return Ok(Vec::new());
        };
        let photo = self.source.measure.photo.as_ref().expect("a transferred image has a photograph");
        let written = if team.rank() == 0 {
            let rgb = bytes.iter().map(|v| f64::from(*v) / 255.0).collect();
            Image { rgb, ..photo.image }.write_png(&dir.join("transferred.png"))
        } else {
            Ok(())
        };
        team.agree(written)?;
        Ok(vec!["transferred.png".into()])
    }
}
