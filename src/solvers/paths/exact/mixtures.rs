//! Density curves of mixtures, where one Gaussian cannot follow.

use super::quadrature::plane;
use super::tests::double_well;
use super::*;

/// Left to right around a hill that lies a little below the straight line (`inputs/paths/two_channels_mixture.toml`).
fn two_channels() -> Chain {
    chain(
        r#"{"prior": {"kind": "written", "components": ["x", "y"], "potential": "1.5*exp(-(x^2 + (y + 0.05)^2)/0.18)"},
            "noise": 0.5, "start": [-1.0, 0.0], "time_step": 0.02, "steps": 50,
            "observations": [{"step": 50, "value": [1.0, 0.0], "deviation": [0.1]}]}"#,
    )
}

const CHANNELS: f64 = -15.157683;

fn curve(components: usize, iterations: usize) -> String {
    format!(
        r#"{{"name": "density_curve", "components": {components}, "paths": 4096, "replicates": 16,
            "iterations": {iterations}, "resample_below": 0}}"#
    )
}

fn share(run: &Run) -> f64 {
    run.tally.share(4096)
}

#[test]
fn each_doubling_of_the_components_comes_nearer_to_the_evidence_of_the_double_well() {
    // Weights that do not change with time follow paths that cross at any time badly: 8 components still have 5.10.
    let chain = double_well(99, 0.01);
    let runs: Vec<Run> = [1, 2, 4].into_iter().map(|c| run(&chain, &curve(c, 1000), 1)).collect();
    let bounds: Vec<f64> = runs.iter().map(|r| -r.other.unwrap()).collect();
    println!("F = {bounds:?}, ESS {:?}", runs.iter().map(share).collect::<Vec<f64>>());
    assert!(bounds[0] > bounds[1] + 0.5 && bounds[1] > bounds[2] + 0.5 && bounds[2] > 4.52938474, "{bounds:?}");
    assert!(share(&runs[2]) > share(&runs[0]));
}

#[test]
fn two_components_take_both_channels_around_a_hill_which_one_gaussian_cannot() {
    let chain = two_channels();
    let truth = plane(&chain, [-1.8, -1.6], [1.8, 1.6], 0.05);
    assert!((truth - CHANNELS).abs() < 1e-5, "{truth}");
    let (one, two) = (run(&chain, &curve(1, 2000), 1), run(&chain, &curve(2, 2000), 1));
    let bounds = [&one, &two].map(|r| -r.other.unwrap());
    println!("F = {bounds:?}, −log Z = {}", -truth);
    println!("{}\n{}", told("one", &one, truth), told("two", &two, truth));
    agrees("two components", &two, truth);
    assert!(bounds[1] < bounds[0] && bounds[1] > -truth);
    assert!(share(&two) > 1.5 * share(&one), "{} {}", share(&two), share(&one));
}
