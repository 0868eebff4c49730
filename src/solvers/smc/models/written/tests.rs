//! Written models: distributions, densities, noises, refusals. Against built-in twins: `models/tests.rs`.

use std::sync::Arc;

use super::super::{Built, ModelInput, Proposal, Refusal, StateSpace};
use super::observation::{binomial, poisson};
use crate::math::rng::Stream;
use crate::math::simd::Level;
use crate::particles::{Draws, FeynmanKac, TILE, Tile, View};
use crate::solvers::smc::data::Observations;

fn build(text: &str) -> Result<Box<dyn StateSpace>, Refusal> {
    let input: ModelInput = toml::from_str(text).map_err(|e| ("toml", e.to_string()))?;
    match input.build(&|_, _, _| Err(("file", "no files here".into())))? {
        Built::StateSpace(model) => Ok(model),
        Built::Sampler(_) => panic!("a state-space model"),
    }
}

fn flow(text: &str, data: &[f64]) -> Box<dyn FeynmanKac> {
    let times = (0..data.len()).map(|k| k as f64).collect();
    let data = Observations { components: 1, times, values: data.to_vec() };
    let model = build(text).unwrap_or_else(|(key, message)| panic!("{key}: {message}"));
    model.flow(&Arc::new(data), Proposal::Bootstrap).map_err(|e| e.1).unwrap()
}

/// A model whose state stays at 0.3 and is observed through `observation`.
fn observing(observation: &str) -> String {
    format!(
        "kind = \"written\"\nstates = [\"x\"]\ninitial = {{ x = 0.3 }}\ntransition = {{ x = \"x\" }}\nobservation = {{ y = {observation} }}"
    )
}

/// ln p(y | x = 0.3) for each y.
fn densities(observation: &str, y: &[f64]) -> Vec<f64> {
    let flow = flow(&observing(observation), y);
    let one = |k| {
        let mut w = [0.0];
        let x = [0.3];
        let view = View::new(Level::detect(), &x, 1, 1);
        flow.log_potential(k, view, view, &mut w);
        w[0]
    };
    (0..y.len()).map(one).collect()
}

/// Draws of y given x = 0.3.
fn sample(observation: &str, n: usize) -> Vec<f64> {
    let flow = flow(&observing(observation), &[f64::NAN]);
    let level = Level::detect();
    let x = [0.3; TILE];
    let mut all = Vec::new();
    while all.len() < n {
        let at = Draws::new(level, 1, Stream::ParticlesData, 0).at(all.len() as u64);
        let mut y = [0.0; TILE];
        assert!(flow.observe(0, &at, View::new(level, &x, TILE, TILE), &mut Tile::new(level, &mut y, TILE, TILE)));
        all.extend(y);
    }
    all
}

/// Distribution of x = 0.3, its support cut where its tails are below 1e-9, mean and variance.
const CONTINUOUS: [(&str, f64, f64, f64, f64); 6] = [
    ("{ distribution = \"normal\", mean = \"x\", sd = \"exp(x)\" }", -15.0, 15.0, 0.3, 1.822118800390509),
    (
        "{ distribution = \"student_t\", location = \"x\", scale = 0.5, degrees = 9 }",
        -60.0,
        60.0,
        0.3,
        0.25 * 9.0 / 7.0,
    ),
    ("{ distribution = \"laplace\", location = \"x\", scale = \"2*x\" }", -29.7, 30.3, 0.3, 0.72),
    ("{ distribution = \"exponential\", rate = \"1 + x\" }", 0.0, 30.0, 1.0 / 1.3, 1.0 / 1.69),
    ("{ distribution = \"gamma\", shape = 3.5, rate = \"1 + x\" }", 0.0, 40.0, 3.5 / 1.3, 3.5 / 1.69),
    ("{ distribution = \"lognormal\", log_mean = \"x\", log_sd = 0.25 }", 0.0, 12.0, 1.3927, 0.1250896),
];

const COUNTS: [(&str, f64, f64); 5] = [
    ("{ distribution = \"poisson\", rate = \"10*x\" }", 3.0, 3.0),
    ("{ distribution = \"poisson\", rate = \"exp(10*x)\" }", 20.085536923187668, 20.085536923187668),
    ("{ distribution = \"negative_binomial\", mean = \"10*x\", dispersion = 2.5 }", 3.0, 3.0 + 9.0 / 2.5),
    ("{ distribution = \"binomial\", trials = 12, probability = \"x\" }", 3.6, 12.0 * 0.3 * 0.7),
    ("{ distribution = \"bernoulli\", probability = \"logistic(x)\" }", 0.5744425168116589, 0.24445831169074586),
];

#[test]
fn continuous_observations_integrate_to_1_with_their_means_and_variances() {
    for (text, low, high, mean, variance) in CONTINUOUS {
        // Midpoints: kinks and ends at 0 lie between them.
        let n = 60_000;
        let h = (high - low) / n as f64;
        let y: Vec<f64> = (0..n).map(|k| low + h * (k as f64 + 0.5)).collect();
        let p: Vec<f64> = densities(text, &y).iter().map(|l| l.exp() * h).collect();
        let total: f64 = p.iter().sum();
        let first: f64 = p.iter().zip(&y).map(|(p, y)| p * y).sum();
        let second: f64 = p.iter().zip(&y).map(|(p, y)| p * (y - mean) * (y - mean)).sum();
        assert!((total - 1.0).abs() < 1e-6, "{text}: {total}");
        assert!((first - mean).abs() < 1e-4, "{text}: mean {first}");
        assert!((second - variance).abs() < 1e-3, "{text}: variance {second}");
    }
}

#[test]
fn counts_sum_to_1_with_their_means_and_variances() {
    for (text, mean, variance) in COUNTS {
        let most = if text.contains("binomial\", trials") { 12 } else { 200 };
        let most = if text.contains("bernoulli") { 1 } else { most };
        let y: Vec<f64> = (0..=most).map(f64::from).collect();
        let p: Vec<f64> = densities(text, &y).iter().map(|l| l.exp()).collect();
        let total: f64 = p.iter().sum();
        let first: f64 = p.iter().zip(&y).map(|(p, y)| p * y).sum();
        let second: f64 = p.iter().zip(&y).map(|(p, y)| p * (y - mean) * (y - mean)).sum();
        assert!((total - 1.0).abs() < 1e-12, "{text}: {total}");
        assert!((first - mean).abs() < 1e-10 && (second - variance).abs() < 1e-9, "{text}: {first} {second}");
    }
}

#[test]
fn large_counts_lie_at_their_quantiles_to_one_count_and_as_many_trials_as_successes_are_possible() {
    // Just above and below where the search ends: the quantile by the distribution function, summed from 10 deviations on.
    let poisson_mass = |rate: f64| move |k: f64| (k * rate.ln() - rate - libm::lgamma(k + 1.0)).exp();
    let binomial_mass = |n: f64, p: f64| {
        let ways = move |k: f64| libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
        move |k: f64| (ways(k) + k * p.ln() + (n - k) * (1.0 - p).ln()).exp()
    };
    let at_quantiles = |mean: f64, sd: f64, mass: &dyn Fn(f64) -> f64, draw: &dyn Fn(f64) -> f64| {
        let levels = [1e-4, 0.02, 0.3, 0.5, 0.7, 0.99, 0.9999];
        let (mut k, mut sum, mut level) = ((mean - 10.0 * sd).floor(), 0.0, 0);
        while level < levels.len() {
            sum += mass(k);
            while level < levels.len() && sum >= levels[level] {
                let found = draw(levels[level]);
                assert!((found - k).abs() <= 1.0, "mean {mean}, level {}: {found}, not {k}", levels[level]);
                level += 1;
            }
            k += 1.0;
        }
    };
    at_quantiles(1.1e6, 1.1e6f64.sqrt(), &poisson_mass(1.1e6), &|u| poisson(1.1e6, u));
    at_quantiles(1.2e6, 1.08e6f64.sqrt(), &binomial_mass(1.2e7, 0.1), &|u| binomial(1.2e7, 0.1, u));
    // By the search: all levels together have the mean and the variance.
    for (mean, variance, draw) in [
        (9e5, 9e5_f64, &(|u| poisson(9e5, u)) as &dyn Fn(f64) -> f64),
        (9e5, 8.1e5, &|u| binomial(9e6, 0.1, u)),
        (1e15, 1e15, &|u| poisson(1e15, u)),
    ] {
        let n = 4000;
        let off: Vec<f64> = (0..n).map(|i| draw((i as f64 + 0.5) / n as f64) - mean).collect();
        let (first, second) = (off.iter().sum::<f64>() / n as f64, off.iter().map(|d| d * d).sum::<f64>() / n as f64);
        assert!(first.abs() < 0.05 * variance.sqrt(), "{mean}: {first}");
        assert!((second / variance - 1.0).abs() < 0.05, "{mean}: {second}");
    }
    assert_eq!((binomial(1e9, 1.0 - 1e-12, 0.999), binomial(1e9, 1e-12, 0.5)), (1e9, 0.0));
}

#[test]
fn draws_of_observations_have_the_means_of_their_densities_to_4_standard_errors() {
    let n = 40 * TILE;
    let all = CONTINUOUS.iter().map(|c| (c.0, c.3, c.4)).chain(COUNTS);
    for (text, mean, variance) in all {
        let y = sample(text, n);
        let found = y.iter().sum::<f64>() / n as f64;
        let spread = y.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / n as f64;
        assert!((found - mean).abs() < 4.0 * (variance / n as f64).sqrt() + 1e-4, "{text}: {found}, not {mean}");
        assert!((spread / variance - 1.0).abs() < 0.08, "{text}: variance {spread}, not {variance}");
    }
}

#[test]
fn noises_have_their_variances() {
    let cases = [
        ("{ distribution = \"normal\" }", 0.0, 1.0),
        ("{ distribution = \"uniform\" }", 0.5, 1.0 / 12.0),
        ("{ distribution = \"student_t\", degrees = 9 }", 0.0, 9.0 / 7.0),
        ("{ distribution = \"laplace\" }", 0.0, 2.0),
        ("{ distribution = \"exponential\" }", 1.0, 1.0),
        ("{ distribution = \"bernoulli\", probability = 0.2 }", 0.2, 0.16),
    ];
    for (noise, mean, variance) in cases {
        let text = format!(
            "kind = \"written\"\nstates = [\"x\"]\nnoises = {{ e = {noise} }}\ninitial = {{ x = \"e\" }}\ntransition = {{ x = \"x\" }}\nobservation = {{ y = {{ distribution = \"normal\", mean = \"x\", sd = 1.0 }} }}"
        );
        let flow = flow(&text, &[f64::NAN]);
        let level = Level::detect();
        let mut all = Vec::new();
        for tile in 0..40u64 {
            let mut x = [0.0; TILE];
            let at = Draws::new(level, 3, Stream::ParticlesInitial, 0).at(tile * TILE as u64);
            flow.initial(&at, &mut Tile::new(level, &mut x, TILE, TILE), &mut [0.0; TILE]);
            all.extend(x);
        }
        let n = all.len() as f64;
        let found = all.iter().sum::<f64>() / n;
        let spread = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        assert!((found - mean).abs() < 4.0 * (variance / n).sqrt(), "{noise}: {found}");
        assert!((spread / variance - 1.0).abs() < 0.05, "{noise}: {spread}");
    }
}

#[test]
fn the_transition_density_is_derived_where_it_can_be() {
    let text = |transition: &str| {
        format!(
            "kind = \"written\"\nstates = [\"x\", \"v\"]\nparameters = {{ s = 0.4 }}\nnoises = {{ a = {{ distribution = \"normal\" }}, b = {{ distribution = \"normal\" }}, c = {{ distribution = \"laplace\" }} }}\ninitial = {{ x = \"a\", v = \"b\" }}\ntransition = {{ {transition} }}\nobservation = {{ y = {{ distribution = \"normal\", mean = \"x\", sd = 1.0 }} }}"
        )
    };
    let has = |t: &str| flow(&text(t), &[0.0, 0.0]).has_transition();
    assert!(has("x = \"x + v*dt + s*a\", v = \"0.9*v - b*exp(x/4)\""));
    assert!(!has("x = \"x + s*a\", v = \"v + a\""), "one noise for both");
    assert!(!has("x = \"x + s*a^2\", v = \"v + b\""), "not linear in the noise");
    assert!(!has("x = \"x + v\", v = \"v + b\""), "a state without noise");
    assert!(!has("x = \"x + a\", v = \"v + c\""), "a noise that is not normal");
    let flow = flow(&text("x = \"x + v*dt + s*a\", v = \"0.9*v - b*exp(x/4)\""), &[0.0, 0.0]);
    let previous = [0.7, -0.2];
    let mut value = [0.0];
    flow.log_transition(1, View::new(Level::detect(), &previous, 1, 1), &[0.6, 0.1], &mut value);
    let normal = |x: f64, m: f64, s: f64| -0.5 * (std::f64::consts::TAU.ln() + ((x - m) / s).powi(2)) - s.ln();
    let exact = normal(0.6, 0.7 - 0.2, 0.4) + normal(0.1, -0.18, (0.7f64 / 4.0).exp());
    assert!((value[0] - exact).abs() < 1e-13, "{} {exact}", value[0]);
}

const GOOD: &str = r#"
kind = "written"
states = ["x"]
parameters = { phi = 0.9 }
noises = { n = { distribution = "normal" } }
initial = { x = "n" }
transition = { x = "phi*x + n" }
observation = { y = { distribution = "normal", mean = "x", sd = 1.0 } }
"#;

#[test]
fn what_cannot_be_meant_is_refused_with_the_key_and_the_character() {
    assert!(build(GOOD).is_ok());
    let cases = [
        ("states = [\"x\"]", "states = []", "states", "at least one state"),
        ("states = [\"x\"]", "states = [\"x\", \"z\"]", "initial", "the state \"z\" has no expression"),
        ("states = [\"x\"]", "states = [\"x\", \"x\"]", "states", "\"x\" is a state already"),
        ("states = [\"x\"]", "states = [\"exp\"]", "states", "already means something"),
        ("states = [\"x\"]", "states = [\"2x\"]", "states", "is not a name"),
        ("phi = 0.9", "phi = \"0.9*\"", "parameters", "phi: the expression ends here"),
        ("phi = 0.9", "phi = \"1/0\"", "parameters", "not a finite number"),
        ("phi = 0.9", "phi = 0.9, n = 1.0", "noises", "\"n\" is a parameter already"),
        ("phi = 0.9", "t = 0.9", "parameters", "\"t\" is the time already"),
        ("\"normal\" }", "\"student_t\", degrees = -1 }", "noises", "n: degrees = -1 must be positive"),
        ("x = \"n\"", "x = \"m\"", "initial", "x: unknown name \"m\""),
        ("x = \"n\"", "z = \"n\"", "initial", "\"z\" is not a state"),
        ("phi*x + n", "phi*x + n)", "transition", "x: this bracket was never opened (at character 10)"),
        ("phi*x + n", "phj*x + n", "transition", "did you mean \"phi\"?"),
        ("phi*x + n", "phi x", "transition", "expected an operator"),
        ("sd = 1.0", "sd = -1.0", "observation", "y.sd = -1 must be positive"),
        ("sd = 1.0", "sd = \"n\"", "observation", "y.sd: unknown name \"n\""),
        ("mean = \"x\"", "mean = \"sinx)\"", "observation", "y.mean: this bracket was never opened"),
    ];
    for (from, to, key, message) in cases {
        assert!(GOOD.contains(from), "{from}");
        let Err((found, said)) = build(&GOOD.replacen(from, to, 1)) else { panic!("{to} was accepted") };
        assert_eq!(found, key, "{to}: {said}");
        assert!(said.contains(message), "{to}: {said}");
    }
    let two = GOOD.replace("observation = {", "observation = { z = { distribution = \"poisson\", rate = 2.0 },");
    assert_eq!(build(&two).err().unwrap().0, "observed");
    assert!(build(&format!("{two}observed = [\"y\", \"z\"]\n")).is_ok());
    assert!(build(&format!("{two}observed = [\"y\"]\n")).err().unwrap().1.contains("\"z\" is missing"));
}

#[test]
fn parameters_of_distributions_out_of_range_are_refused_where_they_are_numbers() {
    let cases = [
        ("\"poisson\", rate = -1.0", "y.rate = -1 must be positive"),
        ("\"gamma\", shape = -0.5, rate = 1.0", "y.shape = -0.5 must be positive"),
        ("\"negative_binomial\", mean = 1.0, dispersion = \"1/0\"", "y.dispersion = inf must be positive"),
        ("\"bernoulli\", probability = 1.5", "y.probability = 1.5 must be between 0 and 1"),
        ("\"binomial\", trials = 5, probability = -0.1", "y.probability = -0.1 must be between 0 and 1"),
        ("\"binomial\", trials = 4.5, probability = 0.1", "y.trials = 4.5 must be a whole number ≥ 1"),
        ("\"normal\", mean = \"1/0\", sd = 1.0", "y.mean = inf must be finite"),
    ];
    for (law, message) in cases {
        let Err((key, said)) = build(&observing(&format!("{{ distribution = {law} }}"))) else { panic!("{law}") };
        assert!(key == "observation" && said.contains(message), "{law}: {said}");
    }
}

#[test]
fn densities_at_parameters_of_the_state_out_of_range_are_nan_and_at_the_ends_of_the_range_their_limits() {
    let nan = f64::NAN;
    let never = f64::NEG_INFINITY;
    // At x = 0.3; each with the y and ln p(y).
    let cases: [(&str, [(f64, f64); 2]); 15] = [
        ("\"poisson\", rate = \"x - 1\"", [(0.0, nan), (2.0, nan)]),
        ("\"poisson\", rate = \"max(x - 1, 0)\"", [(0.0, 0.0), (2.0, never)]),
        ("\"negative_binomial\", mean = \"x - 1\", dispersion = 2", [(0.0, nan), (2.0, nan)]),
        ("\"negative_binomial\", mean = \"max(x - 1, 0)\", dispersion = 2", [(0.0, 0.0), (2.0, never)]),
        ("\"negative_binomial\", mean = 1, dispersion = \"-x\"", [(0.0, nan), (2.0, nan)]),
        ("\"bernoulli\", probability = \"x + 1.2\"", [(0.0, nan), (1.0, nan)]),
        ("\"bernoulli\", probability = \"x - 1\"", [(0.0, nan), (1.0, nan)]),
        ("\"bernoulli\", probability = \"step(x)\"", [(0.0, never), (1.0, 0.0)]),
        ("\"bernoulli\", probability = \"logistic(log(-x))\"", [(0.0, nan), (1.0, nan)]),
        ("\"binomial\", trials = 3, probability = \"x + 1.2\"", [(0.0, nan), (3.0, nan)]),
        ("\"binomial\", trials = 3, probability = \"step(-x)\"", [(0.0, 0.0), (3.0, never)]),
        ("\"binomial\", trials = \"floor(x) + 2\", probability = 1", [(2.0, 0.0), (3.0, never)]),
        ("\"binomial\", trials = \"x + 2\", probability = 0.5", [(2.0, nan), (3.0, nan)]),
        ("\"gamma\", shape = \"x - 1\", rate = 1", [(1.0, nan), (2.0, nan)]),
        ("\"exponential\", rate = \"x - 1\"", [(0.0, nan), (2.0, nan)]),
    ];
    for (law, values) in cases {
        let found = densities(&format!("{{ distribution = {law} }}"), &values.map(|v| v.0));
        for (found, (y, exact)) in found.into_iter().zip(values) {
            let same = found == exact || (found - exact).abs() < 1e-12 || found.is_nan() && exact.is_nan();
            assert!(same, "{law} at {y}: {found}, not {exact}");
        }
    }
}

#[test]
fn impossible_data_are_refused() {
    let cases = [
        ("{ distribution = \"binomial\", trials = 3, probability = \"x\" }", 4.0, "above the number of trials, 3"),
        ("{ distribution = \"poisson\", rate = 2.0 }", 1.5, "a whole number ≥ 0"),
        ("{ distribution = \"gamma\", shape = 2.0, rate = 1.0 }", 0.0, "> 0"),
        ("{ distribution = \"bernoulli\", probability = 0.5 }", 2.0, "0 or 1"),
        ("{ distribution = \"exponential\", rate = 2.0 }", -1.0, "≥ 0"),
        ("{ distribution = \"normal\", mean = 0, sd = 1 }", f64::INFINITY, "finite"),
    ];
    for (observation, y, message) in cases {
        let model = build(&observing(observation)).map_err(|e| e.1).unwrap();
        let data = Observations { components: 1, times: vec![0.0, 1.0], values: vec![f64::NAN, y] };
        let Err((key, said)) = model.flow(&Arc::new(data), Proposal::Bootstrap) else { panic!("{y} was accepted") };
        assert!(key == "observations" && said.contains(message) && said.contains("row 1"), "{said}");
    }
}

/// phi and r vary; the noise of the observation is what follows from r.
const VARYING: &str = r#"
kind = "written"
states = ["x"]
parameters = { phi = 0.9, r = 0.5, sd = "r - 0.2" }
noises = { n = { distribution = "normal" } }
initial = { x = "n/sqrt(1 - phi^2)" }
transition = { x = "phi*x + n" }
observation = { y = { distribution = "normal", mean = "x", sd = "sd" } }
priors = { phi = { distribution = "uniform", low = 0, high = 1 }, r = { distribution = "exponential", rate = 1 } }
"#;

#[test]
fn a_model_over_its_parameters_is_the_model_with_these_numbers_and_says_what_they_must_be() {
    let data = Arc::new(Observations { components: 1, times: vec![0.0, 1.0], values: vec![0.4, -0.7] });
    let family = build(VARYING).map_err(|e| e.1).unwrap().family(&data, &[]).expect("two priors");
    let names: Vec<String> = family.parameters().into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["phi", "r"]);
    let written = VARYING.replace("phi = 0.9, r = 0.5", "phi = 0.3, r = 1.7");
    let (one, other) = (family.at(&[0.3, 1.7]).unwrap(), flow(&written, &[0.4, -0.7]));
    let run = |flow: &dyn FeynmanKac| {
        let level = Level::detect();
        let at = |step| Draws::new(level, 1, Stream::ParticlesMutate, step);
        let (mut x, mut next, mut w, mut p) = ([0.0; TILE], [0.0; TILE], [0.0; TILE], [0.0; TILE]);
        flow.initial(&at(0), &mut Tile::new(level, &mut x, TILE, TILE), &mut w);
        let before = View::new(level, &x, TILE, TILE);
        flow.mutate(1, &at(1), before, &mut Tile::new(level, &mut next, TILE, TILE), &mut w);
        let now = View::new(level, &next, TILE, TILE);
        flow.log_potential(1, before, now, &mut w);
        assert!(flow.log_density(1, before, now, &mut p));
        [x, next, w, p]
    };
    let (one, other) = (run(one.as_ref()), run(other.as_ref()));
    for (a, b) in one.iter().flatten().zip(other.iter().flatten()) {
        assert!((a - b).abs() <= 1e-14 * (1.0 + a.abs()), "{a} and {b}");
    }
    let said = |theta: &[f64]| family.at(theta).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(said(&[0.3, 0.1]).contains("y.sd = -0.1 must be positive"), "{}", said(&[0.3, 0.1]));
    let chance = VARYING.replace("\"normal\", mean = \"x\", sd = \"sd\"", "\"bernoulli\", probability = \"r\"");
    let data = Arc::new(Observations { components: 1, times: vec![0.0, 1.0], values: vec![0.0, 1.0] });
    let other = build(&chance).map_err(|e| e.1).unwrap().family(&data, &[]).expect("two priors");
    let mistake = other.at(&[0.3, 1.5]).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(mistake.contains("y.probability = 1.5 must be between 0 and 1"), "{mistake}");
    assert!(other.at(&[0.3, 0.5]).is_ok());
    assert!(said(&[0.3, f64::INFINITY]).contains("sd = inf must be finite"), "{}", said(&[0.3, f64::INFINITY]));
}
