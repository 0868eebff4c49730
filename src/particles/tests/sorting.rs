//! Systematic resampling in the order of a coordinate.

use super::{EXACT, bits, options, run, ten};
use crate::particles::*;
use crate::solvers::smc::models::Proposal;
use crate::team::{Solo, Team, threads};

fn sorted(particles: usize, islands: usize, threshold: f64, seed: u64) -> Options {
    Options { sort: Some(0), ..options(particles, islands, Scheme::Systematic, threshold, seed) }
}

/// Root mean square over 200 seeds of what resampling adds to the mean of weighted particles.
fn noise(particles: usize, sort: Option<usize>) -> f64 {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let mut filter = Filter::new(&*flow, sorted(particles, 1, 1.0, 1), &Solo);
    filter.step(&*flow, &Solo).unwrap();
    let mean = filter.means(&Solo, |t, i| filter.population.at(t, 0, i))[0];
    let one = |seed: u64| {
        let mut filter = filter.clone();
        (filter.options.seed, filter.options.sort) = (seed, sort);
        filter.resample(&Solo);
        let after = filter.sums(&Solo, |t, i| filter.population.at(t, 0, i))[0] / particles as f64;
        (after - mean) * (after - mean)
    };
    ((0..200).map(one).sum::<f64>() / 200.0).sqrt()
}

#[test]
fn resampling_in_the_order_of_one_state_adds_noise_of_order_1_over_n_below_a_quarter_of_the_other() {
    let (slots, order, more) = (noise(1000, None), noise(1000, Some(0)), noise(8000, Some(0)));
    // Values spread over some 4 at a distance of 1/1000: about 4/(1000 √12) = 0.0012, where slots in no order leave 0.0075.
    assert!(order < 0.25 * slots && order < 0.002, "{order} sorted, {slots} by slots");
    // An eighth where the rate is 1/N, 0.35 where it is N^−1/2.
    assert!((0.06..0.25).contains(&(more / order)), "{more} of 8000, {order} of 1000");
}

#[test]
fn resampling_in_order_is_unbiased_for_the_evidence_within_four_standard_errors() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    for threshold in [0.5, 1.0] {
        let filter = run(&*flow, sorted(64, 1500, threshold, 3), &Solo);
        let z: Vec<f64> = filter.islands.iter().map(|i| (i.log_evidence - EXACT).exp()).collect();
        let found = estimate::over_islands(&z, &vec![1.0 / 1500.0; 1500]);
        assert!((found.value - 1.0).abs() < 4.0 * found.standard_error, "{threshold}: mean Z/Z = {found:?}");
    }
}

#[test]
fn resampling_in_order_gives_the_same_bits_on_1_to_8_ranks() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    for (particles, islands, threshold) in [(5003, 1, 0.6), (1500, 3, 1.0), (40, 5, 0.5), (3, 2, 1.0)] {
        let all = |team: &dyn Team| bits(&run(&*flow, sorted(particles, islands, threshold, 8), team), team);
        let alone = all(&Solo);
        for ranks in [2, 3, 5, 7, 8] {
            let many = threads::run(ranks, all);
            assert!(many.iter().all(|m| *m == alone), "{particles} particles, {islands} islands, {ranks} ranks");
        }
    }
}
