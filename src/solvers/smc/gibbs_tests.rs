//! Conditional SMC against the Kalman smoother, on any number of ranks.

use super::models::{Built, BuiltIn, Proposal, StateSpace, linear_system};
use super::smoothing_tests::{exact, ten};
use crate::math::simd::Level;
use crate::particles::conditional::{Reference, can_follow, trajectories};
use crate::particles::estimate::over_islands;
use crate::particles::{Options, Scheme};
use crate::team::{Solo, Team, threads};

fn options(particles: usize, islands: usize, threshold: f64, seed: u64) -> Options {
    let made = Options::new(particles, islands, seed, Level::detect());
    Options { scheme: Scheme::Multinomial, threshold, ancestors: true, ..made }
}

/// The model of `ten` as a linear system, which can weigh trajectories under every proposal.
fn system() -> Box<dyn StateSpace> {
    let one = |x: f64| vec![vec![x]];
    let input = linear_system::Input {
        states: None,
        transition: one(0.9),
        shift: None,
        noise_covariance: one(0.25),
        continuous: false,
        observation: one(1.0),
        offset: None,
        observation_covariance: one(0.49),
        initial_mean: None,
        initial_covariance: one(1.0),
    };
    let Ok(Built::StateSpace(model)) = input.build(&|_, _, _| unreachable!("no files")) else { panic!("a model") };
    model
}

/// `draws` trajectories of `chains` chains, one after the other.
fn chain(
    particles: usize,
    chains: usize,
    draws: u64,
    (threshold, sampling, proposal): (f64, bool, Proposal),
    team: &dyn Team,
) -> Vec<Reference> {
    let (mut model, data) = ten();
    if proposal != Proposal::Bootstrap {
        model = system();
    }
    let flow = model.flow(&data, proposal).unwrap();
    let flow = flow.as_ref();
    assert!(can_follow(flow));
    let mut all = vec![trajectories(flow, &options(particles, chains, threshold, 1), None, false, team).unwrap()];
    for k in 0..draws {
        let last = all.last().cloned();
        all.push(trajectories(flow, &options(particles, chains, threshold, 2 + k), last, sampling, team).unwrap());
    }
    all
}

#[test]
fn chains_of_five_particles_have_the_means_and_variances_of_the_kalman_smoother_within_four_standard_errors() {
    let chains = 200;
    let every = [
        (1.0, true, Proposal::Bootstrap),
        (1.0, false, Proposal::Bootstrap),
        (0.6, true, Proposal::Bootstrap),
        (1.0, true, Proposal::Guided),
        (0.6, true, Proposal::Auxiliary),
    ];
    for how in every {
        let all = chain(5, chains, 120, how, &Solo);
        let kept = &all[30..];
        let weights = vec![1.0 / chains as f64; chains];
        for t in 0..10 {
            let (mean, variance) = exact(t, 10);
            let of = |f: &dyn Fn(f64) -> f64| {
                let by = |r: usize| kept.iter().map(|d| f(d.at(r, t)[0])).sum::<f64>() / kept.len() as f64;
                over_islands(&(0..chains).map(by).collect::<Vec<_>>(), &weights)
            };
            for (found, truth) in [(of(&|x| x), mean), (of(&|x| (x - mean) * (x - mean)), variance)] {
                assert!(
                    (found.value - truth).abs() < 4.0 * found.standard_error && found.standard_error < 0.04,
                    "{how:?}, time {t}: {found:?} against {truth}"
                );
            }
        }
    }
}

#[test]
fn ancestor_sampling_moves_the_first_state_of_a_chain_of_five_particles_more_often() {
    let moved = |sampling: bool| {
        let all = chain(5, 50, 40, (1.0, sampling, Proposal::Bootstrap), &Solo);
        let one = |w: &[Reference]| (0..50).filter(|r| w[0].at(*r, 0) != w[1].at(*r, 0)).count();
        all.windows(2).map(one).sum::<usize>() as f64 / 2000.0
    };
    let (with, without) = (moved(true), moved(false));
    assert!(with > 0.5 && without < 0.35, "{with} with, {without} without");
}

#[test]
fn trajectories_have_the_same_bits_on_1_to_5_ranks_and_follow_their_reference_with_two_particles() {
    for (particles, islands) in [(2, 7), (1500, 2)] {
        let how = (0.7, true, Proposal::Bootstrap);
        let alone = chain(particles, islands, 4, how, &Solo);
        for ranks in 2..=5 {
            for many in threads::run(ranks, |team| chain(particles, islands, 4, how, team)) {
                assert!(many == alone, "{particles} particles, {ranks} ranks");
            }
        }
    }
}
