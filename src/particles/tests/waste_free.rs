//! Waste-free samplers against a posterior in closed form.

use super::{Tilt, options};
use crate::particles::tempering::{Plan, Rung, Sampler};
use crate::particles::*;
use crate::team::{Solo, Team, threads};

fn climb(target: &Tilt, plan: Plan, frozen: Option<Vec<Rung>>, islands: usize, seed: u64, team: &dyn Team) -> Sampler {
    let options = options(600, islands, Scheme::Systematic, 1.0, seed);
    let mut sampler = Sampler::new(target, plan, options, frozen, team).unwrap();
    while !sampler.done() {
        sampler.step(target, team).unwrap();
    }
    sampler
}

fn plan(kernel: moves::Kernel, chain: usize) -> Plan {
    Plan { kernel, moves: (1, 1), correlation: 0.1, keep: 0.5, chain }
}

#[test]
fn waste_free_samplers_reach_an_asymmetric_posterior_and_its_evidence_for_chains_of_4_to_60_states() {
    let a = vec![3.0, -1.0, 0.5];
    // Prior N(0, I), log-likelihood a·x: log Z = |a|²/2.
    let exact = a.iter().map(|a| 0.5 * a * a).sum::<f64>();
    let target = Tilt(a.clone());
    for (kernel, chain) in [
        (moves::Kernel::RandomWalk, 20),
        (moves::Kernel::RandomWalk, 60),
        (moves::Kernel::Mala, 10),
        (moves::Kernel::Hmc, 4),
    ] {
        let schedule = climb(&target, plan(kernel, chain), None, 1, 1, &Solo).rungs;
        assert!(schedule.iter().all(|r| r.moves == chain - 1) && schedule.len() > 2, "{kernel:?}");
        let sampler = climb(&target, plan(kernel, chain), Some(schedule), 100, 2, &Solo);
        let logs: Vec<f64> = sampler.filter.islands.iter().map(|i| i.log_evidence).collect();
        let found = estimate::evidence(&logs);
        let error = found.spread / 10.0;
        assert!((found.log - exact).abs() < 4.0 * error, "{kernel:?}, {chain}: {} ± {error}, {exact}", found.log);
        assert!(found.spread < 0.5, "{kernel:?}, {chain}: spread {}", found.spread);
        let weights = estimate::island_weights(&logs);
        let (means, variances) = sampler.filter.moments(&Solo);
        for (c, a) in a.iter().enumerate() {
            let mean = estimate::over_islands(&means[c], &weights);
            assert!((mean.value - a).abs() < 4.0 * mean.standard_error, "{kernel:?}, {chain}: {mean:?} against {a}");
            let about = |(m, v): (&f64, &f64)| v + (m - a) * (m - a);
            let second: Vec<f64> = means[c].iter().zip(&variances[c]).map(about).collect();
            let variance = estimate::over_islands(&second, &weights);
            assert!((variance.value - 1.0).abs() < 4.0 * variance.standard_error, "{kernel:?}, {chain}: {variance:?}");
        }
    }
}

#[test]
fn waste_free_samplers_have_the_same_bits_on_1_to_5_ranks() {
    let target = Tilt(vec![2.0, 1.0]);
    let states = |team: &dyn Team| {
        let sampler = climb(&target, plan(moves::Kernel::RandomWalk, 12), None, 3, 4, team);
        let mut mine = Vec::new();
        for (t, place) in sampler.filter.layout.places.iter().enumerate() {
            mine.extend((0..place.len).map(|i| sampler.filter.population.at(t, 0, i).to_bits()));
        }
        let mut all = team.gather(&mine);
        all.extend(sampler.rungs.iter().flat_map(|r| [r.lambda.to_bits(), r.tuning.scale.to_bits()]));
        all.extend(sampler.filter.islands.iter().map(|i| i.log_evidence.to_bits()));
        all
    };
    let alone = states(&Solo);
    for ranks in [2, 3, 5] {
        assert!(threads::run(ranks, states).iter().all(|s| *s == alone), "{ranks} ranks");
    }
}
