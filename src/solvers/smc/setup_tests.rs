//! Problems that are refused when they are read, before any work.

use super::problem::{MethodInput, USES};
use super::setup::pose;
use crate::error::Error;
use crate::input::Input;

/// What is said of a problem in a directory with the file `y.csv`; the exit code is that of an input.
fn refusal(problem: &str, file: &str) -> String {
    refusal_with(problem, "particles = 9", file)
}

fn refusal_with(problem: &str, method: &str, file: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("y.csv"), file).unwrap();
    let text = format!("solver = \"smc\"\n[problem]\n{problem}\n[method]\n{method}\n");
    let input = Input::parse(&dir.path().join("case.toml"), &text, &[]).unwrap();
    match pose(&input) {
        Ok(_) => String::new(),
        Err(error) => {
            assert!(matches!(error, Error::Input { .. }) && error.exit_code() == 2, "{error}");
            error.to_string()
        }
    }
}

#[test]
fn infinite_observations_in_a_file_are_refused() {
    let linear = "model = { kind = \"linear_gaussian\" }\n";
    let of = |observations: &str, file: &str| refusal(&format!("{linear}observations = {{ {observations} }}"), file);
    let said = of("file = \"y.csv\"", "0.3\n0.1\ninf\n");
    assert!(said.contains("problem.observations.file") && said.contains("inf in row 2, component 0"), "{said}");
    assert_eq!(of("file = \"y.csv\"", "0.3\n0.1\nnan\n"), "");
}

#[test]
fn steps_that_would_never_end_are_refused_where_data_are_simulated_too() {
    let of = |model: &str| refusal(&format!("model = {{ {model} }}\nobservations = {{ simulate = 5 }}"), "");
    // Addresses of 2^20 draws, three a step.
    let said = of("kind = \"lotka_volterra\", time_step = 1e-18");
    assert!(said.contains("problem.model.time_step") && said.contains("349525 steps"), "{said}");
    let said = of("kind = \"lorenz_96\", time_step = 1e-18");
    assert!(said.contains("problem.model.time_step") && said.contains("10000000 steps"), "{said}");
    assert_eq!(of("kind = \"lotka_volterra\", time_step = 0.01"), "");
}

#[test]
fn a_proposal_that_the_model_does_not_have_is_refused_by_the_key_that_asked_for_it() {
    let of = |model: &str, method: &str| {
        refusal_with(&format!("model = {{ {model} }}\nobservations = {{ values = [0.1, 0.2] }}"), method, "")
    };
    let volatility = "kind = \"stochastic_volatility\"";
    for name in ["pmmh", "particle_gibbs", "smc_squared"] {
        let said = of(volatility, &format!("name = \"{name}\"\nproposal = \"auxiliary\"\nparticles = 9"));
        assert!(said.contains("method.proposal = \"auxiliary\"") && said.contains("it has: \"bootstrap\""), "{said}");
        assert!(!said.contains("method.name"), "{said}");
    }
    let said = of(volatility, "name = \"guided\"");
    assert!(said.contains("method.name = \"guided\"") && said.contains("it has: \"bootstrap\""), "{said}");
    assert_eq!(of("kind = \"linear_gaussian\"", "name = \"auxiliary\""), "");
}

#[test]
fn refusals_tell_the_value_once() {
    let of = |method: &str| {
        let problem = "model = { kind = \"linear_gaussian\" }\nobservations = { values = [0.1, 0.2] }";
        refusal_with(problem, method, "")
    };
    let of_sampler = |method: &str| {
        let problem = "model = { kind = \"gaussian_mixture\", components = [{ mean = [0.0], sd = 1.0 }] }";
        refusal_with(problem, &format!("name = \"tempering\"\n{method}"), "")
    };
    for (said, words) in [
        (of("sort = \"nosuch\""), "method.sort = \"nosuch\": is no coordinate of the state"),
        (of("lee_whiteley = true"), "method.lee_whiteley = true: holds with method.resampling"),
        (of_sampler("particles = 9\nwaste_free = 7"), "method.waste_free = 7: must divide method.particles = 9"),
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn every_key_of_a_method_is_of_all_methods_or_says_of_which() {
    let keys = serde_json::to_value(MethodInput::default()).unwrap();
    let mut keys: Vec<&str> = keys.as_object().unwrap().keys().map(String::as_str).collect();
    let mut told: Vec<&str> = ["name", "particles", "islands"].into_iter().chain(USES.map(|(key, _)| key)).collect();
    keys.sort_unstable();
    told.sort_unstable();
    assert_eq!(keys, told);
}
