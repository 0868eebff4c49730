//! Names of series and results, made of those of the input: none may stand for two things, which only the end of a run
//! would find when it writes.

use std::collections::HashMap;

use super::problem::{MethodInput, Name, ProblemInput};
use crate::error::Result;
use crate::input::Input;

/// Names that the input gives, which those of series and results are made of.
pub(super) struct Given {
    pub coordinates: Vec<String>,
    pub components: Vec<String>,
    /// Those that vary.
    pub parameters: Vec<String>,
}

/// Keys of the input that names come from.
const STATES: &str = "problem.model.states";
const OBSERVATION: &str = "problem.model.observation";
const PARAMETERS: &str = "method.parameters";

/// What a method writes under names of its own.
fn own(method: Name) -> &'static [&'static str] {
    match method {
        Name::Pmmh => &["step", "warming_up", "log_evidence", "forecast", "effective_draws", "r_hat", "acceptance"],
        Name::ParticleGibbs => &[
            "step",
            "time",
            "warming_up",
            "updated",
            "update_rate",
            "predicted_time",
            "effective_draws",
            "r_hat",
            "acceptance",
            "smallest_update",
            "draws",
        ],
        Name::SmcSquared => &[
            "step",
            "time",
            "ess",
            "log_evidence",
            "evidence_spread",
            "resampled",
            "parameter_log_weights",
            "forecast",
            "acceptance",
        ],
        _ => &[],
    }
}

/// What is written of one thing: its names are these prefixes before its own.
fn prefixes(key: &'static str, problem: &ProblemInput, method: &MethodInput) -> Vec<String> {
    let filter = method.name.proposal().is_some();
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_string()).collect::<Vec<_>>();
    let mut found = Vec::new();
    match key {
        PARAMETERS if method.name == Name::SmcSquared => found.extend(list(&["", "mean_", "sd_"])),
        PARAMETERS => found.extend(list(&["", "sd_"])),
        STATES => {
            if filter {
                found.extend(list(&["mean_", "mean_error_", "sd_"]));
                found.extend(problem.quantiles.iter().map(|l| format!("quantile_{l}_")));
                found.extend(method.chan_lai.then(|| "mean_error_alone_".to_string()));
            }
            if method.smoothing.is_some() || method.name == Name::ParticleGibbs {
                found.extend(list(&["smoothed_mean_", "smoothed_mean_error_", "smoothed_sd_", "smoothed_sd_error_"]));
            }
            if method.name == Name::ParticleGibbs {
                found.push("trajectories_".into());
            }
        }
        _ if problem.predict.is_none() => {}
        _ => {
            if filter || method.name == Name::SmcSquared {
                found.extend(list(&[
                    "predicted_mean_",
                    "predicted_mean_error_",
                    "predicted_sd_",
                    "predicted_sd_error_",
                    "pit_",
                ]));
                found.extend(problem.quantiles.iter().map(|l| format!("predicted_quantile_{l}_")));
            }
            if method.name == Name::SmcSquared {
                found.extend(list(&["forecast_mean_", "forecast_mean_error_", "forecast_sd_", "forecast_sd_error_"]));
            }
            if !filter {
                found.push("posterior_predictive_".into());
            }
        }
    }
    found
}

/// Refuses names of the input of which two things would be written under one name.
pub(super) fn refuse_repeats(input: &Input, problem: &ProblemInput, method: &MethodInput, given: &Given) -> Result<()> {
    // What is written, and what it is of.
    let own_of = format!("a series or result of \"{}\"", method.name.word());
    let mut taken: HashMap<String, String> =
        own(method.name).iter().map(|n| ((*n).to_string(), own_of.clone())).collect();
    let lists = [(STATES, &given.coordinates), (OBSERVATION, &given.components), (PARAMETERS, &given.parameters)];
    for (key, names) in lists {
        let prefixes = prefixes(key, problem, method);
        for name in names {
            for prefix in &prefixes {
                let written = format!("{prefix}{name}");
                if let Some(other) = taken.get(&written) {
                    let message = format!("\"{name}\" would be written as \"{written}\", as {other} is: another name");
                    return Err(input.invalid(key, message));
                }
                taken.insert(written, format!("\"{name}\""));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::setup::pose;
    use crate::input::Input;

    fn refusal(states: &str, parameter: &str, method: &str) -> String {
        let text = format!(
            r#"
solver = "smc"
[problem]
observations = {{ values = [0.3, -0.5] }}
[problem.model]
kind = "written"
states = ["x", "{states}"]
parameters = {{ {parameter} = 0.9 }}
priors = {{ {parameter} = {{ distribution = "uniform", low = 0.0, high = 1.0 }} }}
noises = {{ n = {{ distribution = "normal" }}, m = {{ distribution = "normal" }} }}
initial = {{ x = "n", {states} = "m" }}
transition = {{ x = "{parameter}*x + n", {states} = "m" }}
observation = {{ y = {{ distribution = "normal", mean = "x", sd = 0.7 }} }}
[method]
{method}
"#
        );
        let input = Input::parse(Path::new("names.toml"), &text, &[]).unwrap();
        pose(&input).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_would_be_written_twice_is_refused_before_any_work() {
        let cases = [
            ("error_x", "a", "particles = 9", "\"error_x\" would be written as \"mean_error_x\""),
            ("error_x", "a", "name = \"particle_gibbs\"", "\"smoothed_mean_error_x\", as \"x\" is"),
            ("z", "time", "name = \"particle_gibbs\"", "method.parameters: \"time\" would be written as \"time\""),
            ("z", "log_evidence", "name = \"pmmh\"", "as a series or result of \"pmmh\" is"),
            ("z", "ess", "name = \"smc_squared\"", "as a series or result of \"smc_squared\" is"),
            ("z", "a", "name = \"pmmh\"\nparameters = [\"a\", \"a\"]", "\"a\" would be written as \"a\", as \"a\" is"),
        ];
        for (states, parameter, method, message) in cases {
            let said = refusal(states, parameter, method);
            assert!(said.contains(message), "{states} {parameter} {method}: {said}");
        }
        for (states, parameter, method) in
            [("z", "time", "particles = 9"), ("error_x", "a", "name = \"pmmh\""), ("z", "mean_x", "name = \"pmmh\"")]
        {
            assert_eq!(refusal(states, parameter, method), "", "{states} {parameter} {method}");
        }
    }
}
