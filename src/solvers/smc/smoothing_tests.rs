//! Smoothing against the Kalman smoother, on any number of ranks.

use std::sync::Arc;

use super::data::Observations;
use super::exact::walk_of_ten;
use super::models::{Built, BuiltIn, Proposal, StateSpace, linear_gaussian};
use super::smoothing::{Smoother, SmoothingInput};
use crate::math::simd::Level;
use crate::particles::estimate::{Estimated, evidence, island_weights, over_islands};
use crate::particles::{Filter, Options};
use crate::team::{Solo, Team, threads};

/// x_0 ~ N(0, 1), x' = 0.9 x + N(0, 0.25), y = x + N(0, 0.49), the ten observations of `walk_of_ten`.
pub(super) fn ten() -> (Box<dyn StateSpace>, Arc<Observations>) {
    let input = linear_gaussian::Input {
        coefficient: 0.9,
        state_sd: 0.5,
        gain: 1.0,
        observation_sd: 0.7,
        initial_mean: 0.0,
        initial_sd: Some(1.0),
    };
    let Ok(Built::StateSpace(model)) = input.build(&|_, _, _| unreachable!("no files")) else { panic!("a model") };
    let values = walk_of_ten().1;
    (model, Arc::new(Observations { components: 1, times: (0..10).map(f64::from).collect(), values }))
}

/// Mean and variance of x_t given the first `seen` observations, from the Kalman smoother.
pub(super) fn exact(t: usize, seen: usize) -> (f64, f64) {
    let (model, y) = walk_of_ten();
    let smoothed = model.smooth(&model.filter(&y[..seen]).unwrap()).unwrap();
    (smoothed[t].mean[0], smoothed[t].covariance[0])
}

fn options(particles: usize) -> Options {
    Options { ancestors: true, ..Options::new(particles, 16, 5, Level::detect()) }
}

fn smoothed(kind: SmoothingInput, proposal: Proposal, particles: usize, team: &dyn Team) -> Vec<Vec<[Estimated; 2]>> {
    let (model, data) = ten();
    let flow = model.flow(&data, proposal).unwrap();
    let mut filter = Filter::new(flow.as_ref(), options(particles), team);
    let mut smoother = Smoother::new(kind, &filter);
    for _ in 0..10 {
        filter.step(flow.as_ref(), team).unwrap();
        smoother.push(&filter, team);
    }
    smoother.finish(flow.as_ref(), &filter, team).unwrap();
    smoother.found().to_vec()
}

const KINDS: [SmoothingInput; 5] = [
    SmoothingInput::Genealogy {},
    SmoothingInput::Backward { trajectories: 300 },
    SmoothingInput::FixedLag { lag: 3 },
    SmoothingInput::FixedLag { lag: 9 },
    SmoothingInput::FixedLag { lag: 40 },
];

#[test]
fn smoothed_means_and_deviations_are_those_of_the_kalman_smoother_within_four_standard_errors() {
    for proposal in [Proposal::Bootstrap, Proposal::Guided, Proposal::Auxiliary] {
        for kind in KINDS {
            let found = smoothed(kind, proposal, 3000, &Solo);
            assert_eq!(found.len(), 10);
            for (t, found) in found.iter().enumerate() {
                let seen = match kind {
                    // The weights of the auxiliary filter know one more observation, here exactly.
                    SmoothingInput::FixedLag { lag } => {
                        (t + lag + 1 + usize::from(proposal == Proposal::Auxiliary)).min(10)
                    }
                    _ => 10,
                };
                let (mean, variance) = exact(t, seen);
                for (found, truth) in found[0].iter().zip([mean, variance.sqrt()]) {
                    assert!(
                        (found.value - truth).abs() < 4.0 * found.standard_error && found.standard_error < 0.03,
                        "{proposal:?} {kind:?}, time {t}: {found:?} against {truth}"
                    );
                }
            }
        }
    }
}

#[test]
fn smoothing_has_the_same_bits_on_1_to_5_ranks() {
    for kind in KINDS {
        let alone = smoothed(kind, Proposal::Auxiliary, 130, &Solo);
        for ranks in 2..=5 {
            for many in threads::run(ranks, |team| smoothed(kind, Proposal::Auxiliary, 130, team)) {
                assert!(many == alone, "{kind:?}, {ranks} ranks");
            }
        }
    }
}

#[test]
fn the_auxiliary_filter_without_its_twist_has_the_means_and_evidence_of_kalman_within_four_standard_errors() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Auxiliary).unwrap();
    assert!(flow.is_twisted());
    let (kalman, y) = walk_of_ten();
    let mut filter = Filter::new(flow.as_ref(), options(3000), &Solo);
    for t in 0..9 {
        filter.step(flow.as_ref(), &Solo).unwrap();
        let kept = (filter.population.log_weights.clone(), filter.islands.clone());
        let look = |plain: &Filter| {
            let evidences: Vec<f64> = plain.islands.iter().map(|i| i.log_evidence).collect();
            let mean = over_islands(&plain.moments(&Solo).0[0], &island_weights(&evidences));
            Ok((evidences, mean))
        };
        let (evidences, mean) = filter.untwisted(flow.as_ref(), &Solo, look).unwrap();
        assert!(kept == (filter.population.log_weights.clone(), filter.islands.clone()), "looked at, not changed");
        let truth = exact(t, t + 1).0;
        assert!((mean.value - truth).abs() < 4.0 * mean.standard_error, "time {t}: {mean:?} against {truth}");
        let found = evidence(&evidences);
        let truth = kalman.filter(&y[..=t]).unwrap().log_evidence;
        // Four standard errors of a mean of 16 islands are their spread; at time 0 all weights are equal.
        assert!((found.log - truth).abs() < found.spread + 1e-12, "time {t}: {found:?} against {truth}");
    }
}

/// The square-root process of Cox, Ingersoll and Ross with full truncation: at x ≤ 0 its noise has the deviation 0.
fn truncated(method: &str) -> crate::input::Input {
    let text = format!(
        r#"
solver = "smc"
[problem]
observations = {{ values = [0.02, 0.01, 0.0, 0.01, 0.05] }}
[problem.model]
kind = "written"
states = ["x"]
noises = {{ n = {{ distribution = "normal" }} }}
initial = {{ x = "0.03 + 0.001*n" }}
transition = {{ x = "x + 0.5*(0.04 - x) + 0.2*sqrt(max(x, 0))*n" }}
observation = {{ y = {{ distribution = "normal", mean = "x", sd = 0.02 }} }}
[method]
{method}
"#
    );
    crate::input::Input::parse(std::path::Path::new("truncated.toml"), &text, &[]).unwrap()
}

#[test]
fn a_transition_density_that_is_no_number_is_an_error_on_every_rank_and_no_path() {
    for method in [
        "particles = 500\nislands = 2\nsmoothing = { kind = \"backward\", trajectories = 50 }",
        "name = \"particle_gibbs\"\nparticles = 500\nislands = 2\niterations = 20\ness_threshold = 1",
    ] {
        let input = truncated(method);
        for ranks in [1, 3] {
            let said = threads::run(ranks, |team| {
                let mut solver = super::setup::build(&input, team).unwrap();
                while !solver.reached() {
                    if let Err(error) = solver.step(0, team) {
                        return error.to_string();
                    }
                }
                solver.finish(team).err().map(|error| error.to_string()).unwrap_or_default()
            });
            let whole = |s: &String| s.contains("the transition density is no number");
            assert!(said.iter().all(whole), "{method} on {ranks} ranks: {said:?}");
        }
    }
    let input = truncated("particles = 500\nislands = 2\nsmoothing = { kind = \"genealogy\" }");
    let mut solver = super::setup::build(&input, &Solo).unwrap();
    while !solver.reached() {
        solver.step(0, &Solo).unwrap();
    }
    solver.finish(&Solo).unwrap();
}
