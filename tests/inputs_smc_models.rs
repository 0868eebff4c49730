//! Malformed models of sequential Monte Carlo are refused on 1 and on 3 ranks with exit code 2, one message that names the
//! place, no panic, no hang, and nothing written.

mod program;

use std::fs;

use program::malformed::{Case, refused_alike};
use program::spanwise;

const GOOD: [&str; 7] = [
    "solver = \"smc\"",                                        // 1
    "[problem]",                                               // 2
    "model = { kind = \"linear_gaussian\" }",                  // 3
    "observations = { values = [0.3, -0.5, 1.2, nan, -0.1] }", // 4
    "[method]",                                                // 5
    "particles = 100",                                         // 6
    "islands = 2",                                             // 7
];

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Models that are not there, keys that are not theirs.
    Case(3, "model = { kind = \"linear_gausian\" }", &["problem.model.kind = \"linear_gausian\"", "did you mean \"linear_gaussian\"?"]),
    Case(3, "model = { kind = \"stochastic_volatility\", mu = 0.0 }", &["problem.model.mu", "unknown key"]),
    Case(3, "model = { kind = \"constant_velocity\", acceleraton = 1.0 }", &["problem.model.acceleraton", "did you mean \"acceleration\"?"]),
    // Variances that are negative or zero.
    Case(3, "model = { kind = \"linear_gaussian\", state_sd = -1.0 }", &["problem.model.state_sd", "positive"]),
    Case(3, "model = { kind = \"stochastic_volatility\", persistence = 1.0 }", &["problem.model.persistence", "(−1, 1)"]),
    Case(3, "model = { kind = \"constant_velocity\", acceleration = -1.0 }", &["problem.model.acceleration", "positive"]),
    Case(3, "model = { kind = \"lotka_volterra\", observation_sd = 0.0 }", &["problem.model.observation_sd", "positive"]),
    Case(3, "model = { kind = \"lorenz_96\", noise = -0.5 }", &["problem.model.noise", "positive"]),
    Case(3, "model = { kind = \"epidemic\", reporting = 1.5 }", &["problem.model.reporting", "(0, 1]"]),
    Case(3, "model = { kind = \"epidemic\", initial_infected = 1e9 }", &["problem.model.initial_infected", "below the population"]),
    Case(3, "model = { kind = \"bearings_only\", position_sd = -1.0 }", &["problem.model.position_sd", "positive"]),
    Case(3, "model = { kind = \"linear_system\", transition = [[0.5]], noise_covariance = [[-1.0]], observation = [[1.0]], observation_covariance = [[1.0]], initial_covariance = [[1.0]] }", &["problem.model.noise_covariance", "a variance is not negative"]),
    Case(3, "model = { kind = \"linear_system\", transition = [[0.5]], noise_covariance = [[1.0]], observation = [[1.0]], observation_covariance = [[0.0]], initial_covariance = [[1.0]] }", &["problem.model.observation_covariance", "positive definite"]),
    Case(3, "model = { kind = \"linear_system\", transition = [[0.5, 0.0], [0.0, 0.5]], noise_covariance = [[1.0, 2.0], [2.0, 1.0]], observation = [[1.0, 0.0]], observation_covariance = [[1.0]], initial_covariance = [[1.0, 0.0], [0.0, 1.0]] }", &["problem.model.noise_covariance", "positive semidefinite"]),
    Case(3, "model = { kind = \"linear_system\", transition = [[0.5, 0.0], [0.0, 0.5]], noise_covariance = [[1.0, 0.5], [0.4, 1.0]], observation = [[1.0, 0.0]], observation_covariance = [[1.0]], initial_covariance = [[1.0, 0.0], [0.0, 1.0]] }", &["problem.model.noise_covariance", "symmetric"]),
    Case(3, "model = { kind = \"multivariate_stochastic_volatility\", mean = [0.0, 0.0], persistence = [0.9, 0.9], volatility = [0.2, 0.2], return_correlation = [[1.0, 1.2], [1.2, 1.0]] }", &["problem.model.return_correlation", "positive definite"]),
    // Dimensions that do not fit.
    Case(3, "model = { kind = \"linear_system\", transition = [[0.5, 0.1], [0.0]], noise_covariance = [[1.0]], observation = [[1.0]], observation_covariance = [[1.0]], initial_covariance = [[1.0]] }", &["problem.model.transition", "must be 2 × 2"]),
    Case(3, "model = { kind = \"linear_system\", transition = [[0.5]], noise_covariance = [[1.0]], observation = [[1.0, 2.0]], observation_covariance = [[1.0]], initial_covariance = [[1.0]] }", &["problem.model.observation", "must be 1 × 1"]),
    Case(3, "model = { kind = \"multivariate_stochastic_volatility\", mean = [0.0, 0.0], persistence = [0.9], volatility = [0.2, 0.2] }", &["problem.model.persistence", "must have 2 entries"]),
    Case(3, "model = { kind = \"constant_velocity\", dimensions = 4 }", &["problem.model.dimensions", "1, 2 or 3"]),
    Case(3, "model = { kind = \"constant_velocity\", initial_position = [1.0] }", &["problem.model.initial_position", "must have 2 entries"]),
    Case(3, "model = { kind = \"constant_velocity\" }", &["problem.observations.values", "observes 2 at a time"]),
    Case(3, "model = { kind = \"bearings_only\", sensors = [[0.0]] }", &["problem.model.sensors", "[x, y]"]),
    Case(3, "model = { kind = \"lorenz_96\", dimension = 3 }", &["problem.model.dimension", "4 … 100000"]),
    Case(3, "model = { kind = \"lorenz_96\", stride = 0 }", &["problem.model.stride", "1 … 40"]),
    // Data that cannot be.
    Case(3, "model = { kind = \"epidemic\" }", &["problem.observations", "whole number"]),
    Case(3, "model = { kind = \"written\", states = [\"x\"], initial = { x = 1.0 }, transition = { x = \"x\" }, observation = { y = { distribution = \"poisson\", rate = \"x\" } } }", &["problem.observations", "y = 0.3 at time 0", "whole number"]),
    Case(4, "observations = { file = \"absent.csv\" }", &["problem.observations.file", "absent.csv"]),
    Case(4, "observations = { values = [0.3, 0.5] }\ntimes = [0.0, 0.0]", &["problem.times"]),
    // Smoothing that the model or the method does not have.
    Case(6, "particles = 100\nsmoothing = { kind = \"backwards\" }", &["method.smoothing", "did you mean \"backward\"?"]),
    Case(6, "particles = 100\nsmoothing = { kind = \"fixed_lag\" }", &["method.smoothing", "lag"]),
    Case(6, "name = \"pmmh\"\nsmoothing = { kind = \"genealogy\" }", &["method.smoothing", "pmmh"]),
    Case(6, "name = \"particle_gibbs\"\nparameters = [\"a\"]", &["method.parameters", "no parameters with priors"]),
    Case(6, "name = \"particle_gibbs\"\nparameter_moves = 5", &["method.parameter_moves = 5", "no parameters with priors"]),
    Case(6, "name = \"particle_gibbs\"\nproposal = \"guided\"", &["method.proposal", "cannot weigh a trajectory"]),
    Case(6, "name = \"particle_gibbs\"\niterations = 20\nthin = 21", &["method.thin = 21", "above method.iterations = 20"]),
    Case(6, "name = \"particle_gibbs\"\niterations = 9", &["method.thin", "is 10 where absent", "above method.iterations = 9"]),
    Case(3, "model = { kind = \"epidemic\", time_step = 1e-18 }", &["problem.model.time_step", "1e-18", "524288 steps"]),
    Case(3, "model = { kind = \"lorenz_96\", dimension = 4, stride = 4, time_step = 1e-18 }", &["problem.model.time_step", "1e-18", "10000000 steps"]),
    Case(3, "model = { kind = \"linear_system\", states = [\"x\", \"x\"], transition = [[0.5, 0.0], [0.0, 0.5]], noise_covariance = [[1.0, 0.0], [0.0, 1.0]], observation = [[1.0, 0.0]], observation_covariance = [[1.0]], initial_covariance = [[1.0, 0.0], [0.0, 1.0]] }", &["problem.model.states", "stands twice"]),
    Case(3, "model = { kind = \"linear_system\", states = [\"x/y\"], transition = [[0.5]], noise_covariance = [[1.0]], observation = [[1.0]], observation_covariance = [[1.0]], initial_covariance = [[1.0]] }", &["problem.model.states", "x/y", "no name"]),
    Case(3, "model = { kind = \"linear_gaussian\" }\nquantiles = [0.5, 0.5]", &["problem.quantiles", "already"]),
    Case(4, "observations = { values = [0.3, inf] }", &["problem.observations.values", "finite"]),
    Case(7, "islands = 2\nwaste_free = 10", &["method.waste_free", "= 10", "tempering", "bootstrap"]),
    Case(7, "islands = 2\nlee_whiteley = true", &["method.lee_whiteley", "multinomial", "ess_threshold = 1"]),
    Case(7, "islands = 2\nresampling = \"multinomial\"\nlee_whiteley = true", &["method.lee_whiteley", "ess_threshold = 1"]),
    Case(7, "islands = 2\nsort = \"y\"", &["method.sort", "\"y\"", "it has: x"]),
    Case(7, "islands = 2\nsort = \"x\"\nresampling = \"ssp\"", &["method.sort", "systematic"]),
    // What cannot be predicted, and in what precision.
    Case(4, "observations = { simulate = 4 }\npredict = { step = 3 }", &["problem.predict.step", "did you mean \"steps\"?"]),
    Case(4, "observations = { simulate = 4 }\npredict = { steps = 2000000 }", &["problem.predict.steps", "1000000"]),
    Case(4, "observations = { simulate = 4 }\npredict = { steps = 3, interval = 0.0 }", &["problem.predict.interval = 0.0", "must be positive"]),
    Case(4, "observations = { simulate = 4 }\npredict = { steps = 3, draws = 7 }", &["problem.predict.draws", "= 7", "logistic_regression", "linear_gaussian", "allowed are steps and interval"]),
    Case(4, "observations = { simulate = 4 }\npredict = { file = \"new.csv\" }", &["problem.predict.file", "new.csv", "linear_gaussian"]),
    Case(7, "islands = 2\nprecision = \"f16\"", &["method.precision", "f16", "f32"]),
    Case(6, "name = \"particle_gibbs\"\nprecision = \"f32\"", &["method.precision", "= \"f32\"", "pmmh", "particle_gibbs"]),
    // Models written in the input.
    Case(3, "model = { kind = \"written\", states = [\"x\"], initial = { x = 1.0 }, transition = { x = \"0.9*x +\" }, observation = { y = { distribution = \"normal\", mean = \"x\", sd = 1.0 } } }", &["problem.model.transition", "x: the expression ends here", "^"]),
    Case(3, "model = { kind = \"written\", states = [\"x\"], initial = { x = 1.0 }, transition = { x = \"0.9*z\" }, observation = { y = { distribution = \"normal\", mean = \"x\", sd = 1.0 } } }", &["problem.model.transition", "unknown name \"z\"", "character 5"]),
    Case(3, "model = { kind = \"written\", states = [\"x\"], initial = { x = 1.0 }, transition = { x = \"epx(x)\" }, observation = { y = { distribution = \"normal\", mean = \"x\", sd = 1.0 } } }", &["problem.model.transition", "there is no function \"epx\""]),
    Case(3, "model = { kind = \"written\", states = [\"x\"], initial = { x = 1.0 }, transition = { x = \"x\" }, observation = { y = { distribution = \"normal\", mean = \"x\", sd = -1.0 } } }", &["problem.model.observation", "y.sd = -1 must be positive"]),
    Case(3, "model = { kind = \"written\", states = [\"x\"], initial = { x = 1.0 }, transition = { x = \"x\" }, observation = { y = { distribution = \"normall\", mean = \"x\", sd = 1.0 } } }", &["problem.model.observation", "did you mean \"normal\"?"]),
    Case(3, "model = { kind = \"written\", states = [\"x\"], initial = { x = 1.0 }, transition = { x = \"x\" }, observation = { y = { distribution = \"normal\", mean = \"x\", std = 1.0 } } }", &["problem.model.observation.y.std"]),
    Case(3, "model = { kind = \"written\", states = [\"x\", \"v\"], initial = { x = 1.0 }, transition = { x = \"x\", v = \"v\" }, observation = { y = { distribution = \"normal\", mean = \"x\", sd = 1.0 } } }", &["problem.model.initial", "the state \"v\" has no expression"]),
    Case(3, "model = { kind = \"written\", states = [\"x\"], noises = { n = { distribution = \"student_t\", degrees = 0.0 } }, initial = { x = \"n\" }, transition = { x = \"x\" }, observation = { y = { distribution = \"normal\", mean = \"x\", sd = 1.0 } } }", &["problem.model.noises", "degrees = 0 must be positive"]),
];

#[test]
fn malformed_models_are_refused_alike_on_1_and_3_ranks() {
    let dir = tempfile::tempdir().unwrap();
    // Of three lines where an expression is shown with its place.
    let good = refused_alike(dir.path(), &GOOD, CASES, 3, |file, _| file.to_string());
    assert!(good == 0, "the input that the cases spoil is good: {good}");
}

#[test]
fn backward_simulation_without_a_transition_density_is_refused_by_check_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let text = "solver = \"smc\"\n[problem]\nmodel = { kind = \"epidemic\" }\nobservations = { simulate = 5 }\n[method]\n\
                smoothing = { kind = \"backward\" }\n";
    fs::write(dir.path().join("case.toml"), text).unwrap();
    let ended = spanwise(1, &["check", "case.toml"], dir.path());
    assert_eq!(ended.code(), 2, "{ended:?}");
    for word in ["method.smoothing", "transition density", "epidemic", "genealogy"] {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
}
