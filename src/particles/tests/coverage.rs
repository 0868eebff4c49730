//! Errors from one run alone against the truth: how often intervals cover it, and what islands say.

use super::{EXACT, options, run, ten};
use crate::particles::*;
use crate::solvers::smc::models::Proposal;
use crate::team::{Solo, Team, threads};

#[test]
fn nominal_95_percent_intervals_from_one_run_cover_92_to_98_percent_of_400_replicates() {
    // Ten observations of a linear Gaussian model, multinomial resampling at every step: the evidence and the last filtering
    // mean of Kalman's filter, 3000 particles, of which 100 at least have descendants.
    let (model, data) = ten();
    let truth = model.exact(&data).unwrap().means[9];
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let (mut evidences, mut means, mut fewest) = (0, 0, u64::MAX);
    for seed in 0..400 {
        let filter = run(&*flow, options(3000, 1, Scheme::Multinomial, 1.0, 5000 + seed), &Solo);
        let alone = filter.descent().lee_whiteley(&Solo)[0];
        fewest = fewest.min(alone.eves);
        let (low, high) = alone::interval(filter.islands[0].log_evidence, alone.relative_variance.sqrt()).unwrap();
        evidences += usize::from(low <= EXACT && EXACT <= high);
        let mean = filter.means(&Solo, |t, i| filter.population.at(t, 0, i));
        let error = filter.descent().chan_lai(0, &mean, &Solo)[0];
        means += usize::from((mean[0] - truth).abs() <= 1.96 * error);
    }
    assert!(fewest >= alone::FEWEST_EVES_OF_A_MEAN, "{fewest} eves");
    assert!((368..=392).contains(&evidences), "evidence: {evidences} of 400");
    assert!((368..=392).contains(&means), "mean: {means} of 400");
}

#[test]
fn the_error_of_chan_and_lai_is_the_spread_of_means_between_islands() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let islands = 400;
    for scheme in [Scheme::Multinomial, Scheme::Systematic] {
        let filter = run(&*flow, options(1000, islands, scheme, 1.0, 21), &Solo);
        let means = filter.means(&Solo, |t, i| filter.population.at(t, 0, i));
        let found = filter.descent().chan_lai(0, &means, &Solo);
        let equal = vec![1.0 / islands as f64; islands];
        let centre = estimate::over_islands(&means, &equal).value;
        let between = means.iter().map(|m| (m - centre) * (m - centre)).sum::<f64>() / (islands - 1) as f64;
        let squares: Vec<f64> = found.iter().map(|e| e * e).collect();
        let mean = estimate::over_islands(&squares, &equal);
        if scheme == Scheme::Multinomial {
            // The spread of the variance between islands: √(2/399) of it, and heavier tails.
            let error = (mean.standard_error.powi(2) + 3.0 / islands as f64 * between * between).sqrt();
            assert!((mean.value - between).abs() < 4.0 * error, "{mean:?} against {between} ± {error}");
        } else {
            // A heuristic: systematic resampling makes means better than the estimate says.
            assert!(mean.value > between && mean.value < 4.0 * between, "{mean:?} against {between}");
        }
    }
    let options = || options(500, 3, Scheme::Multinomial, 1.0, 12);
    let errors = |team: &dyn Team| {
        let filter = run(&*flow, options(), team);
        let means = filter.means(team, |t, i| filter.population.at(t, 0, i));
        filter.descent().chan_lai(0, &means, team)
    };
    let one = errors(&Solo);
    for ranks in [2, 3, 5] {
        assert!(threads::run(ranks, errors).iter().all(|many| *many == one), "{ranks} ranks");
    }
}

#[test]
fn an_interval_is_refused_above_a_spread_of_0_35_and_is_that_of_a_lognormal_law_below() {
    assert_eq!(alone::interval(-3.0, 0.36), None);
    // ln Z = ln Ẑ + s²/2 ± 1.96 s at s = 0.2: −2.98 ± 0.392.
    let (low, high) = alone::interval(-3.0, 0.2).unwrap();
    assert!((low + 3.372).abs() < 1e-4 && (high + 2.588).abs() < 1e-4, "{low} {high}");
}
