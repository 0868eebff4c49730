//! Twists that couple coordinates, and twists on a grid.

use super::quadrature::plane;
use super::tests::{double_well, two_wells};
use super::*;
use crate::solvers::paths::chain::LANES;
use crate::solvers::paths::guide::{Guide, Scratch, linear_twist};

/// A spiral: dX = (−x + 2y) dt + dW, dY = (−x − y + 0.3) dt + dW, one coordinate observed on the way, the other at the end,
/// both narrower than a step's noise.
fn spiral() -> Chain {
    chain(
        r#"{"prior": {"kind": "written", "components": ["x", "y"], "drift": {"x": "-x + 2*y", "y": "-x - y + 0.3"}},
            "noise": 1.0, "start": [1.0, -1.0], "start_deviation": [0.5, 0.0], "time_step": 0.02, "steps": 60,
            "observations": [{"step": 30, "value": [0.5], "deviation": [0.05], "coordinates": [0]},
                             {"step": 60, "value": [-1.0], "deviation": [0.1], "coordinates": [1]}]}"#,
    )
}

/// Its log-evidence by Kalman's filter, one scalar observation after the other.
fn spiral_evidence() -> f64 {
    let (h, mut m, mut v, mut log_z) = (0.02, [1.0, -1.0], [[0.25, 0.0], [0.0, 0.0]], 0.0);
    let f = [[1.0 - h, 2.0 * h], [-h, 1.0 - h]];
    for j in 0..=60 {
        if j > 0 {
            m = [f[0][0] * m[0] + f[0][1] * m[1], f[1][0] * m[0] + f[1][1] * m[1] + 0.3 * h];
            let fv = |i: usize, k: usize| f[i][0] * v[0][k] + f[i][1] * v[1][k];
            let fvf = |i: usize, k: usize| fv(i, 0) * f[k][0] + fv(i, 1) * f[k][1] + if i == k { h } else { 0.0 };
            v = [[fvf(0, 0), fvf(0, 1)], [fvf(1, 0), fvf(1, 1)]];
        }
        let seen: Option<(usize, f64, f64)> = match j {
            30 => Some((0, 0.5, 0.05)),
            60 => Some((1, -1.0, 0.1)),
            _ => None,
        };
        if let Some((i, value, s)) = seen {
            let (all, rest) = (v[i][i] + s * s, value - m[i]);
            // Without the density's constant, √(2π) s.
            log_z += 0.5 * (s * s / all).ln() - 0.5 * rest * rest / all;
            let gain = [v[0][i] / all, v[1][i] / all];
            let row = v[i];
            m = [m[0] + gain[0] * rest, m[1] + gain[1] * rest];
            v = [0, 1].map(|a| [0, 1].map(|b| v[a][b] - gain[a] * row[b]));
        }
    }
    log_z
}

#[test]
fn the_coupled_twist_has_no_variance_on_a_linear_chain_of_coupled_coordinates_to_1e_12_a_step() {
    let chain = spiral();
    let rows = chain.rows();
    let xi: Vec<f64> = (0..chain.block()).map(|k| ((k * 7919 % 1009) as f64 / 504.5 - 1.0) * 2.0).collect();
    // Largest difference between the paths' weights of one step, over the size of the terms of log ψ; sum of the weights.
    let spread = |guide: &Guide| {
        let (mut x, mut scratch) = (vec![0.0; chain.block()], Scratch::new(&chain));
        let (mut largest, mut total) = (0.0f64, 0.0);
        for j in 0..=chain.steps {
            let mut weight = [0.0; LANES];
            let (done, rest) = x.split_at_mut(j * rows);
            let before = if j == 0 { &[] } else { &done[(j - 1) * rows..] };
            if j > 0 {
                guide.settle(&chain, j - 1, before, &mut weight);
            }
            guide.advance(&chain, j, before, &xi[j * rows..][..rows], &mut rest[..rows], &mut weight, &mut scratch);
            let apart = weight.iter().map(|w| (w - weight[0]).abs()).fold(0.0, f64::max);
            largest = largest.max(apart / 400.0);
            total += weight[0];
        }
        (largest, total)
    };
    let guide = Guide::linear(&chain);
    assert!(guide.coupled.is_some());
    let (apart, log_z) = spread(&guide);
    let (alone, _) = spread(&Guide::twisted(linear_twist(&chain)));
    println!("a step's weights differ by {apart:.1e} with the coupled twist, {alone:.1e} with one per coordinate");
    assert!(apart < 1e-12, "{apart}");
    assert!(alone > 1e-4, "the coordinates are coupled: {alone}");
    assert!((log_z - spiral_evidence()).abs() < 1e-9, "{log_z} {}", spiral_evidence());
}

#[test]
fn a_fitted_quadratic_twist_finds_the_coupled_one_of_a_linear_chain_to_1e_9() {
    let text = r#"{"name": "twisted_smc", "paths": 256, "replicates": 2,
        "twist": {"kind": "quadratic", "passes": 1, "training_paths": 256}}"#;
    let run = run(&spiral(), text, 1);
    println!("{}", told("fitted quadratic twist", &run, spiral_evidence()));
    assert!((run.tally.log_mean() - spiral_evidence()).abs() < 1e-8 && run.tally.spread() < 1e-8);
    // And `linear` takes the coupled recursion.
    let text = r#"{"name": "importance", "paths": 256, "replicates": 2, "twist": "linear"}"#;
    assert!((super::run(&spiral(), text, 1).tally.log_mean() - spiral_evidence()).abs() < 1e-9);
}

#[test]
fn a_fitted_quadratic_twist_gives_the_evidence_of_two_wells_and_of_the_double_well() {
    let text = r#"{"name": "twisted_smc", "paths": 4096, "replicates": 16, "twist": {"kind": "quadratic"}}"#;
    agrees("two wells, quadratic", &run(&two_wells(0.001), text, 4), -40.68196044);
    agrees("double well, quadratic", &run(&double_well(99, 0.01), text, 3), -4.52938474);
}

/// kT = 12.5 on the surface of Müller and Brown, 275 steps from the deepest minimum to the second.
fn muller_brown(end: &str) -> Chain {
    chain(&format!(
        r#"{{"prior": {{"kind": "muller_brown"}}, "noise": 5.0, "start": [-0.55828035, 1.44169], "time_step": 1e-4,
            "steps": 275, {end}}}"#
    ))
}

const SOFT: &str = r#""observations": [{"step": 275, "value": [0.62361133, 0.02804632], "deviation": [0.1]}]"#;
const BALL: &str = r#""balls": [{"step": 275, "centre": [0.62361133, 0.02804632], "radius": 0.1}]"#;

#[test]
fn the_density_carried_over_the_surface_of_muller_and_brown_gives_both_evidences_to_2_in_1000() {
    // Known from another program: −9.98492 and −10.2831.
    let soft = plane(&muller_brown(SOFT), [-1.7, -0.6], [1.3, 2.2], 0.04);
    let ball = plane(&muller_brown(BALL), [-1.7, -0.6], [1.3, 2.2], 0.04);
    println!("soft end {soft}, ball {ball}");
    assert!((soft - -9.98492).abs() < 1e-3, "{soft}");
    assert!((ball - -10.2831).abs() < 2e-3, "{ball}");
}

#[test]
fn a_twist_on_a_grid_gives_the_evidences_of_the_surface_of_muller_and_brown_and_of_the_double_well() {
    let grid = r#"{"kind": "grid", "low": [-1.5, -0.3], "high": [1.1, 2.0], "points": [66, 58]}"#;
    let text = format!(r#"{{"name": "twisted_smc", "paths": 1024, "replicates": 16, "twist": {grid}}}"#);
    for (name, end, truth) in [("soft end", SOFT, -9.98492), ("ball", BALL, -10.2831)] {
        // The settings of inputs/paths/muller_brown_ball.toml.
        for seed in 0..5 {
            let run = run(&muller_brown(end), &text, seed);
            agrees(&format!("{name}, seed {seed}"), &run, truth);
            assert!((run.other.unwrap() - truth).abs() < 0.02, "on the grid: {:?}", run.other);
        }
    }
    let text = r#"{"name": "twisted_smc", "paths": 2048, "replicates": 16,
        "twist": {"kind": "grid", "low": [-2.0], "high": [2.0], "points": [101]}}"#;
    let run = run(&double_well(99, 0.01), text, 2);
    agrees("double well", &run, -4.52938474);
    assert!(run.tally.spread() < 0.05, "{}", run.tally.spread());
}
