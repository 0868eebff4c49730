//! Chains against posteriors by quadrature through Kalman's likelihood.

use std::path::Path;

use super::exact::kalman::Transition;
use super::exact::walk_of_ten;
use super::gibbs::Gibbs;
use super::pmmh::{Chain, doubt, posterior_mean};
use super::setup::{Posed, pose};
use crate::input::Input;
use crate::math::simd::Level;
use crate::particles::chains::{Mixing, mixing};
use crate::solvers::{ErrorBar, Number, Solver};
use crate::state::Name;
use crate::team::{Solo, Team, threads};

/// x_0 ~ N(0, 1), x' = a x + N(0, q²), y = x + N(0, 0.49), ten observations; `priors` of a and q.
fn input(priors: &str, method: &str) -> Input {
    let text = format!(
        r#"
solver = "smc"
[run]
seed = 5
[problem]
observations = {{ values = [0.3, -0.5, 1.2, 0.8, -0.1, -1.4, -0.9, 0.2, 1.1, 0.6] }}
[problem.model]
kind = "written"
states = ["x"]
parameters = {{ a = 0.9, q = 0.5 }}
noises = {{ n = {{ distribution = "normal" }} }}
initial = {{ x = "n" }}
transition = {{ x = "a*x + q*n" }}
observation = {{ y = {{ distribution = "normal", mean = "x", sd = 0.7 }} }}
{priors}
[method]
{method}
"#
    );
    Input::parse(Path::new("chains.toml"), &text, &[]).unwrap()
}

const PRIORS: &str = r#"
[problem.model.priors]
a = { distribution = "uniform", low = 0.0, high = 1.0 }
q = { distribution = "lognormal", log_mean = -0.7, log_sd = 0.5 }
"#;

/// Posterior means and variances of a and q, by the midpoint rule on 100 × 120 points of a and ln q.
fn exact() -> [(f64, f64); 2] {
    let (mut model, y) = walk_of_ten();
    let (mut total, mut first, mut second) = (0.0, [0.0; 2], [0.0; 2]);
    for i in 0..100 {
        for j in 0..120 {
            let (a, log_q) = ((f64::from(i) + 0.5) / 100.0, -3.2 + 5.0 * (f64::from(j) + 0.5) / 120.0);
            let q = log_q.exp();
            model.transitions = vec![Transition { matrix: vec![a], shift: vec![0.0], covariance: vec![q * q] }];
            let z = (log_q + 0.7) / 0.5;
            let weight = (model.filter(&y).unwrap().log_evidence - 0.5 * z * z).exp();
            total += weight;
            for (k, x) in [a, q].into_iter().enumerate() {
                first[k] += weight * x;
                second[k] += weight * x * x;
            }
        }
    }
    let moments = |k: usize| (first[k] / total, second[k] / total - (first[k] / total).powi(2));
    [moments(0), moments(1)]
}

/// Means and variances of `chains` of a and q are the exact ones within four standard errors.
fn hold(chains: &[Vec<Vec<f64>>; 2], what: &str) -> Vec<Mixing> {
    let mut all = Vec::new();
    for ((draws, (mean, variance)), name) in chains.iter().zip(exact()).zip(["a", "q"]) {
        let found = mixing(draws).unwrap();
        assert!((found.mean - mean).abs() < 4.0 * found.error(), "{what}: mean of {name} {found:?} against {mean}");
        let squares: Vec<Vec<f64>> =
            draws.iter().map(|c| c.iter().map(|x| (x - mean) * (x - mean)).collect()).collect();
        let square = mixing(&squares).unwrap();
        assert!((square.mean - variance).abs() < 4.0 * square.error(), "{what}: {name} {square:?} against {variance}");
        all.push(found);
    }
    all
}

#[test]
fn pmmh_has_the_posterior_of_quadrature_through_kalmans_likelihood_with_20_and_with_200_particles() {
    for particles in [20, 200] {
        let method =
            format!("name = \"pmmh\"\nparticles = {particles}\nislands = 1\niterations = 8000\nwarm_up = 1000");
        let input = input(PRIORS, &method);
        let Ok(Posed::Chain(posed)) = pose(&input) else { panic!("a chain") };
        let mut chain = Chain::new(&input, posed, Level::detect(), &Solo).unwrap();
        while !chain.reached() {
            chain.step(0, &Solo).unwrap();
        }
        let of = |c: usize| vec![chain.trace.iter().skip(c).step_by(2).copied().collect::<Vec<f64>>()];
        let found = hold(&[of(0), of(1)], &format!("{particles} particles"));
        assert!(found.iter().all(|f| f.effective > 200.0), "{found:?}");
        let report = chain.report();
        let acceptance = report.iter().find(|n| n.name == "acceptance").unwrap().value;
        assert!((0.1..0.5).contains(&acceptance), "{acceptance}");
    }
}

fn gibbs(method: &str, team: &dyn Team) -> Gibbs {
    ended(&input(PRIORS, &format!("name = \"particle_gibbs\"\n{method}")), team)
}

/// Particle Gibbs, run to its end.
pub fn ended(input: &Input, team: &dyn Team) -> Gibbs {
    let Ok(Posed::Gibbs(posed, family)) = pose(input) else { panic!("particle Gibbs") };
    let mut chains = Gibbs::new(input, posed, family, Level::detect(), team);
    while !chains.reached() {
        chains.step(0, team).unwrap();
    }
    chains
}

#[test]
fn particle_gibbs_has_the_posterior_of_quadrature_through_kalmans_likelihood() {
    for method in ["particles = 10", "particles = 30\nancestor_sampling = false"] {
        let chains = gibbs(&format!("{method}\niterations = 3000\nwarm_up = 500\nislands = 4"), &Solo);
        let of = |p: usize| -> Vec<Vec<f64>> {
            (0..4).map(|c| chains.trace.iter().skip(2 * c + p).step_by(8).copied().collect()).collect()
        };
        let found = hold(&[of(0), of(1)], method);
        assert!(found.iter().all(|f| f.effective > 400.0 && f.r_hat < 1.05), "{found:?}");
    }
}

#[test]
fn particle_gibbs_of_parameters_has_the_same_bits_on_1_to_5_ranks() {
    let method = "particles = 8\niterations = 20\nwarm_up = 10\nislands = 3";
    let bits = |chains: Gibbs| {
        let numbers: Vec<f64> = chains.record().iter().map(|r| r.1).collect();
        chains.trace.iter().chain(&numbers).map(|x| x.to_bits()).collect::<Vec<u64>>()
    };
    let alone = bits(gibbs(method, &Solo));
    assert_eq!(alone.len(), 20 * 3 * 2 + 4);
    for ranks in [2, 3, 5] {
        let many = threads::run(ranks, |team| bits(gibbs(method, team)));
        assert!(many.iter().all(|m| *m == alone), "{ranks} ranks");
    }
}

#[test]
fn parameters_without_a_density_of_paths_are_refused_and_so_is_a_first_state_that_follows_from_them() {
    let refused = |from: &str, to: &str, further: &str| {
        let text = input(PRIORS, &format!("name = \"particle_gibbs\"\n{further}")).text.replace(from, to);
        pose(&Input::parse(Path::new("a.toml"), &text, &[]).unwrap()).err().unwrap().to_string()
    };
    let message = refused("\"normal\" } }\ninitial", "\"laplace\" } }\ninitial", "ancestor_sampling = false");
    assert!(message.contains("method.parameters") && message.contains("density of paths"), "{message}");
    let message = refused("initial = { x = \"n\" }", "initial = { x = \"a\" }", "");
    assert!(message.contains("method.parameters") && message.contains("without noise"), "{message}");
}

#[test]
fn pmmh_starts_where_the_likelihood_is_not_far_below_the_best_though_most_draws_of_the_prior_are() {
    // ln q from N(0, 4): three draws in ten have q > 3, with log-likelihoods below −18; the best is above −13.
    let wide = PRIORS.replace("log_mean = -0.7, log_sd = 0.5", "log_mean = 0.0, log_sd = 2.0");
    let method = "name = \"pmmh\"\nparticles = 500\nislands = 1";
    for seed in 1..=20 {
        let text = input(&wide, method).text.replace("seed = 5", &format!("seed = {seed}"));
        let input = Input::parse(Path::new("a.toml"), &text, &[]).unwrap();
        let Ok(Posed::Chain(posed)) = pose(&input) else { panic!("a chain") };
        let chain = Chain::new(&input, posed, Level::detect(), &Solo).unwrap();
        let log = chain.record().iter().find(|(name, _)| name.name == "log_evidence").unwrap().1;
        assert!(log > -15.0, "seed {seed}: {log}");
    }
}

/// The number `name` of a report.
fn of<'a>(report: &'a [Number], name: &str) -> &'a Number {
    report.iter().find(|n| n.name == name).unwrap_or_else(|| panic!("no {name} in {report:?}"))
}

#[test]
fn eight_draws_have_means_without_errors_and_a_note_says_why() {
    let input_of = |method: &str| input(PRIORS, &format!("{method}\nislands = 1\niterations = 8\nwarm_up = 0"));
    let pmmh = input_of("name = \"pmmh\"\nparticles = 20");
    let Ok(Posed::Chain(posed)) = pose(&pmmh) else { panic!("a chain") };
    let mut chain = Chain::new(&pmmh, posed, Level::detect(), &Solo).unwrap();
    while !chain.reached() {
        chain.step(0, &Solo).unwrap();
    }
    let mut gibbs = ended(&input_of("name = \"particle_gibbs\"\nparticles = 10\nthin = 2"), &Solo);
    let both: [&mut dyn Solver; 2] = [&mut chain, &mut gibbs];
    for solver in both {
        assert!(solver.notes().is_empty());
        solver.finish(&Solo).unwrap();
        let report = solver.report();
        for name in ["a", "q"] {
            let number = of(&report, name);
            assert!(number.value.is_finite() && number.error == ErrorBar::None, "{number:?}");
            assert!(number.meaning.starts_with("posterior mean; no error: "), "{number:?}");
        }
        // Not known where the chain never moved.
        let effective = of(&report, "effective_draws").value;
        assert!(effective.is_nan() || effective <= 16.0, "{effective}");
        let notes = solver.notes();
        assert!(notes.len() == 1 && notes[0].starts_with("no error of posterior means"), "{notes:?}");
    }
}

#[test]
fn a_chain_that_never_moved_has_a_mean_whose_error_is_not_claimed() {
    let name = Name { name: "a", units: "1", meaning: "parameter a", axes: &[] };
    let stuck = mixing(&[vec![0.3; 50]]).unwrap();
    let number = posterior_mean(&name, &stuck);
    assert!((number.value - 0.3).abs() < 1e-12 && number.error == ErrorBar::None, "{number:?}");
    assert!(number.meaning.ends_with("never moved"), "{number:?}");
    assert!(doubt(&[stuck]).unwrap().contains("no chain moved"));
    let good = Mixing { mean: 0.3, sd: 1.0, r_hat: 1.01, effective: 100.0 };
    let number = posterior_mean(&name, &good);
    assert_eq!((number.meaning, number.error), ("posterior mean", ErrorBar::StdErr(0.1)));
    assert_eq!(doubt(&[good]), None);
    assert_eq!(doubt(&[]), None);
    let few = Mixing { effective: 12.34, ..good };
    assert!(doubt(&[good, few]).unwrap().contains("of the worst parameter 12.3 and 1.010"));
}
