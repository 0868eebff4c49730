//! From `[problem]` and `[method]` to a solver that is ready for its first step.

use super::chain::{Chain, LANES};
use super::committor;
use super::methods::{Method, MethodInput, Size};
use super::problem::ProblemInput;
use super::solver::Paths;
use crate::error::Result;
use crate::input::{Input, KernelLevel};
use crate::math::simd::Level;
use crate::solvers::Solver;
use crate::team::Team;

/// What an input asks for, checked.
pub struct Asked {
    pub problem: ProblemInput,
    pub chain: Chain,
    pub method: Box<dyn Method>,
    pub size: Size,
    pub notes: Vec<String>,
}

/// # Errors
/// The key at fault.
pub fn read(input: &Input, level: Level) -> Result<Asked> {
    let problem: ProblemInput = input.problem()?;
    let method: MethodInput = input.method()?;
    let key_of = |key: &str| format!("method.{key}");
    if let Some((key, message)) = method.unused().into_iter().find(|(key, _)| input.given(&key_of(key))) {
        return Err(input.invalid(&key_of(&key), message));
    }
    let chain = problem.chain(level).map_err(|(key, message)| input.invalid(&key, message))?;
    let mut size = method.size();
    let built = method.build(&chain).map_err(|(key, message)| input.invalid(&key_of(&key), message))?;
    if problem.known_log_evidence.is_some() && !built.has_evidence() {
        let message = "is nothing to compare with: the method has no evidence; leave it out";
        return Err(input.invalid("problem.known_log_evidence", message));
    }
    let mut notes = problem.notes(&chain);
    notes.extend(built.notes());
    let whole = size.paths.div_ceil(LANES) * LANES;
    if whole != size.paths {
        notes.push(format!("{} paths a replicate: {} rounded up to whole blocks of {LANES}", whole, size.paths));
        size.paths = whole;
    }
    Ok(Asked { problem, chain, method: built, size, notes })
}

pub fn build(input: &Input, team: &dyn Team) -> Result<Box<dyn Solver>> {
    let level = level(input, team)?;
    if let MethodInput::Committor(method) = input.method()? {
        return Ok(Box::new(committor::run::read(input, &method, level)?));
    }
    let asked = read(input, level)?;
    Ok(Box::new(Paths::new(asked, input.run.seed, team)))
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
