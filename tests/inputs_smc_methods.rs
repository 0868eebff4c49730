//! The shipped inputs of methods of sequential Monte Carlo, run to their end: what they print is true, and what a method
//! cannot do is refused.

mod program;

use std::fs;
use std::path::Path;
use std::time::Duration;

use program::malformed::{Case, refused_alike};
use program::{command, finish};

/// The numbers that a run of a shipped input prints: value, and the error as (lower, upper) or (standard error, 0).
struct Printed(serde_json::Value);

impl Printed {
    fn of(name: &str) -> Printed {
        let dir = tempfile::tempdir().unwrap();
        let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/smc").join(name).with_extension("toml");
        let ran =
            finish(command(1, &["run", input.to_str().unwrap(), "--quiet"], dir.path()), 1, Duration::from_secs(180));
        assert_eq!(ran.code(), 0, "{ran:?}");
        let text = fs::read_to_string(dir.path().join(format!("{name}.out/report.json"))).unwrap();
        Printed(serde_json::from_str(&text).unwrap())
    }

    fn number(&self, name: &str) -> &serde_json::Value {
        let numbers = self.0["numbers"].as_array().unwrap();
        numbers.iter().find(|n| n["name"] == name).unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    fn value(&self, name: &str) -> f64 {
        self.number(name)["value"].as_f64().unwrap()
    }

    /// Half the width of its interval over 1.96, or its standard error.
    fn error(&self, name: &str) -> f64 {
        let error = &self.number(name)["error"];
        match error["kind"].as_str() {
            Some("interval") => (error["upper"].as_f64().unwrap() - error["lower"].as_f64().unwrap()) / 3.92,
            Some("standard_error") => error["value"].as_f64().unwrap(),
            _ => panic!("{name} has no error: {error}"),
        }
    }

    /// That `name` is `truth` within four standard errors of at most `most`.
    fn holds(&self, name: &str, truth: f64, most: f64) {
        let (value, error) = (self.value(name), self.error(name));
        assert!((value - truth).abs() < 4.0 * error && error < most, "{name} = {value} ± {error} against {truth}");
    }
}

#[test]
fn waste_free_tempering_prints_the_evidence_minus_6_796083_of_the_mixture_within_four_standard_errors() {
    let printed = Printed::of("waste_free");
    assert!((printed.value("exact_log_evidence") + 6.796083).abs() < 1e-6);
    printed.holds("log_evidence", -6.796083, 0.1);
}

#[test]
fn one_run_alone_prints_kalmans_evidence_and_mean_within_four_standard_errors_of_less_than_0_04() {
    let printed = Printed::of("one_run_alone");
    printed.holds("log_evidence", -13.441513208280, 0.04);
    printed.holds("mean_x", 0.477425665741, 0.04);
    assert!(printed.value("eves") >= 100.0);
}

#[test]
fn particle_gibbs_prints_the_posterior_of_quadrature_through_kalmans_likelihood_within_four_standard_errors() {
    let printed = Printed::of("gibbs_parameters");
    printed.holds("a", 0.42560, 0.02);
    printed.holds("q", 0.50374, 0.02);
    assert!((printed.value("sd_a") - 0.26067).abs() < 0.02 && (printed.value("sd_q") - 0.20389).abs() < 0.03);
    assert!(printed.value("r_hat") < 1.05 && printed.value("effective_draws") > 400.0);
}

#[test]
fn smc_squared_prints_the_evidence_and_the_posterior_of_quadrature_within_four_standard_errors() {
    let printed = Printed::of("smc_squared");
    printed.holds("log_evidence", -12.919670, 0.05);
    printed.holds("mean_a", 0.42560, 0.02);
    printed.holds("sd_a", 0.26067, 0.02);
    printed.holds("mean_q", 0.50374, 0.02);
    printed.holds("sd_q", 0.20389, 0.02);
    assert!((0.05..0.6).contains(&printed.value("acceptance")), "particles of parameters moved");
}

#[test]
fn resampling_in_order_prints_kalmans_evidence_and_mean_within_four_standard_errors_of_less_than_0_03() {
    let printed = Printed::of("in_order");
    printed.holds("log_evidence", -13.441513208280, 0.03);
    printed.holds("mean_x", 0.477425665741, 0.01);
}

#[test]
fn a_forecast_prints_kalmans_mean_and_deviation_of_the_tenth_observation_after_the_data_within_four_standard_errors() {
    // The mean is 0.9^10 of the last filtering mean; the variance of the state goes on by 0.81 P + 0.25.
    let printed = Printed::of("forecast");
    printed.holds("predicted_mean_y", 0.166468036394, 0.02);
    printed.holds("predicted_sd_y", 1.293795987526, 0.02);
    printed.holds("log_evidence", -13.441513208280, 0.1);
}

#[test]
fn a_chain_prints_the_forecast_of_quadrature_with_parameters_integrated_out_within_four_standard_errors() {
    let printed = Printed::of("forecast_parameters");
    printed.holds("posterior_predictive_y", 0.06593, 0.1);
    assert!((printed.value("sd_posterior_predictive_y") - 0.96028).abs() < 0.1);
}

#[test]
fn smc_squared_prints_the_forecast_of_quadrature_with_parameters_integrated_out_within_four_standard_errors() {
    let printed = Printed::of("forecast_as_data_come");
    printed.holds("forecast_mean_y", 0.06593, 0.02);
    printed.holds("forecast_sd_y", 0.96028, 0.02);
}

#[test]
fn a_sampler_prints_the_scores_of_cancers_it_has_not_seen() {
    let printed = Printed::of("outcomes");
    printed.holds("new_log_score", -0.20945, 0.001);
    printed.holds("new_brier_score", 0.06539, 0.001);
    printed.holds("log_score", -0.11517, 0.001);
    printed.holds("brier_score", 0.03455, 0.001);
    assert!((0.0..0.1).contains(&printed.value("new_calibration_error")));
}

const SAMPLER: [&str; 5] = [
    "solver = \"smc\"", // 1
    "[problem]",        // 2
    "model = { kind = \"gaussian_mixture\", prior_sd = 3.0, components = [{ mean = [2, -2], sd = 0.5 }] }", // 3
    "[method]",         // 4
    "name = \"tempering\"\nparticles = 60", // 5
];

#[rustfmt::skip]
const SAMPLER_CASES: &[Case] = &[
    Case(5, "name = \"tempering\"\nparticles = 60\nwaste_free = 0", &["method.waste_free = 0", "from 1 to"]),
    Case(5, "name = \"tempering\"\nparticles = 60\nwaste_free = 7", &["method.waste_free", "= 7", "particles = 60", "divide"]),
    Case(5, "name = \"tempering\"\nparticles = 60\nwaste_free = 60", &["method.waste_free", "= 60", "two chains"]),
    Case(5, "name = \"tempering\"\nparticles = 60\nwaste_free = 6\nresampling = \"ssp\"", &["method.waste_free", "systematically"]),
    Case(5, "name = \"smc_squared\"\nparticles = 60", &["method.name", "target of samplers", "tempering"]),
    Case(5, "name = \"tempering\"\nparticles = 60\nprecision = \"f32\"", &["method.precision", "filters", "tempering"]),
    Case(3, "model = { kind = \"gaussian_mixture\", prior_sd = 3.0, components = [{ mean = [2, -2], sd = 0.5 }] }\npredict = { steps = 1 }", &["problem.predict", "steps = 1", "state-space models and \"logistic_regression\"", "problem.model.kind = \"gaussian_mixture\" has no data"]),
    Case(3, "model = { kind = \"shape\", shape = { kind = \"funnel\" } }\npredict = { draws = 4 }", &["problem.predict", "draws = 4", "problem.model.kind = \"shape\" has no data"]),
    Case(3, "model = { kind = \"gaussian_mixture\", prior_sd = 3.0, components = [{ mean = [2, -2], sd = 0.5 }] }\nquantiles = [0.5]", &["problem.quantiles", "[0.5]", "bootstrap", "tempering"]),
    Case(5, "name = \"tempering\"\nparticles = 60\nchan_lai = true", &["method.chan_lai", "for filters", "tempering"]),
    // What the method does not use.
    Case(5, "name = \"tempering\"\nparticles = 60\ness_threshold = 0.7", &["method.ess_threshold = 0.7", "not used by method.name = \"tempering\"", "filters", "\"pmmh\""]),
    Case(5, "name = \"tempering\"\nparticles = 60\niterations = 2000", &["method.iterations = 2000", "\"pmmh\", \"particle_gibbs\""]),
    Case(5, "name = \"tempering\"\nparticles = 60\nthin = 2", &["method.thin = 2", "for \"particle_gibbs\""]),
    Case(5, "name = \"tempering\"\nparticles = 60\nwaste_free = 6\nleast_moves = 2", &["method.least_moves = 2", "method.waste_free = 6"]),
    Case(5, "name = \"tempering\"\nparticles = 60\nwaste_free = 6\nmost_moves = 9", &["method.most_moves = 9", "method.waste_free = 6"]),
    Case(5, "name = \"tempering\"\nparticles = 60\nwaste_free = 6\ncorrelation = 0.2", &["method.correlation = 0.2", "method.waste_free = 6"]),
    Case(5, "kernel = \"random_walk\"", &["method.kernel = \"random_walk\"", "not used by method.name = \"bootstrap\"", "for \"tempering\""]),
    Case(5, "name = \"guided\"\nproposal = \"guided\"", &["method.proposal = \"guided\"", "\"pmmh\", \"smc_squared\", \"particle_gibbs\""]),
    Case(5, "name = \"auxiliary\"\nparameter_moves = 5", &["method.parameter_moves = 5", "\"smc_squared\", \"particle_gibbs\""]),
    Case(5, "name = \"pmmh\"\nparameter_particles = 9", &["method.parameter_particles = 9", "not used by method.name = \"pmmh\"", "for \"smc_squared\""]),
    Case(5, "name = \"pmmh\"\nancestor_sampling = false", &["method.ancestor_sampling = false", "for \"particle_gibbs\""]),
    Case(5, "name = \"smc_squared\"\nwarm_up = 10", &["method.warm_up = 10", "not used by method.name = \"smc_squared\""]),
    Case(5, "name = \"particle_gibbs\"\nresampling = \"multinomial\"", &["method.resampling = \"multinomial\"", "not used by method.name = \"particle_gibbs\""]),
    Case(5, "name = \"particle_gibbs\"\nsort = \"x\"", &["method.sort = \"x\"", "filters", "\"pmmh\", \"smc_squared\""]),
];

#[test]
fn what_samplers_cannot_do_is_refused_alike_on_1_and_3_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let good = refused_alike(dir.path(), &SAMPLER, SAMPLER_CASES, 1, |file, _| file.to_string());
    assert!(good == 0, "the input that the cases spoil is good: {good}");
}
