//! The room against the exact numbers. Statistical tests hold within 4 standard errors; numbers without a source here
//! are those of the quadrature recursion, which is tested first.

use super::quadrature::line;
use super::*;
use crate::solvers::paths::chain::{LANES, Quadratic};
use crate::solvers::paths::guide::{Guide, Scratch, linear_twist};

/// V = 5(x² − 1)² from −1, a soft end at +1.
pub fn double_well(steps: usize, time_step: f64) -> Chain {
    chain(&format!(
        r#"{{"prior": {{"kind": "double_well", "height": 5.0}}, "start": [-1.0], "time_step": {time_step},
            "steps": {steps}, "observations": [{{"step": {steps}, "value": [1.0], "deviation": [0.1]}}]}}"#
    ))
}

/// √2 W from −2, observed at 2.
pub fn brownian(deviation: f64) -> Chain {
    chain(&format!(
        r#"{{"prior": {{"kind": "brownian"}}, "start": [-2.0], "time_step": 0.01, "steps": 99,
            "observations": [{{"step": 99, "value": [2.0], "deviation": [{deviation}]}}]}}"#
    ))
}

/// The bridge −1 → 1 with the Girsanov functional of the double well at the interior points.
pub fn tilted_bridge() -> Chain {
    chain(
        r#"{"prior": {"kind": "brownian_bridge", "to": [1.0]}, "start": [-1.0], "time_step": 0.01, "steps": 99,
            "running": {"functional_of": {"kind": "double_well", "height": 5.0}, "from": 1, "to": 98}}"#,
    )
}

/// A stationary Ornstein–Uhlenbeck process observed twice.
pub fn ornstein_uhlenbeck(steps: usize) -> Chain {
    let (h, first, second) = (1.0 / steps as f64, steps / 2, steps * 9 / 10);
    chain(&format!(
        r#"{{"prior": {{"kind": "ornstein_uhlenbeck", "rate": 0.25}}, "start": [0.0], "start_deviation": [2.0],
            "time_step": {h}, "steps": {steps},
            "observations": [{{"step": {first}, "value": [-1.0], "deviation": [0.4]}},
                             {{"step": {second}, "value": [1.0], "deviation": [0.1]}}]}}"#
    ))
}

pub fn two_wells(time_step: f64) -> Chain {
    chain(&format!(
        r#"{{"prior": {{"kind": "double_well", "height": 5.0}}, "start": [-1.0, -1.0], "time_step": {time_step},
            "steps": 99, "observations": [{{"step": 99, "value": [1.0, 1.0], "deviation": [0.1]}},
                                          {{"step": 50, "value": [1.0, -1.0], "deviation": [0.1]}}]}}"#
    ))
}

#[test]
fn the_recursion_gives_the_published_evidences_of_the_double_well_to_1e_7() {
    for (steps, h, truth) in [(99, 0.01, -4.52938474), (100, 0.01, -4.51699315), (199, 0.005, -4.528545)] {
        let (log_z, marginals) = line(&double_well(steps, h), -2.6, 2.6, 1041);
        assert!((log_z - truth).abs() < if steps == 199 { 1e-6 } else { 2e-8 }, "{steps}: {log_z}");
        if steps == 99 {
            let known =
                [(25, -0.58108, 0.63352), (50, 0.00753, 0.84997), (75, 0.59509, 0.62147), (99, 0.99186, 0.08761)];
            for (k, mean, deviation) in known {
                assert!((marginals[k].0 - mean).abs() < 1e-5 && (marginals[k].1 - deviation).abs() < 1e-5, "{k}");
            }
        }
    }
}

#[test]
fn the_recursion_gives_brownian_motions_closed_form_to_1e_9() {
    for (deviation, truth) in [(0.1, -6.6667529149), (0.01, -8.9869438501)] {
        let (log_z, _) = line(&brownian(deviation), -6.0, 6.0, if deviation < 0.1 { 4801 } else { 1201 });
        assert!((log_z - truth).abs() < 1e-8, "{log_z} {truth}");
        // ½ ln(σ²/(σ² + 2T)) − (B − x)²/(2(σ² + 2T)), T = 0.99.
        let v = deviation * deviation + 1.98;
        assert!((0.5 * (deviation * deviation / v).ln() - 8.0 / v - truth).abs() < 1e-9);
    }
}

#[test]
fn the_recursion_gives_the_evidence_of_the_tilted_bridge_and_its_middle() {
    let (log_z, marginals) = line(&tilted_bridge(), -2.6, 2.6, 1041);
    assert!((log_z - -0.73879092).abs() < 1e-7, "{log_z}");
    assert!((marginals[50].0 - 0.01216).abs() < 1e-4 && (marginals[50].1 - 0.86233).abs() < 1e-4);
    assert!((marginals[25].0 - -0.5863).abs() < 1e-4 && (marginals[25].1 - 0.64429).abs() < 1e-4);
}

#[test]
fn the_recursion_gives_the_evidence_of_two_coordinates_as_the_sum_of_one_each() {
    let well = |start: f64, middle: f64| {
        let text = format!(
            r#"{{"prior": {{"kind": "double_well", "height": 5.0}}, "start": [{start}], "time_step": 0.001, "steps": 99,
                "observations": [{{"step": 99, "value": [1.0], "deviation": [0.1]}},
                                 {{"step": 50, "value": [{middle}], "deviation": [0.1]}}]}}"#
        );
        line(&chain(&text), -2.2, 2.2, 1101).0
    };
    let (x, y) = (well(-1.0, 1.0), well(-1.0, -1.0));
    assert!((x - -20.85176851).abs() < 1e-6 && (y - -19.83019193).abs() < 1e-6, "{x} {y}");
}

#[test]
fn the_kalman_smoother_gives_the_known_evidence_of_the_observed_ornstein_uhlenbeck_process() {
    // The exact process at 1000 steps: f = e^{−h/4}, variance 4 (1 − f²).
    let costs = |n: usize| {
        let mut costs = vec![Quadratic::default(); n + 1];
        costs[n / 2] = Quadratic { a: 6.25, c: -6.25, d: -3.125 };
        costs[n * 9 / 10] = Quadratic { a: 100.0, c: 100.0, d: -50.0 };
        costs
    };
    let n = 1000;
    let f = (-0.25f64 / n as f64).exp();
    let (log_z, smoothed) = closed::smoother(f, 0.0, 4.0 * (1.0 - f * f), 0.0, 4.0, &costs(n));
    assert!((log_z - -6.007730289158).abs() < 1e-9, "{log_z}");
    assert!((smoothed[500].0 - -0.65920510).abs() < 1e-7 && (smoothed[500].1.sqrt() - 0.36240918).abs() < 1e-7);
    // And the recursion gives the smoother's answer for the chain.
    let chain = ornstein_uhlenbeck(50);
    let h: f64 = 0.02;
    let (truth, means) = closed::smoother(1.0 - 0.25 * h, 0.0, 2.0 * h, 0.0, 4.0, &costs(50));
    let (log_z, marginals) = line(&chain, -12.0, 12.0, 2401);
    assert!((log_z - truth).abs() < 1e-8, "{log_z} {truth}");
    assert!((marginals[30].0 - means[30].0).abs() < 1e-7);
}

#[test]
fn the_linear_twist_has_no_variance_on_gaussian_chains_to_1e_12_a_step() {
    for (chain, truth) in
        [(brownian(0.1), -6.6667529149), (brownian(0.01), -8.9869438501), (ornstein_uhlenbeck(50), f64::NAN)]
    {
        let guide = Guide::twisted(linear_twist(&chain));
        let rows = chain.rows();
        let mut xi = vec![0.0; chain.block()];
        for (k, x) in xi.iter_mut().enumerate() {
            *x = ((k * 7919 % 1009) as f64 / 504.5 - 1.0) * 2.0;
        }
        let mut x = vec![0.0; chain.block()];
        let mut scratch = Scratch::new(&chain);
        let mut before = [0.0; LANES];
        let mut total = 0.0;
        for j in 0..=chain.steps {
            let mut weight = [0.0; LANES];
            let (done, rest) = x.split_at_mut(j * rows);
            let previous = if j == 0 { &[] } else { &done[(j - 1) * rows..] };
            if j > 0 {
                guide.settle(&chain, j - 1, previous, &mut weight);
            }
            guide.advance(
                &chain,
                j,
                previous,
                &xi[j * rows..(j + 1) * rows],
                &mut rest[..rows],
                &mut weight,
                &mut scratch,
            );
            // A step's weight is the same for every path: up to rounding of terms of the size of log ψ.
            let size = before.iter().fold(1.0f64, |m, b: &f64| m.max(b.abs()));
            for w in &weight {
                assert!((w - weight[0]).abs() < 1e-12 * size.max(400.0), "step {j}: {}", w - weight[0]);
            }
            before = weight;
            total += weight[0];
        }
        if truth.is_finite() {
            assert!((total - truth).abs() < 1e-8, "{total} {truth}");
        }
    }
}

#[test]
fn gradients_of_guided_weights_are_differences_to_1e_5() {
    for (chain, twisted) in [
        (double_well(20, 0.01), false),
        (double_well(20, 0.01), true),
        (two_wells(0.001), true),
        (tilted_bridge(), false),
        (ornstein_uhlenbeck(20), true),
    ] {
        let guide = if twisted { Guide::twisted(linear_twist(&chain)) } else { Guide::default() };
        let mut scratch = Scratch::new(&chain);
        let mut xi: Vec<f64> = (0..chain.block()).map(|k| ((k * 7919 % 1009) as f64 / 504.5 - 1.0) * 1.5).collect();
        let (mut x, mut gradient) = (vec![0.0; chain.block()], vec![0.0; chain.block()]);
        let mut weight = [0.0; LANES];
        guide.simulate(&chain, &xi, &mut x, &mut weight, &mut scratch);
        guide.gradient(&chain, &x, &mut gradient, &mut scratch);
        for k in (0..xi.len()).step_by(chain.block() / 23 + 1) {
            let mut at = |d: f64| {
                let old = xi[k];
                xi[k] += d;
                let mut weight = [0.0; LANES];
                guide.simulate(&chain, &xi, &mut x, &mut weight, &mut scratch);
                xi[k] = old;
                weight[k % LANES]
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - gradient[k]).abs() < 2e-4 * (1.0 + slope.abs()), "{k}: {slope} {}", gradient[k]);
        }
    }
}

#[test]
fn importance_sampling_and_rejection_give_the_evidence_of_the_double_well() {
    let chain = double_well(99, 0.01);
    let truth = -4.52938474;
    agrees("importance", &run(&chain, r#"{"name": "importance", "paths": 65536, "replicates": 8}"#, 1), truth);
    let text = r#"{"name": "importance", "paths": 16384, "replicates": 16, "twist": "linear"}"#;
    let guided = run(&chain, text, 1);
    agrees("importance, linear twist", &guided, truth);
    agrees("rejection", &run(&chain, r#"{"name": "rejection", "paths": 65536, "replicates": 8}"#, 2), truth);
}

#[test]
fn rejection_gives_the_evidence_of_observations_whose_density_is_above_1() {
    // A density of 1/(0.1√2π) = 3.99 each at their values, which no path has both of at the last time.
    let chain = chain(
        r#"{"prior": {"kind": "double_well", "height": 5.0}, "start": [-1.0], "time_step": 0.01, "steps": 20,
            "normalised": true, "observations": [{"step": 20, "value": [-0.9], "deviation": [0.1]},
                                                 {"step": 20, "value": [-0.8], "deviation": [0.1]},
                                                 {"step": 10, "value": [-1.0], "deviation": [0.1]}]}"#,
    );
    let (truth, _) = line(&chain, -2.6, 2.6, 1041);
    agrees("rejection", &run(&chain, r#"{"name": "rejection", "paths": 16384, "replicates": 8}"#, 2), truth);
}
