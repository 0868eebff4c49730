//! From `[problem]` and `[method]` to a solver that is ready for its first step.

use std::sync::Arc;

use super::data::Observations;
use super::gibbs::Gibbs;
use super::models::{Built, Proposal, ReadFile, Refusal, Sampler, StateSpace, Table};
use super::names::{Given, refuse_repeats};
use super::pmmh::Chain;
use super::prediction::Free;
use super::prediction::outcomes::{self, Cohort};
use super::problem::{MethodInput, Name, ObservationsInput, ProblemInput, USES};
use super::sampling::Sampling;
use super::smc_squared::Squared;
use super::smoothing::SmoothingInput;
use super::solver::Filtering;
use crate::error::Result;
use crate::input::{Input, KernelLevel};
use crate::io::ArrayFile;
use crate::math::draws::LARGEST_DRAW;
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::particles::conditional::can_follow;
use crate::particles::moves::Kernel;
use crate::particles::{Draws, Family, FeynmanKac, Scheme, TILE, Tile, View};
use crate::solvers::Solver;
use crate::team::Team;

pub fn build(input: &Input, team: &dyn Team) -> Result<Box<dyn Solver>> {
    let posed = team.agree(pose(input))?;
    let level = level(input, team)?;
    Ok(match posed {
        Posed::Filter(posed) => Box::new(Filtering::new(input, posed, level, team)),
        Posed::Sampler(posed) => Box::new(Sampling::new(input, posed, level, team)?),
        Posed::Gibbs(posed, family) => Box::new(Gibbs::new(input, posed, family, level, team)),
        Posed::Chain(posed) => Box::new(Chain::new(input, posed, level, team)?),
        Posed::Squared(posed) => Box::new(Squared::new(input, posed, level, team)),
    })
}

/// The lowest kernel level of all ranks, or the one asked for where every rank has it.
fn level(input: &Input, team: &dyn Team) -> Result<Level> {
    let common = Level::ALL[team.min(Level::detect() as usize as f64) as usize];
    let asked = match input.run.kernels {
        KernelLevel::Auto => return Ok(common),
        KernelLevel::Portable => Level::Portable,
        KernelLevel::Avx2 => Level::Avx2,
        KernelLevel::Avx512 => Level::Avx512,
    };
    if asked > common {
        let message = format!("not every rank's processor has it; the best that all have is {}", common.name());
        return Err(input.invalid("run.kernels", message));
    }
    Ok(asked)
}

/// A problem that was read and found possible.
pub enum Posed {
    Filter(FilterPosed),
    Sampler(SamplerPosed),
    Chain(ChainPosed),
    Squared(ChainPosed),
    /// With a family where parameters vary.
    Gibbs(FilterPosed, Option<Box<dyn Family>>),
}

/// For chains or particles of parameters.
pub struct ChainPosed {
    pub problem: ProblemInput,
    pub method: MethodInput,
    pub family: Box<dyn Family>,
    /// Coordinates of a particle, and times.
    pub dimension: usize,
    pub times: usize,
    pub data: Arc<Observations>,
    /// The coordinate in whose order particles are resampled.
    pub sort: Option<usize>,
    pub free: Option<Free>,
}

/// For a sampler.
pub struct SamplerPosed {
    pub problem: ProblemInput,
    pub method: MethodInput,
    pub sampler: Sampler,
    /// Cases to predict, where asked for.
    pub cohorts: Vec<Cohort>,
}

/// For a filter.
pub struct FilterPosed {
    pub problem: ProblemInput,
    pub method: MethodInput,
    pub model: Box<dyn StateSpace>,
    pub data: Arc<Observations>,
    pub flow: Box<dyn FeynmanKac>,
    /// The coordinate in whose order particles are resampled.
    pub sort: Option<usize>,
    pub free: Option<Free>,
}

/// Reads the input and the files it names; nothing is computed but simulated data.
pub fn pose(input: &Input) -> Result<Posed> {
    let problem: ProblemInput = input.problem()?;
    let method: MethodInput = input.method()?;
    refuse_unused(input, &method)?;
    let below = |section: &str, (key, message): Refusal| input.invalid(&format!("{section}.{key}"), message);
    let read = |key: &'static str, path: &str, dataset: Option<&str>| {
        let file = input.resolve(path.as_ref());
        let opened = ArrayFile::open(&file, dataset).and_then(|f| Ok((f.shape().to_vec(), f.read()?)));
        let (shape, values) = opened.map_err(|e| (key, format!("{}: {e}", file.display())))?;
        let (rows, columns) = match shape[..] {
            [n] => (n, 1),
            [n, m] => (n, m),
            _ => return Err((key, format!("{}: has {} axes, expected a table", file.display(), shape.len()))),
        };
        Ok(Table { rows, columns, values })
    };
    let built = problem.model.build(&read).map_err(|e| below("problem.model", e))?;
    let squared = method.name == Name::SmcSquared;
    let chain = squared || method.name == Name::Pmmh;
    if method.lee_whiteley && (method.resampling != Scheme::Multinomial || method.ess_threshold < 1.0) {
        let message = "holds with method.resampling = \"multinomial\" and method.ess_threshold = 1 alone: under other \
                       schemes, and where not every step resamples, the estimator is of another variance";
        return Err(input.invalid("method.lee_whiteley", message));
    }
    if !problem.quantiles.is_empty() && method.name.proposal().is_none() {
        let message =
            format!("are of filters (\"bootstrap\", \"guided\", \"auxiliary\"), not of \"{}\"", method.name.word());
        return Err(input.invalid("problem.quantiles", message));
    }
    let (model, proposal) = match (built, method.name.proposal()) {
        (Built::StateSpace(model), None) if chain || method.name == Name::ParticleGibbs => (model, method.proposal),
        (Built::StateSpace(model), Some(proposal)) => (model, proposal),
        (Built::Sampler(sampler), None) => return sampler_posed(input, problem, method, sampler, &read),
        (Built::Sampler(_), Some(_)) => {
            let message =
                "this filter needs observations in time; the model is a target of samplers: use \"tempering\"";
            return Err(input.invalid("method.name", message));
        }
        (Built::StateSpace(_), None) => {
            let message = "samples a prior and likelihood; the model is a state-space model: use \"bootstrap\"";
            return Err(input.invalid("method.name", message));
        }
    };
    if !model.proposals().contains(&proposal) {
        let has: Vec<String> = model.proposals().iter().map(|p| format!("\"{p:?}\"").to_lowercase()).collect();
        let message =
            format!("the model {} has no such proposal; it has: {}", problem.model.about().word, has.join(", "));
        // The key that asks for it: chains and SMC² name the law of their filters, filters are named by it.
        let key = if method.name.proposal().is_some() { "method.name" } else { "method.proposal" };
        return Err(input.invalid(key, message));
    }
    let sort = match &method.sort {
        None => None,
        Some(name) => {
            let names = model.coordinates();
            let Some(c) = names.iter().position(|n| n == name) else {
                let message = format!("is no coordinate of the state; it has: {}", names.join(", "));
                return Err(input.invalid("method.sort", message));
            };
            if method.resampling != Scheme::Systematic {
                return Err(input.invalid("method.sort", "is for systematic resampling"));
            }
            Some(c)
        }
    };
    for (i, level) in problem.quantiles.iter().enumerate() {
        if !(*level > 0.0 && *level < 1.0) {
            return Err(input.invalid(&format!("problem.quantiles.{i}"), "a quantile's level lies in (0, 1)"));
        }
        if problem.quantiles[..i].contains(level) {
            return Err(input.invalid(&format!("problem.quantiles.{i}"), "stands there already"));
        }
    }
    let mut data = Arc::new(observations(input, &problem, model.as_ref(), &read)?);
    let free = match &problem.predict {
        None => None,
        Some(asked) => Some(Free::new(input, asked, &problem, &method, model.as_ref(), &data)?),
    };
    // A filter goes on after the data; chains are of the data's times.
    if let Some(free) = free.as_ref().filter(|_| method.name.proposal().is_some()) {
        data = Arc::new(free.after(&data));
    }
    let flow = model.flow(&data, proposal).map_err(|e| below("problem", e))?;
    let varying = chain || method.name == Name::ParticleGibbs;
    let family = if varying { model.family(&data, &method.parameters) } else { None };
    let parameters = family.iter().flat_map(|f| f.parameters()).map(|p| p.name).collect();
    let given = Given { coordinates: model.coordinates(), components: model.components(), parameters };
    refuse_repeats(input, &problem, &method, &given)?;
    if chain {
        let Some(family) = family else {
            let message = "the model has no parameters with priors, or not these (a written model declares them)";
            return Err(input.invalid("method.parameters", message));
        };
        let (dimension, times) = (flow.dimension(), flow.horizon());
        let posed = ChainPosed { problem, method, family, dimension, times, data, sort, free };
        return Ok(if squared { Posed::Squared(posed) } else { Posed::Chain(posed) });
    }
    if method.name == Name::ParticleGibbs {
        if method.thin > method.iterations {
            let is = if input.given("method.thin") { "is".into() } else { format!("is {} where absent,", method.thin) };
            let message = format!("{is} above method.iterations = {}: no trajectory would be kept", method.iterations);
            return Err(input.invalid("method.thin", message));
        }
        if family.is_none() && !method.parameters.is_empty() {
            let message = "the model has no parameters with priors, or not these (a written model declares them)";
            return Err(input.invalid("method.parameters", message));
        }
        if family.is_none() && input.given("method.parameter_moves") {
            let message = "is not used: the model has no parameters with priors (a written model declares them)";
            return Err(input.invalid("method.parameter_moves", message));
        }
        if let Some(message) = family.as_deref().and_then(unmoved) {
            return Err(input.invalid("method.parameters", message));
        }
        if method.ancestor_sampling && !flow.has_transition() {
            let message = format!(
                "needs the transition density, which the model {} does not have: set it to false",
                problem.model.about().word
            );
            return Err(input.invalid("method.ancestor_sampling", message));
        }
        if !can_follow(flow.as_ref()) {
            let message = "the model cannot weigh a trajectory that this proposal did not draw: use \"bootstrap\"";
            return Err(input.invalid("method.proposal", message));
        }
        return Ok(Posed::Gibbs(FilterPosed { problem, method, model, data, flow, sort, free }, family));
    }
    if matches!(method.smoothing, Some(SmoothingInput::Backward { .. })) && !flow.has_transition() {
        let message = format!(
            "backward simulation needs the transition density, which the model {} does not have; use kind = \"genealogy\" or \
             kind = \"fixed_lag\"",
            problem.model.about().word
        );
        return Err(input.invalid("method.smoothing", message));
    }
    Ok(Posed::Filter(FilterPosed { problem, method, model, data, flow, sort, free }))
}

/// A key that the method does not use was given for something that would not be done.
fn refuse_unused(input: &Input, method: &MethodInput) -> Result<()> {
    let given = |key: &str| input.given(&format!("method.{key}"));
    let refuse = |key: &str, message: String| Err(input.invalid(&format!("method.{key}"), message));
    if let Some((key, uses)) = USES.iter().find(|(key, uses)| !uses.contains(&method.name) && given(key)) {
        let (filters, others): (Vec<Name>, Vec<Name>) = uses.iter().partition(|name| name.proposal().is_some());
        let words = |names: &[Name]| names.iter().map(|n| format!("\"{}\"", n.word())).collect::<Vec<_>>().join(", ");
        let mut of = Vec::new();
        if !filters.is_empty() {
            of.push(format!("filters ({})", words(&filters)));
        }
        if !others.is_empty() {
            of.push(words(&others));
        }
        let message =
            format!("is not used by method.name = \"{}\"; it is for {}", method.name.word(), of.join(" and "));
        return refuse(key, message);
    }
    let replaced = ["least_moves", "most_moves", "correlation"];
    match replaced.into_iter().find(|key| method.waste_free > 1 && given(key)) {
        Some(key) => {
            refuse(key, format!("is not used with method.waste_free = {}, which takes its place", method.waste_free))
        }
        None => Ok(()),
    }
}

/// Why parameters cannot move given a path, if so: there is no density of paths, or a path at one value of them is impossible
/// at another.
fn unmoved(family: &dyn Family) -> Option<String> {
    let level = Level::Portable;
    let at = |k: u64| Draws::new(level, 0, Stream::ParticlesParameter, 0).at(k);
    let flows: Vec<Box<dyn FeynmanKac>> = (0..2).filter_map(|k| family.at(&family.draw_prior(&at(k))).ok()).collect();
    let [one, other] = &flows[..] else { return None };
    let mut x = vec![0.0; one.dimension()];
    one.initial(&at(2), &mut Tile::new(level, &mut x, 1, 1), &mut [0.0]);
    let (none, first) = (View::new(level, &[], 1, 0), View::new(level, &x, 1, 1));
    let mut value = [0.0];
    let known = other.log_density(0, none, first, &mut value)
        && (other.horizon() < 2 || other.log_density(1, first, first, &mut [0.0]));
    if !known {
        let message = "move by the density of paths, which the model does not have: each state needs a normal noise of its own, \
                       on which it depends linearly, at the first time too; or use \"pmmh\", or leave the priors out";
        return Some(message.into());
    }
    let message = "cannot move given a path, whose first state follows from them without noise: use \"pmmh\"";
    (value[0] == f64::NEG_INFINITY).then(|| message.into())
}

fn sampler_posed(
    input: &Input,
    problem: ProblemInput,
    method: MethodInput,
    mut sampler: Sampler,
    read: &ReadFile<'_>,
) -> Result<Posed> {
    let refuse = |key: &str, message: &str| Err(input.invalid(key, message));
    if method.name != Name::Tempering {
        let message = "needs observations in time; the model is a target of samplers: use \"tempering\"";
        return refuse("method.name", message);
    }
    if problem.observations.is_some() || problem.times.is_some() {
        return refuse("problem.observations", "the model is a target of samplers; its data are its own keys");
    }
    let cohorts = match &problem.predict {
        None => Vec::new(),
        Some(asked) => outcomes::cohorts(input, asked, &problem, &mut sampler, read)?,
    };
    if problem.predict.as_ref().is_some_and(|asked| asked.draws > method.particles) {
        let message = format!("is above method.particles = {}, of which each island draws", method.particles);
        return refuse("problem.predict.draws", &message);
    }
    if method.least_moves > method.most_moves {
        return refuse("method.least_moves", "is above method.most_moves");
    }
    let (length, n) = (method.waste_free, method.particles);
    if !n.is_multiple_of(length) || n < 2 * length {
        let message = format!("must divide method.particles = {n} into two chains at least");
        return refuse("method.waste_free", &message);
    }
    if length > 1 && method.resampling != Scheme::Systematic {
        return refuse(
            "method.waste_free",
            "draws the starts of its chains systematically: leave method.resampling out",
        );
    }
    let d = sampler.target.dimension();
    let (key, moves) =
        if length > 1 { ("method.waste_free", length) } else { ("method.most_moves", method.most_moves) };
    if moves * d >= LARGEST_DRAW as usize {
        let message = format!("moves {d} coordinates too often: at most {} times", LARGEST_DRAW as usize / d - 1);
        return refuse(key, &message);
    }
    match method.kernel {
        Kernel::Mala | Kernel::Hmc if !sampler.target.has_gradients() => {
            refuse("method.kernel", "needs gradients, which the model does not have: use \"random_walk\"")
        }
        Kernel::Pcn if sampler.target.gaussian_prior().is_none() => {
            refuse("method.kernel", "needs a Gaussian prior, which the model does not have: use \"random_walk\"")
        }
        _ => Ok(Posed::Sampler(SamplerPosed { problem, method, sampler, cohorts })),
    }
}

fn observations(
    input: &Input,
    problem: &ProblemInput,
    model: &dyn StateSpace,
    read: &dyn Fn(&'static str, &str, Option<&str>) -> std::result::Result<Table, Refusal>,
) -> Result<Observations> {
    let key = "problem.observations";
    let components = model.components().len();
    let Some(given) = &problem.observations else {
        return Err(input.invalid(key, "is missing: a state-space model needs values, a file or simulate"));
    };
    let ObservationsInput { values, file, dataset, columns, simulate, seed } = given;
    let ways = [values.is_some(), file.is_some(), simulate.is_some()].iter().filter(|w| **w).count();
    if ways != 1 {
        return Err(input.invalid(key, "needs one of values, file and simulate"));
    }
    let times = |n: usize| -> Result<Vec<f64>> {
        let Some(times) = &problem.times else { return Ok((0..n).map(|k| k as f64).collect()) };
        if times.len() != n {
            let message = format!("has {} values; there are {n} observations", times.len());
            return Err(input.invalid("problem.times", message));
        }
        if let Some(k) = (1..n).find(|&k| times[k].partial_cmp(&times[k - 1]) != Some(std::cmp::Ordering::Greater)) {
            return Err(input.invalid(&format!("problem.times.{k}"), "must be above the one before"));
        }
        Ok(times.clone())
    };
    let made = if let Some(values) = values {
        if values.is_empty() || values.len() % components != 0 {
            let message = format!("has {} numbers; the model observes {components} at a time", values.len());
            return Err(input.invalid(&format!("{key}.values"), message));
        }
        Observations { components, times: times(values.len() / components)?, values: values.clone() }
    } else if let Some(file) = file {
        let fail = |(_, message): Refusal| input.invalid(&format!("{key}.file"), message);
        let table = read("file", &file.to_string_lossy(), dataset.as_deref()).map_err(fail)?;
        let columns = columns.clone().unwrap_or_else(|| (0..table.columns).collect());
        if let Some(c) = columns.iter().find(|c| **c >= table.columns) {
            let message = format!("there is no column {c}: the file has {} (from 0)", table.columns);
            return Err(input.invalid(&format!("{key}.columns"), message));
        }
        if columns.len() != components {
            let message = format!("{} columns; the model observes {components} components", columns.len());
            return Err(input.invalid(&format!("{key}.columns"), message));
        }
        let values: Vec<f64> = (0..table.rows)
            .flat_map(|r| columns.iter().map(move |c| (r, *c)))
            .map(|(r, c)| table.values[r * table.columns + c])
            .collect();
        Observations { components, times: times(table.rows)?, values }
    } else {
        let n = simulate.expect("one of three");
        let blank = Observations { components, times: times(n)?, values: vec![f64::NAN; n * components] };
        let made = simulated(model, blank, seed.unwrap_or(input.run.seed));
        made.map_err(|(key, message)| input.invalid(&format!("problem.{key}"), message))?
    };
    if let Some(bad) = made.values.iter().position(|v| v.is_infinite()) {
        let (row, column, value) = (bad / components, bad % components, made.values[bad]);
        let place = format!("{value} in row {row}, component {column}");
        return Err(match file {
            Some(_) => input.invalid(&format!("{key}.file"), format!("{place}: a number, or nan where missing")),
            None => input.invalid(&format!("{key}.simulate"), format!("the model gives {place}")),
        });
    }
    Ok(made)
}

/// One path of the model and what is observed of it.
fn simulated(model: &dyn StateSpace, blank: Observations, seed: u64) -> std::result::Result<Observations, Refusal> {
    let mut made = blank.clone();
    let flow = model.flow(&Arc::new(blank), Proposal::Bootstrap)?;
    // The same data whatever the machine.
    let level = Level::Portable;
    let (d, m) = (flow.dimension(), made.components);
    let (mut x, mut before, mut y) = (vec![0.0; d * TILE], vec![0.0; d * TILE], vec![0.0; m * TILE]);
    for k in 0..made.len() {
        let at = Draws::new(level, seed, Stream::ParticlesData, k as u32);
        before.copy_from_slice(&x);
        let mut tile = Tile::new(level, &mut x, TILE, 1);
        if k == 0 {
            flow.initial(&at, &mut tile, &mut [0.0]);
        } else {
            flow.mutate(k, &at, View::new(level, &before, TILE, 1), &mut tile, &mut [0.0]);
        }
        let mut seen = Tile::new(level, &mut y, TILE, 1);
        if !flow.observe(k, &at.stream(Stream::ParticlesPredictive), tile.view(), &mut seen) {
            return Err(("observations.simulate", "the model cannot simulate observations".into()));
        }
        for c in 0..m {
            made.values[k * m + c] = seen.coordinate(c)[0];
        }
    }
    Ok(made)
}
