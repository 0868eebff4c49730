//! What is true: quadrature recursions for the Euler–Maruyama chain, closed forms, committors; and the tests of the
//! room against them.

mod closed;
mod curves;
mod methods;
mod mixtures;
mod quadrature;
mod shooting;
mod tests;
mod twists;

use super::chain::Chain;
use super::collectives::Collectives;
use super::ensemble::{Context, Random, conclude};
use super::methods::MethodInput;
use super::problem::ProblemInput;
use super::ranks::Ranks;
use super::tally::Tally;
use crate::math::simd::Level;
use crate::team::{Solo, Team};

/// A chain from the text of `[problem]`.
pub fn chain(text: &str) -> Chain {
    problem(text).chain(Level::detect()).unwrap_or_else(|(key, message)| panic!("{key}: {message}"))
}

fn problem(text: &str) -> ProblemInput {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Runs a method on a chain and hands back the tally and the method's own numbers.
pub struct Run {
    pub tally: Tally,
    pub other: Option<f64>,
    pub training: (f64, f64),
    pub evaluations: f64,
    pub rounds: u64,
}

pub fn run(chain: &Chain, method: &str, seed: u64) -> Run {
    run_on(&Solo, chain, method, seed)
}

/// The same on the ranks of a team; collective.
pub fn run_on(team: &dyn Team, chain: &Chain, method: &str, seed: u64) -> Run {
    let input: MethodInput = serde_json::from_str(method).unwrap_or_else(|e| panic!("{e}\n{method}"));
    let mut method = input.build(chain).unwrap_or_else(|(key, message)| panic!("{key}: {message}"));
    let size = input.size();
    let ranks = Ranks(team);
    let stop = || false;
    let context = Context {
        chain,
        ranks: &ranks as &dyn Collectives,
        random: Random { level: chain.level, seed },
        blocks: size.paths.div_ceil(super::chain::LANES),
        step: 1,
        stop: &stop,
    };
    let mut rounds = 0;
    while !method.train(&context, rounds).unwrap() {
        rounds += 1;
    }
    let mut tally = Tally::new((chain.steps + 1) * chain.dimension, &chain.start.mean);
    for r in 0..size.replicates {
        let sampled = method.sample(&context, r as u32).unwrap();
        let concluded = conclude(&context, &sampled).unwrap();
        tally.add(&concluded);
    }
    let evaluations = tally.evaluations() + method.training_evaluations();
    Run { other: method.other_log_evidence().map(|o| o.0), training: method.training(), evaluations, rounds, tally }
}

/// The estimate, its error and how it compares, for a table.
pub fn told(name: &str, run: &Run, truth: f64) -> String {
    let tally = &run.tally;
    let n = tally.replicates() as f64;
    let spread = tally.spread();
    let ess = tally.ess.iter().sum::<f64>() / n;
    let needed = tally.evaluations() * spread * spread / n / 0.01 + run.evaluations - tally.evaluations();
    format!(
        "{name}: {:.5} ± {:.5} (true {truth:.5}), spread {spread:.4}, ESS {ess:.0}, evaluations {:.3e}, to 0.1: {needed:.2e}, rounds {}",
        tally.log_mean(),
        spread / n.sqrt(),
        run.evaluations,
        run.rounds
    )
}

/// Within 4 standard errors, with an error that is claimed.
pub fn agrees(name: &str, run: &Run, truth: f64) {
    let text = told(name, run, truth);
    println!("{text}");
    let error = run.tally.error().unwrap_or_else(|| panic!("no error is claimed: {text}"));
    assert!((run.tally.log_mean() - truth).abs() < 4.0 * error, "{text}");
}
