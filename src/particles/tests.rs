//! The filter against Kalman's, on any number of ranks, with every scheme.

use std::sync::Arc;

use super::*;
use crate::math::simd::Level;
use crate::solvers::smc::data::Observations;
use crate::solvers::smc::models::{Built, BuiltIn, Proposal, StateSpace, linear_gaussian, stochastic_volatility};
use crate::team::{Solo, Team, threads};

mod coverage;
mod precision;
mod sorting;
mod waste_free;

/// x_0 ~ N(0, 1), x' = 0.9 x + N(0, 0.25), y = x + N(0, 0.49), ten observations.
fn ten() -> (Box<dyn StateSpace>, Arc<Observations>) {
    let input = linear_gaussian::Input {
        coefficient: 0.9,
        state_sd: 0.5,
        gain: 1.0,
        observation_sd: 0.7,
        initial_mean: 0.0,
        initial_sd: Some(1.0),
    };
    let values = vec![0.3, -0.5, 1.2, 0.8, -0.1, -1.4, -0.9, 0.2, 1.1, 0.6];
    let data = Observations { components: 1, times: (0..10).map(f64::from).collect(), values };
    (built(&input), Arc::new(data))
}

fn built(input: &impl BuiltIn) -> Box<dyn StateSpace> {
    match input.build(&|_, _, _| unreachable!("no files")) {
        Ok(Built::StateSpace(model)) => model,
        _ => panic!("a state-space model"),
    }
}

const EXACT: f64 = -13.441513208280;

fn options(particles: usize, islands: usize, scheme: Scheme, threshold: f64, seed: u64) -> Options {
    let made = Options::new(particles, islands, seed, Level::detect());
    Options { scheme, threshold, ancestors: true, eves: true, ..made }
}

fn run(model: &dyn FeynmanKac, options: Options, team: &dyn Team) -> Filter {
    let mut filter = Filter::new(model, options, team);
    for _ in 0..model.horizon() {
        filter.step(model, team).unwrap();
    }
    filter
}

#[test]
fn kalman_gives_the_published_evidence_minus_13_441513208280() {
    let (model, data) = ten();
    let exact = model.exact(&data).unwrap();
    assert!((exact.log_evidence - EXACT).abs() < 1e-11, "{}", exact.log_evidence);
    assert!((exact.means[9] - 0.477425665741).abs() < 1e-11 && (exact.variances[9] - 0.231030094587).abs() < 1e-11);
}

#[test]
fn every_scheme_and_proposal_is_unbiased_for_the_evidence_within_four_standard_errors() {
    let (model, data) = ten();
    let schemes = [Scheme::Systematic, Scheme::Stratified, Scheme::Residual, Scheme::Multinomial, Scheme::Ssp];
    for proposal in [Proposal::Bootstrap, Proposal::Guided, Proposal::Auxiliary] {
        let flow = model.flow(&data, proposal).unwrap();
        for scheme in schemes {
            for threshold in [0.5, 1.0] {
                let islands = 1500;
                let filter = run(&*flow, options(64, islands, scheme, threshold, 3), &Solo);
                let z: Vec<f64> = filter.islands.iter().map(|i| (i.log_evidence - EXACT).exp()).collect();
                let mean = z.iter().sum::<f64>() / islands as f64;
                let sd = (z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (islands - 1) as f64).sqrt();
                let error = sd / (islands as f64).sqrt();
                assert!(
                    (mean - 1.0).abs() < 4.0 * error,
                    "{proposal:?} {scheme:?} {threshold}: mean Z/Z = {mean} ± {error}"
                );
            }
        }
    }
}

/// Everything of a filter that must not depend on ranks, in global order.
fn bits(filter: &Filter, team: &dyn Team) -> Vec<u64> {
    let mut mine = Vec::new();
    for (t, place) in filter.layout.places.iter().enumerate() {
        for i in 0..place.len {
            mine.push(filter.population.at(t, 0, i).to_bits());
            mine.push(filter.population.log_weights[filter.layout.at(t, i)].to_bits());
            mine.push(filter.population.ancestors.as_ref().unwrap()[filter.layout.at(t, i)]);
            mine.push(filter.population.eves.as_ref().unwrap()[filter.layout.at(t, i)]);
        }
    }
    let mut all = team.gather(&mine);
    for island in &filter.islands {
        all.extend([island.log_evidence.to_bits(), island.ess.to_bits(), u64::from(island.resampled)]);
    }
    all
}

#[test]
fn one_to_eight_ranks_give_the_same_bits_with_every_scheme_and_triggered_resampling() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    for scheme in [Scheme::Systematic, Scheme::Stratified, Scheme::Residual, Scheme::Multinomial, Scheme::Ssp] {
        for (particles, islands, threshold) in [(5003, 1, 0.6), (1500, 3, 1.0), (40, 5, 0.5)] {
            let options = || options(particles, islands, scheme, threshold, 8);
            let alone = run(&*flow, options(), &Solo);
            assert!(alone.islands.iter().any(|i| i.log_evidence != i.settled));
            let alone = bits(&alone, &Solo);
            for ranks in [2, 3, 5, 7, 8] {
                for all in threads::run(ranks, |team| bits(&run(&*flow, options(), team), team)) {
                    assert!(all == alone, "{scheme:?}, {particles} particles, {islands} islands, {ranks} ranks");
                }
            }
        }
    }
}

#[test]
fn moments_have_the_bits_of_sums_particle_by_particle_on_1_and_3_ranks() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    for (particles, islands, precision) in
        [(5003, 1, Precision::F64), (100, 7, Precision::F64), (1500, 3, Precision::F32)]
    {
        let one = |team: &dyn Team| {
            let options = Options { precision, ..options(particles, islands, Scheme::Systematic, 0.5, 8) };
            let mut filter = run(&*flow, options, team);
            // A particle without weight says nothing, even at infinity.
            let at = filter.layout.at(0, 5);
            filter.population.masses[at] = filter.population.masses[at - 1];
            filter.population.put(0, 0, 5, f64::INFINITY);
            let x = |t: usize, i: usize| filter.population.at(t, 0, i);
            let means = filter.means(team, x);
            let square = |x: f64| x * x;
            let variances = filter.means(team, |t, i| square(x(t, i) - means[filter.layout.places[t].island]));
            assert!(means.iter().chain(&variances).all(|x| x.is_finite()));
            let bits = |x: &[f64]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            let (now, spread) = filter.moments(team);
            assert_eq!((bits(&now[0]), bits(&spread[0])), (bits(&means), bits(&variances)), "{particles} × {islands}");
        };
        one(&Solo);
        threads::run(3, |team| one(team));
    }
}

#[test]
fn an_exact_twist_leaves_log_weights_equal_to_1e_12_and_the_evidence_exact() {
    // The optimal twist of the linear-Gaussian model is quadratic; for one observation ahead it is exact at T = 2.
    let (model, data) = ten();
    let two = Arc::new(Observations { components: 1, times: vec![0.0, 1.0], values: data.values[..2].to_vec() });
    let exact = model.exact(&two).unwrap().log_evidence;
    let flow = model.flow(&two, Proposal::Auxiliary).unwrap();
    let mut filter = Filter::new(&*flow, options(1000, 1, Scheme::Systematic, 1.0, 1), &Solo);
    filter.step(&*flow, &Solo).unwrap();
    filter.step(&*flow, &Solo).unwrap();
    let w = &filter.population.log_weights[..1000];
    assert!(w.iter().all(|x| (x - w[0]).abs() < 1e-12), "weights differ by {:e}", w[1] - w[0]);
    // The first step is not twisted, so the evidence has an error there only.
    assert!((filter.islands[0].log_evidence - exact).abs() < 0.2);
}

#[test]
fn stochastic_volatility_with_missing_observations_keeps_the_evidence_where_none_is_seen() {
    let model = built(&stochastic_volatility::Input { mean: -1.0, persistence: 0.95, volatility: 0.25 });
    let values = vec![0.1, f64::NAN, f64::NAN, -0.3];
    let data = Arc::new(Observations { components: 1, times: vec![0.0, 1.0, 2.0, 3.0], values });
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let mut filter = Filter::new(&*flow, options(500, 2, Scheme::Systematic, 0.5, 1), &Solo);
    let mut evidence = Vec::new();
    for _ in 0..4 {
        filter.step(&*flow, &Solo).unwrap();
        evidence.push(filter.islands[0].log_evidence);
    }
    assert!((evidence[1] - evidence[0]).abs() < 1e-9 && evidence[3] != evidence[2]);
}

/// Particles that stay where they start, standard normal; their log-weights at one step are given.
struct Still<W> {
    horizon: usize,
    step: usize,
    log_weight: W,
}

impl<W: Fn(f64) -> f64 + Send + Sync> FeynmanKac for Still<W> {
    fn dimension(&self) -> usize {
        1
    }
    fn horizon(&self) -> usize {
        self.horizon
    }
    fn initial(&self, at: &Draws, x: &mut Tile<'_>, _: &mut [f64]) {
        at.normals(0, x.coordinate_mut(0));
    }
    fn mutate(&self, _: usize, _: &Draws, previous: View<'_>, x: &mut Tile<'_>, _: &mut [f64]) {
        x.coordinate_mut(0).copy_from_slice(previous.coordinate(0));
    }
    fn log_potential(&self, step: usize, _: View<'_>, x: View<'_>, w: &mut [f64]) {
        if step == self.step {
            w.iter_mut().zip(x.coordinate(0)).for_each(|(w, x)| *w = (self.log_weight)(*x));
        }
    }
}

/// `value` at step 1 beyond 2, and everywhere if it is −∞.
fn broken(value: f64) -> Still<impl Fn(f64) -> f64 + Send + Sync> {
    let log_weight = move |x| if x > 2.0 || value == f64::NEG_INFINITY { value } else { 0.0 };
    Still { horizon: 3, step: 1, log_weight }
}

#[test]
fn a_log_weight_that_is_no_number_and_weights_all_zero_are_told_with_step_and_particle_on_every_rank() {
    for (value, words) in [(f64::NAN, "is NaN"), (f64::INFINITY, "is inf"), (f64::NEG_INFINITY, "weight zero")] {
        let errors = threads::run(3, |team| {
            let model = broken(value);
            let mut filter = Filter::new(&model, options(3000, 1, Scheme::Systematic, 1.0, 1), team);
            filter.step(&model, team).unwrap();
            filter.step(&model, team).unwrap_err().to_string()
        });
        assert!(errors.iter().all(|e| e.contains("step 1") && e.contains(words)), "{errors:?}");
    }
}

#[test]
fn what_crosses_ranks_stays_below_the_copies_made_and_is_counted() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let particles = 65_536;
    let traffic = threads::run(16, |team| {
        let mut filter = Filter::new(&*flow, options(particles, 1, Scheme::Systematic, 1.0, 1), team);
        (0..10).for_each(|_| filter.step(&*flow, team).unwrap());
        (filter.traffic.copies, filter.traffic.crossing, team.gather(&[filter.traffic.bytes, filter.traffic.messages]))
    });
    let (copies, crossing, sent) = &traffic[0];
    let bytes: u64 = sent.iter().step_by(2).sum();
    let messages: u64 = sent.iter().skip(1).step_by(2).sum();
    assert!(*copies > 0 && *copies < particles as u64 && crossing <= copies);
    // 4 words a distinct ancestor; in-place matching moves about 0.011 N at P = 16 for lognormal weights of sd 1.
    assert!(bytes <= crossing * 32, "{bytes} bytes for {crossing} copies");
    assert!((*crossing as f64) < 0.03 * particles as f64, "{crossing} of {particles} cross ranks");
    assert!(messages < 32, "{messages} messages, at most 2P − 1");
}

#[test]
fn nominal_95_percent_intervals_of_the_evidence_cover_92_to_98_percent_of_400_replicates() {
    let (model, data) = ten();
    // Of 400 seeds from 1000 on the third case covers 365, 3.4 standard deviations below 380, and of 8000 it covers 94.9 %: the
    // filters of one seed share their noises, and every scheme covers fewer there. So it is held to 2000.
    for (proposal, scheme, particles, replicates) in [
        (Proposal::Bootstrap, Scheme::Systematic, 300, 400),
        (Proposal::Guided, Scheme::Ssp, 200, 400),
        (Proposal::Guided, Scheme::Ssp, 100, 2000),
    ] {
        let flow = model.flow(&data, proposal).unwrap();
        let (mut covered, mut spreads) = (0, 0.0);
        for seed in 0..replicates {
            let filter = run(&*flow, options(particles, 16, scheme, 0.5, 1000 + seed), &Solo);
            let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
            let found = estimate::evidence(&logs);
            let (low, high) = found.interval.expect("a spread below 0.35");
            covered += usize::from(low <= EXACT && EXACT <= high);
            spreads += found.spread / replicates as f64;
        }
        let share = covered as f64 / replicates as f64;
        let allowed = if replicates == 400 { 0.92..=0.98 } else { 0.93..=0.97 };
        let what = format!("{proposal:?} {scheme:?}, {particles} particles");
        assert!(allowed.contains(&share), "{what}: {covered} of {replicates} (spread {spreads:.3})");
    }
}

#[test]
fn an_interval_is_refused_where_the_islands_spread_by_more_than_0_35() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let filter = run(&*flow, options(4, 16, Scheme::Systematic, 0.5, 1), &Solo);
    let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
    let found = estimate::evidence(&logs);
    assert!(found.spread > 0.35 && found.interval.is_none(), "{found:?}");
}

#[test]
fn filtering_means_and_variances_agree_with_kalman_to_four_standard_errors() {
    let (model, data) = ten();
    let exact = model.exact(&data).unwrap();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let filter = run(&*flow, options(4000, 16, Scheme::Systematic, 0.5, 5), &Solo);
    let team = Solo;
    let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
    let weights = estimate::island_weights(&logs);
    let (means, variances) = filter.moments(&team);
    let mean = estimate::over_islands(&means[0], &weights);
    assert!((mean.value - exact.means[9]).abs() < 4.0 * mean.standard_error, "{mean:?} against {}", exact.means[9]);
    let variance = estimate::over_islands(&variances[0], &weights);
    assert!((variance.value - exact.variances[9]).abs() < 4.0 * variance.standard_error, "{variance:?}");
}

/// With ten particles the mean of the islands' quantiles of level 0.025 would be 0.4 deviations too high, however many islands.
#[test]
fn quantiles_of_all_islands_agree_with_kalman_to_four_standard_errors_from_ten_particles_an_island_on() {
    let (model, data) = ten();
    let exact = model.exact(&data).unwrap();
    let (mean, deviation) = (exact.means[9], exact.variances[9].sqrt());
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    for (particles, islands) in [(4000, 16), (10, 3000)] {
        let filter = run(&*flow, options(particles, islands, Scheme::Systematic, 0.5, 5), &Solo);
        let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
        let weights = estimate::island_weights(&logs);
        let normal = [(0.025, -1.959963984540054), (0.5, 0.0), (0.9, 1.2815515655446004)];
        let found = filter.quantiles(0, &normal.map(|(level, _)| level), &weights, &Solo);
        for ((level, z), q) in normal.into_iter().zip(found) {
            let truth = mean + z * deviation;
            // The error of a quantile is that of the distribution function there over the density.
            let below = filter.means(&Solo, |t, i| if filter.population.at(t, 0, i) <= truth { 1.0 } else { 0.0 });
            let below = estimate::over_islands(&below, &weights);
            let density = (-0.5 * z * z).exp() / (deviation * (2.0 * std::f64::consts::PI).sqrt());
            let error = 4.0 * below.standard_error / density;
            assert!((q - truth).abs() < error, "{particles}, {level}: {q} against {truth} within {error}");
        }
    }
}

#[test]
fn a_quantile_of_islands_is_the_smallest_particle_at_which_their_weighted_distribution_reaches_the_level() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let filter = run(&*flow, options(100, 2, Scheme::Systematic, 0.5, 5), &Solo);
    let weights = [0.25, 0.75];
    let mut all: Vec<(f64, f64)> = Vec::new();
    for (t, place) in filter.layout.places.iter().enumerate() {
        let total = filter.islands[place.island].sums.total as f64;
        let one = |i| (filter.population.at(t, 0, i), weights[place.island] * filter.mass(t, i) as f64 / total);
        all.extend((0..place.len).map(one));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let levels = [1e-9, 0.05, 0.3, 0.5, 0.77, 1.0 - 1e-9];
    for (level, q) in levels.into_iter().zip(filter.quantiles(0, &levels, &weights, &Solo)) {
        let mut sum = 0.0;
        let reached = all.iter().find(|(_, w)| {
            sum += w;
            *w > 0.0 && sum >= level
        });
        assert_eq!(reached.map(|(x, _)| *x), Some(q), "{level}");
    }
}

/// Prior N(0, 1) in each coordinate, log-likelihood Σ a_c x_c (asymmetric): log Z = Σ a²/2, posterior N(a, 1).
struct Tilt(Vec<f64>);

impl Target for Tilt {
    fn dimension(&self) -> usize {
        self.0.len()
    }
    fn draw_prior(&self, at: &Draws, x: &mut Tile<'_>) {
        for c in 0..self.0.len() {
            at.normals(c as u32, x.coordinate_mut(c));
        }
    }
    fn log_prior(&self, x: View<'_>, value: &mut [f64]) {
        for c in 0..self.0.len() {
            for (v, x) in value.iter_mut().zip(x.coordinate(c)) {
                *v -= 0.5 * x * x + 0.5 * std::f64::consts::TAU.ln();
            }
        }
    }
    fn log_likelihood(&self, x: View<'_>, value: &mut [f64]) {
        for (c, a) in self.0.iter().enumerate() {
            for (v, x) in value.iter_mut().zip(x.coordinate(c)) {
                *v += a * x;
            }
        }
    }
    fn has_gradients(&self) -> bool {
        true
    }
    fn gradients(&self, x: View<'_>, prior: &mut Tile<'_>, likelihood: &mut Tile<'_>) {
        for (c, a) in self.0.iter().enumerate() {
            for (p, x) in prior.coordinate_mut(c).iter_mut().zip(x.coordinate(c)) {
                *p -= x;
            }
            likelihood.coordinate_mut(c).iter_mut().for_each(|l| *l += a);
        }
    }
    fn gaussian_prior(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let d = self.0.len();
        Some((vec![0.0; d], (0..d * d).map(|k| f64::from(u8::from(k / d == k % d))).collect()))
    }
}

fn climb(
    target: &dyn Target,
    kernel: moves::Kernel,
    frozen: Option<Vec<tempering::Rung>>,
    islands: usize,
    seed: u64,
    team: &dyn Team,
) -> tempering::Sampler {
    let plan = tempering::Plan { kernel, moves: (3, 40), correlation: 0.1, keep: 0.5, chain: 1 };
    let options = options(600, islands, Scheme::Systematic, 1.0, seed);
    let mut sampler = tempering::Sampler::new(target, plan, options, frozen, team).unwrap();
    while !sampler.done() {
        sampler.step(target, team).unwrap();
    }
    sampler
}

#[test]
fn every_kernel_reaches_an_asymmetric_posterior_and_its_evidence_under_a_frozen_schedule() {
    let a = vec![3.0, -1.0, 0.5];
    let exact = a.iter().map(|a| 0.5 * a * a).sum::<f64>();
    let target = Tilt(a.clone());
    let team = Solo;
    for kernel in [moves::Kernel::RandomWalk, moves::Kernel::Mala, moves::Kernel::Hmc, moves::Kernel::Pcn] {
        let schedule = climb(&target, kernel, None, 1, 1, &team).rungs;
        assert!(schedule.len() > 2, "{kernel:?}: {} powers", schedule.len());
        let sampler = climb(&target, kernel, Some(schedule), 64, 2, &team);
        let logs: Vec<f64> = sampler.filter.islands.iter().map(|i| i.log_evidence).collect();
        let found = estimate::evidence(&logs);
        let error = found.spread / 8.0;
        assert!((found.log - exact).abs() < 4.0 * error, "{kernel:?}: log Z {} ± {error} against {exact}", found.log);
        let weights = estimate::island_weights(&logs);
        let (means, variances) = sampler.filter.moments(&team);
        for (c, a) in a.iter().enumerate() {
            let mean = estimate::over_islands(&means[c], &weights);
            assert!((mean.value - a).abs() < 4.0 * mean.standard_error, "{kernel:?}: mean {c} {mean:?} against {a}");
            let v = estimate::over_islands(&variances[c], &weights);
            assert!((v.value - 1.0).abs() < 4.0 * v.standard_error, "{kernel:?}: variance {c} {v:?}");
        }
    }
}

#[test]
fn a_sampler_has_the_same_bits_on_1_to_5_ranks() {
    let target = Tilt(vec![2.0, 1.0]);
    let states = |team: &dyn Team| {
        let sampler = climb(&target, moves::Kernel::Mala, None, 3, 4, team);
        let mut mine = Vec::new();
        for (t, place) in sampler.filter.layout.places.iter().enumerate() {
            mine.extend((0..place.len).map(|i| sampler.filter.population.at(t, 0, i).to_bits()));
        }
        let mut all = team.gather(&mine);
        all.extend(
            sampler.rungs.iter().flat_map(|r| [r.lambda.to_bits(), r.moves as u64, r.tuning.factor[0].to_bits()]),
        );
        all.extend(sampler.filter.islands.iter().map(|i| i.log_evidence.to_bits()));
        all
    };
    let alone = states(&Solo);
    for ranks in [2, 3, 5] {
        assert!(threads::run(ranks, &states).iter().all(|s| *s == alone), "{ranks} ranks");
    }
}

/// Smoothing means of the ten observations, computed by the Kalman smoother.
const SMOOTHED: [f64; 10] = [
    0.1676603309,
    0.1224441237,
    0.4314478875,
    0.309558378,
    -0.0869197244,
    -0.4769484792,
    -0.3490048244,
    0.0874165407,
    0.4609863779,
    0.4774256657,
];

fn smoothed(backward: bool, pruned: bool, team: &dyn Team) -> (Vec<Vec<f64>>, usize) {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let mut filter = Filter::new(&*flow, options(1500, 16, Scheme::Systematic, 0.5, 6), team);
    let mut history = history::History::new(&filter);
    for _ in 0..10 {
        filter.step(&*flow, team).unwrap();
        history.push(&filter);
        if pruned {
            history.prune(&filter, team);
        }
    }
    let count = 100;
    let means = (0..16)
        .map(|island| {
            let paths = if backward {
                history.backward(&*flow, &filter, island, count, team).unwrap()
            } else {
                history.trace(&filter, island, count, team)
            };
            (0..10).map(|t| (0..count).map(|k| paths.at(k, t, 0)).sum::<f64>() / count as f64).collect()
        })
        .collect();
    (means, history.len())
}

#[test]
fn paths_by_ancestors_and_by_backward_simulation_have_the_means_of_the_kalman_smoother() {
    let mut kept = Vec::new();
    for (backward, pruned) in [(false, false), (false, true), (true, false)] {
        let (means, states) = smoothed(backward, pruned, &Solo);
        kept.push(states);
        for t in 0..10 {
            let of: Vec<f64> = means.iter().map(|m| m[t]).collect();
            let found = estimate::over_islands(&of, &[1.0 / 16.0; 16]);
            let error = (found.value - SMOOTHED[t]).abs();
            assert!(
                error < 4.0 * found.standard_error,
                "{backward} {pruned} time {t}: {found:?} against {}",
                SMOOTHED[t]
            );
        }
    }
    // Only particles with descendants are kept.
    assert!(kept[1] * 2 < kept[0], "{} of {} states", kept[1], kept[0]);
}

#[test]
fn paths_have_the_same_bits_on_1_3_and_4_ranks() {
    for (backward, pruned) in [(false, true), (true, false)] {
        let alone = smoothed(backward, pruned, &Solo).0;
        for ranks in [3, 4] {
            for all in threads::run(ranks, |team| smoothed(backward, pruned, team).0) {
                assert!(all == alone, "{ranks} ranks");
            }
        }
    }
}

#[test]
fn the_variance_of_lee_and_whiteley_is_that_between_islands_under_multinomial_resampling_at_every_step() {
    let (model, data) = ten();
    let flow = model.flow(&data, Proposal::Bootstrap).unwrap();
    let islands = 400;
    let filter = run(&*flow, options(1000, islands, Scheme::Multinomial, 1.0, 12), &Solo);
    let alone = filter.descent().lee_whiteley(&Solo);
    let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
    let between = estimate::evidence(&logs).spread.powi(2);
    let v: Vec<f64> = alone.iter().map(|a| a.relative_variance).collect();
    let mean = estimate::over_islands(&v, &vec![1.0 / islands as f64; islands]);
    // The spread of the variance between islands: √(2/399) of it, and heavier tails.
    let error = (mean.standard_error.powi(2) + 3.0 / islands as f64 * between * between).sqrt();
    assert!((mean.value - between).abs() < 4.0 * error, "{mean:?} against {between} ± {error}");
    assert!(alone.iter().all(|a| a.eves >= alone::FEWEST_EVES), "{:?}", alone.iter().map(|a| a.eves).min());
    for ranks in [3, 4] {
        let options = || options(500, 3, Scheme::Multinomial, 1.0, 12);
        let one = run(&*flow, options(), &Solo).descent().lee_whiteley(&Solo);
        for many in threads::run(ranks, |team| run(&*flow, options(), team).descent().lee_whiteley(team)) {
            assert_eq!(many, one);
        }
    }
}

/// P(x > 1) = 0.158655; of four particles none is there in half of the islands. The mean over 4096 islands is unbiased.
#[test]
fn islands_that_lose_all_particles_count_with_an_evidence_of_0() {
    let gate = Still { horizon: 2, step: 0, log_weight: |x| if x > 1.0 { 0.0 } else { f64::NEG_INFINITY } };
    let mut filter = Filter::new(&gate, options(4, 4096, Scheme::Systematic, 0.5, 3), &Solo);
    (0..2).for_each(|_| filter.step(&gate, &Solo).unwrap());
    let logs: Vec<f64> = filter.islands.iter().map(|i| i.log_evidence).collect();
    let dead = logs.iter().filter(|l| **l == f64::NEG_INFINITY).count() as f64 / 4096.0;
    assert!((dead - (1.0f64 - 0.158655).powi(4)).abs() < 4.0 * 0.5 / 64.0, "{dead}");
    let found = super::estimate::evidence(&logs);
    let error = (0.158655f64 * 0.841345 / 16384.0).sqrt();
    assert!((found.log.exp() - 0.158655).abs() < 4.0 * error, "{} ± {error}", found.log.exp());
    // The mean beyond 1 is φ(1)/0.158655 = 1.525135.
    let weights = super::estimate::island_weights(&logs);
    let mean = filter.means(&Solo, |t, i| filter.population.at(t, 0, i));
    let mean = super::estimate::over_islands(&mean, &weights);
    assert!((mean.value - 1.525135).abs() < 4.0 * mean.standard_error && mean.standard_error < 0.02, "{mean:?}");
}

#[test]
fn a_weight_that_is_no_number_is_not_taken_for_zero() {
    let model = broken(f64::NAN);
    let mut filter = Filter::new(&model, options(1, 1, Scheme::Systematic, 1.0, 1), &Solo);
    let mut seed = 1;
    // One particle that is beyond 2.
    while filter.step == 0 || filter.population.at(0, 0, 0) <= 2.0 {
        filter = Filter::new(&model, options(1, 1, Scheme::Systematic, 1.0, seed), &Solo);
        filter.step(&model, &Solo).unwrap();
        seed += 1;
    }
    assert!(filter.step(&model, &Solo).is_err() && !filter.is_extinct());
}
