//! Numbers of turbulent and chaotic flows that others have computed.

use super::run::{CIRCLE, Run, input, truncated};

/// Re = 1600 on 512³ [VanRees2011]: the largest −dE/dt and its time.
const PEAK_1600: (f64, f64) = (1.28575e-2, 8.97);

/// Energy at each of `steps` + 1 times up to `end`, and the dissipation.
fn taylor_green(points: usize, viscosity: f64, end: f64, steps: usize) -> Vec<(f64, f64, f64)> {
    let equation = input(&format!("kind = 'navier_stokes_3d'\nviscosity = {viscosity}"));
    let domain = truncated(&[points; 3], &[CIRCLE; 3], false);
    let (mut run, _) = Run::<f64>::named(&equation, &domain, "taylor_green", &[]);
    let mut rows = Vec::new();
    for s in 0..=steps {
        if s > 0 {
            run.advance(end * s as f64 / steps as f64, 1);
        }
        let series = run.series();
        rows.push((run.time, series["energy"], series["dissipation"]));
    }
    rows
}

/// The largest value and its time, from the parabola through the three highest samples.
fn peak(rows: &[(f64, f64, f64)]) -> (f64, f64) {
    let i = (1..rows.len() - 1).max_by(|a, b| rows[*a].2.total_cmp(&rows[*b].2)).unwrap();
    let (a, b, c) = (rows[i - 1].2, rows[i].2, rows[i + 1].2);
    let shift = 0.5 * (a - c) / (a - 2.0 * b + c);
    (b - 0.25 * (a - c) * shift, rows[i].0 + shift * (rows[i].0 - rows[i - 1].0))
}

#[test]
fn taylor_green_at_re_100_on_32_cubed_has_the_known_peak_and_energies() {
    // Rotational form, 2/3 rule, IF-RK4 with Δt = 0.05, in another code.
    let rows = taylor_green(32, 0.01, 10.0, 200);
    let (value, time) = peak(&rows);
    println!("peak {value:.7} at {time:.4}; E(5) {:.7}, E(10) {:.7}", rows[100].1, rows[200].1);
    assert!((rows[0].1 - 0.125).abs() < 1e-14 && (rows[0].2 - 0.0075).abs() < 1e-14);
    assert!((value - 0.012945).abs() < 1e-6, "peak {value}");
    assert!((time - 4.860).abs() < 2e-3, "at {time}");
    assert!((rows[100].1 - 0.073998).abs() < 1e-6, "E(5) = {}", rows[100].1);
    assert!((rows[200].1 - 0.026357).abs() < 1e-6, "E(10) = {}", rows[200].1);
}

#[test]
#[ignore = "a minute and more"]
fn taylor_green_at_re_100_on_64_cubed_has_the_known_peak_and_energies() {
    let rows = taylor_green(64, 0.01, 10.0, 200);
    let (value, time) = peak(&rows);
    println!("peak {value:.8} at {time:.4}; E(5) {:.8}, E(10) {:.8}", rows[100].1, rows[200].1);
    assert!((value - 0.0129754).abs() < 1e-7, "peak {value}");
    assert!((time - 4.887).abs() < 1e-3, "at {time}");
    assert!((rows[100].1 - 0.0739629).abs() < 1e-7, "E(5) = {}", rows[100].1);
    assert!((rows[200].1 - 0.0261997).abs() < 1e-7, "E(10) = {}", rows[200].1);
}

#[test]
#[ignore = "minutes"]
fn taylor_green_at_re_1600_on_64_cubed_shows_the_trend_of_the_benchmark() {
    // Far from resolved (k_max η = 0.24): the binary finds 1.33957e-2 at 9.187 here, and 1.37574e-2 at 8.914 on 128³.
    let rows = taylor_green(64, 6.25e-4, 10.0, 500);
    let (value, time) = peak(&rows);
    println!("peak {value:.6e} at {time:.4}");
    assert!((value - 1.33957e-2).abs() < 1e-7 && (time - 9.187).abs() < 2e-3, "{value:e} at {time}");
    assert!((value / PEAK_1600.0 - 1.0).abs() < 0.08 && (time - PEAK_1600.1).abs() < 0.3, "{value:e} at {time}");
}
