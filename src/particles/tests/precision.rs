//! States in single precision: the numbers of double precision within their errors, the same bits on any number of ranks.

use super::{EXACT, options, run, ten};
use crate::particles::*;
use crate::solvers::smc::models::Proposal;
use crate::team::{Solo, Team, threads};

/// Three autoregressions, one observed: states go two by two, with one left over.
struct Three;

impl FeynmanKac for Three {
    fn dimension(&self) -> usize {
        3
    }
    fn horizon(&self) -> usize {
        6
    }
    fn initial(&self, at: &Draws, x: &mut Tile<'_>, _: &mut [f64]) {
        (0..3).for_each(|c| at.normals(c as u32, x.coordinate_mut(c)));
    }
    fn mutate(&self, _: usize, at: &Draws, previous: View<'_>, x: &mut Tile<'_>, _: &mut [f64]) {
        for c in 0..3 {
            at.normals(c as u32, x.coordinate_mut(c));
            let with = previous.coordinate((c + 1) % 3);
            x.coordinate_mut(c)
                .iter_mut()
                .zip(previous.coordinate(c))
                .zip(with)
                .for_each(|((x, p), q)| *x += 0.6 * p - 0.3 * q);
        }
    }
    fn log_potential(&self, step: usize, _: View<'_>, x: View<'_>, w: &mut [f64]) {
        for (w, x) in w.iter_mut().zip(x.coordinate(1)) {
            *w -= (x - 0.4 * step as f64).powi(2);
        }
    }
}

fn single(particles: usize, islands: usize, scheme: Scheme, threshold: f64) -> Options {
    Options { precision: Precision::F32, ..options(particles, islands, scheme, threshold, 8) }
}

/// States, weights and ancestors in global order, and the islands' numbers.
fn bits(filter: &Filter, team: &dyn Team) -> Vec<u64> {
    let mut mine = Vec::new();
    for (t, place) in filter.layout.places.iter().enumerate() {
        for i in 0..place.len {
            mine.extend((0..3).map(|c| filter.population.at(t, c, i).to_bits()));
            mine.push(filter.population.log_weights[filter.layout.at(t, i)].to_bits());
            mine.push(filter.population.ancestors.as_ref().unwrap()[filter.layout.at(t, i)]);
            mine.push(filter.population.eves.as_ref().unwrap()[filter.layout.at(t, i)]);
        }
    }
    let mut all = team.gather(&mine);
    all.extend(filter.islands.iter().flat_map(|i| [i.log_evidence.to_bits(), i.ess.to_bits()]));
    all
}

#[test]
fn single_precision_has_the_same_bits_on_1_to_7_ranks_and_sends_half_the_states() {
    for (particles, islands, scheme) in
        [(5003, 1, Scheme::Systematic), (700, 3, Scheme::Multinomial), (1500, 2, Scheme::Ssp)]
    {
        let of = |team: &dyn Team| run(&Three, single(particles, islands, scheme, 1.0), team);
        let alone = of(&Solo);
        let rounded = (0..100).all(|i| f64::from(alone.population.at(0, 2, i) as f32) == alone.population.at(0, 2, i));
        assert!(rounded, "states are of single precision");
        let alone = bits(&alone, &Solo);
        for ranks in [2, 3, 7] {
            assert!(
                threads::run(ranks, |team| bits(&of(team), team)).iter().all(|b| *b == alone),
                "{scheme:?}, {ranks}"
            );
        }
    }
    // A particle is 2 + 1 words, with an eve and 3 coordinates 2 + 1 + 3 or 2 + 1 + 2.
    let sent = |precision: Precision| -> u64 {
        let options = || Options { precision, ..options(20_000, 1, Scheme::Systematic, 1.0, 8) };
        threads::run(4, |team| run(&Three, options(), team).traffic.bytes).iter().sum()
    };
    let (double, single) = (sent(Precision::F64), sent(Precision::F32));
    assert!(single > 0 && (single as f64 / double as f64 - 5.0 / 6.0).abs() < 0.1, "{single} of {double}");
}

#[test]
fn evidence_and_means_in_single_precision_are_those_in_double_within_a_tenth_of_their_error() {
    // The same random numbers: what differs is the rounding of states, 6e-8 of them.
    let (model, data) = ten();
    for proposal in [Proposal::Bootstrap, Proposal::Auxiliary] {
        let flow = model.flow(&data, proposal).unwrap();
        let found = [Precision::F64, Precision::F32].map(|precision| {
            let filter = run(&*flow, Options { precision, ..options(1000, 16, Scheme::Systematic, 0.5, 8) }, &Solo);
            let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
            let weights = estimate::island_weights(&logs);
            (estimate::evidence(&logs), estimate::over_islands(&filter.moments(&Solo).0[0], &weights))
        });
        let [(double, mean), (single, rounded)] = found;
        let error = double.spread / 4.0;
        assert!((single.log - EXACT).abs() < 4.0 * error, "{single:?}");
        // One particle more or less at a tooth of the comb moves an island by 1/N.
        assert!(single.log != double.log && (single.log - double.log).abs() < 0.1 * error, "{single:?} {double:?}");
        assert!((mean.value - rounded.value).abs() < 0.1 * mean.standard_error, "{mean:?} {rounded:?}");
    }
}
