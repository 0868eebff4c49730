//! Predictive laws against Kalman's, on any number of ranks.

use std::path::Path;

use super::chains_tests::ended;
use super::exact::kalman::Transition;
use super::exact::walk_of_ten;
use super::gibbs::Gibbs;
use super::pmmh::Chain;
use super::setup::{Posed, pose};
use super::smc_squared::Squared;
use crate::input::Input;
use crate::math::simd::Level;
use crate::particles::chains::mixing;
use crate::solvers::Solver;
use crate::team::{Solo, Team, threads};

/// Ten observations, of which the fifth is missing.
fn values() -> Vec<f64> {
    let mut y = walk_of_ten().1;
    y[4] = f64::NAN;
    y
}

fn input(problem: &str, method: &str) -> Input {
    let text = format!("solver = \"smc\"\n[run]\nseed = 5\n[problem]\n{problem}\n[method]\n{method}\n");
    Input::parse(Path::new("predicted.toml"), &text, &[]).unwrap()
}

/// Mean and variance of y_k given what was seen before, k = 0 … 9 and four times more.
fn exact() -> Vec<(f64, f64)> {
    let (model, _) = walk_of_ten();
    let mut y = values();
    y.extend([f64::NAN; 4]);
    let found = model.filter(&y).unwrap();
    let of = |k: usize| {
        let (m, p) = match k {
            0 => (0.0, 1.0),
            _ => (0.9 * found.filtered[k - 1].mean[0], 0.81 * found.filtered[k - 1].covariance[0] + 0.25),
        };
        (m, p + 0.49)
    };
    (0..14).map(of).collect()
}

/// Of every time, what a filter with `method` says before it sees it: mean, error, sd, error, pit, and the 0.9 quantile.
fn said(method: &str, team: &dyn Team) -> Vec<Vec<f64>> {
    let list: Vec<String> = values().iter().map(|y| if y.is_nan() { "nan".into() } else { y.to_string() }).collect();
    let problem = format!(
        "model = {{ kind = \"linear_gaussian\", coefficient = 0.9, state_sd = 0.5, observation_sd = 0.7, initial_sd = 1.0 }}\n\
         observations = {{ values = [{}] }}\npredict = {{ steps = 4 }}\nquantiles = [0.9]",
        list.join(", ")
    );
    let input = input(&problem, method);
    let mut solver = super::setup::build(&input, team).unwrap();
    let mut all = Vec::new();
    while !solver.reached() {
        solver.step(0, team).unwrap();
        solver.measure(team).unwrap();
        let record = solver.record();
        let value = |name: &str| record.iter().find(|r| r.0.name == name).unwrap().1;
        let names = ["mean", "mean_error", "sd", "sd_error"].map(|n| format!("predicted_{n}_y"));
        let mut numbers: Vec<f64> = names.iter().map(|n| value(n)).collect();
        numbers.extend([value("pit_y"), value("predicted_quantile_0.9_y"), value("log_evidence"), value("time")]);
        all.push(numbers);
    }
    all
}

#[test]
fn observations_are_predicted_as_by_kalman_within_four_standard_errors_one_step_ahead_and_after_the_data() {
    let exact = exact();
    let y = values();
    for method in [
        "particles = 3000",
        "name = \"guided\"\nparticles = 3000\nresampling = \"ssp\"",
        "name = \"auxiliary\"\nparticles = 3000\ness_threshold = 1",
        "particles = 3000\nprecision = \"f32\"",
    ] {
        let said = said(method, &Solo);
        assert_eq!(said.len(), 14, "{method}");
        for (k, (said, (mean, variance))) in said.iter().zip(&exact).enumerate() {
            let [m, m_error, sd, sd_error, pit, quantile, log, time] = said[..] else { panic!("eight numbers") };
            assert!((m - mean).abs() < 4.0 * m_error && m_error < 0.02, "{method}, {k}: mean {m} ± {m_error}, {mean}");
            let truth = variance.sqrt();
            assert!(
                (sd - truth).abs() < 4.0 * sd_error && sd_error < 0.02,
                "{method}, {k}: {sd} ± {sd_error}, {truth}"
            );
            // 1.2815516 deviations. Of 48 000 draws with two thirds of the effective sample size, √(0.9 · 0.1) over the density
            // there, 0.1755, over their root is 0.0095 of one.
            let bound = 4.0 * (0.0095 * truth + m_error);
            assert!((quantile - mean - 1.2815516 * truth).abs() < bound, "{method}, {k}: {quantile}");
            match y.get(k).filter(|y| !y.is_nan()) {
                Some(y) => {
                    let expected = normal_cdf((y - mean) / truth);
                    assert!((pit - expected).abs() < 0.012, "{method}, {k}: {pit} against {expected}");
                }
                None => assert!(pit.is_nan(), "{method}, {k}: {pit}"),
            }
            assert_eq!(time, k as f64);
            assert!(log.is_finite());
        }
        // Nothing is seen after the data.
        assert!((said[13][6] - said[9][6]).abs() < 1e-9, "{method}");
    }
}

/// Φ by Simpson's rule.
fn normal_cdf(x: f64) -> f64 {
    let n = 2000;
    let h = x / f64::from(n);
    let f = |k: i32| (-0.5 * (f64::from(k) * h).powi(2)).exp() / std::f64::consts::TAU.sqrt();
    let inner: f64 = (1..n).map(|k| f(k) * if k % 2 == 1 { 4.0 } else { 2.0 }).sum();
    0.5 + h / 3.0 * (f(0) + inner + f(n))
}

#[test]
fn predictions_have_the_same_bits_on_1_to_5_ranks() {
    let bits = |all: Vec<Vec<f64>>| all.concat().iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
    for method in
        ["name = \"auxiliary\"\nparticles = 130\nislands = 3", "particles = 2100\nislands = 2\nprecision = \"f32\""]
    {
        let alone = bits(said(method, &Solo));
        for ranks in [2, 3, 5] {
            assert!(threads::run(ranks, |team| bits(said(method, team))).iter().all(|m| *m == alone), "{ranks} ranks");
        }
    }
}

const WRITTEN: &str = "observations = { values = [0.3, -0.5, 1.2, 0.8, -0.1, -1.4, -0.9, 0.2, 1.1, 0.6] }\n\
    predict = { steps = 3 }\n[problem.model]\nkind = \"written\"\nstates = [\"x\"]\nparameters = { a = 0.9, q = 0.5 }\n\
    noises = { n = { distribution = \"normal\" } }\ninitial = { x = \"n\" }\ntransition = { x = \"a*x + q*n\" }\n\
    observation = { y = { distribution = \"normal\", mean = \"x\", sd = 0.7 } }\n[problem.model.priors]\n\
    a = { distribution = \"uniform\", low = 0.0, high = 1.0 }\n\
    q = { distribution = \"lognormal\", log_mean = -0.7, log_sd = 0.5 }";

/// Mean and variance of each of the ten observations given those before it, and of the three after, parameters integrated out:
/// the midpoint rule on 100 × 120 points of a and ln q through Kalman's filter.
fn integrated() -> Vec<(f64, f64)> {
    let (mut model, mut y) = walk_of_ten();
    y.extend([f64::NAN; 3]);
    let (mut total, mut first, mut second) = ([0.0; 13], [0.0; 13], [0.0; 13]);
    for i in 0..100 {
        for j in 0..120 {
            let (a, log_q) = ((f64::from(i) + 0.5) / 100.0, -3.2 + 5.0 * (f64::from(j) + 0.5) / 120.0);
            let q = log_q.exp();
            model.transitions = vec![Transition { matrix: vec![a], shift: vec![0.0], covariance: vec![q * q] }];
            let found = model.filter(&y).unwrap();
            let z = (log_q + 0.7) / 0.5;
            let mut log = -0.5 * z * z;
            for (k, predicted) in found.predicted.iter().enumerate() {
                let (m, p) = (predicted.mean[0], predicted.covariance[0]);
                let weight = log.exp();
                total[k] += weight;
                first[k] += weight * m;
                second[k] += weight * (m * m + p + 0.49);
                log += found.increments[k];
            }
        }
    }
    (0..13).map(|k| (first[k] / total[k], second[k] / total[k] - (first[k] / total[k]).powi(2))).collect()
}

/// Means and variances of chains of draws are the truth within four standard errors.
fn hold(draws: &[Vec<f64>], (mean, variance): (f64, f64), what: &str) {
    let found = mixing(draws).unwrap();
    assert!((found.mean - mean).abs() < 4.0 * found.error(), "{what}: mean {found:?} against {mean}");
    let squares: Vec<Vec<f64>> = draws.iter().map(|c| c.iter().map(|x| (x - mean) * (x - mean)).collect()).collect();
    let square = mixing(&squares).unwrap();
    assert!((square.mean - variance).abs() < 4.0 * square.error(), "{what}: {square:?} against {variance}");
}

#[test]
fn pmmh_predicts_as_kalman_with_parameters_integrated_out() {
    let input = input(WRITTEN, "name = \"pmmh\"\nparticles = 100\nislands = 2\niterations = 8000\nwarm_up = 1000");
    let Ok(Posed::Chain(posed)) = pose(&input) else { panic!("a chain") };
    let mut chain = Chain::new(&input, posed, Level::detect(), &Solo).unwrap();
    while !chain.reached() {
        chain.step(0, &Solo).unwrap();
    }
    assert_eq!(chain.predicted.len(), 8000 * 3);
    for (h, truth) in integrated().into_iter().skip(10).enumerate() {
        let draws: Vec<f64> = chain.predicted.iter().skip(h).step_by(3).copied().collect();
        hold(&[draws], truth, &format!("{} times ahead", h + 1));
    }
    let report = chain.report();
    assert!(report.iter().any(|n| n.name == "posterior_predictive_y"), "{report:?}");
}

fn gibbs(problem: &str, method: &str, team: &dyn Team) -> Gibbs {
    ended(&input(problem, &format!("name = \"particle_gibbs\"\n{method}")), team)
}

#[test]
fn particle_gibbs_predicts_as_kalman_with_parameters_integrated_out_and_replicates_as_the_smoother_without() {
    let chains = gibbs(WRITTEN, "particles = 10\niterations = 3000\nwarm_up = 500\nislands = 4\nthin = 1", &Solo);
    let of = |chains: &Gibbs, t: usize, times: usize| -> Vec<Vec<f64>> {
        (0..4).map(|c| chains.predicted.iter().skip(c * times + t).step_by(4 * times).copied().collect()).collect()
    };
    for (h, truth) in integrated().into_iter().skip(10).enumerate() {
        hold(&of(&chains, 10 + h, 13), truth, &format!("{} times ahead", h + 1));
    }
    // At fixed parameters: y of a time given all data is the smoothed state and the noise.
    let fixed = "model = { kind = \"linear_gaussian\", coefficient = 0.9, state_sd = 0.5, observation_sd = 0.7, initial_sd = 1.0 }\n\
        observations = { values = [0.3, -0.5, 1.2, 0.8, -0.1, -1.4, -0.9, 0.2, 1.1, 0.6] }\npredict = { steps = 1 }";
    let chains = gibbs(fixed, "particles = 20\niterations = 2000\nwarm_up = 100\nislands = 4\nthin = 1", &Solo);
    for t in [0, 4, 9] {
        let (mean, variance) = super::smoothing_tests::exact(t, 10);
        hold(&of(&chains, t, 11), (mean, variance + 0.49), &format!("time {t}"));
    }
    let (mean, variance) = super::smoothing_tests::exact(9, 10);
    hold(&of(&chains, 10, 11), (0.9 * mean, 0.81 * variance + 0.25 + 0.49), "after the data");
}

fn squared(method: &str, team: &dyn Team) -> (Squared, Vec<Vec<f64>>) {
    let input = input(WRITTEN, &format!("name = \"smc_squared\"\n{method}"));
    let Ok(Posed::Squared(posed)) = pose(&input) else { panic!("SMC²") };
    let mut squared = Squared::new(&input, posed, Level::detect(), team);
    let mut said = Vec::new();
    while !squared.reached() {
        squared.step(0, team).unwrap();
        let record = squared.record();
        let value = |name: &str| record.iter().find(|r| r.0.name == name).unwrap().1;
        let names = ["predicted_mean_y", "predicted_mean_error_y", "predicted_sd_y", "predicted_sd_error_y", "pit_y"];
        said.push(names.iter().map(|n| value(n)).collect());
    }
    squared.finish(team).unwrap();
    (squared, said)
}

#[test]
fn smc_squared_predicts_as_kalman_with_parameters_integrated_out_one_step_ahead_and_after_the_data() {
    let (exact, y) = (integrated(), walk_of_ten().1);
    let (squared, said) = squared("particles = 100\nparameter_particles = 200\ness_threshold = 0.95", &Solo);
    let near = |what: &str, value: f64, error: f64, truth: f64, most: f64| {
        assert!((value - truth).abs() < 4.0 * error && error < most, "{what}: {value} ± {error}, {truth}");
    };
    for (k, (said, (mean, variance))) in said.iter().zip(&exact).enumerate() {
        near(&format!("mean of {k}"), said[0], said[1], *mean, 0.02);
        near(&format!("deviation of {k}"), said[2], said[3], variance.sqrt(), 0.02);
        // Near a normal law, whose parameters vary.
        let expected = normal_cdf((y[k] - mean) / variance.sqrt());
        assert!((said[4] - expected).abs() < 0.03, "{k}: {} against {expected}", said[4]);
    }
    let forecast = squared.forecast.as_ref().unwrap();
    for (h, (mean, variance)) in exact[10..].iter().enumerate() {
        let [m, sd] = forecast.found[h][0];
        near(&format!("mean {h} after"), m.value, m.standard_error, *mean, 0.02);
        near(&format!("deviation {h} after"), sd.value, sd.standard_error, variance.sqrt(), 0.02);
        let draws = |i: usize| forecast.draws[i * 600..(i + 1) * 600].iter().skip(h).step_by(3).copied().collect();
        hold(&(0..16).map(draws).collect::<Vec<Vec<f64>>>(), (*mean, *variance), &format!("draws {h} after"));
    }
    assert!(squared.report().iter().any(|n| n.name == "forecast_mean_y"));
}

#[test]
fn what_smc_squared_predicts_has_the_same_bits_on_1_to_5_ranks() {
    let one = |team: &dyn Team| {
        let method = "particles = 30\nparameter_particles = 9\nislands = 2\ness_threshold = 0.8\nparameter_moves = 2";
        let (squared, said) = squared(method, team);
        let forecast = squared.forecast.as_ref().unwrap();
        let found = forecast.found.iter().flatten().flatten().flat_map(|e| [e.value, e.standard_error]);
        let all = said.concat().into_iter().chain(found).chain(forecast.draws.iter().copied());
        all.map(f64::to_bits).collect::<Vec<u64>>()
    };
    let alone = one(&Solo);
    assert_eq!(alone.len(), 10 * 5 + 3 * 4 + 18 * 3);
    for ranks in [2, 3, 5] {
        assert!(threads::run(ranks, one).iter().all(|m| *m == alone), "{ranks} ranks");
    }
}

#[test]
fn keys_of_predictions_that_are_not_of_the_method_are_refused() {
    let pmmh = "name = \"pmmh\"\nparticles = 20";
    let refused = |problem: &str, method: &str| pose(&input(problem, method)).err().unwrap().to_string();
    for (from, to, method, words) in [
        ("steps = 3", "steps = 3, draws = 5", pmmh, ["problem.predict.draws", "= 5", "allowed are steps and interval"]),
        ("steps = 3", "steps = 3, file = \"x.csv\"", "particles = 20", ["problem.predict.file", "x.csv", "written"]),
        ("steps = 3", "steps = 0", pmmh, ["problem.predict.steps", "= 0", "pmmh"]),
        ("predict", "quantiles = [0.5]\npredict", pmmh, ["problem.quantiles", "[0.5]", "\"pmmh\""]),
    ] {
        let message = refused(&WRITTEN.replacen(from, to, 1), method);
        for word in words {
            assert!(message.contains(word), "{message:?} does not say {word:?}");
        }
    }
}

#[test]
fn predictive_draws_of_chains_have_the_same_bits_on_1_to_3_ranks() {
    let bits = |x: &[f64]| x.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
    let one = |team: &dyn Team| {
        bits(&gibbs(WRITTEN, "particles = 8\niterations = 20\nwarm_up = 5\nislands = 3\nthin = 3", team).predicted)
    };
    let alone = one(&Solo);
    assert_eq!(alone.len(), 6 * 3 * 13);
    let chain = |team: &dyn Team| {
        let input = input(WRITTEN, "name = \"pmmh\"\nparticles = 130\nislands = 2\niterations = 20\nwarm_up = 10");
        let Ok(Posed::Chain(posed)) = pose(&input) else { panic!("a chain") };
        let mut chain = Chain::new(&input, posed, Level::detect(), team).unwrap();
        while !chain.reached() {
            chain.step(0, team).unwrap();
        }
        bits(&chain.predicted)
    };
    let walked = chain(&Solo);
    for ranks in [2, 3] {
        assert!(threads::run(ranks, one).iter().all(|m| *m == alone), "{ranks} ranks");
        assert!(threads::run(ranks, chain).iter().all(|m| *m == walked), "{ranks} ranks");
    }
}
